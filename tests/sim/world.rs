//! One history: a queue, a spool that forgets what was not synced, a weather of faults, and a
//! witness who knows what must hold whatever happens.

mod carriers;
mod weather;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postern::base::chance::Chance;
use postern::base::id::QueueId;
use postern::base::time::{Instant, WallTime};
use postern::config::checked::{LaneLimits, RetryPolicy};
use postern::mail::address::{Domain, Mailbox, ReversePath};
use postern::mail::answer::Answer;
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Envelope, Recipient};
use postern::mail::queued::{Change, Queued};
use postern::mail::source::{SourceName, SourceState};
use postern::mail::stage::{Label, Parcel};
use postern::mail::way::Way;
use postern::outcome::replies::Book;
use postern::queue::{Action, Assignment, Moment, Queue, Rules, Selection};

use super::spool::{Entry, Spool};

const DOMAINS: u64 = 6;
const SOURCES: [&str; 3] = ["bank", "shop", "news"];
const START: WallTime = WallTime(1_790_000_000_000);

/// A fault that is built in on purpose, to see whether the witness notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// The peer hears 250 before the sync.
    AckBeforeSync,
    /// After a restart nobody tells the queue which sources are held.
    HoldsForgotten,
    /// Deliveries are not recorded.
    OutcomesForgotten,
    /// Failures are forgotten without a report.
    ReportsForgotten,
}

/// What a domain's hosts do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Up,
    Names,
    Dead,
    Busy,
    Grey,
    Refuses,
    Drops,
    /// Has had enough, and says so.
    Throttles,
    /// Finds our SPF record wrong.
    Spf,
    /// Finds our PTR record wrong.
    Ptr,
}

struct Trip {
    domain: Domain,
    way: Way,
    connected: bool,
    job: Option<(QueueId, Vec<u16>, Vec<Answer>)>,
    waits: bool,
}

/// What the witness knows of one recipient.
#[derive(Default)]
struct Known {
    acknowledged: bool,
    taken: u32,
    doubts: u32,
    ended: bool,
}

pub(crate) struct World {
    broken: Broken,
    chance: Chance,
    at: Moment,
    queue: Queue,
    spool: Spool,
    pending: Vec<Arc<Parcel>>,
    trips: BTreeMap<u64, Trip>,
    moods: Vec<Mood>,
    shared_provider: bool,
    known: BTreeMap<(QueueId, u16), Known>,
    notices: BTreeSet<QueueId>,
    held: BTreeSet<QueueId>,
    sources: BTreeMap<SourceName, SourceState>,
    stopped: bool,
    /// Pools of which no member may carry.
    closed: BTreeSet<&'static str>,
    /// How often the pools were dealt anew.
    deals: usize,
    serial: u128,
    late: Vec<Action>,
    pub(crate) delivered: u64,
    pub(crate) reports: u64,
    pub(crate) cuts: u64,
    rules: Rules,
    book: Book,
    pub(crate) pauses: u64,
    pub(crate) holds: u64,
}

type Check = Result<(), String>;

fn rules() -> Rules {
    let policy = |first, longest, lifetime, notice: Option<u64>| RetryPolicy {
        first: Duration::from_secs(first),
        longest: Duration::from_secs(longest),
        lifetime: Duration::from_secs(lifetime),
        delay_notice: notice.map(Duration::from_secs),
    };
    Rules {
        retry: [
            policy(15, 60, 900, None),
            policy(300, 4000, 86_400, Some(14_400)),
            policy(600, 4000, 172_800, None),
        ],
        lanes: LaneLimits {
            connections_first: 2,
            connections_max: 4,
            connections_total_max: 8,
            messages_per_connection: 5,
            messages_per_minute: None,
        },
        providers: BTreeMap::new(),
        ways: dealt(0),
    }
}

/// Two pools; the second one has two members.
const POOLS: [&str; 2] = ["main", "side"];

/// The way of a source to a domain after so many deals; notifications take the first pool.
fn way_of(deals: usize, source: Option<&SourceName>, domain: &Domain) -> Way {
    let Some(source) = source else { return Way::new("main", "main") };
    let sum = |text: &str| text.bytes().map(usize::from).sum::<usize>();
    match (sum(source.as_str()) + sum(domain.as_str()) + deals) % 3 {
        0 => Way::new("main", "main"),
        member => Way::new("side", &format!("side-{member}")),
    }
}

fn dealt(deals: usize) -> Assignment {
    Assignment::new(move |source, domain| way_of(deals, source, domain))
}

impl World {
    pub(crate) fn new(seed: u64, broken: Broken) -> Self {
        let mut chance = Chance::new(seed);
        let mut rules = rules();
        if chance.below(4) == 0 {
            rules.lanes.messages_per_minute = Some(30);
        }
        let shared_provider = chance.below(2) == 0;
        let active = |name| (SourceName::new(name).unwrap(), SourceState::Active);
        Self {
            broken,
            at: Moment { now: Instant(1_000_000), wall: START },
            queue: Queue::new(rules.clone(), chance.draw()),
            spool: Spool::default(),
            pending: Vec::new(),
            trips: BTreeMap::new(),
            moods: (0..DOMAINS).map(|_| Mood::Up).collect(),
            shared_provider,
            known: BTreeMap::new(),
            notices: BTreeSet::new(),
            held: BTreeSet::new(),
            sources: SOURCES.into_iter().map(active).collect(),
            stopped: false,
            closed: BTreeSet::new(),
            deals: 0,
            serial: 0,
            late: Vec::new(),
            delivered: 0,
            reports: 0,
            cuts: 0,
            pauses: 0,
            holds: 0,
            book: Book::default(),
            rules,
            chance,
        }
    }

