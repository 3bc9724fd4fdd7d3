//! Secrets: made here, kept as verifiers only (RFC 9106 Argon2id, RFC 5802/5803/7677 SCRAM).

use std::num::NonZeroU32;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::base::fault::Fault;
use crate::base::limits::{
    ARGON2_ITERATIONS_CEILING, ARGON2_KIB_CEILING, SCRAM_ITERATIONS, SCRAM_ITERATIONS_GENERATED,
};
use crate::base::secret::Secret;
use crate::mail::source::Verifier;
use crate::smtp::server::ask::ScramKeys;

/// Octets of a salt (RFC 9106 section 3.1 recommends 16).
pub const SALT_OCTETS: usize = 16;

/// Chance that lives as long as the process: made-up SCRAM keys and the password memory hang on
/// it, so that neither survives a restart and neither can be computed by a stranger.
#[derive(Clone)]
pub struct BootSecret(hmac::Key);

impl BootSecret {
    /// A new one from the operating system.
    ///
    /// # Errors
    /// The system gave no random octets.
    pub fn draw() -> Result<Self, Fault> {
        Ok(Self::from_octets(&random::<32>("drawing the boot secret")?))
    }

    /// One from octets that are known: for simulations.
    #[must_use]
    pub fn from_octets(octets: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    /// A keyed digest of `parts`, each with its length, under `purpose`.
    pub(super) fn tag(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [&[purpose.as_bytes()], parts].concat() {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        octets_32(context.sign().as_ref())
    }
}

/// How guessable a password is; decides what its verifier costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// Chosen by a person: 19 MiB, two passes (OWASP's first choice, about 30 ms).
    Chosen,
    /// 160 random bits of [`new_secret`]: nobody guesses it at any cost, so 1 MiB and one pass
    /// (under a millisecond) hide it as well, and a busy application is not slowed down.
    Generated,
}

/// A new secret: 160 random bits as 32 letters and digits that cannot be misread.
///
/// # Errors
/// The system gave no random octets.
pub fn new_secret() -> Result<Secret<String>, Fault> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let octets = Zeroizing::new(random::<20>("drawing a secret")?);
    let mut text = String::with_capacity(32);
    for group in octets.chunks_exact(5) {
        let bits = group.iter().fold(0_u64, |bits, &octet| bits << 8 | u64::from(octet));
        for place in (0..8).rev() {
            text.push(char::from(ALPHABET[(bits >> (place * 5) & 31) as usize]));
        }
    }
    Ok(Secret::new(text))
}

/// The verifier of `password`: Argon2id for PLAIN and LOGIN, SCRAM-SHA-256 keys beside it.
///
/// # Errors
/// The system gave no random octets, or the hash could not be computed.
pub fn verifier_for(password: &Secret<String>, strength: Strength) -> Result<Verifier, Fault> {
    let (kib, passes, iterations) = match strength {
        Strength::Chosen => (19 * 1024, 2, SCRAM_ITERATIONS),
        Strength::Generated => (1024, 1, SCRAM_ITERATIONS_GENERATED),
    };
    let doing = "computing a verifier";
    let params = Params::new(kib, passes, 1, None).map_err(|e| Fault::new(doing, "Argon2id", e))?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = random::<SALT_OCTETS>("drawing a salt")?;
    let hash: PasswordHash = hasher
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map_err(|e| Fault::new(doing, "Argon2id", e))?;
    let scram_salt = random::<SALT_OCTETS>("drawing a salt")?;
    let scram = scram_keys_of(password, &scram_salt, iterations);
    Ok(Verifier {
        argon2id: hash.to_string(),
        scram_sha256: Some(write_scram(&scram)),
        not_after: None,
    })
}

