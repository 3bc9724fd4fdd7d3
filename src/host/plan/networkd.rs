//! systemd-networkd's files: addresses, a table with rules for each egress, VLANs and bonds.

use super::whole::{Face, Heard, Whole};
use super::{Device, File, METRIC_LAST, Outlet, Page, Plan};
use crate::config::checked::{BondMode, Hardware};

const FOLDER: &str = "etc/systemd/network";
/// Priority of the rules for users that have affairs of their own: after those by address and by
/// interface.
pub(super) const USER_PRIORITY: u32 = 5000;
/// Priority of the last rule of a machine that is ours: before `main` (32766), which nobody needs.
pub(super) const LAST_PRIORITY: u32 = 30_000;

/// Files in the order in which networkd reads them.
pub(super) fn files(plan: &Plan) -> Vec<File> {
    let mut files = Vec::new();
    for (name, device) in plan.devices.iter().filter(|(_, device)| !device.foreign) {
        if let Some(mode) = device.bond {
            files.push(file(&format!("{FOLDER}/20-postern-{name}.netdev"), bond(name, mode)));
        } else if let Some((parent, id)) = &device.vlan {
            let text = vlan(name, parent, *id);
            files.push(file(&format!("{FOLDER}/20-postern-{name}.netdev"), text));
        }
        let text = network(plan, name, device);
        files.push(file(&format!("{FOLDER}/20-postern-{name}.network"), text));
    }
    if let Some(whole) = &plan.whole {
        files.extend(cards(whole));
        files.extend(shut_files(Unassigned::Down));
    } else {
        files.push(foreign_rules());
    }
    files
}

/// What holds where nothing has a part.
pub(super) fn shut_files(policy: Unassigned) -> [File; 3] {
    [
        file(&format!("{FOLDER}/20-postern-lo.network"), last_rule()),
        file(&format!("{FOLDER}/90-postern-unassigned.network"), unassigned(policy)),
        foreign_rules(),
    ]
}

/// What becomes of cards that have no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unassigned {
    /// Somebody has given parts to the others: they stay down.
    Down,
    /// Nobody has: they begin down, and may be switched on so that cables are seen.
    Look,
}

/// Names for cards, for udev.
fn cards(whole: &Whole) -> Vec<File> {
    let card = |(card, name): &(Hardware, String)| {
        let mut page = Page::default();
        page.head(&format!("The card {card}"));
        page.line("[Match]");
        match card {
            // What a bond or a VLAN shows is borrowed from its card; this address is the card's.
            Hardware::Mac(address) => page.line(&format!("PermanentMACAddress={address}")),
            Hardware::Name(name) => page.line(&format!("OriginalName={name}")),
        }
        page.line("[Link]");
        page.because("known by its part from now on", &format!("Name={name}"));
        page.because(
            "and still by the names that say where it is plugged in",
            "AlternativeNamesPolicy=database onboard slot path mac",
        );
        file(&format!("{FOLDER}/10-postern-{name}.link"), page.0)
    };
    whole.names.iter().map(card).collect()
}

/// The rule that ends every search.
fn last_rule() -> String {
    let mut page = Page::default();
    page.head("The last rule");
    page.line("[Match]");
    page.line("Name=lo");
    page.line("[Network]");
    page.because("its addresses are the kernel's business", "LinkLocalAddressing=no");
    page.because("and stay", "KeepConfiguration=yes");
    page.line("[RoutingPolicyRule]");
    page.comment(
        "what no rule above has sent to a table of its own goes nowhere: the table `main`",
    );
    page.comment("is not asked, whoever writes a route into it");
    page.line("Family=both");
    page.line("Type=unreachable");
    page.line(&format!("Priority={LAST_PRIORITY}"));
    page.0
}

