//! Setup files for a box that is configured already.

use serde::Serialize;

/// Who may set a configured box up anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SetupConfig {
    /// The Ed25519 key that must have signed a setup file: 32 octets in base64. None: no file is
    /// taken.
    pub key: Option<String>,
}
