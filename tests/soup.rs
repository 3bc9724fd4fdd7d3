//! Sessions that hear soup: fragments of every command in any order, cut anywhere, answered by any
//! verdict. Whatever comes, a session keeps its promises. The seed of a failure is printed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use postern::base::chance::Chance;
use postern::base::id::QueueId;
use postern::base::limits::PIPELINE_OCTETS_MAX;
use postern::base::time::Instant;
use postern::mail::stage::Custody;
use postern::smtp::replies;
use postern::smtp::reply::Refusal;
use postern::smtp::server::ask::{Question, ScramKeys, Verdict};
use postern::smtp::server::{Action, Session, Terms, TlsFacts};

const SEEDS: u64 = 3000;
const STEPS: u64 = 120;
const SIZE_MAX: u64 = 2000;

const FRAGMENTS: [&str; 40] = [
    "EHLO x\r\n",
    "HELO x\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN AGFwcABzZXNhbWU=\r\n",
    "AUTH LOGIN\r\n",
    "AUTH SCRAM-SHA-256 biwsbj1hLHI9YQ==\r\n",
    "c2VzYW1l\r\n",
    "*\r\n",
    "\r\n",
    "MAIL FROM:<a@example.org>\r\n",
    "MAIL FROM:<a@example.org> SIZE=999999\r\n",
    "MAIL FROM:<> BODY=8BITMIME SMTPUTF8 RET=FULL\r\n",
    "RCPT TO:<b@example.net>\r\n",
    "RCPT TO:<b@example.net> NOTIFY=NEVER\r\n",
    "DATA\r\n",
    "BDAT 5\r\n",
    "BDAT 5 LAST\r\n",
    "BDAT 0 LAST\r\n",
    "BDAT 3000\r\n",
    "abc\r\n",
    ".\r\n",
    "\r\n.\r\n",
    "..\r\n",
    ".",
    "\r",
    "\n",
    "\0",
    "\u{e9}",
    "RSET\r\n",
    "NOOP\r\n",
    "VRFY a\r\n",
    "HELP\r\n",
    "QUIT\r\n",
    "FOO\r\n",
    "MAIL FROM:<",
    "From: <a@example.org>\r\n\r\n",
    "0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
    "EHLO x\r\nMAIL FROM:<a@example.org>\r\n",
    "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n",
    "hello\r\n.\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nBDAT 2 LAST\r\n\r\n",
];

/// What an honest client says, one after the other.
const HONEST: [&str; 9] = [
    "EHLO x\r\n",
    "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n",
    "DATA\r\n",
    "From: <a@example.org>\r\n\r\nhello\r\n",
    ".\r\n",
    "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n",
    "BDAT 7\r\nhello\r\n",
    "BDAT 9 LAST\r\n..\r\nagain",
    "NOOP\r\n",
];

fn facts() -> TlsFacts {
    TlsFacts { version: "TLSv1.3".into(), suite: "suite".into(), client_spki_sha256: None }
}

/// What one session has said and asked.
struct Record {
    chance: Chance,
    admitted: u32,
    promised: u32,
    ended: bool,
}

impl Record {
    fn drain(&mut self, session: &mut Session, now: Instant) {
        while let Some(action) = session.poll_action() {
            assert!(!self.ended, "an action after the end");
            match action {
                Action::Send(octets) => {
                    let text = std::str::from_utf8(&octets).unwrap();
                    assert!(text.ends_with("\r\n") && text.is_ascii());
                    self.promised += u32::try_from(text.matches("queued as").count()).unwrap();
                }
                Action::Ask(question) => {
                    assert!(session.poll_timeout().is_none() && !session.wants_octets());
                    let verdict = self.answer(&question);
                    session.handle_verdict(verdict, now);
                }
                Action::StartTls => session.handle_tls(facts(), now),
                Action::Close(_) => self.ended = true,
            }
        }
        assert_eq!(self.admitted, self.promised, "a 250 without custody, or custody without 250");
        assert_eq!(session.tally().accepted, self.admitted);
        assert!(self.ended || session.poll_timeout().is_some(), "nobody waits for anything");
        assert!(session.content_held() <= 4096);
    }

