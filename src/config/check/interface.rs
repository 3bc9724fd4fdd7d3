//! Checks of `[interface.NAME]`, and what they mean for egresses and parts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::super::checked::{
    BondMode, Egress, Hardware, Interface, Ipv4Way, Ipv6Way, MacAddress, NetworkConfig, Role, Vlan,
};
use super::super::complaint::Desk;
use super::super::file::{Entry, Section};
use super::network::{VLAN_IDS, edge_v4, gateway_v4, gateway_v6};
use super::{device, keyword};

/// Each has a table and rules of its own; more cards than any machine has.
const INTERFACES_MAX: usize = 64;
/// The smallest packet that every IPv6 link carries (RFC 8200 section 5), and the largest that
/// cards and switches agree on.
const MTU: std::ops::RangeInclusive<u64> = 1280..=9216;

const ROLES: &str = "Write \"manage\", \"intake\", \"egress\" or \"public\"";
const IPV4: &str = "Write \"dhcp\", or address and prefix: \"10.0.0.2/24\"";
const IPV6: &str = "Write \"slaac\", \"dhcp\", or address and prefix: \"2001:db8::2/64\"";
const CARD: &str = "Write the card's address, for example \"52:54:00:12:00:01\"";
const BELOW: &str = "Write MAC addresses or names of interfaces";

/// Reads all `[interface.NAME]`, and tells parts and egresses about them.
pub(super) fn interfaces(
    top: &mut Section<'_>,
    network: &mut NetworkConfig,
    egresses: &mut [Egress],
    desk: &Desk,
) {
    let Some(mut section) = top.find("interface").and_then(|entry| entry.section()) else { return };
    let mut known: Vec<Interface> = Vec::new();
    for (name, entry) in section.named() {
        if known.len() == INTERFACES_MAX {
            entry.complain(format!("is more than {INTERFACES_MAX} interfaces"), "Remove some");
            break;
        }
        own_name(&name, &entry);
        known.extend(entry.section().and_then(|section| interface(name, section)));
    }
    cards(&known, desk);
    addresses(&known, egresses, desk);
    for interface in &known {
        let part = match interface.role {
            Role::Manage => &mut network.manage,
            Role::Intake => &mut network.intake,
            Role::Public => &mut network.public,
            Role::Egress => {
                way(interface, egresses, desk);
                continue;
            }
        };
        if !part.contains(&interface.name) {
            part.push(interface.name.clone());
        }
    }
    network.interfaces = known;
}

/// A name that means nothing else to the kernel.
fn own_name(name: &str, entry: &Entry<'_>) {
    let taken = ["lo", "all", "default"].contains(&name);
    if taken || device(name).is_err() {
        entry.complain("is no name for an interface", "Use 1 to 15 of a-z 0-9 . _ -");
    }
}

fn interface(name: String, mut section: Section<'_>) -> Option<Interface> {
    let role = section.needed("role", ROLES, keyword::<Role>);
    let (vlan, bond) = (vlan(&mut section, &name), bond(&mut section, &name));
    let hardware = hardware(&mut section, vlan.is_some() || !bond.is_empty());
    let bond_mode = section
        .parsed("bond_mode", "Write \"active-backup\" or \"802.3ad\"", keyword::<BondMode>)
        .unwrap_or_default();
    if bond.is_empty()
        && let Some(entry) = section.find("bond_mode")
    {
        entry.complain("is given, and there is no bond", "Write bond, or remove bond_mode");
    }
    if let (Some((Hardware::Mac(_), _)), false, Some(entry)) =
        (&vlan, bond.is_empty(), section.find("vlan"))
    {
        entry.complain("lies on a bond, which has no address of its own", "Name the bond");
    }
    let mtu = section.find("mtu").map(|_| section.number("mtu", 1500, MTU));
    let addresses = Addresses::read(&mut section, role);
    section.close();
    Some(Interface {
        name,
        role: role?,
        hardware,
        ipv4: addresses.ipv4,
        ipv6: addresses.ipv6,
        gateway4: addresses.gateway4,
        gateway6: addresses.gateway6,
        dns: addresses.dns,
        vlan,
        bond,
        bond_mode,
        mtu: mtu.and_then(|mtu| u32::try_from(mtu).ok()),
    })
}

