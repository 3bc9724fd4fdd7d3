//! systemd-networkd's files: addresses, a table with rules for each egress, VLANs and bonds.

use super::{Device, File, METRIC_LAST, Outlet, Page, Plan};

const FOLDER: &str = "etc/systemd/network";

/// Files in the order in which networkd reads them.
pub(super) fn files(plan: &Plan) -> Vec<File> {
    let mut files = Vec::new();
    for (name, device) in plan.devices.iter().filter(|(_, device)| !device.foreign) {
        if device.bond {
            files.push(file(&format!("{FOLDER}/20-postern-{name}.netdev"), bond(name)));
        } else if let Some((parent, id)) = &device.vlan {
            let text = vlan(name, parent, *id);
            files.push(file(&format!("{FOLDER}/20-postern-{name}.netdev"), text));
        }
        let text = network(plan, name, device);
        files.push(file(&format!("{FOLDER}/20-postern-{name}.network"), text));
    }
    files.push(file("etc/systemd/networkd.conf.d/20-postern.conf", foreign_rules()));
    files
}

fn file(path: &str, text: String) -> File {
    File { path: path.into(), text }
}

fn foreign_rules() -> String {
    let mut page = Page::default();
    page.head("What networkd leaves alone");
    page.line("[Network]");
    page.because(
        "rules and routes of others stay when networkd is started again: for a moment without",
        "ManageForeignRoutingPolicyRules=no",
    );
    page.because("a rule, mail would leave by another interface", "ManageForeignRoutes=no");
    page.0
}

fn bond(name: &str) -> String {
    let mut page = Page::default();
    page.head(&format!("The bond {name}"));
    page.line("[NetDev]");
    page.line(&format!("Name={name}"));
    page.line("Kind=bond");
    page.line("[Bond]");
    page.because("works with every switch, needs no settings there", "Mode=active-backup");
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
    page.line("[Network]");
    let outlets: Vec<&Outlet> =
        device.outlets.iter().filter_map(|index| plan.outlets.get(*index)).collect();
    let speaks_v6 = outlets.iter().flat_map(|o| &o.sides).any(|side| side.address.is_ipv6());
    let local = if speaks_v6 { "LinkLocalAddressing=ipv6" } else { "LinkLocalAddressing=no" };
    page.because("IPv6 neighbours need a link-local address; nothing else does", local);
    page.because("the address is the one that receivers know, never a lease", "DHCP=no");
    page.because("no router on the wire adds an address or a way out", "IPv6AcceptRA=no");
    page.because("nor is there a temporary address without PTR", "IPv6PrivacyExtensions=no");
    page.because("names are asked by the gateway itself, at its own name servers", "LLMNR=no");
    page.line("MulticastDNS=no");
    page.line("DNSDefaultRoute=no");
    page.because("this box tells its neighbours nothing about itself", "EmitLLDP=no");
    page.line("LLDP=no");
    if let Some(master) = &device.master {
        page.because("a part of the bond", &format!("Bond={master}"));
    }
    for vlan in &device.carries {
        page.because("carries this VLAN", &format!("VLAN={vlan}"));
    }
    if !outlets.is_empty() {
        page.because(
            "without a link nothing is set up, and mail waits",
            "ConfigureWithoutCarrier=no",
        );
        page.because(
            "rules and the last route stay when the link goes: they are what stops a leak",
            "IgnoreCarrierLoss=yes",
        );
        page.because("and when networkd is started again", "KeepConfiguration=static");
    }
    for outlet in &outlets {
        addresses(&mut page, outlet);
        rules(&mut page, outlet);
        routes(&mut page, outlet);
    }
    if let Some(first) = outlets.iter().find(|outlet| outlet.whole_sides().next().is_some()) {
        page.line("[RoutingPolicyRule]");
        page.comment("what is bound to the interface alone finds a table too, never `main`");
        page.line(&format!("OutgoingInterface={name}"));
        page.line("Family=both");
        page.line(&format!("Table={}", first.table()));
        page.line(&format!("Priority={}", first.device_priority()));
    }
    page.0
}

fn addresses(page: &mut Page, outlet: &Outlet) {
    for (_, network) in outlet.whole_sides() {
        page.line("[Address]");
        page.because(
            &format!("the source of egress {}", outlet.name),
            &format!("Address={network}"),
        );
        page.because("the table `main` knows nothing of this network", "AddPrefixRoute=no");
    }
}

fn rules(page: &mut Page, outlet: &Outlet) {
    for (side, _) in outlet.whole_sides() {
        let address = side.address;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        page.line("[RoutingPolicyRule]");
        page.comment(&format!("what leaves from the address of egress {} takes", outlet.name));
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
    for everything in last_destinations(outlet) {
        page.line("[Route]");
        page.comment("when the routes above are gone: stop here, do not look in other tables");
        page.line(&format!("Destination={everything}"));
        page.line("Type=unreachable");
        page.line(&format!("Metric={METRIC_LAST}"));
        page.line(&table);
    }
}

/// "Everything" in both families: the rule by interface leads IPv6 there too, also when the egress
/// has none.
pub(super) fn last_destinations(outlet: &Outlet) -> &'static [&'static str] {
    if outlet.whole_sides().next().is_some() { &["0.0.0.0/0", "::/0"] } else { &[] }
}
