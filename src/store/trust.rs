//! What is known about other people's TLS: policies of MTA-STS, TLS memory, counts for reports.
//!
//! ```text
//! key    'P' domain | 'M' domain | 'C' day u32 BE domain
//! value  version u8 | CRC-32 of version, key and body | postcard(record)
//! ```
//!
//! A database of its own, so that a hot queue cannot hurt it. The mail path never waits for it:
//! everything is read once at the start, and what changes is put on a shelf from which a thread
//! takes it once a second. A power cut loses that second: a policy is fetched again, a count is one
//! too low. A database that is damaged is moved aside; nothing here is worth a message.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::state::{Sled, State, StateError};
use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::mail::address::Domain;
use crate::outcome::tlsrpt::Counts;
use crate::route::sts::Policy;
use crate::route::trust::memory::Remembered;

/// The version of the records.
const VERSION: u8 = 1;

/// Octets of a value before its body.
const HEAD: usize = 5;

/// Values beyond this are not stored: sled is for small ones. The largest policy that was ever
/// seen has a tenth of it.
const VALUE_OCTETS_MAX: usize = 16 * 1024;

/// The beat at which changes are written.
const BEAT: Duration = Duration::from_secs(1);

/// A policy as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicy {
    /// The id that the domain's record had.
    pub id: String,
    /// When it was fetched.
    pub fetched: WallTime,
    /// Until when it holds.
    pub expires: WallTime,
    /// The policy.
    pub policy: Policy,
}

/// What was kept from earlier runs.
#[derive(Debug, Default)]
pub struct Kept {
    /// Policies by domain, expired ones included.
    pub policies: Vec<(Domain, KeptPolicy)>,
    /// TLS memory by recipient domain.
    pub memory: Vec<(Domain, Remembered)>,
    /// Counts by UTC day and recipient domain.
    pub counts: Vec<((u32, Domain), Counts)>,
    /// What was damaged and is gone.
    pub findings: Vec<String>,
}

/// The database.
#[derive(Debug)]
pub struct TrustStore {
    shelf: Arc<Shelf>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Shelf {
    state: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    closed: bool,
}

impl TrustStore {
    /// Opens the database in `folder` and reads it. A damaged one is moved aside and begun anew; on
    /// a full disk nothing is kept, and `findings` says so.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn open(folder: &Path) -> Result<(Self, Kept), Fault> {
        let mut kept = Kept::default();
        let db = open(folder, &mut kept);
        let shelf = Arc::new(Shelf::default());
        let (behind, path) = (shelf.clone(), folder.to_owned());
        let thread = std::thread::Builder::new()
            .name("trust".to_owned())
            .spawn(move || write_behind(&behind, db, &path))
            .map_err(|error| Fault::new("starting", "the writer of the TLS memory", error))?;
        Ok((Self { shelf, thread: Mutex::new(Some(thread)) }, kept))
    }

    /// Keeps a policy, or forgets it.
    pub fn put_policy(&self, domain: &Domain, policy: Option<&KeptPolicy>) {
        self.put(key(b'P', domain), policy);
    }

    /// Keeps the memory of a domain, or forgets it.
    pub fn put_memory(&self, domain: &Domain, memory: Option<&Remembered>) {
        self.put(key(b'M', domain), memory);
    }

    /// Keeps the counts of a day, or forgets them.
    pub fn put_counts(&self, day: u32, domain: &Domain, counts: Option<&Counts>) {
        self.put(counts_key(day, domain), counts);
    }

    /// Writes what waits, and closes the database; what is put later is lost.
    pub fn close(&self) {
        self.shelf.lock().closed = true;
        self.shelf.bell.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the writer was its own end; there is nothing left to save.
            let _ = thread.join();
        }
    }

    fn put<T: Serialize>(&self, key: Vec<u8>, record: Option<&T>) {
        let value = record.and_then(|record| frame(&key, record));
        let mut waiting = self.shelf.lock();
        waiting.changes.insert(key, value);
        self.shelf.bell.notify_one();
    }
}

