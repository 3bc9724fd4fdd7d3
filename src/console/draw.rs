//! Chance: secrets and keys for the wizard.

use super::ask::{Draw, Drawn, DrawnKey};
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::config::checked::{DkimAlgorithm, DkimKey};
use crate::host::clock;
use crate::sign::keys::{DnsRecord, generate};
use crate::source::{Strength, new_secret, verifier_for};

/// Draws what the wizard needs: some tenths of a second for each RSA key.
///
/// # Errors
/// The system gave no random octets, or the library could not make a key.
pub(super) fn draw(order: Draw) -> Result<Drawn, String> {
    let text = |fault: Fault| fault.to_string();
    let administrator = verifier_for(&order.passphrase, Strength::Chosen).map_err(text)?;
    let secret = new_secret().map_err(text)?;
    let verifier = verifier_for(&secret, Strength::Generated).map_err(text)?;
    let mut keys = Vec::new();
    for domain in &order.domains {
        for algorithm in [DkimAlgorithm::RsaSha256, DkimAlgorithm::Ed25519Sha256] {
            let key = DkimKey {
                domain: domain.clone(),
                selector: selector(algorithm),
                algorithm,
                file: std::path::PathBuf::new(),
            };
            let pem = generate(algorithm).map_err(text)?;
            let record = DnsRecord::of(&key, pem.expose().as_bytes())?;
            let (domain, selector) = (key.domain, key.selector);
            keys.push(DrawnKey { domain, selector, algorithm, pem, record });
        }
    }
    let administrator = Secret::new(administrator.argon2id);
    Ok(Drawn { order, administrator, secret, verifier, keys })
}

/// `p2026r`, `p2026e`: the year says when it is time for the next.
fn selector(algorithm: DkimAlgorithm) -> String {
    let date = clock::wall().rfc3339();
    let letter = match algorithm {
        DkimAlgorithm::RsaSha256 => 'r',
        DkimAlgorithm::Ed25519Sha256 => 'e',
    };
    format!("p{}{letter}", date.get(..4).unwrap_or_default())
}
