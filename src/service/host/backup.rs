//! Export and import: document, certificates, keys and the administrator's hash in one encrypted
//! file. No mail, no spool.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::container;
use super::generations::Generations;
use super::stage::check;
use super::tar::{Member, pack, unpack};
use crate::base::fault::Fault;
use crate::base::limits::{SETUP_FILE_OCTETS_MAX, SETUP_FILES_MAX, SETUP_OCTETS_MAX};
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::setup::{GIVEN_FOLDERS, GivenFile, given_path};
use crate::config::show;
use crate::config::{Anywhere, read};
use crate::control::answer::{DifferenceRow, Trouble, TroubleKind};
use crate::host::paths::Paths;
use crate::source::secret::usable_hash;

/// The version of what is inside.
const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const DOCUMENT: &str = "postern.toml";
const ADMIN: &str = "admin";

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    program: String,
    hostname: String,
    made: WallTime,
    generation: u64,
}

/// What is in a backup.
#[derive(Debug)]
pub struct Contents {
    /// The document.
    pub document: String,
    /// Certificates and keys.
    pub files: Vec<GivenFile>,
    /// The hash of the administrator's passphrase.
    pub admin: Option<Secret<String>>,
}

/// Makes a backup of what is in force.
///
/// # Errors
/// There is no configuration, or something cannot be read.
pub fn export(
    paths: &Paths,
    passphrase: &Secret<String>,
    hostname: &str,
    now: WallTime,
) -> Result<Vec<u8>, Fault> {
    let document = fs::read_to_string(paths.document())
        .map_err(|cause| Fault::new("reading", paths.document().display(), cause))?;
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: hostname.to_owned(),
        made: now,
        generation: Generations::new(paths.clone()).current(),
    };
    let manifest = serde_json::to_vec_pretty(&manifest)
        .map_err(|cause| Fault::new("writing", MANIFEST, cause))?;
    let mut members = vec![Member::new(MANIFEST, manifest), Member::new(DOCUMENT, document)];
    if let Ok(hash) = fs::read(paths.admin()) {
        members.push(Member::new(ADMIN, hash));
    }
    for name in files_of(paths) {
        let path = paths.etc().join(&name);
        let octets =
            fs::read(&path).map_err(|cause| Fault::new("reading", path.display(), cause))?;
        members.push(Member::new(format!("etc/{}", name.display()), octets));
    }
    let packed = Secret::new(pack(&members, now.unix_secs()));
    let small = compress(packed.expose()).map_err(|e| Fault::new("compressing", "a backup", e))?;
    container::close(&small, passphrase)
}

/// Certificates and keys below `/etc/postern`.
fn files_of(paths: &Paths) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for folder in GIVEN_FOLDERS {
        let entries = fs::read_dir(paths.etc().join(folder)).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_file()) {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            // Half a file that a power cut left.
            let half = entry.path().extension().is_some_and(|end| end == "new");
            names.extend(given_path(&name).ok().filter(|_| !half));
        }
    }
    names.sort();
    names
}

/// Opens a backup.
///
/// # Errors
/// Wrong passphrase, something was changed, or it is none.
pub fn open(sealed: &[u8], passphrase: &Secret<String>) -> Result<Contents, Trouble> {
    let invalid = |text: String| Trouble::new(TroubleKind::Invalid, text);
    let small = container::open(sealed, passphrase).map_err(|shut| invalid(shut.to_string()))?;
    let packed = expand(small.expose()).map_err(|cause| invalid(format!("unpacking: {cause}")))?;
    let members = unpack(packed.expose()).map_err(invalid)?;
    let (mut manifest, mut document, mut admin) = (None, None, None);
    let mut files = Vec::new();
    for member in members {
        let text = String::from_utf8(member.octets)
            .map_err(|_| invalid(format!("{} is no text", member.name)))?;
        match member.name.as_str() {
            MANIFEST => manifest = serde_json::from_str::<Manifest>(&text).ok(),
            DOCUMENT => document = Some(text),
            ADMIN => admin = Some(Secret::new(text)),
            name => {
                let path = name.strip_prefix("etc/").unwrap_or_default();
                let path = given_path(path).map_err(|why| invalid(format!("{name} {why}")))?;
                if text.len() > SETUP_FILE_OCTETS_MAX || files.len() >= SETUP_FILES_MAX {
                    return Err(invalid(format!("{name} is too much")));
                }
                files.push(GivenFile { path, text: Secret::new(text) });
            }
        }
    }
    let manifest = manifest.ok_or_else(|| invalid("the backup has no manifest".to_owned()))?;
    if manifest.format != FORMAT {
        return Err(invalid(format!(
            "the backup has format {}, made by Postern {}; this program reads format {FORMAT}",
            manifest.format, manifest.program
        )));
    }
    let admin = admin.filter(|hash: &Secret<String>| usable_hash(hash.expose().trim()));
    let document = document.ok_or_else(|| invalid("the backup has no document".to_owned()))?;
    Ok(Contents { document, files, admin })
}

