//! Generations of the configuration: every document that was put in force, with who, when and why.
//!
//! ```text
//! generations/0007/postern.toml    the document
//!                  files/tls/..    files that came with it
//!                  before/tls/..   what these replaced
//!                  meta.json       written last: without it there is no generation
//! current.json                     which one is in force
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::limits::GENERATIONS_MAX;
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::setup::GivenFile;
use crate::host::durable::{Readers, remove, replace};
use crate::host::paths::Paths;

/// What is known of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Its number, counted from 1.
    pub generation: u64,
    /// When it was applied.
    pub at: WallTime,
    /// Who did it.
    pub by: String,
    /// Why.
    pub comment: String,
    /// Why it was taken back; none: it was not.
    #[serde(default)]
    pub taken_back: Option<String>,
    /// Files that came with it, below `/etc/postern`.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Those of them that were not there before.
    #[serde(default)]
    pub new_files: Vec<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Current {
    generation: u64,
}

/// Somebody who puts a document in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub by: String,
    /// Why.
    pub comment: String,
    /// When.
    pub at: WallTime,
}

/// The generations of a machine.
#[derive(Clone, Debug)]
pub struct Generations {
    paths: Paths,
}

impl Generations {
    /// Those of the machine with these places.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self { paths }
    }

    /// All that are kept, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Meta> {
        let entries = fs::read_dir(self.paths.generations()).into_iter().flatten().flatten();
        let mut all: Vec<Meta> =
            entries.filter_map(|entry| load(&entry.path().join("meta.json"))).collect();
        all.sort_by_key(|meta| meta.generation);
        all
    }

    /// What is known of one.
    #[must_use]
    pub fn meta(&self, generation: u64) -> Option<Meta> {
        load(&self.folder(generation).join("meta.json"))
    }

    /// The document of one.
    ///
    /// # Errors
    /// It is not kept.
    pub fn document(&self, generation: u64) -> Result<String, Fault> {
        let path = self.folder(generation).join("postern.toml");
        fs::read_to_string(&path)
            .map_err(|cause| Fault::new("reading generation", generation, cause))
    }

    /// Which one is in force; 0: none.
    #[must_use]
    pub fn current(&self) -> u64 {
        load::<Current>(&self.paths.current()).map_or(0, |current| current.generation)
    }

    /// From now on this one is in force.
    ///
    /// # Errors
    /// The disk.
    pub fn set_current(&self, generation: u64) -> Result<(), Fault> {
        store(&self.paths.current(), &Current { generation })
    }

    /// Adds a generation with its files, and keeps what these will replace; it is not in force yet.
    ///
    /// # Errors
    /// The disk.
    pub fn add(&self, document: &str, files: &[GivenFile], author: &Author) -> Result<u64, Fault> {
        let generation = self.all().last().map_or(0, |meta| meta.generation) + 1;
        let folder = self.folder(generation);
        // A crash may have left one without its meta.json.
        let _ = fs::remove_dir_all(&folder);
        let mut new_files = Vec::new();
        for file in files {
            let octets = file.octets.expose();
            replace(&folder.join("files").join(&file.path), octets, Readers::Owner)?;
            match fs::read(self.paths.etc().join(&file.path)) {
                Ok(before) => {
                    let before = Secret::new(before);
                    let kept = folder.join("before").join(&file.path);
                    replace(&kept, before.expose(), Readers::Owner)?;
                }
                Err(_) => new_files.push(file.path.clone()),
            }
        }
        replace(&folder.join("postern.toml"), document.as_bytes(), Readers::Owner)?;
        let Author { by, comment, at } = author.clone();
        let files = files.iter().map(|file| file.path.clone()).collect();
        let meta = Meta { generation, at, by, comment, taken_back: None, files, new_files };
        store(&folder.join("meta.json"), &meta)?;
        Ok(generation)
    }

    /// Writes down that a generation did not last.
    ///
    /// # Errors
    /// The disk.
    pub fn mark_taken_back(&self, generation: u64, reason: &str) -> Result<(), Fault> {
        let Some(mut meta) = self.meta(generation) else { return Ok(()) };
        meta.taken_back = Some(reason.to_owned());
        store(&self.folder(generation).join("meta.json"), &meta)
    }

    /// Puts document and files of a generation where the gateway reads them; 0 takes the document
    /// away.
    ///
    /// # Errors
    /// The disk.
    pub fn put(&self, generation: u64, step: &dyn Fn(&str)) -> Result<(), Fault> {
        for path in self.meta(generation).map(|meta| meta.files).unwrap_or_default() {
            self.put_file(generation, "files", &path)?;
            step("files");
        }
        self.put_document(generation)
    }

    /// Puts back what the files of `generation` replaced, and the document of `previous`.
    ///
    /// # Errors
    /// The disk.
    pub fn put_back(
        &self,
        generation: u64,
        previous: u64,
        step: &dyn Fn(&str),
    ) -> Result<(), Fault> {
        self.put_document(previous)?;
        step("document back");
        let Some(meta) = self.meta(generation) else { return Ok(()) };
        for path in &meta.files {
            if meta.new_files.contains(path) {
                remove(&self.paths.etc().join(path))?;
            } else {
                self.put_file(generation, "before", path)?;
            }
            step("files back");
        }
        Ok(())
    }

    fn put_document(&self, generation: u64) -> Result<(), Fault> {
        if generation == 0 {
            return remove(&self.paths.document());
        }
        let document = self.document(generation)?;
        replace(&self.paths.document(), document.as_bytes(), Readers::AsBefore)
    }

    fn put_file(&self, generation: u64, which: &str, path: &Path) -> Result<(), Fault> {
        let kept = self.folder(generation).join(which).join(path);
        let octets = fs::read(&kept)
            .map_err(|cause| Fault::new("reading a kept file", kept.display(), cause))?;
        let octets = Secret::new(octets);
        replace(&self.paths.etc().join(path), octets.expose(), Readers::Gateway)
    }

    /// Forgets the oldest beyond the limit, never one of `needed`.
    pub fn prune(&self, needed: &[u64]) {
        let all = self.all();
        let surplus = all.len().saturating_sub(GENERATIONS_MAX);
        let old = all.iter().filter(|meta| !needed.contains(&meta.generation)).take(surplus);
        for meta in old {
            let folder = self.folder(meta.generation);
            // The meta first: half of a generation is none.
            let _ = remove(&folder.join("meta.json"));
            let _ = fs::remove_dir_all(&folder);
        }
    }

    fn folder(&self, generation: u64) -> PathBuf {
        self.paths.generations().join(format!("{generation:04}"))
    }
}

/// A JSON file; none if it is missing or unreadable.
pub(super) fn load<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a JSON file that only root reads.
pub(super) fn store<T: Serialize>(path: &Path, value: &T) -> Result<(), Fault> {
    let octets = serde_json::to_vec(value).map_err(|e| Fault::new("writing", path.display(), e))?;
    replace(path, &octets, Readers::Owner)
}
