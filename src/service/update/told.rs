//! Facts about updates, told by a process that lives for one command.

use std::path::Path;

use crate::event::Event;
use crate::event::herald::Herald;
use crate::event::journal::{install, write_all};
use crate::host::clock;
use crate::update::state::News;
use crate::update::version::Version;

/// A step forward or back.
pub(super) fn moved(version: &Version, state: &str, reason: &str) {
    let (version, state) = (version.to_string(), state.to_owned());
    tell(Event::UpdateMoved { version, state, reason: reason.to_owned() });
}

/// Nothing came of it.
pub(super) fn failed(reason: &str) {
    let (version, state) = (String::new(), "failed".to_owned());
    tell(Event::UpdateMoved { version, state, reason: reason.to_owned() });
}

/// What `settle` found.
pub(super) fn news(news: &News) {
    match news {
        News::Interrupted { version, at } => {
            moved(version, "failed", &format!("interrupted when it was {at}"));
        }
        News::Healthy { version, from } => moved(version, "healthy", &format!("after {from}")),
        News::RolledBack { version, to, reason } => {
            moved(version, "rolled-back", &format!("{to} runs again: {reason}"));
        }
        News::NotBegun { version } => {
            moved(version, "staged", "the restart was cut short before it was tried");
        }
    }
}

/// To the journal where there is one; people at a terminal read what the command prints.
fn tell(event: Event) {
    if !Path::new("/run/systemd/journal/socket").exists() {
        return;
    }
    install(true);
    let herald = Herald::new(clock::wall);
    herald.attach(Box::new(|told| {
        write_all([&**told]);
        true
    }));
    herald.tell(event);
}
