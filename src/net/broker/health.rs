//! Watches the local side of every egress: interface, link, addresses, route, router.
//!
//! A router is judged by what the kernel found out when it had to ask for it (ARP, RFC 4861): one
//! that did not answer, or that is still being asked at three looks, is lost until it does. While
//! it is lost a name server is asked once a beat, so that the kernel asks again.
//!
//! Looked up once a second (one netlink dump, some 50 microseconds); a socket that is asked for in
//! between finds out by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use super::open::{prod, routed};
use super::way::{Neighbour, neighbour};
use super::words::{Condition, EgressError, Family, Orders};
use crate::config::checked::Egress;

/// What the kernel says of one interface.
#[derive(Clone, Debug, Default)]
struct Interface {
    running: bool,
    addresses: Vec<IpAddr>,
}

/// Looks at which a router is still being asked for, until it is taken for lost.
const PATIENCE: u8 = 3;

/// Routers that have not answered yet: the egress and a name server behind it, and at how many
/// looks.
#[derive(Clone, Debug, Default)]
pub struct Lost(BTreeMap<(String, SocketAddr), u8>);

impl Lost {
    /// Whoever does not answer now is lost: for a look after something was lost on the way.
    #[must_use]
    pub fn suspected(orders: &Orders) -> Self {
        let all = orders.egresses.iter().flat_map(|egress| {
            egress.resolvers.iter().map(|server| ((egress.name.clone(), *server), PATIENCE))
        });
        Self(all.collect())
    }

    /// Has the kernel ask again.
    pub fn prod(&self, orders: &Orders) {
        for ((name, server), _) in self.0.iter().filter(|(_, looks)| **looks >= PATIENCE) {
            if let Some(egress) = orders.egresses.iter().find(|egress| egress.name == *name) {
                prod(egress, *server);
            }
        }
    }
}

/// How every egress is, and whose router is lost.
#[must_use]
pub fn examine(orders: &Orders, lost: &mut Lost) -> BTreeMap<String, Condition> {
    let interfaces = interfaces();
    let before = std::mem::take(lost);
    let mut judged = |egress: &Egress| match &interfaces {
        Ok(interfaces) => judge(egress, interfaces, &before, lost),
        Err(error) => {
            let cause = format!("the kernel's list of interfaces: {error}");
            Condition::all(egress, &Family::Suspended(cause))
        }
    };
    orders.egresses.iter().map(|egress| (egress.name.clone(), judged(egress))).collect()
}

/// A missing interface or link is the end of both families; address and route are each one's own.
fn judge(
    egress: &Egress,
    interfaces: &BTreeMap<String, Interface>,
    before: &Lost,
    lost: &mut Lost,
) -> Condition {
    let at = match &egress.device {
        None => "this machine".to_owned(),
        Some(device) => {
            let missing = match interfaces.get(device) {
                None => Some("does not exist"),
                Some(interface) if !interface.running => Some("has no link"),
                Some(_) => None,
            };
            if let Some(missing) = missing {
                let cause = format!("interface {device} {missing}");
                return Condition::all(egress, &Family::Suspended(cause));
            }
            format!("interface {device}")
        }
    };
    let here = |(name, _): &(&String, &Interface)| {
        egress.device.as_ref().is_none_or(|device| device == *name)
    };
    let mut family = |source: Option<IpAddr>| {
        let Some(source) = source else { return Family::Unused };
        let mut held = interfaces.iter().filter(here).flat_map(|(_, known)| &known.addresses);
        if !source.is_loopback() && !held.any(|address| *address == source) {
            return Family::Suspended(format!("{at} has lost the address {source}"));
        }
        let cause = lost_route(egress, source).or_else(|| {
            let (server, router, looks) = silent_router(egress, source, before)?;
            lost.0.insert((egress.name.clone(), server), looks);
            (looks >= PATIENCE).then(|| format!("the router {router} does not answer"))
        });
        cause.map_or(Family::Whole, Family::Suspended)
    };
    Condition { v4: family(egress.ipv4.map(IpAddr::V4)), v6: family(egress.ipv6.map(IpAddr::V6)) }
}

/// The router on the way to the first name server of this family, if it has not answered, and at
/// how many looks.
fn silent_router(
    egress: &Egress,
    source: IpAddr,
    before: &Lost,
) -> Option<(SocketAddr, IpAddr, u8)> {
    let mut servers = egress.resolvers.iter();
    let server = *servers.find(|server| server.is_ipv4() == source.is_ipv4())?;
    let (index, router) = routed(egress, server).ok().flatten()?;
    let looks = before.0.get(&(egress.name.clone(), server)).copied().unwrap_or(0);
    match neighbour(index, router).ok()? {
        Neighbour::Silent => Some((server, router, PATIENCE)),
        Neighbour::Asked => Some((server, router, looks.saturating_add(1).min(PATIENCE))),
        Neighbour::Quiet => None,
    }
}

