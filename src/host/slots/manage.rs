//! The interface for administrators, as it is now: its addresses, and the machine's name servers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use nix::ifaddrs::getifaddrs;

use crate::base::fault::Fault;

/// Name servers that are asked.
const SERVERS_MAX: usize = 3;

/// The port of name servers.
const DNS: u16 = 53;

/// Addresses of an interface, one of each family at most; none that is good for its link alone.
///
/// # Errors
/// The system does not tell, or the interface has none.
pub fn addresses(device: &str) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), Fault> {
    let fault = |cause: String| Fault::new("looking at the interface", device, cause);
    let (mut v4, mut v6) = (None, None);
    for found in getifaddrs().map_err(|error| fault(error.to_string()))? {
        if found.interface_name != device {
            continue;
        }
        let Some(address) = found.address else { continue };
        if let Some(address) = address.as_sockaddr_in() {
            v4 = v4.or(Some(address.ip()));
        } else if let Some(address) = address.as_sockaddr_in6() {
            let address = address.ip();
            v6 = v6.or((!address.is_unicast_link_local()).then_some(address));
        }
    }
    if v4.is_none() && v6.is_none() {
        return Err(fault("it is not there or has no address".to_owned()));
    }
    Ok((v4, v6))
}

/// The name servers in `path` (resolv.conf(5)); on the box those of the interface for
/// administrators and no others.
#[must_use]
pub fn name_servers(path: &Path) -> Vec<SocketAddr> {
    servers(&fs::read_to_string(path).unwrap_or_default())
}

fn servers(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| -> Option<SocketAddr> {
        let text = line.trim().strip_prefix("nameserver")?.trim();
        let address: IpAddr = text.parse().ok()?;
        Some(SocketAddr::new(address, DNS))
    };
    text.lines().filter_map(address).take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_an_address_and_nobody_has_another() {
        assert_eq!(addresses("lo").unwrap().0, Some(Ipv4Addr::LOCALHOST));
        assert!(addresses("nobody0").is_err());
    }

    #[test]
    fn name_servers_are_read() {
        let text = "# x\nsearch example.com\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n";
        let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.53:53", "[2001:db8::53]:53"]);
        assert!(servers("nameserver x\n").is_empty());
    }
}
