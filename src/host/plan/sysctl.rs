//! Settings of the kernel: ARP, redirects, router advertisements, sources.

use super::whole::{Face, only_below};
use super::{File, Page, Plan};

/// One setting: path below /proc/sys, value, reason.
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: u8,
    pub(super) reason: &'static str,
}

/// What holds for the whole machine.
const EVERYWHERE: &[(&str, u8, &str)] = &[
    ("ipv4/ip_forward", 0, "nothing is passed on between the interfaces"),
    ("ipv6/conf/all/forwarding", 0, "nor over IPv6"),
    ("ipv4/conf/all/arp_ignore", 1, "no interface answers for the address of another one"),
    ("ipv4/conf/all/arp_announce", 2, "nor tells it in its own questions"),
    ("ipv4/conf/all/accept_redirects", 0, "a neighbour cannot turn our routes"),
    ("ipv4/conf/all/send_redirects", 0, "this is no router"),
    ("ipv4/conf/all/accept_source_route", 0, "a sender cannot choose our routes"),
    ("ipv4/ip_nonlocal_bind", 0, "an address that is gone cannot be a source: mail waits"),
    ("ipv6/ip_nonlocal_bind", 0, "nor over IPv6"),
    ("ipv4/fwmark_reflect", 0, "no mark of a stranger decides about routes"),
    ("ipv4/tcp_fwmark_accept", 0, "nor for accepted connections"),
];

/// What holds for each interface that mail leaves by.
const EACH_V4: &[(&str, u8, &str)] = &[
    ("arp_ignore", 1, "answers ARP for its own addresses only"),
    ("arp_announce", 2, "asks with its own address only"),
    ("rp_filter", 1, "takes nothing whose answer would leave by another interface"),
    ("accept_redirects", 0, "the way out is what is configured"),
    ("secure_redirects", 0, "also when the gateway says otherwise"),
    ("send_redirects", 0, "this is no router"),
    ("accept_source_route", 0, "a sender cannot choose our routes"),
    ("route_localnet", 0, "127.0.0.0/8 is never on a wire"),
    ("proxy_arp", 0, "answers for nobody else"),
    ("promote_secondaries", 1, "an address that goes does not take its neighbours along"),
    ("log_martians", 1, "impossible sources are seen in the journal"),
];

/// The same for IPv6.
const EACH_V6: &[(&str, u8, &str)] = &[
    ("accept_ra", 0, "a router advertisement cannot add an address or a way out"),
    ("autoconf", 0, "the address is the one with the PTR record, no other"),
    ("use_tempaddr", 0, "nor a temporary one"),
    ("accept_redirects", 0, "the way out is what is configured"),
    ("accept_source_route", 0, "a sender cannot choose our routes"),
    ("proxy_ndp", 0, "answers for nobody else"),
];

/// All settings of a plan, in the order in which they are written.
pub(super) fn settings(plan: &Plan) -> Vec<Setting> {
    let setting = |key: String, (value, reason): (u8, &'static str)| Setting { key, value, reason };
    let everywhere = EVERYWHERE
        .iter()
        .map(|(key, value, reason)| setting(format!("net/{key}"), (*value, reason)));
    let mut settings: Vec<Setting> = everywhere.collect();
    for (name, outlets) in plan.ways() {
        for (key, value, reason) in EACH_V4 {
            settings.push(setting(format!("net/ipv4/conf/{name}/{key}"), (*value, reason)));
        }
        let speaks_v6 = outlets.iter().flat_map(|o| &o.sides).any(|side| side.address.is_ipv6());
        if !speaks_v6 {
            let why = "no egress on it has an IPv6 address, so it speaks none";
            settings.push(setting(format!("net/ipv6/conf/{name}/disable_ipv6"), (1, why)));
            continue;
        }
        for (key, value, reason) in EACH_V6 {
            settings.push(setting(format!("net/ipv6/conf/{name}/{key}"), (*value, reason)));
        }
    }
    if let Some(whole) = &plan.whole {
        let why = "each interface decides for itself; a stricter word here would overrule it";
        settings.push(setting("net/ipv4/conf/all/rp_filter".to_owned(), (0, why)));
        let ways: Vec<&String> = plan.ways().map(|(name, _)| name).collect();
        let faces = whole.faces.iter().filter(|face| !ways.iter().any(|way| *way == face.device()));
        faces.for_each(|face| face_settings(&mut settings, face));
    }
    let below = plan.devices.iter().filter(|(name, d)| only_below(plan, name, d));
    for (name, _) in below {
        let why = "only carries a VLAN or a bond, and speaks for itself never";
        settings.push(setting(format!("net/ipv6/conf/{name}/disable_ipv6"), (1, why)));
    }
    settings
}

/// What holds for an interface that is no way out.
fn face_settings(settings: &mut Vec<Setting>, face: &Face) {
    let name = face.device();
    let mut put = |key: String, value: u8, reason: &'static str| {
        settings.push(Setting { key, value, reason });
    };
    for (key, value, reason) in EACH_V4 {
        // The way back to a leased address is found by interface, which this check does not know;
        // the guard has its own.
        let (value, reason) = if *key == "rp_filter" && face.dhcp4 {
            (0, "the guard looks whose address it is; this check knows no leases")
        } else {
            (*value, *reason)
        };
        put(format!("net/ipv4/conf/{name}/{key}"), value, reason);
    }
    if !face.speaks_v6() {
        let why = "the configuration gives it no IPv6 address, so it speaks none";
        put(format!("net/ipv6/conf/{name}/disable_ipv6"), 1, why);
        return;
    }
    for (key, value, reason) in EACH_V6 {
        let heard = face.heard6.is_some() && ["accept_ra", "autoconf"].contains(key);
        let reason = if heard { "networkd hears the routers, not the kernel" } else { reason };
        put(format!("net/ipv6/conf/{name}/{key}"), *value, reason);
    }
}

pub(super) fn file(plan: &Plan) -> File {
    let mut page = Page::default();
    page.head("Settings of the kernel for the ways out of mail");
    for setting in settings(plan) {
        // A kernel without IPv6, or older than a setting, is no reason to stop.
        page.because(setting.reason, &format!("-{} = {}", setting.key, setting.value));
    }
    File { path: "etc/sysctl.d/60-postern.conf".into(), text: page.0 }
}
