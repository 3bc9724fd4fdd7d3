//! systemd-repart: it makes what the definitions name and the disk lacks, and grows the last.
//!
//! Its definitions are the image's (`/usr/lib/postern/repart.d`); what depends on this machine is
//! added to a copy in /run: encryption if there is a TPM, and which partitions a reset takes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::luks::PCRS;
use super::programs::{Called, Programs};
use super::reset::Reset;
use super::{Places, make_folder, write_new};
use crate::base::fault::Fault;

/// The names of the definitions, without `.conf`.
pub(super) const ESP: &str = "00-esp";
/// Configuration, journal, keys.
pub(super) const STATE: &str = "30-state";
/// The mail.
pub(super) const SPOOL: &str = "40-spool";

/// The least disk that holds everything, as a person buys it.
const DISK_GIB_MIN: u32 = 5;

/// What systemd-repart says when the partitions do not fit.
const NO_ROOM: &str = "fit requested partitions";

/// The disk's partitions by their definitions, as systemd-repart tells them.
#[derive(Debug)]
pub(super) struct Table(Vec<Row>);

#[derive(Debug, Deserialize)]
struct Row {
    file: Option<PathBuf>,
    node: Option<String>,
    #[serde(default)]
    activity: String,
}

impl Table {
    fn read(json: &str) -> Result<Self, Fault> {
        serde_json::from_str(json)
            .map(Self)
            .map_err(|cause| Fault::new("reading", "what systemd-repart said", cause))
    }

    /// The device node of a definition's partition, if it is on the disk.
    pub(super) fn node(&self, definition: &str) -> Option<&str> {
        let row = self.0.iter().find(|row| {
            let stem = row.file.as_deref().and_then(Path::file_stem);
            stem.is_some_and(|stem| stem == definition)
        })?;
        if row.activity == "create" {
            return None;
        }
        row.node.as_deref()
    }

    /// The same where it must exist.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn wanted(&self, definition: &str) -> Result<&str, Fault> {
        self.node(definition)
            .ok_or_else(|| Fault::new("looking for", definition, "it is not on the disk"))
    }
}

/// Where the firmware's variables are. Between removing and making partitions, systemd-repart
/// removes the variable that asked for a reset. Ours is asked for on the boot partition, so there
/// is none; but these are read-only here, and it gives up half-way.
const VARIABLES: &str = "/sys/firmware/efi/efivars";

/// What is on the disk now. Nothing is changed.
///
/// # Errors
/// systemd-repart fails.
pub(super) fn look(places: &Places, programs: &impl Programs, disk: &Path) -> Result<Table, Fault> {
    let definitions = adapt(places, false, None)?;
    let said = programs.call(&call(&definitions, disk, "--dry-run=yes", false))?;
    if said.code != 0 && said.complaint.contains(NO_ROOM) {
        // A flashed disk is larger than its table, which a dry run does not move: nothing was made
        // on it yet, so nothing can be reset either. Making finds out whether there is room.
        return Ok(Table(Vec::new()));
    }
    Table::read(&said.well()?)
}

/// Makes what is missing, anew what a reset takes, and grows the spool.
///
/// # Errors
/// The disk is too small, or systemd-repart fails.
pub(super) fn make(
    places: &Places,
    programs: &impl Programs,
    disk: &Path,
    encrypt: bool,
    reset: Option<Reset>,
) -> Result<Table, Fault> {
    let definitions = adapt(places, encrypt, reset)?;
    let variables = places.under_root(VARIABLES);
    let hidden = reset.is_some() && variables.exists();
    if hidden {
        programs.hide(&variables.to_string_lossy())?;
    }
    let mut made = programs.call(&call(&definitions, disk, "--dry-run=no", reset.is_some()))?;
    if hidden {
        programs.unmount(&variables.to_string_lossy())?;
    }
    if made.code != 0 {
        if made.complaint.contains(NO_ROOM) {
            made.complaint = format!("the disk is too small: at least {DISK_GIB_MIN} GiB");
        }
        return Err(made.fault());
    }
    look(places, programs, disk)
}

fn call(definitions: &Path, disk: &Path, dry_run: &str, reset: bool) -> Called {
    let definitions = format!("--definitions={}", definitions.display());
    let disk = disk.to_string_lossy();
    let mut words =
        vec![dry_run, "--json=short", "--no-pager", "--tpm2-device=auto", PCRS, &definitions];
    if reset {
        words.push("--factory-reset=yes");
    }
    words.push(&disk);
    Called::new("systemd-repart", &words)
}

/// The definitions for this machine, in /run.
fn adapt(places: &Places, encrypt: bool, reset: Option<Reset>) -> Result<PathBuf, Fault> {
    let into = places.run.join("repart.d");
    let _left_from_before = fs::remove_dir_all(&into);
    make_folder(&into)?;
    let fault = |cause| Fault::new("reading", places.definitions.display(), cause);
    for entry in fs::read_dir(&places.definitions).map_err(fault)? {
        let from = entry.map_err(fault)?.path();
        let Some(stem) = from.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else {
            continue;
        };
        let text = fs::read_to_string(&from)
            .map_err(|cause| Fault::new("reading", from.display(), cause))?;
        let text = adapted(&stem, &text, encrypt, reset);
        write_new(&into.join(format!("{stem}.conf")), 0o644, text.as_bytes())?;
    }
    Ok(into)
}

fn adapted(stem: &str, text: &str, encrypt: bool, reset: Option<Reset>) -> String {
    let taken = reset.is_some_and(|reset| reset.partitions().contains(&stem));
    let mut lines: Vec<&str> =
        text.lines().filter(|line| taken || !line.starts_with("FactoryReset=")).collect();
    if encrypt && (stem == STATE || stem == SPOOL) {
        lines.push("Encrypt=tpm2");
    }
    lines.push("");
    lines.join("\n")
}
