//! The broker's walls: what it refuses to open, and what it calls suspended.

use std::net::SocketAddr;
use std::time::Duration;

use postern::dns::table::Table;
use postern::mail::answer::Phase;
use postern::net::broker;
use postern::net::broker::words::{EgressError, Orders, Permit, pair};
use postern::net::egress::EgressClient;
use postern::route::{LookupError, MxAnswer};

use crate::desk::{CONTENT, carry, client, config, egress, job, table};
use crate::peer::{Peer, Step, after_opening};

const WAIT: Duration = Duration::from_secs(5);

fn orders(mx_port: u16) -> Orders {
    Orders { egresses: vec![egress(mx_port)], ..Orders::default() }
}

#[tokio::test]
async fn a_socket_comes_from_the_broker_bound_to_device_and_source() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let mut orders = orders(to.port());
    orders.egresses[0].ipv4 = Some("127.0.0.77".parse().unwrap());
    let client = client(&orders).await;
    let stream = client.connect_tcp("wan", to, WAIT).await.unwrap();
    assert_eq!(stream.local_addr().unwrap().ip().to_string(), "127.0.0.77");
    let device = socket2::SockRef::from(&stream).device().unwrap().unwrap();
    assert_eq!(device.strip_suffix(b"\0").unwrap_or(&device), b"lo");
    assert!(stream.nodelay().unwrap());
}

