//! Schedule: which message may go to which provider, and when. Sans I/O: `handle_*`,
//! `poll_action`, `poll_timeout`, getters. No clock and no chance but what is handed in.
//!
//! ```text
//! custody ─► ready ─────────► busy ──delivered, failed──► (gone)
//!              ▲  ▲ carrier     │
//!              │  └─────────────┤ our way out is down: no attempt is counted
//!         date │                │ transient
//!              └── waiting ◄────┘          held ◄──► ready/waiting   (an operator, by message)
//!   ready, waiting ──time over──► settling ──recorded──► (gone)
//! ```
//!
//! **Decisions.** A message is tried again after `first`, twice that, four times that .. `longest`,
//! each ± 20 %. Expiry goes by the monotonic clock from the moment that the message was seen; the
//! wall clock only says how old it was then, and mail that is found at start-up lives for at least
//! `RECOVERY_GRACE`, so a clock that jumps never destroys mail. Mail that is *held* (by message, by
//! source, by stop-all) or that waits because our own way out is down does not expire, as Postfix
//! does: neither an operator's hold nor our own fault may destroy mail. Once it may go again
//! it gets one attempt even if its time is over. Mail behind a destination that does not answer
//! does expire, each message in its own time.
//!
//! **Invariant:** every operation on one message costs O(log n); only operators' selections and
//! lists look at everything.

mod deal;
mod hold;
mod lane;
mod order;
mod pause;
mod settle;
mod slab;
mod stock;
mod timers;
mod turn;
mod view;
mod ways;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use hold::HeldMail;
pub use order::{Selection, Touched};
pub use settle::{Health, Plan, Retry, Slowed};
pub use view::{Counts, LaneRow, LaneState, LegView, MessageView};
pub use ways::{Assignment, Untried};

use crate::base::chance::Chance;
use crate::base::id::QueueId;
use crate::base::limits::{RECOVERY_GRACE, WALL_CLOCK_MIN_MILLIS};
use crate::base::time::{Instant, WallTime};
use crate::config::checked::{LaneLimits, RetryPolicy};
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::queued::{Queued, QueuedRecipient};
use crate::mail::reply::PeerReply;
use crate::mail::source::{SourceName, SourceState};
use crate::mail::way::Way;
use lane::{Destination, Lane, Memory};
use slab::{NONE, Slab};
use stock::{Leg, Message, Pile, Place, Recipients, Tick};

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For every decision.
    pub now: Instant,
    /// For stamps alone.
    pub wall: WallTime,
}

/// What the configuration says about patience and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Patience, by class in the order of [`MessageClass::ALL`].
    pub retry: [RetryPolicy; 3],
    /// Ceilings per provider.
    pub lanes: LaneLimits,
    /// Ceilings of single providers, by name.
    pub providers: BTreeMap<String, LaneLimits>,
    /// Which way mail takes.
    pub ways: Assignment,
}

/// What the driver must do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a carrier to a domain; it will ask [`Queue::next_job`].
    Dispatch {
        /// Its number.
        carrier: u64,
        /// Where it goes.
        domain: Domain,
        /// By which way.
        way: Way,
    },
    /// A carrier that was told to wait shall ask again.
    Wake {
        /// Its number.
        carrier: u64,
    },
    /// The time of these recipients is over: report, record, then
    /// [`Queue::handle_expired`] or, if that failed, [`Queue::handle_postponed`].
    Expire(Overdue),
    /// The sender is due a notice of the delay; at most one for each recipient.
    NoticeDelay(Overdue),
    /// Mail is held no more: the defect is mended, or an operator said so.
    HoldEnded(HeldMail),
}

/// Recipients of a message whose patience is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The message.
    pub id: QueueId,
    /// Indices of the recipients.
    pub recipients: Vec<u16>,
    /// Attempts so far.
    pub attempts: u32,
    /// The last unhappy answer of the destination, if there was one since the start.
    pub reply: Option<PeerReply>,
}

/// What a carrier hears when it asks for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A message and its recipients.
    Job(Ticket),
    /// Nothing now: wait for [`Action::Wake`], or leave.
    Wait,
    /// Close the connection and leave.
    Leave,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The message.
    pub id: QueueId,
    /// Indices of the recipients.
    pub recipients: Vec<u16>,
    /// Attempts before this one.
    pub attempts: u32,
}

