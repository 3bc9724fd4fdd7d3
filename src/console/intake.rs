//! From octets of a line to lines: bounded, printable, and never surprised.
//!
//! A serial line brings noise: NULs, halves of UTF-8, a megabyte without an end. What is no
//! printable ASCII is dropped, what is too long is cut and said so, and ctrl-C is heard wherever
//! it comes.

use zeroize::Zeroize;

/// Characters of a line. The longest honest answer is a list of addresses or a passphrase; a
/// terminal in canonical mode gives at most 4,096 (its line discipline).
pub const LINE_CHARACTERS_MAX: usize = 1024;

/// ctrl-C.
const BREAK: u8 = 0x03;
/// ctrl-D.
const END: u8 = 0x04;

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line without its end.
    Line(String),
    /// A line that was too long; it is not looked at.
    TooLong,
    /// ctrl-C.
    Break,
    /// ctrl-D.
    Leave,
}

/// Makes lines of octets as they come.
#[derive(Debug, Default)]
pub struct Intake {
    line: String,
    too_long: bool,
    /// The last octet was a CR, so that an LF now ends nothing.
    after_return: bool,
}

impl Intake {
    /// Takes octets and gives what is complete, in order.
    pub fn feed(&mut self, octets: &[u8]) -> Vec<Typed> {
        octets.iter().filter_map(|&octet| self.octet(octet)).collect()
    }

    fn octet(&mut self, octet: u8) -> Option<Typed> {
        let after_return = std::mem::replace(&mut self.after_return, octet == b'\r');
        match octet {
            b'\n' if after_return => None,
            b'\r' | b'\n' => Some(self.close()),
            BREAK => {
                self.forget();
                Some(Typed::Break)
            }
            END => {
                self.forget();
                Some(Typed::Leave)
            }
            // Where the terminal edits nothing (a pipe, a socket) this is all the editing.
            0x08 | 0x7f => {
                self.line.pop();
                None
            }
            b'\t' => self.keep(' '),
            b' '..=b'~' => self.keep(char::from(octet)),
            _ => None,
        }
    }

    fn keep(&mut self, letter: char) -> Option<Typed> {
        if self.line.len() < LINE_CHARACTERS_MAX {
            self.line.push(letter);
        } else {
            self.too_long = true;
        }
        None
    }

    fn close(&mut self) -> Typed {
        if self.too_long {
            self.forget();
            return Typed::TooLong;
        }
        Typed::Line(std::mem::take(&mut self.line))
    }

    fn forget(&mut self) {
        self.line.zeroize();
        self.too_long = false;
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(octets: &[u8]) -> Vec<Typed> {
        Intake::default().feed(octets)
    }

    #[test]
    fn every_end_of_line_is_one() {
        let two = vec![Typed::Line("a".to_owned()), Typed::Line("b".to_owned())];
        for text in ["a\nb\n", "a\rb\r", "a\r\nb\r\n"] {
            assert_eq!(lines(text.as_bytes()), two, "{text:?}");
        }
        assert_eq!(lines(b"\n\n").len(), 2);
    }

    #[test]
    fn noise_is_dropped_and_breaks_are_heard() {
        let noisy = b"\x00he\xff\xfel\x1bl\xc3\xa4o\x80\n";
        assert_eq!(lines(noisy), vec![Typed::Line("hello".to_owned())]);
        assert_eq!(
            lines(b"secr\x03x\n\x04"),
            vec![Typed::Break, Typed::Line("x".to_owned()), Typed::Leave]
        );
        assert_eq!(lines(b"ab\x7fc\n"), vec![Typed::Line("ac".to_owned())]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut intake = Intake::default();
        for _ in 0..10_000 {
            assert!(intake.feed(&[b'x'; 100]).is_empty());
        }
        assert!(intake.line.capacity() <= 2 * LINE_CHARACTERS_MAX);
        assert_eq!(intake.feed(b"\nnext\n"), vec![Typed::TooLong, Typed::Line("next".to_owned())]);
    }
}
