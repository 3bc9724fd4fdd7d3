//! The house's side of the broker: every Internet socket of the delivery side comes from here.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::broker::words::{Channel, Order, PACKET_OCTETS_MAX, Report, Transport};
pub use super::broker::words::{Condition, EgressError, Family, Orders};
use super::broker::{entrance, open, words};
use super::ping::Ping;
use crate::base::limits::EGRESS_SILENCE;

/// What is amiss with each egress, by name, in one family at least; none: it is whole.
pub type Health = BTreeMap<String, Option<String>>;

/// How each egress is, by name.
pub type Conditions = BTreeMap<String, Condition>;

type Answer = Result<OwnedFd, EgressError>;

/// A client of the broker. Cheap to clone; requests run side by side.
#[derive(Clone, Debug)]
pub struct EgressClient(Arc<Client>);

#[derive(Debug)]
struct Client {
    way: Mutex<Way>,
    next: AtomicU64,
    health: watch::Sender<Health>,
    conditions: watch::Sender<Conditions>,
    /// The user of the broker that is there.
    user: Mutex<Option<u32>>,
}

/// How sockets are made at this moment.
#[derive(Debug)]
enum Way {
    /// The broker is gone, or not yet there.
    None,
    /// Through the broker.
    Broker(Arc<Line>),
    /// In this process: for diagnoses by an interface that is no way out, and for tests.
    Here(Arc<Orders>),
}

/// A channel with the requests that are open on it.
#[derive(Debug)]
struct Line {
    channel: Channel,
    open: Mutex<Open>,
}

/// `None` once the channel has ended.
type Open = Option<HashMap<u64, oneshot::Sender<Answer>>>;

impl Default for EgressClient {
    fn default() -> Self {
        Self::new()
    }
}

impl EgressClient {
    /// A client without a broker: everything is suspended until `attach`.
    #[must_use]
    pub fn new() -> Self {
        let health = watch::Sender::new(Health::new());
        Self(Arc::new(Client {
            way: Mutex::new(Way::None),
            next: AtomicU64::new(1),
            health,
            conditions: watch::Sender::new(Conditions::new()),
            user: Mutex::new(None),
        }))
    }

    /// A client that opens sockets in this process, with the same checks: for diagnoses by an
    /// interface that is no way out, and for tests.
    #[must_use]
    pub fn in_process(orders: Orders) -> Self {
        let client = Self::new();
        client.set(Way::Here(Arc::new(orders)));
        client
    }

