//! Segments as files: their names, their list, and reading them.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::spool::record::{End, Kind, Opening, VERSION, read_head};
use crate::spool::scan::{Depth, Found, Octets, Scan};

/// Endings of segment files, the first version first. A program that does not know an ending does
/// not open the spool at all: it would take records of a later version for damaged ones.
const ENDINGS: [&str; 2] = ["v1", "v2"];

/// Octets that a walk over a segment reads at a time.
const WINDOW_OCTETS: usize = 1024 * 1024;

/// A segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u32,
    /// Its salt.
    pub salt: u64,
    /// Its length in octets.
    pub octets: u64,
    /// The version of the program that began it.
    pub version: u8,
}

impl Segment {
    /// A name for a new segment, with a salt that nobody outside can know.
    #[must_use]
    pub fn new(number: u32) -> Self {
        // The keys of a `RandomState` come from the operating system.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(number);
        Self { number, salt: hasher.finish(), octets: 0, version: VERSION }
    }

    /// Its place in the ledger's folder.
    #[must_use]
    pub fn path(&self, folder: &Path) -> PathBuf {
        let Self { number, salt, version, .. } = self;
        folder.join(format!("{number:08x}-{salt:016x}.v{version}"))
    }

    /// Reads the name of a segment file.
    #[must_use]
    pub fn read_name(name: &str) -> Option<Self> {
        let (name, ending) = name.split_once('.')?;
        let version = (1..).zip(ENDINGS).find(|(_, known)| *known == ending)?.0;
        let (number, salt) = name.split_once('-')?;
        let sized = number.len() == 8 && salt.len() == 16;
        let number = u32::from_str_radix(number, 16).ok()?;
        let salt = u64::from_str_radix(salt, 16).ok()?;
        sized.then_some(Self { number, salt, octets: 0, version })
    }

    /// Walks over its records.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn scan(
        &self,
        folder: &Path,
        depth: Depth,
        known: Option<End>,
    ) -> io::Result<Scan<Window>> {
        let window = Window::open(&self.path(folder))?;
        Ok(Scan::new(window, self.number, self.salt, depth, known))
    }

    /// How the segment before this one ended, and the floor, if the first record is whole.
    #[must_use]
    pub fn opening(&self, folder: &Path) -> Option<Opening> {
        let first = self.scan(folder, Depth::Heads, None).ok()?.next()?;
        let Found::Record { header, head, .. } = first else { return None };
        if header.kind != Kind::Opening {
            return None;
        }
        read_head(&header, &head).ok()
    }
}

/// What stands in the ledger's folder.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Segments by number.
    pub segments: BTreeMap<u32, Segment>,
    /// Names that are no segments of this format.
    pub strangers: Vec<String>,
}

/// Lists the ledger's folder.
///
/// # Errors
/// If it cannot be read.
pub fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match Segment::read_name(&name) {
            Some(segment) => {
                let octets = entry.metadata().map_or(0, |meta| meta.len());
                listing.segments.insert(segment.number, Segment { octets, ..segment });
            }
            None => listing.strangers.push(name),
        }
    }
    Ok(listing)
}

/// A file seen through a window that moves forward.
#[derive(Debug)]
pub struct Window {
    file: File,
    from: u64,
    held: Vec<u8>,
    /// Blocks that could not be read.
    pub unreadable: u64,
}

impl Window {
    /// Opens a file.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, from: 0, held: Vec::new(), unreadable: 0 })
    }

    fn fill(&mut self, offset: u64, len: usize) {
        self.from = offset;
        self.held.resize(len, 0);
        let mut done = 0;
        while done < len {
            let rest = &mut self.held[done..];
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // A block that the disk cannot read any more: zeros, which no checksum takes.
                    let block = 4096 - usize::try_from((offset + done as u64) % 4096).unwrap_or(0);
                    let bad = block.min(rest.len());
                    rest[..bad].fill(0);
                    done += bad;
                    self.unreadable += 1;
                }
            }
        }
        self.held.truncate(done);
    }
}

impl Octets for Window {
    fn at(&mut self, offset: u64, len: usize) -> &[u8] {
        let end = self.from + self.held.len() as u64;
        if offset < self.from || offset.saturating_add(len as u64) > end {
            // A head claims its length under a checksum, yet nobody asks for more than a record.
            self.fill(offset, len.max(WINDOW_OCTETS));
        }
        let start = usize::try_from(offset - self.from).unwrap_or(usize::MAX).min(self.held.len());
        &self.held[start..start.saturating_add(len).min(self.held.len())]
    }
}

/// Reads one record's octets; shorter if the file ends.
///
/// # Errors
/// What the file system reports.
pub fn read(path: &Path, offset: u32, octets: u32) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut out = vec![0; usize::try_from(octets).unwrap_or(0)];
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], u64::from(offset) + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.truncate(done);
    Ok(out)
}

/// The message that a header is about, in words for a fact.
#[must_use]
pub fn place(segment: u32, offset: u32) -> String {
    format!("segment {segment:08x} offset {offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let segment = Segment::new(0x2a);
        let path = segment.path(Path::new("/x"));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(Segment::read_name(name), Some(segment));
        assert_eq!(name.rsplit_once('.').unwrap().1, "v2", "not to be taken for damaged: {name}");
        let first = "0000002a-00000000000000ff.v1";
        let old = Segment::read_name(first).unwrap();
        assert_eq!((old.number, old.salt, old.version), (0x2a, 0xff, 1));
        assert_eq!(old.path(Path::new("/x")), Path::new("/x").join(first));
        for wrong in [
            "",
            "0000002a.v1",
            "2a-00.v1",
            "0000002a-0000000000000000.v3",
            "0000002a-0000000000000000.v2.v2",
            "lost+found",
        ] {
            assert_eq!(Segment::read_name(wrong), None, "{wrong}");
        }
        assert_ne!(Segment::new(1).salt, Segment::new(1).salt);
    }
}
