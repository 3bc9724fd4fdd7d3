//! The guard: loads, loads again, and stops what it must, counted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, setsockopt, socket,
};

use postern::host::plan::{Form, closed};

use crate::space::{alone, counted, feed, guard, plan, run, script, whole};

/// The broker's user in `wires.toml`.
const BROKER: u32 = 65534;

#[test]
fn nft_takes_it_and_takes_it_again() {
    alone(|| {
        let whole = whole("whole.toml").files(Form::Whole);
        let whole = whole.into_iter().find(|file| file.path.ends_with("guard.nft"));
        let guards = ["box.toml", "wires.toml"].map(|name| guard(&plan(name)));
        for file in guards.into_iter().chain(whole).chain([closed()]) {
            let (name, text) = (file.path.display(), file.text);
            // A user of the box need not exist where the test runs.
            let text = text.replace("\"postern-egress\"", "65533");
            feed("nft", &["-c", "-f", "-"], &text);
            feed("nft", &["-f", "-"], &text);
            feed("nft", &["-f", "-"], &text);
            let tables = run("nft list tables");
            assert_eq!(tables.trim(), "table inet postern\ntable arp postern", "{name}");
        }
    });
}

/// A socket of user `uid` that is bound to a device and a source.
pub(crate) fn bound(
    uid: u32,
    kind: SockType,
    device: Option<&str>,
    source: Option<&str>,
) -> OwnedFd {
    socket_of(uid, (kind, None), device, source)
}

fn socket_of(
    uid: u32,
    (kind, protocol): (SockType, Option<SockProtocol>),
    device: Option<&str>,
    source: Option<&str>,
) -> OwnedFd {
    // Only this thread changes its user: the raw system call, not the process-wide one.
    nix::unistd::setfsuid(uid.into());
    let made = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    nix::unistd::setfsuid(0.into());
    if let Some(device) = device {
        setsockopt(&made, BindToDevice, &device.into()).unwrap();
    }
    if let Some(source) = source {
        let address: SockaddrIn = format!("{source}:0").parse().unwrap();
        nix::sys::socket::bind(made.as_raw_fd(), &address).unwrap();
    }
    made
}

