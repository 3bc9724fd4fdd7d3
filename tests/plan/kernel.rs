//! The script in a namespace: what the kernel then does, and what `--check` says when it is undone.

use postern::host::plan::kernel::differences;

use crate::space::{alone, feed, plan, run, script, tried};

fn applied() -> postern::host::plan::Plan {
    let plan = plan("wires.toml");
    feed("sh", &["-s"], &script(&plan));
    plan
}

#[test]
fn the_script_makes_what_the_check_wants_and_may_run_again() {
    alone(|| {
        let plan = applied();
        assert_eq!(differences(&plan), []);
        let picture = || {
            let all = run("ip rule") + &run("ip -6 rule") + &run("ip route show table all");
            // Link-local addresses come when nobody else has answered for them.
            all.lines().filter(|line| !line.contains("fe80")).map(str::to_owned).collect::<Vec<_>>()
        };
        let before = picture();
        feed("sh", &["-s"], &script(&plan));
        assert_eq!(differences(&plan), []);
        assert_eq!(before, picture());
    });
}

#[test]
fn every_source_takes_its_table_and_no_other() {
    alone(|| {
        let _plan = applied();
        let get = |what: &str| run(&format!("ip route get {what}"));
        assert!(get("8.8.8.8 from 198.51.100.9").contains("via 198.51.100.1 dev eg0 table 101"));
        assert!(get("8.8.8.8 from 198.51.100.10").contains("via 198.51.100.1 dev eg0 table 102"));
        assert!(get("8.8.8.8 from 203.0.113.5").contains("via 203.0.113.1 dev eg1 table 103"));
        assert!(get("8.8.8.8 oif eg1").contains("via 203.0.113.1 dev eg1 table 103"));
        let v6 = get("2606:4700::1111 from 2001:db8:1::9");
        assert!(v6.contains("via 2001:db8:1::1 dev eg0 table 101"), "{v6}");
        // Everybody else knows nothing of the egress networks.
        assert!(get("198.51.100.77").contains("via 172.16.0.1 dev ma0"));
        // The way is gone: nothing falls through to the default route of the others.
        run("ip route del default table 103");
        run("ip route del 203.0.113.0/28 table 103");
        let gone = tried("ip route get 8.8.8.8 from 203.0.113.5");
        assert!(!gone.status.success(), "{gone:?}");
        run("ip link set eg0 down");
        assert!(!tried("ip route get 8.8.8.8 from 198.51.100.10").status.success());
        assert!(!tried("ip route get 2606:4700::1111 from 2001:db8:1::9").status.success());
    });
}

#[test]
fn settings_reach_the_interfaces() {
    alone(|| {
        let _plan = applied();
        let value = |key: &str| {
            std::fs::read_to_string(format!("/proc/thread-self/../../sys/{key}"))
                .or_else(|_| std::fs::read_to_string(format!("/proc/sys/{key}")))
                .unwrap()
        };
        for (key, wanted) in [
            ("net/ipv4/conf/eg0/arp_ignore", "1"),
            ("net/ipv4/conf/eg1/rp_filter", "1"),
            ("net/ipv4/conf/all/arp_announce", "2"),
            ("net/ipv6/conf/eg0/accept_ra", "0"),
            ("net/ipv6/conf/eg1/disable_ipv6", "1"),
            ("net/ipv4/ip_forward", "0"),
        ] {
            assert_eq!(value(key).trim(), wanted, "{key}");
        }
    });
}

/// Each thing that can be undone, and a word of what must be said of it.
const UNDONE: &[(&str, &str)] = &[
    ("ip rule del priority 1001", "no rule sends what goes from 198.51.100.9 to table 101"),
    ("ip -6 rule del priority 1001", "no rule sends what goes from 2001:db8:1::9 to table 101"),
    ("ip rule del priority 2003", "no rule sends what goes oif eg1 to table 103"),
    ("ip rule add priority 500 from all lookup main", "at priority 500"),
    ("ip route del default table 103", "has no route 0.0.0.0/0 via 203.0.113.1 dev eg1"),
    ("ip route del unreachable default table 101 metric 4294967295", "no route unreachable"),
    ("ip -6 route del unreachable default table 103 metric 4294967295", "unreachable ::/0"),
    ("ip route add 10.0.0.0/8 dev eg1 table 103", "not planned: 10.0.0.0/8 dev eg1"),
    ("ip address del 203.0.113.5/28 dev eg1", "eg1 has not the address 203.0.113.5/28"),
    ("sysctl -qw net.ipv4.conf.eg0.arp_ignore=0", "net/ipv4/conf/eg0/arp_ignore is 0, not 1"),
    ("sysctl -qw net.ipv4.conf.all.accept_redirects=1", "accept_redirects is 1, not 0"),
    ("nft delete table inet postern", "is not loaded"),
    ("nft delete table arp postern", "guard of neighbours"),
    ("nft flush chain inet postern output", "it was changed"),
    ("nft add rule inet postern output accept", "it was changed"),
    ("ip link del eg1", "eg1"),
];

#[test]
fn whatever_is_undone_is_said_with_its_remedy() {
    for (undo, said) in UNDONE {
        alone(move || {
            let plan = applied();
            run(undo);
            let found = differences(&plan);
            let words: Vec<_> = found.iter().map(|difference| &difference.what).collect();
            assert!(words.iter().any(|what| what.contains(said)), "{undo}: {words:#?}");
            assert!(found.iter().all(|difference| !difference.remedy.is_empty()));
        });
    }
}

#[test]
fn remedies_are_true() {
    for (undo, _) in UNDONE.iter().filter(|(undo, _)| {
        // The guard is loaded from a file, an interface is plugged in, by hand.
        !undo.starts_with("nft") && !undo.starts_with("ip link")
    }) {
        alone(move || {
            let plan = applied();
            run(undo);
            for difference in differences(&plan) {
                let remedy = difference.remedy.split("; ").last().unwrap().to_owned();
                run(&remedy);
            }
            let left = differences(&plan);
            // An address that was gone has taken its routes along: they are said now.
            for difference in &left {
                run(&difference.remedy);
            }
            assert_eq!(differences(&plan), [], "{undo}: {left:#?}");
        });
    }
}
