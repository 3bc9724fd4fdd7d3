//! sled behind a door of five methods. It follows the ledger; whatever it loses is read again
//! from there.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::base::limits::STATE_CACHE_OCTETS;

/// The state database failed; it will be set aside and rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StateError {
    /// There is no room for it; it may be whole.
    #[error("no room for the state database")]
    Full,
    /// It is not to be trusted.
    #[error("{0}")]
    Broken(String),
}

/// Pairs to put, and keys to remove.
pub(super) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What the keeper needs of a database.
pub(super) trait State: Send {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// Applies changes together.
    fn apply(&mut self, changes: Changes) -> Result<(), StateError>;
    /// Shows every pair until `each` returns false.
    fn each(&self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError>;
    /// Hands what was applied to the operating system, and asks it to write.
    fn flush(&mut self) -> Result<(), StateError>;
    /// Octets on disk.
    fn octets(&self) -> u64;
}

/// sled 0.34.
pub(super) struct Sled {
    db: Option<sled::Db>,
    path: PathBuf,
}

impl Sled {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let db = guard(|| {
            sled::Config::new()
                .path(path)
                .cache_capacity(STATE_CACHE_OCTETS)
                .flush_every_ms(None)
                .mode(sled::Mode::LowSpace)
                .open()
        })?;
        Ok(Self { db: Some(db), path: path.to_owned() })
    }

    fn db(&self) -> Result<&sled::Db, StateError> {
        self.db.as_ref().ok_or_else(|| StateError::Broken("the state database is closed".into()))
    }
}

impl State for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let db = self.db()?;
        guard(|| Ok(db.get(key)?.map(|value| value.to_vec())))
    }

    fn apply(&mut self, changes: Changes) -> Result<(), StateError> {
        let db = self.db()?;
        guard(|| {
            let mut batch = sled::Batch::default();
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            db.apply_batch(batch)
        })
    }

    fn each(&self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError> {
        let db = self.db()?;
        guard(|| {
            for pair in db.iter() {
                let (key, value) = pair?;
                if !each(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn flush(&mut self) -> Result<(), StateError> {
        let db = self.db()?;
        guard(|| db.flush())?;
        // sled's own flush ends in sync_file_range, which no power cut respects.
        for name in ["db", "conf"] {
            if let Ok(file) = File::open(self.path.join(name)) {
                file.sync_data().map_err(|error| StateError::Broken(error.to_string()))?;
            }
        }
        Ok(())
    }

    fn octets(&self) -> u64 {
        self.db.as_ref().map_or(0, |db| guard(|| db.size_on_disk()).unwrap_or(0))
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        // Closing writes, and may panic where writing did.
        let db = self.db.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(db))));
    }
}

/// Runs something of sled; a panic inside it is an error like any other.
fn guard<T>(run: impl FnOnce() -> sled::Result<T>) -> Result<T, StateError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) if super::disk::is_full(&error) => Err(StateError::Full),
        Ok(Err(error)) => Err(StateError::Broken(error.to_string())),
        Err(_) => Err(StateError::Broken("sled panicked".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_closing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut state = Sled::open(&path).unwrap();
        let changes = vec![(b"a".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), None)];
        state.apply(changes).unwrap();
        state.flush().unwrap();
        drop(state);
        let state = Sled::open(&path).unwrap();
        assert_eq!(state.get(b"a").unwrap().as_deref(), Some(b"1".as_slice()));
        let mut seen = 0;
        state
            .each(&mut |_, _| {
                seen += 1;
                true
            })
            .unwrap();
        assert_eq!(seen, 1);
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = guard(|| -> sled::Result<()> { std::panic::panic_any(1) });
        assert_eq!(error, Err(StateError::Broken("sled panicked".into())));
    }
}
