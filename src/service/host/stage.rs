//! A document is checked against files that are there, that come with it, or that can be made.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::time::WallTime;
use crate::config::checked::{Config, DkimKey, TlsFiles};
use crate::config::complaint::Complaint;
use crate::config::{Reading, Surroundings, read};
use crate::host::disk::Disk;
use crate::host::paths::Paths;

/// What nobody gave and the document names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Certificate and key.
    pub(super) tls: Option<TlsFiles>,
    /// DKIM keys.
    pub(super) dkim: Vec<DkimKey>,
}

/// Where a document is going to be used.
struct Stage<'p> {
    paths: &'p Paths,
    given: &'p [PathBuf],
    makes: bool,
    /// Files that are not there and were asked for.
    absent: RefCell<BTreeSet<PathBuf>>,
}

impl Surroundings for Stage<'_> {
    fn readable(&self, path: &Path) -> Result<(), String> {
        let found = below_etc(path);
        if found.as_ref().is_some_and(|name| self.given.contains(name)) {
            return Ok(());
        }
        let there = Disk.readable(&self.paths.at(path));
        if there.is_err() && self.makes && found.is_some() {
            self.absent.borrow_mut().insert(path.to_owned());
            return Ok(());
        }
        there
    }

    fn uid(&self, name: &str) -> Option<u32> {
        Disk.uid(name)
    }

    fn now(&self) -> Option<WallTime> {
        Disk.now()
    }
}

/// Surroundings in which every file exists, and that keep what was asked for.
#[derive(Default)]
struct Named(RefCell<BTreeSet<PathBuf>>);

impl Surroundings for Named {
    fn readable(&self, path: &Path) -> Result<(), String> {
        self.0.borrow_mut().insert(path.to_owned());
        Ok(())
    }

    fn uid(&self, _: &str) -> Option<u32> {
        None
    }
}

/// All files that a document names, wherever they lie and whether they are there or not.
///
/// # Errors
/// All complaints at once.
pub(super) fn named(document: &str) -> Result<BTreeSet<PathBuf>, Vec<Complaint>> {
    let named = Named::default();
    read(document, &named)?;
    Ok(named.0.into_inner())
}

/// The place of a file below `/etc/postern`, as setup files and exports name it.
pub(super) fn below_etc(path: &Path) -> Option<PathBuf> {
    // A machine in a folder has `/etc/postern` somewhere in the middle of its paths.
    let text = path.to_str()?;
    let (_, name) = text.split_once("/etc/postern/")?;
    crate::config::setup::given_path(name).ok()
}

/// Checks a document that comes with the files `given`.
///
/// # Errors
/// All complaints at once.
pub(super) fn check(
    paths: &Paths,
    document: &str,
    given: &[PathBuf],
) -> Result<Reading, Vec<Complaint>> {
    read(document, &Stage { paths, given, makes: false, absent: RefCell::default() })
}

/// As [`check`]; certificates and DKIM keys that are neither there nor given count as good,
/// because they can be made.
///
/// # Errors
/// All complaints at once.
pub(super) fn check_for_new(
    paths: &Paths,
    document: &str,
    given: &[PathBuf],
) -> Result<(Reading, Missing), Vec<Complaint>> {
    let stage = Stage { paths, given, makes: true, absent: RefCell::default() };
    let reading = read(document, &stage)?;
    let absent = stage.absent.into_inner();
    let (missing, complaints) = sort_out(&reading.config, &absent);
    if complaints.is_empty() { Ok((reading, missing)) } else { Err(complaints) }
}

/// Complaints about a document whose files are not known.
pub(super) fn complaints_of(paths: &Paths, document: &str) -> Vec<Complaint> {
    let stage = Stage { paths, given: &[], makes: true, absent: RefCell::default() };
    read(document, &stage).err().unwrap_or_default()
}

/// What of the absent files can be made, and complaints about the others.
fn sort_out(config: &Config, absent: &BTreeSet<PathBuf>) -> (Missing, Vec<Complaint>) {
    let mut missing = Missing::default();
    let mut rest = absent.clone();
    for key in config.dkim.iter().filter(|key| absent.contains(&key.file)) {
        rest.remove(&key.file);
        missing.dkim.push(key.clone());
    }
    if let Some(tls) = &config.tls
        && absent.contains(&tls.certificate)
        && absent.contains(&tls.key)
    {
        rest.remove(&tls.certificate);
        rest.remove(&tls.key);
        missing.tls = Some(tls.clone());
    }
    let complaint = |path: PathBuf| Complaint {
        key: format!("file {}", path.display()),
        line: None,
        value: None,
        problem: "is named in the document and is not there".to_owned(),
        remedy: "Give it as a [[file]]; a certificate and its key are made only together"
            .to_owned(),
    };
    (missing, rest.into_iter().map(complaint).collect())
}
