//! Checks of the ways out, their local networks, and the parts of other interfaces.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};

use super::super::Surroundings;
use super::super::checked::{CheckConfig, Egress, Link, Listener, NetworkConfig, Vlan};
use super::super::complaint::Desk;
use super::super::file::Section;
use super::super::measure;
use super::egress::route_host;
use super::gateway::readable;
use super::{absolute, device, host_name, interface, time};
use crate::mail::address::Domain;

/// The bounds of a self-probe's beat: name servers and lists are not asked all the time.
const EVERY_MIN: Duration = Duration::from_secs(60);
const EVERY_MAX: Duration = Duration::from_secs(86_400);

/// Numbers that a VLAN may have; 0 and 4095 are reserved (IEEE 802.1Q).
pub(super) const VLAN_IDS: std::ops::RangeInclusive<u64> = 1..=4094;

/// What the ways out are checked for.
pub(super) fn checks(top: &mut Section<'_>, surroundings: &dyn Surroundings) -> CheckConfig {
    let mut checks = CheckConfig::default();
    let Some(mut section) = top.find("checks").and_then(|entry| entry.section()) else {
        return checks;
    };
    let remedy = "Write a duration from \"1m\" to \"1d\", or \"never\"";
    let every = section.parsed("every", remedy, |text| match text {
        "never" => Ok(None),
        text => {
            let every = measure::duration(text)?;
            let good = (EVERY_MIN..=EVERY_MAX).contains(&every);
            if good { Ok(Some(every)) } else { Err("is out of bounds".to_owned()) }
        }
    });
    checks.every = every.unwrap_or(checks.every);
    checks.probe = section.parsed(
        "probe",
        "Write a host that answers on port 25 and belongs to you or agrees, for example \
         \"mx.example.net\" or \"mx.example.net:25\"",
        probe,
    );
    let remedy = "Write names of lists, for example [\"zen.spamhaus.org\"]";
    checks.dnsbl = section.list("dnsbl", remedy, host_name);
    let remedy = "Write the path of an Ed25519 key in PKCS#8 PEM";
    checks.key = section.parsed("key", remedy, absolute);
    readable(&mut section, "key", checks.key.as_deref(), surroundings);
    section.close();
    checks
}

fn probe(text: &str) -> Result<(Domain, u16), String> {
    match route_host(text)? {
        (super::super::checked::RouteHost::Name(name), port) => Ok((name, port)),
        _ => Err("is no name of a host".to_owned()),
    }
}

/// The network of the machine: the parts of interfaces, what these are, and the time.
pub(super) fn network(
    top: &mut Section<'_>,
    egresses: &mut [Egress],
    desk: &Desk,
    surroundings: &dyn Surroundings,
) -> NetworkConfig {
    let mut network = parts_of_others(top);
    network.time = time::time(top, surroundings);
    interface::interfaces(top, &mut network, egresses, desk);
    network
}

/// The parts that other interfaces play.
fn parts_of_others(top: &mut Section<'_>) -> NetworkConfig {
    let mut network = NetworkConfig::default();
    let Some(mut section) = top.find("network").and_then(|entry| entry.section()) else {
        return network;
    };
    let remedy = "Write names of interfaces, for example [\"eth0\"]";
    network.manage = section.list("manage", remedy, device);
    network.intake = section.list("intake", remedy, device);
    network.public = section.list("public", remedy, device);
    network.egress_user = section.parsed(
        "egress_user",
        "Write the name or the number of the user that the broker runs as",
        user,
    );
    network.ssh = section.flag("ssh");
    section.close();
    network
}

/// A user name as systemd takes it, or a number: it stands in a firewall rule.
fn user(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    let number = text.parse::<u32>().is_ok();
    let name = text.len() <= 31
        && text.bytes().all(legal)
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if number || name { Ok(text.to_owned()) } else { Err("is no name of a user".to_owned()) }
}

/// An address that may be followed by the length of its network's prefix.
pub(super) fn with_prefix<A>(
    text: &str,
    bits: u8,
    read: impl Fn(&str) -> Result<A, String>,
) -> Result<(A, Option<u8>), String> {
    let Some((address, prefix)) = text.split_once('/') else { return Ok((read(text)?, None)) };
    let length = prefix.parse::<u8>().ok().filter(|length| (1..=bits).contains(length));
    let length = length.ok_or_else(|| format!("/{prefix} is no length of a prefix"))?;
    Ok((read(address)?, Some(length)))
}

