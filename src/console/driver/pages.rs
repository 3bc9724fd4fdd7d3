//! Pages on a real terminal: its size is asked for, keys are read, frames are written while the
//! line has nothing else to send.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ratatui_core::layout::Rect;
use ratatui_core::terminal::{Terminal as Painter, TerminalOptions, Viewport};

use super::Driver;
use crate::base::time::Instant;
use crate::console::machine::{Console, Face};
use crate::console::outbox::Action;
use crate::console::screen::keys::{Decoder, Heard, Key};
use crate::console::screen::probe::{Found, Probe, Step};
use crate::console::screen::serial::Serial;
use crate::console::screen::watch::Watch;
use crate::console::screen::{COLUMNS_MIN, ROWS_MIN, Screen};
use crate::console::term::{self, Mode, Output};
use crate::host::clock;

/// How often the status is renewed: the host role asks the service manager each time.
const REFRESH: Duration = Duration::from_secs(10);
/// The same on a slow line, on which a change takes a quarter of a second.
const REFRESH_SLOW: Duration = Duration::from_secs(20);
/// How often it is asked whether somebody else has written on the screen.
const WATCH: Duration = Duration::from_secs(5);
/// The same on a slow line: twelve octets there and back.
const WATCH_SLOW: Duration = Duration::from_secs(10);
/// While a line is busy it is looked at again so often.
const BUSY: Duration = Duration::from_millis(100);
/// Octets of keys that are kept until it is known who reads them.
const EARLY_OCTETS_MAX: usize = 1024;

/// A terminal with pages on it.
pub(super) struct Pages {
    screen: Screen,
    decoder: Decoder,
    painter: Painter<Serial>,
    output: Output,
    probe: Option<Probe>,
    /// Nothing was drawn yet: it is not known whether there are pages.
    first: bool,
    /// Typed before that was known.
    early: Vec<u8>,
    /// Something may have changed since the last frame.
    stale: bool,
    refresh: Duration,
    watch: Watch,
    /// Somebody was logged in at the last frame.
    admin: bool,
}

impl Pages {
    fn new(output: Output, slow: Option<u32>, now: Instant) -> Self {
        let (probe, text) = Probe::begin(term::may_read_unicode(), now);
        let mut pages = Self {
            screen: Screen::default(),
            decoder: Decoder::new(slow),
            painter: painter(80, 24),
            output,
            probe: Some(probe),
            first: true,
            early: Vec::new(),
            stale: true,
            refresh: if slow.is_some() { REFRESH_SLOW } else { REFRESH },
            watch: Watch::new(if slow.is_some() { WATCH_SLOW } else { WATCH }, now),
            admin: false,
        };
        pages.output.queue(text);
        pages
    }

    /// Whether it is not known yet that there are pages at all.
    pub(super) fn is_first_probe(&self) -> bool {
        self.first
    }

    /// Takes what is for the eye.
    pub(super) fn take(&mut self, action: Action) -> Option<Action> {
        self.stale = true;
        self.screen.take(action)
    }

