//! Small files that survive a power cut: replaced in one step, or wiped so that nothing is left.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::{Group, geteuid};

use crate::base::fault::Fault;

/// How long somebody may still have a lock that is wanted.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// The group that may read the document and its keys.
const GROUP: &str = "postern";

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// The gateway too: `root:postern`, 0640.
    Gateway,
    /// As the file that it replaces; the gateway too if there is none.
    AsBefore,
}

/// Replaces or makes the file at `path` in one step: after a power cut there is the old one or the
/// new one. Folders that are missing are made. Neither name is followed if it is a link: both may
/// be on a stick that somebody has prepared.
///
/// # Errors
/// What the file system reports; the old file is as it was.
pub fn replace(path: &Path, octets: &[u8], readers: Readers) -> Result<(), Fault> {
    let fault = |cause: io::Error| Fault::new("writing", path.display(), cause);
    if let Some(folder) = path.parent() {
        make_folder(folder, readers)?;
    }
    let new = beside(path);
    let write = || -> io::Result<()> {
        // What a power cut left, or whoever made the stick.
        match fs::remove_file(&new) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let mut options = OpenOptions::new();
        // O_EXCL: it is made here, or this fails.
        let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(octets)?;
        dress(&file, path, readers)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder(path)
    };
    write().map_err(|cause| {
        let _ = fs::remove_file(&new);
        fault(cause)
    })
}

/// Sets owner and mode of a new file.
fn dress(new: &File, old: &Path, readers: Readers) -> io::Result<()> {
    let before = fs::metadata(old).ok();
    let (mode, owner, group) = match (readers, before) {
        (Readers::Owner, _) => return Ok(()),
        (Readers::AsBefore, Some(found)) => {
            (found.mode() & 0o777, Some(found.uid()), Some(found.gid()))
        }
        _ => (0o640, None, gateway_group()),
    };
    new.set_permissions(Permissions::from_mode(mode))?;
    if geteuid().is_root() && (owner.is_some() || group.is_some()) {
        fchown(new, owner, group)?;
    }
    Ok(())
}

fn gateway_group() -> Option<u32> {
    Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw())
}

/// Makes a folder and those around it; one for the gateway is `root:postern`, 0750.
///
/// # Errors
/// What the file system reports.
pub fn make_folder(path: &Path, readers: Readers) -> Result<(), Fault> {
    if path.is_dir() {
        return Ok(());
    }
    let fault = |cause: io::Error| Fault::new("making the folder", path.display(), cause);
    if let Some(above) = path.parent() {
        make_folder(above, readers)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(cause) => return Err(fault(cause)),
    }
    let dress = || -> io::Result<()> {
        let mode = if readers == Readers::Owner { 0o700 } else { 0o750 };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        if readers != Readers::Owner && geteuid().is_root() {
            chown(path, None, gateway_group())?;
        }
        sync_folder(path)
    };
    dress().map_err(fault)
}

/// Removes a file; one that is not there is removed already.
///
/// # Errors
/// What the file system reports.
pub fn remove(path: &Path) -> Result<(), Fault> {
    let gone = match fs::remove_file(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        done => done.and_then(|()| sync_folder(path)),
    };
    gone.map_err(|cause| Fault::new("removing", path.display(), cause))
}

/// Overwrites a file, removes it, and has both on the disk before it returns. On flash memory the
/// old octets may live on in cells that nobody can address; that is as far as software reaches. A
/// link is not followed: what it leads to is not ours to wipe.
///
/// # Errors
/// What the file system reports. The file may still be there.
pub fn wipe(path: &Path) -> Result<(), Fault> {
    let overwrite = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
        let octets = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        let zeros = [0_u8; 4096];
        let mut left = octets;
        while left > 0 {
            let piece = usize::try_from(left.min(4096)).unwrap_or(4096);
            file.write_all(&zeros[..piece])?;
            left -= piece as u64;
        }
        file.sync_all()
    };
    match overwrite() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Fault::new("wiping", path.display(), cause)),
        Ok(()) => remove(path),
    }
}

/// Keeps others out as long as it lives, in this process or any other.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`; none if somebody has it and does not give it back within
    /// `LOCK_PATIENCE`. A child that a killed role was just starting has it for a moment longer.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn take(path: &Path) -> Result<Option<Self>, Fault> {
        let end = Instant::now() + LOCK_PATIENCE;
        loop {
            match Self::try_take(path)? {
                None if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
                taken => return Ok(taken),
            }
        }
    }

    fn try_take(path: &Path) -> Result<Option<Self>, Fault> {
        if let Some(folder) = path.parent() {
            make_folder(folder, Readers::Owner)?;
        }
        let fault = |cause: io::Error| Fault::new("locking", path.display(), cause);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(cause)) => Err(fault(cause)),
        }
    }
}

/// Returns when the names in the folder of `path` survive a power cut.
///
/// # Errors
/// What the file system reports.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// The name that a new file has until it takes its place. Short names without a leading dot are
/// what FAT takes best.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_wiped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/secret");
        replace(&path, b"one", Readers::Owner).unwrap();
        replace(&path, b"two", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"three", Readers::AsBefore).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        let twin = folder.path().join("twin");
        fs::hard_link(&path, &twin).unwrap();
        wipe(&path).unwrap();
        wipe(&path).unwrap();
        assert!(!path.exists());
        // Another name of the same octets shows what became of them.
        assert_eq!(fs::read(&twin).unwrap(), [0; 5]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    /// A stick of somebody else: its names lead to a file of ours.
    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, stick) = (folder.path().join("admin"), folder.path().join("stick"));
        fs::create_dir(&stick).unwrap();
        fs::write(&ours, "hash").unwrap();
        let path = stick.join("backup-gw-20261129.pbk");
        for name in [path.clone(), beside(&path)] {
            std::os::unix::fs::symlink(&ours, name).unwrap();
        }
        replace(&path, b"sealed", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"sealed");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        let link = stick.join("postern-setup.toml");
        std::os::unix::fs::symlink(&ours, &link).unwrap();
        assert!(wipe(&link).is_err());
        assert_eq!(fs::read(&ours).unwrap(), b"hash");
    }
}
