//! A console at one end of a line, and at its other a terminal that answers as a vt100 does, or
//! says nothing; at full speed, or as fast as 9600 bits a second are.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{
    BaudRate, SetArg, Termios, cfsetispeed, cfsetospeed, tcgetattr, tcsetattr,
};
use nix::unistd::Pid;

use super::machine::{Machine, PATIENCE};

/// Octets that leave a line of 9600 bits a second in a tenth of a second.
const SLOW_OCTETS: usize = 96;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// It answers nothing.
    Silent,
    /// It says where its cursor is.
    Vt100 { columns: u16, rows: u16 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speed {
    Fast,
    Slow,
}

pub(crate) struct Line {
    child: Child,
    person: File,
    console: OwnedFd,
    before: Termios,
    answers: bool,
    slow: bool,
    screen: vt100::Parser,
    /// The end of what came, in which a question may be cut in two.
    tail: Vec<u8>,
    octets: usize,
}

fn spawn(machine: &Machine, console: &OwnedFd) -> Child {
    let end = || Stdio::from(console.try_clone().unwrap());
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["console", "--host-socket"])
        .arg(machine.socket())
        .env("TERM", "vt220")
        .stdin(end())
        .stdout(end())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Line {
    pub(crate) fn start(machine: &Machine, terminal: Terminal, speed: Speed) -> Self {
        let pair = openpty(None, None).unwrap();
        let mut before = tcgetattr(&pair.slave).unwrap();
        if speed == Speed::Slow {
            cfsetospeed(&mut before, BaudRate::B9600).unwrap();
            cfsetispeed(&mut before, BaudRate::B9600).unwrap();
            tcsetattr(&pair.slave, SetArg::TCSANOW, &before).unwrap();
            before = tcgetattr(&pair.slave).unwrap();
        }
        let (columns, rows) = match terminal {
            Terminal::Silent => (80, 24),
            Terminal::Vt100 { columns, rows } => (columns, rows),
        };
        let side = |side| NonZeroU16::new(side).unwrap();
        Self {
            child: spawn(machine, &pair.slave),
            person: File::from(pair.master),
            console: pair.slave,
            before,
            answers: terminal != Terminal::Silent,
            slow: speed == Speed::Slow,
            screen: vt100::Parser::new(side(rows), side(columns), 0),
            tail: Vec::new(),
            octets: 0,
        }
    }

    /// Another console on the same terminal, which the service manager has reset.
    pub(crate) fn restart(&mut self, machine: &Machine) {
        tcsetattr(&self.console, SetArg::TCSANOW, &self.before).unwrap();
        self.child = spawn(machine, &self.console);
    }

    /// Octets that have come.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.person.write_all(octets).unwrap();
    }

    /// Somebody else writes to the terminal.
    pub(crate) fn garble(&mut self, octets: &[u8]) {
        self.screen.process(octets);
    }

    /// Reads what comes within so long.
    pub(crate) fn look(&mut self, patience: Duration) -> bool {
        let timeout = PollTimeout::try_from(patience).unwrap();
        let mut fds = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).unwrap() == 0 {
            return false;
        }
        let mut octets = [0; 4096];
        let most = if self.slow { SLOW_OCTETS } else { octets.len() };
        let count = self.person.read(&mut octets[..most]).unwrap_or(0);
        self.octets += count;
        self.screen.process(&octets[..count]);
        self.tail.extend_from_slice(&octets[..count]);
        self.reply();
        if self.slow {
            std::thread::sleep(Duration::from_millis(100) * u32::try_from(count).unwrap() / 96);
        }
        count > 0
    }

    /// Answers where the cursor is, as often as it was asked.
    fn reply(&mut self) {
        const QUESTION: &[u8] = b"\x1b[6n";
        while let Some(at) = self.tail.windows(4).position(|octets| octets == QUESTION) {
            self.tail.drain(..at + QUESTION.len());
            if self.answers {
                let (row, column) = self.screen.screen().cursor_position();
                let answer = format!("\x1b[{};{}R", row + 1, column + 1);
                self.person.write_all(answer.as_bytes()).unwrap();
            }
        }
        let old = self.tail.len().saturating_sub(3);
        self.tail.drain(..old);
    }

    pub(crate) fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen shows a text.
    pub(crate) fn expect(&mut self, text: &str) {
        self.wait(text, true);
    }

    /// Waits until the screen shows it no more.
    pub(crate) fn expect_gone(&mut self, text: &str) {
        self.wait(text, false);
    }

    fn wait(&mut self, text: &str, wanted: bool) {
        let begun = Instant::now();
        while self.shown().contains(text) != wanted {
            let patient = begun.elapsed() < PATIENCE;
            assert!(patient, "`{text}` ({wanted}) on:\n{}", self.shown());
            self.look(Duration::from_millis(100));
        }
    }

    /// Reads until nothing comes any more.
    pub(crate) fn settle(&mut self) {
        while self.look(Duration::from_millis(300)) {}
    }

    /// The cursor is seen and nothing written from now on looks strange.
    pub(crate) fn is_sane(&mut self) -> bool {
        self.settle();
        let screen = self.screen.screen();
        let plain = !screen.bold() && !screen.inverse() && !screen.hide_cursor();
        plain && !screen.alternate_screen()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the console by a signal; the terminal is as it was, and its screen is clean.
    pub(crate) fn end(mut self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status} on {signal}");
        let after = tcgetattr(&self.console).unwrap();
        assert_eq!(after, self.before, "the terminal is not restored");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
