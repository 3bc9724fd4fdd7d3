//! One transaction: two cursors, *sent* and *answered*, over one ordered list of commands.
//!
//! ```text
//! [RSET] MAIL RCPT RCPT .. DATA dot
//!                  ^answered  ^sent      neither ever goes back
//! ```
//!
//! A host with PIPELINING hears everything up to DATA at once (RFC 2920); the dot always waits for
//! the 354. Each recipient has exactly one answer when the transaction is over.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::content::Stuffed;
use super::heard::Heard;
use super::preflight::{Peer, Preflight, ours};
use crate::mail::answer::{Answer, Phase};
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;
use crate::mail::status::EnhancedStatus;

/// A place in the ordered list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Reset,
    Mail,
    Recipient(usize),
    Data,
    Dot,
}

/// What a reply led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// More replies, or more to send.
    Continue,
    /// Every recipient has its answer and every reply was heard. `clean`: the next MAIL may follow
    /// without RSET.
    Over {
        /// No RSET is needed.
        clean: bool,
    },
    /// Every recipient has its answer, and the connection is of no further use.
    Broken,
}

/// What is known of one recipient.
#[derive(Clone, Debug)]
struct Place {
    index: u16,
    accepted: bool,
    answer: Option<Answer>,
}

/// A transaction in progress.
#[derive(Debug)]
pub struct Exchange {
    parcel: Arc<Parcel>,
    preflight: Preflight,
    places: Vec<Place>,
    steps: Vec<Step>,
    sent: usize,
    answered: usize,
    pipelining: bool,
    mail_refused: bool,
    content: Option<Stuffed>,
    /// Octets that were handed out and not yet taken by the socket.
    unwritten: usize,
}

impl Exchange {
    /// A transaction for `recipients` (indices in the envelope) with `peer`.
    ///
    /// # Errors
    /// All answers, if the host can take the message for none of them: nothing is sent.
    pub fn new(
        parcel: Arc<Parcel>,
        recipients: &[u16],
        peer: &Peer<'_>,
        reset: bool,
    ) -> Result<Self, Vec<Answer>> {
        let preflight = match Preflight::new(&parcel, peer) {
            Ok(preflight) => preflight,
            Err(reply) => return Err(recipients.iter().map(|&r| early(r, &reply)).collect()),
        };
        let known = parcel.envelope.recipients.len();
        let places: Vec<Place> = recipients
            .iter()
            .map(|&index| {
                let refused = match parcel.envelope.recipients.get(usize::from(index)) {
                    Some(recipient) => preflight.refuses(recipient),
                    None => Some(ours((4, 3, 0), &format!("no recipient {index} of {known}"))),
                };
                let answer = refused.map(|reply| early(index, &reply));
                Place { index, accepted: false, answer }
            })
            .collect();
        let open = places.iter().enumerate().filter(|(_, place)| place.answer.is_none());
        let mut steps = vec![Step::Mail];
        steps.extend(open.map(|(at, _)| Step::Recipient(at)));
        if steps.len() == 1 {
            return Err(places.into_iter().filter_map(|place| place.answer).collect());
        }
        steps.extend([Step::Data, Step::Dot]);
        if reset {
            steps.insert(0, Step::Reset);
        }
        Ok(Self {
            parcel,
            preflight,
            places,
            steps,
            sent: 0,
            answered: 0,
            pipelining: peer.offer.pipelining,
            mail_refused: false,
            content: None,
            unwritten: 0,
        })
    }

    /// The next octets for the wire; `None` until something is heard.
    pub fn next_octets(&mut self) -> Option<Bytes> {
        if let Some(slice) = self.content.as_mut().and_then(Stuffed::next_slice) {
            self.unwritten += slice.len();
            return Some(slice);
        }
        let mut lines = BytesMut::new();
        while let Some(step) = self.sendable() {
            self.write(step, &mut lines);
            self.sent += 1;
        }
        (!lines.is_empty()).then(|| {
            self.unwritten += lines.len();
            lines.freeze()
        })
    }

    /// The socket has taken `octets` more.
    pub fn written(&mut self, octets: usize) {
        self.unwritten = self.unwritten.saturating_sub(octets);
    }

