//! What holds between sections: names exist, nobody is two people, nothing is an open relay.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::checked::{DkimKey, Egress, Listener, ListenerKind, NetworkConfig, Pool, Route};
use super::super::complaint::Desk;
use super::pools;
use crate::mail::source::{Proof, Source, Unsigned};

/// The widest IPv4 network that may be an identity: 10.0.0.0/8.
const V4_PREFIX_MIN: u8 = 8;
/// The widest IPv6 network that may be an identity: what one provider gets.
const V6_PREFIX_MIN: u8 = 32;
/// IPv4 addresses that may be an identity in all: all private networks together, with room.
const V4_ADDRESSES_MAX: u64 = 1 << 25;
/// IPv6 /32 networks that may be an identity in all.
const V6_PROVIDERS_MAX: u64 = 16;

/// What the sections declare. Things that could not be read are missing, their names are not.
pub(super) struct Declared<'a> {
    pub(super) lab: bool,
    pub(super) listeners: &'a [Listener],
    pub(super) sources: &'a [Source],
    pub(super) dkim: &'a [DkimKey],
    pub(super) egresses: &'a [Egress],
    pub(super) pools: &'a [Pool],
    pub(super) routes: &'a [Route],
}

pub(super) fn check(declared: &Declared<'_>, network: &NetworkConfig, desk: &Desk) {
    super::network::cross(network, declared.egresses, declared.listeners, declared.lab, desk);
    identities(declared.sources, desk);
    network_sources(declared, desk);
    open_relay(declared.sources, desk);
    signatures(declared, desk);
    addresses(declared.listeners, desk);
    ways_out(declared, desk);
}

/// A user name and a key belong to one source.
fn identities(sources: &[Source], desk: &Desk) {
    let mut owners: BTreeMap<String, &Source> = BTreeMap::new();
    for source in sources {
        let (key, marks) = match &source.proof {
            Proof::Password { user, .. } => ("user", vec![format!("user {user}")]),
            Proof::Certificate { spki_sha256 } => (
                "certificate_spki_sha256",
                spki_sha256.iter().map(|print| format!("certificate {print}")).collect(),
            ),
            Proof::Network | Proof::Health => continue,
        };
        for mark in marks {
            if let Some(owner) = owners.get(&mark) {
                desk.complain(
                    &format!("source.{}.{key}", source.name),
                    format!("{mark} belongs to source {} already", owner.name),
                    "Give every source an identity of its own",
                );
            } else {
                owners.insert(mark, source);
            }
        }
    }
}

/// Sources that are known by their network alone.
fn network_sources(declared: &Declared<'_>, desk: &Desk) {
    let by_network = |source: &&Source| source.proof == Proof::Network;
    let sources: Vec<&Source> = declared.sources.iter().filter(by_network).collect();
    let open_to_them = declared.listeners.iter().any(|listener| listener.network_sources);
    for (index, source) in sources.iter().enumerate() {
        let key = format!("source.{}.networks", source.name);
        if source.networks.is_empty() {
            desk.complain(
                &key,
                "names no network: everyone could submit, an open relay",
                "Write the networks of this source",
            );
        }
        if !open_to_them && !declared.listeners.is_empty() {
            desk.complain(
                &format!("source.{}.proof", source.name),
                "no listener lets sources in by their network alone",
                "Set network_sources = true on a listener",
            );
        }
        for other in &sources[..index] {
            let both = source.networks.iter().find(|mine| {
                other.networks.iter().any(|theirs| mine.contains(theirs) || theirs.contains(*mine))
            });
            if let Some(both) = both {
                desk.complain(
                    &key,
                    format!("{both} belongs to source {} too: which one submits?", other.name),
                    "Give every network to one source",
                );
            }
        }
    }
    for listener in declared.listeners.iter().filter(|listener| listener.network_sources) {
        let anywhere = listener.address.ip().is_unspecified() && listener.device.is_none();
        if anywhere && !declared.lab {
            desk.warn(
                &format!("listener.{}.network_sources", listener.name),
                "lets sources in by their network on every interface",
                "Bind the listener to an address or a device of the intake side",
            );
        }
    }
}

