//! Holds: mail that a receiver refuses for a fault of ours is kept, and one message in four hours
//! goes to see whether the fault is mended.
//!
//! A fault of a source's domain holds the mail of that source in the lane, a fault of the way out
//! the lane. Mail that is held stands in its piles, but they leave the rings; it does not expire.
//! The probe is an *errand*: a carrier that is sent with one leg, past the rings.
//!
//! A hold outlives its lane, but not the process: after a restart the first message meets the
//! defect again, and is kept again.

use super::slab::NONE;
use super::stock::Place;
use super::view::wall_of;
use super::{Action, Alarm, Doing, Moment, Next, Queue, Ticket};
use crate::base::limits::{HOLD_PROBE, HOLD_PROBE_SOON, HOLDS_MAX, RETRY_JITTER_PERCENT};
use crate::base::time::{Instant, WallTime};
use crate::mail::class::MessageClass;
use crate::mail::meaning::Defect;
use crate::mail::reply::PeerReply;
use crate::mail::source::SourceName;

/// A hold of a lane, or of the mail of one source in it.
#[derive(Debug)]
pub(super) struct Hold {
    /// Number of the source; none: the whole lane.
    pub(super) source: Option<u32>,
    defect: Defect,
    reply: PeerReply,
    since: Instant,
    probe_at: Instant,
    /// The carrier that is on the errand.
    probe: Option<u64>,
}

/// A hold, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldMail {
    /// Provider, or domain.
    pub lane: String,
    /// The egress at which its mail is at home.
    pub home: String,
    /// Whose mail; none: everybody's.
    pub source: Option<SourceName>,
    /// What is wrong.
    pub defect: Defect,
    /// What was said.
    pub reply: PeerReply,
    /// Since when.
    pub since: WallTime,
    /// When the next message goes to see.
    pub probe: WallTime,
}

impl Queue {
    /// A host of the lane's provider told `carrier` of a fault of ours. Its mail is held from now
    /// on. Returns whether the message in hand is kept by a hold, and whether that is news: a new
    /// hold, or a probe that met the old defect.
    pub fn handle_defect(
        &mut self,
        carrier: u64,
        defect: Defect,
        reply: &PeerReply,
        now: Instant,
    ) -> (bool, bool) {
        self.now = now;
        let Some(entry) = self.carriers.get(&carrier) else { return (false, false) };
        let Doing::Busy(leg) = entry.doing else { return (false, false) };
        let lane = self.destinations[entry.destination].lane;
        let pile_source = self.piles[self.legs[leg].pile].source;
        let source = (!defect.is_of_the_way()).then_some(pile_source);
        let probe_at = now.after(self.chance.jitter(HOLD_PROBE, RETRY_JITTER_PERCENT));
        self.alarms.insert((probe_at, Alarm::Probe(lane)));
        let holds = &mut self.lanes[lane].holds;
        if let Some(hold) = holds.iter_mut().find(|hold| hold.source == source) {
            let news = hold.probe.take_if(|probe| *probe == carrier).is_some();
            if news {
                (hold.defect, hold.reply) = (defect, reply.clone());
                hold.probe_at = probe_at;
            }
            return (true, news);
        }
        if self.holds >= HOLDS_MAX {
            return (false, true);
        }
        self.holds += 1;
        let reply = reply.clone();
        holds.push(Hold { source, defect, reply, since: now, probe_at, probe: None });
        for pile in self.piles_in(lane) {
            if !self.flows(pile) {
                self.ring_out(pile);
            }
        }
        (true, true)
    }

    /// Whether mail of a pile may be dealt out: its source may deliver and no hold keeps it.
    pub(super) fn flows(&self, pile: u32) -> bool {
        let pile = &self.piles[pile];
        self.sources[pile.source as usize].state.delivers()
            && !self.is_held(pile.source, pile.destination)
    }

    /// Whether a hold keeps mail of a source to a destination.
    pub(super) fn is_held(&self, source: u32, destination: u32) -> bool {
        self.hold_of(source, destination).is_some()
    }

    /// The hold that keeps mail of a source to a destination.
    pub(super) fn hold_of(&self, source: u32, destination: u32) -> Option<&Hold> {
        if self.holds == 0 {
            return None;
        }
        let lane = &self.lanes[self.destinations[destination].lane];
        lane.holds.iter().find(|hold| hold.source.is_none_or(|held| held == source))
    }

    /// Piles of a lane. Looks at all.
    fn piles_in(&self, lane: u32) -> Vec<u32> {
        let here = |pile: &super::stock::Pile| self.destinations[pile.destination].lane == lane;
        self.piles.iter().filter(|(_, pile)| here(pile)).map(|(number, _)| number).collect()
    }

