//! Where the gate's message arrives: a receiving host of its own on loopback, which shares no code
//! with the gateway. Local parts decide: `refuse` is refused for good, everything else is kept.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest line that is taken.
const LINE_OCTETS_MAX: u64 = 64 * 1024;
/// Octets of one message; ours and reports about them are some kilobytes.
const CONTENT_OCTETS_MAX: usize = 1024 * 1024;
/// A peer that says nothing for so long is let go.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Messages that are kept: those of earlier runs may come, too.
const KEPT_MAX: usize = 64;

/// What the host says to a recipient that it refuses.
pub(super) const REFUSAL: &str = "550 5.1.1 No such mailbox: the health gate refuses it";
/// The recipient that is refused.
pub(super) const REFUSED: &str = "refuse";

/// A message that arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// Who brought it.
    pub(super) peer: SocketAddr,
    /// What it called itself.
    pub(super) helo: String,
    /// MAIL FROM, without brackets.
    pub(super) reverse_path: String,
    /// RCPT TO, without brackets.
    pub(super) forward_paths: Vec<String>,
    /// The octets, dot-stuffing undone.
    pub(super) content: Vec<u8>,
}

#[derive(Debug, Default)]
struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host. Its threads end with the process.
#[derive(Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

impl Sink {
    /// Listens.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let shared = Arc::new(Shared::default());
        let threads = shared.clone();
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                let shared = threads.clone();
                // A peer that breaks off is an ordinary event for a receiving host.
                std::thread::spawn(move || session(stream, peer, &shared));
            }
        })?;
        Ok(Self { shared })
    }

    /// Waits for a message that `wanted` likes and takes it.
    pub(super) fn wait(
        &self,
        wanted: impl Fn(&Arrival) -> bool,
        until: Instant,
    ) -> Option<Arrival> {
        let mut arrivals = self.shared.lock();
        loop {
            if let Some(at) = arrivals.iter().position(&wanted) {
                return Some(arrivals.remove(at));
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.shared.changed.wait_timeout(arrivals, left);
            arrivals = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn session(stream: TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut now = Arrival {
        peer,
        helo: String::new(),
        reverse_path: String::new(),
        forward_paths: Vec::new(),
        content: Vec::new(),
    };
    say(&mut stream, "220 health.invalid ESMTP the health gate's sink")?;
    loop {
        let line = line(&mut stream)?;
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = text.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let path = || text.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match verb.as_str() {
            "EHLO" => {
                text.split(' ').nth(1).unwrap_or_default().clone_into(&mut now.helo);
                say(
                    &mut stream,
                    "250-health.invalid\r\n250-PIPELINING\r\n250-8BITMIME\r\n\
                     250 ENHANCEDSTATUSCODES",
                )?;
            }
            "MAIL" => {
                now.reverse_path = path();
                now.forward_paths.clear();
                say(&mut stream, "250 2.1.0 Ok")?;
            }
            "RCPT" if path().split('@').next() == Some(REFUSED) => say(&mut stream, REFUSAL)?,
            "RCPT" => {
                now.forward_paths.push(path());
                say(&mut stream, "250 2.1.5 Ok")?;
            }
            "DATA" if now.forward_paths.is_empty() => {
                say(&mut stream, "554 5.5.1 No valid recipients")?;
            }
            "DATA" => {
                say(&mut stream, "354 Go ahead")?;
                now.content = content(&mut stream)?;
                let mut arrivals = shared.lock();
                if arrivals.len() < KEPT_MAX {
                    arrivals.push(now.clone());
                }
                drop(arrivals);
                shared.changed.notify_all();
                say(&mut stream, "250 2.0.0 Ok: arrived at the health gate")?;
            }
            "RSET" | "NOOP" => say(&mut stream, "250 2.0.0 Ok")?,
            "QUIT" => return say(&mut stream, "221 2.0.0 Bye"),
            _ => say(&mut stream, "502 5.5.1 Not known here")?,
        }
    }
}

fn say(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream.get_mut().write_all(format!("{text}\r\n").as_bytes())
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    match stream.by_ref().take(LINE_OCTETS_MAX).read_until(b'\n', &mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

/// Content up to the final dot.
fn content(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        match line(stream)?.as_slice() {
            b".\r\n" => return Ok(content),
            _ if content.len() > CONTENT_OCTETS_MAX => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            [b'.', rest @ ..] => content.extend_from_slice(rest),
            line => content.extend_from_slice(line),
        }
    }
}
