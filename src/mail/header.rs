//! The header block, split strictly into fields (RFC 5322 2.2, RFC 6532).
//!
//! ```text
//! content = field CRLF … field CRLF  CRLF  body
//!           name ":" value (folded lines begin with white space)
//! ```
//!
//! **Invariant:** what two programs could read in two ways is an error here: a name with a space
//! before its colon, a line that is no field, a folded line of white space alone, a control
//! character. Ownership is decided on what this reader returns and on nothing else.

use std::ops::Range;

use memchr::memchr;

use crate::base::limits::{HEADER_FIELD_OCTETS_MAX, HEADER_FIELDS_MAX, HEADER_OCTETS_MAX};

/// Why a header block is not accepted. The words are for the journal; replies have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A line is neither a field nor the continuation of one.
    #[error("a line is neither a field nor the continuation of one")]
    NotAField,
    /// A folded line holds white space alone (obs-FWS), which some readers take for the end.
    #[error("a folded line is empty")]
    EmptyFold,
    /// A control character other than TAB, or a line break that is not CRLF.
    #[error("a control character")]
    Control,
    /// Octets that are not UTF-8 (RFC 6532 3.1).
    #[error("octets that are not UTF-8")]
    NotUtf8,
    /// A bound of `base/limits.rs` is exceeded.
    #[error("larger than the limits allow")]
    TooLarge,
}

/// One field of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as it was written, without the colon.
    pub name: &'a str,
    /// Everything after the colon, folds included, without the last CRLF.
    pub value: &'a str,
    /// The whole field with its last CRLF.
    pub whole: &'a str,
}

impl Field<'_> {
    /// Whether this field has the name `name`, which is compared without case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line: folds undone (RFC 5322 2.2.3), outer white space removed.
    #[must_use]
    pub fn unfolded(&self) -> String {
        self.value.replace("\r\n", "").trim_matches([' ', '\t']).to_owned()
    }
}

/// A header block that was read without objection.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    text: &'a str,
    fields: Vec<(Range<u32>, u32)>,
    body: usize,
}

impl<'a> Header<'a> {
    /// Reads the header block at the start of `content`. A header may be the whole content.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(content: &'a [u8]) -> Result<Self, HeaderError> {
        let (end, body) = block_end(content)?;
        let block = &content[..end];
        if has_control(block) {
            return Err(HeaderError::Control);
        }
        let text = std::str::from_utf8(block).map_err(|_| HeaderError::NotUtf8)?;
        Ok(Self { text, fields: split(block)?, body })
    }

    /// The fields, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'a>> + ExactSizeIterator + '_ {
        self.fields.iter().map(|(range, colon)| {
            let (start, end) = (range.start as usize, range.end as usize);
            let colon = *colon as usize;
            let text = self.text;
            Field {
                name: &text[start..colon],
                value: &text[colon + 1..end - 2],
                whole: &text[start..end],
            }
        })
    }

    /// The fields called `name`, in order.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Field<'a>> + 's {
        self.fields().filter(move |field| field.is(name))
    }

    /// How many fields are called `name`.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// The first field called `name`.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.is(name))
    }

    /// Whether the author asks to deliver rather than to insist on TLS: exactly one field
    /// `TLS-Required: No` (RFC 8689 section 3). Two of them, or another word, ask for nothing.
    #[must_use]
    pub fn says_tls_optional(&self) -> bool {
        let mut fields = self.all("TLS-Required");
        match (fields.next(), fields.next()) {
            (Some(field), None) => field.unfolded().eq_ignore_ascii_case("No"),
            _ => false,
        }
    }

    /// The block itself, every line with its CRLF, without the empty line.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Where the body begins in the content.
    #[must_use]
    pub fn body_start(&self) -> usize {
        self.body
    }

    /// Whether every octet is ASCII; if not, the message needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

/// Where the header ends and where the body begins.
fn block_end(content: &[u8]) -> Result<(usize, usize), HeaderError> {
    if content.starts_with(b"\r\n") {
        return Ok((0, 2));
    }
    let window = &content[..content.len().min(HEADER_OCTETS_MAX + 4)];
    match memchr::memmem::find(window, b"\r\n\r\n") {
        Some(at) if at + 2 <= HEADER_OCTETS_MAX => Ok((at + 2, at + 4)),
        Some(_) => Err(HeaderError::TooLarge),
        None if content.len() > HEADER_OCTETS_MAX => Err(HeaderError::TooLarge),
        None if content.is_empty() || content.ends_with(b"\r\n") => {
            Ok((content.len(), content.len()))
        }
        None => Err(HeaderError::NotAField),
    }
}

/// Whether a control character other than TAB and the CR LF of a line end occurs.
fn has_control(block: &[u8]) -> bool {
    let mut previous = 0;
    block.iter().any(|&octet| {
        let before = std::mem::replace(&mut previous, octet);
        match octet {
            b'\n' => before != b'\r',
            _ if before == b'\r' => true,
            b'\t' | b'\r' => false,
            0..=31 | 127 => true,
            _ => false,
        }
    })
}