/// A timer that belongs to no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// A shut or parked destination may be looked at again.
    Destination(u32),
    /// A lane has a token again.
    Lane(u32),
    /// A lane's pause is over, for urgent mail or for all.
    Pause(u32),
    /// It is time to see whether the defects of a lane are mended.
    Probe(u32),
}

/// What a carrier is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It will ask any moment.
    Asking,
    /// It waits to be woken.
    Idle,
    /// It carries this leg.
    Busy(u32),
    /// It was told to leave.
    Leaving,
}

#[derive(Debug)]
struct Carrier {
    destination: u32,
    doing: Doing,
    jobs: u32,
    /// The leg that it was sent with, past the rings.
    errand: u32,
    /// It finds out whether a defect is mended.
    probe: bool,
}

#[derive(Debug)]
struct SourceEntry {
    name: SourceName,
    state: SourceState,
}

/// The schedule.
#[derive(Debug)]
pub struct Queue {
    rules: Rules,
    chance: Chance,
    now: Instant,
    messages: Slab<Message>,
    legs: Slab<Leg>,
    piles: Slab<Pile>,
    destinations: Slab<Destination>,
    lanes: Slab<Lane>,
    ids: BTreeMap<QueueId, u32>,
    /// By source, destination, class.
    pile_of: BTreeMap<(u32, u32, MessageClass), u32>,
    /// The first destination of each domain; its others follow through `Destination::twin`.
    destination_of: BTreeMap<Domain, u32>,
    /// By provider and home.
    lane_of: BTreeMap<(Box<str>, Arc<str>), u32>,
    /// Pauses and holds of lanes that have no mail now, by provider and home.
    memories: BTreeMap<(Box<str>, Arc<str>), Memory>,
    /// Holds, those of the memories included.
    holds: usize,
    /// Every way that was ever in use; there are few.
    ways: Vec<Way>,
    way_of: BTreeMap<Way, u32>,
    sources: Vec<SourceEntry>,
    source_of: BTreeMap<SourceName, u32>,
    carriers: BTreeMap<u64, Carrier>,
    /// Carriers that wait, by lane.
    idle: BTreeSet<(u32, u64)>,
    /// Carriers that were told to leave.
    leaving: u32,
    /// Numbers of carriers ever sent.
    sent: u64,
    /// Waiting legs by date.
    due: BTreeSet<(Tick, u32)>,
    /// Messages by the second of their next notice or expiry.
    patience: BTreeSet<(u32, u32)>,
    alarms: BTreeSet<(Instant, Alarm)>,
    /// Empty destinations, the longest empty first.
    fading: VecDeque<(Instant, u32)>,
    /// Lanes that want a connection: for urgent mail, for other mail.
    turnout: [VecDeque<u32>; 2],
    actions: VecDeque<Action>,
    stopped: bool,
    draining: bool,
    /// Pools of which no member may carry.
    closed: BTreeSet<Arc<str>>,
}

/// The source of all notifications as far as holding and fairness go.
const NOTICES: u32 = 0;

impl Queue {
    /// An empty schedule. `seed` feeds the jitter.
    #[must_use]
    pub fn new(rules: Rules, seed: u64) -> Self {
        let mut queue = Self {
            rules,
            chance: Chance::new(seed),
            now: Instant(0),
            messages: Slab::new(),
            legs: Slab::new(),
            piles: Slab::new(),
            destinations: Slab::new(),
            lanes: Slab::new(),
            ids: BTreeMap::new(),
            pile_of: BTreeMap::new(),
            destination_of: BTreeMap::new(),
            lane_of: BTreeMap::new(),
            memories: BTreeMap::new(),
            holds: 0,
            ways: Vec::new(),
            way_of: BTreeMap::new(),
            sources: Vec::new(),
            source_of: BTreeMap::new(),
            carriers: BTreeMap::new(),
            idle: BTreeSet::new(),
            leaving: 0,
            sent: 0,
            due: BTreeSet::new(),
            patience: BTreeSet::new(),
            alarms: BTreeSet::new(),
            fading: VecDeque::new(),
            turnout: [VecDeque::new(), VecDeque::new()],
            actions: VecDeque::new(),
            stopped: false,
            draining: false,
            closed: BTreeSet::new(),
        };
        if let Some(name) = SourceName::new("notifications") {
            // Not in `source_of`: a source of that name is somebody else.
            queue.sources.push(SourceEntry { name, state: SourceState::Active });
        }
        queue
    }

