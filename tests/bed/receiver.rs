//! MX hosts of the Internet, each with a manner of its own.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::space::Space;

/// A peer that says nothing for so long is given up; its wire may be gone.
const SILENCE: Duration = Duration::from_secs(60);

/// How a host takes mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// At once.
    Takes,
    /// Every recipient is put off at its first try.
    Greylists,
    /// The first so many transactions hear the words of a provider that wants less.
    Throttles(u64),
    /// Every reply takes so long.
    Tarpits(Duration),
    /// The first so many connections end after the dot, without a reply.
    DropsAfterDot(u64),
    /// The first so many transactions hear this.
    Refuses(u64, &'static str),
}

/// A message that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// RCPT TO without brackets.
    pub(crate) to: String,
    /// MAIL FROM with its parameters.
    pub(crate) mail: String,
    pub(crate) at: Instant,
    /// It came encrypted.
    pub(crate) encrypted: bool,
    /// Header and body as they came, dots stuffed.
    pub(crate) letter: String,
    /// Where the gateway came from.
    pub(crate) from: IpAddr,
}

#[derive(Default)]
struct State {
    taken: Mutex<Vec<Taken>>,
    greylist: Mutex<HashSet<String>>,
    sessions: AtomicU64,
    transactions: AtomicU64,
    over: AtomicBool,
}

/// A host.
pub(crate) struct Receiver {
    state: Arc<State>,
    places: Vec<SocketAddr>,
    space: Arc<Space>,
}

impl Receiver {
    /// Listens at port 25 of these addresses, which the Internet has.
    pub(crate) fn start(
        space: &Arc<Space>,
        name: &str,
        addresses: &[IpAddr],
        manner: Manner,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Self {
        let state = Arc::new(State::default());
        let places: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, 25)).collect();
        for place in &places {
            let listener = space.within(|| TcpListener::bind(place)).unwrap();
            let host = Host { name: name.to_owned(), manner, tls: tls.cloned() };
            let (host, state) = (Arc::new(host), state.clone());
            std::thread::spawn(move || {
                while let Ok((stream, from)) = listener.accept() {
                    if state.over.load(Ordering::Relaxed) {
                        break;
                    }
                    let (host, state) = (host.clone(), state.clone());
                    // A peer that breaks off is an ordinary event for a receiving host.
                    std::thread::spawn(move || host.session(stream, from.ip(), &state));
                }
            });
        }
        Self { state, places, space: space.clone() }
    }

    /// What was taken so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    /// How many sessions were begun.
    pub(crate) fn sessions(&self) -> u64 {
        self.state.sessions.load(Ordering::Relaxed)
    }

    /// Waits until something was taken for `to`.
    pub(crate) fn wait(&self, to: &str, patience: Duration) -> Taken {
        let began = Instant::now();
        loop {
            let taken = self.taken();
            if let Some(found) = taken.iter().find(|taken| taken.to == to) {
                return found.clone();
            }
            assert!(began.elapsed() < patience, "nothing came for {to}, but {taken:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        // Each listener looks up once more, and leaves.
        for place in &self.places {
            let _gone = self.space.within(|| TcpStream::connect(place));
        }
    }
}

/// Either kind of stream.
trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

struct Host {
    name: String,
    manner: Manner,
    tls: Option<Arc<ServerConfig>>,
}

/// What one session knows.
struct Session<'h> {
    host: &'h Host,
    state: &'h State,
    from: IpAddr,
    encrypted: bool,
    mail: String,
    recipients: Vec<String>,
}

/// How a conversation ended.
enum End {
    Over,
    StartTls,
}

impl Host {
    fn session(&self, stream: TcpStream, from: IpAddr, state: &State) -> Option<()> {
        state.sessions.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(SILENCE)).ok()?;
        let mut session = Session {
            host: self,
            state,
            from,
            encrypted: false,
            mail: String::new(),
            recipients: Vec::new(),
        };
        let mut clear: Box<dyn Wire> = Box::new(stream.try_clone().ok()?);
        if matches!(session.talk(&mut clear, true)?, End::Over) {
            return Some(());
        }
        let connection = ServerConnection::new(self.tls.clone()?).ok()?;
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).ok()?;
        }
        session.encrypted = true;
        let mut tls: Box<dyn Wire> = Box::new(tls);
        session.talk(&mut tls, false);
        Some(())
    }
}

