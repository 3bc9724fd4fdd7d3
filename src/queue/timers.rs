//! Time passes: dates come due, patience ends, shut destinations are probed, empty ones forgotten.

use std::time::Duration;

use super::lane::Destination;
use super::slab::NONE;
use super::stock::Place;
use super::{Action, Alarm, Overdue, Queue, seconds_up};
use crate::base::limits::{
    DESTINATION_MEMORY, EGRESS_RECHECK, OVERDUE_RECHECK, QUEUE_TIMERS_AT_ONCE,
};
use crate::base::time::Instant;

impl Queue {
    /// When [`Queue::handle_timeout`] must be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| at.instant());
        let patience = self.patience.first().map(|(at, _)| from_seconds(*at));
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let fading = self.fading.front().map(|(since, _)| since.after(DESTINATION_MEMORY));
        [due, patience, alarm, fading].into_iter().flatten().min()
    }

    /// Handles what is due, a bounded number at a time: call again while `poll_timeout` has
    /// passed, with the lock let go between.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        for _ in 0..QUEUE_TIMERS_AT_ONCE {
            let Some((at, alarm)) = self.alarms.first().copied() else { break };
            if at > now {
                break;
            }
            self.alarms.pop_first();
            self.ring(alarm);
        }
        for _ in 0..QUEUE_TIMERS_AT_ONCE {
            let Some((at, leg)) = self.due.first().copied() else { break };
            if at.instant() > now {
                break;
            }
            self.due.pop_first();
            self.make_ready(leg, false);
        }
        for _ in 0..QUEUE_TIMERS_AT_ONCE {
            let Some((at, message)) = self.patience.first().copied() else { break };
            if from_seconds(at) > now {
                break;
            }
            self.lose_patience(message);
        }
        self.forget_faded(now);
    }

    fn ring(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Lane(number) => {
                if self.lanes.get(number).is_some() {
                    self.handle_token(number);
                }
            }
            Alarm::Pause(number) => {
                if self.lanes.get(number).is_some() {
                    self.set_pause_alarm(number);
                    self.wake_lane(number);
                }
            }
            Alarm::Probe(number) => {
                if self.lanes.get(number).is_some() {
                    self.probe_holds(number);
                }
            }
            Alarm::Destination(number) => {
                if self.destinations.get(number).is_none() || self.still_parked(number) {
                    return;
                }
                self.poke(number);
            }
        }
    }

    /// Sets the next date of a message's patience: its delay notice, or its end. `notice` is the
    /// time until the former, given when the message enters.
    pub(super) fn set_patience(&mut self, message: u32, notice: Option<Duration>) {
        let entry = &self.messages[message];
        let mut next = entry.deadline;
        let unnoticed = !entry.notification && self.has_unnoticed(message);
        if let (Some(wait), true) = (notice, unnoticed) {
            next = next.min(seconds_up(self.now.after(wait)));
        }
        self.set_alarm(message, next);
    }

    fn has_unnoticed(&self, message: u32) -> bool {
        self.legs_of(message).iter().any(|leg| !self.legs[*leg].noticed)
    }

    pub(super) fn set_alarm(&mut self, message: u32, at: u32) {
        let entry = &mut self.messages[message];
        self.patience.remove(&(entry.alarm, message));
        entry.alarm = at;
        self.patience.insert((at, message));
    }

    fn lose_patience(&mut self, message: u32) {
        let source = self.messages[message].source as usize;
        let source_held =
            !self.messages[message].notification && !self.sources[source].state.delivers();
        // Nobody is told "we try again" about mail that an operator keeps back.
        if self.stopped || self.messages[message].held || source_held {
            self.recheck_later(message);
            return;
        }
        if from_seconds(self.messages[message].deadline) > self.now {
            self.notice_delay(message);
            return;
        }
        let mut again = OVERDUE_RECHECK;
        for leg in self.legs_of(message) {
            let entry = &self.legs[leg];
            let pile = &self.piles[entry.pile];
            let destination = &self.destinations[pile.destination];
            match entry.place {
                // What is held for a fault of ours waits until it is mended.
                Place::Ready | Place::Waiting if self.is_held(pile.source, pile.destination) => {}
                Place::Ready | Place::Waiting if destination.parked.is_none() => {
                    let overdue = Overdue {
                        id: self.messages[message].id,
                        recipients: entry.recipients.as_slice().to_vec(),
                        attempts: u32::from(entry.attempts),
                        reply: destination.last_reply.as_deref().cloned(),
                    };
                    self.take_out(leg);
                    self.actions.push_back(Action::Expire(overdue));
                }
                Place::Ready | Place::Waiting => again = again.min(EGRESS_RECHECK),
                // Its outcome is on its way; if it is another try, this looks again.
                _ => {}
            }
        }
        self.set_alarm(message, seconds_up(self.now.after(again)));
    }

    fn notice_delay(&mut self, message: u32) {
        let mut overdue: Option<Overdue> = None;
        for leg in self.legs_of(message) {
            let destination = self.piles[self.legs[leg].pile].destination;
            let entry = &mut self.legs[leg];
            if std::mem::replace(&mut entry.noticed, true) {
                continue;
            }
            let notice = overdue.get_or_insert_with(|| Overdue {
                id: self.messages[message].id,
                recipients: Vec::new(),
                attempts: u32::from(entry.attempts),
                reply: None,
            });
            notice.recipients.extend_from_slice(entry.recipients.as_slice());
            if notice.reply.is_none() {
                notice.reply = self.destinations[destination].last_reply.as_deref().cloned();
            }
        }
        self.set_patience(message, None);
        self.actions.extend(overdue.map(Action::NoticeDelay));
    }

    /// A destination that was taken off the shelf leaves the list of its domain.
    fn unlink(&mut self, number: u32, gone: &Destination) {
        if let Some(parked) = &gone.parked {
            self.alarms.remove(&(parked.again, Alarm::Destination(number)));
        }
        let first = self.destination_of.get(&gone.domain).copied().unwrap_or(NONE);
        if first != number {
            let mut before = first;
            while self.destinations[before].twin != number {
                before = self.destinations[before].twin;
            }
            self.destinations[before].twin = gone.twin;
        } else if gone.twin == NONE {
            self.destination_of.remove(&gone.domain);
        } else if let Some(entry) = self.destination_of.get_mut(&gone.domain) {
            *entry = gone.twin;
        }
    }

    fn forget_faded(&mut self, now: Instant) {
        for _ in 0..QUEUE_TIMERS_AT_ONCE {
            let Some((since, number)) = self.fading.front().copied() else { return };
            if now.since(since) < DESTINATION_MEMORY {
                return;
            }
            self.fading.pop_front();
            let Some(entry) = self.destinations.get_mut(number) else { continue };
            entry.fading = false;
            if entry.total > 0 || entry.carriers > 0 {
                continue;
            }
            if let Some(gone) = self.destinations.remove(number) {
                for class in 0..3 {
                    if gone.in_ring[class] {
                        self.lanes[gone.lane].rings[class].retain(|other| *other != number);
                    }
                }
                self.unlink(number, &gone);
                self.leave_lane(gone.lane);
            }
        }
    }
}

fn from_seconds(seconds: u32) -> Instant {
    Instant(u64::from(seconds) * 1_000_000)
}
