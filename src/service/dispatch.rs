//! The sorting desk: the queue in a mutex, its actions carried out, its outcomes recorded.
//!
//! Nothing waits under the lock. Every call does its piece of scheduling, then carries out what the
//! queue asked for in the caller's own task: a fresh message is on its way to a carrier without a
//! hop through another task. One task sleeps until the queue's next timer, one writes reports
//! for mail whose time is over.
//!
//! **Order of custody:** an outcome is handed to the store before the queue forgets the
//! recipient, and a report is durable together with the outcome that it reports.

mod crash;
mod damaged;
mod orders;
mod overdue;
mod settle;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

pub use orders::Tally;

use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::base::limits::CONNECTION_IDLE;
use crate::base::time::Instant;
use crate::event::Event;
use crate::mail::address::{Domain, Mailbox};
use crate::mail::answer::{Answer, Phase};
use crate::mail::queued::{Change, Queued};
use crate::mail::source::SourceName;
use crate::mail::stage::{Custody, Parcel, Signed};
use crate::mail::way::Way;
use crate::outcome::dsn::Report;
use crate::queue::{Action, HeldMail, Moment, Next, Overdue, Queue, Rules, Ticket, Untried};
use crate::service::post::{CarrierId, Delivery, Desk, Job, ListedEar};
use crate::service::receivers::Receivers;
use crate::service::suspects::{InHand, Suspects};

/// Why a stored message is not at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// Its record is damaged or gone; trying again is no use.
    Damaged {
        /// How.
        reason: String,
        /// Label and envelope, if they could be read: whom to tell. Its content is empty.
        known: Option<Arc<Parcel>>,
    },
    /// Something of ours failed; it may be readable in a minute.
    Fault(Fault),
}

