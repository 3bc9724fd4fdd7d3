//! Two clocks that must never be confused: a monotonic one for waiting, a wall clock for stamps.
//!
//! **Invariant:** no function here reads a clock. Drivers (floor 5) make the values; everything
//! below receives them, so that a simulation can jump.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock, in microseconds since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The point `wait` later; saturates at the end of time.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A point on the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct WallTime(pub u64);

impl WallTime {
    /// The stamp `wait` later; saturates.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since the epoch, as DKIM's `t=` and `x=` count them (RFC 6376 3.5).
    #[must_use]
    pub fn unix_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The date as RFC 5322 3.3 writes it, in UTC.
    #[must_use]
    pub fn rfc5322(self) -> String {
        self.zoned().map_or_else(
            || "Thu, 01 Jan 1970 00:00:00 +0000".to_owned(),
            |zoned| zoned.strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
        )
    }

    /// The date as RFC 3339 writes it, in UTC, with milliseconds.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.zoned().map_or_else(
            || "1970-01-01T00:00:00.000Z".to_owned(),
            |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        )
    }

    /// Reads a date and time as RFC 3339 writes it, with an offset or `Z`; none before 1970.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let stamp: jiff::Timestamp = text.trim().parse().ok()?;
        u64::try_from(stamp.as_millisecond()).ok().map(Self)
    }

    fn zoned(self) -> Option<jiff::Zoned> {
        let millis = i64::try_from(self.0).ok()?;
        let stamp = jiff::Timestamp::from_millisecond(millis).ok()?;
        Some(stamp.to_zoned(jiff::tz::TimeZone::UTC))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_standards_ask() {
        let stamp = WallTime(1_790_000_000_123);
        assert_eq!(stamp.rfc5322(), "Mon, 21 Sep 2026 14:13:20 +0000");
        assert_eq!(stamp.rfc3339(), "2026-09-21T14:13:20.123Z");
        assert_eq!(stamp.unix_secs(), 1_790_000_000);
        assert_eq!(WallTime::parse_rfc3339(&stamp.rfc3339()), Some(stamp));
        assert_eq!(WallTime::parse_rfc3339("2026-09-21T16:13:20.123+02:00"), Some(stamp));
        assert_eq!(WallTime::parse_rfc3339("tomorrow"), None);
    }

    #[test]
    fn time_never_runs_backwards() {
        assert_eq!(Instant(5).since(Instant(9)), Duration::ZERO);
        assert_eq!(WallTime(u64::MAX).after(Duration::from_secs(1)), WallTime(u64::MAX));
    }
}
