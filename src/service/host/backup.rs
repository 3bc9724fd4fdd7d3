//! Export and import: document, certificates, keys and the administrator's hash in one encrypted
//! file. No mail, no spool.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::container;
use super::generations::Generations;
use super::stage::{self, below_etc};
use super::tar::{Member, pack, unpack};
use crate::base::fault::Fault;
use crate::base::limits::{BACKUP_FILE_OCTETS_MAX, BACKUP_OCTETS_MAX, BACKUP_UNPACKED_OCTETS_MAX};
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::complaint::Complaint;
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

/// Files that come with the operating system, on this machine and on the one that takes the backup;
/// nobody keeps a key of his own there.
const OF_THE_SYSTEM: [&str; 3] = ["/usr/share/", "/usr/lib/", "/etc/ssl/certs/ca-certificates.crt"];

/// Makes a backup of what is in force: the document, every file that it names, the administrator's
/// hash. It is opened and checked as a restore does before anybody hears of it.
///
/// # Errors
/// There is no configuration, it names a file that cannot be carried, something cannot be read, or
/// a restore would refuse what was made.
pub fn export(
    paths: &Paths,
    passphrase: &Secret<String>,
    hostname: &str,
    now: WallTime,
) -> Result<Vec<u8>, Trouble> {
    let document = fs::read_to_string(paths.document())
        .map_err(|cause| Fault::new("reading", paths.document().display(), cause))?;
    let files = files_of(paths, &document)?;
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: hostname.to_owned(),
        made: now,
        generation: Generations::new(paths.clone()).current(),
    };
    let manifest = serde_json::to_vec_pretty(&manifest)
        .map_err(|cause| Fault::new("writing", MANIFEST, cause))?;
    let mut members =
        vec![Member::new(MANIFEST, manifest), Member::new(DOCUMENT, document.as_str())];
    if let Ok(hash) = fs::read(paths.admin()) {
        members.push(Member::new(ADMIN, hash));
    }
    members.extend(files.iter().map(|file| {
        Member::new(format!("etc/{}", file.path.display()), file.octets.expose().as_slice())
    }));
    let packed = Secret::new(pack(&members, now.unix_secs()));
    let small = compress(packed.expose()).map_err(|e| Fault::new("compressing", "a backup", e))?;
    let sealed = container::close(&small, passphrase)?;
    prove(paths, &sealed, passphrase, &document, &files)?;
    Ok(sealed)
}

/// What was made is what a restore takes.
fn prove(
    paths: &Paths,
    sealed: &[u8],
    passphrase: &Secret<String>,
    document: &str,
    files: &[GivenFile],
) -> Result<(), Trouble> {
    let in_vain = |text: &str| {
        let text = format!("no backup was made, because a restore would refuse it: {text}");
        Trouble::new(TroubleKind::Conflict, text)
    };
    let contents = open(sealed, passphrase).map_err(|trouble| in_vain(&trouble.text))?;
    contents.check(paths).map_err(|trouble| in_vain(&trouble.text))?;
    if contents.document != document || contents.files != files {
        return Err(in_vain("it does not hold what was put in"));
    }
    Ok(())
}

/// Certificates and keys that the document names, sorted by name.
///
/// # Errors
/// All that cannot be carried, with the remedy.
fn files_of(paths: &Paths, document: &str) -> Result<Vec<GivenFile>, Trouble> {
    let named = stage::named(document).map_err(|complaints| wrong(&complaints))?;
    let (mut files, mut troubles): (Vec<GivenFile>, Vec<String>) = (Vec::new(), Vec::new());
    for path in named {
        if OF_THE_SYSTEM.iter().any(|place| path.to_str().is_some_and(|p| p.starts_with(place))) {
            continue;
        }
        let Some(name) = below_etc(&path) else {
            troubles.push(format!(
                "{} does not lie where a backup carries files. Put it into one of the folders {} \
                 of /etc/postern, not deeper, and name it there",
                path.display(),
                GIVEN_FOLDERS.join(", ")
            ));
            continue;
        };
        match bounded(&paths.at(&path)) {
            Ok(octets) => files.push(GivenFile { path: name, octets: Secret::new(octets) }),
            Err(why) => troubles.push(format!("{} {why}", path.display())),
        }
    }
    if troubles.is_empty() {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        return Ok(files);
    }
    let text = format!("no backup was made:\n{}", troubles.join("\n"));
    Err(Trouble::new(TroubleKind::Conflict, text))
}

/// The octets of a file that a backup may carry.
fn bounded(path: &Path) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(BACKUP_FILE_OCTETS_MAX + 1).read_to_end(&mut octets));
    match read {
        Err(cause) => Err(format!("cannot be read: {cause}")),
        Ok(_) if octets.len() as u64 > BACKUP_FILE_OCTETS_MAX => Err(format!(
            "has more than {BACKUP_FILE_OCTETS_MAX} octets. Leave out of it what is not needed"
        )),
        Ok(_) => Ok(octets),
    }
}

