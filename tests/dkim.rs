//! Signatures of the gateway, judged by an independent verifier (dkimpy) and by our own.
//!
//! Hundreds of messages of every shape are sealed; each must verify with both signatures, and a
//! message to which somebody added or changed a field must not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod submission;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postern::base::id::QueueId;
use postern::base::time::WallTime;
use postern::config::checked::{DkimAlgorithm, DkimKey};
use postern::mail::address::Domain;
use postern::mail::envelope::{ByMode, DeliverBy};
use postern::mail::source::{Proof, Unsigned};
use postern::policy::permit_message;
use postern::scan::clear;
use postern::sign::keys::{DnsRecord, generate};
use postern::sign::{Keyring, SealError, SealFacts, Sealed, seal, verify};

const ADDRESS: &str = "app@sender.example";

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    WallTime(u64::try_from(since.as_millis()).unwrap())
}

/// A keyring with both algorithms for `sender.example`, and what stands in DNS for it.
fn keys() -> (Keyring, BTreeMap<String, String>) {
    let mut files = Vec::new();
    let mut records = BTreeMap::new();
    for (selector, algorithm) in
        [("r1", DkimAlgorithm::RsaSha256), ("e1", DkimAlgorithm::Ed25519Sha256)]
    {
        let domain = Domain::parse("sender.example").unwrap();
        let selector = selector.to_owned();
        let key = DkimKey { domain, selector, algorithm, file: PathBuf::from("key.pem") };
        let pem = generate(algorithm).unwrap().expose().as_bytes().to_vec();
        let record = DnsRecord::of(&key, &pem).unwrap();
        records.insert(record.name, record.value);
        files.push((key, pem));
    }
    (Keyring::from_pem(files).unwrap(), records)
}

fn sealed_by(keyring: &Keyring, content: &[u8], utf8: bool, number: u128) -> Sealed {
    let pairs = [("*@sender.example", "*@sender.example")];
    let who = submission::attributed(submission::source("app", Proof::Network, &pairs));
    let permitted = permit_message(&who, submission::submitted(ADDRESS, content, utf8))
        .unwrap_or_else(|no| panic!("{no:?}: {}", String::from_utf8_lossy(content)));
    let hostname = Domain::parse("gateway.example").unwrap();
    let now = now();
    let id = QueueId::new(now, number);
    let facts =
        SealFacts { hostname: &hostname, id, now, lifetime: Duration::from_secs(3 * 86_400) };
    seal(&clear(permitted).unwrap(), keyring, &facts).unwrap()
}

/// Headers of every shape; the second is whether SMTPUTF8 is needed.
fn headers() -> Vec<(String, bool)> {
    let from = format!("From: App <{ADDRESS}>\r\n");
    let all = "To: a@r.example\r\nCc: b@r.example,\r\n\tc@r.example\r\nSubject: Invoice  42\r\n\
        Date: Sat, 21 Nov 2026 19:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\n\
        MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\nReply-To: x@elsewhere.example\r\n";
    vec![
        (from.clone(), false),
        (format!("{from}{all}"), false),
        (format!("{all}{from}"), false),
        (format!("from:{ADDRESS}\r\nSUBJECT:x\r\n"), false),
        (format!("From:\r\n\t{ADDRESS}\r\nSubject:\r\n a\r\n  b\r\n\tc  \r\n"), false),
        (format!("{from}Subject:\r\nTo:  \r\n"), false),
        (format!("{from}Subject: {}\r\n", "word ".repeat(180)), false),
        (format!("{from}Subject: {}\r\n", "long-word\r\n ".repeat(80) + "end"), false),
        (format!("{from}Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n"), false),
        (format!("{from}Subject: Grüße 🙂\r\nTo: Jürgen <j@r.example>\r\n"), true),
        (format!("{from}Received: from a by b; Sat, 21 Nov 2026 19:00:00 +0000\r\n"), false),
        (format!("{from}Bcc: hidden@r.example\r\nReturn-Path: <x@y.example>\r\n"), false),
        (format!("{from}Authentication-Results: gateway.example; dkim=pass\r\n"), false),
        (
            format!(
                "{from}List-Unsubscribe: <https://sender.example/u>\r\n\
            List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nX-A: 1\r\nX-A: 2\r\n"
            ),
            false,
        ),
        (
            format!("{from}Resent-To: a@r.example\r\nResent-To: b@r.example\r\nSubject: a;b=c\r\n"),
            false,
        ),
    ]
}

