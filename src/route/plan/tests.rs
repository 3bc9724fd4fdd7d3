//! Tests of the plan, as a table of names.

use super::super::provider;
use super::*;
use crate::route::Unroutable;

fn egress() -> Egress {
    Egress {
        name: "wan".to_owned(),
        device: None,
        ipv4: Some("198.51.100.9".parse().unwrap()),
        ipv6: Some("2001:db8::9".parse().unwrap()),
        ehlo: Domain::parse("relay.example").unwrap(),
        resolvers: Vec::new(),
        allow_networks: Vec::new(),
        mx_port: 25,
        https_port: 443,
        link: crate::config::checked::Link::default(),
        warm_up: None,
    }
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside answers that are errors")]
fn mx(records: &[(u16, &str)]) -> Result<MxAnswer, LookupError> {
    let hosts = records.iter().map(|(p, n)| (*p, (*n).to_owned())).collect();
    Ok(MxAnswer { hosts, secure: false })
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside answers that are errors")]
fn found(v4: &[&str], v6: &[&str]) -> Result<Addresses, LookupError> {
    Ok(Addresses {
        v4: v4.iter().map(|a| a.parse().unwrap()).collect(),
        v6: v6.iter().map(|a| a.parse().unwrap()).collect(),
        ..Addresses::default()
    })
}

fn ordered(mx: Result<MxAnswer, LookupError>, seed: u64) -> Result<Vec<String>, Unroutable> {
    let egress = egress();
    let chosen = Chosen { egress: &egress, tls: TlsFloor::Opportunistic, hosts: &[] };
    let hosts = hosts(&chosen, &domain("example.org"), mx, &mut Chance::new(seed))?;
    Ok(hosts.into_iter().map(|host| host.name).collect())
}

fn at(name: &str) -> Host {
    Host { name: name.to_owned(), address: None, port: 25, origin: Origin::Mx }
}

fn status(error: &Unroutable) -> String {
    match error {
        Unroutable::Reply(reply) => reply.status.unwrap().to_string(),
        Unroutable::Suspended(_) => "suspended".to_owned(),
    }
}

#[test]
fn hosts_come_by_preference_and_equals_by_chance() {
    let records = [(20, "c"), (10, "a"), (10, "B"), (30, "d"), (30, "a")];
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let names = ordered(mx(&records), seed).unwrap();
        assert_eq!(&names[2..], ["c", "d"]);
        firsts.insert(names[0].clone());
    }
    assert_eq!(firsts.into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn the_matrix_of_mx_answers() {
    assert_eq!(ordered(mx(&[]), 1).unwrap(), ["example.org"]);
    assert_eq!(status(&ordered(mx(&[(0, "")]), 1).unwrap_err()), "5.1.10");
    assert_eq!(ordered(mx(&[(0, ""), (10, "a")]), 1).unwrap(), ["a"]);
    assert_eq!(status(&ordered(Err(LookupError::NoSuchDomain), 1).unwrap_err()), "5.1.2");
    let servfail = Err(LookupError::Temporary("SERVFAIL".to_owned()));
    assert_eq!(status(&ordered(servfail, 1).unwrap_err()), "4.4.3");
    let down = Err(LookupError::Suspended("link down".to_owned()));
    assert_eq!(status(&ordered(down, 1).unwrap_err()), "suspended");
    let many: Vec<(u16, String)> = (0..100).map(|n| (n, format!("h{n}"))).collect();
    assert_eq!(
        ordered(Ok(MxAnswer { hosts: many, secure: false }), 1).unwrap().len(),
        MX_ADDRESSES_MAX
    );
}

#[test]
fn families_take_turns_and_stay_within_the_egress() {
    let mut chance = Chance::new(1);
    let answer = || found(&["8.8.8.8", "1.1.1.1"], &["2606:4700::1"]);
    let plan = stop(&at("mx.example"), &egress(), &[], answer(), &mut chance).unwrap();
    let families: Vec<bool> = plan.addresses.iter().map(SocketAddr::is_ipv6).collect();
    assert_eq!(families, [true, false, false]);
    let only_v4 = Egress { ipv6: None, ..egress() };
    let plan = stop(&at("mx.example"), &only_v4, &[], answer(), &mut chance).unwrap();
    assert!(plan.addresses.iter().all(SocketAddr::is_ipv4));
    let only_v6 = Egress { ipv4: None, ..egress() };
    let error = stop(&at("mx"), &only_v6, &[], found(&["8.8.8.8"], &[]), &mut chance);
    assert_eq!(status(&error.unwrap_err()), "4.4.4");
}

#[test]
fn addresses_that_are_not_of_the_internet_are_left_out() {
    let mut chance = Chance::new(1);
    let mut status_of = |name: &str, answer| {
        status(&stop(&at(name), &egress(), &[], answer, &mut chance).unwrap_err())
    };
    assert_eq!(status_of("mx.example", found(&["127.0.0.1"], &["::1"])), "5.4.4");
    assert_eq!(status_of("mx.example", found(&[], &[])), "5.4.4");
    assert_eq!(status_of("8.8.8.8", found(&["8.8.8.8"], &[])), "5.4.4");
    assert_eq!(status_of("mx.example", Err(LookupError::NoSuchDomain)), "5.4.4");
    assert_eq!(status_of("mx.example", Err(LookupError::Temporary(String::new()))), "4.4.3");
    let implicit = Host { origin: Origin::Implicit, ..at("a.example") };
    for answer in [Err(LookupError::NoSuchDomain), found(&[], &[])] {
        let error = stop(&implicit, &egress(), &[], answer, &mut chance).unwrap_err();
        assert_eq!(status(&error), "5.1.2");
    }
    let mixed = found(&["10.0.0.1", "8.8.8.8"], &["fe80::1"]);
    let plan = stop(&at("mx.example"), &egress(), &[], mixed, &mut chance).unwrap();
    assert_eq!(plan.addresses, ["8.8.8.8:25".parse().unwrap()]);
    let own = ["8.8.8.8".parse().unwrap()];
    assert!(stop(&at("mx"), &egress(), &own, found(&["8.8.8.8"], &[]), &mut chance).is_err());
}

#[test]
fn a_route_matches_exactly_what_it_says() {
    let rules = [
        (RouteMatch::Any, "x.example", true),
        (RouteMatch::Domain(domain("a.example")), "a.example", true),
        (RouteMatch::Domain(domain("a.example")), "b.a.example", false),
        (RouteMatch::Subdomains(domain("a.example")), "b.a.example", true),
        (RouteMatch::Subdomains(domain("a.example")), "c.b.a.example", true),
        (RouteMatch::Subdomains(domain("a.example")), "a.example", false),
        (RouteMatch::Subdomains(domain("a.example")), "ba.example", false),
    ];
    for (rule, name, expected) in rules {
        assert_eq!(matches(&rule, &domain(name)), expected, "{rule:?} {name}");
    }
}

#[test]
fn a_smarthost_needs_no_mx_and_a_literal_needs_a_route() {
    let egress = egress();
    let listed = [
        (RouteHost::Name(domain("smart.example")), 587),
        (RouteHost::Address("10.0.0.7".parse().unwrap()), 2525),
    ];
    let chosen = Chosen { egress: &egress, tls: TlsFloor::Encrypted, hosts: &listed };
    let servfail = Err(LookupError::Temporary(String::new()));
    let mut chance = Chance::new(1);
    let hosts = hosts(&chosen, &domain("any.example"), servfail, &mut chance).unwrap();
    assert_eq!((hosts[0].name.as_str(), hosts[0].port), ("smart.example", 587));
    let answer = Ok(Addresses::one("10.0.0.7".parse().unwrap()));
    let plan = stop(&hosts[1], &egress, &[], answer, &mut chance).unwrap();
    assert_eq!(plan.addresses, ["10.0.0.7:2525".parse().unwrap()]);
    assert!(literal_refused(&domain("[192.0.2.1]")).is_some());
    assert!(literal_refused(&domain("a.example")).is_none());
}

#[test]
fn the_provider_is_the_registered_domain_of_the_best_host() {
    let of = |name: &str| provider(&[], &[at(name)]).map(str::to_owned);
    assert_eq!(of("gmail-smtp-in.l.google.com").as_deref(), Some("google.com"));
    assert_eq!(of("mx1.mail.example.co.uk").as_deref(), Some("example.co.uk"));
    assert_eq!(of("localhost").as_deref(), Some("localhost"));
    assert_eq!(of("10.0.0.7").as_deref(), Some("10.0.0.7"));
    assert_eq!(provider(&[], &[]), None);
}
