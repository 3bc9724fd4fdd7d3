//! Boot entries in the ESP. A vfat has no journal: each deed is a rename or an unlink of one name,
//! and returns when file, folder and allocation table are on the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::surface;
use crate::base::fault::Fault;
use crate::update::entry::{Entry, Standing};
use crate::update::manifest;
use crate::update::version::Version;

/// The file that is being written; systemd-boot looks at names that end in `.efi` alone.
const PART: &str = "postern.part";

/// The folder of boot entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Esp {
    folder: PathBuf,
}

impl Esp {
    /// The ESP's folder `EFI/Linux`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Our entries.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, Fault> {
        let fault = |error: io::Error| Fault::new("listing", self.folder.display(), error);
        let mut found = Vec::new();
        for name in fs::read_dir(&self.folder).map_err(fault)? {
            let name = name.map_err(fault)?.file_name();
            found.extend(Entry::read_name(&name.to_string_lossy()));
        }
        found.sort_by_key(ToString::to_string);
        Ok(found)
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove(&self, entry: &Entry) -> Result<(), Fault> {
        let path = self.folder.join(entry.to_string());
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed
            .and_then(|()| self.sync())
            .map_err(|error| Fault::new("removing", path.display(), error))
    }

    /// Renames an entry.
    ///
    /// # Errors
    /// The disk failed.
    pub fn rename(&self, from: &Entry, to: &Entry) -> Result<(), Fault> {
        let (from, to) = (self.folder.join(from.to_string()), self.folder.join(to.to_string()));
        fs::rename(&from, &to)
            .and_then(|()| self.sync())
            .map_err(|error| Fault::new("renaming", from.display(), error))
    }

    /// Copies the kernel image `source` here as `Staged`: written, synced, read back from the
    /// disk, and only then named.
    ///
    /// # Errors
    /// The disk failed, has no room, or gave back something else.
    pub fn place(
        &self,
        source: &Path,
        version: &Version,
        file: &manifest::File,
        each: impl FnMut(u64),
    ) -> Result<(), Fault> {
        let part = self.folder.join(PART);
        let fault = |error: io::Error| Fault::new("writing", part.display(), error);
        let copy = || {
            let mut from = File::open(source)?;
            let mut to = File::create(&part)?;
            io::copy(&mut from, &mut to)?;
            to.flush()?;
            to.sync_all()?;
            self.sync()
        };
        let compared = copy().map_err(fault).and_then(|()| {
            let octets = fs::metadata(&part).map_err(fault)?.len();
            if octets != file.unpacked_octets {
                return Err(fault(io::Error::other(format!("{octets} octets arrived"))));
            }
            surface::compare(&part, 0, file, each)
        });
        if let Err(fault) = compared {
            // The next attempt writes over what is left of this one.
            let _gone = fs::remove_file(&part).and_then(|()| self.sync());
            return Err(fault);
        }
        let name = self.folder.join(Entry::new(version, Standing::Staged).to_string());
        fs::rename(&part, name).and_then(|()| self.sync()).map_err(fault)
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.folder)
    }
}

/// Folder and file system: the folder alone says nothing of vfat's allocation table.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    folder.sync_all()?;
    Ok(rustix::fs::syncfs(&folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::manifest::{Chunks, Sha256};

    #[test]
    fn an_image_is_placed_renamed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let esp = Esp::new(folder.path());
        fs::write(folder.path().join("debian.efi"), "").unwrap();
        let source = folder.path().join("source");
        fs::write(&source, b"kernel").unwrap();
        let mut chunks = Chunks::default();
        chunks.update(b"kernel");
        let file = manifest::File {
            name: "x".to_owned(),
            octets: 6,
            sha256: Sha256::of(b"kernel"),
            unpacked_octets: 6,
            chunks: chunks.finish(),
        };
        let version: Version = "1.1.0".parse().unwrap();
        esp.place(&source, &version, &file, |_| {}).unwrap();
        let staged = Entry::new(&version, Standing::Staged);
        assert_eq!(esp.entries().unwrap(), std::slice::from_ref(&staged));
        let tried = Entry::new(&version, Standing::Counted { left: 3, done: 0 });
        esp.rename(&staged, &tried).unwrap();
        assert_eq!(fs::read(folder.path().join("postern_1.1.0+3-0.efi")).unwrap(), b"kernel");
        esp.remove(&tried).unwrap();
        esp.remove(&tried).unwrap();
        assert!(esp.entries().unwrap().is_empty());
        fs::write(&source, b"kernex").unwrap();
        esp.place(&source, &version, &file, |_| {}).unwrap_err();
        fs::write(&source, b"kernel and more").unwrap();
        esp.place(&source, &version, &file, |_| {}).unwrap_err();
        assert!(esp.entries().unwrap().is_empty() && !folder.path().join(PART).exists());
    }
}
