//! The health gate: a synthetic message of its own, through the real parts.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::Serialize;

use super::{Config, Egress, ListenerKind, RouteMatch};
use crate::mail::gate;
use crate::mail::source::Proof;

/// Where the gate's message enters, and where it arrives. Both are loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HealthConfig {
    /// The listener that only the gate uses.
    pub listener: SocketAddr,
    /// Where `postern health` waits for its message.
    pub sink: SocketAddr,
}

impl RouteMatch {
    /// Whether it is for this one domain.
    pub(in crate::config) fn is_domain(&self, name: &str) -> bool {
        matches!(self, Self::Domain(domain) if domain.as_str() == name)
    }
}

impl Config {
    /// Whether `egress` is the gate's, which leads nowhere but to this machine.
    #[must_use]
    pub fn is_gates(&self, egress: &Egress) -> bool {
        self.health.is_some() && egress.name == gate::NAME
    }

    /// The egresses by which mail leaves: all but the gate's.
    pub fn ways_out(&self) -> impl Iterator<Item = &Egress> {
        self.egresses.iter().filter(|egress| !self.is_gates(egress))
    }

    /// The configuration without the parts of the gate: what the network around the machine is
    /// concerned with.
    #[must_use]
    pub fn outward(&self) -> Cow<'_, Self> {
        if self.health.is_none() {
            return Cow::Borrowed(self);
        }
        let mut outward = self.clone();
        outward.health = None;
        outward.listeners.retain(|listener| listener.kind != ListenerKind::Health);
        outward.sources.retain(|_, source| source.proof != Proof::Health);
        outward.dkim.retain(|key| key.domain.as_str() != gate::DOMAIN);
        outward.egresses.retain(|egress| !self.is_gates(egress));
        outward.pools.retain(|pool| pool.name != gate::NAME);
        outward.routes.retain(|route| !route.matches.is_domain(gate::DOMAIN));
        outward.trust.overrides.retain(|one| !one.matches.is_domain(gate::DOMAIN));
        Cow::Owned(outward)
    }
}
