//! The console on pages: keys in, a grid out. The same [`Console`] as in the plain mode is behind
//! it; a page is another picture of the same state, and what a key chooses is the line that a
//! person would have typed.
//!
//! ```text
//! octets ──keys──► Screen ──lines──► Console ──actions──► Screen ──paint──► serial ──► octets
//! ```
//!
//! **Invariant:** there is no clock, no file and no terminal in here.

pub mod keys;
mod paint;
pub mod probe;
pub mod serial;
pub mod watch;

use std::collections::VecDeque;

use ratatui_core::terminal::Frame;
use zeroize::Zeroize as _;

use super::intake::{LINE_CHARACTERS_MAX, Typed};
use super::machine::Console;
use super::outbox::Action;
use super::page::{Kind, View};
use crate::base::time::Instant;
use keys::Key;

/// The smallest terminal that a page fits on.
pub const COLUMNS_MIN: u16 = 60;
/// The same in lines.
pub const ROWS_MIN: u16 = 20;
/// Keys that are kept while a question is with somebody else.
const KEYS_AHEAD_MAX: usize = 64;
/// Lines of an answer that are kept to be scrolled through.
const SHEET_LINES_MAX: usize = 2000;
/// An answer of so many lines is a page of its own; fewer stand above the list.
const NOTE_LINES_MAX: usize = 3;

/// The screen.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Screen {
    /// What was printed since the last line was typed.
    sheet: Vec<String>,
    /// What is printed next begins a new sheet.
    stale: bool,
    prompt: String,
    secret: bool,
    input: String,
    /// The line of the list that Enter takes.
    selected: Option<usize>,
    /// Lines that are scrolled away above.
    scroll: usize,
    /// The page that was seen last.
    seen: (Kind, String, usize, bool),
    /// ctrl-K was pressed: Enter stops all mail.
    kill: bool,
    ahead: VecDeque<Key>,
    unicode: bool,
}

impl Screen {
    /// Lines are drawn with signs that only Unicode has.
    pub fn draw_with(&mut self, unicode: bool) {
        self.unicode = unicode;
    }

    /// The answer is a page of its own.
    fn reads(&self, view: &View) -> bool {
        view.kind == Kind::Menu && self.sheet.len() > NOTE_LINES_MAX
    }

    /// A key was pressed; it waits if nobody reads yet.
    pub fn handle_key(&mut self, key: Key, console: &mut Console, now: Instant, reads: bool) {
        if matches!(key, Key::Break | Key::Leave) {
            // Whatever was typed before it is not wanted any more.
            self.ahead.clear();
            self.begin();
            let typed = if key == Key::Break { Typed::Break } else { Typed::Leave };
            console.handle_typed(typed, now);
            return;
        }
        self.ahead.push_back(key);
        self.ahead.truncate(KEYS_AHEAD_MAX);
        if reads {
            self.go_on(console, now);
        }
    }

    /// Does what was typed ahead, as far as the console listens.
    pub fn go_on(&mut self, console: &mut Console, now: Instant) {
        while console.listens() && !self.stale {
            let Some(key) = self.ahead.pop_front() else { return };
            self.key(key, console, now);
        }
    }

    fn key(&mut self, key: Key, console: &mut Console, now: Instant) {
        let view = console.view(now);
        self.settle(&view);
        if std::mem::take(&mut self.kill) {
            if key == Key::Enter {
                self.begin();
                if !console.stop_all() {
                    self.stale = false;
                }
            }
            return;
        }
        match key {
            Key::Kill => self.kill = true,
            Key::Up => self.move_by(-1, &view),
            Key::Down => self.move_by(1, &view),
            Key::PageUp => self.scroll = self.scroll.saturating_sub(10),
            Key::PageDown => self.scroll += 10,
            Key::Home => self.scroll = 0,
            Key::End => self.scroll = self.sheet.len(),
            Key::Erase => {
                self.input.pop();
            }
            Key::EraseLine => self.input.zeroize(),
            Key::Left if !self.input.is_empty() => {
                self.input.pop();
            }
            Key::Escape | Key::Left => self.escape(&view, console, now),
            Key::Enter | Key::Right => self.enter(key, &view, console, now),
            Key::Function(1) => self.submit("?".to_owned(), console, now),
            Key::Letter(letter) => self.letter(letter, &view, console, now),
            Key::Tab | Key::Function(_) | Key::Redraw | Key::Break | Key::Leave => {}
        }
    }

