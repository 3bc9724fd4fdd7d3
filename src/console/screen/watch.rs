//! Whether somebody else has written on the screen: the kernel, the service manager, whoever may
//! write to the same line. The console cannot see that, but the terminal knows where its cursor is,
//! and whoever writes moves it.
//!
//! ```text
//!  CSI 6n, every few seconds ──answer──► where the page left it: nothing was written
//!                                └─────► elsewhere: the page is painted anew
//! ```
//!
//! Four octets each time, and nothing is painted while nobody writes. A terminal that does not
//! answer is left alone.

use std::time::Duration;

use ratatui_core::layout::Position;

use crate::base::time::Instant;

/// Where is the cursor?
pub const ASK: &str = "\x1b[6n";

/// The watch over one screen.
#[derive(Clone, Debug)]
pub struct Watch {
    every: Duration,
    next: Instant,
    /// Asked, and where the cursor should be.
    asked: Option<Position>,
}

impl Watch {
    /// Asks so often.
    #[must_use]
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { every, next: now.after(every), asked: None }
    }

    /// When it wants to ask.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Asks, if it is time; `at` is where the page left the cursor, if that is known.
    pub fn handle_timeout(&mut self, at: Option<Position>, now: Instant) -> Option<&'static str> {
        if self.next > now {
            return None;
        }
        self.next = now.after(self.every);
        self.asked = at;
        self.asked.map(|_| ASK)
    }

    /// The page moves the cursor: an answer that is under way says nothing any more.
    pub fn moves(&mut self) {
        self.asked = None;
    }

    /// The terminal said where the cursor is, counted from one: whether somebody else has written.
    pub fn handle_cursor(&mut self, row: u16, column: u16) -> bool {
        let asked = self.asked.take();
        asked.is_some_and(|at| (at.y.saturating_add(1), at.x.saturating_add(1)) != (row, column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);
    const AT: Option<Position> = Some(Position { x: 45, y: 22 });

    fn asked() -> Watch {
        let mut watch = Watch::new(EVERY, Instant(0));
        assert_eq!(watch.handle_timeout(AT, Instant(4_999_999)), None);
        assert_eq!(watch.handle_timeout(AT, Instant(5_000_000)), Some(ASK));
        assert_eq!(watch.handle_timeout(AT, Instant(5_000_001)), None);
        watch
    }

    #[test]
    fn a_cursor_that_nobody_moved_is_where_it_was() {
        assert!(!asked().handle_cursor(23, 46));
    }

    #[test]
    fn a_line_of_the_kernel_moves_it() {
        let mut watch = asked();
        assert!(watch.handle_cursor(24, 1));
        // Noise that looks like a second answer is none.
        assert!(!watch.handle_cursor(1, 1));
    }

    #[test]
    fn an_answer_that_the_page_has_overtaken_says_nothing() {
        let mut watch = asked();
        watch.moves();
        assert!(!watch.handle_cursor(24, 1));
    }

    #[test]
    fn a_cursor_whose_place_is_unknown_is_not_asked_for() {
        let mut watch = Watch::new(EVERY, Instant(0));
        assert_eq!(watch.handle_timeout(None, Instant(5_000_000)), None);
        assert!(!watch.handle_cursor(24, 1));
    }
}
