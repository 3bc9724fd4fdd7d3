//! The herald: takes a fact, stamps it, counts it, remembers it for a while and passes it on.
//!
//! [`Herald::tell`] costs about a microsecond and never waits for a disk, a journal or a listener:
//! whoever wants to hear registers a [`Hearer`] that must not block (push to a bounded channel).
//!
//! **Invariant:** memory is bounded by `FACTS_KEPT_MAX` and `FACT_OCTETS_KEPT_MAX`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;

use super::Event;
use super::counters::Counters;
use super::hour::{Hour, LastHour};
use crate::base::id::QueueId;
use crate::base::limits::{FACT_OCTETS_KEPT_MAX, FACTS_KEPT_MAX};
use crate::base::time::WallTime;

/// A fact with its number and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Counts from 1 since the start of the process; no gaps.
    pub number: u64,
    /// When it was told.
    pub at: WallTime,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Hears every fact, in order of telling per thread. Must return at once; `false` ends it.
pub type Hearer = Box<dyn Fn(&Arc<Told>) -> bool + Send + Sync>;

/// The facts that are remembered.
#[derive(Default)]
struct Ring {
    facts: VecDeque<(usize, Arc<Told>)>,
    octets: usize,
}

impl Ring {
    fn push(&mut self, told: Arc<Told>) {
        let octets = weight(&told.event);
        self.octets += octets;
        self.facts.push_back((octets, told));
        while self.facts.len() > FACTS_KEPT_MAX || self.octets > FACT_OCTETS_KEPT_MAX {
            match self.facts.pop_front() {
                Some((gone, _)) => self.octets -= gone,
                None => break,
            }
        }
    }
}

/// What a fact costs in memory, roughly: the variant itself and the texts that it carries.
fn weight(event: &Event) -> usize {
    let texts = match event {
        Event::MessageAccepted { reverse_path, from, mail_message_id, signatures, .. } => {
            reverse_path.len() + from.len() + mail_message_id.len() + 40 * signatures.len()
        }
        Event::MessageRefused { reverse_path, reason, reply, .. } => {
            reverse_path.len() + reason.len() + reply.len()
        }
        Event::ConfigRefused { complaints, .. } => complaints.iter().map(String::len).sum(),
        Event::MessageCompleted { .. } => 0,
        other => other.attempt().map_or(128, |attempt| {
            attempt.recipient.len()
                + attempt.relay.len()
                + attempt.egress.len()
                + attempt.tls.len()
                + attempt.reply.text().len()
        }),
    };
    size_of::<Told>() + 32 + texts
}

/// Tells facts. One per process, shared by an `Arc`.
pub struct Herald {
    clock: fn() -> WallTime,
    number: AtomicU64,
    counters: Counters,
    hour: Hour,
    ring: Mutex<Ring>,
    heard: AtomicBool,
    hearers: RwLock<Vec<Hearer>>,
}

impl Herald {
    /// A herald that stamps facts with `clock` (the daemon passes `host::clock::wall`).
    #[must_use]
    pub fn new(clock: fn() -> WallTime) -> Self {
        Self {
            clock,
            number: AtomicU64::new(0),
            counters: Counters::default(),
            hour: Hour::default(),
            ring: Mutex::new(Ring::default()),
            heard: AtomicBool::new(false),
            hearers: RwLock::new(Vec::new()),
        }
    }

    /// Tells a fact.
    pub fn tell(&self, event: Event) {
        self.counters.count(&event);
        let at = (self.clock)();
        self.hour.count(&event, at);
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let told = Arc::new(Told { number, at, event });
        if self.heard.load(Ordering::Acquire) {
            self.pass_on(&told);
        }
        // Sessions come and go by the thousand; they are for the journal, not for the memory.
        if !matches!(told.event, Event::SessionOpened { .. } | Event::SessionClosed { .. }) {
            self.ring().push(told);
        }
    }

    fn pass_on(&self, told: &Arc<Told>) {
        let hearers = self.hearers.read().unwrap_or_else(PoisonError::into_inner);
        let leaving = hearers.iter().filter(|hearer| !hearer(told)).count();
        drop(hearers);
        if leaving > 0 {
            // A hearer that left hears this one fact twice and refuses it twice.
            let mut hearers = self.hearers.write().unwrap_or_else(PoisonError::into_inner);
            hearers.retain(|hearer| hearer(told));
            self.heard.store(!hearers.is_empty(), Ordering::Release);
        }
    }

