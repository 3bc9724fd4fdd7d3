//! The two clocks of the machine. Drivers read them here and hand the values down.

use std::sync::OnceLock;
use std::time::SystemTime;

use crate::base::time::{Instant, WallTime};

/// The monotonic clock, in microseconds since it was first read in this process.
#[must_use]
pub fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    Instant(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// The wall clock; the epoch itself if the machine believes that it is earlier.
#[must_use]
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_runs_backwards() {
        let (first, second) = (now(), now());
        assert!(second >= first);
        assert!(wall() > WallTime(1_700_000_000_000));
    }
}
