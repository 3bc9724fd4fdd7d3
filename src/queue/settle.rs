//! What carriers bring back: outcomes, jobs that were not tried, providers' names, farewells.

use std::time::Duration;

use super::slab::NONE;
use super::stock::{Place, Recipients, Tick};
use super::{Alarm, Doing, Overdue, Queue, Untried, seconds_up};
use crate::base::limits::{
    FAULT_WAIT, OVERDUE_RECHECK, RETRY_JITTER_PERCENT, THROTTLES_BEFORE_PAUSE,
};
use crate::base::time::Instant;
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::reply::PeerReply;

/// What an attempt said about the health of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// A message was taken: one connection more.
    Good,
    /// The host works; what it said concerns the recipient or the message.
    Neutral,
    /// The host works and asks for fewer connections (421, too many connections).
    Throttled,
    /// The host works and asks for less mail: the lane pauses, for so long at least.
    Limited(Duration),
    /// The host works and asks for less, but it is not the lane's provider's: the destination
    /// alone pauses. Whoever publishes a large provider's host as the first MX and an own one as
    /// the second must not slow down that provider's mail.
    Apart,
    /// No working host was reached.
    Down,
    /// No host is known as well as this destination asks: it waits, its provider is well.
    Distrusted,
}

/// What is to be done about recipients that were not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts from now on.
    pub attempts: u32,
    /// Until the next attempt.
    pub wait: Duration,
}

/// What the rules say about another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Try again.
    Again(Retry),
    /// The time of the message is over.
    Over {
        /// Attempts made, this one included.
        attempts: u32,
    },
}

/// A lane slowed down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slowed {
    /// Its name.
    pub lane: String,
    /// Connections from now on.
    pub connections: u32,
    /// How long its destination is left alone.
    pub wait: Duration,
}

impl Queue {
    /// What the rules say about another attempt for the job of `carrier`, not before `floor` from
    /// now. Nothing changes yet: the outcome is recorded first.
    pub fn plan_retry(&mut self, carrier: u64, floor: Duration, now: Instant) -> Option<Plan> {
        let Doing::Busy(leg) = self.carriers.get(&carrier)?.doing else { return None };
        let leg = &self.legs[leg];
        let message = &self.messages[leg.message];
        let attempts = u32::from(leg.attempts).saturating_add(1);
        if seconds_up(now) > message.deadline && !message.held {
            return Some(Plan::Over { attempts });
        }
        let policy = self.rules.retry[message.class as usize];
        let doublings = u32::from(leg.attempts).min(20);
        let wait = policy.first.saturating_mul(1 << doublings).min(policy.longest);
        let wait = self.chance.jitter(wait, RETRY_JITTER_PERCENT).max(floor);
        Some(Plan::Again(Retry { attempts, wait }))
    }

    /// The job of `carrier` is done: `settled` recipients are gone, the others wait as `retry`
    /// says. The carrier may ask again. Returns whether the message is complete, and what the
    /// lane had to do.
    pub fn handle_outcomes(
        &mut self,
        carrier: u64,
        settled: &[u16],
        retry: Retry,
        health: Health,
        now: Instant,
    ) -> (bool, Option<Slowed>) {
        self.now = now;
        let Some((leg, destination)) = self.put_down(carrier) else { return (false, None) };
        let class = self.piles[self.legs[leg].pile].class;
        let message = self.legs[leg].message;
        let rest: Vec<u16> = {
            let all = self.legs[leg].recipients.as_slice();
            all.iter().filter(|index| !settled.contains(index)).copied().collect()
        };
        let complete = if rest.is_empty() {
            self.drop_leg(leg)
        } else {
            let entry = &mut self.legs[leg];
            entry.recipients = Recipients::new(rest);
            entry.attempts = u16::try_from(retry.attempts).unwrap_or(u16::MAX);
            entry.due = Tick::after(now, retry.wait);
            self.stand_back(leg, message);
            false
        };
        self.end_probe(carrier, health == Health::Good);
        let slowed = self.feel(destination, class, health);
        self.poke(destination);
        (complete, slowed)
    }

