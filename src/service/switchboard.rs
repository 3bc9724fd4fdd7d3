//! Where switches are thrown: stop-all, sources, secrets, reload. One after the other, each durable
//! before it is called done, each told to everyone whom it concerns.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::admit::Admission;
use super::custody::SortingDesk;
use super::receivers::Receivers;
use super::reception::{Bell, House, Reception};
use super::standing::Standing;
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::checked::{Config, ProviderRule};
use crate::config::{self, Reading};
use crate::dns::resolver::Resolvers;
use crate::event::Event;
use crate::event::herald::Herald;
use crate::host::clock;
use crate::host::disk::Disk;
use crate::mail::class::MessageClass;
use crate::mail::source::{Source, SourceName, SourceState};
use crate::net::broker::words::Orders;
use crate::net::egress::EgressClient;
use crate::net::tls::ServerTls;
use crate::net::tls_client::TlsClient;
use crate::queue::{Assignment, Rules};
use crate::route::pool::Pools;
use crate::service::ways::{Holder, Ways};
use crate::source::{BootSecret, Strength, new_secret, verifier_for};
use crate::store::switches::Switches;

/// Everything that a switch reaches.
pub(super) struct Switchboard {
    pub(super) standing: Arc<ArcSwap<Standing>>,
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) switches: Mutex<Switches>,
    pub(super) secret: BootSecret,
    pub(super) desk: Arc<SortingDesk>,
    pub(super) admission: Arc<Admission>,
    pub(super) reception: Arc<Reception<Admission>>,
    pub(super) egress: EgressClient,
    pub(super) ways: Arc<Ways>,
    pub(super) tls: Option<Arc<ServerTls>>,
    /// Whom delivery trusts to vouch for hosts.
    pub(super) authorities: Arc<TlsClient>,
    /// Who proves names.
    pub(super) names: Arc<Resolvers>,
    pub(super) bell: watch::Sender<Bell>,
    pub(super) herald: Arc<Herald>,
    pub(super) document: PathBuf,
    /// One reload or switch at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// The queue's rules, from the configuration.
pub(super) fn rules(config: &Arc<Config>) -> Option<Rules> {
    let of = |class| config.retry.get(&class).copied();
    let retry =
        [of(MessageClass::Otp)?, of(MessageClass::Transactional)?, of(MessageClass::Subscribed)?];
    let pools = Pools::new(config.clone());
    let ways = Assignment::new(move |source, domain| pools.way(source, domain));
    let limits = |rule: &ProviderRule| (rule.name.clone(), rule.limits(&config.lanes));
    let providers = config.providers.iter().map(limits).collect();
    Some(Rules { retry, lanes: config.lanes, providers, ways })
}

impl Switchboard {
    pub(super) fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the standing anew from the configuration in force and the switches.
    fn restand(&self) -> Result<(), Fault> {
        let config = self.standing.load().config.clone();
        let overlay = self.switches().positions().overlay();
        let standing = Standing::build(config, &overlay, self.secret.clone())?;
        self.standing.store(Arc::new(standing));
        Ok(())
    }

    /// Every session looks up: is its source still welcome?
    fn ring(&self) {
        self.bell.send_modify(|bell| bell.switches += 1);
    }

    /// What every source may do now reaches the queue; returns nothing, because it is idempotent.
    pub(super) fn tell_queue(&self) {
        let (standing, now) = (self.standing.load(), clock::wall());
        for source in standing.directory.sources() {
            let state = standing.directory.state(&source.name, now);
            self.desk.set_source_state(&source.name, state);
        }
    }

    /// Lays a state over a source, or takes it away. Returns its present state and its backlog.
    pub(super) async fn switch_source(
        &self,
        name: &SourceName,
        state: Option<SourceState>,
        by: &str,
    ) -> Result<(SourceState, u64), Fault> {
        let _turn = self.turn.lock().await;
        // A stop counts at once, also when the disk refuses; the switch itself keeps that rule.
        let stored = self.switches().set_source_state(name, state, by, clock::wall());
        self.restand()?;
        self.ring();
        let state = self.standing.load().directory.state(name, clock::wall());
        let held = self.desk.set_source_state(name, state) as u64;
        self.herald.tell(Event::SourceStateChanged {
            source: name.clone(),
            state,
            by: by.to_owned(),
            held,
        });
        stored.map(|()| (state, held))
    }

    /// Stops everything, or lets it run. Returns how many messages wait.
    pub(super) async fn switch_all(&self, stopped: bool, by: &str) -> Result<u64, Fault> {
        let _turn = self.turn.lock().await;
        if stopped {
            self.halt(true);
        }
        self.switches().stop_all(stopped, by, clock::wall())?;
        if !stopped {
            self.halt(false);
        }
        self.herald.tell(Event::StopAllChanged { stopped, by: by.to_owned() });
        Ok(self.desk.counts().messages as u64)
    }