    /// The line, while something waits for it.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        self.output.waiting()
    }

    pub(super) fn poll_timeout(&self, console: &Console, now: Instant) -> Option<Instant> {
        let busy = self.stale && self.probe.is_none();
        [
            self.decoder.poll_timeout(),
            self.probe.as_ref().map(Probe::poll_timeout),
            self.screen.poll_timeout(console, now),
            busy.then(|| now.after(BUSY)),
            (!self.first).then(|| self.watch.poll_timeout()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Asks the terminal again.
    fn probe_again(&mut self, now: Instant) {
        let (probe, text) = Probe::begin(term::may_read_unicode(), now);
        self.probe = Some(probe);
        self.output.queue(text);
        self.watch.moves();
        // The cursor is somewhere else, and the screen may be, too.
        self.painter.backend_mut().forget();
        self.stale = true;
    }

    /// What the probe does next; something: it is over.
    fn step(&mut self, step: &Step) -> Option<Found> {
        match step {
            Step::Write(text) => {
                self.output.queue(text);
                None
            }
            Step::Done(found) => {
                self.probe = None;
                Some(*found)
            }
        }
    }

    /// The terminal has this size.
    fn resize(&mut self, columns: u16, rows: u16, unicode: bool) {
        self.painter.backend_mut().resize(columns, rows);
        // It cannot fail: the backend only notes it.
        let _ = self.painter.resize(Rect::new(0, 0, columns, rows));
        self.output.set_size(columns, rows);
        self.screen.draw_with(unicode);
        self.stale = true;
    }

    /// Draws what is new, unless the line is still busy with the last frame.
    fn draw(&mut self, console: &Console, now: Instant) -> io::Result<()> {
        let still = self.probe.is_some() || !self.stale;
        if !still && self.output.is_idle() {
            let _ = self.painter.draw(|frame| self.screen.draw(frame, console, now));
            let text = self.painter.backend_mut().take();
            if !text.is_empty() {
                self.watch.moves();
                self.output.queue(&text);
            }
            self.stale = false;
        }
        let quiet = self.probe.is_none() && !self.stale && self.output.is_idle();
        let at = self.painter.backend().at().filter(|_| quiet);
        if let Some(ask) = self.watch.handle_timeout(at, now) {
            self.output.queue(ask);
        }
        self.output.flush()
    }
}

fn painter(columns: u16, rows: u16) -> Painter<Serial> {
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
    match Painter::with_options(Serial::new(columns, rows), TerminalOptions { viewport }) {
        Ok(painter) => painter,
        Err(never) => match never {},
    }
}

impl Driver {
    /// Asks the terminal what it is; if it does not say there are lines.
    pub(super) fn ask_the_terminal(&mut self) {
        let output = Output::open();
        let Some(terminal) = self.terminal.as_mut().filter(|_| output.works()) else { return };
        terminal.set_mode(Mode::Keys);
        let slow = terminal.slow_line();
        self.pages = Some(Box::new(Pages::new(output, slow, clock::now())));
    }

    /// Octets of keys.
    pub(super) fn keys(&mut self, octets: &[u8]) {
        let now = clock::now();
        let Some(pages) = &mut self.pages else { return };
        if pages.first && pages.early.len() < EARLY_OCTETS_MAX {
            pages.early.extend_from_slice(octets);
        }
        for heard in pages.decoder.feed(octets, now) {
            self.heard(heard, now);
        }
    }

    fn heard(&mut self, heard: Heard, now: Instant) {
        let Some(pages) = &mut self.pages else { return };
        pages.stale = true;
        match (heard, &mut pages.probe) {
            (Heard::Key(Key::Redraw), _) if !pages.first => pages.probe_again(now),
            (Heard::Key(key), _) => {
                if matches!(key, Key::Break | Key::Leave) {
                    self.paused = None;
                }
                pages.screen.handle_key(key, &mut self.console, now, !pages.first);
            }
            (answer, Some(probe)) => {
                let found = probe.handle_heard(answer, now).and_then(|step| pages.step(&step));
                if let Some(found) = found {
                    self.found(found);
                }
            }
            (Heard::Cursor { row, column }, None) => {
                if pages.watch.handle_cursor(row, column) {
                    // It may be another terminal, too, and smaller.
                    pages.probe_again(now);
                }
            }
            (_, None) => {}
        }
    }

    /// The terminal has said what it is, or has not.
    fn found(&mut self, found: Found) {
        let Some(pages) = &mut self.pages else { return };
        let large =
            found.size.filter(|(columns, rows)| *columns >= COLUMNS_MIN && *rows >= ROWS_MIN);
        match large {
            Some((columns, rows)) => {
                pages.resize(columns, rows, found.unicode);
                pages.first = false;
                pages.early.clear();
                let refresh = pages.refresh;
                self.console.show_as(Face::Pages, Some(refresh));
            }
            // It was large enough a moment ago: an answer was lost.
            None if !pages.first && found.size.is_none() => {}
            None => {
                let early = std::mem::take(&mut pages.early);
                self.leave_pages();
                self.lines(&early);
            }
        }
    }

    /// Does what time and keys want, and draws.
    pub(super) fn turn_page(&mut self) -> io::Result<()> {
        let now = clock::now();
        let Some(pages) = &mut self.pages else { return Ok(()) };
        if let Some(heard) = pages.decoder.handle_timeout(now) {
            self.heard(heard, now);
        }
        let Some(pages) = &mut self.pages else { return Ok(()) };
        let step = pages.probe.as_mut().and_then(|probe| probe.handle_timeout(now));
        if let Some(found) = step.and_then(|step| pages.step(&step)) {
            self.found(found);
        }
        let Some(pages) = &mut self.pages else { return Ok(()) };
        if pages.first {
            return pages.output.flush();
        }
        // A terminal may have been changed while nobody was logged in.
        let admin = self.console.logged_in();
        if admin && !pages.admin {
            pages.probe_again(now);
        }
        pages.admin = admin;
        pages.screen.go_on(&mut self.console, now);
        if !self.drain()? {
            return Ok(());
        }
        let Some(pages) = &mut self.pages else { return Ok(()) };
        pages.stale |= self.console.view(now).count.is_some();
        pages.draw(&self.console, now)
    }
}