/// Why nothing that an egress speaks to in this family has a route.
fn lost_route(egress: &Egress, source: IpAddr) -> Option<String> {
    let alike = |address: &IpAddr| address.is_ipv4() == source.is_ipv4();
    let servers = egress.resolvers.iter().filter(|server| alike(&server.ip()));
    let mut targets: Vec<SocketAddr> = servers.copied().collect();
    if targets.is_empty() && !egress.resolvers.is_empty() && !source.is_loopback() {
        // No name server of this family: any address of the Internet, or of what is allowed.
        let networks = egress.allow_networks.iter().map(IpNet::addr).filter(alike);
        let beyond = if source.is_ipv4() { SOMEWHERE_V4 } else { SOMEWHERE_V6 };
        targets = networks.chain([beyond]).map(|address| SocketAddr::new(address, 0)).collect();
    }
    let mut lost = None;
    for target in targets {
        match routed(egress, target) {
            Err(EgressError::Suspended(cause)) => lost = lost.or(Some(cause)),
            _ => return None,
        }
    }
    lost
}

/// Whether the kernel tells of its interfaces: without that a broker is of no use.
#[must_use]
pub fn kernel_answers() -> bool {
    interfaces().is_ok()
}

/// Two root name servers (a.root-servers.net): nothing is sent there, a route is looked up.
const SOMEWHERE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4));
const SOMEWHERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30));

fn interfaces() -> nix::Result<BTreeMap<String, Interface>> {
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs()? {
        let interface = interfaces.entry(entry.interface_name).or_default();
        // RUNNING follows a lost carrier up to a second late (the kernel's link watch); LOWER_UP
        // is the carrier itself.
        let whole =
            InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING | InterfaceFlags::IFF_LOWER_UP;
        interface.running |= entry.flags.contains(whole);
        interface.addresses.extend(entry.address.as_ref().and_then(ip));
    }
    Ok(interfaces)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::Domain;

    fn egress(device: Option<&str>, ipv4: &str) -> Egress {
        Egress {
            name: "wan".to_owned(),
            device: device.map(str::to_owned),
            ipv4: Some(ipv4.parse().unwrap()),
            ipv6: None,
            ehlo: Domain::parse("relay.example").unwrap(),
            resolvers: vec!["127.0.0.1:53".parse().unwrap()],
            allow_networks: Vec::new(),
            mx_port: 25,
            https_port: 443,
            link: crate::config::checked::Link::default(),
            warm_up: None,
        }
    }

    fn verdict(egress: Egress) -> Option<String> {
        let orders = Orders { egresses: vec![egress], ..Orders::default() };
        examine(&orders, &mut Lost::default())
            .remove("wan")
            .and_then(|condition| condition.suspended().map(str::to_owned))
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(verdict(egress(Some("lo"), "127.0.0.1")), None);
        let missing = verdict(egress(Some("nosuch0"), "127.0.0.1")).unwrap();
        assert!(missing.contains("nosuch0 does not exist"), "{missing}");
        let address = verdict(egress(Some("lo"), "192.0.2.77")).unwrap();
        assert!(address.contains("lost the address 192.0.2.77"), "{address}");
        let unbound = verdict(egress(None, "192.0.2.77")).unwrap();
        assert!(unbound.contains("this machine has lost"), "{unbound}");
    }

    #[test]
    fn a_family_that_is_lost_leaves_the_other() {
        let both = Egress {
            ipv6: Some("2001:db8::77".parse().unwrap()),
            ..egress(Some("lo"), "127.0.0.1")
        };
        let orders = Orders { egresses: vec![both], ..Orders::default() };
        let condition = examine(&orders, &mut Lost::default()).remove("wan").unwrap();
        assert_eq!(condition.v4, Family::Whole);
        let lost = condition.v6.suspended().unwrap();
        assert!(lost.contains("lost the address 2001:db8::77"), "{lost}");
        assert_eq!((condition.suspended(), condition.amiss()), (None, Some(lost)));
        let nowhere = Egress { device: Some("nosuch0".to_owned()), ..orders.egresses[0].clone() };
        let orders = Orders { egresses: vec![nowhere], ..Orders::default() };
        let condition = examine(&orders, &mut Lost::default()).remove("wan").unwrap();
        assert!(condition.v4.suspended().is_some() && condition.v6.suspended().is_some());
        assert!(condition.suspended().is_some());
    }
}
