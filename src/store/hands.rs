//! Which messages are in somebody's hands right now, in a file that outlives the process (not the
//! power): what was in hand at two crashes is suspected to be the cause.
//!
//! A mark is one small write without a sync. Only work that a message's octets could bring down
//! (parsing, scanning, reporting) is worth a mark; waiting for a peer is not.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::shared::lock;
use crate::base::id::QueueId;
use crate::base::limits::{IN_HAND_MAX, SUSPECTS_MAX};

/// Octets of a mark: the id.
const MARK_OCTETS: usize = 16;
/// Octets of a suspect: the id and how many crashes it saw.
const SUSPECT_OCTETS: usize = 17;

/// The marks of this process.
#[derive(Debug)]
pub(super) struct Hands {
    file: File,
    free: Mutex<Vec<u16>>,
}

/// A message is in hand until this is dropped.
#[derive(Debug)]
pub struct InHand {
    hands: Arc<Hands>,
    slot: Option<u16>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.hands.write(slot, QueueId(0));
            lock(&self.hands.free).push(slot);
        }
    }
}

impl Hands {
    /// Reads what an earlier process had in hand when it ended, adds it to the suspects, and
    /// begins with empty hands.
    pub(super) fn open(folder: &Path) -> std::io::Result<(Self, Vec<(QueueId, u8)>)> {
        let path = folder.join("hands");
        let held = std::fs::read(&path).unwrap_or_default();
        let mut held: Vec<_> = held.chunks_exact(MARK_OCTETS).filter_map(id).collect();
        held.sort_unstable();
        held.dedup();
        let mut suspects = read_suspects(folder);
        for id in held {
            match suspects.iter_mut().find(|(suspect, _)| *suspect == id) {
                Some((_, crashes)) => *crashes = crashes.saturating_add(1),
                None => suspects.push((id, 1)),
            }
        }
        let excess = suspects.len().saturating_sub(SUSPECTS_MAX);
        suspects.drain(..excess);
        // A full disk must not keep the spool closed: then the count starts anew.
        drop(write_suspects(folder, &suspects));
        let mut open = OpenOptions::new();
        let file = open.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let free = Mutex::new((0..IN_HAND_MAX).rev().collect());
        Ok((Self { file, free }, suspects))
    }

    pub(super) fn take(hands: &Arc<Self>, id: QueueId) -> InHand {
        let slot = lock(&hands.free).pop();
        if let Some(slot) = slot {
            hands.write(slot, id);
        }
        InHand { hands: Arc::clone(hands), slot }
    }

    fn write(&self, slot: u16, id: QueueId) {
        let at = u64::from(slot) * MARK_OCTETS as u64;
        drop(self.file.write_all_at(&id.octets(), at));
    }
}

fn id(octets: &[u8]) -> Option<QueueId> {
    let id = QueueId::from_octets(octets.try_into().ok()?);
    (id.0 != 0).then_some(id)
}

fn read_suspects(folder: &Path) -> Vec<(QueueId, u8)> {
    let octets = std::fs::read(folder.join("hands.suspects")).unwrap_or_default();
    let suspects = octets.chunks_exact(SUSPECT_OCTETS);
    suspects.filter_map(|one| Some((id(&one[..MARK_OCTETS])?, one[MARK_OCTETS]))).collect()
}

fn write_suspects(folder: &Path, suspects: &[(QueueId, u8)]) -> std::io::Result<()> {
    let path = folder.join("hands.suspects");
    if suspects.is_empty() {
        drop(std::fs::remove_file(path));
        return Ok(());
    }
    let mut octets = Vec::with_capacity(suspects.len() * SUSPECT_OCTETS);
    for (id, crashes) in suspects {
        octets.extend(id.octets());
        octets.push(*crashes);
    }
    let new = folder.join("hands.suspects.new");
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    open.open(&new)?.write_all(&octets)?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_at_two_crashes_is_counted_twice() {
        let folder = tempfile::tempdir().unwrap();
        for crash in 1..=2 {
            let (hands, _) = Hands::open(folder.path()).unwrap();
            let hands = Arc::new(hands);
            let poison = Hands::take(&hands, QueueId(7));
            drop(Hands::take(&hands, QueueId(8)));
            // The process ends here: nobody drops the mark.
            std::mem::forget(poison);
            let (_, suspects) = Hands::open(folder.path()).unwrap();
            assert_eq!(suspects, [(QueueId(7), crash)]);
        }
    }

    #[test]
    fn more_hands_than_marks_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let hands = Arc::new(Hands::open(folder.path()).unwrap().0);
        let all: Vec<_> =
            (1..=u128::from(IN_HAND_MAX) + 5).map(|id| Hands::take(&hands, QueueId(id))).collect();
        drop(all);
        assert_eq!(lock(&hands.free).len(), usize::from(IN_HAND_MAX));
        assert!(Hands::open(folder.path()).unwrap().1.is_empty());
    }
}
