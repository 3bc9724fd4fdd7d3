//! A gateway with five interfaces and a small Internet, in network namespaces of their own, with an
//! ear on every wire.
//!
//! ```text
//!  gateway                     Internet
//!  m0  manage  10.1.0.2 ─────── mf0 ┐
//!  i0  intake  10.2.0.2 ─────── if0 │            lo: name servers, MX hosts, policy hosts
//!  ea0 A  81.2.69.10 ────────── af0 ├─ forwards ─ (globally routable addresses, which exist
//!  eb0 B  81.3.70.10 ────────── bf0 │             nowhere but here)
//!  p0  public 81.4.71.10 ────── pf0 ┘
//! ```
//!
//! The gateway is as hostile as an ordinary machine: its main table has a default route by the
//! manage interface, and whatever leaves there *is* answered. What stands between is the gateway's
//! own care and the walls of its host, and the far ends of all wires are listened to.

pub(crate) mod broker;
pub(crate) mod capture;
pub(crate) mod echo;
pub(crate) mod gateway;
pub(crate) mod names;
pub(crate) mod papers;
pub(crate) mod receiver;
pub(crate) mod space;
pub(crate) mod web;
pub(crate) mod wires;
