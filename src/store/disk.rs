//! The few things that the store asks of a disk, so that tests can put a failing one underneath.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::base::limits::SEGMENT_OCTETS;

/// A disk. Everything durable that the spool does goes through here.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that must not exist, readable by its owner alone.
    ///
    /// # Errors
    /// What the file system reports.
    fn create(&self, path: &Path) -> io::Result<File>;

    /// Makes sure that `octets` from `from` can be written without asking for room again.
    ///
    /// # Errors
    /// `StorageFull` if there is no room, or what the file system reports.
    fn allocate(&self, file: &File, from: u64, octets: u64) -> io::Result<()>;

    /// Writes some of `slices` at `offset`; returns how much.
    ///
    /// # Errors
    /// What the file system reports.
    fn write(&self, file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Returns when the data of `file` survive a power cut.
    ///
    /// # Errors
    /// What the file system reports. Must not be tried again.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Returns when the names in a folder survive a power cut.
    ///
    /// # Errors
    /// What the file system reports.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// What the file system reports.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Octets that an unprivileged writer may still use.
    ///
    /// # Errors
    /// What the file system reports.
    fn free_octets(&self, path: &Path) -> io::Result<u64>;

    /// Octets of a segment on this disk.
    fn segment_octets(&self) -> u64 {
        SEGMENT_OCTETS
    }
}

/// The disk that the kernel offers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    fn allocate(&self, file: &File, from: u64, octets: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), from, octets) {
            // Not every file system can reserve; there, writing finds out.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            other => Ok(other?),
        }
    }

    fn write(&self, file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(file, slices, offset)?)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn free_octets(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Whether an error says that the disk has no room.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
