//! What is in force: the configuration and everything that was made from it. A reload makes a new
//! one and swaps it; whoever works keeps the one that they began with.

use std::sync::Arc;

use super::gate;
use crate::base::fault::Fault;
use crate::config::checked::Config;
use crate::sign::Keyring;
use crate::source::{BootSecret, Directory, Switches};

/// Configuration, sources and keys.
pub struct Standing {
    /// The configuration.
    pub config: Arc<Config>,
    /// Who may submit.
    pub directory: Directory,
    /// What their mail is signed with.
    pub keyring: Keyring,
}

impl Standing {
    /// Reads the keys that `config` names and puts `switches` over its sources.
    ///
    /// # Errors
    /// All keys that cannot be read or used, in one fault.
    pub fn build(
        config: Arc<Config>,
        switches: &Switches,
        secret: BootSecret,
    ) -> Result<Self, Fault> {
        gate::prepare(&config)?;
        let mut keys = Vec::with_capacity(config.dkim.len());
        let mut problems = Vec::new();
        for key in &config.dkim {
            match std::fs::read(&key.file) {
                Ok(pem) => keys.push((key.clone(), pem)),
                Err(e) => problems.push(format!("{}: {e}", key.file.display())),
            }
        }
        let keyring = Keyring::from_pem(keys).unwrap_or_else(|bad| {
            problems.extend(bad.iter().map(ToString::to_string));
            Keyring::default()
        });
        if !problems.is_empty() {
            return Err(Fault::new("loading", "the DKIM keys", problems.join("; ")));
        }
        let directory = Directory::new(&config.sources, switches, secret);
        Ok(Self { config, directory, keyring })
    }
}