impl Drop for TrustStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for changes, then a beat for more of them. The flag: nothing comes any more.
    fn take(&self) -> (BTreeMap<Vec<u8>, Option<Vec<u8>>>, bool) {
        let idle = |waiting: &mut Waiting| waiting.changes.is_empty() && !waiting.closed;
        let waiting = self.bell.wait_while(self.lock(), idle);
        drop(waiting);
        let open = |waiting: &mut Waiting| !waiting.closed;
        let waited = self.bell.wait_timeout_while(self.lock(), BEAT, open);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut waiting.changes), waiting.closed)
    }
}

fn write_behind(shelf: &Shelf, mut db: Option<Sled>, folder: &Path) {
    loop {
        let (changes, closed) = shelf.take();
        if !changes.is_empty() {
            let written = db.as_mut().map_or(Ok(()), |db| {
                db.apply(changes.into_iter().collect())?;
                db.flush()
            });
            if let Err(StateError::Broken(_)) = written {
                // The next start begins with an empty one, and says that it found the other.
                drop(db.take());
                db = set_aside(folder).ok().and_then(|_| Sled::open(folder).ok());
            }
        }
        if closed {
            return;
        }
    }
}

fn open(folder: &Path, kept: &mut Kept) -> Option<Sled> {
    let broken = match Sled::open(folder) {
        Ok(db) => match db.each(&mut |key, value| {
            kept.take(key, value);
            true
        }) {
            Ok(()) => return Some(db),
            Err(error) => {
                drop(db);
                *kept = Kept::default();
                error
            }
        },
        Err(error) => error,
    };
    if broken == StateError::Full {
        kept.findings.push("there is no room for the TLS memory; it is not kept".to_owned());
        return None;
    }
    let aside = match set_aside(folder) {
        Ok(aside) => aside,
        Err(error) => {
            kept.findings.push(format!("the TLS memory is damaged ({broken}) and stays: {error}"));
            return None;
        }
    };
    let aside = aside.display();
    kept.findings.push(format!("the TLS memory was damaged ({broken}) and moved to {aside}"));
    Sled::open(folder).ok()
}

/// Moves a damaged database out of the way; an older one that was moved goes.
fn set_aside(folder: &Path) -> std::io::Result<PathBuf> {
    let aside = folder.with_extension("damaged");
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(folder, &aside)?;
    Ok(aside)
}

impl Kept {
    fn take(&mut self, key: &[u8], value: &[u8]) {
        let good = match key.split_first() {
            Some((b'P', name)) => {
                domain(name).zip(read(key, value)).map(|known| self.policies.push(known))
            }
            Some((b'M', name)) => {
                domain(name).zip(read(key, value)).map(|known| self.memory.push(known))
            }
            Some((b'C', rest)) => {
                place(rest).zip(read(key, value)).map(|known| self.counts.push(known))
            }
            _ => None,
        };
        if good.is_none() {
            let key = String::from_utf8_lossy(key).into_owned();
            self.findings.push(format!("a record of the TLS memory is damaged: {key:?}"));
        }
    }
}

fn place(rest: &[u8]) -> Option<(u32, Domain)> {
    let (day, name) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*day), domain(name)?))
}

fn domain(name: &[u8]) -> Option<Domain> {
    Domain::parse(std::str::from_utf8(name).ok()?).ok()
}

fn key(kind: u8, domain: &Domain) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(domain.as_str().as_bytes());
    key
}

fn counts_key(day: u32, domain: &Domain) -> Vec<u8> {
    let mut key = vec![b'C'];
    key.extend_from_slice(&day.to_be_bytes());
    key.extend_from_slice(domain.as_str().as_bytes());
    key
}

