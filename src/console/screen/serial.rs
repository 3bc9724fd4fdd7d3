//! A ratatui backend for a slow line: the fewest octets from the grid that is shown to the grid
//! that is wanted.
//!
//! ratatui says which cells are new; they are only noted. What is written is decided when the frame
//! is flushed, against what the terminal shows: the next line by CR LF where that is shorter than a
//! position, a gap by its own letters where those are fewer than a jump, the rest of a line by one
//! erasure. Nothing but what a vt100 knows is ever sent, and the cursor is never hidden: whenever
//! the console ends, the terminal is fit for whoever comes next.

use std::convert::Infallible;
use std::fmt::Write as _;

use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::Modifier;

/// How a cell is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pen {
    bold: bool,
    reverse: bool,
}

/// A cell as the terminal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    letter: char,
    pen: Pen,
}

const BLANK: Place = Place { letter: ' ', pen: Pen { bold: false, reverse: false } };

/// What is shown of an unknown terminal: nothing is equal to it.
const UNKNOWN: Place = Place { letter: '\0', pen: BLANK.pen };

/// The backend; what is to be written is taken from it.
#[derive(Debug)]
pub struct Serial {
    size: Size,
    wanted: Vec<Place>,
    shown: Vec<Place>,
    /// The terminal must be cleared first.
    unknown: bool,
    /// Where the cursor shall be at the end of the frame.
    cursor: Position,
    /// Where it is; none: nobody knows.
    at: Option<Position>,
    pen: Pen,
    out: String,
}

impl Serial {
    /// A terminal of this size, of which nothing is known.
    #[must_use]
    pub fn new(columns: u16, rows: u16) -> Self {
        let cells = usize::from(columns) * usize::from(rows);
        Self {
            size: Size::new(columns, rows),
            wanted: vec![BLANK; cells],
            shown: vec![UNKNOWN; cells],
            unknown: true,
            cursor: Position::ORIGIN,
            at: None,
            pen: Pen::default(),
            out: String::new(),
        }
    }

