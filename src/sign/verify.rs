//! Our own look at our signatures, without a network: for `demo --once` and for tests. The judge
//! of record is an independent verifier (`tests/dkim.rs`).

use mail_auth::AuthenticatedMessage;
use mail_auth::common::headers::Header as SignatureField;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::dkim::Signature;

use crate::base::time::WallTime;

/// One signature of a message and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// `domain/selector`.
    pub name: String,
    /// Nothing, or why it is not good.
    pub result: Result<(), String>,
}

/// Verifies every DKIM signature of `content` at the time `now`. `record` looks up a TXT record
/// by its name without a trailing dot.
#[must_use]
pub fn verify(
    content: &[u8],
    now: WallTime,
    record: impl Fn(&str) -> Option<String>,
) -> Vec<Verified> {
    let Some(message) = AuthenticatedMessage::parse(content) else { return Vec::new() };
    let one = |header: &SignatureField<'_, Signature>| {
        let signature = &header.header;
        let name = format!("{}/{}", signature.d, signature.s);
        let key = record(signature.domain_key().trim_end_matches('.'));
        let result = (|| {
            if signature.x != 0 && signature.x <= now.unix_secs() {
                return Err("the signature has expired".to_owned());
            }
            let hash = message
                .body_hashes
                .iter()
                .find(|(body, _, length, _)| *body == signature.cb && *length == signature.l);
            if hash.is_none_or(|(_, _, _, hash)| *hash != signature.bh) {
                return Err("the body was changed".to_owned());
            }
            let key = key.ok_or("there is no key in DNS")?;
            let key = DomainKey::parse(key.as_bytes()).map_err(|e| e.to_string())?;
            let value = without_signature(header.value);
            let mut fields = message.signed_headers(&signature.h, header.name, &value);
            key.p
                .verify(&mut fields, &signature.b, signature.ch, signature.a)
                .map_err(|e| e.to_string())
        })();
        Verified { name, result }
    };
    message.dkim_headers.iter().map(one).collect()
}

/// The value of a DKIM-Signature field with an empty `b=` (RFC 6376 3.7), its CRLF removed.
fn without_signature(value: &[u8]) -> Vec<u8> {
    let value = value.strip_suffix(b"\r\n").unwrap_or(value);
    let tags: Vec<&[u8]> = value
        .split(|&octet| octet == b';')
        .map(|tag| {
            let start = tag.len() - tag.trim_ascii_start().len();
            let is_b = tag[start..]
                .strip_prefix(b"b")
                .is_some_and(|t| t.trim_ascii_start().starts_with(b"="));
            let end = tag.iter().position(|&octet| octet == b'=');
            if is_b { end.map_or(tag, |end| &tag[..=end]) } else { tag }
        })
        .collect();
    tags.join(&b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_of_b_is_emptied() {
        let value = b" v=1; bh=abc=;\r\n\tb=xy\r\n\tz=; t=1;\r\n";
        assert_eq!(without_signature(value), b" v=1; bh=abc=;\r\n\tb=; t=1;");
        assert!(verify(b"", WallTime(0), |_| None).is_empty());
    }
}
