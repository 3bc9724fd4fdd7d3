//! The leak matrix: states of the way out × families × new and established sockets × SMTP, DNS and
//! policies, through the real broker. In no cell may a packet be seen where it must not be.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use postern::net::broker::words::{Orders, Permit};
use postern::net::egress::{EgressClient, EgressError, Health};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::bed::broker::{Broker, egress};
use crate::bed::capture::Heard;
use crate::bed::echo::echo;
use crate::bed::wires::{Bed, Family, Walls, Wire};

/// The wait for a connection; the wires are a memory copy long.
const WAIT: Duration = Duration::from_millis(150);

/// Longer than the broker takes to see what has changed.
const BEAT: Duration = Duration::from_secs(10);

/// Protocols of the mail path: a name and the port.
const SPEECHES: [(&str, u16); 3] = [("SMTP", 25), ("DNS", 53), ("MTA-STS", 443)];

/// What a new socket must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It works.
    Open,
    /// The egress is suspended, and the broker says so by itself with one of these words.
    Suspended(&'static [&'static str]),
    /// As before, once the broker has looked: until then it may be open, on the right wire and with
    /// the right source, because the address is still one of the machine's.
    Soon(&'static [&'static str]),
    /// Nothing of ours is missing that the kernel knows of: it is not reached, whatever the words.
    Unreached,
}

/// A state of the way out.
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) break_it: fn(&Bed, Family),
    expected: Expected,
}

const NO_LINK: Expected = Expected::Suspended(&["no link"]);
const NO_ADDRESS: Expected = Expected::Suspended(&["lost the address"]);
const NO_ROUTE: Expected = Expected::Suspended(&["route"]);
const NO_DEVICE: Expected = Expected::Suspended(&["does not exist"]);

fn near(bed: &Bed, lines: &str) {
    bed.gateway.ip(lines);
}

fn families(lines: impl Fn(&str) -> String) -> String {
    Family::BOTH.iter().map(|family| lines(family.flag())).collect()
}

/// Of both families: an egress is whole as long as it reaches a name server.
fn drop_defaults(bed: &Bed) {
    near(bed, &families(|flag| format!("{flag} route del default table 103 metric 10\n")));
}

fn drop_address(bed: &Bed, family: Family) {
    let address = Wire::A.ours(family);
    near(bed, &format!("addr del {address}{} dev ea0\n", family.prefix()));
}

fn move_address(bed: &Bed, family: Family, to: Wire) {
    drop_address(bed, family);
    let address = Wire::A.ours(family);
    let (prefix, at_once) = (family.prefix(), family.at_once());
    near(bed, &format!("addr add {address}{prefix} dev {} {at_once}\n", to.near()));
}

fn flush_rules() -> String {
    families(|flag| {
        let mut lines = String::new();
        for wire in [Wire::A, Wire::B] {
            for base in [1000, 2000] {
                writeln!(lines, "{flag} rule del priority {}", base + wire.table()).unwrap();
            }
        }
        lines
    })
}

pub(crate) const STATES: [State; 18] = [
    State { name: "up", break_it: |_, _| {}, expected: Expected::Open },
    State {
        name: "admin down",
        break_it: |bed, _| near(bed, "link set ea0 down\n"),
        expected: NO_LINK,
    },
    State {
        name: "carrier lost",
        break_it: |bed, _| bed.internet.ip("link set af0 down\n"),
        expected: NO_LINK,
    },
    State {
        name: "carrier lost, dead routes ignored",
        break_it: |bed, _| {
            for family in ["ipv4", "ipv6"] {
                let path = format!("net/{family}/conf/ea0/ignore_routes_with_linkdown");
                bed.gateway.sysctl(&path, "1");
            }
            bed.internet.ip("link set af0 down\n");
        },
        expected: NO_LINK,
    },
    State {
        name: "default route withdrawn",
        break_it: |bed, _| drop_defaults(bed),
        expected: NO_ROUTE,
    },
    State {
        name: "table flushed",
        break_it: |bed, _| near(bed, &families(|flag| format!("{flag} route flush table 103\n"))),
        expected: NO_ROUTE,
    },
    State {
        name: "rules flushed",
        break_it: |bed, _| drop(bed.gateway.try_ip(&flush_rules())),
        expected: NO_ROUTE,
    },
    State {
        name: "rules and table flushed",
        break_it: |bed, _| {
            drop(bed.gateway.try_ip(&flush_rules()));
            near(bed, &families(|flag| format!("{flag} route flush table 103\n")));
        },
        expected: NO_ROUTE,
    },
    State { name: "address removed", break_it: drop_address, expected: NO_ADDRESS },
    State {
        name: "address on the manage interface",
        break_it: |bed, family| move_address(bed, family, Wire::Manage),
        expected: Expected::Soon(&["lost the address"]),
    },
    State {
        name: "address on egress B",
        break_it: |bed, family| move_address(bed, family, Wire::B),
        expected: Expected::Soon(&["lost the address"]),
    },
    State {
        name: "lease lost",
        break_it: |bed, family| {
            drop_defaults(bed);
            drop_address(bed, family);
        },
        expected: Expected::Suspended(&["lost the address", "route"]),
    },
    State {
        name: "renamed",
        break_it: |bed, _| near(bed, "link set ea0 name ea9\n"),
        expected: NO_DEVICE,
    },
    State {
        name: "another interface has its name",
        break_it: |bed, _| near(bed, "link set ea0 name ea9\nlink set eb0 name ea0\n"),
        expected: NO_ADDRESS,
    },
    State {
        name: "unplugged",
        break_it: |bed, _| near(bed, "link del ea0\n"),
        expected: NO_DEVICE,
    },
    State {
        name: "unplugged, another one plugged in",
        break_it: |bed, _| {
            near(bed, "link del ea0\n");
            bed.plug(Wire::A);
            near(bed, "link set ea0 up\n");
        },
        expected: NO_ADDRESS,
    },
    State {
        name: "gateway dead",
        break_it: |bed, family| {
            let router = Wire::A.router(family);
            bed.internet.ip(&format!("addr del {router}{} dev af0\n", family.prefix()));
            near(bed, "neigh flush dev ea0\n");
        },
        expected: Expected::Unreached,
    },
    State {
        name: "a better route by the manage interface",
        break_it: |bed, family| {
            let (flag, router) = (family.flag(), Wire::Manage.router(family));
            let host = family.host(7);
            near(
                bed,
                &format!(
                    "{flag} route add {host} via {router} dev m0\n\
                     {flag} route add default via {router} dev m0 metric 1\n"
                ),
            );
        },
        expected: Expected::Open,
    },
];

