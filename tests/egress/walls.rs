//! Each wall by itself: with one of them missing the proof must fail, or it would prove nothing.
//!
//! The opener here does what the broker does, step by step, and can leave a step out. Three speak
//! in turn: the broker; a name server of the machine that binds its source and no device; and a
//! stranger who binds nothing. What is found is a packet on another wire, another source on the
//! right one, a packet that only the guard stopped, or mail that does not flow at all.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use nix::unistd::{Uid, setfsuid};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::bed::capture::Heard;
use crate::bed::echo::echo;
use crate::bed::space::Ticket;
use crate::bed::wires::{BROKER, Bed, Counted, Family, Walls, Wire};
use crate::matrix::{STATES, State, mend};

/// The wait for a connection, and for what the kernel sends on its own.
const WAIT: Duration = Duration::from_millis(40);

/// States that are tried with each set of walls.
const TRIED: [&str; 8] = [
    "up",
    "admin down",
    "carrier lost",
    "carrier lost, dead routes ignored",
    "default route withdrawn",
    "address removed",
    "address on the manage interface",
    FLUSHED,
];

/// The state in which the host's routing is gone altogether.
const FLUSHED: &str = "rules and table flushed";

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Broker,
    NameServer,
    Stranger,
}

/// What stands: the steps of the opener, and the walls of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stack {
    device: bool,
    source: bool,
    walls: Walls,
}

const NAMES: [&str; 5] = ["device", "source", "rule", "unreachable", "guard"];

impl Stack {
    /// The walls whose bits are set, in the order of `NAMES`.
    fn of(bits: u8) -> Self {
        let on = |bit: u8| bits & (1 << bit) != 0;
        let walls = Walls { rule: on(2), unreachable: on(3), guard: on(4) };
        Self { device: on(0), source: on(1), walls }
    }

    fn without(name: &str) -> Self {
        let at = NAMES.iter().position(|known| *known == name).unwrap();
        Self::of(31 & !(1 << at))
    }

    fn name(bits: u8) -> String {
        let on: Vec<&str> =
            (0..5).filter(|bit| bits & (1 << bit) != 0).map(|bit| NAMES[bit]).collect();
        if on.is_empty() { "none".to_owned() } else { on.join("+") }
    }
}

/// What one try showed.
#[derive(Clone, Debug, Default)]
struct Shown {
    heard: Heard,
    counted: Counted,
    /// A new connection was made.
    worked: bool,
}

impl Shown {
    /// Packets of an egress or of the mail path on another wire.
    fn leaked(&self) -> bool {
        self.heard.wrong.iter().any(|wrong| wrong.wire != Wire::A)
    }

    /// Packets on the right wire with another source.
    fn odd_source(&self) -> bool {
        self.heard.wrong.iter().any(|wrong| wrong.wire == Wire::A)
    }
}

/// A gateway with a host to speak to.
struct Site {
    bed: Bed,
    _hosts: Ticket,
}

impl Site {
    fn new() -> Self {
        let bed = Bed::new();
        let hosts = Family::BOTH.map(|family| family.host(7));
        bed.add_hosts(&hosts);
        let places = hosts.iter().flat_map(|host| [25, 53].map(|port| (*host, port).into()));
        let hosts = echo(&bed.internet, places.collect());
        Self { bed, _hosts: hosts }
    }

    /// A connection to be before the state, then the state, a new connection and a word on the
    /// old one.
    fn strike(&self, stack: Stack, who: Speaker, state: &State, family: Family) -> Shown {
        mend(&self.bed, stack.walls);
        self.bed.capture.take();
        let port = if who == Speaker::NameServer { 53 } else { 25 };
        let to = SocketAddr::new(family.host(7), port);
        let (bed, capture) = (&self.bed, &self.bed.capture);
        let worked = bed.gateway.within(|| {
            let user = if who == Speaker::Broker { BROKER } else { BROKER + 1 };
            setfsuid(Uid::from_raw(user));
            let old = open(stack, who, to).ok();
            setfsuid(Uid::from_raw(0));
            (state.break_it)(bed, family);
            setfsuid(Uid::from_raw(user));
            let new = open(stack, who, to);
            // The socket may refuse; the wire is what counts.
            let _ = old.as_ref().map(|old| old.send(b"QUIT\r\n"));
            std::thread::sleep(WAIT);
            setfsuid(Uid::from_raw(0));
            new.is_ok()
        });
        Shown { heard: capture.take(), counted: bed.counted(), worked }
    }
}

/// As the broker opens a socket, less the steps that are missing.
fn open(stack: Stack, who: Speaker, to: SocketAddr) -> io::Result<Socket> {
    let family = Family::of(to.ip());
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if stack.device && who == Speaker::Broker {
        socket.bind_device(Some(Wire::A.near().as_bytes()))?;
    }
    // What is closed is gone: the kernel's last words for it would fall into the next cell.
    socket.set_linger(Some(Duration::ZERO))?;
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    if stack.source && who != Speaker::Stranger {
        socket.bind(&SockAddr::from(SocketAddr::new(Wire::A.ours(family), 0)))?;
    }
    socket.connect_timeout(&SockAddr::from(to), WAIT)?;
    Ok(socket)
}

