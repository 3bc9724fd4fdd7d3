//! What was committed a moment ago, kept in memory so that the happy path reads no disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::base::id::QueueId;
use crate::base::limits::FRESH_CONTENT_OCTETS_MAX;
use crate::mail::stage::Parcel;

/// What a parcel costs besides its content: envelope, label, two entries here.
const PARCEL_OCTETS: usize = 1024;

/// The youngest parcels, up to a number of octets.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    parcels: HashMap<QueueId, Arc<Parcel>>,
    order: VecDeque<QueueId>,
    octets: usize,
}

impl Fresh {
    pub(super) fn insert(&mut self, parcel: Arc<Parcel>) {
        let cost = cost(&parcel);
        if cost > FRESH_CONTENT_OCTETS_MAX {
            return;
        }
        self.order.push_back(parcel.id);
        if let Some(old) = self.parcels.insert(parcel.id, parcel) {
            self.octets -= self::cost(&old);
        }
        self.octets += cost;
        while self.octets > FRESH_CONTENT_OCTETS_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(oldest);
        }
    }

    pub(super) fn get(&self, id: QueueId) -> Option<Arc<Parcel>> {
        self.parcels.get(&id).cloned()
    }

    pub(super) fn remove(&mut self, id: QueueId) {
        if let Some(parcel) = self.parcels.remove(&id) {
            self.octets -= cost(&parcel);
        }
        // Names of what is gone leave the order when they reach its front.
        while self.order.front().is_some_and(|id| !self.parcels.contains_key(id)) {
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.parcels.len() + 1024 {
            let parcels = &self.parcels;
            self.order.retain(|id| parcels.contains_key(id));
        }
    }
}

fn cost(parcel: &Parcel) -> usize {
    parcel.content.len() + PARCEL_OCTETS
}
