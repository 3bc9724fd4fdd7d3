//! Readers of what a receiving host says: replies, and the whole conversation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postern::base::id::QueueId;
use postern::base::time::{Instant, WallTime};
use postern::mail::address::{Domain, Mailbox, ReversePath};
use postern::mail::class::MessageClass;
use postern::mail::envelope::{BodyType, ByMode, DeliverBy, Envelope, Recipient};
use postern::mail::source::SourceName;
use postern::mail::stage::{Label, Parcel};
use postern::smtp::client::heard::HeardReader;
use postern::smtp::client::{Action, Conversation, Patience, Settings};

use super::take;

/// Law: replies in pieces are the replies in one; codes are three digits.
pub(crate) fn reply(octets: &[u8]) {
    let mut octets = octets;
    let step = usize::from(take(&mut octets)) + 1;
    let read = |step: usize| {
        let mut reader = HeardReader::default();
        let mut heard = Vec::new();
        for block in octets.chunks(step.max(1)) {
            reader.push(block);
            loop {
                match reader.next_reply() {
                    Ok(Some(reply)) => heard.push(reply),
                    Ok(None) => break,
                    Err(_) => return heard,
                }
            }
        }
        heard
    };
    let heard = read(octets.len());
    assert_eq!(heard, read(step));
    for reply in heard {
        assert!((200..600).contains(&reply.code));
        assert!(!reply.kept().to_string().contains(['\r', '\n']));
    }
}

const WALL: WallTime = WallTime(1_790_000_000_000);

fn parcel(recipients: u8, mood: u8) -> Arc<Parcel> {
    let utf8 = mood & 0x20 != 0;
    let sender = Mailbox::parse("app@example.com", false).expect("an address");
    let mut envelope = Envelope::from(ReversePath::Mailbox(sender));
    envelope.body = if utf8 { BodyType::EightBitMime } else { BodyType::SevenBit };
    envelope.smtputf8 = utf8;
    envelope.require_tls = mood & 0x18 == 0x18;
    envelope.deliver_by = (mood & 0x08 != 0).then(|| DeliverBy {
        deadline: WALL.after(Duration::from_secs(60)),
        mode: if mood & 0x04 != 0 { ByMode::Return } else { ByMode::Notify },
        trace: mood & 0x02 != 0,
        handover: mood & 0x01 != 0,
    });
    for number in 0..=recipients {
        let to = format!("r{number}@next.example");
        envelope.recipients.push(Recipient::plain(Mailbox::parse(&to, false).expect("an address")));
    }
    Arc::new(Parcel {
        id: QueueId(1),
        label: Label {
            source: SourceName::new("fuzz").expect("a name"),
            class: MessageClass::default(),
            accepted: WallTime(1),
            expires: WallTime(u64::MAX),
            notification: false,
            priority: 0,
            notice: None,
        },
        envelope,
        content: Bytes::from_static(b"From: <app@example.com>\r\n\r\n.dot\r\n"),
    })
}

/// Law: a transaction ends with one answer for each recipient, or with a word that none was made.
pub(crate) fn conversation(octets: &[u8]) {
    let mut octets = octets;
    let mood = take(&mut octets);
    let step = usize::from(take(&mut octets)) + 1;
    let recipients = mood % 5;
    let now = Instant(1);
    let tls_required = mood & 0x80 != 0;
    let ehlo = Domain::parse("relay.example").expect("a domain");
    let mut peer =
        Conversation::new(Settings { ehlo, tls_required, patience: Patience::default() }, now);
    let mut blocks = octets.chunks(step);
    let (mut open, mut closed, mut jobs) = (false, false, 0);
    while !closed {
        while let Some(action) = peer.poll_action() {
            // A job that came as the host went is given back; nothing else follows the end.
            assert!(!closed || action == Action::Stale, "{action:?} follows the end");
            match action {
                Action::Write(octets) => peer.handle_progress(octets.len(), now),
                Action::StartTls if mood & 0x40 == 0 => {
                    peer.handle_encrypted(now, mood & 0x10 != 0);
                }
                Action::StartTls => peer.handle_unencrypted("fuzz"),
                Action::Ready if jobs > 3 => peer.handle_quit(now),
                Action::Ready => {
                    open = true;
                    jobs += 1;
                    let all: Vec<u16> = (0..=u16::from(recipients)).collect();
                    peer.handle_job(parcel(recipients, mood), &all, WALL, now);
                }
                Action::Answered(answers) => {
                    assert!(open, "an answer nobody asked for");
                    assert_eq!(answers.len(), usize::from(recipients) + 1);
                    open = false;
                }
                Action::Stale | Action::Failed { .. } => open = false,
                Action::Close => closed = true,
            }
        }
        let Some(block) = blocks.next() else { break };
        peer.handle_octets(block, now);
    }
    if !closed {
        peer.handle_closed("fuzz");
        while let Some(action) = peer.poll_action() {
            if let Action::Answered(_) | Action::Stale | Action::Failed { .. } = action {
                open = false;
            }
        }
    }
    assert!(!open, "recipients without an answer");
}
