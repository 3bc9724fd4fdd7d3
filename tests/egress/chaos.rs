//! Troubles of the way out, one by one, through the real daemon: mail waits, nothing leaks, no
//! attempt is burned, and everything is delivered when the way is back.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::bed::wires::{Bed, Family, Walls, Wire};
use crate::matrix::mend;
use crate::town::{PATIENCE, Town, advertise};

/// Longer than the broker's beat: what would go, has gone.
const A_WHILE: Duration = Duration::from_millis(1500);

fn no_default(bed: &Bed) {
    for family in Family::BOTH {
        bed.gateway.ip(&format!("{} route del default table 103 metric 10\n", family.flag()));
    }
}

/// The manage interface believes advertisements, and hears one.
fn hear_router(bed: &Bed) {
    bed.gateway.sysctl("net/ipv6/conf/m0/accept_ra", "1");
    bed.gateway.sysctl("net/ipv6/conf/m0/autoconf", "1");
    advertise(bed, Wire::Manage);
    let began = Instant::now();
    while !bed.gateway.ask("ip", &["-6", "route", "show", "default"]).contains("proto ra") {
        assert!(began.elapsed() < PATIENCE, "nobody believed the advertisement");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Name, what breaks, what the daemon says of it.
type Trouble = (&'static str, fn(&Bed), &'static str);

const TROUBLES: [Trouble; 7] = [
    ("link down", |bed| bed.gateway.ip("link set ea0 down\n"), "has no link"),
    ("cable pulled", |bed| bed.internet.ip("link set af0 down\n"), "has no link"),
    (
        "addresses removed",
        |bed| {
            for family in Family::BOTH {
                let (address, prefix) = (Wire::A.ours(family), family.prefix());
                bed.gateway.ip(&format!("addr del {address}{prefix} dev ea0\n"));
            }
        },
        "lost the address",
    ),
    ("route withdrawn", no_default, "route"),
    (
        "route withdrawn, and a router advertised on manage",
        |bed| {
            hear_router(bed);
            no_default(bed);
        },
        "route",
    ),
    (
        "addresses on the manage interface, with a way out",
        |bed| {
            for family in Family::BOTH {
                let (address, prefix) = (Wire::A.ours(family), family.prefix());
                bed.gateway.ip(&format!("addr del {address}{prefix} dev ea0\n"));
                let at_once = family.at_once();
                bed.gateway.ip(&format!("addr add {address}{prefix} dev m0 {at_once}\n"));
            }
        },
        "lost the address",
    ),
    (
        "interface replaced",
        |bed| {
            bed.gateway.ip("link del ea0\n");
            bed.plug(Wire::A);
        },
        "no link",
    ),
];

/// Mail before, while and after; how long the first took once the way was back.
fn live_through(town: &Town, (name, break_it, words): &Trouble) -> Duration {
    let mut application = town.application();
    let tag: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    let domains = ["example.net", "four.test", "six.test"];
    for domain in domains {
        let to = format!("before-{tag}@{domain}");
        application.post(&to);
        town.receiver.wait(&to, PATIENCE);
    }
    town.listen(name);
    let told = town.gateway.told().len();
    break_it(&town.bed);
    let line = town.gateway.wait_told(told, "egress a suspended");
    assert!(line.contains(words), "{name}: {line}");
    let mut posted = Vec::new();
    for domain in domains {
        let to = format!("during-{tag}@{domain}");
        posted.push((application.post(&to), to));
    }
    std::thread::sleep(A_WHILE);
    for (id, to) in &posted {
        let shown = town.gateway.json(&["queue", "show", id]);
        assert_eq!(shown["attempts"], 0, "{name}: {to}: {shown}");
    }
    town.listen(name);
    let taken = town.receiver.taken();
    assert!(!taken.iter().any(|taken| posted.iter().any(|(_, to)| *to == taken.to)), "{name}");
    let (told, mended) = (town.gateway.told().len(), Instant::now());
    mend(&town.bed, Walls::ALL);
    let arrived = posted.iter().map(|(_, to)| town.receiver.wait(to, PATIENCE).at);
    let first = arrived.min().unwrap().saturating_duration_since(mended);
    town.gateway.wait_told(told, "egress a is whole again");
    town.listen(name);
    first
}

#[test]
fn mail_waits_until_the_way_is_back() {
    let town = Town::new("");
    for trouble in &TROUBLES {
        let first = live_through(&town, trouble);
        println!("{:50} first delivery {} ms after the way was back", trouble.0, first.as_millis());
    }
    let told = town.gateway.told();
    assert!(!told.contains("status=bounced") && !told.contains("status=expired"), "{told}");
    assert_eq!(town.gateway.queued(), 0);
    let taken = town.receiver.taken();
    assert_eq!(taken.len(), 6 * TROUBLES.len(), "{taken:?}");
    for taken in taken {
        assert_eq!(taken.from, Wire::A.ours(Family::of(taken.from)));
    }
}

/// A router that does not answer is our own trouble and not the hosts': no attempt is counted.
#[test]
fn mail_waits_for_its_router() {
    let town = Town::new("");
    let mut application = town.application();
    application.post("before@example.net");
    town.receiver.wait("before@example.net", PATIENCE);
    let told = town.gateway.told().len();
    for family in Family::BOTH {
        let router = Wire::A.router(family);
        town.bed.internet.ip(&format!("addr del {router}{} dev af0\n", family.prefix()));
    }
    town.bed.gateway.ip("neigh flush dev ea0\n");
    let ids: Vec<String> = ["example.net", "four.test", "six.test"]
        .iter()
        .map(|domain| application.post(&format!("during@{domain}")))
        .collect();
    let line = town.gateway.wait_told(told, "egress a suspended");
    assert!(line.contains("the router") && line.contains("does not answer"), "{line}");
    // It is asked again all the time, and stays lost as long as it is silent.
    let silent = town.gateway.told().len();
    std::thread::sleep(Duration::from_secs(8));
    let since = town.gateway.told();
    assert!(!since[silent..].contains("whole again"), "{}", &since[silent..]);
    for id in &ids {
        let shown = town.gateway.json(&["queue", "show", id]);
        assert_eq!(shown["attempts"], 0, "{shown}");
    }
    let (told, mended) = (town.gateway.told().len(), Instant::now());
    mend(&town.bed, Walls::ALL);
    for domain in ["example.net", "four.test", "six.test"] {
        town.receiver.wait(&format!("during@{domain}"), PATIENCE);
    }
    println!("all delivered {} ms after the router was back", mended.elapsed().as_millis());
    town.gateway.wait_told(told, "egress a is whole again");
    town.listen("all the time");
}

/// A resolver that is gone is doubt, not an answer: mail waits and goes when it is back.
#[test]
fn mail_waits_for_its_name_server() {
    let mut town = Town::new("");
    let mut application = town.application();
    application.post("first@example.net");
    town.receiver.wait("first@example.net", PATIENCE);
    town.names.pause();
    // The answers of before are believed for as long as their owner said, two seconds.
    std::thread::sleep(Duration::from_secs(3));
    town.listen("before");
    let began = town.gateway.told().len();
    let id = application.post("second@four.test");
    town.gateway.wait_told(began, "status=deferred");
    let shown = town.gateway.json(&["queue", "show", &id]);
    let heard = town.listen("while the name server is gone");
    assert!(heard.right.keys().any(|(wire, _, port)| (*wire, *port) == (Wire::A, 53)), "{heard:?}");
    assert_eq!(town.receiver.taken().len(), 1);
    let back = Instant::now();
    town.names.resume(&town.bed.internet.clone());
    let arrived = town.receiver.wait("second@four.test", PATIENCE).at;
    let first = arrived.saturating_duration_since(back);
    println!("name server back: delivered after {} ms; {shown}", first.as_millis());
    assert!(!town.gateway.told().contains("status=bounced"));
    assert_eq!(town.gateway.queued(), 0);
}

/// Names of others that point to our own and to private networks move no packet.
#[test]
fn strangers_names_do_not_lead_into_our_networks() {
    let traps: [(&str, IpAddr); 9] = [
        ("manage", Wire::Manage.ours(Family::V4)),
        ("desk", Wire::Manage.router(Family::V4)),
        ("intake", Wire::Intake.router(Family::V4)),
        ("self", Wire::A.ours(Family::V4)),
        ("self6", Wire::A.ours(Family::V6)),
        ("desk6", Wire::Manage.router(Family::V6)),
        ("loop", "127.0.0.1".parse().unwrap()),
        ("loop6", "::1".parse().unwrap()),
        ("metadata", "169.254.169.254".parse().unwrap()),
    ];
    let mut zone = String::new();
    for (name, address) in traps {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        writeln!(zone, "{name}.test. MX 10 mx.{name}.test.").unwrap();
        writeln!(zone, "mx.{name}.test. {kind} {address}").unwrap();
    }
    // One trap beside a real host: the host is used, the trap is not.
    zone += "both.test. MX 10 mx.desk.test.\nboth.test. MX 20 mx.four.test.\n";
    let town = Town::new(&zone);
    let listening = |place: &str| {
        let place: SocketAddr = place.parse().unwrap();
        let listener = TcpListener::bind(place).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    };
    let at_home = town.bed.gateway.within(|| listening("[::]:25"));
    let desk = town.bed.internet.within(|| {
        Family::BOTH
            .map(|family| listening(&SocketAddr::new(Wire::Manage.router(family), 25).to_string()))
    });
    let mut application = town.application();
    let mut outcomes = Vec::new();
    for (name, _) in traps {
        let began = town.gateway.told().len();
        let id = application.post(&format!("x@{name}.test"));
        outcomes.push(town.gateway.wait_told(began, &format!("{id}: to=")));
    }
    application.post("x@both.test");
    town.receiver.wait("x@both.test", PATIENCE);
    for (outcome, (name, _)) in outcomes.iter().zip(traps) {
        // Permanent: no retry makes a private address public.
        assert!(outcome.contains("status=bounced"), "{name}: {outcome}");
        assert!(outcome.contains("private, special or ours"), "{name}: {outcome}");
    }
    let heard = town.listen("traps");
    assert!(heard.rights() > 0);
    for listener in std::iter::once(at_home).chain(desk) {
        let caught = listener.accept();
        assert!(caught.is_err(), "somebody walked into it: {caught:?}");
    }
    println!("{} traps: {}", traps.len(), outcomes[0]);
}
