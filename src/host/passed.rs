//! Sockets that the service manager passed (socket activation).

use std::os::fd::{BorrowedFd, FromRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::fault::Fault;

/// Sockets that the service manager passed, by name; none at the second call.
///
/// # Errors
/// The environment is malformed, or what was passed is no listening socket.
pub fn sockets() -> Result<Vec<(String, std::net::TcpListener)>, Fault> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names()
        .map_err(|error| Fault::new("taking the passed sockets", "LISTEN_FDS", error))?;
    passed.map(|(descriptor, name)| own(descriptor, &name).map(|socket| (name, socket))).collect()
}

/// The Unix socket that the service manager passed; none if it passed none. Takes what
/// [`sockets`] would take.
///
/// # Errors
/// As [`sockets`], or more than one socket was passed.
pub fn unix_socket() -> Result<Option<std::os::unix::net::UnixListener>, Fault> {
    let mut passed = sockets()?;
    if passed.len() > 1 {
        return Err(Fault::new("taking the passed socket", "LISTEN_FDS", "more than one"));
    }
    // A listening socket is a descriptor; of which family it is, accept(2) finds by itself.
    Ok(passed.pop().map(|(_, socket)| std::os::fd::OwnedFd::from(socket).into()))
}

// JUSTIFICATION: sockets of socket activation arrive as bare descriptor numbers.
#[allow(unsafe_code, reason = "socket activation passes bare descriptor numbers")]
fn own(descriptor: RawFd, name: &str) -> Result<std::net::TcpListener, Fault> {
    // SAFETY: sd-notify has checked LISTEN_PID, so the number was passed to this process. It is
    // only looked at here; should it be closed, the system call says so.
    let looked_at = unsafe { BorrowedFd::borrow_raw(descriptor) };
    match rustix::net::sockopt::socket_acceptconn(looked_at) {
        // SAFETY: an open listening socket, as was just seen; `TAKEN` makes this the only place
        // and the only time that it is owned.
        Ok(true) => Ok(unsafe { std::net::TcpListener::from_raw_fd(descriptor) }),
        Ok(false) => Err(Fault::new("taking the passed socket", name, "it does not listen")),
        Err(error) => Err(Fault::new("taking the passed socket", name, error)),
    }
}
