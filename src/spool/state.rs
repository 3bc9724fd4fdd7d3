//! The state of a stored message, how changes move it, and how it is written behind the ledger.

use serde::{Deserialize, Serialize};

use super::past::{Kept, PRESENT};
use super::record::Position;
use crate::base::chance::Chance;
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

/// Key of a page of the state.
pub type PageKey = [u8; 6];

/// Octets of the ledger whose messages share a page: fifteen messages of 4 KiB, and a value of one
/// to two kilobytes. With a value for each message, sled needed 900 MB and eleven seconds for
/// 300,000 of them; with pages 40 MB and half a second.
const PAGE_BITS: u32 = 16;

/// The page on which the state of a message stands follows from the place of its record.
#[must_use]
pub fn page_of(at: Position) -> PageKey {
    let mut key = [0; 6];
    key[..4].copy_from_slice(&at.segment.to_be_bytes());
    let page = u16::try_from(at.offset >> PAGE_BITS).unwrap_or(u16::MAX);
    key[4..].copy_from_slice(&page.to_be_bytes());
    key
}

/// Reads a page; `None` if it is damaged or holds a message that belongs elsewhere.
#[must_use]
pub fn read_page(key: &[u8], octets: &[u8]) -> Option<Vec<Live>> {
    let page: Vec<Live> = decode(key, octets)?;
    let here = !page.is_empty() && page.iter().all(|live| page_of(live.at) == key);
    here.then_some(page)
}

/// What the state database says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Everything in the ledger before this point is in the database.
    pub through: Position,
    /// Records of the segment before that point.
    pub records: u32,
    /// Live messages.
    pub count: u64,
    /// Sum of [`fingerprint`] over all pages, in any order.
    pub digest: u64,
}

/// A value as it is stored: version, checksum over key and rest, postcard.
#[must_use]
pub fn encode<T: Serialize>(key: &[u8], value: &T) -> Option<Vec<u8>> {
    let mut out = vec![PRESENT, 0, 0, 0, 0];
    out = postcard::to_extend(value, out).ok()?;
    let checksum = checksum(key, &out[5..]);
    out[1..5].copy_from_slice(&checksum.to_le_bytes());
    Some(out)
}

/// Reads a value; `None` if it is damaged or of a version that nobody wrote.
#[must_use]
pub fn decode<T: Kept>(key: &[u8], octets: &[u8]) -> Option<T> {
    let (front, rest) = octets.split_at_checked(5)?;
    if front[1..] != checksum(key, rest).to_le_bytes() {
        return None;
    }
    T::read(front[0], rest)
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(rest);
    hasher.finalize()
}

/// Sixty-four bits that stand for one page in the digest of all.
#[must_use]
pub fn fingerprint(key: &[u8], octets: &[u8]) -> u64 {
    let sum = |octets: &[u8]| octets.iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
    let key = Chance::new(sum(key)).draw();
    Chance::new(key ^ sum(octets.get(1..5).unwrap_or_default())).draw()
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
        let key = page_of(Position { segment: 1, offset: 70_000 });
        assert_eq!(key, [0, 0, 0, 1, 0, 1]);
        assert_ne!(fingerprint(&key, &a), fingerprint(&key, &b));
        assert_ne!(fingerprint(&key, &a), fingerprint(&page_of(Position::default()), &a));
    }
}
