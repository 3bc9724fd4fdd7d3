//! Which addresses a mail exchanger may have: globally routable ones, and nothing else.
//!
//! The ranges are those of the IANA special-purpose registries (RFC 6890 and its updates). An MX
//! that points into our own networks would turn the gateway into somebody else's arm.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// How an address may be used as a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere in the Internet.
    Global,
    /// A private network: only where the configuration names it.
    Site,
    /// This host, this link, a group, or nobody: only where the configuration allows the network.
    Never,
}

/// Networks (as octets and prefix length) that are private to a site.
const SITE_V4: [([u8; 4], u8); 4] =
    [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([100, 64, 0, 0], 10)];

/// Networks that no mail exchanger of the Internet has.
const NEVER_V4: [([u8; 4], u8); 14] = [
    ([0, 0, 0, 0], 8),       // this network (RFC 791)
    ([127, 0, 0, 0], 8),     // loopback (RFC 1122)
    ([169, 254, 0, 0], 16),  // link-local, metadata services (RFC 3927)
    ([192, 0, 0, 0], 24),    // protocol assignments (RFC 6890)
    ([192, 0, 2, 0], 24),    // documentation (RFC 5737)
    ([192, 31, 196, 0], 24), // AS112 (RFC 7535)
    ([192, 52, 193, 0], 24), // AMT (RFC 7450)
    ([192, 88, 99, 0], 24),  // 6to4 relays (RFC 7526)
    ([192, 175, 48, 0], 24), // AS112 (RFC 7534)
    ([198, 18, 0, 0], 15),   // benchmarks (RFC 2544)
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast (RFC 5771)
    ([240, 0, 0, 0], 4),     // reserved and broadcast (RFC 1112)
];

/// Where `address` may be reached.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let bits = u32::from(address);
    let within = |&(network, length): &([u8; 4], u8)| {
        (bits ^ u32::from_be_bytes(network)) >> (32 - u32::from(length)) == 0
    };
    if SITE_V4.iter().any(within) {
        Reach::Site
    } else if NEVER_V4.iter().any(within) {
        Reach::Never
    } else {
        Reach::Global
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let segments = address.segments();
    if let Some(inner) = embedded_v4(address) {
        // A translated address reaches what it translates to: judge that, and trust no tunnel.
        return if reach_v4(inner) == Reach::Global && segments[0] == 0x64 {
            Reach::Global
        } else {
            Reach::Never
        };
    }
    match segments {
        [0xfc00..=0xfdff, ..] => Reach::Site, // unique local (RFC 4193)
        // Teredo, ORCHID, benchmarks and all other protocol assignments (RFC 2928);
        // documentation (RFC 3849, RFC 9637); AS112 (RFC 7534); 6bone, returned (RFC 3701).
        [0x2001, 0x0000..=0x01ff | 0x0db8, ..]
        | [0x3fff, 0x0000..=0x0fff, ..]
        | [0x2620, 0x004f, 0x8000, ..]
        | [0x3ffe, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Global,
        // Loopback, unspecified, link-local, site-local, multicast, discard, SRv6 and all the
        // space that IANA has not given out.
        _ => Reach::Never,
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let tail = || Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]);
    match address.segments() {
        // Mapped (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(tail()),
        [0x64, 0xff9b, 1, ..] => Some(Ipv4Addr::UNSPECIFIED), // local NAT64 (RFC 8215)
        [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d)) // 6to4 (RFC 3056)
        }
        _ => None,
    }
}

/// Where a destination came from: what was written by the administrator may reach further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody else's DNS.
    Mx,
    /// The recipient domain itself, which has no MX (RFC 5321 5.1).
    Implicit,
    /// A host that a route names, found by DNS.
    RouteName,
    /// An address that a route names.
    RouteAddress,
}

/// Whether mail may be sent to `address`.
#[must_use]
pub fn permitted(address: IpAddr, origin: Origin, allow: &[IpNet], own: &[IpAddr]) -> bool {
    if allow.iter().any(|network| network.contains(&address)) {
        return true;
    }
    match origin {
        Origin::RouteAddress => true,
        Origin::RouteName => reach(address) != Reach::Never && !own.contains(&address),
        Origin::Mx | Origin::Implicit => reach(address) == Reach::Global && !own.contains(&address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_special_address_is_global() {
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.254",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.1.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:808:808::1",
            "2620:4f:8000::1",
            "3ffe::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ];
        for text in special {
            let address: IpAddr = text.parse().unwrap();
            assert_ne!(reach(address), Reach::Global, "{text}");
            assert!(!permitted(address, Origin::Mx, &[], &[]), "{text}");
        }
        assert!(special.len() > 40);
    }

    #[test]
    fn the_internet_is_global() {
        let global = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1b",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
        ];
        for text in global {
            assert_eq!(reach(text.parse().unwrap()), Reach::Global, "{text}");
        }
    }

    #[test]
    fn the_administrator_may_reach_further_than_dns() {
        let site: IpAddr = "10.1.2.3".parse().unwrap();
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let global: IpAddr = "8.8.8.8".parse().unwrap();
        let allow: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
        assert!(!permitted(site, Origin::Mx, &allow, &[]));
        assert!(permitted(site, Origin::RouteName, &[], &[]));
        assert!(!permitted(site, Origin::RouteName, &[], &[site]));
        assert!(!permitted(loopback, Origin::RouteName, &[], &[]));
        assert!(permitted(loopback, Origin::RouteAddress, &[], &[]));
        assert!(permitted(loopback, Origin::Mx, &allow, &[]));
        assert!(!permitted(global, Origin::Mx, &[], &[global]));
    }
}
