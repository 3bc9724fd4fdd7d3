//! What whoever stands before the machine is told while the disks are made ready: nothing else runs
//! yet that could show it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use super::Places;

/// Tells it on every console, and the journal.
pub(super) fn say(places: &Places, text: &str) {
    eprintln!("postern disks: {text}");
    show(places, &format!("  {text}"));
}

/// Shows it on every console and nowhere else: the journal keeps no secrets.
pub(super) fn show(places: &Places, text: &str) {
    let text = text.replace('\n', "\r\n");
    for name in names(places) {
        let device = places.under_root("/dev").join(name);
        // It must not become the terminal that this process is ended by.
        let flags = nix::libc::O_NOCTTY;
        let console = OpenOptions::new().append(true).custom_flags(flags).open(device);
        if let Ok(mut console) = console {
            let _nobody_there = write!(console, "\r\n{text}\r\n");
        }
    }
}

/// The kernel's consoles by name: `tty0` is the screen, /dev/console only the last of them
/// (Documentation/admin-guide/serial-console.rst of the kernel).
fn names(places: &Places) -> Vec<String> {
    let active = places.under_root("/sys/class/tty/console/active");
    let text = fs::read_to_string(active).unwrap_or_default();
    let mut names: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    if names.is_empty() {
        names.push("console".to_owned());
    }
    names
}

/// What happened at this boot that somebody should know.
#[derive(Debug, Default)]
pub(super) struct News(pub(super) Vec<String>);

impl News {
    /// Tells it now, and keeps it for `state.json`, from where the status has it.
    pub(super) fn tell(&mut self, places: &Places, text: String) {
        say(places, &text);
        self.0.push(text);
    }
}
