//! What the queue knows of a stored message, and the durable facts that change it.

use serde::{Deserialize, Serialize};

use super::address::Domain;
use super::reply::PeerReply;
use super::stage::{Label, Parcel};
use crate::base::id::QueueId;
use crate::base::time::WallTime;

/// A stored message with at least one recipient whose outcome is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The message.
    pub id: QueueId,
    /// What the queue decides by.
    pub label: Label,
    /// An operator keeps it back.
    pub held: bool,
    /// Octets of its content.
    pub octets: u64,
    /// Recipients whose outcome is open.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient whose outcome is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// Index in the envelope.
    pub index: u16,
    /// Where it goes.
    pub domain: Domain,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before.
    pub next: WallTime,
    /// The sender has been told of the delay.
    pub delay_noticed: bool,
}

impl Queued {
    /// A message as it is at the moment of custody: everyone is due at once.
    #[must_use]
    pub fn fresh(parcel: &Parcel) -> Self {
        let recipients = parcel.envelope.recipients.iter().zip(0..);
        Self {
            id: parcel.id,
            label: parcel.label.clone(),
            held: false,
            octets: parcel.content.len() as u64,
            recipients: recipients
                .map(|(recipient, index)| QueuedRecipient {
                    index,
                    domain: recipient.forward_path.domain().clone(),
                    attempts: 0,
                    next: parcel.label.accepted,
                    delay_noticed: false,
                })
                .collect(),
        }
    }
}

/// What became of a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    /// The next host took responsibility.
    Delivered,
    /// To be tried again.
    Deferred {
        /// Attempts so far.
        attempts: u32,
        /// Not before.
        next: WallTime,
        /// Why.
        reply: PeerReply,
    },
    /// Permanent refusal.
    Failed {
        /// Why.
        reply: PeerReply,
    },
    /// Its time is over.
    Expired {
        /// The last answer.
        reply: PeerReply,
    },
    /// An operator destroyed it.
    Purged,
}

impl Settlement {
    /// Whether nothing more will be tried.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Deferred { .. })
    }
}

/// A durable fact about a stored message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A recipient has an outcome, or a new date.
    Settled {
        /// The message.
        id: QueueId,
        /// Index in the envelope.
        recipient: u16,
        /// The outcome.
        settlement: Settlement,
    },
    /// The sender has been told that a recipient waits.
    DelayNoticed {
        /// The message.
        id: QueueId,
        /// Index in the envelope.
        recipient: u16,
    },
    /// An operator keeps the message back.
    Held {
        /// The message.
        id: QueueId,
    },
    /// An operator lets it go.
    Released {
        /// The message.
        id: QueueId,
    },
}

impl Change {
    /// The message that changes.
    #[must_use]
    pub fn id(&self) -> QueueId {
        match self {
            Self::Settled { id, .. }
            | Self::DelayNoticed { id, .. }
            | Self::Held { id }
            | Self::Released { id } => *id,
        }
    }
}