    fn answer(&mut self, question: &Question) -> Verdict {
        if let Question::Message(message) = question {
            let content = &message.content;
            assert!(!message.envelope.recipients.is_empty());
            assert!(content.len() as u64 <= SIZE_MAX && !content.contains(&0));
            assert!(content.is_empty() || content.ends_with(b"\r\n"));
            let lines = content.split(|octet| *octet == b'\n');
            assert!(lines.clone().all(|l| l.is_empty() || l.ends_with(b"\r")), "a lone LF");
            assert!(lines.clone().all(|l| !l[..l.len().saturating_sub(1)].contains(&b'\r')));
        }
        match (self.chance.below(60), question) {
            (0, _) => Verdict::No(Refusal::new("soup", replies::BAD_SENDER)),
            (1, _) => Verdict::No(Refusal::new("soup", replies::SHORTAGE)),
            (2, _) => Verdict::Leave(Refusal::new("soup", replies::BUSY)),
            // Answers of the wrong kind must never let anything through.
            (3, Question::Message(_)) => Verdict::Yes,
            (_, Question::Message(_)) => {
                self.admitted += 1;
                Verdict::Accepted(Custody::mint(QueueId(1)))
            }
            (3, Question::Mail { .. }) | (_, Question::ScramKeys { .. }) => Verdict::Scram(keys()),
            _ => Verdict::Yes,
        }
    }
}

fn keys() -> ScramKeys {
    ScramKeys {
        salt: vec![1; 16],
        iterations: 4096,
        stored_key: [1; 32],
        server_key: [2; 32],
        real: true,
    }
}

/// One history; how many messages it admitted.
fn history(seed: u64) -> u32 {
    let mut chance = Chance::new(seed);
    let terms = Arc::new(Terms {
        hostname: "gw.example.org".into(),
        message_octets_max: SIZE_MAX,
        recipients_max: 5,
        tls_offered: chance.below(4) > 0,
        tls_required: chance.below(4) == 0,
        deadlines: chance.below(2) == 0,
    });
    let tls = (chance.below(2) == 0).then(facts);
    let mut now = Instant::default();
    let peer = "192.0.2.7:40000".parse().unwrap();
    let mut session = Session::new(terms, peer, tls, [0; 32], now);
    let answers = Chance::new(chance.draw());
    let mut record = Record { chance: answers, admitted: 0, promised: 0, ended: false };
    record.drain(&mut session, now);
    let mut honest = 0;
    for _ in 0..STEPS {
        now = now.after(Duration::from_millis(chance.below(2000)));
        match chance.below(200) {
            0 => session.handle_shortage(),
            1 => session.handle_last_orders(replies::SHUTDOWN),
            2 => session.handle_stop(replies::SHUTDOWN),
            3 => session.handle_timeout(now.after(Duration::from_secs(chance.below(400)))),
            4 => session.handle_octets(&vec![b'x'; PIPELINE_OCTETS_MAX + 1], now),
            _ => {
                let mut soup = Vec::new();
                // Mostly sense, so that histories get somewhere.
                if chance.below(8) > 0 {
                    soup.extend_from_slice(HONEST[honest % HONEST.len()].as_bytes());
                    honest += 1;
                } else {
                    let pick = usize::try_from(chance.below(40)).unwrap();
                    soup.extend_from_slice(FRAGMENTS[pick].as_bytes());
                }
                let split = usize::try_from(chance.below(soup.len() as u64 + 1)).unwrap();
                session.handle_octets(&soup[..split], now);
                record.drain(&mut session, now);
                session.handle_octets(&soup[split..], now);
            }
        }
        record.drain(&mut session, now);
        if record.ended {
            break;
        }
    }
    record.admitted
}

#[test]
fn a_session_keeps_its_promises_whatever_it_hears() {
    let mut admitted = 0;
    for seed in 0..SEEDS {
        let count = std::panic::catch_unwind(|| history(seed)).ok();
        admitted += count.unwrap_or_else(|| panic!("seed {seed}"));
    }
    println!("{admitted} messages were admitted");
    assert!(admitted > 1000, "the soup is too thin: {admitted} messages");
}
