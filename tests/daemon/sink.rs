//! The receiving host: accepts, defers or refuses by the local part, and keeps what it accepted.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than any delivery on loopback takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message that was accepted for at least one recipient.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    /// What stood in MAIL FROM, with its parameters.
    pub(crate) mail: String,
    /// What stood in each accepted RCPT TO, with its parameters.
    pub(crate) recipients: Vec<String>,
    /// The octets as they were before dot-stuffing.
    pub(crate) content: Vec<u8>,
}

impl Delivered {
    /// MAIL FROM without brackets.
    pub(crate) fn reverse_path(&self) -> &str {
        path(&self.mail)
    }

    /// RCPT TO without brackets.
    pub(crate) fn forward_paths(&self) -> Vec<&str> {
        self.recipients.iter().map(|text| path(text)).collect()
    }

    /// The content as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

fn path(text: &str) -> &str {
    text.split(['<', '>']).nth(1).unwrap_or_default()
}

#[derive(Default)]
struct State {
    delivered: Mutex<VecDeque<Delivered>>,
    /// `defer…` is put off.
    deferring: AtomicBool,
    /// The reply to the final dot is kept back.
    stalled: AtomicBool,
    /// DSN is not offered.
    plain: AtomicBool,
    /// Lines of EHLO beyond the ordinary ones.
    more: Mutex<String>,
}

/// The host. Its threads end with the process.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Sink {
    /// Listens on loopback.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        state.deferring.store(true, Ordering::SeqCst);
        let shared = state.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let state = shared.clone();
                // A peer that breaks off is an ordinary event for a receiving host.
                std::thread::spawn(move || session(stream, &state));
            }
        });
        Self { address, state }
    }

    /// Whether `defer…` is put off; at first it is.
    pub(crate) fn set_deferring(&self, on: bool) {
        self.state.deferring.store(on, Ordering::SeqCst);
    }

    /// Whether the reply to the final dot is kept back.
    pub(crate) fn set_stalled(&self, on: bool) {
        self.state.stalled.store(on, Ordering::SeqCst);
    }

    /// Offers DSN no more.
    pub(crate) fn forget_dsn(&self) {
        self.state.plain.store(true, Ordering::SeqCst);
    }

    /// Offers these extensions too.
    pub(crate) fn offer(&self, extensions: &[&str]) {
        let lines = extensions.iter().map(|line| format!("250-{line}\r\n"));
        *self.state.more.lock().unwrap() = lines.collect();
    }

    /// Takes the next message that `wanted` likes, if it is there.
    pub(crate) fn take(&self, wanted: impl Fn(&Delivered) -> bool) -> Option<Delivered> {
        let mut delivered = self.state.delivered.lock().unwrap();
        let at = delivered.iter().position(wanted)?;
        delivered.remove(at)
    }

    /// Waits for a message that `wanted` likes and takes it.
    pub(crate) fn wait(&self, wanted: impl Fn(&Delivered) -> bool) -> Delivered {
        let began = Instant::now();
        loop {
            if let Some(found) = self.take(&wanted) {
                return found;
            }
            let rest = self.state.delivered.lock().unwrap().clone();
            assert!(began.elapsed() < PATIENCE, "nothing such was delivered, but {rest:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Messages that were accepted and not taken.
    pub(crate) fn count(&self) -> usize {
        self.state.delivered.lock().unwrap().len()
    }
}

fn session(stream: TcpStream, state: &State) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream);
    let mut say = move |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).ok();
    let (mut mail, mut recipients) = (String::new(), Vec::new());
    say("220 mx.example.net ESMTP")?;
    loop {
        let line = String::from_utf8(line(&mut lines)?).ok()?.trim_end().to_owned();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                let dsn = if state.plain.load(Ordering::SeqCst) { "" } else { "250-DSN\r\n" };
                let more = state.more.lock().unwrap().clone();
                say(&format!(
                    "250-mx.example.net\r\n{dsn}{more}250-8BITMIME\r\n250-SMTPUTF8\r\n\
                     250-PIPELINING\r\n250 ENHANCEDSTATUSCODES"
                ))?;
            }
            "MAIL" => {
                mail.clone_from(&line);
                recipients.clear();
                say("250 2.1.0 Ok")?;
            }
            "RCPT" => match path(&line) {
                path if path.starts_with("refuse") => say("550 5.1.1 No such mailbox")?,
                path if path.starts_with("defer") && state.deferring.load(Ordering::SeqCst) => {
                    say("451 4.2.1 Come back later")?;
                }
                _ => {
                    recipients.push(line);
                    say("250 2.1.5 Ok")?;
                }
            },
            "DATA" if recipients.is_empty() => say("554 5.5.1 No valid recipients")?,
            "DATA" => {
                say("354 Go ahead")?;
                let content = content(&mut lines)?;
                while state.stalled.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                let recipients = std::mem::take(&mut recipients);
                let delivered = Delivered { mail: mail.clone(), recipients, content };
                state.delivered.lock().unwrap().push_back(delivered);
                say("250 2.0.0 Ok")?;
            }
            "RSET" | "NOOP" => say("250 2.0.0 Ok")?,
            "QUIT" => return say("221 2.0.0 Bye"),
            _ => say("502 5.5.1 Not known here")?,
        }
    }
}

fn line(lines: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    match lines.read_until(b'\n', &mut line) {
        Ok(1..) => Some(line),
        Ok(0) | Err(_) => None,
    }
}

fn content(lines: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        match line(lines)?.as_slice() {
            b".\r\n" => return Some(content),
            [b'.', rest @ ..] => content.extend_from_slice(rest),
            line => content.extend_from_slice(line),
        }
    }
}