    /// Suspends an egress, or lets it go; both count at once, and a suspension also when the disk
    /// refuses.
    pub(super) async fn switch_egress(
        &self,
        name: &str,
        reason: Option<String>,
        by: &str,
    ) -> Result<(), Fault> {
        let _turn = self.turn.lock().await;
        let stored = self.switches().hold_egress(name, reason.as_deref(), by, clock::wall());
        let states = self.ways.states();
        let listed = states.into_iter().find(|state| state.name == name).map(|state| state.listed);
        if reason.is_none() {
            self.ways.forgive(name);
        }
        self.tell_ways();
        // The word that made the address rest made its lane pause, too.
        for (provider, _) in listed.filter(|_| reason.is_none()).unwrap_or_default() {
            self.desk.end_pause(&provider, name);
        }
        stored
    }

    /// What operators have suspended reaches the ways, and what the ways have to tell the queue.
    pub(super) fn tell_ways(&self) {
        let held = self.switches().positions().egresses.clone();
        let held = held
            .into_iter()
            .map(|(name, held)| (name, Holder { reason: held.reason, by: held.by, at: held.at }));
        self.ways.hold(held.collect());
        self.spread_news();
    }

    /// The queue hears which pools are closed.
    pub(super) fn spread_news(&self) {
        for news in self.ways.news() {
            self.desk.set_pool(&news.pool, news.closed);
        }
    }

    fn halt(&self, stopped: bool) {
        self.admission.set_stopped(stopped);
        self.desk.set_stopped(stopped);
        self.ring();
    }

    /// A new password for a source; the old one stays valid until `grace_until`.
    pub(super) async fn rotate(
        &self,
        source: &Source,
        grace_until: WallTime,
        by: &str,
    ) -> Result<Secret<String>, Fault> {
        let _turn = self.turn.lock().await;
        let password = new_secret()?;
        let made = verifier_for(&password, Strength::Generated)?;
        self.switches().rotate(source, made, grace_until, by, clock::wall())?;
        self.restand()?;
        Ok(password)
    }

    /// Reads the document. Complaints are texts for people.
    pub(super) async fn read_document(&self) -> Result<Reading, Vec<String>> {
        let path = self.document.clone();
        let text = tokio::fs::read_to_string(&path).await;
        let text = text.map_err(|e| vec![format!("{}: {e}", path.display())])?;
        check(&text)
    }

    /// Reads the document again and puts it in force if it is good. Returns its warnings.
    pub(super) async fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let _turn = self.turn.lock().await;
        let path = self.document.display().to_string();
        let outcome = self.try_reload().await;
        match &outcome {
            Ok(_) => {
                let sources = self.standing.load().config.sources.len() as u64;
                self.herald.tell(Event::ConfigLoaded { path, sources });
            }
            Err(complaints) => {
                let complaints = complaints.clone();
                self.herald.tell(Event::ConfigRefused { path, complaints });
            }
        }
        outcome
    }

    async fn try_reload(&self) -> Result<Vec<String>, Vec<String>> {
        let reading = self.read_document().await?;
        let config = Arc::new(reading.config);
        self.unchangeable(&config)?;
        let overlay = self.switches().positions().overlay();
        let standing = Standing::build(config.clone(), &overlay, self.secret.clone())
            .map_err(|fault| vec![fault.to_string()])?;
        self.authorities
            .reload(config.trust.roots.as_deref())
            .map_err(|fault| vec![fault.to_string()])?;
        self.names.reload(&config.trust).map_err(|fault| vec![fault.to_string()])?;
        if let (Some(tls), Some(files)) = (&self.tls, &config.tls) {
            tls.reload(files).map_err(|fault| vec![fault.to_string()])?;
        }
        let before = self.standing.swap(Arc::new(standing));
        for gone in before.config.sources.keys().filter(|name| !config.sources.contains_key(name)) {
            self.desk.set_source_state(gone, SourceState::Revoked);
        }
        self.config.store(config.clone());
        self.ways.renew(config.clone());
        self.reception.renovate(House::of(&config));
        if let Some(rules) = rules(&config) {
            self.desk.set_rules(rules);
            self.desk.set_receivers(Receivers::new(&config));
        }
        // A broker that is gone gets the new orders when it is started again.
        let _ = self.egress.order(&Orders::new(&config)).await;
        self.tell_queue();
        self.spread_news();
        self.ring();
        Ok(reading.warnings.iter().map(ToString::to_string).collect())
    }

    /// What only a restart changes: said, not silently ignored.
    fn unchangeable(&self, new: &Config) -> Result<(), Vec<String>> {
        let old = self.standing.load().config.clone();
        let mut complaints = Vec::new();
        let mut fixed = |key: &str, same: bool| {
            if !same {
                let remedy = "restart the service to put it in force";
                complaints.push(format!("{key}: cannot be changed by a reload; {remedy}"));
            }
        };
        fixed("spool", old.spool == new.spool);
        fixed("listener", old.listeners == new.listeners);
        fixed("control.socket", old.control.socket == new.control.socket);
        fixed("tls", old.tls.is_some() == new.tls.is_some());
        if complaints.is_empty() { Ok(()) } else { Err(complaints) }
    }
}

/// Reads and checks a document's text.
pub(super) fn check(text: &str) -> Result<Reading, Vec<String>> {
    config::read(text, &Disk)
        .map_err(|complaints| complaints.iter().map(ToString::to_string).collect())
}
