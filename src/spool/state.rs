//! The state of a stored message, how changes move it, and how it is written behind the ledger.

use serde::{Deserialize, Serialize};

use super::record::Position;
use crate::base::id::QueueId;
use crate::mail::queued::{Change, Queued, Settlement};

/// A message whose outcome is open, with the place of its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Where its record begins.
    pub at: Position,
    /// Octets of the record.
    pub octets: u32,
    /// What the queue knows.
    pub queued: Queued,
}

/// A change without the words of the peer: all that the state needs, in a few octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The recipient's outcome is final.
    Settled(u16),
    /// It has a new date.
    Deferred {
        /// Index in the envelope.
        recipient: u16,
        /// Attempts so far.
        attempts: u32,
        /// Not before.
        next: crate::base::time::WallTime,
    },
    /// The sender has been told of the delay.
    DelayNoticed(u16),
    /// The message is kept back, or let go.
    Held(bool),
}

impl From<&Change> for Touch {
    fn from(change: &Change) -> Self {
        match change {
            Change::Settled { recipient, settlement, .. } => match settlement {
                Settlement::Deferred { attempts, next, .. } => {
                    Self::Deferred { recipient: *recipient, attempts: *attempts, next: *next }
                }
                _ => Self::Settled(*recipient),
            },
            Change::DelayNoticed { recipient, .. } => Self::DelayNoticed(*recipient),
            Change::Held { .. } => Self::Held(true),
            Change::Released { .. } => Self::Held(false),
        }
    }
}

/// Applies a change. Doing it twice is doing it once.
pub fn touch(queued: &mut Queued, touch: Touch) {
    match touch {
        Touch::Settled(recipient) => queued.recipients.retain(|r| r.index != recipient),
        Touch::Deferred { recipient, attempts, next } => {
            for r in queued.recipients.iter_mut().filter(|r| r.index == recipient) {
                (r.attempts, r.next) = (attempts, next);
            }
        }
        Touch::DelayNoticed(recipient) => {
            for r in queued.recipients.iter_mut().filter(|r| r.index == recipient) {
                r.delay_noticed = true;
            }
        }
        Touch::Held(held) => queued.held = held,
    }
}

/// Version of the values behind the ledger.
const VERSION: u8 = 1;

/// What the state database says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Everything in the ledger before this point is in the database.
    pub through: Position,
    /// Records of the segment before that point.
    pub records: u32,
    /// Live messages.
    pub count: u64,
    /// Sum of [`fingerprint`] over all of them, in any order.
    pub digest: u64,
}

/// A value as it is stored: version, checksum over key and rest, postcard.
#[must_use]
pub fn encode<T: Serialize>(key: &[u8], value: &T) -> Option<Vec<u8>> {
    let mut out = vec![VERSION, 0, 0, 0, 0];
    out = postcard::to_extend(value, out).ok()?;
    let checksum = checksum(key, &out[5..]);
    out[1..5].copy_from_slice(&checksum.to_le_bytes());
    Some(out)
}

/// Reads a value; `None` if it is damaged or of another version.
#[must_use]
pub fn decode<T: for<'a> Deserialize<'a>>(key: &[u8], octets: &[u8]) -> Option<T> {
    let (front, rest) = octets.split_at_checked(5)?;
    if front[0] != VERSION || front[1..] != checksum(key, rest).to_le_bytes() {
        return None;
    }
    postcard::from_bytes(rest).ok()
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(rest);
    hasher.finalize()
}

/// Sixty-four bits that stand for one record in the digest of all.
#[must_use]
pub fn fingerprint(id: QueueId, octets: &[u8]) -> u64 {
    let half = |n: u128| u64::try_from(n & u128::from(u64::MAX)).unwrap_or(0);
    let value = octets
        .get(1..5)
        .map_or(0, |c| c.iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet)));
    let mut mixed = crate::base::chance::Chance::new(half(id.0) ^ value.rotate_left(32));
    let low = mixed.draw();
    crate::base::chance::Chance::new(low ^ half(id.0 >> 64)).draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_value_is_noticed() {
        let meta = Meta { through: Position { segment: 1, offset: 2 }, ..Meta::default() };
        let octets = encode(b"meta", &meta).unwrap();
        assert_eq!(decode(b"meta", &octets), Some(meta));
        assert_eq!(decode::<Meta>(b"matt", &octets), None, "under another key");
        for bit in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode::<Meta>(b"meta", &damaged), None, "bit {bit}");
        }
        assert_eq!(decode::<Meta>(b"meta", &octets[..4]), None);
    }

    #[test]
    fn fingerprints_tell_records_apart() {
        let (a, b) = ([1, 0, 0, 0, 1], [1, 0, 0, 0, 2]);
        assert_ne!(fingerprint(QueueId(1), &a), fingerprint(QueueId(1), &b));
        assert_ne!(fingerprint(QueueId(1), &a), fingerprint(QueueId(2), &a));
        assert_ne!(fingerprint(QueueId(1 << 64), &a), fingerprint(QueueId(2 << 64), &a));
    }
}
