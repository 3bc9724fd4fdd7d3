//! Opens one socket: device, source, destination, in this order and with no way around.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::net::TcpSocket;

use super::way;
use super::words::{EgressError, Orders, Transport};
use crate::base::limits::{EGRESS_KEEPALIVE, EGRESS_KEEPALIVE_BEAT, EGRESS_KEEPALIVE_PROBES};
use crate::config::checked::Egress;
use crate::route::special::{Origin, permitted};

/// Opens a socket to `to` through the egress called `egress`.
///
/// # Errors
/// The orders do not allow it, something of ours is missing, or the host does not answer.
pub async fn open(
    orders: &Orders,
    egress: &str,
    transport: Transport,
    to: SocketAddr,
    wait: Duration,
) -> Result<OwnedFd, EgressError> {
    let egress = orders
        .egresses
        .iter()
        .find(|known| known.name == egress)
        .ok_or_else(|| EgressError::NotAllowed(format!("no egress {egress}")))?;
    allowed(orders, egress, transport, to)?;
    let socket = bound(egress, transport, to.ip())?;
    routed(egress, to)?;
    match transport {
        Transport::Udp | Transport::Ping => {
            socket.connect(&SockAddr::from(to)).map_err(|error| unrouted(&error))?;
            Ok(socket.into())
        }
        Transport::Tcp => connect(socket, to, wait).await,
    }
}

/// Checks that the local side of an egress is whole on the way to `to`. Sends nothing. Returns the
/// interface and the router on the way, as far as there are any.
///
/// # Errors
/// `Suspended`, with what is missing.
pub fn routed(egress: &Egress, to: SocketAddr) -> Result<Option<(u32, IpAddr)>, EgressError> {
    let source = source(egress, to.ip())?;
    let index = match &egress.device {
        None => None,
        Some(device) => Some(
            nix::net::if_::if_nametoindex(device.as_str())
                .map_err(|error| EgressError::Suspended(format!("interface {device}: {error}")))?,
        ),
    };
    let router = way::exists(index, source, to.ip()).map_err(|error| unrouted(&error))?;
    Ok(index.zip(router))
}

