//! The boring part: read, feed, drain, write.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use zeroize::Zeroize;

use super::ask::Told;
use super::intake::{Intake, Typed};
use super::machine::Console;
use super::outbox::Action;
use super::term::{self, Terminal, Wires};
use super::worker::Worker;
use crate::base::time::Instant;
use crate::host::clock;

/// Lines that are kept while a question is with somebody else; more wait in the kernel.
const LINES_AHEAD_MAX: usize = 256;

/// How the console is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The host role's socket.
    pub socket: PathBuf,
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
        terminal: Terminal::claim(),
        wires,
        intake: Intake::default(),
        ahead: VecDeque::new(),
        worker: None,
        options,
        tty,
        paused: None,
        closed: false,
    };
    match driver.drive() {
        Ok(()) => ExitCode::SUCCESS,
        // The terminal is gone: nobody is left to be told.
        Err(_) => ExitCode::FAILURE,
    }
}

struct Driver {
    console: Console,
    terminal: Option<Terminal>,
    wires: Wires,
    intake: Intake,
    /// Typed and not yet given to the console.
    ahead: VecDeque<Typed>,
    worker: Option<Worker>,
    options: Options,
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
            if self.paused.is_none() && self.console.listens() {
                if let Some(typed) = self.ahead.pop_front() {
                    self.console.handle_typed(typed, clock::now());
                    continue;
                }
                if self.closed {
                    return Ok(());
                }
            }
            if !self.wait()? {
                return Ok(());
            }
        }
    }

    /// Waits for the next thing to happen; false: the end was asked for.
    fn wait(&mut self) -> io::Result<bool> {
        let until = self.paused.or_else(|| self.console.poll_timeout());
        let read = !self.closed && self.ahead.len() < LINES_AHEAD_MAX;
        let woken = self.wires.wait(read, self.worker.as_ref().map(Worker::fd), until)?;
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
        if self.console.poll_timeout().is_some_and(|at| at <= now) {
            self.console.handle_timeout(now);
        }
        Ok(true)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = term::read(&mut buffer)?;
        self.closed = count == 0;
        for typed in self.intake.feed(buffer.get(..count).unwrap_or_default()) {
            if matches!(typed, Typed::Break | Typed::Leave) {
                // Whatever was typed before it is not wanted any more.
                self.ahead.clear();
                self.paused = None;
                self.console.handle_typed(typed, clock::now());
            } else {
                self.ahead.push_back(typed);
            }
        }
        buffer.zeroize();
        Ok(())
    }

    /// Does what the console wants; false: the end was asked for.
    fn drain(&mut self) -> io::Result<bool> {
        while self.paused.is_none() {
            let Some(action) = self.console.poll_action() else { break };
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
                // There is nothing but lines yet.
                Action::Switch => true,
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

    fn ask(&mut self, ask: super::ask::Ask) {
        if self.worker.is_none() {
            let started = Worker::start(self.options.socket.clone(), self.tty.clone());
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