/// Opens a backup. Of its files those count that its document names: earlier ones carried whatever
/// lay beside them.
///
/// # Errors
/// Wrong passphrase, something was changed, or it is none.
pub fn open(sealed: &[u8], passphrase: &Secret<String>) -> Result<Contents, Trouble> {
    if sealed.len() > BACKUP_OCTETS_MAX {
        return Err(invalid(format!("a backup has at most {BACKUP_OCTETS_MAX} octets")));
    }
    let small = container::open(sealed, passphrase).map_err(|shut| invalid(shut.to_string()))?;
    let packed = expand(small.expose()).map_err(|cause| invalid(format!("unpacking: {cause}")))?;
    let members = unpack(packed.expose()).map_err(invalid)?;
    let (mut manifest, mut document, mut admin) = (None, None, None);
    let mut files = Vec::new();
    for Member { name, octets } in members {
        match name.as_str() {
            MANIFEST => manifest = serde_json::from_slice::<Manifest>(&octets).ok(),
            DOCUMENT => document = Some(text(&name, octets)?),
            ADMIN => admin = Some(Secret::new(text(&name, octets)?)),
            _ => {
                let path = name.strip_prefix("etc/").unwrap_or_default();
                let path = given_path(path).map_err(|why| invalid(format!("{name} {why}")))?;
                files.push(GivenFile { path, octets: Secret::new(octets) });
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
    let named = stage::named(&document).map_err(|complaints| wrong(&complaints))?;
    let named: BTreeSet<PathBuf> = named.iter().filter_map(|path| below_etc(path)).collect();
    files.retain(|file| named.contains(&file.path));
    let large = |file: &&GivenFile| file.octets.expose().len() as u64 > BACKUP_FILE_OCTETS_MAX;
    if let Some(file) = files.iter().find(large) {
        return Err(invalid(format!("{} is too large", file.path.display())));
    }
    Ok(Contents { document, files, admin })
}

fn invalid(text: String) -> Trouble {
    Trouble::new(TroubleKind::Invalid, text)
}

/// Complaints about a document, a line each.
fn wrong(complaints: &[Complaint]) -> Trouble {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    invalid(lines.join("\n"))
}

fn text(name: &str, octets: Vec<u8>) -> Result<String, Trouble> {
    String::from_utf8(octets).map_err(|_| invalid(format!("{name} is no text")))
}

impl Contents {
    /// Checks the document with the files that come with it.
    ///
    /// # Errors
    /// All complaints at once.
    pub fn check(&self, paths: &Paths) -> Result<(), Trouble> {
        let given: Vec<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
        let checked = stage::check(paths, &self.document, &given);
        checked.map(|_| ()).map_err(|complaints| wrong(&complaints))
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
                .is_ok_and(|octets| octets == *file.octets.expose())
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
    let limit = BACKUP_UNPACKED_OCTETS_MAX;
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
    // One more: a file that is too large is told from one that was changed.
    let limit = BACKUP_OCTETS_MAX as u64 + 1;
    fs::File::open(&path).map_err(fault)?.take(limit).read_to_end(&mut sealed).map_err(fault)?;
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../systemd/postern.toml");

    fn said() -> Secret<String> {
        Secret::new("nine green apples".to_owned())
    }

    /// As export made them once: whatever lay in the folders, without a limit.
    fn earlier(more: impl IntoIterator<Item = Member>) -> Vec<u8> {
        let manifest = Manifest {
            format: FORMAT,
            program: "0.1.0".to_owned(),
            hostname: "relay.example.com".to_owned(),
            made: WallTime(0),
            generation: 7,
        };
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let mut members = vec![Member::new(MANIFEST, manifest), Member::new(DOCUMENT, EXAMPLE)];
        members.extend(more);
        container::close(&compress(&pack(&members, 0)).unwrap(), &said()).unwrap()
    }

    #[test]
    fn an_earlier_backup_opens_whatever_lay_beside_its_files() {
        let old = (0..300).map(|n| Member::new(format!("etc/dkim/old{n}.pem"), "old"));
        let more = [
            Member::new("etc/tls/bundle.p12", vec![0x30, 0x82, 0xff, 0x00]),
            Member::new("etc/tls/key.pem", "key"),
        ];
        let contents = open(&earlier(old.chain(more)), &said()).unwrap();
        let path = PathBuf::from("tls/key.pem");
        let octets = Secret::new(b"key".to_vec());
        assert_eq!(contents.files, [GivenFile { path, octets }]);
        assert_eq!(contents.document, EXAMPLE);
    }

    #[test]
    fn what_leads_elsewhere_or_is_too_large_is_refused() {
        for name in ["etc/../admin", "etc/tls/deeper/key.pem", "tls/key.pem", "admin2"] {
            let refused = open(&earlier([Member::new(name, "x")]), &said()).unwrap_err();
            assert!(refused.text.contains(name), "{refused:?}");
        }
        let large = vec![b'x'; usize::try_from(BACKUP_FILE_OCTETS_MAX).unwrap() + 1];
        let large = earlier([Member::new("etc/tls/key.pem", large)]);
        let refused = open(&large, &said()).unwrap_err();
        assert!(refused.text.contains("tls/key.pem is too large"), "{refused:?}");
        let refused = open(&vec![0; BACKUP_OCTETS_MAX + 1], &said()).unwrap_err();
        assert!(refused.text.contains("at most"), "{refused:?}");
    }
}