/// The local network of an egress: `gateway4`, `gateway6`, `vlan`, `bond`.
pub(super) fn link(
    section: &mut Section<'_>,
    v4: Option<(Ipv4Addr, Option<u8>)>,
    v6: Option<(Ipv6Addr, Option<u8>)>,
) -> Link {
    edge_v4(section, v4);
    let prefix4 = v4.and_then(|(_, prefix)| prefix);
    let prefix6 = v6.and_then(|(_, prefix)| prefix);
    let gateway4 = section.parsed("gateway4", "Write the IPv4 address of the router", |text| {
        gateway_v4(text, v4, "egress")
    });
    let gateway6 = section.parsed("gateway6", "Write the IPv6 address of the router", |text| {
        gateway_v6(text, v6, "egress")
    });
    let vlan = vlan(section);
    let remedy = "Write the interfaces of the bond, for example [\"eth1\", \"eth2\"]";
    let bond = section.list("bond", remedy, device);
    if let Some(entry) = section.find("bond") {
        let own = section.find("device").and_then(|device| device.text("").map(str::to_owned));
        let parent = vlan.as_ref().map(|vlan| vlan.parent.clone());
        if bond.is_empty() {
            entry.complain("names no interface", remedy);
        } else if bond.iter().any(|member| Some(member) == own.as_ref())
            || bond.iter().any(|member| Some(member) == parent.as_ref())
        {
            entry.complain("names the bond itself", "Name the interfaces below it");
        }
        for (index, member) in bond.iter().enumerate() {
            if bond[..index].contains(member) {
                entry.complain(format!("names {member} twice"), "Name each interface once");
            }
        }
    }
    Link { prefix4, prefix6, gateway4, gateway6, vlan, bond }
}

/// The first and the last address of an IPv4 network belong to nobody (RFC 1122 3.2.1.3); networks
/// of two are links between two hosts (RFC 3021).
pub(super) fn edge_v4(section: &mut Section<'_>, v4: Option<(Ipv4Addr, Option<u8>)>) {
    let Some((address, Some(prefix))) = v4 else { return };
    let Ok(network) = Ipv4Net::new(address, prefix) else { return };
    let Some(entry) = section.find("ipv4").filter(|_| prefix <= 30) else { return };
    let remedy = "Write the address that the interface has in this network";
    if address == network.network() {
        entry.complain(format!("is the address of the network {} itself", network.trunc()), remedy);
    } else if address == network.broadcast() {
        entry.complain(format!("is the broadcast address of {}", network.trunc()), remedy);
    }
}

pub(super) fn gateway_v4(
    text: &str,
    own: Option<(Ipv4Addr, Option<u8>)>,
    who: &str,
) -> Result<Ipv4Addr, String> {
    let gateway: Ipv4Addr = text.parse().map_err(|_| "is no IPv4 address".to_owned())?;
    let (address, prefix) =
        own.ok_or_else(|| format!("is given, and this {who} has no IPv4 address"))?;
    let prefix = prefix.ok_or("needs the prefix of ipv4: write ipv4 = \"ADDRESS/LENGTH\"")?;
    let network = Ipv4Net::new(address, prefix).map_err(|error| error.to_string())?;
    if gateway == address {
        return Err(format!("is this {who}'s own address"));
    }
    if !network.contains(&gateway) {
        return Err(format!("is not in {}: nobody on this network has it", network.trunc()));
    }
    let edge = gateway == network.network() || gateway == network.broadcast();
    if edge && prefix <= 30 {
        return Err(format!("is no host of {}", network.trunc()));
    }
    Ok(gateway)
}

pub(super) fn gateway_v6(
    text: &str,
    own: Option<(Ipv6Addr, Option<u8>)>,
    who: &str,
) -> Result<Ipv6Addr, String> {
    let gateway: Ipv6Addr = text.parse().map_err(|_| "is no IPv6 address".to_owned())?;
    let (address, prefix) =
        own.ok_or_else(|| format!("is given, and this {who} has no IPv6 address"))?;
    let prefix = prefix.ok_or("needs the prefix of ipv6: write ipv6 = \"ADDRESS/LENGTH\"")?;
    let network = Ipv6Net::new(address, prefix).map_err(|error| error.to_string())?;
    if gateway == address {
        return Err(format!("is this {who}'s own address"));
    }
    let unfit = gateway.is_multicast() || gateway.is_unspecified() || gateway.is_loopback();
    // Routers are usually known by their link-local address (RFC 4861 section 6.3.4).
    if unfit || !(gateway.is_unicast_link_local() || network.contains(&gateway)) {
        return Err(format!("is neither link-local nor in {}", network.trunc()));
    }
    Ok(gateway)
}

