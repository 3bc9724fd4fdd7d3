//! Signatures of releases: Ed25519, two of the release keys that the image carries.
//!
//! Signed are the octets of the manifest as they travel, behind a line that names the purpose, so
//! that a signature made for one purpose is good for no other. A new image brings the new set of
//! keys: whoever holds two of the old ones decides about the next set.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, NoManifest, Sha256, hex};

/// How many different keys must have signed.
pub const SIGNATURES_NEEDED: usize = 2;

/// Octets of a signature file.
pub const SIGNATURE_OCTETS_MAX: usize = 1024;

/// Signature files of a bundle.
pub const SIGNATURES_MAX: usize = 8;

const PURPOSE: &[u8] = b"postern release manifest 1\n";

/// What stands before the 32 octets of an Ed25519 key in a `PUBLIC KEY` (RFC 8410 section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// The first 64 bits of the SHA-256 of a public key, in hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public release key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseKey([u8; 32]);

impl ReleaseKey {
    /// Reads base64 of 32 octets, or a `PUBLIC KEY` in PEM.
    ///
    /// # Errors
    /// It is neither.
    pub fn read(text: &str) -> Result<Self, String> {
        let letters: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let octets = STANDARD.decode(letters.trim()).map_err(|_| "is no base64".to_owned())?;
        let key = octets.strip_prefix(&SPKI_HEAD).unwrap_or(&octets);
        key.try_into().map(Self).map_err(|_| "is no Ed25519 key".to_owned())
    }

    /// As PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let spki = STANDARD.encode([&SPKI_HEAD[..], &self.0].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n")
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(hex(&Sha256::of(&self.0).0[..8]))
    }
}

/// The keys that may sign a release for this image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots(BTreeSet<ReleaseKey>);

impl Roots {
    /// A set of keys.
    ///
    /// # Errors
    /// With fewer different keys than signatures are needed nothing could ever be believed.
    pub fn new(keys: impl IntoIterator<Item = ReleaseKey>) -> Result<Self, Refused> {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        if keys.len() < SIGNATURES_NEEDED {
            Err(Refused::NoRoots(keys.len()))
        } else {
            Ok(Self(keys))
        }
    }

    /// The ids of the keys.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(ReleaseKey::id).collect()
    }

    fn find(&self, id: &KeyId) -> Option<&ReleaseKey> {
        self.0.iter().find(|key| key.id() == *id)
    }
}

/// A detached signature, as its file says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// `ed25519`.
    pub algorithm: String,
    /// Which key.
    pub key: KeyId,
    /// 64 octets in base64.
    pub signature: String,
}

/// Why a release is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The image has too few release keys.
    #[error("this image has {0} release keys; {SIGNATURES_NEEDED} must sign")]
    NoRoots(usize),
    /// Too few good signatures by different keys.
    #[error(
        "{good} of {SIGNATURES_NEEDED} signatures by release keys of this image are good: {why}"
    )]
    NotSigned {
        /// Different keys that have signed.
        good: usize,
        /// What was wrong with the others.
        why: String,
    },
    /// Signed, and no manifest.
    #[error(transparent)]
    NoManifest(#[from] NoManifest),
}

/// Proof that enough release keys signed a manifest. Only [`verify`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    manifest: Manifest,
    keys: Vec<KeyId>,
}

impl Proven {
    /// What was signed.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who signed.
    #[must_use]
    pub fn keys(&self) -> &[KeyId] {
        &self.keys
    }
}

/// Checks signatures over the octets of a manifest, and only then reads it.
///
/// # Errors
/// Fewer than two different keys of the image have signed these octets, or they are no manifest.
pub fn verify(octets: &[u8], signatures: &[Vec<u8>], roots: &Roots) -> Result<Proven, Refused> {
    let mut good = BTreeSet::new();
    let mut bad = Vec::new();
    for signature in signatures.iter().take(SIGNATURES_MAX) {
        match one(octets, signature, roots) {
            Ok(id) if good.contains(&id) => bad.push(format!("key {id} signed twice")),
            Ok(id) => {
                good.insert(id);
            }
            Err(why) => bad.push(why),
        }
    }
    if good.len() < SIGNATURES_NEEDED {
        let why = if bad.is_empty() { "others are missing".to_owned() } else { bad.join("; ") };
        return Err(Refused::NotSigned { good: good.len(), why });
    }
    let manifest = Manifest::read(octets)?;
    Ok(Proven { manifest, keys: good.into_iter().collect() })
}