/// The hash of an administrator's passphrase: 64 MiB and three passes (RFC 9106's second choice,
/// about 200 ms), because it is asked for now and then and guards everything.
///
/// # Errors
/// The system gave no random octets, or the hash could not be computed.
pub fn passphrase_hash(passphrase: &Secret<String>) -> Result<String, Fault> {
    let doing = "hashing a passphrase";
    let params =
        Params::new(64 * 1024, 3, 1, None).map_err(|e| Fault::new(doing, "Argon2id", e))?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = random::<SALT_OCTETS>("drawing a salt")?;
    let hash: PasswordHash = hasher
        .hash_password_with_salt(passphrase.expose().as_bytes(), &salt)
        .map_err(|e| Fault::new(doing, "Argon2id", e))?;
    Ok(hash.to_string())
}

/// A key from a passphrase by Argon2id, for what is encrypted with it.
///
/// # Errors
/// The costs are absurd, or the hash could not be computed.
pub fn stretch(
    passphrase: &Secret<String>,
    salt: &[u8],
    kib: u32,
    passes: u32,
) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let fault = |cause: String| Fault::new("stretching", "a passphrase", cause);
    if kib > ARGON2_KIB_CEILING || passes > ARGON2_ITERATIONS_CEILING {
        return Err(fault("asks for absurd work".to_owned()));
    }
    let params = Params::new(kib, passes, 1, Some(32)).map_err(|e| fault(e.to_string()))?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0_u8; 32]);
    hasher
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut *key)
        .map_err(|e| fault(e.to_string()))?;
    Ok(key)
}

/// Whether a PHC string is a hash of Argon2id that can be checked at a bearable cost.
#[must_use]
pub fn usable_hash(phc: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|hash| {
        hash.algorithm.as_str() == "argon2id"
            && hash.hash.is_some()
            && Params::try_from(&hash).is_ok_and(|params| {
                params.m_cost() <= ARGON2_KIB_CEILING
                    && params.t_cost() <= ARGON2_ITERATIONS_CEILING
            })
    })
}

/// Octets from the operating system, for salts.
///
/// # Errors
/// The system gave none.
pub fn salt() -> Result<[u8; SALT_OCTETS], Fault> {
    random("drawing a salt")
}

/// Whether `password` is the one behind a PHC string. A string that is none, is not Argon2id or
/// asks for absurd work never matches.
pub fn matches(password: &Secret<String>, phc: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    let affordable = Params::try_from(&hash).is_ok_and(|params| {
        params.m_cost() <= ARGON2_KIB_CEILING && params.t_cost() <= ARGON2_ITERATIONS_CEILING
    });
    affordable
        && hash.algorithm.as_str() == "argon2id"
        && Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok()
}

/// A PHC string with the cost of `like` that no password matches; equal work for strangers.
pub(super) fn dummy_like(like: Option<&str>, secret: &BootSecret) -> String {
    let params = like
        .and_then(|phc| PasswordHash::new(phc).ok())
        .and_then(|hash| Params::try_from(&hash).ok())
        .unwrap_or_default();
    let output = STANDARD.encode(secret.tag("dummy output", &[]));
    let salt = STANDARD.encode(&secret.tag("dummy salt", &[])[..SALT_OCTETS]);
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.m_cost(),
        params.t_cost(),
        params.p_cost(),
        salt.trim_end_matches('='),
        output.trim_end_matches('='),
    )
}

/// SCRAM-SHA-256 keys of a password (RFC 5802 section 3).
#[must_use]
pub fn scram_keys_of(password: &Secret<String>, salt: &[u8], iterations: u32) -> ScramKeys {
    let mut salted = Zeroizing::new([0_u8; 32]);
    let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let secret = password.expose().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, secret, &mut *salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &*salted);
    let client_key = hmac::sign(&key, b"Client Key");
    ScramKeys {
        salt: salt.to_vec(),
        iterations,
        stored_key: octets_32(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref()),
        server_key: octets_32(hmac::sign(&key, b"Server Key").as_ref()),
        real: true,
    }
}

