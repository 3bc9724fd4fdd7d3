//! TLS memory: how well the hosts of a domain were known, at best and lately.
//!
//! Nobody publishes that opportunistic TLS will go on; memory is what makes its loss visible, and,
//! where the configuration says so, what keeps mail from following it into clear text.

use serde::{Deserialize, Serialize};

use crate::base::limits::{TLS_ALARM_PAUSE, TLS_MEMORY_TRUST};
use crate::base::time::WallTime;
use crate::mail::trust::Assurance;

/// What is remembered of one recipient domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The best that was seen.
    pub best: Assurance,
    /// When it was seen last.
    pub best_at: WallTime,
    /// What was seen last.
    pub last: Assurance,
    /// When.
    pub last_at: WallTime,
    /// Since when every connection was encrypted; none if the last one was not.
    pub tls_since: Option<WallTime>,
    /// When an alarm was raised last.
    alarmed: Option<WallTime>,
}

/// A connection was worth less than what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Downgrade {
    /// The best that was seen.
    pub best: Assurance,
    /// When it was seen last.
    pub best_at: WallTime,
    /// What was seen now.
    pub found: Assurance,
}

impl Remembered {
    /// A domain that was met for the first time.
    #[must_use]
    pub fn new(found: Assurance, now: WallTime) -> Self {
        Self {
            best: found,
            best_at: now,
            last: found,
            last_at: now,
            tls_since: (found > Assurance::Clear).then_some(now),
            alarmed: None,
        }
    }

    /// Takes note of a connection; a downgrade is told once in a while, not for each message.
    ///
    /// What a domain has not shown for a month is not expected of it any more: a policy may be
    /// taken back for good.
    pub fn note(&mut self, found: Assurance, now: WallTime) -> Option<Downgrade> {
        let fell = self.warn(found, now);
        if found >= self.best || self.is_forgotten(now) {
            (self.best, self.best_at) = (found, now);
        }
        (self.last, self.last_at) = (found, now);
        self.tls_since =
            if found == Assurance::Clear { None } else { self.tls_since.or(Some(now)) };
        fell
    }

    /// A connection would have been worth this much, and nothing was sent over it: told as
    /// [`Self::note`] tells it, and nothing else is remembered.
    pub fn warn(&mut self, found: Assurance, now: WallTime) -> Option<Downgrade> {
        let quiet = self.alarmed.is_some_and(|at| now.since(at) < TLS_ALARM_PAUSE);
        if quiet || self.is_forgotten(now) || !is_downgrade(self.best, found) {
            return None;
        }
        self.alarmed = Some(now);
        Some(Downgrade { best: self.best, best_at: self.best_at, found })
    }

    /// What has not been seen for a month is not expected.
    fn is_forgotten(&self, now: WallTime) -> bool {
        now.since(self.best_at) > TLS_MEMORY_TRUST
    }

    /// Whether the domain has spoken TLS without exception, and for so long, that its loss is more
    /// likely an attack than a change of mind.
    #[must_use]
    pub fn is_relied_on(&self) -> bool {
        self.tls_since.is_some_and(|since| self.last_at.since(since) >= TLS_MEMORY_TRUST)
    }
}

/// Clear text where there was TLS, or no policy where one was met. A certificate that authorities
/// vouch for without a policy is a fact and not a promise: losing it is no alarm.
fn is_downgrade(best: Assurance, found: Assurance) -> bool {
    let promised = best >= Assurance::MtaSts && found < Assurance::MtaSts;
    promised || (best > Assurance::Clear && found == Assurance::Clear)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(days: u32) -> WallTime {
        WallTime(1_790_000_000_000).after(DAY * days)
    }

    #[test]
    fn less_than_was_promised_is_told_once_an_hour() {
        use Assurance::{Clear, Dane, Encrypted, MtaSts, Verified};
        for (best, found, alarm) in [
            (Clear, Clear, false),
            (Clear, Dane, false),
            (Encrypted, Clear, true),
            (Encrypted, Encrypted, false),
            (Verified, Encrypted, false),
            (Verified, Clear, true),
            (MtaSts, Verified, true),
            (MtaSts, Dane, false),
            (Dane, MtaSts, false),
            (Dane, Encrypted, true),
            (Dane, Clear, true),
        ] {
            let mut memory = Remembered::new(best, at(0));
            let told = memory.note(found, at(1));
            assert_eq!(told.is_some(), alarm, "{best} {found}");
            assert_eq!(memory.best, best.max(found));
            if alarm {
                assert_eq!(told, Some(Downgrade { best, best_at: at(0), found }));
                assert_eq!(memory.note(found, at(1).after(Duration::from_secs(3599))), None);
                assert!(memory.note(found, at(1).after(Duration::from_secs(3600))).is_some());
            }
        }
    }

    #[test]
    fn what_was_not_seen_for_a_month_is_not_expected() {
        let mut memory = Remembered::new(Assurance::Dane, at(0));
        assert!(memory.note(Assurance::Encrypted, at(30)).is_some());
        assert_eq!(memory.best, Assurance::Dane);
        assert_eq!(memory.note(Assurance::Encrypted, at(31)), None);
        assert_eq!((memory.best, memory.best_at), (Assurance::Encrypted, at(31)));
    }

    #[test]
    fn a_connection_that_was_not_used_is_told_and_changes_nothing() {
        let mut memory = Remembered::new(Assurance::MtaSts, at(0));
        let fell = Downgrade { best: Assurance::MtaSts, best_at: at(0), found: Assurance::Clear };
        assert_eq!(memory.warn(Assurance::Clear, at(1)), Some(fell));
        assert_eq!(memory.warn(Assurance::Clear, at(1)), None);
        assert_eq!((memory.last, memory.tls_since), (Assurance::MtaSts, Some(at(0))));
        assert_eq!(memory.warn(Assurance::Clear, at(31)), None);
    }

    #[test]
    fn a_month_of_tls_is_relied_on_and_one_clear_connection_ends_it() {
        let mut memory = Remembered::new(Assurance::Encrypted, at(0));
        assert!(!memory.is_relied_on());
        memory.note(Assurance::Verified, at(29));
        assert!(!memory.is_relied_on());
        memory.note(Assurance::Encrypted, at(30));
        assert!(memory.is_relied_on());
        memory.note(Assurance::Clear, at(31));
        assert!(!memory.is_relied_on());
        memory.note(Assurance::Encrypted, at(32));
        assert!(!memory.is_relied_on());
    }
}
