//! The daemon: everything is opened in order, serves, and is closed in the opposite order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::admit::Admission;
use super::check::Checker;
use super::custody::{Ids, Scribe, SortingDesk, Vault};
use super::dispatch::Dispatch;
use super::names::tell_dnssec;
use super::office::Rooms;
use super::receivers::Receivers;
use super::reception::{Bell, House, Reception, Shift};
use super::standing::Standing;
use super::suspects::{REASON, Suspects};
use super::switchboard::{Switchboard, rules};
use super::tap::Tap;
use super::trust::{ReportBox, Trust};
use super::ways::{Ways, day};
use super::{delivery, supervise, watchdog};
use crate::base::fault::Fault;
use crate::base::limits::{DRAIN_TIMEOUT, FAILED_TIMEOUT};
use crate::config::checked::Config;
use crate::control::answer::ListenerRow;
use crate::control::keeper::Keeper;
use crate::control::request::Role;
use crate::control::server as control;
use crate::dns::resolver::Resolvers;
use crate::event::Event;
use crate::event::herald::Herald;
use crate::host::{clock, passed, peer, walls};
use crate::mail::source::SourceState;
use crate::net::egress::EgressClient;
use crate::net::listen::{Door, Unpassed, open_doors};
use crate::net::tls::ServerTls;
use crate::queue::Moment;
use crate::source::BootSecret;
use crate::store::audit::Audit;
use crate::store::spool::{Recovery, Spool};
use crate::store::switches::Switches;
use crate::store::warmth::Warmth;

/// Between two looks at dates of sources and at the spool's pressure.
const HOUSE_BEAT: Duration = Duration::from_secs(1);

/// Where things are.
#[derive(Clone, Debug)]
pub struct Place {
    /// The configuration document, for reload and diff.
    pub document: PathBuf,
    /// The program to start as the broker; none: this one.
    pub program: Option<PathBuf>,
    /// Where the broker listens as a unit of its own; none: it is a child of this process.
    pub broker: Option<PathBuf>,
}

/// A gateway that serves.
pub struct Gateway {
    board: Arc<Switchboard>,
    vault: Vault,
    herald: Arc<Herald>,
    listeners: Vec<(String, SocketAddr)>,
    reception: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    socket: PathBuf,
    trust: Arc<Trust>,
}

/// The parts that are made before anything serves.
struct Parts {
    standing: Arc<ArcSwap<Standing>>,
    config: Arc<ArcSwap<Config>>,
    switches: Switches,
    secret: BootSecret,
    audit: Arc<Mutex<Audit>>,
    vault: Vault,
    recovery: Recovery,
    ids: Arc<Ids>,
    herald: Arc<Herald>,
}