    /// Speaks to a (new) broker from now on; requests that are open at an old one fail as
    /// suspended. Returns when the channel ends, so that the supervisor can start another broker.
    ///
    /// # Errors
    /// The descriptor is no packet socket, or the channel broke.
    pub async fn attach(&self, socket: OwnedFd, orders: &Orders) -> io::Result<()> {
        let channel = Channel::new(socket)?;
        channel.send(&Order::Orders(orders.clone()), None).await?;
        let line = Arc::new(Line { channel, open: Mutex::new(Some(HashMap::new())) });
        self.set(Way::Broker(Arc::clone(&line)));
        let end = self.listen(&line).await;
        line.end();
        let mut way = self.0.way.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*way, Way::Broker(current) if Arc::ptr_eq(current, &line)) {
            *way = Way::None;
            self.set_user(None);
        }
        drop(way);
        self.0.conditions.send_modify(|known| known.values_mut().for_each(lose));
        self.tell_health();
        end
    }

    /// New orders after a reload.
    ///
    /// # Errors
    /// The broker is gone; the next one gets its orders from `attach`.
    pub async fn order(&self, orders: &Orders) -> io::Result<()> {
        match self.way() {
            Way::Broker(line) => {
                let known: Vec<_> = orders.egresses.iter().map(|e| e.name.clone()).collect();
                let keep = |all: &mut Conditions| all.retain(|name, _| known.contains(name));
                self.0.conditions.send_modify(keep);
                self.tell_health();
                line.channel.send(&Order::Orders(orders.clone()), None).await
            }
            Way::Here(_) => {
                self.set(Way::Here(Arc::new(orders.clone())));
                Ok(())
            }
            Way::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The user that the broker runs as; none: it is not there, or has not told yet.
    #[must_use]
    pub fn broker_user(&self) -> Option<u32> {
        *self.0.user.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_user(&self, user: Option<u32>) {
        *self.0.user.lock().unwrap_or_else(PoisonError::into_inner) = user;
    }

    /// How every egress is, by family, and its changes.
    #[must_use]
    pub fn conditions(&self) -> watch::Receiver<Conditions> {
        self.0.conditions.subscribe()
    }

    /// How `egress` is at this moment; none: nobody has told yet.
    #[must_use]
    pub fn condition(&self, egress: &str) -> Option<Condition> {
        self.0.conditions.borrow().get(egress).cloned()
    }

    /// What is amiss with every egress, and its changes.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    /// Why nothing can leave by `egress` at this moment, if so.
    #[must_use]
    pub fn suspended(&self, egress: &str) -> Option<String> {
        self.0.conditions.borrow().get(egress)?.suspended().map(str::to_owned)
    }

    fn tell_health(&self) {
        let conditions = self.0.conditions.borrow();
        let amiss = |(name, condition): (&String, &Condition)| {
            (name.clone(), condition.amiss().map(str::to_owned))
        };
        let now: Health = conditions.iter().map(amiss).collect();
        drop(conditions);
        self.0.health.send_if_modified(|health| {
            let changed = *health != now;
            *health = now;
            changed
        });
    }

    /// A TCP connection to `to` through `egress`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect_tcp(
        &self,
        egress: &str,
        to: SocketAddr,
        wait: Duration,
    ) -> Result<TcpStream, EgressError> {
        let socket = self.open(egress, Transport::Tcp, to, wait).await?;
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true).map_err(|error| odd(&error))?;
        TcpStream::from_std(stream).map_err(|error| odd(&error))
    }

    /// A UDP socket that is connected to the name server `to`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn udp(&self, egress: &str, to: SocketAddr) -> Result<UdpSocket, EgressError> {
        let socket = self.open(egress, Transport::Udp, to, Duration::from_secs(1)).await?;
        let socket = std::net::UdpSocket::from(socket);
        socket.set_nonblocking(true).map_err(|error| odd(&error))?;
        UdpSocket::from_std(socket).map_err(|error| odd(&error))
    }

    /// A ping socket that is connected to `to`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ping(&self, egress: &str, to: IpAddr) -> Result<Ping, EgressError> {
        let at = SocketAddr::new(to, 0);
        let socket = self.open(egress, Transport::Ping, at, Duration::from_secs(1)).await?;
        Ping::new(socket, to.is_ipv6()).map_err(|error| odd(&error))
    }

    async fn open(
        &self,
        egress: &str,
        transport: Transport,
        to: SocketAddr,
        wait: Duration,
    ) -> Answer {
        let gone = || EgressError::Suspended("the broker is not running".to_owned());
        let line = match self.way() {
            Way::None => return Err(gone()),
            Way::Here(orders) => return open::open(&orders, egress, transport, to, wait).await,
            Way::Broker(line) => line,
        };
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        line.lock().as_mut().ok_or_else(gone)?.insert(id, answer);
        // Forgets the request whichever way this ends, also when the caller loses patience.
        let _ticket = Ticket { line: &line, id };
        let wait_millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let order = Order::Open { id, egress: egress.to_owned(), transport, to, wait_millis };
        line.channel.send(&order, None).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Hears reports until the channel ends. A broker that says nothing is asked, and given up
    /// when it does not answer: it hangs.
    async fn listen(&self, line: &Line) -> io::Result<()> {
        let mut packet = vec![0; PACKET_OCTETS_MAX];
        let mut asked = false;
        loop {
            let word = line.channel.receive::<Report>(&mut packet);
            let Ok(word) = timeout(EGRESS_SILENCE, word).await else {
                if std::mem::replace(&mut asked, true) {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
                }
                timeout(EGRESS_SILENCE, line.channel.send(&Order::Health, None)).await??;
                continue;
            };
            asked = false;
            let Some((report, socket)) = word? else { return Ok(()) };
            self.hear(line, report, socket);
        }
    }

    fn hear(&self, line: &Line, report: Report, socket: Option<OwnedFd>) {
        let none = || EgressError::Suspended("the broker sent no socket".to_owned());
        match report {
            Report::Opened { id } => line.answer(id, socket.ok_or_else(none)),
            Report::Failed { id, error } => line.answer(id, Err(error)),
            Report::Broker { uid } => self.set_user(Some(uid)),
            Report::Health { egress, condition } => {
                self.0.conditions.send_if_modified(|known| {
                    let before = known.insert(egress, condition.clone());
                    before != Some(condition)
                });
                self.tell_health();
            }
        }
    }

    fn way(&self) -> Way {
        match &*self.0.way.lock().unwrap_or_else(PoisonError::into_inner) {
            Way::None => Way::None,
            Way::Broker(line) => Way::Broker(Arc::clone(line)),
            Way::Here(orders) => Way::Here(Arc::clone(orders)),
        }
    }

    fn set(&self, way: Way) {
        let old =
            std::mem::replace(&mut *self.0.way.lock().unwrap_or_else(PoisonError::into_inner), way);
        if let Way::Broker(line) = old {
            line.end();
        }
    }
}

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, id: u64, answer: Answer) {
        let waiting = self.lock().as_mut().and_then(|open| open.remove(&id));
        // Nobody waits any more: the socket closes here.
        if let Some(waiting) = waiting {
            let _lost_patience = waiting.send(answer);
        }
    }

    /// Every open request hears that the broker is gone.
    fn end(&self) {
        self.lock().take();
    }
}

/// A request in the table of its line.
struct Ticket<'a> {
    line: &'a Line,
    id: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.line.lock().as_mut() {
            open.remove(&self.id);
        }
    }
}

/// Without a broker no family is whole.
fn lose(condition: &mut Condition) {
    for family in [&mut condition.v4, &mut condition.v6] {
        if *family != Family::Unused {
            *family = Family::Suspended("the broker is not running".to_owned());
        }
    }
}

/// A socket that cannot be used in this process is a fault of ours.
fn odd(error: &io::Error) -> EgressError {
    EgressError::Suspended(format!("socket: {error}"))
}

/// Starts `program egress` with its end of a new channel as standard input; returns the child and
/// our end for [`EgressClient::attach`].
///
/// # Errors
/// The program cannot be started.
pub fn start_broker(program: &std::path::Path) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = words::pair()?;
    let child = Command::new(program)
        .arg("egress")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, ours))
}

/// Comes in at the broker that listens at `path` as a unit of its own; our end of the channel for
/// [`EgressClient::attach`].
///
/// # Errors
/// Nobody listens there, or this user may not come in.
pub fn reach_broker(path: &std::path::Path) -> io::Result<OwnedFd> {
    entrance::enter(path)
}
