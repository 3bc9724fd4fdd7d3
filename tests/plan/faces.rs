//! The guard of a whole machine, on the real interfaces: no mail by manage, intake or public,
//! whoever speaks and whatever the routes say; and in comes only what is served there.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::socket::SockType;

use crate::guard::{bound, knock};
use crate::space::{counted, feed, run};
use crate::whole::{Far, applied, document, machine, networkd, whole};

/// The broker's user in `cards.toml`.
const BROKER: u32 = 65534;
/// Interface, its address, and somebody on its wire.
const WIRES: [(&str, &str, &str); 3] = [
    ("manage0", "10.1.0.2", "10.1.0.1"),
    ("intake0", "10.2.0.2", "10.2.0.1"),
    ("public0", "203.0.113.9", "203.0.113.1"),
];
const EGRESS: (&str, &str) = ("egress0", "198.51.100.9");
const PORTS: [u16; 6] = [25, 465, 587, 443, 53, 80];

/// Counts what has passed the guard, by interface.
const WITNESS: &str = "table inet witness {
    counter manage0 { }\n counter intake0 { }\n counter public0 { }
    chain last {
        type filter hook postrouting priority 300; policy accept;
        meta l4proto tcp oifname \"manage0\" counter name \"manage0\"
        meta l4proto tcp oifname \"intake0\" counter name \"intake0\"
        meta l4proto tcp oifname \"public0\" counter name \"public0\"
    }
}
";

fn witnessed(device: &str) -> u64 {
    let listed = run(&format!("nft list counter inet witness {device}"));
    let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).unwrap().parse().unwrap()
}

/// The machine of `cards.toml` in force, its neighbours known, and hosts at the other ends.
fn ready(far: &Far, ssh: bool) -> (tempfile::TempDir, crate::networkd::Daemon) {
    let place = document(|text| {
        let word = if ssh { "[network]\nssh = true\n" } else { "[network]\n" };
        text.replace("[network]\n", word)
    });
    applied(&place, &["apply", "--boot"]);
    let daemon = networkd();
    whole(&place);
    far.within(|| {
        for (number, address) in [(0, "10.1.0.1"), (1, "10.2.0.1"), (3, "203.0.113.1")] {
            run(&format!("ip address add {address}/24 dev w{number}"));
        }
        run("ip address add 198.51.100.1/24 dev w2");
    });
    (place, daemon)
}

#[test]
fn no_mail_leaves_by_another_part_whatever_the_routes_say() {
    machine(|far| {
        let _in_force = ready(far, false);
        feed("nft", &["-f", "-"], WITNESS);
        // What rules and tables stop is let through here: only the guard is left.
        run("ip rule add priority 1 lookup 999");
        let mut passed = BTreeMap::new();
        let mut cells = 0;
        for (device, own, host) in WIRES {
            run(&format!("ip route replace default via {host} dev {device} onlink table 999"));
            run(&format!("ip neighbour replace {host} lladdr 02:00:00:00:00:01 dev {device}"));
            for uid in [0, BROKER, 1000] {
                for source in [None, Some(own), Some(EGRESS.1)] {
                    for by in [None, Some(device), Some(EGRESS.0)] {
                        for port in PORTS {
                            cells += 1;
                            let before = witnessed(device);
                            let socket = bound(uid, SockType::Stream, by, source);
                            knock(socket, &format!("93.184.1.7:{port}"));
                            if witnessed(device) > before {
                                *passed.entry((device, uid, port)).or_insert(0) += 1;
                            }
                        }
                    }
                }
            }
        }
        // Root fetches updates by manage, from its address, bound to it or not: nothing else.
        assert_eq!(passed, [(("manage0", 0, 443), 4)].into(), "of {cells}");
        for counter in ["smtp_elsewhere", "broker_elsewhere", "source_elsewhere"] {
            assert!(counted(counter) > 0, "{counter}");
        }
        assert!(counted("manage0_out_other") > 0 && counted("intake0_out_other") > 0);
        // Root asks the name server of the document and no other.
        run("ip neighbour replace 10.1.0.53 lladdr 02:00:00:00:00:01 dev manage0");
        knock(bound(0, SockType::Stream, Some("manage0"), None), "10.1.0.53:53");
        assert_eq!(counted("manage0_dns"), 1);
        // And the test would see it: without the guard the last wire carries mail.
        run("nft delete table inet postern");
        let before = witnessed("public0");
        knock(bound(BROKER, SockType::Stream, None, None), "93.184.1.7:25");
        assert!(witnessed("public0") > before);
        println!("{cells} cells, mail in none");
    });
}

/// Whether somebody at the other end reaches an address.
fn reaches(to: SocketAddr) -> bool {
    TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok()
}

#[test]
fn in_comes_what_is_served_and_nothing_else() {
    for ssh in [false, true] {
        let test: fn(&Far) = if ssh { |far| come_in(far, true) } else { |far| come_in(far, false) };
        machine(test);
    }
}

fn come_in(far: &Far, ssh: bool) {
    let _in_force = ready(far, ssh);
    let ports = [22, 25, 80, 443, 465, 587];
    let _listeners: Vec<TcpListener> =
        ports.map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap()).into();
    let mut open = Vec::new();
    for (device, address, _) in WIRES.into_iter().chain([(EGRESS.0, EGRESS.1, "")]) {
        for port in ports {
            let to: SocketAddr = format!("{address}:{port}").parse().unwrap();
            if far.within(move || reaches(to)) {
                open.push((device, port));
            }
        }
    }
    let mut expected = vec![("intake0", 587), ("public0", 25), ("public0", 443)];
    if ssh {
        expected.insert(0, ("manage0", 22));
    }
    assert_eq!(open, expected);
    assert!(counted("manage0_mail") > 0 && counted("intake0_other") > 0);
    // The address of one part is not reached by the wire of another: the kernel's own check is
    // off, so that the guard's is seen.
    run("sysctl -qw net.ipv4.conf.manage0.rp_filter=0");
    far.within(|| run("ip route replace 10.2.0.2 via 10.1.0.2 dev w0"));
    assert!(!far.within(|| reaches("10.2.0.2:587".parse().unwrap())));
    assert!(counted("manage0_wrong_address") > 0);
    far.within(|| run("ip route del 10.2.0.2"));
    // One address that opens connections as fast as it can is slowed down, another is not.
    far.within(|| {
        let to = || bound(0, SockType::Stream, None, Some("10.2.0.1"));
        for _ in 0..12_000 {
            let socket = to();
            let flags = nix::fcntl::OFlag::O_NONBLOCK;
            nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
            let address: nix::sys::socket::SockaddrIn = "10.2.0.2:587".parse().unwrap();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
            let _in_progress = nix::sys::socket::connect(fd, &address);
        }
        run("ip address add 10.2.0.77/24 dev w1");
    });
    assert!(counted("intake0_flood") > 0);
    let seen = run("nft list set inet postern intake0_new4");
    assert!(seen.contains("10.2.0.1 limit"), "{seen}");
}
