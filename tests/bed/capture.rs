//! An ear on every wire: all that arrives at the Internet's ends, judged as it comes.
//!
//! It listens outside the gateway's namespace, so that nothing on the gateway can fool it. A mark
//! is a datagram of ours that the ear hears behind everything that was sent before it.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::space::Space;
use super::wires::{Family, Wire};

/// Ports of the mail path: SMTP, DNS, policies.
pub(crate) const PORTS: [u16; 3] = [25, 53, 443];

/// Where marks go, in the Internet's loopback.
const MARK: u16 = 9;

/// Longer than a mark takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Room for a burst: the ear must never miss a packet.
const QUEUE_OCTETS: usize = 32 * 1024 * 1024;

/// The packet type of what this end sends itself (`linux/if_packet.h`).
const OUTGOING: u8 = 4;

/// What a packet is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Of the mail path, by a wire that carries mail, from the source of that wire.
    Right(Wire, Family, u16),
    /// On a wire that carries mail, a question for a neighbour that is none.
    Stray(IpAddr),
    /// What must never be: the mail path or an egress's source on another wire, or another source
    /// on a wire that carries mail.
    Wrong(Wrong),
    /// None of our business.
    Other,
}

/// A packet that should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) wire: Wire,
    pub(crate) family: Family,
    /// The port that it was for; 0 if it has none.
    pub(crate) port: u16,
    pub(crate) what: String,
}

/// What was heard since the last mark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) right: BTreeMap<(Wire, Family, u16), u64>,
    pub(crate) strays: Vec<IpAddr>,
    pub(crate) wrong: Vec<Wrong>,
    /// All packets on all wires.
    pub(crate) packets: u64,
    /// Packets that the kernel had no room for; the ear is deaf if there are any.
    pub(crate) lost: u32,
}

impl Heard {
    /// Adds what was heard later.
    pub(crate) fn add(&mut self, later: Self) {
        for (key, count) in later.right {
            *self.right.entry(key).or_default() += count;
        }
        self.strays.extend(later.strays);
        self.wrong.extend(later.wrong);
        self.packets += later.packets;
        self.lost = later.lost;
    }

    /// Packets of the mail path on the right wires.
    pub(crate) fn rights(&self) -> u64 {
        self.right.values().sum()
    }
}

#[derive(Default)]
struct Log {
    heard: Heard,
    marks: u64,
    /// Wires that may carry mail.
    ways: Vec<Wire>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    marked: Condvar,
    over: AtomicBool,
}

/// The ear.
pub(crate) struct Capture {
    shared: Arc<Shared>,
    marker: UdpSocket,
    next: Mutex<u64>,
}

impl Capture {
    /// Listens in `space`, whose interfaces are those of `wires`; mail may leave by A alone.
    pub(crate) fn start(space: &Space, wires: Arc<Mutex<Vec<(usize, Wire)>>>) -> Self {
        let shared = Arc::new(Shared::default());
        shared.log.lock().unwrap().ways.push(Wire::A);
        let (ear, marker) = space.within(|| {
            let kind = (AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC);
            let ear = socket(kind.0, kind.1, kind.2, SockProtocol::EthAll).unwrap();
            setsockopt(&ear, sockopt::RcvBufForce, &QUEUE_OCTETS).unwrap();
            setsockopt(&ear, sockopt::RxqOvfl, &1).unwrap();
            setsockopt(&ear, sockopt::ReceiveTimeout, &TimeVal::new(0, 50_000)).unwrap();
            let marker = UdpSocket::bind("127.0.0.1:0").unwrap();
            marker.connect(("127.0.0.1", MARK)).unwrap();
            (ear, marker)
        });
        let heard = shared.clone();
        std::thread::spawn(move || {
            while !heard.over.load(Ordering::Relaxed) {
                listen(&ear, &heard, &wires);
            }
        });
        Self { shared, marker, next: Mutex::new(0) }
    }

