//! The kernel's table of neighbours.

use std::net::IpAddr;

/// Flag of a complete entry (`ATF_COM` in `linux/if_arp.h`).
const COMPLETE: u32 = 0x02;

/// Whether a neighbour answers on an interface: `None` if the kernel has not asked, if it is IPv6,
/// or if this process does not see the interface.
#[must_use]
pub fn answers(device: &str, neighbour: IpAddr) -> Option<bool> {
    read(&std::fs::read_to_string("/proc/net/arp").ok()?, device, neighbour)
}

fn read(table: &str, device: &str, neighbour: IpAddr) -> Option<bool> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let flags = u32::from_str_radix(words.nth(1)?.trim_start_matches("0x"), 16).ok()?;
        let on = words.last()?;
        (address == neighbour && on == device).then_some(flags & COMPLETE != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_entries_answer() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device
192.0.2.1        0x1         0x2         02:00:00:00:00:01     *        eth1
192.0.2.3        0x1         0x0         00:00:00:00:00:00     *        eth1
";
        let ask = |address: &str, device| read(table, device, address.parse().unwrap());
        assert_eq!(ask("192.0.2.1", "eth1"), Some(true));
        assert_eq!(ask("192.0.2.1", "eth0"), None);
        assert_eq!(ask("192.0.2.3", "eth1"), Some(false));
        assert_eq!(ask("192.0.2.9", "eth1"), None);
    }
}
