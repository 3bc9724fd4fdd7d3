//! The terminal: claimed once, restored always.
//!
//! In the plain mode the kernel edits lines (canonical mode), so that nothing is sent over the
//! line twice and a screen reader hears what it knows. ctrl-C and ctrl-D are ends of line here and
//! no signals: they come in order with what was typed, and nothing can kill the console from its
//! keyboard.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{
    BaudRate, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices as Special,
    Termios, cfgetospeed, tcgetattr, tcsetattr,
};
use nix::unistd::ttyname;

use crate::base::time::Instant;
use crate::host::clock;
use crate::host::tty::{output_queued, set_size};

/// No character.
const DISABLED: u8 = 0;
/// ctrl-C.
const BREAK: u8 = 0x03;
/// ctrl-D.
const END: u8 = 0x04;

/// Who edits what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The kernel, line by line.
    Lines,
    /// Nobody: every key comes as it is pressed.
    Keys,
}

/// Standard input as a terminal; restored when it is dropped, on a panic too.
#[derive(Debug)]
pub(super) struct Terminal<F: AsFd = io::Stdin> {
    line: F,
    found: Termios,
    ours: Termios,
    keys: Termios,
    mode: Mode,
    echo: bool,
}

impl Terminal {
    /// Claims the terminal; none if standard input is none.
    pub(super) fn claim() -> Option<Self> {
        Self::claim_line(io::stdin())
    }
}

impl<F: AsFd> Terminal<F> {
    fn claim_line(line: F) -> Option<Self> {
        let found = tcgetattr(&line).ok()?;
        let mut ours = found.clone();
        ours.input_flags.remove(InputFlags::IGNCR | InputFlags::INLCR | InputFlags::ISTRIP);
        ours.input_flags.insert(InputFlags::ICRNL | InputFlags::IXON | InputFlags::IGNBRK);
        ours.output_flags.insert(OutputFlags::OPOST | OutputFlags::ONLCR);
        ours.local_flags.remove(LocalFlags::ISIG);
        let mut keys = ours.clone();
        ours.local_flags.insert(
            LocalFlags::ICANON
                | LocalFlags::ECHO
                | LocalFlags::ECHOE
                | LocalFlags::ECHOK
                | LocalFlags::ECHONL
                | LocalFlags::IEXTEN,
        );
        set(
            &mut ours,
            &[
                (Special::VEOL, BREAK),
                (Special::VEOL2, END),
                (Special::VEOF, DISABLED),
                (Special::VLNEXT, DISABLED),
            ],
        );
        // XON and XOFF stay the kernel's: a slow terminal stops the line without us.
        keys.input_flags.remove(InputFlags::ICRNL | InputFlags::IXANY);
        keys.output_flags.remove(OutputFlags::OPOST);
        keys.local_flags.remove(
            LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::IEXTEN,
        );
        set(&mut keys, &[(Special::VMIN, 1), (Special::VTIME, 0)]);
        tcsetattr(&line, SetArg::TCSADRAIN, &ours).ok()?;
        Some(Self { line, found, ours, keys, mode: Mode::Lines, echo: true })
    }

    /// Shows what is typed, or does not.
    pub(super) fn echo(&mut self, shown: bool) {
        if self.echo == shown || self.mode == Mode::Keys {
            return;
        }
        self.ours.local_flags.set(LocalFlags::ECHO, shown);
        // If the terminal is gone the next read says so.
        if tcsetattr(&self.line, SetArg::TCSADRAIN, &self.ours).is_ok() {
            self.echo = shown;
        }
    }

    /// Has what is typed edited so; what waits to be read stays.
    pub(super) fn set_mode(&mut self, mode: Mode) {
        let settings = if mode == Mode::Keys { &self.keys } else { &self.ours };
        if tcsetattr(&self.line, SetArg::TCSANOW, settings).is_ok() {
            self.mode = mode;
        }
    }

    /// Bits a second of the line, where they are slow.
    pub(super) fn slow_line(&self) -> Option<u32> {
        match cfgetospeed(&self.found) {
            BaudRate::B1200 => Some(1200),
            BaudRate::B2400 => Some(2400),
            BaudRate::B4800 => Some(4800),
            BaudRate::B9600 => Some(9600),
            BaudRate::B19200 => Some(19_200),
            _ => None,
        }
    }
}

fn set(settings: &mut Termios, characters: &[(Special, u8)]) {
    for (place, character) in characters {
        if let Some(slot) = settings.control_chars.get_mut(*place as usize) {
            *slot = *character;
        }
    }
}

impl<F: AsFd> Drop for Terminal<F> {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.line, SetArg::TCSANOW, &self.found);
    }
}

/// What the terminal says of itself in its name: whether it may read UTF-8 at all.
pub(super) fn may_read_unicode() -> bool {
    let name = std::env::var("TERM").unwrap_or_default();
    ["linux", "xterm", "screen", "tmux"].iter().any(|known| name.starts_with(known))
}

/// Output that never waits: a terminal that is stopped must not keep the console.
#[derive(Debug)]
pub(super) struct Output {
    /// The terminal, opened for ourselves so that nobody else's descriptor changes.
    line: Option<File>,
    pending: Vec<u8>,
    /// Pages were drawn on it.
    used: bool,
}

impl Output {
    /// The terminal behind standard output.
    pub(super) fn open() -> Self {
        let path = ttyname(io::stdout()).ok();
        let line = path.and_then(|path| {
            let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
            OpenOptions::new().write(true).custom_flags(flags.bits()).open(path).ok()
        });
        Self { line, pending: Vec::new(), used: false }
    }

