//! Names: MX, addresses, TLSA, TXT and PTR through an egress, by the egress's own name servers,
//! proved by DNSSEC where their owners sign.
//!
//! **Invariant:** this is the only door to hickory, and no socket is opened here: they all come
//! from the broker.

mod answer;
mod asker;
mod memory;
mod provider;
pub mod resolver;
pub mod table;
mod trial;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};

use crate::config::checked::Egress;
use crate::route::{Addresses, LookupError, MxAnswer, TlsaAnswer};

/// A look-up in progress.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, LookupError>> + Send + 'a>>;

/// The name servers pass DNSSEC on, or why they do not.
pub type Verdict = Result<(), String>;

/// Where names are looked up; a table in tests and demonstrations.
pub trait Names: Send + Sync + 'static {
    /// The MX records of `domain`.
    fn mx<'a>(&'a self, egress: &'a Egress, domain: &'a str) -> Lookup<'a, MxAnswer>;

    /// The addresses of `host`. A family that `egress` lacks may be left out if the other one has
    /// addresses.
    fn addresses<'a>(&'a self, egress: &'a Egress, host: &'a str) -> Lookup<'a, Addresses>;

    /// The TLSA records of `_port._tcp.host` (RFC 6698).
    fn tlsa<'a>(&'a self, egress: &'a Egress, host: &'a str, port: u16) -> Lookup<'a, TlsaAnswer>;

    /// The TXT records of `name`, the strings of each joined.
    fn txt<'a>(&'a self, egress: &'a Egress, name: &'a str) -> Lookup<'a, Vec<String>>;

    /// The names that `address` resolves to (PTR).
    fn names<'a>(&'a self, egress: &'a Egress, address: IpAddr) -> Lookup<'a, Vec<String>>;

    /// Whether the name servers of `egress` pass DNSSEC on, or why not, as far as it was tried.
    fn dnssec(&self, egress: &Egress) -> Option<Verdict>;
}

/// A socket on its way.
pub type Opening<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Where the sockets of a resolver come from. An error of the kind `NetworkDown` means that the
/// egress is suspended, which is no answer about a name.
pub trait Sockets: Send + Sync + 'static {
    /// A connection to the name server `to`.
    fn tcp<'a>(&'a self, egress: &'a str, to: SocketAddr, wait: Duration)
    -> Opening<'a, TcpStream>;

    /// A datagram socket that is connected to the name server `to`.
    fn udp<'a>(&'a self, egress: &'a str, to: SocketAddr) -> Opening<'a, UdpSocket>;

    /// Why the egress is suspended, if it is known to be.
    fn suspended(&self, egress: &str) -> Option<String>;
}

/// Names by egress name: what `table::Table` and the resolver share.
type ByName<T> = BTreeMap<String, T>;
