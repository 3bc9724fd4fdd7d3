//! DNSSEC with real zones: what is proved, what cannot be, and what is forged. Whatever unbound's
//! validator says of a question, ours must say too.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::RecordType;
use postern::config::checked::{DaneMode, Egress};
use postern::dns::Names;
use postern::dns::resolver::Resolvers;
use postern::mail::trust::Tlsa;
use postern::route::{LookupError, TlsaAnswer};

use crate::space::{alone, client, egress, ip};
use crate::wire::{Word, ask, strip};
use crate::zones::{TLSA_DATA, World};

/// The upstream name server of the egress.
const UPSTREAM: u16 = 5301;
/// The validator whose word counts.
const MEASURE: u16 = 5302;

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn resolvers(egress: &Egress, mode: DaneMode, anchor: &Path) -> Resolvers {
    Resolvers::new(client(egress).await, mode, Some(anchor)).unwrap()
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