/// Bodies: those that tell canonicalizations apart, and ordinary ones.
fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        "\r\n",
        "\r\n\r\n\r\n",
        " \r\n",
        "\t\r\n \r\n",
        "hello\r\n",
        "hello",
        "hello\r\n\r\n\r\n",
        "hello\r\n \r\n\t\r\n",
        "hello\r\n  \r\n\r\n",
        "hello \t \r\n",
        "hello\r\n ",
        "\r\n\r\nhello\r\n",
        " leading  and   inner\t\tspace \r\n\r\n \r\nmiddle\r\n",
        "<html>\r\n<body>x</body>\r\n</html>\r\n    \r\n",
        "..\r\n.\r\n.dots\r\n",
        "From somebody\r\n>From nobody\r\n",
        "Grüße, 🙂 und\u{a0}Leerzeichen\r\n",
        "\u{b}\u{c}\r\ncontrol \u{1} characters\u{7f}\r\n",
    ]
    .iter()
    .map(|body| body.as_bytes().to_vec())
    .collect();
    bodies.push([vec![b'x'; 998], b"\r\n".to_vec()].concat());
    bodies.push("a line of text that repeats itself\r\n".repeat(3000).into_bytes());
    bodies.push("\r\n".repeat(1000).into_bytes());
    bodies.push(b"latin \xe4\xf6\xfc\xff\x80\r\n".to_vec());
    bodies
}

fn interpreter() -> PathBuf {
    let fallback = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = std::env::var_os("POSTERN_PYTHON").map_or(fallback, PathBuf::from);
    assert!(
        python.exists(),
        "dkimpy is needed: python3 -m venv target/venv && target/venv/bin/pip install dkimpy \
         pynacl (or set POSTERN_PYTHON); looked for {}",
        python.display()
    );
    python
}

/// What dkimpy says about every file of `folder`.
fn dkimpy(folder: &Path) -> BTreeMap<String, Vec<bool>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dkim/verify.py");
    let output = Command::new(interpreter()).arg(script).arg(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "verify.py failed: {errors}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let results = line["results"].as_array().unwrap().iter();
            let results = results.map(|result| result.as_bool().unwrap()).collect();
            (line["file"].as_str().unwrap().to_owned(), results)
        })
        .collect()
}

#[test]
fn every_shape_of_message_verifies_and_no_changed_one_does() {
    let (keyring, records) = keys();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.json"), serde_json::to_vec(&records).unwrap()).unwrap();
    let ours = |content: &[u8]| verify(content, now(), |name| records.get(name).cloned());
    let mut number = 0_u32;
    for (header, utf8) in headers() {
        for body in bodies() {
            number += 1;
            let content = [header.as_bytes(), b"\r\n", &body].concat();
            let sealed = sealed_by(&keyring, &content, utf8, number.into());
            let octets = &sealed.signed.parcel().content;
            assert_eq!(sealed.signatures.len(), 2);
            let judged = ours(octets);
            assert_eq!(judged.len(), 2);
            assert!(judged.iter().all(|v| v.result.is_ok()), "{judged:?} {content:?}");
            fs::write(folder.path().join(format!("good-{number:04}.eml")), octets).unwrap();
            for (kind, bad) in tampered(octets, number as usize) {
                assert!(ours(&bad).iter().all(|v| v.result.is_err()), "{kind} {number}");
                fs::write(folder.path().join(format!("bad-{number:04}-{kind}.eml")), bad).unwrap();
            }
        }
    }
    assert!(number >= 300, "{number} messages");
    let judged = dkimpy(folder.path());
    let good = judged.iter().filter(|(name, _)| name.starts_with("good"));
    let failed: Vec<_> = good.filter(|(_, results)| **results != [true, true]).collect();
    assert!(failed.is_empty(), "{} of {number}: {failed:?}", failed.len());
    let bad: Vec<_> = judged.iter().filter(|(name, _)| name.starts_with("bad")).collect();
    assert!(bad.len() >= 300, "{} tampered messages", bad.len());
    let passed: Vec<_> = bad.iter().filter(|(_, results)| results.contains(&true)).collect();
    assert!(passed.is_empty(), "tampered and still good: {passed:?}");
    println!("{number} messages and {} changed ones judged by dkimpy", bad.len());
}

