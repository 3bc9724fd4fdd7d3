//! The temporary folder of a demonstration: its own, and gone whichever way the run ends.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::base::fault::Fault;
use crate::source::secret::seed;

/// Names that are tried before giving up.
const NAMES_TRIED: usize = 8;

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes a folder with a new name that only its owner can enter. One that is there already, of
    /// a run that was killed or of somebody else, is never used.
    ///
    /// # Errors
    /// The system's folder for temporary files cannot be written.
    pub(super) fn make() -> Result<Self, Fault> {
        let parent = std::env::temp_dir();
        for _ in 0..NAMES_TRIED {
            let path = parent.join(format!("postern-demo-{:08x}", seed()? & 0xffff_ffff));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Fault::new("making the folder", path.display(), e)),
            }
        }
        Err(Fault::new("making a folder in", parent.display(), "every name is taken"))
    }

    /// Where it is.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is ours alone; if the system has cleaned it already, so be it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_is_private_and_goes_with_its_owner() {
        let (one, two) = (Folder::make().unwrap(), Folder::make().unwrap());
        assert_ne!(one.path(), two.path());
        assert_eq!(fs::metadata(one.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(one.path().join("a"), "b").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && two.path().exists());
    }
}
