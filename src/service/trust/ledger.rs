//! TLS memory and the counts for reports, in memory; written behind.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::limits::{
    TLS_MEMORY_DOMAINS_MAX, TLS_MEMORY_SPAN, TLSRPT_DAYS_KEPT, TLSRPT_DOMAINS_MAX,
};
use crate::base::time::WallTime;
use crate::mail::address::Domain;
use crate::mail::trust::Assurance;
use crate::outcome::tlsrpt::{Counts, Session, day_of};
use crate::route::trust::memory::{Downgrade, Remembered};
use crate::store::trust::TrustStore;

/// Between two writes of what was counted.
pub(super) const WRITE_BEAT: Duration = Duration::from_secs(10);

/// A memory that says nothing new is written this often at most.
const WRITE_PAUSE: Duration = Duration::from_secs(3600);

/// What is remembered and counted.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    memory: Mutex<HashMap<Domain, Remembered>>,
    counts: Mutex<Days>,
}

#[derive(Debug, Default)]
struct Days {
    counts: HashMap<(u32, Domain), Counts>,
    changed: HashSet<(u32, Domain)>,
}

impl Ledger {
    pub(super) fn from_kept(
        memory: Vec<(Domain, Remembered)>,
        counts: Vec<((u32, Domain), Counts)>,
        now: WallTime,
    ) -> Self {
        let fresh = |one: &(Domain, Remembered)| now.since(one.1.last_at) < TLS_MEMORY_SPAN;
        let memory = memory.into_iter().filter(fresh).take(TLS_MEMORY_DOMAINS_MAX).collect();
        let days = Days { counts: counts.into_iter().collect(), changed: HashSet::new() };
        Self { memory: Mutex::new(memory), counts: Mutex::new(days) }
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<Domain, Remembered>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn days(&self) -> MutexGuard<'_, Days> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_relied_on(&self, domain: &Domain) -> bool {
        self.memory().get(domain).is_some_and(Remembered::is_relied_on)
    }

    /// Takes note of a connection. Returns what is to be told, if it is a downgrade.
    pub(super) fn note(
        &self,
        store: Option<&TrustStore>,
        domain: &Domain,
        found: Assurance,
        now: WallTime,
    ) -> Option<Downgrade> {
        let mut all = self.memory();
        let (fell, news, present) = if let Some(known) = all.get_mut(domain) {
            let before = *known;
            let fell = known.note(found, now);
            let news = fell.is_some()
                || (before.best, before.last) != (known.best, known.last)
                || before.tls_since != known.tls_since
                || now.since(before.last_at) > WRITE_PAUSE;
            (fell, news, *known)
        } else {
            if all.len() >= TLS_MEMORY_DOMAINS_MAX {
                forget_oldest(&mut all, store);
            }
            let fresh = Remembered::new(found, now);
            all.insert(domain.clone(), fresh);
            (None, true, fresh)
        };
        drop(all);
        if let (true, Some(store)) = (news, store) {
            store.put_memory(domain, Some(&present));
        }
        fell
    }

    /// A connection would have been worth this much, and was not used.
    pub(super) fn warn(
        &self,
        domain: &Domain,
        found: Assurance,
        now: WallTime,
    ) -> Option<Downgrade> {
        self.memory().get_mut(domain)?.warn(found, now)
    }

    /// Counts a session of `day`; domains beyond the bound are not counted.
    pub(super) fn count(&self, day: u32, domain: &Domain, session: Session) {
        let mut days = self.days();
        let place = (day, domain.clone());
        if !days.counts.contains_key(&place) && days.counts.len() >= TLSRPT_DOMAINS_MAX {
            return;
        }
        days.counts.entry(place.clone()).or_default().note(session);
        days.changed.insert(place);
    }

    /// Writes what was counted since the last time.
    pub(super) fn write(&self, store: Option<&TrustStore>) {
        let mut days = self.days();
        let changed = std::mem::take(&mut days.changed);
        let Some(store) = store else { return };
        for (day, domain) in changed {
            let counts = days.counts.get(&(day, domain.clone()));
            store.put_counts(day, &domain, counts);
        }
    }

    /// The days before today that are not reported yet; what is too old for a report is forgotten.
    pub(super) fn due(&self, store: Option<&TrustStore>, now: WallTime) -> Vec<(u32, Domain)> {
        let today = day_of(now);
        let past: Vec<(u32, Domain)> =
            self.days().counts.keys().filter(|(day, _)| *day < today).cloned().collect();
        let (late, due): (Vec<_>, Vec<_>) =
            past.into_iter().partition(|(day, _)| today - day > TLSRPT_DAYS_KEPT);
        for (day, domain) in late {
            self.forget(store, day, &domain);
        }
        due
    }

    pub(super) fn counts(&self, day: u32, domain: &Domain) -> Option<Counts> {
        self.days().counts.get(&(day, domain.clone())).cloned()
    }

    /// A report was sent, or nobody wants it.
    pub(super) fn forget(&self, store: Option<&TrustStore>, day: u32, domain: &Domain) {
        let place = (day, domain.clone());
        let mut days = self.days();
        days.counts.remove(&place);
        days.changed.remove(&place);
        drop(days);
        if let Some(store) = store {
            store.put_counts(day, domain, None);
        }
    }
}

/// Makes room for a tenth.
fn forget_oldest(all: &mut HashMap<Domain, Remembered>, store: Option<&TrustStore>) {
    let mut ages: Vec<WallTime> = all.values().map(|known| known.last_at).collect();
    let (_, cut, _) = ages.select_nth_unstable(TLS_MEMORY_DOMAINS_MAX / 10);
    let cut = *cut;
    all.retain(|domain, known| {
        let stays = known.last_at > cut;
        if let (false, Some(store)) = (stays, store) {
            store.put_memory(domain, None);
        }
        stays
    });
}

#[cfg(test)]
impl Ledger {
    pub(super) fn remembered(&self) -> usize {
        self.memory().len()
    }
}