/// One way or another in which somebody on the way could change a message.
fn tampered(octets: &[u8], number: usize) -> Vec<(&'static str, Vec<u8>)> {
    let added = [
        ("from", "From: Evil <evil@attacker.example>\r\n"),
        ("subject", "Subject: You have won\r\n"),
        ("to", "To: victim@attacker.example\r\n"),
        ("reply-to", "Reply-To: evil@attacker.example\r\n"),
        ("date", "Date: Sun, 22 Nov 2026 19:00:00 +0000\r\n"),
        ("message-id", "Message-ID: <2@attacker.example>\r\n"),
        ("content-type", "Content-Type: text/html\r\n"),
        ("mime-version", "MIME-Version: 1.0\r\n"),
        ("cc", "Cc: victim@attacker.example\r\n"),
        ("unsubscribe", "List-Unsubscribe: <https://attacker.example/>\r\n"),
        ("sender", "Sender: evil@attacker.example\r\n"),
    ];
    let (kind, field) = added[number % added.len()];
    let on_top = [field.as_bytes(), octets].concat();
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 2;
    let below = [&octets[..end], field.as_bytes(), &octets[end..]].concat();
    let longer = [octets, b"P.S. send money\r\n"].concat();
    vec![(kind, on_top), ("below", below), ("body", longer)]
}

/// mail-auth 0.13 breaks the line between the end of `b=` and its semicolon when the signature
/// ends at the margin; dkimpy keeps that white space. These fields bring it there.
#[test]
fn a_signature_that_ends_at_the_margin_verifies() {
    let (keyring, records) = keys();
    let folder = tempfile::tempdir().unwrap();
    let content = format!(
        "From: App <{ADDRESS}>\r\nList-Unsubscribe: <https://sender.example/u>\r\n\
         List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nx\r\n"
    );
    let sealed = sealed_by(&keyring, content.as_bytes(), false, 1);
    let text = String::from_utf8(sealed.signed.parcel().content.to_vec()).unwrap();
    assert!(text.lines().any(|line| line.len() >= 76 && line.ends_with("==;")), "{text}");
    fs::write(folder.path().join("margin.eml"), text).unwrap();
    fs::write(folder.path().join("keys.json"), serde_json::to_vec(&records).unwrap()).unwrap();
    assert_eq!(dkimpy(folder.path())["margin.eml"], [true, true]);
}