/// What an interface that is no egress says about its addresses.
#[derive(Default)]
struct Addresses {
    ipv4: Option<Ipv4Way>,
    ipv6: Option<Ipv6Way>,
    gateway4: Option<Ipv4Addr>,
    gateway6: Option<Ipv6Addr>,
    dns: Vec<IpAddr>,
}

impl Addresses {
    fn read(section: &mut Section<'_>, role: Option<Role>) -> Self {
        if role == Some(Role::Egress) {
            for key in ["ipv4", "ipv6", "gateway4", "gateway6", "dns"] {
                if let Some(entry) = section.find(key) {
                    entry.complain(
                        "belongs to the egress: receivers know its address, and several may \
                         share the interface",
                        "Write it in [egress.NAME]; dns is called resolvers there",
                    );
                }
            }
            return Self::default();
        }
        let ipv4 = section.parsed("ipv4", IPV4, ipv4_way);
        let ipv6 = section.parsed("ipv6", IPV6, ipv6_way);
        let fixed4 = match ipv4 {
            Some(Ipv4Way::Fixed(net)) => Some((net.addr(), Some(net.prefix_len()))),
            _ => None,
        };
        let fixed6 = match ipv6 {
            Some(Ipv6Way::Fixed(net)) => Some((net.addr(), Some(net.prefix_len()))),
            _ => None,
        };
        edge_v4(section, fixed4);
        let gateway4 = router(section, "gateway4", ipv4 == Some(Ipv4Way::Dhcp), |text| {
            gateway_v4(text, fixed4, "interface")
        });
        let dynamic = matches!(ipv6, Some(Ipv6Way::Slaac | Ipv6Way::Dhcp));
        let gateway6 =
            router(section, "gateway6", dynamic, |text| gateway_v6(text, fixed6, "interface"));
        let dns = section.list("dns", "Write addresses of name servers", |text| {
            text.parse::<IpAddr>().map_err(|_| "is no address")
        });
        if role.is_some_and(|role| role != Role::Manage)
            && let Some(entry) = section.find("dns")
        {
            entry.complain(
                "is asked by nobody: time and updates go by manage, mail has resolvers of its own",
                "Remove it",
            );
        }
        if section.find("ipv4").is_none() && section.find("ipv6").is_none() {
            section.need("ipv4", "Write ipv4, ipv6 or both; \"dhcp\" asks for a lease");
        }
        Self { ipv4, ipv6, gateway4, gateway6, dns }
    }
}

/// A router that is written down; a lease or an advertisement names its own.
fn router<A>(
    section: &mut Section<'_>,
    key: &'static str,
    leased: bool,
    read: impl Fn(&str) -> Result<A, String>,
) -> Option<A> {
    if let (true, Some(entry)) = (leased, section.find(key)) {
        entry.complain("comes with the address", "Remove it, or write the address down too");
        return None;
    }
    section.parsed(key, "Write the address of the router", read)
}

fn ipv4_way(text: &str) -> Result<Ipv4Way, String> {
    if text == "dhcp" {
        return Ok(Ipv4Way::Dhcp);
    }
    let net: Ipv4Net = text.parse().map_err(|_| "is no IPv4 address with a prefix".to_owned())?;
    let address = net.addr();
    let never = address.is_unspecified() || address.is_multicast() || address.is_broadcast();
    if never || address.is_loopback() || net.prefix_len() == 0 {
        return Err("is no address that an interface can have".to_owned());
    }
    Ok(Ipv4Way::Fixed(net))
}

