//! Verbs that need no daemon.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use serde_json::json;
use zeroize::Zeroizing;

use super::{Ending, complain, print};
use crate::base::limits::CREDENTIAL_OCTETS_MAX;
use crate::base::secret::Secret;
use crate::config::complaint::Complaint;
use crate::config::read;
use crate::event::harmless;
use crate::host::clock;
use crate::host::disk::{self, Disk};
use crate::host::failures::{self, Monitor};
use crate::source::{Strength, new_secret, verifier_for};
use crate::store::audit;

/// `postern config check FILE`.
pub(super) fn config_check(path: &Path, json: bool) -> Ending {
    let text = match disk::text(path) {
        Ok(text) => text,
        Err(fault) => {
            complain(&fault.to_string());
            return Ending::Wrong;
        }
    };
    let (complaints, warnings) = match read(&text, &Disk) {
        Ok(reading) => (Vec::new(), reading.warnings),
        Err(complaints) => (complaints, Vec::new()),
    };
    let good = complaints.is_empty();
    if json {
        let found = json!({ "good": good, "complaints": complaints, "warnings": warnings });
        print(&format!("{found:#}\n"));
    } else {
        print(&findings(&complaints, &warnings));
        let file = path.display();
        print(&match complaints.len() {
            0 => format!("{file}: good\n"),
            1 => format!("{file}: 1 complaint\n"),
            count => format!("{file}: {count} complaints\n"),
        });
    }
    if good { Ending::Done } else { Ending::Wrong }
}

/// `postern failure UNIT`: one line for whoever stands before the machine, which the unit's
/// `StandardOutput=` brings there, an entry in the journal, a record for the status.
pub(super) fn failure(unit: &str) -> Ending {
    let monitor = Monitor::of_environment();
    let failure = match failures::record(Path::new(failures::FOLDER), unit, monitor, clock::wall())
    {
        Ok(failure) => failure,
        Err(fault) => {
            complain(&fault.to_string());
            return Ending::Failed;
        }
    };
    print(&format!("postern: {failure}\n"));
    match failures::tell_journal(&failure) {
        Ok(()) => Ending::Done,
        Err(fault) => {
            complain(&fault.to_string());
            Ending::Failed
        }
    }
}

fn findings(complaints: &[Complaint], warnings: &[Complaint]) -> String {
    let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
    let lines = complaints.iter().map(ToString::to_string).chain(warnings);
    lines.map(|line| harmless(&line) + "\n").collect()
}

/// `postern source hash`.
pub(super) fn source_hash(generate: bool, json: bool) -> Ending {
    let password = if generate { new_secret().map_err(|e| e.to_string()) } else { typed() };
    let strength = if generate { Strength::Generated } else { Strength::Chosen };
    let made = password.and_then(|password| {
        let verifier = verifier_for(&password, strength).map_err(|fault| fault.to_string())?;
        Ok((password, verifier))
    });
    let (password, verifier) = match made {
        Ok(made) => made,
        Err(problem) => {
            complain(&problem);
            return Ending::Failed;
        }
    };
    let scram = verifier.scram_sha256.unwrap_or_default();
    if json {
        let mut lines = json!({ "argon2id": verifier.argon2id, "scram_sha256": scram });
        if generate {
            lines["password"] = json!(password.expose());
        }
        print(&format!("{lines:#}\n"));
        return Ending::Done;
    }
    if generate {
        // Not with the lines: those go into a file.
        complain(&format!("the password, shown this once: {}", password.expose()));
    }
    print(&format!(
        "[[source.NAME.password]]\nargon2id = \"{}\"\nscram_sha256 = \"{scram}\"\n",
        verifier.argon2id
    ));
    Ending::Done
}

/// The password from the first line of standard input.
fn typed() -> Result<Secret<String>, String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        complain("type the password and press Enter (it is shown; pipe it in to avoid that)");
    }
    let mut line = Zeroizing::new(String::new());
    let read = stdin.lock().take(4096).read_line(&mut line);
    read.map_err(|cause| format!("the password cannot be read: {cause}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    match password.len() {
        0 => Err("no password was given on standard input".to_owned()),
        length if length > CREDENTIAL_OCTETS_MAX => {
            Err(format!("a password has at most {CREDENTIAL_OCTETS_MAX} octets"))
        }
        _ => Ok(Secret::new(password.to_owned())),
    }
}

/// `postern audit verify --file PATH`.
pub(super) fn audit_verify(path: &Path, json: bool) -> Ending {
    if let Err(cause) = std::fs::metadata(path) {
        complain(&format!("{}: {cause}", path.display()));
        return Ending::Failed;
    }
    match audit::verify(path) {
        Ok(found) => {
            let shown = serde_json::to_string_pretty(&found).unwrap_or_default() + "\n";
            print(&if json { shown } else { super::view::verified(&found) });
            if found.good { Ending::Done } else { Ending::Failed }
        }
        Err(fault) => {
            complain(&fault.to_string());
            Ending::Failed
        }
    }
}
