//! What operators order: hold, release, purge, retry, by message, source, class or destination;
//! sources' states; stop-all; drain. A dry run is [`Queue::count`].

use std::time::Duration;

use super::stock::{Place, Tick};
use super::{NOTICES, Overdue, Queue};
use crate::base::id::QueueId;
use crate::base::time::Instant;
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::source::{SourceName, SourceState};

/// Which messages: all conditions that are given must hold. Without any: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These messages.
    pub ids: Option<Vec<QueueId>>,
    /// Of this source; never matches our own notifications.
    pub source: Option<SourceName>,
    /// Of this class.
    pub class: Option<MessageClass>,
    /// With an open recipient in this domain.
    pub domain: Option<Domain>,
    /// With an open recipient in a lane of this name (provider, or domain), whatever its home.
    pub lane: Option<String>,
    /// Held by an operator, or not.
    pub held: Option<bool>,
}

/// What an order touched, or would touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Messages.
    pub messages: Vec<QueueId>,
    /// Recipients of them, by position in `messages`.
    pub recipients: Vec<Vec<u16>>,
    /// Recipients that match and that a carrier has in hand at this moment.
    pub in_flight: usize,
}

impl Queue {
    /// What a selection matches. Looks at everything unless ids are given.
    #[must_use]
    pub fn count(&self, selection: &Selection) -> Touched {
        let mut touched = Touched::default();
        for (message, legs) in self.select(selection) {
            let mut recipients = Vec::new();
            for leg in legs {
                let leg = &self.legs[leg];
                if leg.place == Place::Busy {
                    touched.in_flight += leg.recipients.as_slice().len();
                }
                recipients.extend_from_slice(leg.recipients.as_slice());
            }
            touched.messages.push(self.messages[message].id);
            touched.recipients.push(recipients);
        }
        touched
    }

    /// Keeps messages back, whole messages whatever part was selected. A recipient that is in
    /// flight may still be delivered. Returns those that were not held before.
    pub fn hold(&mut self, selection: &Selection, now: Instant) -> Vec<QueueId> {
        self.now = now;
        let selection = Selection { held: Some(false), ..selection.clone() };
        let mut ids = Vec::new();
        for (message, _) in self.select(&selection) {
            self.messages[message].held = true;
            for leg in self.legs_of(message) {
                if matches!(self.legs[leg].place, Place::Ready | Place::Waiting) {
                    self.take_out(leg);
                    self.stand_back(leg, message);
                }
            }
            ids.push(self.messages[message].id);
        }
        ids
    }

    /// Lets held messages go, at their dates. Returns those that were held.
    pub fn release(&mut self, selection: &Selection, now: Instant) -> Vec<QueueId> {
        self.now = now;
        let selection = Selection { held: Some(true), ..selection.clone() };
        let mut ids = Vec::new();
        for (message, _) in self.select(&selection) {
            self.messages[message].held = false;
            for leg in self.legs_of(message) {
                if self.legs[leg].place == Place::Held {
                    self.take_out(leg);
                    self.line_up(leg);
                }
            }
            self.give_time(message);
            ids.push(self.messages[message].id);
        }
        ids
    }

    /// Makes messages due now and has their destinations probed at once. Held ones stay.
    pub fn retry(&mut self, selection: &Selection, now: Instant) -> Vec<QueueId> {
        self.now = now;
        let mut ids = Vec::new();
        for (message, legs) in self.select(selection) {
            for leg in legs {
                let entry = &self.legs[leg];
                let (place, destination) = (entry.place, self.piles[entry.pile].destination);
                match place {
                    Place::Waiting => {
                        self.take_out(leg);
                        self.legs[leg].due = Tick::after(now, Duration::ZERO);
                        self.destinations[destination].shut_until = now;
                        self.line_up(leg);
                    }
                    Place::Ready => {
                        self.destinations[destination].shut_until = now;
                        self.poke(destination);
                    }
                    Place::Held => self.legs[leg].due = Tick::after(now, Duration::ZERO),
                    Place::Busy | Place::Settling => {}
                }
            }
            ids.push(self.messages[message].id);
        }
        ids
    }

