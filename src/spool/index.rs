//! Where every live message stands, and what the state database has not seen yet.
//!
//! An entry costs 25 octets in a table that is at least half full: fifty for a message. Everything
//! else about a message is with the queue, or on disk.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::record::Position;
use super::state::{Live, Touch, touch};
use crate::base::id::QueueId;
use crate::mail::queued::Change;

/// Where a live message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its record.
    pub at: Position,
    /// Octets of the record.
    pub octets: u32,
    /// Open recipients, a bit each, if all have an index below 31; else the topmost bit alone,
    /// and `wide` knows.
    open: u32,
}

impl Slot {
    /// A place alone.
    #[must_use]
    pub fn bare(at: Position, octets: u32) -> Self {
        Self { at, octets, open: 0 }
    }
}

/// The bit that says: look into `wide`.
const WIDE: u32 = 1 << 31;

/// What lives in a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Live messages.
    pub messages: u32,
    /// Octets of their records.
    pub octets: u64,
}

/// What the state database has to learn about a message on its next beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dirty {
    /// The message is new: this is all of it.
    Fresh(Live),
    /// The message has a new place: this is all of it, and the place that the database knows.
    Moved(Live, Position),
    /// What happened to the message at this place.
    Touched(Position, Vec<Touch>),
    /// The message at this place is complete and may be forgotten.
    Gone(Position),
}

/// Hashes the lower half of a queue id, which is chance already.
#[derive(Debug, Default)]
pub struct ByChance(u64);

impl Hasher for ByChance {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_u64(u64::from(*octet) ^ self.0.rotate_left(8));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

type Table<V> = HashMap<u64, V, BuildHasherDefault<ByChance>>;

/// All live messages.
#[derive(Debug, Default)]
pub struct Index {
    slots: Table<Slot>,
    wide: Table<Vec<u16>>,
    segments: BTreeMap<u32, Tally>,
    octets: u64,
    dirty: HashMap<QueueId, Dirty>,
    /// Whether `dirty` is kept: not while the state database is unusable.
    tracking: bool,
    /// Changes of messages that the recovery has not reached yet.
    early: Option<HashMap<QueueId, Vec<Touch>>>,
}

fn key(id: QueueId) -> u64 {
    u64::try_from(id.0 & u128::from(u64::MAX)).unwrap_or(0)
}

impl Index {
    /// An empty index that expects a recovery: changes of unknown messages are kept for it.
    #[must_use]
    pub fn recovering() -> Self {
        Self { early: Some(HashMap::new()), tracking: true, ..Self::default() }
    }

    /// The recovery has told everything; what is unknown now is complete.
    pub fn recovered(&mut self) {
        self.early = None;
    }

    /// Live messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Octets of the records of all live messages.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Where a live message stands.
    #[must_use]
    pub fn slot(&self, id: QueueId) -> Option<Slot> {
        self.slots.get(&key(id)).copied()
    }

    /// What lives in a segment.
    #[must_use]
    pub fn tally(&self, segment: u32) -> Tally {
        self.segments.get(&segment).copied().unwrap_or_default()
    }

    /// Indices of the recipients whose outcome is open.
    #[must_use]
    pub fn open(&self, id: QueueId) -> Vec<u16> {
        let Some(slot) = self.slots.get(&key(id)) else { return Vec::new() };
        if slot.open == WIDE {
            return self.wide.get(&key(id)).cloned().unwrap_or_default();
        }
        (0..31).filter(|bit| slot.open & (1 << bit) != 0).collect()
    }

    /// A message is stored. One that is already known gets a new place and this state.
    pub fn insert(&mut self, live: &Live) {
        let Live { at, octets, queued } = live;
        let id = queued.id;
        self.take(id);
        let narrow = queued.recipients.iter().all(|r| r.index < 31);
        let open = if narrow {
            queued.recipients.iter().fold(0, |open, r| open | 1 << r.index)
        } else {
            self.wide.insert(key(id), queued.recipients.iter().map(|r| r.index).collect());
            WIDE
        };
        self.slots.insert(key(id), Slot { at: *at, octets: *octets, open });
        let tally = self.segments.entry(at.segment).or_default();
        tally.messages += 1;
        tally.octets += u64::from(*octets);
        self.octets += u64::from(*octets);
    }

