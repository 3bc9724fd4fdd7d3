//! What must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use postern::base::id::QueueId;
use postern::mail::address::Domain;
use postern::mail::way::Way;
use postern::queue::Selection;

use super::{Check, World, way_of};

impl World {
    pub(super) fn stuck(&self, why: &str) -> String {
        let left = self.queue.page_messages(&Selection::default(), None, 3, self.at);
        format!("{why}: {:?} {left:#?}", self.queue.counts())
    }

    pub(super) fn check_may_leave(&self, id: QueueId, domain: &Domain, way: &Way) -> Check {
        let parcel = self.spool.fetch(id).ok_or_else(|| format!("{id} is not in the spool"))?;
        if self.held.contains(&id) {
            return Err(format!("{id} is held and left"));
        }
        if self.stopped {
            return Err(format!("{id} left although everything is stopped"));
        }
        let active = self.sources[&parcel.label.source].delivers();
        if !active && !parcel.label.notification {
            return Err(format!("{id} of {} left, which is held", parcel.label.source));
        }
        // Also a carrier that was sent before the pools were dealt anew.
        let label = &parcel.label;
        let source = (!label.notification).then_some(&label.source);
        let due = way_of(self.deals, source, domain);
        if due != *way {
            return Err(format!("{id} to {domain} left by {way}, and not by {due}"));
        }
        Ok(())
    }

    pub(super) fn check_limits(&self) -> Check {
        let limits = self.rules.lanes;
        if self.trips.len() > limits.connections_total_max as usize {
            return Err(format!("{} carriers", self.trips.len()));
        }
        let mut connected: BTreeMap<(String, &str), u32> = BTreeMap::new();
        for trip in self.trips.values().filter(|trip| trip.connected) {
            let count =
                connected.entry((self.provider(&trip.domain), &*trip.way.home)).or_default();
            *count += 1;
            if *count > limits.connections_max {
                return Err(format!("{count} connections to one provider"));
            }
        }
        Ok(())
    }

    /// Every acknowledged recipient was delivered, or its end reported, or it is still queued;
    /// and was delivered twice only where a reply was never heard.
    pub(super) fn check_all(&self, at_an_end: bool) -> Check {
        let open: BTreeSet<(QueueId, u16)> = self
            .spool
            .open()
            .iter()
            .flat_map(|queued| queued.recipients.iter().map(|r| (queued.id, r.index)))
            .collect();
        for (key, known) in &self.known {
            let settled = known.taken > 0 || known.ended;
            let queued = open.contains(key) && self.queue.contains(key.0);
            if known.acknowledged && !settled && !queued {
                return Err(format!("{key:?} was acknowledged and is lost"));
            }
            if known.taken > 1 + known.doubts {
                let (taken, doubts) = (known.taken, known.doubts);
                return Err(format!("{key:?} taken {taken} times with {doubts} doubts"));
            }
        }
        if at_an_end && !open.is_empty() {
            return Err(format!("the spool still has {open:?}"));
        }
        Ok(())
    }
}
