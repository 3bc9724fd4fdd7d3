//! Reports as their receivers read them.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;
use crate::base::id::QueueId;
use crate::mail::address::{Domain, Mailbox};

fn session(policy: &PolicySeen, failure: Option<(TlsResult, &str)>, host: u8) -> Session {
    Session {
        policy: policy.clone(),
        failure: failure.map(|(result, reason)| (result, reason.to_owned())),
        sending: Some([192, 0, 2, 25].into()),
        host: Some(format!("mx{host}.there.example")),
        receiving: Some([203, 0, 113, host].into()),
    }
}

fn sts() -> PolicySeen {
    PolicySeen {
        kind: PolicyKind::Sts,
        strings: vec!["version: STSv1".to_owned(), "mode: testing".to_owned()],
        mx_hosts: vec!["*.there.example".to_owned()],
    }
}

const HEADING: Heading<'_> = Heading {
    domain: "there.example",
    organization: "Example \"Corp\"",
    contact: "tls@example.com",
    day: 20_717,
};

#[test]
fn the_report_of_a_day_is_what_rfc_8460_shows() {
    let mut counts = Counts::default();
    for _ in 0..5 {
        counts.note(session(&sts(), None, 1));
    }
    for _ in 0..3 {
        counts.note(session(&sts(), Some((TlsResult::CertificateExpired, "x\ny")), 2));
    }
    counts.note(session(&sts(), Some((TlsResult::StarttlsNotSupported, "")), 2));
    counts.note(session(&PolicySeen::none(), None, 1));
    assert_eq!(counts.sums(), (6, 4));
    let json: serde_json::Value =
        serde_json::from_slice(&json(&HEADING, &counts).unwrap()).unwrap();
    let expected = serde_json::json!({
        "organization-name": "Example \"Corp\"",
        "date-range": {
            "start-datetime": "2026-09-21T00:00:00Z",
            "end-datetime": "2026-09-21T23:59:59Z"
        },
        "contact-info": "tls@example.com",
        "report-id": "1789948800.there.example",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1", "mode: testing"],
                    "policy-domain": "there.example",
                    "mx-host": ["*.there.example"]
                },
                "summary": {
                    "total-successful-session-count": 5,
                    "total-failure-session-count": 4
                },
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "192.0.2.25",
                        "receiving-mx-hostname": "mx2.there.example",
                        "receiving-ip": "203.0.113.2",
                        "failed-session-count": 3,
                        "failure-reason-code": "x?y"
                    },
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "192.0.2.25",
                        "receiving-mx-hostname": "mx2.there.example",
                        "receiving-ip": "203.0.113.2",
                        "failed-session-count": 1
                    }
                ]
            },
            {
                "policy": {
                    "policy-type": "no-policy-found",
                    "policy-domain": "there.example"
                },
                "summary": {
                    "total-successful-session-count": 1,
                    "total-failure-session-count": 0
                }
            }
        ]
    });
    assert_eq!(json, expected);
}

#[test]
fn counts_stay_within_their_bounds_and_lose_no_session() {
    let mut counts = Counts::default();
    for policy in 0..20 {
        let mut seen = sts();
        seen.strings.push(format!("max_age: {policy}"));
        for host in 0..40 {
            counts.note(session(&seen, Some((TlsResult::ValidationFailure, "x")), host));
            counts.note(session(&seen, None, host));
        }
    }
    assert_eq!(counts.sums(), (800, 800));
    assert_eq!(counts.0.len(), TLSRPT_POLICIES_MAX);
    assert!(counts.0.iter().all(|tally| tally.details.len() == TLSRPT_DETAILS_MAX));
    let stored = postcard::to_stdvec(&counts).unwrap();
    assert_eq!(postcard::from_bytes::<Counts>(&stored), Ok(counts));
}

#[test]
fn every_result_has_its_word() {
    use TlsResult::*;
    let all = [
        StarttlsNotSupported,
        CertificateHostMismatch,
        CertificateExpired,
        CertificateNotTrusted,
        ValidationFailure,
        TlsaInvalid,
        DnssecInvalid,
        DaneRequired,
        StsPolicyFetchError,
        StsPolicyInvalid,
        StsWebpkiInvalid,
    ];
    for result in all {
        assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
    }
}

#[test]
fn the_message_is_plain_and_its_attachment_comes_back_whole() {
    let mut counts = Counts::default();
    counts.note(session(&sts(), None, 1));
    let json = json(&HEADING, &counts).unwrap();
    let compressed = gzip(&json).unwrap();
    let (from, to) = (
        Mailbox::parse("tls@example.com", false).unwrap(),
        Mailbox::parse("reports@there.example", false).unwrap(),
    );
    let notice = Notice {
        hostname: &Domain::parse("relay.example.com").unwrap(),
        from: &from,
        to: &to,
        id: QueueId::new(WallTime(1_790_000_000_000), 1),
        now: WallTime(1_790_000_000_000),
    };
    let octets = message(&notice, &HEADING, &compressed);
    let text = std::str::from_utf8(&octets).unwrap();
    assert!(text.is_ascii() && text.split("\r\n").all(|line| line.len() <= 200));
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    for needed in [
        "TLS-Report-Domain: there.example\r\n",
        "TLS-Report-Submitter: example.com\r\n",
        "TLS-Required: No\r\n",
        "report-type=\"tlsrpt\"",
        "application/tlsrpt+gzip",
        "filename=\"example.com!there.example!1789948800!1790035199!001.json.gz\"",
    ] {
        assert!(text.contains(needed), "{needed}\n{text}");
    }
    let unfolded = text.replace("\r\n ", " ");
    let subject = "Subject: Report Domain: there.example Submitter: example.com Report-ID: \
                   <1789948800.there.example>\r\n";
    assert!(unfolded.contains(subject), "{text}");
    let parsed = mail_parser::MessageParser::default().parse(octets.as_ref()).unwrap();
    let attachment = mail_parser::MessageParser::default()
        .parse(octets.as_ref())
        .and_then(|m| m.attachment(0).map(|part| part.contents().to_vec()))
        .unwrap();
    assert_eq!(parsed.attachments.len(), 1);
    let mut found = Vec::new();
    GzDecoder::new(&attachment[..]).read_to_end(&mut found).unwrap();
    assert_eq!(found, json);
}
