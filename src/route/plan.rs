//! The steps of a route, each a pure function.

use std::net::{IpAddr, SocketAddr};

use super::special::{Origin, permitted};
use super::{Addresses, LookupError, MxAnswer, Unroutable};
use crate::base::chance::Chance;
use crate::base::limits::MX_ADDRESSES_MAX;
use crate::config::checked::{Config, Egress, Route, RouteHost, RouteMatch, TlsFloor};
use crate::mail::address::Domain;

/// What the configuration says about a domain.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The way out.
    pub egress: &'a Egress,
    /// TLS floor.
    pub tls: TlsFloor,
    /// Hosts that replace the MX records; empty: MX routing.
    pub hosts: &'a [(RouteHost, u16)],
}

/// A host in the order in which it is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name, or its address as text.
    pub name: String,
    /// Its address, if the configuration names one: nothing is looked up.
    pub address: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// Who named it.
    pub origin: Origin,
}

/// A host with the addresses that may be tried, families taking turns (RFC 8305 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The host's name.
    pub name: String,
    /// At most `MX_ADDRESSES_MAX` addresses, IPv6 first.
    pub addresses: Vec<SocketAddr>,
}

/// The route of `domain`: the most specific that matches; none: MX routing.
#[must_use]
pub(super) fn route_of<'a>(config: &'a Config, domain: &Domain) -> Option<&'a Route> {
    config.routes.iter().find(|route| matches(&route.matches, domain))
}

/// What the route of `domain` says, by the egress called `egress`. `None`: the configuration has no
/// such egress.
#[must_use]
pub fn choose<'a>(config: &'a Config, domain: &Domain, egress: &str) -> Option<Chosen<'a>> {
    let egress = config.egresses.iter().find(|known| known.name == egress)?;
    let route = route_of(config, domain);
    Some(Chosen {
        egress,
        tls: route.map_or(TlsFloor::Opportunistic, |route| route.tls),
        hosts: route.map_or(&[], |route| &route.hosts),
    })
}

pub(super) fn matches(rule: &RouteMatch, domain: &Domain) -> bool {
    match rule {
        RouteMatch::Any => true,
        RouteMatch::Domain(exact) => exact == domain,
        RouteMatch::Subdomains(parent) => domain
            .as_str()
            .strip_suffix(parent.as_str())
            .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
    }
}

/// The refusal of an address literal, which only a route may serve.
#[must_use]
pub fn literal_refused(domain: &Domain) -> Option<Unroutable> {
    domain
        .literal()
        .map(|_| Unroutable::new((5, 1, 2), "address literals are not routed to the Internet"))
}

/// The hosts of a domain in the order in which they are tried: by preference, equals in random
/// order (RFC 5321 5.1). `mx` is not asked for when a route names hosts.
///
/// # Errors
/// Null MX, a domain that does not exist, name servers that do not answer.
pub fn hosts(
    chosen: &Chosen<'_>,
    domain: &Domain,
    mx: Result<MxAnswer, LookupError>,
    chance: &mut Chance,
) -> Result<Vec<Host>, Unroutable> {
    if !chosen.hosts.is_empty() {
        return Ok(chosen.hosts.iter().map(|(host, port)| named(host, *port)).collect());
    }
    let mut records = mx.map_err(|error| unknown(error, domain.as_str()))?.hosts;
    let port = chosen.egress.mx_port;
    let host = |name: String| Host { name, address: None, port, origin: Origin::Mx };
    if records.is_empty() {
        let itself = host(domain.as_str().to_owned());
        return Ok(vec![Host { origin: Origin::Implicit, ..itself }]);
    }
    if records.iter().all(|(_, name)| name.is_empty()) {
        return Err(Unroutable::new((5, 1, 10), "the domain accepts no mail (null MX, RFC 7505)"));
    }
    // A null MX beside others is a mistake (RFC 7505 section 3); the others are meant.
    records.retain(|(_, name)| !name.is_empty());
    chance.shuffle(&mut records);
    records.sort_by_key(|(preference, _)| *preference);
    let mut hosts: Vec<Host> = Vec::new();
    for (_, name) in records {
        let name = name.to_ascii_lowercase();
        if !hosts.iter().any(|known| known.name == name) {
            hosts.push(host(name));
        }
    }
    hosts.truncate(MX_ADDRESSES_MAX);
    Ok(hosts)
}

