//! `postern update sign`: another release key signs a bundle, elsewhere than where it was made.
//!
//! What is signed is the manifest; the files are compared with it while they are copied, so that
//! nobody signs for something else than what the bundle holds. With the same keys in the same order
//! the result is, octet for octet, what `postern update bundle` makes with all of them at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::SignArguments;
use super::release::{failed, head, missing, offer, secret_key, wanted};
use super::{Ending, print};
use crate::base::fault::Fault;
use crate::host::durable::sync_folder;
use crate::update::bundle::{BLOCK, Piece, Reader, header, padding};
use crate::update::keys::{KeyId, SecretKey, add, signers};
use crate::update::manifest::{self, Hasher, Manifest};

/// Octets that are read at a time.
const PIECE_OCTETS: usize = 256 * 1024;

/// `postern update sign BUNDLE --key FILE`.
pub(super) fn sign(arguments: &SignArguments, json: bool) -> Ending {
    let Signed { manifest, keys } = match signed(arguments) {
        Ok(signed) => signed,
        Err(fault) => return failed(&fault),
    };
    let (file, missing) = (arguments.bundle.display().to_string(), missing(keys.len()));
    let (version, root_hash) = (manifest.version.to_string(), manifest.root_hash.to_string());
    let keys: Vec<String> = keys.iter().map(KeyId::to_string).collect();
    if json {
        let done = json!({
            "file": file, "version": version, "root_hash": root_hash, "keys": keys,
            "missing": missing,
        });
        print(&format!("{done:#}\n"));
    } else {
        let keys = keys.join(", ");
        print(&format!("{file}: {version}, root hash {root_hash}\nsigned by {keys}\n"));
        print(&wanted(missing));
    }
    Ending::Done
}

/// What became of a bundle.
struct Signed {
    manifest: Manifest,
    keys: Vec<KeyId>,
}

fn signed(arguments: &SignArguments) -> Result<Signed, Fault> {
    let bundle = &arguments.bundle;
    let fault = |cause: String| Fault::new("signing", bundle.display(), cause);
    let key = secret_key(&arguments.key)?;
    let new = beside(bundle);
    let copied = copied(bundle, &new, &key);
    let (octets, signatures) = copied.map_err(|why| {
        let _ = fs::remove_file(&new);
        fault(why)
    })?;
    let manifest = Manifest::read(&octets).map_err(|why| fault(why.to_string()))?;
    let keys = signers(&signatures).map_err(fault)?;
    fs::rename(&new, bundle)
        .and_then(|()| sync_folder(bundle))
        .map_err(|error| fault(error.to_string()))?;
    if let Some(folder) = &arguments.offer {
        offer(folder, &octets, &signatures)?;
    }
    Ok(Signed { manifest, keys })
}

/// The name until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Copies the bundle `from` with one signature more; the manifest and all its signatures.
fn copied(from: &Path, new: &Path, key: &SecretKey) -> Result<(Vec<u8>, Vec<Vec<u8>>), String> {
    let text = |error: io::Error| error.to_string();
    let mut source = File::open(from).map_err(text)?;
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(text(error)),
        _ => {}
    }
    let out = OpenOptions::new().write(true).create_new(true).open(new).map_err(text)?;
    let mut copy = Copy { out: BufWriter::new(out), key, head: None, files: 0, file: None };
    let (mut reader, mut pieces) = (Reader::default(), Vec::new());
    let mut octets = vec![0; PIECE_OCTETS];
    loop {
        let read = source.read(&mut octets).map_err(text)?;
        if read == 0 {
            break;
        }
        reader.push(&octets[..read], &mut pieces).map_err(|no| no.to_string())?;
        for piece in pieces.drain(..) {
            copy.take(piece)?;
        }
    }
    reader.finish().map_err(|no| no.to_string())?;
    copy.end()
}

/// The files of a release in the order in which they travel.
fn file_at(manifest: &Manifest, place: usize) -> Option<&manifest::File> {
    let files = &manifest.files;
    [&files.uki, &files.root, &files.verity].get(place).copied()
}

/// A copy in the making.
struct Copy<'k> {
    out: BufWriter<File>,
    key: &'k SecretKey,
    head: Option<Head>,
    /// Files that are whole or begun.
    files: usize,
    file: Option<Hasher>,
}

/// What stands before the files.
struct Head {
    manifest: Manifest,
    octets: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

impl Copy<'_> {
    fn take(&mut self, piece: Piece) -> Result<(), String> {
        match piece {
            Piece::Signed { manifest, signatures } => self.sign(manifest, signatures),
            Piece::Begin { name, octets } => self.begin(&name, octets),
            Piece::Octets(octets) => {
                if let Some(hasher) = &mut self.file {
                    hasher.update(&octets);
                }
                self.out.write_all(&octets).map_err(|error| error.to_string())
            }
            Piece::End => self.compare(),
        }
    }

    fn sign(&mut self, octets: Vec<u8>, mut signatures: Vec<Vec<u8>>) -> Result<(), String> {
        let manifest = Manifest::read(&octets).map_err(|no| no.to_string())?;
        add(&octets, &mut signatures, self.key)?;
        head(&mut self.out, &octets, &signatures, manifest.made.unix_secs())
            .map_err(|error| error.to_string())?;
        self.head = Some(Head { manifest, octets, signatures });
        Ok(())
    }

    fn begin(&mut self, name: &str, octets: u64) -> Result<(), String> {
        let Some(Head { manifest, .. }) = &self.head else { return Err("no manifest".to_owned()) };
        let expected = file_at(manifest, self.files);
        if expected.is_none_or(|file| file.name != name || file.octets != octets) {
            return Err(format!("{name:?} is not as its manifest says"));
        }
        self.files += 1;
        self.file = Some(Hasher::default());
        let head = header(name, octets, manifest.made.unix_secs()).map_err(|no| no.to_string())?;
        self.out.write_all(&head).map_err(|error| error.to_string())
    }

    /// A file is whole.
    fn compare(&mut self) -> Result<(), String> {
        let file = self.head.as_ref().and_then(|head| file_at(&head.manifest, self.files - 1));
        let (Some(file), Some(hasher)) = (file, self.file.take()) else {
            return Err("a file ends that did not begin".to_owned());
        };
        if hasher.finish() != file.sha256 {
            return Err(format!("{} is not as its manifest says", file.name));
        }
        let zeros = vec![0; padding(file.octets)];
        self.out.write_all(&zeros).map_err(|error| error.to_string())
    }

    fn end(mut self) -> Result<(Vec<u8>, Vec<Vec<u8>>), String> {
        let Some(Head { octets, signatures, .. }) = self.head else {
            return Err("it has no manifest".to_owned());
        };
        self.out
            .write_all(&[0; 2 * BLOCK])
            .and_then(|()| self.out.flush())
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(|error| error.to_string())?;
        Ok((octets, signatures))
    }
}