/// Tries a TCP connection that nobody answers, for a moment.
pub(crate) fn knock(socket: OwnedFd, to: &str) {
    nix::fcntl::fcntl(socket.as_fd(), nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .unwrap();
    let address: SockaddrIn = to.parse().unwrap();
    let _ = nix::sys::socket::connect(socket.as_raw_fd(), &address);
    std::thread::sleep(Duration::from_millis(20));
    drop(TcpStream::from(socket));
}

fn say(socket: OwnedFd, to: &str) {
    let _ = UdpSocket::from(socket).send_to(b"x", to);
}

fn ready() {
    feed("sh", &["-s"], &script(&plan("wires.toml")));
    // Somebody is there, so that packets go on the wire at once.
    for (address, device) in
        [("198.51.100.1", "eg0"), ("203.0.113.1", "eg1"), ("172.16.0.1", "ma0")]
    {
        run(&format!("ip neighbour replace {address} lladdr 02:00:00:00:00:01 dev {device}"));
    }
}

#[test]
fn the_broker_passes_by_its_way_with_its_source() {
    alone(|| {
        ready();
        let tcp = || bound(BROKER, SockType::Stream, Some("eg0"), Some("198.51.100.9"));
        knock(tcp(), "8.8.8.8:25");
        assert_eq!((counted("main_smtp"), counted("eg0_other")), (1, 0));
        knock(tcp(), "8.8.8.8:443");
        assert_eq!(counted("main_https"), 1);
        knock(tcp(), "8.8.8.8:80");
        assert_eq!(counted("eg0_other"), 1);
        let udp = || bound(BROKER, SockType::Datagram, Some("eg0"), Some("198.51.100.9"));
        say(udp(), "9.9.9.9:53");
        assert_eq!((counted("main_dns"), counted("eg0_other")), (1, 1));
        say(udp(), "8.8.8.8:53");
        assert_eq!((counted("main_dns"), counted("eg0_other")), (1, 2));
        let second = bound(BROKER, SockType::Stream, Some("eg0"), Some("198.51.100.10"));
        knock(second, "8.8.8.8:25");
        assert_eq!((counted("beside_smtp"), counted("main_smtp")), (1, 1));
    });
}

/// Asks whether somebody is there, and does not wait.
fn echo(socket: OwnedFd, to: &str) {
    let _ = UdpSocket::from(socket).send_to(&[8, 0, 0, 0, 0, 0, 0, 1], format!("{to}:0"));
}

#[test]
fn the_broker_asks_whether_somebody_is_there_and_nobody_else_does() {
    alone(|| {
        ready();
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
        let kind = (SockType::Datagram, Some(SockProtocol::Icmp));
        let ping = |uid, device, source| socket_of(uid, kind, device, source);
        echo(ping(BROKER, Some("eg0"), Some("198.51.100.9")), "8.8.8.8");
        assert_eq!((counted("main_ping"), counted("eg0_other")), (1, 0));
        // Not root by a way out, and not the broker elsewhere.
        echo(ping(0, Some("eg0"), Some("198.51.100.9")), "8.8.8.8");
        assert_eq!((counted("main_ping"), counted("eg0_strangers")), (1, 1));
        let before = counted("broker_elsewhere");
        echo(ping(BROKER, None, None), "8.8.8.8");
        assert_eq!((counted("main_ping"), counted("broker_elsewhere")), (1, before + 1));
    });
}

#[test]
fn nobody_else_passes() {
    alone(|| {
        ready();
        knock(bound(0, SockType::Stream, Some("eg0"), Some("198.51.100.9")), "8.8.8.8:25");
        assert_eq!((counted("eg0_strangers"), counted("main_smtp")), (1, 0));
        // Root on the way of administrators: mail is refused, other things are not our business.
        knock(bound(0, SockType::Stream, None, None), "8.8.8.8:25");
        assert_eq!(counted("smtp_elsewhere"), 1);
        knock(bound(0, SockType::Stream, None, None), "8.8.8.8:443");
        assert_eq!((counted("smtp_elsewhere"), counted("broker_elsewhere")), (1, 0));
        // The broker without its layers: no device, no source.
        knock(bound(BROKER, SockType::Stream, None, None), "8.8.8.8:25");
        assert_eq!(counted("smtp_elsewhere"), 2);
        knock(bound(BROKER, SockType::Stream, None, None), "8.8.8.8:443");
        assert!(counted("broker_elsewhere") >= 1);
        let source = counted("source_elsewhere");
        // Its source, but the rule is gone: `main` leads to the administrators.
        run("ip rule del priority 1001");
        run("ip rule del priority 2001");
        knock(bound(BROKER, SockType::Stream, None, Some("198.51.100.9")), "8.8.8.8:25");
        assert_eq!(counted("source_elsewhere"), source + 1);
        // Its device, but the wrong source.
        run("ip address add 198.51.100.200/32 dev eg0");
        knock(bound(BROKER, SockType::Stream, Some("eg0"), Some("198.51.100.200")), "8.8.8.8:25");
        assert_eq!(counted("eg0_wrong_source"), 1);
    });
}

/// A host behind the wire of `eg0`, in a namespace of its own: takes a connection at port 25,
/// hears two octets, says two, and does what `end` says. Ends with the returned sender.
struct Host {
    done: std::sync::mpsc::Receiver<()>,
}

fn host(end: impl Fn(&mut TcpStream) + Send + 'static) -> Host {
    let (tell, told) = std::sync::mpsc::channel();
    let (plug, plugged) = std::sync::mpsc::channel::<()>();
    let (finish, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        plugged.recv().unwrap();
        run("ip link set eg0p up");
        run("ip address add 198.51.100.1/24 dev eg0p");
        let listener = TcpListener::bind("198.51.100.1:25").unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut octets = [0; 2];
        stream.read_exact(&mut octets).unwrap();
        stream.write_all(b"ok").unwrap();
        end(&mut stream);
        drop(stream);
        std::thread::sleep(Duration::from_millis(300));
        finish.send(()).ok();
        // The namespace, and the host's end of the wire, stay for as long as this thread does.
        std::thread::sleep(Duration::from_secs(30));
    });
    let thread = told.recv().unwrap();
    run(&format!("ip link set eg0p netns {thread}"));
    plug.send(()).unwrap();
    told.recv().unwrap();
    Host { done }
}

