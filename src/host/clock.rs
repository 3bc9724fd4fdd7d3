//! The two clocks of the machine. Drivers read them here and hand the values down.

use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

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

/// How far the kernel says that the wall clock may be off; none: nobody keeps it.
///
/// # Errors
/// The kernel does not say, or the unit of this process may not ask it.
// JUSTIFICATION: the kernel's own word on its clock is had by this call alone.
#[allow(unsafe_code, reason = "adjtimex(2) has no safe wrapper in the crates of the house")]
pub fn bound() -> io::Result<Option<Duration>> {
    use nix::libc;
    // SAFETY: all fields are numbers, for which zero is a value.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: with no mode set the call only fills the structure, which lives until it returns.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ if answer == libc::TIME_ERROR || state.status & libc::STA_UNSYNC != 0 => Ok(None),
        _ => Ok(Some(Duration::from_micros(u64::try_from(state.maxerror).unwrap_or(0)))),
    }
}

/// Whether a time server keeps the wall clock, by the kernel's word. Who may not ask does not know
/// that it is kept.
#[must_use]
pub fn is_kept() -> bool {
    matches!(bound(), Ok(Some(_)))
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
