//! The box's disk: what the factory did not make is made at first boot, opened at every other, and
//! destroyed when the operator asks for it.
//!
//! ```text
//! find the boot disk ─▶ read a request for a reset on the ESP
//!                          │ none                │ keep-spool | everything
//!                          ▼                     ▼
//!                      systemd-repart        erase the keys, or the octets
//!                   (makes what is missing,      │
//!                    grows the spool)   ◀────────┘ (repart makes them anew, then the
//!                          │                        request is removed)
//!                          ▼
//!            LUKS2? ─ no ─▶ state.json says so, with the reason
//!              │ yes
//!              ▼
//!      open (TPM, else a person types the recovery key and the TPM gets it again)
//!                          │
//!                          ▼
//!        check, grow the file systems, link /run/postern-disks/{state,spool}
//!                          │
//!                          ▼
//!      a new recovery key, unless state says that one is written down
//! ```
//!
//! Every step may be cut by a power failure and is done again at the next boot: systemd-repart
//! writes the partition table last, and a request for a reset is removed only when it is done.

mod boot_disk;
mod consoles;
mod filesystem;
mod luks;
mod programs;
mod recovery;
mod repart;
mod reset;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::secret::Secret;
use consoles::News;
use luks::Volume;
pub use programs::{Called, Ended, Machine, Programs};
pub use recovery::KEPT_PATH;
pub use reset::{REQUEST_PATH, Reset};

/// Where things are; the tests have their own.
#[derive(Clone, Debug)]
pub struct Places {
    /// `/`, for /proc, /sys and /dev.
    pub root: PathBuf,
    /// The definitions of the partitions.
    pub definitions: PathBuf,
    /// `/run/postern-disks`.
    pub run: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            definitions: PathBuf::from("/usr/lib/postern/repart.d"),
            run: PathBuf::from("/run/postern-disks"),
        }
    }
}

impl Places {
    fn under_root(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// How the disks stand: `/run/postern-disks/state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The disk that the box runs from.
    pub disk: PathBuf,
    /// Are state and spool unreadable without this machine's TPM or the recovery key?
    pub encrypted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// A recovery key was made at this boot and lies beside this file.
    pub recovery_key_new: bool,
    /// The factory reset that was carried out at this boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
    /// What `/run/postern-disks/state` leads to.
    pub state: PathBuf,
    /// What `/run/postern-disks/spool` leads to.
    pub spool: PathBuf,
    /// What else happened at this boot that somebody should know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Makes, opens and grows state and spool; to be run before anything is mounted on /var.
///
/// # Errors
/// There is no disk to boot from, it is too small, or a program failed.
pub fn ready(places: &Places, programs: &impl Programs) -> Result<Standing, Fault> {
    make_folder(&places.run)?;
    let disk = boot_disk::find(places)?;
    let has_tpm = has_tpm(places);
    let table = repart::look(places, programs, &disk)?;
    let request = match table.node(repart::ESP) {
        Some(esp) => reset::requested(places, programs, esp)?,
        None => None,
    };
    if let Some(request) = request {
        for name in request.partitions() {
            // One that a power cut has met on its way is gone already.
            if let Some(node) = table.node(name) {
                reset::erase(places, programs, node)?;
            }
        }
    }
    let table = repart::make(places, programs, &disk, has_tpm, request)?;
    let state = Volume::at("state", table.wanted(repart::STATE)?)?;
    let spool = Volume::at("spool", table.wanted(repart::SPOOL)?)?;
    if let (Some(_), Some(esp)) = (request, table.node(repart::ESP)) {
        reset::done(places, programs, esp)?;
    }
    let (mut typed, mut news) = (None, News::default());
    let state_device = link(places, programs, &state, &mut typed, &mut news)?;
    let spool_device = link(places, programs, &spool, &mut typed, &mut news)?;
    let encrypted = state.encrypted && spool.encrypted;
    // Whoever has typed the key has it.
    let key = if encrypted && has_tpm && typed.is_none() {
        recovery::key(places, programs, &[&state, &spool], &state_device, &mut news)?
    } else {
        None
    };
    let standing = Standing {
        encrypted,
        why: (!encrypted).then(|| why_plain(has_tpm)),
        recovery_key_new: key.is_some(),
        reset: request,
        state: state_device,
        spool: spool_device,
        notes: news.0,
        disk,
    };
    let told = serde_json::to_vec(&standing)
        .map_err(|cause| Fault::new("writing", "state.json", cause))?;
    write_new(&places.run.join("state.json"), 0o644, &told)?;
    Ok(standing)
}

/// Makes a new recovery key for both volumes; the old one is worth nothing then.
///
/// # Errors
/// The disks are not encrypted, or the TPM does not open them.
pub fn renew_recovery_key(places: &Places, programs: &impl Programs) -> Result<String, Fault> {
    let disk = boot_disk::find(places)?;
    let table = repart::look(places, programs, &disk)?;
    let state = Volume::at("state", table.wanted(repart::STATE)?)?;
    let spool = Volume::at("spool", table.wanted(repart::SPOOL)?)?;
    if !(state.encrypted && spool.encrypted) {
        let cause = "this box is not encrypted";
        return Err(Fault::new("making", "a recovery key", cause));
    }
    luks::new_recovery_key(programs, &[&state, &spool])
}

fn has_tpm(places: &Places) -> bool {
    places.under_root("/dev/tpmrm0").exists()
}

fn why_plain(has_tpm: bool) -> String {
    if has_tpm {
        "the partitions were made when no TPM 2.0 was there; a factory reset encrypts them"
    } else {
        "this machine has no TPM 2.0"
    }
    .to_owned()
}

/// Opens a volume, checks and grows its file system, and makes the link that units mount.
fn link(
    places: &Places,
    programs: &impl Programs,
    volume: &Volume,
    typed: &mut Option<Secret<String>>,
    news: &mut News,
) -> Result<PathBuf, Fault> {
    let device = luks::open(places, programs, volume, typed, news)?;
    filesystem::check_and_grow(places, programs, volume.name, &device, news)?;
    let at = places.run.join(volume.name);
    let _there_from_before = fs::remove_file(&at);
    symlink(&device, &at).map_err(|cause| Fault::new("linking", at.display(), cause))?;
    Ok(device)
}

fn make_folder(path: &Path) -> Result<(), Fault> {
    fs::create_dir_all(path).map_err(|cause| Fault::new("making", path.display(), cause))
}

fn write_new(path: &Path, mode: u32, octets: &[u8]) -> Result<(), Fault> {
    let _there_from_before = fs::remove_file(path);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(octets))
        .map_err(|cause| Fault::new("writing", path.display(), cause))
}
