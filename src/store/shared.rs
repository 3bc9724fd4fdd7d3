//! What the threads of the spool share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::disk::Disk;
use super::fresh::Fresh;
use super::gauge::{Gauge, Health};
use super::segment::Segment;
use crate::config::checked::SpoolConfig;
use crate::event::Event;
use crate::spool::index::Index;
use crate::spool::record::Position;

/// Where facts go.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// The index and the point of the ledger up to which it is true.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) index: Index,
    pub(super) through: Position,
    pub(super) records: u32,
}

/// One spool, as its threads see it.
pub(super) struct Shared {
    pub(super) config: SpoolConfig,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) tell: Tell,
    pub(super) gauge: Gauge,
    pub(super) applied: Mutex<Applied>,
    pub(super) fresh: Mutex<Fresh>,
    pub(super) segments: Mutex<BTreeMap<u32, Segment>>,
    /// The oldest segment that is still needed.
    pub(super) floor: AtomicU32,
    pub(super) bell: Bell,
    /// The reserve is on disk.
    pub(super) ballast: AtomicBool,
    /// Why the ledger failed, for everyone who must know.
    pub(super) failure: watch::Sender<Option<String>>,
    told: Mutex<Health>,
}

/// Locks; a thread that panicked while it held the lock leaves data that are still whole, because
/// nothing here is changed in two steps that can panic in between.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(config: SpoolConfig, disk: Arc<dyn Disk>, tell: Tell) -> Self {
        let applied =
            Applied { index: Index::recovering(), through: Position::default(), records: 0 };
        Self {
            gauge: Gauge::new(&config),
            config,
            disk,
            tell,
            applied: Mutex::new(applied),
            fresh: Mutex::default(),
            segments: Mutex::default(),
            floor: AtomicU32::new(0),
            bell: Bell::default(),
            ballast: AtomicBool::new(false),
            failure: watch::Sender::default(),
            told: Mutex::new(Health::Open),
        }
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.config.path.join("ledger")
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.config.path.join("quarantine")
    }

    pub(super) fn ballast_path(&self) -> PathBuf {
        self.config.path.join("ballast")
    }

    /// Asks the file system how much room there is, and tells when the answer changes things.
    pub(super) fn measure(&self) {
        if let Ok(free) = self.disk.free_octets(&self.config.path) {
            self.gauge.measured(free);
        }
        self.tell_health();
    }

    /// Tells when health is another than at the last time.
    pub(super) fn tell_health(&self) {
        let health = self.gauge.health();
        let mut told = lock(&self.told);
        if *told == health {
            return;
        }
        *told = health;
        drop(told);
        (self.tell)(Event::SpoolPressureChanged {
            state: health.as_str().to_owned(),
            free_octets: self.gauge.free_octets(),
            sync_micros: self.gauge.sync_micros(),
        });
    }

    /// The ledger failed for good.
    pub(super) fn latch(&self, reason: &str) {
        if self.gauge.latch(reason) {
            (self.tell)(Event::SpoolLatched { reason: reason.to_owned() });
            self.failure.send_replace(Some(reason.to_owned()));
            self.bell.ring();
        }
    }

    /// Gives the reserve up. Returns whether there was one.
    pub(super) fn give_up_ballast(&self) -> bool {
        self.ballast.swap(false, Relaxed) && self.disk.unlink(&self.ballast_path()).is_ok()
    }

    /// Takes the reserve (again), if there is plenty of room for it.
    pub(super) fn take_ballast(&self) {
        let octets = self.config.ballast_octets;
        let wanted = octets.saturating_mul(2).saturating_add(self.config.free_octets_min);
        if octets == 0 || self.ballast.load(Relaxed) || self.gauge.free_octets() < wanted {
            return;
        }
        self.allocate_ballast(octets);
    }

    /// Takes a part of the reserve, so that a spool that is closed on a full disk can be opened
    /// and drained although others fill the disk meanwhile.
    pub(super) fn take_some_ballast(&self) {
        let mut octets = self.config.ballast_octets;
        while octets >= BALLAST_PART_OCTETS && !self.ballast.load(Relaxed) {
            self.allocate_ballast(octets);
            octets /= 2;
        }
    }

    fn allocate_ballast(&self, octets: u64) {
        let path = self.ballast_path();
        let _ = self.disk.unlink(&path);
        let taken = self.disk.create(&path).and_then(|file| self.disk.allocate(&file, 0, octets));
        match taken {
            Ok(()) => self.ballast.store(true, Relaxed),
            Err(_) => drop(self.disk.unlink(&path)),
        }
    }
}

/// The smallest reserve that is worth a file: outcomes of ten thousand recipients.
const BALLAST_PART_OCTETS: u64 = 256 * 1024;

/// Wakes the keeper.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    condvar: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rung {
    pub(super) work: bool,
    pub(super) close: bool,
}

impl Bell {
    pub(super) fn ring(&self) {
        let mut state = lock(&self.state);
        if !state.work {
            state.work = true;
            self.condvar.notify_all();
        }
    }

    pub(super) fn close(&self) {
        lock(&self.state).close = true;
        self.condvar.notify_all();
    }

    /// Waits for work (or for `patience`), then for the rest of a beat unless it is time to close.
    pub(super) fn wait(&self, patience: Option<Duration>, beat: Duration) -> Rung {
        let mut state = lock(&self.state);
        while !state.work && !state.close {
            state = match patience {
                None => self.condvar.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.condvar.wait_timeout(state, patience);
                    let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return *state;
                    }
                    state
                }
            };
        }
        let until = std::time::Instant::now() + beat;
        while !state.close {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.condvar.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let rung = *state;
        state.work = false;
        rung
    }

    pub(super) fn is_closing(&self) -> bool {
        lock(&self.state).close
    }
}