#[tokio::test]
async fn many_requests_run_side_by_side() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok(stream) = listener.accept().await {
            kept.push(stream);
        }
    });
    let client = client(&orders(to.port())).await;
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        opening.spawn(async move { client.connect_tcp("wan", to, WAIT).await });
    }
    assert!(opening.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn only_allowed_ports_and_addresses_are_opened() {
    let mut orders = orders(25);
    orders.egresses[0].allow_networks.clear();
    orders.egresses[0].resolvers = vec!["127.0.0.1:5353".parse().unwrap()];
    orders.own = vec!["8.8.4.4".parse().unwrap()];
    orders.permits = vec![
        Permit { address: Some("127.0.0.9".parse().unwrap()), port: 2525 },
        Permit { address: None, port: 587 },
    ];
    let client = client(&orders).await;
    let forbidden = [
        "127.0.0.1:25",
        "10.0.0.1:25",
        "169.254.169.254:25",
        "8.8.8.8:80",
        "8.8.8.8:22",
        "8.8.8.8:2525",
        "127.0.0.1:2525",
        "127.0.0.9:587",
        "127.0.0.9:25",
        "8.8.4.4:25",
        "169.254.169.254:587",
        "127.0.0.1:53",
        "[::1]:25",
        "[::ffff:8.8.8.8]:25",
        "[2001:4860:4860::8888]:25",
    ];
    for to in forbidden {
        let to: SocketAddr = to.parse().unwrap();
        let opened = client.connect_tcp("wan", to, WAIT).await;
        assert!(matches!(opened, Err(EgressError::NotAllowed(_))), "{to} {opened:?}");
        assert!(matches!(client.udp("wan", to).await, Err(EgressError::NotAllowed(_))), "{to}");
    }
    let allowed: [(&str, EgressError); 2] =
        [("127.0.0.9:2525", EgressError::Refused), ("127.0.0.1:5353", EgressError::Refused)];
    for (to, expected) in allowed {
        let opened = client.connect_tcp("wan", to.parse().unwrap(), WAIT).await;
        assert_eq!(opened.unwrap_err(), expected, "{to}");
    }
    assert!(client.udp("wan", "127.0.0.1:5353".parse().unwrap()).await.is_ok());
    let nobody = client.connect_tcp("lan", "8.8.8.8:25".parse().unwrap(), WAIT).await;
    assert!(matches!(nobody, Err(EgressError::NotAllowed(_))));
}

#[tokio::test]
async fn a_missing_interface_or_address_suspends_and_burns_no_attempt() {
    let peer = Peer::start("127.0.0.1", 0, vec![after_opening(vec![Step::Serve])]).await;
    let names = || table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let mut no_device = egress(peer.port);
    no_device.device = Some("nosuch0".to_owned());
    let mut no_address = egress(peer.port);
    no_address.device = None;
    no_address.ipv4 = Some("192.0.2.77".parse().unwrap());
    for egress in [no_device, no_address] {
        let jobs = (0..2).map(|_| job(&["x@there.example"], CONTENT)).collect();
        let desk = carry(config(egress, Vec::new()), names(), jobs).await;
        // The first job is told, the second stays at the desk.
        assert_eq!(desk.phases(), [Phase::Egress]);
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn the_end_of_the_broker_suspends_and_a_new_one_resumes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let client = EgressClient::new();
    let refused = client.connect_tcp("wan", to, WAIT).await;
    assert!(matches!(refused, Err(EgressError::Suspended(_))));
    for _ in 0..2 {
        let (ours, theirs) = pair().unwrap();
        let broker = tokio::spawn(broker::serve(theirs));
        let attached = client.clone();
        let orders = orders(to.port());
        let attach = tokio::spawn(async move { attached.attach(ours, &orders).await });
        let mut health = client.health();
        let whole = |health: &postern::net::egress::Health| health.get("wan") == Some(&None);
        health.wait_for(whole).await.unwrap();
        assert!(client.connect_tcp("wan", to, WAIT).await.is_ok());
        broker.abort();
        attach.await.unwrap().ok();
        assert!(client.suspended("wan").is_some());
        let refused = client.connect_tcp("wan", to, WAIT).await;
        assert!(matches!(refused, Err(EgressError::Suspended(_))));
    }
}

#[tokio::test]
async fn the_matrix_of_names() {
    let mx = |hosts: &[(u16, &str)]| {
        let hosts = hosts.iter().map(|(p, h)| (*p, (*h).to_owned())).collect();
        Ok(MxAnswer { hosts, secure: false })
    };
    let temporary = || LookupError::Temporary("SERVFAIL".to_owned());
    let there = "there.example";
    let cases = [
        (Table::default(), "0 Routing 5.1.2 "),
        (Table::default().with_mx(there, Err(temporary())), "0 Routing 4.4.3 "),
        (Table::default().with_mx(there, mx(&[])), "0 Routing 5.1.2 "),
        (Table::default().with_mx(there, mx(&[(0, "")])), "0 Routing 5.1.10 "),
        (Table::default().with_mx(there, mx(&[(10, "gone.example")])), "0 Routing 5.4.4 "),
        (Table::default().with_mx(there, mx(&[(10, "127.0.0.1")])), "0 Routing 5.4.4 "),
        (
            Table::default()
                .with_mx(there, mx(&[(10, "a.example")]))
                .with_addresses("a.example", Err(temporary())),
            "0 Routing 4.4.3 ",
        ),
        (
            // SERVFAIL of the MX must not fall back to the address of the domain.
            Table::default()
                .with_mx(there, Err(temporary()))
                .with_addresses(there, Ok(postern::route::Addresses::one([127, 0, 0, 1].into()))),
            "0 Routing 4.4.3 ",
        ),
        (
            // One host that may come back outweighs another that does not exist.
            Table::default()
                .with_mx(there, mx(&[(10, "a.example"), (20, "gone.example")]))
                .with_addresses("a.example", Err(temporary())),
            "0 Routing 4.4.3 ",
        ),
        (table(&[(10, "a.example", &["10.0.0.1", "169.254.169.254"])]), "0 Routing 5.4.4 "),
        (table(&[(10, "a.example", &["::1"])]), "0 Routing 4.4.4 "),
    ];
    for (names, expected) in cases {
        let jobs = vec![job(&["x@there.example"], CONTENT)];
        let desk = carry(config(egress(25), Vec::new()), names.clone(), jobs).await;
        assert!(desk.answers()[0].starts_with(expected), "{:?} {names:?}", desk.answers());
    }
}

#[tokio::test]
async fn the_implicit_mx_and_the_second_family_are_used() {
    let serve = || vec![after_opening(vec![Step::Serve])];
    let peer = Peer::start("127.0.0.1", 0, serve()).await;
    let address = postern::route::Addresses::one([127, 0, 0, 1].into());
    let implicit = Table::default().with_addresses("there.example", Ok(address));
    let jobs = vec![job(&["x@there.example"], CONTENT)];
    let desk = carry(config(egress(peer.port), Vec::new()), implicit, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"]);
    // Nobody listens at ::1: the IPv4 address follows at once.
    let mut both = egress(peer.port);
    both.ipv6 = Some("::1".parse().unwrap());
    let names = table(&[(10, "mx.there.example", &["::1", "127.0.0.1"])]);
    let jobs = vec![job(&["x@there.example"], CONTENT)];
    let desk = carry(config(both, Vec::new()), names, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"]);
}
