//! The guard of a machine that is ours alone: what each interface beside the ways out may carry,
//! and that everything else is shut.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::nftables::{Chains, MAIL_PORTS, NEIGHBOURS, chain, set};
use super::whole::{Face, Whole};
use super::{File, Page, Plan};

/// New connections a second from one address (an IPv6 /64 counts as one): above what the fastest
/// application of our measurements makes (6,500 messages a second over connections that each
/// carry several), far below what a flood needs.
const NEW_PER_SECOND: u32 = 2000;
/// A burst of twice that: what waits in the backlogs of all listeners at once.
const NEW_BURST: u32 = 4000;
/// New SSH connections a minute from one address: a person with a key needs one.
const SSH_PER_MINUTE: u32 = 10;
/// Addresses whose rate is remembered at once; 16 MB of kernel memory at most.
const ADDRESSES_MAX: u32 = 65_536;
/// Network time (RFC 5905), and the keys for it (RFC 8915).
const TIME_PORTS: (u16, u16) = (123, 4460);
const HTTPS: u16 = 443;
const DNS: u16 = 53;
const SSH: u16 = 22;

/// Where packets of each interface go on: `jump` is `iifname` or `oifname`, `way` is `in` or `out`.
/// An interface that is a way out has been sent to a chain of its own before.
pub(super) fn gates(chains: &mut Chains, whole: &Whole, (jump, way): (&str, &str)) {
    for face in &whole.faces {
        let device = face.device();
        let rule = format!("{jump} \"{device}\" goto {}", chain(way, device));
        chains.because("an interface with a part of its own", &rule);
    }
    chains.count("whatever this is, nobody has asked for it", "", &format!("{way}_other"), "drop");
}

/// Both chains of each interface.
pub(super) fn both(chains: &mut Chains, plan: &Plan, whole: &Whole) {
    let way = |face: &&Face| {
        let device = plan.devices.get(face.device());
        device.is_none_or(|device| device.outlets.is_empty())
    };
    for face in whole.faces.iter().filter(way) {
        leaving(chains, whole, face);
        arriving(chains, whole, face);
    }
}

fn leaving(chains: &mut Chains, whole: &Whole, face: &Face) {
    let device = face.device();
    chains.begin(&chain("out", device));
    if face.speaks_v6() {
        chains.because("neighbours find each other (IPv6; ARP does not come here)", NEIGHBOURS);
        chains.because("and say which groups they hear", "icmpv6 type mld2-listener-report accept");
    }
    if face.heard6.is_some() {
        let rule = "icmpv6 type nd-router-solicit accept";
        chains.because("routers are asked to speak", rule);
    }
    chains.count(
        "nothing leaves with the address of another interface",
        "fib saddr . oif type != local",
        &format!("{device}_wrong_source"),
        "drop",
    );
    if face.dhcp4 {
        let rule = "udp sport 68 udp dport 67 accept";
        chains.because("a lease is asked for and renewed", rule);
    }
    if face.heard6.is_some() {
        let rule = "ip6 saddr fe80::/10 udp sport 546 udp dport 547 accept";
        chains.because("a lease is asked for and renewed (DHCPv6)", rule);
    }
    chains.because(
        "answers to those who connected to us, by the way they came",
        "ct direction reply ct state established,related accept",
    );
    if whole.manage() == Some(face) {
        own_affairs(chains, whole, face);
    }
    // Answers come back as what is established; nothing else of root's leaves here.
    chains.because(
        "root asks whether somebody is there (`postern diagnose`)",
        "meta skuid 0 icmp type echo-request accept",
    );
    if face.speaks_v6() {
        chains.because("the same over IPv6", "meta skuid 0 icmpv6 type echo-request accept");
    }
    chains.count("nothing else begins here", "", &format!("{device}_out_other"), "drop");
    chains.end();
}

/// What the machine asks for itself: time, updates, and the names of both.
fn own_affairs(chains: &mut Chains, whole: &Whole, face: &Face) {
    let device = face.device();
    let users = set(whole.users());
    chains.because(
        "what was begun, to its end: the last packets of a closed socket have no user",
        "ct state established,related accept",
    );
    for (word, v6) in [("ip", false), ("ip6", true)] {
        let servers: BTreeSet<&IpAddr> = face.dns.iter().filter(|a| a.is_ipv6() == v6).collect();
        if !servers.is_empty() {
            let to = format!("{word} daddr {} ", set(servers));
            names(chains, &users, &to, device);
        }
    }
    if face.asks_for_names() {
        names(chains, &users, "", device);
    }
    let (time, keys) = TIME_PORTS;
    let counter = format!("{device}_time");
    let from = format!("meta skuid {users}");
    chains.count("the time", &format!("{from} udp dport {time}"), &counter, "accept");
    chains.count("and its keys (NTS)", &format!("{from} tcp dport {keys}"), &counter, "accept");
    let updates = format!("meta skuid 0 tcp dport {HTTPS}");
    chains.count("updates", &updates, &format!("{device}_updates"), "accept");
}

