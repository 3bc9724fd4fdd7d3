//! The guard: loads, loads again, and stops what it must, counted.

use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, setsockopt, socket};

use crate::space::{alone, counted, feed, guard, plan, run, script};

/// The broker's user in `wires.toml`.
const BROKER: u32 = 65534;

#[test]
fn nft_takes_it_and_takes_it_again() {
    alone(|| {
        for name in ["box.toml", "wires.toml"] {
            let text = guard(&plan(name)).text;
            // A user of the box need not exist where the test runs.
            let text = text.replace("\"postern-egress\"", "65533");
            feed("nft", &["-c", "-f", "-"], &text);
            feed("nft", &["-f", "-"], &text);
            feed("nft", &["-f", "-"], &text);
            let tables = run("nft list tables");
            assert_eq!(tables.trim(), "table inet postern", "{name}");
        }
    });
}

/// A socket of user `uid` that is bound to a device and a source.
fn bound(uid: u32, kind: SockType, device: Option<&str>, source: Option<&str>) -> OwnedFd {
    // Only this thread changes its user: the raw system call, not the process-wide one.
    nix::unistd::setfsuid(uid.into());
    let made = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
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
fn knock(socket: OwnedFd, to: &str) {
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
