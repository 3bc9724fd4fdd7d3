//! Sockets that the service manager passed (socket activation).

use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::base::fault::Fault;

/// What is done when it fails.
const TAKING: &str = "taking the passed socket";

/// Listening sockets of the network that the service manager passed, by name; none at the second
/// call.
///
/// # Errors
/// The environment is malformed, or what was passed is no such socket.
pub fn sockets() -> Result<Vec<(String, TcpListener)>, Fault> {
    let stream = |(name, socket): (String, OwnedFd)| {
        is_of(&name, &socket, &[AddressFamily::INET, AddressFamily::INET6], SocketType::STREAM)?;
        Ok((name, TcpListener::from(socket)))
    };
    take()?.into_iter().map(stream).collect()
}

/// The listening packet socket of a role that has one door (`ListenSequentialPacket=`); none: the
/// service manager passed nothing.
///
/// # Errors
/// The environment is malformed, or something else was passed.
pub fn packet_socket() -> Result<Option<OwnedFd>, Fault> {
    only(SocketType::SEQPACKET)
}

/// The listening stream socket of a role that has one door (`ListenStream=` with a path); none:
/// the service manager passed nothing.
///
/// # Errors
/// As [`packet_socket`].
pub fn unix_socket() -> Result<Option<UnixListener>, Fault> {
    Ok(only(SocketType::STREAM)?.map(UnixListener::from))
}

/// The one Unix socket that was passed.
fn only(kind: SocketType) -> Result<Option<OwnedFd>, Fault> {
    let mut passed = take()?;
    let Some((name, socket)) = passed.pop() else { return Ok(None) };
    if !passed.is_empty() {
        return Err(Fault::new(TAKING, name, "it is not the only one"));
    }
    is_of(&name, &socket, &[AddressFamily::UNIX], kind)?;
    Ok(Some(socket))
}

/// What was passed; all of it listens.
fn take() -> Result<Vec<(String, OwnedFd)>, Fault> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names()
        .map_err(|error| Fault::new("taking the passed sockets", "LISTEN_FDS", error))?;
    passed.map(|(descriptor, name)| own(descriptor, &name).map(|socket| (name, socket))).collect()
}

fn is_of(
    name: &str,
    socket: &OwnedFd,
    families: &[AddressFamily],
    kind: SocketType,
) -> Result<(), Fault> {
    let found = sockopt::socket_domain(socket.as_fd())
        .and_then(|family| Ok((family, sockopt::socket_type(socket.as_fd())?)))
        .map_err(|error| Fault::new(TAKING, name, error))?;
    if families.contains(&found.0) && found.1 == kind {
        Ok(())
    } else {
        Err(Fault::new(TAKING, name, "it is of another kind"))
    }
}

// JUSTIFICATION: sockets of socket activation arrive as bare descriptor numbers.
#[allow(unsafe_code, reason = "socket activation passes bare descriptor numbers")]
fn own(descriptor: RawFd, name: &str) -> Result<OwnedFd, Fault> {
    // SAFETY: sd-notify has checked LISTEN_PID, so the number was passed to this process. It is
    // only looked at here; should it be closed, the system call says so.
    let looked_at = unsafe { BorrowedFd::borrow_raw(descriptor) };
    match sockopt::socket_acceptconn(looked_at) {
        // SAFETY: an open listening socket, as was just seen; `TAKEN` makes this the only place
        // and the only time that it is owned.
        Ok(true) => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        Ok(false) => Err(Fault::new(TAKING, name, "it does not listen")),
        Err(error) => Err(Fault::new(TAKING, name, error)),
    }
}
