//! The health gate: its section, and the parts that it adds to the configuration.
//!
//! They are added when all of the document was checked: an administrator can neither name them nor
//! be bound by rules that are for strangers. What they must not meet is checked here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::super::checked::{
    Config, DkimAlgorithm, DkimKey, Egress, HealthConfig, Link, Listener, ListenerKind, Member,
    Pool, Route, RouteHost, RouteMatch, TlsFloor, TlsOverride,
};
use super::super::complaint::Desk;
use super::super::file::Section;
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::gate;
use crate::mail::source::{
    Deadlines, MailboxPattern, Proof, SenderPair, Source, SourceLimits, SourceName, SourceState,
    Unsigned,
};

/// Where the gate's message enters.
const LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2587);
/// Where it arrives.
const SINK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2526);
/// The gate's egress: the interface that leads to this machine alone.
const DEVICE: &str = "lo";
/// Ports that nobody is spoken to at: the gate's host is named with its port.
const NO_PORT: u16 = 0;
/// Octets of the gate's messages; the largest is some kilobytes.
const OCTETS_MAX: u64 = 64 * 1024;

/// `[health]`; none: no synthetic message.
fn health(top: &mut Section<'_>, lab: bool) -> Option<HealthConfig> {
    let mut section = top.find("health")?.section()?;
    let enabled = section.flag("enabled");
    let remedy = "Write a loopback address and a port, for example \"127.0.0.1:2587\"";
    let mut address =
        |key, usual| section.parsed(key, remedy, |text| loopback(text, lab)).unwrap_or(usual);
    let (listener, sink) = (address("listener", LISTENER), address("sink", SINK));
    if listener == sink
        && let Some(entry) = section.find("sink")
    {
        entry.complain("is the listener's address", "Give each a port of its own");
    }
    section.close();
    enabled.then_some(HealthConfig { listener, sink })
}

fn loopback(text: &str, lab: bool) -> Result<SocketAddr, &'static str> {
    let address: SocketAddr = text.parse().map_err(|_| "is no address with a port")?;
    if !address.is_ipv4() || !address.ip().is_loopback() {
        return Err("is no IPv4 address of loopback: somebody else could reach it");
    }
    if address.port() == 0 && !lab { Err("has no port") } else { Ok(address) }
}

/// Adds the gate's parts to a configuration that is whole otherwise.
pub(super) fn add(top: &mut Section<'_>, config: Option<Config>, desk: &Desk) -> Option<Config> {
    let lab = top.flag("lab");
    let health = health(top, lab);
    let mut config = config?;
    if let Some(health) = health {
        collisions(&config, health, desk);
        put(&mut config, health);
    }
    Some(config)
}

fn put(config: &mut Config, health: HealthConfig) {
    let (Some(domain), Some(name)) =
        (Domain::parse(gate::DOMAIN).ok(), SourceName::new(gate::NAME))
    else {
        unreachable!("constants of the house are well-formed");
    };
    config.health = Some(health);
    config.listeners.push(Listener {
        name: gate::NAME.to_owned(),
        address: health.listener,
        kind: ListenerKind::Health,
        device: None,
        network_sources: false,
        clear_text: true,
    });
    config.sources.insert(name.clone(), Arc::new(source(name, &domain, health)));
    config.dkim.push(DkimKey {
        domain: domain.clone(),
        selector: gate::NAME.to_owned(),
        algorithm: DkimAlgorithm::Ed25519Sha256,
        file: config.spool.path.join("health.pem"),
    });
    config.egresses.push(egress(&config.hostname));
    config.pools.push(Pool {
        name: gate::NAME.to_owned(),
        members: vec![Member { egress: gate::NAME.to_owned(), weight: 1 }],
    });
    // An exception for everybody is not for the gate's own sink, which speaks no TLS.
    let wide = config.trust.overrides.iter().filter(|one| covers(&one.matches));
    if let Some(expires) = wide.map(|one| one.expires).max() {
        let own = TlsOverride {
            matches: RouteMatch::Domain(domain.clone()),
            tls: TlsFloor::Opportunistic,
            reason: "the health gate's own sink".to_owned(),
            expires,
        };
        config.trust.overrides.insert(0, own);
    }
    // The most specific come first, and nothing is more specific than one domain.
    let route = Route {
        matches: RouteMatch::Domain(domain),
        hosts: vec![(RouteHost::Address(health.sink.ip()), health.sink.port())],
        egress: Some(gate::NAME.to_owned()),
        tls: TlsFloor::Opportunistic,
    };
    config.routes.insert(0, route);
}