fn one(octets: &[u8], signature: &[u8], roots: &Roots) -> Result<KeyId, String> {
    if signature.len() > SIGNATURE_OCTETS_MAX {
        return Err("a signature is too long".to_owned());
    }
    let signature: Signature =
        serde_json::from_slice(signature).map_err(|_| "a signature cannot be read".to_owned())?;
    if signature.algorithm != "ed25519" {
        return Err("a signature is of an algorithm that is not known".to_owned());
    }
    let Some(key) = roots.find(&signature.key) else {
        return Err("a signature is by a key that is not in this image".to_owned());
    };
    let sealed = STANDARD.decode(&signature.signature);
    let sealed = sealed.map_err(|_| "a signature is no base64".to_owned())?;
    UnparsedPublicKey::new(&ED25519, &key.0)
        .verify(&[PURPOSE, octets].concat(), &sealed)
        .map_err(|_| format!("the signature by key {} does not fit", signature.key))?;
    Ok(signature.key)
}

/// Adds the signature of `key` over the octets of a manifest to those that are there. Whether these
/// are good nobody can tell without their keys; that they are of other keys, each can see.
///
/// # Errors
/// The key has signed already, one of those that are there cannot be read, or there is no room.
pub fn add(octets: &[u8], signatures: &mut Vec<Vec<u8>>, key: &SecretKey) -> Result<(), String> {
    let own = key.public().id();
    for id in signers(signatures)? {
        if id == own {
            return Err(format!("key {own} has signed already; another one is needed"));
        }
    }
    if signatures.len() >= SIGNATURES_MAX {
        return Err(format!("it has {SIGNATURES_MAX} signatures, and more are not read"));
    }
    signatures.push(key.sign(octets));
    Ok(())
}

/// The keys that signatures say they are of, in their order.
///
/// # Errors
/// One cannot be read, or two are of one key.
pub fn signers(signatures: &[Vec<u8>]) -> Result<Vec<KeyId>, String> {
    let mut ids = Vec::new();
    for octets in signatures {
        let signature: Signature = serde_json::from_slice(octets)
            .map_err(|_| "a signature that it has cannot be read".to_owned())?;
        if ids.contains(&signature.key) {
            return Err(format!("it has two signatures of key {}", signature.key));
        }
        ids.push(signature.key);
    }
    Ok(ids)
}

/// A secret release key.
pub struct SecretKey(Ed25519KeyPair);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.public().id())
    }
}