    /// The job of `carrier` was not tried (its way is closed, or its slot was one too many): back
    /// to the front of the line, no attempt counted. Behind a closed way the destination is parked.
    pub fn handle_untried(&mut self, carrier: u64, untried: Untried<'_>, now: Instant) {
        self.now = now;
        let Some((leg, destination)) = self.put_down(carrier) else { return };
        let message = self.legs[leg].message;
        self.park(destination, untried);
        self.end_probe(carrier, false);
        if self.messages[message].held {
            self.stand_back(leg, message);
        } else {
            self.make_ready(leg, true);
        }
    }

    /// A fault of ours kept `carrier` from trying its job: again in a minute, no attempt counted.
    pub fn handle_fault(&mut self, carrier: u64, now: Instant) {
        self.now = now;
        if let Some((leg, _)) = self.put_down(carrier) {
            let message = self.legs[leg].message;
            self.legs[leg].due = Tick::after(now, FAULT_WAIT);
            self.end_probe(carrier, false);
            self.stand_back(leg, message);
        }
    }

    /// The message in the hands of `carrier` cannot be read back: it is out of the queue.
    pub fn handle_damaged(&mut self, carrier: u64, now: Instant) {
        self.now = now;
        let Some((leg, _)) = self.put_down(carrier) else { return };
        let message = self.legs[leg].message;
        let legs = self.legs_of(message);
        for other in legs {
            match self.legs[other].place {
                // Another carrier has it in hand; its outcome still counts.
                Place::Busy if other != leg => {}
                _ => {
                    self.take_out(other);
                    self.drop_leg(other);
                }
            }
        }
    }

    /// A carrier has left, for whatever reason. A job that it still had waits a minute.
    pub fn handle_leave(&mut self, carrier: u64, now: Instant) {
        self.handle_fault(carrier, now);
        self.drop_errand(carrier);
        let Some(entry) = self.carriers.remove(&carrier) else { return };
        let number = entry.destination;
        let lane = self.destinations[number].lane;
        match entry.doing {
            Doing::Asking | Doing::Busy(_) => self.destinations[number].coming -= 1,
            Doing::Idle => {
                self.idle.remove(&(lane, carrier));
                self.destinations[number].idle.retain(|other| *other != carrier);
            }
            Doing::Leaving => {
                self.leaving -= 1;
                self.lanes[lane].leaving -= 1;
            }
        }
        self.destinations[number].carriers -= 1;
        self.lanes[lane].carriers -= 1;
        self.poke(number);
        self.poke_lane(lane);
        self.fade(number);
    }

    /// The provider behind a domain is known: the domain joins the provider's lane.
    pub fn handle_provider(&mut self, domain: &Domain, provider: &str, now: Instant) {
        self.now = now;
        for number in self.destinations_of(domain) {
            let (from, way) = (self.destinations[number].lane, self.destinations[number].way);
            let to = self.lane_number(provider, way);
            self.destinations[number].known = true;
            if from != to {
                self.move_lane(number, from, to);
            }
            self.poke(number);
            self.poke_lane(to);
        }
    }

    /// Whether a carrier that has learned its provider may open its connection: the lane may have
    /// turned out to be full. If not, hand the job back with [`Queue::handle_untried`] and leave.
    #[must_use]
    pub fn may_connect(&self, carrier: u64) -> bool {
        let Some(entry) = self.carriers.get(&carrier) else { return false };
        let lane = &self.lanes[self.destinations[entry.destination].lane];
        let welcome = match entry.doing {
            _ if entry.probe => true,
            Doing::Busy(leg) => {
                let pile = &self.piles[self.legs[leg].pile];
                lane.pause.lets(pile.class, self.now)
                    && !self.is_held(pile.source, entry.destination)
            }
            _ => true,
        };
        welcome && lane.carriers <= lane.allowed
    }

    /// Recipients that [`super::Action::Expire`] named are recorded. Returns whether the message
    /// is complete.
    pub fn handle_expired(&mut self, overdue: &Overdue, now: Instant) -> bool {
        self.now = now;
        let Some(message) = self.ids.get(&overdue.id).copied() else { return false };
        let mut complete = false;
        for leg in self.legs_of(message) {
            let entry = &self.legs[leg];
            if entry.place == Place::Settling
                && entry.recipients.as_slice().iter().all(|i| overdue.recipients.contains(i))
            {
                complete = self.drop_leg(leg);
            }
        }
        complete
    }

