//! The recovery key: made anew and shown at each start until somebody says that it is written down.
//!
//! That it is written down is a file on state, inside the encryption. On the boot partition, who
//! has the disk in hand for a minute could remove it, and the box would show him at its next start
//! what opens the disk.

use std::fs;
use std::io;
use std::path::Path;

use super::consoles::{self, News};
use super::luks::{self, Volume};
use super::programs::Programs;
use super::{Places, make_folder, write_new};
use crate::base::fault::Fault;

/// The file that says so, relative to the file system of state, which is mounted on /var.
pub const KEPT_PATH: &str = "lib/postern-host/recovery-key-kept";

/// A new recovery key, if nobody has one: the slot of the one before is wiped, which nobody has
/// written down.
///
/// # Errors
/// State cannot be looked at, or the key cannot be kept for the console.
pub(super) fn key(
    places: &Places,
    programs: &impl Programs,
    volumes: &[&Volume],
    state: &Path,
    news: &mut News,
) -> Result<Option<String>, Fault> {
    if kept(places, programs, state)? {
        for volume in volumes {
            // Not made by itself: whoever can wipe a slot of a disk in his hand must not be shown
            // a key for it.
            if !luks::has_recovery_key(programs, volume)? {
                let text = "no recovery key opens it; have a new one made (recovery-key-renew)";
                news.tell(places, format!("{}: {text}", volume.name));
            }
        }
        return Ok(None);
    }
    match luks::new_recovery_key(programs, volumes) {
        Ok(key) => {
            show(places, &key)?;
            Ok(Some(key))
        }
        // The disks are open, and the next start tries it again.
        Err(fault) => {
            news.tell(places, format!("no recovery key could be made: {fault}"));
            Ok(None)
        }
    }
}

/// Whether somebody has said that the key is written down.
fn kept(places: &Places, programs: &impl Programs, state: &Path) -> Result<bool, Fault> {
    let folder = places.run.join("look");
    make_folder(&folder)?;
    let at = folder.to_string_lossy();
    programs.mount("ext4", &state.to_string_lossy(), &at, false)?;
    let found = fs::symlink_metadata(folder.join(KEPT_PATH));
    programs.unmount(&at)?;
    // A fault of the disk is no reason to show a key.
    Ok(!found.is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound))
}

/// The key waits for the host role, which gives it to the console, and is told to whoever stands
/// before the machine.
fn show(places: &Places, key: &str) -> Result<(), Fault> {
    write_new(&places.run.join("recovery-key"), 0o600, format!("{key}\n").as_bytes())?;
    consoles::show(
        places,
        &format!(
            "\n  The disks of this box are encrypted; its TPM opens them.\n  \
             Write this recovery key down. Each start makes another one, until somebody\n  \
             says at the console (recovery-key-kept) that it is written down:\n\n    {key}\n"
        ),
    );
    Ok(())
}
