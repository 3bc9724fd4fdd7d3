//! The plan as commands, for a host without systemd-networkd and for network namespaces.

use std::net::IpAddr;

use super::networkd::last_destinations;
use super::{Device, METRIC_LAST, Outlet, Page, Plan, nftables, sysctl};

/// The script: may be run again, and leaves what is already so.
pub(super) fn script(plan: &Plan) -> String {
    let mut page = Page::default();
    page.line("#!/bin/sh");
    page.head("What the ways out of mail need, as commands");
    page.comment("It needs root, iproute2 and nftables, and may be run again.");
    page.line("set -eu");
    page.line("");
    page.comment("put KEY VALUE: a setting of the kernel; one that this kernel lacks is left out");
    page.line("put() {");
    page.line("    if [ -e \"/proc/sys/$1\" ]; then echo \"$2\" > \"/proc/sys/$1\"; fi");
    page.line("}");
    page.comment("rule FAMILY PRIORITY SELECTOR..: the only rule with this priority");
    page.line("rule() {");
    page.line("    family=$1 priority=$2");
    page.line("    shift 2");
    page.line("    while ip \"$family\" rule del priority \"$priority\" 2> /dev/null; do :; done");
    page.line("    ip \"$family\" rule add priority \"$priority\" \"$@\"");
    page.line("}");
    page.line("");
    page.comment("the guard first: from here on nothing leaks while the rest is set up");
    page.line("nft -f - << 'GUARD'");
    page.0.push_str(&nftables::guard(plan));
    page.line("GUARD");
    page.line("");
    // A bond before its parts, and both before a VLAN on top of it.
    for make in [bond, member, vlan] {
        plan.devices.iter().for_each(|(name, device)| make(&mut page, name, device));
    }
    for setting in sysctl::settings(plan) {
        page.because(setting.reason, &format!("put {} {}", setting.key, setting.value));
    }
    for (name, outlets) in plan.ways() {
        page.line("");
        page.because(&format!("the interface {name}"), &format!("ip link set dev {name} up"));
        let device = plan.devices.get(name);
        if let Some((parent, _)) = device.and_then(|device| device.vlan.as_ref()) {
            page.line(&format!("ip link set dev {parent} up"));
        }
        for outlet in &outlets {
            routes(&mut page, outlet);
        }
        let first = outlets.iter().find(|outlet| outlet.whole_sides().next().is_some());
        if let Some(first) = first {
            let (priority, table) = (first.device_priority(), first.table());
            page.comment("what is bound to the interface alone finds a table too, never `main`");
            for family in ["-4", "-6"] {
                page.line(&format!("rule {family} {priority} oif {name} lookup {table}"));
            }
        }
    }
    page.0
}

fn bond(page: &mut Page, name: &str, device: &Device) {
    if let Some(mode) = device.bond {
        page.comment("the bond; a dead link is seen within a tenth of a second");
        let add = format!("ip link add name {name} type bond mode {mode} miimon 100");
        page.line(&format!("{} {add}", unless(name)));
    }
}

fn member(page: &mut Page, name: &str, device: &Device) {
    if let Some(master) = &device.master {
        page.comment(&format!("a part of the bond {master}; only a link that is down can join"));
        page.line(&format!("ip link show dev {name} | grep -q 'master {master} ' || {{"));
        page.line(&format!("    ip link set dev {name} down"));
        page.line(&format!("    ip link set dev {name} master {master}"));
        page.line("}");
    }
}

fn vlan(page: &mut Page, name: &str, device: &Device) {
    if let Some((parent, id)) = &device.vlan {
        page.comment(&format!("the VLAN {id} of {parent}"));
        let add = format!("ip link add link {parent} name {name} type vlan id {id}");
        page.line(&format!("{} {add}", unless(name)));
    }
}

/// The condition that an interface is missing.
fn unless(name: &str) -> String {
    format!("ip link show dev {name} > /dev/null 2>&1 ||")
}

fn routes(page: &mut Page, outlet: &Outlet) {
    let (device, table) = (&outlet.device, outlet.table());
    for (side, network) in outlet.whole_sides() {
        let (family, address) = (flag(side.address), side.address);
        page.comment(&format!("the source of {}, unknown to `main`", outlet.whose));
        // A tentative IPv6 address cannot be the source of a route yet.
        let ready = if address.is_ipv6() { " nodad" } else { "" };
        page.line(&format!("ip address replace {network} dev {device} noprefixroute{ready}"));
        page.comment("neighbours on the wire, then everybody else by the router");
        let local = network.trunc();
        page.line(&format!(
            "ip {family} route replace {local} dev {device} src {address} table {table}"
        ));
        if let Some(gateway) = side.gateway {
            page.line(&format!(
                "ip {family} route replace default via {gateway} dev {device} src {address} \
                 table {table}"
            ));
        }
    }
    for everything in last_destinations(outlet) {
        let family = if everything.contains(':') { "-6" } else { "-4" };
        page.comment("when those are gone: stop here, do not look in other tables");
        page.line(&format!(
            "ip {family} route replace unreachable {everything} metric {METRIC_LAST} table {table}"
        ));
    }
    for (side, _) in outlet.whole_sides() {
        let (family, address) = (flag(side.address), side.address);
        let priority = outlet.source_priority();
        page.comment("what leaves from this address takes this table, whatever `main` says");
        page.line(&format!("rule {family} {priority} from {address} lookup {table}"));
    }
}

fn flag(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "-4" } else { "-6" }
}
