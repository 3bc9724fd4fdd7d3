//! A carrier: takes jobs for one domain from the sorting desk and brings back answers.
//!
//! ```text
//! desk.next ─ names ─ route ─ egress ─ conversation ─┬─ desk.settle ─ desk.next ─ ..
//!                                                     └─ one connection, many jobs
//! ```
//!
//! What a host must satisfy is decided for the recipient's domain, the host and the message's wish
//! (`route::trust`), before a socket is opened. A connection that is not good enough for the wish
//! of the next message is closed, and that message gets one of its own.
//!
//! A host that fails before a transaction is followed by the next one within the same attempt; a
//! reused connection that died of old age is replaced without counting an attempt. Nothing is ever
//! said in clear text after TLS failed: that host is left, and if no other is better the mail waits
//! (4.7.5).

mod approach;
mod link;
mod members;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::base::chance::Chance;
use crate::base::fault::Fault;
use crate::base::limits::CONNECT_TIMEOUT;
use crate::config::checked::Config;
use crate::dns::Names;
use crate::host::clock::now;
use crate::mail::address::Domain;
use crate::mail::answer::{Answer, Phase};
use crate::mail::reply::PeerReply;
use crate::mail::status::EnhancedStatus;
use crate::mail::trust::Assurance;
use crate::mail::way::Way;
use crate::net::egress::EgressClient;
use crate::net::tls_client::TlsClient;
use crate::queue::Untried;
use crate::route::trust::{Terms, Wish};
use crate::service::post::{CarrierId, Delivery, Desk, Job};
use crate::service::tap::Tap;
use crate::service::trust::{EgressWeb, Tell, Trust};
use crate::service::ways::{Standstill, Ways};
use crate::smtp::client::Patience;
use approach::{Approached, Setback};
use link::{Link, Transacted};
use members::find;

/// What all carriers share.
pub struct Context {
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// Where sockets come from.
    pub egress: EgressClient,
    /// Where names are looked up.
    pub names: Arc<dyn Names>,
    /// Outbound TLS with its memory.
    pub tls: Arc<TlsClient>,
    /// Policies, TLS memory and counts.
    pub trust: Arc<Trust>,
    /// Time limits of a conversation.
    pub patience: Patience,
    /// Which member of a pool carries.
    pub ways: Arc<Ways>,
    /// Time limit of a connection.
    pub connect_wait: Duration,
    /// Who traces the dialogue of which domain.
    pub tap: Arc<Tap>,
    chance: Mutex<Chance>,
}

impl Context {
    /// A context with the time limits of RFC 5321; `seed` is for shuffles. Its keeper of trust
    /// forgets everything when it goes, see [`Context::remember`].
    ///
    /// # Errors
    /// The TLS configuration cannot be built.
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        egress: EgressClient,
        names: Arc<dyn Names>,
        seed: u64,
    ) -> Result<Self, Fault> {
        let tls = Arc::new(TlsClient::new(config.load().trust.roots.as_deref())?);
        let web = EgressWeb::new(config.clone(), egress.clone(), names.clone(), tls.clone());
        let nobody = Arc::new(|_| ());
        let trust = Trust::forgetful(config.clone(), names.clone(), Arc::new(web), nobody);
        let ways = Arc::new(Ways::new(config.load_full(), egress.clone()));
        Ok(Self {
            config,
            egress,
            ways,
            names,
            tls,
            trust: Arc::new(trust),
            patience: Patience::default(),
            connect_wait: CONNECT_TIMEOUT,
            tap: Arc::default(),
            chance: Mutex::new(Chance::new(seed)),
        })
    }

    /// The same with a keeper of trust that has its database in `folder`.
    ///
    /// # Errors
    /// The writer of the database cannot be started.
    pub fn remember(self, folder: &Path, tell: Tell) -> Result<Self, Fault> {
        let (config, names) = (self.config.clone(), self.names.clone());
        let (sockets, tls) = (self.egress.clone(), self.tls.clone());
        let web = Arc::new(EgressWeb::new(config.clone(), sockets, names.clone(), tls));
        let trust = Arc::new(Trust::open(folder, config, names, web, tell)?);
        Ok(Self { trust, ..self })
    }

    /// The same by ways that others know too.
    #[must_use]
    pub fn by(self, ways: Arc<Ways>) -> Self {
        Self { ways, ..self }
    }

    /// A host that said nothing, while our own way out was gone, has done nothing wrong: no attempt
    /// is counted, and the mail waits for the way.
    fn blame_way(&self, egress: &str, phase: &mut Phase, reply: &mut PeerReply) {
        let unheard = reply.code == 0 && reply.status.is_none_or(|status| status.class == 4);
        if unheard && let Some(cause) = self.egress.suspended(egress) {
            *phase = Phase::Egress;
            *reply = ours((4, 4, 1), &format!("egress suspended: {cause}"));
        }
    }

    fn with_chance<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a handshake needs.