    /// Registers `hearer` for every fact from now on, until it returns `false`.
    pub fn attach(&self, hearer: Hearer) {
        let mut hearers = self.hearers.write().unwrap_or_else(PoisonError::into_inner);
        hearers.push(hearer);
        self.heard.store(true, Ordering::Release);
    }

    /// Counters since the start of the process.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the last sixty minutes brought.
    #[must_use]
    pub fn last_hour(&self) -> LastHour {
        self.hour.sums((self.clock)())
    }

    /// What is remembered about one message, oldest first. Older facts are in the journal.
    #[must_use]
    pub fn about(&self, id: QueueId) -> Vec<Arc<Told>> {
        self.remembered(|told| told.event.message() == Some(id))
    }

    /// What is remembered after fact `number`, oldest first, at most `count`.
    #[must_use]
    pub fn since(&self, number: u64, count: usize) -> Vec<Arc<Told>> {
        let mut facts = self.remembered(|told| told.number > number);
        facts.truncate(count);
        facts
    }

    fn remembered(&self, wanted: impl Fn(&Told) -> bool) -> Vec<Arc<Told>> {
        let ring = self.ring();
        ring.facts.iter().filter(|(_, told)| wanted(told)).map(|(_, told)| told.clone()).collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Herald {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Herald").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A delivery as tests of several files need one.
#[cfg(test)]
pub(crate) fn sample(id: QueueId, recipient: &str) -> super::Attempt {
    use crate::mail::status::EnhancedStatus;
    use crate::mail::{class::MessageClass, reply::PeerReply, source::SourceName};
    super::Attempt {
        id,
        source: SourceName::new("billing").unwrap(),
        class: MessageClass::Transactional,
        recipient: recipient.to_owned(),
        relay: "mx.example.org[192.0.2.1]:25".to_owned(),
        provider: None,
        egress: "main".to_owned(),
        tls: "TLSv1.3".to_owned(),
        assurance: crate::mail::trust::Assurance::Dane,
        attempts: 1,
        delay_millis: 1234,
        reply: PeerReply::new(250, Some(EnhancedStatus::new(2, 0, 0)), "Ok queued"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn clock() -> WallTime {
        WallTime(1_790_000_000_000)
    }

    #[test]
    fn a_message_is_traced_by_its_id() {
        let herald = Herald::new(clock);
        let (one, two) = (QueueId(1), QueueId(2));
        herald.tell(Event::RecipientDelivered(sample(one, "a@b.c")));
        herald.tell(Event::RecipientDelivered(sample(two, "d@e.f")));
        herald.tell(Event::MessageCompleted { id: one });
        let names: Vec<_> = herald.about(one).iter().map(|told| told.event.name()).collect();
        assert_eq!(names, ["recipient_delivered", "message_completed"]);
        assert_eq!(herald.since(1, 10).len(), 2);
        assert_eq!(herald.since(0, 1)[0].number, 1);
    }

    #[test]
    fn memory_is_bounded() {
        let herald = Herald::new(clock);
        for n in 0..60_000 {
            herald.tell(Event::RecipientDelivered(sample(QueueId(n), "a@example.org")));
        }
        let ring = herald.ring();
        assert!(ring.facts.len() <= FACTS_KEPT_MAX);
        assert!(ring.octets <= FACT_OCTETS_KEPT_MAX);
        assert_eq!(ring.octets, ring.facts.iter().map(|(octets, _)| octets).sum::<usize>());
        assert_eq!(ring.facts.back().unwrap().1.number, 60_000);
    }

    #[test]
    fn a_hearer_hears_until_it_leaves() {
        let herald = Herald::new(clock);
        let (sender, receiver) = mpsc::sync_channel(2);
        herald.attach(Box::new(move |told| sender.try_send(told.number).is_ok()));
        for id in 0..5 {
            herald.tell(Event::MessageCompleted { id: QueueId(id) });
        }
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert!(herald.hearers.read().unwrap().is_empty());
        assert!(!herald.heard.load(Ordering::Relaxed));
    }
}