    /// Takes matching recipients out of circulation until the driver has recorded their end with
    /// [`Queue::handle_expired`] (or gives them back with [`Queue::handle_postponed`]). Recipients
    /// in flight are not touched, only counted.
    pub fn purge(&mut self, selection: &Selection, now: Instant) -> (Vec<Overdue>, usize) {
        self.now = now;
        let (mut purged, mut in_flight) = (Vec::new(), 0);
        for (message, legs) in self.select(selection) {
            let mut recipients = Vec::new();
            let mut attempts = 0;
            for leg in legs {
                let entry = &self.legs[leg];
                let count = entry.recipients.as_slice().len();
                match entry.place {
                    Place::Busy | Place::Settling => in_flight += count,
                    _ => {
                        recipients.extend_from_slice(entry.recipients.as_slice());
                        attempts = attempts.max(u32::from(entry.attempts));
                        self.take_out(leg);
                    }
                }
            }
            if !recipients.is_empty() {
                let id = self.messages[message].id;
                purged.push(Overdue { id, recipients, attempts, reply: None });
            }
        }
        (purged, in_flight)
    }

    /// A source may deliver, or its backlog is held. Returns how many of its messages are queued.
    pub fn set_source_state(
        &mut self,
        source: &SourceName,
        state: SourceState,
        now: Instant,
    ) -> usize {
        self.now = now;
        let number = self.source_number(source);
        let Some(entry) = self.sources.get_mut(number as usize) else { return 0 };
        let before = std::mem::replace(&mut entry.state, state);
        if before.delivers() != state.delivers() && number != NOTICES {
            let lowest = (number, 0, MessageClass::Otp);
            let highest = (number, u32::MAX, MessageClass::Subscribed);
            let piles: Vec<u32> =
                self.pile_of.range(lowest..=highest).map(|(_, pile)| *pile).collect();
            for pile in piles {
                if self.flows(pile) {
                    self.ring_in(pile);
                    self.poke(self.piles[pile].destination);
                } else {
                    self.ring_out(pile);
                }
            }
        }
        let mut of_source = 0;
        for (_, message) in self.messages.iter() {
            of_source += usize::from(message.source == number && !message.notification);
        }
        of_source
    }

    /// The state of a source as the queue knows it.
    #[must_use]
    pub fn source_state(&self, source: &SourceName) -> SourceState {
        let number = self.source_of.get(source);
        number.map_or(SourceState::Active, |number| self.sources[*number as usize].state)
    }

    /// Stop-all, and its end.
    pub fn set_stopped(&mut self, stopped: bool, now: Instant) {
        self.now = now;
        self.stopped = stopped;
        self.poke_all();
    }

    /// Nothing is dealt out any more: the daemon is about to end.
    pub fn set_draining(&mut self, draining: bool, now: Instant) {
        self.now = now;
        self.draining = draining;
        self.poke_all();
    }

    /// Carriers at work or waiting.
    #[must_use]
    pub fn carriers(&self) -> usize {
        self.carriers.len()
    }

    fn poke_all(&mut self) {
        if self.stopped || self.draining {
            // Those that wait are sent home; the others hear it when they ask.
            let idle: Vec<u64> = self.idle.iter().map(|(_, carrier)| *carrier).collect();
            for carrier in idle {
                self.send_home(carrier);
            }
            return;
        }
        let numbers: Vec<u32> = self.destinations.iter().map(|(number, _)| number).collect();
        for number in numbers {
            self.poke(number);
        }
    }

    /// A released message gets an attempt even if its time is over: the end of its patience is
    /// looked at again after that.
    fn give_time(&mut self, message: u32) {
        let deadline = self.messages[message].deadline;
        if super::seconds_up(self.now) >= deadline {
            self.recheck_later(message);
        }
    }

    /// Matching messages, each with its matching legs.
    fn select(&self, selection: &Selection) -> Vec<(u32, Vec<u32>)> {
        let candidates: Vec<u32> = match &selection.ids {
            Some(ids) => ids.iter().filter_map(|id| self.ids.get(id).copied()).collect(),
            None => self.ids.values().copied().collect(),
        };
        let source = selection.source.as_ref().map(|name| self.source_of.get(name).copied());
        let (domain, lane) = (selection.domain.as_ref(), selection.lane.as_deref());
        let leg_fits = |leg: &u32| {
            let entry = &self.destinations[self.piles[self.legs[*leg].pile].destination];
            domain.is_none_or(|wanted| *wanted == entry.domain)
                && lane.is_none_or(|wanted| *wanted == *self.lanes[entry.lane].name)
        };
        let mut selected = Vec::new();
        for message in candidates {
            let entry = &self.messages[message];
            let fits = source.is_none_or(|s| s == Some(entry.source) && !entry.notification)
                && selection.class.is_none_or(|class| class == entry.class)
                && selection.held.is_none_or(|held| held == entry.held);
            if fits {
                let legs: Vec<u32> = self.legs_of(message).into_iter().filter(leg_fits).collect();
                if !legs.is_empty() {
                    selected.push((message, legs));
                }
            }
        }
        selected
    }
}
