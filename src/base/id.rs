//! The queue id: the one name of a message in replies, journal, spool and reports.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use super::time::WallTime;

/// A ULID: 48 bits of wall clock in milliseconds and 80 bits of chance, sortable, 26 characters.
///
/// In formats for people (JSON) it is its text, in records a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u128);

impl QueueId {
    /// A new id from the time of acceptance and 80 bits of chance (the upper 48 are ignored).
    #[must_use]
    pub fn new(accepted: WallTime, chance: u128) -> Self {
        Self(u128::from(accepted.0) << 80 | (chance & ((1 << 80) - 1)))
    }

    /// The time of acceptance that the id carries.
    #[must_use]
    pub fn accepted(self) -> WallTime {
        WallTime(u64::try_from(self.0 >> 80).unwrap_or(u64::MAX))
    }

    /// The sixteen octets that stand in records; they sort as the ids do.
    #[must_use]
    pub fn octets(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id from its sixteen octets.
    #[must_use]
    pub fn from_octets(octets: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(octets))
    }
}

impl Serialize for QueueId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for QueueId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Ulid::from(self.0), f)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueId {
    type Err = NotAQueueId;

    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        Ulid::from_string(text).map(|ulid| Self(ulid.into())).map_err(|_| NotAQueueId)
    }
}

/// The text is not 26 characters of Crockford's base 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a queue id: 26 letters and digits are expected, as in the reply to DATA")]
pub struct NotAQueueId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_octets() {
        let id = QueueId::new(WallTime(1_790_000_000_123), 42);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(QueueId::from_octets(id.octets()), id);
        assert_eq!(id.accepted(), WallTime(1_790_000_000_123));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<QueueId>(&json).unwrap(), id);
        let record = postcard::to_stdvec(&id).unwrap();
        assert_eq!(postcard::from_bytes::<QueueId>(&record).unwrap(), id);
        assert_eq!("nonsense".parse::<QueueId>(), Err(NotAQueueId));
    }
}
