//! How much of today's allowance new addresses have used, by egress and provider.
//!
//! ```text
//! "PWU1" | length u16 | CRC-32 | postcard(Record) | length | ...
//! ```
//!
//! An append-only file, written at every message that leaves by an address that is warming up, and
//! begun anew on the next day (UTC). It is not synced: a crash of the daemon loses nothing, a power
//! cut may forget the last half minute, and an allowance is a custom and not a promise. What a
//! crash leaves unfinished is cut off.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;

/// The first octets of the file: name and version of the format.
const MAGIC: &[u8; 4] = b"PWU1";
/// The file is rewritten when it is longer than this.
const COMPACT_OCTETS: u64 = 4 * 1024 * 1024;
/// Pairs that are counted on one day; more providers share one account.
const PAIRS_MAX: usize = 50_000;
/// The account of those that are too many.
const OTHERS: &str = "*";
/// Length and checksum of a record.
const HEAD: usize = 6;

/// What one address has sent to one provider on a day, after this message.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    day: u32,
    egress: String,
    provider: String,
    used: u32,
}

/// The accounts of a day.
#[derive(Debug)]
pub struct Warmth {
    path: PathBuf,
    file: File,
    octets: u64,
    /// Days since 1970-01-01 (UTC).
    day: u32,
    used: BTreeMap<String, BTreeMap<String, u32>>,
    pairs: usize,
}

impl Warmth {
    /// Opens or creates the file at `path`; of its accounts those of `day` count.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(path: &Path, day: u32) -> Result<Self, Fault> {
        let fault = |cause| Fault::new("opening the warm-up accounts", path.display(), cause);
        let octets = match fs::read(path) {
            Ok(octets) => octets,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(fault(cause)),
        };
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(path).map_err(fault)?;
        let (path, used) = (path.to_owned(), BTreeMap::new());
        let mut warmth = Self { path, file, octets: 0, day, used, pairs: 0 };
        let mut good = 0;
        if octets.starts_with(MAGIC) {
            good = MAGIC.len();
            while let Some((record, length)) = record_at(&octets[good..]) {
                good += length;
                if record.day == day {
                    warmth.set(&record.egress, &record.provider, record.used);
                }
            }
        }
        warmth.file.set_len(good as u64).map_err(fault)?;
        if good == 0 {
            warmth.file.write_all(MAGIC).map_err(fault)?;
            good = MAGIC.len();
        }
        warmth.octets = good as u64;
        Ok(warmth)
    }

    /// Messages that `egress` has sent to `provider` on `day`.
    #[must_use]
    pub fn used(&self, egress: &str, provider: &str, day: u32) -> u32 {
        if day != self.day {
            return 0;
        }
        let Some(accounts) = self.used.get(egress) else { return 0 };
        let own = accounts.get(provider);
        let full = || accounts.get(OTHERS).filter(|_| self.pairs >= PAIRS_MAX);
        own.or_else(full).copied().unwrap_or(0)
    }

    /// What `egress` has sent on `day`: messages to all providers, and the provider that had most
    /// with its number.
    #[must_use]
    pub fn sums(&self, egress: &str, day: u32) -> (u64, Option<(&str, u32)>) {
        let accounts = self.used.get(egress).filter(|_| day == self.day);
        let all = accounts.into_iter().flatten();
        let total = all.clone().map(|(_, used)| u64::from(*used)).sum();
        (total, all.max_by_key(|(_, used)| **used).map(|(name, used)| (name.as_str(), *used)))
    }

    /// Counts a message; false if `allowance` is used up. The count stands in memory also when it
    /// could not be written.
    ///
    /// # Errors
    /// It could not be written: a restart would forget it.
    pub fn spend(
        &mut self,
        egress: &str,
        provider: &str,
        day: u32,
        allowance: u32,
    ) -> Result<bool, Fault> {
        let begun = self.turn_page(day);
        let used = self.used(egress, provider, day);
        if used >= allowance {
            return begun.map(|()| false);
        }
        self.book(egress, provider, used + 1)?;
        begun.map(|()| true)
    }

    /// The message did not leave after all.
    ///
    /// # Errors
    /// As [`Self::spend`].
    pub fn give_back(&mut self, egress: &str, provider: &str, day: u32) -> Result<(), Fault> {
        match self.used(egress, provider, day) {
            0 => Ok(()),
            used => self.book(egress, provider, used - 1),
        }
    }

    /// A new day begins with empty accounts.
    fn turn_page(&mut self, day: u32) -> Result<(), Fault> {
        if day == self.day {
            return Ok(());
        }
        (self.day, self.pairs) = (day, 0);
        self.used.clear();
        self.rewrite()
    }

    fn set(&mut self, egress: &str, provider: &str, used: u32) {
        let accounts = self.used.entry(egress.to_owned()).or_default();
        if let Some(account) = accounts.get_mut(provider) {
            *account = used;
        } else if self.pairs < PAIRS_MAX {
            accounts.insert(provider.to_owned(), used);
            self.pairs += 1;
        } else {
            accounts.insert(OTHERS.to_owned(), used);
        }
    }

    fn book(&mut self, egress: &str, provider: &str, used: u32) -> Result<(), Fault> {
        self.set(egress, provider, used);
        let known = self.used.get(egress).is_some_and(|all| all.contains_key(provider));
        let provider = if known { provider } else { OTHERS }.to_owned();
        let octets = frame(&Record { day: self.day, egress: egress.to_owned(), provider, used })?;
        if let Err(cause) = self.file.write_all(&octets) {
            let _ = self.file.set_len(self.octets);
            return Err(Fault::new("writing the warm-up accounts", self.path.display(), cause));
        }
        self.octets += octets.len() as u64;
        if self.octets > COMPACT_OCTETS { self.rewrite() } else { Ok(()) }
    }

    fn rewrite(&mut self) -> Result<(), Fault> {
        let fault = |cause| Fault::new("writing the warm-up accounts", self.path.display(), cause);
        let mut octets = MAGIC.to_vec();
        for (egress, accounts) in &self.used {
            for (provider, used) in accounts {
                let (egress, provider) = (egress.clone(), provider.clone());
                octets.extend(frame(&Record { day: self.day, egress, provider, used: *used })?);
            }
        }
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, &octets).and_then(|()| fs::rename(&fresh, &self.path)).map_err(fault)?;
        self.file = OpenOptions::new().append(true).open(&self.path).map_err(fault)?;
        self.octets = octets.len() as u64;
        Ok(())
    }
}

