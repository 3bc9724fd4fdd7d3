//! Dealing out: which destination gets a carrier, and which job a carrier gets.
//!
//! Carriers are sent where mail stands in line that no carrier is about to fetch. Three rings deal
//! fairly: lanes among all connections, destinations within a lane (by class), sources within a
//! class of a destination. A ring entry is a hint: it is looked at again when its turn comes.

use super::slab::NONE;
use super::stock::Place;
use super::{Action, Alarm, Carrier, Doing, Next, Queue, Ticket};
use crate::base::limits::URGENT_SHARE;
use crate::base::time::Instant;
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;

const OTP: usize = MessageClass::Otp as usize;

/// What a carrier that asks shall do.
enum Choice {
    /// Take a job of this class.
    Class(MessageClass),
    /// Nothing is there for it now.
    Nothing,
    /// Its connection is one too many.
    Leave,
}

impl Queue {
    /// A carrier asks. `patient`: it is willing to wait for a job with its connection open.
    pub fn next_job(&mut self, carrier: u64, patient: bool, now: Instant) -> Next {
        self.now = now;
        let Some(entry) = self.carriers.get(&carrier) else { return Next::Leave };
        let (destination, jobs) = (entry.destination, entry.jobs);
        if let Some(job) = self.hand_out_errand(carrier) {
            return job;
        }
        let Some(entry) = self.carriers.get(&carrier) else { return Next::Leave };
        match entry.doing {
            Doing::Asking => self.destinations[destination].coming -= 1,
            Doing::Idle => self.forget_idle(carrier, destination),
            Doing::Busy(_) | Doing::Leaving => return Next::Leave,
        }
        let next = match self.choose(destination, jobs) {
            Choice::Class(class) => Next::Job(self.hand_out(carrier, destination, class)),
            Choice::Nothing if patient => Next::Wait,
            Choice::Nothing | Choice::Leave => Next::Leave,
        };
        let doing = match next {
            Next::Job(_) => return next,
            Next::Wait => {
                let entry = &mut self.destinations[destination];
                entry.idle.push(carrier);
                self.idle.insert((entry.lane, carrier));
                Doing::Idle
            }
            Next::Leave => {
                self.count_leaving(destination);
                Doing::Leaving
            }
        };
        if let Some(entry) = self.carriers.get_mut(&carrier) {
            entry.doing = doing;
        }
        self.poke(destination);
        if doing == Doing::Idle {
            self.poke_lane(self.destinations[destination].lane);
        }
        next
    }

    fn choose(&mut self, number: u32, jobs: u32) -> Choice {
        let now = self.now;
        let lane_number = self.destinations[number].lane;
        let urgent_first = self.urgent_first(lane_number);
        let urgent_elsewhere = self.urgent_waits(lane_number);
        let destination = &self.destinations[number];
        let lane = &self.lanes[lane_number];
        let probed = destination.failures > 0 && destination.carriers > 1;
        if self.stopped
            || self.draining
            || !destination.is_open(self.now)
            || probed
            || lane.carriers > lane.allowed
            || jobs >= lane.limits.messages_per_connection.max(1)
        {
            return Choice::Leave;
        }
        let full = lane.carriers >= lane.allowed;
        if urgent_elsewhere && full && destination.ready[OTP] == 0 {
            return Choice::Leave;
        }
        let urgent_here = destination.ready[OTP] > 0 && lane.pause.lets(MessageClass::Otp, now);
        if lane.pause.is_on(now) && !urgent_here {
            return Choice::Leave;
        }
        if !lane.has_token(now) {
            self.set_rate_alarm(lane_number);
            return Choice::Nothing;
        }
        let room = !lane.pause.is_on(now)
            && (urgent_here || !urgent_first)
            && lane.busy_ordinary < lane.allowed_for(MessageClass::Subscribed, now);
        let mut ready = destination.ready;
        if !urgent_here {
            ready[OTP] = 0;
        } else if urgent_first {
            ready[1..].fill(0);
        }
        let may =
            |class: MessageClass| ready[class as usize] > 0 && (room || class == MessageClass::Otp);
        self.destinations[number].turn.pick(may).map_or(Choice::Nothing, Choice::Class)
    }

    /// Whether urgent mail of this lane waits for a connection.
    fn urgent_waits(&mut self, lane: u32) -> bool {
        while let Some(first) = self.lanes[lane].rings[OTP].front().copied() {
            if self.wants(first, MessageClass::Otp) {
                return true;
            }
            self.lanes[lane].rings[OTP].pop_front();
            if let Some(destination) = self.destinations.get_mut(first) {
                destination.in_ring[OTP] = false;
            }
        }
        false
    }

