//! What the last hour brought, from the counters of the process.
//!
//! Sixty slots of a minute each; a slot is emptied when its minute comes round again. Minutes are
//! told by the caller: nothing here reads a clock.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Event;
use crate::base::time::WallTime;

/// Minutes of an hour.
const SLOTS: usize = 60;

/// Sums of the last sixty minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHour {
    /// Messages accepted.
    pub accepted: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Attempts that ended in a deferral.
    pub deferred: u64,
    /// Transactions refused.
    pub refused: u64,
}

impl LastHour {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.deferred += other.deferred;
        self.refused += other.refused;
    }
}

/// The window.
#[derive(Debug)]
pub(super) struct Hour(Mutex<[(u64, LastHour); SLOTS]>);

impl Default for Hour {
    fn default() -> Self {
        Self(Mutex::new([(0, LastHour::default()); SLOTS]))
    }
}

fn minute(at: WallTime) -> u64 {
    at.0 / 60_000
}

impl Hour {
    /// Counts a fact; letters of the health gate are no mail.
    pub(super) fn count(&self, event: &Event, at: WallTime) {
        if event.is_of_the_gate() {
            return;
        }
        let mut one = LastHour::default();
        match event {
            Event::MessageAccepted { .. } => one.accepted = 1,
            Event::RecipientDelivered(_) => one.delivered = 1,
            Event::RecipientDeferred { .. } => one.deferred = 1,
            Event::MessageRefused { .. } => one.refused = 1,
            _ => return,
        }
        let minute = minute(at);
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(minute % SLOTS as u64).unwrap_or_default();
        let slot = &mut slots[place];
        if slot.0 != minute {
            *slot = (minute, LastHour::default());
        }
        slot.1.add(&one);
    }

    /// What the sixty minutes up to `now` brought.
    pub(super) fn sums(&self, now: WallTime) -> LastHour {
        let now = minute(now);
        let mut sums = LastHour::default();
        for (minute, slot) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // A clock that was set back leaves minutes behind that have not come yet.
            if *minute <= now && now - minute < SLOTS as u64 {
                sums.add(slot);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::QueueId;
    use crate::event::herald::sample;

    #[test]
    fn an_hour_later_it_is_forgotten() {
        let hour = Hour::default();
        let at = |minutes: u64| WallTime(1_790_000_000_000 + minutes * 60_000);
        let fact = Event::RecipientDelivered(sample(QueueId(1), "a@b.c"));
        hour.count(&fact, at(0));
        hour.count(&fact, at(0));
        hour.count(&fact, at(59));
        assert_eq!(hour.sums(at(59)).delivered, 3);
        assert_eq!(hour.sums(at(60)).delivered, 1);
        hour.count(&fact, at(60));
        assert_eq!(hour.sums(at(60)).delivered, 2);
        assert_eq!(hour.sums(at(200)), LastHour::default());
        // Set back by a day, the clock shows nothing of the days to come.
        assert_eq!(hour.sums(at(0)).delivered, 0);
    }
}
