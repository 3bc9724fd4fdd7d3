//! The recovery key of the disks, between the step that made it and whoever writes it down.
//!
//! The step makes a new one at each start (`host::disks`), until the file
//! [`Paths::recovery_key_kept`] says that somebody has it.

use serde_json::Value;

use super::generations::load;
use crate::base::fault::Fault;
use crate::control::answer::{Trouble, TroubleKind};
use crate::host::durable::{Readers, remove, replace, wipe};
use crate::host::paths::Paths;

/// The key that was made at this start.
///
/// # Errors
/// There is none.
pub(super) fn shown(paths: &Paths) -> Result<String, Trouble> {
    std::fs::read_to_string(paths.recovery_key()).map_err(|_none| {
        let text = if paths.recovery_key_kept().exists() {
            "the recovery key is written down and forgotten here; recovery-key-renew makes another"
        } else {
            "no recovery key was made at this start"
        };
        Trouble::new(TroubleKind::NotFound, text)
    })
}

/// It is written down: the next start makes no other, and this one is forgotten here.
///
/// # Errors
/// No key was made at this start, so nobody can have written it down; or the disk.
pub(super) fn kept(paths: &Paths) -> Result<(), Trouble> {
    shown(paths)?;
    forgotten(paths).map_err(Into::into)
}

/// It is not wanted: as if it was written down.
///
/// # Errors
/// The disk.
pub(super) fn forgotten(paths: &Paths) -> Result<(), Fault> {
    // First: a key that is gone and made again at the next start harms nobody.
    replace(&paths.recovery_key_kept(), b"", Readers::Owner)?;
    wipe(&paths.recovery_key())
}

/// It is lost, or somebody else knows it: the next start makes another and wipes this one.
///
/// # Errors
/// The disks are not encrypted; or the disk.
pub(super) fn renewed(paths: &Paths) -> Result<(), Trouble> {
    let disks = load::<Value>(&paths.disks()).unwrap_or_default();
    if disks["encrypted"] != true {
        return Err(Trouble::new(TroubleKind::Conflict, "the disks are not encrypted"));
    }
    remove(&paths.recovery_key_kept()).map_err(Into::into)
}