    fn hand_out(&mut self, carrier: u64, number: u32, class: MessageClass) -> Ticket {
        let destination = &mut self.destinations[number];
        let lane = &mut self.lanes[destination.lane];
        let Some(pile_number) = destination.piles[class as usize].pop_front() else {
            unreachable!("legs are counted as ready while their pile stands in the ring");
        };
        let pile = &mut self.piles[pile_number];
        let Some(leg) = pile.first() else {
            unreachable!("a pile stands in the ring while it has legs in line");
        };
        let priority = self.messages[self.legs[leg].message].priority;
        pile.take(&mut self.legs, leg, priority);
        destination.ready[class as usize] -= 1;
        if destination.ready[OTP] == 0 {
            lane.urgent.remove(&number);
        }
        pile.in_ring = pile.ready > 0;
        if pile.in_ring {
            destination.piles[class as usize].push_back(pile_number);
        }
        lane.spend_token(self.now);
        lane.busy_ordinary += u32::from(class != MessageClass::Otp);
        // After the last one-time password, tokens that are left belong to the others again.
        let last = class == MessageClass::Otp && lane.urgent.is_empty();
        let rated = lane.limits.messages_per_minute.is_some();
        let lane_number = destination.lane;
        let limited = !lane.has_token(self.now) || (rated && last);
        if limited {
            self.set_rate_alarm(lane_number);
        }
        self.legs[leg].place = Place::Busy;
        if let Some(entry) = self.carriers.get_mut(&carrier) {
            entry.doing = Doing::Busy(leg);
            entry.jobs += 1;
        }
        self.ticket(leg)
    }

    /// Whether the next token of a lane with a limit per minute belongs to a one-time password.
    fn urgent_first(&self, number: u32) -> bool {
        let lane = &self.lanes[number];
        lane.limits.messages_per_minute.is_some()
            && lane.pause.lets(MessageClass::Otp, self.now)
            && lane.urgent.iter().any(|destination| {
                let entry = &self.destinations[*destination];
                // Somebody is about to fetch it, or can be sent.
                let another =
                    lane.carriers < lane.allowed && !(entry.is_probed() && entry.carriers > 0);
                entry.is_open(self.now) && (entry.coming > 0 || !entry.idle.is_empty() || another)
            })
    }

    /// A leg may go: it stands in line, at the end or (handed back) at the front.
    pub(super) fn make_ready(&mut self, leg: u32, front: bool) {
        let number = self.legs[leg].pile;
        let priority = self.messages[self.legs[leg].message].priority;
        let pile = &mut self.piles[number];
        pile.queue_up(&mut self.legs, leg, priority, front);
        let (destination, class, in_ring) = (pile.destination, pile.class, pile.in_ring);
        if !self.flows(number) {
            return;
        }
        if in_ring {
            self.count_ready(destination, class, 1);
        } else {
            self.ring_in(number);
        }
        self.poke(destination);
    }

    /// A pile whose source may deliver takes its place in its destination's ring.
    pub(super) fn ring_in(&mut self, number: u32) {
        let pile = &mut self.piles[number];
        if !pile.in_ring && pile.ready > 0 {
            pile.in_ring = true;
            let (destination, class, ready) = (pile.destination, pile.class, pile.ready);
            self.destinations[destination].piles[class as usize].push_back(number);
            self.count_ready(destination, class, ready);
        }
    }

    /// More legs of a destination stand in line.
    fn count_ready(&mut self, number: u32, class: MessageClass, legs: u32) {
        let destination = &mut self.destinations[number];
        destination.ready[class as usize] += legs;
        if class == MessageClass::Otp {
            self.lanes[destination.lane].urgent.insert(number);
        }
    }

    /// And leaves it.
    pub(super) fn ring_out(&mut self, number: u32) {
        let pile = &mut self.piles[number];
        if pile.in_ring {
            pile.in_ring = false;
            let destination = &mut self.destinations[pile.destination];
            destination.ready[pile.class as usize] -= pile.ready;
            destination.piles[pile.class as usize].retain(|other| *other != number);
            let (lane, none) = (destination.lane, destination.ready[OTP] == 0);
            let gone = none && self.lanes[lane].urgent.remove(&pile.destination);
            if gone && self.lanes[lane].limits.messages_per_minute.is_some() {
                self.set_rate_alarm(lane);
            }
        }
    }

