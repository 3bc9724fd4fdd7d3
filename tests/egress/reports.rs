//! Daily reports about TLS (RFC 8460), from what was counted to the receivers that asked for them:
//! one by mail, one by HTTPS.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use flate2::read::GzDecoder;
use postern::base::time::WallTime;
use postern::config::checked::DkimAlgorithm;
use postern::mail::address::Domain;
use postern::mail::trust::{PolicySeen, TlsResult};
use postern::outcome::tlsrpt::{Counts, Session, day_of};
use postern::sign::keys::generate;
use postern::store::trust::TrustStore;

use crate::bed::gateway::Gateway;
use crate::bed::names::Names;
use crate::bed::papers::{Authority, Paper};
use crate::bed::receiver::{Manner, Receiver};
use crate::bed::web::Web;
use crate::bed::wires::{Bed, Family};
use crate::town::{PATIENCE, RETRY};

/// Where reports are posted.
const WEB: Ipv4Addr = Ipv4Addr::new(93, 184, 3, 2);

/// The day before yesterday: its reports are due, whatever the hour.
fn day() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    day_of(WallTime(u64::try_from(since.as_millis()).unwrap())) - 2
}

/// Three sessions, one of them bad.
fn counted() -> Counts {
    let mut counts = Counts::default();
    for failure in [None, None, Some((TlsResult::CertificateExpired, "expired".to_owned()))] {
        counts.note(Session {
            policy: PolicySeen::none(),
            failure,
            sending: Some("93.184.0.2".parse().unwrap()),
            host: Some("mx.example.net".to_owned()),
            receiving: Some("93.184.0.9".parse().unwrap()),
        });
    }
    counts
}

fn left(spool: &Path) {
    let (store, _) = TrustStore::open(&spool.join("trust")).unwrap();
    for domain in ["example.net", "posted.test", "silent.test"] {
        store.put_counts(day(), &Domain::parse(domain).unwrap(), Some(&counted()));
    }
    store.close();
}

fn json(compressed: &[u8]) -> serde_json::Value {
    let mut text = String::new();
    GzDecoder::new(compressed).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What a report must say of `counted`.
fn judge(report: &serde_json::Value, domain: &str) {
    assert_eq!(report["organization-name"], "Example Corporation");
    let policy = &report["policies"][0];
    assert_eq!(policy["policy"]["policy-domain"], domain);
    assert_eq!(policy["summary"]["total-successful-session-count"], 2);
    assert_eq!(policy["summary"]["total-failure-session-count"], 1);
    let details = &policy["failure-details"][0];
    assert_eq!(details["result-type"], "certificate-expired");
    assert_eq!(details["failed-session-count"], 1);
}

#[test]
fn yesterdays_sessions_are_reported_by_mail_and_by_https() {
    let bed = Bed::new();
    let folder = tempfile::Builder::new().prefix("postern-names").tempdir().unwrap();
    let host: IpAddr = Family::V4.host(7);
    bed.add_hosts(&[host, WEB.into()]);
    let zone = format!(
        "example.net. MX 10 mx.example.net.\nmx.example.net. A {host}\n\
         _smtp._tls.example.net. TXT \"v=TLSRPTv1; rua=mailto:tls@example.net\"\n\
         _smtp._tls.posted.test. TXT \"v=TLSRPTv1;rua=https://web.posted.test/v1/tlsrpt\"\n\
         web.posted.test. A {WEB}\nsilent.test. MX 10 mx.example.net.\n"
    );
    let _names = Names::serve(&bed, folder.path(), &zone);
    let receiver = Receiver::start(&bed.internet, "mx.example.net", &[host], Manner::Takes, None);
    let authority = Authority::new();
    let paper = authority.paper(&["web.posted.test"], Paper::Good);
    let place = SocketAddr::new(WEB.into(), 443);
    let web = Web::start(&bed.internet, place, paper.server, BTreeMap::new());
    let key = generate(DkimAlgorithm::Ed25519Sha256).unwrap();
    let more = "[trust]\ndane = \"off\"\nmta_sts = false\nroots = \"FOLDER/roots.pem\"\n\n\
                [trust.reports]\nfrom = \"tls-reports@example.org\"\n\
                organization = \"Example Corporation\"\n\n\
                [[dkim]]\ndomain = \"example.org\"\nselector = \"r\"\n\
                algorithm = \"ed25519-sha256\"\nfile = \"FOLDER/dkim.pem\"\n";
    let files = [("roots.pem", authority.pem.as_str()), ("dkim.pem", key.expose().as_str())];
    let gateway = Gateway::start_upon(&bed, RETRY, more, &files, left);

    let taken = receiver.wait("tls@example.net", PATIENCE);
    assert!(taken.mail.starts_with("MAIL FROM:<>"), "{}", taken.mail);
    let header = taken.letter.split("\r\n\r\n").next().unwrap();
    for field in [
        "From: <tls-reports@example.org>",
        "TLS-Report-Domain: example.net",
        "TLS-Report-Submitter: ",
        "TLS-Required: No",
        "DKIM-Signature: ",
    ] {
        assert!(header.lines().any(|line| line.starts_with(field)), "{field} in\n{header}");
    }
    assert!(header.contains("report-type=\"tlsrpt\"") || header.contains("report-type=tlsrpt"));
    let part = taken.letter.split("Content-Type: application/tlsrpt+gzip").nth(1).unwrap();
    let coded = part.split("\r\n\r\n").nth(1).unwrap().split("--").next().unwrap();
    let coded: String = coded.split_whitespace().collect();
    let compressed = base64::engine::general_purpose::STANDARD.decode(coded).unwrap();
    judge(&json(&compressed), "example.net");

    let began = Instant::now();
    while web.posted().is_empty() {
        assert!(began.elapsed() < PATIENCE, "nothing was posted: {}", gateway.told());
        std::thread::sleep(Duration::from_millis(20));
    }
    let posted = web.posted();
    assert_eq!(posted[0].path, "/v1/tlsrpt");
    assert_eq!(posted[0].content_type, "application/tlsrpt+gzip");
    judge(&json(&posted[0].body), "posted.test");

    // Who asks for nothing gets nothing; and each report goes once.
    gateway.wait_told(0, "posted.test");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((receiver.taken().len(), web.posted().len()), (1, 1), "{}", gateway.told());
    let heard = bed.capture.take();
    assert_eq!(heard.wrong, []);
}
