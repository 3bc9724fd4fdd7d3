//! What the house and the broker say to each other: one JSON object a packet, over a
//! `SOCK_SEQPACKET` pair; an opened socket travels with its packet (`SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdDatagram;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use crate::config::checked::{Config, Egress, RouteHost};

/// The longest packet. A thousand egresses fit; the kernel's default buffer is 208 KiB.
pub const PACKET_OCTETS_MAX: usize = 128 * 1024;

/// What a route may reach beyond the Internet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// The address that the route names; none: it names a host, which may be in a private network.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// Everything that the broker knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// The ways out.
    pub egresses: Vec<Egress>,
    /// What routes add.
    pub permits: Vec<Permit>,
    /// Our own addresses, which are never a destination.
    pub own: Vec<IpAddr>,
}

impl Orders {
    /// The orders that a configuration gives.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let permit = |(host, port): &(RouteHost, u16)| Permit {
            address: match host {
                RouteHost::Address(address) => Some(*address),
                RouteHost::Name(_) => None,
            },
            port: *port,
        };
        Self {
            egresses: config.egresses.clone(),
            permits: config.routes.iter().flat_map(|r| &r.hosts).map(permit).collect(),
            own: own_addresses(config),
        }
    }
}

/// Addresses of ours, as far as the configuration tells.
#[must_use]
pub fn own_addresses(config: &Config) -> Vec<IpAddr> {
    let listeners = config.listeners.iter().map(|listener| listener.address.ip());
    let v4 = config.egresses.iter().filter_map(|egress| egress.ipv4).map(IpAddr::V4);
    let v6 = config.egresses.iter().filter_map(|egress| egress.ipv6).map(IpAddr::V6);
    listeners.chain(v4).chain(v6).filter(|address| !address.is_unspecified()).collect()
}

/// What kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A connected stream.
    Tcp,
    /// A connected datagram socket; for name servers alone.
    Udp,
    /// A connected ping socket: echo requests, and what is said of them.
    Ping,
}

/// From the house to the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "lowercase", deny_unknown_fields)]
pub enum Order {
    /// From now on these; the first packet, and one at each reload.
    Orders(Orders),
    /// Tell the health of every egress now, changed or not: a broker that hangs does not.
    Health,
    /// Open a socket.
    Open {
        /// Comes back with the answer.
        id: u64,
        /// Name of the egress.
        egress: String,
        /// What kind.
        transport: Transport,
        /// Where to.
        to: SocketAddr,
        /// How long a connection may take.
        wait_millis: u64,
    },
}

/// Why there is no socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", content = "cause", rename_all = "lowercase")]
pub enum EgressError {
    /// Interface, address or route of ours is missing, or the broker is gone: the mail waits and
    /// no attempt is counted.
    #[error("the egress is suspended: {0}")]
    Suspended(String),
    /// The host said no.
    #[error("connection refused")]
    Refused,
    /// The host said nothing.
    #[error("connection timed out")]
    TimedOut,
    /// Somebody on the way said no.
    #[error("host unreachable: {0}")]
    Unreachable(String),
    /// The orders do not allow this destination.
    #[error("destination not allowed: {0}")]
    NotAllowed(String),
}

/// How an egress is in one family of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// It has no address of this family.
    #[default]
    Unused,
    /// Address, link and route are there.
    Whole,
    /// Something is missing.
    Suspended(String),
}

impl Family {
    /// What is missing.
    #[must_use]
    pub fn suspended(&self) -> Option<&str> {
        match self {
            Self::Suspended(cause) => Some(cause),
            Self::Unused | Self::Whole => None,
        }
    }
}

/// How an egress is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// With IPv4.
    pub v4: Family,
    /// With IPv6.
    pub v6: Family,
}

impl Condition {
    /// Both families that an egress has in one state.
    #[must_use]
    pub fn all(egress: &Egress, family: &Family) -> Self {
        let of = |used: bool| if used { family.clone() } else { Family::Unused };
        Self { v4: of(egress.ipv4.is_some()), v6: of(egress.ipv6.is_some()) }
    }

    /// The state of the family of `address`.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> &Family {
        if address.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    /// What is missing in one family at least.
    #[must_use]
    pub fn amiss(&self) -> Option<&str> {
        self.v4.suspended().or_else(|| self.v6.suspended())
    }

