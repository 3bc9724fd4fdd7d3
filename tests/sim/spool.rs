//! A model of the spool: a log of which a power cut keeps what was synced, and perhaps a little
//! more, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use postern::base::chance::Chance;
use postern::base::id::QueueId;
use postern::mail::queued::{Change, Queued, Settlement};
use postern::mail::stage::Parcel;

#[derive(Clone)]
pub(crate) enum Entry {
    Message(Arc<Parcel>),
    Change(Change),
}

#[derive(Default)]
pub(crate) struct Spool {
    pub(crate) log: Vec<Entry>,
    pub(crate) synced: usize,
}

impl Spool {
    pub(crate) fn append(&mut self, entry: Entry) {
        self.log.push(entry);
    }

    pub(crate) fn sync(&mut self) {
        self.synced = self.log.len();
    }

    /// The power goes. Returns the changes that are lost.
    pub(crate) fn cut(&mut self, chance: &mut Chance) -> Vec<Entry> {
        let unsynced = (self.log.len() - self.synced) as u64;
        let kept = self.synced + usize::try_from(chance.below(unsynced + 1)).unwrap();
        let lost = self.log.split_off(kept);
        self.synced = self.log.len();
        lost
    }

    pub(crate) fn fetch(&self, id: QueueId) -> Option<Arc<Parcel>> {
        self.log.iter().find_map(|entry| match entry {
            Entry::Message(parcel) if parcel.id == id => Some(Arc::clone(parcel)),
            _ => None,
        })
    }

    /// What is open, as a rebuild finds it.
    pub(crate) fn open(&self) -> Vec<Queued> {
        let mut open: BTreeMap<QueueId, Queued> = BTreeMap::new();
        for entry in &self.log {
            match entry {
                Entry::Message(parcel) => {
                    open.insert(parcel.id, Queued::fresh(parcel));
                }
                Entry::Change(change) => {
                    if let Some(queued) = open.get_mut(&change.id()) {
                        apply(queued, change);
                    }
                }
            }
        }
        open.into_values().filter(|queued| !queued.recipients.is_empty()).collect()
    }
}

fn apply(queued: &mut Queued, change: &Change) {
    match change {
        Change::Held { .. } => queued.held = true,
        Change::Released { .. } => queued.held = false,
        Change::DelayNoticed { recipient, .. } => {
            for open in queued.recipients.iter_mut().filter(|open| open.index == *recipient) {
                open.delay_noticed = true;
            }
        }
        Change::Settled {
            recipient,
            settlement: Settlement::Deferred { attempts, next, .. },
            ..
        } => {
            for open in queued.recipients.iter_mut().filter(|open| open.index == *recipient) {
                (open.attempts, open.next) = (*attempts, *next);
            }
        }
        Change::Settled { recipient, .. } => {
            queued.recipients.retain(|open| open.index != *recipient);
        }
    }
}
