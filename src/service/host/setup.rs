//! A new box becomes a gateway: one setup file, applied in an order that a power cut cannot harm.
//!
//! The digest of the file, the passphrase, then generation 1 with all its
//! files. Up to the last step the box is unconfigured and takes the file again; after it, the
//! digest says that the file was taken and only has to be wiped.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::generations::{Author, load, store};
use super::stage::{Missing, below_etc, check_for_new, complaints_of};
use super::trial::{Change, Trials};
use super::{certificate, door, records, recovery};
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::checked::Config;
use crate::config::setup::{self, Given, GivenFile, Setup};
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::host::answer::SetUp;
use crate::host::durable::{Readers, remove, replace};
use crate::host::paths::Paths;
use crate::sign::keys;
use crate::source::secret::{passphrase_hash, usable_hash};

/// A setup that is good, with everything that it needs.
#[derive(Debug)]
pub struct Prepared {
    setup: Setup,
    config: Config,
    warnings: Vec<String>,
    made: Vec<String>,
    digest: String,
}

/// Checks a setup file and makes what its document names and nobody gave. Changes nothing.
///
/// # Errors
/// All complaints at once, those of the document with its name before them.
pub fn prepare(paths: &Paths, text: &str, now: WallTime) -> Result<Prepared, Vec<String>> {
    let mut setup = match setup::read(text) {
        Ok(setup) => setup,
        Err(complaints) => {
            let mut all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            let inner = setup::document_of(text).unwrap_or_default();
            if !inner.is_empty() {
                all.extend(complaints_of(paths, &inner).iter().map(|c| format!("document: {c}")));
            }
            return Err(all);
        }
    };
    if let Given::Hash(hash) = &setup.passphrase
        && !usable_hash(hash.expose())
    {
        return Err(vec![
            "administrator.passphrase_argon2id: is no Argon2id hash that can be checked. Make it \
             with `postern passphrase --hash`"
                .to_owned(),
        ]);
    }
    let given: Vec<PathBuf> = setup.files.iter().map(|file| file.path.clone()).collect();
    let (reading, missing) = check_for_new(paths, &setup.document, &given)
        .map_err(|list| list.iter().map(|c| format!("document: {c}")).collect::<Vec<_>>())?;
    let made = make(&reading.config, &missing, now).map_err(|fault| vec![fault.to_string()])?;
    let names = made.iter().map(|file| file.path.display().to_string()).collect();
    setup.files.extend(made);
    Ok(Prepared {
        setup,
        config: reading.config,
        warnings: reading.warnings.iter().map(ToString::to_string).collect(),
        made: names,
        digest: digest_of(text),
    })
}

/// The files that nobody gave.
pub(super) fn make(
    config: &Config,
    missing: &Missing,
    now: WallTime,
) -> Result<Vec<GivenFile>, Fault> {
    let mut files = Vec::new();
    let mut put = |path: &Path, text: &str| {
        if let Some(path) = below_etc(path) {
            files.push(GivenFile { path, octets: Secret::new(text.as_bytes().to_vec()) });
        }
    };
    if let Some(tls) = &missing.tls {
        let (certificate, key) = certificate::make(config, now)?;
        put(&tls.certificate, &certificate);
        put(&tls.key, key.expose());
    }
    for key in &missing.dkim {
        put(&key.file, keys::generate(key.algorithm)?.expose());
    }
    Ok(files)
}

impl Prepared {
    /// What it would do.
    #[must_use]
    pub fn shown(&self) -> SetUp {
        SetUp {
            good: true,
            warnings: self.warnings.clone(),
            made: self.made.clone(),
            ..SetUp::default()
        }
    }

    /// Puts it in force.
    ///
    /// # Errors
    /// A step failed; the box is as it was before.
    pub fn take(
        self,
        paths: &Paths,
        trials: &mut Trials,
        by: &str,
        now: WallTime,
        confirm_secs: Option<u64>,
    ) -> Result<SetUp, Trouble> {
        remember(paths, &self.digest)?;
        let hash = match &self.setup.passphrase {
            Given::Plain(passphrase) => passphrase_hash(passphrase)?,
            Given::Hash(hash) => hash.expose().clone(),
        };
        let before = std::fs::read(paths.admin()).ok();
        door::set_hash(paths, &hash)?;
        if !self.setup.show_recovery_key {
            recovery::forgotten(paths)?;
        }
        let change = Change {
            document: &self.setup.document,
            files: &self.setup.files,
            author: Author { by: by.to_owned(), comment: "setup".to_owned(), at: now },
            confirm_secs,
        };
        let applied = trials.apply(&change).map_err(|trouble| {
            // As it was: an unconfigured box belongs to whoever stands before it.
            let undone = match &before {
                Some(hash) => replace(&paths.admin(), hash, Readers::Owner),
                None => remove(&paths.admin()),
            };
            let forgotten = undone.and_then(|()| forget(paths, &self.digest));
            match forgotten {
                Ok(()) => trouble,
                Err(fault) => {
                    Trouble::new(TroubleKind::Fault, format!("{}; {fault}", trouble.text))
                }
            }
        })?;
        let dns = records::of(&self.config, paths);
        publish(paths, &dns)?;
        let _ = remove(&paths.setup_error());
        Ok(SetUp { generation: applied.generation, dns, ..self.shown() })
    }
}

/// Keeps the DNS records where the console finds them.
///
/// # Errors
/// The disk.
pub(super) fn publish(paths: &Paths, dns: &[String]) -> Result<(), Fault> {
    let mut text = "; what the DNS must say before the first message leaves\n".to_owned();
    for line in dns {
        text.push_str(line);
        text.push('\n');
    }
    replace(&paths.dns_records(), text.as_bytes(), Readers::Owner)
}

/// SHA-256 of a setup file in base64.
pub(super) fn digest_of(text: &str) -> String {
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

/// Whether a file with this digest was taken before.
pub(super) fn is_known(paths: &Paths, digest: &str) -> bool {
    load::<Vec<String>>(&paths.setups()).unwrap_or_default().iter().any(|known| known == digest)
}

/// Files that are remembered; older ones would be refused for their signature or not at all.
const SETUPS_MAX: usize = 1000;

fn remember(paths: &Paths, digest: &str) -> Result<(), Fault> {
    let mut known: Vec<String> = load(&paths.setups()).unwrap_or_default();
    known.retain(|one| one != digest);
    known.push(digest.to_owned());
    let surplus = known.len().saturating_sub(SETUPS_MAX);
    known.drain(..surplus);
    store(&paths.setups(), &known)
}

fn forget(paths: &Paths, digest: &str) -> Result<(), Fault> {
    let mut known: Vec<String> = load(&paths.setups()).unwrap_or_default();
    known.retain(|one| one != digest);
    store(&paths.setups(), &known)
}
