//! Ways: which member of a pool carries now, and why another one does not.
//!
//! ```text
//!  broker: link, address, route ──┐
//!  operator: egress suspend ──────┼──► whole? ──► home, else the next stand-in that is whole,
//!  receivers: listed ─────────────┘               else the pool is closed and its mail waits
//!  warm-up, listed by one provider ──► barred towards that provider alone
//! ```
//!
//! Nothing here sends anything. Carriers ask before they approach a domain ([`Ways::members`]),
//! when they know its provider ([`Ways::bar`]) and before every message ([`Ways::take`]); whoever
//! hears news tells them and carries [`Ways::news`] to the queue.

mod listings;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use state::State;
pub use state::{EgressState, FamilyState, Holder};

use crate::base::fault::Fault;
use crate::base::limits::EGRESS_RECHECK;
use crate::base::time::WallTime;
use crate::config::checked::{Config, Egress};
use crate::event::Event;
use crate::host::clock;
use crate::mail::address::Domain;
use crate::mail::way::Way;
use crate::net::egress::EgressClient;
use crate::route::pool::Pools;
use crate::service::post::Listed;
use crate::store::warmth::Warmth;

/// Seconds of a day.
const DAY_SECS: u64 = 86_400;

/// Tells the world a fact.
type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// Why nobody carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// In words, with the name of the egress.
    pub reason: String,
    /// Until when, from now; none: until somebody tells that the pool is open.
    pub wait: Option<Duration>,
}

/// What the queue must hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolNews {
    /// The pool.
    pub pool: String,
    /// No member may carry.
    pub closed: bool,
}

/// The ways out and their state. One per gateway.
pub struct Ways {
    pools: ArcSwap<Pools>,
    egress: EgressClient,
    state: Mutex<State>,
    /// Without accounts nobody warms up: only tests are without.
    warmth: Mutex<Option<Warmth>>,
    tell: OnceLock<Tell>,
}

impl Ways {
    /// The ways of a configuration; how they are, `egress` knows.
    #[must_use]
    pub fn new(config: Arc<Config>, egress: EgressClient) -> Self {
        Self {
            pools: ArcSwap::from_pointee(Pools::new(config)),
            egress,
            state: Mutex::default(),
            warmth: Mutex::new(None),
            tell: OnceLock::new(),
        }
    }

    /// Counts what leaves by addresses that are warming up.
    #[must_use]
    pub fn with_accounts(self, warmth: Warmth) -> Self {
        *self.warmth.lock().unwrap_or_else(PoisonError::into_inner) = Some(warmth);
        self
    }

    /// Who hears facts; once.
    pub fn tell_to(&self, tell: Tell) {
        let _ = self.tell.set(tell);
    }

    /// A new configuration.
    pub fn renew(&self, config: Arc<Config>) {
        self.pools.store(Arc::new(Pools::new(config)));
        self.lock().stale = true;
    }

    /// Who may carry mail of `way` to `domain`, the most wanted first: its home, then stand-ins
    /// that receivers know, then those that are warming up.
    ///
    /// # Errors
    /// Nobody.
    pub fn members(&self, way: &Way, domain: &Domain) -> Result<Vec<Arc<str>>, Standstill> {
        let pools = self.pools.load();
        let mut reasons = Vec::new();
        let mut members: Vec<Arc<str>> = Vec::new();
        for member in pools.order(way, domain) {
            match self.reason(member) {
                None => members.push(member.clone()),
                Some(reason) => reasons.push(format!("{member}: {reason}")),
            }
        }
        let today = today();
        members.sort_by_key(|member| {
            *member != way.home && allowance(&pools, member, today).is_some()
        });
        if !members.is_empty() {
            return Ok(members);
        }
        if reasons.is_empty() {
            reasons.push(format!("{}: no such pool", way.pool));
        }
        Err(Standstill { reason: reasons.join("; "), wait: None })
    }

    /// Why `egress` may carry nothing to `provider` now, although it is whole.
    #[must_use]
    pub fn bar(&self, egress: &str, provider: &str) -> Option<Standstill> {
        let (now, wall) = (clock::now(), clock::wall());
        if let Some(rest) = self.lock().listings.pair(egress, provider, now) {
            let reason = format!("{egress}: {provider} says that it is listed: {}", rest.reply);
            return Some(Standstill { reason, wait: rest.left(now) });
        }
        let (pools, today) = (self.pools.load(), day(wall));
        let allowed = allowance(&pools, egress, today)?;
        let used = self.accounts().as_ref()?.used(egress, provider, today);
        (used >= allowed).then(|| Standstill {
            reason: format!(
                "{egress}: its warm-up allows {allowed} messages to {provider} today (UTC)"
            ),
            wait: Some(until_tomorrow(wall)),
        })
    }

    /// A message is about to leave by `egress`: false if it may not, and another member must be
    /// found. One that did not leave is given back with [`Self::give_back`].
    #[must_use]
    pub fn take(&self, egress: &str, provider: &str) -> bool {
        if self.reason(egress).is_some() {
            return false;
        }
        let today = today();
        let Some(allowed) = allowance(&self.pools.load(), egress, today) else {
            return self.lock().listings.pair(egress, provider, clock::now()).is_none();
        };
        if self.bar(egress, provider).is_some() {
            return false;
        }
        let mut accounts = self.accounts();
        let Some(warmth) = accounts.as_mut() else { return true };
        let spent = warmth.spend(egress, provider, today, allowed);
        drop(accounts);
        spent.unwrap_or_else(|fault| {
            // It counts in memory; a disk that fails is told, and does not stop the mail.
            self.fault(&fault);
            true
        })
    }

