//! The rules, each broken once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::envelope::{Envelope, Recipient};
use crate::mail::source::{
    Deadlines, MailboxPattern, Proof, SourceLimits, SourceName, SourceState, Unsigned,
};
use crate::mail::stage::SessionFacts;

fn pattern(text: &str) -> MailboxPattern {
    let (local, domain) = text.rsplit_once('@').unwrap();
    let local_part = (local != "*").then(|| local.into());
    MailboxPattern { local_part, domain: Domain::parse(domain).unwrap() }
}

/// May send as `*@a.example` from `*@a.example`, as `billing@b.example` from `bounce@a.example`
/// and from the null reverse-path, at most 2,000 octets to two recipients.
pub(super) fn source() -> Source {
    let pair = |reverse_path: Option<&str>, from| SenderPair {
        reverse_path: reverse_path.map(pattern),
        from: pattern(from),
    };
    Source {
        name: SourceName::new("app").unwrap(),
        proof: Proof::Network,
        networks: Vec::new(),
        pairs: vec![
            pair(Some("*@a.example"), "*@a.example"),
            pair(Some("bounce@a.example"), "billing@b.example"),
            pair(None, "billing@b.example"),
        ],
        state: SourceState::Active,
        expires: None,
        class: MessageClass::Transactional,
        message_octets_max: Some(20_000),
        recipients_max: Some(2),
        owner: None,
        unsigned: Unsigned::Refuse,
        limits: SourceLimits::default(),
        internal_only: false,
        rewrite: BTreeMap::new(),
        unsubscribe_list: None,
        tags: Vec::new(),
        contacts: Vec::new(),
        notes: String::new(),
        pool: None,
        priority_max: None,
        deliver_by: Deadlines::default(),
    }
}

fn path(text: &str) -> ReversePath {
    if text.is_empty() {
        return ReversePath::Null;
    }
    ReversePath::Mailbox(Mailbox::parse(text, true).unwrap())
}

fn submit(reverse_path: &str, content: &[u8], utf8: bool) -> Result<Permitted, Refusal> {
    let session = SessionFacts {
        peer: "192.0.2.1".parse().unwrap(),
        peer_port: 1,
        helo: "x".into(),
        esmtp: true,
        tls: None,
        authenticated: false,
    };
    let mut envelope = Envelope::from(path(reverse_path));
    envelope.smtputf8 = utf8;
    envelope.recipients.push(Recipient::plain(Mailbox::parse("r@r.example", false).unwrap()));
    let message = Submitted { session, envelope, content: Bytes::copy_from_slice(content) };
    permit_message(&Attributed::mint(Arc::new(source())), message)
}

fn rule(reverse_path: &str, header: &str) -> Option<&'static str> {
    let content = format!("{header}\r\nbody\r\n");
    submit(reverse_path, content.as_bytes(), false).err().map(|refusal| refusal.rule)
}

#[test]
fn a_pair_is_a_pair() {
    for (reverse_path, from, expected) in [
        ("x@a.example", "y@a.example", None),
        ("bounce@a.example", "billing@b.example", None),
        ("bounce@a.example", "y@a.example", None),
        ("", "billing@b.example", None),
        ("x@a.example", "billing@b.example", Some("from-not-allowed")),
        ("bounce@a.example", "Billing@b.example", Some("from-not-allowed")),
        ("bounce@a.example", "other@b.example", Some("from-not-allowed")),
        ("bounce@a.example", "billing@sub.b.example", Some("from-not-allowed")),
        ("", "y@a.example", Some("from-not-allowed")),
        ("billing@b.example", "billing@b.example", Some("sender-not-allowed")),
        ("x@sub.a.example", "y@a.example", Some("sender-not-allowed")),
    ] {
        assert_eq!(
            rule(reverse_path, &format!("From: {from}\r\n")),
            expected,
            "{reverse_path} {from}"
        );
    }
    let null = permit_sender(&Source { pairs: vec![], ..source() }, &ReversePath::Null, None);
    assert_eq!(null.unwrap_err().rule, "null-sender-not-allowed");
}

#[test]
fn each_rule_of_the_header_is_enforced() {
    let from = "From: y@a.example\r\n";
    let good = [
        String::new(),
        "Sender: z@a.example\r\n".to_owned(),
        "Reply-To: anyone@elsewhere.example, B <b@c.example>\r\n".to_owned(),
        "To: undisclosed-recipients:;\r\nCc: not @ all an address\r\n".to_owned(),
        "Resent-From: z@a.example\r\nResent-From: y@a.example\r\n".to_owned(),
        "Received: x\r\n".repeat(50),
        "X-Tag: a\r\nX-Tag: b\r\n".to_owned(),
    ];
    for more in good {
        assert_eq!(rule("x@a.example", &format!("{from}{more}")), None, "{more}");
    }
    for (more, expected) in [
        ("From: y@a.example\r\n", "field-repeated"),
        ("fRoM: y@a.example\r\n", "field-repeated"),
        ("Subject: a\r\nSubject: b\r\n", "field-repeated"),
        ("To: a@b.example\r\nTO: a@b.example\r\n", "field-repeated"),
        ("Date: a\r\ndate: b\r\n", "field-repeated"),
        ("Content-Type: a/b\r\nContent-Type: a/b\r\n", "field-repeated"),
        ("Sender: evil@x.example\r\n", "sender-field-not-allowed"),
        ("Sender: z@a.example, y@a.example\r\n", "sender-field-malformed"),
        ("Sender: G: z@a.example;\r\n", "sender-field-malformed"),
        ("Sender:\r\n", "sender-field-malformed"),
        ("Resent-From: evil@x.example\r\n", "resent-not-allowed"),
        ("Resent-From: z@a.example\r\nResent-From: evil@x.example\r\n", "resent-not-allowed"),
        ("Resent-Sender: nonsense\r\n", "resent-not-allowed"),
        ("Reply-To: nonsense\r\n", "reply-to-malformed"),
        ("Subject: caf\u{e9}\r\n", "header-needs-smtputf8"),
        ("Subject: \u{1b}[2J\r\n", "header-has-control"),
        ("Subject : x\r\n", "header-malformed"),
        ("Subject: x\r\n \r\n y\r\n", "header-malformed"),
    ] {
        assert_eq!(rule("x@a.example", &format!("{from}{more}")), Some(expected), "{more}");
    }
    let hops = "Received: x\r\n".repeat(51);
    assert_eq!(rule("x@a.example", &format!("{from}{hops}")), Some("too-many-hops"));
    assert_eq!(rule("x@a.example", "Subject: x\r\n"), Some("from-missing"));
    let both = "From: y@a.example, z@a.example\r\n";
    assert_eq!(rule("x@a.example", both), Some("sender-field-missing"));
    assert_eq!(rule("x@a.example", &format!("{both}Sender: y@a.example\r\n")), None);
    let domains = "From: y@a.example, billing@b.example\r\nSender: y@a.example\r\n";
    assert_eq!(rule("bounce@a.example", domains), Some("from-many-domains"));
}

