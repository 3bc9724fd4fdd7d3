//! What the daemon does for the health gate: its key, and what the gate must know.
//!
//! The key is nobody's but the gate's and worth nothing elsewhere, so it is made here, and made
//! anew when it cannot be used: a damaged key of a check must never keep real mail from running.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::base::fault::Fault;
use crate::config::checked::{Config, DkimKey};
use crate::control::health::GateRow;
use crate::mail::gate;
use crate::sign::keys::{DnsRecord, generate};

/// The gate's key among those of the configuration.
fn key(config: &Config) -> Option<&DkimKey> {
    config.health?;
    config.dkim.iter().find(|key| key.domain.as_str() == gate::DOMAIN)
}

/// Makes the gate's key if there is a gate and its key is missing or cannot be used.
///
/// # Errors
/// It cannot be made or written.
pub(super) fn prepare(config: &Config) -> Result<(), Fault> {
    let Some(key) = key(config) else { return Ok(()) };
    if fs::read(&key.file).is_ok_and(|pem| DnsRecord::of(key, &pem).is_ok()) {
        return Ok(());
    }
    let pem = generate(key.algorithm)?;
    write(&key.file, pem.expose().as_bytes())
        .map_err(|cause| Fault::new("writing", key.file.display(), cause))
}

/// Beside it and renamed: a cut leaves the old key or the new one.
fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// What the gate must know: where to submit, where to wait, and what the signature must verify
/// with. The key is read from its file, so that what signs is held against what is stored.
pub(super) fn row(config: &Config) -> Option<GateRow> {
    let (health, key) = (config.health?, key(config)?);
    let record = fs::read(&key.file)
        .map_err(|cause| format!("{}: {cause}", key.file.display()))
        .and_then(|pem| DnsRecord::of(key, &pem));
    let (record, trouble) = match record {
        Ok(record) => (Some(record.value), None),
        Err(trouble) => (None, Some(trouble)),
    };
    Some(GateRow { sink: health.sink, record, trouble })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Anywhere, read};

    fn config(folder: &Path) -> Config {
        let text = format!(
            "version = 1\nhostname = \"gw.example.org\"\nlab = true\n\
             [spool]\npath = \"{}\"\n\
             [listener.in]\naddress = \"127.0.0.1:0\"\nkind = \"smtp\"\n\
             clear_text = true\nnetwork_sources = true\n\
             [source.net]\nproof = \"network\"\nnetworks = [\"10.0.0.0/8\"]\nunsigned = \"allow\"\n\
             pairs = [{{ reverse_path = \"*@example.org\", from = \"*@example.org\" }}]\n\
             [egress.main]\nipv4 = \"127.0.0.1\"\n[health]\nenabled = true\n",
            folder.display()
        );
        read(&text, &Anywhere).unwrap().config
    }

    #[test]
    fn a_key_is_made_kept_and_made_anew_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        prepare(&config).unwrap();
        let first = row(&config).unwrap().record.unwrap();
        prepare(&config).unwrap();
        assert_eq!(row(&config).unwrap().record.as_ref(), Some(&first));
        fs::write(folder.path().join("health.pem"), "nonsense").unwrap();
        assert!(row(&config).unwrap().trouble.unwrap().contains("no PEM key"));
        prepare(&config).unwrap();
        assert_ne!(row(&config).unwrap().record.unwrap(), first);
    }

    #[test]
    fn without_a_gate_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path()).outward().into_owned();
        assert_eq!((config.listeners.len(), config.egresses.len()), (1, 1));
        prepare(&config).unwrap();
        assert!(row(&config).is_none() && !folder.path().join("health.pem").exists());
    }
}