/// Cards without a part.
fn unassigned(policy: Unassigned) -> String {
    let mut page = Page::default();
    page.head("Every card that has no part");
    page.line("[Match]");
    page.line("Type=!loopback");
    page.line("[Link]");
    match policy {
        Unassigned::Down => page.because(
            "stays down: what is plugged in is not connected",
            "ActivationPolicy=always-down",
        ),
        Unassigned::Look => page.because(
            "begins down; set-up switches it on to see its cable, and the guard lets nothing out",
            "ActivationPolicy=down",
        ),
    }
    page.line("RequiredForOnline=no");
    page.line("[Network]");
    page.line("LinkLocalAddressing=no");
    page.line("DHCP=no");
    page.line("IPv6AcceptRA=no");
    page.0
}

fn file(path: &str, text: String) -> File {
    File { path: path.into(), text }
}

fn foreign_rules() -> File {
    let mut page = Page::default();
    page.head("What networkd leaves alone");
    page.line("[Network]");
    page.because(
        "rules and routes of others stay when networkd is started again: for a moment without",
        "ManageForeignRoutingPolicyRules=no",
    );
    page.because("a rule, mail would leave by another interface", "ManageForeignRoutes=no");
    file("etc/systemd/networkd.conf.d/20-postern.conf", page.0)
}

fn bond(name: &str, mode: BondMode) -> String {
    let mut page = Page::default();
    page.head(&format!("The bond {name}"));
    page.line("[NetDev]");
    page.line(&format!("Name={name}"));
    page.line("Kind=bond");
    page.line("[Bond]");
    match mode {
        BondMode::ActiveBackup => {
            page.because("works with every switch, needs no settings there", "Mode=active-backup");
        }
        BondMode::Lacp => {
            page.because("all links carry; the switch speaks LACP", "Mode=802.3ad");
            page.because(
                "a switch that stops speaking is noticed within 3 s",
                "LACPTransmitRate=fast",
            );
            page.because(
                "one connection stays on one link, many share them",
                "TransmitHashPolicy=layer3+4",
            );
        }
    }
    page.because("a dead link is seen within a tenth of a second", "MIIMonitorSec=100ms");
    page.0
}

fn vlan(name: &str, parent: &str, id: u16) -> String {
    let mut page = Page::default();
    page.head(&format!("The VLAN {id} of {parent}"));
    page.line("[NetDev]");
    page.line(&format!("Name={name}"));
    page.line("Kind=vlan");
    page.line("[VLAN]");
    page.because("the tag that the switch expects (IEEE 802.1Q)", &format!("Id={id}"));
    page.0
}

fn network(plan: &Plan, name: &str, device: &Device) -> String {
    let mut page = Page::default();
    page.head(&format!("The interface {name}"));
    page.line("[Match]");
    page.line(&format!("Name={name}"));
    page.line("[Link]");
    page.because("a start of the machine does not wait for this cable", "RequiredForOnline=no");
    if let Some(mtu) = device.mtu {
        page.because("the largest packet that this wire carries", &format!("MTUBytes={mtu}"));
    }
    page.line("[Network]");
    let outlets: Vec<&Outlet> =
        device.outlets.iter().filter_map(|index| plan.outlets.get(*index)).collect();
    let face = plan.face(name);
    manners(&mut page, &outlets, face);
    if let Some(master) = &device.master {
        page.because("a part of the bond", &format!("Bond={master}"));
    }
    for vlan in &device.carries {
        page.because("carries this VLAN", &format!("VLAN={vlan}"));
    }
    let leased = face.is_some_and(Face::is_leased);
    if !leased && (!outlets.is_empty() || face.is_some()) {
        let waits = if outlets.is_empty() { "" } else { ", and mail waits" };
        page.because(
            &format!("without a link nothing is set up{waits}"),
            "ConfigureWithoutCarrier=no",
        );
        page.because(
            "rules and the last route stay when the link goes: they are what stops a leak",
            "IgnoreCarrierLoss=yes",
        );
        page.because("and when networkd is started again", "KeepConfiguration=static");
    }
    let written = face.map(|face| &face.outlet);
    for outlet in outlets.iter().copied().chain(written) {
        addresses(&mut page, outlet);
        rules(&mut page, outlet);
        routes(&mut page, outlet);
    }
    if let (Some(face), Some(whole)) = (face, &plan.whole) {
        heard(&mut page, face, whole);
    }
    let first = outlets.iter().copied().find(|outlet| outlet.whole_sides().next().is_some());
    if let Some(first) = first.or(written) {
        page.line("[RoutingPolicyRule]");
        page.comment("what is bound to the interface alone finds a table too, never `main`");
        page.line(&format!("OutgoingInterface={name}"));
        page.line("Family=both");
        page.line(&format!("Table={}", first.table()));
        page.line(&format!("Priority={}", first.device_priority()));
    }
    page.0
}

