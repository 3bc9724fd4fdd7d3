//! How the disk does: free room, time of a sync, and whether it failed for good.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::checked::SpoolConfig;

/// Without a sync for this long, a slow disk gets another chance.
const SLOW_REST: Duration = Duration::from_secs(1);

/// What the gate may promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// New mail is welcome.
    Open,
    /// No room: new mail hears 452 4.3.1; what is stored is delivered.
    Full,
    /// Syncs take too long: new mail hears 452 4.3.1 for a moment.
    Slow,
    /// The ledger failed: nothing is accepted, nothing delivered, until a restart.
    Latched,
}

impl Health {
    /// Its name in facts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Full => "full",
            Self::Slow => "slow",
            Self::Latched => "latched",
        }
    }
}

/// Figures that every thread may read.
#[derive(Debug)]
pub(super) struct Gauge {
    start: Instant,
    free_octets_min: u64,
    sync_slow_micros: u64,
    full: AtomicBool,
    free_octets: AtomicU64,
    sync_micros: AtomicU64,
    last_sync_micros: AtomicU64,
    latched: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl Gauge {
    pub(super) fn new(config: &SpoolConfig) -> Self {
        Self {
            start: Instant::now(),
            free_octets_min: config.free_octets_min,
            sync_slow_micros: micros(config.sync_slow),
            full: AtomicBool::new(false),
            free_octets: AtomicU64::new(u64::MAX),
            sync_micros: AtomicU64::new(0),
            last_sync_micros: AtomicU64::new(0),
            latched: AtomicBool::new(false),
            reason: Mutex::new(None),
        }
    }

    pub(super) fn health(&self) -> Health {
        if self.latched.load(Relaxed) {
            Health::Latched
        } else if self.full.load(Relaxed) || self.free_octets() < self.free_octets_min {
            Health::Full
        } else if self.is_slow() {
            Health::Slow
        } else {
            Health::Open
        }
    }

    fn is_slow(&self) -> bool {
        self.sync_micros() > self.sync_slow_micros
            && self.since_sync().is_some_and(|since| since < SLOW_REST)
    }

    /// A sync took `took`: the average moves by an eighth, as a smoothed round trip does.
    pub(super) fn synced(&self, took: Duration) {
        let (old, new) = (self.sync_micros(), micros(took));
        let average = if old == 0 { new } else { old - old / 8 + new / 8 };
        self.sync_micros.store(average, Relaxed);
        self.last_sync_micros.store(micros(self.start.elapsed()).max(1), Relaxed);
    }

    /// Time since the last sync; `None` before the first.
    pub(super) fn since_sync(&self) -> Option<Duration> {
        let last = self.last_sync_micros.load(Relaxed);
        let now = micros(self.start.elapsed());
        (last != 0).then(|| Duration::from_micros(now.saturating_sub(last)))
    }

    pub(super) fn sync_micros(&self) -> u64 {
        self.sync_micros.load(Relaxed)
    }

    pub(super) fn free_octets(&self) -> u64 {
        self.free_octets.load(Relaxed)
    }

    pub(super) fn measured(&self, free_octets: u64) {
        self.free_octets.store(free_octets, Relaxed);
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    /// Latches; returns whether this was the first time.
    pub(super) fn latch(&self, reason: &str) -> bool {
        let mut held = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let first = held.is_none();
        if first {
            *held = Some(reason.to_owned());
        }
        self.latched.store(true, Relaxed);
        first
    }

    pub(super) fn is_latched(&self) -> bool {
        self.latched.load(Relaxed)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge() -> Gauge {
        Gauge::new(&SpoolConfig {
            path: std::path::PathBuf::new(),
            ballast_octets: 0,
            free_octets_min: 1000,
            sync_slow: Duration::from_millis(100),
        })
    }

    #[test]
    fn the_worst_news_is_told() {
        let gauge = gauge();
        assert_eq!(gauge.health(), Health::Open);
        gauge.synced(Duration::from_secs(1));
        assert_eq!(gauge.health(), Health::Slow);
        gauge.measured(999);
        assert_eq!(gauge.health(), Health::Full);
        assert!(gauge.latch("EIO"));
        assert!(!gauge.latch("again"));
        assert_eq!(gauge.health(), Health::Latched);
    }

    #[test]
    fn a_slow_disk_gets_another_chance() {
        let gauge = gauge();
        gauge.synced(Duration::from_secs(1));
        gauge.last_sync_micros.store(0, Relaxed);
        assert_eq!(gauge.health(), Health::Open);
    }
}