/// The spool, as the desk sees it.
pub trait Store: Send + Sync + 'static {
    /// A message with its content.
    fn fetch(&self, id: QueueId) -> impl Future<Output = Result<Arc<Parcel>, FetchError>> + Send;

    /// Puts changes on their way to the ledger, in the order of the calls, without waiting for the
    /// sync (it follows within `OUTCOME_SYNC_WAIT`).
    ///
    /// # Errors
    /// The ledger takes nothing any more (latched).
    fn record(&self, changes: Vec<Change>) -> Result<(), Fault>;

    /// As `record`, and returns once they are durable.
    fn record_durably(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Takes a message out of circulation: its octets are kept in the quarantine, its recipients
    /// are settled, and the fact is told.
    fn quarantine(
        &self,
        id: QueueId,
        reason: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Takes custody of a report together with the changes that it reports: both or neither.
    fn commit(
        &self,
        signed: Signed,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<Custody, Fault>> + Send;
}

/// What writing reports needs from the house.
pub trait Reporter: Send + Sync + 'static {
    /// A new queue id.
    fn id(&self) -> QueueId;

    /// Our own name.
    fn hostname(&self) -> Domain;

    /// Who is told about the mail of a source when its reverse-path is null.
    fn owner(&self, source: &SourceName) -> Option<Mailbox>;

    /// Seals a report: null reverse-path, one recipient (`report.to`, NOTIFY=NEVER), label with
    /// `notification`, source of `about`, class transactional and its lifetime; signed if the
    /// hostname's domain has a key, unsigned else: a report that can never be sealed would keep its
    /// message for ever.
    fn seal(
        &self,
        report: Report,
        about: &Parcel,
    ) -> impl Future<Output = Result<Signed, Fault>> + Send;
}

type Carry =
    Box<dyn Fn(Domain, Way, CarrierId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Reads both clocks.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Tells the world a fact.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

struct Inner {
    queue: Queue,
    /// Carriers that wait for a job.
    waiting: HashMap<u64, oneshot::Sender<()>>,
}

/// The sorting desk.
pub struct Dispatch<S, R> {
    store: Arc<S>,
    reporter: R,
    clock: Clock,
    tell: Tell,
    inner: Mutex<Inner>,
    carry: OnceLock<Carry>,
    overdue: mpsc::UnboundedSender<Late>,
    overdue_in: Mutex<Option<mpsc::UnboundedReceiver<Late>>>,
    /// The moment for which the timer task sleeps.
    armed: AtomicU64,
    timer: Notify,
    left: Notify,
    /// Who looks after crashes; without it nobody does.
    suspects: OnceLock<Arc<Suspects>>,
    /// What is known of receivers.
    receivers: Mutex<Arc<Receivers>>,
    /// Who wants to hear that an address of ours is listed.
    listed: OnceLock<ListedEar>,
    /// What each carrier has in hand.
    hands: Mutex<HashMap<u64, InHand>>,
}

/// Mail whose patience is over.
#[derive(Debug)]
enum Late {
    Expired(Overdue),
    Delayed(Overdue),
}

impl<S: Store, R: Reporter> Dispatch<S, R> {
    /// A desk with an empty queue. Nothing moves before [`Dispatch::start`].
    pub fn new(
        store: Arc<S>,
        reporter: R,
        rules: Rules,
        seed: u64,
        clock: Clock,
        tell: Tell,
    ) -> Arc<Self> {
        let (overdue, overdue_in) = mpsc::unbounded_channel();
        Arc::new(Self {
            store,
            reporter,
            clock,
            tell,
            inner: Mutex::new(Inner { queue: Queue::new(rules, seed), waiting: HashMap::new() }),
            carry: OnceLock::new(),
            overdue,
            overdue_in: Mutex::new(Some(overdue_in)),
            armed: AtomicU64::new(u64::MAX),
            timer: Notify::new(),
            left: Notify::new(),
            suspects: OnceLock::new(),
            receivers: Mutex::default(),
            listed: OnceLock::new(),
            hands: Mutex::default(),
        })
    }

    /// Starts delivery: `carry` is the life of one carrier (`service::delivery`). Must be called
    /// inside the runtime, once; a second call does nothing. Returns the desk's two tasks.
    pub fn start<F, Fut>(self: &Arc<Self>, carry: F) -> Vec<tokio::task::JoinHandle<()>>
    where
        F: Fn(Arc<Self>, Domain, Way, CarrierId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let desk = Arc::downgrade(self);
        let carry: Carry = Box::new(move |domain, way, carrier| {
            let Some(desk) = desk.upgrade() else { return Box::pin(std::future::ready(())) };
            let farewell = Farewell { desk: Arc::clone(&desk), carrier };
            let life = carry(desk, domain, way, carrier);
            Box::pin(async move {
                let _farewell = farewell;
                life.await;
            })
        });
        let receiver = self.overdue_in.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Ok(()), Some(receiver)) = (self.carry.set(carry), receiver) else {
            return Vec::new();
        };
        let tasks = vec![
            tokio::spawn(Arc::clone(self).keep_time()),
            tokio::spawn(Arc::clone(self).keep_promises(receiver)),
        ];
        self.with(|_, _| ());
        tasks
    }

    /// A message is in custody: it goes on its way.
    pub fn admit(&self, custody: &Custody, parcel: &Parcel) {
        debug_assert_eq!(custody.id(), parcel.id);
        let queued = Queued::fresh(parcel);
        self.with(|queue, at| queue.handle_custody(&queued, at));
    }

    /// Messages that the spool found at start-up. Returns how many were new to the queue.
    pub fn recover(&self, batch: &[Queued]) -> usize {
        self.with(|queue, at| queue.handle_recovered(batch, at))
    }

    /// Deals out nothing more and waits for the carriers, up to `bound`. Returns how many are
    /// still under way; their messages stay queued.
    pub async fn drain(&self, bound: Duration) -> usize {
        self.with(|queue, at| queue.set_draining(true, at.now));
        let all_left = async {
            loop {
                let left = self.left.notified();
                if self.lock().queue.carriers() == 0 {
                    return;
                }
                left.await;
            }
        };
        let _ = tokio::time::timeout(bound, all_left).await;
        self.lock().queue.carriers()
    }

    /// What is known of receivers, from now on.
    pub fn set_receivers(&self, receivers: Receivers) {
        *self.receivers.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(receivers);
    }

    fn receivers(&self) -> Arc<Receivers> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who wants to hear that an address of ours is listed; once, a second call does nothing.
    pub fn hear_listed(&self, ear: ListedEar) {
        let _ = self.listed.set(ear);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock is a bug that ends its task; the schedule itself is whole, and
        // the spool knows everything that matters.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` under the lock, then carries out what the queue asks for.
    fn with<T>(&self, work: impl FnOnce(&mut Queue, Moment) -> T) -> T {
        let at = (self.clock)();
        let mut inner = self.lock();
        let result = work(&mut inner.queue, at);
        self.carry_out(inner);
        result
    }

    fn carry_out(&self, mut inner: MutexGuard<'_, Inner>) {
        let (mut sent, mut ended) = (Vec::new(), Vec::new());
        // Before the start, actions stay where they are.
        if self.carry.get().is_some() {
            while let Some(action) = inner.queue.poll_action() {
                match action {
                    Action::Dispatch { carrier, domain, way } => sent.push((carrier, domain, way)),
                    Action::Wake { carrier } => {
                        if let Some(waiter) = inner.waiting.remove(&carrier) {
                            let _ = waiter.send(());
                        }
                    }
                    // The receiver lives as long as the desk.
                    Action::Expire(overdue) => drop(self.overdue.send(Late::Expired(overdue))),
                    Action::HoldEnded(held) => ended.push(held),
                    Action::NoticeDelay(overdue) => {
                        drop(self.overdue.send(Late::Delayed(overdue)));
                    }
                }
            }
        }
        let timeout = inner.queue.poll_timeout();
        drop(inner);
        for held in ended {
            let HeldMail { lane, home: egress, source, defect: what, .. } = held;
            (self.tell)(Event::LaneReleased { lane, egress, source, what });
        }
        if timeout.is_some_and(|at| at.0 < self.armed.load(Ordering::Acquire)) {
            self.timer.notify_one();
        }
        if let Some(carry) = self.carry.get() {
            for (carrier, domain, way) in sent {
                tokio::spawn(carry(domain, way, CarrierId(carrier)));
            }
        }
    }

    /// Sleeps until the queue's next timer, again and again.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let timeout = self.lock().queue.poll_timeout();
            self.armed.store(timeout.map_or(u64::MAX, |at| at.0), Ordering::Release);
            // Something earlier may have come between the look and the store.
            let again = self.lock().queue.poll_timeout();
            if again < timeout || (timeout.is_none() && again.is_some()) {
                continue;
            }
            let now = (self.clock)().now;
            match timeout {
                Some(at) if at <= now => {
                    self.with(|queue, at| queue.handle_timeout(at.now));
                    tokio::task::yield_now().await;
                }
                Some(at) => {
                    let sleep = tokio::time::sleep(round_up(at.since(now)));
                    tokio::select! {
                        () = sleep => {}
                        () = self.timer.notified() => {}
                    }
                }
                None => self.timer.notified().await,
            }
        }
    }

    /// The message of a job, or what became of it instead.
    async fn open(&self, carrier: u64, ticket: Ticket) -> Option<Job> {
        self.take_in_hand(carrier, ticket.id).await;
        match self.store.fetch(ticket.id).await {
            Ok(parcel) => {
                let Ticket { recipients, attempts, .. } = ticket;
                Some(Job { parcel, recipients, attempts })
            }
            Err(FetchError::Damaged { reason, known }) => {
                self.give_up_damaged(carrier, ticket, reason, known).await;
                None
            }
            Err(FetchError::Fault(fault)) => {
                self.fault_seen(&fault);
                self.with(|queue, at| queue.handle_fault(carrier, at.now));
                None
            }
        }
    }

    fn fault_seen(&self, fault: &Fault) {
        let (room, fault) = ("queue".to_owned(), fault.to_string());
        (self.tell)(Event::FaultSeen { room, fault });
    }

    /// Asks the queue; a carrier that shall wait gets the bell that calls it.
    fn ask(&self, carrier: u64, patient: bool) -> Asked {
        let at = (self.clock)();
        let mut inner = self.lock();
        let asked = match inner.queue.next_job(carrier, patient, at.now) {
            Next::Job(ticket) => Asked::Job(ticket),
            Next::Leave => Asked::Leave,
            Next::Wait => {
                let (bell, ear) = oneshot::channel();
                inner.waiting.insert(carrier, bell);
                Asked::Wait(ear)
            }
        };
        self.carry_out(inner);
        asked
    }
}

