//! Watches the local side of every egress: interface, link, addresses, route.
//!
//! Looked up once a second (one netlink dump, some 50 microseconds); a socket that is asked for in
//! between finds out by itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use super::open::routed;
use super::words::{EgressError, Orders};
use crate::config::checked::Egress;

/// What the kernel says of one interface.
#[derive(Clone, Debug, Default)]
struct Interface {
    running: bool,
    addresses: Vec<IpAddr>,
}

/// Why each egress is suspended; none: it is whole.
#[must_use]
pub fn examine(orders: &Orders) -> BTreeMap<String, Option<String>> {
    let interfaces = interfaces();
    let judged = |egress: &Egress| match &interfaces {
        Ok(interfaces) => judge(egress, interfaces),
        Err(error) => Some(format!("the kernel's list of interfaces: {error}")),
    };
    orders.egresses.iter().map(|egress| (egress.name.clone(), judged(egress))).collect()
}

fn judge(egress: &Egress, interfaces: &BTreeMap<String, Interface>) -> Option<String> {
    let at = match &egress.device {
        None => "this machine".to_owned(),
        Some(device) => match interfaces.get(device) {
            None => return Some(format!("interface {device} does not exist")),
            Some(interface) if !interface.running => {
                return Some(format!("interface {device} has no link"));
            }
            Some(_) => format!("interface {device}"),
        },
    };
    let here = |(name, _): &(&String, &Interface)| {
        egress.device.as_ref().is_none_or(|device| device == *name)
    };
    let sources = [egress.ipv4.map(IpAddr::V4), egress.ipv6.map(IpAddr::V6)];
    for source in sources.into_iter().flatten().filter(|source| !source.is_loopback()) {
        let mut held = interfaces.iter().filter(here).flat_map(|(_, known)| &known.addresses);
        if !held.any(|address| *address == source) {
            return Some(format!("{at} has lost the address {source}"));
        }
    }
    let probes = egress.resolvers.iter().map(|resolver| routed(egress, *resolver));
    let mut causes: Vec<String> = Vec::new();
    for probe in probes {
        match probe {
            Err(EgressError::Suspended(cause)) => causes.push(cause),
            _ => return None,
        }
    }
    causes.into_iter().next()
}

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
        examine(&orders).remove("wan").flatten()
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
}
