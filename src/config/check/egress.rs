//! Ways out: egresses, routes and the keys that sign what leaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::super::Surroundings;
use super::super::checked::{
    DkimAlgorithm, DkimKey, Egress, Route, RouteHost, RouteMatch, TlsFloor,
};
use super::super::file::Section;
use super::gateway::readable;
use super::network::{self, with_prefix};
use super::{PLAIN_NAME, absolute, device, host_name, keyword, plain_name};
use crate::mail::address::Domain;

/// Port of name servers.
const DNS_PORT: u16 = 53;
/// Port of policy hosts (RFC 8461 3.3).
const HTTPS_PORT: u16 = 443;
/// What `tls` may say.
const TLS_WORDS: &str = "Write \"opportunistic\", \"encrypted\" or \"authenticated\"";
/// Port of MX hosts (RFC 5321 4.5.4.2).
const SMTP_PORT: u16 = 25;

/// Egresses that could be read, and the names of all that stand in the document.
#[derive(Debug, Default)]
pub(super) struct Egresses {
    pub(super) known: Vec<Egress>,
    pub(super) names: Vec<String>,
}

pub(super) fn egresses(top: &mut Section<'_>, hostname: Option<&Domain>, lab: bool) -> Egresses {
    let remedy = "Add [egress.main] with device, ipv4 (or ipv6) and resolvers";
    let mut egresses = Egresses::default();
    let Some(mut section) = top.need("egress", remedy).and_then(|entry| entry.section()) else {
        return egresses;
    };
    for (name, entry) in section.named() {
        if !plain_name(&name) {
            entry.complain("is no name for an egress", PLAIN_NAME);
        }
        egresses.names.push(name.clone());
        if let Some(section) = entry.section() {
            egresses.known.extend(egress(name, section, hostname, lab));
        }
    }
    egresses
}

fn egress(
    name: String,
    mut section: Section<'_>,
    hostname: Option<&Domain>,
    lab: bool,
) -> Option<Egress> {
    let remedy = "Write the name of the egress interface, for example \"eth1\"";
    let device = if lab {
        section.parsed("device", remedy, device)
    } else {
        section.needed("device", remedy, device)
    };
    let v4 = section.parsed("ipv4", "Write an IPv4 address of the egress interface", |text| {
        with_prefix(text, 32, |address| source_v4(address, lab))
    });
    let v6 = section.parsed("ipv6", "Write an IPv6 address of the egress interface", |text| {
        with_prefix(text, 128, |address| source_v6(address, lab))
    });
    let link = network::link(&mut section, v4, v6);
    let (ipv4, ipv6) = (v4.map(|(address, _)| address), v6.map(|(address, _)| address));
    let neither = section.find("ipv4").is_none() && section.find("ipv6").is_none();
    let ehlo = section
        .parsed("ehlo", "Write the name that the address resolves to", host_name)
        .or_else(|| hostname.cloned());
    let remedy = "Write addresses of name servers, for example [\"9.9.9.9\", \"1.1.1.1:53\"]";
    let resolvers = section.list("resolvers", remedy, resolver);
    if section.find("resolvers").is_none() && !lab {
        section.need("resolvers", remedy);
    }
    let remedy = "Write networks, for example [\"10.1.0.0/16\"]";
    let allow_networks = section.list("allow_networks", remedy, network);
    let mx_port = port(&mut section, "mx_port", ("MX hosts listen", SMTP_PORT), lab);
    let https_port = port(&mut section, "https_port", ("HTTPS hosts listen", HTTPS_PORT), lab);
    let warm_up = super::pools::warm_up(&mut section);
    families(&mut section, neither, ipv4, ipv6, &resolvers);
    section.close();
    Some(Egress {
        name,
        device,
        ipv4,
        ipv6,
        ehlo: ehlo?,
        resolvers,
        allow_networks,
        mx_port,
        https_port,
        link,
        warm_up,
    })
}

/// A port that the world has agreed on; only a laboratory may have another.
fn port(
    section: &mut Section<'_>,
    key: &'static str,
    (who, agreed): (&str, u16),
    lab: bool,
) -> u16 {
    let port = u16::try_from(section.number(key, agreed.into(), 1..=65_535)).unwrap_or(agreed);
    if let (false, true, Some(entry)) = (lab, port != agreed, section.find(key)) {
        let remedy = format!("Remove {key}, or set lab = true");
        entry.complain(format!("{who} on port {agreed}"), remedy);
    }
    port
}

/// Addresses of both ends must be of the same family.
fn families(
    section: &mut Section<'_>,
    neither: bool,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
    resolvers: &[SocketAddr],
) {
    if neither {
        section.need("ipv4", "Write ipv4, ipv6 or both: the addresses that mail leaves from");
        return;
    }
    let Some(entry) = section.find("resolvers") else { return };
    let reachable = |resolver: &SocketAddr| match resolver {
        SocketAddr::V4(_) => ipv4.is_some(),
        SocketAddr::V6(_) => ipv6.is_some(),
    };
    if let Some(lost) = resolvers.iter().find(|resolver| !reachable(resolver)) {
        let (family, key) = if lost.is_ipv4() { ("IPv4", "ipv4") } else { ("IPv6", "ipv6") };
        entry.complain(
            format!("{} cannot be asked: this egress has no {family} address", lost.ip()),
            format!("Add {key}, or remove the name server"),
        );
    }
}

