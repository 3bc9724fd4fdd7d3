//! Somebody before a screen: types keys, sees what an independent terminal shows, and counts the
//! octets that it took.

use postern::base::time::Instant;
use postern::console::Console;
use postern::console::machine::Face;
use postern::console::outbox::Action;
use postern::console::screen::Screen;
use postern::console::screen::keys::{Decoder, Heard};
use postern::console::screen::serial::Serial;
use ratatui_core::backend::TestBackend;
use ratatui_core::layout::Rect;
use ratatui_core::style::Modifier;
use ratatui_core::terminal::{Terminal, TerminalOptions, Viewport};

use super::world::World;

pub(crate) struct Eye {
    pub(crate) console: Console,
    pub(crate) world: World,
    screen: Screen,
    decoder: Decoder,
    serial: Terminal<Serial>,
    model: Terminal<TestBackend>,
    terminal: vt100::Parser,
    now: Instant,
    /// Octets of the last frame.
    pub(crate) octets: usize,
    /// Keys that were pressed.
    pub(crate) keys: usize,
}

fn never<T>(found: Result<T, std::convert::Infallible>) -> T {
    match found {
        Ok(found) => found,
        Err(never) => match never {},
    }
}

impl Eye {
    pub(crate) fn new(columns: u16, rows: u16, world: World) -> Self {
        let area = Rect::new(0, 0, columns, rows);
        let options = || TerminalOptions { viewport: Viewport::Fixed(area) };
        let now = Instant(1_000_000);
        let mut console = Console::new("ttyS0", now);
        console.show_as(Face::Pages, Some(std::time::Duration::from_secs(10)));
        let size = |side| std::num::NonZeroU16::new(side).unwrap();
        let mut eye = Self {
            console,
            world,
            screen: Screen::default(),
            decoder: Decoder::new(None),
            serial: never(Terminal::with_options(Serial::new(columns, rows), options())),
            model: never(Terminal::with_options(TestBackend::new(columns, rows), options())),
            terminal: vt100::Parser::new(size(rows), size(columns), 0),
            now,
            octets: 0,
            keys: 0,
        };
        eye.settle();
        eye
    }

    /// Presses keys, one after the other.
    pub(crate) fn press(&mut self, octets: &str) {
        for octet in octets.as_bytes() {
            let mut heard = self.decoder.feed(&[*octet], self.now);
            if octets == "\x1b" {
                self.now = Instant(self.now.0 + 300_000);
                heard.extend(self.decoder.handle_timeout(self.now));
            }
            for found in heard {
                let Heard::Key(key) = found else { continue };
                self.keys += 1;
                self.screen.handle_key(key, &mut self.console, self.now, true);
                self.settle();
            }
        }
    }

    /// Octets come, whatever they are.
    pub(crate) fn hear(&mut self, octets: &[u8]) {
        for found in self.decoder.feed(octets, self.now) {
            if let Heard::Key(key) = found {
                self.screen.handle_key(key, &mut self.console, self.now, true);
                self.settle();
            }
        }
        self.now = Instant(self.now.0 + 1000);
    }

    /// Everything that follows, and the frame.
    fn settle(&mut self) {
        loop {
            let mut still = true;
            while let Some(action) = self.console.poll_action() {
                still = false;
                if let Some(Action::Ask(ask)) = self.screen.take(action) {
                    let told = self.world.answer(&ask);
                    self.console.handle_told(told, self.now);
                }
            }
            self.screen.go_on(&mut self.console, self.now);
            if still {
                break;
            }
        }
        self.draw();
    }

    fn draw(&mut self) {
        let (screen, console, now) = (&mut self.screen, &self.console, self.now);
        never(self.serial.draw(|frame| screen.draw(frame, console, now)));
        never(self.model.draw(|frame| screen.draw(frame, console, now)));
        let text = self.serial.backend_mut().take();
        self.octets = text.len();
        assert!(text.is_ascii(), "not seven bits: {text:?}");
        for sequence in text.split('\x1b').skip(1) {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let finish = sequence.as_bytes()[end];
            assert!(b"HCKJm".contains(&finish), "a vt100 does not know {sequence:?}");
        }
        self.terminal.process(text.as_bytes());
    }

    /// Seconds pass.
    pub(crate) fn pass(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now = Instant(self.now.0 + 1_000_000);
            self.world.pass();
            if self.console.poll_timeout().is_some_and(|at| at <= self.now) {
                self.console.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// Noise on the line to the terminal, then ctrl-L.
    pub(crate) fn noise(&mut self, octets: &[u8]) {
        self.terminal.process(octets);
        // What a terminal server does when a line breaks off: it begins anew.
        self.serial.backend_mut().forget();
        self.draw();
    }

    /// What the terminal shows; the model says the same, letter by letter and with its attributes.
    pub(crate) fn shows(&self) -> String {
        let screen = self.terminal.screen();
        let buffer = self.model.backend().buffer();
        let area = *buffer.area();
        let mut text = String::new();
        for y in 0..area.height {
            let mut line = String::new();
            for x in 0..area.width {
                let drawn = buffer.cell((x, y)).unwrap();
                let shown = screen.cell(y, x).unwrap();
                let letter = if shown.contents().is_empty() { " " } else { shown.contents() };
                assert_eq!(letter, drawn.symbol(), "line {y}, column {x} of\n{text}{line}");
                let reverse = drawn.modifier.contains(Modifier::REVERSED);
                assert_eq!(shown.inverse(), reverse, "line {y}, column {x}");
                if letter != " " {
                    assert_eq!(shown.bold(), drawn.modifier.contains(Modifier::BOLD));
                }
                line += letter;
            }
            text += line.trim_end();
            text.push('\n');
        }
        let (row, column) = screen.cursor_position();
        let mut model = self.model.backend().clone();
        let wanted = never(ratatui_core::backend::Backend::get_cursor_position(&mut model));
        assert_eq!((column, row), (wanted.x, wanted.y), "the cursor");
        assert!(!screen.hide_cursor(), "the cursor is hidden");
        text
    }
}