fn vlan(section: &mut Section<'_>) -> Option<Vlan> {
    let mut vlan = section.find("vlan")?.section()?;
    let parent = vlan.needed("parent", "Write the interface below, for example \"eth1\"", device);
    let id = vlan.need("id", "Write the number of the VLAN").map(|_| {
        let id = vlan.number("id", *VLAN_IDS.start(), VLAN_IDS);
        u16::try_from(id).unwrap_or(u16::MAX)
    });
    vlan.close();
    let own = section.find("device").and_then(|device| device.text("").map(str::to_owned));
    if parent.is_some()
        && parent == own
        && let Some(entry) = section.find("vlan")
    {
        entry.complain(
            "lies on the interface itself",
            "Give the VLAN a device of its own, for example \"eth1.25\"",
        );
    }
    Some(Vlan { parent: parent?, id: id? })
}

/// What holds between egresses, listeners and the parts of interfaces.
pub(super) fn cross(
    network: &NetworkConfig,
    egresses: &[Egress],
    listeners: &[Listener],
    lab: bool,
    desk: &Desk,
) {
    addresses(egresses, desk);
    devices(egresses, desk);
    interface::listeners(network, listeners, desk);
    if !lab {
        parts(network, egresses, listeners, desk);
    }
}

/// One address belongs to one egress: replies, rules and reputation belong to it alone.
fn addresses(egresses: &[Egress], desk: &Desk) {
    let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for egress in egresses {
        let v4 = egress.ipv4.map(|address| ("ipv4", IpAddr::V4(address)));
        let v6 = egress.ipv6.map(|address| ("ipv6", IpAddr::V6(address)));
        for (key, address) in v4.into_iter().chain(v6).filter(|(_, a)| !a.is_loopback()) {
            if let Some(owner) = owners.insert(address, &egress.name) {
                desk.complain(
                    &format!("egress.{}.{key}", egress.name),
                    format!("is the address of egress {owner} too"),
                    "Give every egress an address of its own",
                );
            }
        }
        let router = egress.link.gateway4.map(IpAddr::V4);
        let own = |resolver: &&SocketAddr| router == Some(resolver.ip());
        if let Some(resolver) = egress.resolvers.iter().find(own) {
            desk.warn(
                &format!("egress.{}.resolvers", egress.name),
                format!("{} is the router: most routers' name servers do no DNSSEC", resolver.ip()),
                "Ask a validating resolver, or make sure with `postern egress check`",
            );
        }
    }
}

/// Egresses that share an interface must agree on what it is.
fn devices(egresses: &[Egress], desk: &Desk) {
    let mut known: BTreeMap<&str, &Egress> = BTreeMap::new();
    for egress in egresses {
        let Some(device) = &egress.device else { continue };
        let Some(first) = known.get(device.as_str()) else {
            known.insert(device, egress);
            continue;
        };
        for (key, same) in [
            ("vlan", first.link.vlan == egress.link.vlan),
            ("bond", first.link.bond == egress.link.bond),
        ] {
            if !same {
                desk.complain(
                    &format!("egress.{}.{key}", egress.name),
                    format!("says something else of {device} than egress {}", first.name),
                    "Describe an interface the same way in all egresses that use it",
                );
            }
        }
    }
}

/// An egress interface carries what the delivery side says to the Internet, and nothing else.
fn parts(network: &NetworkConfig, egresses: &[Egress], listeners: &[Listener], desk: &Desk) {
    let egress_of =
        |device: &String| egresses.iter().find(|egress| egress.device.as_ref() == Some(device));
    for (key, devices) in [("manage", &network.manage), ("intake", &network.intake)] {
        for (index, device) in devices.iter().enumerate() {
            if let Some(egress) = egress_of(device) {
                desk.complain(
                    &format!("network.{key}[{index}]"),
                    format!("is the interface of egress {} too", egress.name),
                    "Keep egress on interfaces of its own, or set lab = true",
                );
            }
        }
    }
    for listener in listeners.iter().filter(|_| !network.intake.is_empty()) {
        let Some(device) = &listener.device else { continue };
        let intake = network.intake.contains(device) || network.public.contains(device);
        // A shared egress interface has its own complaint.
        if !intake && egress_of(device).is_none() {
            desk.complain(
                &format!("listener.{}.device", listener.name),
                format!("{device} is not among network.intake: its firewall would stay shut"),
                "Add it to network.intake, or bind the listener to an intake interface",
            );
        }
    }
}
