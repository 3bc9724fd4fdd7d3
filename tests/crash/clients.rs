//! Submitting applications: each says letter after letter, and writes a letter down as
//! acknowledged when, and only when, it has heard the 250.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use postern::base::chance::Chance;

use crate::letters::{Book, Letter};

/// An answer that takes longer has not been given.
const PATIENCE: Duration = Duration::from_secs(30);

/// Recipients under way at which the applications hold back.
const OPEN_MAX: usize = 400;

/// Applications at work.
#[derive(Debug)]
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// `count` applications that submit at whatever port stands in `port` (0: nobody is there).
    pub(crate) fn start(
        count: u64,
        seed: u64,
        book: &Arc<Book>,
        port: &Arc<AtomicU16>,
        write: fn(u64, &mut Chance) -> Letter,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |n: u64| {
            let (stop, book, port) = (Arc::clone(&stop), Arc::clone(book), Arc::clone(port));
            let mut chance = Chance::new(seed.wrapping_mul(31).wrapping_add(n));
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let at = port.load(Relaxed);
                    if at == 0 || visit(at, &book, &stop, write, &mut chance).is_err() {
                        thread::sleep(Duration::from_millis(3));
                    }
                }
            })
        };
        let threads = (0..count).map(client).collect();
        Self { stop, threads }
    }

    /// They finish their letters and leave.
    pub(crate) fn stop(self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// One connection with some letters.
fn visit(
    port: u16,
    book: &Book,
    stop: &AtomicBool,
    write: fn(u64, &mut Chance) -> Letter,
    chance: &mut Chance,
) -> io::Result<()> {
    let mut session = Session::open(port)?;
    for _ in 0..=chance.below(20) {
        while book.open() > OPEN_MAX && !stop.load(Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if stop.load(Relaxed) {
            break;
        }
        let letter = write(book.number(), chance);
        match session.submit(&letter) {
            Ok(reply) if reply.starts_with("250") => book.acknowledge(letter),
            Ok(reply) => {
                book.turned_away(reply.get(..9).unwrap_or_default());
                if !reply.starts_with('4') {
                    book.complain(format!("letter {} heard {reply}", letter.id));
                }
                if reply.starts_with("421") {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => {
                book.unanswered();
                return Err(error);
            }
        }
    }
    session.say("QUIT\r\n").map(drop)
}

/// An SMTP session of a simple application, without pipelining.
pub(crate) struct Session {
    input: BufReader<TcpStream>,
}

impl Session {
    /// Connects and says EHLO.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut session = Self { input: BufReader::new(stream) };
        let greeting = session.reply()?;
        if !greeting.starts_with("220")
            || !session.say("EHLO app.own.example\r\n")?.starts_with("250")
        {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(session)
    }

    /// Submits a letter; returns the reply that decided.
    pub(crate) fn submit(&mut self, letter: &Letter) -> io::Result<String> {
        let reply = self.say("MAIL FROM:<app@own.example>\r\n")?;
        if !reply.starts_with("250") {
            return Ok(reply);
        }
        for recipient in &letter.recipients {
            let reply = self.say(&format!("RCPT TO:<{recipient}>\r\n"))?;
            if !reply.starts_with("250") {
                return self.say("RSET\r\n").map(|_| reply);
            }
        }
        let reply = self.say("DATA\r\n")?;
        if !reply.starts_with("354") {
            return self.say("RSET\r\n").map(|_| reply);
        }
        let mut wire = Vec::with_capacity(letter.octets + 4096);
        for line in letter.content().split_inclusive(|octet| *octet == b'\n') {
            if line[0] == b'.' {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        self.input.get_ref().write_all(&wire)?;
        self.reply()
    }

    /// Says a line and hears the last line of the reply.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<String> {
        self.input.get_ref().write_all(line.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 || !line.ends_with("\r\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return Ok(line);
            }
        }
    }
}
