//! Ten thousand events in an order that nobody chose, while mail flows: links, addresses, routes
//! and rules come and go, one upon the other. No packet leaves by another wire, no message is lost,
//! none comes back because of our own way, and all is delivered when the way is back.
//!
//! `POSTERN_EVENTS` asks for more events, `POSTERN_SEED` for another history.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postern::base::chance::Chance;

use crate::bed::capture::Heard;
use crate::bed::wires::{Family, Walls, Wire};
use crate::matrix::mend;
use crate::town::Town;

/// Events without a word from outside.
const EVENTS: u64 = 10_000;

/// The seed without a word from outside.
const SEED: u64 = 20_261_121;

/// The most events at once.
const GUST: u64 = 40;

/// Gusts between two calms.
const GUSTS: u64 = 40;

/// A calm: the way is whole, the broker has seen it, mail flows.
const CALM: Duration = Duration::from_millis(1600);

/// Longer than the last mail takes, also behind a connection that lost its interface.
const PATIENCE: Duration = Duration::from_secs(300);

/// Switches of the storm: each is thrown one way, then the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Switch {
    Link,
    FarLink,
    LinkB,
    Address(Family),
    AddressB(Family),
    Lent(Family, Wire),
    Default(Family),
    Connected(Family),
    Last(Family),
    FromRule(Family),
    DeviceRule(Family),
    Router(Family),
    ManageFirst(Family),
    ManageHost(Family),
    ManageHalf(Family),
    Name,
}

/// How often each switch is in the drum: rare are those that take the kernel long.
fn drum() -> Vec<Switch> {
    let mut drum = vec![Switch::Link, Switch::FarLink, Switch::LinkB, Switch::Name];
    for family in Family::BOTH {
        for _ in 0..3 {
            drum.extend([
                Switch::Address(family),
                Switch::Default(family),
                Switch::Last(family),
                Switch::FromRule(family),
                Switch::DeviceRule(family),
                Switch::Connected(family),
                Switch::ManageFirst(family),
                Switch::ManageHost(family),
                Switch::ManageHalf(family),
                Switch::Lent(family, Wire::Manage),
                Switch::Lent(family, Wire::B),
            ]);
        }
        drum.extend([Switch::AddressB(family), Switch::Router(family)]);
    }
    drum
}

/// Where a command goes.
enum At {
    Gateway(String),
    Internet(String),
}

/// The command that throws a switch; `off` is away from a whole way.
fn command(switch: Switch, off: bool, name: &str) -> At {
    let near = |line: String| At::Gateway(line);
    let add = |off: bool| if off { "del" } else { "add" };
    let up = |off: bool| if off { "down" } else { "up" };
    match switch {
        Switch::Link => near(format!("link set {name} {}", up(off))),
        Switch::FarLink => At::Internet(format!("link set af0 {}", up(off))),
        Switch::LinkB => near(format!("link set eb0 {}", up(off))),
        Switch::Address(family) => {
            let (ours, prefix) = (Wire::A.ours(family), family.prefix());
            near(format!("addr {} {ours}{prefix} dev {name} {}", add(off), at_once(off, family)))
        }
        Switch::AddressB(family) => {
            let (ours, prefix) = (Wire::B.ours(family), family.prefix());
            near(format!("addr {} {ours}{prefix} dev eb0 {}", add(off), at_once(off, family)))
        }
        Switch::Lent(family, wire) => {
            let (ours, prefix) = (Wire::A.ours(family), family.prefix());
            let dev = wire.near();
            near(format!("addr {} {ours}{prefix} dev {dev} {}", add(!off), at_once(!off, family)))
        }
        Switch::Default(family) => {
            let (flag, router) = (family.flag(), Wire::A.router(family));
            let way = format!("default via {router} dev {name} table 103 metric 10");
            near(format!("{flag} route {} {way}", add(off)))
        }
        Switch::Connected(family) => {
            let network: ipnet::IpNet =
                format!("{}{}", Wire::A.router(family), family.prefix()).parse().unwrap();
            let (flag, network) = (family.flag(), network.trunc());
            near(format!("{flag} route {} {network} dev {name} table 103", add(off)))
        }
        Switch::Last(family) => {
            let last = "unreachable default table 103 metric 4000000000";
            near(format!("{} route {} {last}", family.flag(), add(off)))
        }
        Switch::FromRule(family) => {
            let ours = Wire::A.ours(family);
            let rule = format!("from {ours} lookup 103 priority 1103");
            near(format!("{} rule {} {rule}", family.flag(), add(off)))
        }
        Switch::DeviceRule(family) => {
            let rule = format!("oif {name} lookup 103 priority 2103");
            near(format!("{} rule {} {rule}", family.flag(), add(off)))
        }
        Switch::Router(family) => {
            let (router, prefix) = (Wire::A.router(family), family.prefix());
            let at_once = at_once(off, family);
            At::Internet(format!("addr {} {router}{prefix} dev af0 {at_once}", add(off)))
        }
        Switch::ManageFirst(family) => {
            let (flag, router) = (family.flag(), Wire::Manage.router(family));
            near(format!("{flag} route {} default via {router} dev m0 metric 1", add(!off)))
        }
        Switch::ManageHost(family) => {
            let (flag, router) = (family.flag(), Wire::Manage.router(family));
            let host = family.host(7);
            near(format!("{flag} route {} {host} via {router} dev m0", add(!off)))
        }
        Switch::ManageHalf(family) => {
            let (flag, router) = (family.flag(), Wire::Manage.router(family));
            let half = if family == Family::V4 { "64.0.0.0/2" } else { "2000::/3" };
            near(format!("{flag} route {} {half} via {router} dev m0", add(!off)))
        }
        Switch::Name => near(format!("link set {name} name {}", if off { "ea9" } else { "ea0" })),
    }
}