/// Where addresses come from, and what is said to neighbours.
fn manners(page: &mut Page, outlets: &[&Outlet], face: Option<&Face>) {
    let speaks_v6 = outlets.iter().flat_map(|o| &o.sides).any(|side| side.address.is_ipv6())
        || face.is_some_and(Face::speaks_v6);
    let local = if speaks_v6 { "LinkLocalAddressing=ipv6" } else { "LinkLocalAddressing=no" };
    page.because("IPv6 neighbours need a link-local address; nothing else does", local);
    match face.map_or((false, None), |face| (face.dhcp4, face.heard6)) {
        (false, None | Some(Heard::Slaac)) if face.is_some() => {
            page.because("its addresses are written down, none is a lease", "DHCP=no");
        }
        (false, None | Some(Heard::Slaac)) => {
            page.because("the address is the one that receivers know, never a lease", "DHCP=no");
        }
        (true, None | Some(Heard::Slaac)) => page.because("its address is a lease", "DHCP=ipv4"),
        (false, Some(Heard::Dhcp)) => page.because("its IPv6 address is a lease", "DHCP=ipv6"),
        (true, Some(Heard::Dhcp)) => page.because("its addresses are leases", "DHCP=yes"),
    }
    if face.is_some_and(|face| face.heard6.is_some()) {
        page.because("routers on the wire are heard, and asked what to do", "IPv6AcceptRA=yes");
    } else {
        page.because("no router on the wire adds an address or a way out", "IPv6AcceptRA=no");
    }
    page.because("nor is there a temporary address without PTR", "IPv6PrivacyExtensions=no");
    page.because("names are asked by the gateway itself, at its own name servers", "LLMNR=no");
    page.line("MulticastDNS=no");
    page.line("DNSDefaultRoute=no");
    page.because("this box tells its neighbours nothing about itself", "EmitLLDP=no");
    page.line("LLDP=no");
}

/// What a lease or a router may decide, and who goes by this interface.
fn heard(page: &mut Page, face: &Face, whole: &Whole) {
    let table = face.outlet.table();
    let names = if face.asks_for_names() { "yes" } else { "no" };
    let ours = |page: &mut Page, table_key: &str| {
        page.because("its routes are for this interface alone", &format!("{table_key}={table}"));
        let reason = if face.asks_for_names() {
            "no name servers are written down: those of the lease are asked"
        } else {
            "names are asked where the configuration says"
        };
        page.because(reason, &format!("UseDNS={names}"));
    };
    if face.dhcp4 {
        page.line("[DHCPv4]");
        ours(page, "RouteTable");
        page.because("a lease is nobody's signature: it sets no clock,", "UseNTP=no");
        page.because("gives no name,", "UseHostname=no");
        page.line("UseDomains=no");
        page.because("and hears none from us", "SendHostname=no");
        page.because(
            "the server knows us by our card, before and after an update",
            "ClientIdentifier=mac",
        );
    }
    if let Some(way) = face.heard6 {
        page.line("[IPv6AcceptRA]");
        ours(page, "RouteTable");
        page.line("UseDomains=no");
        match way {
            Heard::Slaac => page.because("the prefix is the router's, no lease", "DHCPv6Client=no"),
            Heard::Dhcp => {
                page.because(
                    "the address is the lease's, not one of our making",
                    "UseAutonomousPrefix=no",
                );
                page.because("whatever the router says about leases", "DHCPv6Client=always");
                page.line("[DHCPv6]");
                page.line(&format!("UseDNS={names}"));
                page.line("UseNTP=no");
                page.line("UseHostname=no");
                page.line("UseDomains=no");
                page.line("SendHostname=no");
            }
        }
    }
    let written = last_destinations(&face.outlet);
    let spoken = EVERYTHING.into_iter().zip([face.speaks_v4(), face.speaks_v6()]);
    let leased = spoken.filter(|(everything, spoken)| *spoken && !written.contains(everything));
    let leased: Vec<&str> = leased.map(|(everything, _)| everything).collect();
    last_routes(page, table, &leased);
    if whole.manage() == Some(face) {
        for uid in whole.users() {
            page.line("[RoutingPolicyRule]");
            page.comment("time, updates and their names: what is bound to nothing goes by manage");
            page.line(&format!("User={uid}"));
            page.line("Family=both");
            page.line(&format!("Table={table}"));
            page.line(&format!("Priority={USER_PRIORITY}"));
        }
    }
}

