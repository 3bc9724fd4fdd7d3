//! What operators order through the control socket, durable where it must survive a restart.

use serde::Serialize;

use super::{Dispatch, Reporter, Store};
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::event::Event;
use crate::mail::queued::{Change, Settlement};
use crate::mail::source::{SourceName, SourceState};
use crate::queue::{Counts, HeldMail, LaneRow, MessageView, Overdue, Rules, Selection};

/// Changes that one call to the store carries: a page of the ledger, not a million entries.
const CHANGES_AT_ONCE: usize = 1000;

/// What an order touched, or would touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Recipients whose outcome was open.
    pub recipients: u64,
    /// Recipients that a carrier has in hand at this moment: it may still deliver them.
    pub in_flight: u64,
}

impl<S: Store, R: Reporter> Dispatch<S, R> {
    /// What an order with this selection would touch: the dry run of every order.
    pub fn count(&self, selection: &Selection) -> Tally {
        let touched = self.lock().queue.count(selection);
        Tally {
            messages: touched.messages.len() as u64,
            recipients: touched.recipients.iter().map(|r| r.len() as u64).sum(),
            in_flight: touched.in_flight as u64,
        }
    }

    /// Keeps messages back. They stop at once; the hold survives a restart when this returns.
    ///
    /// # Errors
    /// The hold could not be stored; it holds until a restart.
    pub async fn hold(&self, selection: &Selection, by: &str) -> Result<Tally, Fault> {
        let tally = self.count(&Selection { held: Some(false), ..selection.clone() });
        let ids = self.with(|queue, at| queue.hold(selection, at.now));
        self.store_all(ids.clone().into_iter().map(|id| Change::Held { id })).await?;
        let messages = ids.len() as u64;
        (self.tell)(Event::MessagesHeld { by: by.to_owned(), messages });
        Ok(Tally { messages, ..tally })
    }

    /// Lets held messages go.
    ///
    /// # Errors
    /// The release could not be stored; nothing was released.
    pub async fn release(&self, selection: &Selection, by: &str) -> Result<Tally, Fault> {
        let held = Selection { held: Some(true), ..selection.clone() };
        let touched = self.lock().queue.count(&held);
        let released = touched.messages.clone().into_iter().map(|id| Change::Released { id });
        self.store_all(released).await?;
        let one_by_one = Selection { ids: Some(touched.messages), ..Selection::default() };
        let tally = self.count(&one_by_one);
        let ids = self.with(|queue, at| queue.release(&one_by_one, at.now));
        let messages = ids.len() as u64;
        (self.tell)(Event::MessagesReleased { by: by.to_owned(), messages });
        Ok(Tally { messages, ..tally })
    }

    /// Makes messages due now.
    pub fn retry(&self, selection: &Selection) -> Tally {
        let tally = self.count(selection);
        let ids = self.with(|queue, at| queue.retry(selection, at.now));
        Tally { messages: ids.len() as u64, ..tally }
    }

    /// Destroys recipients that wait or are held; nobody is told but the journal. Those in flight
    /// are counted and stay.
    ///
    /// # Errors
    /// It could not be stored; the rest stays in the queue.
    pub async fn purge(&self, selection: &Selection, by: &str) -> Result<Tally, Fault> {
        let (purged, in_flight) = self.with(|queue, at| queue.purge(selection, at.now));
        let mut tally = Tally { in_flight: in_flight as u64, ..Tally::default() };
        let mut failed = None;
        for part in purged.chunks(CHANGES_AT_ONCE) {
            if failed.is_none() {
                let changes: Vec<Change> = part.iter().flat_map(purges).collect();
                failed = self.store_all(changes.into_iter()).await.err();
            }
            for overdue in part {
                if failed.is_some() {
                    self.with(|queue, at| queue.handle_postponed(overdue, at.now));
                    continue;
                }
                tally.messages += 1;
                tally.recipients += overdue.recipients.len() as u64;
                if self.with(|queue, at| queue.handle_expired(overdue, at.now)) {
                    (self.tell)(Event::MessageCompleted { id: overdue.id });
                }
            }
        }
        let messages = tally.messages;
        (self.tell)(Event::MessagesPurged { by: by.to_owned(), messages });
        failed.map_or(Ok(tally), Err)
    }

    async fn store_all(&self, changes: impl Iterator<Item = Change>) -> Result<(), Fault> {
        let mut changes = changes.peekable();
        while changes.peek().is_some() {
            let part: Vec<Change> = changes.by_ref().take(CHANGES_AT_ONCE).collect();
            self.store.record_durably(part).await?;
        }
        Ok(())
    }

    /// What a source may do; its backlog is held or let go. Returns how many messages it has.
    /// The state itself is stored by whoever owns sources.
    pub fn set_source_state(&self, source: &SourceName, state: SourceState) -> usize {
        self.with(|queue, at| queue.set_source_state(source, state, at.now))
    }

    /// Stop-all, and its end. Stored by whoever owns the switch.
    pub fn set_stopped(&self, stopped: bool) {
        self.with(|queue, at| queue.set_stopped(stopped, at.now));
    }

    /// No member of a pool may carry, or one may (again).
    pub fn set_pool(&self, pool: &str, closed: bool) {
        self.with(|queue, at| queue.set_pool(pool, closed, at.now));
    }

    /// A new configuration.
    pub fn set_rules(&self, rules: Rules) {
        self.with(|queue, at| queue.set_rules(rules, at.now));
    }

    /// Ends holds and pauses of all lanes of a name; see [`crate::queue::Queue::release_lane`].
    pub fn release_lane(&self, lane: &str, source: Option<&SourceName>) -> usize {
        self.with(|queue, at| queue.release_lane(lane, source, at.now))
    }

    /// Ends the pause of a lane; see [`crate::queue::Queue::end_pause`].
    pub fn end_pause(&self, lane: &str, home: &str) {
        self.with(|queue, at| queue.end_pause(lane, home, at.now));
    }

    /// Mail that is held for faults of ours.
    pub fn held_mail(&self) -> Vec<HeldMail> {
        let at = (self.clock)();
        self.lock().queue.held_mail(at)
    }

    /// Totals.
    pub fn counts(&self) -> Counts {
        self.lock().queue.counts()
    }

    /// A page of lanes; see [`crate::queue::Queue::page_lanes`].
    pub fn page_lanes(&self, offset: usize, rows: usize) -> Vec<LaneRow> {
        let at = (self.clock)();
        self.lock().queue.page_lanes(offset, rows, at)
    }

    /// A page of messages.
    pub fn page_messages(
        &self,
        selection: &Selection,
        after: Option<QueueId>,
        rows: usize,
    ) -> Vec<MessageView> {
        let at = (self.clock)();
        self.lock().queue.page_messages(selection, after, rows, at)
    }

    /// One message.
    pub fn show(&self, id: QueueId) -> Option<MessageView> {
        let at = (self.clock)();
        self.lock().queue.show(id, at)
    }
}

fn purges(overdue: &Overdue) -> impl Iterator<Item = Change> + use<> {
    let id = overdue.id;
    overdue.recipients.clone().into_iter().map(move |recipient| Change::Settled {
        id,
        recipient,
        settlement: Settlement::Purged,
    })
}