#[test]
fn hygiene_is_visible_in_what_is_sealed() {
    let (keyring, _) = keys();
    let content = format!(
        "From: {ADDRESS}\r\nBcc: hidden@r.example\r\nReturn-Path: <x@y.example>\r\n\
         Authentication-Results: gateway.example; dkim=pass\r\n\
         Authentication-Results: other.example; spf=pass\r\nSubject: x\r\n\r\nbody"
    );
    let sealed = sealed_by(&keyring, content.as_bytes(), true, 7);
    let parcel = sealed.signed.parcel();
    let text = String::from_utf8(parcel.content.to_vec()).unwrap();
    for gone in ["hidden@", "Return-Path", "gateway.example; dkim"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert!(text.contains("Authentication-Results: other.example"));
    assert!(
        text.contains("\r\nDate: ") && text.contains(&format!("<{}@gateway.example>", parcel.id))
    );
    assert_eq!(sealed.message_id, format!("<{}@gateway.example>", parcel.id));
    assert!(text.starts_with("DKIM-Signature: v=1; a=rsa-sha256; s=r1; d=sender.example;"));
    assert!(text.contains("Received: from app.example ([192.0.2.7])"));
    assert!(text.contains("for <someone@receiver.example>"));
    assert!(text.ends_with("\r\n\r\nbody\r\n"));
    assert!(!parcel.envelope.smtputf8, "nothing in it needs SMTPUTF8");
    assert!(text.lines().all(|line| line.len() <= 998));
}

#[test]
fn a_domain_without_a_key_is_refused_unless_the_source_says_otherwise() {
    let pairs = [("*@sender.example", "*@sender.example")];
    let mut source = submission::source("app", Proof::Network, &pairs);
    let content = format!("From: {ADDRESS}\r\n\r\nx\r\n");
    let hostname = Domain::parse("gateway.example").unwrap();
    for (unsigned, signed) in [(Unsigned::Refuse, false), (Unsigned::Allow, true)] {
        source.unsigned = unsigned;
        let who = submission::attributed(source.clone());
        let message = submission::submitted(ADDRESS, content.as_bytes(), false);
        let cleared = clear(permit_message(&who, message).unwrap()).unwrap();
        let (now, lifetime) = (now(), Duration::from_secs(60));
        let facts = SealFacts { hostname: &hostname, id: QueueId::new(now, 1), now, lifetime };
        match seal(&cleared, &Keyring::default(), &facts) {
            Ok(sealed) => assert!(signed && sealed.signatures.is_empty()),
            Err(SealError::Refusal(no)) => {
                assert!(!signed);
                assert_eq!((no.rule, no.reply.code), ("no-dkim-key", 550));
            }
            Err(SealError::Fault(fault)) => panic!("{fault}"),
        }
    }
}

/// What was granted at MAIL decides how long delivery is tried, when the sender is told and how
/// urgent the message is; what the header says of TLS counts only without REQUIRETLS.
#[test]
fn the_label_keeps_what_was_granted() {
    let lifetime = Duration::from_secs(600);
    let by = |deadline: WallTime, mode| {
        Some(DeliverBy { deadline, mode, trace: false, handover: false })
    };
    let (soon, late) = (Duration::from_secs(60), Duration::from_secs(6000));
    let (keyring, _) = keys();
    let hostname = Domain::parse("gateway.example").unwrap();
    let now = now();
    let end = now.after(lifetime);
    for (deliver_by, priority, expires, notice) in [
        (None, None, end, None),
        (by(now.after(soon), ByMode::Return), Some(3), now.after(soon), None),
        (by(now.after(late), ByMode::Return), Some(-9), end, None),
        (by(now.after(soon), ByMode::Notify), None, end, Some(now.after(soon))),
        (by(now, ByMode::Notify), Some(0), end, None),
    ] {
        for (require_tls, field, optional) in [
            (false, "", false),
            (false, "TLS-Required: No\r\n", true),
            (true, "TLS-Required: No\r\n", false),
        ] {
            let content = format!("From: {ADDRESS}\r\n{field}\r\nx\r\n");
            let mut message = submission::submitted(ADDRESS, content.as_bytes(), false);
            message.envelope.deliver_by = deliver_by;
            message.envelope.priority = priority;
            message.envelope.require_tls = require_tls;
            let pairs = [("*@sender.example", "*@sender.example")];
            let who = submission::attributed(submission::source("app", Proof::Network, &pairs));
            let cleared = clear(permit_message(&who, message).unwrap()).unwrap();
            let id = QueueId::new(now, 1);
            let facts = SealFacts { hostname: &hostname, id, now, lifetime };
            let sealed = seal(&cleared, &keyring, &facts).unwrap();
            let parcel = sealed.signed.parcel();
            assert_eq!((parcel.label.expires, parcel.label.notice), (expires, notice));
            assert_eq!(parcel.label.priority, priority.unwrap_or(0));
            assert_eq!(
                (parcel.envelope.priority, parcel.envelope.deliver_by),
                (priority, deliver_by)
            );
            assert_eq!(parcel.envelope.tls_optional, optional, "{require_tls} {field}");
            let text = String::from_utf8_lossy(&parcel.content);
            assert!(text.contains(field), "it goes on as it came: {text}");
        }
    }
}

#[test]
fn what_a_signature_costs() {
    let (keyring, _) = keys();
    for size in [4 * 1024, 100 * 1024] {
        let body = "a line of an ordinary invoice, not very long\r\n".repeat(size / 46);
        let content = format!("From: {ADDRESS}\r\nSubject: x\r\nTo: a@r.example\r\n\r\n{body}");
        let started = std::time::Instant::now();
        let rounds = 50;
        for number in 0..rounds {
            sealed_by(&keyring, content.as_bytes(), false, number);
        }
        let each = started.elapsed() / u32::try_from(rounds).unwrap();
        println!("permit, clear and seal (RSA-2048 + Ed25519), {size} octets: {each:?}");
    }
}
