//! Destinations and lanes: how much we ask of a provider, and how we notice that it is unwell.
//!
//! A *destination* is one recipient domain by one way. A *lane* is one provider as it sees one of
//! our addresses: all destinations whose mail the same provider receives, at home at the same
//! egress; until the provider is known, each domain has a lane of its own.
//!
//! ```text
//! destination:   open ──unreachable──► shut (15 s, 30 s .. 10 min) ──time──► probed ──good──► open
//!                                        ▲                                     │
//!                                        └───────────── unreachable ───────────┘
//! ```
//! The breaker is the destination's, not the lane's: a stranger's domain whose MX points into a
//! large provider's network, at a host that does not answer, must not stop that provider's mail.
//! The connection limit is the lane's: one more after each success, halved at a failure. Pauses
//! ([`super::pause`]) and holds ([`super::hold`]) are the lane's too.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::hold::Hold;
use super::pause::Pause;
use super::slab::NONE;
use super::turn::Turn;
use super::ways::Parked;
use crate::base::chance::Chance;
use crate::base::limits::{LANE_HALVING_PAUSE, PROBE_FIRST, PROBE_LONGEST, RETRY_JITTER_PERCENT};
use crate::base::time::Instant;
use crate::config::checked::LaneLimits;
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::reply::PeerReply;

/// One recipient domain, by one way.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) domain: Domain,
    pub(super) lane: u32,
    /// Number of its way.
    pub(super) way: u32,
    /// Another destination of this domain.
    pub(super) twin: u32,
    /// Its provider is known, or an attempt has come back: more than one carrier may go.
    pub(super) known: bool,
    /// Piles with legs in line whose source may deliver, by class.
    pub(super) piles: [VecDeque<u32>; 3],
    /// Legs in those piles.
    pub(super) ready: [u32; 3],
    /// Legs in all.
    pub(super) total: u32,
    pub(super) turn: Turn,
    /// Carriers, busy or not.
    pub(super) carriers: u32,
    /// Carriers that will ask for a job any moment.
    pub(super) coming: u32,
    /// Carriers that wait for a job.
    pub(super) idle: Vec<u64>,
    /// Standing in the lane's rings, by class.
    pub(super) in_ring: [bool; 3],
    /// Attempts in a row that did not reach a working host.
    pub(super) failures: u32,
    /// Answers in a row that asked for less.
    pub(super) throttles: u32,
    /// Shut until then, if `failures > 0`.
    pub(super) shut_until: Instant,
    /// Waits for its way.
    pub(super) parked: Option<Box<Parked>>,
    /// The last unhappy answer.
    pub(super) last_reply: Option<Box<PeerReply>>,
    /// On the list of those that may be forgotten.
    pub(super) fading: bool,
}

impl Destination {
    pub(super) fn new(domain: Domain, lane: u32, way: u32) -> Self {
        Self {
            domain,
            lane,
            way,
            twin: NONE,
            known: false,
            piles: Default::default(),
            ready: [0; 3],
            total: 0,
            turn: Turn::new(),
            carriers: 0,
            coming: 0,
            idle: Vec::new(),
            in_ring: [false; 3],
            failures: 0,
            throttles: 0,
            shut_until: Instant(0),
            parked: None,
            last_reply: None,
            fading: false,
        }
    }

    /// Whether anything may go there now at all.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.parked.is_none() && (self.failures == 0 || self.shut_until <= now)
    }

    /// Whether it may have only one carrier: it is a stranger, or was dead when last seen.
    pub(super) fn is_probed(&self) -> bool {
        self.failures > 0 || !self.known
    }

    /// An attempt did not reach a working host. Returns the wait until the next probe, unless the
    /// destination is shut already: carriers that fail together are one failure.
    pub(super) fn fail(&mut self, longest: Duration, now: Instant, chance: &mut Chance) -> bool {
        if self.failures > 0 && self.shut_until > now {
            return false;
        }
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let wait = PROBE_FIRST.saturating_mul(1 << doublings).min(PROBE_LONGEST).min(longest);
        self.shut_until = now.after(chance.jitter(wait, RETRY_JITTER_PERCENT));
        true
    }
}

/// What is kept of a lane that has no mail: how it must be treated when some comes.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) pause: Pause,
    pub(super) holds: Vec<Hold>,
}

/// One provider, from one home.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: Box<str>,
    /// The egress at which its mail is at home.
    pub(super) home: Arc<str>,
    /// Destinations in it.
    pub(super) destinations: u32,
    /// Connections that are allowed now: between one and `connections_max`.
    pub(super) allowed: u32,
    pub(super) carriers: u32,
    /// Carriers that were told to leave.
    pub(super) leaving: u32,
    /// Carriers whose job is not a one-time password.
    pub(super) busy_ordinary: u32,
    /// Destinations that want a carrier, by the class of the mail that they want it for.
    pub(super) rings: [VecDeque<u32>; 3],
    pub(super) turn: Turn,
    /// Standing in the ring of lanes: for urgent mail, for other mail.
    pub(super) in_turnout: [bool; 2],
    /// What its provider bears.
    pub(super) limits: LaneLimits,
    /// Destinations with one-time passwords in line.
    pub(super) urgent: BTreeSet<u32>,
    pub(super) pause: Pause,
    pub(super) holds: Vec<Hold>,
    /// The last answer that made it slower.
    pub(super) last_reply: Option<Box<PeerReply>>,
    halved: Option<Instant>,
    /// When the next message may go, under a limit per minute (a leaky bucket of one second).
    pub(super) rate_free: Instant,
    /// An alarm for `rate_free` is set.
    pub(super) rate_alarm: bool,
}

