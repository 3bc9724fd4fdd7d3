//! The boring part: read, feed, drain, write; line by line or on pages.

mod pages;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use zeroize::Zeroize;

use super::ask::{Ask, Told};
use super::intake::{Intake, Typed};
use super::machine::{Console, Face};
use super::outbox::Action;
use super::term::{self, Mode, Terminal, Wires};
use super::worker::Worker;
use crate::base::time::Instant;
use crate::host::clock;
use pages::Pages;

/// Lines that are kept while a question is with somebody else; more wait in the kernel.
const LINES_AHEAD_MAX: usize = 256;

/// How the console is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The host role's socket.
    pub socket: PathBuf,
    /// Line by line, whatever the terminal can.
    pub plain: bool,
}

/// Runs the console on standard input and output until the line is closed or a signal comes.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    let wires = match Wires::take() {
        Ok(wires) => wires,
        Err(cause) => {
            eprintln!("postern: the signals cannot be taken over: {cause}");
            return ExitCode::FAILURE;
        }
    };
    let tty = term::name();
    let mut driver = Driver {
        console: Console::new(&tty, clock::now()),
        pages: None,
        terminal: Terminal::claim(),
        wires,
        intake: Intake::default(),
        ahead: VecDeque::new(),
        worker: None,
        socket: options.socket,
        tty,
        paused: None,
        closed: false,
    };
    if !options.plain {
        driver.ask_the_terminal();
    }
    match driver.drive() {
        Ok(()) => ExitCode::SUCCESS,
        // The terminal is gone: nobody is left to be told.
        Err(_) => ExitCode::FAILURE,
    }
}

struct Driver {
    console: Console,
    /// The screen; none: line by line. Dropped before the terminal is restored.
    pages: Option<Box<Pages>>,
    terminal: Option<Terminal>,
    wires: Wires,
    intake: Intake,
    /// Typed and not yet given to the console.
    ahead: VecDeque<Typed>,
    worker: Option<Worker>,
    socket: PathBuf,
    tty: String,
    /// No action before this moment.
    paused: Option<Instant>,
    /// The line is closed; what was typed is still done.
    closed: bool,
}

impl Driver {
    fn drive(&mut self) -> io::Result<()> {
        loop {
            if !self.drain()? {
                return Ok(());
            }
            if self.pages.is_none() && self.paused.is_none() && self.console.listens() {
                if let Some(typed) = self.ahead.pop_front() {
                    self.console.handle_typed(typed, clock::now());
                    continue;
                }
                if self.closed {
                    return Ok(());
                }
            }
            if self.pages.is_some() {
                if self.closed {
                    return Ok(());
                }
                self.turn_page()?;
                if self.pages.is_none() {
                    // Whatever waited for an answer of the terminal waits no longer.
                    continue;
                }
            }
            if !self.wait()? {
                return Ok(());
            }
        }
    }

    /// Waits for the next thing to happen; false: the end was asked for.
    fn wait(&mut self) -> io::Result<bool> {
        let now = clock::now();
        let page = self.pages.as_ref().and_then(|pages| pages.poll_timeout(&self.console, now));
        let asking = self.pages.as_ref().is_some_and(|pages| pages.is_first_probe());
        let console = self.console.poll_timeout().filter(|_| !asking);
        let until = [self.paused.or(console), page].into_iter().flatten().min();
        let read = !self.closed && self.ahead.len() < LINES_AHEAD_MAX;
        let answer = self.worker.as_ref().filter(|_| !asking).map(Worker::fd);
        let room = self.pages.as_ref().and_then(|pages| pages.waiting());
        let woken = self.wires.wait(read, answer, room, until)?;
        if woken.end {
            return Ok(false);
        }
        if woken.told
            && let Some(worker) = &mut self.worker
        {
            let told = worker.told();
            if matches!(told, Told::Away(_)) {
                self.worker = None;
            }
            self.console.handle_told(told, clock::now());
        }
        if woken.typed {
            self.read()?;
        }
        let now = clock::now();
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
        }
        if !asking && self.console.poll_timeout().is_some_and(|at| at <= now) {
            self.console.handle_timeout(now);
        }
        Ok(true)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = term::read(&mut buffer)?;
        self.closed = count == 0;
        let octets = buffer.get(..count).unwrap_or_default();
        if self.pages.is_some() {
            self.keys(octets);
        } else {
            self.lines(octets);
        }
        buffer.zeroize();
        Ok(())
    }

    /// What was typed, line by line.
    fn lines(&mut self, octets: &[u8]) {
        for typed in self.intake.feed(octets) {
            if matches!(typed, Typed::Break | Typed::Leave) {
                // Whatever was typed before it is not wanted any more.
                self.ahead.clear();
                self.paused = None;
                self.console.handle_typed(typed, clock::now());
            } else {
                self.ahead.push_back(typed);
            }
        }
    }

    /// Does what the console wants; false: the end was asked for.
    fn drain(&mut self) -> io::Result<bool> {
        while self.paused.is_none() {
            if self.pages.as_ref().is_some_and(|pages| pages.is_first_probe()) {
                break;
            }
            let Some(action) = self.console.poll_action() else { break };
            let action = match &mut self.pages {
                Some(pages) => pages.take(action),
                None => Some(action),
            };
            let Some(action) = action else { continue };
            let going = match action {
                Action::Print(line) => self.write(&(line + "\n"))?,
                Action::Prompt { text, secret } => {
                    if let Some(terminal) = &mut self.terminal {
                        terminal.echo(!secret);
                    }
                    self.write(&text)?
                }
                Action::Ask(ask) => {
                    self.ask(ask);
                    true
                }
                Action::HangUp => {
                    self.worker = None;
                    true
                }
                Action::Switch => {
                    self.switch();
                    true
                }
                Action::Pause(wait) => {
                    self.paused = Some(clock::now().after(wait));
                    true
                }
            };
            if !going {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From lines to pages, or back.
    fn switch(&mut self) {
        if self.pages.is_some() {
            self.leave_pages();
        } else {
            self.ask_the_terminal();
        }
    }

    /// Line by line from now on.
    fn leave_pages(&mut self) {
        self.pages = None;
        self.console.show_as(Face::Lines, None);
        if let Some(terminal) = &mut self.terminal {
            terminal.set_mode(Mode::Lines);
        }
    }

    fn ask(&mut self, ask: Ask) {
        if self.worker.is_none() {
            let started = Worker::start(self.socket.clone(), self.tty.clone());
            match started {
                Ok(worker) => self.worker = Some(worker),
                Err(cause) => {
                    let told = Told::Away(format!("no thread can be started: {cause}"));
                    return self.console.handle_told(told, clock::now());
                }
            }
        }
        if self.worker.as_ref().is_some_and(|worker| !worker.ask(ask)) {
            self.worker = None;
            let told = Told::Away("the question was lost".to_owned());
            self.console.handle_told(told, clock::now());
        }
    }

    fn write(&mut self, text: &str) -> io::Result<bool> {
        if !self.wires.wait_for_room()? {
            return Ok(false);
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(true)
    }
}
