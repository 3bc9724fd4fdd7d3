//! Policies of MTA-STS by domain: looked up once, shared, kept, refreshed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;

use super::{Trust, WebError};
use crate::base::limits::{
    STS_DOMAINS_MAX, STS_FETCH_PAUSE, STS_FETCH_TIMEOUT, STS_RECHECK, STS_REFETCH_WAIT, STS_REFRESH,
};
use crate::base::time::{Instant, WallTime};
use crate::config::checked::{Config, Egress};
use crate::host::clock;
use crate::mail::address::Domain;
use crate::mail::trust::{PolicyKind, PolicySeen, TlsResult};
use crate::outcome::tlsrpt::Session;
use crate::route::LookupError;
use crate::route::sts::{Policy, Signal, signal};
use crate::route::trust::Sts;
use crate::store::trust::KeptPolicy;

/// Policies that are refreshed in one round; the others wait for the next.
const REFRESHED_AT_ONCE: usize = 32;

/// A domain to which nothing was sent for so long needs no refresh.
const REFRESH_USED: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known of all domains.
#[derive(Debug, Default)]
pub(super) struct Policies(Mutex<HashMap<Domain, Arc<Slot>>>);

/// What is known of one domain. Whoever looks something up holds the inner lock meanwhile, so that
/// all others wait for the same answer.
#[derive(Debug, Default)]
struct Slot {
    known: AsyncMutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    policy: Option<KeptPolicy>,
    /// The shared form of `policy`.
    shared: Option<Arc<Policy>>,
    /// When the record was looked at last.
    looked: Option<Instant>,
    /// The last fetch that failed: when, for which id, and why.
    failed: Option<Failed>,
    /// When and by which egress it was asked for last.
    used: Option<(Instant, String)>,
}

#[derive(Clone, Debug)]
struct Failed {
    at: Instant,
    id: String,
    result: TlsResult,
    cause: String,
}

impl Known {
    fn keep(&mut self, policy: KeptPolicy) {
        self.shared = Some(Arc::new(policy.policy.clone()));
        self.policy = Some(policy);
        self.failed = None;
    }

    /// The policy in force, else why there is none.
    fn answer(&self, now: WallTime) -> Sts {
        if self.policy.as_ref().is_some_and(|policy| now < policy.expires)
            && let Some(policy) = &self.shared
        {
            return Sts::Policy(policy.clone());
        }
        match &self.failed {
            Some(Failed { result, cause, .. }) => {
                Sts::Lost { result: *result, cause: cause.clone() }
            }
            None => Sts::Absent,
        }
    }
}

impl Policies {
    pub(super) fn from_kept(kept: Vec<(Domain, KeptPolicy)>, now: WallTime) -> Self {
        let good = kept.into_iter().filter(|(_, policy)| now < policy.expires);
        let slots = good.take(STS_DOMAINS_MAX).map(|(domain, policy)| {
            let mut known = Known::default();
            known.keep(policy);
            (domain, Arc::new(Slot { known: AsyncMutex::new(known) }))
        });
        Self(Mutex::new(slots.collect()))
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Domain, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, domain: &Domain) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(domain) {
            return slot.clone();
        }
        if slots.len() >= STS_DOMAINS_MAX {
            make_room(&mut slots);
        }
        slots.entry(domain.clone()).or_default().clone()
    }

    /// What MTA-STS says about `domain` now.
    pub(super) async fn of(&self, trust: &Trust, egress: &Egress, domain: &Domain) -> Sts {
        let slot = self.slot(domain);
        let mut known = slot.known.lock().await;
        let now = clock::now();
        known.used = Some((now, egress.name.clone()));
        if known.looked.is_some_and(|looked| now.since(looked) < STS_RECHECK) {
            return known.answer(clock::wall());
        }
        let record = format!("_mta-sts.{domain}");
        let found = match trust.names.txt(egress, &record).await {
            Ok(records) => signal(&records),
            Err(LookupError::NoSuchDomain) => Signal::Silent,
            // Nothing was asked: nothing is known, and the next one may ask again.
            Err(LookupError::Suspended(_)) => return known.answer(clock::wall()),
            // What is remembered holds although the name servers are silent.
            Err(LookupError::Temporary(_) | LookupError::Bogus(_)) => {
                known.looked = Some(now);
                return known.answer(clock::wall());
            }
        };
        known.looked = Some(now);
        match found {
            // A record that is gone takes no policy back: only `mode: none` does (RFC 8461 5.1).
            Signal::Silent => known.failed = None,
            Signal::Id(id) => {
                let current = known
                    .policy
                    .as_ref()
                    .is_some_and(|policy| policy.id == id && clock::wall() < policy.expires);
                let paused = known.failed.as_ref().is_some_and(|failed| {
                    failed.id == id && now.since(failed.at) < STS_FETCH_PAUSE
                });
                if !current && !paused {
                    // Mail that has a policy to go by does not wait long for a newer one.
                    let valid = matches!(known.answer(clock::wall()), Sts::Policy(_));
                    let wait = if valid { STS_REFETCH_WAIT } else { STS_FETCH_TIMEOUT };
                    match ask(trust, egress, domain, wait).await {
                        Some(answer) => known.learn(trust, domain, id, answer),
                        None => known.looked = None,
                    }
                }
            }
        }
        known.answer(clock::wall())
    }

    /// Fetches policies again that are in use and a day old, long before they expire. What fails
    /// stays as it is.
    pub(super) async fn refresh(&self, trust: &Trust, config: &Config) {
        let all: Vec<(Domain, Arc<Slot>)> =
            self.slots().iter().map(|(domain, slot)| (domain.clone(), slot.clone())).collect();
        let mut refreshed = 0;
        for (domain, slot) in all {
            // Whoever holds the lock is looking the same thing up.
            let due = slot.known.try_lock().ok().and_then(|known| known.due(config));
            let Some((egress, id)) = due else { continue };
            // Nobody waits for this: the lock is free meanwhile.
            if let Some(answer) = ask(trust, egress, &domain, STS_FETCH_TIMEOUT).await {
                let mut known = slot.known.lock().await;
                let same = known.policy.as_ref().is_some_and(|policy| policy.id == id);
                if same {
                    known.learn(trust, &domain, id, answer);
                }
            }
            refreshed += 1;
            if refreshed == REFRESHED_AT_ONCE {
                return;
            }
        }
    }
}

