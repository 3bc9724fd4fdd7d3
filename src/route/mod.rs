//! Route: from a recipient domain to an ordered list of hosts and addresses. Pure; names that were
//! looked up and chance are arguments.
//!
//! ```text
//! source, domain ─ pool ─ Way ─ a member of the pool
//! domain, member ─ choose ─ Chosen ─ hosts(MX answer) ─ [Host] ─ stop(address answers) ─ Stop
//! ```
//!
//! Laws: RFC 5321 section 5 (MX, implicit MX), RFC 7505 (null MX). A domain that does not exist is
//! a permanent failure (5.1.2); a name server that does not answer never is (4.4.3), and never
//! leads to the implicit MX. A host whose only addresses are refused ones (loopback, private, our
//! own, see [`special`]) counts as a host without addresses: 5.4.4, permanent, because an owner who
//! publishes such an MX wants no mail, and an urgent message must not wait for days to say so.

mod plan;
pub mod pool;
mod provider;
pub mod special;
pub mod sts;
pub mod trust;

pub use plan::{Chosen, Host, Stop, choose, hosts, literal_refused, stop};
pub use provider::{provider, provider_of};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::mail::reply::PeerReply;
use crate::mail::status::EnhancedStatus;
use crate::mail::trust::Tlsa;

/// Why a name has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// NXDOMAIN: somebody who must know said that the name does not exist.
    NoSuchDomain,
    /// SERVFAIL, REFUSED, a timeout, nonsense: nobody knows.
    Temporary(String),
    /// DNSSEC proves that the answer was forged or broken: nobody knows, and nothing else is to be
    /// believed in its place (RFC 7672 2.1.1).
    Bogus(String),
    /// Our own way to the name servers is suspended.
    Suspended(String),
}

/// What MX look-up brought: preference and host; empty if there are none (NOERROR).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MxAnswer {
    /// Preference and exchange, without trailing dot; the root (null MX) is the empty string.
    pub hosts: Vec<(u16, String)>,
    /// DNSSEC proved the answer, a CNAME on the way included; also that there are none.
    pub secure: bool,
}

/// Addresses of a host, of the families that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// A records.
    pub v4: Vec<Ipv4Addr>,
    /// AAAA records.
    pub v6: Vec<Ipv6Addr>,
    /// DNSSEC proved the answers of both families.
    pub secure: bool,
    /// Where a chain of CNAMEs ended, if there was one (RFC 7672 2.2.2).
    pub canonical: Option<String>,
}

/// TLSA records of a host's port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsaAnswer {
    /// The records; empty if there are none.
    pub records: Vec<Tlsa>,
    /// DNSSEC proved the answer, also that there are none.
    pub secure: bool,
}

impl Addresses {
    /// One address.
    #[must_use]
    pub fn one(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v4: vec![v4], ..Self::default() },
            IpAddr::V6(v6) => Self { v6: vec![v6], ..Self::default() },
        }
    }
}

/// Why there is no way to a domain or host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unroutable {
    /// Said by names or addresses; the class of its status decides.
    Reply(PeerReply),
    /// Our own way out is suspended.
    Suspended(String),
}

impl Unroutable {
    pub(crate) fn new(status: (u8, u16, u16), text: &str) -> Self {
        Self::Reply(PeerReply::ours(EnhancedStatus::new(status.0, status.1, status.2), text))
    }
}
