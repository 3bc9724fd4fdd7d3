//! Checks of ways out as text, and statements about them as files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Ending, complain, print};
use crate::control::check::{EgressCheck, Grade};
use crate::event::harmless;
use crate::sign::statement::{Signed, public_key, verify};

/// A key on the command line is shorter than this; a path may be longer.
const KEY_TEXT: usize = 44;

/// Findings as lines: grade, what, in words; below it the remedy.
pub(super) fn text(checks: &[EgressCheck]) -> String {
    let mut text = String::new();
    for check in checks {
        let device = check.device.as_deref().unwrap_or("any interface");
        let head = format!(
            "egress {} ({device}, {}, EHLO {}), {}",
            check.egress,
            check.addresses.join(", "),
            check.ehlo,
            check.at
        );
        text += &(harmless(&head) + "\n");
        for finding in &check.findings {
            let grade = finding.grade.to_string();
            let line = format!("  {grade:<7}  {:<8} {}", finding.item, finding.text);
            text += &(harmless(line.trim_end()) + "\n");
            if let Some(remedy) = finding.remedy.as_ref().filter(|remedy| !remedy.is_empty()) {
                text += &(harmless(&format!("           -> {remedy}")) + "\n");
            }
        }
        let count = |grade| check.count(grade);
        let sums = [Grade::Pass, Grade::Warn, Grade::Fail, Grade::Unknown].map(count);
        let [passed, warned, failed, unknown] = sums;
        let _ = writeln!(
            text,
            "  {passed} passed, {warned} to mind, {failed} failed, {unknown} not known"
        );
    }
    text
}

/// Whether nothing has failed.
pub(super) fn ending(checks: &[EgressCheck]) -> Ending {
    let failed = checks.iter().any(|check| check.worst() == Grade::Fail);
    if failed { Ending::Failed } else { Ending::Done }
}

/// Writes a statement to a file, or to standard output.
pub(super) fn deliver(signed: &Signed, out: Option<&PathBuf>) -> Ending {
    let text = serde_json::to_string_pretty(signed).unwrap_or_default() + "\n";
    let Some(path) = out else {
        print(&text);
        return Ending::Done;
    };
    if let Err(cause) = std::fs::write(path, text) {
        complain(&format!("{}: {cause}", path.display()));
        return Ending::Failed;
    }
    print(&format!("{}: signed with the key {}\n", path.display(), signed.public_key));
    Ending::Done
}

/// `postern egress attest --verify FILE [--key KEY]`.
pub(super) fn verify_file(path: &Path, key: Option<&str>, json: bool) -> Ending {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) => {
            complain(&format!("{}: {cause}", path.display()));
            return Ending::Failed;
        }
    };
    let key = match key.map(key_of).transpose() {
        Ok(key) => key,
        Err(why) => {
            complain(&format!("--key: {why}"));
            return Ending::Wrong;
        }
    };
    let parsed = serde_json::from_str::<Signed>(&text);
    let judged = parsed.map_err(|cause| format!("is no statement: {cause}")).and_then(|signed| {
        verify(&signed, key.as_deref())?;
        Ok(signed)
    });
    match judged {
        Ok(signed) => {
            said(&signed, key.is_some(), json);
            Ending::Done
        }
        Err(why) => {
            if json {
                print(&format!("{:#}\n", json!({ "good": false, "why": why })));
            } else {
                print(&(harmless(&format!("BAD: {why}")) + "\n"));
            }
            Ending::Failed
        }
    }
}

/// A key as it was typed, or the file that has it.
fn key_of(text: &str) -> Result<Vec<u8>, String> {
    match public_key(text) {
        Ok(key) => Ok(key),
        Err(why) => {
            let file = std::fs::read_to_string(text);
            let other = if text.len() == KEY_TEXT { why } else { format!("{text}: no such file") };
            public_key(&file.map_err(|_| other)?)
        }
    }
}

fn said(signed: &Signed, known: bool, json: bool) {
    let statement = &signed.statement;
    if json {
        let good = json!({ "good": true, "signer_known": known, "statement": statement });
        print(&format!("{good:#}\n"));
        return;
    }
    let field = |name: &str| statement.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
    let whose = if known {
        "by the key that you gave".to_owned()
    } else {
        format!("by {}: compare it with the gateway's, or give it with --key", signed.public_key)
    };
    let head = format!("good: {} stated at {}, signed {whose}", field("gateway"), field("time"));
    print(&(harmless(&head) + "\n"));
    let egresses = statement.get("egresses").cloned().unwrap_or_default();
    match serde_json::from_value::<Vec<EgressCheck>>(egresses) {
        Ok(checks) => print(&text(&checks)),
        Err(cause) => complain(&format!("what it states is of another version: {cause}")),
    }
}
