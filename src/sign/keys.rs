//! DKIM keys: made, and published as DNS records (RFC 6376 3.6.1, RFC 8463).

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::config::checked::{DkimAlgorithm, DkimKey};

/// Characters of one string of a TXT record (RFC 1035 3.3).
const TXT_STRING_OCTETS_MAX: usize = 255;

/// A new private key as PKCS#8 PEM: RSA-2048 (some 100 ms) or Ed25519 (microseconds).
///
/// # Errors
/// The library could not make one.
pub fn generate(algorithm: DkimAlgorithm) -> Result<Secret<String>, Fault> {
    let fault = |cause| Fault::new("generating a DKIM key", "RSA or Ed25519", cause);
    let der = match algorithm {
        DkimAlgorithm::RsaSha256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(fault)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(fault)?;
            Zeroizing::new(der.as_ref().to_vec())
        }
        DkimAlgorithm::Ed25519Sha256 => {
            let pair = Ed25519KeyPair::generate().map_err(fault)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(fault)?;
            Zeroizing::new(der.as_ref().to_vec())
        }
    };
    let letters = Zeroizing::new(STANDARD.encode(&*der));
    let mut pem = String::with_capacity(letters.len() + letters.len() / 64 + 64);
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in letters.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(Secret::new(pem))
}

/// What has to stand in DNS for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// `selector._domainkey.domain`.
    pub name: String,
    /// The TXT value in one piece: `v=DKIM1; k=rsa; p=…`.
    pub value: String,
}

impl DnsRecord {
    /// The record of the public half of `pem`.
    ///
    /// # Errors
    /// The file holds no key of the algorithm that `key` names.
    pub fn of(key: &DkimKey, pem: &[u8]) -> Result<Self, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|e| format!("no PEM key: {e}"))?;
        let (kind, public) = match key.algorithm {
            DkimAlgorithm::RsaSha256 => {
                let pair = match &der {
                    PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                    PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                    _ => return Err("neither PKCS#8 nor PKCS#1".to_owned()),
                };
                let pair = pair.map_err(|e| format!("no RSA key: {e}"))?;
                let spki: PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(|e| format!("no public key: {e}"))?;
                ("rsa", spki.as_ref().to_vec())
            }
            DkimAlgorithm::Ed25519Sha256 => {
                let PrivateKeyDer::Pkcs8(der) = &der else { return Err("not PKCS#8".to_owned()) };
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
                    .map_err(|e| format!("no Ed25519 key: {e}"))?;
                ("ed25519", pair.public_key().as_ref().to_vec())
            }
        };
        Ok(Self {
            name: format!("{}._domainkey.{}", key.selector, key.domain),
            value: format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(public)),
        })
    }

    /// The line of a zone file; the value in strings of at most 255 octets.
    #[must_use]
    pub fn zone_line(&self) -> String {
        let strings: Vec<String> = self
            .value
            .as_bytes()
            .chunks(TXT_STRING_OCTETS_MAX)
            .map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk)))
            .collect();
        format!("{}. IN TXT ( {} )", self.name, strings.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::mail::address::Domain;

    #[test]
    fn a_record_fits_the_strings_of_dns() {
        for algorithm in [DkimAlgorithm::RsaSha256, DkimAlgorithm::Ed25519Sha256] {
            let pem = generate(algorithm).unwrap();
            let key = DkimKey {
                domain: Domain::parse("example.org").unwrap(),
                selector: "s1".to_owned(),
                algorithm,
                file: PathBuf::new(),
            };
            let record = DnsRecord::of(&key, pem.expose().as_bytes()).unwrap();
            assert_eq!(record.name, "s1._domainkey.example.org");
            let line = record.zone_line();
            let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            assert_eq!(strings.concat(), record.value);
            assert!(strings.iter().all(|s| s.len() <= 255));
            let other = match algorithm {
                DkimAlgorithm::RsaSha256 => DkimAlgorithm::Ed25519Sha256,
                DkimAlgorithm::Ed25519Sha256 => DkimAlgorithm::RsaSha256,
            };
            let wrong = DkimKey { algorithm: other, ..key };
            assert!(DnsRecord::of(&wrong, pem.expose().as_bytes()).is_err());
        }
    }
}
