//! The sorting desk with a spool in memory and carriers that answer by the recipient's name:
//! `ok`, `no`, `later`, `lost`, `panic`, `link`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: to stop is to say no")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use postern::base::fault::Fault;
use postern::base::id::QueueId;
use postern::base::time::{Instant, WallTime};
use postern::config::checked::{LaneLimits, RetryPolicy};
use postern::event::Event;
use postern::mail::address::{Domain, Mailbox, ReversePath};
use postern::mail::answer::{Answer, Phase};
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Envelope, Notify, Recipient};
use postern::mail::meaning::Defect;
use postern::mail::queued::{Change, Settlement};
use postern::mail::reply::PeerReply;
use postern::mail::source::{SourceName, SourceState};
use postern::mail::stage::{Custody, Label, Parcel, Signed};
use postern::mail::way::Way;
use postern::outcome::dsn::Report;
use postern::queue::{Assignment, Moment, Rules, Selection};
use postern::service::dispatch::{Dispatch, FetchError, Reporter, Store};
use postern::service::post::{CarrierId, Delivery, Desk, Listed};

const WALL: WallTime = WallTime(1_790_000_000_000);

#[derive(Default)]
struct Memory {
    parcels: Mutex<BTreeMap<QueueId, Arc<Parcel>>>,
    damaged: Mutex<Vec<QueueId>>,
    /// Damaged too, but label and envelope can be read.
    content_lost: Mutex<Vec<QueueId>>,
    quarantined: Mutex<Vec<QueueId>>,
    changes: Mutex<Vec<Change>>,
    full: AtomicBool,
}

impl Memory {
    fn commit_now(&self, parcel: Arc<Parcel>) -> Custody {
        let id = parcel.id;
        self.parcels.lock().unwrap().insert(id, parcel);
        Custody::mint(id)
    }

    fn settlements(&self, id: QueueId) -> Vec<(u16, Settlement)> {
        let changes = self.changes.lock().unwrap();
        changes
            .iter()
            .filter_map(|change| match change {
                Change::Settled { id: of, recipient, settlement } if *of == id => {
                    Some((*recipient, settlement.clone()))
                }
                _ => None,
            })
            .collect()
    }
}

impl Store for Memory {
    async fn fetch(&self, id: QueueId) -> Result<Arc<Parcel>, FetchError> {
        if self.damaged.lock().unwrap().contains(&id) {
            return Err(FetchError::Damaged { reason: "checksum".into(), known: None });
        }
        if self.content_lost.lock().unwrap().contains(&id) {
            let parcel = Parcel::clone(&self.parcels.lock().unwrap()[&id]);
            let known = Some(Arc::new(Parcel { content: Bytes::new(), ..parcel }));
            return Err(FetchError::Damaged { reason: "checksum".into(), known });
        }
        let found = self.parcels.lock().unwrap().get(&id).cloned();
        found.ok_or_else(|| FetchError::Damaged { reason: "gone".into(), known: None })
    }

    async fn quarantine(&self, id: QueueId, _: &str) -> Result<(), Fault> {
        self.quarantined.lock().unwrap().push(id);
        Ok(())
    }

    fn record(&self, changes: Vec<Change>) -> Result<(), Fault> {
        self.changes.lock().unwrap().extend(changes);
        Ok(())
    }

    async fn record_durably(&self, changes: Vec<Change>) -> Result<(), Fault> {
        self.record(changes)
    }

    async fn commit(&self, signed: Signed, changes: Vec<Change>) -> Result<Custody, Fault> {
        if self.full.load(Ordering::Acquire) {
            return Err(Fault::new("appending to", "the ledger", "disk full"));
        }
        self.record(changes)?;
        Ok(self.commit_now(Arc::clone(signed.parcel())))
    }
}

struct Pen(AtomicU64);

impl Reporter for Pen {
    fn id(&self) -> QueueId {
        QueueId::new(WALL, 1_000_000 + u128::from(self.0.fetch_add(1, Ordering::AcqRel)))
    }

    fn hostname(&self) -> Domain {
        Domain::parse("gate.example.org").unwrap()
    }

    fn owner(&self, _: &SourceName) -> Option<Mailbox> {
        Mailbox::parse("ok@owner.example", false).ok()
    }

    async fn seal(&self, report: Report, about: &Parcel) -> Result<Signed, Fault> {
        let mut envelope = Envelope::from(ReversePath::Null);
        envelope.recipients.push(Recipient::plain(report.to));
        let label = Label { notification: true, ..about.label.clone() };
        let content = report.content;
        Ok(Signed::mint(Parcel { id: report.id, label, envelope, content }))
    }
}

