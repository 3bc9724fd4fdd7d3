//! What whoever stands before the machine is told while the disks are made ready: nothing else runs
//! yet that could show it.

use std::io::Write;

use super::Places;
use crate::host::consoles::{self, For};

/// Tells it on every console, and the journal.
pub(super) fn say(places: &Places, text: &str) {
    eprintln!("postern disks: {text}");
    show(places, &format!("  {text}"));
}

/// Shows it on every console and nowhere else: the journal keeps no secrets.
pub(super) fn show(places: &Places, text: &str) {
    let text = text.replace('\n', "\r\n");
    for mut console in consoles::open(&places.root, For::Saying) {
        let _nobody_there = write!(console, "\r\n{text}\r\n");
    }
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
