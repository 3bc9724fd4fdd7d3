//! A statement of what was verified, when and by whom, signed with a key of this gateway.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde_json::json;

use super::Checker;
use crate::base::fault::Fault;
use crate::config::checked::{Config, DkimAlgorithm};
use crate::config::show;
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::office::Done;
use crate::host::{clock, walls};
use crate::sign::keys::generate;
use crate::sign::statement::{Signed, sign};

/// The key that is made in the spool's folder if the configuration names none.
const KEY_FILE: &str = "attest.pem";

impl Checker {
    /// Checks one egress or all, and signs what was found.
    ///
    /// # Errors
    /// There is no such egress, or the key cannot be read or made.
    pub(in crate::service) async fn attest(&self, egress: Option<&str>) -> Done<Signed> {
        let config = self.standing.load().config.clone();
        // The key first: a check of a minute that cannot be signed helps nobody.
        let path = config.checks.key.clone().unwrap_or_else(|| config.spool.path.join(KEY_FILE));
        let make = config.checks.key.is_none();
        let read = tokio::task::spawn_blocking(move || key(&path, make)).await;
        let pem = read.map_err(|error| Trouble::new(TroubleKind::Fault, error.to_string()))??;
        let egresses = self.check(egress, None).await?;
        let statement = json!({
            "kind": "postern-egress-attestation",
            "version": 1,
            "gateway": config.hostname.as_str(),
            "time": clock::wall().rfc3339(),
            "program": env!("CARGO_PKG_VERSION"),
            "configuration_sha256": configuration_digest(&config),
            "laboratory": config.lab,
            "system": {
                "kernel": walls::kernel_release(),
                "own_network_is_empty": walls::network_is_empty(),
                "runs_as_root": walls::is_root(),
            },
            "egresses": egresses,
        });
        let fault = |why: String| Trouble::new(TroubleKind::Fault, format!("signing: {why}"));
        sign(&pem, statement).map_err(fault)
    }
}

/// The digest of all settings, as `config show` has them: without secrets.
fn configuration_digest(config: &Config) -> String {
    let mut text = String::new();
    for (key, value) in show::settings(config) {
        let _ = writeln!(text, "{key} = {value}");
    }
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let mut letters = String::new();
    for octet in digest.as_ref() {
        let _ = write!(letters, "{octet:02x}");
    }
    letters
}

/// The key at `path`; with `make`, a new one if there is none, for our eyes only.
fn key(path: &Path, make: bool) -> Result<Vec<u8>, Fault> {
    let fault =
        |cause: io::Error| Fault::new("reading the key of statements", path.display(), cause);
    match fs::read(path) {
        Err(cause) if make && cause.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(fault),
    }
    let pem = generate(DkimAlgorithm::Ed25519Sha256)?;
    let pem = pem.expose().as_bytes();
    // Whole or not at all: two statements at once must not sign with two keys.
    let fresh = PathBuf::from(format!("{}.new", path.display()));
    let written = (|| {
        let _leftover = fs::remove_file(&fresh);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(pem)?;
        file.sync_all()?;
        fs::hard_link(&fresh, path)
    })();
    let _gone = fs::remove_file(&fresh);
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
            Err(Fault::new("making the key of statements", path.display(), cause))
        }
        _ => fs::read(path).map_err(fault),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_our_eyes_only() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(KEY_FILE);
        assert!(key(&path, false).is_err());
        let first = key(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(key(&path, true).unwrap(), first);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        sign(&first, json!({"a": 1})).unwrap();
    }
}