#[test]
fn lines_are_checked_as_a_whole() {
    let header = "From: y@a.example\r\n\r\n";
    for (body, expected) in [
        (String::new(), None),
        ("no end".to_owned(), None),
        ("x".repeat(998) + "\r\n", None),
        ("x".repeat(999) + "\r\n", Some("line-too-long")),
        ("x".repeat(999), Some("line-too-long")),
        ("a\nb\r\n".to_owned(), Some("line-ends-bare")),
        ("a\rb\r\n".to_owned(), Some("line-ends-bare")),
        ("a\r\r\n".to_owned(), Some("line-ends-bare")),
        ("a\r".to_owned(), Some("line-ends-bare")),
        ("a\r\n.\n".to_owned(), Some("line-ends-bare")),
        ("a\0b\r\n".to_owned(), Some("content-has-nul")),
        ("x\r\n".repeat(7000), Some("message-too-large")),
    ] {
        let result = submit("x@a.example", format!("{header}{body}").as_bytes(), false);
        assert_eq!(result.err().map(|no| no.rule), expected, "{:?}", &body[..body.len().min(9)]);
    }
    let latin = submit("x@a.example", b"From: y@a.example\r\nSubject: \xe9\r\n\r\n", true);
    assert_eq!(latin.unwrap_err().rule, "header-not-utf8");
    assert!(submit("x@a.example", "From: Jé <y@a.example>\r\n\r\n".as_bytes(), true).is_ok());
}

#[test]
fn recipients_are_counted_and_plain() {
    let one = source();
    let permit = |text, accepted| {
        let mailbox = Mailbox::parse(text, true).unwrap();
        permit_recipient(&one, &mailbox, accepted, 1000).err().map(|no| no.rule)
    };
    assert_eq!(permit("r@r.example", 1), None);
    assert_eq!(permit("r@r.example", 2), Some("too-many-recipients"));
    assert_eq!(permit("r@[192.0.2.1]", 0), Some("recipient-is-literal"));
    assert_eq!(permit("r@[IPv6:::1]", 0), Some("recipient-is-literal"));
    assert_eq!(permit("=?x?q?a=40b?=@r.example", 0), Some("recipient-is-disguised"));
    assert_eq!(permit("a\u{202e}b@r.example", 0), Some("recipient-is-disguised"));
}

#[test]
fn the_gates_domain_is_for_the_gate_alone() {
    let gate = Source { proof: Proof::Health, ..source() };
    let permit = |source: &Source, text| {
        let mailbox = Mailbox::parse(text, true).unwrap();
        permit_recipient(source, &mailbox, 0, 1000).err().map(|no| no.rule)
    };
    assert_eq!(permit(&source(), "r@health.invalid"), Some("recipient-is-reserved"));
    assert_eq!(permit(&source(), "r@HEALTH.invalid"), Some("recipient-is-reserved"));
    assert_eq!(permit(&source(), "r@sub.health.invalid"), None);
    assert_eq!(permit(&gate, "r@health.invalid"), None);
    for elsewhere in ["r@r.example", "r@sub.health.invalid", "r@invalid"] {
        assert_eq!(permit(&gate, elsewhere), Some("recipient-is-reserved"), "{elsewhere}");
    }
}

#[test]
fn the_announced_size_is_refused_before_the_content_comes() {
    let sender = path("x@a.example");
    assert!(permit_sender(&source(), &sender, Some(20_000)).is_ok());
    let refusal = permit_sender(&source(), &sender, Some(20_001)).unwrap_err();
    assert_eq!((refusal.rule, refusal.reply.code), ("message-too-large", 552));
}

#[test]
fn every_reply_names_its_rule_and_fits_a_line() {
    let header = "From: y@a.example\r\nSubject: a\r\nSubject: b\r\n\r\n";
    let refusal = submit("x@a.example", header.as_bytes(), false).unwrap_err();
    let octets = String::from_utf8(refusal.reply.octets()).unwrap();
    assert!(octets.contains("[field-repeated]") && octets.contains("Subject"), "{octets}");
    for refusal in [
        refusals::FROM_SHOWS_ADDRESS,
        refusals::FROM_MALFORMED,
        refusals::HEADER_NEEDS_SMTPUTF8,
        refusals::SENDER_NOT_ALLOWED,
    ] {
        assert!(refusal.reply.octets().len() <= 512, "{}", refusal.rule);
        assert!(refusal.reply.text.ends_with(&format!("[{}]", refusal.rule)));
    }
}
