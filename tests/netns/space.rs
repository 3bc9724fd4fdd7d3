//! A namespace of one thread, and the programs that run in it.

use std::future::Future;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use postern::config::checked::Egress;
use postern::mail::address::Domain;
use postern::net::broker;
use postern::net::broker::words::{Orders, pair};
use postern::net::egress::EgressClient;

/// Runs `test` in a thread with a network of its own, with loopback up.
pub(crate) fn alone<F: Future>(test: impl FnOnce() -> F + Send + 'static) {
    alone_within(Duration::from_secs(120), test);
}

/// The same for a test that lets more time pass.
pub(crate) fn alone_within<F: Future>(span: Duration, test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let alone = unshare(CloneFlags::CLONE_NEWNET);
        assert!(alone.is_ok(), "no network namespace ({alone:?}): run this test as root");
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bounded = async { tokio::time::timeout(span, test()).await };
        assert!(runtime.block_on(bounded).is_ok(), "the test took too long");
    });
    thread.join().unwrap();
}

/// Runs `ip` in this thread's namespace.
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// A program that ends with the test.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it in this thread's namespace.
    pub(crate) fn start(path: &str, arguments: &[&str]) -> Self {
        assert!(Path::new(path).exists(), "{path} is missing: tests/check installs it");
        let mut command = Command::new(path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// An egress on loopback that asks these name servers.
pub(crate) fn egress(resolvers: &[&str]) -> Egress {
    Egress {
        name: "wan".to_owned(),
        device: Some("lo".to_owned()),
        ipv4: Some("127.0.0.1".parse().unwrap()),
        ipv6: Some("::1".parse().unwrap()),
        ehlo: Domain::parse("relay.example").unwrap(),
        resolvers: resolvers.iter().map(|text| text.parse().unwrap()).collect(),
        allow_networks: Vec::new(),
        mx_port: 25,
        https_port: 443,
        link: postern::config::checked::Link::default(),
        warm_up: None,
    }
}

/// A client with a broker behind it, in this thread.
pub(crate) async fn client(egress: &Egress) -> EgressClient {
    let (ours, theirs) = pair().unwrap();
    tokio::spawn(broker::serve(theirs));
    let client = EgressClient::new();
    let attached = client.clone();
    let orders = Orders { egresses: vec![egress.clone()], ..Orders::default() };
    let mut health = client.health();
    tokio::spawn(async move { attached.attach(ours, &orders).await });
    health.wait_for(|health| !health.is_empty()).await.unwrap();
    client
}
