//! What an answer of the house means for the session.
//!
//! **Invariant:** an answer of the wrong kind is our bug and never a yes: the peer hears 451.

use super::ask::{ScramKeys, Verdict};
use super::state::{Exchange, Pending, State};
use super::{Ending, Session};
use crate::base::time::Instant;
use crate::mail::stage::Custody;
use crate::smtp::replies;
use crate::smtp::reply::Reply;

/// An answer without its no.
enum Grant {
    Plain,
    Scram(ScramKeys),
    Accepted(Custody),
}

impl Session {
    /// The answer to the open question.
    pub fn handle_verdict(&mut self, verdict: Verdict, now: Instant) {
        let State::Deciding(_) = self.state else { return };
        let State::Deciding(pending) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        match verdict {
            Verdict::Yes => self.granted(pending, Grant::Plain, now),
            Verdict::Scram(keys) => self.granted(pending, Grant::Scram(keys), now),
            Verdict::Accepted(custody) => self.granted(pending, Grant::Accepted(custody), now),
            Verdict::No(refusal) => self.denied(pending, refusal.reply),
            Verdict::Leave(refusal) => self.leave(&refusal.reply, Ending::Dismissed),
        }
        self.rest(now);
        if !self.waiting.is_empty() {
            self.read_waiting(now);
        }
    }

    fn granted(&mut self, pending: Pending, grant: Grant, now: Instant) {
        match (pending, grant) {
            (Pending::Identity { proven: true }, Grant::Plain) => {
                self.authenticated = true;
                self.identified = true;
                self.say(&replies::AUTH_OK);
            }
            (pending @ Pending::Identity { proven: false }, Grant::Plain) => {
                self.denied(pending, replies::AUTH_FAILED);
            }
            (Pending::ScramKeys(first), Grant::Scram(keys)) => {
                let (challenge, expected) = first.challenge(keys, &self.nonce());
                self.challenge(challenge.as_bytes(), Exchange::ScramFinal(Box::new(expected)));
            }
            (Pending::Mail(transaction), Grant::Plain) => {
                self.identified = true;
                self.say(&replies::SENDER_OK);
                self.state = State::Sender(transaction);
            }
            (Pending::Recipient(mut transaction, recipient), Grant::Plain) => {
                transaction.envelope.recipients.push(recipient);
                self.say(&replies::RECIPIENT_OK);
                self.state = State::Recipients(transaction);
            }
            (Pending::Data(transaction), Grant::Plain) => self.open_data(transaction, now),
            (Pending::FirstChunk(transaction, chunk), Grant::Plain) => {
                self.open_first_chunk(transaction, chunk, now);
            }
            (Pending::Message, Grant::Accepted(custody)) => {
                self.tally.accepted = self.tally.accepted.saturating_add(1);
                let text = format!("Ok: queued as {}", custody.id());
                self.say(&Reply { text: text.into(), ..replies::OK });
            }
            (pending, _) => self.denied(pending, replies::FAULT),
        }
    }

    fn denied(&mut self, pending: Pending, reply: Reply) {
        match pending {
            // 4xx is our trouble (454), not a wrong guess.
            Pending::Identity { .. } | Pending::ScramKeys(_) if reply.code >= 500 => {
                self.tally.auth_failures = self.tally.auth_failures.saturating_add(1);
            }
            Pending::Recipient(transaction, _) => {
                let none = transaction.envelope.recipients.is_empty();
                let state = if none { State::Sender } else { State::Recipients };
                self.state = state(transaction);
            }
            Pending::Data(transaction) => self.state = State::Recipients(transaction),
            Pending::FirstChunk(_, chunk) => return self.skip(chunk.left, reply),
            Pending::Identity { .. }
            | Pending::ScramKeys(_)
            | Pending::Mail(_)
            | Pending::Message => {}
        }
        self.refuse(&reply);
    }
}
