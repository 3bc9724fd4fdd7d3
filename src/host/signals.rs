//! Signals as futures.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    End(&'static str),
}

/// The signals that the daemon obeys.
#[derive(Debug)]
pub struct Signals {
    reload: Signal,
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from now on.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn take() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next request.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.reload.recv() => Request::Reload,
            _ = self.term.recv() => Request::End("SIGTERM"),
            _ = self.interrupt.recv() => Request::End("SIGINT"),
        }
    }

    /// The name of the first signal that asks for the end; reloads are passed over.
    pub async fn end(&mut self) -> &'static str {
        loop {
            if let Request::End(name) = self.next().await {
                return name;
            }
        }
    }
}
