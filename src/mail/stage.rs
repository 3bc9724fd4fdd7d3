//! The route of a message as types: each can only be made in the room that it is named for.
//!
//! `Submitted → Attributed → Permitted → Cleared → Signed → Custody`. The constructors are called
//! `mint`; `tests/tidy.rs` knows the one folder in which each may be written. So "250 before the
//! disk has it" and "sent unsigned" are not review findings: they do not compile, or tidy fails.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::class::MessageClass;
use super::envelope::Envelope;
use super::source::{Source, SourceName};
use crate::base::id::QueueId;
use crate::base::time::WallTime;

/// What is known about the session that a message came by; becomes the Received field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The peer's address, canonical (no IPv4-mapped IPv6).
    pub peer: IpAddr,
    /// The peer's port.
    pub peer_port: u16,
    /// What it said in EHLO or HELO.
    pub helo: Box<str>,
    /// EHLO, not HELO.
    pub esmtp: bool,
    /// TLS version and cipher suite, if the session is encrypted ("TLSv1.3", "`TLS_AES_..`").
    pub tls: Option<(Box<str>, Box<str>)>,
    /// AUTH succeeded.
    pub authenticated: bool,
}

/// A message as the peer gave it: dot-stuffing undone, line endings CRLF, nothing else touched.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Where it came from.
    pub session: SessionFacts,
    /// MAIL and RCPT.
    pub envelope: Envelope,
    /// Header and body.
    pub content: Bytes,
}

/// Proof that a session speaks for a source. Only `source` mints it.
#[derive(Clone, Debug)]
pub struct Attributed {
    source: Arc<Source>,
}

impl Attributed {
    /// For `source/` alone.
    #[must_use]
    pub fn mint(source: Arc<Source>) -> Self {
        Self { source }
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }
}

/// A message that its source may send. Only `policy` mints it.
#[derive(Clone, Debug)]
pub struct Permitted {
    source: Arc<Source>,
    message: Submitted,
}

impl Permitted {
    /// For `policy/` alone.
    #[must_use]
    pub fn mint(source: Arc<Source>, message: Submitted) -> Self {
        Self { source, message }
    }

    /// Who sends it.
    #[must_use]
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Submitted {
        &self.message
    }
}

/// A message whose content was looked at and found clean. Only `scan` mints it.
#[derive(Clone, Debug)]
pub struct Cleared {
    permitted: Permitted,
}

impl Cleared {
    /// For `scan/` alone.
    #[must_use]
    pub fn mint(permitted: Permitted) -> Self {
        Self { permitted }
    }

    /// Who sends it.
    #[must_use]
    pub fn source(&self) -> &Arc<Source> {
        &self.permitted.source
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Submitted {
        &self.permitted.message
    }
}

/// A message exactly as it will go on the wire. Only `sign` mints it.
#[derive(Clone, Debug)]
pub struct Signed {
    id: QueueId,
    parcel: Arc<Parcel>,
}

impl Signed {
    /// For `sign/` alone.
    #[must_use]
    pub fn mint(parcel: Parcel) -> Self {
        Self { id: parcel.id, parcel: Arc::new(parcel) }
    }

    /// Its name from here on.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// What will be stored.
    #[must_use]
    pub fn parcel(&self) -> &Arc<Parcel> {
        &self.parcel
    }
}

/// What the spool keeps of a message: everything that delivery and reports need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The queue id.
    pub id: QueueId,
    /// What the spool's state keeps about it.
    pub label: Label,
    /// MAIL and RCPT as they will be said.
    pub envelope: Envelope,
    /// Header and body, octet for octet as on the wire (before dot-stuffing).
    pub content: Bytes,
}

/// The small facts about a message that the queue decides by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The source that submitted it; notifications carry the source that they report to.
    pub source: SourceName,
    /// Its class.
    pub class: MessageClass,
    /// When responsibility was taken.
    pub accepted: WallTime,
    /// When delivery is given up.
    pub expires: WallTime,
    /// This is a notification of ours (it is never held with its source's mail, and never
    /// reported about).
    pub notification: bool,
    /// Priority within its class (RFC 6710): -9 to 9, 0 unless something else was granted.
    pub priority: i8,
    /// When the sender is told that it waits, if the message itself says so (BY= with mode N,
    /// RFC 2852); none: when its class says so.
    pub notice: Option<WallTime>,
}

/// Proof that a message survives a power cut. Only `spool` mints it; the only way to a 250 after
/// the content.
#[derive(Clone, Debug)]
pub struct Custody {
    id: QueueId,
}

impl Custody {
    /// For `spool/` alone, after the sync that covers the record has returned.
    #[must_use]
    pub fn mint(id: QueueId) -> Self {
        Self { id }
    }

    /// The message.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }
}
