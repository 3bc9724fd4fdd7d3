//! Ways: every destination is a recipient domain by one way, every lane a provider from one home.
//!
//! Which way mail takes is decided elsewhere; here it is asked when mail enters, and asked again
//! for everything that is queued when the rules change. So mail of a pool that is gone moves to
//! the way that took its place, and keeps its dates and its place among its own kind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::slab::NONE;
use super::{Alarm, NOTICES, Queue};
use crate::base::limits::{EGRESS_HEALTH_BEAT, EGRESS_RECHECK};
use crate::base::time::Instant;
use crate::mail::address::Domain;
use crate::mail::source::SourceName;
use crate::mail::way::Way;

type Ask = dyn Fn(Option<&SourceName>, &Domain) -> Way + Send + Sync;

/// Which way mail of a source to a domain takes; without a source: a notification of ours. The
/// same question must have the same answer for as long as these rules are in force.
#[derive(Clone)]
pub struct Assignment(Arc<Ask>);

impl Assignment {
    /// An assignment that asks `ask`.
    pub fn new(ask: impl Fn(Option<&SourceName>, &Domain) -> Way + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Everything takes one way.
    #[must_use]
    pub fn always(way: Way) -> Self {
        Self::new(move |_, _| way.clone())
    }
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assignment")
    }
}

impl PartialEq for Assignment {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Assignment {}

/// Why a job comes back that was not tried. No attempt is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untried<'a> {
    /// Its carrier has no slot.
    NoSlot,
    /// No member of the pool may carry at all: mail waits for [`Queue::set_pool`].
    Closed {
        /// In words.
        reason: &'a str,
    },
    /// No member of the pool may carry to this destination for so long, or until
    /// [`Queue::set_pool`] says that the pool is open.
    Until {
        /// From now.
        wait: Duration,
        /// In words.
        reason: &'a str,
    },
}

/// A destination that waits for its way.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) reason: Box<str>,
    /// When it is looked at again.
    pub(super) again: Instant,
    /// It is told to people as a date, because nothing but time helps.
    pub(super) dated: bool,
}

impl Queue {
    /// The number of the way that mail of a source to a domain takes.
    pub(super) fn way_number(&mut self, source: u32, domain: &Domain) -> u32 {
        let name = (source != NOTICES).then(|| &self.sources[source as usize].name);
        let way = (self.rules.ways.0)(name, domain);
        if let Some(number) = self.way_of.get(&way) {
            return *number;
        }
        let number = u32::try_from(self.ways.len()).unwrap_or(NONE);
        self.ways.push(way.clone());
        self.way_of.insert(way, number);
        number
    }

    /// The destinations of a domain, one for each way in use.
    pub(super) fn destinations_of(&self, domain: &Domain) -> Vec<u32> {
        let mut found = Vec::new();
        let mut number = self.destination_of.get(domain).copied().unwrap_or(NONE);
        while number != NONE {
            found.push(number);
            number = self.destinations[number].twin;
        }
        found
    }

    /// Every pile goes where the rules say now.
    pub(super) fn reassign(&mut self) {
        let piles: Vec<u32> = self.piles.iter().map(|(number, _)| number).collect();
        for pile in piles {
            let (source, from) = (self.piles[pile].source, self.piles[pile].destination);
            let domain = self.destinations[from].domain.clone();
            let way = self.way_number(source, &domain);
            if way != self.destinations[from].way {
                let to = self.destination_number(&domain, way);
                self.move_pile(pile, from, to);
            }
        }
    }

    /// Moves a pile with everything in it; what a carrier has in hand comes back to its new place.
    fn move_pile(&mut self, number: u32, from: u32, to: u32) {
        self.ring_out(number);
        let pile = &mut self.piles[number];
        let (source, class, total) = (pile.source, pile.class, pile.total);
        pile.destination = to;
        self.pile_of.remove(&(source, from, class));
        let there = self.pile_of.insert((source, to, class), number);
        debug_assert_eq!(there, None, "a source has one way to a domain");
        self.destinations[from].total -= total;
        self.destinations[to].total += total;
        if self.flows(number) {
            self.ring_in(number);
        }
        self.fade(from);
        self.poke(to);
    }

    /// A destination waits for its way.
    pub(super) fn park(&mut self, number: u32, untried: Untried<'_>) {
        let way = &self.ways[self.destinations[number].way as usize];
        let (wait, reason, dated) = match untried {
            Untried::NoSlot => return,
            // A pool that is open as far as we know: the good news and this carrier's bad news
            // have crossed, or the next look at its health will tell.
            Untried::Closed { reason } if self.closed.contains(&way.pool) => {
                (EGRESS_RECHECK, reason, false)
            }
            Untried::Closed { reason } => (EGRESS_HEALTH_BEAT, reason, false),
            Untried::Until { wait, reason } => (wait.max(EGRESS_HEALTH_BEAT), reason, true),
        };
        let again = self.now.after(wait);
        self.unpark(number);
        self.alarms.insert((again, Alarm::Destination(number)));
        let parked = Parked { reason: reason.into(), again, dated };
        self.destinations[number].parked = Some(Box::new(parked));
    }

    /// And waits no more.
    pub(super) fn unpark(&mut self, number: u32) {
        if let Some(parked) = self.destinations[number].parked.take() {
            self.alarms.remove(&(parked.again, Alarm::Destination(number)));
        }
    }

    /// The alarm of a parked destination rings. True if it must go on waiting.
    pub(super) fn still_parked(&mut self, number: u32) -> bool {
        let now = self.now;
        let entry = &mut self.destinations[number];
        let Some(parked) = &mut entry.parked else { return false };
        if parked.again > now {
            return true;
        }
        if self.closed.contains(&self.ways[entry.way as usize].pool) {
            parked.again = now.after(EGRESS_RECHECK);
            self.alarms.insert((parked.again, Alarm::Destination(number)));
            return true;
        }
        entry.parked = None;
        false
    }

    /// No member of a pool may carry, or one may (again): then its mail goes at once, also mail
    /// that waits with [`Untried::Until`].
    pub fn set_pool(&mut self, pool: &str, closed: bool, now: Instant) {
        self.now = now;
        if closed {
            self.closed.insert(pool.into());
            return;
        }
        self.closed.remove(pool);
        let waits = |number: &u32| {
            let entry = &self.destinations[*number];
            entry.parked.is_some() && *self.ways[entry.way as usize].pool == *pool
        };
        let parked: Vec<u32> =
            self.destinations.iter().map(|(number, _)| number).filter(waits).collect();
        for number in parked {
            self.unpark(number);
            self.poke(number);
        }
    }
}