type House = Arc<Dispatch<Memory, Pen>>;

struct Town {
    store: Arc<Memory>,
    desk: House,
    facts: Arc<Mutex<Vec<Event>>>,
    serial: AtomicU64,
}

fn rules() -> Rules {
    let policy = RetryPolicy {
        first: Duration::from_millis(50),
        longest: Duration::from_millis(200),
        lifetime: Duration::from_secs(1),
        delay_notice: None,
    };
    Rules {
        retry: [policy; 3],
        lanes: LaneLimits {
            connections_first: 5,
            connections_max: 20,
            connections_total_max: 50,
            messages_per_connection: 100,
            messages_per_minute: None,
        },
        providers: BTreeMap::new(),
        ways: Assignment::always(Way::new("main", "main")),
    }
}

fn answer(recipient: u16, name: &str) -> Answer {
    let (phase, code, status, text) = match name {
        "no" => (Phase::Rcpt, 550, "5.1.1", "no such user"),
        "later" => (Phase::Rcpt, 450, "4.2.0", "the mailbox is busy"),
        "spf" | "alien-spf" => (Phase::Dot, 550, "5.7.23", "SPF check failed"),
        "fast" => (Phase::Mail, 421, "4.7.0", "Rate limit reached"),
        "listed" => (Phase::Rcpt, 554, "5.7.1", "see https://www.spamhaus.org/query"),
        "lost" => (Phase::Dot, 0, "4.4.2", "connection lost"),
        "link" => (Phase::Egress, 0, "4.4.1", "the link is down"),
        _ => (Phase::Dot, 250, "2.0.0", "taken"),
    };
    let reply = PeerReply::new(code, status.parse().ok(), text);
    Answer { recipient, phase, reply, in_doubt: name == "lost" }
}

/// The life of a carrier.
async fn carry(desk: House, domain: Domain, _: Way, carrier: CarrierId) {
    let mut patient = false;
    while let Some(job) = desk.next(carrier, patient).await {
        desk.provider(&domain, "provider.example");
        if !desk.may_connect(carrier) {
            desk.hand_back(carrier, job);
            break;
        }
        patient = true;
        let answers = job.recipients.iter().map(|recipient| {
            let to = &job.parcel.envelope.recipients[usize::from(*recipient)].forward_path;
            assert_ne!(to.local_part(), "panic", "a carrier that dies");
            answer(*recipient, to.local_part())
        });
        let answers: Vec<Answer> = answers.collect();
        let first = usize::from(job.recipients[0]);
        let to = &job.parcel.envelope.recipients[first].forward_path;
        let host = if to.local_part().starts_with("alien") { "alien" } else { "provider" };
        let delivery = Delivery {
            answers,
            relay: format!("mx.{host}.example[192.0.2.1]:25"),
            egress: "main".into(),
            tls: "none".into(),
            assurance: postern::mail::trust::Assurance::Clear,
            dsn_offered: false,
            deadline_offered: false,
            connect_millis: 1,
        };
        desk.settle(carrier, job, delivery).await;
    }
    desk.leave(carrier);
}

impl Town {
    fn new() -> Self {
        let store = Arc::new(Memory::default());
        let facts = Arc::new(Mutex::new(Vec::new()));
        let start = std::time::Instant::now();
        let clock = Arc::new(move || {
            let passed = start.elapsed();
            Moment { now: Instant(0).after(passed), wall: WALL.after(passed) }
        });
        let heard = Arc::clone(&facts);
        let tell = Arc::new(move |fact| heard.lock().unwrap().push(fact));
        let pen = Pen(AtomicU64::new(0));
        let desk = Dispatch::new(Arc::clone(&store), pen, rules(), 1, clock, tell);
        desk.start(carry);
        Self { store, desk, facts, serial: AtomicU64::new(0) }
    }

    fn parcel(&self, from: &str, to: &[&str]) -> Parcel {
        let serial = self.serial.fetch_add(1, Ordering::AcqRel);
        let path = Mailbox::parse(from, false).map_or(ReversePath::Null, ReversePath::Mailbox);
        let mut envelope = Envelope::from(path);
        let mailboxes = to.iter().map(|to| Mailbox::parse(to, false).unwrap());
        envelope.recipients = mailboxes.map(Recipient::plain).collect();
        Parcel {
            id: QueueId::new(WALL, u128::from(serial)),
            label: Label {
                source: SourceName::new("shop").unwrap(),
                class: MessageClass::Transactional,
                accepted: WALL,
                expires: WALL.after(Duration::from_secs(1)),
                notification: false,
                priority: 0,
                notice: None,
            },
            envelope,
            content: Bytes::from_static(b"Subject: x\r\n\r\ny\r\n"),
        }
    }

