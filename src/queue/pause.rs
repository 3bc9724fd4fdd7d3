//! Pauses of a lane: the longer, the more often its provider says that it has had enough.
//!
//! ```text
//! open ──told──► pause of 1 min ──told again──► 2 ── 5 ── 15 ── 30 ── 60 min
//!   ▲                 │                                        │
//!   └── good for as long as the step's pause: one step down ◄──┘
//! ```
//! A one-time password is worthless after the pause, so it is tried in spite of it, one connection
//! at a time; a provider that puts it off too is left alone by the next one for half a minute.

use std::time::Duration;

use super::lane::{Lane, Memory};
use super::{Alarm, Queue};
use crate::base::chance::Chance;
use crate::base::limits::{HOLDS_MAX, LANE_PAUSES, RETRY_JITTER_PERCENT, URGENT_PAUSE};
use crate::base::time::Instant;
use crate::mail::class::MessageClass;

/// How often a lane was told to slow down, and until when it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pause {
    /// Steps of `LANE_PAUSES` that were taken.
    steps: usize,
    /// Ordinary mail waits until then.
    until: Instant,
    /// One-time passwords wait until then.
    urgent_until: Instant,
    /// The last step, up (its end) or down.
    stepped: Instant,
}

impl Pause {
    /// Whether ordinary mail waits.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.until > now
    }

    /// Whether mail of `class` may go.
    pub(super) fn lets(&self, class: MessageClass, now: Instant) -> bool {
        match class {
            MessageClass::Otp => self.urgent_until <= now,
            _ => !self.is_on(now),
        }
    }

    /// The provider has had enough of mail of `class`. Returns the pause that begins, if none was
    /// on: carriers that are told together are told once.
    pub(super) fn told(
        &mut self,
        class: MessageClass,
        floor: Duration,
        now: Instant,
        chance: &mut Chance,
    ) -> Option<Duration> {
        let mut jitter = |wait| chance.jitter(wait, RETRY_JITTER_PERCENT);
        if class == MessageClass::Otp {
            self.urgent_until = now.after(jitter(URGENT_PAUSE));
        }
        if self.is_on(now) {
            return None;
        }
        let wait = jitter(LANE_PAUSES[self.steps.min(LANE_PAUSES.len() - 1)].max(floor));
        self.steps = (self.steps + 1).min(LANE_PAUSES.len());
        self.until = now.after(wait);
        self.stepped = self.until;
        Some(wait)
    }

    /// A message was taken: a lane that was well for as long as its last pause takes a step back.
    pub(super) fn well(&mut self, now: Instant) {
        if self.steps > 0
            && !self.is_on(now)
            && now.since(self.stepped) >= LANE_PAUSES[self.steps - 1]
        {
            self.steps -= 1;
            self.stepped = now;
        }
    }

    /// When the gate for one class or the other opens next.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        [self.until, self.urgent_until].into_iter().filter(|at| *at > now).min()
    }

    /// Until when ordinary mail waits, if it does.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.is_on(now).then_some(self.until)
    }

    /// Whether it is on, or would make the next pause longer than the first.
    pub(super) fn is_remembered(&self, now: Instant) -> bool {
        let memory = LANE_PAUSES[LANE_PAUSES.len() - 1];
        self.steps > 0 && now.since(self.stepped) < memory
    }

    /// Steps that were taken.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}

impl Queue {
    /// Has a lane look again when its gate opens.
    pub(super) fn set_pause_alarm(&mut self, number: u32) {
        if let Some(at) = self.lanes[number].pause.next(self.now) {
            self.alarms.insert((at, Alarm::Pause(number)));
        }
    }

    /// A lane is forgotten; how it must be treated is not.
    pub(super) fn keep_memory(&mut self, lane: &mut Lane) {
        let (now, holds) = (self.now, std::mem::take(&mut lane.holds));
        if holds.is_empty() && !lane.pause.is_remembered(now) {
            return;
        }
        if self.memories.len() >= HOLDS_MAX {
            self.memories.retain(|_, m| !m.holds.is_empty() || m.pause.is_remembered(now));
        }
        if !holds.is_empty() || self.memories.len() < HOLDS_MAX {
            let key = (lane.name.clone(), lane.home.clone());
            self.memories.insert(key, Memory { pause: lane.pause, holds });
        }
    }

    /// A lane is back.
    pub(super) fn remember(&mut self, number: u32, memory: Memory) {
        let lane = &mut self.lanes[number];
        (lane.pause, lane.holds) = (memory.pause, memory.holds);
        if lane.pause.is_on(self.now) {
            lane.allowed = 1;
        }
        let probes = lane.holds.iter().map(|hold| (hold.probe_at(), Alarm::Probe(number)));
        self.alarms.extend(probes);
        self.set_pause_alarm(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_told_and_shrink_while_well() {
        let (mut pause, mut chance) = (Pause::default(), Chance::new(1));
        let mut now = Instant(1_000_000);
        let mut heard = Vec::new();
        for _ in 0..8 {
            let class = MessageClass::Transactional;
            let wait = pause.told(class, Duration::ZERO, now, &mut chance).unwrap();
            assert_eq!(pause.told(class, Duration::ZERO, now, &mut chance), None, "told together");
            assert!(!pause.lets(class, now) && pause.lets(MessageClass::Otp, now));
            heard.push(wait.as_secs());
            now = now.after(wait);
            assert!(pause.lets(class, now));
        }
        for (wait, step) in heard.iter().zip([60_u64, 120, 300, 900, 1800, 3600, 3600, 3600]) {
            assert!(wait.abs_diff(step) <= step / 5, "{heard:?}");
        }
        assert_eq!(pause.steps(), 6);
        pause.well(now);
        assert_eq!(pause.steps(), 6, "one good answer is no recovery");
        let mut minutes = 0;
        while pause.steps() > 0 {
            now = now.after(Duration::from_secs(60));
            minutes += 1;
            pause.well(now);
        }
        assert_eq!(minutes, 60 + 30 + 15 + 5 + 2 + 1);
    }

    #[test]
    fn a_rule_may_ask_for_a_longer_pause() {
        let (mut pause, mut chance) = (Pause::default(), Chance::new(2));
        let floor = Duration::from_secs(900);
        let wait = pause.told(MessageClass::Otp, floor, Instant(1), &mut chance).unwrap();
        assert!(wait.as_secs() >= 720);
        assert!(!pause.lets(MessageClass::Otp, Instant(1)));
        let soon = Instant(1).after(Duration::from_secs(36));
        assert!(pause.lets(MessageClass::Otp, soon) && pause.is_on(soon));
    }
}
