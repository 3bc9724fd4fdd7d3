//! Statements signed with Ed25519 (RFC 8032), for those who must be shown what was verified.
//!
//! Signed is the statement in its canonical form behind a line that names the purpose, so that a
//! signature made for one purpose is good for no other. Canonical: keys sorted, no white space,
//! whole numbers only (what RFC 8785 makes of such a document).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What every signature here is for.
const PURPOSE: &[u8] = b"postern egress attestation 1\n";
/// What stands before the 32 octets of an Ed25519 key in a `PUBLIC KEY` (RFC 8410 section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
/// Octets of a public key.
const KEY_OCTETS: usize = 32;

/// A statement with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// What is stated.
    pub statement: Value,
    /// `ed25519`.
    pub algorithm: String,
    /// The public key, 32 octets in base64.
    pub public_key: String,
    /// The signature, 64 octets in base64.
    pub signature: String,
}

/// Signs `statement` with the key in `pem` (PKCS#8).
///
/// # Errors
/// The key is no Ed25519 key, or the statement has a number that is not whole.
pub fn sign(pem: &[u8], statement: Value) -> Result<Signed, String> {
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|e| format!("no PEM key: {e}"))?;
    let PrivateKeyDer::Pkcs8(der) = &der else { return Err("the key is not PKCS#8".to_owned()) };
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|e| format!("no Ed25519 key: {e}"))?;
    let signature = pair.sign(&signed_octets(&statement)?);
    Ok(Signed {
        statement,
        algorithm: "ed25519".to_owned(),
        public_key: STANDARD.encode(pair.public_key().as_ref()),
        signature: STANDARD.encode(signature.as_ref()),
    })
}

/// Checks a signature; by `key` if one is given, which proves who signed, else by the key in the
/// document, which proves only that nothing was changed since.
///
/// # Errors
/// Why it is not to be believed.
pub fn verify(signed: &Signed, key: Option<&[u8]>) -> Result<(), String> {
    if signed.algorithm != "ed25519" {
        return Err(format!("the algorithm {:?} is not known", signed.algorithm));
    }
    let decode = |what: &str, text: &str| {
        STANDARD.decode(text).map_err(|_| format!("the {what} is no base64"))
    };
    let named = decode("public key", &signed.public_key)?;
    if key.is_some_and(|key| key != named) {
        return Err("it was signed with another key than the one that you gave".to_owned());
    }
    let signature = decode("signature", &signed.signature)?;
    UnparsedPublicKey::new(&ED25519, &named)
        .verify(&signed_octets(&signed.statement)?, &signature)
        .map_err(|_| {
            "the signature does not fit: the statement or the signature was changed".into()
        })
}

/// A public key as people hand it around: base64 of 32 octets, or a `PUBLIC KEY` in PEM.
///
/// # Errors
/// It is neither.
pub fn public_key(text: &str) -> Result<Vec<u8>, String> {
    let letters: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let octets = STANDARD.decode(letters.trim()).map_err(|_| "the key is no base64".to_owned())?;
    let key = octets.strip_prefix(&SPKI_HEAD).unwrap_or(&octets);
    if key.len() == KEY_OCTETS { Ok(key.to_vec()) } else { Err("is no Ed25519 key".to_owned()) }
}

fn signed_octets(statement: &Value) -> Result<Vec<u8>, String> {
    let mut octets = PURPOSE.to_vec();
    canonical(statement, &mut octets)?;
    Ok(octets)
}

/// Appends the canonical form of `value`.
fn canonical(value: &Value, octets: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            octets.push(b'{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    octets.push(b',');
                }
                canonical(&Value::String(key.clone()), octets)?;
                octets.push(b':');
                canonical(fields.get(key).unwrap_or(&Value::Null), octets)?;
            }
            octets.push(b'}');
        }
        Value::Array(items) => {
            octets.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    octets.push(b',');
                }
                canonical(item, octets)?;
            }
            octets.push(b']');
        }
        Value::Number(number) if number.is_f64() => {
            return Err(format!("{number} is no whole number"));
        }
        plain => serde_json::to_writer(octets, plain).map_err(|error| error.to_string())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::checked::DkimAlgorithm;
    use crate::sign::keys::generate;

    fn signed() -> Signed {
        let pem = generate(DkimAlgorithm::Ed25519Sha256).unwrap();
        let statement = json!({"b": [1, {"z": null, "a": "x\n"}], "a": true, "grade": "PASS"});
        sign(pem.expose().as_bytes(), statement).unwrap()
    }

    #[test]
    fn a_statement_is_believed_and_an_altered_one_is_not() {
        let good = signed();
        verify(&good, None).unwrap();
        let key = public_key(&good.public_key).unwrap();
        verify(&good, Some(&key)).unwrap();
        assert!(verify(&good, Some(&[7; 32])).is_err());
        assert!(
            verify(&Signed { statement: json!({"grade": "PASS"}), ..good.clone() }, None).is_err()
        );
        let mut altered = good.clone();
        altered.statement["grade"] = json!("FAIL");
        assert!(verify(&altered, None).is_err());
        let other = signed();
        assert!(verify(&Signed { signature: other.signature, ..good.clone() }, None).is_err());
        assert!(verify(&Signed { public_key: other.public_key, ..good.clone() }, None).is_err());
        assert!(verify(&Signed { algorithm: "none".to_owned(), ..good }, None).is_err());
    }

    #[test]
    fn every_letter_counts() {
        let good = signed();
        let text = serde_json::to_string(&good.statement).unwrap();
        for at in 0..text.len() {
            let mut octets = text.clone().into_bytes();
            octets[at] ^= 1;
            let Ok(statement) = serde_json::from_slice::<Value>(&octets) else { continue };
            if statement == good.statement {
                continue;
            }
            let changed = Signed { statement, ..good.clone() };
            assert!(verify(&changed, None).is_err(), "{at}");
        }
    }

    #[test]
    fn order_and_white_space_do_not_count() {
        let good = signed();
        let text = r#" {"grade":"PASS", "a":true,"b":[1,{"a":"x\u000a","z":null}]} "#;
        let statement = serde_json::from_str(text).unwrap();
        verify(&Signed { statement, ..good }, None).unwrap();
        assert!(canonical(&json!(1.5), &mut Vec::new()).is_err());
    }

    #[test]
    fn keys_are_read_in_both_forms() {
        let raw = STANDARD.encode([9; 32]);
        let spki = STANDARD.encode([&SPKI_HEAD[..], &[9; 32]].concat());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n");
        assert_eq!(public_key(&raw).unwrap(), [9; 32]);
        assert_eq!(public_key(&pem).unwrap(), [9; 32]);
        assert!(public_key("AAAA").is_err() && public_key("?").is_err());
    }
}
