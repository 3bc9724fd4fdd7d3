//! The kernel's consoles, for what is said and asked while nothing else of ours runs.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a console is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Something is said.
    Saying,
    /// Something is asked.
    Asking,
}

/// Each console of the machine below `root` that can be opened: the screen and the serial lines.
/// /dev/console is only the last of them (Documentation/admin-guide/serial-console.rst).
#[must_use]
pub fn open(root: &Path, wanted: For) -> Vec<File> {
    let active = root.join("sys/class/tty/console/active");
    let text = fs::read_to_string(active).unwrap_or_default();
    let mut names: Vec<&str> = text.split_ascii_whitespace().collect();
    if names.is_empty() {
        names.push("console");
    }
    let open = |name: &str| {
        OpenOptions::new()
            .read(wanted == For::Asking)
            .append(true)
            // It must not become the terminal that this process is ended by.
            .custom_flags(nix::libc::O_NOCTTY)
            .open(root.join("dev").join(name))
    };
    names.into_iter().filter_map(|name| open(name).ok()).collect()
}