    /// The outcome that an action asked for could not be recorded: later again.
    pub fn handle_postponed(&mut self, overdue: &Overdue, now: Instant) {
        self.now = now;
        let Some(message) = self.ids.get(&overdue.id).copied() else { return };
        for leg in self.legs_of(message) {
            if self.legs[leg].place == Place::Settling {
                self.legs[leg].due = Tick::after(now, FAULT_WAIT);
                self.stand_back(leg, message);
            }
        }
        self.set_alarm(message, seconds_up(now.after(FAULT_WAIT)));
    }

    /// Takes the job from a carrier, which will ask again. Returns its leg and where the carrier
    /// is; the leg may have been assigned to another way since.
    fn put_down(&mut self, carrier: u64) -> Option<(u32, u32)> {
        let entry = self.carriers.get_mut(&carrier)?;
        let Doing::Busy(leg) = entry.doing else { return None };
        entry.doing = Doing::Asking;
        let number = entry.destination;
        let destination = &mut self.destinations[number];
        destination.coming += 1;
        let ordinary = self.piles[self.legs[leg].pile].class != MessageClass::Otp;
        self.lanes[destination.lane].busy_ordinary -= u32::from(ordinary);
        self.legs[leg].place = Place::Settling;
        Some((leg, number))
    }

    /// A leg that is not in line goes back: kept with its held message, or to its date.
    pub(super) fn stand_back(&mut self, leg: u32, message: u32) {
        if self.messages[message].held {
            self.legs[leg].place = Place::Held;
            self.piles[self.legs[leg].pile].held += 1;
        } else {
            self.line_up(leg);
        }
    }

    /// Takes a leg out of whatever place it is in; it is `Settling` then.
    pub(super) fn take_out(&mut self, leg: u32) {
        match self.legs[leg].place {
            Place::Ready => self.unready(leg),
            Place::Waiting => {
                self.due.remove(&(self.legs[leg].due, leg));
            }
            Place::Held => self.piles[self.legs[leg].pile].held -= 1,
            Place::Busy | Place::Settling => {}
        }
        self.legs[leg].place = Place::Settling;
    }

    /// Forgets a leg that is out of every line. True if it was the last of its message.
    pub(super) fn drop_leg(&mut self, leg: u32) -> bool {
        let Some(entry) = self.legs.remove(leg) else { return false };
        let message = entry.message;
        if self.messages[message].leg == leg {
            self.messages[message].leg = entry.sibling;
        } else {
            let mut other = self.messages[message].leg;
            while self.legs[other].sibling != leg {
                other = self.legs[other].sibling;
            }
            self.legs[other].sibling = entry.sibling;
        }
        let pile = &mut self.piles[entry.pile];
        let destination = pile.destination;
        pile.total -= 1;
        if pile.total == 0 {
            let key = (pile.source, destination, pile.class);
            self.pile_of.remove(&key);
            self.piles.remove(entry.pile);
        }
        self.destinations[destination].total -= 1;
        self.fade(destination);
        let complete = self.messages[message].leg == NONE;
        if complete && let Some(gone) = self.messages.remove(message) {
            self.ids.remove(&gone.id);
            self.patience.remove(&(gone.alarm, message));
        }
        complete
    }

    /// An empty destination is put on the list of those that will be forgotten.
    pub(super) fn fade(&mut self, number: u32) {
        let now = self.now;
        let entry = &mut self.destinations[number];
        if entry.total == 0 && entry.carriers == 0 && !entry.fading {
            entry.fading = true;
            self.fading.push_back((now, number));
        }
    }

