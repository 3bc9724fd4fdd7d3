//! The stick with setup files and exports: mounted for a moment, and let go.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::durable::{Readers, make_folder};
use super::machine::{STICK_UNIT, System};
use super::paths::Paths;
use crate::base::fault::Fault;

/// File systems that a stick may have, the likeliest first.
const FILE_SYSTEMS: [&str; 4] = ["vfat", "exfat", "ext4", "iso9660"];

/// No link on a stick leads anywhere: whoever made it must not have us read or write our own files
/// (`MS_NOSYMFOLLOW`, Linux 5.10; an older kernel does not heed it).
pub(super) const MS_NOSYMFOLLOW: MsFlags = MsFlags::from_bits_retain(0x100);

/// How the stick came to be mounted, so that it is let go the same way.
#[derive(Debug)]
enum Held {
    /// It is a folder that plays a stick.
    Played,
    /// By us.
    Mounted,
    /// By the service manager.
    Managed(System),
}

/// The mounted stick; let go when it is dropped.
#[derive(Debug)]
pub struct Stick {
    folder: PathBuf,
    held: Held,
}

impl Stick {
    /// Mounts the stick with the label POSTERNCFG; none if there is none. A stick that cannot be
    /// written is mounted for reading.
    ///
    /// # Errors
    /// It is there and holds no file system that is known here.
    pub fn take(paths: &Paths) -> Result<Option<Self>, Fault> {
        let folder = paths.stick();
        if !paths.is_real() {
            // A folder plays the machine, so a folder plays the stick, and a file one that holds no
            // file system.
            if folder.is_file() {
                return Err(Fault::new(
                    "mounting the stick",
                    folder.display(),
                    "is no file system",
                ));
            }
            return Ok(folder.is_dir().then_some(Self { folder, held: Held::Played }));
        }
        let device = paths.stick_device();
        if !device.exists() {
            return Ok(None);
        }
        make_folder(&folder, Readers::Owner)?;
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MS_NOSYMFOLLOW;
        let mut cause = None;
        for flags in [safe | MsFlags::MS_SYNCHRONOUS, safe | MsFlags::MS_RDONLY] {
            for kind in FILE_SYSTEMS {
                match mount(Some(&device), &folder, Some(kind), flags, None::<&str>) {
                    Ok(()) => return Ok(Some(Self { folder, held: Held::Mounted })),
                    Err(error) => cause = Some(error),
                }
            }
        }
        let cause = cause.map_or_else(String::new, |error| error.to_string());
        Err(Fault::new("mounting the stick", device.display(), cause))
    }

    /// As [`Stick::take`], by the service manager where it has a unit for it: the host role itself
    /// may not mount anything on the box.
    ///
    /// # Errors
    /// As [`Stick::take`].
    pub fn by_unit(paths: &Paths) -> Result<Option<Self>, Fault> {
        let unit = paths.at("/usr/lib/systemd/system").join(STICK_UNIT);
        if !paths.is_real() || !unit.exists() {
            return Self::take(paths);
        }
        if !paths.stick_device().exists() {
            return Ok(None);
        }
        let system = System::new(paths.clone());
        system.stick(true)?;
        Ok(Some(Self { folder: paths.stick(), held: Held::Managed(system) }))
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        match &self.held {
            Held::Played => {}
            Held::Mounted => {
                nix::unistd::sync();
                // Lazily: a stick that somebody pulled out must not hold us.
                let _ = umount2(&self.folder, MntFlags::MNT_DETACH);
            }
            Held::Managed(system) => {
                let _ = system.stick(false);
            }
        }
    }
}
