//! An egress whose interface, address or route comes and goes.

use std::net::SocketAddr;
use std::time::Duration;

use postern::config::checked::Egress;
use postern::net::egress::EgressError;

use crate::space::{alone, client, egress, ip};

const BEAT: Duration = Duration::from_secs(10);

fn wan() -> Egress {
    Egress {
        device: Some("eg0".to_owned()),
        ipv4: Some("198.51.100.9".parse().unwrap()),
        ipv6: None,
        resolvers: vec!["9.9.9.9:53".parse().unwrap()],
        allow_networks: vec!["198.51.100.0/24".parse().unwrap()],
        ..egress(&[])
    }
}

/// Two ends of a cable in one namespace, with a way out through the first.
fn plug() {
    ip("link add eg0 type veth peer name far0");
    ip("link set eg0 up");
    ip("link set far0 up");
    ip("addr add 198.51.100.9/24 dev eg0");
    ip("route add default via 198.51.100.1 dev eg0");
}

#[test]
fn everything_that_is_missing_suspends_and_its_return_resumes() {
    let breaks = [
        ("link set eg0 down", "no link"),
        ("link set far0 down", "no link"),
        ("addr del 198.51.100.9/24 dev eg0", "lost the address"),
        ("route del default", "route"),
        ("link del eg0", "does not exist"),
    ];
    for (broken, cause) in breaks {
        alone(move || async move {
            plug();
            let client = client(&wan()).await;
            let mut health = client.health();
            health.wait_for(|health| health["wan"].is_none()).await.unwrap();
            ip(broken);
            let says = |health: &postern::net::egress::Health| {
                health["wan"].as_ref().is_some_and(|said| said.contains(cause))
            };
            let told = tokio::time::timeout(BEAT, health.wait_for(says)).await.is_ok();
            assert!(told, "{broken}: {:?}", client.suspended("wan"));
            // Nothing falls back to another interface, and nothing counts as the host's failure.
            let to: SocketAddr = "8.8.8.8:25".parse().unwrap();
            let opened = client.connect_tcp("wan", to, Duration::from_millis(300)).await;
            assert!(matches!(opened, Err(EgressError::Suspended(_))), "{broken}: {opened:?}");
            if !broken.contains("del eg0") {
                ip("link del eg0");
            }
            plug();
            let whole = |health: &postern::net::egress::Health| health["wan"].is_none();
            let told = tokio::time::timeout(BEAT, health.wait_for(whole)).await.is_ok();
            assert!(told, "{broken}: {:?}", client.suspended("wan"));
        });
    }
}

#[test]
fn a_management_interface_with_a_better_route_is_never_used() {
    alone(|| async {
        plug();
        // Everything else in this namespace would leave by the management interface.
        ip("link add mg0 type veth peer name desk0");
        ip("link set mg0 up");
        ip("link set desk0 up");
        ip("addr add 203.0.113.9/24 dev mg0");
        ip("route add 8.8.8.8/32 dev mg0");
        let client = client(&wan()).await;
        let to: SocketAddr = "8.8.8.8:25".parse().unwrap();
        let sent = || {
            let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
            let line =
                text.lines().find(|line| line.trim_start().starts_with("mg0:")).map(str::to_owned);
            line.and_then(|line| line.split_whitespace().nth(10).map(str::to_owned))
        };
        // IPv6 neighbours chatter at first; wait until the interface is quiet.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = sent();
        let opened = client.connect_tcp("wan", to, Duration::from_millis(500)).await;
        assert!(opened.is_err(), "{opened:?}");
        assert!(before.is_some());
        assert_eq!(before, sent(), "packets left by the management interface");
    });
}