    /// A destination has come to another lane: its piles obey that lane's holds.
    pub(super) fn obey_holds(&mut self, destination: u32) {
        if self.holds == 0 {
            return;
        }
        let all = self.piles.iter().filter(|(_, pile)| pile.destination == destination);
        let piles: Vec<u32> = all.map(|(number, _)| number).collect();
        for pile in piles {
            if self.flows(pile) { self.ring_in(pile) } else { self.ring_out(pile) }
        }
    }

    /// Time to see whether defects of a lane are mended.
    pub(super) fn probe_holds(&mut self, lane: u32) {
        let now = self.now;
        for index in 0..self.lanes[lane].holds.len() {
            let hold = &self.lanes[lane].holds[index];
            let out = |carrier| self.carriers.get(&carrier).is_some_and(|entry| entry.probe);
            if hold.probe_at > now || hold.probe.is_some_and(out) {
                continue;
            }
            let source = hold.source;
            let sent =
                if self.stopped || self.draining { None } else { self.send_probe(lane, source) };
            let again = now.after(HOLD_PROBE_SOON);
            let hold = &mut self.lanes[lane].holds[index];
            (hold.probe, hold.probe_at) = (sent, again);
            self.alarms.insert((again, Alarm::Probe(lane)));
        }
    }

    /// Sends a carrier with one leg of held mail, if there is one that may go.
    fn send_probe(&mut self, lane: u32, source: Option<u32>) -> Option<u64> {
        let total = u32::try_from(self.carriers.len()).unwrap_or(u32::MAX);
        let full = total >= self.rules.lanes.connections_total_max.max(1)
            || self.lanes[lane].carriers >= self.lanes[lane].allowed;
        if full {
            return None;
        }
        let good = |pile: &super::stock::Pile| {
            let destination = &self.destinations[pile.destination];
            pile.ready > 0
                && destination.lane == lane
                && source.is_none_or(|source| source == pile.source)
                && self.sources[pile.source as usize].state.delivers()
                && destination.is_open(self.now)
        };
        let (pile, _) = self.piles.iter().find(|(_, pile)| good(pile))?;
        let leg = self.piles[pile].first()?;
        self.unready(leg);
        self.legs[leg].place = Place::Busy;
        let action = self.send(self.piles[pile].destination);
        if let Action::Dispatch { carrier, .. } = &action
            && let Some(entry) = self.carriers.get_mut(carrier)
        {
            entry.errand = leg;
            entry.probe = true;
        }
        let sent = self.sent;
        self.actions.push_back(action);
        Some(sent)
    }

    /// The job of a carrier that was sent with one. Its message may have been held meanwhile, or
    /// everything was stopped: then it goes back and the carrier leaves.
    pub(super) fn hand_out_errand(&mut self, carrier: u64) -> Option<Next> {
        let entry = self.carriers.get_mut(&carrier)?;
        let leg = std::mem::replace(&mut entry.errand, NONE);
        if leg == NONE {
            return None;
        }
        let message = self.legs[leg].message;
        let pile = &self.piles[self.legs[leg].pile];
        let delivers = self.sources[pile.source as usize].state.delivers();
        if self.stopped || self.draining || self.messages[message].held || !delivers {
            self.legs[leg].place = Place::Settling;
            self.stand_back(leg, message);
            self.end_probe(carrier, false);
            return None;
        }
        let ordinary = pile.class != MessageClass::Otp;
        entry.doing = Doing::Busy(leg);
        entry.jobs += 1;
        let destination = entry.destination;
        let lane_number = self.destinations[destination].lane;
        self.destinations[destination].coming -= 1;
        let lane = &mut self.lanes[lane_number];
        lane.busy_ordinary += u32::from(ordinary);
        lane.spend_token(self.now);
        Some(Next::Job(self.ticket(leg)))
    }

    /// A carrier leaves that never asked for the job that it was sent with.
    pub(super) fn drop_errand(&mut self, carrier: u64) {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        let leg = std::mem::replace(&mut entry.errand, NONE);
        if leg != NONE {
            let message = self.legs[leg].message;
            self.legs[leg].place = Place::Settling;
            self.stand_back(leg, message);
        }
        self.end_probe(carrier, false);
    }

    /// A probe is over. What it was taken for is mended if its mail was taken; else the defect has
    /// been noted, or something else came between and it is tried again soon.
    pub(super) fn end_probe(&mut self, carrier: u64, mended: bool) {
        let Some(entry) = self.carriers.get_mut(&carrier) else { return };
        if !std::mem::take(&mut entry.probe) {
            return;
        }
        let lane = self.destinations[entry.destination].lane;
        let holds = &mut self.lanes[lane].holds;
        let Some(index) = holds.iter().position(|hold| hold.probe == Some(carrier)) else { return };
        if mended {
            let hold = holds.remove(index);
            self.end_hold(lane, &hold);
            return;
        }
        let again = self.now.after(HOLD_PROBE_SOON);
        (holds[index].probe, holds[index].probe_at) = (None, again);
        self.alarms.insert((again, Alarm::Probe(lane)));
    }

