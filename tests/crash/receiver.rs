//! The receiving host: takes everything, puts `later-…` recipients off once or twice, writes all
//! down. It shares no code with the gateway.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::letters::Book;

/// Longer than any pause between two commands of a carrier in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The receiving host, until the process ends.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    /// Everyone is put off while this is set.
    pub(crate) closed: AtomicBool,
    book: Arc<Book>,
    deferrals: Mutex<BTreeMap<String, u32>>,
    /// `stuck-…` recipients that were named so far; they hear nothing until all are set free.
    stuck: Mutex<Vec<String>>,
    freed: AtomicBool,
}

impl Receiver {
    /// Listens on a free port of loopback.
    pub(crate) fn open(book: Arc<Book>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Arc::new(Self {
            address,
            closed: AtomicBool::new(false),
            book,
            deferrals: Mutex::default(),
            stuck: Mutex::default(),
            freed: AtomicBool::new(false),
        });
        let host = Arc::clone(&receiver);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let host = Arc::clone(&host);
                // A peer that is killed in the middle is what these tests are about.
                thread::spawn(move || host.session(&stream));
            }
        });
        receiver
    }

    /// How often a `stuck-…` recipient was named.
    pub(crate) fn stuck(&self) -> Vec<String> {
        self.stuck.lock().unwrap().clone()
    }

    /// The last of them.
    pub(crate) fn last_stuck(&self) -> String {
        self.stuck.lock().unwrap().last().unwrap().clone()
    }

    /// Waits until `count` have been.
    pub(crate) fn wait_stuck(&self, count: usize, patience: Duration) {
        let until = std::time::Instant::now() + patience;
        while self.stuck().len() < count {
            let now = std::time::Instant::now();
            assert!(now < until, "{count} recipients were not named: {:?}", self.stuck());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// From now on they are as any others.
    pub(crate) fn free(&self) {
        self.freed.store(true, Ordering::Relaxed);
    }

    fn session(&self, stream: &TcpStream) -> io::Result<()> {
        let life = self.book.life();
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut input, mut output) = (BufReader::with_capacity(65_536, stream), stream);
        output.write_all(b"220 far.example ESMTP\r\n")?;
        let mut recipients = Vec::new();
        let mut heard = Vec::new();
        loop {
            heard.clear();
            if input.read_until(b'\n', &mut heard)? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&heard).to_uppercase();
            let reply = match text.split([' ', ':', '\r']).next().unwrap_or_default() {
                "EHLO" => {
                    "250-far.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 99999999\r\n\
                     250 ENHANCEDSTATUSCODES"
                }
                "MAIL" | "RSET" => {
                    recipients.clear();
                    "250 2.0.0 Ok"
                }
                "RCPT" => self.recipient(&text.to_lowercase(), &mut recipients),
                "DATA" if recipients.is_empty() => "554 5.5.1 No valid recipients",
                "DATA" => {
                    output.write_all(b"354 Go ahead\r\n")?;
                    let content = content(&mut input)?;
                    self.book.arrived(life, &recipients, &content);
                    recipients.clear();
                    "250 2.0.0 Ok"
                }
                "QUIT" => return output.write_all(b"221 2.0.0 Bye\r\n"),
                _ => "502 5.5.1 Not known here",
            };
            output.write_all(format!("{reply}\r\n").as_bytes())?;
        }
    }

    fn recipient(&self, text: &str, recipients: &mut Vec<String>) -> &'static str {
        let path = text.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if self.closed.load(Ordering::Relaxed) {
            self.book.deferred();
            return "451 4.2.1 Everyone is put off for now";
        }
        if path.starts_with("stuck") && !self.freed.load(Ordering::Relaxed) {
            self.stuck.lock().unwrap().push(path);
            // Whoever asks is gone by the time of the answer.
            thread::sleep(PATIENCE);
            return "451 4.2.1 Too late";
        }
        if path.starts_with("later") {
            let mut deferrals = self.deferrals.lock().unwrap();
            let seen = deferrals.entry(path.clone()).or_default();
            *seen += 1;
            if *seen <= 2 {
                self.book.deferred();
                return "451 4.2.1 Come again";
            }
        }
        recipients.push(path);
        "250 2.1.5 Ok"
    }
}

/// Content up to the final dot, dot-stuffing undone.
fn content(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if input.read_until(b'\n', &mut content)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if content[start] == b'.' {
            if &content[start..] == b".\r\n" {
                content.truncate(start);
                return Ok(content);
            }
            content.copy_within(start + 1.., start);
            content.pop();
        }
    }
}
