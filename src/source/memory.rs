//! A short memory of passwords that were right, so that an application that authenticates for
//! every message does not cost an Argon2id computation each time.
//!
//! What is kept is a keyed digest of user and password under a secret of this process; the memory
//! belongs to one [`super::Directory`] and dies with it, so every change of state, password or
//! configuration empties it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::limits::{PASSWORD_MEMORY, PASSWORD_MEMORY_ENTRIES_MAX};
use crate::base::secret::Secret;
use crate::base::time::WallTime;

use super::secret::BootSecret;

/// Digests of right passwords with the time span for which each is believed.
#[derive(Default)]
pub(super) struct PasswordMemory {
    known: Mutex<HashMap<[u8; 32], (WallTime, WallTime)>>,
}

impl PasswordMemory {
    /// Whether this password was right for this user a short while ago.
    pub(super) fn knows(
        &self,
        secret: &BootSecret,
        user: &str,
        password: &Secret<String>,
        now: WallTime,
    ) -> bool {
        let tag = tag(secret, user, password);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes an entry void, not eternal.
        known.get(&tag).is_some_and(|(since, until)| (*since..*until).contains(&now))
    }

    /// Remembers a right password, at most until `not_after`.
    pub(super) fn learn(
        &self,
        secret: &BootSecret,
        user: &str,
        password: &Secret<String>,
        not_after: Option<WallTime>,
        now: WallTime,
    ) {
        let until = now.after(PASSWORD_MEMORY).min(not_after.unwrap_or(WallTime(u64::MAX)));
        let tag = tag(secret, user, password);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PASSWORD_MEMORY_ENTRIES_MAX {
            known.retain(|_, (since, until)| (*since..*until).contains(&now));
        }
        if known.len() >= PASSWORD_MEMORY_ENTRIES_MAX {
            known.clear();
        }
        known.insert(tag, (now, until));
    }
}

fn tag(secret: &BootSecret, user: &str, password: &Secret<String>) -> [u8; 32] {
    secret.tag("password memory", &[user.as_bytes(), password.expose().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_short_and_bounded() {
        let secret = BootSecret::from_octets(&[1; 32]);
        let memory = PasswordMemory::default();
        let password = Secret::new("open".to_owned());
        let now = WallTime(1_000_000_000);
        assert!(!memory.knows(&secret, "u", &password, now));
        memory.learn(&secret, "u", &password, None, now);
        assert!(memory.knows(&secret, "u", &password, now));
        assert!(!memory.knows(&secret, "v", &password, now));
        assert!(!memory.knows(&secret, "u", &Secret::new("opem".to_owned()), now));
        assert!(!memory.knows(&secret, "u", &password, now.after(PASSWORD_MEMORY)));
        assert!(!memory.knows(&secret, "u", &password, WallTime(now.0 - 1)));
        for n in 0..PASSWORD_MEMORY_ENTRIES_MAX * 2 {
            memory.learn(&secret, &n.to_string(), &password, None, now);
        }
        assert!(memory.known.lock().unwrap().len() <= PASSWORD_MEMORY_ENTRIES_MAX);
    }

    #[test]
    fn a_verifier_in_its_grace_period_is_not_remembered_beyond_it() {
        let secret = BootSecret::from_octets(&[1; 32]);
        let memory = PasswordMemory::default();
        let password = Secret::new("old".to_owned());
        memory.learn(&secret, "u", &password, Some(WallTime(2000)), WallTime(1000));
        assert!(memory.knows(&secret, "u", &password, WallTime(1999)));
        assert!(!memory.knows(&secret, "u", &password, WallTime(2000)));
    }
}
