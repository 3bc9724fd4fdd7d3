//! The caller's end of the host role's socket: one request, one answer, blocking.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::answer::HostAnswer;
use super::request::HostRequest;
use crate::base::limits::{HOST_ANSWER_OCTETS_MAX, UPDATE_GRACE, UPDATE_TIMEOUT};
use crate::control::answer::Answer;
use crate::control::request::Request;

/// Where the role listens unless somebody says otherwise.
pub const HOST_SOCKET: &str = "/run/postern-host/host.sock";

/// Patience for an answer: nothing takes longer than staging an update, and the role itself waits
/// for that no longer.
const ANSWER_TIMEOUT: Duration = UPDATE_TIMEOUT.saturating_add(UPDATE_GRACE.saturating_mul(2));

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum HostCallError {
    /// Nobody serves the socket.
    #[error(
        "the host role does not answer at {path}: {cause}; is postern-host.service running, and \
         may this user connect?"
    )]
    Absent {
        /// The socket.
        path: String,
        /// The cause.
        cause: io::Error,
    },
    /// The connection broke.
    #[error("the host role did not answer: {0}")]
    Broken(#[from] io::Error),
    /// What came is no answer.
    #[error("the host role's answer cannot be read (another version?): {0}")]
    Garbled(serde_json::Error),
}

/// A connection to the host role. What `login` allows lasts as long as the connection.
#[derive(Debug)]
pub struct HostLine {
    stream: BufReader<UnixStream>,
}

impl HostLine {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// `Absent` if nobody serves it.
    pub fn open(path: &Path) -> Result<Self, HostCallError> {
        let stream = UnixStream::connect(path)
            .map_err(|cause| HostCallError::Absent { path: path.display().to_string(), cause })?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// `Broken` or `Garbled`; trouble that the role tells is an answer.
    pub fn ask(&mut self, request: &HostRequest) -> Result<HostAnswer, HostCallError> {
        // It may hold a passphrase.
        let mut octets =
            Zeroizing::new(serde_json::to_vec(request).map_err(HostCallError::Garbled)?);
        octets.push(b'\n');
        self.stream.get_mut().write_all(&octets)?;
        let mut line = Vec::new();
        let limit = HOST_ANSWER_OCTETS_MAX as u64;
        Read::by_ref(&mut self.stream).take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_slice(&line).map_err(HostCallError::Garbled)
    }

    /// Asks the gateway behind the role, as its control socket would be asked.
    ///
    /// # Errors
    /// As [`HostLine::ask`]. Trouble of the role itself comes as the gateway's trouble would.
    pub fn relay(&mut self, request: &Request) -> Result<Answer, HostCallError> {
        let request = serde_json::to_value(request).map_err(HostCallError::Garbled)?;
        match self.ask(&HostRequest::Relay { request })? {
            HostAnswer::Relayed(answer) => {
                serde_json::from_value(answer).map_err(HostCallError::Garbled)
            }
            HostAnswer::Trouble(trouble) => Ok(Answer::Trouble(trouble)),
            other => {
                let found = format!("{other:?}").chars().take(40).collect::<String>();
                Err(io::Error::other(format!("no relayed answer: {found}")).into())
            }
        }
    }
}
