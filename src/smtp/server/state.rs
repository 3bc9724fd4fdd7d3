//! What a session is in the middle of: an enum of structs, each with exactly what is true there.

use std::fmt;

use super::ask::Wishes;
use crate::base::limits::{CONTENT_OCTETS_PER_SEC_MIN, CONTENT_TIMEOUT};
use crate::base::time::Instant;
use crate::mail::envelope::{Envelope, Recipient};
use crate::smtp::dots::{Content, Framing, Reader};
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{ScramExpected, ScramFirst};

/// What is fixed for every session of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Our name in the greeting and in EHLO.
    pub hostname: Box<str>,
    /// SIZE.
    pub message_octets_max: u64,
    /// Recipients of one transaction.
    pub recipients_max: usize,
    /// STARTTLS can be had.
    pub tls_offered: bool,
    /// Nothing but EHLO, STARTTLS, NOOP, RSET, HELP and QUIT without TLS (RFC 3207 section 4).
    pub tls_required: bool,
    /// Some source may set deadlines: DELIVERBY is offered (RFC 2852).
    pub deadlines: bool,
}

/// What the handshake established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// "TLSv1.3".
    pub version: Box<str>,
    /// "`TLS_AES_256_GCM_SHA384`".
    pub suite: Box<str>,
    /// SHA-256 of the client certificate's `SubjectPublicKeyInfo` in lower-case hexadecimal, if it
    /// showed one and proved that it has the key. Whether it is known is for `source/` to say.
    pub client_spki_sha256: Option<Box<str>>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// QUIT.
    Quit,
    /// The peer went away.
    Vanished,
    /// Silence, or content that came too slowly.
    Timeout,
    /// A bound of `base/limits.rs` on errors, idle commands or failed authentications.
    Excess,
    /// A lone CR or LF, commands where none may be, another protocol.
    Violation,
    /// The house said so.
    Dismissed,
    /// Shutdown.
    Shutdown,
    /// The socket or TLS failed.
    Broken,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quit => "quit",
            Self::Vanished => "peer vanished",
            Self::Timeout => "timeout",
            Self::Excess => "too many errors or idle commands",
            Self::Violation => "protocol violation",
            Self::Dismissed => "dismissed",
            Self::Shutdown => "shutdown",
            Self::Broken => "connection broken",
        })
    }
}

/// What a session has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages in custody.
    pub accepted: u32,
    /// Commands and messages that were refused.
    pub refused: u32,
    /// Commands that were read.
    pub commands: u32,
    /// Failed authentications.
    pub auth_failures: u32,
}

/// A transaction whose reverse-path is known.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) envelope: Envelope,
    pub(super) size: Option<u64>,
}

/// Content that is coming in.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) transaction: Box<Transaction>,
    pub(super) content: Content,
    pub(super) reader: Reader,
    since: Instant,
    came: u64,
}

impl Body {
    pub(super) fn new(
        transaction: Box<Transaction>,
        framing: Framing,
        octets_max: u64,
        now: Instant,
    ) -> Self {
        let content = Content::new(transaction.size, octets_max);
        Self { transaction, content, reader: Reader::new(framing), since: now, came: 0 }
    }

    /// Octets came.
    pub(super) fn count(&mut self, octets: usize) {
        self.came = self.came.saturating_add(octets as u64);
    }

    /// A new chunk begins: the client's pauses between chunks are not slowness of content.
    pub(super) fn restart(&mut self, now: Instant) {
        (self.since, self.came) = (now, 0);
    }

    /// When the next octets must be here: neither silent for long nor slow on average.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        let earned = std::time::Duration::from_secs(self.came / CONTENT_OCTETS_PER_SEC_MIN);
        now.after(CONTENT_TIMEOUT).min(self.since.after(CONTENT_TIMEOUT).after(earned))
    }
}

/// A BDAT chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) left: u64,
    pub(super) last: bool,
}

/// Where an AUTH exchange stands: what the next line will be.
#[derive(Debug)]
pub(super) enum Exchange {
    PlainMessage,
    LoginUser,
    LoginPassword(String),
    ScramFirst,
    ScramFinal(Box<ScramExpected>),
    /// The empty line after the server's proof.
    ScramEnd(String),
}

/// A question is open; this is how the answer will be used.
#[derive(Debug)]
pub(super) enum Pending {
    /// Password, SCRAM proof, or its failure: 235 or 535.
    Identity {
        proven: bool,
    },
    ScramKeys(ScramFirst),
    Mail(Box<Transaction>, Wishes),
    Recipient(Box<Transaction>, Recipient),
    Data(Box<Transaction>),
    FirstChunk(Box<Transaction>, Chunk),
    Message,
}

/// The state of a session.
#[derive(Debug)]
pub(super) enum State {
    /// No transaction.
    Idle,
    /// The reverse-path is known.
    Sender(Box<Transaction>),
    /// At least one forward-path is known.
    Recipients(Box<Transaction>),
    /// After 354.
    Data(Box<Body>),
    /// Between chunks.
    Chunks(Box<Body>),
    /// Inside a chunk.
    Chunk(Box<Body>, Chunk),
    /// Inside a chunk that was refused; the transaction is over.
    Skipping { left: u64, reply: Reply },
    /// Inside an AUTH exchange.
    Auth(Exchange),
    /// A question is open; no line is read.
    Deciding(Pending),
    /// 220 was said to STARTTLS.
    Handshake,
    /// Nothing more is read.
    Closed,
}
