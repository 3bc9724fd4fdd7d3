//! SASL messages of the server: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 5802, RFC 7677).
//!
//! Pure: keys come as [`ScramKeys`], the server's nonce as an argument. The only cryptography is
//! HMAC and SHA-256 of aws-lc-rs, which neither blocks nor allocates.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use super::server::ask::ScramKeys;
use crate::base::limits::CREDENTIAL_OCTETS_MAX;
use crate::base::secret::Secret;

/// Octets of a client's nonce; RFC 5802 names no bound.
const NONCE_OCTETS_MAX: usize = 256;

/// A message that the mechanism does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the mechanism")]
pub struct Malformed;

/// Base 64 as RFC 4954 section 4 wants it: padded, no white space.
///
/// # Errors
/// `Malformed`.
pub fn decode(text: &str) -> Result<Secret<Vec<u8>>, Malformed> {
    STANDARD.decode(text).map(Secret::new).map_err(|_| Malformed)
}

/// Base 64 of a challenge.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Text of a credential: UTF-8 without NUL, bounded, so that no hash is computed over megabytes.
///
/// # Errors
/// `Malformed`.
pub fn credential(octets: &[u8]) -> Result<String, Malformed> {
    if octets.is_empty() || octets.len() > CREDENTIAL_OCTETS_MAX || octets.contains(&0) {
        return Err(Malformed);
    }
    String::from_utf8(octets.to_vec()).map_err(|_| Malformed)
}

/// The message of PLAIN: `[authzid] NUL authcid NUL password`. Another's identity cannot be
/// asked for: authzid is empty or the same as authcid.
///
/// # Errors
/// `Malformed`.
pub fn plain(message: &[u8]) -> Result<(String, Secret<String>), Malformed> {
    let mut parts = message.split(|&octet| octet == 0);
    let (Some(other), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed);
    };
    if !other.is_empty() && other != user {
        return Err(Malformed);
    }
    Ok((credential(user)?, Secret::new(credential(password)?)))
}

/// HMAC-SHA-256.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut octets = [0; 32];
    octets.copy_from_slice(tag.as_ref());
    octets
}

/// SHA-256.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, message);
    let mut octets = [0; 32];
    octets.copy_from_slice(hash.as_ref());
    octets
}

/// The client's first message of SCRAM.
#[derive(Debug, PartialEq, Eq)]
pub struct ScramFirst {
    user: String,
    header: String,
    bare: String,
    nonce: String,
}

impl ScramFirst {
    /// Reads `gs2-header client-first-message-bare` (RFC 5802 section 7). Channel binding `p` is
    /// refused, since -PLUS is not offered; `y` is right, since it is not.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(message).map_err(|_| Malformed)?;
        let (flag, rest) = text.split_once(',').ok_or(Malformed)?;
        let (identity, bare) = rest.split_once(',').ok_or(Malformed)?;
        let mut fields = bare.split(',');
        // A mandatory extension (`m=`) would stand first: it is not a user name, so refused.
        let user = fields.next().and_then(|field| field.strip_prefix("n=")).ok_or(Malformed)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Malformed)?;
        let user = credential(unescape(user)?.as_bytes())?;
        let identity_good = identity.is_empty()
            || identity
                .strip_prefix("a=")
                .is_some_and(|name| unescape(name).is_ok_and(|name| name == user));
        let nonce_good = !nonce.is_empty()
            && nonce.len() <= NONCE_OCTETS_MAX
            && nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if !matches!(flag, "n" | "y") || !identity_good || !nonce_good {
            return Err(Malformed);
        }
        let header = format!("{flag},{identity},");
        Ok(Self { user, header, bare: bare.to_owned(), nonce: nonce.to_owned() })
    }

    /// The user that claims to be there.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The server's first message, and what the client's final one is judged by.
    #[must_use]
    pub fn challenge(self, keys: ScramKeys, server_nonce: &str) -> (String, ScramExpected) {
        let nonce = format!("{}{server_nonce}", self.nonce);
        let first = format!("r={nonce},s={},i={}", encode(&keys.salt), keys.iterations);
        let expected = ScramExpected {
            user: self.user,
            binding: encode(self.header.as_bytes()),
            said: format!("{},{first}", self.bare),
            nonce,
            keys,
        };
        (first, expected)
    }
}

