//! Demands on the SMTP client that only a whole conversation can show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postern::base::id::QueueId;
use postern::base::time::{Instant, WallTime};
use postern::mail::address::{Domain, Mailbox, ReversePath};
use postern::mail::answer::Answer;
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Envelope, Recipient};
use postern::mail::source::SourceName;
use postern::mail::stage::{Label, Parcel};
use postern::smtp::client::{Action, Conversation, Patience, Settings};

const NOW: Instant = Instant(1);

fn conversation() -> Conversation {
    let ehlo = Domain::parse("relay.example").unwrap();
    let settings = Settings { ehlo, tls_required: false, patience: Patience::default() };
    Conversation::new(settings, NOW)
}

fn parcel() -> Arc<Parcel> {
    let mut envelope = Envelope::from(ReversePath::Null);
    for to in ["a@next.example", "b@next.example"] {
        envelope.recipients.push(Recipient::plain(Mailbox::parse(to, false).unwrap()));
    }
    let label = Label {
        source: SourceName::new("test").unwrap(),
        class: MessageClass::default(),
        accepted: WallTime(1),
        expires: WallTime(u64::MAX),
        notification: false,
        priority: 0,
        notice: None,
    };
    let content = Bytes::from_static(b"From: <a@example.com>\r\n\r\nx\r\n");
    Arc::new(Parcel { id: QueueId(1), label, envelope, content })
}

/// What is written until the conversation waits; other actions are left to the caller.
fn drain(client: &mut Conversation) -> (String, Vec<Action>) {
    let (mut written, mut others) = (String::new(), Vec::new());
    while let Some(action) = client.poll_action() {
        match action {
            Action::Write(octets) => {
                written.push_str(std::str::from_utf8(&octets).unwrap());
                client.handle_progress(octets.len(), NOW);
            }
            other => others.push(other),
        }
    }
    (written, others)
}

/// RFC 5321 4.5.3.2: the least that a client must wait, phase by phase.
#[test]
fn a_client_is_as_patient_as_the_law_asks() {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let patience = Patience::default();
    assert!(patience.greeting >= minutes(5));
    assert!(patience.mail >= minutes(5));
    assert!(patience.recipient >= minutes(5));
    assert!(patience.data >= minutes(2));
    assert!(patience.block >= minutes(3));
    assert!(patience.dot >= minutes(10));
    let client = conversation();
    assert_eq!(client.poll_timeout(), Some(NOW.after(patience.greeting)));
}

/// RFC 2920 3.1: DATA went out with the group, no recipient was taken, and still came 354.
#[test]
fn a_lone_dot_ends_a_transaction_without_recipients() {
    let mut client = conversation();
    client.handle_octets(b"220 mx\r\n", NOW);
    drain(&mut client);
    client.handle_octets(b"250-mx\r\n250 PIPELINING\r\n", NOW);
    drain(&mut client);
    client.handle_job(parcel(), &[0, 1], WallTime(1), NOW);
    let (group, _) = drain(&mut client);
    assert!(group.ends_with("DATA\r\n"), "{group}");
    client.handle_octets(b"250 m\r\n550 5.1.1 no\r\n550 5.1.1 no\r\n354 go\r\n", NOW);
    let (written, _) = drain(&mut client);
    assert_eq!(written, ".\r\n");
    client.handle_octets(b"554 5.5.0 nobody\r\n", NOW);
    let (_, others) = drain(&mut client);
    let answered = others.iter().find_map(|action| match action {
        Action::Answered(answers) => Some(answers),
        _ => None,
    });
    let answers = answered.expect("an answer for each recipient");
    assert_eq!(answers.iter().map(|answer| answer.reply.code).collect::<Vec<_>>(), [550, 550]);
}

/// A conversation over TLS with a host that offers `offer` inside it; what it hears of a message
/// that asks for REQUIRETLS, and the answers.
fn over_tls(before: &str, offer: &str, authenticated: bool) -> (String, Vec<Answer>) {
    let mut client = conversation();
    client.handle_octets(b"220 mx\r\n", NOW);
    drain(&mut client);
    client.handle_octets(format!("250-mx\r\n{before}250 STARTTLS\r\n").as_bytes(), NOW);
    assert_eq!(drain(&mut client).0, "STARTTLS\r\n");
    client.handle_octets(b"220 go\r\n", NOW);
    assert_eq!(drain(&mut client).1, [Action::StartTls]);
    client.handle_encrypted(NOW, authenticated);
    drain(&mut client);
    client.handle_octets(format!("250-mx\r\n{offer}250 PIPELINING\r\n").as_bytes(), NOW);
    drain(&mut client);
    let mut parcel = Arc::unwrap_or_clone(parcel());
    let sender = Mailbox::parse("a@example.com", false).unwrap();
    parcel.envelope.reverse_path = ReversePath::Mailbox(sender);
    parcel.envelope.require_tls = true;
    client.handle_job(Arc::new(parcel), &[0, 1], WallTime(1), NOW);
    let (written, actions) = drain(&mut client);
    let answers = actions.into_iter().find_map(|action| match action {
        Action::Answered(answers) => Some(answers),
        _ => None,
    });
    (written, answers.unwrap_or_default())
}

/// RFC 8689 section 2 and 4.2.1: the offer counts that is made inside TLS, and nothing is said to a
/// host that did not prove itself.
#[test]
fn what_was_proved_and_offered_before_tls_counts_for_nothing() {
    let (written, answers) = over_tls("", "250-REQUIRETLS\r\n", true);
    assert!(written.starts_with("MAIL FROM:<a@example.com> REQUIRETLS\r\n"), "{written}");
    assert_eq!(answers, []);
    for (before, offer, authenticated, status) in [
        ("250-REQUIRETLS\r\n", "", true, "5.7.30"),
        ("250-REQUIRETLS\r\n", "250-REQUIRETLS\r\n", false, "5.7.10"),
    ] {
        let (written, answers) = over_tls(before, offer, authenticated);
        assert_eq!(written, "", "nothing is said");
        let statuses: Vec<_> =
            answers.iter().map(|answer| answer.reply.status.unwrap().to_string()).collect();
        assert_eq!(statuses, [status, status]);
    }
}