/// Brings everything back.
pub(crate) fn mend(bed: &Bed, walls: Walls) {
    let there = bed.gateway.ask("ip", &["-o", "link", "show"]);
    let has = |name: &str| there.contains(&format!(" {name}@"));
    if has("ea9") && has("ea0") {
        near(bed, "link set ea0 name eb0\n");
    }
    if has("ea9") {
        near(bed, "link set ea9 name ea0\n");
    } else if !has("ea0") {
        bed.plug(Wire::A);
    }
    for family in Family::BOTH {
        let (flag, router) = (family.flag(), Wire::Manage.router(family));
        let host = family.host(7);
        bed.gateway.try_ip(&format!(
            "{flag} route del {host} via {router} dev m0\n\
             {flag} route del default via {router} dev m0 metric 1\n"
        ));
    }
    bed.provision_far(Wire::A);
    bed.provision(walls);
    near(bed, "neigh flush dev ea0\n");
}

/// A socket that was opened before.
enum Established {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// One gateway with its broker.
struct Site {
    bed: Bed,
    broker: Broker,
    _hosts: crate::bed::space::Ticket,
}

impl Site {
    async fn new() -> Self {
        let bed = Bed::new();
        let hosts = Family::BOTH.map(|family| family.host(7));
        bed.add_hosts(&hosts);
        let places = hosts.iter().flat_map(|host| SPEECHES.map(|(_, port)| (*host, port).into()));
        let echoes = echo(&bed.internet, places.collect());
        let resolvers = hosts.map(|host| SocketAddr::new(host, 53).to_string());
        let resolvers: Vec<&str> = resolvers.iter().map(String::as_str).collect();
        let orders = Orders {
            egresses: vec![egress(Wire::A, "a", &resolvers)],
            permits: vec![Permit { address: None, port: 443 }],
            own: Vec::new(),
        };
        let broker = Broker::start(&bed.gateway, orders).await;
        let site = Self { bed, broker, _hosts: echoes };
        site.whole("at first").await;
        site
    }

    fn client(&self) -> &EgressClient {
        &self.broker.client
    }

    async fn whole(&self, when: &str) {
        let mut health = self.client().health();
        let is_whole = |health: &Health| health.values().all(Option::is_none);
        let told = tokio::time::timeout(BEAT, health.wait_for(is_whole)).await.is_ok();
        assert!(told, "{when}: {:?}", self.client().suspended("a"));
    }

    /// Opens a socket and lets it say something; the answer must come.
    async fn speak(&self, to: SocketAddr) -> Result<Established, EgressError> {
        let mut established = if to.port() == 53 {
            Established::Udp(self.client().udp("a", to).await?)
        } else {
            Established::Tcp(self.client().connect_tcp("a", to, WAIT).await?)
        };
        let answered = tokio::time::timeout(WAIT, established.say()).await;
        if answered == Ok(true) { Ok(established) } else { Err(EgressError::TimedOut) }
    }

