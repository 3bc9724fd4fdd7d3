//! The real broker as a process of its own, under a user of its own, in the gateway's namespace.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use postern::config::checked::{Egress, Link};
use postern::mail::address::Domain;
use postern::net::broker::words::{Orders, pair};
use postern::net::egress::{EgressClient, Health};

use super::space::{Program, Space};
use super::wires::{BROKER, Wire};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");

/// An egress on one of the wires.
pub(crate) fn egress(wire: Wire, name: &str, resolvers: &[&str]) -> Egress {
    Egress {
        name: name.to_owned(),
        device: Some(wire.near().to_owned()),
        ipv4: Some(wire.ours4()),
        ipv6: Some(wire.ours6()),
        ehlo: Domain::parse("relay.example").unwrap(),
        resolvers: resolvers.iter().map(|text| text.parse().unwrap()).collect(),
        allow_networks: Vec::new(),
        mx_port: 25,
        https_port: 443,
        link: Link::default(),
        warm_up: None,
    }
}

/// A command of `program` that the guard takes for the broker's user.
pub(crate) fn as_broker(program: &str) -> Command {
    let mut command = Command::new(program);
    command.uid(BROKER).gid(BROKER);
    command
}

/// A broker with a client.
pub(crate) struct Broker {
    pub(crate) client: EgressClient,
    _process: Program,
}

impl Broker {
    /// Starts one in `space`; must be called inside a runtime. Returns when it has told its health.
    pub(crate) async fn start(space: &Space, orders: Orders) -> Self {
        let (ours, theirs) = pair().unwrap();
        let mut command = as_broker(PROGRAM);
        command.arg("egress").stdin(Stdio::from(theirs)).stdout(Stdio::null());
        let process = space.start(&mut command);
        drop(command);
        let client = EgressClient::new();
        let mut health = client.health();
        let attached = client.clone();
        tokio::spawn(async move { attached.attach(ours, &orders).await });
        health.wait_for(|health: &Health| !health.is_empty()).await.unwrap();
        Self { client, _process: process }
    }
}