fn connected() -> TcpStream {
    let socket = bound(BROKER, SockType::Stream, Some("eg0"), Some("198.51.100.9"));
    let address: SockaddrIn = "198.51.100.1:25".parse().unwrap();
    nix::sys::socket::connect(socket.as_raw_fd(), &address).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"hi").unwrap();
    let mut octets = [0; 2];
    stream.read_exact(&mut octets).unwrap();
    stream
}

/// What the guard stops, over all of its counters.
fn stopped() -> Vec<(String, u64)> {
    let names = ["eg0_strangers", "eg0_other", "eg0_wrong_source", "eg0_uninvited"];
    let elsewhere = ["source_elsewhere", "broker_elsewhere", "smtp_elsewhere"];
    let all = names.into_iter().chain(elsewhere);
    let met = all.map(|name| (name.to_owned(), counted(name)));
    met.filter(|(_, packets)| *packets > 0).collect()
}

#[test]
fn a_whole_session_passes_to_its_last_packet() {
    // Who closes first decides whose last packets have no socket any more.
    for ours_first in [true, false] {
        alone(move || {
            feed("sh", &["-s"], &script(&plan("wires.toml")));
            let host = host(move |stream| {
                if ours_first {
                    let _end = stream.read(&mut [0; 1]);
                }
            });
            let mut stream = connected();
            if !ours_first {
                assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
            }
            drop(stream);
            host.done.recv_timeout(Duration::from_secs(5)).unwrap();
            assert_eq!(counted("main_smtp"), 1);
            assert_eq!(stopped(), [], "closed by us first: {ours_first}");
        });
    }
}

/// A table that counts what leaves by the interface of administrators from an egress's address.
const WITNESS: &str = "table inet witness {
    counter leaked { }
    chain last {
        type filter hook postrouting priority 300; policy accept;
        oifname \"ma0\" ip saddr 198.51.100.9 counter name \"leaked\"
    }
}
";

fn witnessed() -> u64 {
    let listed = run("nft list counter inet witness leaked");
    let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_session_that_is_turned_away_stops_at_the_guard() {
    alone(|| {
        feed("sh", &["-s"], &script(&plan("wires.toml")));
        run("ip neighbour replace 172.16.0.1 lladdr 02:00:00:00:00:01 dev ma0");
        let _host = host(|stream| {
            let _end = stream.read(&mut [0; 1]);
        });
        // Not bound to its device, and rules and last routes are gone: only the guard is left.
        let socket = bound(BROKER, SockType::Stream, None, Some("198.51.100.9"));
        let address: SockaddrIn = "198.51.100.1:25".parse().unwrap();
        nix::sys::socket::connect(socket.as_raw_fd(), &address).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.write_all(b"hi").unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(stopped(), []);
        for line in ["ip rule del priority 1001", "ip rule del priority 2001"] {
            run(line);
        }
        // Counts what has passed the guard, on the wrong wire.
        feed("nft", &["-f", "-"], WITNESS);
        stream.write_all(b"MAIL FROM:<a@example.org>\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(600));
        let met = stopped();
        assert!(met.iter().any(|(name, _)| name == "source_elsewhere"), "{met:?}");
        assert_eq!(witnessed(), 0);
        // And without the guard it would have: the kernel tries again by itself.
        run("nft delete table inet postern");
        stream.write_all(b"x").unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert!(witnessed() > 0);
    });
}
