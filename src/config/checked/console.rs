//! The console as the configuration wants it.

use serde::Serialize;

/// Codes of the languages that the console speaks.
pub const CONSOLE_LANGUAGES: [&str; 4] = ["en", "de", "es", "fr"];

/// The console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsoleConfig {
    /// Who has not logged in sees only whether the box is healthy.
    pub privacy: bool,
    /// Code of its language.
    pub language: String,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { privacy: false, language: CONSOLE_LANGUAGES[0].to_owned() }
    }
}
