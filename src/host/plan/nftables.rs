//! The guard: which user may leave by which interface, from which source, to which port.
//!
//! Routes and rules say where a packet goes; the guard says whether it may. It knows nothing of
//! connections that exist already: a session that the kernel would move to another interface is
//! stopped there, whatever its state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest;

use super::{File, Intake, Outlet, Page, Plan, faces};

/// Where the guard stands.
const PATH: &str = "etc/nftables.d/postern.nft";
/// Ports by which mail may enter a gateway: never on an interface for administrators.
pub(super) const MAIL_PORTS: [u16; 3] = [25, 465, 587];
/// Ports of a public interface: bounces and feedback, one-click unsubscribe.
pub(super) const PUBLIC_PORTS: [u16; 2] = [25, 443];
/// What neighbours need of each other (RFC 4890 section 4.4.1).
pub(super) const NEIGHBOURS: &str =
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept";
/// Letters of the digest that names a guard.
const DIGEST_LETTERS: usize = 16;

pub(super) fn files(plan: &Plan) -> Vec<File> {
    vec![
        File { path: PATH.into(), text: guard(plan) },
        File { path: "etc/systemd/system/postern-guard.service".into(), text: unit() },
    ]
}

/// The unit that loads the guard before there is a network.
fn unit() -> String {
    let mut page = Page::default();
    page.head("The guard of the ways out");
    page.line("[Unit]");
    page.line("Description=Guard of the ways out of mail (nftables table inet postern)");
    page.because("it stands before the first interface is up", "DefaultDependencies=no");
    page.line("Wants=network-pre.target");
    page.line("Before=network-pre.target shutdown.target");
    page.line("Conflicts=shutdown.target");
    page.because("the user that it names exists", "After=systemd-sysusers.service local-fs.target");
    page.because(
        "whoever flushes the rules by loading theirs loads ours again",
        "After=nftables.service",
    );
    page.line("PartOf=nftables.service");
    page.line("ReloadPropagatedFrom=nftables.service");
    page.line("[Service]");
    page.line("Type=oneshot");
    page.because("stopping the unit does not take the guard away", "RemainAfterExit=yes");
    page.line(&format!("ExecStart=/usr/sbin/nft -f /{PATH}"));
    page.line(&format!("ExecReload=/usr/sbin/nft -f /{PATH}"));
    page.line("[Install]");
    page.line("WantedBy=sysinit.target");
    page.0
}

/// The ruleset: replaces an older one in one step, so there is no moment without.
pub(super) fn guard(plan: &Plan) -> String {
    let body = body(plan);
    let mut page = Page::default();
    page.head("The guard of the ways out");
    page.because("an older guard is replaced in the same step", "table inet postern");
    page.line("delete table inet postern");
    page.line("table inet postern {");
    page.line("    # the name of this plan, so that `postern egress plan --check` knows it");
    page.line(&format!("    comment \"plan {}\"", name(&body)));
    page.0.push_str(&body);
    page.line("}");
    page.0.push_str(&neighbours(plan));
    page.0
}

/// The guard of the questions for neighbours. An interface that has lost its address, with a socket
/// bound to it, would ask in the name of an address of another interface: the wire would learn how
/// the inside is numbered.
fn neighbours(plan: &Plan) -> String {
    let mut page = Page::default();
    page.because("neighbours are asked for in the name of the egress alone", "table arp postern");
    page.line("delete table arp postern");
    page.line("table arp postern {");
    page.line("    chain output {");
    page.line("        type filter hook output priority filter; policy accept;");
    for rule in neighbour_rules(plan) {
        page.line(&format!("        {rule}"));
    }
    page.line("    }");
    page.line("}");
    page.0
}

/// The rules of that guard: one for each interface.
pub(super) fn neighbour_rules(plan: &Plan) -> Vec<String> {
    let rule = |(device, outlets): (&String, Vec<&Outlet>)| {
        let sides = outlets.iter().flat_map(|outlet| &outlet.sides);
        let sources: Vec<IpAddr> = sides.map(|side| side.address).filter(IpAddr::is_ipv4).collect();
        let other = if sources.is_empty() {
            String::new()
        } else {
            format!(" arp saddr ip != {}", set(&sources))
        };
        format!("oifname \"{device}\"{other} drop")
    };
    plan.ways().map(rule).collect()
}

/// The name of the guard of a plan: it stands in the table's comment.
pub(super) fn plan_name(plan: &Plan) -> String {
    name(&body(plan))
}

