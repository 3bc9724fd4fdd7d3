//! What operators see: totals, lanes page by page, one message.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stock::{Leg, Pile, Place};
use super::{Moment, Queue};
use crate::base::id::QueueId;
use crate::base::time::{Instant, WallTime};
use crate::mail::class::MessageClass;
use crate::mail::source::{SourceName, SourceState};

/// Domains of a lane that are shown.
const TOP_SHOWN: usize = 5;

/// Totals; every one is kept, none is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages with an open recipient.
    pub messages: usize,
    /// Parts of messages that travel together (one per recipient domain, as a rule).
    pub legs: usize,
    /// Recipient domains that are known.
    pub destinations: usize,
    /// Providers.
    pub lanes: usize,
    /// Legs that wait for their date.
    pub waiting: usize,
    /// Carriers.
    pub carriers: usize,
    /// Stop-all is in force.
    pub stopped: bool,
}

/// How a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaneState {
    /// Mail flows.
    Open,
    /// Fewer connections than at the start, or a pause not long ago.
    Slowed,
    /// It waits because its provider has had enough; one-time passwords are tried all the same.
    Paused,
    /// Some or all of its mail is held for a fault of ours.
    Held,
}

/// One row of the list of lanes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneRow {
    /// Provider, or domain.
    pub lane: String,
    /// The egress at which its mail is at home.
    pub home: String,
    /// How it is.
    pub state: LaneState,
    /// Why, if it is not open.
    pub reason: Option<String>,
    /// Until when: the end of its pause, or the next probe of its first hold.
    pub until: Option<WallTime>,
    /// Recipient domains in it.
    pub domains: u32,
    /// Connections now.
    pub connections: u32,
    /// Connections that are allowed now.
    pub allowed: u32,
    /// Connections that are ever allowed.
    pub connections_max: u32,
    /// Messages on one connection.
    pub messages_per_connection: u32,
    /// Messages a minute, if limited.
    pub messages_per_minute: Option<u32>,
    /// Legs that could go now.
    pub ready: u64,
    /// Legs that wait for their date.
    pub waiting: u64,
    /// Legs in the hands of carriers.
    pub busy: u64,
    /// Legs that are held: by message, with their source, or for a fault of ours.
    pub held: u64,
    /// Legs by class.
    pub classes: BTreeMap<MessageClass, u64>,
    /// Legs by source.
    pub sources: BTreeMap<SourceName, u64>,
    /// The earliest acceptance.
    pub oldest: Option<WallTime>,
    /// The earliest date of those that wait.
    pub next_attempt: Option<WallTime>,
    /// Domains that are shut after failures, or parked with their way.
    pub shut: u32,
    /// The last unhappy answer.
    pub last_reply: Option<String>,
    /// The domains with most legs, most first.
    pub top: Vec<(String, u64)>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// The message.
    pub id: QueueId,
    /// Who submitted it.
    pub source: SourceName,
    /// What that source may do now.
    pub source_state: SourceState,
    /// Its class.
    pub class: MessageClass,
    /// It is a notification of ours.
    pub notification: bool,
    /// When responsibility was taken.
    pub accepted: WallTime,
    /// When delivery is given up.
    pub expires: WallTime,
    /// An operator keeps it back.
    pub held: bool,
    /// Octets of its content.
    pub octets: u32,
    /// Its parts.
    pub legs: Vec<LegView>,
}

/// The part of a message that goes to one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LegView {
    /// Where it goes.
    pub domain: String,
    /// By which way: `pool/home`, or the name of both.
    pub way: String,
    /// The provider, or the domain.
    pub lane: String,
    /// Indices of the recipients in the envelope.
    pub recipients: Vec<u16>,
    /// Attempts so far.
    pub attempts: u32,
    /// `ready`, `waiting`, `busy`, `held`, `source-held`, `defect`, `stopped`, `paused`, `shut`,
    /// `parked`, `settling`.
    pub state: &'static str,
    /// When it may go.
    pub next: Option<WallTime>,
    /// What it is parked for.
    pub parked: Option<String>,
    /// The last unhappy answer of this destination.
    pub last_reply: Option<String>,
}

