//! The machine as the configuration's check asks about it, and the reading of the document.

use std::fs::{self, File};
use std::path::Path;

use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::config::complaint::Complaint;
use crate::config::{Reading, Surroundings, read};

/// A configuration document of more octets than this is a mistake (10,000 sources take 8 MB).
const DOCUMENT_OCTETS_MAX: u64 = 32 * 1024 * 1024;

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Surroundings for Disk {
    fn readable(&self, path: &Path) -> Result<(), String> {
        let file = File::open(path).map_err(|cause| cause.to_string())?;
        let found = file.metadata().map_err(|cause| cause.to_string())?;
        if found.is_file() { Ok(()) } else { Err("is no file".to_owned()) }
    }

    fn uid(&self, name: &str) -> Option<u32> {
        let user = nix::unistd::User::from_name(name).ok()??;
        Some(user.uid.as_raw())
    }

    fn now(&self) -> Option<WallTime> {
        Some(super::clock::wall())
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum NoConfig {
    /// The document cannot be read.
    Unreadable(Fault),
    /// The document is wrong.
    Wrong(Vec<Complaint>),
}

impl std::fmt::Display for NoConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(fault) => fault.fmt(f),
            Self::Wrong(complaints) => {
                let lines: Vec<_> = complaints.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for NoConfig {}

/// The text of a document.
///
/// # Errors
/// The file cannot be read, is no text, or is too large.
pub fn text(path: &Path) -> Result<String, Fault> {
    let fault = |cause: String| Fault::new("reading the configuration", path.display(), cause);
    let octets = fs::metadata(path).map_err(|e| fault(e.to_string()))?.len();
    if octets > DOCUMENT_OCTETS_MAX {
        return Err(fault(format!("{octets} octets are too many")));
    }
    fs::read_to_string(path).map_err(|e| fault(e.to_string()))
}

/// Reads and checks the document at `path`.
///
/// # Errors
/// It cannot be read, or it is wrong.
pub fn load(path: &Path) -> Result<Reading, NoConfig> {
    let text = text(path).map_err(NoConfig::Unreadable)?;
    read(&text, &Disk).map_err(NoConfig::Wrong)
}