    /// The message did not leave after all.
    pub fn give_back(&self, egress: &str, provider: &str) {
        let today = today();
        if allowance(&self.pools.load(), egress, today).is_none() {
            return;
        }
        let given = self.accounts().as_mut().map(|w| w.give_back(egress, provider, today));
        if let Some(Err(fault)) = given {
            self.fault(&fault);
        }
    }

    /// Whether nobody who is more wanted than `egress` can carry: a connection by a stand-in is
    /// left when the home is back. A home that lacks a family may be of no use to these hosts.
    #[must_use]
    pub fn is_wanted(&self, way: &Way, domain: &Domain, egress: &str, provider: &str) -> bool {
        if *way.home == *egress {
            return true;
        }
        let Ok(members) = self.members(way, domain) else { return false };
        let free = |member: &&Arc<str>| {
            ***member == *egress || (!self.is_half(member) && self.bar(member, provider).is_none())
        };
        members.iter().find(free).is_some_and(|member| **member == *egress)
    }

    /// The egresses that operators have suspended, all of them. What operators decide is stored
    /// elsewhere.
    pub fn hold(&self, held: BTreeMap<String, Holder>) {
        self.lock().held = held;
    }

    /// An operator says that an address is listed no more. True if somebody said that it was.
    pub fn forgive(&self, egress: &str) -> bool {
        self.lock().listings.forgive(egress, clock::now())
    }

    /// A receiver says that an address is listed. True if the egress rests as a whole from now on:
    /// then [`Self::news`] has some.
    pub fn listed(&self, listed: Listed<'_>) -> bool {
        let Listed { egress, provider, known, reply } = listed;
        let clocks = (clock::now(), clock::wall());
        self.lock().listings.hear(egress, provider, known, &reply.to_string(), clocks)
    }

    /// What has changed since the last call: for the queue, and told to the world. Called after
    /// every change and once a second, because rests end.
    #[must_use]
    pub fn news(&self) -> Vec<PoolNews> {
        let pools = self.pools.load();
        // Of an egress that the broker has not told of, there is no news.
        let all = pools.config().egresses.iter();
        let states: Vec<EgressState> = all
            .map(|egress| self.state_of(egress))
            .filter(|state| state.known || state.suspended.is_some())
            .collect();
        let mut state = self.lock();
        let (changed, events) = state.compare(&states, clock::now());
        // Pools of a new configuration are told whole.
        let anew = std::mem::take(&mut state.stale);
        drop(state);
        if let Some(tell) = self.tell.get() {
            for event in events {
                tell(event);
            }
        }
        let carries =
            |name: &str| states.iter().any(|state| state.name == name && state.suspended.is_none());
        let all = pools.config().pools.iter();
        let touched =
            all.filter(|pool| anew || pool.members.iter().any(|m| changed.contains(&m.egress)));
        let news = touched.map(|pool| PoolNews {
            pool: pool.name.clone(),
            closed: !pool.members.iter().any(|member| carries(&member.egress)),
        });
        news.collect()
    }

    /// Every egress with everything that is known of it, in the order of the document.
    #[must_use]
    pub fn states(&self) -> Vec<EgressState> {
        self.pools.load().config().egresses.iter().map(|egress| self.state_of(egress)).collect()
    }

    fn state_of(&self, egress: &Egress) -> EgressState {
        let (now, wall) = (clock::now(), clock::wall());
        let pools = self.pools.load();
        let condition = self.egress.condition(&egress.name);
        let mut state = self.lock().describe(egress, condition, now);
        state.pools = pools.pools_of(&egress.name).map(str::to_owned).collect();
        if let Some(warm_up) = &egress.warm_up {
            let today = day(wall);
            let accounts = self.accounts();
            let sums = accounts.as_ref().map(|warmth| warmth.sums(&egress.name, today));
            state.warm_up = state::warm_up_row(warm_up, today, sums.unwrap_or_default());
        }
        state
    }

    /// Why nothing at all may leave by `egress`.
    fn reason(&self, egress: &str) -> Option<String> {
        {
            let state = self.lock();
            if let Some(holder) = state.held.get(egress) {
                return Some(format!("suspended by {}: {}", holder.by, holder.reason));
            }
            if let Some(rest) = state.listings.whole(egress, clock::now()) {
                return Some(rest.reply.clone());
            }
        }
        self.egress.suspended(egress)
    }

    /// Whether hosts of one family wait for `egress` to have that family again.
    #[must_use]
    pub fn is_half(&self, egress: &str) -> bool {
        let condition = self.egress.condition(egress);
        condition.is_some_and(|known| known.amiss().is_some() && known.suspended().is_none())
    }

    /// How long mail waits for a family that a whole egress lacks, before it looks again.
    #[must_use]
    pub fn half_wait() -> Duration {
        EGRESS_RECHECK
    }

    fn fault(&self, fault: &Fault) {
        if let Some(tell) = self.tell.get() {
            tell(Event::FaultSeen { room: "warm-up".to_owned(), fault: fault.to_string() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts(&self) -> MutexGuard<'_, Option<Warmth>> {
        self.warmth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `egress` may send to one provider on `day`; none: no limit.
fn allowance(pools: &Pools, egress: &str, day: u32) -> Option<u32> {
    let mut egresses = pools.config().egresses.iter();
    egresses.find(|known| known.name == egress)?.warm_up.as_ref()?.allowance(day)
}

/// Days since 1970-01-01 (UTC).
#[must_use]
pub fn day(wall: WallTime) -> u32 {
    u32::try_from(wall.unix_secs() / DAY_SECS).unwrap_or(u32::MAX)
}

fn today() -> u32 {
    day(clock::wall())
}

/// Until the first second of the next day (UTC).
fn until_tomorrow(wall: WallTime) -> Duration {
    Duration::from_secs(DAY_SECS - wall.unix_secs() % DAY_SECS)
}
