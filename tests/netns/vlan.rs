//! An egress on a VLAN on top of a bond: cables come and go, mail stays on its way.
//!
//! Needs a kernel with VLANs, bonds and bridges; `tests/guest/run` boots one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use postern::config::checked::Egress;
use postern::net::egress::{EgressClient, EgressError, Health};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::space::{alone, client, egress, ip};

/// Time for a link's change to be noticed by bond (100 ms), kernel and broker (1 s).
const BEAT: Duration = Duration::from_secs(10);

fn tagged() -> Egress {
    Egress {
        device: Some("bond0.25".to_owned()),
        ipv4: Some("198.51.100.9".parse().unwrap()),
        ipv6: None,
        resolvers: vec!["198.51.100.1:53".parse().unwrap()],
        allow_networks: vec!["198.51.100.0/24".parse().unwrap()],
        ..egress(&[])
    }
}

/// The other side, in a namespace of its own: a switch with both cables and a host in VLAN 25 that
/// gives back what it hears.
struct Far(mpsc::Sender<String>, mpsc::Receiver<()>);

impl Far {
    fn new() -> Self {
        let (order, orders) = mpsc::channel::<String>();
        let (done, finished) = mpsc::channel();
        let (thread, id) = mpsc::channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            thread.send(nix::unistd::gettid()).unwrap();
            for order in orders {
                if order == "listen" {
                    let listener = TcpListener::bind("198.51.100.1:25").unwrap();
                    std::thread::spawn(move || echo(&listener));
                } else {
                    ip(&order);
                }
                done.send(()).unwrap();
            }
        });
        let id = id.recv().unwrap();
        for number in ["0", "1"] {
            ip(&format!("link add nic{number} type veth peer name port{number}"));
            ip(&format!("link set port{number} netns {id}"));
        }
        let far = Self(order, finished);
        for order in [
            "link set lo up",
            "link add switch type bridge",
            "link set port0 master switch up",
            "link set port1 master switch up",
            "link set switch up",
            "link add link switch name switch.25 type vlan id 25",
            "addr add 198.51.100.1/24 dev switch.25",
            "link set switch.25 up",
            "listen",
        ] {
            far.does(order);
        }
        far
    }

    fn does(&self, order: &str) {
        self.0.send(order.to_owned()).unwrap();
        self.1.recv_timeout(BEAT).unwrap();
    }
}

fn echo(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let mut octets = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut octets) {
                stream.write_all(&octets[..count]).unwrap();
            }
        });
    }
}

fn tag() {
    ip("link add link bond0 name bond0.25 type vlan id 25");
    ip("addr add 198.51.100.9/24 dev bond0.25");
    ip("link set bond0.25 up");
    ip("route add default via 198.51.100.1 dev bond0.25");
}

async fn told(client: &EgressClient, what: &str, judge: impl Fn(&Option<String>) -> bool) {
    let mut health = client.health();
    let heard = health.wait_for(|health: &Health| health.get("wan").is_some_and(&judge));
    let heard = tokio::time::timeout(BEAT, heard).await.is_ok();
    assert!(heard, "{what}: {:?}", client.suspended("wan"));
}

async fn call(client: &EgressClient) -> Result<TcpStream, EgressError> {
    let to: SocketAddr = "198.51.100.1:25".parse().unwrap();
    client.connect_tcp("wan", to, Duration::from_secs(5)).await
}

async fn answers(stream: &mut TcpStream) {
    stream.write_all(b"NOOP\r\n").await.unwrap();
    let mut octets = [0; 6];
    let answer = stream.read_exact(&mut octets);
    assert!(tokio::time::timeout(BEAT, answer).await.is_ok(), "no answer");
    assert_eq!(&octets, b"NOOP\r\n");
}

#[test]
#[ignore = "needs a kernel with VLANs and bonds: tests/guest/run boots one"]
fn a_vlan_on_a_bond_is_an_egress_like_any_other() {
    alone(|| async {
        let far = Far::new();
        ip("link add bond0 type bond mode active-backup miimon 100");
        for nic in ["nic0", "nic1"] {
            ip(&format!("link set {nic} master bond0"));
        }
        ip("link set bond0 up");
        tag();
        let client = client(&tagged()).await;
        told(&client, "all is well", Option::is_none).await;
        let mut stream = call(&client).await.unwrap();
        answers(&mut stream).await;
        println!("a connection in VLAN 25 over the bond's first cable");

        far.does("link set port0 down");
        answers(&mut stream).await;
        answers(&mut call(&client).await.unwrap()).await;
        told(&client, "one cable left", Option::is_none).await;
        println!("first cable cut: the old connection and a new one go by the second");

        far.does("link set port1 down");
        told(&client, "no cable left", |cause| {
            cause.as_ref().is_some_and(|cause| cause.contains("no link"))
        })
        .await;
        let refused = call(&client).await;
        assert!(matches!(refused, Err(EgressError::Suspended(_))), "{refused:?}");
        println!("both cut: suspended, {}", client.suspended("wan").unwrap());

        far.does("link set port0 up");
        told(&client, "a cable is back", Option::is_none).await;
        answers(&mut stream).await;
        println!("one back: resumed, and the first connection is still alive");

        ip("link del bond0.25");
        told(&client, "no VLAN", |cause| {
            cause.as_ref().is_some_and(|cause| cause.contains("does not exist"))
        })
        .await;
        tag();
        told(&client, "the VLAN is back", Option::is_none).await;
        answers(&mut call(&client).await.unwrap()).await;
        println!("the VLAN deleted and made again: suspended, and resumed");
    });
}
