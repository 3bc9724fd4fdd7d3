//! The records of the ledger and their checksums.
//!
//! ```text
//! segment := record* (zero padding to a whole block after every group)
//! record  := header (64 octets) head body
//!
//!  0 magic      8  u32 "PLR1"          32 head checksum   u32
//!  4 salt          u64 of the segment  36 body checksum   u32
//! 12 header checksum u32               40 covered         u32
//! 16 kind          u8                  44 segment         u32
//! 17 version       u8                  48 id              16 octets, zero if none
//! 20 index         u32                 64 head (postcard), then body (content)
//! 24 head octets   u32
//! 28 body octets   u32
//! ```
//! Numbers are little-endian. The **salt** is drawn for each segment and stands in its name: old
//! octets of a recycled file never parse, and neither does a record that a stranger hides in the
//! content of a message. The **index** counts the records of a segment without a gap, so that a
//! missing one is noticed. **Covered** is the offset before which everything in the segment was
//! durable when the record's group was written: damage below it hit what was acknowledged, damage
//! above it is the torn end of a group that never was.

use serde::{Deserialize, Serialize};

use super::past::{Kept, PRESENT};
use crate::base::id::QueueId;
use crate::mail::envelope::Envelope;
use crate::mail::queued::{Change, Queued, QueuedRecipient};
use crate::mail::stage::{Label, Parcel};

/// Octets of a header.
pub const HEADER_OCTETS: usize = 64;
/// "PLR1".
pub const MAGIC: [u8; 4] = *b"PLR1";
/// Version of the heads that this program writes; older ones are read by [`super::past`].
pub const VERSION: u8 = PRESENT;

/// A place in the ledger.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// Number of the segment.
    pub segment: u32,
    /// Octets from its beginning.
    pub offset: u32,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A segment begins.
    Opening = 1,
    /// A message: head [`Stored`], body its content.
    Message = 2,
    /// Changes of messages: head `Vec<Change>`.
    Changes = 3,
    /// Segments before a number are given back: head [`Freed`].
    Freed = 4,
    /// Where segments end that a crash left open: head `Vec<End>`.
    Ended = 5,
    /// The spool was closed in order.
    Closed = 6,
}

impl Kind {
    fn from_octet(octet: u8) -> Option<Self> {
        [Self::Opening, Self::Message, Self::Changes, Self::Freed, Self::Ended, Self::Closed]
            .into_iter()
            .find(|kind| *kind as u8 == octet)
    }
}

/// Head of a segment's first record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The oldest segment that is needed.
    pub floor: u32,
    /// How the segment before it ended, if this process wrote it.
    pub previous: Option<End>,
}

/// Where a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its number.
    pub segment: u32,
    /// Records in it.
    pub records: u32,
    /// The offset behind the last one.
    pub offset: u32,
}

/// Head of a `Freed` record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    /// The oldest segment that is still needed.
    pub floor: u32,
}

/// Head of a `Message` record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// What the queue decides by.
    pub label: Label,
    /// MAIL and RCPT.
    pub envelope: Envelope,
    /// For a message that was copied from an older segment: its state at that moment.
    pub carried: Option<Carried>,
    /// Changes of *other* messages that become true together with this record.
    pub settles: Vec<Change>,
}

/// The state of a message that is copied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// An operator keeps it back.
    pub held: bool,
    /// Open recipients: index, attempts, next, delay noticed.
    pub open: Vec<(u16, u32, crate::base::time::WallTime, bool)>,
}

impl Carried {
    /// The part of `queued` that the envelope does not say.
    #[must_use]
    pub fn of(queued: &Queued) -> Self {
        let open = queued.recipients.iter();
        let open = open.map(|r| (r.index, r.attempts, r.next, r.delay_noticed)).collect();
        Self { held: queued.held, open }
    }
}

impl Stored {
    /// What the queue knows of the message at this record.
    #[must_use]
    pub fn queued(&self, id: QueueId, octets: u64) -> Queued {
        let domain = |index: u16| {
            let recipient = self.envelope.recipients.get(usize::from(index))?;
            Some(recipient.forward_path.domain().clone())
        };
        let fresh = |index| (index, 0, self.label.accepted, false);
        let open = match &self.carried {
            Some(carried) => carried.open.clone(),
            None => (0..).take(self.envelope.recipients.len()).map(fresh).collect(),
        };
        let recipients = open.into_iter().filter_map(|(index, attempts, next, delay_noticed)| {
            let domain = domain(index)?;
            Some(QueuedRecipient { index, domain, attempts, next, delay_noticed })
        });
        Queued {
            id,
            label: self.label.clone(),
            held: self.carried.as_ref().is_some_and(|carried| carried.held),
            octets,
            recipients: recipients.collect(),
        }
    }

    /// The whole message.
    #[must_use]
    pub fn parcel(self, id: QueueId, content: bytes::Bytes) -> Parcel {
        Parcel { id, label: self.label, envelope: self.envelope, content }
    }
}

/// A record before it has a place.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it says.
    pub kind: Kind,
    /// The message, zero if it is about none or several.
    pub id: QueueId,
    /// Postcard.
    pub head: Vec<u8>,
    /// Content.
    pub body: bytes::Bytes,
    head_checksum: u32,
    body_checksum: u32,
}

/// A head could not be written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the head of a record is not in the format of this version")]
pub struct NotAHead;

impl Draft {
    /// A record of `kind` about `id`. Checksums are computed here, on the caller's thread.
    ///
    /// # Errors
    /// [`NotAHead`] if postcard cannot write `head` (it can write every type of this file).
    pub fn new(
        kind: Kind,
        id: QueueId,
        head: &impl Serialize,
        body: bytes::Bytes,
    ) -> Result<Self, NotAHead> {
        let head = postcard::to_stdvec(head).map_err(|_| NotAHead)?;
        let (head_checksum, body_checksum) = (crc32fast::hash(&head), crc32fast::hash(&body));
        Ok(Self { kind, id, head, body, head_checksum, body_checksum })
    }

