//! Cutting command lines out of octets, strictly: CRLF ends a line and nothing else does.
//!
//! A lone CR or LF is how one message becomes two (SMTP smuggling): it is told apart here and
//! ends the session in [`crate::smtp::server`]. RFC 5321 2.3.8.

use memchr::memchr2;

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A line without its CRLF, and what follows it.
    Line(&'a [u8], &'a [u8]),
    /// No end of line yet.
    More,
    /// More than the limit without an end of line.
    TooLong,
    /// A CR that no LF follows.
    BareCr,
    /// An LF that no CR precedes.
    BareLf,
}

/// Looks for the first line of `input`. `octets_max` counts the CRLF, as RFC 5321 4.5.3.1.4 does.
#[must_use]
pub fn cut(input: &[u8], octets_max: usize) -> Cut<'_> {
    let window = &input[..input.len().min(octets_max)];
    let Some(end) = memchr2(b'\r', b'\n', window) else {
        return if input.len() >= octets_max { Cut::TooLong } else { Cut::More };
    };
    if input[end] == b'\n' {
        return Cut::BareLf;
    }
    match input.get(end + 1) {
        Some(b'\n') if end + 2 > octets_max => Cut::TooLong,
        Some(b'\n') => Cut::Line(&input[..end], &input[end + 2..]),
        Some(_) => Cut::BareCr,
        None => Cut::More,
    }
}

/// How much of `input` belongs to a line that is thrown away, and whether its CRLF was seen. A
/// final CR is left for the next look.
#[must_use]
pub fn swallow(input: &[u8]) -> (usize, bool) {
    match memchr::memmem::find(input, b"\r\n") {
        Some(end) => (end + 2, true),
        None if input.last() == Some(&b'\r') => (input.len() - 1, false),
        None => (input.len(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_line() {
        assert_eq!(cut(b"NOOP\r\nQUIT\r\n", 512), Cut::Line(b"NOOP", b"QUIT\r\n"));
        assert_eq!(cut(b"NOOP", 512), Cut::More);
        assert_eq!(cut(b"NOOP\r", 512), Cut::More);
        assert_eq!(cut(b"NOOP\n", 512), Cut::BareLf);
        assert_eq!(cut(b"NOOP\rX", 512), Cut::BareCr);
        assert_eq!(cut(b"NOOP\r\r\n", 512), Cut::BareCr);
        assert_eq!(cut(b"\r\n", 512), Cut::Line(b"", b""));
    }

    #[test]
    fn the_limit_counts_the_crlf() {
        assert_eq!(cut(b"abcdefgh\r\n", 10), Cut::Line(b"abcdefgh", b""));
        assert_eq!(cut(b"abcdefghi\r\n", 10), Cut::TooLong);
        assert_eq!(cut(b"abcdefghij", 10), Cut::TooLong);
        assert_eq!(cut(b"abcdefghi", 10), Cut::More);
    }

    #[test]
    fn swallowing_stops_at_crlf_and_keeps_a_half() {
        assert_eq!(swallow(b"xxx\r\nNOOP"), (5, true));
        assert_eq!(swallow(b"xxx\r"), (3, false));
        assert_eq!(swallow(b"xxx\nyy"), (6, false));
    }
}
