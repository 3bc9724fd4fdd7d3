//! A USB stick with updates: a file system with the label `POSTERNUPD` (or `POSTERNCFG`, as sticks
//! with setup files have it), mounted for reading. Whoever may not mount asks the service manager.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::base::fault::Fault;
use crate::host::mount::MS_NOSYMFOLLOW;
use crate::update::version::Version;

/// Labels that a stick with updates may have, the better first.
pub const LABELS: [&str; 2] = ["POSTERNUPD", "POSTERNCFG"];

/// File systems that sticks come with; the kernel says which it is.
const KINDS: [&str; 4] = ["vfat", "exfat", "ext4", "iso9660"];

/// A stick that is mounted; dropping it takes it off again.
#[derive(Debug)]
pub struct Stick {
    folder: PathBuf,
}

impl Stick {
    /// Mounts the stick below `run`.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn mount(run: &Path) -> Result<Self, Fault> {
        let devices = LABELS.map(|label| Path::new("/dev/disk/by-label").join(label));
        let Some(device) = devices.iter().find(|device| device.exists()) else {
            let cause = format!("no stick or disk has the label {}", LABELS.join(" or "));
            return Err(Fault::new("looking", "for a stick", cause));
        };
        let fault = |cause: String| Fault::new("mounting", device.display(), cause);
        let folder = run.join("usb");
        fs::create_dir_all(&folder).map_err(|error| fault(error.to_string()))?;
        let flags = MsFlags::MS_RDONLY
            | MsFlags::MS_NODEV
            | MsFlags::MS_NOSUID
            | MsFlags::MS_NOEXEC
            | MS_NOSYMFOLLOW;
        let mut last = "no file system is known".to_owned();
        for kind in KINDS {
            match mount(Some(device), &folder, Some(kind), flags, None::<&str>) {
                Ok(()) => return Ok(Self { folder }),
                Err(nix::errno::Errno::EPERM | nix::errno::Errno::ENOSYS) => {
                    by_systemd(device, &folder).map_err(fault)?;
                    return Ok(Self { folder });
                }
                Err(error) => last = format!("{kind}: {error}"),
            }
        }
        Err(fault(last))
    }

    /// The newest bundle in its top folder.
    ///
    /// # Errors
    /// There is none.
    pub fn newest(&self) -> Result<PathBuf, Fault> {
        newest(&self.folder)
    }
}

/// A transient mount unit: the service manager has the right that we may lack.
fn by_systemd(device: &Path, folder: &Path) -> Result<(), String> {
    let ran = Command::new("/usr/bin/systemd-mount")
        .args(["--quiet", "--collect", "--options=ro,nodev,nosuid,noexec,nosymfollow"])
        .args([device, folder])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("systemd-mount: {error}"))?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    if ran.status.success() { Ok(()) } else { Err(format!("systemd-mount: {said}")) }
}

fn newest(folder: &Path) -> Result<PathBuf, Fault> {
    let fault = |cause: String| Fault::new("looking for a bundle on", "the stick", cause);
    let mut best: Option<(Version, PathBuf)> = None;
    for entry in fs::read_dir(folder).map_err(|error| fault(error.to_string()))? {
        let entry = entry.map_err(|error| fault(error.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let version = name.strip_prefix("postern-").and_then(|name| name.strip_suffix(".pbu"));
        let Some(version) = version.and_then(|text| text.parse::<Version>().ok()) else { continue };
        if best.as_ref().is_none_or(|(known, _)| *known < version) {
            best = Some((version, entry.path()));
        }
    }
    best.map(|(_, path)| path).ok_or_else(|| fault("there is no postern-X.Y.Z.pbu".to_owned()))
}

impl Drop for Stick {
    fn drop(&mut self) {
        // A stick that was pulled out is gone either way.
        if umount2(&self.folder, MntFlags::MNT_DETACH).is_err() {
            let mut umount = Command::new("/usr/bin/systemd-umount");
            let _asked = umount.arg(&self.folder).stdin(Stdio::null()).output();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bundle_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert!(newest(folder.path()).is_err());
        for name in ["postern-1.9.0.pbu", "postern-1.10.0.pbu", "postern-x.pbu", "other"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(newest(folder.path()).unwrap().ends_with("postern-1.10.0.pbu"));
    }
}