/// An address of a wide network is no identity.
fn open_relay(sources: &[Source], desk: &Desk) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let mut last = String::new();
    for source in sources {
        let binding = source.proof == Proof::Network;
        for (index, network) in source.networks.iter().enumerate() {
            let key = format!("source.{}.networks[{index}]", source.name);
            let (prefix, narrowest) = match network {
                IpNet::V4(net) => (net.prefix_len(), V4_PREFIX_MIN),
                IpNet::V6(net) => (net.prefix_len(), V6_PREFIX_MIN),
            };
            if binding && prefix < narrowest {
                desk.complain(
                    &key,
                    format!("{network} is so wide that this would be an open relay"),
                    format!("Write networks of /{narrowest} or narrower, or ask for a password"),
                );
            } else if binding {
                match network {
                    IpNet::V4(net) => v4.push(*net),
                    IpNet::V6(net) => v6.push(*net),
                }
                last = key;
            }
        }
    }
    let v4_addresses: u64 =
        Ipv4Net::aggregate(&v4).iter().map(|net| 1_u64 << (32 - net.prefix_len())).sum();
    // Narrower networks than a provider's are small change.
    let v6_providers: u64 = Ipv6Net::aggregate(&v6)
        .iter()
        .filter(|net| net.prefix_len() <= 40)
        .map(|net| 1_u64 << 32_u8.saturating_sub(net.prefix_len()))
        .sum();
    if v4_addresses > V4_ADDRESSES_MAX || v6_providers > V6_PROVIDERS_MAX {
        desk.complain(
            &last,
            "together the networks of all network sources are so wide that this is an open relay",
            "Ask the sources outside of your own networks for a password or a certificate",
        );
    }
}

/// Mail without a key is refused, so a pair without one is dead.
fn signatures(declared: &Declared<'_>, desk: &Desk) {
    for source in declared.sources.iter().filter(|s| s.unsigned == Unsigned::Refuse) {
        for (index, pair) in source.pairs.iter().enumerate() {
            if !declared.dkim.iter().any(|key| key.domain == pair.from.domain) {
                desk.warn(
                    &format!("source.{}.pairs[{index}].from", source.name),
                    format!("{} has no DKIM key, so its mail is refused", pair.from.domain),
                    "Add [[dkim]] for it, or set unsigned = \"allow\" for this source",
                );
            }
        }
        let null_only = source.pairs.iter().all(|pair| pair.reverse_path.is_none());
        if null_only && source.owner.is_none() && !source.pairs.is_empty() {
            desk.warn(
                &format!("source.{}.owner", source.name),
                "is missing, and all mail of this source has the null reverse-path: nobody hears \
                 of failures",
                "Write owner = \"ops@example.org\"",
            );
        }
    }
}

/// Two listeners cannot have one address, and ports have their customs.
fn addresses(listeners: &[Listener], desk: &Desk) {
    for (index, listener) in listeners.iter().enumerate() {
        let key = format!("listener.{}.address", listener.name);
        let same = |other: &&Listener| {
            other.address == listener.address && other.device == listener.device
        };
        if listener.address.port() != 0
            && let Some(other) = listeners[..index].iter().find(same)
        {
            desk.complain(
                &key,
                format!("listener {} has this address already", other.name),
                "Give every listener an address of its own",
            );
        }
        let usual = match listener.address.port() {
            25 => Some(ListenerKind::Smtp),
            465 => Some(ListenerKind::Submissions),
            587 => Some(ListenerKind::Submission),
            _ => None,
        };
        if usual.is_some_and(|usual| usual != listener.kind) {
            desk.warn(
                &format!("listener.{}.kind", listener.name),
                format!("is not what clients expect on port {}", listener.address.port()),
                "465 is submissions, 587 submission, 25 smtp",
            );
        }
    }
}

/// Mail leaves only where it is meant to.
fn ways_out(declared: &Declared<'_>, desk: &Desk) {
    if declared.lab {
        return;
    }
    for egress in declared.egresses {
        let shared = declared
            .listeners
            .iter()
            .find(|listener| listener.device.is_some() && listener.device == egress.device);
        if let Some(listener) = shared {
            desk.complain(
                &format!("egress.{}.device", egress.name),
                format!("is the interface of listener {} too", listener.name),
                "Keep intake and egress on interfaces of their own, or set lab = true",
            );
        }
        let routed = |route: &Route| {
            !route.hosts.is_empty()
                && pools::leads(route, &egress.name, declared.pools, declared.sources)
        };
        if !egress.allow_networks.is_empty() && !declared.routes.iter().any(routed) {
            desk.complain(
                &format!("egress.{}.allow_networks", egress.name),
                "opens private networks, and no route with hosts leads there",
                "Remove it, or add the [[route]] that needs it, or set lab = true",
            );
        }
        if egress.allow_networks.iter().any(|network| network.prefix_len() == 0) {
            desk.complain(
                &format!("egress.{}.allow_networks", egress.name),
                "would let a stranger's DNS answer point into any network",
                "Write the networks of the route's hosts",
            );
        }
    }
}
