//! `[setup]`: who may set a configured box up anew.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::checked::SetupConfig;
use super::super::file::Section;

/// What stands before the 32 octets of an Ed25519 key in a `PUBLIC KEY` (RFC 8410 section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// The section.
pub(super) fn setup(top: &mut Section<'_>) -> SetupConfig {
    let mut setup = SetupConfig::default();
    let Some(mut section) = top.find("setup").and_then(|entry| entry.section()) else {
        return setup;
    };
    let remedy = "Write an Ed25519 public key: base64 of its 32 octets, or the letters between \
                  the lines of its PEM file";
    setup.key = section.parsed("key", remedy, key);
    section.close();
    setup
}

fn key(text: &str) -> Result<String, String> {
    let octets = STANDARD.decode(text.trim()).map_err(|_| "is no base64".to_owned())?;
    let key = octets.strip_prefix(&SPKI_HEAD).unwrap_or(&octets);
    if key.len() == 32 { Ok(STANDARD.encode(key)) } else { Err("is no Ed25519 key".to_owned()) }
}
