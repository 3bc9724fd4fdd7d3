//! DKIM signatures (RFC 6376, 8301, 8463), composed from the parts of mail-auth.
//!
//! Body hash and canonical header are computed once for all keys, and the time is an argument.
//! `c=relaxed/relaxed`, except `relaxed/simple` for a body that ends in lines of white space
//! alone: mail-auth 0.13 hashes such a body as nobody else does (`tests/dkim.rs`).
//!
//! Oversigned: every field that a reader sees or a receiver acts on is named in `h=` once more
//! than it occurs, so that none can be added on the way (replay with another To: or Subject:).

use std::time::Duration;

use mail_auth::common::crypto::{Algorithm, HashContext, HashImpl, Sha256, SigningKey};
use mail_auth::common::headers::{Writable, Writer};
use mail_auth::dkim::canonicalize::BodyHasher;
use mail_auth::dkim::{Canonicalization, Signature};

use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::mail::address::Domain;

use super::keyring::Signer;

/// Signed, and one more of each than there is.
const OVERSIGNED: [&str; 22] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-ID",
    "Content-Description",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Id",
    "Auto-Submitted",
    "Feedback-ID",
    "TLS-Required",
];

/// Signed if there is one: later hops may add their own.
const SIGNED: [&str; 9] = [
    "Resent-Date",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-Help",
    "List-Owner",
    "Precedence",
];

/// The signature fields for a message, one per signer, each ending in CRLF.
///
/// `fields` are name and value with its CRLF, in the order of the message.
///
/// # Errors
/// The library could not sign.
pub(super) fn signatures(
    domain: &Domain,
    signers: &[Signer],
    fields: &[(&str, &str)],
    body: &[u8],
    now: WallTime,
    valid: Duration,
) -> Result<Vec<u8>, Fault> {
    let mut octets = Vec::new();
    if signers.is_empty() {
        return Ok(octets);
    }
    let canonicalization = body_canonicalization(body);
    let mut hasher = BodyHasher::new(Sha256::hasher(), canonicalization, 0);
    hasher.write(body);
    let body_hash = hasher.finish().0.complete().as_ref().to_vec();
    let (names, chosen) = choose(fields);
    let mut canonical = Vec::with_capacity(2048);
    Canonicalization::Relaxed.canonicalize_headers(
        chosen.into_iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        &mut canonical,
    );
    for signer in signers {
        let mut signature = Signature {
            v: 1,
            a: signer.key.algorithm(),
            d: domain.as_str().to_owned(),
            s: signer.selector.clone(),
            bh: body_hash.clone(),
            h: names.iter().map(|name| (*name).to_owned()).collect(),
            t: now.unix_secs(),
            x: now.after(valid).unix_secs(),
            ch: Canonicalization::Relaxed,
            cb: canonicalization,
            ..Signature::default()
        };
        let input = Signable { canonical: &canonical, signature: &signature };
        signature.b = signer
            .key
            .sign(input)
            .map_err(|e| Fault::new("signing for", format!("{}.{domain}", signer.selector), e))?;
        signature.write(&mut octets, true);
        close_margin(&mut octets);
    }
    Ok(octets)
}

/// Takes out the line break that mail-auth 0.13 writes behind a `b=` that ends at the margin.
/// Verifiers that keep it (dkimpy) see white space that was not there when `b=` was empty.
fn close_margin(octets: &mut Vec<u8>) {
    if octets.ends_with(b"\r\n\t;\r\n") {
        octets.truncate(octets.len() - 6);
        octets.extend_from_slice(b";\r\n");
    }
}

/// `d/s/a` of a signer, for the journal.
pub(super) fn name(domain: &Domain, signer: &Signer) -> String {
    let algorithm = match signer.key.algorithm() {
        Algorithm::RsaSha256 => "rsa-sha256",
        Algorithm::Ed25519Sha256 => "ed25519-sha256",
        Algorithm::RsaSha1 => "rsa-sha1",
    };
    format!("{domain}/{}/{algorithm}", signer.selector)
}

/// Canonical header first, then the signature field without its `b=` (RFC 6376 3.7).
struct Signable<'a> {
    canonical: &'a [u8],
    signature: &'a Signature,
}

impl Writable for Signable<'_> {
    fn write(self, writer: &mut impl Writer) {
        writer.write(self.canonical);
        self.signature.write(writer, false);
    }
}

/// The names for `h=` and the fields that they choose: of equal names the last one first (RFC
/// 6376 5.4.2); a name beyond the last field chooses nothing.
fn choose<'a>(fields: &[(&'a str, &'a str)]) -> (Vec<&'static str>, Vec<(&'a str, &'a str)>) {
    let mut names = Vec::with_capacity(OVERSIGNED.len() * 2);
    let mut chosen = Vec::with_capacity(fields.len());
    let over = OVERSIGNED.iter().map(|name| (*name, true));
    for (name, oversigned) in over.chain(SIGNED.iter().map(|name| (*name, false))) {
        for field in fields.iter().rev().filter(|(n, _)| n.eq_ignore_ascii_case(name)) {
            names.push(name);
            chosen.push(*field);
        }
        if oversigned {
            names.push(name);
        }
    }
    (names, chosen)
}

/// Simple if the body ends in a line of white space alone, else relaxed.
fn body_canonicalization(body: &[u8]) -> Canonicalization {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let text = body.iter().rposition(|octet| !blank(octet)).map_or(0, |at| at + 1);
    let tail = &body[text..];
    // The white space right behind the last text belongs to its line.
    let lines = if text == 0 { Some(0) } else { memchr::memchr(b'\n', tail) };
    let spaced = lines.is_some_and(|from| memchr::memchr2(b' ', b'\t', &tail[from..]).is_some());
    if spaced { Canonicalization::Simple } else { Canonicalization::Relaxed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_mail_auth_hashes_alone_are_signed_simple() {
        for (body, expected) in [
            ("", Canonicalization::Relaxed),
            ("\r\n\r\n", Canonicalization::Relaxed),
            ("text \r\n", Canonicalization::Relaxed),
            ("text\r\n\r\n\r\n", Canonicalization::Relaxed),
            ("a\r\n \r\nb\r\n", Canonicalization::Relaxed),
            (" \r\n", Canonicalization::Simple),
            ("hello\r\n \r\n\t\r\n", Canonicalization::Simple),
            ("hello\r\n  \r\n\r\n", Canonicalization::Simple),
            ("<html></html>\r\n    \r\n", Canonicalization::Simple),
            ("hello\r\n ", Canonicalization::Simple),
        ] {
            assert_eq!(body_canonicalization(body.as_bytes()), expected, "{body:?}");
        }
    }

    #[test]
    fn every_name_is_listed_once_more_than_it_occurs() {
        let fields = [("From", " a\r\n"), ("received", " x\r\n"), ("to", " b\r\n")];
        let (names, chosen) = choose(&fields);
        assert_eq!(names.iter().filter(|n| **n == "From").count(), 2);
        assert_eq!(names.iter().filter(|n| **n == "Subject").count(), 1);
        assert!(!names.contains(&"Received"));
        assert_eq!(chosen, [("From", " a\r\n"), ("to", " b\r\n")]);
    }
}
