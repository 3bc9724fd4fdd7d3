//! The record of updates as its file holds it: JSON with the format's number and a checksum.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Standing};
use super::manifest::{Formats, Sha256};
use super::state::State;
use super::version::Version;
use crate::base::time::WallTime;

/// Octets of the file.
pub const RECORD_OCTETS_MAX: usize = 64 * 1024;

/// Versions whose formats are remembered: two slots and some history.
const KNOWN_MAX: usize = 4;

const FORMAT: u32 = 1;

/// How the last attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Which version, if it was known.
    pub version: Option<Version>,
    /// It ended as it should.
    pub good: bool,
    /// In words.
    pub text: String,
    /// When.
    pub at: WallTime,
}

/// Formats of a version that was here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The version.
    pub version: Version,
    /// The root hash of its slot, if it came by an update.
    pub root_hash: Option<Sha256>,
    /// Its formats.
    pub formats: Formats,
}

/// Everything that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Where the update stands.
    pub state: State,
    /// Nothing older is taken.
    pub floor: Option<Version>,
    /// A time that is over: the last at which this machine asked while a time server kept its
    /// clock, at a boot or for an update. 0: there was none.
    pub last_seen: WallTime,
    /// Formats of versions that were here, the latest last.
    pub known: Vec<Known>,
    /// How the last attempt ended.
    pub last: Option<Ending>,
}

impl Default for Record {
    fn default() -> Self {
        let (known, last_seen) = (Vec::new(), WallTime(0));
        Self { state: State::Idle, floor: None, last_seen, known, last: None }
    }
}

/// The file around the record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    format: u32,
    record: Record,
    sha256: Sha256,
}

/// Why a file is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record of updates is not whole: {0}")]
pub struct NoRecord(String);

impl Record {
    /// The record in the place of one that cannot be read, and `why` it cannot. The floor is not
    /// known any more: it is the version that runs, or, while that is on trial, the newest that
    /// was found good; so it may rise, and does not fall.
    #[must_use]
    pub fn anew(running: Known, entries: &[Entry], why: &str, at: WallTime) -> Self {
        let good = entries.iter().filter(|entry| entry.standing == Standing::Good);
        let good: Vec<&Version> = good.map(|entry| &entry.version).collect();
        let proven = good.contains(&&running.version) || good.is_empty();
        let newest = good.into_iter().max().filter(|_| !proven);
        let floor = Some(newest.unwrap_or(&running.version).clone());
        let last = Some(Ending { version: None, good: false, text: why.to_owned(), at });
        Self { floor, known: vec![running], last, ..Self::default() }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// It is not what was written.
    pub fn read(octets: &[u8]) -> Result<Self, NoRecord> {
        let envelope: Envelope =
            serde_json::from_slice(octets).map_err(|error| NoRecord(error.to_string()))?;
        if envelope.format != FORMAT {
            return Err(NoRecord(format!("format {} is not known", envelope.format)));
        }
        if checksum(&envelope.record) != envelope.sha256 {
            return Err(NoRecord("its checksum is wrong".to_owned()));
        }
        Ok(envelope.record)
    }

    /// The octets of the file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let envelope = Envelope { format: FORMAT, record: self.clone(), sha256: checksum(self) };
        let mut text = serde_json::to_string_pretty(&envelope).unwrap_or_default();
        text.push('\n');
        text.into_bytes()
    }

    /// Remembers the formats of a version.
    pub fn remember(&mut self, known: Known) {
        self.known.retain(|old| old.version != known.version);
        self.known.push(known);
        let many = self.known.len().saturating_sub(KNOWN_MAX);
        self.known.drain(..many);
    }

    /// What is remembered of a version.
    #[must_use]
    pub fn known(&self, version: &Version) -> Option<&Known> {
        self.known.iter().find(|known| known.version == *version)
    }

    /// Raises the floor; it never falls.
    pub fn raise_floor(&mut self, floor: &Version) {
        if self.floor.as_ref().is_none_or(|old| old < floor) {
            self.floor = Some(floor.clone());
        }
    }
}

fn checksum(record: &Record) -> Sha256 {
    Sha256::of(serde_json::to_string(record).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::release;
    use super::*;

    fn record() -> Record {
        let fetched = State::Idle.fetched(release("1.1.0")).unwrap();
        let mut record = Record { state: State::Fetched(fetched), ..Record::default() };
        for version in ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.1.0"] {
            let release = release(version);
            let (version, formats) = (release.version, release.formats);
            record.remember(Known { version, root_hash: Some(release.root_hash), formats });
        }
        record
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_not_otherwise() {
        let record = record();
        let octets = record.write();
        assert!(octets.len() < RECORD_OCTETS_MAX);
        assert_eq!(Record::read(&octets).unwrap(), record);
        for at in 0..octets.len() - 1 {
            let mut tampered = octets.clone();
            tampered[at] ^= 1;
            let read = Record::read(&tampered);
            // White space between tokens may change into nothing else.
            assert!(read.is_err() || read.unwrap() == record, "octet {at}");
            assert!(Record::read(&octets[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_record_that_is_lost_leaves_a_floor() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let floor = |running: &str, entries: &[(&str, Standing)]| {
            let release = release(running);
            let (version_known, formats) = (release.version, release.formats);
            let known = Known { version: version_known, root_hash: None, formats };
            let entries: Vec<Entry> = entries
                .iter()
                .map(|(text, standing)| Entry::new(&version(text), *standing))
                .collect();
            let record = Record::anew(known, &entries, "damaged", WallTime(7));
            assert!(record.known(&version(running)).is_some());
            assert_eq!(record.last.unwrap().text, "damaged");
            record.floor.unwrap().to_string()
        };
        let trial = Standing::Counted { left: 2, done: 1 };
        assert_eq!(
            floor("1.2.0", &[("1.1.0", Standing::Good), ("1.2.0", Standing::Good)]),
            "1.2.0"
        );
        assert_eq!(
            floor("1.1.0", &[("1.1.0", Standing::Good), ("1.2.0", Standing::Good)]),
            "1.1.0"
        );
        assert_eq!(floor("1.2.0", &[("1.1.0", Standing::Good), ("1.2.0", trial)]), "1.1.0");
        assert_eq!(floor("1.2.0", &[("1.2.0", trial)]), "1.2.0");
    }

    #[test]
    fn a_few_versions_are_remembered_and_the_floor_never_falls() {
        let mut record = record();
        let versions: Vec<String> = record.known.iter().map(|k| k.version.to_string()).collect();
        assert_eq!(versions, ["1.2.0", "1.3.0", "1.4.0", "1.1.0"]);
        record.raise_floor(&"1.2.0".parse().unwrap());
        record.raise_floor(&"1.1.0".parse().unwrap());
        assert_eq!(record.floor.unwrap().to_string(), "1.2.0");
    }
}
