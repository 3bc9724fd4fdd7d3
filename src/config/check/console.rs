//! `[console]`: how the console is seen by whoever stands before the machine.

use super::super::checked::{CONSOLE_LANGUAGES, ConsoleConfig};
use super::super::file::Section;

/// The section.
pub(super) fn console(top: &mut Section<'_>) -> ConsoleConfig {
    let mut console = ConsoleConfig::default();
    let Some(mut section) = top.find("console").and_then(|entry| entry.section()) else {
        return console;
    };
    console.privacy = section.flag("privacy");
    let remedy = "Write \"en\", \"de\", \"es\" or \"fr\"";
    if let Some(language) = section.parsed("language", remedy, code) {
        console.language = language;
    }
    section.close();
    console
}

fn code(text: &str) -> Result<String, String> {
    if CONSOLE_LANGUAGES.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err("is no language of the console".to_owned())
    }
}
