//! The terminal: claimed once, restored always.
//!
//! The kernel edits lines (canonical mode), so that nothing is sent over the line twice and a
//! screen reader hears what it knows. ctrl-C and ctrl-D are ends of line here and no signals: they
//! come in order with what was typed, and nothing can kill the console from its keyboard.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{
    InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices as Special, Termios,
    tcgetattr, tcsetattr,
};
use nix::unistd::ttyname;

use crate::base::time::Instant;
use crate::host::clock;

/// No character.
const DISABLED: u8 = 0;
/// ctrl-C.
const BREAK: u8 = 0x03;
/// ctrl-D.
const END: u8 = 0x04;

/// Standard input as a terminal; restored when it is dropped, on a panic too.
#[derive(Debug)]
pub(super) struct Terminal {
    found: Termios,
    ours: Termios,
    echo: bool,
}

impl Terminal {
    /// Claims the terminal; none if standard input is none.
    pub(super) fn claim() -> Option<Self> {
        let found = tcgetattr(io::stdin()).ok()?;
        let mut ours = found.clone();
        ours.input_flags.remove(InputFlags::IGNCR | InputFlags::INLCR | InputFlags::ISTRIP);
        ours.input_flags.insert(InputFlags::ICRNL | InputFlags::IXON | InputFlags::IGNBRK);
        ours.output_flags.insert(OutputFlags::OPOST | OutputFlags::ONLCR);
        ours.local_flags.remove(LocalFlags::ISIG);
        ours.local_flags.insert(
            LocalFlags::ICANON
                | LocalFlags::ECHO
                | LocalFlags::ECHOE
                | LocalFlags::ECHOK
                | LocalFlags::ECHONL
                | LocalFlags::IEXTEN,
        );
        let characters = [
            (Special::VEOL, BREAK),
            (Special::VEOL2, END),
            (Special::VEOF, DISABLED),
            (Special::VLNEXT, DISABLED),
        ];
        for (place, character) in characters {
            if let Some(slot) = ours.control_chars.get_mut(place as usize) {
                *slot = character;
            }
        }
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &ours).ok()?;
        Some(Self { found, ours, echo: true })
    }

    /// Shows what is typed, or does not.
    pub(super) fn echo(&mut self, shown: bool) {
        if self.echo == shown {
            return;
        }
        self.ours.local_flags.set(LocalFlags::ECHO, shown);
        // If the terminal is gone the next read says so.
        if tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.ours).is_ok() {
            self.echo = shown;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.found);
    }
}

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

    /// Waits until something happens; `read` whether input is wanted.
    pub(super) fn wait(
        &self,
        read: bool,
        answer: Option<BorrowedFd<'_>>,
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