/// Rules in all chains of the guard.
pub(super) fn rule_count(plan: &Plan) -> usize {
    let verdict = |line: &&str| {
        let line = line.trim();
        let statement = ["accept", "drop", "reject", "reset"].iter().any(|w| line.ends_with(w));
        let jump = line.contains(" goto ");
        !line.starts_with('#') && (statement || jump) && !line.starts_with("type ")
    };
    body(plan).lines().filter(verdict).count()
}

fn name(body: &str) -> String {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    let mut letters = String::new();
    for octet in digest.as_ref() {
        let _ = write!(letters, "{octet:02x}");
    }
    letters.truncate(DIGEST_LETTERS);
    letters
}

/// Chains, and behind them the counters that they name.
fn body(plan: &Plan) -> String {
    let mut chains = Chains::default();
    output(&mut chains, plan);
    input(&mut chains, plan);
    chains.begin("forward");
    chains.because("this is no router", "type filter hook forward priority filter; policy accept;");
    chains.count("nothing passes from one interface to another", "", "forwarded", "drop");
    chains.end();
    let ways: Vec<(&String, Vec<&Outlet>)> = plan.ways().collect();
    for (device, outlets) in &ways {
        way_out(&mut chains, plan, device, outlets);
        way_in(&mut chains, plan, device);
    }
    match &plan.whole {
        None => served(plan).iter().for_each(|served| served_chain(&mut chains, served)),
        Some(whole) => faces::both(&mut chains, plan, whole),
    }
    let mut body = String::new();
    for (set, words) in &chains.sets {
        let _ = writeln!(body, "    set {set} {{ {words} }}");
    }
    for counter in &chains.counters {
        let _ = writeln!(body, "    counter {counter} {{ }}");
    }
    body + &chains.text
}

/// Chains in the making, and the counters that they use.
#[derive(Default)]
pub(super) struct Chains {
    text: String,
    counters: BTreeSet<String>,
    sets: BTreeMap<String, String>,
}

impl Chains {
    pub(super) fn begin(&mut self, name: &str) {
        let _ = writeln!(self.text, "    chain {name} {{");
    }

    pub(super) fn end(&mut self) {
        self.text.push_str("    }\n");
    }

    pub(super) fn because(&mut self, reason: &str, rule: &str) {
        let _ = writeln!(self.text, "        # {reason}\n        {rule}");
    }

    /// A rule that counts what it meets.
    pub(super) fn count(&mut self, reason: &str, matches: &str, counter: &str, verdict: &str) {
        let counter = nft_name(counter);
        self.counters.insert(counter.clone());
        let rule = format!("{matches} counter name \"{counter}\" {verdict}");
        self.because(reason, rule.trim_start());
    }

    /// A set that rules can use by the returned name.
    pub(super) fn declare_set(&mut self, name: &str, words: &str) -> String {
        let name = nft_name(name);
        self.sets.insert(name.clone(), words.to_owned());
        name
    }
}

/// A name of nft begins with a letter; one of an egress may begin with a digit.
fn nft_name(name: &str) -> String {
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if letter { name.to_owned() } else { format!("n{name}") }
}

/// What leaves this machine.
fn output(chains: &mut Chains, plan: &Plan) {
    chains.begin("output");
    policy(chains, plan, "output");
    chains.because("this machine with itself", "oifname \"lo\" accept");
    for (device, _) in plan.ways() {
        let rule = format!("oifname \"{device}\" goto {}", chain("out", device));
        chains.because("a way out: only mail, its names and its policies", &rule);
    }
    for (word, v6) in [("ip", false), ("ip6", true)] {
        let sources = plan.sources(v6);
        if !sources.is_empty() {
            chains.count(
                "an address of an egress leaves by its interface or not at all, also when the \
                 socket is closed",
                &format!("{word} saddr {}", set(&sources)),
                "source_elsewhere",
                "drop",
            );
        }
    }
    let ports: BTreeSet<u16> =
        plan.outlets.iter().map(|outlet| outlet.mx_port).chain([25]).collect();
    chains.count(
        "nobody speaks SMTP to the outside on any other interface, the broker included",
        &format!("tcp dport {}", set(&ports)),
        "smtp_elsewhere",
        "reject with tcp reset",
    );
    if plan.whole.is_none() {
        chains.because(
            "answers to those who connected to us, by the way they came",
            "ct direction reply accept",
        );
    }
    chains.count(
        "the broker has no other way out; in every state, so that a session that the kernel \
         turns to another interface stops there",
        &format!("meta skuid {}", user(plan)),
        "broker_elsewhere",
        "drop",
    );
    if let Some(whole) = &plan.whole {
        faces::gates(chains, whole, ("oifname", "out"));
    }
    chains.end();
}

