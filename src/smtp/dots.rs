//! Reading content: where it ends, dot-stuffing undone, what may not be in it (RFC 5321 4.5.2).
//!
//! Content ends at exactly CRLF `.` CRLF; nothing else looks like an end. A block is searched with
//! memchr and copied in runs: no machine looks at every octet.
//!
//! ```text
//!          '.'                CR              LF
//! Start ────────► Dot ───────────► DotCr ──────────► end of data
//!   ▲ │            │ other           │ other: bare CR
//!   │ └──────────► Text ◄────────────┘
//!   │ LF            │ CR
//!   └───── Cr ◄─────┘      other after Cr: bare CR
//! ```

use bytes::Bytes;
use memchr::memchr3;

use crate::base::limits::{CONTENT_LINE_OCTETS_MAX, CONTENT_RESERVE_OCTETS_MAX};

/// Why content is refused, the worst last: what is told is the worst that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContentFault {
    /// Our own memory is short.
    Shortage,
    /// Larger than SIZE.
    TooLarge,
    /// A line beyond 998 octets (RFC 5322 2.1.1).
    LongLine,
    /// A NUL (RFC 5322 4: obsolete, and never safe).
    Nul,
    /// A CR without LF or an LF without CR (RFC 5321 2.3.8).
    BareLineEnd,
}

/// Content as far as it has come. As soon as it is at fault nothing of it is kept.
#[derive(Debug)]
pub struct Content {
    kept: Vec<u8>,
    octets: u64,
    octets_max: u64,
    fault: Option<ContentFault>,
}

impl Content {
    /// Empty content of at most `octets_max`. `announced` is what SIZE= promised; a lie costs
    /// address space only, and at most `CONTENT_RESERVE_OCTETS_MAX` of it.
    #[must_use]
    pub fn new(announced: Option<u64>, octets_max: u64) -> Self {
        let hint = announced.and_then(|size| usize::try_from(size).ok()).unwrap_or(4096);
        let kept = Vec::with_capacity(hint.min(CONTENT_RESERVE_OCTETS_MAX));
        Self { kept, octets: 0, octets_max, fault: None }
    }

    /// Octets that came so far, kept or not.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Octets of memory that it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.kept.capacity()
    }

    /// The worst fault so far.
    #[must_use]
    pub fn fault(&self) -> Option<ContentFault> {
        self.fault
    }

    /// Notes a fault; the content is let go.
    pub fn spoil(&mut self, fault: ContentFault) {
        self.fault = self.fault.max(Some(fault));
        self.kept = Vec::new();
    }

    /// The content, unless it is at fault.
    ///
    /// # Errors
    /// The worst fault that was seen.
    pub fn finish(mut self) -> Result<Bytes, ContentFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        // Kept until delivery: give back what doubling has over-reserved.
        if self.kept.capacity() > self.kept.len() + self.kept.len() / 4 {
            self.kept.shrink_to_fit();
        }
        Ok(Bytes::from(self.kept))
    }

    fn push(&mut self, run: &[u8]) {
        self.octets = self.octets.saturating_add(run.len() as u64);
        if self.octets > self.octets_max {
            self.spoil(ContentFault::TooLarge);
        } else if self.fault.is_none() {
            self.kept.extend_from_slice(run);
        }
    }
}

/// How the end of content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// DATA: dots.
    Dots,
    /// BDAT: counted octets, dots mean nothing.
    Counted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Text,
    Cr,
    Dot,
    DotCr,
}

/// Remembers, between blocks, where in a line the content stands.
#[derive(Debug)]
pub struct Reader {
    framing: Framing,
    at: At,
    line_octets: usize,
}