impl Gateway {
    /// Opens everything and serves; the listeners accept when it returns. Must be called inside
    /// the runtime.
    ///
    /// # Errors
    /// What could not be opened; nothing serves then.
    pub fn start(config: Config, place: &Place, herald: Arc<Herald>) -> Result<Self, Fault> {
        walls::seal_memory();
        let parts = Parts::open(config, &herald)?;
        let config = parts.standing.load().config.clone();
        let egress = EgressClient::new();
        let desk = parts.desk()?;
        let suspects = parts.suspects(&desk);
        let ways = parts.ways(&egress)?;
        hear_listed(&desk, ways.clone());
        let tls = config.tls.as_ref().map(ServerTls::load).transpose()?.map(Arc::new);
        let (bell, heard) = watch::channel(Bell::default());
        let tap = Arc::new(Tap::default());
        let admission = parts.admission(&desk, &tap);
        let house = House::of(&config);
        let reception = Reception::new(house, admission.clone(), tls.clone(), heard);
        let socket = control::open(&config.control.socket)?;
        let doors = open_doors(&config.listeners, passed::sockets()?, binding())?;
        let listeners = addresses(&doors)?;
        let names = parts.names(&egress)?;
        let (asker, books) = (egress.clone(), parts.standing.clone());
        let checker = Checker::new(books, asker, names.clone(), herald.clone());
        let checker = Arc::new(checker);
        let mut context = parts.delivery(&egress, names.clone())?.by(ways.clone());
        context.tap = tap.clone();
        let (trust, outbox) = (context.trust.clone(), parts.outbox(&desk));
        let Parts { standing, config: shared, switches, secret, audit, vault, recovery, .. } =
            parts;
        let board = Arc::new(Switchboard {
            standing,
            config: shared,
            switches: Mutex::new(switches),
            secret,
            desk: desk.clone(),
            admission,
            reception: reception.clone(),
            egress,
            ways: ways.clone(),
            tls,
            authorities: context.tls.clone(),
            names,
            bell,
            herald: herald.clone(),
            document: place.document.clone(),
            turn: tokio::sync::Mutex::default(),
        });
        let rows = listener_rows(&config, &listeners);
        let rooms = Rooms {
            board: board.clone(),
            vault: vault.clone(),
            audit,
            listeners: rows,
            started: clock::wall(),
            checker: checker.clone(),
            trust: trust.clone(),
            tap,
        };
        let mut tasks = vec![tokio::spawn(serve_control(socket, rooms))];
        tasks.push(tokio::spawn(checker.keep_checking()));
        board.apply_switches();
        tasks.extend(start_desk(&desk, context, outbox));
        tasks.push(tokio::spawn(recover(board.clone(), vault.0.clone(), suspects, recovery)));
        tasks.extend(board.start_egress(place)?);
        tasks.push(tokio::spawn(board.clone().keep_house()));
        tasks.push(tokio::spawn(watchdog::watch(vault.0.clone())));
        let reception = tokio::spawn(reception.run(doors));
        let socket = config.control.socket.clone();
        let gateway = Self { board, vault, herald, listeners, reception, tasks, socket, trust };
        gateway.tell_start(&config);
        Ok(gateway)
    }

    fn tell_start(&self, config: &Config) {
        self.herald.tell(Event::ConfigLoaded {
            path: self.board.document.display().to_string(),
            sources: config.sources.len() as u64,
        });
        self.herald.tell(Event::ServiceStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listeners: self.listeners.iter().map(|(name, at)| format!("{name} {at}")).collect(),
            queued: self.vault.0.usage().live,
        });
    }

    /// Name and address of every listener.
    #[must_use]
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Who tells the facts of this gateway.
    #[must_use]
    pub fn herald(&self) -> &Arc<Herald> {
        &self.herald
    }

    /// Reads the document again and puts it in force if it is good; either is told.
    pub async fn reload(&self) {
        // Complaints are told as a fact; the old configuration stays.
        let _ = self.board.reload().await;
    }

    /// Returns when something has failed that nothing mends but a restart, with the reason.
    pub async fn failed(&self) -> String {
        self.vault.0.failed().await
    }

    /// Ends at once, because the ledger has failed: nothing more is promised (peers hear 421) and
    /// nothing more is sent, because nobody could write down what becomes of it.
    pub async fn abandon(self, reason: &str) {
        self.herald.tell(Event::ServiceStopping { reason: reason.to_owned() });
        let Self { board, vault, reception, tasks, socket, .. } = self;
        board.bell.send_modify(|bell| bell.shift = Shift::Closed);
        board.desk.drain(Duration::ZERO).await;
        for task in tasks {
            task.abort();
        }
        let farewell = async {
            // Sessions that linger are cut off with the process.
            let _ = reception.await;
            vault.0.close().await;
        };
        // A disk that fails may also hang: the end must come all the same.
        let _ = tokio::time::timeout(FAILED_TIMEOUT, farewell).await;
        let _ = std::fs::remove_file(socket);
    }

    /// Ends in order: nobody new, transactions and deliveries in flight within `DRAIN_TIMEOUT`,
    /// then the spool is closed. Loses nothing.
    pub async fn stop(self, reason: &str) {
        self.herald.tell(Event::ServiceStopping { reason: reason.to_owned() });
        let Self { board, vault, mut reception, tasks, socket, trust, .. } = self;
        board.bell.send_modify(|bell| bell.shift = Shift::LastOrders);
        let sessions = async {
            if tokio::time::timeout(DRAIN_TIMEOUT / 2, &mut reception).await.is_err() {
                board.bell.send_modify(|bell| bell.shift = Shift::Closed);
                // Sessions end in bounded time now; whoever does not is cut off.
                let _ = tokio::time::timeout(DRAIN_TIMEOUT / 4, &mut reception).await;
                reception.abort();
            }
        };
        tokio::join!(sessions, board.desk.drain(DRAIN_TIMEOUT / 2));
        for task in tasks {
            task.abort();
        }
        vault.0.close().await;
        // A thread that cannot be waited for is cut off with the process.
        let _ = tokio::task::spawn_blocking(move || trust.close()).await;
        // Only our own socket is removed: the daemon that took its place would have made a new one
        // after this one was closed.
        let _ = std::fs::remove_file(socket);
    }
}