/// Where a hook begins, and what becomes of packets that no rule decides about.
fn policy(chains: &mut Chains, plan: &Plan, hook: &str) {
    let (reason, policy) = match plan.whole {
        None => ("what is not about mail is not decided here", "accept"),
        Some(_) => ("what is not let through below stays here", "drop"),
    };
    let rule = format!("type filter hook {hook} priority filter; policy {policy};");
    chains.because(reason, &rule);
}

/// What leaves by one egress interface.
fn way_out(chains: &mut Chains, plan: &Plan, device: &str, outlets: &[&Outlet]) {
    let user = user(plan);
    chains.begin(&chain("out", device));
    chains.because("neighbours find each other (IPv6; ARP does not come here)", NEIGHBOURS);
    chains.because("and say which groups they hear", "icmpv6 type mld2-listener-report accept");
    for (word, family, v6) in [("ip", "ipv4", false), ("ip6", "ipv6", true)] {
        let sources: Vec<IpAddr> = outlets
            .iter()
            .flat_map(|outlet| &outlet.sides)
            .map(|side| side.address)
            .filter(|address| address.is_ipv6() == v6)
            .collect();
        let other = if sources.is_empty() {
            format!("meta nfproto {family}")
        } else {
            format!("{word} saddr != {}", set(&sources))
        };
        let reason = "only the addresses that receivers know";
        chains.count(reason, &other, &format!("{device}_wrong_source"), "drop");
    }
    if plan.public.iter().any(|public| public == device) {
        let answers = format!("ct direction reply tcp sport {} accept", set(PUBLIC_PORTS));
        chains.because("answers of the public listeners", &answers);
    }
    chains.count(
        "only the broker's sockets; packets of the kernel itself have none and go on",
        &format!("meta skuid != {user}"),
        &format!("{device}_strangers"),
        "drop",
    );
    chains.because(
        "what the broker began, to its end: the last packets of a closed socket have no user",
        "ct state established,related accept",
    );
    for outlet in outlets {
        beginnings(chains, plan, outlet, &user);
    }
    let reason = "everything else stays here, and is seen";
    chains.count(reason, "", &format!("{device}_other"), "drop");
    chains.end();
}

/// What the broker may begin from the addresses of one egress.
fn beginnings(chains: &mut Chains, plan: &Plan, outlet: &Outlet, user: &str) {
    for side in &outlet.sides {
        let (address, name) = (side.address, &outlet.name);
        let word = if address.is_ipv4() { "ip" } else { "ip6" };
        let from = format!("meta skuid {user} {word} saddr {address}");
        for (port, servers) in resolvers(outlet, address.is_ipv6()) {
            chains.count(
                "its name servers",
                &format!(
                    "{from} {word} daddr {} meta l4proto {{ tcp, udp }} th dport {port}",
                    set(&servers)
                ),
                &format!("{name}_dns"),
                "accept",
            );
        }
        let echo = if address.is_ipv4() { "icmp" } else { "icmpv6" };
        chains.count(
            "is somebody there? Asked by `postern diagnose`",
            &format!("{from} {echo} type echo-request"),
            &format!("{name}_ping"),
            "accept",
        );
        let tcp = |port: u16| format!("{from} tcp dport {port}");
        chains.count("mail", &tcp(outlet.mx_port), &format!("{name}_smtp"), "accept");
        let reason = "policies and reports of receivers (MTA-STS, TLS-RPT)";
        chains.count(reason, &tcp(outlet.https_port), &format!("{name}_https"), "accept");
        for partner in &plan.partners {
            let to = match partner.address {
                Some(to) if to.is_ipv4() != address.is_ipv4() => continue,
                Some(to) => format!("{from} {word} daddr {to} tcp dport {}", partner.port),
                None if partner.port == outlet.mx_port => continue,
                None => tcp(partner.port),
            };
            chains.count("a host of a route", &to, &format!("{name}_routes"), "accept");
        }
    }
}