fn at_once(off: bool, family: Family) -> &'static str {
    if off { "" } else { family.at_once() }
}

/// The weather, and what it has done so far.
struct Storm<'t> {
    town: &'t Town,
    chance: Chance,
    off: BTreeMap<Switch, bool>,
    name: &'static str,
    events: u64,
    refused: u64,
    heard: Heard,
}

impl Storm<'_> {
    /// A handful of events at once, in the order of the drum.
    fn gust(&mut self, drum: &[Switch]) {
        let (mut near, mut far) = (String::new(), String::new());
        for _ in 0..=self.chance.below(GUST) {
            let at = usize::try_from(self.chance.below(drum.len() as u64)).unwrap();
            let switch = drum[at];
            let off = self.off.entry(switch).or_default();
            *off = !*off;
            let off = *off;
            match command(switch, off, self.name) {
                At::Gateway(line) => near += &(line + "\n"),
                At::Internet(line) => far += &(line + "\n"),
            }
            if switch == Switch::Name {
                self.name = if off { "ea9" } else { "ea0" };
            }
            self.events += 1;
        }
        let bed = &self.town.bed;
        let complaints = bed.gateway.try_ip(&near) + &bed.internet.try_ip(&far);
        let refused = complaints.lines().filter(|line| line.starts_with("Command failed")).count();
        self.refused += refused as u64;
    }

    /// Everything is brought back, and mail flows for a while.
    fn calm(&mut self, pull: bool) {
        let bed = &self.town.bed;
        if pull {
            // A new interface, with indexes that none had before.
            bed.gateway.try_ip(&format!("link del {}\n", self.name));
            self.events += 2;
        }
        for family in Family::BOTH {
            for switch in [
                Switch::ManageFirst(family),
                Switch::ManageHost(family),
                Switch::ManageHalf(family),
            ] {
                if let At::Gateway(line) = command(switch, false, "ea0") {
                    bed.gateway.try_ip(&line);
                }
            }
        }
        mend(bed, Walls::ALL);
        self.off.clear();
        self.name = "ea0";
        std::thread::sleep(CALM);
        self.listen();
    }

    fn listen(&mut self) {
        let heard = self.town.listen("in the storm");
        self.heard.add(heard);
    }
}

fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn no_order_of_events_makes_mail_leak_or_lose_its_way() {
    let (events, seed) = (asked("POSTERN_EVENTS", EVENTS), asked("POSTERN_SEED", SEED));
    println!("seed {seed}");
    let town = Town::new("");
    let began = Instant::now();
    let over = AtomicBool::new(false);
    let mut storm = Storm {
        town: &town,
        chance: Chance::new(seed),
        off: BTreeMap::new(),
        name: "ea0",
        events: 0,
        refused: 0,
        heard: Heard::default(),
    };
    let posted = std::thread::scope(|scope| {
        let mail = scope.spawn(|| {
            let mut application = town.application();
            let mut posted = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let domain = ["example.net", "four.test", "six.test"][posted.len() % 3];
                let to = format!("n{}@{domain}", posted.len());
                application.post(&to);
                posted.push(to);
                std::thread::sleep(Duration::from_millis(40));
            }
            posted
        });
        let drum = drum();
        let mut calms = 0;
        while storm.events < events {
            for _ in 0..GUSTS {
                storm.gust(&drum);
                std::thread::sleep(Duration::from_micros(storm.chance.below(30_000)));
            }
            calms += 1;
            storm.calm(calms % 4 == 0);
        }
        over.store(true, Ordering::Relaxed);
        mail.join().unwrap()
    });
    let raged = began.elapsed();
    let during = town.receiver.taken().len();
    let waited = Instant::now();
    while town.gateway.queued() > 0 {
        assert!(waited.elapsed() < PATIENCE, "{}", town.gateway.json(&["queue", "list"]));
        // Whoever heard of us what a lost reply left in doubt is asked again at once.
        town.gateway.json(&["queue", "retry", "--all"]);
        std::thread::sleep(Duration::from_millis(500));
    }
    storm.listen();
    report(&storm, &posted, during, raged, waited.elapsed());
}

/// What became of every message, and of every packet.
fn report(storm: &Storm<'_>, posted: &[String], during: usize, raged: Duration, after: Duration) {
    let town = storm.town;
    let told = town.gateway.told();
    let count = |words: &str| told.lines().filter(|line| line.contains(words)).count();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for taken in town.receiver.taken() {
        assert_eq!(taken.from, Wire::A.ours(Family::of(taken.from)), "{taken:?}");
        *times.entry(taken.to).or_default() += 1;
    }
    let lost: Vec<&String> = posted.iter().filter(|to| !times.contains_key(*to)).collect();
    let twice = times.values().filter(|times| **times > 1).count();
    println!(
        "{} events ({} of no effect) in {} s, {} messages, {during} of them delivered meanwhile, \
         the rest after {} ms; {} packets of the mail path on the right wire, {} on others; \
         {} in doubt, {twice} delivered twice, {} deferred, suspended {} times",
        storm.events,
        storm.refused,
        raged.as_secs(),
        posted.len(),
        after.as_millis(),
        storm.heard.rights(),
        storm.heard.wrong.len(),
        count("in doubt"),
        count("status=deferred"),
        count("egress a suspended"),
    );
    assert_eq!(lost, Vec::<&String>::new(), "lost");
    assert_eq!(count("status=bounced") + count("status=expired"), 0, "came back");
    assert!(storm.heard.rights() > 0 && during > 0);
    assert!(times.keys().all(|to| posted.contains(to)), "{times:?}");
}