    fn admit(&self, parcel: Parcel) -> QueueId {
        let parcel = Arc::new(parcel);
        let custody = self.store.commit_now(Arc::clone(&parcel));
        self.desk.admit(&custody, &parcel);
        parcel.id
    }

    async fn until(&self, what: &str, done: impl Fn(&[Event]) -> bool) {
        for _ in 0..1000 {
            if done(&self.facts.lock().unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} never happened: {:#?}", self.facts.lock().unwrap());
    }

    async fn completed(&self, id: QueueId) {
        let done = |e: &Event| matches!(e, Event::MessageCompleted { id: of } if *of == id);
        self.until("completion", |facts| facts.iter().any(done)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipient_gets_its_own_outcome_and_one_report_tells() {
    let town = Town::new();
    let id = town.admit(town.parcel("ok@sender.example", &["ok@a.example", "no@a.example"]));
    town.completed(id).await;
    let outcomes = town.store.settlements(id);
    assert!(matches!(&outcomes[..], [(0, Settlement::Delivered), (1, Settlement::Failed { .. })]));
    let facts = town.facts.lock().unwrap().clone();
    let Some(Event::ReportQueued { id: report, about, to, kind }) =
        facts.iter().find(|fact| matches!(fact, Event::ReportQueued { .. }))
    else {
        panic!("{facts:?}");
    };
    assert_eq!((*about, to.as_str(), kind.as_str()), (id, "ok@sender.example", "failure"));
    let report = *report;
    town.completed(report).await;
    assert!(matches!(town.store.settlements(report)[..], [(0, Settlement::Delivered)]));
    assert_eq!(town.desk.counts().messages, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deferred_is_tried_again_and_expires_with_a_report() {
    let town = Town::new();
    let id = town.admit(town.parcel("", &["later@a.example"]));
    town.completed(id).await;
    let outcomes = town.store.settlements(id);
    assert!(outcomes.len() >= 3, "{outcomes:?}");
    assert!(matches!(outcomes.last(), Some((0, Settlement::Expired { .. }))));
    let attempts: Vec<u32> = outcomes
        .iter()
        .filter_map(|(_, settlement)| match settlement {
            Settlement::Deferred { attempts, .. } => Some(*attempts),
            _ => None,
        })
        .collect();
    assert!(attempts.iter().copied().eq(1..=u32::try_from(attempts.len()).unwrap()));
    let owner =
        |fact: &Event| matches!(fact, Event::ReportQueued { to, .. } if to == "ok@owner.example");
    assert!(town.facts.lock().unwrap().iter().any(owner));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_cannot_be_stored_keeps_its_message() {
    let town = Town::new();
    town.store.full.store(true, Ordering::Release);
    let id = town.admit(town.parcel("ok@sender.example", &["no@a.example"]));
    town.until("the fault", |f| f.iter().any(|f| matches!(f, Event::FaultSeen { .. }))).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(town.store.settlements(id).is_empty(), "not settled without its report");
    assert!(town.desk.show(id).is_some());
    town.store.full.store(false, Ordering::Release);
    town.desk.retry(&Selection::default());
    town.completed(id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_a_dead_carrier_and_a_dead_link_do_not_stop_the_others() {
    let town = Town::new();
    let bad = town.parcel("ok@sender.example", &["ok@a.example"]);
    town.store.damaged.lock().unwrap().push(bad.id);
    let bad = town.admit(bad);
    let dies = town.admit(town.parcel("ok@sender.example", &["panic@b.example"]));
    let link = town.admit(town.parcel("ok@sender.example", &["link@c.example"]));
    let lost = town.admit(town.parcel("ok@sender.example", &["lost@d.example"]));
    let good = town.admit(town.parcel("ok@sender.example", &["ok@a.example"]));
    town.completed(good).await;
    let doubt = |f: &Event| matches!(f, Event::DeliveryInDoubt(a) if a.id == lost);
    town.until("doubt", |facts| facts.iter().any(doubt)).await;
    while town.desk.show(bad).is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*town.store.quarantined.lock().unwrap(), [bad]);
    assert!(town.desk.show(dies).is_some());
    let next = town.desk.show(lost).unwrap().legs[0].next.unwrap();
    assert!(next.since(WALL) >= Duration::from_secs(599), "{next}");
    let link = town.desk.show(link).unwrap();
    assert_eq!((link.legs[0].state, link.legs[0].attempts), ("parked", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sender_of_a_damaged_message_is_told() {
    let town = Town::new();
    let bad = town.parcel("ok@sender.example", &["ok@a.example", "ok@b.example"]);
    town.store.content_lost.lock().unwrap().push(bad.id);
    let bad = town.admit(bad);
    town.completed(bad).await;
    let settled = town.store.settlements(bad);
    assert_eq!(settled.len(), 2);
    assert!(settled.iter().all(|(_, how)| matches!(how, Settlement::Failed { .. })), "{settled:?}");
    let facts = town.facts.lock().unwrap();
    let reports = |f: &&Event| matches!(f, Event::ReportQueued { about, .. } if *about == bad);
    assert_eq!(facts.iter().filter(reports).count(), 2);
    let set_aside = |f: &Event| matches!(f, Event::MessageQuarantined { id, .. } if *id == bad);
    assert!(facts.iter().any(set_aside));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_is_told_only_to_those_who_asked() {
    let town = Town::new();
    let mut parcel = town.parcel("ok@sender.example", &["ok@a.example"]);
    let on = Notify::On { success: true, failure: true, delay: false };
    parcel.envelope.recipients[0].notify = Some(on);
    let id = town.admit(parcel);
    town.completed(id).await;
    let told = |f: &Event| match f {
        Event::ReportQueued { about, kind, .. } => *about == id && kind == "success",
        _ => false,
    };
    assert!(town.facts.lock().unwrap().iter().any(told));
}

/// BY= with mode N (RFC 2852 4.1.3): the message itself says when its sender is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_is_told_when_the_message_says_so() {
    let town = Town::new();
    let later = |notice: Option<Duration>| {
        let mut parcel = town.parcel("ok@sender.example", &["later@a.example"]);
        parcel.label.expires = WALL.after(Duration::from_secs(600));
        parcel.label.notice = notice.map(|wait| WALL.after(wait));
        town.admit(parcel)
    };
    let silent = later(None);
    let late = later(Some(Duration::from_secs(500)));
    let soon = later(Some(Duration::from_secs(1)));
    let told = |id: QueueId| {
        move |f: &Event| match f {
            Event::ReportQueued { about, kind, .. } => *about == id && kind == "delay",
            _ => false,
        }
    };
    town.until("the notice", |facts| facts.iter().any(told(soon))).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let facts = town.facts.lock().unwrap();
    assert_eq!(facts.iter().filter(|fact| told(soon)(fact)).count(), 1, "once");
    assert!(!facts.iter().any(|fact| told(silent)(fact) || told(late)(fact)));
    drop(facts);
    assert!(town.desk.show(soon).is_some(), "delivery goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_hold_release_and_purge() {
    let town = Town::new();
    let shop = SourceName::new("shop").unwrap();
    town.desk.set_source_state(&shop, SourceState::Disabled);
    let ids: Vec<QueueId> =
        (0..10).map(|_| town.admit(town.parcel("ok@sender.example", &["ok@a.example"]))).collect();
    let all = Selection { source: Some(shop.clone()), ..Selection::default() };
    assert_eq!(town.desk.count(&all).messages, 10);
    let first = Selection { ids: Some(ids[..3].to_vec()), ..Selection::default() };
    assert_eq!(town.desk.hold(&first, "op").await.unwrap().messages, 3);
    let two = Selection { ids: Some(ids[8..].to_vec()), ..Selection::default() };
    assert_eq!(town.desk.purge(&two, "op").await.unwrap().recipients, 2);
    assert_eq!(town.desk.set_source_state(&shop, SourceState::Active), 8);
    for id in &ids[3..8] {
        town.completed(*id).await;
    }
    assert_eq!(town.desk.counts().messages, 3);
    assert_eq!(town.desk.release(&Selection::default(), "op").await.unwrap().messages, 3);
    for id in &ids[..3] {
        town.completed(*id).await;
    }
    assert!(matches!(town.store.settlements(ids[9])[..], [(0, Settlement::Purged)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_carriers_and_loses_nothing() {
    let town = Town::new();
    for _ in 0..200 {
        town.admit(town.parcel("ok@sender.example", &["ok@a.example"]));
    }
    let left = town.desk.drain(Duration::from_secs(5)).await;
    assert_eq!(left, 0);
    let delivered = town.store.changes.lock().unwrap().len();
    assert_eq!(delivered + town.desk.counts().messages, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_with_a_defect_of_ours_is_held_with_an_alarm_and_neither_bounces_nor_expires() {
    let town = Town::new();
    let id = town.admit(town.parcel("ok@sender.example", &["spf@a.example"]));
    let alarm = |fact: &Event| match fact {
        Event::OwnDefectSeen { provider, what, source, held, .. } => {
            let shop = source.as_ref().is_some_and(|source| source.as_str() == "shop");
            provider == "provider.example" && *what == Defect::Spf && shop && *held
        }
        _ => false,
    };
    town.until("the alarm", |facts| facts.iter().any(alarm)).await;
    // More mail of this source waits untried; another source's goes.
    let second = town.admit(town.parcel("ok@sender.example", &["ok@b.example"]));
    let mut other = town.parcel("ok@sender.example", &["ok@a.example"]);
    other.label.source = SourceName::new("bank").unwrap();
    let other = town.admit(other);
    town.completed(other).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(matches!(town.store.settlements(id)[..], [(0, Settlement::Deferred { .. })]));
    assert!(town.store.settlements(second).is_empty());
    let held = town.desk.held_mail();
    assert_eq!((held.len(), held[0].lane.as_str()), (1, "provider.example"));
    assert_eq!(town.facts.lock().unwrap().iter().filter(|fact| alarm(fact)).count(), 1);
    assert_eq!(town.desk.release_lane("provider.example", None), 1);
    town.completed(second).await;
    let released = |fact: &Event| matches!(fact, Event::LaneReleased { .. });
    assert!(town.facts.lock().unwrap().iter().any(released));
    // It is tried again, and the defect is met again.
    town.until("the second alarm", |facts| facts.iter().filter(|f| alarm(f)).count() == 2).await;
    assert_eq!(town.desk.counts().messages, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_host_holds_nobodys_mail() {
    let town = Town::new();
    let id = town.admit(town.parcel("ok@sender.example", &["alien-spf@a.example"]));
    let good = town.admit(town.parcel("ok@sender.example", &["ok@b.example"]));
    town.completed(good).await;
    town.completed(id).await;
    assert!(matches!(town.store.settlements(id).last(), Some((0, Settlement::Expired { .. }))));
    assert!(town.desk.held_mail().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_address_is_told_and_its_mail_waits_out_its_time() {
    let town = Town::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    town.desk.hear_listed(Arc::new(move |listed: Listed<'_>| {
        let what = (listed.egress.to_owned(), listed.provider.to_owned(), listed.known);
        ear.lock().unwrap().push(what);
    }));
    let id = town.admit(town.parcel("ok@sender.example", &["listed@a.example"]));
    town.completed(id).await;
    let outcomes = town.store.settlements(id);
    assert!(matches!(outcomes.first(), Some((0, Settlement::Deferred { .. }))), "{outcomes:?}");
    assert!(matches!(outcomes.last(), Some((0, Settlement::Expired { .. }))), "{outcomes:?}");
    let expected = ("main".to_owned(), "provider.example".to_owned(), false);
    assert_eq!(heard.lock().unwrap().first(), Some(&expected));
    let told = |fact: &Event| matches!(fact, Event::AddressListed { .. });
    assert!(town.facts.lock().unwrap().iter().any(told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_has_had_enough_gets_a_pause_and_one_time_passwords_go() {
    let town = Town::new();
    town.admit(town.parcel("ok@sender.example", &["fast@a.example"]));
    let slowed = |fact: &Event| match fact {
        Event::LaneSlowed { wait_millis, .. } => (48_000..=72_000).contains(wait_millis),
        _ => false,
    };
    town.until("the pause", |facts| facts.iter().any(slowed)).await;
    let batch = town.admit(town.parcel("ok@sender.example", &["ok@a.example"]));
    let mut otp = town.parcel("ok@sender.example", &["ok@a.example"]);
    otp.label.class = MessageClass::Otp;
    let otp = town.admit(otp);
    town.completed(otp).await;
    assert!(town.store.settlements(batch).is_empty());
    assert_eq!(town.desk.release_lane("provider.example", None), 1);
    town.completed(batch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_flow() {
    let town = Town::new();
    let start = std::time::Instant::now();
    for serial in 0..5000 {
        let to = format!("ok@d{}.example", serial % 50);
        town.admit(town.parcel("ok@sender.example", &[&to]));
    }
    let all = |facts: &[Event]| {
        facts.iter().filter(|f| matches!(f, Event::MessageCompleted { .. })).count() == 5000
    };
    town.until("the end", all).await;
    println!("5000 messages in {:?}", start.elapsed());
}