impl Lane {
    pub(super) fn new(name: &str, home: Arc<str>, limits: LaneLimits) -> Self {
        Self {
            name: name.into(),
            home,
            destinations: 0,
            allowed: limits.connections_first.clamp(1, limits.connections_max.max(1)),
            carriers: 0,
            leaving: 0,
            busy_ordinary: 0,
            rings: Default::default(),
            turn: Turn::new(),
            in_turnout: [false; 2],
            limits,
            urgent: BTreeSet::new(),
            pause: Pause::default(),
            holds: Vec::new(),
            last_reply: None,
            halved: None,
            rate_free: Instant(0),
            rate_alarm: false,
        }
    }

    /// Connections that mail of `class` may use: the last one is kept for one-time passwords.
    /// During a pause there is one connection, for them alone.
    pub(super) fn allowed_for(&self, class: MessageClass, now: Instant) -> u32 {
        match class {
            MessageClass::Otp if self.pause.is_on(now) => 1,
            MessageClass::Otp => self.allowed,
            _ if self.allowed > 1 => self.allowed - 1,
            _ => 1,
        }
    }

    /// A delivery succeeded: one connection more.
    pub(super) fn grow(&mut self) {
        self.allowed = self.allowed.saturating_add(1).min(self.limits.connections_max.max(1));
    }

    /// New limits are in force: above a lower ceiling it shrinks as carriers ask.
    pub(super) fn set_limits(&mut self, limits: LaneLimits) {
        self.limits = limits;
        self.allowed = self.allowed.min(limits.connections_max.max(1));
    }

    /// A failure: half the connections. True if that changed anything.
    pub(super) fn halve(&mut self, now: Instant) -> bool {
        if self.halved.is_some_and(|then| now.since(then) < LANE_HALVING_PAUSE) {
            return false;
        }
        let before = self.allowed;
        self.halved = Some(now);
        self.allowed = (self.allowed / 2).max(1);
        before != self.allowed
    }

    /// Whether the limit per minute lets a message go.
    pub(super) fn has_token(&self, now: Instant) -> bool {
        self.limits.messages_per_minute.is_none() || self.rate_free <= now
    }

    /// The time between two messages under a limit per minute.
    pub(super) fn gap(&self) -> Duration {
        self.limits
            .messages_per_minute
            .map_or(Duration::ZERO, |per_minute| Duration::from_secs(60) / per_minute.max(1))
    }

    /// A message goes.
    pub(super) fn spend_token(&mut self, now: Instant) {
        if self.limits.messages_per_minute.is_some() {
            let gap = self.gap();
            // Unused time of up to a second may be made up for.
            let earliest = Instant(now.0.saturating_sub(1_000_000));
            let from = if gap >= Duration::from_secs(1) { now } else { earliest };
            self.rate_free = self.rate_free.max(from).after(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_minute: Option<u32>) -> LaneLimits {
        LaneLimits {
            connections_first: 5,
            connections_max: 20,
            connections_total_max: 100,
            messages_per_connection: 100,
            messages_per_minute: per_minute,
        }
    }

    #[test]
    fn a_lane_starts_slowly_and_steps_back_once_per_failure() {
        let mut lane = Lane::new("example.net", "main".into(), limits(None));
        for _ in 0..100 {
            lane.grow();
        }
        assert_eq!(lane.allowed, 20);
        let now = Instant(1_000_000);
        assert!(lane.halve(now));
        assert!(!lane.halve(now.after(Duration::from_secs(1))));
        assert_eq!(lane.allowed, 10);
        assert_eq!(lane.allowed_for(MessageClass::Subscribed, now), 9);
        assert_eq!(lane.allowed_for(MessageClass::Otp, now), 10);
        for second in 1..10 {
            lane.halve(now.after(Duration::from_secs(second * 10)));
        }
        assert_eq!((lane.allowed, lane.allowed_for(MessageClass::Subscribed, now)), (1, 1));
    }

    #[test]
    fn a_dead_destination_is_probed_ever_more_rarely() {
        let domain = Domain::parse("example.net").unwrap();
        let mut destination = Destination::new(domain, 0, 0);
        let mut chance = Chance::new(1);
        let (mut now, mut waits) = (Instant(0), Vec::new());
        for _ in 0..12 {
            assert!(destination.fail(PROBE_LONGEST, now, &mut chance));
            assert!(!destination.fail(PROBE_LONGEST, now, &mut chance), "one failure, not two");
            assert!(!destination.is_open(now));
            waits.push(destination.shut_until.since(now).as_secs());
            now = destination.shut_until;
            assert!(destination.is_open(now) && destination.is_probed());
        }
        assert!(waits[0] <= 18 && waits.iter().all(|wait| *wait <= 720), "{waits:?}");
        assert!(waits[11] >= 480, "{waits:?}");
    }

    #[test]
    fn no_more_messages_a_minute_than_allowed() {
        for per_minute in [6, 60, 600, 6000] {
            let limits = limits(Some(per_minute));
            let mut lane = Lane::new("example.net", "main".into(), limits);
            let (mut sent, start) = (0, Instant(5_000_000));
            for tick in 0..60_000 {
                let now = start.after(Duration::from_millis(tick));
                while lane.has_token(now) {
                    lane.spend_token(now);
                    sent += 1;
                }
            }
            let burst = per_minute / 60 + 1;
            assert!(sent >= per_minute - 1 && sent <= per_minute + burst, "{per_minute}: {sent}");
        }
    }
}
