//! Time and faults.

use std::time::Duration;

use postern::base::time::{Instant, WallTime};
use postern::mail::address::Domain;
use postern::mail::class::MessageClass;
use postern::mail::queued::Change;
use postern::mail::source::{SourceName, SourceState};
use postern::queue::{Moment, Queue, Selection};

use super::super::spool::Entry;
use super::{Broken, Check, DOMAINS, Mood, POOLS, SOURCES, World, dealt};

impl World {
    pub(super) fn pass(&mut self) {
        let wait = match self.chance.below(4) {
            0 => Duration::from_millis(self.chance.below(2000)),
            1 => Duration::from_secs(self.chance.below(7200)),
            _ => {
                let next = self.queue.poll_timeout().unwrap_or(self.at.now);
                next.since(self.at.now) + Duration::from_millis(1)
            }
        };
        self.advance(wait);
        self.send_idle_home();
        self.queue.handle_timeout(self.at.now);
    }

    pub(super) fn advance(&mut self, wait: Duration) {
        self.at = Moment { now: self.at.now.after(wait), wall: self.at.wall.after(wait) };
    }

    pub(super) fn change_mood(&mut self) {
        let moods = [
            Mood::Up,
            Mood::Up,
            Mood::Names,
            Mood::Dead,
            Mood::Busy,
            Mood::Grey,
            Mood::Refuses,
            Mood::Drops,
            Mood::Throttles,
            Mood::Spf,
            Mood::Ptr,
        ];
        let (domain, mood) = (self.pick(self.moods.len()), self.pick(moods.len()));
        self.moods[domain] = moods[mood];
    }

    /// The wall clock is set, forward or back, by up to two days or a lifetime.
    pub(super) fn jump(&mut self) {
        let by = self.chance.below(172_800_000);
        self.at.wall = match self.chance.below(5) {
            0 => WallTime(by),
            1 | 2 => WallTime(self.at.wall.0.saturating_sub(by)),
            _ => WallTime(self.at.wall.0 + by),
        };
    }

    pub(super) fn power_cut(&mut self) -> Check {
        self.cuts += 1;
        // What carriers had in hand may have been taken without our ever recording it.
        for trip in std::mem::take(&mut self.trips).into_values() {
            if let Some((id, recipients, _)) = trip.job {
                for recipient in recipients {
                    self.known.entry((id, recipient)).or_default().doubts += 1;
                }
            }
        }
        for lost in self.spool.cut(&mut self.chance) {
            if let Entry::Change(Change::Settled { id, recipient, .. }) = lost {
                self.known.entry((id, recipient)).or_default().doubts += 1;
            }
        }
        self.pending.clear();
        self.late.clear();
        self.queue = Queue::new(self.rules.clone(), self.chance.draw());
        self.at.now = Instant(self.chance.below(10_000_000));
        if self.chance.below(4) == 0 {
            self.jump();
        }
        self.queue.set_stopped(self.stopped, self.at.now);
        if self.broken != Broken::HoldsForgotten {
            for (name, state) in &self.sources {
                self.queue.set_source_state(name, *state, self.at.now);
            }
        }
        for pool in &self.closed {
            self.queue.set_pool(pool, true, self.at.now);
        }
        let open = self.spool.open();
        for queued in &open {
            for recipient in &queued.recipients {
                // What the ledger kept although nobody waited for the sync is ours as well.
                self.known.entry((queued.id, recipient.index)).or_default().acknowledged = true;
            }
            if queued.label.notification {
                self.notices.insert(queued.id);
            }
        }
        self.held = open.iter().filter(|queued| queued.held).map(|queued| queued.id).collect();
        self.queue.handle_recovered(&open, self.at);
        self.check_all(false)
    }

    pub(super) fn switch_source(&mut self) {
        let states = [
            SourceState::Active,
            SourceState::Active,
            SourceState::Hold,
            SourceState::Disabled,
            SourceState::Revoked,
        ];
        let name = SourceName::new(SOURCES[self.pick(3)]).unwrap();
        let state = states[self.pick(states.len())];
        self.queue.set_source_state(&name, state, self.at.now);
        self.sources.insert(name, state);
    }

    pub(super) fn switch_stop(&mut self) {
        self.stopped = !self.stopped;
        self.queue.set_stopped(self.stopped, self.at.now);
    }

    pub(super) fn switch_link(&mut self) {
        let pool = POOLS[self.pick(POOLS.len())];
        let closed = !self.closed.remove(pool);
        if closed {
            self.closed.insert(pool);
        }
        self.queue.set_pool(pool, closed, self.at.now);
    }

    /// A new configuration: mail that is queued takes other ways.
    pub(super) fn deal_pools(&mut self) {
        self.deals += 1;
        self.rules.ways = dealt(self.deals);
        self.queue.set_rules(self.rules.clone(), self.at.now);
    }

    pub(super) fn order(&mut self) {
        let domain = Domain::parse(&format!("d{}.example", self.chance.below(DOMAINS))).ok();
        let class = Some(MessageClass::ALL[self.pick(3)]);
        let selection = Selection { domain, class, ..Selection::default() };
        match self.chance.below(5) {
            0 | 1 => {
                for id in self.queue.hold(&selection, self.at.now) {
                    self.spool.append(Entry::Change(Change::Held { id }));
                    self.held.insert(id);
                }
                self.sync();
            }
            2 | 3 => {
                for id in self.queue.release(&selection, self.at.now) {
                    self.spool.append(Entry::Change(Change::Released { id }));
                    self.held.remove(&id);
                }
                self.sync();
            }
            _ => drop(self.queue.retry(&selection, self.at.now)),
        }
    }

    /// A carrier's task dies with whatever it had.
    pub(super) fn lose_carrier(&mut self) {
        if self.trips.is_empty() {
            return;
        }
        let which = self.pick(self.trips.len());
        let carrier = self.trips.keys().nth(which).copied().unwrap();
        if let Some((id, recipients, _)) = self.trips.get_mut(&carrier).and_then(|t| t.job.take()) {
            for recipient in recipients {
                self.known.entry((id, recipient)).or_default().doubts += 1;
            }
        }
        self.leave(carrier);
    }
}
