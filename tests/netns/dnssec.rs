//! DNSSEC with real zones: what is proved, what cannot be, and what is forged. Whatever unbound's
//! validator says of a question, ours must say too.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hickory_resolver::proto::rr::RecordType;
use postern::config::checked::{DaneMode, Egress, TrustConfig};
use postern::dns::Names;
use postern::dns::resolver::Resolvers;
use postern::mail::address::Domain;
use postern::mail::trust::Tlsa;
use postern::net::egress::EgressClient;
use postern::route::{LookupError, TlsaAnswer};

use crate::space::{alone, alone_within, client, egress};
use crate::wire::{
    STRIPS, Stranger, Word, as_if_it_were, ask, between, denied_by_a_stranger,
    the_wildcard_instead, without_denials, without_dnssec, without_dnssec_at_times,
};
use crate::zones::{TLSA_DATA, World};

/// The upstream name server of the egress.
const UPSTREAM: u16 = 5301;
/// The validator whose word counts.
const MEASURE: u16 = 5302;
/// Somebody between the egress and its name server.
const STRANGER: u16 = 5303;

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn trust(dane: DaneMode, anchor: &Path) -> TrustConfig {
    TrustConfig { dane, anchors: Some(anchor.to_owned()), ..TrustConfig::default() }
}

async fn resolvers(egress: &Egress, mode: DaneMode, anchor: &Path) -> Resolvers {
    Resolvers::new(client(egress).await, &trust(mode, anchor)).unwrap()
}

