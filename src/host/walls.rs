//! Which walls the kernel has drawn around this process.

/// The process has no network interface but loopback: an empty namespace.
#[must_use]
pub fn network_is_empty() -> bool {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return false };
    !interfaces.into_iter().any(|interface| interface.interface_name != "lo")
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
