//! Content for the wire: dot-stuffing, done here and nowhere else (RFC 5321 4.5.2).
//!
//! The content is not copied: a stuffed line is sent as two overlapping slices, one that ends with
//! the dot and one that begins with the same dot.

use bytes::{Bytes, BytesMut};
use memchr::{memchr_iter, memmem};

/// Slices are handed out in at most this many octets, so that progress can be watched.
const SLICE_OCTETS_MAX: usize = 64 * 1024;

/// Slices shorter than this are gathered in a copy: content that is all dots must not become
/// millions of slices.
const SLICE_OCTETS_MIN: usize = 1024;

/// Whether every CR is followed by LF and every LF follows a CR: the only content that can not end
/// early at a careless host (SMTP smuggling, CVE-2023-51764 and its kin).
#[must_use]
pub fn line_endings_good(content: &[u8]) -> bool {
    let mut pairs = 0;
    for feed in memchr_iter(b'\n', content) {
        if feed == 0 || content[feed - 1] != b'\r' {
            return false;
        }
        pairs += 1;
    }
    memchr_iter(b'\r', content).count() == pairs
}

/// A cursor over content; gives out stuffed slices and at last the final dot.
#[derive(Clone, Debug)]
pub struct Stuffed {
    content: Bytes,
    next: usize,
    /// The octet at `next` is a dot that was already sent once.
    doubled: bool,
    ended: bool,
}

impl Stuffed {
    /// A cursor at the beginning of `content`, whose line endings are good.
    #[must_use]
    pub fn new(content: Bytes) -> Self {
        Self { content, next: 0, doubled: false, ended: false }
    }

    /// The final dot was given out.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next octets for the wire, `None` after the final dot.
    pub fn next_slice(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if self.next == self.content.len() {
            self.ended = true;
            let complete = self.content.is_empty() || self.content.ends_with(b"\r\n");
            return Some(Bytes::from_static(if complete { b".\r\n" } else { b"\r\n.\r\n" }));
        }
        let (end, dot) = self.slice_end();
        if end - self.next >= SLICE_OCTETS_MIN || end == self.content.len() {
            let slice = self.content.slice(self.next..end);
            self.step(end, dot);
            return Some(slice);
        }
        Some(self.gather())
    }

    /// Many short slices in one copy.
    fn gather(&mut self) -> Bytes {
        let mut copy = BytesMut::with_capacity(SLICE_OCTETS_MAX / 4);
        while self.next < self.content.len() {
            let (end, dot) = self.slice_end();
            if end - self.next >= SLICE_OCTETS_MIN || copy.len() + end - self.next > copy.capacity()
            {
                break;
            }
            copy.extend_from_slice(&self.content[self.next..end]);
            self.step(end, dot);
        }
        copy.freeze()
    }

    fn step(&mut self, end: usize, dot: bool) {
        self.doubled = dot;
        self.next = if dot { end - 1 } else { end };
    }

    /// Where the next slice ends, and whether it ends with a dot that must be sent twice.
    fn slice_end(&self) -> (usize, bool) {
        let rest = &self.content[self.next..];
        if self.next == 0 && !self.doubled && rest[0] == b'.' {
            return (1, true);
        }
        let window = &rest[..rest.len().min(SLICE_OCTETS_MAX)];
        match memmem::find(window, b"\r\n.") {
            Some(found) => (self.next + found + 3, true),
            // A window must not end inside CR LF dot.
            None if window.len() < rest.len() => (self.next + window.len() - 2, false),
            None => (self.content.len(), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(content: &[u8]) -> Vec<u8> {
        let mut cursor = Stuffed::new(Bytes::copy_from_slice(content));
        let mut octets = Vec::new();
        while let Some(slice) = cursor.next_slice() {
            assert!(!slice.is_empty());
            octets.extend_from_slice(&slice);
        }
        octets
    }

    /// The same in the slow way.
    fn reference(content: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            if line[0] == b'.' {
                octets.push(b'.');
            }
            octets.extend_from_slice(line);
        }
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(b".\r\n");
        octets
    }

    #[test]
    fn dots_are_stuffed_wherever_a_line_begins() {
        let cases: [&[u8]; 9] = [
            b"",
            b".",
            b".\r\n",
            b"..\r\n.\r\n",
            b"a\r\n.b\r\n",
            b"a\r\n\r\n.\r\n",
            b"a",
            b".\r\n.\r\n.\r\n",
            b"a.b\r\nc.\r\n",
        ];
        for case in cases {
            assert_eq!(wire(case), reference(case), "{case:?}");
        }
        for lines in [30_000, 60_000] {
            let dots = b".\r\n".repeat(lines);
            assert_eq!(wire(&dots), reference(&dots));
        }
        for shift in 0..8 {
            let mut long = vec![b'x'; SLICE_OCTETS_MAX - shift];
            long.extend_from_slice(b"\r\n.y\r\n");
            assert_eq!(wire(&long), reference(&long), "{shift}");
        }
    }

    #[test]
    fn content_that_could_end_early_is_recognised() {
        for good in ["", "a\r\n", "\r\n\r\n", "a"] {
            assert!(line_endings_good(good.as_bytes()), "{good:?}");
        }
        for bad in ["\n", "\r", "a\rb\r\n", "a\nb\r\n", "\r\r\n", "\n\r\n", "a\r", "\r\n\n.\r\n"] {
            assert!(!line_endings_good(bad.as_bytes()), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn stuffing_equals_its_reference(lines in prop::collection::vec("[.a]{0,40}", 0..80)) {
            let content = lines.join("\r\n");
            prop_assert_eq!(wire(content.as_bytes()), reference(content.as_bytes()));
        }
    }
}