fn ipv6_way(text: &str) -> Result<Ipv6Way, String> {
    match text {
        "slaac" => return Ok(Ipv6Way::Slaac),
        "dhcp" => return Ok(Ipv6Way::Dhcp),
        _ => {}
    }
    let net: Ipv6Net = text.parse().map_err(|_| "is no IPv6 address with a prefix".to_owned())?;
    let address = net.addr();
    let never = address.is_unspecified() || address.is_multicast() || address.is_loopback();
    if never || address.is_unicast_link_local() || net.prefix_len() == 0 {
        return Err("is no address that an interface can have".to_owned());
    }
    Ok(Ipv6Way::Fixed(net))
}

/// `mac` or `name`: which card it is. An interface that is made has none.
fn hardware(section: &mut Section<'_>, made: bool) -> Option<Hardware> {
    let mac = section.parsed("mac", CARD, MacAddress::parse);
    let name = section.parsed("name", "Write the name that the kernel gives it", device);
    let (by_mac, by_name) = (section.find("mac"), section.find("name"));
    if let (Some(_), Some(entry)) = (&by_mac, &by_name) {
        entry.complain("is given, and mac too", "Keep mac: it stays when cards change places");
    }
    if let (true, Some(entry)) = (made, by_mac.or(by_name)) {
        let remedy = "Write the card in bond, or as parent of vlan";
        entry.complain("is given, and this interface is made of others", remedy);
    }
    mac.map(Hardware::Mac).or(name.map(Hardware::Name))
}

fn below(text: &str) -> Result<Hardware, String> {
    if text.contains(':') {
        return MacAddress::parse(text).map(Hardware::Mac);
    }
    device(text).map(Hardware::Name)
}

fn vlan(section: &mut Section<'_>, own: &str) -> Option<(Hardware, u16)> {
    let entry = section.find("vlan")?;
    let mut vlan = entry.section()?;
    let parent = vlan.needed("parent", BELOW, below);
    let id = vlan.need("id", "Write the number of the VLAN").map(|_| {
        let id = vlan.number("id", *VLAN_IDS.start(), VLAN_IDS);
        u16::try_from(id).unwrap_or(u16::MAX)
    });
    vlan.close();
    if parent.as_ref().is_some_and(|parent| parent.device() == own) {
        entry.complain("lies on the interface itself", "Name the interface below");
    }
    Some((parent?, id?))
}

fn bond(section: &mut Section<'_>, own: &str) -> Vec<Hardware> {
    let bond = section.list("bond", BELOW, below);
    let Some(entry) = section.find("bond") else { return bond };
    if bond.is_empty() {
        entry.complain("names no interface", BELOW);
    }
    for (index, member) in bond.iter().enumerate() {
        if bond[..index].contains(member) {
            entry.complain(format!("names {member} twice"), "Name each interface once");
        }
        if member.device() == own {
            entry.complain("names the bond itself", "Name the interfaces below it");
        }
    }
    bond
}

/// One card is one interface, and one VLAN too.
fn cards(known: &[Interface], desk: &Desk) {
    let mut owners: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    let mut bonds: BTreeMap<String, &Interface> = BTreeMap::new();
    let mut tags: BTreeMap<(String, u16), &str> = BTreeMap::new();
    for interface in known {
        let name = interface.name.as_str();
        let mut claim = |card: &Hardware, key: &str| {
            let owner = owners.insert(card.to_string(), (name, ""));
            if let Some((owner, _)) = owner.filter(|(owner, _)| *owner != name) {
                desk.complain(
                    &format!("interface.{name}.{key}"),
                    format!("{card} is interface {owner} already"),
                    "Give each card one part; several VLANs can share it as parent",
                );
            }
        };
        if let Some(card) = &interface.hardware {
            claim(card, if matches!(card, Hardware::Mac(_)) { "mac" } else { "name" });
        }
        if !interface.bond.is_empty() {
            // VLANs on one bond describe it the same way.
            let bond = interface.vlan.as_ref().map_or(name.to_owned(), |(below, _)| below.device());
            match bonds.get(&bond) {
                Some(other)
                    if (&other.bond, other.bond_mode) == (&interface.bond, interface.bond_mode) => {
                }
                Some(other) => desk.complain(
                    &format!("interface.{name}.bond"),
                    format!("says something else of {bond} than interface {}", other.name),
                    "Describe a bond the same way in all interfaces that use it",
                ),
                None => {
                    interface.bond.iter().for_each(|card| claim(card, "bond"));
                    bonds.insert(bond, interface);
                }
            }
        }
        if let Some((parent, id)) = &interface.vlan
            && let Some(other) = tags.insert((parent.device(), *id), name)
        {
            desk.complain(
                &format!("interface.{name}.vlan"),
                format!("is the VLAN of interface {other} too"),
                "Give each VLAN one interface",
            );
        }
    }
}

