//! What the kernel says about the machine: age, load, memory, disks, links.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::sys::statvfs::statvfs;

/// Milliseconds since the machine started, sleep included: it does not jump as the wall clock does.
#[must_use]
pub fn boot_millis() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    // Seconds with two decimals: as hundredths they are the digits alone.
    let first = text.split(' ').next().unwrap_or_default();
    let digits: String = first.chars().filter(char::is_ascii_digit).collect();
    digits.parse::<u64>().unwrap_or(0).saturating_mul(10)
}

/// What tells this start of the machine from all others.
#[must_use]
pub fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The name of the machine as the kernel has it.
#[must_use]
pub fn hostname() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Load of the last minute in hundredths.
#[must_use]
pub fn load_hundredths() -> u64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    let digits: String = first.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Memory that is available, and all, in octets.
#[must_use]
pub fn memory() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    (value("MemAvailable:"), value("MemTotal:"))
}

/// Octets that are free on the disk of `path`; 0 if there is none.
#[must_use]
pub fn free_octets(path: &Path) -> u64 {
    statvfs(path).map_or(0, |found| found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Octets of the disk of `path`; 0 if there is none.
#[must_use]
pub fn all_octets(path: &Path) -> u64 {
    statvfs(path).map_or(0, |found| found.blocks().saturating_mul(found.fragment_size()))
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// `up`, `down`, `unknown`, ...
    pub state: String,
    /// Its addresses, without link-local ones.
    pub addresses: Vec<String>,
    /// The kernel's driver; none for what is made of others.
    pub driver: Option<String>,
    /// Megabits a second; none without a link, or where nobody says so.
    pub speed_mbit: Option<u32>,
    /// There is a link; unknown of a port that is switched off.
    pub carrier: bool,
}

/// All interfaces but loopback, by name.
#[must_use]
pub fn links() -> Vec<Link> {
    let mut links = BTreeMap::new();
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let read = |file: &str| {
            let text = fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            text.trim().to_owned()
        };
        if name != "lo" && entry.path().join("address").exists() {
            let (mac, state) = (read("address"), read("operstate"));
            let driver = fs::read_link(entry.path().join("device/driver")).ok();
            let driver = driver.as_deref().and_then(Path::file_name);
            let driver = driver.map(|name| name.to_string_lossy().into_owned());
            let speed_mbit = read("speed").parse().ok().filter(|speed| *speed > 0);
            let link = Link {
                carrier: read("carrier") == "1",
                addresses: Vec::new(),
                name: name.clone(),
                mac,
                state,
                driver,
                speed_mbit,
            };
            links.insert(name, link);
        }
    }
    for found in getifaddrs().into_iter().flatten() {
        let Some(link) = links.get_mut(&found.interface_name) else { continue };
        let Some(address) = found.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            link.addresses.push(v4.ip().to_string());
        } else if let Some(v6) = address.as_sockaddr_in6()
            && !v6.ip().is_unicast_link_local()
        {
            link.addresses.push(v6.ip().to_string());
        }
    }
    links.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        assert!(boot_millis() > 0);
        assert_eq!(boot_id().len(), 36);
        let (available, all) = memory();
        assert!(available > 0 && available <= all);
        assert!(free_octets(Path::new("/")) > 0);
        assert!(links().iter().all(|link| link.name != "lo"));
    }
}