    fn end_hold(&mut self, lane: u32, hold: &Hold) {
        self.holds -= 1;
        let at = Moment { now: self.now, wall: WallTime(0) };
        let ended = self.tell_hold(&self.lanes[lane].name, &self.lanes[lane].home, hold, at);
        self.actions.push_back(Action::HoldEnded(ended));
        for pile in self.piles_in(lane) {
            if self.flows(pile) {
                self.ring_in(pile);
                self.poke(self.piles[pile].destination);
            }
        }
    }

    /// Ends the holds of all lanes of a name; with `source`, only those of its mail; without, also
    /// their pauses. Returns how many holds and pauses ended.
    pub fn release_lane(&mut self, name: &str, source: Option<&SourceName>, now: Instant) -> usize {
        self.now = now;
        let wanted = source.map(|name| self.source_of.get(name).copied());
        let mut ended = 0;
        let mine = |lane: &super::Lane| *lane.name == *name;
        let lanes: Vec<u32> =
            self.lanes.iter().filter(|(_, lane)| mine(lane)).map(|(number, _)| number).collect();
        for lane in lanes {
            let meant = |hold: &Hold| wanted.is_none_or(|s| s.is_some() && hold.source == s);
            let holds = std::mem::take(&mut self.lanes[lane].holds);
            let (gone, kept): (Vec<Hold>, Vec<Hold>) = holds.into_iter().partition(meant);
            self.lanes[lane].holds = kept;
            for hold in gone {
                self.end_hold(lane, &hold);
                ended += 1;
            }
            if source.is_none() && self.lanes[lane].pause.is_on(now) {
                self.lanes[lane].pause = super::pause::Pause::default();
                ended += 1;
                self.wake_lane(lane);
            }
        }
        if source.is_none() {
            let before = self.memories.len();
            self.memories.retain(|(lane, _), memory| {
                let other = **lane != *name;
                self.holds -= if other { 0 } else { memory.holds.len() };
                other
            });
            ended += before - self.memories.len();
        }
        ended
    }

    /// Ends the pause of a lane: what its provider said of the address of `home` no longer counts.
    pub fn end_pause(&mut self, name: &str, home: &str, now: Instant) {
        self.now = now;
        let mine = |lane: &super::Lane| *lane.name == *name && *lane.home == *home;
        let lane = self.lanes.iter().find(|(_, lane)| mine(lane)).map(|(number, _)| number);
        if let Some(lane) = lane.filter(|lane| self.lanes[*lane].pause.is_on(now)) {
            self.lanes[lane].pause = super::pause::Pause::default();
            self.wake_lane(lane);
        }
    }

    /// Everything of a lane that may go asks for a carrier again. Looks at all destinations.
    pub(super) fn wake_lane(&mut self, lane: u32) {
        let here = self.destinations.iter().filter(|(_, entry)| entry.lane == lane);
        let numbers: Vec<u32> = here.map(|(number, _)| number).collect();
        for number in numbers {
            self.poke(number);
        }
    }

    /// All holds.
    #[must_use]
    pub fn held_mail(&self, at: Moment) -> Vec<HeldMail> {
        let lanes = self.lanes.iter().flat_map(|(_, lane)| {
            lane.holds.iter().map(|hold| self.tell_hold(&lane.name, &lane.home, hold, at))
        });
        let memories = self.memories.iter().flat_map(|((name, home), memory)| {
            memory.holds.iter().map(move |hold| self.tell_hold(name, home, hold, at))
        });
        let mut all: Vec<HeldMail> = lanes.chain(memories).collect();
        all.sort_by(|a, b| (&a.lane, &a.home, &a.source).cmp(&(&b.lane, &b.home, &b.source)));
        all
    }

    fn tell_hold(&self, lane: &str, home: &str, hold: &Hold, at: Moment) -> HeldMail {
        HeldMail {
            lane: lane.to_owned(),
            home: home.to_owned(),
            source: hold.source.map(|source| self.sources[source as usize].name.clone()),
            defect: hold.defect,
            reply: hold.reply.clone(),
            since: wall_of(hold.since.0, at),
            probe: wall_of(hold.probe_at.0, at),
        }
    }

    /// A job as its carrier hears it.
    pub(super) fn ticket(&self, leg: u32) -> Ticket {
        let leg = &self.legs[leg];
        Ticket {
            id: self.messages[leg.message].id,
            recipients: leg.recipients.as_slice().to_vec(),
            attempts: u32::from(leg.attempts),
        }
    }
}

impl Hold {
    /// Why, in words.
    pub(super) fn reason(&self) -> String {
        format!("{} is wrong ({})", self.defect, self.reply)
    }

    /// When the next message goes to see.
    pub(super) fn probe_at(&self) -> Instant {
        self.probe_at
    }
}