    /// A new configuration is in force. Lanes above a lower ceiling shrink as carriers ask; mail
    /// whose way has changed takes the new one.
    pub fn set_rules(&mut self, rules: Rules, now: Instant) {
        self.now = now;
        let moved = rules.ways != self.rules.ways;
        self.rules = rules;
        if moved {
            self.reassign();
        }
        let lanes: Vec<u32> = self.lanes.iter().map(|(number, _)| number).collect();
        for number in lanes {
            let limits = self.limits_of(&self.lanes[number].name);
            let lane = &mut self.lanes[number];
            lane.set_limits(limits);
            // A higher rate counts from now on.
            if std::mem::take(&mut lane.rate_alarm) {
                self.alarms.remove(&(lane.rate_free, Alarm::Lane(number)));
            }
            lane.rate_free = lane.rate_free.min(now.after(lane.gap()));
            self.set_rate_alarm(number);
            self.wake_lane(number);
            self.poke_lane(number);
        }
    }

    /// A message came into custody, or comes back from it. False if it is there already.
    pub fn handle_custody(&mut self, queued: &Queued, moment: Moment) -> bool {
        self.now = moment.now;
        let lifetime = queued.label.expires.since(queued.label.accepted);
        self.add(queued, moment, lifetime)
    }

    /// Messages that were found in the spool at start-up. Returns how many were new.
    pub fn handle_recovered(&mut self, batch: &[Queued], moment: Moment) -> usize {
        self.now = moment.now;
        let mut added = 0;
        for queued in batch {
            let lifetime = queued.label.expires.since(queued.label.accepted);
            let left = match queued.label.accepted.min(moment.wall) {
                WallTime(..WALL_CLOCK_MIN_MILLIS) => lifetime,
                _ => queued.label.expires.since(moment.wall).max(RECOVERY_GRACE).min(lifetime),
            };
            added += usize::from(self.add(queued, moment, left));
        }
        added
    }

    fn add(&mut self, queued: &Queued, moment: Moment, left: Duration) -> bool {
        if queued.recipients.is_empty() || self.ids.contains_key(&queued.id) {
            return false;
        }
        let label = &queued.label;
        let source = self.source_number(&label.source);
        let Some(message) = self.messages.insert(Message {
            id: queued.id,
            accepted: label.accepted.0,
            deadline: seconds_up(moment.now.after(left)),
            alarm: 0,
            octets: u32::try_from(queued.octets).unwrap_or(u32::MAX),
            source,
            leg: NONE,
            class: label.class,
            held: queued.held,
            notification: label.notification,
            priority: label.priority,
        }) else {
            return false;
        };
        self.ids.insert(queued.id, message);
        self.add_legs(message, queued, moment);
        let policy = &self.rules.retry[label.class as usize];
        let age = moment.wall.since(label.accepted);
        let notice = match label.notice {
            Some(at) => Some(at.since(moment.wall)),
            None => policy.delay_notice.map(|after| after.saturating_sub(age)),
        };
        self.set_patience(message, notice);
        true
    }

    /// Sorts recipients into legs: same domain, same attempts, same date.
    fn add_legs(&mut self, message: u32, queued: &Queued, moment: Moment) {
        let mut legs: BTreeMap<(&Domain, u32, WallTime, bool), Vec<u16>> = BTreeMap::new();
        if let [only] = &queued.recipients[..] {
            self.add_leg(message, only, vec![only.index], moment);
            return;
        }
        for r in &queued.recipients {
            let key = (&r.domain, r.attempts, r.next, r.delay_noticed);
            legs.entry(key).or_default().push(r.index);
        }
        for ((domain, attempts, next, delay_noticed), indices) in legs {
            let domain = domain.clone();
            let first = QueuedRecipient { index: 0, domain, attempts, next, delay_noticed };
            self.add_leg(message, &first, indices, moment);
        }
    }