/// Asks a name server of the egress for the name servers of the root, and does not wait: a router
/// that was silent is spoken to again, and the kernel hears whether it answers.
pub fn prod(egress: &Egress, server: SocketAddr) {
    // RFC 1035 4.1: recursion is wanted, one question: the root, NS, IN.
    const QUESTION: [u8; 17] = [0x70, 0x72, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let Ok(socket) = bound(egress, Transport::Udp, server.ip()) else { return };
    // Whatever is missing is found by the next look at the egress.
    if socket.connect(&SockAddr::from(server)).is_ok() {
        let _ = socket.send(&QUESTION);
    }
}

fn allowed(
    orders: &Orders,
    egress: &Egress,
    transport: Transport,
    to: SocketAddr,
) -> Result<(), EgressError> {
    if transport == Transport::Ping {
        return askable(orders, egress, to.ip());
    }
    if egress.resolvers.contains(&to) {
        return Ok(());
    }
    if transport == Transport::Udp {
        return Err(EgressError::NotAllowed("UDP is for the egress's name servers".to_owned()));
    }
    let at_port = orders.permits.iter().filter(|permit| permit.port == to.port());
    let origins = at_port.filter_map(|permit| match permit.address {
        None => Some(Origin::RouteName),
        Some(address) if address == to.ip() => Some(Origin::RouteAddress),
        Some(_) => None,
    });
    // Hosts of policies and reports are looked up like MX hosts, and may be as little ours.
    let open = [egress.mx_port, egress.https_port].contains(&to.port());
    let mut origins = origins.chain(open.then_some(Origin::Mx)).peekable();
    if origins.peek().is_none() {
        return Err(EgressError::NotAllowed(format!("port {}", to.port())));
    }
    let reachable = |origin| permitted(to.ip(), origin, &egress.allow_networks, &orders.own);
    if origins.any(reachable) {
        Ok(())
    } else {
        Err(EgressError::NotAllowed(format!("{} is private, special or ours", to.ip())))
    }
}

/// Whether an echo request may go to `to`: where mail may go, to name servers, to the routers of
/// the egress.
fn askable(orders: &Orders, egress: &Egress, to: IpAddr) -> Result<(), EgressError> {
    let routers = [egress.link.gateway4.map(IpAddr::V4), egress.link.gateway6.map(IpAddr::V6)];
    let known = egress.resolvers.iter().any(|server| server.ip() == to);
    if known
        || routers.contains(&Some(to))
        || permitted(to, Origin::Mx, &egress.allow_networks, &orders.own)
    {
        return Ok(());
    }
    Err(EgressError::NotAllowed(format!("{to} is private, special or ours")))
}

/// The egress's address of the family of `to`.
fn source(egress: &Egress, to: IpAddr) -> Result<IpAddr, EgressError> {
    let source = match to {
        IpAddr::V4(_) => egress.ipv4.map(IpAddr::V4),
        IpAddr::V6(_) => egress.ipv6.map(IpAddr::V6),
    };
    let none = || EgressError::NotAllowed("the egress has no address of this family".to_owned());
    source.ok_or_else(none)
}

/// A socket that can only speak through this egress.
fn bound(egress: &Egress, transport: Transport, to: IpAddr) -> Result<Socket, EgressError> {
    let suspended =
        |what: &str, error: &io::Error| EgressError::Suspended(format!("{what}: {error}"));
    let source = source(egress, to)?;
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        Transport::Ping if to.is_ipv4() => (Type::DGRAM, Protocol::ICMPV4),
        Transport::Ping => (Type::DGRAM, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol));
    let socket = socket.map_err(|error| match (transport, error.kind()) {
        (Transport::Ping, io::ErrorKind::PermissionDenied) => EgressError::NotAllowed(
            "the kernel lets the broker's group send no echo requests \
             (net.ipv4.ping_group_range)"
                .to_owned(),
        ),
        _ => suspended("socket", &error),
    })?;
    if let Some(device) = &egress.device {
        socket
            .bind_device(Some(device.as_bytes()))
            .map_err(|error| suspended(&format!("interface {device}"), &error))?;
    }
    // The port is chosen at connect, so that one source has 28,000 ports for *each* destination.
    setsockopt(&socket, IpBindAddressNoPort, &true)
        .map_err(|error| suspended("bind without port", &error.into()))?;
    socket
        .bind(&SockAddr::from(SocketAddr::new(source, 0)))
        .map_err(|error| suspended(&format!("address {source}"), &error))?;
    if transport == Transport::Tcp {
        // Commands are written in groups; waiting for more would only add delay.
        socket.set_tcp_nodelay(true).map_err(|error| suspended("no delay", &error))?;
        let alive = TcpKeepalive::new()
            .with_time(EGRESS_KEEPALIVE)
            .with_interval(EGRESS_KEEPALIVE_BEAT)
            .with_retries(EGRESS_KEEPALIVE_PROBES);
        socket.set_tcp_keepalive(&alive).map_err(|error| suspended("keep-alive", &error))?;
    }
    Ok(socket)
}

async fn connect(socket: Socket, to: SocketAddr, wait: Duration) -> Result<OwnedFd, EgressError> {
    let socket = TcpSocket::from_std_stream(socket.into());
    match tokio::time::timeout(wait, socket.connect(to)).await {
        Err(_) => Err(EgressError::TimedOut),
        Ok(Err(error)) => Err(unreached(&error)),
        Ok(Ok(stream)) => {
            let stream = stream.into_std().map_err(|error| unreached(&error))?;
            Ok(stream.into())
        }
    }
}

/// The kernel has no route, no interface or no address for this: ours to mend.
fn unrouted(error: &io::Error) -> EgressError {
    EgressError::Suspended(format!("route: {error}"))
}

/// The network or the host said no, on the way or at its end.
fn unreached(error: &io::Error) -> EgressError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused | Kind::ConnectionReset => EgressError::Refused,
        Kind::TimedOut => EgressError::TimedOut,
        Kind::AddrNotAvailable | Kind::NetworkDown | Kind::PermissionDenied => {
            EgressError::Suspended(error.to_string())
        }
        _ => EgressError::Unreachable(error.to_string()),
    }
}
