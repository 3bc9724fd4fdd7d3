//! What the queue keeps in memory of a message: two entries of 48 octets, and no text.
//!
//! A *leg* is the part of a message that travels together: recipients with the same domain, the
//! same number of attempts and the same date. A *pile* is all legs of one source and class for one
//! destination; those that are due stand in line in it.

use std::time::Duration;

use super::slab::{NONE, Slab};
use crate::base::id::QueueId;
use crate::base::time::Instant;
use crate::mail::class::MessageClass;

/// A message with at least one open leg.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: QueueId,
    /// Wall clock, milliseconds.
    pub(super) accepted: u64,
    /// Monotonic clock, whole seconds: when delivery is given up.
    pub(super) deadline: u32,
    /// The entry of this message in the patience index, monotonic seconds.
    pub(super) alarm: u32,
    pub(super) octets: u32,
    pub(super) source: u32,
    /// Its first leg; the others follow through `Leg::sibling`.
    pub(super) leg: u32,
    pub(super) class: MessageClass,
    pub(super) held: bool,
    pub(super) notification: bool,
    /// -9 to 9 (RFC 6710); the higher, the earlier among its own kind.
    pub(super) priority: i8,
}

/// A date on the monotonic clock in tenths of a second: four octets, and thirteen years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u32);

const TICK_MICROS: u64 = 100_000;

impl Tick {
    /// The date `wait` after `now`: never too early, and now if there is no wait.
    pub(super) fn after(now: Instant, wait: Duration) -> Self {
        let ticks = if wait.is_zero() {
            now.0 / TICK_MICROS
        } else {
            now.after(wait).0.div_ceil(TICK_MICROS)
        };
        Self(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// The point that it stands for.
    pub(super) fn instant(self) -> Instant {
        Instant(u64::from(self.0) * TICK_MICROS)
    }
}

/// Where a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In line in its pile.
    Ready,
    /// In the index of dates.
    Waiting,
    /// In the hands of a carrier.
    Busy,
    /// Kept back with its message.
    Held,
    /// Its outcome is being recorded by the driver.
    Settling,
}

/// Indices of recipients; nearly every leg has one.
#[derive(Debug)]
pub(super) enum Recipients {
    One(u16),
    Many(Box<[u16]>),
}

impl Recipients {
    pub(super) fn new(indices: Vec<u16>) -> Self {
        match indices[..] {
            [only] => Self::One(only),
            _ => Self::Many(indices.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[u16] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(indices) => indices,
        }
    }
}

/// Recipients of one message that travel together.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) message: u32,
    pub(super) pile: u32,
    pub(super) sibling: u32,
    pub(super) before: u32,
    pub(super) behind: u32,
    /// Not before.
    pub(super) due: Tick,
    pub(super) recipients: Recipients,
    pub(super) attempts: u16,
    pub(super) place: Place,
    pub(super) noticed: bool,
}

/// Legs of one priority, first come, first served. There are at most nineteen in a pile.
#[derive(Debug)]
struct Line {
    priority: i8,
    head: u32,
    tail: u32,
}

/// All legs of one source and class for one destination. Priority counts within it: it never lets
/// one source overtake another.
#[derive(Debug)]
pub(super) struct Pile {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) class: MessageClass,
    /// In its destination's ring of piles.
    pub(super) in_ring: bool,
    /// Lines that are not empty, the highest priority first; nearly always one.
    lines: Vec<Line>,
    /// Legs in line.
    pub(super) ready: u32,
    /// Legs kept back with their message.
    pub(super) held: u32,
    /// Legs in all.
    pub(super) total: u32,
}

impl Pile {
    pub(super) fn new(source: u32, destination: u32, class: MessageClass) -> Self {
        Self {
            source,
            destination,
            class,
            in_ring: false,
            lines: Vec::new(),
            ready: 0,
            held: 0,
            total: 0,
        }
    }

    /// Puts a leg at the end of the line of its priority, or at its front.
    pub(super) fn queue_up(&mut self, legs: &mut Slab<Leg>, leg: u32, priority: i8, front: bool) {
        let at = self.lines.partition_point(|line| line.priority > priority);
        if self.lines.get(at).is_none_or(|line| line.priority != priority) {
            self.lines.insert(at, Line { priority, head: NONE, tail: NONE });
        }
        let line = &mut self.lines[at];
        let (before, behind) = if front { (NONE, line.head) } else { (line.tail, NONE) };
        let entry = &mut legs[leg];
        (entry.place, entry.before, entry.behind) = (Place::Ready, before, behind);
        match before {
            NONE => line.head = leg,
            before => legs[before].behind = leg,
        }
        match behind {
            NONE => line.tail = leg,
            behind => legs[behind].before = leg,
        }
        self.ready += 1;
    }

    /// Takes a leg out of the line of its priority.
    pub(super) fn take(&mut self, legs: &mut Slab<Leg>, leg: u32, priority: i8) {
        let entry = &mut legs[leg];
        let (before, behind) = (entry.before, entry.behind);
        (entry.before, entry.behind) = (NONE, NONE);
        self.ready -= 1;
        if before != NONE {
            legs[before].behind = behind;
        }
        if behind != NONE {
            legs[behind].before = before;
        }
        let at = self.lines.partition_point(|line| line.priority > priority);
        let Some(line) = self.lines.get_mut(at) else { return };
        match (before, behind) {
            (NONE, NONE) => drop(self.lines.remove(at)),
            (NONE, behind) => line.head = behind,
            (before, NONE) => line.tail = before,
            _ => {}
        }
    }

    /// The leg that goes next: of the highest priority, the one that has stood in line longest.
    pub(super) fn first(&self) -> Option<u32> {
        self.lines.first().map(|line| line.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_48_octets() {
        assert_eq!(size_of::<Option<Message>>(), 48);
        assert_eq!(size_of::<Option<Leg>>(), 48);
    }
}
