//! The machine without sockets: whatever a host says, in whatever slices, every recipient of every
//! transaction has exactly one answer.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::class::MessageClass;
use crate::mail::envelope::{Envelope, Recipient};
use crate::mail::source::SourceName;
use crate::mail::stage::Label;

const START: Instant = Instant(1_000_000);
const WALL: WallTime = WallTime(1_790_000_000_000);

fn parcel(recipients: usize) -> Arc<Parcel> {
    let mut envelope = Envelope::from(ReversePath::Null);
    envelope.recipients = (0..recipients)
        .map(|n| Recipient::plain(Mailbox::parse(&format!("r{n}@b.example"), false).unwrap()))
        .collect();
    let accepted = WallTime(1_790_000_000_000);
    let label = Label {
        source: SourceName::new("test").unwrap(),
        class: MessageClass::Otp,
        accepted,
        expires: accepted,
        notification: true,
        priority: 0,
        notice: None,
    };
    let content = Bytes::from_static(b"Subject: x\r\n\r\n.y\r\n");
    Arc::new(Parcel { id: QueueId::new(accepted, 1), label, envelope, content })
}

fn conversation() -> Conversation {
    let ehlo = Domain::parse("relay.example").unwrap();
    let settings = Settings { ehlo, tls_required: false, patience: Patience::default() };
    Conversation::new(settings, START)
}

/// Drains the machine as a driver does; what was written is taken at once.
fn drain(talk: &mut Conversation, wire: &mut Vec<u8>) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(action) = talk.poll_action() {
        match action {
            Action::Write(octets) => {
                wire.extend_from_slice(&octets);
                talk.handle_progress(octets.len(), START);
            }
            Action::StartTls => talk.handle_encrypted(START, false),
            action => actions.push(action),
        }
    }
    actions
}

/// A transaction that has been begun with a pipelining host.
fn begun(recipients: u16) -> (Conversation, Vec<u8>) {
    let (mut talk, mut wire) = (conversation(), Vec::new());
    talk.handle_octets(b"220 hi\r\n", START);
    drain(&mut talk, &mut wire);
    talk.handle_octets(b"250-hi\r\n250 PIPELINING\r\n", START);
    assert_eq!(drain(&mut talk, &mut wire), [Action::Ready]);
    let all: Vec<u16> = (0..recipients).collect();
    talk.handle_job(parcel(usize::from(recipients)), &all, WALL, START);
    drain(&mut talk, &mut wire);
    (talk, wire)
}

#[test]
fn each_phase_has_its_time() {
    let mut talk = conversation();
    let mut wire = Vec::new();
    let wait = |talk: &Conversation| talk.poll_timeout().map(|at| at.since(START).as_secs());
    assert_eq!(wait(&talk), Some(300));
    talk.handle_octets(b"220 hi\r\n", START);
    drain(&mut talk, &mut wire);
    assert_eq!(wait(&talk), Some(300));
    talk.handle_octets(b"250 hi\r\n", START);
    drain(&mut talk, &mut wire);
    assert_eq!(wait(&talk), None);
    talk.handle_job(parcel(1), &[0], WALL, START);
    drain(&mut talk, &mut wire);
    for (reply, expected) in
        [("250 mail\r\n", 300), ("250 to\r\n", 120), ("354 data\r\n", 600), ("250 dot\r\n", 0)]
    {
        talk.handle_octets(reply.as_bytes(), START);
        drain(&mut talk, &mut wire);
        assert_eq!(wait(&talk).unwrap_or(0), expected, "{reply}");
    }
    talk.handle_quit(START);
    assert_eq!(wait(&talk), Some(5));
    let text = String::from_utf8(wire).unwrap();
    assert!(text.ends_with("DATA\r\nSubject: x\r\n\r\n..y\r\n.\r\n"), "{text}");
}

#[test]
fn octets_that_trickle_do_not_buy_time() {
    let (mut talk, _) = begun(1);
    let deadline = talk.poll_timeout().unwrap();
    for second in 1..200 {
        talk.handle_octets(b"2", START.after(Duration::from_secs(second)));
    }
    assert_eq!(talk.poll_timeout(), Some(deadline));
    talk.handle_timeout(deadline);
    let Some(Action::Answered(answers)) = talk.poll_action() else { unreachable!("an answer") };
    assert_eq!((answers[0].phase, answers[0].in_doubt), (Phase::Mail, false));
    assert_eq!(talk.poll_action(), Some(Action::Close));
}

#[test]
fn the_dot_is_in_doubt_only_once_it_has_left_us() {
    for taken in [false, true] {
        let (mut talk, _) = begun(1);
        talk.handle_octets(b"250 ok\r\n250 ok\r\n354 go\r\n", START);
        while let Some(Action::Write(octets)) = talk.poll_action() {
            // Without the last octet of the dot's line nobody can have accepted the message.
            let short = usize::from(!taken && octets.ends_with(b".\r\n"));
            talk.handle_progress(octets.len() - short, START);
        }
        talk.handle_closed("gone");
        let Some(Action::Answered(answers)) = talk.poll_action() else { unreachable!("an answer") };
        let expected = if taken { Phase::Dot } else { Phase::Content };
        assert_eq!((answers[0].phase, answers[0].in_doubt), (expected, taken));
    }
}

fn reply() -> impl Strategy<Value = Vec<u8>> {
    let words = ["250", "250", "250", "354", "354", "220", "221", "421", "450", "550", "552"];
    let line = (prop::sample::select(words.to_vec()), any::<bool>()).prop_map(|(code, more)| {
        format!("{code}{}text\r\n", if more { '-' } else { ' ' }).into_bytes()
    });
    prop_oneof![20 => line, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

proptest! {
    #[test]
    fn every_recipient_has_exactly_one_answer(
        replies in prop::collection::vec(reply(), 0..12),
        recipients in 1..5_u16,
        slice in 1..30_usize,
    ) {
        let (mut talk, mut wire) = begun(recipients);
        let mut actions = Vec::new();
        for octets in replies.concat().chunks(slice) {
            talk.handle_octets(octets, START);
            actions.extend(drain(&mut talk, &mut wire));
        }
        talk.handle_closed("gone");
        actions.extend(drain(&mut talk, &mut wire));
        let mut answered = actions.iter().filter_map(|action| match action {
            Action::Answered(answers) => Some(answers),
            _ => None,
        });
        let answers = answered.next().unwrap();
        prop_assert!(answered.next().is_none());
        let known: BTreeSet<u16> = answers.iter().map(|answer| answer.recipient).collect();
        prop_assert_eq!(answers.len(), usize::from(recipients));
        prop_assert_eq!(known.len(), usize::from(recipients));
        let delivered = |a: &Answer| a.phase == Phase::Dot && a.reply.code / 100 == 2;
        // Nothing is delivered that was not sent whole.
        if answers.iter().any(delivered) {
            prop_assert!(wire.ends_with(b"..y\r\n.\r\n"));
        }
        prop_assert_eq!(actions.last(), Some(&Action::Close));
        prop_assert!(talk.poll_timeout().is_none());
    }

    #[test]
    fn noise_before_a_transaction_is_a_failure_or_a_ready_host(
        replies in prop::collection::vec(reply(), 0..8),
    ) {
        let (mut talk, mut wire) = (conversation(), Vec::new());
        for octets in &replies {
            talk.handle_octets(octets, START);
            drain(&mut talk, &mut wire);
        }
        talk.handle_closed("gone");
        drain(&mut talk, &mut wire);
        prop_assert!(!talk.is_ready());
        prop_assert!(!wire.windows(4).any(|verb| verb == b"MAIL"));
    }
}
