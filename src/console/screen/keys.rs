//! From octets to keys: whatever terminal it is, whatever noise is on its line.
//!
//! ```text
//!            ESC            [             final octet
//!  Ground ─────────► Escape ─────► Control ───────────► Ground, a key
//!    ▲  ▲  silence   │    │ O                  ▲
//!    │  └────────────┘    └────► Shift ────────┘ (one octet)
//!    └── a control octet, too much, or silence: whatever began is forgotten
//! ```
//!
//! ESC alone is a key and the beginning of others; only time tells them apart, and the slower the
//! line the longer. Function keys are read as vt220, linux, xterm and `PuTTY` send them. Everything
//! else is noise.

use std::time::Duration;

use crate::base::time::Instant;

/// Octets of a sequence; the longest honest one is a size report.
const SEQUENCE_OCTETS_MAX: usize = 16;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable ASCII character.
    Letter(char),
    /// Enter.
    Enter,
    /// Backspace or Delete.
    Erase,
    /// ctrl-U: the whole line.
    EraseLine,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Tab.
    Tab,
    /// Escape.
    Escape,
    /// F1 to F12.
    Function(u8),
    /// ctrl-L: draw everything anew.
    Redraw,
    /// ctrl-K: stop all mail.
    Kill,
    /// ctrl-C.
    Break,
    /// ctrl-D.
    Leave,
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A key.
    Key(Key),
    /// The terminal says where its cursor is, counted from 1.
    Cursor {
        /// The line.
        row: u16,
        /// The column.
        column: u16,
    },
    /// The terminal says how large it is.
    Size {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    /// `ESC [` and what came since.
    Control(Vec<u8>),
    /// `ESC O`.
    Shift,
}

/// Makes keys of octets as they come.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// So long after an ESC nothing that comes belongs to it.
    patience: Duration,
    since: Instant,
    /// The last octet was a CR, so that an LF now is nothing.
    after_return: bool,
}

impl Decoder {
    /// A decoder for a line of so many bits a second; none: not a serial one.
    #[must_use]
    pub fn new(bits_per_second: Option<u32>) -> Self {
        let slow = bits_per_second.is_some_and(|rate| rate <= 19_200);
        let patience = Duration::from_millis(if slow { 250 } else { 50 });
        Self { state: State::Ground, patience, since: Instant(0), after_return: false }
    }

    /// Takes octets and gives what they mean, in order.
    pub fn feed(&mut self, octets: &[u8], now: Instant) -> Vec<Heard> {
        let mut heard = Vec::new();
        if self.poll_timeout().is_some_and(|at| at <= now) {
            heard.extend(self.handle_timeout(now));
        }
        for &octet in octets {
            self.octet(octet, now, &mut heard);
        }
        heard
    }

    /// When a sequence that has begun is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state != State::Ground).then(|| self.since.after(self.patience))
    }

    /// Nothing came for long: an ESC was a key, anything else was noise.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Heard> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return None;
        }
        let state = std::mem::replace(&mut self.state, State::Ground);
        (state == State::Escape).then_some(Heard::Key(Key::Escape))
    }

    fn octet(&mut self, octet: u8, now: Instant, heard: &mut Vec<Heard>) {
        let after_return = std::mem::replace(&mut self.after_return, octet == b'\r');
        self.state = match std::mem::replace(&mut self.state, State::Ground) {
            State::Ground if octet == 0x1b => {
                self.since = now;
                State::Escape
            }
            State::Ground => {
                let lost = octet == b'\n' && after_return;
                heard.extend(plain(octet).filter(|_| !lost).map(Heard::Key));
                State::Ground
            }
            State::Escape => match octet {
                b'[' => State::Control(Vec::new()),
                b'O' => State::Shift,
                0x1b => {
                    heard.push(Heard::Key(Key::Escape));
                    self.since = now;
                    State::Escape
                }
                other => {
                    heard.push(Heard::Key(Key::Escape));
                    heard.extend(plain(other).map(Heard::Key));
                    State::Ground
                }
            },
            State::Shift => {
                heard.extend(shifted(octet).map(Heard::Key));
                State::Ground
            }
            State::Control(sequence) => self.control(sequence, octet, now, heard),
        };
    }

    fn control(
        &mut self,
        mut sequence: Vec<u8>,
        octet: u8,
        now: Instant,
        heard: &mut Vec<Heard>,
    ) -> State {
        match octet {
            0x1b => {
                self.since = now;
                State::Escape
            }
            // What was begun is noise; Enter and ctrl-C are heard in the middle of it.
            0..=0x1f | 0x7f..=0xff => {
                heard.extend(plain(octet).map(Heard::Key));
                State::Ground
            }
            // The linux console has F1 to F5 as `ESC [ [ A`.
            b'[' if sequence.is_empty() => State::Control(vec![b'[']),
            b' '..=b'?' if sequence.len() < SEQUENCE_OCTETS_MAX => {
                sequence.push(octet);
                State::Control(sequence)
            }
            b' '..=b'?' => State::Ground,
            finish => {
                heard.extend(meaning(&sequence, finish));
                State::Ground
            }
        }
    }
}