    /// The cells of one state and one family: six.
    async fn strike(&self, state: &State, family: Family, told: &mut Vec<String>) -> Heard {
        let at = |port| SocketAddr::new(family.host(7), port);
        let mut old = Vec::new();
        for (speech, port) in SPEECHES {
            let opened = self.speak(at(port)).await;
            old.push(opened.unwrap_or_else(|e| panic!("{speech} before {}: {e}", state.name)));
        }
        let before = self.bed.capture.take();
        assert_eq!(before.wrong, [], "before {}", state.name);
        (state.break_it)(&self.bed, family);
        for established in &mut old {
            established.whisper();
        }
        let new = tokio::join!(self.speak(at(25)), self.speak(at(53)), self.speak(at(443)));
        let new = [new.0, new.1, new.2];
        self.judge_new(state, family, &new).await;
        // Whatever the kernel sends again by itself has been sent by now.
        tokio::time::sleep(WAIT).await;
        for established in &mut old {
            established.whisper();
        }
        let heard = self.bed.capture.take();
        assert_eq!(heard.wrong, [], "{} {family:?}", state.name);
        let counted = self.bed.counted();
        assert_eq!(counted.passed, 0, "{} {family:?}: {counted:?}", state.name);
        let verdict = new[0].as_ref().err().map_or("open".to_owned(), ToString::to_string);
        told.push(format!(
            "{:40} {family:?}  6 cells, {:4} right, 0 wrong, {} strays, guard {}: {verdict}",
            state.name,
            before.rights() + heard.rights(),
            heard.strays.len(),
            counted.stopped
        ));
        drop(old);
        mend(&self.bed, Walls::ALL);
        self.whole(state.name).await;
        for (speech, port) in SPEECHES {
            let again = self.speak(at(port)).await;
            assert!(again.is_ok(), "{speech} after {}: {:?}", state.name, again.err());
        }
        let mut all = self.bed.capture.take();
        assert_eq!(all.wrong, [], "after {}", state.name);
        all.add(before);
        all.add(heard);
        all
    }

    async fn judge_new(
        &self,
        state: &State,
        family: Family,
        new: &[Result<Established, EgressError>; 3],
    ) {
        for (opened, (speech, _)) in new.iter().zip(SPEECHES) {
            let verdict = opened.as_ref().err();
            let right = match state.expected {
                Expected::Open => verdict.is_none(),
                // A datagram may be on its way before the broker has seen what happened.
                Expected::Suspended(_) if speech == "DNS" => verdict.is_some(),
                Expected::Suspended(_) => matches!(verdict, Some(EgressError::Suspended(_))),
                Expected::Soon(_) => true,
                Expected::Unreached => verdict.is_some(),
            };
            assert!(right, "{} {family:?} {speech}: {verdict:?}", state.name);
        }
        if let Expected::Suspended(words) | Expected::Soon(words) = state.expected {
            let mut health = self.client().health();
            let said = |health: &Health| {
                let cause = health["a"].as_deref().unwrap_or_default();
                words.iter().any(|words| cause.contains(words))
            };
            let told = tokio::time::timeout(BEAT, health.wait_for(said)).await.is_ok();
            assert!(told, "{} {family:?}: {:?}", state.name, self.client().suspended("a"));
            for (speech, port) in SPEECHES {
                let verdict = self.speak(SocketAddr::new(family.host(7), port)).await.err();
                let suspended = matches!(verdict, Some(EgressError::Suspended(_)));
                assert!(suspended, "{} {family:?} {speech}: {verdict:?}", state.name);
            }
        }
    }
}

impl Established {
    async fn say(&mut self) -> bool {
        let mut octets = [0; 16];
        match self {
            Self::Tcp(stream) => {
                stream.write_all(b"hello").await.is_ok()
                    && stream.read(&mut octets).await.is_ok_and(|count| count == 5)
            }
            Self::Udp(socket) => {
                socket.send(b"hello").await.is_ok()
                    && socket.recv(&mut octets).await.is_ok_and(|count| count == 5)
            }
        }
    }

    /// Says something and does not wait. The socket may refuse.
    fn whisper(&mut self) {
        let _ = match self {
            Self::Tcp(stream) => stream.try_write(b"hello again"),
            Self::Udp(socket) => socket.try_send(b"hello again"),
        };
    }
}

/// Every cell; gateways side by side, because most of a cell is waiting.
#[test]
fn nothing_leaks_in_any_cell() {
    const SITES: usize = 4;
    let began = Instant::now();
    let mut work: Vec<_> =
        STATES.iter().flat_map(|state| Family::BOTH.map(|family| (state, family))).collect();
    let cells = work.len() * 2 * SPEECHES.len();
    work.reverse();
    let work = Mutex::new(work);
    let (total, told) = (Mutex::new(Heard::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..SITES {
            scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let site = Site::new().await;
                    loop {
                        let Some((state, family)) = work.lock().unwrap().pop() else { break };
                        let mut lines = Vec::new();
                        let heard = site.strike(state, family, &mut lines).await;
                        total.lock().unwrap().add(heard);
                        told.lock().unwrap().extend(lines);
                    }
                });
            });
        }
    });
    let mut told = told.into_inner().unwrap();
    told.sort();
    for line in told {
        println!("{line}");
    }
    let total = total.into_inner().unwrap();
    println!(
        "{cells} cells, {} packets of the mail path on the right wire, {} on others, {} s",
        total.rights(),
        total.wrong.len(),
        began.elapsed().as_secs()
    );
    assert!(cells >= 108);
    for family in Family::BOTH {
        for (_, port) in SPEECHES {
            assert!(total.right[&(Wire::A, family, port)] > 20, "{family:?} {port}");
        }
    }
}