impl Session<'_> {
    fn say(&self, wire: &mut dyn Write, text: &str) -> Option<()> {
        if let Manner::Tarpits(pause) = self.host.manner {
            std::thread::sleep(pause);
        }
        wire.write_all(format!("{text}\r\n").as_bytes()).ok()?;
        wire.flush().ok()
    }

    fn talk(&mut self, wire: &mut Box<dyn Wire>, greet: bool) -> Option<End> {
        let mut lines = BufReader::new(wire);
        if greet {
            self.say(lines.get_mut(), &format!("220 {} ESMTP", self.host.name))?;
        }
        loop {
            let octets = line(&mut lines)?;
            let said = String::from_utf8_lossy(&octets).trim_end().to_owned();
            let verb = said.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let name = &self.host.name;
                    let more = match (&self.host.tls, self.encrypted) {
                        (Some(_), false) => "250-STARTTLS\r\n",
                        (_, true) => "250-REQUIRETLS\r\n",
                        _ => "",
                    };
                    let offer = format!("250-{name}\r\n{more}250-PIPELINING\r\n250 8BITMIME");
                    self.say(lines.get_mut(), &offer)?;
                }
                "STARTTLS" if self.host.tls.is_some() && !self.encrypted => {
                    self.say(lines.get_mut(), "220 2.0.0 Go ahead")?;
                    return Some(End::StartTls);
                }
                "MAIL" => {
                    self.recipients.clear();
                    let reply = self.take_mail();
                    let taken = reply.starts_with('2');
                    self.mail = if taken { said } else { String::new() };
                    self.say(lines.get_mut(), reply)?;
                }
                "RCPT" => {
                    let reply = self.take_recipient(&said);
                    self.say(lines.get_mut(), reply)?;
                }
                "DATA" if self.recipients.is_empty() => {
                    self.say(lines.get_mut(), "554 5.5.1 No valid recipients")?;
                }
                "DATA" => {
                    self.say(lines.get_mut(), "354 Go ahead")?;
                    let mut letter = Vec::new();
                    loop {
                        let octets = line(&mut lines)?;
                        if octets.as_slice() == b".\r\n" {
                            break;
                        }
                        letter.extend(octets);
                    }
                    if let Manner::DropsAfterDot(count) = self.host.manner
                        && self.state.transactions.fetch_add(1, Ordering::Relaxed) < count
                    {
                        return Some(End::Over);
                    }
                    self.keep(&String::from_utf8_lossy(&letter));
                    self.say(lines.get_mut(), "250 2.0.0 Ok")?;
                }
                "RSET" | "NOOP" => self.say(lines.get_mut(), "250 2.0.0 Ok")?,
                "QUIT" => {
                    self.say(lines.get_mut(), "221 2.0.0 Bye")?;
                    return Some(End::Over);
                }
                _ => self.say(lines.get_mut(), "502 5.5.1 Not known here")?,
            }
        }
    }

    fn take_mail(&self) -> &'static str {
        if let Manner::Throttles(count) = self.host.manner
            && self.state.transactions.fetch_add(1, Ordering::Relaxed) < count
        {
            return "450 4.7.28 Our system has detected an unusual rate of mail";
        }
        if let Manner::Refuses(count, reply) = self.host.manner
            && self.state.transactions.fetch_add(1, Ordering::Relaxed) < count
        {
            return reply;
        }
        "250 2.1.0 Ok"
    }

    fn take_recipient(&mut self, line: &str) -> &'static str {
        if self.mail.is_empty() {
            return "503 5.5.1 MAIL first";
        }
        let to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let seen = || !self.state.greylist.lock().unwrap().insert(to.clone());
        if self.host.manner == Manner::Greylists && !seen() {
            return "451 4.7.1 Greylisted, try again in 2 seconds";
        }
        self.recipients.push(to);
        "250 2.1.5 Ok"
    }

    fn keep(&mut self, letter: &str) {
        let mut taken = self.state.taken.lock().unwrap();
        for to in self.recipients.drain(..) {
            let (mail, at) = (self.mail.clone(), Instant::now());
            let (encrypted, from) = (self.encrypted, self.from);
            taken.push(Taken { to, mail, at, encrypted, letter: letter.to_owned(), from });
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
