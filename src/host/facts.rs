//! What the kernel says about the machine: age, load, memory, disks, links.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
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

/// The warmest sensor in degrees Celsius; none: the machine has none, or none that can be true.
#[must_use]
pub fn temperature_celsius() -> Option<i32> {
    warmest(Path::new("/sys/class"))
}

fn warmest(classes: &Path) -> Option<i32> {
    let below = |folder: &str| fs::read_dir(classes.join(folder)).into_iter().flatten().flatten();
    let zones = below("thermal").map(|zone| zone.path().join("temp"));
    let chips = below("hwmon").flat_map(|chip| fs::read_dir(chip.path()).into_iter().flatten());
    let inputs = chips.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("temp") && name.ends_with("_input")
    });
    let thousandths = |path: std::path::PathBuf| -> Option<i32> {
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let found = zones.chain(inputs).filter_map(thousandths).map(|value| value / 1000);
    // Sensors that are not wired show a limit of their range.
    found.filter(|celsius| (-40..=150).contains(celsius) && *celsius != 0).max()
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

/// Addresses of an interface, without link-local ones.
#[must_use]
pub fn addresses(name: &str) -> Vec<IpAddr> {
    let of = |found: InterfaceAddress| {
        let address = found.address.filter(|_| found.interface_name == name)?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = address.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::ip);
        v4.or(v6.filter(|v6| !v6.is_unicast_link_local()).map(IpAddr::V6))
    };
    getifaddrs().into_iter().flatten().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warmest_sensor_counts() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(warmest(folder.path()), None);
        put("hwmon/hwmon0/temp1_input", "41500\n");
        put("hwmon/hwmon0/temp1_crit", "105000\n");
        put("hwmon/hwmon1/temp1_input", "-128000\n");
        put("thermal/thermal_zone0/temp", "47000\n");
        assert_eq!(warmest(folder.path()), Some(47));
    }

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