    fn add_leg(&mut self, message: u32, like: &QueuedRecipient, indices: Vec<u16>, at: Moment) {
        let (class, held) = (self.messages[message].class, self.messages[message].held);
        let way = self.way_number(self.speaker(message), &like.domain);
        let destination = self.destination_number(&like.domain, way);
        let pile = self.pile_number(message, destination);
        // A date far in the future is a wall clock that was set back.
        let longest = self.rules.retry[class as usize].longest.saturating_mul(2);
        let wait = like.next.since(at.wall).min(longest);
        let leg = Leg {
            message,
            pile,
            sibling: self.messages[message].leg,
            before: NONE,
            behind: NONE,
            due: Tick::after(at.now, wait),
            recipients: Recipients::new(indices),
            attempts: u16::try_from(like.attempts).unwrap_or(u16::MAX),
            place: Place::Settling,
            noticed: like.delay_noticed,
        };
        let Some(number) = self.legs.insert(leg) else { return };
        self.messages[message].leg = number;
        self.piles[pile].total += 1;
        self.destinations[destination].total += 1;
        if held {
            self.legs[number].place = Place::Held;
            self.piles[pile].held += 1;
        } else {
            self.line_up(number);
        }
    }

    /// Puts a leg where its date says: in line, or among those that wait.
    fn line_up(&mut self, leg: u32) {
        let due = self.legs[leg].due;
        if due.instant() > self.now {
            self.legs[leg].place = Place::Waiting;
            self.due.insert((due, leg));
        } else {
            self.make_ready(leg, false);
        }
    }

    fn source_number(&mut self, name: &SourceName) -> u32 {
        if let Some(number) = self.source_of.get(name) {
            return *number;
        }
        let number = u32::try_from(self.sources.len()).unwrap_or(NOTICES);
        self.sources.push(SourceEntry { name: name.clone(), state: SourceState::Active });
        self.source_of.insert(name.clone(), number);
        number
    }

    /// Who speaks: the source, or we ourselves in a notification.
    fn speaker(&self, message: u32) -> u32 {
        let message = &self.messages[message];
        if message.notification { NOTICES } else { message.source }
    }

    fn destination_number(&mut self, domain: &Domain, way: u32) -> u32 {
        let first = self.destination_of.get(domain).copied().unwrap_or(NONE);
        let mut twin = first;
        while twin != NONE {
            if self.destinations[twin].way == way {
                return twin;
            }
            twin = self.destinations[twin].twin;
        }
        // What is known of the provider is known whichever way leads there.
        let known = self.destinations.get(first).filter(|twin| twin.known).map(|twin| twin.lane);
        let provider: Option<Box<str>> = known.map(|lane| self.lanes[lane].name.clone());
        let lane = self.lane_number(provider.as_deref().unwrap_or(domain.as_str()), way);
        self.lanes[lane].destinations += 1;
        let mut entry = Destination::new(domain.clone(), lane, way);
        entry.known = provider.is_some();
        entry.twin = first;
        let Some(number) = self.destinations.insert(entry) else {
            unreachable!("there are fewer destinations than messages");
        };
        self.destination_of.insert(domain.clone(), number);
        number
    }

    fn lane_number(&mut self, name: &str, way: u32) -> u32 {
        let key = (Box::from(name), self.ways[way as usize].home.clone());
        if let Some(number) = self.lane_of.get(&key) {
            return *number;
        }
        let lane = Lane::new(name, key.1.clone(), self.limits_of(name));
        let memory = self.memories.remove(&key);
        let Some(number) = self.lanes.insert(lane) else {
            unreachable!("there are fewer lanes than destinations");
        };
        self.lane_of.insert(key, number);
        if let Some(memory) = memory {
            self.remember(number, memory);
        }
        number
    }

    fn limits_of(&self, provider: &str) -> LaneLimits {
        self.rules.providers.get(provider).copied().unwrap_or(self.rules.lanes)
    }

    fn pile_number(&mut self, message: u32, destination: u32) -> u32 {
        let (source, class) = (self.speaker(message), self.messages[message].class);
        let key = (source, destination, class);
        if let Some(number) = self.pile_of.get(&key) {
            return *number;
        }
        let Some(number) = self.piles.insert(Pile::new(source, destination, class)) else {
            unreachable!("there are fewer piles than legs");
        };
        self.pile_of.insert(key, number);
        number
    }

    /// Legs of a message.
    fn legs_of(&self, message: u32) -> Vec<u32> {
        let mut legs = Vec::new();
        let mut leg = self.messages[message].leg;
        while leg != NONE {
            legs.push(leg);
            leg = self.legs[leg].sibling;
        }
        legs
    }

    /// The next thing to do; drain until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front().or_else(|| self.dispatch()).or_else(|| self.actions.pop_front())
    }
}

/// Whole monotonic seconds, rounded up: nothing is due too early.
fn seconds_up(at: Instant) -> u32 {
    u32::try_from(at.0.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
