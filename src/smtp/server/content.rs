//! Content: DATA to its final dot, BDAT to its last octet, and what is asked or refused then.

use bytes::Bytes;

use super::ask::Question;
use super::state::{Body, Chunk, Pending, State, Transaction};
use super::{Ending, Session};
use crate::base::time::Instant;
use crate::mail::stage::{SessionFacts, Submitted};
use crate::smtp::dots::{ContentFault, Framing};
use crate::smtp::replies;
use crate::smtp::reply::Reply;

impl Session {
    /// 354: content follows.
    pub(super) fn open_data(&mut self, transaction: Box<Transaction>, now: Instant) {
        self.patience.idle = 0;
        let body = Body::new(transaction, Framing::Dots, self.terms.message_octets_max, now);
        self.deadline = body.deadline(now);
        self.say(&replies::GO_AHEAD);
        self.state = State::Data(Box::new(body));
    }

    /// The first chunk may come.
    pub(super) fn open_first_chunk(
        &mut self,
        transaction: Box<Transaction>,
        chunk: Chunk,
        now: Instant,
    ) {
        self.patience.idle = 0;
        let body = Body::new(transaction, Framing::Counted, self.terms.message_octets_max, now);
        self.open_chunk(Box::new(body), chunk, now);
    }

    /// A chunk follows its BDAT line.
    pub(super) fn open_chunk(&mut self, mut body: Box<Body>, chunk: Chunk, now: Instant) {
        if body.content.octets().saturating_add(chunk.left) > self.terms.message_octets_max {
            body.content.spoil(ContentFault::TooLarge);
        }
        if chunk.left == 0 {
            // Chunks of nothing carry no mail forward.
            self.patience.idle += 1;
            return self.end_chunk(body, chunk);
        }
        body.restart(now);
        self.deadline = body.deadline(now);
        self.state = State::Chunk(body, chunk);
    }

    /// A chunk that is refused: its octets follow all the same (RFC 3030 section 2), and the
    /// transaction is over.
    pub(super) fn skip(&mut self, left: u64, reply: Reply) {
        self.state = if left == 0 {
            self.refuse(&reply);
            State::Idle
        } else {
            State::Skipping { left, reply }
        };
    }

    /// Octets of DATA; what is left of them after its end.
    pub(super) fn data<'a>(&mut self, input: &'a [u8], now: Instant) -> &'a [u8] {
        let State::Data(mut body) = std::mem::replace(&mut self.state, State::Closed) else {
            return input;
        };
        body.count(input.len());
        let Some(end) = body.reader.feed(input, &mut body.content) else {
            self.deadline = body.deadline(now);
            self.state = State::Data(body);
            return &[];
        };
        self.end_content(*body);
        self.rest(now);
        &input[end..]
    }

    /// Octets of a chunk, wanted or not; what is left of them after its end.
    pub(super) fn chunk<'a>(&mut self, input: &'a [u8], now: Instant) -> &'a [u8] {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Chunk(mut body, mut chunk) => {
                let (octets, rest) = take(input, &mut chunk.left);
                body.count(octets.len());
                body.reader.feed(octets, &mut body.content);
                if chunk.left > 0 {
                    self.deadline = body.deadline(now);
                    self.state = State::Chunk(body, chunk);
                } else {
                    self.end_chunk(body, chunk);
                    self.rest(now);
                }
                rest
            }
            State::Skipping { mut left, reply } => {
                let (_, rest) = take(input, &mut left);
                // The deadline is that of the command: skipped octets buy no time.
                self.skip(left, reply);
                if left == 0 {
                    self.rest(now);
                }
                rest
            }
            other => {
                self.state = other;
                input
            }
        }
    }

    fn end_chunk(&mut self, mut body: Box<Body>, chunk: Chunk) {
        if chunk.last {
            let Body { reader, content, .. } = &mut *body;
            reader.finish(content);
        }
        if chunk.last || body.content.fault().is_some() {
            return self.end_content(*body);
        }
        self.say(&replies::CHUNK_OK);
        self.state = State::Chunks(body);
    }

    /// The end of data: the house is asked, or the fault is told.
    fn end_content(&mut self, body: Body) {
        self.state = State::Idle;
        match body.content.finish() {
            Ok(content) => self.submit(*body.transaction, content),
            Err(ContentFault::Shortage) => self.refuse(&replies::SHORTAGE),
            Err(ContentFault::TooLarge) => self.refuse(&replies::TOO_LARGE),
            Err(ContentFault::LongLine) => self.refuse(&replies::CONTENT_LONG_LINE),
            // Whoever writes these may be smuggling: nothing more of the session is read.
            Err(ContentFault::Nul) => self.leave(&replies::CONTENT_NUL, Ending::Violation),
            Err(ContentFault::BareLineEnd) => {
                self.leave(&replies::CONTENT_BARE_LINE_END, Ending::Violation);
            }
        }
    }

    fn submit(&mut self, transaction: Transaction, content: Bytes) {
        let hello = self.hello.as_ref();
        let session = SessionFacts {
            peer: self.peer.ip(),
            peer_port: self.peer.port(),
            helo: hello.map(|hello| hello.name.clone()).unwrap_or_default(),
            esmtp: hello.is_some_and(|hello| hello.esmtp),
            tls: self.tls.as_ref().map(|tls| (tls.version.clone(), tls.suite.clone())),
            authenticated: self.authenticated,
        };
        let message = Submitted { session, envelope: transaction.envelope, content };
        self.ask(Question::Message(Box::new(message)), Pending::Message);
    }
}

/// Up to `left` octets of `input`, counted off, and the rest.
fn take<'a>(input: &'a [u8], left: &mut u64) -> (&'a [u8], &'a [u8]) {
    let octets = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= octets as u64;
    input.split_at(octets)
}
