//! The keeper of trust: policies of MTA-STS, TLS memory, and what is counted for reports.
//!
//! ```text
//! carrier ─ sts(domain) ─► record ─ new id? ─► policy host ─┐
//!         ◄──────────────────────── policy ◄── memory ◄─────┴─► store
//! carrier ─ note / count ─► memory ─► store ─► the report of a day
//! ```
//!
//! The mail path reads memory only; what changes is written behind it. A policy that was fetched
//! holds until it expires, whatever becomes of its record and its host (RFC 8461 3.3): only a new
//! policy takes its place.

mod ledger;
mod outbox;
mod policies;
mod reports;
mod web;

pub use outbox::{Outbox, ReportBox};
pub use web::{Asking, EgressWeb, Web, WebError};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::config::checked::{Config, Egress, Remember};
use crate::dns::Names;
use crate::event::Event;
use crate::host::clock;
use crate::mail::address::Domain;
use crate::mail::trust::Assurance;
use crate::outcome::tlsrpt::{Session, day_of};
use crate::route::trust::Sts;
use crate::route::trust::memory::Downgrade;
use crate::store::trust::TrustStore;
use ledger::Ledger;
use policies::Policies;

/// Between two looks at policies that grow old and at days that can be reported.
const HOUSE_BEAT: Duration = Duration::from_secs(600);

/// How facts are told.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// The keeper.
pub struct Trust {
    config: Arc<ArcSwap<Config>>,
    names: Arc<dyn Names>,
    web: Arc<dyn Web>,
    store: Option<TrustStore>,
    tell: Tell,
    policies: Policies,
    ledger: Ledger,
}

impl Trust {
    /// A keeper that forgets everything when it goes: for tests and demonstrations.
    #[must_use]
    pub fn forgetful(
        config: Arc<ArcSwap<Config>>,
        names: Arc<dyn Names>,
        web: Arc<dyn Web>,
        tell: Tell,
    ) -> Self {
        let (policies, ledger) = (Policies::default(), Ledger::default());
        Self { config, names, web, store: None, tell, policies, ledger }
    }

    /// A keeper with the database in `folder`. What is damaged there is told as a fault.
    ///
    /// # Errors
    /// The writer of the database cannot be started.
    pub fn open(
        folder: &Path,
        config: Arc<ArcSwap<Config>>,
        names: Arc<dyn Names>,
        web: Arc<dyn Web>,
        tell: Tell,
    ) -> Result<Self, Fault> {
        let (store, kept) = TrustStore::open(folder)?;
        for fault in kept.findings {
            tell(Event::FaultSeen { room: "trust".to_owned(), fault });
        }
        let now = clock::wall();
        let policies = Policies::from_kept(kept.policies, now);
        let ledger = Ledger::from_kept(kept.memory, kept.counts, now);
        Ok(Self { config, names, web, store: Some(store), tell, policies, ledger })
    }

    /// What MTA-STS says about `domain`; asks through `egress` what is not known yet. Look-ups of
    /// one domain at a time are one look-up.
    pub async fn sts(&self, egress: &Egress, domain: &Domain) -> Sts {
        if !self.config.load().trust.mta_sts || domain.literal().is_some() {
            return Sts::Absent;
        }
        self.policies.of(self, egress, domain).await
    }

    /// Whether the configuration relies on the TLS that is remembered of `domain`.
    pub fn relies_on(&self, domain: &Domain) -> bool {
        let config = self.config.load();
        config.trust.remember == Remember::Enforce && self.ledger.is_relied_on(domain)
    }

    /// A connection to a host of `domain` was used, and was worth this much.
    pub fn note(&self, domain: &Domain, relay: &str, found: Assurance) {
        let fell = self.ledger.note(self.store.as_ref(), domain, found, clock::wall());
        self.alarm(domain, relay, fell);
    }

    /// A host of `domain` could have been used in clear text alone, and was not.
    pub fn warn(&self, domain: &Domain, relay: &str) {
        let fell = self.ledger.warn(domain, Assurance::Clear, clock::wall());
        self.alarm(domain, relay, fell);
    }

    fn alarm(&self, domain: &Domain, relay: &str, fell: Option<Downgrade>) {
        let Some(Downgrade { best, best_at, found }) = fell else { return };
        let (domain, relay) = (domain.to_string(), relay.to_owned());
        (self.tell)(Event::TlsDowngraded { domain, relay, best, best_at, found });
    }

    /// Counts a session with a host of `domain`, if anybody may want to know.
    pub fn count(&self, domain: &Domain, session: Session) {
        self.count_at(domain, session, clock::wall());
    }

    fn count_at(&self, domain: &Domain, session: Session, now: WallTime) {
        let config = self.config.load();
        let wanted = config.trust.reports.as_ref().is_some_and(|r| !r.except.contains(domain));
        if wanted {
            self.ledger.count(day_of(now), domain, session);
        }
    }

    /// The work beside the mail path: policies are refreshed before they expire, counts are
    /// written, and the reports of yesterday are sent through `outbox`.
    pub async fn keep_house<O: Outbox>(self: Arc<Self>, outbox: O) {
        let mut beat = tokio::time::interval(ledger::WRITE_BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next = clock::now();
        loop {
            beat.tick().await;
            self.ledger.write(self.store.as_ref());
            if clock::now() < next {
                continue;
            }
            next = clock::now().after(HOUSE_BEAT);
            let config = self.config.load_full();
            if config.trust.mta_sts {
                self.policies.refresh(&self, &config).await;
            }
            reports::send_due(&self, &config, &outbox, clock::wall()).await;
        }
    }

    /// Writes what was counted, and closes the database. May take a disk's time.
    pub fn close(&self) {
        self.ledger.write(self.store.as_ref());
        if let Some(store) = &self.store {
            store.close();
        }
    }

    fn fault(&self, fault: &Fault) {
        (self.tell)(Event::FaultSeen { room: "trust".to_owned(), fault: fault.to_string() });
    }
}

#[cfg(test)]
mod tests;
