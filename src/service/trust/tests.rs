//! The keeper against a Web and name servers that are tables.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;

use super::*;
use crate::base::id::QueueId;
use crate::config::checked::TlsReports;
use crate::config::{Anywhere, read};
use crate::dns::{Lookup, Verdict};
use crate::mail::address::Mailbox;
use crate::mail::trust::{PolicySeen, TlsResult};
use crate::outcome::tlsrpt::begin_of;
use crate::route::sts::Mode;
use crate::route::{Addresses, LookupError, MxAnswer, TlsaAnswer};

/// Name servers whose TXT answer can be changed.
#[derive(Default)]
struct Records(Mutex<Option<Result<Vec<String>, LookupError>>>, AtomicU32);

impl Records {
    fn say(&self, record: &str) {
        *self.0.lock().unwrap() = Some(Ok(vec![record.to_owned()]));
    }

    fn fail(&self, error: LookupError) {
        *self.0.lock().unwrap() = Some(Err(error));
    }
}

impl Names for Records {
    fn mx<'a>(&'a self, _: &'a Egress, _: &'a str) -> Lookup<'a, MxAnswer> {
        Box::pin(std::future::ready(Err(LookupError::NoSuchDomain)))
    }

    fn addresses<'a>(&'a self, _: &'a Egress, _: &'a str) -> Lookup<'a, Addresses> {
        Box::pin(std::future::ready(Err(LookupError::NoSuchDomain)))
    }

    fn tlsa<'a>(&'a self, _: &'a Egress, _: &'a str, _: u16) -> Lookup<'a, TlsaAnswer> {
        Box::pin(std::future::ready(Err(LookupError::NoSuchDomain)))
    }

    fn txt<'a>(&'a self, _: &'a Egress, _: &'a str) -> Lookup<'a, Vec<String>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let answer = self.0.lock().unwrap().clone();
        Box::pin(std::future::ready(answer.unwrap_or(Err(LookupError::NoSuchDomain))))
    }

    fn names<'a>(&'a self, _: &'a Egress, _: std::net::IpAddr) -> Lookup<'a, Vec<String>> {
        Box::pin(std::future::ready(Err(LookupError::NoSuchDomain)))
    }

    fn dnssec(&self, _: &Egress) -> Option<Verdict> {
        None
    }
}

/// A Web with one policy text.
#[derive(Default)]
struct OnePage {
    text: Mutex<Option<Result<&'static str, WebError>>>,
    fetches: AtomicU32,
    hangs: AtomicBool,
    posted: Mutex<Vec<(String, Bytes)>>,
}

impl Web for OnePage {
    fn policy<'a>(&'a self, _: &'a Egress, _: &'a str) -> Asking<'a, Bytes> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if self.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let text = self.text.lock().unwrap().clone();
            let nothing = Err(WebError::Other("HTTP status 404".to_owned()));
            text.unwrap_or(nothing).map(|text| Bytes::from_static(text.as_bytes()))
        })
    }

    fn submit<'a>(
        &'a self,
        _: &'a Egress,
        host: &'a str,
        _: Option<u16>,
        target: &'a str,
        report: Bytes,
    ) -> Asking<'a, ()> {
        Box::pin(async move {
            if host == "down.example" {
                return Err(WebError::Other("HTTP status 500".to_owned()));
            }
            self.posted.lock().unwrap().push((format!("{host}{target}"), report));
            Ok(())
        })
    }
}

/// Keeps what is sent.
#[derive(Default)]
struct Drawer(Arc<Mutex<Vec<(Mailbox, Bytes)>>>);

impl Outbox for Drawer {
    fn id(&self) -> QueueId {
        QueueId::new(clock::wall(), 1)
    }

    async fn send(&self, _: QueueId, to: Mailbox, content: Bytes) -> Result<(), Fault> {
        self.0.lock().unwrap().push((to, content));
        Ok(())
    }
}