    /// Everything that was heard since the last time, up to this moment.
    pub(crate) fn take(&self) -> Heard {
        let mark = {
            let mut next = self.next.lock().unwrap();
            *next += 1;
            *next
        };
        // Nobody listens at that port; the complaint about the mark before is none.
        while self.marker.send(&mark.to_be_bytes()).is_err() {}
        let log = self.shared.log.lock().unwrap();
        let (mut log, late) =
            self.shared.marked.wait_timeout_while(log, PATIENCE, |l| l.marks < mark).unwrap();
        assert!(!late.timed_out(), "the ear is deaf");
        let heard = std::mem::take(&mut log.heard);
        log.heard.lost = heard.lost;
        assert_eq!(heard.lost, 0, "packets were not heard");
        heard
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

/// One packet, or a little patience.
fn listen(
    ear: &std::os::fd::OwnedFd,
    shared: &Shared,
    wires: &Mutex<Vec<(usize, Wire)>>,
) -> Option<()> {
    let mut octets = [0; 256];
    let mut control = cmsg_space!(u32);
    let mut slices = [IoSliceMut::new(&mut octets)];
    let flags = MsgFlags::empty();
    let fd = ear.as_raw_fd();
    let message = recvmsg::<LinkAddr>(fd, &mut slices, Some(&mut control), flags).ok()?;
    let lost = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::RxqOvfl(lost) => Some(lost),
        _ => None,
    });
    let (from, length) = (message.address?, message.bytes);
    let frame = &octets[..length];
    let mut log = shared.log.lock().unwrap();
    log.heard.lost = lost.unwrap_or(log.heard.lost);
    if from.ifindex() == 1 {
        if let Some(mark) = mark(frame) {
            log.marks = log.marks.max(mark);
            shared.marked.notify_all();
        }
        return None;
    }
    if from.pkttype() == OUTGOING {
        return None;
    }
    let wire = wires.lock().unwrap().iter().find(|(i, _)| *i == from.ifindex()).map(|(_, w)| *w)?;
    let judged = judge(frame, wire, &log.ways);
    log.heard.packets += 1;
    match judged {
        Judged::Right(wire, family, port) => {
            *log.heard.right.entry((wire, family, port)).or_default() += 1;
        }
        Judged::Stray(to) => log.heard.strays.push(to),
        Judged::Wrong(wrong) => log.heard.wrong.push(wrong),
        Judged::Other => {}
    }
    Some(())
}

/// The number of a mark.
fn mark(frame: &[u8]) -> Option<u64> {
    let packet = Packet::read(frame)?;
    let ours = packet.protocol == UDP && packet.port == MARK && packet.to == Ipv4Addr::LOCALHOST;
    let number = frame.get(14 + 28..14 + 28 + 8).filter(|_| ours)?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;

/// What matters of a packet.
struct Packet {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    /// Destination port; 0 if it has none.
    port: u16,
    /// The flags of TCP.
    flags: u8,
    /// Who is asked for, if it is a question for a neighbour.
    wanted: Option<IpAddr>,
}

impl Packet {
    fn read(frame: &[u8]) -> Option<Self> {
        let body = frame.get(14..)?;
        let v4 = |at: usize| {
            let four: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
            Some(IpAddr::from(Ipv4Addr::from(four)))
        };
        let v6 = |at: usize| {
            let sixteen: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(sixteen)))
        };
        let port = |at: usize| {
            let two = body.get(at..at + 2).and_then(|two| two.try_into().ok());
            two.map_or(0, u16::from_be_bytes)
        };
        let flags = |protocol: u8, header: usize| {
            let octet = body.get(header + 13).filter(|_| protocol == TCP);
            octet.copied().unwrap_or_default()
        };
        match (frame[12], frame[13]) {
            (0x08, 0x06) => {
                let (from, to) = (v4(14)?, v4(24)?);
                Some(Self { from, to, protocol: 0, port: 0, flags: 0, wanted: Some(to) })
            }
            (0x08, 0x00) => {
                let header = usize::from(body[0] & 15) * 4;
                let protocol = *body.get(9)?;
                let port = if matches!(protocol, TCP | UDP) { port(header + 2) } else { 0 };
                let flags = flags(protocol, header);
                Some(Self { from: v4(12)?, to: v4(16)?, protocol, port, flags, wanted: None })
            }
            (0x86, 0xdd) => {
                let protocol = *body.get(6)?;
                let port = if matches!(protocol, TCP | UDP) { port(42) } else { 0 };
                let asks = protocol == ICMPV6 && body.get(40) == Some(&NEIGHBOUR_SOLICITATION);
                let wanted = if asks { v6(48) } else { None };
                let flags = flags(protocol, 40);
                Some(Self { from: v6(8)?, to: v6(24)?, protocol, port, flags, wanted })
            }
            _ => None,
        }
    }
}

/// Judges a packet that came in by `wire`, when mail may leave by `ways`.
pub(crate) fn judge(frame: &[u8], wire: Wire, ways: &[Wire]) -> Judged {
    let Some(packet) = Packet::read(frame) else { return Judged::Other };
    let Packet { from, to, protocol, port, flags, wanted } = packet;
    let family = Family::of(from);
    let wrong = |what: &str| {
        let what = format!("{what}: {from} to {to} port {port} protocol {protocol}/{flags:#x}");
        Judged::Wrong(Wrong { wire, family, port, what })
    };
    let nobody = from.is_unspecified() || is_link_local(from);
    let stranger = [Wire::A, Wire::B].iter().any(|way| *way != wire && from == way.ours(family));
    let mail = matches!(protocol, TCP | UDP) && PORTS.contains(&port);
    let beyond = wanted.filter(|wanted| !wire.holds(*wanted) && !is_link_local(*wanted));
    if ways.contains(&wire) {
        if from != wire.ours(family) && !nobody {
            return wrong("another source");
        }
        return match beyond {
            Some(wanted) => Judged::Stray(wanted),
            None if mail => Judged::Right(wire, family, port),
            None => Judged::Other,
        };
    }
    if mail {
        wrong("the mail path on another wire")
    } else if stranger {
        wrong("the source of an egress on another wire")
    } else if beyond.is_some() {
        wrong("a question for a neighbour that is none")
    } else {
        Judged::Other
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