fn frame(record: &Record) -> Result<Vec<u8>, Fault> {
    let fault = |cause: &dyn std::fmt::Display| Fault::new("writing", "a warm-up account", cause);
    let body = postcard::to_stdvec(record).map_err(|error| fault(&error))?;
    let length = u16::try_from(body.len()).map_err(|error| fault(&error))?.to_le_bytes();
    let mut octets = length.to_vec();
    octets.extend(crc(length, &body).to_le_bytes());
    octets.extend(body);
    Ok(octets)
}

/// Begins with the name of the format, so that zeros are no record.
fn crc(length: [u8; 2], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [&MAGIC[..], &length, body] {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The record that begins here and the octets that it takes.
fn record_at(octets: &[u8]) -> Option<(Record, usize)> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let body = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
    if crc(*length, body) != u32::from_le_bytes(*sum) {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, HEAD + body.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("postern-warmth-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn an_allowance_is_not_exceeded_by_a_restart() {
        let path = path("restart");
        let mut warmth = Warmth::open(&path, 7).unwrap();
        assert!((0..3).all(|_| warmth.spend("new", "a.example", 7, 5).unwrap()));
        assert!(warmth.spend("new", "b.example", 7, 5).unwrap());
        drop(warmth);
        let mut warmth = Warmth::open(&path, 7).unwrap();
        assert_eq!(
            (warmth.used("new", "a.example", 7), warmth.used("old", "a.example", 7)),
            (3, 0)
        );
        assert_eq!(warmth.sums("new", 7), (4, Some(("a.example", 3))));
        assert!((0..2).all(|_| warmth.spend("new", "a.example", 7, 5).unwrap()));
        assert!(!warmth.spend("new", "a.example", 7, 5).unwrap());
        warmth.give_back("new", "a.example", 7).unwrap();
        drop(warmth);
        let mut warmth = Warmth::open(&path, 7).unwrap();
        assert!(warmth.spend("new", "a.example", 7, 5).unwrap());
        assert!(!warmth.spend("new", "a.example", 7, 5).unwrap());
        // Tomorrow is another day, also across a restart.
        assert!(warmth.spend("new", "a.example", 8, 5).unwrap());
        assert_eq!(warmth.used("new", "a.example", 8), 1);
        assert!(fs::metadata(&path).unwrap().len() < 100, "yesterday is forgotten");
        drop(warmth);
        assert_eq!(Warmth::open(&path, 8).unwrap().used("new", "a.example", 8), 1);
        assert_eq!(Warmth::open(&path, 9).unwrap().used("new", "a.example", 9), 0);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_a_crash_left_is_cut_off_and_the_file_stays_small() {
        let path = path("crash");
        let mut warmth = Warmth::open(&path, 7).unwrap();
        for _ in 0..3 {
            warmth.spend("new", "a.example", 7, 500_000).unwrap();
        }
        drop(warmth);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut warmth = Warmth::open(&path, 7).unwrap();
            let used = warmth.used("new", "a.example", 7);
            assert!(used <= 3);
            warmth.spend("new", "a.example", 7, 500_000).unwrap();
            drop(warmth);
            let again = Warmth::open(&path, 7).unwrap();
            assert_eq!(again.used("new", "a.example", 7), used + 1, "cut at {cut}");
        }
        let mut warmth = Warmth::open(&path, 7).unwrap();
        for _ in 0..200_000 {
            warmth.spend("new", "a.example", 7, 500_000).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= COMPACT_OCTETS);
        let used = warmth.used("new", "a.example", 7);
        drop(warmth);
        assert_eq!(Warmth::open(&path, 7).unwrap().used("new", "a.example", 7), used);
        fs::remove_file(&path).unwrap();
    }
}