    /// The lane and the destination take note of how it went.
    fn feel(&mut self, number: u32, class: MessageClass, health: Health) -> Option<Slowed> {
        let now = self.now;
        let longest = self.rules.retry[class as usize].longest;
        let entry = &mut self.destinations[number];
        let lane_number = entry.lane;
        let lane = &mut self.lanes[lane_number];
        let (slower, shut) = match health {
            Health::Good | Health::Neutral => {
                entry.known = true;
                entry.failures = 0;
                entry.throttles = 0;
                if health == Health::Good {
                    lane.grow();
                    lane.pause.well(now);
                }
                self.poke_lane(lane_number);
                return None;
            }
            Health::Throttled => {
                entry.throttles += 1;
                // A provider that asks for less than one connection, or again and again, asks for
                // a pause.
                let storm = lane.allowed == 1 || entry.throttles >= THROTTLES_BEFORE_PAUSE;
                (lane.halve(now), storm && entry.fail(longest, now, &mut self.chance))
            }
            Health::Limited(floor) => {
                let Some(wait) = lane.pause.told(class, floor, now, &mut self.chance) else {
                    self.set_pause_alarm(lane_number);
                    return None;
                };
                // After the pause it starts with one connection, as a new one does.
                lane.allowed = 1;
                let slowed = Slowed { lane: lane.name.to_string(), connections: 1, wait };
                self.set_pause_alarm(lane_number);
                return Some(slowed);
            }
            Health::Apart => {
                entry.throttles += 1;
                let storm = entry.throttles >= THROTTLES_BEFORE_PAUSE;
                (false, storm && entry.fail(longest, now, &mut self.chance))
            }
            Health::Distrusted => (false, entry.fail(longest, now, &mut self.chance)),
            Health::Down => (lane.halve(now), entry.fail(longest, now, &mut self.chance)),
        };
        let wait = if shut { entry.shut_until.since(now) } else { Duration::ZERO };
        if shut {
            self.alarms.insert((entry.shut_until, Alarm::Destination(number)));
        }
        (slower || shut).then(|| Slowed {
            lane: lane.name.to_string(),
            connections: lane.allowed,
            wait,
        })
    }

    /// Keeps the last unhappy answer that `carrier` heard at its destination, for lists and for
    /// reports of expiry.
    pub fn note_reply(&mut self, carrier: u64, reply: &PeerReply) {
        if let Some(number) = self.carriers.get(&carrier).map(|entry| entry.destination) {
            let destination = &mut self.destinations[number];
            destination.last_reply = Some(Box::new(reply.clone()));
            self.lanes[destination.lane].last_reply = Some(Box::new(reply.clone()));
        }
    }

    fn move_lane(&mut self, number: u32, from: u32, to: u32) {
        let carriers: Vec<(u64, Doing)> = self
            .carriers
            .iter()
            .filter(|(_, entry)| entry.destination == number)
            .map(|(carrier, entry)| (*carrier, entry.doing))
            .collect();
        for (carrier, doing) in carriers {
            let mut moved = (1, 0, 0);
            match doing {
                Doing::Busy(leg) => {
                    let class = self.piles[self.legs[leg].pile].class;
                    moved.1 = u32::from(class != MessageClass::Otp);
                }
                Doing::Idle => {
                    self.idle.remove(&(from, carrier));
                    self.idle.insert((to, carrier));
                }
                Doing::Leaving => moved.2 = 1,
                Doing::Asking => {}
            }
            let lane = &mut self.lanes[from];
            lane.carriers -= moved.0;
            lane.busy_ordinary -= moved.1;
            lane.leaving -= moved.2;
            let lane = &mut self.lanes[to];
            lane.carriers += moved.0;
            lane.busy_ordinary += moved.1;
            lane.leaving += moved.2;
        }
        for class in 0..3 {
            if std::mem::take(&mut self.destinations[number].in_ring[class]) {
                self.lanes[from].rings[class].retain(|other| *other != number);
            }
        }
        self.destinations[number].lane = to;
        self.lanes[to].destinations += 1;
        if self.lanes[from].urgent.remove(&number) {
            self.lanes[to].urgent.insert(number);
        }
        self.obey_holds(number);
        self.leave_lane(from);
    }

    /// In which lane `carrier` is: provider and home, if the provider is known.
    #[must_use]
    pub fn lane_of(&self, carrier: u64) -> Option<(&str, &str)> {
        let destination = &self.destinations[self.carriers.get(&carrier)?.destination];
        let lane = &self.lanes[destination.lane];
        destination.known.then_some((&*lane.name, &*lane.home))
    }

    /// A lane lost a destination; an empty lane is forgotten.
    pub(super) fn leave_lane(&mut self, number: u32) {
        self.lanes[number].destinations -= 1;
        if self.lanes[number].destinations > 0 {
            return;
        }
        if let Some(mut lane) = self.lanes.remove(number) {
            self.keep_memory(&mut lane);
            self.lane_of.remove(&(lane.name, lane.home));
            self.alarms.remove(&(lane.rate_free, Alarm::Lane(number)));
            for ring in &mut self.turnout {
                ring.retain(|other| *other != number);
            }
        }
    }

    /// The message may not expire now: looked at again later.
    pub(super) fn recheck_later(&mut self, message: u32) {
        self.set_alarm(message, seconds_up(self.now.after(OVERDUE_RECHECK)));
    }
}