impl Queue {
    /// Totals.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            messages: self.messages.len(),
            legs: self.legs.len(),
            destinations: self.destinations.len(),
            lanes: self.lanes.len(),
            waiting: self.due.len(),
            carriers: self.carriers.len(),
            stopped: self.stopped,
        }
    }

    /// Whether the message is queued.
    #[must_use]
    pub fn contains(&self, id: QueueId) -> bool {
        self.ids.contains_key(&id)
    }

    /// Up to `rows` lanes in the order of their names and homes, from the one at `offset`. Looks at
    /// every leg once.
    #[must_use]
    pub fn page_lanes(&self, offset: usize, rows: usize, at: Moment) -> Vec<LaneRow> {
        let mut page: BTreeMap<u32, LaneRow> = BTreeMap::new();
        for number in self.lane_of.values().skip(offset).take(rows) {
            page.insert(*number, self.bare_row(*number, at));
        }
        for (_, destination) in self.destinations.iter() {
            if let Some(row) = page.get_mut(&destination.lane) {
                row.shut += u32::from(!destination.is_open(at.now));
                if destination.total > 0 {
                    row.top.push((destination.domain.to_string(), destination.total.into()));
                }
            }
        }
        for row in page.values_mut() {
            row.top.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
            row.top.truncate(TOP_SHOWN);
        }
        for (_, leg) in self.legs.iter() {
            let pile = &self.piles[leg.pile];
            let lane = self.destinations[pile.destination].lane;
            if let Some(row) = page.get_mut(&lane) {
                self.count_leg(leg, pile, row, at);
            }
        }
        let mut rows: Vec<LaneRow> = page.into_values().collect();
        rows.sort_by(|a, b| (&a.lane, &a.home).cmp(&(&b.lane, &b.home)));
        rows
    }

    fn count_leg(&self, leg: &Leg, pile: &Pile, row: &mut LaneRow, at: Moment) {
        let message = &self.messages[leg.message];
        let kept = !self.sources[pile.source as usize].state.delivers()
            || self.is_held(pile.source, pile.destination);
        match leg.place {
            Place::Held => row.held += 1,
            Place::Ready | Place::Waiting if kept => row.held += 1,
            Place::Ready => row.ready += 1,
            Place::Waiting => row.waiting += 1,
            Place::Busy | Place::Settling => row.busy += 1,
        }
        *row.classes.entry(pile.class).or_default() += 1;
        let source = &self.sources[message.source as usize].name;
        *row.sources.entry(source.clone()).or_default() += 1;
        let accepted = WallTime(message.accepted);
        row.oldest = Some(row.oldest.map_or(accepted, |oldest| oldest.min(accepted)));
        if leg.place == Place::Waiting && !kept {
            let next = wall_of(leg.due.instant().0, at);
            row.next_attempt = Some(row.next_attempt.map_or(next, |n| n.min(next)));
        }
    }

    fn bare_row(&self, number: u32, at: Moment) -> LaneRow {
        let lane = &self.lanes[number];
        let (state, reason, until) = self.lane_state(number, at);
        LaneRow {
            lane: lane.name.to_string(),
            home: lane.home.to_string(),
            state,
            reason,
            until,
            domains: lane.destinations,
            connections: lane.carriers,
            allowed: lane.allowed,
            connections_max: lane.limits.connections_max,
            messages_per_connection: lane.limits.messages_per_connection,
            messages_per_minute: lane.limits.messages_per_minute,
            ready: 0,
            waiting: 0,
            busy: 0,
            held: 0,
            classes: BTreeMap::new(),
            sources: BTreeMap::new(),
            oldest: None,
            next_attempt: None,
            shut: 0,
            last_reply: lane.last_reply.as_ref().map(ToString::to_string),
            top: Vec::new(),
        }
    }

    fn lane_state(&self, number: u32, at: Moment) -> (LaneState, Option<String>, Option<WallTime>) {
        let lane = &self.lanes[number];
        let said = || lane.last_reply.as_ref().map(ToString::to_string);
        if let Some(hold) = lane.holds.first() {
            let whose = hold.source.map_or_else(
                || "all mail".to_owned(),
                |source| format!("mail of {}", self.sources[source as usize].name),
            );
            let reason = format!("{whose}: {}", hold.reason());
            return (LaneState::Held, Some(reason), Some(wall_of(hold.probe_at().0, at)));
        }
        if let Some(until) = lane.pause.until(at.now) {
            return (LaneState::Paused, said(), Some(wall_of(until.0, at)));
        }
        let first = lane.limits.connections_first.min(lane.limits.connections_max);
        if lane.allowed < first || lane.pause.steps() > 0 {
            return (LaneState::Slowed, said(), None);
        }
        (LaneState::Open, None, None)
    }

    /// One message.
    #[must_use]
    pub fn show(&self, id: QueueId, at: Moment) -> Option<MessageView> {
        let number = *self.ids.get(&id)?;
        let message = &self.messages[number];
        let source = &self.sources[message.source as usize];
        let deadline = u64::from(message.deadline) * 1_000_000;
        Some(MessageView {
            id,
            source: source.name.clone(),
            source_state: source.state,
            class: message.class,
            notification: message.notification,
            accepted: WallTime(message.accepted),
            expires: wall_of(deadline, at),
            held: message.held,
            octets: message.octets,
            legs: self.legs_of(number).into_iter().map(|leg| self.view_leg(leg, at)).collect(),
        })
    }

    fn view_leg(&self, leg: u32, at: Moment) -> LegView {
        let leg = &self.legs[leg];
        let pile = &self.piles[leg.pile];
        let destination = &self.destinations[pile.destination];
        let source_held = !self.sources[pile.source as usize].state.delivers();
        let mut parked = None;
        let (mut state, mut next) = match leg.place {
            Place::Ready => ("ready", None),
            Place::Waiting => ("waiting", Some(wall_of(leg.due.instant().0, at))),
            Place::Busy => ("busy", None),
            Place::Held => ("held", None),
            Place::Settling => ("settling", None),
        };
        if matches!(leg.place, Place::Ready | Place::Waiting) && source_held {
            (state, next) = ("source-held", None);
        } else if let (Place::Ready | Place::Waiting, Some(hold)) =
            (leg.place, self.hold_of(pile.source, pile.destination))
        {
            (state, next) = ("defect", Some(wall_of(hold.probe_at().0, at)));
            parked = Some(hold.reason());
        } else if leg.place == Place::Ready {
            if self.stopped {
                state = "stopped";
            } else if let Some(why) = &destination.parked {
                (state, parked) = ("parked", Some(why.reason.to_string()));
                next = why.dated.then(|| wall_of(why.again.0, at));
            } else if !self.lanes[destination.lane].pause.lets(pile.class, at.now) {
                let until = self.lanes[destination.lane].pause.next(at.now);
                (state, next) = ("paused", until.map(|until| wall_of(until.0, at)));
            } else if !destination.is_open(at.now) {
                (state, next) = ("shut", Some(wall_of(destination.shut_until.0, at)));
            }
        }
        LegView {
            domain: destination.domain.as_str().to_owned(),
            way: self.ways[destination.way as usize].to_string(),
            lane: self.lanes[destination.lane].name.to_string(),
            recipients: leg.recipients.as_slice().to_vec(),
            attempts: u32::from(leg.attempts),
            state,
            next,
            parked,
            last_reply: destination.last_reply.as_ref().map(ToString::to_string),
        }
    }

    /// A page of messages that match, in the order of their ids, after `after`. Returns at most
    /// `rows`.
    #[must_use]
    pub fn page_messages(
        &self,
        selection: &super::Selection,
        after: Option<QueueId>,
        rows: usize,
        at: Moment,
    ) -> Vec<MessageView> {
        let mut ids = self.count(selection).messages;
        ids.sort_unstable();
        let ids = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after));
        ids.take(rows).filter_map(|id| self.show(id, at)).collect()
    }
}

/// The stamp of a point on the monotonic clock.
pub(super) fn wall_of(micros: u64, at: Moment) -> WallTime {
    let wait = Instant(micros).since(at.now);
    if wait > Duration::ZERO {
        return at.wall.after(wait);
    }
    let ago = u64::try_from(at.now.since(Instant(micros)).as_millis()).unwrap_or(u64::MAX);
    WallTime(at.wall.0.saturating_sub(ago))
}