impl Known {
    /// The egress and the id for a refresh, if one is due.
    fn due<'c>(&self, config: &'c Config) -> Option<(&'c Egress, String)> {
        let policy = self.policy.as_ref()?;
        let (used, egress) = self.used.as_ref()?;
        let (now, wall) = (clock::now(), clock::wall());
        let old = wall.since(policy.fetched) > STS_REFRESH || wall >= policy.expires;
        let paused =
            self.failed.as_ref().is_some_and(|failed| now.since(failed.at) < STS_REFRESH / 24);
        if !old || paused || now.since(*used) > REFRESH_USED {
            return None;
        }
        let egress = config.egresses.iter().find(|known| known.name == *egress)?;
        Some((egress, policy.id.clone()))
    }
}

/// Asks the policy host, for `wait` at most. `None`: our own way out is suspended, and nothing is
/// known.
async fn ask(
    trust: &Trust,
    egress: &Egress,
    domain: &Domain,
    wait: Duration,
) -> Option<Result<Policy, (TlsResult, String)>> {
    let asked = tokio::time::timeout(wait, trust.web.policy(egress, domain.as_str())).await;
    let answer = asked.unwrap_or_else(|_| Err(WebError::Other("timed out".to_owned())));
    Some(match answer {
        Ok(text) => {
            Policy::parse(&text).map_err(|error| (TlsResult::StsPolicyInvalid, error.to_string()))
        }
        Err(WebError::Suspended(_)) => return None,
        Err(error) => Err((error.result(), error.to_string())),
    })
}

impl Known {
    /// A policy takes the place of what was known; a failure leaves it as it is, and is counted.
    fn learn(
        &mut self,
        trust: &Trust,
        domain: &Domain,
        id: String,
        answer: Result<Policy, (TlsResult, String)>,
    ) {
        let (result, cause) = match answer {
            Ok(policy) => {
                let fetched = clock::wall();
                let expires = fetched.after(Duration::from_secs(policy.max_age_secs));
                let kept = KeptPolicy { id, fetched, expires, policy };
                if let Some(store) = &trust.store {
                    store.put_policy(domain, Some(&kept));
                }
                return self.keep(kept);
            }
            Err(failure) => failure,
        };
        self.failed = Some(Failed { at: clock::now(), id, result, cause: cause.clone() });
        let policy =
            PolicySeen { kind: PolicyKind::Sts, strings: Vec::new(), mx_hosts: Vec::new() };
        let (failure, sending, host, receiving) = (Some((result, cause)), None, None, None);
        trust.count(domain, Session { policy, failure, sending, host, receiving });
    }
}

/// Forgets domains without a policy first, then those that were not asked for.
fn make_room(slots: &mut HashMap<Domain, Arc<Slot>>) {
    let idle = |slot: &Arc<Slot>, with_policy: bool| {
        slot.known.try_lock().is_ok_and(|known| known.policy.is_some() == with_policy)
    };
    let target = STS_DOMAINS_MAX / 10 * 9;
    for with_policy in [false, true] {
        let mut spare = slots.len().saturating_sub(target);
        slots.retain(|_, slot| {
            let goes = spare > 0 && idle(slot, with_policy);
            spare -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
impl Policies {
    /// As if the record of every domain had been looked at long ago.
    pub(super) async fn forget_looks(&self) {
        let all: Vec<_> = self.slots().values().cloned().collect();
        for slot in all {
            slot.known.lock().await.looked = None;
        }
    }

    /// As if every policy had been fetched two days ago.
    pub(super) async fn grow_old(&self) {
        let all: Vec<_> = self.slots().values().cloned().collect();
        for slot in all {
            if let Some(policy) = &mut slot.known.lock().await.policy {
                policy.fetched = WallTime(policy.fetched.0 - 2 * 86_400_000);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }
}