/// The fields of a block: the range of each with its CRLF, and the place of its colon.
fn split(block: &[u8]) -> Result<Vec<(Range<u32>, u32)>, HeaderError> {
    let mut fields: Vec<(Range<u32>, u32)> = Vec::with_capacity(32);
    let mut at = 0;
    while at < block.len() {
        let rest = &block[at..];
        let line = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let text = &rest[..line];
        let (start, end) = (offset(at)?, offset(at + line)?);
        if matches!(text[0], b' ' | b'\t') {
            if text.iter().all(|b| b" \t\r\n".contains(b)) {
                return Err(HeaderError::EmptyFold);
            }
            fields.last_mut().ok_or(HeaderError::NotAField)?.0.end = end;
        } else {
            let colon = name_end(text).ok_or(HeaderError::NotAField)?;
            fields.push((start..end, start + offset(colon)?));
        }
        let size = fields.last().map_or(0, |(range, _)| range.len());
        if size > HEADER_FIELD_OCTETS_MAX || fields.len() > HEADER_FIELDS_MAX {
            return Err(HeaderError::TooLarge);
        }
        at += line;
    }
    Ok(fields)
}

/// The place of the colon, if only `ftext` of RFC 5322 3.6.8 stands before it.
fn name_end(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', line)?;
    let legal = colon > 0 && line[..colon].iter().all(|b| (33..=126).contains(b));
    legal.then_some(colon)
}

/// Offsets are kept in four octets: a block is at most 256 KiB.
fn offset(at: usize) -> Result<u32, HeaderError> {
    u32::try_from(at).map_err(|_| HeaderError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<Vec<(String, String)>, HeaderError> {
        let header = Header::read(content.as_bytes())?;
        Ok(header.fields().map(|f| (f.name.to_owned(), f.unfolded())).collect())
    }

    #[test]
    fn fields_are_split_and_unfolded() {
        let fields =
            read("From: a@b.c\r\nSubject: one\r\n two\r\n\tthree\r\nX:\r\n\r\nbody").unwrap();
        let expected = [("From", "a@b.c"), ("Subject", "one two\tthree"), ("X", "")];
        assert_eq!(fields, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        let content = "A: 1\r\n\r\nbody\r\n";
        let header = Header::read(content.as_bytes()).unwrap();
        assert_eq!(&content[header.body_start()..], "body\r\n");
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for (bad, error) in [
            ("Fr om: a@b.c\r\n\r\n", HeaderError::NotAField),
            ("From : a@b.c\r\n\r\n", HeaderError::NotAField),
            (":From: a@b.c\r\n\r\n", HeaderError::NotAField),
            (" From: a@b.c\r\n\r\n", HeaderError::NotAField),
            ("From a@b.c Sat Nov 21\r\nA: 1\r\n\r\n", HeaderError::NotAField),
            ("A: 1\r\nno field\r\n\r\n", HeaderError::NotAField),
            ("Fróm: a@b.c\r\n\r\n", HeaderError::NotAField),
            ("A: 1\r\n \r\n 2\r\n\r\n", HeaderError::EmptyFold),
            ("A: 1\nB: 2\r\n\r\n", HeaderError::Control),
            ("A: 1\rB: 2\r\n\r\n", HeaderError::Control),
            ("A: \0\r\n\r\n", HeaderError::Control),
            ("A: \x1b[2J\r\n\r\n", HeaderError::Control),
            ("A: 1", HeaderError::NotAField),
        ] {
            assert_eq!(read(bad), Err(error), "{bad:?}");
        }
        assert_eq!(Header::read(b"A: \xff\r\n\r\n").unwrap_err(), HeaderError::NotUtf8);
    }

    #[test]
    fn tls_is_optional_only_if_one_field_says_no() {
        for (fields, expected) in [
            ("TLS-Required: No\r\n", true),
            ("tls-required:\r\n no \r\n", true),
            ("TLS-Required:NO\r\n", true),
            ("", false),
            ("TLS-Required: Yes\r\n", false),
            ("TLS-Required: No (why)\r\n", false),
            ("TLS-Required:\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\n", false),
            ("X-TLS-Required: No\r\n", false),
        ] {
            let content = format!("From: a@b.c\r\n{fields}\r\nTLS-Required: No\r\n");
            let header = Header::read(content.as_bytes()).unwrap();
            assert_eq!(header.says_tls_optional(), expected, "{fields:?}");
        }
    }

    #[test]
    fn the_limits_bind() {
        let many = "A: 1\r\n".repeat(HEADER_FIELDS_MAX + 1);
        assert_eq!(read(&many), Err(HeaderError::TooLarge));
        let long = format!("A: {}\r\n\r\n", "x\r\n ".repeat(HEADER_FIELD_OCTETS_MAX / 4));
        assert_eq!(read(&long), Err(HeaderError::TooLarge));
        let huge = format!("A: {}\r\n\r\n", "x".repeat(10_000_000));
        assert_eq!(read(&huge), Err(HeaderError::TooLarge));
    }

    #[test]
    fn a_header_without_body_and_a_body_without_header_are_read() {
        assert_eq!(read("A: 1\r\n").unwrap().len(), 1);
        assert_eq!(Header::read(b"\r\nbody").unwrap().body_start(), 2);
        assert_eq!(read("").unwrap().len(), 0);
    }
}
