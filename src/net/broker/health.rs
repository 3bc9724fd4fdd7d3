//! Watches the local side of every egress: interface, link, addresses, route.
//!
//! Looked up once a second (one netlink dump, some 50 microseconds); a socket that is asked for in
//! between finds out by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use super::open::routed;
use super::words::{Condition, EgressError, Family, Orders};
use crate::config::checked::Egress;

/// What the kernel says of one interface.
#[derive(Clone, Debug, Default)]
struct Interface {
    running: bool,
    addresses: Vec<IpAddr>,
}

/// How every egress is.
#[must_use]
pub fn examine(orders: &Orders) -> BTreeMap<String, Condition> {
    let interfaces = interfaces();
    let judged = |egress: &Egress| match &interfaces {
        Ok(interfaces) => judge(egress, interfaces),
        Err(error) => {
            let cause = format!("the kernel's list of interfaces: {error}");
            Condition::all(egress, &Family::Suspended(cause))
        }
    };
    orders.egresses.iter().map(|egress| (egress.name.clone(), judged(egress))).collect()
}

/// A missing interface or link is the end of both families; address and route are each one's own.
fn judge(egress: &Egress, interfaces: &BTreeMap<String, Interface>) -> Condition {
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
    let family = |source: Option<IpAddr>| {
        let Some(source) = source else { return Family::Unused };
        let mut held = interfaces.iter().filter(here).flat_map(|(_, known)| &known.addresses);
        if !source.is_loopback() && !held.any(|address| *address == source) {
            return Family::Suspended(format!("{at} has lost the address {source}"));
        }
        lost_route(egress, source).map_or(Family::Whole, Family::Suspended)
    };
    Condition { v4: family(egress.ipv4.map(IpAddr::V4)), v6: family(egress.ipv6.map(IpAddr::V6)) }
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
        examine(&orders)
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
        let condition = examine(&orders).remove("wan").unwrap();
        assert_eq!(condition.v4, Family::Whole);
        let lost = condition.v6.suspended().unwrap();
        assert!(lost.contains("lost the address 2001:db8::77"), "{lost}");
        assert_eq!((condition.suspended(), condition.amiss()), (None, Some(lost)));
        let nowhere = Egress { device: Some("nosuch0".to_owned()), ..orders.egresses[0].clone() };
        let orders = Orders { egresses: vec![nowhere], ..Orders::default() };
        let condition = examine(&orders).remove("wan").unwrap();
        assert!(condition.v4.suspended().is_some() && condition.v6.suspended().is_some());
        assert!(condition.suspended().is_some());
    }
}
