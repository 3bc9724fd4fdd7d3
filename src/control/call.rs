//! The other end of the socket, for the command line: one request, one answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answer::Answer;
use super::request::Request;
use crate::base::limits::CONTROL_ANSWER_OCTETS_MAX;

/// Patience for an answer: a retry of a million messages is recorded in seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody serves the socket.
    #[error(
        "no daemon answers at {path}: {cause}; is `postern serve` running, and is the path \
             the one under [control] in its configuration?"
    )]
    Absent {
        /// The socket.
        path: String,
        /// The cause.
        cause: io::Error,
    },
    /// The connection broke.
    #[error("the daemon did not answer: {0}")]
    Broken(#[from] io::Error),
    /// What came is no answer.
    #[error("the daemon's answer cannot be read (another version?): {0}")]
    Garbled(serde_json::Error),
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Line {
    stream: BufReader<UnixStream>,
}

impl Line {
    /// Connects to the control socket at `path`.
    ///
    /// # Errors
    /// `Absent` if nobody serves it.
    pub fn open(path: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path)
            .map_err(|cause| CallError::Absent { path: path.display().to_string(), cause })?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// `Broken` or `Garbled`; trouble that the daemon tells is an answer.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, CallError> {
        let mut octets = serde_json::to_vec(request).map_err(CallError::Garbled)?;
        octets.push(b'\n');
        self.stream.get_mut().write_all(&octets)?;
        let mut line = Vec::new();
        let limit = CONTROL_ANSWER_OCTETS_MAX as u64;
        Read::by_ref(&mut self.stream).take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_slice(&line).map_err(CallError::Garbled)
    }
}