impl SecretKey {
    /// Reads a PKCS#8 `PRIVATE KEY` in PEM.
    ///
    /// # Errors
    /// It is no Ed25519 key.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|e| format!("no PEM key: {e}"))?;
        let PrivateKeyDer::Pkcs8(der) = &der else { return Err("is not PKCS#8".to_owned()) };
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map(Self)
            .map_err(|e| format!("no Ed25519 key: {e}"))
    }

    /// Makes a key; returns it as PKCS#8 PEM.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn generate() -> Result<crate::base::secret::Secret<String>, String> {
        let pair = Ed25519KeyPair::generate().map_err(|_| "no randomness".to_owned())?;
        let der = pair.to_pkcs8v1().map_err(|_| "the key cannot be written".to_owned())?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        let lines = lines.join("\n");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n");
        Ok(crate::base::secret::Secret::new(pem))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> ReleaseKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        ReleaseKey(key)
    }

    /// Signs the octets of a manifest; the text of a signature file.
    #[must_use]
    pub fn sign(&self, octets: &[u8]) -> Vec<u8> {
        let signature = Signature {
            algorithm: "ed25519".to_owned(),
            key: self.public().id(),
            signature: STANDARD.encode(self.0.sign(&[PURPOSE, octets].concat()).as_ref()),
        };
        let mut text = serde_json::to_string(&signature).unwrap_or_default();
        text.push('\n');
        text.into_bytes()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::manifest::tests::manifest;
    use super::*;

    pub(crate) fn keys() -> [SecretKey; 3] {
        [(); 3]
            .map(|()| SecretKey::read(SecretKey::generate().unwrap().expose().as_bytes()).unwrap())
    }

    pub(crate) fn roots(keys: &[SecretKey]) -> Roots {
        Roots::new(keys.iter().map(SecretKey::public)).unwrap()
    }

    #[test]
    fn any_two_of_three_are_believed() {
        let keys = keys();
        let roots = roots(&keys);
        let octets = manifest("1.2.0").write();
        let signed: Vec<Vec<u8>> = keys.iter().map(|key| key.sign(&octets)).collect();
        for (a, b) in [(0, 1), (0, 2), (1, 2), (2, 0)] {
            let proven = verify(&octets, &[signed[a].clone(), signed[b].clone()], &roots).unwrap();
            assert_eq!(proven.manifest().version.to_string(), "1.2.0");
            assert_eq!(proven.keys().len(), 2);
        }
        verify(&octets, &signed, &roots).unwrap();
        let bad_and_good = [b"{}".to_vec(), signed[0].clone(), signed[1].clone()];
        verify(&octets, &bad_and_good, &roots).unwrap();
    }

    #[test]
    fn one_key_is_not_enough_however_often_it_signs() {
        let keys = keys();
        let roots = roots(&keys);
        let octets = manifest("1.2.0").write();
        let one = keys[0].sign(&octets);
        for signatures in [vec![], vec![one.clone()], vec![one.clone(), one.clone(), one.clone()]] {
            let refused = verify(&octets, &signatures, &roots);
            assert!(matches!(refused, Err(Refused::NotSigned { good: 0 | 1, .. })), "{refused:?}");
        }
        let text = String::from_utf8(one.clone()).unwrap();
        let renamed = text.replace(&keys[0].public().id().0, &keys[1].public().id().0);
        let refused = verify(&octets, &[one.clone(), renamed.into_bytes()], &roots);
        assert!(matches!(refused, Err(Refused::NotSigned { good: 1, .. })), "another's name");
        let stranger = &self::keys()[0];
        let refused = verify(&octets, &[one, stranger.sign(&octets)], &roots);
        assert!(matches!(refused, Err(Refused::NotSigned { good: 1, .. })), "a stranger");
    }

    #[test]
    fn signatures_are_added_by_one_key_after_the_other() {
        let keys = keys();
        let roots = roots(&keys);
        let octets = manifest("1.2.0").write();
        let mut signatures = Vec::new();
        add(&octets, &mut signatures, &keys[2]).unwrap();
        let refused = verify(&octets, &signatures, &roots);
        assert!(matches!(refused, Err(Refused::NotSigned { good: 1, .. })), "{refused:?}");
        assert!(add(&octets, &mut signatures, &keys[2]).unwrap_err().contains("signed already"));
        assert_eq!(signatures.len(), 1);
        add(&octets, &mut signatures, &keys[0]).unwrap();
        assert_eq!(verify(&octets, &signatures, &roots).unwrap().keys().len(), 2);
        assert_eq!(signers(&signatures).unwrap(), [keys[2].public().id(), keys[0].public().id()]);
        let one = signatures[0].clone();
        assert!(add(&octets, &mut vec![one.clone(), one], &keys[1]).is_err());
        assert!(add(&octets, &mut vec![b"{}".to_vec()], &keys[1]).is_err());
    }

    #[test]
    fn every_octet_of_the_manifest_counts() {
        let keys = keys();
        let roots = roots(&keys);
        let octets = manifest("1.2.0").write();
        let signed = [keys[0].sign(&octets), keys[1].sign(&octets)];
        for at in 0..octets.len() {
            let mut tampered = octets.clone();
            tampered[at] ^= 1;
            let refused = verify(&tampered, &signed, &roots);
            assert!(matches!(refused, Err(Refused::NotSigned { good: 0, .. })), "octet {at}");
            assert!(verify(&octets[..at], &signed, &roots).is_err(), "cut at {at}");
        }
        let longer = [&octets[..], b" "].concat();
        assert!(verify(&longer, &signed, &roots).is_err());
    }

    #[test]
    fn every_octet_of_a_signature_counts() {
        let keys = keys();
        let roots = roots(&keys);
        let octets = manifest("1.2.0").write();
        let (first, second) = (keys[0].sign(&octets), keys[1].sign(&octets));
        for at in 0..second.len() - 1 {
            let mut tampered = second.clone();
            tampered[at] ^= 1;
            assert!(verify(&octets, &[first.clone(), tampered], &roots).is_err(), "octet {at}");
        }
    }

    #[test]
    fn a_set_of_one_key_is_no_set() {
        let keys = keys();
        let twice = [keys[0].public(), keys[0].public()];
        assert_eq!(Roots::new(twice), Err(Refused::NoRoots(1)));
        assert_eq!(roots(&keys).ids().len(), 3);
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = keys()[0].public();
        assert_eq!(ReleaseKey::read(&key.pem()).unwrap(), key);
        assert!(ReleaseKey::read("AAAA").is_err() && ReleaseKey::read("?").is_err());
        assert!(SecretKey::read(key.pem().as_bytes()).is_err());
    }
}