/// Waits until a server on `port` answers.
async fn wait_for(port: u16) {
    let mut patience = 100;
    while tokio::net::TcpStream::connect(local(port)).await.is_err() {
        patience -= 1;
        assert!(patience > 0, "the name server on {port} never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What ours says, in the words of the measure.
async fn ours(names: &Resolvers, egress: &Egress, name: &str, kind: RecordType) -> Word {
    let word = |answer: Result<(usize, bool), LookupError>| match answer {
        Ok((0, secure)) => Word::None(secure),
        Ok((count, secure)) => Word::Records(count, secure),
        Err(LookupError::NoSuchDomain) => Word::NoName,
        Err(LookupError::Temporary(_) | LookupError::Bogus(_)) => Word::Refused,
        Err(error @ LookupError::Suspended(_)) => panic!("{error:?}"),
    };
    match kind {
        RecordType::MX => {
            word(names.mx(egress, name).await.map(|found| (found.hosts.len(), found.secure)))
        }
        RecordType::A => {
            let v4 = Egress { ipv6: None, ..egress.clone() };
            let found = names.addresses(&v4, name).await;
            word(found.map(|found| (found.v4.len(), found.secure)))
        }
        _ => {
            let host = name.strip_prefix("_25._tcp.").unwrap();
            let found = names.tlsa(egress, host, 25).await;
            word(found.map(|found| (found.records.len(), found.secure)))
        }
    }
}

/// Every name of every zone, and some that are not there.
fn questions() -> Vec<(String, RecordType)> {
    let zones = [
        "sec.zone",
        "n3.zone",
        "rsa.zone",
        "opt.zone",
        "u.opt.zone",
        "plain.zone",
        "bogus.zone",
        "expired.zone",
        "wrong.zone",
    ];
    let mut hosts: Vec<String> = [
        "",
        "mx",
        "bare",
        "null",
        "nosuch",
        "ent",
        "deep.ent",
        "no.deep.ent",
        "a.wild",
        "a.b.wild",
        "wild",
        "a.wilder",
        "a.far",
        "a.farther",
        "alias",
        "alias2",
        "nodata",
        "dangling",
        "tlsaalias",
        "text",
        "kept",
    ]
    .map(str::to_owned)
    .into();
    for other in ["sec", "n3", "plain", "bogus", "wrong"] {
        hosts.extend(["", "-none", "-bare"].map(|end| format!("to-{other}{end}")));
    }
    let mut questions = Vec::new();
    for zone in zones {
        for host in &hosts {
            let name = if host.is_empty() { zone.to_owned() } else { format!("{host}.{zone}") };
            questions.push((name.clone(), RecordType::MX));
            questions.push((name.clone(), RecordType::A));
            questions.push((format!("_25._tcp.{name}"), RecordType::TLSA));
        }
    }
    questions.push(("zone".to_owned(), RecordType::MX));
    questions.push(("nosuch.zone".to_owned(), RecordType::MX));
    questions.push(("no.such.top".to_owned(), RecordType::MX));
    questions
}

/// Asks everything of both. Twice: what is remembered must not differ from what was heard.
async fn agree(names: &Resolvers, egress: &Egress) {
    let mut different = Vec::new();
    for (name, kind) in questions() {
        let measure = ask(local(MEASURE), &name, kind).await;
        // "Such a name exists" and "none" are the same where TLSA is asked for, and so is the
        // proof of it.
        for round in ["first", "second"] {
            let ours = ours(names, egress, &name, kind).await;
            let same = match (measure, ours, kind) {
                (Word::NoName, Word::None(_), RecordType::TLSA) => true,
                (measure, ours, _) => measure == ours,
            };
            if !same {
                different.push(format!("{name} {kind} {round}: {ours:?}, unbound {measure:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

fn whole_world(validates: bool) {
    alone(move || async move {
        let folder = tempfile::tempdir().unwrap();
        let world = World::create(folder.path());
        let _nsd = world.serve();
        wait_for(53).await;
        let _upstream = world.upstream(UPSTREAM, validates);
        let _measure = world.upstream(MEASURE, true);
        wait_for(UPSTREAM).await;
        wait_for(MEASURE).await;
        let egress = egress(&["127.0.0.1:5301"]);
        let names = resolvers(&egress, DaneMode::Auto, &world.anchor()).await;
        assert_eq!(names.try_dnssec(&egress).await, Some(Ok(())));
        agree(&names, &egress).await;
    });
}

#[test]
fn an_upstream_that_only_forwards_is_proved() {
    whole_world(false);
}

#[test]
fn an_upstream_that_validates_is_proved_again() {
    whole_world(true);
}

/// The world behind an unbound that only forwards, with `stranger` in front of it.
fn behind<F: Future<Output = ()>>(
    stranger: Stranger,
    test: impl FnOnce(Egress, std::path::PathBuf) -> F + Send + 'static,
) {
    // Some of them let minutes pass without waiting for them.
    alone_within(Duration::from_secs(900), move || async move {
        let folder = tempfile::tempdir().unwrap();
        let world = World::create(folder.path());
        let _nsd = world.serve();
        wait_for(53).await;
        let _upstream = world.upstream(UPSTREAM, false);
        wait_for(UPSTREAM).await;
        between(local(STRANGER), local(UPSTREAM), stranger).await;
        test(egress(&["127.0.0.1:5303"]), world.anchor()).await;
    });
}

#[test]
fn name_servers_that_strip_signatures_are_found_out() {
    behind(Stranger { ask: without_dnssec, ..Stranger::HONEST }, |egress, anchor| async move {
        let names = resolvers(&egress, DaneMode::Auto, &anchor).await;
        assert_eq!(names.dnssec(&egress), None);
        let found = names.mx(&egress, "sec.zone").await.unwrap();
        assert_eq!((found.hosts.len(), found.secure), (1, false));
        let tlsa = names.tlsa(&egress, "mx.sec.zone", 25).await.unwrap();
        assert_eq!((tlsa.records.len(), tlsa.secure), (1, false));
        let said = Some(Err("the name servers strip signatures".to_owned()));
        assert_eq!(names.dnssec(&egress), said);
        assert_eq!(names.verdicts().borrow().get("wan").cloned(), said);
        // Where DNSSEC is asked for, nothing is taken on such a server's word.
        let strict = resolvers(&egress, DaneMode::On, &anchor).await;
        let refused = strict.mx(&egress, "sec.zone").await;
        assert!(matches!(refused, Err(LookupError::Bogus(_))), "{refused:?}");
        assert_eq!(strict.dnssec(&egress), said);
        // Where it is not, nobody asks.
        let off = resolvers(&egress, DaneMode::Off, &anchor).await;
        assert_eq!(off.mx(&egress, "sec.zone").await.unwrap().hosts.len(), 1);
        assert_eq!((off.dnssec(&egress), off.try_dnssec(&egress).await), (None, None));
    });
}

/// Time passes for the trial alone: nothing waits meanwhile.
async fn later(span: Duration) {
    tokio::time::pause();
    tokio::time::advance(span).await;
    tokio::time::resume();
}

#[test]
fn dnssec_that_comes_and_goes_is_noticed() {
    let stranger = Stranger { ask: without_dnssec_at_times, ..Stranger::HONEST };
    behind(stranger, |egress, anchor| async move {
        let names = resolvers(&egress, DaneMode::Auto, &anchor).await;
        let said = Some(Err("the name servers strip signatures".to_owned()));
        assert!(!names.mx(&egress, "sec.zone").await.unwrap().secure);
        assert_eq!(names.dnssec(&egress), said);
        STRIPS.store(false, Ordering::SeqCst);
        assert!(!names.mx(&egress, "n3.zone").await.unwrap().secure, "tried again too early");
        later(Duration::from_secs(61)).await;
        assert!(names.mx(&egress, "sec.zone").await.unwrap().secure);
        assert_eq!(names.dnssec(&egress), Some(Ok(())));
        STRIPS.store(true, Ordering::SeqCst);
        let refused = names.mx(&egress, "n3.zone").await;
        assert!(matches!(refused, Err(LookupError::Bogus(_))), "{refused:?}");
        later(Duration::from_secs(601)).await;
        assert!(!names.mx(&egress, "n3.zone").await.unwrap().secure);
        assert_eq!(names.dnssec(&egress), said);
    });
}

#[test]
fn name_servers_that_strip_proofs_of_absence_are_found_out() {
    behind(Stranger { answer: without_denials, ..Stranger::HONEST }, |egress, anchor| async move {
        let names = resolvers(&egress, DaneMode::Auto, &anchor).await;
        let said = Some(Err("the name servers strip proofs of absence".to_owned()));
        assert_eq!(names.try_dnssec(&egress).await, said);
        assert_eq!(names.mx(&egress, "bare.sec.zone").await.unwrap().hosts, []);
    });
}

#[test]
fn a_foreign_zone_cannot_deny_a_name() {
    // Only TLSA is lied about, so that the trial at the root goes well.
    behind(
        Stranger { answer: denied_by_a_stranger, ..Stranger::HONEST },
        |egress, anchor| async move {
            let names = resolvers(&egress, DaneMode::Auto, &anchor).await;
            let found = names.mx(&egress, "sec.zone").await.unwrap();
            assert_eq!((found.hosts.len(), found.secure), (1, true));
            let denied = names.tlsa(&egress, "mx.sec.zone", 25).await;
            assert!(matches!(denied, Err(LookupError::Bogus(_))), "{denied:?}");
            assert_eq!(names.dnssec(&egress), Some(Ok(())));
        },
    );
}

#[test]
fn a_wildcard_cannot_be_played_for_a_name_that_exists() {
    let stranger = Stranger { ask: the_wildcard_instead, answer: as_if_it_were };
    behind(stranger, |egress, anchor| async move {
        let names = resolvers(&egress, DaneMode::Auto, &anchor).await;
        let v4 = Egress { ipv6: None, ..egress.clone() };
        let played = names.addresses(&v4, "real.wild.sec.zone").await;
        assert!(matches!(played, Err(LookupError::Bogus(_))), "{played:?}");
        let true_one = names.addresses(&v4, "true.wild.sec.zone").await.unwrap();
        assert_eq!((true_one.v4.len(), true_one.secure), (1, true));
    });
}

#[test]
fn answers_say_what_dane_needs_to_know_and_are_remembered() {
    alone(|| async {
        let folder = tempfile::tempdir().unwrap();
        let world = World::create(folder.path());
        let nsd = world.serve();
        wait_for(53).await;
        let upstream = world.upstream(UPSTREAM, false);
        wait_for(UPSTREAM).await;
        let egress = egress(&["127.0.0.1:5301"]);
        let names = resolvers(&egress, DaneMode::On, &world.anchor()).await;
        let tlsa = async |host: &str| names.tlsa(&egress, host, 25).await;
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: TLSA_DATA.to_vec() };
        let good = TlsaAnswer { records: vec![record.clone()], secure: true };
        let addresses = async |host: &str| names.addresses(&egress, host).await;
        for _ in 0..2 {
            assert_eq!(tlsa("mx.sec.zone").await.unwrap(), good);
            assert_eq!(tlsa("tlsaalias.n3.zone").await.unwrap(), good);
            let none = TlsaAnswer { records: Vec::new(), secure: true };
            assert_eq!(tlsa("bare.n3.zone").await.unwrap(), none);
            let unproved = TlsaAnswer { records: vec![record.clone()], secure: false };
            assert_eq!(tlsa("mx.plain.zone").await.unwrap(), unproved);
            let chain = addresses("alias2.sec.zone").await.unwrap();
            assert_eq!((chain.v4.len(), chain.v6.len(), chain.secure), (1, 1, true));
            assert_eq!(chain.canonical.as_deref(), Some("mx.sec.zone"));
            let mixed = addresses("to-sec.plain.zone").await.unwrap();
            assert_eq!((mixed.v4.len(), mixed.secure), (1, false));
            let mixed = addresses("to-plain.sec.zone").await.unwrap();
            assert_eq!((mixed.v4.len(), mixed.secure), (1, false));
            assert_eq!(mixed.canonical.as_deref(), Some("mx.plain.zone"));
            assert_eq!(names.txt(&egress, "text.sec.zone").await.unwrap(), ["onetwo"]);
        }
        // Forged, of long ago, of a key that the parent does not know.
        for host in ["mx.bogus.zone", "mx.expired.zone", "mx.wrong.zone"] {
            let refused = tlsa(host).await;
            assert!(matches!(refused, Err(LookupError::Bogus(_))), "{host} {refused:?}");
        }
        // A zone that the site vouches for is taken as it is, also behind an alias.
        let unsigned = vec![Domain::parse("bogus.zone").unwrap()];
        let site = TrustConfig { unsigned, ..trust(DaneMode::On, &world.anchor()) };
        let site = Resolvers::new(client(&egress).await, &site).unwrap();
        for host in ["mx.bogus.zone", "to-bogus.sec.zone"] {
            let taken = site.addresses(&egress, host).await.unwrap();
            assert_eq!((taken.v4.len(), taken.secure), (1, false), "{host}");
        }
        assert!(site.addresses(&egress, "mx.sec.zone").await.unwrap().secure);
        // The server of its TLSA records is dead: nobody's forgery, and nobody's knowledge.
        assert!(addresses("held.sec.zone").await.unwrap().secure);
        let dead = tlsa("held.sec.zone").await;
        assert!(matches!(dead, Err(LookupError::Temporary(_))), "{dead:?}");
        // What was proved is remembered without any server.
        drop((nsd, upstream));
        for _ in 0..1000 {
            assert_eq!(tlsa("mx.sec.zone").await.unwrap(), good);
            assert!(tlsa("bare.n3.zone").await.unwrap().records.is_empty());
        }
        let gone = tlsa("null.sec.zone").await;
        assert!(matches!(gone, Err(LookupError::Temporary(_))), "{gone:?}");
    });
}

#[test]
fn anchors_must_be_keys_of_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchors");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Resolvers::new(EgressClient::new(), &trust(DaneMode::Auto, &path)).err()
    };
    assert!(read("").is_some());
    assert!(read("; nothing").is_some());
    assert!(read(". 300 IN A 192.0.2.1").is_some());
    let key =
        "kXKkvWU3vGYfTJGl3qBd4qhiWp5aRs7YtkCJxD2d+t7KXqwahww5IgJtxJT2yFItlggazyfXqJEVOmMJ3qT0tQ==";
    assert!(read(&format!("example. 300 IN DNSKEY 257 3 13 {key}")).is_some());
    assert!(read(&format!(". 300 IN DNSKEY 257 3 13 {key}")).is_none());
    std::fs::remove_file(&path).unwrap();
    assert!(Resolvers::new(EgressClient::new(), &trust(DaneMode::Auto, &path)).is_err());
}
