//! What `route::trust` decides, over real sockets: certificates of every kind, TLSA records, a
//! policy host with a certificate of its own, messages with wishes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use postern::base::time::WallTime;
use postern::config::checked::{Config, Route, RouteMatch, TlsFloor, TlsOverride};
use postern::dns::table::Table;
use postern::mail::trust::{Assurance, Tlsa};
use postern::route::{Addresses, LookupError, MxAnswer, TlsaAnswer};
use postern::service::post::Job;
use postern::smtp::sasl::sha256;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::desk::{CONTENT, TestDesk, carry, config, egress, job};
use crate::peer::{EHLO, GREETING, Peer, Step, after_opening, answer, say};

const HOST: &str = "mx.there.example";
const OFFER: &str = "250-mx.there.example\r\n250 STARTTLS\r\n";

/// An authority of the site, trusted beside those of the Web.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate, and the digest of its key.
#[derive(Clone)]
struct Shown {
    acceptor: TlsAcceptor,
    key: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cert {
    Good,
    SelfSigned,
    WrongName,
    Expired,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    fn pem(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    fn show(&self, name: &str, cert: Cert) -> Shown {
        let key = KeyPair::generate().unwrap();
        let name = if cert == Cert::WrongName { "other.example" } else { name };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if cert == Cert::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let made = match cert {
            Cert::SelfSigned => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        let digest = sha256(&key.subject_public_key_info());
        Shown { acceptor: acceptor(made.der().clone(), &key), key: digest }
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A policy host: answers every request with `text`, and counts them.
async fn policy_host(shown: Shown, text: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = shown.acceptor.accept(stream).await else { continue };
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                let Ok(octet) = stream.read_u8().await else { break };
                heard.push(octet);
            }
            assert!(heard.starts_with(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n"));
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, asked)
}

const ENFORCE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    version: STSv1\r\nmode: enforce\r\nmx: *.there.example\r\nmax_age: 86400\r\n";
const TESTING: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    version: STSv1\nmode: testing\nmx: *.there.example\nmax_age: 86400\n";
const OTHERS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    version: STSv1\nmode: enforce\nmx: mx.other.example\nmax_age: 86400\n";
const MOVED: &str = "HTTP/1.1 301 Moved\r\nLocation: https://mx.other.example/\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// What DNS says about TLSA records.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Records {
    None,
    Match,
    Mismatch,
    Unusable,
    Insecure,
    Bogus,
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    None,
    Required,
    Optional,
}

/// One host, one domain, one message.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// None: no STARTTLS.
    cert: Option<Cert>,
    records: Records,
    /// DNSSEC proves MX and addresses.
    secure: bool,
    /// What the policy host answers, and with which certificate.
    sts: Option<(&'static str, Cert)>,
    wish: Wish,
    offers: bool,
    exception: Option<TlsFloor>,
    floor: TlsFloor,
}

const PLAIN: Case = Case {
    cert: Some(Cert::SelfSigned),
    records: Records::None,
    secure: false,
    sts: None,
    wish: Wish::None,
    offers: false,
    exception: None,
    floor: TlsFloor::Opportunistic,
};

const SIGNED: Case = Case { secure: true, ..PLAIN };

fn script(case: &Case) -> Vec<Step> {
    if case.cert.is_none() {
        return after_opening(vec![Step::Serve]);
    }
    let ehlo = if case.offers {
        answer("EHLO", "250-mx.there.example\r\n250 REQUIRETLS\r\n")
    } else {
        answer("EHLO", EHLO)
    };
    vec![
        say(GREETING),
        answer("EHLO", OFFER),
        answer("STARTTLS", "220 go\r\n"),
        Step::Tls,
        ehlo,
        Step::Serve,
    ]
}

fn wished(wish: Wish) -> Job {
    let mut job = job(&["x@there.example"], CONTENT);
    let envelope = &mut Arc::get_mut(&mut job.parcel).unwrap().envelope;
    (envelope.require_tls, envelope.tls_optional) =
        (wish == Wish::Required, wish == Wish::Optional);
    job
}

fn names(records: Records, secure: bool, port: u16, key: [u8; 32]) -> Table {
    let mx = MxAnswer { hosts: vec![(10, HOST.to_owned())], secure };
    let at = Addresses { secure, ..Addresses::one("127.0.0.1".parse().unwrap()) };
    let record =
        |usage, data: [u8; 32]| Tlsa { usage, selector: 1, matching: 1, data: data.into() };
    let one = |record, secure| Ok(TlsaAnswer { records: vec![record], secure });
    let tlsa = match records {
        Records::None => Ok(TlsaAnswer { records: Vec::new(), secure }),
        Records::Match => one(record(3, key), true),
        Records::Mismatch => one(record(3, [7; 32]), true),
        Records::Unusable => one(record(1, key), true),
        Records::Insecure => one(record(3, [7; 32]), false),
        Records::Bogus => Err(LookupError::Bogus("forged".to_owned())),
        Records::Silent => Err(LookupError::Temporary("timed out".to_owned())),
    };
    Table::default()
        .with_mx("there.example", Ok(mx))
        .with_addresses(HOST, Ok(at.clone()))
        .with_addresses("mta-sts.there.example", Ok(at))
        .with_tlsa(HOST, port, tlsa)
}

fn set(config: &mut Config, case: &Case, authority: &Authority) {
    config.trust.roots = Some(authority.pem());
    config.trust.overrides.extend(case.exception.map(|tls| TlsOverride {
        matches: RouteMatch::Any,
        tls,
        reason: "ticket 4711".to_owned(),
        expires: WallTime(u64::MAX),
    }));
    if case.floor != TlsFloor::Opportunistic {
        let (matches, tls) = (RouteMatch::Any, case.floor);
        config.routes.push(Route { matches, hosts: Vec::new(), egress: None, tls });
    }
}

async fn run(case: &Case, authority: &Authority) -> (String, Assurance, String) {
    let shown = authority.show(HOST, case.cert.unwrap_or(Cert::Good));
    let peer = Peer::secured("127.0.0.1", 0, vec![script(case)], shown.acceptor.clone()).await;
    let mut table = names(case.records, case.secure, peer.port, shown.key);
    let mut egress = egress(peer.port);
    if let Some((text, cert)) = case.sts {
        let host = authority.show("mta-sts.there.example", cert);
        let (port, _) = policy_host(host, text).await;
        egress.https_port = port;
        let record = vec!["v=STSv1; id=1;".to_owned()];
        table = table.with_txt("_mta-sts.there.example", Ok(record));
    }
    let mut config = config(egress, Vec::new());
    set(&mut config, case, authority);
    let desk = carry(config, table, vec![wished(case.wish)]).await;
    let assurance = desk.settled.lock().unwrap()[0].assurance;
    let heard = if peer.connections() > 0 { peer.transcript(0) } else { String::new() };
    (desk.answers()[0].clone(), assurance, heard)
}

const TAKEN: &str = "0 Dot 250 2.0.0 taken";
const WAITS: &str = "0 StartTls 4.7.5 ";

/// A case, the beginning of its answer, and what the connection was worth.
type Row = (Case, &'static str, Assurance);

fn cases() -> Vec<Row> {
    [opportunistic(), by_dns(), by_policy(), by_people()].concat()
}

/// Nobody asks for more than a floor.
fn opportunistic() -> Vec<Row> {
    use Assurance::{Clear, Encrypted, Verified};
    let clear = Case { cert: None, ..PLAIN };
    let good = Case { cert: Some(Cert::Good), ..PLAIN };
    vec![
        // Nobody asks for anything.
        (clear, TAKEN, Clear),
        (PLAIN, TAKEN, Encrypted),
        (good, TAKEN, Verified),
        (Case { cert: Some(Cert::Expired), ..PLAIN }, TAKEN, Encrypted),
        // Floors.
        (Case { floor: TlsFloor::Encrypted, ..clear }, WAITS, Clear),
        (Case { floor: TlsFloor::Encrypted, ..PLAIN }, TAKEN, Encrypted),
        (Case { floor: TlsFloor::Authenticated, ..good }, TAKEN, Verified),
        (Case { floor: TlsFloor::Authenticated, ..PLAIN }, WAITS, Clear),
    ]
}

/// DANE.
fn by_dns() -> Vec<Row> {
    use Assurance::{Clear, Dane, Encrypted};
    vec![
        (Case { records: Records::Match, ..SIGNED }, TAKEN, Dane),
        (Case { records: Records::Match, cert: Some(Cert::WrongName), ..SIGNED }, TAKEN, Dane),
        (Case { records: Records::Match, cert: Some(Cert::Expired), ..SIGNED }, TAKEN, Dane),
        (Case { records: Records::Match, cert: None, ..SIGNED }, WAITS, Clear),
        (Case { records: Records::Mismatch, cert: Some(Cert::Good), ..SIGNED }, WAITS, Clear),
        (Case { records: Records::Unusable, ..SIGNED }, TAKEN, Encrypted),
        (Case { records: Records::Unusable, cert: None, ..SIGNED }, WAITS, Clear),
        (Case { records: Records::Insecure, ..SIGNED }, TAKEN, Encrypted),
        (Case { records: Records::Mismatch, ..PLAIN }, TAKEN, Encrypted),
        (Case { records: Records::Bogus, cert: Some(Cert::Good), ..SIGNED }, WAITS, Clear),
        (Case { records: Records::Silent, cert: Some(Cert::Good), ..SIGNED }, WAITS, Clear),
    ]
}

/// MTA-STS, and DANE over it.
fn by_policy() -> Vec<Row> {
    use Assurance::{Clear, Dane, Encrypted, MtaSts};
    let clear = Case { cert: None, ..PLAIN };
    let good = Case { cert: Some(Cert::Good), ..PLAIN };
    let enforce = Case { sts: Some((ENFORCE, Cert::Good)), ..PLAIN };
    vec![
        (Case { cert: Some(Cert::Good), ..enforce }, TAKEN, MtaSts),
        (enforce, WAITS, Clear),
        (Case { cert: Some(Cert::WrongName), ..enforce }, WAITS, Clear),
        (Case { cert: Some(Cert::Expired), ..enforce }, WAITS, Clear),
        (Case { cert: None, ..enforce }, WAITS, Clear),
        (Case { sts: Some((OTHERS, Cert::Good)), ..good }, WAITS, Clear),
        (Case { sts: Some((TESTING, Cert::Good)), ..PLAIN }, TAKEN, Encrypted),
        (Case { sts: Some((TESTING, Cert::Good)), ..clear }, TAKEN, Clear),
        (Case { sts: Some((MOVED, Cert::Good)), ..clear }, TAKEN, Clear),
        // A policy from a host that is not who it says is none.
        (Case { sts: Some((OTHERS, Cert::SelfSigned)), ..PLAIN }, TAKEN, Encrypted),
        (Case { sts: Some((OTHERS, Cert::WrongName)), ..PLAIN }, TAKEN, Encrypted),
        // DANE lies over MTA-STS.
        (Case { records: Records::Match, sts: Some((OTHERS, Cert::Good)), ..SIGNED }, TAKEN, Dane),
        (
            Case { records: Records::Mismatch, cert: Some(Cert::Good), secure: true, ..enforce },
            WAITS,
            Clear,
        ),
    ]
}

/// Administrators and senders.
fn by_people() -> Vec<Row> {
    use Assurance::{Clear, Dane, Encrypted, MtaSts, Verified};
    let clear = Case { cert: None, ..PLAIN };
    let good = Case { cert: Some(Cert::Good), ..PLAIN };
    let enforce = Case { sts: Some((ENFORCE, Cert::Good)), ..PLAIN };
    let required = Case { wish: Wish::Required, offers: true, ..SIGNED };
    vec![
        // Overrides lie over what the domain publishes.
        (
            Case { exception: Some(TlsFloor::Encrypted), records: Records::Mismatch, ..SIGNED },
            TAKEN,
            Encrypted,
        ),
        (Case { exception: Some(TlsFloor::Opportunistic), cert: None, ..enforce }, TAKEN, Clear),
        (Case { exception: Some(TlsFloor::Authenticated), ..PLAIN }, WAITS, Clear),
        (Case { exception: Some(TlsFloor::Authenticated), ..good }, TAKEN, Verified),
        // TLS-Required: No.
        (Case { wish: Wish::Optional, ..enforce }, TAKEN, Encrypted),
        (
            Case { wish: Wish::Optional, records: Records::Bogus, cert: None, ..SIGNED },
            TAKEN,
            Clear,
        ),
        (Case { wish: Wish::Optional, floor: TlsFloor::Encrypted, ..clear }, WAITS, Clear),
        // REQUIRETLS.
        (Case { records: Records::Match, ..required }, TAKEN, Dane),
        (Case { cert: Some(Cert::Good), ..required }, TAKEN, Verified),
        (required, "0 StartTls 5.7.10 ", Clear),
        (Case { cert: None, ..required }, "0 StartTls 5.7.10 ", Clear),
        (Case { records: Records::Match, offers: false, ..required }, "0 StartTls 5.7.30 ", Clear),
        (Case { secure: false, cert: Some(Cert::Good), ..required }, "0 StartTls 5.7.30 ", Clear),
        (
            Case { wish: Wish::Required, offers: true, cert: Some(Cert::Good), ..enforce },
            TAKEN,
            MtaSts,
        ),
    ]
}

#[tokio::test]
async fn what_is_decided_is_what_happens() {
    let authority = Authority::new();
    for (case, expected, worth) in cases() {
        let (said, assurance, heard) = run(&case, &authority).await;
        assert!(said.starts_with(expected), "{said}\n{case:?}");
        assert_eq!(assurance, worth, "{case:?}");
        let sent = heard.contains("MAIL FROM:");
        assert_eq!(sent, expected.contains("250"), "{case:?}\n{heard}");
        let promised = heard.contains(" REQUIRETLS\r\n");
        assert_eq!(promised, case.wish == Wish::Required && sent, "{case:?}\n{heard}");
        if case.exception.is_some() && expected.contains("4.7.5") {
            assert!(said.contains("ticket 4711"), "{said}");
        }
    }
    assert!(cases().len() >= 45);
}

/// Carries these wishes over hosts of one kind; returns the desk and the connections.
async fn several(case: &Case, wishes: &[Wish]) -> (Arc<TestDesk>, usize) {
    let authority = Authority::new();
    let shown = authority.show(HOST, case.cert.unwrap_or(Cert::Good));
    let peer = Peer::secured("127.0.0.1", 0, vec![script(case)], shown.acceptor.clone()).await;
    let table = names(case.records, case.secure, peer.port, shown.key);
    let mut config = config(egress(peer.port), Vec::new());
    set(&mut config, case, &authority);
    let jobs = wishes.iter().map(|wish| wished(*wish)).collect();
    let desk = carry(config, table, jobs).await;
    (desk, peer.connections())
}

#[tokio::test]
async fn a_connection_that_is_good_enough_carries_every_wish() {
    let case = Case { records: Records::Match, offers: true, ..SIGNED };
    let wishes = [Wish::None, Wish::Required, Wish::Optional, Wish::Required, Wish::None];
    let (desk, connections) = several(&case, &wishes).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"; 5]);
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_connection_that_is_not_good_enough_is_left_for_one_that_is() {
    // Opportunistic, although the certificate is good: REQUIRETLS asks for the check itself, and
    // what ignored the domain's policy serves nobody who did not ask for that.
    let case = Case { cert: Some(Cert::Good), offers: true, ..SIGNED };
    let wishes = [Wish::None, Wish::Required, Wish::None, Wish::Optional];
    let (desk, connections) = several(&case, &wishes).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"; 4]);
    assert_eq!(connections, 2);
    let (desk, connections) = several(&case, &[Wish::Optional, Wish::None]).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"; 2]);
    assert_eq!(connections, 2);
    // And one message's wish that cannot be met holds nobody else up.
    let case = Case { cert: Some(Cert::SelfSigned), ..case };
    let (desk, connections) = several(&case, &[Wish::None, Wish::Required, Wish::None]).await;
    let answers = desk.answers();
    assert!(answers[1].starts_with("0 StartTls 5.7.10 "), "{answers:?}");
    assert_eq!(
        (answers[0].as_str(), answers[2].as_str()),
        ("0 Dot 250 2.0.0 taken", "0 Dot 250 2.0.0 taken")
    );
    assert_eq!(connections, 3);
}

#[tokio::test]
async fn a_host_that_fails_its_records_is_followed_by_the_next() {
    let authority = Authority::new();
    let (bad, good) =
        (authority.show("a.example", Cert::Good), authority.show("b.example", Cert::Good));
    let case = Case { records: Records::Match, ..SIGNED };
    let first = Peer::secured("127.0.0.1", 0, vec![script(&case)], bad.acceptor).await;
    let second =
        Peer::secured("127.0.0.2", first.port, vec![script(&case)], good.acceptor.clone()).await;
    let record = |data: [u8; 32]| {
        let records = vec![Tlsa { usage: 3, selector: 1, matching: 1, data: data.into() }];
        Ok(TlsaAnswer { records, secure: true })
    };
    let at = |ip: &str| Ok(Addresses { secure: true, ..Addresses::one(ip.parse().unwrap()) });
    let hosts = vec![(10, "a.example".to_owned()), (20, "b.example".to_owned())];
    let table = Table::default()
        .with_mx("there.example", Ok(MxAnswer { hosts, secure: true }))
        .with_addresses("a.example", at("127.0.0.1"))
        .with_addresses("b.example", at("127.0.0.2"))
        .with_tlsa("a.example", first.port, record([9; 32]))
        .with_tlsa("b.example", first.port, record(good.key));
    let config = config(egress(first.port), Vec::new());
    let desk = carry(config, table, vec![wished(Wish::None)]).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"]);
    assert_eq!(desk.settled.lock().unwrap()[0].assurance, Assurance::Dane);
    assert!(!first.transcript(0).contains("MAIL"));
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[tokio::test]
async fn a_policy_is_fetched_once_for_many_connections() {
    let authority = Authority::new();
    let shown = authority.show(HOST, Cert::Good);
    let case = Case { cert: Some(Cert::Good), ..PLAIN };
    let peer = Peer::secured("127.0.0.1", 0, vec![script(&case)], shown.acceptor).await;
    let (port, asked) =
        policy_host(authority.show("mta-sts.there.example", Cert::Good), ENFORCE).await;
    let record = vec!["v=STSv1; id=1;".to_owned()];
    let table = names(Records::None, false, peer.port, shown.key)
        .with_txt("_mta-sts.there.example", Ok(record));
    let mut egress = egress(peer.port);
    egress.https_port = port;
    let mut config = config(egress, Vec::new());
    set(&mut config, &case, &authority);
    config.lanes.messages_per_connection = 1;
    let jobs = (0..5).map(|_| wished(Wish::None)).collect();
    let desk = carry(config, table, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"; 5]);
    assert_eq!(peer.connections(), 5);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
