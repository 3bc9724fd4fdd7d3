//! A small sorting desk, and everything that a carrier needs around it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use postern::base::id::QueueId;
use postern::base::time::WallTime;
use postern::config::checked::{
    CheckConfig, Config, ConnectionLimits, ConsoleConfig, ControlConfig, Egress, LaneLimits,
    Member, NetworkConfig, Pool, Route, SetupConfig, SpoolConfig, TrustConfig, UpdateConfig,
};
use postern::dns::Names;
use postern::dns::table::Table;
use postern::mail::address::{Domain, Mailbox, ReversePath};
use postern::mail::answer::Phase;
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Envelope, Recipient};
use postern::mail::source::SourceName;
use postern::mail::stage::{Label, Parcel};
use postern::mail::way::Way;
use postern::net::broker;
use postern::net::broker::words::{Orders, pair};
use postern::net::egress::EgressClient;
use postern::route::{Addresses, MxAnswer};
use postern::service::delivery::{self, Context};
use postern::service::post::{CarrierId, Delivery, Desk, Job};
use postern::smtp::client::Patience;

/// Jobs go out in order; what comes back is kept.
#[derive(Default)]
pub(crate) struct TestDesk {
    pub(crate) jobs: Mutex<VecDeque<Job>>,
    pub(crate) settled: Mutex<Vec<Delivery>>,
    pub(crate) providers: Mutex<Vec<String>>,
    pub(crate) left: Mutex<u32>,
    /// The desk wants no connection.
    pub(crate) busy: bool,
}

impl Desk for TestDesk {
    async fn next(&self, _carrier: CarrierId, _patient: bool) -> Option<Job> {
        self.jobs.lock().unwrap().pop_front()
    }

    async fn settle(&self, _carrier: CarrierId, _job: Job, delivery: Delivery) {
        self.settled.lock().unwrap().push(delivery);
    }

    fn provider(&self, _domain: &Domain, provider: &str) {
        self.providers.lock().unwrap().push(provider.to_owned());
    }

    fn may_connect(&self, _carrier: CarrierId) -> bool {
        !self.busy
    }

    fn hand_back(&self, _carrier: CarrierId, job: Job) {
        self.jobs.lock().unwrap().push_front(job);
    }

    fn leave(&self, _carrier: CarrierId) {
        *self.left.lock().unwrap() += 1;
    }
}

pub(crate) const CONTENT: &[u8] =
    b"From: <a@source.example>\r\nSubject: hello\r\n\r\n.dot\r\nbye\r\n";

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// A message for these recipients.
pub(crate) fn job(recipients: &[&str], content: &[u8]) -> Job {
    let sender = Mailbox::parse("a@source.example", false).unwrap();
    let mut envelope = Envelope::from(ReversePath::Mailbox(sender));
    let utf8 = recipients.iter().any(|r| !r.is_ascii());
    envelope.smtputf8 = utf8;
    envelope.recipients =
        recipients.iter().map(|r| Recipient::plain(Mailbox::parse(r, true).unwrap())).collect();
    let accepted = WallTime(1_790_000_000_000);
    let parcel = Parcel {
        id: QueueId::new(accepted, 1),
        label: Label {
            source: SourceName::new("test").unwrap(),
            class: MessageClass::Transactional,
            accepted,
            expires: accepted.after(Duration::from_secs(86_400)),
            notification: false,
            priority: 0,
            notice: None,
        },
        envelope,
        content: Bytes::copy_from_slice(content),
    };
    let count = u16::try_from(recipients.len()).unwrap();
    Job { parcel: Arc::new(parcel), recipients: (0..count).collect(), attempts: 0 }
}

pub(crate) fn egress(mx_port: u16) -> Egress {
    Egress {
        name: "wan".to_owned(),
        device: Some("lo".to_owned()),
        ipv4: Some("127.0.0.1".parse().unwrap()),
        ipv6: None,
        ehlo: domain("relay.example"),
        resolvers: Vec::new(),
        allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        mx_port,
        https_port: 443,
        link: postern::config::checked::Link::default(),
        warm_up: None,
    }
}