fn source_v4(text: &str, lab: bool) -> Result<Ipv4Addr, String> {
    let address: Ipv4Addr = text.parse().map_err(|_| "is no IPv4 address".to_owned())?;
    let never = address.is_unspecified() || address.is_multicast() || address.is_broadcast();
    if never || (address.is_loopback() && !lab) {
        return Err("is no address that mail can leave from".to_owned());
    }
    Ok(address)
}

fn source_v6(text: &str, lab: bool) -> Result<Ipv6Addr, String> {
    let address: Ipv6Addr = text.parse().map_err(|_| "is no IPv6 address".to_owned())?;
    let never = address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some();
    if never || (address.is_loopback() && !lab) {
        return Err("is no address that mail can leave from".to_owned());
    }
    Ok(address)
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
    let address = address.or_else(|_| text.parse()).map_err(|_| "is no address".to_owned())?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err("is no address that can be asked".to_owned());
    }
    Ok(address)
}

/// A network in CIDR form; a bare address is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| "is no network".to_owned())?;
    if network.trunc() != network {
        return Err(format!("has bits beyond its prefix; the network is {}", network.trunc()));
    }
    if matches!(network, IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some()) {
        return Err("is IPv4 in IPv6's clothes; peers are known by their IPv4 address".to_owned());
    }
    Ok(network)
}

pub(super) fn routes(top: &mut Section<'_>, ways: &[String]) -> Vec<Route> {
    let remedy = "Write [[route]] with domain and hosts";
    let Some(list) = top.find("route") else { return Vec::new() };
    let mut routes: Vec<Route> = Vec::new();
    for entry in list.items(remedy) {
        let Some(mut section) = entry.section() else { continue };
        let matches = section.needed(
            "domain",
            "Write \"example.org\", \"*.example.org\" or \"*\"",
            route_match,
        );
        let remedy = "Write hosts, for example [\"mx.partner.example:25\", \"192.0.2.7\"]; none \
                      means MX routing";
        let hosts = section.list("hosts", remedy, route_host);
        let remedy = format!("Write the name of a pool or an egress: {}", ways.join(", "));
        let egress = section.parsed("egress", &remedy, |name| {
            let known = ways.iter().any(|way| way == name);
            if known { Ok(name.to_owned()) } else { Err("is no pool and no egress") }
        });
        let tls = section.parsed("tls", TLS_WORDS, keyword::<TlsFloor>).unwrap_or_default();
        if let (Some(matches), Some(entry)) = (&matches, section.find("domain"))
            && routes.iter().any(|route| route.matches == *matches)
        {
            entry.complain("has a route already", "Keep one of the two");
        }
        let idle = section.find("hosts").is_none()
            && section.find("egress").is_none()
            && section.find("tls").is_none();
        section.close();
        if idle {
            entry.complain("changes nothing", "Give it hosts, an egress or tls");
        }
        if let Some(matches) = matches {
            routes.push(Route { matches, hosts, egress, tls });
        }
    }
    // The most specific first.
    routes.sort_by_key(|route| route.matches.breadth());
    routes
}

pub(super) fn route_match(text: &str) -> Result<RouteMatch, String> {
    if text == "*" {
        return Ok(RouteMatch::Any);
    }
    if let Some(domain) = text.strip_prefix("*.") {
        return host_name(domain).map(RouteMatch::Subdomains);
    }
    host_name(text).map(RouteMatch::Domain)
}

pub(super) fn route_host(text: &str) -> Result<(RouteHost, u16), String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err("port 0 cannot be reached".to_owned())
        } else {
            Ok((RouteHost::Address(address.ip()), address.port()))
        };
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok((RouteHost::Address(address), SMTP_PORT));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (name, port.ok_or_else(|| "has no good port".to_owned())?)
        }
        None => (text, SMTP_PORT),
    };
    host_name(name).map(|name| (RouteHost::Name(name), port))
}

pub(super) fn dkim(top: &mut Section<'_>, surroundings: &dyn Surroundings) -> Vec<DkimKey> {
    let remedy = "Write [[dkim]] with domain, selector, algorithm and file";
    let Some(list) = top.find("dkim") else { return Vec::new() };
    let mut keys: Vec<DkimKey> = Vec::new();
    for entry in list.items(remedy) {
        let Some(mut section) = entry.section() else { continue };
        let domain = section.needed("domain", "Write the domain of From:", host_name);
        let selector = section.needed(
            "selector",
            "Write the name below _domainkey, for example \"p2026a\"",
            |text| host_name(text).map(|name| name.to_string()),
        );
        let algorithm = section.needed(
            "algorithm",
            "Write \"rsa-sha256\" or \"ed25519-sha256\"",
            keyword::<DkimAlgorithm>,
        );
        let file = section.needed("file", "Write the path of a PKCS#8 PEM file", absolute);
        readable(&mut section, "file", file.as_deref(), surroundings);
        let selector_entry = section.find("selector");
        section.close();
        let (Some(domain), Some(selector), Some(algorithm), Some(file)) =
            (domain, selector, algorithm, file)
        else {
            continue;
        };
        let twin = |key: &&DkimKey| key.domain == domain && key.selector == selector;
        if let (Some(_), Some(entry)) = (keys.iter().find(twin), selector_entry) {
            entry.complain(
                format!("{domain} has a key with this selector already"),
                "Give every key a selector of its own",
            );
        }
        keys.push(DkimKey { domain, selector, algorithm, file });
    }
    keys
}