    /// Takes a leg out of line, whatever its pile's place.
    pub(super) fn unready(&mut self, leg: u32) {
        let number = self.legs[leg].pile;
        let priority = self.messages[self.legs[leg].message].priority;
        let pile = &mut self.piles[number];
        pile.take(&mut self.legs, leg, priority);
        if pile.in_ring {
            let (empty, class) = (pile.ready == 0, pile.class as usize);
            let destination = &mut self.destinations[pile.destination];
            destination.ready[class] -= 1;
            if empty {
                pile.in_ring = false;
                destination.piles[class].retain(|other| *other != number);
            }
            let (lane, none) = (destination.lane, destination.ready[OTP] == 0);
            let gone = none && self.lanes[lane].urgent.remove(&pile.destination);
            if gone && self.lanes[lane].limits.messages_per_minute.is_some() {
                self.set_rate_alarm(lane);
            }
        }
    }

    /// Whether another carrier for this destination would find a job of `class`.
    fn wants(&self, number: u32, class: MessageClass) -> bool {
        let Some(destination) = self.destinations.get(number) else { return false };
        let one_only = destination.is_probed() && destination.carriers > 0;
        let ready = match class {
            MessageClass::Otp => destination.ready[OTP],
            _ => destination.ready.iter().sum(),
        };
        !self.stopped
            && !self.draining
            && !one_only
            && destination.ready[class as usize] > 0
            && ready > destination.coming
            && destination.is_open(self.now)
            && self.lanes[destination.lane].pause.lets(class, self.now)
    }

    /// Something changed for the better for this destination: carriers wake, or it asks its lane
    /// for a carrier.
    pub(super) fn poke(&mut self, number: u32) {
        for class in MessageClass::ALL {
            while self.may_wake(number, class) {
                let Some(carrier) = self.destinations[number].idle.last().copied() else { break };
                self.wake(carrier, Doing::Asking);
            }
            let destination = &self.destinations[number];
            if destination.in_ring[class as usize] || !self.wants(number, class) {
                continue;
            }
            let lane = destination.lane;
            self.destinations[number].in_ring[class as usize] = true;
            self.lanes[lane].rings[class as usize].push_back(number);
            self.poke_lane(lane);
        }
    }

    /// Whether an idle carrier of this destination would get a job of `class`.
    fn may_wake(&self, number: u32, class: MessageClass) -> bool {
        let destination = &self.destinations[number];
        let lane = &self.lanes[destination.lane];
        let room = class == MessageClass::Otp
            || lane.busy_ordinary + destination.coming < lane.allowed_for(class, self.now);
        !self.stopped
            && !self.draining
            && room
            && (class == MessageClass::Otp || !self.urgent_first(destination.lane))
            && destination.ready[class as usize] > destination.coming
            && destination.is_open(self.now)
            && lane.pause.lets(class, self.now)
            && lane.has_token(self.now)
    }

    /// Calls a waiting carrier: to ask again, or to leave.
    fn wake(&mut self, carrier: u64, then: Doing) {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        let destination = entry.destination;
        entry.doing = then;
        self.forget_idle(carrier, destination);
        match then {
            Doing::Asking => self.destinations[destination].coming += 1,
            _ => self.count_leaving(destination),
        }
        self.actions.push_back(Action::Wake { carrier });
    }

    fn forget_idle(&mut self, carrier: u64, destination: u32) {
        self.idle.remove(&(self.destinations[destination].lane, carrier));
        self.destinations[destination].idle.retain(|other| *other != carrier);
    }

    /// Something changed for the better for a lane: it takes its place among the lanes.
    pub(super) fn poke_lane(&mut self, number: u32) {
        let lane = &mut self.lanes[number];
        let waits = [!lane.rings[OTP].is_empty(), lane.rings[1..].iter().any(|r| !r.is_empty())];
        for (which, wait) in waits.into_iter().enumerate() {
            if wait && !lane.in_turnout[which] {
                lane.in_turnout[which] = true;
                self.turnout[which].push_back(number);
            }
        }
    }

