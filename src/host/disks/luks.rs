//! LUKS2: is a partition encrypted, who can open it, and opening it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::Places;
use super::programs::{Called, Programs};
use crate::base::fault::Fault;

/// The first octets of a LUKS header.
const MAGIC: &[u8] = b"LUKS\xba\xbe";

/// A partition that holds a file system, plain or encrypted.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    /// `state` or `spool`.
    pub(super) name: &'static str,
    /// The partition's node.
    pub(super) node: PathBuf,
    /// Does it begin with a LUKS header?
    pub(super) encrypted: bool,
}

impl Volume {
    /// Looks at the partition.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn at(name: &'static str, node: &str) -> Result<Self, Fault> {
        let mut start = [0; MAGIC.len()];
        File::open(node)
            .and_then(|mut file| file.read_exact(&mut start))
            .map_err(|cause| Fault::new("reading", node, cause))?;
        Ok(Self { name, node: PathBuf::from(node), encrypted: start == MAGIC })
    }

    fn device(&self) -> String {
        self.node.to_string_lossy().into_owned()
    }
}

/// The device with the file system. The TPM opens it; if it refuses (Secure Boot was changed, the
/// disk sits in another machine), whoever stands at the console is asked for the recovery key.
///
/// # Errors
/// It cannot be opened.
pub(super) fn open(
    places: &Places,
    programs: &impl Programs,
    volume: &Volume,
) -> Result<PathBuf, Fault> {
    if !volume.encrypted {
        return Ok(volume.node.clone());
    }
    let name = format!("postern-{}", volume.name);
    let opened = PathBuf::from("/dev/mapper").join(&name);
    if !places.under_root("/dev/mapper").join(&name).exists() {
        let device = volume.device();
        // No time limit: a box that waits for its key waits until somebody comes.
        let options = "luks,tpm2-device=auto,tries=0,timeout=0,discard";
        let words = ["attach", &name, &device, "-", options];
        programs.call(&Called::new("systemd-cryptsetup", &words))?.well()?;
    }
    // Does nothing unless the partition has grown.
    programs.call(&Called::new("cryptsetup", &["resize", "--batch-mode", &name]))?;
    Ok(opened)
}

/// A recovery key for all volumes, unless each has one.
///
/// # Errors
/// The TPM does not open one of them, or a program fails.
pub(super) fn recovery_key_if_none(
    programs: &impl Programs,
    volumes: &[&Volume],
) -> Result<Option<String>, Fault> {
    for volume in volumes {
        let slots = programs.call(&Called::new("systemd-cryptenroll", &[&volume.device()]))?;
        let slots = slots.well()?;
        if !slots.lines().any(|line| line.ends_with("recovery") || line.ends_with("password")) {
            return new_recovery_key(programs, volumes).map(Some);
        }
    }
    Ok(None)
}

/// A new recovery key: systemd makes it for the first volume, the others get the same one, so that
/// a person keeps one line of text.
///
/// # Errors
/// The TPM does not open one of them, or a program fails.
pub(super) fn new_recovery_key(
    programs: &impl Programs,
    volumes: &[&Volume],
) -> Result<String, Fault> {
    let mut key = String::new();
    for volume in volumes {
        let device = volume.device();
        let mut words = vec!["--unlock-tpm2-device=auto", "--wipe-slot=recovery,password"];
        if key.is_empty() {
            words.extend(["--recovery-key", &device]);
            let said = programs.call(&Called::new("systemd-cryptenroll", &words))?.well()?;
            said.trim().clone_into(&mut key);
        } else {
            words.extend(["--password", &device]);
            let call = Called::new("systemd-cryptenroll", &words).with("NEWPASSWORD", &key);
            programs.call(&call)?.well()?;
        }
    }
    if key.is_empty() {
        return Err(Fault::new("making", "a recovery key", "systemd-cryptenroll printed none"));
    }
    Ok(key)
}