enum Asked {
    Job(Ticket),
    Wait(oneshot::Receiver<()>),
    Leave,
}

/// Timers of the runtime have milliseconds; waking early would make a busy loop.
fn round_up(wait: Duration) -> Duration {
    wait + Duration::from_millis(1)
}

/// Whatever ends a carrier's life, its slot is freed.
struct Farewell<S: Store, R: Reporter> {
    desk: Arc<Dispatch<S, R>>,
    carrier: CarrierId,
}

impl<S: Store, R: Reporter> Drop for Farewell<S, R> {
    fn drop(&mut self) {
        self.desk.leave(self.carrier);
    }
}

impl<S: Store, R: Reporter> Desk for Dispatch<S, R> {
    async fn next(&self, carrier: CarrierId, patient: bool) -> Option<Job> {
        let mut patient = patient;
        loop {
            match self.ask(carrier.0, patient) {
                Asked::Leave => return None,
                Asked::Job(ticket) => {
                    if let Some(job) = self.open(carrier.0, ticket).await {
                        return Some(job);
                    }
                }
                Asked::Wait(ear) => {
                    if tokio::time::timeout(CONNECTION_IDLE, ear).await.is_err() {
                        self.lock().waiting.remove(&carrier.0);
                        patient = false;
                    }
                }
            }
        }
    }