fn addresses(page: &mut Page, outlet: &Outlet) {
    for (_, network) in outlet.whole_sides() {
        page.line("[Address]");
        page.because(&format!("the source of {}", outlet.whose), &format!("Address={network}"));
        page.because("the table `main` knows nothing of this network", "AddPrefixRoute=no");
    }
}

fn rules(page: &mut Page, outlet: &Outlet) {
    for (side, _) in outlet.whole_sides() {
        let address = side.address;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        page.line("[RoutingPolicyRule]");
        page.comment(&format!("what leaves from the address of {} takes", outlet.whose));
        page.comment("its table, whatever `main` says");
        page.line(&format!("From={address}/{bits}"));
        page.line(&format!("Table={}", outlet.table()));
        page.line(&format!("Priority={}", outlet.source_priority()));
    }
}

fn routes(page: &mut Page, outlet: &Outlet) {
    let table = format!("Table={}", outlet.table());
    for (side, network) in outlet.whole_sides() {
        let address = side.address;
        page.line("[Route]");
        page.because("neighbours on the wire", &format!("Destination={}", network.trunc()));
        page.line(&format!("PreferredSource={address}"));
        if address.is_ipv4() {
            page.line("Scope=link");
        }
        page.line(&table);
        if let Some(gateway) = side.gateway {
            page.line("[Route]");
            page.because("everybody else, by the router", &format!("Gateway={gateway}"));
            page.because(
                "networkd adds routes in no certain order; the kernel must not miss the one above",
                "GatewayOnLink=yes",
            );
            page.line(&format!("PreferredSource={address}"));
            page.line(&table);
        }
    }
    last_routes(page, outlet.table(), &last_destinations(outlet));
}

/// The end of a table.
fn last_routes(page: &mut Page, table: u32, destinations: &[&str]) {
    for everything in destinations {
        page.line("[Route]");
        page.comment("when the routes above are gone: stop here, do not look in other tables");
        page.line(&format!("Destination={everything}"));
        page.line("Type=unreachable");
        page.line(&format!("Metric={METRIC_LAST}"));
        page.line(&format!("Table={table}"));
    }
}

/// "Everything" in both families.
const EVERYTHING: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Where a table ends. Both families, because the rule by interface leads IPv6 there too, also when
/// the egress has none; its own families where the last rule ends the others. (An interface with
/// an IPv6 route speaks IPv6: networkd turns it on.)
pub(super) fn last_destinations(outlet: &Outlet) -> Vec<&'static str> {
    let spoken = |v6: bool| {
        let own = |(side, _): (super::Side, ipnet::IpNet)| side.address.is_ipv6() == v6;
        outlet.whole_sides().any(own)
    };
    let some = spoken(false) || spoken(true);
    let all = EVERYTHING.into_iter().zip([false, true]);
    let needed = all.filter(|(_, v6)| if outlet.ends_elsewhere { spoken(*v6) } else { some });
    needed.map(|(everything, _)| everything).collect()
}