/// What the client's final message must prove.
#[derive(Debug)]
pub struct ScramExpected {
    user: String,
    binding: String,
    said: String,
    nonce: String,
    keys: ScramKeys,
}

impl ScramExpected {
    /// The user that claims to be there.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Judges `client-final-message`: the server's final message (`v=`) if the proof holds,
    /// `None` if it does not.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn prove(&self, message: &[u8]) -> Result<Option<String>, Malformed> {
        let text = std::str::from_utf8(message).map_err(|_| Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(Malformed)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Malformed)?;
        let proof: [u8; 32] =
            decode(proof)?.expose().as_slice().try_into().map_err(|_| Malformed)?;
        if binding != self.binding || nonce != self.nonce {
            return Ok(None);
        }
        let said = format!("{},{without_proof}", self.said);
        let signature = hmac_sha256(&self.keys.stored_key, said.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(octet, mask)| *octet ^= mask);
        let same = sha256(&client_key).ct_eq(&self.keys.stored_key);
        if !(bool::from(same) && self.keys.real) {
            return Ok(None);
        }
        Ok(Some(format!("v={}", encode(&hmac_sha256(&self.keys.server_key, said.as_bytes())))))
    }
}

/// `=2C` and `=3D` of a saslname (RFC 5802 section 5.1); nothing else may follow `=`.
fn unescape(text: &str) -> Result<String, Malformed> {
    let mut parts = text.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or(Malformed)?;
        plain.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return Err(Malformed),
        });
        plain.push_str(rest);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use aws_lc_rs::pbkdf2;

    use super::*;

    fn keys(password: &str, salt: &str, iterations: u32) -> ScramKeys {
        let salt = STANDARD.decode(salt).unwrap();
        let mut salted = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(iterations).unwrap(),
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        ScramKeys {
            salt,
            iterations,
            stored_key: sha256(&hmac_sha256(&salted, b"Client Key")),
            server_key: hmac_sha256(&salted, b"Server Key"),
            real: true,
        }
    }

    /// The example of RFC 7677 section 3.
    fn example() -> (String, ScramExpected) {
        let first = ScramFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(first.user(), "user");
        let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        first.challenge(keys("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096), nonce)
    }

    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_example_of_rfc_7677_holds() {
        let (first, expected) = example();
        assert_eq!(
            first,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let proven = expected.prove(FINAL.as_bytes()).unwrap();
        assert_eq!(proven.unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn every_other_proof_fails() {
        let (_, mut expected) = example();
        for wrong in [
            FINAL.replace("c=biws", "c=eSws"),
            FINAL.replace("k0,", "k1,"),
            FINAL.replace("p=dHzb", "p=eHzb"),
        ] {
            assert_eq!(expected.prove(wrong.as_bytes()), Ok(None));
        }
        for malformed in ["", "c=biws,p=", "r=x,c=biws,p=AAAA", "p=AAAA"] {
            assert_eq!(expected.prove(malformed.as_bytes()), Err(Malformed));
        }
        expected.keys.real = false;
        assert_eq!(expected.prove(FINAL.as_bytes()), Ok(None));
    }

    #[test]
    fn first_messages_are_read_strictly() {
        assert_eq!(ScramFirst::parse(b"y,a=a=2Cb,n=a=2Cb,r=x").unwrap().user(), "a,b");
        for bad in [
            "p=tls-unique,,n=u,r=x",
            "n,,m=ext,n=u,r=x",
            "n,a=other,n=u,r=x",
            "n,,n=u",
            "n,,n=,r=x",
            "n,,n=u,r=",
            "n,,n=u=,r=x",
            "n,,n=u=2D,r=x",
            "z,,n=u,r=x",
            "",
        ] {
            assert_eq!(ScramFirst::parse(bad.as_bytes()), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn plain_names_one_identity() {
        assert_eq!(plain(b"\0u\0p").unwrap().0, "u");
        assert_eq!(plain(b"u\0u\0p").unwrap().0, "u");
        for bad in [&b"o\0u\0p"[..], b"u\0p", b"\0\0p", b"\0u\0", b"\0u\0p\0", b"\0\xff\0p"] {
            assert!(plain(bad).is_err());
        }
        assert!(plain(&[b"\0u\0".as_slice(), &[b'x'; 256]].concat()).is_err());
    }
}
