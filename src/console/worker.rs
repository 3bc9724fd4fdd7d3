//! The other end of a question: one thread with one connection to the host role.
//!
//! What a login allows lasts as long as the connection, so dropping the worker is logging out; an
//! answer that is still on its way then finds nobody.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::ask::{Ask, Told};
use super::draw::draw;
use crate::control::host::call::HostCallError;
use crate::control::host::{HostLine, HostRequest};

/// A thread that asks.
#[derive(Debug)]
pub(super) struct Worker {
    asks: Sender<Ask>,
    told: Receiver<Told>,
    woken: UnixStream,
}

impl Worker {
    /// Starts the thread; it connects with the first question.
    pub(super) fn start(socket: PathBuf, tty: String) -> std::io::Result<Self> {
        let (asks, questions) = channel();
        let (answers, told) = channel();
        let (woken, mut wake) = UnixStream::pair()?;
        let work = move || {
            let mut line = Line { socket, tty, open: None };
            while let Ok(ask) = questions.recv() {
                let gone = answers.send(line.ask(ask)).is_err() || wake.write_all(&[1]).is_err();
                if gone {
                    break;
                }
            }
        };
        thread::Builder::new().name("ask".to_owned()).spawn(work)?;
        Ok(Self { asks, told, woken })
    }

    /// Puts a question; the answer makes [`Worker::fd`] readable.
    pub(super) fn ask(&self, ask: Ask) -> bool {
        self.asks.send(ask).is_ok()
    }

    /// The answer that woke the caller.
    pub(super) fn told(&mut self) -> Told {
        let woken = self.woken.read(&mut [0]).is_ok_and(|count| count == 1);
        let told = if woken { self.told.recv().ok() } else { None };
        told.unwrap_or_else(|| Told::Away("the question was lost".to_owned()))
    }

    /// Readable when an answer is there, or will never be.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

struct Line {
    socket: PathBuf,
    tty: String,
    open: Option<HostLine>,
}

impl Line {
    fn ask(&mut self, ask: Ask) -> Told {
        let asked = match ask {
            Ask::Draw(order) => {
                return draw(order).map_or_else(Told::Failed, |drawn| Told::Drawn(Box::new(drawn)));
            }
            Ask::Host(request) => self.host(&request).map(|answer| Told::Host(Box::new(answer))),
            Ask::Serve(request) => {
                let line = self.line();
                let answer = line.and_then(|line| line.relay(&request));
                answer.map(|answer| Told::Served(Box::new(answer)))
            }
        };
        asked.unwrap_or_else(|error| {
            // A connection in an unknown state answers another question with this one's answer.
            self.open = None;
            Told::Away(error.to_string())
        })
    }

    fn host(
        &mut self,
        request: &HostRequest,
    ) -> Result<crate::control::host::HostAnswer, HostCallError> {
        self.line()?.ask(request)
    }

    /// The connection; a new one says first where it comes from.
    fn line(&mut self) -> Result<&mut HostLine, HostCallError> {
        if self.open.is_none() {
            let mut line = HostLine::open(&self.socket)?;
            line.ask(&HostRequest::Hello { tty: Some(self.tty.clone()) })?;
            self.open = Some(line);
        }
        match &mut self.open {
            Some(line) => Ok(line),
            None => unreachable!("it was opened just now"),
        }
    }
}
