//! The console as the configuration wants it.

use serde::Serialize;

/// Codes of the languages that the console speaks.
pub const CONSOLE_LANGUAGES: [&str; 4] = ["en", "de", "es", "fr"];

/// The console.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsoleConfig {
    /// Who has not logged in sees only whether the box is healthy.
    pub privacy: bool,
    /// The language; none: English.
    pub language: Option<String>,
}