/// A key of one octet.
fn plain(octet: u8) -> Option<Key> {
    Some(match octet {
        b'\r' | b'\n' => Key::Enter,
        0x08 | 0x7f => Key::Erase,
        b'\t' => Key::Tab,
        0x03 => Key::Break,
        0x04 => Key::Leave,
        0x0b => Key::Kill,
        0x0c => Key::Redraw,
        0x15 => Key::EraseLine,
        b' '..=b'~' => Key::Letter(char::from(octet)),
        _ => return None,
    })
}

/// `ESC O` and this.
fn shifted(octet: u8) -> Option<Key> {
    Some(match octet {
        b'P'..=b'S' => Key::Function(octet - b'P' + 1),
        other => return arrow(other),
    })
}

fn arrow(octet: u8) -> Option<Key> {
    Some(match octet {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        b'M' => Key::Enter,
        _ => return None,
    })
}

/// `ESC [`, numbers and a last octet.
fn meaning(sequence: &[u8], finish: u8) -> Option<Heard> {
    if let [b'['] = sequence {
        let linux = (b'A'..=b'E').contains(&finish);
        return linux.then(|| Heard::Key(Key::Function(finish - b'A' + 1)));
    }
    let text = std::str::from_utf8(sequence).ok()?;
    let mut numbers = text.split(';').map(|number| number.parse::<u16>().ok());
    let (first, second, third) = (numbers.next()?, numbers.next(), numbers.next());
    match (finish, first, second.flatten(), third.flatten()) {
        (b'R', Some(row), Some(column), None) if row > 0 && column > 0 => {
            Some(Heard::Cursor { row, column })
        }
        (b't', Some(8), Some(rows), Some(columns)) => Some(Heard::Size { rows, columns }),
        (b'~', Some(number), ..) => numbered(number).map(Heard::Key),
        (b'M' | b'R' | b't' | b'~', ..) => None,
        (letter, ..) => arrow(letter).map(Heard::Key),
    }
}

/// `ESC [ number ~`.
fn numbered(number: u16) -> Option<Key> {
    let function = |first: u16, key: u8| {
        let after = u8::try_from(number - first).unwrap_or(0);
        Key::Function(key + after)
    };
    Some(match number {
        1 | 7 => Key::Home,
        3 => Key::Erase,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        11..=15 => function(11, 1),
        17..=21 => function(17, 6),
        23..=24 => function(23, 11),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(octets: &[u8]) -> Vec<Heard> {
        let mut decoder = Decoder::new(None);
        let mut heard = decoder.feed(octets, Instant(0));
        heard.extend(decoder.handle_timeout(Instant(1_000_000)));
        heard
    }

    #[test]
    fn terminals_send_the_same_keys_in_different_ways() {
        for (key, ways) in [
            (Key::Up, &["\x1b[A", "\x1bOA"][..]),
            (Key::Home, &["\x1b[H", "\x1b[1~", "\x1b[7~", "\x1bOH"]),
            (Key::End, &["\x1b[F", "\x1b[4~", "\x1b[8~"]),
            (Key::Function(1), &["\x1bOP", "\x1b[11~", "\x1b[[A"]),
            (Key::Function(5), &["\x1b[15~", "\x1b[[E"]),
            (Key::Function(10), &["\x1b[21~"]),
            (Key::Function(12), &["\x1b[24~"]),
            (Key::Enter, &["\r", "\n", "\r\n", "\x1bOM"]),
            (Key::Erase, &["\x7f", "\x08", "\x1b[3~"]),
            (Key::Escape, &["\x1b"]),
        ] {
            for way in ways {
                assert_eq!(keys(way.as_bytes()), vec![Heard::Key(key)], "{way:?}");
            }
        }
    }

    #[test]
    fn answers_of_the_terminal_are_no_keys() {
        assert_eq!(keys(b"\x1b[24;80R"), vec![Heard::Cursor { row: 24, column: 80 }]);
        assert_eq!(keys(b"\x1b[8;43;132t"), vec![Heard::Size { rows: 43, columns: 132 }]);
        assert_eq!(keys(b"\x1b[?62;1;2c"), vec![]);
    }

    #[test]
    fn an_escape_is_told_from_a_sequence_by_time() {
        let mut decoder = Decoder::new(Some(9600));
        assert_eq!(decoder.feed(b"\x1b", Instant(0)), vec![]);
        // 9600 bits a second are about a millisecond an octet; the line may stutter.
        assert_eq!(decoder.feed(b"[A", Instant(200_000)), vec![Heard::Key(Key::Up)]);
        assert_eq!(decoder.feed(b"\x1b", Instant(0)), vec![]);
        let late = decoder.feed(b"[", Instant(300_000));
        assert_eq!(late, vec![Heard::Key(Key::Escape), Heard::Key(Key::Letter('['))]);
    }

    #[test]
    fn noise_is_dropped_and_enter_is_heard_in_the_middle_of_it() {
        assert_eq!(keys(b"\x00\xff\x9b\x80"), vec![]);
        assert_eq!(keys(b"\x1b[12;\r"), vec![Heard::Key(Key::Enter)]);
        assert_eq!(keys(b"\x1b[1;2\x03"), vec![Heard::Key(Key::Break)]);
        let long = [b"\x1b[".as_slice(), &[b'1'; 100]].concat();
        assert!(keys(&long).len() < 100);
    }
}