    /// Keeps the checksum that the body had where it was read, so that damage stays visible.
    #[must_use]
    pub fn with_body_checksum(mut self, checksum: u32) -> Self {
        self.body_checksum = checksum;
        self
    }

    /// Octets on disk.
    #[must_use]
    pub fn octets(&self) -> u64 {
        (HEADER_OCTETS + self.head.len() + self.body.len()) as u64
    }

    /// The header for a place.
    #[must_use]
    pub fn header(&self, salt: u64, place: Place) -> [u8; HEADER_OCTETS] {
        let lens = (u32::try_from(self.head.len()), u32::try_from(self.body.len()));
        Header {
            kind: self.kind,
            version: VERSION,
            index: place.index,
            head_octets: lens.0.unwrap_or(u32::MAX),
            body_octets: lens.1.unwrap_or(u32::MAX),
            head_checksum: self.head_checksum,
            body_checksum: self.body_checksum,
            covered: place.covered,
            segment: place.segment,
            id: self.id,
        }
        .encode(salt)
    }
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: u32,
    /// How many records stand before it.
    pub index: u32,
    /// See [`Header::covered`].
    pub covered: u32,
}

/// A header that was read and whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the record says.
    pub kind: Kind,
    /// Version of the head.
    pub version: u8,
    /// Records before this one in the segment.
    pub index: u32,
    /// Octets of the head.
    pub head_octets: u32,
    /// Octets of the body.
    pub body_octets: u32,
    /// CRC-32 of the head.
    pub head_checksum: u32,
    /// CRC-32 of the body.
    pub body_checksum: u32,
    /// The segment was durable up to here when the record's group was written.
    pub covered: u32,
    /// Number of the segment.
    pub segment: u32,
    /// The message.
    pub id: QueueId,
}

impl Header {
    /// The sixty-four octets.
    #[must_use]
    pub fn encode(&self, salt: u64) -> [u8; HEADER_OCTETS] {
        let mut out = [0; HEADER_OCTETS];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..12].copy_from_slice(&salt.to_le_bytes());
        out[16] = self.kind as u8;
        out[17] = self.version;
        let numbers = [
            (20, self.index),
            (24, self.head_octets),
            (28, self.body_octets),
            (32, self.head_checksum),
            (36, self.body_checksum),
            (40, self.covered),
            (44, self.segment),
        ];
        for (at, number) in numbers {
            out[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        out[48..64].copy_from_slice(&self.id.octets());
        let checksum = header_checksum(&out);
        out[12..16].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a header of the segment `number` with `salt`; `None` if it is none.
    #[must_use]
    pub fn decode(octets: &[u8], salt: u64, number: u32) -> Option<Self> {
        let octets: &[u8; HEADER_OCTETS] = octets.get(..HEADER_OCTETS)?.try_into().ok()?;
        let header = Self::decode_any(octets)?;
        (salt_of(octets) == salt && header.segment == number).then_some(header)
    }

    /// Reads a header of any segment: for salvage, and for files that have lost their name.
    #[must_use]
    pub fn decode_any(octets: &[u8; HEADER_OCTETS]) -> Option<Self> {
        let number = |at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&octets[at..at + 4]);
            u32::from_le_bytes(four)
        };
        if octets[0..4] != MAGIC || number(12) != header_checksum(octets) {
            return None;
        }
        let mut id = [0; 16];
        id.copy_from_slice(&octets[48..64]);
        Some(Self {
            kind: Kind::from_octet(octets[16])?,
            version: octets[17],
            index: number(20),
            head_octets: number(24),
            body_octets: number(28),
            head_checksum: number(32),
            body_checksum: number(36),
            covered: number(40),
            segment: number(44),
            id: QueueId::from_octets(id),
        })
    }

    /// Octets of the whole record.
    #[must_use]
    pub fn octets(&self) -> u64 {
        HEADER_OCTETS as u64 + u64::from(self.head_octets) + u64::from(self.body_octets)
    }
}

/// The salt that a header carries.
#[must_use]
pub fn salt_of(octets: &[u8; HEADER_OCTETS]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&octets[4..12]);
    u64::from_le_bytes(eight)
}

/// Reads a head of the version that `header` names.
///
/// # Errors
/// [`NotAHead`] if the version is unknown or postcard refuses it.
pub fn read_head<T: Kept>(header: &Header, head: &[u8]) -> Result<T, NotAHead> {
    T::read(header.version, head).ok_or(NotAHead)
}

/// Everything but the magic and the checksum itself.
fn header_checksum(octets: &[u8; HEADER_OCTETS]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&octets[4..12]);
    hasher.update(&octets[16..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Message,
            version: VERSION,
            index: 7,
            head_octets: 100,
            body_octets: 4096,
            head_checksum: 1,
            body_checksum: 2,
            covered: 64,
            segment: 9,
            id: QueueId(77),
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let octets = header().encode(5);
        assert_eq!(Header::decode(&octets, 5, 9), Some(header()));
        assert_eq!(Header::decode(&octets, 6, 9), None, "the salt of another segment");
        assert_eq!(Header::decode(&octets, 5, 8), None, "the number of another segment");
        assert_eq!(Header::decode(&octets[..63], 5, 9), None);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let octets = header().encode(5);
        for bit in 0..HEADER_OCTETS * 8 {
            let mut damaged = octets;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged, 5, 9), None, "bit {bit}");
        }
    }
}