    /// The terminal has another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let out = std::mem::take(&mut self.out);
        *self = Self { out, ..Self::new(columns, rows) };
    }

    /// Whatever is shown may be something else: noise, another terminal.
    pub fn forget(&mut self) {
        self.unknown = true;
    }

    /// Where the frame has left the cursor; none: nobody knows.
    #[must_use]
    pub fn at(&self) -> Option<Position> {
        self.at
    }

    /// What is to be written.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// The grid that is wanted, line by line, as text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let width = usize::from(self.size.width).max(1);
        self.wanted
            .chunks(width)
            .map(|row| row.iter().map(|place| place.letter).collect::<String>())
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    fn clear_all(&mut self) {
        self.out.push_str("\x1b[m\x1b[H\x1b[2J");
        self.shown.fill(BLANK);
        self.pen = Pen::default();
        self.at = Some(Position::ORIGIN);
        self.unknown = false;
    }

    /// Brings one line up to date.
    fn row(&mut self, y: u16) {
        let width = usize::from(self.size.width);
        let first = usize::from(y) * width;
        let end = first + width;
        let (Some(wanted), Some(shown)) = (self.wanted.get(first..end), self.shown.get(first..end))
        else {
            return;
        };
        if wanted == shown {
            return;
        }
        let wanted = wanted.to_vec();
        let shown = shown.to_vec();
        let changed = |x: &usize| wanted.get(*x) != shown.get(*x);
        // From here on the line is blank.
        let used = wanted.iter().rposition(|place| *place != BLANK).map_or(0, |last| last + 1);
        let tail = (used..width).filter(changed).count();
        let until = if tail > ERASE_FROM { used } else { width };
        let mut x = 0;
        while x < until {
            if changed(&x) {
                self.go(x, y, &wanted);
                if let Some(place) = wanted.get(x) {
                    self.put(*place);
                }
            }
            x += 1;
        }
        if until < width {
            self.go(until, y, &wanted);
            self.set(Pen::default());
            self.out.push_str("\x1b[K");
        }
        if let Some(shown) = self.shown.get_mut(first..end) {
            shown.copy_from_slice(&wanted);
        }
    }

    /// Moves to a place of a line that is to look like `wanted`.
    fn go(&mut self, x: usize, y: u16, wanted: &[Place]) {
        let column = u16::try_from(x).unwrap_or(u16::MAX);
        let target = Position::new(column, y);
        if self.at == Some(target) {
            return;
        }
        let mut jump = String::new();
        let _ = if x == 0 {
            write!(jump, "\x1b[{}H", y + 1)
        } else {
            write!(jump, "\x1b[{};{}H", y + 1, column + 1)
        };
        if let Some(at) = self.at {
            let next = at.y + 1 == y;
            if at.y == y && at.x <= column || next {
                let from = if next { 0 } else { usize::from(at.x) };
                let line = if next { "\r\n" } else { "" };
                let gap = wanted.get(from..x).unwrap_or_default();
                // Letters of a gap are as good as a jump while the pen needs no change.
                if gap.iter().all(|place| place.pen == self.pen)
                    && line.len() + gap.iter().map(|p| p.letter.len_utf8()).sum::<usize>()
                        <= jump.len()
                {
                    line.clone_into(&mut jump);
                    jump.extend(gap.iter().map(|place| place.letter));
                } else if line.len() + 3 + digits(x - from) < jump.len() {
                    jump = format!("{line}\x1b[{}C", x - from);
                }
            }
        }
        self.out.push_str(&jump);
        self.at = Some(target);
    }

    fn put(&mut self, place: Place) {
        self.set(place.pen);
        self.out.push(place.letter);
        // In the last column terminals differ in where the cursor is then.
        self.at = self.at.and_then(|at| {
            let next = at.x + 1;
            (next < self.size.width).then(|| Position::new(next, at.y))
        });
    }

    fn set(&mut self, pen: Pen) {
        if self.pen == pen {
            return;
        }
        let more = (pen.bold || !self.pen.bold) && (pen.reverse || !self.pen.reverse);
        let mut codes = Vec::new();
        if !more {
            codes.push("");
        }
        if pen.bold && (!more || !self.pen.bold) {
            codes.push("1");
        }
        if pen.reverse && (!more || !self.pen.reverse) {
            codes.push("7");
        }
        let _ = write!(self.out, "\x1b[{}m", codes.join(";"));
        self.pen = pen;
    }

    fn index(&self, x: u16, y: u16) -> Option<usize> {
        (x < self.size.width && y < self.size.height)
            .then(|| usize::from(y) * usize::from(self.size.width) + usize::from(x))
    }
}

/// So many blanks at the end of a line are dearer than its erasure.
const ERASE_FROM: usize = 4;

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

impl Backend for Serial {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        for (x, y, cell) in content {
            let letter = cell.symbol().chars().next().unwrap_or(' ');
            let reverse = cell.modifier.contains(Modifier::REVERSED);
            // A bold blank is a blank.
            let bold = cell.modifier.contains(Modifier::BOLD) && letter != ' ';
            if let Some(index) = self.index(x, y)
                && let Some(place) = self.wanted.get_mut(index)
            {
                *place = Place { letter, pen: Pen { bold, reverse } };
            }
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(self.cursor)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Infallible> {
        self.cursor = position.into();
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.wanted.fill(BLANK);
        self.unknown = true;
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> Result<(), Infallible> {
        self.clear()
    }

    fn size(&self) -> Result<Size, Infallible> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    /// Writes the frame; nothing if nothing is new.
    fn flush(&mut self) -> Result<(), Infallible> {
        if self.unknown {
            self.clear_all();
        }
        for y in 0..self.size.height {
            self.row(y);
        }
        self.set(Pen::default());
        if self.at != Some(self.cursor) {
            let (x, y) = (self.cursor.x, self.cursor.y);
            let line: Vec<Place> = self
                .index(0, y)
                .and_then(|first| self.wanted.get(first..first + usize::from(self.size.width)))
                .unwrap_or_default()
                .to_vec();
            self.go(usize::from(x), y, &line);
        }
        Ok(())
    }
}