    /// Why nothing can leave at all: no family is whole.
    #[must_use]
    pub fn suspended(&self) -> Option<&str> {
        let whole = [&self.v4, &self.v6].contains(&&Family::Whole);
        self.amiss().filter(|_| !whole)
    }
}

/// From the broker to the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "lowercase", deny_unknown_fields)]
pub enum Report {
    /// The socket is in this packet.
    Opened {
        /// Of the order.
        id: u64,
    },
    /// There is none.
    Failed {
        /// Of the order.
        id: u64,
        /// Why.
        error: EgressError,
    },
    /// Who the broker is; the first packet.
    Broker {
        /// The user that it runs as, which the firewall lets out.
        uid: u32,
    },
    /// State of an egress, at the start and at each change.
    Health {
        /// Name of the egress.
        egress: String,
        /// How it is.
        condition: Condition,
    },
}

/// A pair of connected packet sockets: ours, and the one that the other process gets.
///
/// # Errors
/// The process is out of descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// One end of the pair.
#[derive(Debug)]
pub struct Channel(UnixDatagram);

impl Channel {
    /// An end for this process, inside a tokio runtime.
    ///
    /// # Errors
    /// The descriptor is no socket.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = StdDatagram::from(socket);
        socket.set_nonblocking(true)?;
        UnixDatagram::from_std(socket).map(Self)
    }

    /// Sends a word, with a socket if there is one.
    ///
    /// # Errors
    /// The other end is gone, or the word is too long.
    pub async fn send<T: Serialize>(&self, word: &T, socket: Option<OwnedFd>) -> io::Result<()> {
        let packet = serde_json::to_vec(word).map_err(io::Error::other)?;
        if packet.len() > PACKET_OCTETS_MAX {
            return Err(io::Error::other("a word to the broker is too long"));
        }
        let sockets: Vec<_> = socket.iter().map(AsFd::as_fd).collect();
        self.0.async_io(Interest::WRITABLE, || send_packet(&self.0, &packet, &sockets)).await
    }

    /// The next word and its socket; `None` at the end. `packet` is a buffer of
    /// `PACKET_OCTETS_MAX`. A packet is read whole or not at all: the future may be dropped.
    ///
    /// # Errors
    /// The other end is gone or speaks nonsense: the channel is of no further use.
    pub async fn receive<T>(&self, packet: &mut [u8]) -> io::Result<Option<(T, Option<OwnedFd>)>>
    where
        T: for<'a> Deserialize<'a>,
    {
        let (octets, socket) =
            self.0.async_io(Interest::READABLE, || receive_packet(&self.0, packet)).await?;
        if octets == 0 {
            return Ok(None);
        }
        let word = serde_json::from_slice(&packet[..octets]).map_err(io::Error::other)?;
        Ok(Some((word, socket)))
    }
}

fn send_packet(
    channel: &UnixDatagram,
    packet: &[u8],
    sockets: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(sockets));
    }
    let iov = [IoSlice::new(packet)];
    rustix::net::sendmsg(channel, &iov, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_packet(
    channel: &UnixDatagram,
    packet: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [IoSliceMut::new(packet)];
    let received = rustix::net::recvmsg(channel, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a packet of the broker was cut"));
    }
    let socket = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        })
        .flatten()
        .last();
    Ok((received.bytes, socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_travels_with_its_word() {
        let mut packet = vec![0; PACKET_OCTETS_MAX];
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        ours.send(&Report::Opened { id: 7 }, Some(listener.into())).await.unwrap();
        let (word, socket) = theirs.receive::<Report>(&mut packet).await.unwrap().unwrap();
        assert_eq!(word, Report::Opened { id: 7 });
        let listener = std::net::TcpListener::from(socket.unwrap());
        assert_eq!(listener.local_addr().unwrap(), address);
        drop(ours);
        assert!(theirs.receive::<Report>(&mut packet).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn nonsense_is_an_error() {
        let mut packet = vec![0; PACKET_OCTETS_MAX];
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        ours.send(&"hello", None).await.unwrap();
        assert!(theirs.receive::<Order>(&mut packet).await.is_err());
    }
}
