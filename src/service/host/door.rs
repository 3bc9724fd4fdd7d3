//! The administrator's passphrase, and how guesses are slowed down.
//!
//! A failure is written down *before* the passphrase is looked at: neither a new connection nor a
//! killed role nor a pulled plug makes guesses cheaper. Five tries are free, then every failure
//! doubles the wait up to five minutes. Nobody is ever locked out for good.

use serde::{Deserialize, Serialize};

use super::generations::{load, store};
use super::hands::Machine;
use crate::base::fault::Fault;
use crate::base::limits::{LOGIN_FREE_TRIES, LOGIN_WAIT_FIRST, LOGIN_WAIT_MAX};
use crate::base::secret::Secret;
use crate::host::durable::{Readers, replace};
use crate::host::paths::Paths;
use crate::source::secret::{matches, passphrase_hash};

/// Failures so far, and the clock that they were counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tries {
    failures: u32,
    boot_id: String,
    boot_millis: u64,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Try {
    /// It is the passphrase.
    Right,
    /// It is not.
    Wrong,
    /// It was not looked at: so many seconds are left.
    Wait(u64),
    /// There is no passphrase.
    Unset,
}

/// The door.
#[derive(Debug)]
pub(super) struct Door {
    paths: Paths,
    /// The clock when this life of the role began; a wait from before another start of the machine
    /// begins anew then.
    began_millis: u64,
}

impl Door {
    pub(super) fn new(paths: Paths, machine: &dyn Machine) -> Self {
        Self { paths, began_millis: machine.boot_millis() }
    }

    /// Whether there is a passphrase.
    pub(super) fn is_set(&self) -> bool {
        self.paths.admin().exists()
    }

    /// Seconds until the next try is looked at.
    pub(super) fn wait_secs(&self, machine: &dyn Machine) -> u64 {
        let tries: Tries = load(&self.paths.login()).unwrap_or_default();
        let Some(over) = tries.failures.checked_sub(LOGIN_FREE_TRIES) else { return 0 };
        let wait = LOGIN_WAIT_FIRST.saturating_mul(1 << over.min(16)).min(LOGIN_WAIT_MAX);
        let since =
            if tries.boot_id == machine.boot_id() { tries.boot_millis } else { self.began_millis };
        let passed = machine.boot_millis().saturating_sub(since);
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        wait.saturating_sub(passed).div_ceil(1000)
    }

    /// Tries a passphrase.
    ///
    /// # Errors
    /// The failure cannot be written down; then the passphrase is not looked at.
    pub(super) fn knock(
        &mut self,
        passphrase: &Secret<String>,
        machine: &dyn Machine,
    ) -> Result<Try, Fault> {
        let wait = self.wait_secs(machine);
        if wait > 0 {
            return Ok(Try::Wait(wait));
        }
        let Ok(hash) = std::fs::read_to_string(self.paths.admin()) else { return Ok(Try::Unset) };
        let tries: Tries = load(&self.paths.login()).unwrap_or_default();
        let failed = Tries {
            failures: tries.failures.saturating_add(1),
            boot_id: machine.boot_id(),
            boot_millis: machine.boot_millis(),
        };
        store(&self.paths.login(), &failed)?;
        if !matches(passphrase, hash.trim()) {
            // The wait begins when the answer is given; on a slow machine that is later.
            let failed = Tries { boot_millis: machine.boot_millis(), ..failed };
            store(&self.paths.login(), &failed)?;
            return Ok(Try::Wrong);
        }
        store(&self.paths.login(), &Tries::default())?;
        Ok(Try::Right)
    }

    /// Sets the passphrase.
    ///
    /// # Errors
    /// The disk, or no hash can be computed.
    pub(super) fn set(&mut self, passphrase: &Secret<String>) -> Result<(), Fault> {
        set_hash(&self.paths, &passphrase_hash(passphrase)?)
    }
}

/// Keeps the hash of a passphrase.
///
/// # Errors
/// The disk.
pub(super) fn set_hash(paths: &Paths, hash: &str) -> Result<(), Fault> {
    replace(&paths.admin(), hash.as_bytes(), Readers::Owner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::simulated::Simulated;
    use super::*;

    #[test]
    fn guesses_are_slowed_down_and_nobody_is_locked_out() {
        let machine = Simulated::new();
        let said = |text: &str| Secret::new(text.to_owned());
        let door = || Door::new(machine.paths.clone(), &machine);
        let knock = |text: &str| door().knock(&said(text), &machine).unwrap();
        assert_eq!(knock("seven brown foxes"), Try::Unset);
        // A cheap hash: the costs are tested where they are made.
        let hash = crate::source::verifier_for(
            &said("seven brown foxes"),
            crate::source::Strength::Generated,
        );
        set_hash(&machine.paths, &hash.unwrap().argon2id).unwrap();
        for _ in 0..LOGIN_FREE_TRIES {
            assert_eq!(knock("wrong"), Try::Wrong);
        }
        // Each `door()` is a new life of the role: the wait outlives it.
        for expected in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(knock("seven brown foxes"), Try::Wait(expected));
            machine.sleep(Duration::from_millis(expected * 1000 - 1));
            assert_eq!(knock("seven brown foxes"), Try::Wait(1));
            machine.sleep(Duration::from_millis(1));
            assert_eq!(knock("wrong"), Try::Wrong);
        }
        // Pulling the plug does not shorten it, and does not lock anybody out.
        machine.restart();
        assert_eq!(knock("seven brown foxes"), Try::Wait(300));
        let waiting = door();
        machine.sleep(Duration::from_secs(300));
        assert_eq!(waiting.wait_secs(&machine), 0);
        let mut waiting = waiting;
        assert_eq!(waiting.knock(&said("seven brown foxes"), &machine).unwrap(), Try::Right);
        assert_eq!(knock("wrong"), Try::Wrong);
        assert_eq!(knock("seven brown foxes"), Try::Right);
    }
}
