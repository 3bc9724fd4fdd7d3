//! What is ours: link, address, route, and the router on the wire.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Finding, Grade, Round, addresses, pass, unknown, wrong};
use crate::config::checked::Egress;
use crate::host::neighbour;

/// Link, address, route, as the broker sees them at this moment.
pub(super) fn link(round: &Round<'_>) -> Vec<Finding> {
    let egress = round.egress;
    let device = egress.device.as_deref().unwrap_or("any interface");
    let held: Vec<String> = addresses(egress).map(|address| address.to_string()).collect();
    let held = held.join(" and ");
    let good = [
        pass("link", device, format!("{device} is up and has its link")),
        pass("address", device, format!("{device} has {held}")),
        pass("route", device, format!("the routes from {held} lead out by {device}")),
    ];
    let Some(reason) = round.client.suspended(&egress.name) else { return good.into() };
    let bad = [
        ("link", "plug in the cable, or see `ip link` and the switch"),
        ("address", "see `postern egress plan`, and `postern egress plan --check` as root"),
        ("route", "see `postern egress plan`, and `postern egress plan --check` as root"),
    ];
    let broken = if reason.contains("no link") || reason.contains("does not exist") {
        0
    } else if reason.contains("address") {
        1
    } else {
        2
    };
    let judged = good.into_iter().zip(bad).enumerate().map(|(index, (good, (item, remedy)))| {
        match index.cmp(&broken) {
            std::cmp::Ordering::Less => good,
            std::cmp::Ordering::Equal => wrong(item, device, Grade::Fail, &reason, remedy),
            std::cmp::Ordering::Greater => unknown(item, device, "cannot be judged before that"),
        }
    });
    judged.collect()
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

/// The guard is the kernel's business, and only root may read it.
pub(super) fn guard() -> Finding {
    unknown(
        "guard",
        "nftables",
        "the firewall can be read by root alone: `postern egress plan --check` does",
    )
}