struct Tls<'a> {
    client: &'a TlsClient,
    wait: Duration,
    terms: &'a Terms,
}

/// Carries jobs for `domain` by `way` until the desk has no more, then leaves.
pub async fn run<D: Desk>(
    desk: Arc<D>,
    carrier: CarrierId,
    domain: Domain,
    way: Way,
    context: Arc<Context>,
) {
    // However this task ends, its slot at the desk becomes free.
    let leaving = Leaving { desk: &*desk, carrier };
    let link = carry(&*desk, carrier, &domain, &way, &context).await;
    drop(leaving);
    if let Some(link) = link {
        link.farewell().await;
    }
}

struct Leaving<'a, D: Desk> {
    desk: &'a D,
    carrier: CarrierId,
}

impl<D: Desk> Drop for Leaving<'_, D> {
    fn drop(&mut self) {
        self.desk.leave(self.carrier);
    }
}

/// The work of a carrier; returns the connection that is left, if any.
async fn carry<D: Desk>(
    desk: &D,
    carrier: CarrierId,
    domain: &Domain,
    way: &Way,
    context: &Context,
) -> Option<Link> {
    let mut next = desk.next(carrier, false).await;
    while let Some(job) = next {
        let config = context.config.load_full();
        let begun = now();
        let wish = Wish::of(&job.parcel.envelope);
        match find(context, &config, (domain, way), wish, desk, carrier).await {
            Ok(Approached::TurnedAway) => {
                desk.hand_back(carrier, job);
                return None;
            }
            Ok(Approached::Barred(Standstill { reason, wait })) => {
                let untried = match wait {
                    Some(wait) => Untried::Until { wait, reason: &reason },
                    None => Untried::Closed { reason: &reason },
                };
                desk.park(carrier, job, untried);
                return None;
            }
            Ok(Approached::Ready(link)) => {
                let waited = millis(now().since(begun));
                let messages_max = messages_max(&config);
                let round = Round { desk, carrier, context, domain, way, messages_max, waited };
                match round.serve(*link, job).await {
                    Served::Again(job, link) => {
                        if let Some(link) = link {
                            link.farewell().await;
                        }
                        next = Some(job);
                    }
                    Served::Spent(link) => {
                        next = desk.next(carrier, false).await;
                        match (&next, link) {
                            (None, link) => return link,
                            (Some(_), Some(link)) => link.farewell().await,
                            (Some(_), None) => {}
                        }
                    }
                    Served::Idle(link) => return Some(link),
                }
            }
            Err(mut setback) => {
                let Setback { phase, reply, egress, .. } = &mut setback;
                context.blame_way(egress, phase, reply);
                let permanent = setback.is_permanent();
                let delivery = undelivered(&job, &setback, millis(now().since(begun)));
                desk.settle(carrier, job, delivery).await;
                if !permanent {
                    return None;
                }
                // For good for all of its mail: the rest hears it without another task.
                next = desk.next(carrier, false).await;
            }
        }
    }
    None
}

/// Messages on one connection at most. The desk sends a carrier home after as many as its provider
/// bears; this is the largest number that any provider has.
fn messages_max(config: &Config) -> u32 {
    let own = config.providers.iter().filter_map(|rule| rule.messages_per_connection);
    own.fold(config.lanes.messages_per_connection, u32::max).max(1)
}

/// How the work on one connection ended.
enum Served {
    /// The connection had died, or is not good enough: this job needs a fresh one.
    Again(Job, Option<Link>),
    /// The connection is of no further use, or has carried enough.
    Spent(Option<Link>),
    /// There is nothing more to carry.
    Idle(Link),
}

