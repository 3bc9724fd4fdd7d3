//! What a reader sees in a display name: encoded words undone (RFC 2047), addresses found.
//!
//! Mail programs show `=?utf-8?Q?ceo=40bank.example?= <x@y.example>` as `ceo@bank.example`. This
//! is a detector, not a converter: only what looks like an address matters, so every charset is
//! read as if it extended ASCII, and the few that do not are named.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::mail::address::{AddressError, Mailbox};

/// Base64 as mail programs read it: padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The text as it is shown, or `None` if it uses a charset in which ASCII can hide (UTF-7).
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let mut seen = Vec::with_capacity(text.len());
    let mut after_word = false;
    let mut rest = text;
    while let Some(start) = rest.find("=?") {
        let (before, tail) = rest.split_at(start);
        let Some((charset, octets, length)) = encoded_word(tail) else {
            seen.extend_from_slice(before.as_bytes());
            seen.extend_from_slice(b"=?");
            (after_word, rest) = (false, &tail[2..]);
            continue;
        };
        // White space between two encoded words is not shown (RFC 2047 section 6.2).
        if !(after_word && before.trim().is_empty()) {
            seen.extend_from_slice(before.as_bytes());
        }
        if charset.to_ascii_lowercase().contains("utf-7") {
            return None;
        }
        // UTF-16 and UTF-32 put NULs between ASCII characters.
        seen.extend(octets.into_iter().filter(|&octet| octet != 0));
        (after_word, rest) = (true, &tail[length..]);
    }
    seen.extend_from_slice(rest.as_bytes());
    Some(String::from_utf8_lossy(&seen).into_owned())
}

/// The encoded word at the start of `text`: charset, octets, length.
fn encoded_word(text: &str) -> Option<(&str, Vec<u8>, usize)> {
    let inner = text.strip_prefix("=?")?;
    let (charset, inner_rest) = inner.split_once('?')?;
    let (encoding, data) = inner_rest.split_once('?')?;
    let end = data.find("?=")?;
    let octets = match encoding {
        "q" | "Q" => quoted_printable(&data[..end]),
        "b" | "B" => {
            let letters = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
            let data: Vec<u8> = data[..end].bytes().filter(letters).collect();
            LENIENT.decode(data).ok()?
        }
        _ => return None,
    };
    let length = text.len() - data.len() + end + 2;
    Some((charset, octets, length))
}

fn quoted_printable(data: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(data.len());
    let mut rest = data.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|&b| char::from(b).to_digit(16));
        rest = tail;
        match (first, digit(0), digit(1)) {
            (b'=', Some(high), Some(low)) => {
                octets.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = &tail[2..];
            }
            (b'_', _, _) => octets.push(b' '),
            _ => octets.push(first),
        }
    }
    octets
}

/// Whether a text holds characters that are not seen or that turn the direction of writing.
#[must_use]
pub fn hides(text: &str) -> bool {
    text.chars().any(|c| {
        let folded = matches!(c, '\t' | '\r' | '\n');
        (c.is_control() && !folded)
            || matches!(
                c,
                '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
            )
    })
}

/// Everything that a reader would take for an address; an error where it is no good one.
pub fn addresses(text: &str) -> impl Iterator<Item = Result<Mailbox, AddressError>> {
    let text = text.replace(['\u{ff20}', '\u{fe6b}'], "@");
    let places: Vec<usize> = text.match_indices('@').map(|(at, _)| at).collect();
    places.into_iter().filter_map(move |at| {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let edge = |c: char| c.is_whitespace() || "<>()[]{},;:\"'`|/\\@=".contains(c);
        let local = before.rsplit(edge).next().unwrap_or_default();
        let after = after.trim_start();
        let domain = after.split(edge).next().unwrap_or_default().trim_end_matches('.');
        let dotted = domain.contains(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']);
        let last = domain.rsplit(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']).next();
        let letters = last.is_some_and(|label| label.chars().any(char::is_alphabetic));
        (dotted && letters).then(|| Mailbox::parse(&format!("{local}@{domain}"), true))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_seen_as_programs_show_them() {
        for (text, seen) in [
            ("plain", "plain"),
            ("=?utf-8?Q?ceo=40bank.example?=", "ceo@bank.example"),
            ("=?UTF-8?B?Y2VvQGJhbmsuZXhhbXBsZQ==?=", "ceo@bank.example"),
            ("=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ?=", "ceo@bank.example"),
            ("=?utf-8*en?q?ceo?= =?utf-8?q?=40bank.example?=", "ceo@bank.example"),
            ("=?utf-16?B?AEAAYgAuAGM=?=", "@b.c"),
            ("a =?x?q?b_c?= d", "a b c d"),
            ("=?broken", "=?broken"),
            ("=?x?z?y?=", "=?x?z?y?="),
        ] {
            assert_eq!(decoded(text).as_deref(), Some(seen), "{text}");
        }
        assert_eq!(decoded("=?utf-7?q?ceo+AEA-bank.example?="), None);
    }

    #[test]
    fn addresses_are_found_wherever_a_reader_would_see_one() {
        let found = |text: &str| -> Vec<String> {
            addresses(text).map(|a| a.map_or("?".to_owned(), |a| a.to_string())).collect()
        };
        assert_eq!(found("Alice (alice@b.example)"), ["alice@b.example"]);
        assert_eq!(found("alice＠b.example via X"), ["alice@b.example"]);
        assert_eq!(found("alice@ b.example."), ["alice@b.example"]);
        assert_eq!(found("@b.example"), ["?"]);
        assert!(found("us @acme, 5 @ 3.-, oil @ 9.99, Team").is_empty());
        assert!(found("follow @acme").is_empty());
        assert!(hides("a\u{202e}b") && hides("a\u{200b}b") && !hides("Jürgen 🙂"));
    }
}
