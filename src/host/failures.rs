//! Units that failed: written down when systemd starts `postern failure` (`OnFailure=`), told to
//! the journal and to whoever stands before the machine, and read for the status.
//!
//! One record for each unit, in a folder that ends with the boot.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::time::WallTime;

/// Where the records are (`RuntimeDirectory=` of postern-failure@.service).
pub const FOLDER: &str = "/run/postern-failures";

/// Where the journal takes entries with fields.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// `journalctl MESSAGE_ID=5b0d9c1e3f6a4c4f9a0e7706f7374657` finds them all.
const MESSAGE_ID: &str = "5b0d9c1e3f6a4c4f9a0e7706f7374657";

/// Critical (RFC 5424 section 6.2.1): somebody should look at it now.
const PRIORITY: u8 = 2;

/// A record is a line; what is longer was not written by us.
const RECORD_OCTETS_MAX: u64 = 4096;

/// A failed unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its name, with its type.
    pub unit: String,
    /// What systemd calls it: `exit-code`, `signal`, `watchdog`, `timeout`, `oom-kill`, ...
    pub result: String,
    /// The exit code or the signal; empty if systemd did not say.
    pub status: String,
    /// When it failed last.
    pub at: WallTime,
    /// How often since the boot.
    pub count: u64,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { unit, result, status, at, count } = self;
        write!(f, "the unit {unit} failed at {at}: {result}")?;
        if !status.is_empty() {
            write!(f, " ({status})")?;
        }
        if *count > 1 { write!(f, ", {count} times since the boot") } else { Ok(()) }
    }
}

/// What systemd tells of a failure by the environment (systemd.exec(5), `MONITOR_*`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    /// `MONITOR_SERVICE_RESULT`.
    pub result: Option<String>,
    /// `MONITOR_EXIT_STATUS`.
    pub status: Option<String>,
}

impl Monitor {
    /// That of this process.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| is_word(value));
        Self { result: variable("MONITOR_SERVICE_RESULT"), status: variable("MONITOR_EXIT_STATUS") }
    }
}

/// A word of systemd's, and nothing that a line could be broken with.
fn is_word(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// A name of a unit, which is the name of its record, too.
fn is_unit(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    let kind = name.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && is_word(kind));
    kind && name.len() <= 255 && !name.starts_with('.') && name.bytes().all(legal)
}

/// Writes down in `folder` that `unit` failed.
///
/// # Errors
/// It is no name of a unit, or the record cannot be written.
pub fn record(folder: &Path, unit: &str, monitor: Monitor, at: WallTime) -> Result<Failure, Fault> {
    let doing = "writing down the failure of";
    if !is_unit(unit) {
        return Err(Fault::new(doing, unit.escape_debug(), "that is no name of a unit"));
    }
    let fault = |error: std::io::Error| Fault::new(doing, unit, error);
    let path = folder.join(unit);
    let failure = Failure {
        unit: unit.to_owned(),
        result: monitor.result.unwrap_or_else(|| "failed".to_owned()),
        status: monitor.status.unwrap_or_default(),
        at,
        count: read(&path).map_or(0, |before| before.count).saturating_add(1),
    };
    let text = serde_json::to_string(&failure).map_err(|e| Fault::new(doing, unit, e))?;
    fs::create_dir_all(folder).map_err(fault)?;
    // A reader sees the old record or the new one. A dot keeps the draft from being read.
    let draft = folder.join(format!(".{unit}"));
    fs::write(&draft, text + "\n").map_err(fault)?;
    fs::rename(&draft, &path).map_err(fault)?;
    Ok(failure)
}

/// What failed since the boot, the newest first; nothing where there is no such folder.
#[must_use]
pub fn recorded(folder: &Path) -> Vec<Failure> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let ours = entries.flatten().filter(|entry| is_unit(&entry.file_name().to_string_lossy()));
    let mut found: Vec<Failure> = ours.filter_map(|entry| read(&entry.path())).collect();
    found.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.unit.cmp(&other.unit)));
    found
}

fn read(path: &Path) -> Option<Failure> {
    let kind = fs::symlink_metadata(path).ok()?;
    if !kind.is_file() || kind.len() > RECORD_OCTETS_MAX {
        return None;
    }
    let failure: Failure = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    let whole = is_unit(&failure.unit)
        && is_word(&failure.result)
        && (failure.status.is_empty() || is_word(&failure.status));
    whole.then_some(failure)
}

/// Tells the journal, with fields to search by.
///
/// # Errors
/// There is no journal, or it does not take it.
pub fn tell_journal(failure: &Failure) -> Result<(), Fault> {
    let tell = || -> std::io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.send_to(entry(failure).as_bytes(), JOURNAL).map(|_| ())
    };
    tell().map_err(|error| Fault::new("telling", "the journal", error))
}

/// An entry in the journal's own form: a field a line. No value has a line break.
fn entry(failure: &Failure) -> String {
    let Failure { unit, result, status, count, .. } = failure;
    format!(
        "MESSAGE={failure}\nPRIORITY={PRIORITY}\nMESSAGE_ID={MESSAGE_ID}\n\
         SYSLOG_IDENTIFIER=postern\nPOSTERN_EVENT=unit_failed\nPOSTERN_UNIT={unit}\n\
         POSTERN_RESULT={result}\nPOSTERN_EXIT_STATUS={status}\nPOSTERN_COUNT={count}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        WallTime::parse_rfc3339(text).unwrap()
    }

    fn monitor(result: &str, status: &str) -> Monitor {
        Monitor { result: Some(result.to_owned()), status: Some(status.to_owned()) }
    }

    #[test]
    fn failures_are_counted_and_the_newest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        assert_eq!(recorded(&folder), []);
        let (one, two) = ("postern-egress.service", "var-lib-postern.mount");
        let early = at("2026-11-28T10:00:00Z");
        record(&folder, one, monitor("signal", "ABRT"), early).unwrap();
        record(&folder, two, Monitor::default(), at("2026-11-28T11:00:00Z")).unwrap();
        let last = at("2026-11-28T12:00:00Z");
        let told = record(&folder, one, monitor("exit-code", "1"), last).unwrap();
        assert_eq!(
            told.to_string(),
            format!("the unit {one} failed at {last}: exit-code (1), 2 times since the boot")
        );
        let found = recorded(&folder);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], told);
        assert_eq!((found[1].unit.as_str(), found[1].result.as_str()), (two, "failed"));
        let entry = entry(&told);
        assert!(entry.lines().all(|line| line.contains('=')), "{entry}");
        assert!(entry.contains("\nPRIORITY=2\n") && entry.contains("\nPOSTERN_RESULT=exit-code\n"));
    }

    #[test]
    fn nothing_but_names_of_units_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-11-28T10:00:00Z");
        for name in ["../x.service", "a\nb.service", "", ".service", ".x.service", "x", "a/b.mount"]
        {
            assert!(record(folder.path(), name, Monitor::default(), now).is_err(), "{name:?}");
        }
        record(folder.path(), "a@tty1.service", Monitor::default(), now).unwrap();
        fs::write(folder.path().join("b.service"), "nonsense").unwrap();
        let wicked = r#"{"unit":"c.service","result":"x\ny","status":"","at":0,"count":1}"#;
        fs::write(folder.path().join("c.service"), wicked).unwrap();
        assert_eq!(recorded(folder.path()).len(), 1);
    }
}
