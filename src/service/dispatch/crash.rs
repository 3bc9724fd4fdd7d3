//! Messages in hand, for the case that somebody dies of them.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Dispatch, Reporter, Store};
use crate::base::id::QueueId;
use crate::service::suspects::{InHand, REASON, Suspects};

impl<S: Store, R: Reporter> Dispatch<S, R> {
    /// From now on what is in hand at a crash is suspected. Once; a second call does nothing.
    pub fn suspect(&self, suspects: Arc<Suspects>) {
        let _ = self.suspects.set(suspects);
    }

    fn hands(&self) -> MutexGuard<'_, std::collections::HashMap<u64, InHand>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A carrier takes a message in hand.
    pub(super) async fn take_in_hand(&self, carrier: u64, id: QueueId) {
        let Some(suspects) = self.suspects.get() else { return };
        self.hands().remove(&carrier);
        let hand = suspects.take(id).await;
        self.hands().insert(carrier, hand);
    }

    /// A carrier has lived through its message, which is cleared if it was really sent.
    pub(super) fn put_down(&self, carrier: u64, tried: bool) {
        let hand = self.hands().remove(&carrier);
        if let (Some(hand), Some(suspects), true) = (hand, self.suspects.get(), tried) {
            suspects.clear(hand.id);
        }
    }

    /// A carrier leaves; if it does so in a panic, the message in its hands is suspected, and set
    /// aside the second time.
    pub(super) fn bury(&self, carrier: u64) {
        let Some(hand) = self.hands().remove(&carrier) else { return };
        let Some(suspects) = self.suspects.get() else { return };
        if !std::thread::panicking() || !suspects.died(hand.id) {
            return;
        }
        self.with(|queue, at| queue.handle_damaged(carrier, at.now));
        let (store, suspects) = (Arc::clone(&self.store), Arc::clone(suspects));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // If it cannot be set aside now, it is at the next start.
                if store.quarantine(hand.id, REASON).await.is_ok() {
                    suspects.clear(hand.id);
                }
            });
        }
    }
}
