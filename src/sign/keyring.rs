//! The keys that messages are signed with, by the domain of From:.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use mail_auth::common::crypto::{DkimKey as SigningKey, Ed25519Key, RsaKey, Sha256};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::config::checked::{DkimAlgorithm, DkimKey};
use crate::mail::address::Domain;

/// Bits of an RSA key (RFC 8301 3.2 demands 1,024 and recommends 2,048).
const RSA_BITS_MIN: usize = 2048;
/// Beyond this a DNS answer no longer fits and a signature costs milliseconds.
const RSA_BITS_MAX: usize = 4096;

/// Why a configured key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// The key.
    pub key: DkimKey,
    /// What is wrong, and what to do about it.
    pub reason: String,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DKIM key {} of {} ({}): {}",
            self.key.selector,
            self.key.domain,
            self.key.file.display(),
            self.reason
        )
    }
}

/// One key, ready to sign.
pub(super) struct Signer {
    pub(super) selector: String,
    pub(super) key: SigningKey,
}

/// All keys.
#[derive(Default)]
pub struct Keyring {
    domains: HashMap<Domain, Vec<Signer>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.domains.keys()).finish()
    }
}

impl Keyring {
    /// The keyring of the configured keys, each with the octets of its file: PKCS#8 (or PKCS#1
    /// for RSA) PEM.
    ///
    /// # Errors
    /// Every key that cannot be used, with the reason.
    pub fn from_pem(keys: Vec<(DkimKey, Vec<u8>)>) -> Result<Self, Vec<KeyProblem>> {
        let mut keyring = Self::default();
        let mut problems = Vec::new();
        for (key, pem) in keys {
            match read(&key, &pem) {
                Ok(signing) => {
                    let signer = Signer { selector: key.selector, key: signing };
                    keyring.domains.entry(key.domain).or_default().push(signer);
                }
                Err(reason) => problems.push(KeyProblem { key, reason }),
            }
        }
        if problems.is_empty() { Ok(keyring) } else { Err(problems) }
    }

    /// Whether mail from `domain` can be signed.
    #[must_use]
    pub fn has(&self, domain: &Domain) -> bool {
        self.domains.contains_key(domain)
    }

    /// The keys of exactly `domain`.
    pub(super) fn of(&self, domain: &Domain) -> &[Signer] {
        self.domains.get(domain).map_or(&[], Vec::as_slice)
    }

    /// The keys of `domain` or of the nearest domain above it: aligned for DMARC (RFC 9989), for
    /// notifications in the name of this host.
    pub(super) fn nearest(&self, domain: &Domain) -> Option<(Domain, &[Signer])> {
        let mut name = domain.as_str();
        loop {
            let candidate = Domain::parse(name).ok()?;
            if let Some(signers) = self.domains.get(&candidate) {
                return Some((candidate, signers));
            }
            name = name.split_once('.')?.1;
        }
    }
}

fn read(key: &DkimKey, pem: &[u8]) -> Result<SigningKey, String> {
    let der = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|e| format!("the file holds no PEM private key ({e}): give PKCS#8 PEM"))?;
    match key.algorithm {
        DkimAlgorithm::RsaSha256 => {
            let pair = match &der {
                PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                _ => return Err("neither PKCS#8 nor PKCS#1: convert it to PKCS#8".to_owned()),
            };
            let pair = pair.map_err(|e| format!("no usable RSA key ({e}): 2048 bits or more"))?;
            let bits = pair.public_modulus_len() * 8;
            if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
                let wanted = format!("{RSA_BITS_MIN} to {RSA_BITS_MAX}");
                return Err(format!("an RSA key of {bits} bits: make one of {wanted} bits"));
            }
            let signing = RsaKey::<Sha256>::from_key_der(der).map_err(|e| e.to_string())?;
            Ok(signing.into())
        }
        DkimAlgorithm::Ed25519Sha256 => {
            let PrivateKeyDer::Pkcs8(der) = &der else {
                return Err("an Ed25519 key must be PKCS#8: convert it".to_owned());
            };
            let signing = Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der())
                .map_err(|e| format!("no Ed25519 key ({e})"))?;
            Ok(signing.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::sign::keys::generate;

    fn key(domain: &str, algorithm: DkimAlgorithm) -> DkimKey {
        let domain = Domain::parse(domain).unwrap();
        DkimKey { domain, selector: "s1".to_owned(), algorithm, file: PathBuf::from("k.pem") }
    }

    #[test]
    fn every_bad_key_is_named() {
        let good = generate(DkimAlgorithm::Ed25519Sha256).unwrap();
        let good = good.expose().as_bytes().to_vec();
        let keys = vec![
            (key("a.example", DkimAlgorithm::Ed25519Sha256), good.clone()),
            (key("b.example", DkimAlgorithm::RsaSha256), good),
            (key("c.example", DkimAlgorithm::RsaSha256), b"nonsense".to_vec()),
        ];
        let problems = Keyring::from_pem(keys).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|p| p.key.domain.as_str()).collect();
        assert_eq!(names, ["b.example", "c.example"]);
        assert!(problems[0].to_string().starts_with("DKIM key s1 of b.example (k.pem): "));
    }

    #[test]
    fn a_notification_finds_the_key_of_the_domain_above() {
        let pem = generate(DkimAlgorithm::Ed25519Sha256).unwrap().expose().as_bytes().to_vec();
        let keys = vec![(key("example.org", DkimAlgorithm::Ed25519Sha256), pem)];
        let keyring = Keyring::from_pem(keys).unwrap();
        let host = Domain::parse("mx.example.org").unwrap();
        assert!(!keyring.has(&host));
        assert_eq!(keyring.nearest(&host).unwrap().0.as_str(), "example.org");
        assert!(keyring.nearest(&Domain::parse("example.com").unwrap()).is_none());
    }
}