    /// Whether it can be written to without waiting.
    pub(super) fn works(&self) -> bool {
        self.line.is_some()
    }

    /// Adds something to what is to be written.
    pub(super) fn queue(&mut self, text: &str) {
        self.pending.extend_from_slice(text.as_bytes());
    }

    /// Writes what the line takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(line) = &mut self.line else { return Ok(()) };
        while !self.pending.is_empty() {
            match line.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => break,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Whether everything has left: only then a new frame is worth its octets.
    pub(super) fn is_idle(&self) -> bool {
        let line = self.line.as_ref();
        self.pending.is_empty() && line.is_none_or(|line| output_queued(line).unwrap_or(0) == 0)
    }

    /// The line, while something waits for it.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        self.line.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// Tells the kernel how large the terminal is.
    pub(super) fn set_size(&mut self, columns: u16, rows: u16) {
        self.used = true;
        if let Some(line) = &self.line {
            // Whoever asks the kernel next gets a worse answer; we have a good one.
            let _ = set_size(line, columns, rows);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.used {
            self.pending.clear();
            self.queue(CLEAN);
            let _ = self.flush();
        }
    }
}

/// No attribute, nothing on the screen, the cursor at its beginning.
pub(super) const CLEAN: &str = "\x1b[m\x1b[H\x1b[2J";

/// The name of the terminal, for the audit trail: `ttyS0`.
pub(super) fn name() -> String {
    let path = ttyname(io::stdin()).unwrap_or_else(|_| PathBuf::from("script"));
    let path = path.strip_prefix("/dev").map(PathBuf::from).unwrap_or(path);
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

/// What woke the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// There is something to read, or an end.
    pub(super) typed: bool,
    /// A signal asks for the end.
    pub(super) end: bool,
    /// An answer.
    pub(super) told: bool,
}

/// Standard input, standard output and the signals that ask for the end.
#[derive(Debug)]
pub(super) struct Wires {
    signals: SignalFd,
}

impl Wires {
    /// Takes the signals over; before any thread is started, so that all have the same mask.
    pub(super) fn take() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            set.add(signal);
        }
        // Job control is for shells, and there is none.
        set.add(Signal::SIGTSTP);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { signals })
    }

    /// Waits until something happens; `read` whether input is wanted, `room` whether there is
    /// something to write.
    pub(super) fn wait(
        &self,
        read: bool,
        answer: Option<BorrowedFd<'_>>,
        room: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
    ) -> io::Result<Woken> {
        let input = io::stdin();
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(answer) = answer {
            fds.push(PollFd::new(answer, PollFlags::POLLIN));
        }
        if read {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        if let Some(room) = room {
            fds.push(PollFd::new(room, PollFlags::POLLOUT));
        }
        Self::poll_until(&mut fds, until)?;
        let ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        let end = ready(0) && self.asked_to_end();
        let told = answer.is_some() && ready(1);
        let typed = read && ready(1 + usize::from(answer.is_some()));
        Ok(Woken { typed, end, told })
    }

    /// Waits until there is room for a line; false if the end is asked for meanwhile. A terminal
    /// that was stopped by XOFF must not keep the process.
    pub(super) fn wait_for_room(&self) -> io::Result<bool> {
        let output = io::stdout();
        loop {
            let mut fds = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(output.as_fd(), PollFlags::POLLOUT),
            ];
            Self::poll_until(&mut fds, None)?;
            if fds[0].any().unwrap_or(false) && self.asked_to_end() {
                return Ok(false);
            }
            if fds[1].any().unwrap_or(true) {
                return Ok(true);
            }
        }
    }

    fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<()> {
        let timeout = match until {
            None => PollTimeout::NONE,
            Some(until) => {
                // Rounded up: a wake-up just before the moment would be one too many.
                let millis = until.since(clock::now()).as_millis() + 1;
                PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX))
                    .unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }

    fn asked_to_end(&self) -> bool {
        let signal = self.signals.read_signal().ok().flatten();
        signal.is_some_and(|found| i32::try_from(found.ssi_signo) != Ok(Signal::SIGTSTP as i32))
    }
}

/// Reads what is there; nothing: the line is closed.
pub(super) fn read(buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match io::stdin().lock().read(buffer) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;

    /// Whatever ends the console, the terminal is as it was.
    #[test]
    fn a_panic_leaves_the_terminal_as_it_was() {
        let pair = openpty(None, None).unwrap();
        let before = tcgetattr(&pair.slave).unwrap();
        let line = pair.slave.try_clone().unwrap();
        let broken = std::panic::catch_unwind(move || {
            let mut terminal = Terminal::claim_line(line).unwrap();
            terminal.set_mode(Mode::Keys);
            let now = tcgetattr(&terminal.line).unwrap();
            assert!(!now.local_flags.contains(LocalFlags::ICANON));
            assert!(now.input_flags.contains(InputFlags::IXON));
            panic!("as if something were wrong");
        });
        assert!(broken.is_err());
        assert_eq!(tcgetattr(&pair.slave).unwrap(), before);
    }

    #[test]
    fn what_waits_is_counted_and_a_size_is_set() {
        let pair = openpty(None, None).unwrap();
        assert_eq!(output_queued(&pair.slave).unwrap(), 0);
        set_size(&pair.slave, 132, 43).unwrap();
        let size = rustix_size(&pair.slave);
        assert_eq!(size, (132, 43));
    }

    fn rustix_size(line: impl AsFd) -> (u16, u16) {
        let size = rustix::termios::tcgetwinsize(line).unwrap();
        (size.ws_col, size.ws_row)
    }
}