    fn escape(&mut self, view: &View, console: &mut Console, now: Instant) {
        if !self.input.is_empty() {
            self.input.zeroize();
        } else if self.reads(view) {
            self.close_sheet();
        } else {
            self.begin();
            if !console.back(now) {
                self.stale = false;
            }
        }
    }

    fn enter(&mut self, key: Key, view: &View, console: &mut Console, now: Instant) {
        if !self.input.is_empty() {
            let line = std::mem::take(&mut self.input);
            return self.submit(line, console, now);
        }
        if self.reads(view) {
            return self.close_sheet();
        }
        let chosen = self.selected.and_then(|index| view.choices.get(index));
        match chosen {
            Some(choice) => self.submit(choice.word.clone(), console, now),
            None if key == Key::Enter && (view.enter || view.kind != Kind::Menu) => {
                self.submit(String::new(), console, now);
            }
            None => {}
        }
    }

    fn letter(&mut self, letter: char, view: &View, console: &mut Console, now: Instant) {
        let first = self.input.is_empty();
        let few = (1..=9).contains(&view.choices.len());
        let at_once = match view.kind {
            Kind::Home => "lLwW".contains(letter),
            Kind::Menu | Kind::Form => letter.is_ascii_digit() && few,
            Kind::Login | Kind::Wizard | Kind::Watch => false,
        };
        if first && letter == '?' && view.kind == Kind::Wizard && !self.secret {
            return self.submit("?".to_owned(), console, now);
        }
        if first && at_once {
            return self.submit(letter.to_string(), console, now);
        }
        // At home nothing is written but the two keys that stop all mail.
        let wanted = view.kind != Kind::Home || letter == '!';
        if wanted && self.input.len() < LINE_CHARACTERS_MAX {
            self.input.push(letter);
        }
    }

    fn submit(&mut self, line: String, console: &mut Console, now: Instant) {
        self.begin();
        console.handle_typed(Typed::Line(line), now);
    }

    /// A new turn: what is printed next is a new sheet.
    fn begin(&mut self) {
        self.input.zeroize();
        self.stale = true;
        self.scroll = 0;
        self.kill = false;
    }

    fn close_sheet(&mut self) {
        self.sheet.clear();
        self.scroll = 0;
    }

    /// Takes what is for the eye; gives back what is for the driver.
    pub fn take(&mut self, action: Action) -> Option<Action> {
        match action {
            Action::Print(line) => {
                if std::mem::take(&mut self.stale) {
                    self.close_sheet();
                }
                if self.sheet.len() < SHEET_LINES_MAX && !(self.sheet.is_empty() && line.is_empty())
                {
                    self.sheet.push(line);
                }
                None
            }
            Action::Prompt { text, secret } => {
                if std::mem::take(&mut self.stale) {
                    self.close_sheet();
                }
                self.prompt = text;
                self.secret = secret;
                None
            }
            other => Some(other),
        }
    }

    /// Another page begins with another choice.
    fn settle(&mut self, view: &View) {
        let page = (view.kind, view.title.clone(), view.choices.len(), view.enter);
        if self.seen != page {
            self.seen = page;
            self.selected = (!view.enter && !view.choices.is_empty()).then_some(0);
            self.scroll = 0;
        }
    }

    fn move_by(&mut self, by: isize, view: &View) {
        if self.reads(view) || view.choices.is_empty() {
            self.scroll = self.scroll.saturating_add_signed(by);
            return;
        }
        let last = view.choices.len() - 1;
        self.selected = Some(match self.selected {
            None => {
                if by > 0 {
                    0
                } else {
                    last
                }
            }
            Some(now) => now.saturating_add_signed(by).min(last),
        });
    }

    /// Draws the page.
    pub fn draw(&mut self, frame: &mut Frame<'_>, console: &Console, now: Instant) {
        let view = console.view(now);
        self.settle(&view);
        let area = frame.area();
        let position = paint::page(self, &view, console, frame.buffer_mut(), area);
        frame.set_cursor_position(position);
    }

    /// When the page changes by itself.
    #[must_use]
    pub fn poll_timeout(&self, console: &Console, now: Instant) -> Option<Instant> {
        let counts = console.view(now).count.is_some();
        counts.then(|| now.after(std::time::Duration::from_secs(1)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.input.zeroize();
    }
}