fn names(chains: &mut Chains, users: &str, to: &str, device: &str) {
    let rule = format!("meta skuid {users} {to}meta l4proto {{ tcp, udp }} th dport {DNS}");
    chains.count("names for time and updates", &rule, &format!("{device}_dns"), "accept");
}

fn arriving(chains: &mut Chains, whole: &Whole, face: &Face) {
    let device = face.device();
    chains.begin(&chain("in", device));
    if face.speaks_v6() {
        chains.because("neighbours find each other", NEIGHBOURS);
        chains
            .because("switches ask who hears which group", "icmpv6 type mld-listener-query accept");
    }
    let unwanted = if face.heard6.is_some() {
        chains.because("routers say what is theirs", "icmpv6 type nd-router-advert accept");
        "icmpv6 type nd-redirect"
    } else {
        "icmpv6 type { nd-router-advert, nd-redirect }"
    };
    chains.count(
        "no router on the wire changes our ways",
        unwanted,
        &format!("{device}_router_adverts"),
        "drop",
    );
    chains.count(
        "nobody reaches the address of one interface by another",
        "fib daddr . iif type != { local, broadcast, multicast }",
        &format!("{device}_wrong_address"),
        "drop",
    );
    chains.because("answers and errors", "ct state established,related accept");
    if face.dhcp4 {
        chains.because("a lease is given and renewed", "udp sport 67 udp dport 68 accept");
    }
    if face.heard6.is_some() {
        let rule = "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept";
        chains.because("a lease is given and renewed (DHCPv6)", rule);
    }
    let few = "limit rate 20/second burst 50 packets accept";
    chains.because("is it there?", &format!("icmp type echo-request {few}"));
    if face.speaks_v6() {
        chains.because("is it there, over IPv6?", &format!("icmpv6 type echo-request {few}"));
    }
    if !face.ports.is_empty() {
        let rate = format!("{NEW_PER_SECOND}/second burst {NEW_BURST} packets");
        serve(chains, face, ("new", "the listeners"), &face.ports, &rate);
    }
    if whole.ssh && face.manage {
        let rate = format!("{SSH_PER_MINUTE}/minute burst {SSH_PER_MINUTE} packets");
        serve(chains, face, ("ssh", "SSH, by key alone"), &[SSH].into(), &rate);
    }
    if face.manage && face.ports.is_empty() {
        chains.count(
            "administrators' interfaces never carry mail",
            &format!("tcp dport {}", set(MAIL_PORTS)),
            &format!("{device}_mail"),
            "drop",
        );
    }
    chains.count("nothing else is served here", "", &format!("{device}_other"), "drop");
    chains.end();
}

/// Ports that are open, each address at its rate.
fn serve(
    chains: &mut Chains,
    face: &Face,
    (word, who): (&str, &str),
    ports: &BTreeSet<u16>,
    rate: &str,
) {
    let device = face.device();
    let new = format!("tcp dport {} ct state new", set(ports));
    let families = [
        ("4", "ipv4_addr", "ip saddr", face.speaks_v4()),
        ("6", "ipv6_addr", "ip6 saddr and ffff:ffff:ffff:ffff::", face.speaks_v6()),
    ];
    for (digit, kind, key, _) in families.iter().filter(|(.., spoken)| *spoken) {
        let seen = chains.declare_set(
            &format!("{device}_{word}{digit}"),
            &format!("type {kind}; size {ADDRESSES_MAX}; flags dynamic,timeout; timeout 1m;"),
        );
        chains.count(
            "one address alone cannot keep the others away",
            &format!("{new} add @{seen} {{ {key} limit rate over {rate} }}"),
            &format!("{device}_flood"),
            "drop",
        );
    }
    chains.because(who, &format!("{new} accept"));
}

/// The guard of a machine without configuration: it talks to itself, and to nobody else. The
/// tables are those of the real guard, which takes its place in one step.
#[must_use]
pub fn closed() -> File {
    let mut page = Page::default();
    page.comment(
        "The guard of a machine without configuration: it talks to itself alone. The real",
    );
    page.comment("guard, by `postern network apply`, takes its place in one step.");
    page.line("table inet postern");
    page.line("delete table inet postern");
    page.line("table inet postern {");
    page.line("    comment \"closed\"");
    for (chain, word) in [("output", "oifname"), ("input", "iifname"), ("forward", "")] {
        page.line(&format!("    chain {chain} {{"));
        page.line(&format!("        type filter hook {chain} priority filter; policy drop;"));
        if !word.is_empty() {
            page.line("        # this machine with itself");
            page.line(&format!("        {word} \"lo\" accept"));
        }
        page.line("    }");
    }
    page.line("}");
    page.because("nor does it ask for neighbours", "table arp postern");
    page.line("delete table arp postern");
    page.line("table arp postern {");
    page.line("    chain output {");
    page.line("        type filter hook output priority filter; policy drop;");
    page.line("    }");
    page.line("}");
    File { path: "usr/lib/postern/closed.nft".into(), text: page.0 }
}