/// Does `work` for each of `tasks` on a few gateways side by side.
fn spread<T: Send, R: Send>(tasks: Vec<T>, work: impl Fn(&Site, T) -> R + Sync) -> Vec<R> {
    let (tasks, done) = (Mutex::new(tasks), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let site = Site::new();
                loop {
                    let Some(task) = tasks.lock().unwrap().pop() else { break };
                    let result = work(&site, task);
                    done.lock().unwrap().push(result);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// The states that are tried.
fn tried() -> Vec<&'static State> {
    STATES.iter().filter(|state| TRIED.contains(&state.name)).collect()
}

/// The proof for a set of walls; what it complains of.
fn examine(site: &Site, stack: Stack) -> Vec<String> {
    let mut findings = Vec::new();
    for state in tried() {
        for family in Family::BOTH {
            for who in [Speaker::Broker, Speaker::NameServer, Speaker::Stranger] {
                if state.name == FLUSHED && who == Speaker::NameServer {
                    // It has no wall left but the guard, which stops it: that is not a finding.
                    continue;
                }
                let shown = site.strike(stack, who, state, family);
                let mut find = |what: String| {
                    findings.push(format!("{who:?}, {}, {family:?}: {what}", state.name));
                };
                if let Some(wrong) = shown.heard.wrong.first() {
                    find(format!("{:?} {}", wrong.wire, wrong.what));
                }
                if who == Speaker::Stranger {
                    continue;
                }
                if shown.counted.stopped > 0 {
                    find(format!("only the guard stopped {} packets", shown.counted.stopped));
                }
                if state.name == "up" && !shown.worked {
                    find("mail does not flow".to_owned());
                }
            }
        }
    }
    findings
}

/// The ear hears a leak, and the counter counts it: else silence would prove nothing.
#[test]
fn a_leak_is_heard() {
    let site = Site::new();
    let up = &STATES[0];
    for family in Family::BOTH {
        let naked = site.strike(Stack::of(0), Speaker::Broker, up, family);
        assert!(naked.worked && naked.leaked(), "{family:?}: {naked:?}");
        assert!(naked.counted.passed > 0, "{family:?}: {naked:?}");
        assert!(naked.heard.wrong.iter().all(|wrong| wrong.port == 25 || wrong.port == 0));
        let by_source = site.strike(Stack::of(0b10), Speaker::Broker, up, family);
        assert!(by_source.leaked() && by_source.counted.passed > 0, "{by_source:?}");
        let dressed = site.strike(Stack::of(31), Speaker::Broker, up, family);
        assert!(dressed.worked && dressed.heard.wrong.is_empty(), "{dressed:?}");
        assert!(dressed.heard.rights() > 0 && dressed.counted.right > 0, "{dressed:?}");
    }
    let only_device = site.strike(
        Stack::of(0b1),
        Speaker::Broker,
        STATES.iter().find(|state| state.name == "address removed").unwrap(),
        Family::V4,
    );
    assert!(only_device.odd_source(), "{only_device:?}");
}

/// With all walls the proof holds; without any one of them it fails.
#[test]
fn every_missing_wall_is_found() {
    let began = Instant::now();
    let mut tasks = vec!["nothing"];
    tasks.extend(NAMES);
    let examined: BTreeMap<&str, Vec<String>> = spread(tasks, |site, missing| {
        let stack = if missing == "nothing" { Stack::of(31) } else { Stack::without(missing) };
        (missing, examine(site, stack))
    })
    .into_iter()
    .collect();
    for (missing, findings) in &examined {
        println!("without {missing}: {} findings", findings.len());
        for finding in findings.iter().take(4) {
            println!("    {finding}");
        }
    }
    println!("{} s", began.elapsed().as_secs());
    assert_eq!(examined["nothing"], Vec::<String>::new());
    for missing in NAMES {
        // What the broker does itself shows in the broker's own sockets.
        let whose = if ["device", "source"].contains(&missing) { "Broker" } else { "" };
        let found = examined[missing].iter().any(|finding| finding.starts_with(whose));
        assert!(found, "nobody missed {missing}: {:?}", examined[missing]);
    }
}

/// Every set of walls, for the broker's sockets: what leaks when two fall, or three, or all.
#[test]
fn walls_stand_behind_walls() {
    let began = Instant::now();
    let rows: BTreeMap<u8, [usize; 5]> = spread((0..32).collect(), |site, bits: u8| {
        let mut row = [0; 5];
        for state in tried() {
            for family in Family::BOTH {
                let shown = site.strike(Stack::of(bits), Speaker::Broker, state, family);
                row[0] += usize::from(shown.leaked());
                row[1] += usize::from(shown.odd_source());
                row[2] += usize::from(shown.counted.stopped > 0);
                row[3] += usize::from(state.name == "up" && shown.worked);
                row[4] += usize::from(shown.leaked() && state.name != FLUSHED);
            }
        }
        (bits, row)
    })
    .into_iter()
    .collect();
    let cells = TRIED.len() * 2;
    println!("of {cells} cells:  leaked, with another source, stopped by the guard; works when up");
    for (bits, [leaked, odd, stopped, works, _]) in &rows {
        let name = Stack::name(*bits);
        println!("{name:42} {leaked:3} {odd:3} {stopped:3}   {works}/2");
    }
    println!("{} sets of walls, {} cells, {} s", rows.len(), 32 * cells, began.elapsed().as_secs());
    // Nothing at all, the source alone and the usual recipe leak.
    for naked in [0, 0b10, 0b110] {
        assert!(rows[&naked][0] > 0, "{}", Stack::name(naked));
    }
    // Whichever single wall falls, the others hold: nothing leaves by another wire. Two things are
    // the guard's alone: the kernel asks the right wire for neighbours in the name of another
    // address, and when rules and tables are gone too, its acknowledgements for IPv6 sockets that
    // were closed keep to no device.
    for whole in (0..5).map(|bit| 31 & !(1 << bit)).chain([31]) {
        let [leaked, odd, _, _, leaked_unflushed] = rows[&whole];
        assert_eq!(leaked_unflushed, 0, "{}", Stack::name(whole));
        assert!(whole & 16 == 0 || (leaked, odd) == (0, 0), "{}", Stack::name(whole));
    }
    assert_eq!(rows[&31][2..4], [0, 2]);
}