fn named(host: &RouteHost, port: u16) -> Host {
    match host {
        RouteHost::Name(name) => {
            Host { name: name.as_str().to_owned(), address: None, port, origin: Origin::RouteName }
        }
        RouteHost::Address(address) => Host {
            name: address.to_string(),
            address: Some(*address),
            port,
            origin: Origin::RouteAddress,
        },
    }
}

/// The addresses of `host` that may be tried through `egress`.
///
/// # Errors
/// The host has none: it does not exist, its name servers do not answer, or all are refused.
pub fn stop(
    host: &Host,
    egress: &Egress,
    own: &[IpAddr],
    answer: Result<Addresses, LookupError>,
    chance: &mut Chance,
) -> Result<Stop, Unroutable> {
    // A name that is an address is no host name (RFC 5321 5.1), whatever a name server says.
    if host.address.is_none() && host.name.parse::<IpAddr>().is_ok() {
        return Err(Unroutable::new((5, 4, 4), "the MX is an address, not a host name"));
    }
    let mut found = match answer {
        Err(LookupError::NoSuchDomain) if host.origin != Origin::Implicit => Addresses::default(),
        answer => answer.map_err(|error| unknown(error, &host.name))?,
    };
    let any = !(found.v4.is_empty() && found.v6.is_empty());
    chance.shuffle(&mut found.v4);
    chance.shuffle(&mut found.v6);
    let good = |address: &IpAddr| permitted(*address, host.origin, &egress.allow_networks, own);
    let v6 = found.v6.into_iter().map(IpAddr::V6).filter(|_| egress.ipv6.is_some());
    let v4 = found.v4.into_iter().map(IpAddr::V4).filter(|_| egress.ipv4.is_some());
    let usable = v6.clone().count() + v4.clone().count() > 0;
    let mut addresses = interleave(v6.filter(good), v4.filter(good));
    addresses.truncate(MX_ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err(match (any, usable) {
            (false, _) if host.origin == Origin::Implicit => {
                Unroutable::new((5, 1, 2), "the domain has neither MX nor address")
            }
            (false, _) => Unroutable::new((5, 4, 4), "the host has no address"),
            (true, false) => {
                Unroutable::new((4, 4, 4), "the egress has no address of the host's family")
            }
            (true, true) => {
                Unroutable::new((5, 4, 4), "the host's addresses are private, special or ours")
            }
        });
    }
    let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, host.port));
    Ok(Stop { name: host.name.clone(), addresses: addresses.collect() })
}

/// One of each in turn, for as long as both last.
fn interleave<T>(first: impl Iterator<Item = T>, second: impl Iterator<Item = T>) -> Vec<T> {
    let (mut first, mut second) = (first.fuse(), second.fuse());
    let mut woven = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return woven;
        }
        woven.extend(pair.into_iter().flatten());
    }
}

fn unknown(error: LookupError, name: &str) -> Unroutable {
    match error {
        LookupError::NoSuchDomain => {
            Unroutable::new((5, 1, 2), &format!("{name} does not exist in the DNS"))
        }
        LookupError::Temporary(cause) => Unroutable::new(
            (4, 4, 3),
            &format!("the name servers of {name} gave no answer: {cause}"),
        ),
        LookupError::Bogus(cause) => Unroutable::new(
            (4, 7, 5),
            &format!("DNSSEC proves the answer for {name} wrong: {cause}"),
        ),
        LookupError::Suspended(cause) => Unroutable::Suspended(cause),
    }
}

#[cfg(test)]
mod tests;