struct Stage {
    trust: Arc<Trust>,
    config: Arc<ArcSwap<Config>>,
    names: Arc<Records>,
    web: Arc<OnePage>,
    told: Arc<Mutex<Vec<Event>>>,
}

fn sample() -> Config {
    let text = include_str!("../../../systemd/postern.toml");
    let mut config = read(text, &Anywhere).unwrap().config;
    config.trust.reports = Some(TlsReports {
        from: Mailbox::parse("tls@example.com", false).unwrap(),
        organization: "Example".to_owned(),
        except: vec![name("ours.example")],
    });
    config
}

impl Stage {
    fn new(folder: Option<&Path>) -> Self {
        let config = Arc::new(ArcSwap::from_pointee(sample()));
        let (names, web) = (Arc::new(Records::default()), Arc::new(OnePage::default()));
        let told: Arc<Mutex<Vec<Event>>> = Arc::default();
        let ears = told.clone();
        let tell: Tell = Arc::new(move |event| ears.lock().unwrap().push(event));
        let parts = (config.clone(), names.clone(), web.clone());
        let trust = match folder {
            Some(folder) => Trust::open(folder, parts.0, parts.1, parts.2, tell).unwrap(),
            None => Trust::forgetful(parts.0, parts.1, parts.2, tell),
        };
        Self { trust: Arc::new(trust), config, names, web, told }
    }

    async fn sts(&self) -> Sts {
        let config = self.config.load_full();
        self.trust.sts(&config.egresses[0], &name("there.example")).await
    }

    /// Looks again, as if the time of the last look had passed.
    async fn look_again(&self) -> Sts {
        self.trust.policies.forget_looks().await;
        self.sts().await
    }

    fn serve(&self, text: &'static str) {
        *self.web.text.lock().unwrap() = Some(Ok(text));
    }

    fn fetches(&self) -> u32 {
        self.web.fetches.load(Ordering::SeqCst)
    }
}

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: mx.there.example\nmax_age: 86400\n";
const TESTING: &str = "version: STSv1\nmode: testing\nmx: mx.there.example\nmax_age: 86400\n";

fn mode(sts: &Sts) -> Option<Mode> {
    match sts {
        Sts::Policy(policy) => Some(policy.mode),
        _ => None,
    }
}

#[tokio::test]
async fn a_policy_outlives_its_record_its_host_and_the_name_servers() {
    let stage = Stage::new(None);
    assert_eq!(stage.sts().await, Sts::Absent);
    stage.names.say("v=STSv1; id=1;");
    assert_eq!(stage.sts().await, Sts::Absent, "looked at a moment ago");
    stage.serve(ENFORCE);
    assert_eq!(mode(&stage.look_again().await), Some(Mode::Enforce));
    for error in [
        LookupError::NoSuchDomain,
        LookupError::Temporary("x".to_owned()),
        LookupError::Bogus("x".to_owned()),
        LookupError::Suspended("x".to_owned()),
    ] {
        stage.names.fail(error);
        assert_eq!(mode(&stage.look_again().await), Some(Mode::Enforce));
    }
    // A new id, and a host that gives nothing, or nonsense.
    stage.names.say("v=STSv1; id=2;");
    *stage.web.text.lock().unwrap() = None;
    assert_eq!(mode(&stage.look_again().await), Some(Mode::Enforce));
    stage.serve("<html>");
    stage.names.say("v=STSv1; id=3;");
    assert_eq!(mode(&stage.look_again().await), Some(Mode::Enforce));
    // Only a new policy takes its place.
    stage.serve(TESTING);
    stage.names.say("v=STSv1; id=4;");
    assert_eq!(mode(&stage.look_again().await), Some(Mode::Testing));
    assert_eq!(stage.fetches(), 4);
}

