//! What is ours: link, address, route, and the router on the wire.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Finding, Grade, Round, addresses, pass, unknown, wrong};
use crate::config::checked::Egress;
use crate::host::plan::Plan;
use crate::host::plan::kernel::{Difference, UNSEEN, differences};
use crate::host::walls::Network;
use crate::host::{neighbour, network, peer, walls};
use crate::net::broker::words::Family;

/// What the broker says is wrong with a family: the first of these that is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Broken {
    Link,
    Address,
    Route,
    Nothing,
}

impl Broken {
    fn of(family: &Family) -> (Self, &str) {
        let Family::Suspended(reason) = family else { return (Self::Nothing, "") };
        let link = reason.contains("no link") || reason.contains("does not exist");
        let part = match (link, reason.contains("address")) {
            (true, _) => Self::Link,
            (_, true) => Self::Address,
            _ => Self::Route,
        };
        (part, reason)
    }
}

/// Link, address, route, as the broker sees them at this moment.
pub(super) fn link(round: &Round<'_>) -> Vec<Finding> {
    let egress = round.egress;
    let device = egress.device.as_deref().unwrap_or("any interface");
    let Some(condition) = round.client.condition(&egress.name) else {
        let text = "the broker has not told yet how this egress is";
        return vec![unknown("link", device, text)];
    };
    let mut findings = Vec::new();
    for address in addresses(egress) {
        let family = if address.is_ipv4() { &condition.v4 } else { &condition.v6 };
        let (broken, reason) = Broken::of(family);
        let repair = "see `postern egress plan`, and `postern egress plan --check` as root";
        let mut say = |part: Broken, item: &str, subject: &str, good: String, remedy: &str| {
            findings.push(match part.cmp(&broken) {
                Ordering::Less => pass(item, subject, good),
                Ordering::Equal => wrong(item, subject, Grade::Fail, reason, remedy),
                Ordering::Greater => unknown(item, subject, "cannot be judged before that"),
            });
        };
        let subject = address.to_string();
        let cable = "plug in the cable, or see `ip link` and the switch";
        say(Broken::Link, "link", device, format!("{device} is up and has its link"), cable);
        let good = format!("{device} has {address}");
        say(Broken::Address, "address", &subject, good, repair);
        let good = format!("the routes from {address} lead out by {device}");
        say(Broken::Route, "route", &subject, good, repair);
    }
    // Both families tell of the same link.
    let twins = |one: &mut Finding, other: &mut Finding| one == other;
    findings.sort_by_key(|finding| finding.item != "link");
    findings.dedup_by(twins);
    findings
}

/// Whether the router passes packets on. Without raw sockets there are two signs: somebody behind
/// it answered, and the kernel's table of neighbours.
pub(super) fn gateway(round: &Round<'_>, heard: &[Finding]) -> Finding {
    let egress = round.egress;
    let router = egress.link.gateway4.map(IpAddr::V4).or(egress.link.gateway6.map(IpAddr::V6));
    let subject = router.map_or_else(|| "not configured".to_owned(), |router| router.to_string());
    let behind = egress.resolvers.iter().find(|server| {
        let answered = |finding: &Finding| {
            finding.item == "dns"
                && finding.subject == server.to_string()
                && finding.grade == Grade::Pass
        };
        !on_link(egress, server.ip()) && heard.iter().any(answered)
    });
    if let Some(server) = behind {
        let text = format!("passes packets on: {} answers from behind it", server.ip());
        return pass("gateway", subject, text);
    }
    let Some(router) = router else {
        return unknown(
            "gateway",
            subject,
            "nobody behind it has answered, and gateway4 is not set",
        );
    };
    let device = egress.device.as_deref().unwrap_or_default();
    match neighbour::answers(device, router) {
        Some(true) => unknown(
            "gateway",
            subject,
            "answers on the wire; whether it passes packets on is not proven by anybody behind it",
        ),
        Some(false) => wrong(
            "gateway",
            subject,
            Grade::Fail,
            format!("{router} does not answer on {device}"),
            "see that gateway4 is the router's address, and that the router is on",
        ),
        None => unknown(
            "gateway",
            subject,
            "nobody behind it has answered, and this process does not see the table of neighbours",
        ),
    }
}

/// Whether an address is on the wire itself, as far as the configuration tells.
fn on_link(egress: &Egress, address: IpAddr) -> bool {
    let v4 = egress.ipv4.map(IpAddr::V4).zip(egress.link.prefix4);
    let v6 = egress.ipv6.map(IpAddr::V6).zip(egress.link.prefix6);
    let mut networks = v4.into_iter().chain(v6);
    networks.any(|(own, length)| {
        IpNet::new(own, length).is_ok_and(|network| network.trunc().contains(&address))
    })
}

/// What this process can see of the plan in the running kernel: rules, routes, settings; of the
/// guard only that it means the right user, because root alone may read it.
pub(super) async fn system(round: &Round<'_>) -> Vec<Finding> {
    let mut findings = vec![user(round)];
    let by_root = "`postern egress plan --check` as root does";
    if round.config.lab || walls::network() != Network::Shared {
        let text = format!("this process does not see the system's network: {by_root}");
        findings.push(unknown("plan", "rules and routes", text));
        return findings;
    }
    let plan = if round.config.network.interfaces.is_empty() {
        Plan::of(round.config)
    } else {
        network::plan_of(round.config)
    };
    let look = tokio::task::spawn_blocking(move || differences(&plan)).await;
    let (hidden, seen): (Vec<Difference>, Vec<Difference>) =
        look.unwrap_or_default().into_iter().partition(|found| found.what.contains(UNSEEN));
    findings.push(match seen.first() {
        None if hidden.is_empty() => {
            pass("plan", "rules and routes", "rules, routes, settings and guard are as planned")
        }
        None => pass("plan", "rules and routes", "rules, routes and settings are as planned"),
        Some(first) => wrong(
            "plan",
            "rules and routes",
            Grade::Warn,
            format!("{} differences from the plan: {}", seen.len(), first.what),
            format!("{}; or `postern egress apply` as root", first.remedy),
        ),
    });
    if !hidden.is_empty() {
        let text = format!("the firewall can be read by root alone: {by_root}");
        findings.push(unknown("guard", "nftables", text));
    }
    findings
}

/// Whether the guard lets the user out that the broker runs as.
fn user(round: &Round<'_>) -> Finding {
    let planned = round.config.network.egress_user();
    let Some(uid) = round.client.broker_user() else {
        let text = "the broker is not there to tell as which user it runs";
        return unknown("user", planned, text);
    };
    let present = peer::user_name(uid);
    if planned == present || planned.parse() == Ok(uid) {
        return pass(
            "user",
            planned,
            format!("the broker runs as {present}, as the guard expects"),
        );
    }
    wrong(
        "user",
        planned,
        Grade::Warn,
        format!("the broker runs as {present}, and the guard of the plan lets {planned} out"),
        format!("set network.egress_user = \"{present}\", and write the plan again"),
    )
}
