//! Messages that may be the reason why the process, or a carrier, died.
//!
//! ```text
//! in hand at a first death ─► suspect: delivered one at a time ─► in hand at a second ─► set aside
//!                                                              └► sent: no suspect any more
//! ```
//!
//! Alone, because at a first death hundreds are in hand and all but one are innocent. A kill or a
//! power cut makes no suspects.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::host::last_words::{self, Held};

/// Deaths after which a message is set aside.
const DEATHS_MAX: u32 = 2;

/// Why it is set aside, for the journal.
pub(super) const REASON: &str = "it was in hand at two crashes";

/// The suspects.
#[derive(Debug)]
pub struct Suspects {
    list: PathBuf,
    deaths: Mutex<BTreeMap<QueueId, u32>>,
    /// Spares the lock while there are none, which is nearly always.
    any: AtomicBool,
    alone: Arc<tokio::sync::Mutex<()>>,
}

/// A message in a carrier's hands.
#[derive(Debug)]
pub struct InHand {
    /// The message.
    pub id: QueueId,
    _held: Option<Held>,
    _alone: Option<OwnedMutexGuard<()>>,
}

impl Suspects {
    /// Reads what an earlier run left in `folder`, and sees to it that this one leaves something;
    /// if that cannot be had (a full disk), mail is carried without it.
    pub fn open(folder: &Path) -> (Self, Result<(), Fault>) {
        let (words, list) = (folder.join("last-words"), folder.join("suspects"));
        let fault = |cause| Fault::new("preparing for a crash in", folder.display(), cause);
        let mut deaths = read_list(&fs::read_to_string(&list).unwrap_or_default());
        for id in last_words::read(&fs::read(&words).unwrap_or_default()) {
            *deaths.entry(id).or_default() += 1;
        }
        let any = AtomicBool::new(!deaths.is_empty());
        let suspects = Self { list, deaths: Mutex::new(deaths), any, alone: Arc::default() };
        // First the list, then the words are forgotten: a death in between counts twice at most.
        suspects.write(&suspects.deaths());
        let prepared = File::create(&words).map_err(fault).and_then(last_words::write_on_abort);
        (suspects, prepared)
    }

    fn deaths(&self) -> MutexGuard<'_, BTreeMap<QueueId, u32>> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without the list a suspect has one more death to its credit: not worth an error.
    fn write(&self, deaths: &BTreeMap<QueueId, u32>) {
        if deaths.is_empty() {
            let _ = fs::remove_file(&self.list);
            return;
        }
        let mut text = String::new();
        for (id, count) in deaths {
            let _ = writeln!(text, "{id} {count}");
        }
        let beside = self.list.with_extension("new");
        let _ = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.list));
    }

    /// Whether a message has had its last chance.
    #[must_use]
    pub fn is_guilty(&self, id: QueueId) -> bool {
        self.count(id) >= DEATHS_MAX
    }

    fn count(&self, id: QueueId) -> u32 {
        if !self.any.load(Ordering::Relaxed) {
            return 0;
        }
        self.deaths().get(&id).copied().unwrap_or(0)
    }

    /// Takes a message in hand; a suspect waits until no other one is.
    pub async fn take(&self, id: QueueId) -> InHand {
        let alone = match self.count(id) {
            0 => None,
            _ => Some(Arc::clone(&self.alone).lock_owned().await),
        };
        InHand { id, _held: last_words::hold(id), _alone: alone }
    }

    /// A message has come through, or is gone.
    pub fn clear(&self, id: QueueId) {
        if self.count(id) == 0 {
            return;
        }
        let mut deaths = self.deaths();
        deaths.remove(&id);
        self.any.store(!deaths.is_empty(), Ordering::Relaxed);
        self.write(&deaths);
    }

    /// Forgets everyone who is not `stored` any more.
    pub fn retain(&self, stored: impl Fn(QueueId) -> bool) {
        let mut deaths = self.deaths();
        let before = deaths.len();
        deaths.retain(|id, _| stored(*id));
        if deaths.len() < before {
            self.any.store(!deaths.is_empty(), Ordering::Relaxed);
            self.write(&deaths);
        }
    }

    /// A carrier died with a message in hand. Whether that was its last chance.
    pub fn died(&self, id: QueueId) -> bool {
        let mut deaths = self.deaths();
        let count = deaths.entry(id).or_default();
        *count += 1;
        let guilty = *count >= DEATHS_MAX;
        self.any.store(true, Ordering::Relaxed);
        self.write(&deaths);
        guilty
    }
}

fn read_list(text: &str) -> BTreeMap<QueueId, u32> {
    let entry = |line: &str| {
        let (id, count) = line.split_once(' ')?;
        Some((id.parse().ok()?, count.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_deaths_are_one_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [QueueId(1 << 80), QueueId(2 << 80)];
        let die = |ids: &[QueueId]| {
            let words: Vec<u8> = ids.iter().flat_map(|id| id.octets()).collect();
            fs::write(folder.path().join("last-words"), words).unwrap();
        };
        die(&[one, other]);
        let suspects = Suspects::open(folder.path()).0;
        assert!(!suspects.is_guilty(one) && !suspects.is_guilty(other));
        let first = suspects.take(one).await;
        let second = suspects.take(other);
        tokio::pin!(second);
        assert!(futures_util::poll!(second.as_mut()).is_pending(), "two suspects at a time");
        drop(first);
        drop(second.await);
        suspects.clear(other);
        die(&[one, other]);
        let suspects = Suspects::open(folder.path()).0;
        assert!(suspects.is_guilty(one) && !suspects.is_guilty(other));
        suspects.clear(one);
        suspects.clear(other);
        assert!(!suspects.died(one) && suspects.died(one));
        suspects.clear(one);
        // A kill leaves no words, and no suspects.
        let suspects = Suspects::open(folder.path()).0;
        assert!(!suspects.any.load(Ordering::Relaxed));
    }
}
