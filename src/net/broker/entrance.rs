//! Where the house comes in when the broker is a unit of its own: a listening packet socket, which
//! the service manager made and passed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;

use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, shutdown,
    socket_with,
};
use tokio::net::UnixListener;

/// A listening packet socket inside a runtime. Accepting knows no difference to a stream's.
#[derive(Debug)]
pub struct Entrance(UnixListener);

impl Entrance {
    /// Listens on `socket`, inside a tokio runtime.
    ///
    /// # Errors
    /// The descriptor cannot be waited for.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let listener = StdListener::from(socket);
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(Self)
    }

    /// The next who comes in: the channel, and the user id that it was opened by.
    ///
    /// # Errors
    /// What the system says; whoever comes later may be luckier.
    pub async fn accept(&self) -> io::Result<(OwnedFd, u32)> {
        let (channel, _) = self.0.accept().await?;
        let uid = channel.peer_cred()?.uid();
        Ok((channel.into_std()?.into(), uid))
    }
}

/// Comes in at `path`. Does not wait: a queue that is full is an error.
///
/// # Errors
/// Nobody listens there, or this user may not.
pub fn enter(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Ends a channel for every descriptor of it, so that the other side hears the end at once.
pub fn end(channel: &OwnedFd) {
    // One whose other side is gone has ended already.
    let _ = shutdown(channel, Shutdown::Both);
}