/// Whether a match is for the gate's domain among others.
fn covers(matches: &RouteMatch) -> bool {
    match matches {
        RouteMatch::Any => true,
        RouteMatch::Subdomains(above) => gate::DOMAIN.ends_with(&format!(".{above}")),
        RouteMatch::Domain(_) => false,
    }
}

/// Names and places that the gate needs for itself.
fn collisions(config: &Config, health: HealthConfig, desk: &Desk) {
    let taken = |key: String, what: &str| {
        desk.complain(&key, format!("{what} the health gate's"), "Give it another one");
    };
    for listener in &config.listeners {
        if listener.name == gate::NAME {
            taken(format!("listener.{}", listener.name), "has the name of");
        }
        let port = listener.address.port();
        let here =
            listener.address.ip().is_unspecified() || listener.address.ip() == health.listener.ip();
        if here && port != 0 && [health.listener.port(), health.sink.port()].contains(&port) {
            taken(format!("listener.{}.address", listener.name), "is an address of");
        }
    }
    for source in config.sources.values() {
        if source.name.as_str() == gate::NAME {
            taken(format!("source.{}", source.name), "has the name of");
        }
        let domain = |pattern: &MailboxPattern| pattern.domain.as_str() == gate::DOMAIN;
        for (index, pair) in source.pairs.iter().enumerate() {
            if domain(&pair.from) || pair.reverse_path.as_ref().is_some_and(domain) {
                taken(format!("source.{}.pairs[{index}]", source.name), "names the domain of");
            }
        }
    }
    for egress in config.egresses.iter().filter(|egress| egress.name == gate::NAME) {
        taken(format!("egress.{}", egress.name), "has the name of");
    }
    for pool in config.pools.iter().filter(|pool| pool.name == gate::NAME) {
        // An egress of this name has had its complaint.
        if !config.egresses.iter().any(|egress| egress.name == pool.name) {
            taken(format!("pool.{}", pool.name), "has the name of");
        }
    }
    if config.routes.iter().any(|route| route.matches.is_domain(gate::DOMAIN)) {
        taken("route".to_owned(), "names the domain of");
    }
    if config.trust.overrides.iter().any(|one| one.matches.is_domain(gate::DOMAIN)) {
        taken("trust.override".to_owned(), "names the domain of");
    }
    if config.dkim.iter().any(|key| key.domain.as_str() == gate::DOMAIN) {
        taken("dkim".to_owned(), "names the domain of");
    }
}

/// Who speaks at the gate's listener: nobody else, and from this machine alone.
fn source(name: SourceName, domain: &Domain, health: HealthConfig) -> Source {
    let own = MailboxPattern { local_part: None, domain: domain.clone() };
    Source {
        name,
        proof: Proof::Health,
        networks: vec![health.listener.ip().into()],
        pairs: vec![SenderPair { reverse_path: Some(own.clone()), from: own }],
        state: SourceState::Active,
        expires: None,
        class: MessageClass::Transactional,
        message_octets_max: Some(OCTETS_MAX),
        recipients_max: Some(1),
        owner: None,
        unsigned: Unsigned::Refuse,
        limits: SourceLimits::default(),
        pool: Some(gate::NAME.to_owned()),
        priority_max: None,
        deliver_by: Deadlines::Refuse,
        internal_only: true,
        rewrite: BTreeMap::new(),
        unsubscribe_list: None,
        tags: Vec::new(),
        contacts: Vec::new(),
        notes: "the synthetic message of `postern health`".to_owned(),
    }
}

fn egress(hostname: &Domain) -> Egress {
    Egress {
        name: gate::NAME.to_owned(),
        device: Some(DEVICE.to_owned()),
        ipv4: Some(Ipv4Addr::LOCALHOST),
        ipv6: None,
        ehlo: hostname.clone(),
        resolvers: Vec::new(),
        allow_networks: Vec::new(),
        mx_port: NO_PORT,
        https_port: NO_PORT,
        link: Link::default(),
        warm_up: None,
    }
}