/// None if the record is too large to be kept: then the key is removed.
fn frame<T: Serialize>(key: &[u8], record: &T) -> Option<Vec<u8>> {
    let body = postcard::to_stdvec(record).ok()?;
    let mut value = vec![VERSION];
    value.extend_from_slice(&sum(key, &body).to_le_bytes());
    value.extend_from_slice(&body);
    (value.len() <= VALUE_OCTETS_MAX).then_some(value)
}

fn read<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Option<T> {
    let (head, body) = value.split_at_checked(HEAD)?;
    let (version, checksum) = head.split_first()?;
    let checksum = u32::from_le_bytes(checksum.try_into().ok()?);
    if *version != VERSION || checksum != sum(key, body) {
        return None;
    }
    postcard::from_bytes(body).ok()
}

fn sum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[VERSION]);
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::trust::{Assurance, PolicySeen};
    use crate::outcome::tlsrpt::Session;
    use crate::route::sts::Mode;

    fn name(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn policy() -> KeptPolicy {
        KeptPolicy {
            id: "20260101".to_owned(),
            fetched: WallTime(1),
            expires: WallTime(2),
            policy: Policy {
                mode: Mode::Enforce,
                mx: vec!["*.there.example".to_owned()],
                max_age_secs: 86_400,
            },
        }
    }

    fn counts() -> Counts {
        let mut counts = Counts::default();
        counts.note(Session {
            policy: PolicySeen::none(),
            failure: None,
            sending: None,
            host: None,
            receiving: None,
        });
        counts
    }

    fn fill(folder: &Path) {
        let (store, kept) = TrustStore::open(folder).unwrap();
        assert_eq!(kept.findings, Vec::<String>::new());
        store.put_policy(&name("there.example"), Some(&policy()));
        store.put_policy(&name("gone.example"), Some(&policy()));
        store.put_policy(&name("gone.example"), None);
        let memory = Remembered::new(Assurance::Dane, WallTime(5));
        store.put_memory(&name("there.example"), Some(&memory));
        store.put_counts(7, &name("there.example"), Some(&counts()));
    }

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("trust");
        fill(&folder);
        let (_store, kept) = TrustStore::open(&folder).unwrap();
        assert_eq!(kept.findings, Vec::<String>::new());
        assert_eq!(kept.policies, [(name("there.example"), policy())]);
        assert_eq!(kept.memory[0].1.best, Assurance::Dane);
        assert_eq!(kept.counts, [((7, name("there.example")), counts())]);
    }

    #[test]
    fn a_record_that_was_changed_or_moved_is_left_out_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("trust");
        fill(&folder);
        let mut db = Sled::open(&folder).unwrap();
        let from = key(b'P', &name("there.example"));
        let mut value = db.get(&from).unwrap().unwrap();
        let moved = (key(b'P', &name("other.example")), Some(value.clone()));
        *value.last_mut().unwrap() ^= 1;
        db.apply(vec![(from, Some(value)), moved, (b"X".to_vec(), Some(vec![1]))]).unwrap();
        db.flush().unwrap();
        drop(db);
        let (_store, kept) = TrustStore::open(&folder).unwrap();
        assert_eq!(kept.findings.len(), 3, "{:?}", kept.findings);
        assert_eq!((kept.policies.len(), kept.memory.len(), kept.counts.len()), (0, 1, 1));
    }

    #[test]
    fn a_database_that_is_none_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("trust");
        std::fs::write(&folder, b"nonsense").unwrap();
        let (store, kept) = TrustStore::open(&folder).unwrap();
        assert_eq!(kept.findings.len(), 1, "{:?}", kept.findings);
        assert!(folder.with_extension("damaged").exists());
        store.put_policy(&name("there.example"), Some(&policy()));
        drop(store);
        assert_eq!(TrustStore::open(&folder).unwrap().1.policies.len(), 1);
    }

    #[test]
    fn a_value_that_is_too_large_for_sled_is_not_kept() {
        let large = "x".repeat(VALUE_OCTETS_MAX);
        assert_eq!(frame(b"k", &large), None);
        assert!(frame(b"k", &"x").is_some());
    }
}
