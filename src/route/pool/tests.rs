//! Shares, stickiness and how little moves.

use std::collections::BTreeMap;

use super::*;
use crate::config::{Anywhere, read};

/// The sample document with other egresses, pools, sources and routes.
fn pools(members: &[(&str, u32)], more: &str) -> Pools {
    let mut config = read(include_str!("../../../systemd/postern.toml"), &Anywhere).unwrap().config;
    config.routes.clear();
    let first = config.egresses[0].clone();
    let egress = |(name, _): &(&str, u32)| crate::config::checked::Egress {
        name: (*name).to_owned(),
        ..first.clone()
    };
    config.egresses = members.iter().map(egress).collect();
    let member = |(name, weight): &(&str, u32)| crate::config::checked::Member {
        egress: (*name).to_owned(),
        weight: *weight,
    };
    let all = Pool { name: "all".to_owned(), members: members.iter().map(member).collect() };
    let alone = members
        .iter()
        .map(|(name, _)| Pool { name: (*name).to_owned(), members: vec![member(&(*name, 1))] });
    config.pools = std::iter::once(all).chain(alone).collect();
    for line in more.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "route" {
            config.routes.push(crate::config::checked::Route {
                matches: crate::config::checked::RouteMatch::Domain(domain(words[1])),
                hosts: Vec::new(),
                egress: words.get(2).map(|name| (*name).to_owned()),
                tls: crate::config::checked::TlsFloor::Opportunistic,
            });
        } else {
            let like = config.sources.values().next().unwrap();
            let mut source = crate::mail::source::Source::clone(like);
            source.name = SourceName::new(words[1]).unwrap();
            source.pool = words.get(2).map(|name| (*name).to_owned());
            config.sources.insert(source.name.clone(), Arc::new(source));
        }
    }
    Pools::new(Arc::new(config))
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// The homes of 100,000 pairs: 100 sources, 1,000 domains.
fn homes(pools: &Pools) -> Vec<Arc<str>> {
    let sources: Vec<SourceName> =
        (0..100).map(|n| SourceName::new(&format!("application-{n}")).unwrap()).collect();
    let domains: Vec<Domain> =
        (0..1000).map(|n| domain(&format!("customer-{n}.example"))).collect();
    let pairs = sources.iter().flat_map(|s| domains.iter().map(move |d| (s, d)));
    pairs.map(|(source, domain)| pools.way(Some(source), domain).home).collect()
}

#[test]
fn shares_follow_the_weights() {
    let members = [("a", 1), ("b", 2), ("c", 5), ("d", 2)];
    let mut counts: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    for home in homes(&pools(&members, "")) {
        *counts.entry(home).or_default() += 1;
    }
    for (name, weight) in members {
        let (share, due) = (f64::from(counts[name]) / 1000.0, f64::from(weight) * 10.0);
        assert!((share - due).abs() < 2.0, "{name} has {share} %, not {due} %");
    }
}

#[test]
fn a_pair_stays_with_its_home() {
    let members = [("a", 1), ("b", 2), ("c", 1)];
    // Nothing but the names counts: not the order in the document, not a restart.
    let turned = [("c", 1), ("b", 2), ("a", 1)];
    assert_eq!(homes(&pools(&members, "")), homes(&pools(&turned, "")));
    // For ever, also in the next release: whoever changes the lots moves everybody's mail.
    let pools = pools(&members, "");
    let source = SourceName::new("billing").unwrap();
    let homes: String = (0..16)
        .map(|n| pools.way(Some(&source), &domain(&format!("d{n}.example"))).home.to_string())
        .collect();
    assert_eq!(homes, "ccaacabbabbbbabb");
}

#[test]
fn a_member_more_or_less_moves_its_own_share_only() {
    let three = homes(&pools(&[("a", 1), ("b", 1), ("c", 1)], ""));
    let four = homes(&pools(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], ""));
    let mut moved = 0;
    for (before, after) in three.iter().zip(&four) {
        if before != after {
            // In one direction: to the newcomer; in the other: from the one who left.
            assert_eq!(&**after, "d");
            moved += 1;
        }
    }
    assert!((23_000..27_000).contains(&moved), "{moved}");
    let heavier = homes(&pools(&[("a", 1), ("b", 1), ("c", 2)], ""));
    let to_others = three.iter().zip(&heavier).filter(|(b, a)| b != a && &***a != "c").count();
    assert_eq!(to_others, 0);
}

#[test]
fn stand_ins_are_of_the_pool_and_share_what_is_lost() {
    let pools = pools(&[("a", 1), ("b", 1), ("c", 3)], "");
    let way = Way::new("all", "a");
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for n in 0..10_000 {
        let order = pools.order(&way, &domain(&format!("d{n}.example")));
        assert_eq!((order.len(), &**order[0]), (3, "a"));
        *first.entry(order[1].to_string()).or_default() += 1;
    }
    assert!((2_300..2_700).contains(&first["b"]) && first["c"] > 7_300, "{first:?}");
    assert_eq!(pools.order(&Way::new("a", "a"), &domain("d.example")), [&Arc::from("a")]);
    // The home left the pool: the others carry what is still on its way there.
    assert_eq!(pools.order(&Way::new("all", "gone"), &domain("d.example")).len(), 3);
    assert!(pools.order(&Way::new("gone", "a"), &domain("d.example")).is_empty());
    assert_eq!(pools.pools_of("a").collect::<Vec<_>>(), ["all", "a"]);
}

#[test]
fn a_route_goes_before_a_source_and_both_before_the_default() {
    let pools = pools(
        &[("a", 1), ("b", 1)],
        "source bank b\nsource shop\nroute partner.example a\nroute other.example",
    );
    let way = |source: Option<&str>, to: &str| {
        let source = source.map(|name| SourceName::new(name).unwrap());
        pools.way(source.as_ref(), &domain(to)).pool.to_string()
    };
    assert_eq!(way(Some("bank"), "example.net"), "b");
    assert_eq!(way(Some("bank"), "partner.example"), "a");
    assert_eq!(way(Some("bank"), "other.example"), "b");
    assert_eq!(way(Some("shop"), "example.net"), "all");
    assert_eq!(way(Some("unheard-of"), "example.net"), "all");
    assert_eq!(way(None, "example.net"), "all");
    assert_eq!(way(None, "partner.example"), "a");
}
