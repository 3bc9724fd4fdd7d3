//! The encrypted container of a backup. Openly described, so that it can be opened without us.
//!
//! ```text
//! "postern backup 1\n"             17 octets
//! KiB of memory, passes            4 octets each, big endian
//! salt                             16 octets
//! chunk 0, 1, ..                   AES-256-GCM of 65,536 octets (the last: fewer), then its tag
//! ```
//!
//! Key: Argon2id (RFC 9106, version 0x13, one lane, 32 octets) of passphrase and salt. The salt is
//! drawn for every container, so a key serves one container only and the nonce may count: seven
//! zero octets, the number of the chunk (four octets, big endian), and 1 for the last chunk, else
//! 0. Associated data of every chunk is the head. Chunks can neither be altered, moved, left out
//! nor cut off at the end without being found out (the STREAM construction of Hoang, Reyhanitabar,
//! Rogaway and Vizár, 2015).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::source::secret::{SALT_OCTETS, salt, stretch};

const MAGIC: &[u8; 17] = b"postern backup 1\n";
const HEAD_OCTETS: usize = MAGIC.len() + 8 + SALT_OCTETS;
const CHUNK_OCTETS: usize = 64 * 1024;
const TAG_OCTETS: usize = 16;

/// 64 MiB and three passes: RFC 9106's second recommendation, about 200 ms.
const KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;

/// Why a container does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Shut {
    /// It is something else.
    #[error("this is no backup of Postern")]
    Stranger,
    /// Wrong passphrase, or something was changed: nobody can tell which.
    #[error("the passphrase is wrong, or the file was changed")]
    Wrong,
    /// The key cannot be computed.
    #[error("{0}")]
    Fault(String),
}

/// Encrypts `plain`.
///
/// # Errors
/// No random octets, or no memory for the key.
pub(super) fn close(plain: &[u8], passphrase: &Secret<String>) -> Result<Vec<u8>, Fault> {
    let fault = |cause: String| Fault::new("encrypting", "a backup", cause);
    let mut out = MAGIC.to_vec();
    out.extend(KIB.to_be_bytes());
    out.extend(PASSES.to_be_bytes());
    let salt = salt()?;
    out.extend(salt);
    let head = out.clone();
    let key = key(passphrase, &salt, KIB, PASSES).map_err(|shut| fault(shut.to_string()))?;
    let mut chunks = plain.chunks(CHUNK_OCTETS).peekable();
    let mut number = 0_u32;
    loop {
        // An empty backup is one empty chunk.
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        let mut sealed = chunk.to_vec();
        key.seal_in_place_append_tag(nonce(number, last), Aad::from(&head), &mut sealed)
            .map_err(|_| fault("the cipher refused".to_owned()))?;
        out.extend(sealed);
        if last {
            return Ok(out);
        }
        number += 1;
    }
}

/// Decrypts a container.
///
/// # Errors
/// It is none, the passphrase is wrong, or an octet is not as it was.
pub(super) fn open(sealed: &[u8], passphrase: &Secret<String>) -> Result<Secret<Vec<u8>>, Shut> {
    let (head, rest) = sealed.split_at_checked(HEAD_OCTETS).ok_or(Shut::Stranger)?;
    let costs = head.strip_prefix(MAGIC).ok_or(Shut::Stranger)?;
    let number = |at: usize| {
        costs[at..at + 4].iter().fold(0_u32, |number, octet| number << 8 | u32::from(*octet))
    };
    let key = key(passphrase, &costs[8..], number(0), number(4))?;
    let mut plain = Vec::with_capacity(rest.len());
    let mut chunks = rest.chunks(CHUNK_OCTETS + TAG_OCTETS).zip(0_u32..).peekable();
    if chunks.peek().is_none() {
        return Err(Shut::Wrong);
    }
    while let Some((chunk, number)) = chunks.next() {
        let last = chunks.peek().is_none();
        let mut chunk = chunk.to_vec();
        let opened = key
            .open_in_place(nonce(number, last), Aad::from(head), &mut chunk)
            .map_err(|_| Shut::Wrong)?;
        plain.extend_from_slice(opened);
    }
    Ok(Secret::new(plain))
}

fn key(
    passphrase: &Secret<String>,
    salt: &[u8],
    kib: u32,
    passes: u32,
) -> Result<LessSafeKey, Shut> {
    let octets =
        stretch(passphrase, salt, kib, passes).map_err(|fault| Shut::Fault(fault.to_string()))?;
    let key = UnboundKey::new(&AES_256_GCM, &*octets)
        .map_err(|_| Shut::Fault("no key for AES-256-GCM".to_owned()))?;
    Ok(LessSafeKey::new(key))
}

fn nonce(number: u32, last: bool) -> Nonce {
    let mut octets = [0_u8; 12];
    octets[7..11].copy_from_slice(&number.to_be_bytes());
    octets[11] = u8::from(last);
    Nonce::assume_unique_for_key(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn what_is_closed_opens_with_its_passphrase_only() {
        let pass = said("seven brown foxes");
        for length in [0, 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 2 * CHUNK_OCTETS] {
            let plain = vec![42_u8; length];
            let sealed = close(&plain, &pass).unwrap();
            assert_eq!(open(&sealed, &pass).unwrap().expose(), &plain, "{length}");
            assert_eq!(open(&sealed, &said("seven brown foxe")).unwrap_err(), Shut::Wrong);
        }
        assert_eq!(open(b"age-encryption.org/v1", &pass).unwrap_err(), Shut::Stranger);
    }

    #[test]
    fn no_octet_can_be_changed_and_no_chunk_moved_or_left_out() {
        let pass = said("seven brown foxes");
        let plain: Vec<u8> =
            (0..3 * CHUNK_OCTETS + 5).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
        let sealed = close(&plain, &pass).unwrap();
        let size = CHUNK_OCTETS + TAG_OCTETS;
        let places =
            [30, HEAD_OCTETS, HEAD_OCTETS + size - 1, HEAD_OCTETS + 2 * size, sealed.len() - 1];
        for at in places {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(open(&bent, &pass).is_err(), "octet {at}");
        }
        let (head, body) = sealed.split_at(HEAD_OCTETS);
        let chunks: Vec<&[u8]> = body.chunks(size).collect();
        let built = |order: &[usize]| {
            let parts: Vec<u8> = order.iter().flat_map(|at| chunks[*at].to_vec()).collect();
            [head, &parts].concat()
        };
        assert!(open(&built(&[0, 1, 2, 3]), &pass).is_ok());
        for order in [&[1, 0, 2, 3][..], &[0, 2, 3], &[0, 1, 2], &[0, 1, 2, 3, 3], &[]] {
            assert!(open(&built(order), &pass).is_err(), "{order:?}");
        }
    }
}