/// Keys that look real for a user that does not exist; the same on every question.
pub(super) fn made_up_scram(user: &str, iterations: u32, secret: &BootSecret) -> ScramKeys {
    let tag = |purpose| secret.tag(purpose, &[user.as_bytes()]);
    ScramKeys {
        salt: tag("scram salt")[..SALT_OCTETS].to_vec(),
        iterations,
        stored_key: tag("scram stored key"),
        server_key: tag("scram server key"),
        real: false,
    }
}

/// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803 section 4).
#[must_use]
pub fn write_scram(keys: &ScramKeys) -> String {
    format!(
        "SCRAM-SHA-256${}:{}${}:{}",
        keys.iterations,
        STANDARD.encode(&keys.salt),
        STANDARD.encode(keys.stored_key),
        STANDARD.encode(keys.server_key),
    )
}

/// Reads what [`write_scram`] wrote; `None` if it is anything else.
#[must_use]
pub fn read_scram(text: &str) -> Option<ScramKeys> {
    let rest = text.strip_prefix("SCRAM-SHA-256$")?;
    let (parameters, keys) = rest.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let iterations = iterations.parse().ok().filter(|n| (1..=10_000_000).contains(n))?;
    let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
    let key = |text: &str| <[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok();
    let (stored_key, server_key) = (key(stored)?, key(server)?);
    Some(ScramKeys { salt, iterations, stored_key, server_key, real: true })
}

/// Chance for identifiers and shuffles from the operating system; not itself a secret.
///
/// # Errors
/// The system gave no random octets.
pub fn seed() -> Result<u64, Fault> {
    random::<8>("drawing a seed").map(u64::from_le_bytes)
}

fn random<const N: usize>(doing: &'static str) -> Result<[u8; N], Fault> {
    let mut octets = [0; N];
    rand::fill(&mut octets).map_err(|e| Fault::new(doing, "from the operating system", e))?;
    Ok(octets)
}

/// The first 32 octets of a digest that has 32.
fn octets_32(digest: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    for (to, from) in octets.iter_mut().zip(digest) {
        *to = *from;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scram_keys_agree_with_the_example_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = scram_keys_of(&Secret::new("pencil".to_owned()), &salt, 4096);
        assert_eq!(
            STANDARD.encode(keys.stored_key),
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        );
        assert_eq!(
            STANDARD.encode(keys.server_key),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(read_scram(&write_scram(&keys)), Some(keys));
        for bad in ["", "SCRAM-SHA-1$1:eA==$eA==:eA==", "SCRAM-SHA-256$0:eA==$eA==:eA=="] {
            assert_eq!(read_scram(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_verifier_knows_its_password_and_no_other() {
        let password = new_secret().unwrap();
        let verifier = verifier_for(&password, Strength::Generated).unwrap();
        assert!(matches(&password, &verifier.argon2id));
        assert!(!matches(&Secret::new("other".to_owned()), &verifier.argon2id));
        assert!(!format!("{verifier:?}").contains(password.expose().as_str()));
        let dummy = dummy_like(Some(&verifier.argon2id), &BootSecret::from_octets(&[7; 32]));
        assert!(dummy.starts_with("$argon2id$v=19$m=1024,t=1,p=1$"), "{dummy}");
        assert!(PasswordHash::new(&dummy).is_ok());
        assert!(!matches(&password, &dummy));
    }

    #[test]
    fn a_hash_that_asks_for_absurd_work_is_not_computed() {
        let phc = "$argon2id$v=19$m=4194304,t=1000,p=1$c2FsdHNhbHRzYWx0$\
                   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(!matches(&Secret::new("x".to_owned()), phc));
        let argon2i = "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$\
                       AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(!matches(&Secret::new("x".to_owned()), argon2i));
    }

    #[test]
    fn secrets_are_long_and_different() {
        let (a, b) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.expose().len(), 32);
        assert!(a.expose().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }
}