    /// A message that the recovery found, with what the state database has to learn about it.
    /// Changes that came before it are applied now; returns it if it still lives.
    pub fn adopt(&mut self, mut live: Live, dirty: Option<Dirty>) -> Option<Live> {
        let id = live.queued.id;
        self.insert(&live);
        if let Some(dirty) = dirty.filter(|_| self.tracking) {
            self.dirty.insert(id, dirty);
        }
        for early in self.early.as_mut().and_then(|early| early.remove(&id)).unwrap_or_default() {
            touch(&mut live.queued, early);
            self.touched(id, early);
        }
        self.slots.contains_key(&key(id)).then_some(live)
    }

    /// A message that the recovery found complete: the state database has to forget it.
    pub fn forget(&mut self, id: QueueId, at: Position) {
        if self.tracking {
            self.dirty.insert(id, Dirty::Gone(at));
        }
    }

    /// Stores a message that nobody knew, or that was copied on, and remembers that the state
    /// database must learn all of it.
    pub fn store(&mut self, live: Live) {
        let id = live.queued.id;
        let before = self.slots.get(&key(id)).map(|slot| slot.at);
        self.insert(&live);
        if !self.tracking {
            return;
        }
        let dirty = match (self.dirty.remove(&id), before) {
            (Some(Dirty::Fresh(_)), _) | (_, None) => Dirty::Fresh(live),
            (Some(Dirty::Moved(_, from)), _) | (_, Some(from)) => Dirty::Moved(live, from),
        };
        self.dirty.insert(id, dirty);
    }

    /// Every place at which a live message of `segment` stands, in order.
    #[must_use]
    pub fn places(&self, segment: u32) -> Vec<(Position, u32)> {
        let slots = self.slots.values().filter(|slot| slot.at.segment == segment);
        let mut places: Vec<_> = slots.map(|slot| (slot.at, slot.octets)).collect();
        places.sort_unstable();
        places
    }

    /// A durable change. Returns the message if this completed it.
    pub fn change(&mut self, change: &Change) -> Option<QueueId> {
        let id = change.id();
        let touched = Touch::from(change);
        if !self.slots.contains_key(&key(id)) {
            if let Some(early) = &mut self.early {
                early.entry(id).or_default().push(touched);
            }
            return None;
        }
        self.touched(id, touched).then_some(id)
    }

    /// Returns whether the message is complete.
    fn touched(&mut self, id: QueueId, touched: Touch) -> bool {
        let Some(at) = self.slots.get(&key(id)).map(|slot| slot.at) else { return false };
        let done = match touched {
            Touch::Settled(recipient) => self.settle(id, recipient),
            _ => false,
        };
        if done {
            self.take(id);
        }
        if self.tracking {
            self.note(id, at, touched, done);
        }
        done
    }

    fn note(&mut self, id: QueueId, at: Position, touched: Touch, done: bool) {
        match (self.dirty.get_mut(&id), done) {
            (Some(Dirty::Fresh(_)), true) => {
                self.dirty.remove(&id);
            }
            (Some(Dirty::Moved(_, from)), true) => {
                let from = *from;
                self.dirty.insert(id, Dirty::Gone(from));
            }
            (_, true) => {
                self.dirty.insert(id, Dirty::Gone(at));
            }
            (Some(Dirty::Fresh(live) | Dirty::Moved(live, _)), false) => {
                touch(&mut live.queued, touched);
            }
            (Some(Dirty::Touched(_, all)), false) => all.push(touched),
            (Some(Dirty::Gone(_)) | None, false) => {
                self.dirty.insert(id, Dirty::Touched(at, vec![touched]));
            }
        }
    }

    fn settle(&mut self, id: QueueId, recipient: u16) -> bool {
        let Some(slot) = self.slots.get_mut(&key(id)) else { return false };
        if slot.open != WIDE {
            slot.open &= !(1u32.checked_shl(u32::from(recipient)).unwrap_or(0));
            return slot.open == 0;
        }
        let Some(wide) = self.wide.get_mut(&key(id)) else { return true };
        wide.retain(|index| *index != recipient);
        wide.is_empty()
    }

