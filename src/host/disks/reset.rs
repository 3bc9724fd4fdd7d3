//! The factory reset: asked for by a file on the ESP, carried out before anything is mounted.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::programs::{Called, Programs};
use super::repart::{SPOOL, STATE};
use super::{Places, consoles, luks, make_folder};
use crate::base::fault::Fault;

/// Where the request lies, relative to the ESP.
pub const REQUEST_PATH: &str = "postern/factory-reset";

/// What shall be destroyed. The request's file holds one of the two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// Configuration, keys and journal; the mail stays.
    KeepSpool,
    /// Everything of this machine.
    Everything,
}

impl Reset {
    /// What the request's file says; `None` for anything else: nobody's data is destroyed for a
    /// word that is not understood.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.trim() {
            "keep-spool" => Some(Self::KeepSpool),
            "everything" => Some(Self::Everything),
            _ => None,
        }
    }

    /// The definitions of the partitions that go.
    #[must_use]
    pub fn partitions(self) -> &'static [&'static str] {
        match self {
            Self::KeepSpool => &[STATE],
            Self::Everything => &[STATE, SPOOL],
        }
    }
}

/// The request on the ESP, if there is one.
///
/// # Errors
/// The ESP cannot be mounted.
pub(super) fn requested(
    places: &Places,
    programs: &impl Programs,
    esp: &str,
) -> Result<Option<Reset>, Fault> {
    on_esp(places, programs, esp, false, |folder| {
        let Ok(word) = fs::read_to_string(folder.join(REQUEST_PATH)) else {
            return Ok(None);
        };
        let reset = Reset::from_word(&word);
        if reset.is_none() {
            eprintln!("postern disks: the reset that is asked for is none: {:?}", word.trim());
        }
        Ok(reset)
    })
}

/// Removes the request: it is carried out.
///
/// # Errors
/// The ESP cannot be written. The reset is repeated at the next boot then.
pub(super) fn done(places: &Places, programs: &impl Programs, esp: &str) -> Result<(), Fault> {
    on_esp(places, programs, esp, true, |folder| {
        let request = folder.join(REQUEST_PATH);
        match fs::remove_file(&request) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(Fault::new("removing", request.display(), cause))
            }
            _ => Ok(()),
        }
    })
}

/// Destroys what a partition holds: the keys of an encrypted one (no disk reads it again), the
/// octets of a plain one. The latter takes hours on a large disk, so that it is told how far it is.
///
/// # Errors
/// A program fails.
pub(super) fn erase(places: &Places, programs: &impl Programs, node: &str) -> Result<(), Fault> {
    if luks::Volume::at("volume", node)?.encrypted {
        let call = Called::new("cryptsetup", &["erase", "--batch-mode", node]);
        return programs.call(&call)?.well().map(|_| ());
    }
    let octets = File::open(node)
        .and_then(|mut file| file.seek(SeekFrom::End(0)))
        .map_err(|cause| Fault::new("measuring", node, cause))?;
    let step = octets.div_ceil(ERASE_STEPS).next_multiple_of(ERASE_STEP_OCTETS_MIN);
    let mut done = 0;
    while done < octets {
        let length = step.min(octets - done);
        let (offset, part) = (format!("--offset={done}"), format!("--length={length}"));
        let words = ["--force", "--zeroout", &offset, &part, node];
        programs.call(&Called::new("blkdiscard", &words))?.well()?;
        done += length;
        if octets > step {
            let (done, all) = (done / MIB, octets / MIB);
            consoles::say(places, &format!("factory reset: {done} of {all} MiB are erased"));
        }
    }
    Ok(())
}

const MIB: u64 = 1024 * 1024;
/// Parts of a disk that are erased one after the other: what is left can be reckoned by then.
const ERASE_STEPS: u64 = 50;
/// The least of such a part; the slowest disk in use erases it in half a minute.
const ERASE_STEP_OCTETS_MIN: u64 = 1024 * MIB;

fn on_esp<T>(
    places: &Places,
    programs: &impl Programs,
    esp: &str,
    writable: bool,
    act: impl FnOnce(&Path) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let folder = places.run.join("esp");
    make_folder(&folder)?;
    let at = folder.to_string_lossy();
    programs.mount("vfat", esp, &at, writable)?;
    let did = act(&folder);
    programs.unmount(&at)?;
    did
}