/// What reaches this machine.
fn input(chains: &mut Chains, plan: &Plan) {
    chains.begin("input");
    policy(chains, plan, "input");
    chains.because("this machine with itself", "iifname \"lo\" accept");
    for (device, _) in plan.ways() {
        let rule = format!("iifname \"{device}\" goto {}", chain("in", device));
        chains.because("a way out is no way in", &rule);
    }
    for (word, v6) in [("ip", false), ("ip6", true)] {
        let sources = plan.sources(v6);
        if !sources.is_empty() {
            chains.count(
                "nobody reaches an address of an egress by another wire",
                &format!("{word} daddr {}", set(&sources)),
                "egress_address_elsewhere",
                "drop",
            );
        }
    }
    if let Some(whole) = &plan.whole {
        faces::gates(chains, whole, ("iifname", "in"));
        chains.end();
        return;
    }
    for Intake { device, .. } in served(plan) {
        let rule = format!("iifname \"{device}\" goto {}", chain("in", &device));
        chains.because("served here are the listeners, and nothing else", &rule);
    }
    let ports: BTreeSet<u16> = plan.listener_ports.iter().copied().chain(MAIL_PORTS).collect();
    let shared = |device: &&String| !plan.intakes.iter().any(|intake| intake.device == **device);
    for device in plan.manage.iter().filter(shared) {
        chains.count(
            "administrators' interfaces never carry mail",
            &format!("iifname \"{device}\" tcp dport {}", set(&ports)),
            &format!("{device}_mail"),
            "drop",
        );
    }
    chains.end();
}

/// What reaches this machine by an egress interface.
fn way_in(chains: &mut Chains, plan: &Plan, device: &str) {
    chains.begin(&chain("in", device));
    let reason = "answers, and errors about what we sent (path MTU among them)";
    chains.because(reason, "ct state established,related accept");
    chains.because("neighbours find each other", NEIGHBOURS);
    chains.count(
        "no router on the wire changes our ways",
        "icmpv6 type { nd-router-advert, nd-redirect }",
        &format!("{device}_router_adverts"),
        "drop",
    );
    if plan.public.iter().any(|public| public == device) {
        let rule = format!("tcp dport {} accept", set(PUBLIC_PORTS));
        chains.because("this interface is public too: unsubscribe, bounces, feedback", &rule);
    }
    let reason = "nobody connects to an egress";
    chains.count(reason, "", &format!("{device}_uninvited"), "drop");
    chains.end();
}

/// Interfaces of applications and of the Internet, and what is served there. One that is a way out
/// has a chain already, one that is for administrators too is not shut.
fn served(plan: &Plan) -> Vec<Intake> {
    let mut served = plan.intakes.clone();
    for device in &plan.public {
        let known = served.iter().position(|intake| intake.device == *device);
        let at = known.unwrap_or_else(|| {
            served.push(Intake { device: device.clone(), ports: BTreeSet::new() });
            served.len() - 1
        });
        served[at].ports.extend(PUBLIC_PORTS);
    }
    let way = |device: &String| plan.devices.get(device).is_some_and(|d| !d.outlets.is_empty());
    served.retain(|intake| !way(&intake.device) && !plan.manage.contains(&intake.device));
    served
}

fn served_chain(chains: &mut Chains, intake: &Intake) {
    chains.begin(&chain("in", &intake.device));
    chains.because("answers and errors", "ct state established,related accept");
    chains.because(
        "IPv6 needs its neighbours and routers",
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept",
    );
    chains.because("a lease is renewed (DHCPv6)", "ip6 saddr fe80::/10 udp dport 546 accept");
    chains.because("is it there?", "icmp type echo-request accept");
    chains.because("is it there, over IPv6?", "icmpv6 type echo-request accept");
    if !intake.ports.is_empty() {
        let rule = format!("tcp dport {} accept", set(&intake.ports));
        chains.because("the listeners", &rule);
    }
    chains.count("nothing else is served here", "", &format!("{}_other", intake.device), "drop");
    chains.end();
}

/// Name servers of one family by port.
fn resolvers(outlet: &Outlet, v6: bool) -> BTreeMap<u16, BTreeSet<IpAddr>> {
    let mut ports: BTreeMap<u16, BTreeSet<IpAddr>> = BTreeMap::new();
    let family = |server: &&SocketAddr| server.is_ipv6() == v6;
    for server in outlet.resolvers.iter().filter(family) {
        ports.entry(server.port()).or_default().insert(server.ip());
    }
    ports
}

pub(super) fn chain(direction: &str, device: &str) -> String {
    format!("{direction}_{device}")
}

pub(super) fn set<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("{{ {} }}", items.join(", "))
}

/// A name in quotes, or a number.
fn user(plan: &Plan) -> String {
    if plan.user.parse::<u32>().is_ok() { plan.user.clone() } else { format!("\"{}\"", plan.user) }
}
