//! Reads what is really on a disk, past the page cache, and hashes it in chunks.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, OFlags, fadvise};

use crate::base::fault::Fault;
use crate::update::manifest::{self, CHUNK_OCTETS, Sha256};

/// What direct I/O wants places, lengths and memory to be multiples of.
const BLOCK: usize = 4096;

/// Compares `octets_of` a region with the hashes of a file; `each` hears how much was read.
///
/// # Errors
/// The disk cannot be read, or gives back something else; which chunk.
pub fn compare(
    path: &Path,
    start: u64,
    file: &manifest::File,
    mut each: impl FnMut(u64),
) -> Result<(), Fault> {
    let fault = |cause: String| Fault::new("reading back", path.display(), cause);
    let surface = Surface::open(path, start, file.unpacked_octets)
        .map_err(|error| fault(error.to_string()))?;
    let mut memory = vec![0; chunk() + BLOCK];
    let aligned = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
    let memory = &mut memory[aligned..aligned + chunk()];
    let mut at = 0;
    for (number, expected) in file.chunks.iter().enumerate() {
        let left = file.unpacked_octets.saturating_sub(at).min(CHUNK_OCTETS);
        let length = usize::try_from(left).unwrap_or(0);
        surface.read(memory, start + at, length).map_err(|error| fault(error.to_string()))?;
        if Sha256::of(&memory[..length]) != *expected {
            return Err(fault(format!("chunk {number} of {} is not as signed", file.name)));
        }
        at += left;
        each(at);
    }
    Ok(())
}

fn chunk() -> usize {
    usize::try_from(CHUNK_OCTETS).unwrap_or(usize::MAX)
}

/// A file or device that is read past the cache.
struct Surface {
    file: File,
}

impl Surface {
    fn open(path: &Path, start: u64, octets: u64) -> io::Result<Self> {
        let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        let file = match OpenOptions::new().read(true).custom_flags(direct).open(path) {
            Ok(file) => file,
            // File systems in memory have no surface behind their cache.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => File::open(path)?,
            Err(error) => return Err(error),
        };
        // Belt and braces where direct reading is not to be had.
        let length = std::num::NonZero::new(octets);
        fadvise(&file, start, length, Advice::DontNeed)?;
        Ok(Self { file })
    }

    /// Fills the first `length` octets of `memory`.
    fn read(&self, memory: &mut [u8], offset: u64, length: usize) -> io::Result<()> {
        let whole = length.next_multiple_of(BLOCK).min(memory.len());
        let mut done = 0;
        while done < length {
            match self.file.read_at(&mut memory[done..whole], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::manifest::Chunks;

    #[test]
    fn what_is_on_the_disk_is_compared() {
        let folder =
            tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
        let path = folder.path().join("disk");
        let mut octets = vec![0_u8; 3 * 1024 * 1024 + 777];
        octets.iter_mut().zip((0..=252).cycle()).for_each(|(octet, value)| *octet = value);
        std::fs::write(&path, &octets).unwrap();
        let start = 1024 * 1024;
        let content = &octets[start..];
        let mut chunks = Chunks::default();
        chunks.update(content);
        let file = manifest::File {
            name: "x".to_owned(),
            octets: 1,
            sha256: Sha256::of(b""),
            unpacked_octets: content.len() as u64,
            chunks: chunks.finish(),
        };
        let mut seen = 0;
        compare(&path, start as u64, &file, |at| seen = at).unwrap();
        assert_eq!(seen, content.len() as u64);
        for at in [start, start + 5_000, octets.len() - 1] {
            let mut damaged = octets.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(compare(&path, start as u64, &file, |_| {}).is_err(), "octet {at}");
        }
        std::fs::write(&path, &octets[..octets.len() - 1]).unwrap();
        assert!(compare(&path, start as u64, &file, |_| {}).is_err(), "one octet is missing");
    }
}