/// One address belongs to one interface.
fn addresses(known: &[Interface], egresses: &[Egress], desk: &Desk) {
    let mut owners: BTreeMap<IpAddr, String> = BTreeMap::new();
    for egress in egresses {
        let v4 = egress.ipv4.map(IpAddr::V4);
        for address in v4.into_iter().chain(egress.ipv6.map(IpAddr::V6)) {
            owners.insert(address, format!("egress {}", egress.name));
        }
    }
    for interface in known {
        let v4 = match interface.ipv4 {
            Some(Ipv4Way::Fixed(net)) => Some(("ipv4", IpAddr::V4(net.addr()))),
            _ => None,
        };
        let v6 = match interface.ipv6 {
            Some(Ipv6Way::Fixed(net)) => Some(("ipv6", IpAddr::V6(net.addr()))),
            _ => None,
        };
        for (key, address) in v4.into_iter().chain(v6) {
            let own = format!("interface {}", interface.name);
            if let Some(owner) = owners.insert(address, own) {
                desk.complain(
                    &format!("interface.{}.{key}", interface.name),
                    format!("is the address of {owner} too"),
                    "Give every interface an address of its own",
                );
            }
        }
    }
}

/// What an egress interface is made of, for the egresses on it.
fn way(interface: &Interface, egresses: &mut [Egress], desk: &Desk) {
    let name = &interface.name;
    let mut used = false;
    for egress in egresses.iter_mut().filter(|egress| egress.device.as_ref() == Some(name)) {
        used = true;
        for (key, twice) in
            [("vlan", egress.link.vlan.is_some()), ("bond", !egress.link.bond.is_empty())]
        {
            if twice {
                desk.complain(
                    &format!("egress.{}.{key}", egress.name),
                    format!("is given, and [interface.{name}] says what {name} is made of"),
                    format!("Write it in [interface.{name}] only"),
                );
            }
        }
        egress.link.vlan =
            interface.vlan.as_ref().map(|(parent, id)| Vlan { parent: parent.device(), id: *id });
        egress.link.bond = interface.bond.iter().map(Hardware::device).collect();
    }
    if !used {
        desk.warn(
            &format!("interface.{name}.role"),
            "is egress, and no egress uses the interface: it stays down",
            format!("Write device = \"{name}\" in an [egress.NAME]"),
        );
    }
}

/// A part that needs the interface's own word: with leases on several intake interfaces a listener
/// must say which one it is for.
pub(super) fn listeners(
    network: &NetworkConfig,
    known: &[super::super::checked::Listener],
    desk: &Desk,
) {
    let leased = |name: &String| {
        network
            .interfaces
            .iter()
            .any(|i| i.name == *name && i.ipv4.is_none_or(|way| way == Ipv4Way::Dhcp))
    };
    if network.intake.len() < 2 || !network.intake.iter().any(leased) {
        return;
    }
    for listener in known.iter().filter(|listener| listener.device.is_none()) {
        desk.complain(
            &format!("listener.{}.device", listener.name),
            "is missing, and answers could not find back by an interface with a lease",
            format!("Write one of {}", network.intake.join(", ")),
        );
    }
}
