//! What a terminal's line tells beyond its settings: what still waits to be sent, and its size.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};
use rustix::termios::{Winsize, tcsetwinsize};

/// `TIOCOUTQ`, the same on every architecture that we build for.
const OUTPUT_QUEUE: Opcode = 0x5411;

/// Octets that were written and have not left yet.
///
/// # Errors
/// It is no terminal.
// JUSTIFICATION: no library has a safe call for the one number that says how slow a line is.
#[allow(unsafe_code, reason = "TIOCOUTQ has no safe wrapper")]
pub fn output_queued(terminal: impl AsFd) -> io::Result<u32> {
    // SAFETY: TIOCOUTQ writes one C int, which has the size of an i32 here.
    let queued: i32 = unsafe { ioctl(terminal, Getter::<OUTPUT_QUEUE, i32>::new()) }?;
    Ok(u32::try_from(queued).unwrap_or(0))
}

/// Tells the kernel how large the terminal is, for whoever asks it next.
///
/// # Errors
/// It is no terminal.
pub fn set_size(terminal: impl AsFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}
