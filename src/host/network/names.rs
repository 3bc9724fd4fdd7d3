//! Name servers for the machine's own affairs, when they come with a lease.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::base::fault::Fault;
use crate::host::plan::NAMES;

/// What systemd-networkd has heard on all links together.
const HEARD: &str = "/run/systemd/netif/state";
/// The unit that calls [`follow_lease`] exists only where name servers are left to the lease.
const UNIT: &str = "/run/systemd/system/postern-names.path";
/// The resolver reads no more (resolv.conf(5)).
const SERVERS_MAX: usize = 3;

/// Writes down the name servers of the lease, if the configuration leaves them to it; whether
/// there was anything to write.
///
/// # Errors
/// The file cannot be written.
pub fn follow_lease() -> Result<bool, Fault> {
    if !Path::new(UNIT).exists() {
        return Ok(false);
    }
    // Nothing was heard yet: the unit calls again.
    let Ok(heard) = fs::read_to_string(HEARD) else { return Ok(false) };
    let path = Path::new("/").join(NAMES);
    let text = resolv_conf(&heard);
    if fs::read_to_string(&path).is_ok_and(|present| present == text) {
        return Ok(false);
    }
    let fault = |error| Fault::new("writing name servers", path.display(), error);
    let new = path.with_extension("new");
    fs::write(&new, text).map_err(fault)?;
    fs::rename(&new, &path).map_err(fault)?;
    Ok(true)
}

fn resolv_conf(heard: &str) -> String {
    let mut text = "# Name servers for time and updates, as the lease says\n".to_owned();
    let servers = heard.lines().find_map(|line| line.strip_prefix("DNS=")).unwrap_or_default();
    // Only addresses: a lease is a stranger's word.
    let addresses = servers.split_whitespace().filter_map(|word| {
        let word = word.split_once('#').map_or(word, |(address, _)| address);
        word.split_once('%').map_or(word, |(address, _)| address).parse::<std::net::IpAddr>().ok()
    });
    for address in addresses.take(SERVERS_MAX) {
        let _ = writeln!(text, "nameserver {address}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_gives_addresses_and_nothing_else() {
        let heard = "# This is private data.\nOPER_STATE=routable\nDNS=10.1.0.1 fd00::1 evil\n";
        let text = resolv_conf(heard);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, ["nameserver 10.1.0.1", "nameserver fd00::1"]);
        assert_eq!(resolv_conf("OPER_STATE=off\n").lines().count(), 1);
    }
}
