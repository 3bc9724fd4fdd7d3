//! The folder of updates on the state partition: the record, the staged files, and a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::base::fault::Fault;
use crate::host::durable;
use crate::update::bundle::{Piece, Reader};
use crate::update::keys::{Proven, ReleaseKey, Roots, verify};
use crate::update::manifest::{Chunks, File as Member, Hasher, Manifest};
use crate::update::record::{RECORD_OCTETS_MAX, Record};

/// Octets that are read at a time.
const PIECE_OCTETS: usize = 256 * 1024;

/// A look at the lock takes a moment; work takes minutes. So often it is tried, so far apart.
const LOCK_TRIES: u32 = 10;
const LOCK_BEAT: Duration = Duration::from_millis(50);

/// Octets of a public key's file.
const KEY_OCTETS_MAX: u64 = 4096;

/// The folder of updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    folder: PathBuf,
}

/// Nobody else stages or applies while this lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Shelf {
    /// The folder; it is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let made = fs::create_dir_all(folder);
        made.map_err(|error| Fault::new("making", folder.display(), error))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// Another has it.
    pub fn lock(&self) -> Result<Lock, Fault> {
        let path = self.folder.join("lock");
        let fault = |cause: String| Fault::new("locking", path.display(), cause);
        let mut open = OpenOptions::new();
        let file = open.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| fault(error.to_string()))?;
        for _ in 0..LOCK_TRIES {
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Lock { _file: file });
            }
            std::thread::sleep(LOCK_BEAT);
        }
        Err(fault("another update command is at work".to_owned()))
    }

    /// Whether somebody else is at work.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let file = File::open(self.folder.join("lock"));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }

    /// The record; an empty one if there is none, and why if what is there is damaged. It stays
    /// where it is: whoever has the lock may call [`Shelf::set_aside`].
    ///
    /// # Errors
    /// The disk failed.
    pub fn record(&self) -> Result<(Record, Option<String>), Fault> {
        let path = self.record_path();
        let octets = match read_small(&path, RECORD_OCTETS_MAX as u64) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Record::default(), None));
            }
            Err(error) => return Err(Fault::new("reading", path.display(), error)),
        };
        match Record::read(&octets) {
            Ok(record) => Ok((record, None)),
            Err(error) => Ok((Record::default(), Some(error.to_string()))),
        }
    }

    /// Writes the record: to another name, synced, renamed, the folder synced.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save(&self, record: &Record) -> Result<(), Fault> {
        replace(&self.record_path(), &record.write())
    }

    /// Keeps the record that is there, damaged as it is, under another name as well, and says under
    /// which. Until [`Shelf::save`] replaces it a power cut finds it damaged again, and never no
    /// record at all.
    ///
    /// # Errors
    /// The disk failed.
    pub fn set_aside(&self) -> Result<PathBuf, Fault> {
        let aside = self.folder.join("state.damaged");
        durable::remove(&aside)?;
        let kept = fs::hard_link(self.record_path(), &aside);
        kept.and_then(|()| durable::sync_folder(&aside))
            .map_err(|error| Fault::new("setting aside", self.record_path().display(), error))?;
        Ok(aside)
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// Where staged files are.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.folder.join("staged")
    }

    /// Empties the staging folder.
    ///
    /// # Errors
    /// The disk failed.
    pub fn empty(&self) -> Result<(), Fault> {
        let staging = self.staging();
        let emptied = match fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&staging),
        };
        emptied.map_err(|error| Fault::new("emptying", staging.display(), error))
    }

    /// Compares the staged files with the manifest.
    ///
    /// # Errors
    /// One is missing or not as signed.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Fault> {
        let files = &manifest.files;
        for member in [&files.uki, &files.root, &files.verity] {
            let path = self.staging().join(&member.name);
            let fault = |cause: String| Fault::new("checking", path.display(), cause);
            let mut file = File::open(&path).map_err(|error| fault(error.to_string()))?;
            let (octets, hash) = hash(&mut file).map_err(|error| fault(error.to_string()))?;
            if octets != member.octets || hash.to_string() != member.sha256.to_string() {
                return Err(fault("it is not as signed".to_owned()));
            }
        }
        Ok(())
    }
}

fn read_small(path: &Path, octets_max: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?.take(octets_max).read_to_end(&mut octets)?;
    Ok(octets)
}

/// Replaces a file so that after a power cut either the old or the new one is there.
///
/// # Errors
/// The disk failed.
pub fn replace(path: &Path, octets: &[u8]) -> Result<(), Fault> {
    let fault = |error: io::Error| Fault::new("writing", path.display(), error);
    let part = path.with_extension("part");
    let write = || {
        let mut open = OpenOptions::new();
        let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(fault)
}

/// Octets and SHA-256 of what can be read.
fn hash(from: &mut impl Read) -> io::Result<(u64, crate::update::manifest::Sha256)> {
    let (mut hasher, mut octets, mut piece) = (Hasher::default(), 0, vec![0; PIECE_OCTETS]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok((octets, hasher.finish())),
            read => {
                hasher.update(&piece[..read]);
                octets += read as u64;
            }
        }
    }
}

/// A member of a release: what travels is `packed`, what it becomes is `raw`.
///
/// # Errors
/// A file cannot be read.
pub fn member(name: &str, packed: &Path, raw: &Path) -> Result<Member, Fault> {
    let fault = |path: &Path, error: io::Error| Fault::new("reading", path.display(), error);
    let mut file = File::open(packed).map_err(|error| fault(packed, error))?;
    let (octets, sha256) = hash(&mut file).map_err(|error| fault(packed, error))?;
    let mut file = File::open(raw).map_err(|error| fault(raw, error))?;
    let (mut chunks, mut unpacked_octets) = (Chunks::default(), 0);
    let mut piece = vec![0; PIECE_OCTETS];
    loop {
        match file.read(&mut piece).map_err(|error| fault(raw, error))? {
            0 => break,
            read => {
                chunks.update(&piece[..read]);
                unpacked_octets += read as u64;
            }
        }
    }
    let chunks = chunks.finish();
    Ok(Member { name: name.to_owned(), octets, sha256, unpacked_octets, chunks })
}