pub(crate) fn config(egress: Egress, routes: Vec<Route>) -> Config {
    Config {
        hostname: domain("relay.example"),
        lab: true,
        message_octets_max: 1 << 20,
        recipients_max: 100,
        spool: SpoolConfig {
            path: "spool".into(),
            ballast_octets: 0,
            free_octets_min: 0,
            sync_slow: Duration::from_secs(1),
        },
        listeners: Vec::new(),
        connections: ConnectionLimits { total_max: 10, per_address_max: 10 },
        tls: None,
        sources: BTreeMap::new(),
        dkim: Vec::new(),
        pools: vec![Pool {
            name: egress.name.clone(),
            members: vec![Member { egress: egress.name.clone(), weight: 1 }],
        }],
        egresses: vec![egress],
        routes,
        providers: Vec::new(),
        replies: Vec::new(),
        trust: TrustConfig::default(),
        checks: CheckConfig::default(),
        updates: UpdateConfig::default(),
        network: NetworkConfig::default(),
        setup: SetupConfig::default(),
        console: ConsoleConfig::default(),
        retry: BTreeMap::new(),
        lanes: LaneLimits {
            connections_first: 1,
            connections_max: 1,
            connections_total_max: 1,
            messages_per_connection: 100,
            messages_per_minute: None,
        },
        health: None,
        control: ControlConfig {
            socket: "control".into(),
            viewers: Vec::new(),
            operators: Vec::new(),
            administrators: Vec::new(),
        },
    }
}

/// MX records of `there.example`, and addresses of its hosts.
pub(crate) fn table(hosts: &[(u16, &str, &[&str])]) -> Table {
    let mx = hosts.iter().map(|(preference, name, _)| (*preference, (*name).to_owned()));
    let table = Table::default()
        .with_mx("there.example", Ok(MxAnswer { hosts: mx.collect(), secure: false }));
    hosts.iter().fold(table, |table, (_, name, addresses)| {
        let mut found = Addresses::default();
        for address in *addresses {
            let one = Addresses::one(address.parse().unwrap());
            found.v4.extend(one.v4);
            found.v6.extend(one.v6);
        }
        table.with_addresses(name, Ok(found))
    })
}

pub(crate) fn patience(span: Duration) -> Patience {
    Patience {
        greeting: span,
        ehlo: span,
        handshake: span,
        mail: span,
        recipient: span,
        data: span,
        block: span,
        dot: span,
        quit: span,
    }
}

/// A client with a broker behind it, in this runtime.
pub(crate) async fn client(orders: &Orders) -> EgressClient {
    let (ours, theirs) = pair().unwrap();
    tokio::spawn(broker::serve(theirs));
    let client = EgressClient::new();
    let attached = client.clone();
    let orders = orders.clone();
    let mut health = client.health();
    tokio::spawn(async move { attached.attach(ours, &orders).await });
    health.wait_for(|health| !health.is_empty()).await.unwrap();
    client
}

/// Carries `jobs` and returns the desk with everything that came back.
pub(crate) async fn carry(config: Config, names: Table, jobs: Vec<Job>) -> Arc<TestDesk> {
    carry_patiently(config, Arc::new(names), jobs, Duration::from_secs(5)).await
}

pub(crate) async fn carry_patiently(
    config: Config,
    names: Arc<dyn Names>,
    jobs: Vec<Job>,
    span: Duration,
) -> Arc<TestDesk> {
    let desk = Arc::new(TestDesk::default());
    desk.jobs.lock().unwrap().extend(jobs);
    carry_at(desk, config, names, span).await
}

pub(crate) async fn carry_at(
    desk: Arc<TestDesk>,
    config: Config,
    names: Arc<dyn Names>,
    span: Duration,
) -> Arc<TestDesk> {
    let client = client(&Orders::new(&config)).await;
    let config = Arc::new(ArcSwap::from_pointee(config));
    let mut context = Context::new(config, client, names, 7).unwrap();
    context.patience = patience(span);
    context.connect_wait = span;
    let (to, way) = (domain("there.example"), Way::new("wan", "wan"));
    let run = delivery::run(Arc::clone(&desk), CarrierId(1), to, way, Arc::new(context));
    tokio::time::timeout(Duration::from_secs(60), run).await.unwrap();
    assert_eq!(*desk.left.lock().unwrap(), 1);
    desk
}

impl TestDesk {
    /// The answers of the only job, as `recipient phase reply`.
    pub(crate) fn answers(&self) -> Vec<String> {
        let settled = self.settled.lock().unwrap();
        let answers = settled.iter().flat_map(|delivery| &delivery.answers);
        answers
            .map(|a| {
                let doubt = if a.in_doubt { " in doubt" } else { "" };
                format!("{} {:?} {}{doubt}", a.recipient, a.phase, a.reply)
            })
            .collect()
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        let settled = self.settled.lock().unwrap();
        settled.iter().flat_map(|delivery| &delivery.answers).map(|a| a.phase).collect()
    }
}
