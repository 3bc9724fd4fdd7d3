//! Listening sockets, ceilings for connections, and what to do when descriptors run out.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::base::fault::Fault;
use crate::base::limits::{ACCEPT_PAUSE, LISTEN_BACKLOG};
use crate::config::checked::{ConnectionLimits, Listener, ListenerKind};
use crate::smtp::replies;
use crate::smtp::reply::Reply;

/// A listener with its socket.
#[derive(Debug)]
pub struct Door {
    /// What the configuration says about it.
    pub listener: Arc<Listener>,
    socket: TcpListener,
    /// Given up for a moment when descriptors run out, so that a peer can be told and the queue
    /// of the kernel cannot fill with connections that nobody takes.
    reserve: Option<File>,
}

/// What becomes of a listener whose socket nobody passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpassed {
    /// It is bound by this process.
    Bind,
    /// It is a fault: this process has no network, and what it bound nobody would reach.
    Fault,
}

/// Opens all listeners: sockets that systemd passed under a listener's name are taken, the others
/// are bound if they may be. `passed` are those sockets (`host::passed`). Call it inside the
/// runtime.
///
/// # Errors
/// An address that cannot be bound, or a passed socket whose name no listener has.
pub fn open_doors(
    listeners: &[Listener],
    mut passed: Vec<(String, std::net::TcpListener)>,
    unpassed: Unpassed,
) -> Result<Vec<Door>, Fault> {
    let mut doors = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let mut found = false;
        while let Some(at) = passed.iter().position(|(name, _)| *name == listener.name) {
            doors.push(Door::new(listener, passed.swap_remove(at).1)?);
            found = true;
        }
        match (found, unpassed) {
            (true, _) => {}
            (false, Unpassed::Bind) => doors.push(Door::new(listener, bind(listener)?)?),
            (false, Unpassed::Fault) => return Err(missing(listener)),
        }
    }
    match passed.first() {
        None => Ok(doors),
        Some((name, _)) => Err(Fault::new(
            "taking the passed socket",
            name,
            "no listener of the configuration has this name (FileDescriptorName=)",
        )),
    }
}

/// The remedy stands in the fault, because it is a unit's, not the document's.
fn missing(listener: &Listener) -> Fault {
    let Listener { name, address, .. } = listener;
    Fault::new(
        "taking the passed socket",
        format!("{name} ({address})"),
        format!(
            "this process has no network of its own, and systemd passed no socket with \
             FileDescriptorName={name}: enable postern-{name}.socket (on the box `postern network \
             apply` makes postern-listener-{name}.socket) and start postern.service again"
        ),
    )
}

/// Binds one listener to its address and device.
///
/// # Errors
/// What the system said, with the address.
pub fn bind(listener: &Listener) -> Result<std::net::TcpListener, Fault> {
    bind_socket(listener).map_err(|error| {
        Fault::new(
            "binding the listener",
            format!("{} ({})", listener.name, listener.address),
            error,
        )
    })
}

fn bind_socket(listener: &Listener) -> io::Result<std::net::TcpListener> {
    let address = listener.address;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // One socket, one family: what is not configured does not listen.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if let Some(device) = &listener.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

impl Door {
    fn new(listener: &Listener, socket: std::net::TcpListener) -> Result<Self, Fault> {
        let fault = |error| Fault::new("listening on", &listener.name, error);
        socket.set_nonblocking(true).map_err(fault)?;
        let socket = TcpListener::from_std(socket).map_err(fault)?;
        Ok(Self { listener: Arc::new(listener.clone()), socket, reserve: reserve() })
    }

    /// Where it really listens; the port of a configuration may be 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection, with its peer in canonical form. Failures of a single connection and
    /// a lack of descriptors are dealt with here; this never gives up.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => return (stream, canonical(peer)),
                Err(error) if is_exhausted(&error) => self.turn_away().await,
                // The peer was gone before we came (ECONNABORTED and its kin, accept(2)).
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Out of descriptors: in the place of the reserve those who wait are taken off the queue, one
    /// after the other, and told so.
    async fn turn_away(&mut self) {
        self.reserve = None;
        for _ in 0..TURNED_AWAY_AT_ONCE {
            let next = tokio::time::timeout(Duration::ZERO, self.socket.accept()).await;
            let Ok(Ok((stream, _))) = next else { break };
            tell_busy(&stream, &self.listener, &replies::BUSY);
        }
        self.reserve = reserve();
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// A burst of the backlog; then whoever has finished in the meantime leaves room.
const TURNED_AWAY_AT_ONCE: usize = 256;

/// One packet with `reply`, unless the peer expects TLS. Nothing is waited for.
pub fn tell_busy(stream: &TcpStream, listener: &Listener, reply: &Reply) {
    if listener.kind != ListenerKind::Submissions {
        // A peer that cannot take one packet hears nothing, which is as clear.
        let _ = stream.try_write(&reply.octets());
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

/// The peer without the IPv4-in-IPv6 mapping: one address has one form (RFC 4291 2.5.5.2).
#[must_use]
pub fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Which ceiling a connection met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Connections in all.
    Total,
    /// Connections of its address.
    Address,
}

/// Ceilings for connections: in all, and per address, where an IPv6 /64 counts as one.
#[derive(Debug)]
pub struct Places {
    total_max: AtomicUsize,
    per_address_max: AtomicUsize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place that is taken; dropping it gives it back, also when a task panics.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    /// Free places, as many as `limits` say and the descriptor limit allows.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        let places = Self {
            total_max: AtomicUsize::new(0),
            per_address_max: AtomicUsize::new(0),
            taken: Mutex::default(),
        };
        places.set_limits(limits);
        Arc::new(places)
    }

    /// New ceilings; whoever is in stays.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.total_max.store(limits.total_max.min(descriptors_for_peers()), Ordering::Relaxed);
        self.per_address_max.store(limits.per_address_max, Ordering::Relaxed);
    }

    /// Takes a place for a peer.
    ///
    /// # Errors
    /// Which ceiling is reached.
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Full> {
        let address = network(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.total_max.load(Ordering::Relaxed) {
            return Err(Full::Total);
        }
        let here = taken.by_address.get(&address).copied().unwrap_or_default();
        if here >= self.per_address_max.load(Ordering::Relaxed) {
            return Err(Full::Address);
        }
        taken.by_address.insert(address, here + 1);
        taken.total += 1;
        Ok(Place { places: self.clone(), address })
    }

    /// Places that are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// The address that ceilings count: a whole IPv6 /64, because one customer has at least that.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Descriptors that peers may use: nine tenths of the limit, the rest is for the spool, the
/// journal, and deliveries.
fn descriptors_for_peers() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    limit / 10 * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(total_max: usize, per_address_max: usize) -> Arc<Places> {
        Places::new(ConnectionLimits { total_max, per_address_max })
    }

    #[test]
    fn ceilings_hold_and_places_come_back() {
        let places = places(3, 2);
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = places.take(a).unwrap();
        let second = places.take(a).unwrap();
        assert_eq!(places.take(a).unwrap_err(), Full::Address);
        let third = places.take(b).unwrap();
        assert_eq!(places.take(b).unwrap_err(), Full::Total);
        drop((first, second, third));
        assert_eq!(places.taken(), 0);
        assert!(places.take(a).is_ok());
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let places = places(9, 1);
        let _kept = places.take("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(places.take("2001:db8::2".parse().unwrap()).unwrap_err(), Full::Address);
        assert!(places.take("2001:db8:0:1::1".parse().unwrap()).is_ok());
        let _v4 = places.take("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(places.take("192.0.2.1".parse().unwrap()).unwrap_err(), Full::Address);
    }
}