    /// One step of a stormy history.
    pub(crate) fn step(&mut self) -> Check {
        match self.chance.below(100) {
            0..15 => self.submit(),
            15..30 => self.sync(),
            30..60 => self.carry()?,
            60..75 => self.pass(),
            75..80 => self.change_mood(),
            80..83 => self.power_cut()?,
            83..85 => self.jump(),
            85..89 => self.switch_source(),
            89..91 => self.switch_stop(),
            91..93 => self.switch_link(),
            93 => self.deal_pools(),
            94..96 => self.order(),
            96..98 => self.lose_carrier(),
            _ => self.work_off_late()?,
        }
        self.drain();
        self.check_limits()
    }

    /// Faults stop; then everything must come to an end.
    pub(crate) fn calm(&mut self) -> Check {
        self.moods.iter_mut().for_each(|mood| *mood = Mood::Up);
        for (name, state) in &mut self.sources {
            *state = SourceState::Active;
            self.queue.set_source_state(name, *state, self.at.now);
        }
        self.stopped = false;
        self.closed.clear();
        self.queue.set_stopped(false, self.at.now);
        POOLS.into_iter().for_each(|pool| self.queue.set_pool(pool, false, self.at.now));
        self.sync();
        self.held.clear();
        for id in self.queue.release(&Selection::default(), self.at.now) {
            self.spool.append(Entry::Change(Change::Released { id }));
        }
        let deadline = self.at.now.after(Duration::from_secs(3 * 86_400));
        for _ in 0..200_000 {
            self.drain();
            self.work_off_late()?;
            let trips: Vec<u64> = self.trips.keys().copied().collect();
            let mut moved = false;
            for carrier in trips {
                moved |= self.visit(carrier)?;
            }
            self.check_limits()?;
            if self.queue.counts().messages == 0 {
                self.sync();
                return self.check_all(true);
            }
            if !moved && self.late.is_empty() {
                let Some(at) = self.queue.poll_timeout() else {
                    return Err(self.stuck("nothing is planned and mail is left"));
                };
                self.advance(at.since(self.at.now).max(Duration::from_millis(1)));
                // Those that waited in vain go home.
                self.send_idle_home();
                self.queue.handle_timeout(self.at.now);
            }
            if self.at.now > deadline {
                return Err(self.stuck("not at an end after three days of fine weather"));
            }
        }
        Err(self.stuck("too many steps"))
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.chance.below(count as u64)).unwrap()
    }

    fn submit(&mut self) {
        let source = SOURCES[self.pick(3)];
        let class = MessageClass::ALL[self.pick(3)];
        let name = SourceName::new(source).unwrap();
        if !self.sources[&name].accepts() {
            return;
        }
        let from = Mailbox::parse(&format!("{source}@sender.example"), false).unwrap();
        let mut envelope = Envelope::from(ReversePath::Mailbox(from));
        for index in 0..=self.chance.below(3) {
            let domain = self.chance.below(DOMAINS);
            let to = Mailbox::parse(&format!("r{index}@d{domain}.example"), false).unwrap();
            envelope.recipients.push(Recipient::plain(to));
        }
        let parcel = self.parcel(name, class, envelope, false);
        self.spool.append(Entry::Message(Arc::clone(&parcel)));
        if self.broken == Broken::AckBeforeSync {
            self.acknowledge(&parcel);
        } else {
            self.pending.push(parcel);
        }
    }

    fn parcel(
        &mut self,
        source: SourceName,
        class: MessageClass,
        envelope: Envelope,
        notification: bool,
    ) -> Arc<Parcel> {
        self.serial += 1;
        let accepted = self.at.wall;
        let lifetime = self.rules.retry[class as usize].lifetime;
        let expires = accepted.after(lifetime);
        let label =
            Label { source, class, accepted, expires, notification, priority: 0, notice: None };
        let content = Bytes::from_static(b"Subject: x\r\n\r\ny\r\n");
        Arc::new(Parcel { id: QueueId::new(accepted, self.serial), label, envelope, content })
    }

    fn acknowledge(&mut self, parcel: &Parcel) {
        for (_, index) in parcel.envelope.recipients.iter().zip(0..) {
            self.known.entry((parcel.id, index)).or_default().acknowledged = true;
        }
        if parcel.label.notification {
            self.notices.insert(parcel.id);
        }
        self.queue.handle_custody(&Queued::fresh(parcel), self.at);
    }

    fn sync(&mut self) {
        self.spool.sync();
        for parcel in std::mem::take(&mut self.pending) {
            self.acknowledge(&parcel);
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.queue.poll_action() {
            match action {
                Action::Dispatch { carrier, domain, way } => {
                    let trip = Trip { domain, way, connected: false, job: None, waits: false };
                    self.trips.insert(carrier, trip);
                }
                Action::Wake { carrier } => {
                    if let Some(trip) = self.trips.get_mut(&carrier) {
                        trip.waits = false;
                    }
                }
                late => self.late.push(late),
            }
        }
    }
}
