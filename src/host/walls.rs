//! Which walls the kernel has drawn around this process.

/// What the process has of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// No interface but loopback: an empty namespace.
    Empty,
    /// Interfaces of the machine.
    Shared,
    /// It cannot be seen.
    Unknown,
}

/// What this process has of a network. The unit may forbid netlink, so the kernel's list in `/proc`
/// is read, which shows the reader's own namespace.
#[must_use]
pub fn network() -> Network {
    match std::fs::read_to_string("/proc/self/net/dev") {
        Ok(table) => network_of(&table),
        Err(_) => Network::Unknown,
    }
}

/// Two lines of heading, then a line for each interface, which begins with its name and a colon.
fn network_of(table: &str) -> Network {
    let names = table.lines().skip(2).filter_map(|line| line.split_once(':'));
    let names: Vec<&str> = names.map(|(name, _)| name.trim()).collect();
    match names.as_slice() {
        // Every namespace has a loopback interface.
        [] => Network::Unknown,
        ["lo"] => Network::Empty,
        _ => Network::Shared,
    }
}

/// The process has no network interface but loopback: an empty namespace.
#[must_use]
pub fn network_is_empty() -> bool {
    network() == Network::Empty
}

/// Which rights this process has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// It and its children can gain no right.
    pub no_new: bool,
    /// It has no capability, and can have none.
    pub none: bool,
    /// Its system calls are filtered.
    pub filtered: bool,
}

/// Which rights this process has left; none: it cannot be seen.
#[must_use]
pub fn confinement() -> Option<Confinement> {
    confinement_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn confinement_of(status: &str) -> Option<Confinement> {
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix(':')).map(str::trim)
    };
    let empty = |name: &str| value(name).map(|set| set.bytes().all(|digit| digit == b'0'));
    Some(Confinement {
        no_new: value("NoNewPrivs")? == "1",
        none: empty("CapEff")? && empty("CapPrm")? && empty("CapBnd")?,
        // 2 is SECCOMP_MODE_FILTER; a kernel without it has no such line.
        filtered: value("Seccomp").is_some_and(|mode| mode == "2"),
    })
}

/// The release of the kernel, as `uname -r` has it.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The process may do everything.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Secrets of this process never land in a core file, and no other process of the user may read
/// its memory.
pub fn seal_memory() {
    // Refused only by kernels older than any that we run on; nothing depends on it.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Raises the limit of open descriptors to what the system allows: each connection needs one.
pub fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Ceilings follow the limit, so a refusal costs room, not correctness.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_alone_is_no_network() {
        let head = "Inter-|   Receive\n face |bytes    packets\n";
        let line = |name: &str| format!("{name}:  12  1 0 0 0 0 0 0 12 1 0 0 0 0 0 0\n");
        let table = |names: &[&str]| names.iter().fold(head.to_owned(), |all, n| all + &line(n));
        assert_eq!(network_of(&table(&["    lo"])), Network::Empty);
        assert_eq!(network_of(&table(&["    lo", "egress0"])), Network::Shared);
        assert_eq!(network_of(&table(&[])), Network::Unknown);
        assert_eq!(network_of(""), Network::Unknown);
        assert_ne!(network(), Network::Unknown);
    }

    #[test]
    fn rights_are_read_from_the_status() {
        let status = |set: &str, new: &str| {
            format!(
                "Name:\tx\nCapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\n\
                 NoNewPrivs:\t{new}\nSeccomp:\t2\n"
            )
        };
        let none = confinement_of(&status("0000000000000000", "1")).unwrap();
        assert_eq!(none, Confinement { no_new: true, none: true, filtered: true });
        let some = confinement_of(&status("0000000000000400", "0")).unwrap();
        assert_eq!(some, Confinement { no_new: false, none: false, filtered: true });
        assert_eq!(confinement_of("Name:\tx\n"), None);
        assert!(confinement().is_some());
    }
}