impl Reader {
    /// A reader at the start of content, which is the start of a line.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, at: At::Start, line_octets: 0 }
    }

    /// Takes a block into `content`. `Some(n)`: the end of data was reached, `n` octets of the
    /// block belong to it; `None`: all of it does and more is to come.
    pub fn feed(&mut self, block: &[u8], content: &mut Content) -> Option<usize> {
        let (mut from, mut i) = (0, 0);
        while let Some(&octet) = block.get(i) {
            match self.at {
                At::Text => i += self.text(&block[i..], content),
                At::Start if octet == b'.' && self.framing == Framing::Dots => {
                    content.push(&block[from..i]);
                    i += 1;
                    from = i;
                    self.at = At::Dot;
                }
                At::Dot if octet == b'\r' => {
                    i += 1;
                    from = i;
                    self.at = At::DotCr;
                }
                At::Start | At::Dot => self.at = At::Text,
                At::DotCr if octet == b'\n' => return Some(i + 1),
                At::DotCr => self.at = At::Cr,
                At::Cr if octet == b'\n' => {
                    i += 1;
                    self.at = At::Start;
                    self.line_octets = 0;
                }
                At::Cr => {
                    content.spoil(ContentFault::BareLineEnd);
                    i += usize::from(octet == b'\r');
                    self.at = if octet == b'\r' { At::Cr } else { At::Text };
                }
            }
        }
        content.push(&block[from..]);
        None
    }

    /// The end of counted content: a last line without CRLF gets one, because the next host hears
    /// DATA, where content always ends with CRLF (RFC 5321 4.1.1.4).
    pub fn finish(&self, content: &mut Content) {
        match self.at {
            At::Cr | At::DotCr => content.spoil(ContentFault::BareLineEnd),
            At::Text | At::Dot => content.push(b"\r\n"),
            At::Start => {}
        }
    }

    /// Text up to and with the next octet that matters; how many octets that are.
    fn text(&mut self, rest: &[u8], content: &mut Content) -> usize {
        let found = memchr3(b'\r', b'\n', 0, rest);
        let run = found.unwrap_or(rest.len());
        self.line_octets += run;
        if self.line_octets > CONTENT_LINE_OCTETS_MAX {
            content.spoil(ContentFault::LongLine);
        }
        let Some(at) = found else { return run };
        match rest[at] {
            b'\r' => self.at = At::Cr,
            b'\n' => {
                content.spoil(ContentFault::BareLineEnd);
                self.line_octets = 0;
            }
            _ => {
                content.spoil(ContentFault::Nul);
                self.line_octets += 1;
            }
        }
        run + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `input` in two blocks; the content, and what is left after its end.
    fn read(input: &[u8], split: usize) -> (Result<Bytes, ContentFault>, Option<usize>) {
        let mut content = Content::new(None, 1 << 20);
        let mut reader = Reader::new(Framing::Dots);
        let mut end = reader.feed(&input[..split], &mut content);
        if end.is_none() {
            end = reader.feed(&input[split..], &mut content).map(|n| n + split);
        }
        (content.finish(), end)
    }

    #[test]
    fn dot_stuffing_is_undone_at_every_split() {
        let input = b"a\r\n..b\r\n.c\r\nd.\r\n...\r\n.\r\nQUIT\r\n";
        for split in 0..=input.len() {
            let (content, end) = read(input, split);
            assert_eq!(content.unwrap(), &b"a\r\n.b\r\nc\r\nd.\r\n..\r\n"[..], "{split}");
            assert_eq!(end, Some(input.len() - 6));
        }
    }

    #[test]
    fn empty_content_is_content() {
        let (content, end) = read(b".\r\n", 1);
        assert_eq!((content.unwrap().len(), end), (0, Some(3)));
    }

    #[test]
    fn a_lone_line_end_spoils_but_does_not_end() {
        for input in [&b"a\n.\r\n"[..], b"a\r.\r\n", b"a\r\n.\n", b"a\r\n.\rb", b"\r\n.\r\r\n"] {
            for split in 0..=input.len() {
                let (content, end) = read(input, split);
                assert_eq!(content, Err(ContentFault::BareLineEnd), "{input:?}");
                assert_eq!(end, None);
            }
        }
    }

    #[test]
    fn lines_are_measured_after_dots_are_undone() {
        let line = |n: usize| [b".".as_slice(), &vec![b'.'; n], b"\r\n.\r\n"].concat();
        assert!(read(&line(998), 400).0.is_ok());
        assert_eq!(read(&line(999), 400).0, Err(ContentFault::LongLine));
    }

    #[test]
    fn what_is_too_large_is_read_to_its_end_and_not_kept() {
        let mut content = Content::new(Some(u64::MAX), 4);
        assert!(content.held() <= CONTENT_RESERVE_OCTETS_MAX);
        let mut reader = Reader::new(Framing::Dots);
        assert_eq!(reader.feed(b"abcdef\r\n.\r\n", &mut content), Some(11));
        assert_eq!(content.held(), 0);
        assert_eq!(content.finish(), Err(ContentFault::TooLarge));
    }

    #[test]
    fn counted_content_ends_with_a_line() {
        let mut content = Content::new(None, 100);
        let mut reader = Reader::new(Framing::Counted);
        assert_eq!(reader.feed(b"a\r\n.\r\nb\r", &mut content), None);
        assert_eq!(reader.feed(b"\nc", &mut content), None);
        reader.finish(&mut content);
        assert_eq!(content.finish().unwrap(), &b"a\r\n.\r\nb\r\nc\r\n"[..]);
    }
}
