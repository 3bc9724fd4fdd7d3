//! What an answer of the house means for the session.
//!
//! **Invariant:** an answer of the wrong kind is our bug and never a yes: the peer hears 451.

use super::ask::{Grants, ScramKeys, Verdict, Wishes};
use super::state::{Exchange, Pending, State, Transaction};
use super::{Ending, Session};
use crate::base::time::Instant;
use crate::mail::stage::Custody;
use crate::smtp::replies;
use crate::smtp::reply::Reply;

/// An answer without its no.
enum Grant {
    Plain,
    Wishes(Grants),
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
            Verdict::Granted(grants) => self.granted(pending, Grant::Wishes(grants), now),
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
            (Pending::Mail(transaction, wishes), Grant::Plain) if wishes == Wishes::default() => {
                self.sender_accepted(transaction, wishes, Grants::default());
            }
            (Pending::Mail(transaction, wishes), Grant::Wishes(grants)) => {
                self.sender_accepted(transaction, wishes, grants);
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

    /// MAIL is answered with what holds; another priority than was asked for is told (RFC 6710
    /// 4.1).
    fn sender_accepted(
        &mut self,
        mut transaction: Box<Transaction>,
        wishes: Wishes,
        grants: Grants,
    ) {
        transaction.envelope.priority = grants.priority;
        transaction.envelope.deliver_by = grants.deliver_by;
        let priority = grants.priority.unwrap_or_default();
        if priority == wishes.priority.unwrap_or_default() {
            self.say(&replies::SENDER_OK);
        } else {
            let text = format!("{priority} {}", replies::PRIORITY_CHANGED.text);
            self.say(&Reply { text: text.into(), ..replies::PRIORITY_CHANGED });
        }
        self.identified = true;
        self.state = State::Sender(transaction);
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
            | Pending::Mail(..)
            | Pending::Message => {}
        }
        self.refuse(&reply);
    }
}