impl Parts {
    fn open(config: Config, herald: &Arc<Herald>) -> Result<Self, Fault> {
        let folder = config.spool.path.clone();
        let config = Arc::new(config);
        let teller = herald.clone();
        let tell = Arc::new(move |event| teller.tell(event));
        // During a trial boot nothing is written that the old version cannot read.
        super::update::spool_format()?;
        let opened = Spool::open(&config.spool, tell);
        let (spool, recovery) =
            opened.map_err(|e| Fault::new("opening the spool", folder.display(), e))?;
        let (audit, opening) = Audit::open(&folder.join("audit.log"))?;
        for fault in opening.findings {
            herald.tell(Event::FaultSeen { room: "audit".to_owned(), fault });
        }
        let (switches, findings) = Switches::open(&folder.join("switches"), clock::wall())?;
        for fault in findings {
            herald.tell(Event::FaultSeen { room: "switches".to_owned(), fault });
        }
        let secret = BootSecret::draw()?;
        let overlay = switches.positions().overlay();
        let standing = Standing::build(config.clone(), &overlay, secret.clone())?;
        Ok(Self {
            standing: Arc::new(ArcSwap::from_pointee(standing)),
            config: Arc::new(ArcSwap::new(config)),
            switches,
            secret,
            audit: Arc::new(Mutex::new(audit)),
            vault: Vault(spool),
            recovery,
            ids: Arc::new(Ids::new(seed()?)),
            herald: herald.clone(),
        })
    }

    /// What died in an earlier run, and the desk's eye on it.
    fn suspects(&self, desk: &SortingDesk) -> Arc<Suspects> {
        let (suspects, prepared) = Suspects::open(&self.config.load().spool.path);
        if let Err(fault) = prepared {
            let (room, fault) = ("service".to_owned(), fault.to_string());
            self.herald.tell(Event::FaultSeen { room, fault });
        }
        let suspects = Arc::new(suspects);
        desk.suspect(suspects.clone());
        suspects
    }

    /// The gate of the listeners.
    fn admission(&self, desk: &Arc<SortingDesk>, tap: &Arc<Tap>) -> Arc<Admission> {
        let (standing, spool) = (self.standing.clone(), self.vault.0.clone());
        let (herald, ids) = (self.herald.clone(), self.ids.clone());
        Arc::new(Admission::new(standing, spool, desk.clone(), herald, ids, tap.clone()))
    }

    /// The ways out, with the accounts of today's warm-up.
    fn ways(&self, egress: &EgressClient) -> Result<Arc<Ways>, Fault> {
        let config = self.config.load_full();
        let warmth = Warmth::open(&config.spool.path.join("warm-up"), day(clock::wall()))?;
        let ways = Ways::new(config, egress.clone()).with_accounts(warmth);
        let herald = self.herald.clone();
        ways.tell_to(Arc::new(move |event| herald.tell(event)));
        Ok(Arc::new(ways))
    }

