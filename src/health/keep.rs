//! What is kept: the last result, what worked before an update, and whether this boot is a trial.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::relative::Before;
use crate::control::health::{BEFORE, HealthReport};

/// The mark of a trial boot.
const TRIAL: &str = "/run/postern-host/trial.json";
const FOLDER: &str = "health";
const LAST: &str = "last.json";
/// Is there while a version on trial has failed its gate: a unit may hang a restart on it.
const RETURN: &str = "return";

/// As JSON for people and programs.
pub(super) fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|cause| cause.to_string())
}

/// Keeps the result of a run. It holds nothing secret: consoles read it.
pub(super) fn keep(state: &Path, report: &HealthReport) -> Result<(), String> {
    put(state, LAST, report)
}

/// Leaves or takes away the mark that a version on trial has failed. Only a failed trial is left by
/// a restart; any other machine goes on and says what is wrong.
pub(super) fn mark(state: &Path, report: &HealthReport) -> Result<(), String> {
    let path = state.join(FOLDER).join(RETURN);
    let marked = if report.trial && !report.healthy {
        write(&path, format!("{}\n", report.line).as_bytes())
    } else {
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    };
    marked.map_err(|cause| format!("{}: {cause}", path.display()))
}

/// Keeps what works now.
pub(super) fn keep_before(state: &Path, before: &Before) -> Result<(), String> {
    put(state, BEFORE, before)
}

/// What was found last.
pub(super) fn last(state: &Path) -> Result<HealthReport, String> {
    get(state, LAST)
}

/// What worked before the update, if somebody wrote it down.
pub(super) fn before(state: &Path) -> Option<Before> {
    get(state, BEFORE).ok()
}

fn put(state: &Path, name: &str, value: &impl Serialize) -> Result<(), String> {
    let path = state.join(FOLDER).join(name);
    let text = json(value)?;
    write(&path, text.as_bytes()).map_err(|cause| format!("{}: {cause}", path.display()))
}

/// Beside it, flushed and renamed: the next boot reads the old one or the new one.
fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let beside = path.with_extension("new");
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

fn get<T: DeserializeOwned>(state: &Path, name: &str) -> Result<T, String> {
    let path = state.join(FOLDER).join(name);
    let text = fs::read(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    serde_json::from_slice(&text).map_err(|cause| format!("{}: {cause}", path.display()))
}

/// Whether `running` is on trial: the record of updates says so and names it, or the mark is there.
/// When the boot loader has gone back already, the record names another version, and what runs is
/// the old one: it is no trial.
pub(super) fn trial(state: &Path, running: &str) -> bool {
    let record = fs::read(state.join("update/state.json")).ok();
    let record: Option<Value> = record.and_then(|text| serde_json::from_slice(&text).ok());
    match record.as_ref().and_then(|record| on_trial(record)) {
        Some(version) => version == running,
        None => Path::new(TRIAL).exists(),
    }
}

/// The version on trial, as the record of updates has it.
fn on_trial(record: &Value) -> Option<&str> {
    let state = record.pointer("/record/state")?;
    let trial = state.get("is").and_then(Value::as_str) == Some("trial");
    state.pointer("/release/version").and_then(Value::as_str).filter(|_| trial)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::time::WallTime;
    use crate::control::health::Finding;

    #[test]
    fn a_result_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("postern-host");
        assert!(last(&state).unwrap_err().contains("last.json"));
        let findings = vec![Finding::pass("a", "b")];
        let report = HealthReport::of("1.0.0", findings, WallTime(1), Duration::ZERO, false, true);
        keep(&state, &report).unwrap();
        assert_eq!(last(&state).unwrap(), report);
        assert!(!state.join("health/last.new").exists());
    }

    #[test]
    fn only_a_trial_that_failed_leaves_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("health/return");
        for (good, trial) in [(false, false), (true, true), (false, true), (true, false)] {
            let finding = if good { Finding::pass("a", "b") } else { Finding::fail("a", "b") };
            let (findings, at) = (vec![finding], WallTime(1));
            let report = HealthReport::of("1.0.0", findings, at, Duration::ZERO, trial, true);
            mark(folder.path(), &report).unwrap();
            assert_eq!(path.exists(), trial && !good, "{good} {trial}");
        }
    }

    #[test]
    fn a_trial_is_one_of_the_version_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        assert!(!trial(state, "1.2.0"));
        let record = |is: &str| {
            let text = format!(
                "{{\"format\":1,\"record\":{{\"state\":{{\"is\":\"{is}\",\"release\":\
                 {{\"version\":\"1.2.0\"}}}}}}}}"
            );
            fs::create_dir_all(state.join("update")).unwrap();
            fs::write(state.join("update/state.json"), text).unwrap();
        };
        record("trial");
        assert!(trial(state, "1.2.0"));
        assert!(!trial(state, "1.1.0"), "the boot loader has gone back: no trial");
        record("healthy");
        assert!(!trial(state, "1.2.0"));
    }
}