    /// Sends the next carrier, if some lane wants one and the limits allow it.
    pub(super) fn dispatch(&mut self) -> Option<Action> {
        let total_max = self.rules.lanes.connections_total_max.max(1);
        let kept = if total_max > 1 { (total_max / URGENT_SHARE).max(1) } else { 0 };
        for which in [0, 1] {
            let ceiling = if which == 0 { total_max } else { total_max - kept };
            while self.turnout[which].front().is_some() {
                if u32::try_from(self.carriers.len()).unwrap_or(u32::MAX) >= ceiling {
                    self.dismiss_one(None);
                    break;
                }
                let Some(number) = self.turnout[which].pop_front() else { break };
                let Some(lane) = self.lanes.get_mut(number) else { continue };
                lane.in_turnout[which] = false;
                if let Some(destination) = self.elect(number, which == 0) {
                    self.poke_lane(number);
                    return Some(self.send(destination));
                }
            }
        }
        None
    }

    /// The destination of a lane that gets the next carrier.
    fn elect(&mut self, number: u32, urgent: bool) -> Option<u32> {
        loop {
            let lane = &self.lanes[number];
            if !lane.has_token(self.now) {
                self.set_rate_alarm(number);
                return None;
            }
            let reach = if urgent { MessageClass::Otp } else { MessageClass::Subscribed };
            if !urgent && self.urgent_first(number) {
                // Whoever fetches the last of them rings for the others.
                return None;
            }
            let lane = &self.lanes[number];
            if lane.carriers >= lane.allowed_for(reach, self.now) {
                self.dismiss_one(Some(number));
                return None;
            }
            let filled = lane.rings.each_ref().map(|ring| !ring.is_empty());
            let may = |class: MessageClass| {
                filled[class as usize] && (class == MessageClass::Otp) == urgent
            };
            let mut turn = lane.turn;
            let class = turn.pick(may)?;
            let lane = &mut self.lanes[number];
            lane.turn = turn;
            let destination = lane.rings[class as usize].pop_front()?;
            if let Some(entry) = self.destinations.get_mut(destination) {
                entry.in_ring[class as usize] = false;
            }
            if self.wants(destination, class) {
                return Some(destination);
            }
        }
    }

    pub(super) fn send(&mut self, number: u32) -> Action {
        self.sent += 1;
        let carrier = self.sent;
        let destination = &mut self.destinations[number];
        destination.carriers += 1;
        destination.coming += 1;
        self.lanes[destination.lane].carriers += 1;
        let domain: Domain = destination.domain.clone();
        let way = self.ways[destination.way as usize].clone();
        let entry = Carrier {
            destination: number,
            doing: Doing::Asking,
            jobs: 0,
            errand: NONE,
            probe: false,
        };
        self.carriers.insert(carrier, entry);
        self.poke(number);
        Action::Dispatch { carrier, domain, way }
    }

    /// An idle carrier is sent away.
    pub(super) fn send_home(&mut self, carrier: u64) {
        self.wake(carrier, Doing::Leaving);
    }

    fn count_leaving(&mut self, destination: u32) {
        self.leaving += 1;
        self.lanes[self.destinations[destination].lane].leaving += 1;
    }

    /// Sends an idle carrier away, of this lane or of any, because somebody else needs its slot;
    /// unless one is on its way out already.
    fn dismiss_one(&mut self, lane: Option<u32>) {
        let leaving = lane.map_or(self.leaving, |lane| self.lanes[lane].leaving);
        if leaving > 0 {
            return;
        }
        let range = lane.map_or((0, 0)..=(u32::MAX, u64::MAX), |l| (l, 0)..=(l, u64::MAX));
        if let Some((_, carrier)) = self.idle.range(range).next().copied() {
            self.wake(carrier, Doing::Leaving);
        }
    }

    /// A token is free: one waiting carrier wakes, urgent mail first, and the lane may send one.
    pub(super) fn handle_token(&mut self, number: u32) {
        self.lanes[number].rate_alarm = false;
        for class in MessageClass::ALL {
            let idle = self.idle.range((number, 0)..=(number, u64::MAX));
            let mut destinations = idle.filter_map(|(_, carrier)| {
                self.carriers.get(carrier).map(|entry| entry.destination)
            });
            if let Some(waiting) = destinations.find(|d| self.may_wake(*d, class)) {
                self.poke(waiting);
                return;
            }
        }
        self.poke_lane(number);
    }

    pub(super) fn set_rate_alarm(&mut self, number: u32) {
        let lane = &mut self.lanes[number];
        if !lane.rate_alarm {
            lane.rate_alarm = true;
            self.alarms.insert((lane.rate_free, Alarm::Lane(number)));
        }
    }
}