    /// Where names are looked up. What becomes of DNSSEC is told as long as they are.
    fn names(&self, egress: &EgressClient) -> Result<Arc<Resolvers>, Fault> {
        let config = self.config.load_full();
        let names = Resolvers::new(egress.clone(), &config.trust)?;
        tokio::spawn(tell_dnssec(names.verdicts(), self.herald.clone()));
        Ok(Arc::new(names))
    }

    /// What carriers share: names, TLS, and the keeper of trust with its database.
    fn delivery(
        &self,
        egress: &EgressClient,
        names: Arc<Resolvers>,
    ) -> Result<delivery::Context, Fault> {
        let config = self.config.load_full();
        let context = delivery::Context::new(self.config.clone(), egress.clone(), names, seed()?)?;
        let teller = self.herald.clone();
        let tell = Arc::new(move |event| teller.tell(event));
        context.remember(&config.spool.path.join("trust"), tell)
    }

    /// Where reports to other domains are posted.
    fn outbox(&self, desk: &Arc<SortingDesk>) -> ReportBox {
        let (standing, spool) = (self.standing.clone(), self.vault.0.clone());
        ReportBox { standing, spool, desk: desk.clone(), ids: self.ids.clone() }
    }

    fn desk(&self) -> Result<Arc<SortingDesk>, Fault> {
        let config = self.config.load_full();
        let rules = rules(&config)
            .ok_or_else(|| Fault::new("reading", "the configuration", "a class has no retry"))?;
        let herald = self.herald.clone();
        let desk = Dispatch::new(
            Arc::new(self.vault.clone()),
            Scribe::new(self.standing.clone(), self.ids.clone()),
            rules,
            seed()?,
            Arc::new(|| Moment { now: clock::now(), wall: clock::wall() }),
            Arc::new(move |event| herald.tell(event)),
        );
        desk.set_receivers(Receivers::new(&config));
        Ok(desk)
    }
}

impl Switchboard {
    /// What operators had switched before the restart is in force before anything serves.
    fn apply_switches(&self) {
        let stopped = self.switches().positions().stopped.is_some();
        self.admission.set_stopped(stopped);
        self.desk.set_stopped(stopped);
        self.tell_queue();
        self.tell_ways();
    }

    /// The broker, and the ear for its health.
    fn start_egress(self: &Arc<Self>, place: &Place) -> Result<Vec<JoinHandle<()>>, Fault> {
        let broker = match (&place.broker, &place.program) {
            (Some(path), _) => supervise::Broker::Unit(path.clone()),
            (None, Some(program)) => supervise::Broker::Child(program.clone()),
            (None, None) => supervise::Broker::Child(
                std::env::current_exe()
                    .map_err(|e| Fault::new("finding", "the program of the broker", e))?,
            ),
        };
        let broker = supervise::keep_broker(
            broker,
            self.egress.clone(),
            self.standing.clone(),
            self.herald.clone(),
        );
        Ok(vec![tokio::spawn(broker), tokio::spawn(self.clone().hear_egress())])
    }

    /// Tells the queue and the world when an egress is suspended or whole again.
    async fn hear_egress(self: Arc<Self>) {
        let mut conditions = self.egress.conditions();
        loop {
            conditions.mark_unchanged();
            // Mail of an earlier run may have been dealt out before the broker was there.
            self.spread_news();
            if conditions.changed().await.is_err() {
                return;
            }
        }
    }

