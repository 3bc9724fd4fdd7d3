//! What a session's driver stands on: the connection, the clock, and the account of content.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::limits::{
    PIPELINE_OCTETS_MAX, READ_OCTETS_MAX, RECEPTION_OCTETS_MAX, REPLY_WRITE_TIMEOUT,
};
use crate::base::time::Instant;
use crate::net::tls::{self, TlsAcceptor, TlsStream};
use crate::smtp::server::TlsFacts;

/// The monotonic clock of all sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(tokio::time::Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    pub(super) fn now(&self) -> Instant {
        Instant::default().after(self.0.elapsed())
    }

    pub(super) fn real(&self, instant: Instant) -> tokio::time::Instant {
        self.0 + instant.since(Instant::default())
    }
}

thread_local! {
    /// Octets are handed to the session before the task yields, so one buffer serves all
    /// connections of a thread, and an idle connection holds none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_OCTETS_MAX]);
}

/// Lends the thread's buffer. Not re-entrant; a nested call gets a buffer of its own.
pub(super) fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => use_it(&mut scratch),
        Err(_) => use_it(&mut vec![0; READ_OCTETS_MAX]),
    })
}

/// A connection, in clear text or not.
pub(super) enum Wire {
    Plain(TcpStream),
    /// Boxed: a connection in clear text does not pay for the size of TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Between the two, and after a handshake that failed.
    Gone,
}

impl Wire {
    /// The handshake; nothing if it failed, and then there is no connection any more.
    pub(super) async fn shake_hands(&mut self, acceptor: TlsAcceptor) -> Option<TlsFacts> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Gone) else { return None };
        let stream = Box::pin(acceptor.accept(stream)).await.ok()?;
        let facts = tls::facts(stream.get_ref().1);
        *self = Self::Tls(Box::new(stream));
        Some(facts)
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        ready!(match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, &mut buffer),
            Self::Gone => return Poll::Ready(Ok(0)),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes a reply; a peer that does not take it in time has gone.
    pub(super) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let written = async {
            match self {
                Self::Plain(stream) => stream.write_all(octets).await,
                Self::Tls(stream) => {
                    stream.write_all(octets).await?;
                    stream.flush().await
                }
                Self::Gone => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        timeout(REPLY_WRITE_TIMEOUT, written).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Ends our side. `talking`: the peer may still be sending; what it sends is thrown away for
    /// a while, because closing on unread octets resets the connection and our last reply with it.
    /// To a peer that has said goodbye in clear text, closing says the same as shutting down first.
    pub(super) async fn part(&mut self, talking: bool) -> io::Result<()> {
        match self {
            Self::Plain(_) if !talking => Ok(()),
            Self::Plain(stream) => {
                stream.shutdown().await?;
                discard(stream).await
            }
            Self::Tls(stream) => {
                stream.shutdown().await?;
                if talking { discard(stream.get_mut().0).await } else { Ok(()) }
            }
            Self::Gone => Ok(()),
        }
    }
}

async fn discard(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 512];
    let mut left = PIPELINE_OCTETS_MAX;
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => break,
            octets => left = left.saturating_sub(octets),
        }
    }
    Ok(())
}

/// Octets of content that all sessions hold.
#[derive(Debug, Default)]
pub(super) struct Octets(AtomicUsize);

impl Octets {
    pub(super) fn held(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One session's share of them; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    octets: Arc<Octets>,
    held: usize,
}

impl Share {
    pub(super) fn of(octets: &Arc<Octets>) -> Self {
        Self { octets: octets.clone(), held: 0 }
    }

    /// Whether `more` octets would fit.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.octets.held().saturating_add(more) <= RECEPTION_OCTETS_MAX
    }

    /// This session holds `octets` now; whether all of them together are within the ceiling.
    pub(super) fn set(&mut self, octets: usize) -> bool {
        if octets >= self.held {
            self.octets.0.fetch_add(octets - self.held, Ordering::Relaxed);
        } else {
            self.octets.0.fetch_sub(self.held - octets, Ordering::Relaxed);
        }
        self.held = octets;
        self.octets.held() <= RECEPTION_OCTETS_MAX
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
