//! `postern key generate|dns` and `postern spool salvage`: files in, files out.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use super::args::KeyArguments;
use super::{Ending, complain, print};
use crate::config::checked::DkimKey;
use crate::sign::keys::{self, DnsRecord};
use crate::store::salvage::salvage;

/// Makes a key, writes it to a file that must not exist yet, and prints what to publish.
pub(super) fn generate(arguments: &KeyArguments, json: bool) -> Ending {
    let key = key_of(arguments);
    let made = keys::generate(key.algorithm).map_err(|fault| fault.to_string());
    let written = made.and_then(|pem| {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&key.file)
            .and_then(|mut file| {
                file.write_all(pem.expose().as_bytes())?;
                file.sync_all()
            });
        file.map_err(|e| format!("{}: {e}", key.file.display()))?;
        DnsRecord::of(&key, pem.expose().as_bytes())
    });
    show(&key, written, json)
}

/// Prints what to publish for a key that exists.
pub(super) fn dns(arguments: &KeyArguments, json: bool) -> Ending {
    let key = key_of(arguments);
    let read = std::fs::read(&key.file).map_err(|e| format!("{}: {e}", key.file.display()));
    show(&key, read.and_then(|pem| DnsRecord::of(&key, &pem)), json)
}

fn key_of(arguments: &KeyArguments) -> DkimKey {
    DkimKey {
        domain: arguments.domain.clone(),
        selector: arguments.selector.clone(),
        algorithm: arguments.algorithm,
        file: arguments.file.clone(),
    }
}

fn show(key: &DkimKey, record: Result<DnsRecord, String>, json: bool) -> Ending {
    match record {
        Ok(record) if json => {
            let shown = json!({ "name": record.name, "value": record.value, "file": key.file });
            print(&format!("{shown:#}\n"));
            Ending::Done
        }
        Ok(record) => {
            print(&format!("; publish this, then name {} under [[dkim]]\n", key.file.display()));
            print(&format!("{}\n", record.zone_line()));
            Ending::Done
        }
        Err(problem) => {
            complain(&problem);
            Ending::Failed
        }
    }
}

/// Writes every message that can still be read in a spool to a folder.
pub(super) fn salvage_spool(folder: &Path, out: &Path, json: bool) -> Ending {
    match salvage(folder, out) {
        Ok(found) => {
            let shown = json!({
                "files": found.files,
                "messages": found.messages,
                "complete": found.complete,
                "damaged": found.damaged,
                "lost": found.lost,
            });
            print(&if json {
                format!("{shown:#}\n")
            } else {
                format!(
                    "{} files read: {} messages written to {} ({} of them damaged), {} were \
                     complete, {} records could not be read\n",
                    found.files,
                    found.messages,
                    out.display(),
                    found.damaged,
                    found.complete,
                    found.lost
                )
            });
            if found.damaged == 0 && found.lost == 0 { Ending::Done } else { Ending::Failed }
        }
        Err(fault) => {
            complain(&fault.to_string());
            Ending::Failed
        }
    }
}
