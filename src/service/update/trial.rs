//! A trial boot: the mark that the gateway heeds, what the health check leaves, the restart.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::fault::Fault;
use crate::control::health::BEFORE;
use crate::event::harmless;
use crate::host::durable::remove;
use crate::host::slots::machine::Places;
use crate::spool::past::WRITES;
use crate::update::promise::written;
use crate::update::state::{Seen, State};
use crate::update::version::Version;

/// Where the mark of a trial boot is.
const MARK: &str = "trial.json";

/// The mark lives until the next boot, in a folder that everybody may read.
const MARK_PATH: &str = "/run/postern-host/trial.json";

/// Characters of a reason from the health check.
const REASON_CHARS_MAX: usize = 300;

/// Findings of the health check that are repeated.
const FINDINGS_MAX: usize = 4;

/// This boot is a trial: the gateway writes nothing that the old version cannot read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The version on trial.
    pub version: Version,
    /// The newest spool format that may be written.
    pub spool_format: u8,
}

/// The mark of this boot, if it is a trial.
///
/// # Errors
/// There is one, and it cannot be read: then nothing is known about what may be written.
pub fn mark() -> Result<Option<Mark>, Fault> {
    read_mark(Path::new(MARK_PATH))
}

fn read_mark(path: &Path) -> Result<Option<Mark>, Fault> {
    let fault = |cause: String| Fault::new("reading", path.display(), cause);
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error.to_string())),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| fault(error.to_string()))
}

/// Writes the mark while the running version is on trial, and takes it away when it is not.
pub(super) fn write_mark(places: &Places, state: &State, seen: &Seen) -> Result<(), Fault> {
    let path = places.run.join(MARK);
    let fault = |error: std::io::Error| Fault::new("writing", path.display(), error);
    let on_trial = match state {
        State::Trial(trial) if trial.release().version == seen.running => Some(trial.release()),
        _ => None,
    };
    let Some(release) = on_trial else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fault(error)),
            _ => Ok(()),
        };
    };
    let (version, spool_format) = (release.version.clone(), release.spool_format);
    let text = serde_json::to_string(&Mark { version, spool_format }).unwrap_or_default();
    fs::create_dir_all(&places.run).map_err(fault)?;
    let part = path.with_extension("part");
    fs::write(&part, text + "\n").map_err(fault)?;
    // The gateway's user reads it, whatever the mask of this process is.
    fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).map_err(fault)?;
    fs::rename(&part, &path).map_err(fault)
}

/// The spool format that the gateway writes in this boot.
///
/// # Errors
/// The boot is a trial, and this program can write nothing so old; or its mark cannot be read.
pub fn spool_format() -> Result<u8, Fault> {
    agreed(mark()?.map(|mark| mark.spool_format))
}

fn agreed(limit: Option<u8>) -> Result<u8, Fault> {
    written(&WRITES, limit).map_err(|why| Fault::new("choosing", "the format of the spool", why))
}

/// Why the health check of `version` failed, in its own words.
pub(super) fn failure(path: &Path, version: &Version) -> Option<String> {
    let report: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    if report.get("version").and_then(Value::as_str) != Some(version.to_string().as_str()) {
        return None;
    }
    let findings = report.get("findings")?.as_array()?;
    let word = |finding: &Value, key: &str| {
        finding.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let failed: Vec<String> = findings
        .iter()
        .filter(|finding| word(finding, "verdict") == "fail")
        .take(FINDINGS_MAX)
        .map(|finding| format!("{}: {}", word(finding, "check"), word(finding, "text")))
        .collect();
    if failed.is_empty() {
        return None;
    }
    Some(harmless(&failed.join("; ")).chars().take(REASON_CHARS_MAX).collect())
}

/// Has the health check write down what works now. What an earlier trial was held against goes
/// first: a trial is held against what worked just before it, or against nothing.
///
/// # Errors
/// What was written down earlier cannot be removed.
pub(super) fn remember_health(places: &Places, tell: impl FnOnce(&str)) -> Result<(), Fault> {
    remove(&places.health.with_file_name(BEFORE))?;
    if let Err(fault) = record_health(places) {
        tell(&format!("the health check will have nothing to compare with: {fault}"));
    }
    Ok(())
}

fn record_health(places: &Places) -> Result<(), Fault> {
    let fault = |cause: String| Fault::new("running", "postern health record", cause);
    let mut record = Command::new(&places.program);
    record.args(["health", "record"]).stdin(Stdio::null());
    if let Some(state) = places.health.ancestors().nth(2) {
        record.arg("--state").arg(state);
    }
    let ran = record.output().map_err(|error| fault(error.to_string()))?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    if ran.status.success() { Ok(()) } else { Err(fault(format!("{}: {said}", ran.status))) }
}

/// Has the service manager do something.
pub(super) fn systemctl(words: &[&str]) -> Result<(), Fault> {
    let fault = |cause: String| Fault::new("asking", "the service manager", cause);
    let ran = Command::new("/usr/bin/systemctl").args(words).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| fault(error.to_string()))?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    if ran.status.success() { Ok(()) } else { Err(fault(format!("{}: {said}", ran.status))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_cannot_be_read_is_no_leave() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MARK);
        assert_eq!(read_mark(&path), Ok(None));
        fs::write(&path, "{\"version\":\"1.1.0\",\"spool_format\":2}").unwrap();
        assert_eq!(read_mark(&path).unwrap().unwrap().spool_format, 2);
        fs::write(&path, "{}").unwrap();
        assert!(read_mark(&path).is_err());
    }

    #[test]
    fn during_a_trial_nothing_newer_is_written() {
        let newest = WRITES.iter().max().copied().unwrap();
        assert_eq!(agreed(None).unwrap(), newest);
        assert_eq!(agreed(Some(newest)).unwrap(), newest);
        let fault = agreed(Some(newest - 1)).unwrap_err().to_string();
        assert!(fault.contains("this program cannot"), "{fault}");
    }

    #[test]
    fn a_trial_is_never_held_against_what_worked_before_another() {
        let folder = tempfile::tempdir().unwrap();
        let before = folder.path().join("health").join(BEFORE);
        let health = folder.path().join("health/last.json");
        let program = "/bin/false".into();
        let places = Places { program, health, ..Places::default() };
        let mut said = String::new();
        remember_health(&places, |_| {}).unwrap();
        fs::create_dir_all(before.parent().unwrap()).unwrap();
        fs::write(&before, "{}").unwrap();
        remember_health(&places, |what| what.clone_into(&mut said)).unwrap();
        assert!(said.contains("nothing to compare with"), "{said}");
        assert!(!before.exists());
        // What cannot be removed would be believed.
        fs::create_dir_all(before.join("in the way")).unwrap();
        remember_health(&places, |_| {}).unwrap_err();
    }

    #[test]
    fn the_health_check_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.json");
        let version = "1.1.0".parse().unwrap();
        assert_eq!(failure(&path, &version), None);
        fs::write(
            &path,
            r#"{"version":"1.1.0","findings":[{"check":"units","verdict":"pass","text":"fine"},
                {"check":"mail","verdict":"fail","text":"no\nsignature"}]}"#,
        )
        .unwrap();
        assert_eq!(failure(&path, &"1.2.0".parse().unwrap()), None, "of another version");
        let said = failure(&path, &version).unwrap();
        assert!(said.starts_with("mail: no") && !said.contains('\n'), "{said}");
    }
}