impl Contents {
    /// Checks the document with the files that come with it.
    ///
    /// # Errors
    /// All complaints at once.
    pub fn check(&self, paths: &Paths) -> Result<(), Trouble> {
        let given: Vec<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
        check(paths, &self.document, &given).map(|_| ()).map_err(|complaints| {
            let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            Trouble::new(TroubleKind::Invalid, lines.join("\n"))
        })
    }

    /// What it would change in the document, by key path.
    #[must_use]
    pub fn differences(&self, paths: &Paths) -> Vec<DifferenceRow> {
        let now = fs::read_to_string(paths.document()).unwrap_or_default();
        differences(&now, &self.document)
    }

    /// Files that are not there yet or differ.
    #[must_use]
    pub fn changed_files(&self, paths: &Paths) -> Vec<String> {
        let same = |file: &&GivenFile| {
            fs::read(paths.etc().join(&file.path))
                .is_ok_and(|octets| octets == file.text.expose().as_bytes())
        };
        let changed = self.files.iter().filter(|file| !same(file));
        changed.map(|file| file.path.display().to_string()).collect()
    }
}

/// What differs between two documents; one that is wrong or missing has no settings.
#[must_use]
pub fn differences(old: &str, new: &str) -> Vec<DifferenceRow> {
    let config = |text: &str| read(text, &Anywhere).ok().map(|reading| reading.config);
    match (config(old), config(new)) {
        (Some(old), Some(new)) => show::diff(&old, &new)
            .into_iter()
            .map(|d| DifferenceRow { key: d.key, old: d.old, new: d.new })
            .collect(),
        (None, Some(new)) => show::settings(&new)
            .into_iter()
            .map(|(key, value)| DifferenceRow { key, old: None, new: Some(value) })
            .collect(),
        _ => Vec::new(),
    }
}

/// gzip.
pub(super) fn compress(octets: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets)?;
    encoder.finish()
}

fn expand(octets: &[u8]) -> std::io::Result<Secret<Vec<u8>>> {
    let mut plain = Vec::new();
    let limit = 4 * SETUP_OCTETS_MAX;
    GzDecoder::new(octets).take(limit + 1).read_to_end(&mut plain)?;
    if plain.len() as u64 > limit {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(Secret::new(plain))
}

/// The name of a file that is made for `hostname` now: `backup-gw.example.org-20261129.pbk`.
#[must_use]
pub fn file_name(what: &str, hostname: &str, now: WallTime, suffix: &str) -> String {
    let day: String = now.rfc3339().chars().take(10).filter(char::is_ascii_digit).collect();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let host: String = hostname.chars().filter(|c| legal(*c)).take(64).collect();
    format!("{what}-{host}-{day}.{suffix}")
}

/// Writes a file on the stick.
///
/// # Errors
/// There is none, or it cannot be written.
pub(super) fn to_stick(paths: &Paths, name: &str, octets: &[u8]) -> Result<(), Trouble> {
    use crate::host::durable::{Readers, replace};
    use crate::host::mount::Stick;
    let Some(stick) = Stick::by_unit(paths)? else {
        let text = "no stick with the label POSTERNCFG is there";
        return Err(Trouble::new(TroubleKind::NotFound, text));
    };
    let path: &Path = stick.folder();
    Ok(replace(&path.join(name), octets, Readers::Owner)?)
}

/// Reads a backup from the stick: the named one, or the only one.
///
/// # Errors
/// There is no stick, no such backup, or there are several to choose from.
pub(super) fn from_stick(paths: &Paths, name: Option<&str>) -> Result<Vec<u8>, Trouble> {
    use crate::base::limits::HOST_REQUEST_OCTETS_MAX;
    use crate::host::mount::Stick;
    let missing = |text: &str| Trouble::new(TroubleKind::NotFound, text);
    let Some(stick) = Stick::by_unit(paths)? else {
        return Err(missing("no stick with the label POSTERNCFG is there"));
    };
    let entries = fs::read_dir(stick.folder()).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|found| {
        let backup = Path::new(found).extension().is_some_and(|end| end == "pbk");
        name.map_or(backup, |name| found == name)
    });
    names.sort();
    let name = match names.as_slice() {
        [] => return Err(missing("that backup is not on the stick, or there is none (*.pbk)")),
        [name] => name,
        several => {
            let text =
                format!("the stick holds several backups: name one of {}", several.join(", "));
            return Err(Trouble::new(TroubleKind::Conflict, text));
        }
    };
    let path = stick.folder().join(name);
    let fault = |cause: std::io::Error| Fault::new("reading", path.display(), cause);
    let mut sealed = Vec::new();
    let limit = HOST_REQUEST_OCTETS_MAX as u64;
    fs::File::open(&path).map_err(fault)?.take(limit).read_to_end(&mut sealed).map_err(fault)?;
    Ok(sealed)
}
