//! systemd-sysupdate, run with definitions that name everything outright.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::base::fault::Fault;
use crate::update::transfer::definitions;
use crate::update::version::Version;

/// Where Debian has it (package systemd-container).
pub const PROGRAM: &str = "/usr/lib/systemd/systemd-sysupdate";

/// One way of running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysupdate {
    /// The program, with what stands before it.
    pub program: Vec<String>,
    /// Where definitions are written, as it sees it.
    pub definitions: PathBuf,
    /// The disk.
    pub disk: PathBuf,
    /// Where the files are.
    pub staging: PathBuf,
}

impl Sysupdate {
    /// Marks every slot but that of `running` as empty.
    ///
    /// # Errors
    /// It cannot be run, or failed.
    pub fn clear(&self, running: &Version) -> Result<(), Fault> {
        self.run(running, &["--instances-max=1", "vacuum"])
    }

    /// Writes `version` from the staging folder into the slot beside that of `running`.
    ///
    /// # Errors
    /// It cannot be run, or failed.
    pub fn write(&self, running: &Version, version: &Version) -> Result<(), Fault> {
        self.run(running, &["--sync=yes", "update", &version.to_string()])
    }

    fn run(&self, running: &Version, words: &[&str]) -> Result<(), Fault> {
        let fault = |cause: String| Fault::new("running", "systemd-sysupdate", cause);
        self.define(running).map_err(|error| fault(error.to_string()))?;
        let (program, before) =
            self.program.split_first().ok_or_else(|| fault("no program".to_owned()))?;
        let ran = Command::new(program)
            .args(before)
            .arg(format!("--definitions={}", self.definitions.display()))
            .args(["--verify=no", "--no-pager"])
            .args(words)
            .env("SYSTEMD_LOG_LEVEL", "info")
            .output()
            .map_err(|error| fault(error.to_string()))?;
        if ran.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ran.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = said.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join("; ");
        Err(fault(format!("{}: {last}", ran.status)))
    }

    fn define(&self, running: &Version) -> std::io::Result<()> {
        let _left_from_before = fs::remove_dir_all(&self.definitions);
        fs::create_dir_all(&self.definitions)?;
        for definition in definitions(&self.disk, &self.staging, running) {
            fs::write(Path::new(&self.definitions).join(definition.name), definition.text)?;
        }
        Ok(())
    }
}