/// The release keys in `folder`: every file that ends in `.pub`.
///
/// # Errors
/// The folder cannot be read, a key is none, or there are too few.
pub fn roots(folder: &Path) -> Result<Roots, Fault> {
    let fault = |cause: String| Fault::new("reading release keys in", folder.display(), cause);
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| fault(error.to_string()))? {
        let path = entry.map_err(|error| fault(error.to_string()))?.path();
        if path.extension().is_none_or(|kind| kind != "pub") {
            continue;
        }
        let octets = read_small(&path, KEY_OCTETS_MAX).map_err(|error| fault(error.to_string()))?;
        let key = ReleaseKey::read(&String::from_utf8_lossy(&octets));
        keys.push(key.map_err(|why| fault(format!("{} {why}", path.display())))?);
    }
    Roots::new(keys).map_err(|refused| fault(refused.to_string()))
}

/// Takes a bundle from octets that are pushed: nothing is kept before the signatures are believed
/// and the release is wanted.
#[derive(Debug)]
pub struct Intake<'s, J> {
    shelf: &'s Shelf,
    roots: &'s Roots,
    /// Whether a believed release is wanted.
    judge: J,
    reader: Reader,
    proven: Option<Proven>,
    open: Option<(File, u64)>,
    taken: Vec<String>,
}

impl<'s, J: FnMut(&Proven) -> Result<(), Fault>> Intake<'s, J> {
    /// A bundle that begins.
    pub fn new(shelf: &'s Shelf, roots: &'s Roots, judge: J) -> Self {
        let reader = Reader::default();
        Self { shelf, roots, judge, reader, proven: None, open: None, taken: Vec::new() }
    }

    /// Takes octets.
    ///
    /// # Errors
    /// They are no bundle, nobody vouches for it, it is not wanted, or the disk failed.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let mut pieces = Vec::new();
        let pushed = self.reader.push(octets, &mut pieces);
        for piece in pieces {
            self.piece(piece)?;
        }
        pushed.map_err(|cause| Fault::new("reading", "the bundle", cause))
    }

    /// There are no more octets; what was signed.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(self) -> Result<Proven, Fault> {
        let fault = |cause: &dyn std::fmt::Display| Fault::new("reading", "the bundle", cause);
        self.reader.finish().map_err(|cause| fault(&cause))?;
        let folder = File::open(self.shelf.staging()).and_then(|folder| folder.sync_all());
        folder.map_err(|error| Fault::new("syncing", "the staging folder", error))?;
        self.proven.ok_or_else(|| fault(&"it has no manifest"))
    }

    fn piece(&mut self, piece: Piece) -> Result<(), Fault> {
        match piece {
            Piece::Signed { manifest, signatures } => {
                let proven = verify(&manifest, &signatures, self.roots)
                    .map_err(|refused| Fault::new("believing", "the bundle", refused))?;
                (self.judge)(&proven)?;
                self.shelf.empty()?;
                self.proven = Some(proven);
                Ok(())
            }
            Piece::Begin { name, octets } => self.begin(name, octets),
            Piece::Octets(octets) => {
                let Some((file, _)) = &mut self.open else { return Ok(()) };
                let written = file.write_all(&octets);
                written.map_err(|error| Fault::new("writing", "the staging folder", error))
            }
            Piece::End => {
                let Some((file, _)) = self.open.take() else { return Ok(()) };
                let synced = file.sync_all();
                synced.map_err(|error| Fault::new("syncing", "the staging folder", error))
            }
        }
    }

    /// Only what the manifest names, once, and as long as it says.
    fn begin(&mut self, name: String, octets: u64) -> Result<(), Fault> {
        let fault = |cause: &str| Fault::new("reading", "the bundle", format!("{name:?} {cause}"));
        let files = self.proven.as_ref().map(|proven| &proven.manifest().files);
        let members = files.map(|files| [&files.uki, &files.root, &files.verity]);
        let known = members.into_iter().flatten().find(|member| member.name == name);
        match known {
            Some(member) if member.octets == octets && !self.taken.contains(&name) => {}
            Some(_) => return Err(fault("is not as the manifest says")),
            None => return Err(fault("does not stand in the manifest")),
        }
        let path = self.shelf.staging().join(&name);
        let mut open = OpenOptions::new();
        let file = open.write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| Fault::new("creating", path.display(), error))?;
        self.open = Some((file, octets));
        self.taken.push(name);
        Ok(())
    }
}

/// Pushes a file or device into `intake`; `each` hears how much.
///
/// # Errors
/// It cannot be read, or as [`Intake::push`].
pub fn pour<J: FnMut(&Proven) -> Result<(), Fault>>(
    path: &Path,
    intake: &mut Intake<'_, J>,
    mut each: impl FnMut(u64),
) -> Result<(), Fault> {
    let fault = |error: io::Error| Fault::new("reading", path.display(), error);
    let mut file = File::open(path).map_err(fault)?;
    let (mut piece, mut octets) = (vec![0; PIECE_OCTETS], 0);
    loop {
        match file.read(&mut piece).map_err(fault)? {
            0 => return Ok(()),
            read => intake.push(&piece[..read])?,
        }
        octets += PIECE_OCTETS as u64;
        each(octets);
    }
}
