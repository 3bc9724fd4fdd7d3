//! Route: from a recipient domain to an ordered list of hosts and addresses. Pure; names that were
//! looked up and chance are arguments.
//!
//! ```text
//! domain ─ choose ─ Chosen ─ hosts(MX answer) ─ [Host] ─ stop(address answers) ─ Stop
//! ```
//!
//! Laws: RFC 5321 section 5 (MX, implicit MX), RFC 7505 (null MX). A domain that does not exist is
//! a permanent failure (5.1.2); a name server that does not answer never is (4.4.3), and never
//! leads to the implicit MX. A host whose only addresses are refused ones (loopback, private, our
//! own, see [`special`]) counts as a host without addresses: 5.4.4, permanent, because an owner who
//! publishes such an MX wants no mail, and an urgent message must not wait for days to say so.

mod plan;
pub mod special;

pub use plan::{Chosen, Host, Stop, choose, egress_of, hosts, literal_refused, provider, stop};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::mail::reply::PeerReply;
use crate::mail::status::EnhancedStatus;

/// Why a name has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// NXDOMAIN: somebody who must know said that the name does not exist.
    NoSuchDomain,
    /// SERVFAIL, REFUSED, a timeout, nonsense: nobody knows.
    Temporary(String),
    /// Our own way to the name servers is suspended.
    Suspended(String),
}

/// What MX look-up brought: preference and host; empty if there are none (NOERROR).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MxAnswer {
    /// Preference and exchange, without trailing dot; the root (null MX) is the empty string.
    pub hosts: Vec<(u16, String)>,
}

/// Addresses of a host, of the families that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// A records.
    pub v4: Vec<Ipv4Addr>,
    /// AAAA records.
    pub v6: Vec<Ipv6Addr>,
}

impl Addresses {
    /// One address.
    #[must_use]
    pub fn one(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v4: vec![v4], v6: Vec::new() },
            IpAddr::V6(v6) => Self { v4: Vec::new(), v6: vec![v6] },
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
