//! Where updates come from, and when they are put in force.

use super::super::Surroundings;
use super::super::checked::{UpdateConfig, UpdateUrl, Window};
use super::super::file::Section;
use super::gateway::readable;
use super::{PLAIN_NAME, absolute, plain_name};

/// What the document says about updates.
pub(super) fn updates(top: &mut Section<'_>, surroundings: &dyn Surroundings) -> UpdateConfig {
    let mut updates = UpdateConfig::default();
    let Some(mut section) = top.find("updates").and_then(|entry| entry.section()) else {
        return updates;
    };
    let remedy =
        "Write the folder of a server, for example \"https://updates.example.com/postern/\"";
    updates.url = section.parsed("url", remedy, UpdateUrl::parse);
    let channel = section.parsed("channel", PLAIN_NAME, |text| {
        if plain_name(text) { Ok(text.to_owned()) } else { Err("is no plain name".to_owned()) }
    });
    updates.channel = channel.unwrap_or(updates.channel);
    let remedy = "Write two times of day in UTC, for example \"02:00-04:00\"";
    updates.window = section.parsed("window", remedy, Window::parse);
    let remedy = "Write the path of a PEM file with certificates of authorities";
    updates.roots = section.parsed("roots", remedy, absolute);
    readable(&mut section, "roots", updates.roots.as_deref(), surroundings);
    section.close();
    updates
}