    /// How far the transaction has come: the phase of the oldest command without a reply.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.steps.get(self.answered) {
            Some(Step::Reset | Step::Mail) => Phase::Mail,
            Some(Step::Recipient(_)) => Phase::Rcpt,
            Some(Step::Data) => Phase::Data,
            Some(Step::Dot) | None if self.dot_sent() => Phase::Dot,
            Some(Step::Dot) | None => Phase::Content,
        }
    }

    /// Nothing of this transaction was answered: a connection that died of old age can be replaced
    /// by a fresh one without counting an attempt.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.steps.iter().take(self.answered).all(|step| *step == Step::Reset)
    }

    /// A reply to the oldest command without one.
    pub fn heard(&mut self, heard: &Heard) -> Turn {
        let Some(&step) = self.steps.get(self.answered).filter(|_| self.answered < self.sent)
        else {
            return self.broken(&confused(heard));
        };
        if heard.code == 421 {
            // RFC 5321 3.8: the host shuts down; it is the answer to everything that is open.
            self.answer_open(self.phase(), &heard.kept(), false);
            return Turn::Broken;
        }
        if self.phase() == Phase::Content && step == Step::Dot {
            // An answer in the middle of the content: the rest can no longer be sent in step.
            let reply = if heard.is_refusal() { heard.kept() } else { confused(heard) };
            self.answer_open(Phase::Content, &reply, false);
            return Turn::Broken;
        }
        self.answered += 1;
        match step {
            Step::Reset | Step::Mail if heard.is_positive() => Turn::Continue,
            Step::Mail if heard.is_refusal() => self.mail_refused(&heard.kept()),
            Step::Recipient(at) if heard.is_positive() => {
                self.places[at].accepted = !self.mail_refused;
                self.after_recipient()
            }
            Step::Recipient(at) if heard.is_refusal() => {
                self.answer(at, Phase::Rcpt, &recipient_reply(heard), false);
                self.after_recipient()
            }
            Step::Data if heard.code == 354 => self.content_wanted(),
            Step::Data if heard.is_refusal() => {
                self.answer_open(Phase::Data, &heard.kept(), false);
                Turn::Over { clean: false }
            }
            Step::Dot if heard.is_positive() || heard.is_refusal() => {
                self.answer_open(Phase::Dot, &heard.kept(), false);
                Turn::Over { clean: true }
            }
            Step::Reset | Step::Mail | Step::Recipient(_) | Step::Data | Step::Dot => {
                self.broken(&confused(heard))
            }
        }
    }

    /// The connection is gone: everyone without an answer gets this one.
    pub fn lost(&mut self, reply: &PeerReply) {
        let phase = self.phase();
        let in_doubt = phase == Phase::Dot && self.places.iter().any(|place| place.accepted);
        self.answer_open(phase, reply, in_doubt);
    }

    /// The answers, one for each recipient, in the order in which they were asked for.
    #[must_use]
    pub fn into_answers(self) -> Vec<Answer> {
        let silence = ours((4, 4, 2), "the transaction ended without an answer");
        self.places
            .into_iter()
            .map(|place| place.answer.unwrap_or_else(|| early(place.index, &silence)))
            .collect()
    }

    /// The final dot has left us.
    fn dot_sent(&self) -> bool {
        self.content.as_ref().is_some_and(Stuffed::is_ended) && self.unwritten == 0
    }

    /// The next command that may be sent now.
    fn sendable(&self) -> Option<Step> {
        let step = *self.steps.get(self.sent)?;
        let caught_up = self.sent == self.answered;
        match step {
            Step::Dot => None,
            _ if self.pipelining || caught_up => Some(step),
            _ => None,
        }
    }

    fn write(&self, step: Step, lines: &mut BytesMut) {
        match step {
            Step::Reset => lines.put_slice(b"RSET\r\n"),
            Step::Mail => self.preflight.write_mail(&self.parcel, lines),
            Step::Data => lines.put_slice(b"DATA\r\n"),
            Step::Recipient(at) => {
                let index = usize::from(self.places[at].index);
                if let Some(recipient) = self.parcel.envelope.recipients.get(index) {
                    self.preflight.write_recipient(recipient, lines);
                }
            }
            // The content has a cursor of its own.
            Step::Dot => {}
        }
    }

    fn mail_refused(&mut self, reply: &PeerReply) -> Turn {
        self.mail_refused = true;
        self.answer_open(Phase::Mail, reply, false);
        // Replies to what was pipelined behind MAIL must still be heard.
        if self.sent == self.answered { Turn::Over { clean: false } } else { Turn::Continue }
    }

    fn after_recipient(&mut self) -> Turn {
        let data_next = self.steps.get(self.answered) == Some(&Step::Data);
        let nobody = !self.places.iter().any(|place| place.accepted);
        if data_next && nobody && self.sent == self.answered {
            return Turn::Over { clean: false };
        }
        Turn::Continue
    }

    /// 354. If DATA was pipelined and nobody was accepted, an empty message ends it (RFC 2920 3.1).
    fn content_wanted(&mut self) -> Turn {
        let nobody = !self.places.iter().any(|place| place.accepted);
        let content = if nobody { Bytes::new() } else { self.parcel.content.clone() };
        self.content = Some(Stuffed::new(content));
        self.sent += 1;
        Turn::Continue
    }

    /// The host does not follow the protocol. If it did so after the dot, it may have the message.
    fn broken(&mut self, reply: &PeerReply) -> Turn {
        let phase = self.phase();
        self.answer_open(phase, reply, phase == Phase::Dot);
        Turn::Broken
    }

    fn answer_open(&mut self, phase: Phase, reply: &PeerReply, in_doubt: bool) {
        for at in 0..self.places.len() {
            self.answer(at, phase, reply, in_doubt);
        }
    }

    /// The first answer of a recipient stands.
    fn answer(&mut self, at: usize, phase: Phase, reply: &PeerReply, in_doubt: bool) {
        let place = &mut self.places[at];
        if place.answer.is_none() {
            let recipient = place.index;
            place.answer = Some(Answer { recipient, phase, reply: reply.clone(), in_doubt });
        }
    }
}

/// An answer that needed no command.
fn early(recipient: u16, reply: &PeerReply) -> Answer {
    Answer { recipient, phase: Phase::Ehlo, reply: reply.clone(), in_doubt: false }
}

fn confused(heard: &Heard) -> PeerReply {
    ours((4, 5, 0), &format!("the host answered out of turn: {}", heard.kept()))
}

/// 552 to RCPT means "too many recipients" and is to be read as 452 (RFC 5321 4.5.3.1.10).
fn recipient_reply(heard: &Heard) -> PeerReply {
    if heard.code != 552 {
        return heard.kept();
    }
    let status = heard.status.map(|s| EnhancedStatus::new(4, s.subject, s.detail));
    PeerReply::new(452, status, &heard.text)
}