    fn take(&mut self, id: QueueId) -> Option<Slot> {
        let slot = self.slots.remove(&key(id))?;
        self.wide.remove(&key(id));
        self.octets = self.octets.saturating_sub(u64::from(slot.octets));
        if let Some(tally) = self.segments.get_mut(&slot.at.segment) {
            tally.messages = tally.messages.saturating_sub(1);
            tally.octets = tally.octets.saturating_sub(u64::from(slot.octets));
            if tally.messages == 0 {
                self.segments.remove(&slot.at.segment);
            }
        }
        Some(slot)
    }

    /// The oldest segment in which something lives.
    #[must_use]
    pub fn floor(&self) -> Option<u32> {
        self.segments.keys().next().copied()
    }

    /// Whether the state database knows everything about a message.
    #[must_use]
    pub fn is_clean(&self, id: QueueId) -> bool {
        !self.dirty.contains_key(&id)
    }

    /// Whether the state database has something to learn.
    #[must_use]
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Hands over what the state database has to learn.
    pub fn take_dirty(&mut self) -> HashMap<QueueId, Dirty> {
        std::mem::take(&mut self.dirty)
    }

    /// Keeps track for the state database, or stops to.
    pub fn track(&mut self, tracking: bool) {
        self.tracking = tracking;
        self.dirty = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::WallTime;
    use crate::mail::address::Domain;
    use crate::mail::class::MessageClass;
    use crate::mail::queued::{Queued, QueuedRecipient, Settlement};
    use crate::mail::source::SourceName;
    use crate::mail::stage::Label;

    fn queued(id: u128, recipients: u16) -> Queued {
        let label = Label {
            source: SourceName::new("app").unwrap(),
            class: MessageClass::Otp,
            accepted: WallTime(1),
            expires: WallTime(2),
            notification: false,
            priority: 0,
            notice: None,
        };
        let recipient = |index| QueuedRecipient {
            index,
            domain: Domain::parse("example.org").unwrap(),
            attempts: 0,
            next: WallTime(1),
            delay_noticed: false,
        };
        let recipients = (0..recipients).map(recipient).collect();
        Queued { id: QueueId(id), label, held: false, octets: 5, recipients }
    }

    fn live(at: Position, octets: u32, id: u128, recipients: u16) -> Live {
        Live { at, octets, queued: queued(id, recipients) }
    }

    fn settled(id: u128, recipient: u16) -> Change {
        Change::Settled { id: QueueId(id), recipient, settlement: Settlement::Delivered }
    }

    const AT: Position = Position { segment: 3, offset: 0 };

    #[test]
    fn a_message_lives_until_its_last_recipient_is_settled() {
        for recipients in [1, 2, 31, 32, 1000] {
            let mut index = Index::recovering();
            index.recovered();
            index.insert(&live(AT, 100, 1, recipients));
            for recipient in 0..recipients - 1 {
                assert_eq!(index.change(&settled(1, recipient)), None);
                assert_eq!(index.change(&settled(1, recipient)), None, "twice is once");
            }
            assert_eq!(index.open(QueueId(1)), [recipients - 1]);
            assert_eq!(index.change(&settled(1, recipients - 1)), Some(QueueId(1)));
            assert_eq!((index.len(), index.octets(), index.floor()), (0, 0, None));
        }
    }

    #[test]
    fn a_change_that_comes_before_its_message_is_kept_during_recovery_only() {
        let mut index = Index::recovering();
        index.change(&settled(1, 0));
        index.change(&Change::Held { id: QueueId(2) });
        assert_eq!(index.adopt(live(AT, 100, 1, 1), None), None);
        assert!(index.adopt(live(AT, 100, 2, 1), None).unwrap().queued.held);
        index.recovered();
        index.change(&settled(3, 0));
        assert!(index.adopt(live(AT, 100, 3, 1), None).is_some());
    }

    #[test]
    fn a_copied_message_leaves_its_old_segment() {
        let mut index = Index::recovering();
        index.insert(&live(AT, 100, 1, 1));
        let later = Position { segment: 9, offset: 64 };
        index.insert(&live(later, 110, 1, 1));
        assert_eq!((index.len(), index.octets(), index.floor()), (1, 110, Some(9)));
        assert_eq!(index.slot(QueueId(1)).unwrap().at, later);
    }
}