/// The work on one connection.
struct Round<'a, D> {
    desk: &'a D,
    carrier: CarrierId,
    context: &'a Context,
    domain: &'a Domain,
    way: &'a Way,
    messages_max: u32,
    waited: u64,
}

impl<D: Desk> Round<'_, D> {
    async fn serve(&self, mut link: Link, mut job: Job) -> Served {
        for carried in 0..self.messages_max {
            // Allowance used up, suspended, or the home is back: another member's turn.
            let (ways, egress) = (&self.context.ways, &link.egress);
            let leave =
                carried > 0 && !ways.is_wanted(self.way, self.domain, egress, &link.provider);
            if leave || !ways.take(egress, &link.provider) {
                return Served::Again(job, Some(link));
            }
            match link.transact(&job).await {
                // A fresh connection that ends before MAIL is an attempt, or a host that always
                // does so would be called without end.
                Transacted::Stale if carried == 0 => {
                    self.give_back(&link);
                    let delivery = undelivered(&job, &ended(&link), self.waited);
                    self.desk.settle(self.carrier, job, delivery).await;
                    return Served::Spent(None);
                }
                Transacted::Stale => {
                    self.give_back(&link);
                    return Served::Again(job, None);
                }
                Transacted::Answered(mut answers) => {
                    if !answers.iter().any(taken) {
                        self.give_back(&link);
                    }
                    for answer in answers.iter_mut().filter(|answer| !answer.in_doubt) {
                        self.context.blame_way(&link.egress, &mut answer.phase, &mut answer.reply);
                    }
                    if let Some(worth) = link.worth_noting(&answers) {
                        self.context.trust.note(self.domain, &link.relay, worth);
                    }
                    let connect_millis = if carried == 0 { self.waited } else { 0 };
                    let delivery = Delivery {
                        answers,
                        relay: link.relay.clone(),
                        egress: link.egress.clone(),
                        tls: link.tls.clone(),
                        assurance: link.assurance,
                        dsn_offered: link.offers_dsn(),
                        deadline_offered: link.offers_deadlines(),
                        connect_millis,
                    };
                    self.desk.settle(self.carrier, job, delivery).await;
                }
            }
            if !link.is_ready() {
                return Served::Spent(None);
            }
            if carried + 1 == self.messages_max {
                break;
            }
            match self.desk.next(self.carrier, true).await {
                None => return Served::Idle(link),
                // What is said by a way that is gone is not heard: look for another.
                Some(next)
                    if !link.is_ready()
                        || self.context.egress.suspended(&link.egress).is_some() =>
                {
                    return Served::Again(next, None);
                }
                Some(next) if !link.serves(&next) => return Served::Again(next, Some(link)),
                Some(next) => job = next,
            }
        }
        Served::Spent(Some(link))
    }

    /// Nothing of the message was taken: it uses nothing of an allowance.
    fn give_back(&self, link: &Link) {
        self.context.ways.give_back(&link.egress, &link.provider);
    }
}

/// The host may have the message.
fn taken(answer: &Answer) -> bool {
    answer.in_doubt || (answer.reply.code / 100 == 2 && answer.phase == Phase::Dot)
}

/// The setback of a connection that ended as soon as it was ready.
fn ended(link: &Link) -> Setback {
    Setback {
        phase: Phase::Mail,
        reply: ours((4, 4, 2), "the host closed the connection before MAIL"),
        relay: link.relay.clone(),
        egress: link.egress.clone(),
    }
}

/// The same answer for every recipient of a job that found no host.
fn undelivered(job: &Job, setback: &Setback, connect_millis: u64) -> Delivery {
    let answer = |&recipient: &u16| Answer {
        recipient,
        phase: setback.phase,
        reply: setback.reply.clone(),
        in_doubt: false,
    };
    Delivery {
        answers: job.recipients.iter().map(answer).collect(),
        relay: setback.relay.clone(),
        egress: setback.egress.clone(),
        tls: "none".to_owned(),
        assurance: Assurance::Clear,
        dsn_offered: false,
        deadline_offered: false,
        connect_millis,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// An answer of our own.
fn ours(status: (u8, u16, u16), text: &str) -> PeerReply {
    PeerReply::ours(EnhancedStatus::new(status.0, status.1, status.2), text)
}
