//! Settings, read twice: as written and as meant.
//!
//! ```text
//! text ── file.rs ──► sections with lines ── check/ ──► checked::Config
//!            │                                  │
//!            └───────► complaint.rs ◄───────────┘      all of them, at once
//! ```
//!
//! `file.rs` is what was written (unknown keys refused, no opinions), `checked.rs` is what it means
//! (typed, cross-checked, immutable), `complaint.rs` collects *all* problems between them.
//!
//! **Invariant:** nothing else in the house reads the document or the environment; what a check
//! must know of the machine it asks the [`Surroundings`].

mod check;
pub mod checked;
pub mod complaint;
pub mod edit;
mod file;
pub mod measure;
pub mod providers;
pub mod setup;
pub mod show;

use std::path::{Path, PathBuf};

use crate::base::time::WallTime;
use checked::Config;
use complaint::Complaint;

/// The versions of the document that this program reads.
pub const VERSIONS: [u8; 1] = [1];

/// What a check must know of the machine. The daemon's answer is `host::disk::Disk`.
pub trait Surroundings {
    /// Whether a file can be read.
    ///
    /// # Errors
    /// Why not, in words.
    fn readable(&self, path: &Path) -> Result<(), String>;

    /// The id of a user.
    fn uid(&self, name: &str) -> Option<u32>;

    /// What time it is; none where dates of the document are not to be judged.
    fn now(&self) -> Option<WallTime> {
        None
    }
}

/// Surroundings in which every file exists; for tests and for documents of another machine.
#[derive(Clone, Copy, Debug)]
pub struct Anywhere;

impl Surroundings for Anywhere {
    fn readable(&self, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn uid(&self, _: &str) -> Option<u32> {
        None
    }
}

/// A configuration that may be put in force.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The configuration.
    pub config: Config,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Complaint>,
}

/// The control socket that a document names, for the command line: works although the rest may be
/// wrong. The usual place if it names none.
#[must_use]
pub fn control_socket(text: &str) -> PathBuf {
    check::control_socket(text)
}

/// What the document says about the console, whatever the rest of it is worth.
#[must_use]
pub fn console(text: &str) -> checked::ConsoleConfig {
    check::console_alone(text)
}

/// Reads and checks a document.
///
/// # Errors
/// All complaints at once, in the order of the document.
pub fn read(text: &str, surroundings: &dyn Surroundings) -> Result<Reading, Vec<Complaint>> {
    check::document(text, surroundings)
}