#[tokio::test]
async fn a_fetch_that_fails_is_not_repeated_at_once_and_is_counted() {
    let stage = Stage::new(None);
    stage.names.say("v=STSv1; id=1;");
    let lost = |sts: &Sts| match sts {
        Sts::Lost { result, .. } => Some(*result),
        _ => None,
    };
    assert_eq!(lost(&stage.sts().await), Some(TlsResult::StsPolicyFetchError));
    assert_eq!(lost(&stage.look_again().await), Some(TlsResult::StsPolicyFetchError));
    assert_eq!(stage.fetches(), 1);
    // A new version is another matter.
    stage.names.say("v=STSv1; id=2;");
    stage.serve("version: STSv1\nmode: no\n");
    assert_eq!(lost(&stage.look_again().await), Some(TlsResult::StsPolicyInvalid));
    *stage.web.text.lock().unwrap() = Some(Err(WebError::Certificate("x".to_owned())));
    stage.names.say("v=STSv1; id=3;");
    assert_eq!(lost(&stage.look_again().await), Some(TlsResult::StsWebpkiInvalid));
    let today = day_of(clock::wall());
    let counts = stage.trust.ledger.counts(today, &name("there.example")).unwrap();
    assert_eq!(counts.sums(), (0, 3));
    // Our own trouble is nobody's failure.
    *stage.web.text.lock().unwrap() = Some(Err(WebError::Suspended("x".to_owned())));
    stage.names.say("v=STSv1; id=4;");
    stage.look_again().await;
    let counts = stage.trust.ledger.counts(today, &name("there.example")).unwrap();
    assert_eq!(counts.sums(), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_policy_host_that_hangs_delays_mail_for_a_bounded_time() {
    let stage = Stage::new(None);
    stage.names.say("v=STSv1; id=1;");
    stage.serve(ENFORCE);
    stage.sts().await;
    stage.web.hangs.store(true, Ordering::SeqCst);
    stage.names.say("v=STSv1; id=2;");
    let begun = tokio::time::Instant::now();
    assert_eq!(mode(&stage.look_again().await), Some(Mode::Enforce));
    assert_eq!(begun.elapsed().as_secs(), 10);
    // Without a policy the minute of the RFC is waited for, once.
    let fresh = Stage::new(None);
    fresh.names.say("v=STSv1; id=1;");
    fresh.web.hangs.store(true, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    for _ in 0..2 {
        assert!(matches!(fresh.look_again().await, Sts::Lost { .. }));
    }
    assert_eq!(begun.elapsed().as_secs(), 60);
    // A refresh is waited for by nobody.
    stage.trust.policies.grow_old().await;
    let config = stage.config.load_full();
    let begun = tokio::time::Instant::now();
    let refresh = stage.trust.policies.refresh(&stage.trust, &config);
    let ((), sts) = tokio::join!(refresh, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sts = stage.sts().await;
        (sts, begun.elapsed().as_secs())
    });
    assert_eq!((mode(&sts.0), sts.1), (Some(Mode::Enforce), 1));
}

#[tokio::test]
async fn many_who_ask_at_once_ask_once() {
    let stage = Stage::new(None);
    stage.names.say("v=STSv1; id=1;");
    stage.serve(ENFORCE);
    let all = futures_util::future::join_all((0..50).map(|_| stage.sts())).await;
    assert!(all.iter().all(|sts| mode(sts) == Some(Mode::Enforce)));
    assert_eq!((stage.fetches(), stage.names.1.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn what_is_off_is_not_asked_for() {
    let stage = Stage::new(None);
    stage.names.say("v=STSv1; id=1;");
    stage.serve(ENFORCE);
    let mut config = sample();
    config.trust.mta_sts = false;
    stage.config.store(Arc::new(config));
    assert_eq!(stage.sts().await, Sts::Absent);
    assert_eq!((stage.fetches(), stage.names.1.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn policies_memory_and_counts_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("trust");
    let there = name("there.example");
    let stage = Stage::new(Some(&folder));
    stage.names.say("v=STSv1; id=1;");
    stage.serve(ENFORCE);
    stage.sts().await;
    stage.trust.note(&there, "mx[192.0.2.1]:25", Assurance::Dane);
    stage.trust.count(&there, session(None));
    stage.trust.ledger.write(stage.trust.store.as_ref());
    drop(stage);
    let stage = Stage::new(Some(&folder));
    stage.names.fail(LookupError::Temporary("x".to_owned()));
    assert_eq!(mode(&stage.sts().await), Some(Mode::Enforce));
    stage.trust.note(&there, "mx[192.0.2.1]:25", Assurance::Clear);
    let told = stage.told.lock().unwrap();
    assert!(
        matches!(
            &told[..],
            [Event::TlsDowngraded { best: Assurance::Dane, found: Assurance::Clear, .. }]
        ),
        "{told:?}"
    );
    let today = day_of(clock::wall());
    assert_eq!(stage.trust.ledger.counts(today, &there).unwrap().sums(), (1, 0));
}

#[tokio::test]
async fn a_host_that_was_left_for_want_of_tls_raises_the_alarm_too() {
    let stage = Stage::new(None);
    let there = name("there.example");
    stage.trust.warn(&there, "mx[192.0.2.1]:25");
    stage.trust.note(&there, "mx[192.0.2.1]:25", Assurance::Encrypted);
    assert!(stage.told.lock().unwrap().is_empty());
    for _ in 0..3 {
        stage.trust.warn(&there, "mx[192.0.2.1]:25");
    }
    let told = stage.told.lock().unwrap();
    assert!(
        matches!(&told[..], [Event::TlsDowngraded { found: Assurance::Clear, .. }]),
        "{told:?}"
    );
}

fn session(failure: Option<TlsResult>) -> Session {
    Session {
        policy: PolicySeen::none(),
        failure: failure.map(|result| (result, String::new())),
        sending: None,
        host: Some("mx.there.example".to_owned()),
        receiving: None,
    }
}

/// The morning after `day`, when every report may leave.
fn morning(day: u32) -> WallTime {
    begin_of(day + 1).after(Duration::from_secs(5 * 3600))
}

#[tokio::test]
async fn the_report_of_yesterday_goes_to_those_who_ask_for_it_and_once() {
    let stage = Stage::new(None);
    let (there, day) = (name("there.example"), 20_717);
    let outbox = Drawer::default();
    stage.trust.count_at(&there, session(None), begin_of(day));
    let failed = session(Some(TlsResult::StarttlsNotSupported));
    stage.trust.count_at(&there, failed, begin_of(day));
    stage.trust.count_at(&name("ours.example"), session(None), begin_of(day));
    stage
        .names
        .say("v=TLSRPTv1; rua=mailto:tls@there.example,https://r.example/in,https://down.example/");
    let config = stage.config.load_full();
    // Not on the same day, and not while the name servers are silent.
    reports::send_due(&stage.trust, &config, &outbox, begin_of(day)).await;
    assert!(outbox.0.lock().unwrap().is_empty());
    for _ in 0..2 {
        reports::send_due(&stage.trust, &config, &outbox, morning(day)).await;
    }
    let sent = outbox.0.lock().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0.as_str(), "tls@there.example");
    let text = String::from_utf8_lossy(&sent[0].1);
    assert!(text.contains("TLS-Report-Domain: there.example\r\n"), "{text}");
    let posted = stage.web.posted.lock().unwrap();
    assert_eq!(posted.len(), 1);
    assert_eq!(posted[0].0, "r.example/in");
    let told = stage.told.lock().unwrap();
    let reported = told.iter().filter(|event| {
        matches!(event, Event::TlsReportSent { sessions_good: 1, sessions_bad: 1, .. })
    });
    assert_eq!(reported.count(), 1, "{told:?}");
}

#[tokio::test]
async fn what_cannot_be_reported_waits_and_is_given_up() {
    let stage = Stage::new(None);
    let (there, day) = (name("there.example"), 20_717);
    let outbox = Drawer::default();
    let config = stage.config.load_full();
    stage.trust.count_at(&there, session(None), begin_of(day));
    stage.names.fail(LookupError::Temporary("x".to_owned()));
    reports::send_due(&stage.trust, &config, &outbox, morning(day)).await;
    assert!(stage.trust.ledger.counts(day, &there).is_some());
    stage.names.say("v=TLSRPTv1; rua=https://down.example/");
    reports::send_due(&stage.trust, &config, &outbox, morning(day)).await;
    assert!(stage.trust.ledger.counts(day, &there).is_some());
    reports::send_due(&stage.trust, &config, &outbox, morning(day + 3)).await;
    assert!(stage.trust.ledger.counts(day, &there).is_none());
    // Nobody asks: nothing is kept.
    stage.trust.count_at(&there, session(None), begin_of(day));
    stage.names.fail(LookupError::NoSuchDomain);
    reports::send_due(&stage.trust, &config, &outbox, morning(day)).await;
    assert!(stage.trust.ledger.counts(day, &there).is_none());
    assert!(outbox.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn tls_of_a_month_is_relied_on_where_the_configuration_says_so() {
    let stage = Stage::new(None);
    let there = name("there.example");
    let now = clock::wall();
    let note = |found, at| stage.trust.ledger.note(None, &there, found, at);
    note(Assurance::Encrypted, now);
    note(Assurance::Encrypted, now.after(Duration::from_secs(31 * 86_400)));
    assert!(!stage.trust.relies_on(&there));
    let mut config = sample();
    config.trust.remember = Remember::Enforce;
    stage.config.store(Arc::new(config));
    assert!(stage.trust.relies_on(&there));
    assert!(!stage.trust.relies_on(&name("other.example")));
}

#[tokio::test]
async fn thousands_of_domains_take_bounded_room() {
    use crate::base::limits::{STS_DOMAINS_MAX, TLS_MEMORY_DOMAINS_MAX, TLSRPT_DOMAINS_MAX};
    let stage = Stage::new(None);
    let config = stage.config.load_full();
    for n in 0..STS_DOMAINS_MAX + 500 {
        stage.trust.sts(&config.egresses[0], &name(&format!("d{n}.example"))).await;
    }
    assert!(stage.trust.policies.len() <= STS_DOMAINS_MAX);
    for n in 0..TLS_MEMORY_DOMAINS_MAX + 500 {
        let at = WallTime(n as u64);
        stage.trust.ledger.note(None, &name(&format!("d{n}.example")), Assurance::Clear, at);
    }
    assert!(stage.trust.ledger.remembered() <= TLS_MEMORY_DOMAINS_MAX);
    let last = name(&format!("d{}.example", TLS_MEMORY_DOMAINS_MAX + 499));
    assert_eq!(stage.trust.ledger.note(None, &last, Assurance::Clear, WallTime(1)), None);
    for n in 0..TLSRPT_DOMAINS_MAX + 500 {
        stage.trust.count_at(&name(&format!("d{n}.example")), session(None), begin_of(1));
    }
    assert_eq!(stage.trust.ledger.due(None, begin_of(2)).len(), TLSRPT_DOMAINS_MAX);
}

#[tokio::test]
async fn an_old_policy_in_use_is_fetched_again() {
    let stage = Stage::new(None);
    stage.names.say("v=STSv1; id=1;");
    stage.serve(ENFORCE);
    stage.sts().await;
    let config = stage.config.load_full();
    stage.trust.policies.refresh(&stage.trust, &config).await;
    assert_eq!(stage.fetches(), 1, "it is fresh");
    stage.trust.policies.grow_old().await;
    stage.trust.policies.refresh(&stage.trust, &config).await;
    assert_eq!(stage.fetches(), 2);
    // What fails stays, and is not asked for again at once.
    stage.trust.policies.grow_old().await;
    *stage.web.text.lock().unwrap() = None;
    stage.trust.policies.refresh(&stage.trust, &config).await;
    stage.trust.policies.refresh(&stage.trust, &config).await;
    assert_eq!(stage.fetches(), 3);
    assert_eq!(mode(&stage.sts().await), Some(Mode::Enforce));
}