    /// Dates: a source that expires stops in the second in which it does.
    async fn keep_house(self: Arc<Self>) {
        let mut beat = tokio::time::interval(HOUSE_BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut states = std::collections::BTreeMap::new();
        loop {
            beat.tick().await;
            // Rests end by time, and so does a day of a warm-up.
            self.spread_news();
            let (standing, now) = (self.standing.load_full(), clock::wall());
            for source in standing.directory.sources() {
                let state = standing.directory.state(&source.name, now);
                let before = states.insert(source.name.clone(), state);
                if before.is_some_and(|before| before != state) {
                    self.desk.set_source_state(&source.name, state);
                    self.bell.send_modify(|bell| bell.switches += 1);
                }
            }
        }
    }
}

/// Delivery, and the keeper of trust beside it.
/// What receivers say of an address reaches the ways.
fn hear_listed(desk: &SortingDesk, ways: Arc<Ways>) {
    // A rest of the whole address reaches the queue with the next look at the house.
    desk.hear_listed(Arc::new(move |listed| {
        let _at_the_next_look = ways.listed(listed);
    }));
}

fn start_desk(
    desk: &Arc<SortingDesk>,
    context: delivery::Context,
    outbox: ReportBox,
) -> Vec<JoinHandle<()>> {
    let context = Arc::new(context);
    let keeper = tokio::spawn(context.trust.clone().keep_house(outbox));
    let mut tasks = desk.start(move |desk, domain, way, carrier| {
        delivery::run(desk, carrier, domain, way, context.clone())
    });
    tasks.push(keeper);
    tasks
}

/// Hands what an earlier run left to the queue, batch by batch.
async fn recover(
    board: Arc<Switchboard>,
    spool: Spool,
    suspects: Arc<Suspects>,
    mut recovery: Recovery,
) {
    while let Some(batch) = recovery.next().await {
        // Mail of a source that is gone from the configuration is held, not let loose.
        let standing = board.standing.load();
        let gone = batch.iter().map(|queued| &queued.label.source);
        for source in gone.filter(|name| standing.directory.source(name).is_none()) {
            board.desk.set_source_state(source, SourceState::Revoked);
        }
        let mut innocent = Vec::with_capacity(batch.len());
        for queued in batch {
            if !suspects.is_guilty(queued.id) {
                innocent.push(queued);
            } else if let Err(error) = spool.quarantine(queued.id, REASON).await {
                let fault = Fault::new("setting aside", queued.id, error).to_string();
                board.herald.tell(Event::FaultSeen { room: "spool".to_owned(), fault });
            } else {
                suspects.clear(queued.id);
            }
        }
        board.desk.recover(&innocent);
    }
    suspects.retain(|id| spool.contains(id));
}

/// The control socket, until the task is dropped.
fn serve_control(
    socket: tokio::net::UnixListener,
    rooms: Rooms,
) -> impl Future<Output = ()> + Send + use<> {
    let (board, audit) = (rooms.board.clone(), rooms.audit.clone());
    let herald = board.herald.clone();
    let own = peer::own_uid();
    let roles = Arc::new(move |uid| Role::of(uid, own, &board.standing.load().config.control));
    let recorder = Arc::new(move |deed| {
        let mut log = audit.lock().unwrap_or_else(PoisonError::into_inner);
        log.record(clock::wall(), deed).map(|_| ())
    });
    let keeper = Arc::new(Keeper::new(Arc::new(rooms), roles, recorder, herald));
    control::serve(socket, keeper, peer::user_name)
}

/// What is bound in an empty namespace nobody reaches.
fn binding() -> Unpassed {
    if walls::network_is_empty() { Unpassed::Fault } else { Unpassed::Bind }
}

fn addresses(doors: &[Door]) -> Result<Vec<(String, SocketAddr)>, Fault> {
    let address = |door: &Door| {
        let name = door.listener.name.clone();
        let found = door.local_address();
        found.map(|at| (name.clone(), at)).map_err(|e| Fault::new("asking for", name, e))
    };
    doors.iter().map(address).collect()
}

fn listener_rows(config: &Config, addresses: &[(String, SocketAddr)]) -> Vec<ListenerRow> {
    let row = |(name, address): &(String, SocketAddr)| {
        let listener = config.listeners.iter().find(|listener| listener.name == *name);
        let kind = listener.map_or_else(String::new, |l| format!("{:?}", l.kind).to_lowercase());
        ListenerRow { name: name.clone(), address: address.to_string(), kind }
    };
    addresses.iter().map(row).collect()
}

/// Chance from the operating system.
fn seed() -> Result<u64, Fault> {
    crate::source::secret::seed()
}
