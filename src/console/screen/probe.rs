//! How large the terminal is and whether it reads UTF-8: found by asking it, never assumed.
//!
//! ```text
//!  CSI 999;999H CSI 6n ──answer──────────────────────► size ──(may be UTF-8)──► three octets,
//!        │ silence                                      ▲                       CSI 6n ──► done
//!        └──► CSI 18t ──answer─────────────────────────┘
//!                 └ silence ──► nobody answers: lines
//! ```
//!
//! A serial line says nothing of the terminal at its other end, and what the kernel says of its
//! size is 0 by 0 or a memory of the one before.

use std::time::Duration;

use super::keys::Heard;
use crate::base::time::Instant;

/// Patience for an answer: a terminal server on the other side of the ocean answers in less.
const PATIENCE: Duration = Duration::from_millis(500);
/// The cursor as far down as it goes, and where is that?
const CORNER: &str = "\x1b[999;999H\x1b[6n";
/// How large are you, in characters?
const SIZE: &str = "\x1b[18t";
/// A line of three octets at the beginning of the screen: is the cursor in the second column?
const LETTER: &str = "\r\u{2500}\x1b[6n";
/// More than any terminal has; an answer beyond is noise.
const SIDE_MAX: u16 = 500;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Columns and lines; none: it does not say.
    pub size: Option<(u16, u16)>,
    /// It reads UTF-8.
    pub unicode: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Corner,
    Size,
    Letter(u16, u16),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this, and wait.
    Write(&'static str),
    /// It is over.
    Done(Found),
}

/// A probe that is under way.
#[derive(Clone, Debug)]
pub struct Probe {
    stage: Stage,
    until: Instant,
    try_unicode: bool,
}

impl Probe {
    /// Begins; what it gives is to be written.
    #[must_use]
    pub fn begin(try_unicode: bool, now: Instant) -> (Self, &'static str) {
        (Self { stage: Stage::Corner, until: now.after(PATIENCE), try_unicode }, CORNER)
    }

    /// When silence is an answer.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.until
    }

    /// The terminal said something.
    pub fn handle_heard(&mut self, heard: Heard, now: Instant) -> Option<Step> {
        let size = match (self.stage, heard) {
            (Stage::Letter(columns, rows), Heard::Cursor { column, .. }) => {
                let size = Some((columns, rows));
                return Some(Step::Done(Found { size, unicode: column == 2 }));
            }
            (Stage::Corner, Heard::Cursor { row, column }) => (column, row),
            (Stage::Corner | Stage::Size, Heard::Size { rows, columns }) => (columns, rows),
            _ => return None,
        };
        let (columns, rows) = size;
        let possible = (1..=SIDE_MAX).contains(&columns) && (1..=SIDE_MAX).contains(&rows);
        if !possible {
            return None;
        }
        if self.try_unicode {
            self.stage = Stage::Letter(columns, rows);
            self.until = now.after(PATIENCE);
            return Some(Step::Write(LETTER));
        }
        Some(Step::Done(Found { size: Some(size), unicode: false }))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Step> {
        if self.until > now {
            return None;
        }
        self.until = now.after(PATIENCE);
        match self.stage {
            Stage::Corner => {
                self.stage = Stage::Size;
                Some(Step::Write(SIZE))
            }
            Stage::Size => Some(Step::Done(Found::default())),
            Stage::Letter(columns, rows) => {
                Some(Step::Done(Found { size: Some((columns, rows)), unicode: false }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_says_where_its_corner_is_has_that_size() {
        let (mut probe, asked) = Probe::begin(false, Instant(0));
        assert_eq!(asked, "\x1b[999;999H\x1b[6n");
        let step = probe.handle_heard(Heard::Cursor { row: 24, column: 80 }, Instant(9));
        assert_eq!(step, Some(Step::Done(Found { size: Some((80, 24)), unicode: false })));
    }

    #[test]
    fn unicode_is_measured() {
        for (column, unicode) in [(2, true), (4, false)] {
            let (mut probe, _) = Probe::begin(true, Instant(0));
            let step = probe.handle_heard(Heard::Cursor { row: 43, column: 132 }, Instant(9));
            assert_eq!(step, Some(Step::Write(LETTER)));
            let step = probe.handle_heard(Heard::Cursor { row: 43, column }, Instant(9));
            assert_eq!(step, Some(Step::Done(Found { size: Some((132, 43)), unicode })));
        }
    }

    #[test]
    fn silence_and_noise_are_no_size() {
        let (mut probe, _) = Probe::begin(true, Instant(0));
        assert_eq!(probe.handle_heard(Heard::Cursor { row: 1, column: 60_000 }, Instant(9)), None);
        assert_eq!(probe.handle_timeout(Instant(499_999)), None);
        assert_eq!(probe.handle_timeout(Instant(500_000)), Some(Step::Write(SIZE)));
        assert_eq!(probe.handle_timeout(Instant(1_000_000)), Some(Step::Done(Found::default())));
    }
}
