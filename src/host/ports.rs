//! Ethernet ports: switched on so that a cable can be seen, and found by their blinking lamp.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::facts::{Link, links};
use super::machine::{System, command_of};
use crate::base::fault::Fault;

/// The longest that a lamp blinks: as long as it takes to walk round a rack.
const BLINK_SECS_MAX: u64 = 60;

/// Two ends need up to three seconds to agree on a speed; a port without a cable keeps nobody
/// longer.
const LINK_PATIENCE: Duration = Duration::from_secs(4);

/// The door of ethtool, and its order to blink (linux/sockios.h, linux/ethtool.h).
const SIOCETHTOOL: u32 = 0x8946;
const ETHTOOL_PHYS_ID: u32 = 0x1c;

/// Octets of a name of an interface with its end (linux/if.h).
const NAME_OCTETS: usize = 16;

/// Ethernet ports, and what plays one in a test; nothing that is made of others.
#[must_use]
pub fn ports() -> Vec<Link> {
    links()
        .into_iter()
        .filter(|link| is_port(&Path::new("/sys/class/net").join(&link.name)))
        .collect()
}

fn is_port(class: &Path) -> bool {
    let read = |file: &str| fs::read_to_string(class.join(file)).unwrap_or_default();
    // ARPHRD_ETHER; bonds, bridges, VLANs and radios name their kind.
    read("type").trim() == "1" && !read("uevent").contains("DEVTYPE=")
}

/// Switches ports on that are off, and waits a moment for their links. They get no address and no
/// name for IPv6, so nothing is sent by us; the guard of a machine without configuration is shut
/// besides. Returns those that could not be switched on, and why.
pub fn switch_on(system: &System) -> Vec<Fault> {
    let off = |link: &Link| {
        let flags = fs::read_to_string(Path::new("/sys/class/net").join(&link.name).join("flags"));
        let flags = flags.unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(1);
        flags & 1 == 0
    };
    let names: Vec<String> = ports().into_iter().filter(off).map(|link| link.name).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let on = |name: &String| {
        if Path::new("/proc/sys/net/ipv6").exists() {
            command_of(system, &["link", "set", "dev", name, "addrgenmode", "none"])?;
        }
        command_of(system, &["link", "set", "dev", name, "up"])
    };
    let faults: Vec<Fault> = names.iter().filter_map(|name| on(name).err()).collect();
    let end = Instant::now() + LINK_PATIENCE;
    let linked = || {
        let carries = |name: &String| ports().iter().any(|link| link.name == *name && link.carrier);
        names.iter().all(carries)
    };
    while faults.len() < names.len() && !linked() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    faults
}

/// Has the lamp of a port blink, and returns when it has ended; how long it blinked, in seconds.
///
/// # Errors
/// There is no such port, or its driver cannot; in words.
pub fn blink(name: &str, secs: u64) -> Result<u64, String> {
    let Some(port) = ports().into_iter().find(|link| link.name == name) else {
        return Err(format!("there is no ethernet port {name}"));
    };
    let secs = secs.clamp(1, BLINK_SECS_MAX);
    let driver = port.driver.unwrap_or_else(|| "none".to_owned());
    let advice = "pull its cable and see which port loses its link";
    match physical_id(name, u32::try_from(secs).unwrap_or(1)) {
        Ok(()) => Ok(secs),
        Err(Errno::OPNOTSUPP | Errno::INVAL) => {
            Err(format!("the driver of {name} ({driver}) cannot make its lamp blink: {advice}"))
        }
        Err(Errno::PERM | Errno::ACCESS) => {
            Err(format!("this process may not make the lamp of {name} blink: {advice}"))
        }
        Err(Errno::BUSY) => Err(format!("the lamp of {name} blinks already")),
        Err(error) => Err(format!("the lamp of {name} cannot blink: {error}; {advice}")),
    }
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct ifreq` as `SIOCETHTOOL` takes it: its union is 24 octets on every machine of 64 bits.
#[repr(C)]
struct Request {
    name: [u8; NAME_OCTETS],
    value: *mut EthtoolValue,
    rest: [u8; 16],
}

// JUSTIFICATION: a lamp blinks by an ioctl whose argument holds a pointer; netlink has no word for
// it.
#[allow(unsafe_code, reason = "ETHTOOL_PHYS_ID is an ioctl with a pointer in its argument")]
fn physical_id(name: &str, secs: u32) -> Result<(), Errno> {
    let mut octets = [0; NAME_OCTETS];
    if name.len() >= NAME_OCTETS {
        return Err(Errno::INVAL);
    }
    octets[..name.len()].copy_from_slice(name.as_bytes());
    // Any socket leads to the interfaces; this is a kind that the role may have.
    let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    let mut value = EthtoolValue { command: ETHTOOL_PHYS_ID, data: secs };
    let mut request = Request { name: octets, value: &raw mut value, rest: [0; 16] };
    // SAFETY: the kernel reads `Request` (40 octets, the size of its `struct ifreq`) and by its
    // pointer 8 octets of `value`; both live until the call returns, and it keeps neither.
    unsafe {
        let order = rustix::ioctl::Updater::<SIOCETHTOOL, Request>::new(&mut request);
        rustix::ioctl::ioctl(&socket, order)
    }
}

const _: () = assert!(size_of::<Request>() == 40, "as large as the kernel's");

#[cfg(test)]
mod tests {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use std::process::Command;

    use super::*;
    use crate::host::paths::Paths;

    fn ip(words: &str) {
        let done = Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(done.success(), "ip {words}");
    }

    /// In a thread with a network of its own, seen by a /sys of its own.
    fn alone(test: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).unwrap();
            test();
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_cable_is_seen_once_the_port_is_switched_on() {
        if !crate::host::walls::is_root() {
            return;
        }
        alone(|| {
            ip("link add port0 type veth peer name far0");
            ip("link add port1 type veth peer name far1");
            ip("link set far0 up");
            let carrier = |name: &str| ports().iter().any(|link| link.name == name && link.carrier);
            assert!(!carrier("port0"));
            let faults = switch_on(&System::new(Paths::real()));
            assert!(faults.is_empty(), "{faults:?}");
            assert!(carrier("port0"));
            let links = links();
            assert!(links.iter().all(|link| link.addresses.is_empty()), "{links:?}");
            // Not even an address of its own making: nothing could be sent.
            let shown = Command::new("ip").args(["address", "show", "dev", "port0"]).output();
            let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
            assert!(!shown.contains("inet6") && shown.contains("LOWER_UP"), "{shown}");
            // A second look changes nothing, and does not wait.
            let begun = Instant::now();
            assert!(switch_on(&System::new(Paths::real())).is_empty());
            assert!(begun.elapsed() < LINK_PATIENCE);
            let cannot = blink("port0", 5).unwrap_err();
            assert!(cannot.contains("veth") || cannot.contains("cannot make its lamp"), "{cannot}");
            assert!(cannot.contains("pull its cable"), "{cannot}");
            assert!(blink("nothing0", 5).unwrap_err().contains("there is no ethernet port"));
        });
    }
}