    async fn settle(&self, carrier: CarrierId, job: Job, delivery: Delivery) {
        self.settle_job(carrier.0, &job, &delivery).await;
        // Whoever was put off before its content was touched has shown nothing.
        let touched = |answer: &Answer| matches!(answer.phase, Phase::Content | Phase::Dot);
        self.put_down(carrier.0, delivery.answers.iter().any(touched));
    }

    fn provider(&self, domain: &Domain, provider: &str) {
        self.with(|queue, at| queue.handle_provider(domain, provider, at.now));
    }

    fn may_connect(&self, carrier: CarrierId) -> bool {
        self.lock().queue.may_connect(carrier.0)
    }

    fn hand_back(&self, carrier: CarrierId, job: Job) {
        drop(job);
        self.put_down(carrier.0, false);
        self.with(|queue, at| queue.handle_untried(carrier.0, Untried::NoSlot, at.now));
    }

    fn park(&self, carrier: CarrierId, job: Job, untried: Untried<'_>) {
        drop(job);
        self.put_down(carrier.0, false);
        self.with(|queue, at| queue.handle_untried(carrier.0, untried, at.now));
    }

    fn leave(&self, carrier: CarrierId) {
        self.lock().waiting.remove(&carrier.0);
        self.bury(carrier.0);
        self.with(|queue, at| queue.handle_leave(carrier.0, at.now));
        self.left.notify_waiters();
    }
}

/// Now, for stamps of things that lie in the future.
fn stamp(at: Moment, wait: Duration) -> (Instant, crate::base::time::WallTime) {
    (at.now.after(wait), at.wall.after(wait))
}
