//! What earlier versions of this program wrote, and how it is read today.
//!
//! A record names the version of its head, a value of the state database its own. What is read
//! here is written again in today's version as soon as it is copied on or changed; nothing is
//! converted in place.
//!
//! | version | what it lacks |
//! |---|---|
//! | 1 | label: priority, notice; envelope: `TLS-Required: No`, BY=, MT-PRIORITY= |

use serde::Deserialize;

use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::mail::address::ReversePath;
use crate::mail::class::MessageClass;
use crate::mail::envelope::{BodyType, Envelope, Recipient, Ret};
use crate::mail::queued::{Change, Queued, QueuedRecipient};
use crate::mail::source::SourceName;
use crate::mail::stage::Label;

use super::record::{Carried, End, Freed, Opening, Position, Stored};
use super::state::{Live, Meta};

/// The first version: everything that a release 0.1 wrote.
const FIRST: u8 = 1;

/// The version that this program writes, of records and of values alike.
pub const PRESENT: u8 = 2;

/// The versions that this program reads.
pub const READS: [u8; 2] = [FIRST, PRESENT];

/// The versions that it can write. A version that adds one keeps the one before, so that a trial
/// boot can write what the old version reads (decision 48).
pub const WRITES: [u8; 1] = [PRESENT];

/// Something that is stored, and can be read in every version that was ever written.
pub trait Kept: for<'de> Deserialize<'de> {
    /// Reads `octets` of `version`; `None` if the version is unknown or the octets are not in it.
    #[must_use]
    fn read(version: u8, octets: &[u8]) -> Option<Self> {
        matches!(version, FIRST | PRESENT).then(|| postcard::from_bytes(octets).ok())?
    }
}

// The same in all versions.
impl Kept for Opening {}
impl Kept for Freed {}
impl Kept for Vec<End> {}
impl Kept for Vec<Change> {}
impl Kept for Meta {}

impl Kept for Stored {
    fn read(version: u8, octets: &[u8]) -> Option<Self> {
        match version {
            FIRST => postcard::from_bytes::<FirstStored>(octets).ok().map(Self::from),
            PRESENT => postcard::from_bytes(octets).ok(),
            _ => None,
        }
    }
}

impl Kept for Vec<Live> {
    fn read(version: u8, octets: &[u8]) -> Option<Self> {
        match version {
            FIRST => {
                let page: Vec<FirstLive> = postcard::from_bytes(octets).ok()?;
                Some(page.into_iter().map(Live::from).collect())
            }
            PRESENT => postcard::from_bytes(octets).ok(),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct FirstLabel {
    source: SourceName,
    class: MessageClass,
    accepted: WallTime,
    expires: WallTime,
    notification: bool,
}

impl From<FirstLabel> for Label {
    fn from(first: FirstLabel) -> Self {
        Self {
            source: first.source,
            class: first.class,
            accepted: first.accepted,
            expires: first.expires,
            notification: first.notification,
            priority: 0,
            notice: None,
        }
    }
}

#[derive(Deserialize)]
struct FirstEnvelope {
    reverse_path: ReversePath,
    recipients: Vec<Recipient>,
    body: BodyType,
    smtputf8: bool,
    require_tls: bool,
    ret: Option<Ret>,
    envid: Option<Box<str>>,
}

impl From<FirstEnvelope> for Envelope {
    fn from(first: FirstEnvelope) -> Self {
        Self {
            recipients: first.recipients,
            body: first.body,
            smtputf8: first.smtputf8,
            require_tls: first.require_tls,
            ret: first.ret,
            envid: first.envid,
            ..Self::from(first.reverse_path)
        }
    }
}

#[derive(Deserialize)]
struct FirstStored {
    label: FirstLabel,
    envelope: FirstEnvelope,
    carried: Option<Carried>,
    settles: Vec<Change>,
}

impl From<FirstStored> for Stored {
    fn from(first: FirstStored) -> Self {
        Self {
            label: first.label.into(),
            envelope: first.envelope.into(),
            carried: first.carried,
            settles: first.settles,
        }
    }
}

#[derive(Deserialize)]
struct FirstQueued {
    id: QueueId,
    label: FirstLabel,
    held: bool,
    octets: u64,
    recipients: Vec<QueuedRecipient>,
}

#[derive(Deserialize)]
struct FirstLive {
    at: Position,
    octets: u32,
    queued: FirstQueued,
}

impl From<FirstLive> for Live {
    fn from(first: FirstLive) -> Self {
        let FirstQueued { id, label, held, octets, recipients } = first.queued;
        let queued = Queued { id, label: label.into(), held, octets, recipients };
        Self { at: first.at, octets: first.octets, queued }
    }
}

#[cfg(test)]
mod tests;
