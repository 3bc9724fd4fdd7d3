//! A scripted host: each connection plays a list of steps, the last list again and again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a host does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these octets.
    Say(Vec<u8>),
    /// Reads a line, which begins with this word, then sends.
    Answer(&'static str, Vec<u8>),
    /// Reads content up to the final dot.
    Content,
    /// Reads this many octets.
    Take(usize),
    /// Begins TLS.
    Tls,
    /// Does nothing for a long time.
    Hang,
    /// Sends the octets again and again, with a pause between.
    Endless(Vec<u8>, Duration),
    /// Answers any number of whole transactions.
    Serve,
    /// Closes with RST.
    Reset,
}

pub(crate) fn say(text: &str) -> Step {
    Step::Say(text.as_bytes().to_vec())
}

pub(crate) fn answer(verb: &'static str, text: &str) -> Step {
    Step::Answer(verb, text.as_bytes().to_vec())
}

pub(crate) const GREETING: &str = "220 mx.there.example ESMTP\r\n";
pub(crate) const EHLO: &str = "250-mx.there.example\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n\
                        250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n";

/// Greeting and EHLO of an ordinary host.
pub(crate) fn opening() -> Vec<Step> {
    vec![say(GREETING), answer("EHLO", EHLO)]
}

/// An ordinary opening and then these steps.
pub(crate) fn after_opening(steps: Vec<Step>) -> Vec<Step> {
    let mut all = opening();
    all.extend(steps);
    all
}

/// A running host.
pub(crate) struct Peer {
    pub(crate) port: u16,
    /// What each connection has heard.
    pub(crate) heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Peer {
    /// A host at `address` (port 0: a free one) whose connections play `scripts` in turn.
    pub(crate) async fn start(address: &str, port: u16, scripts: Vec<Vec<Step>>) -> Self {
        Self::secured(address, port, scripts, acceptor()).await
    }

    /// The same with a certificate of its own.
    pub(crate) async fn secured(
        address: &str,
        port: u16,
        scripts: Vec<Vec<Step>>,
        acceptor: TlsAcceptor,
    ) -> Self {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let script = scripts[number.min(scripts.len() - 1)].clone();
                ears.lock().unwrap().push(Vec::new());
                let (ears, acceptor) = (Arc::clone(&ears), acceptor.clone());
                tokio::spawn(async move { play(stream, script, &ears, number, acceptor).await });
            }
        });
        Self { port, heard }
    }

    pub(crate) fn connections(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// Everything that connection `number` has heard.
    pub(crate) fn transcript(&self, number: usize) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()[number]).into_owned()
    }
}

/// Plays the clear part, then the encrypted one.
async fn play(
    mut stream: TcpStream,
    script: Vec<Step>,
    heard: &Mutex<Vec<Vec<u8>>>,
    number: usize,
    acceptor: TlsAcceptor,
) -> Option<()> {
    let split = script.iter().position(|step| matches!(step, Step::Tls));
    let (clear, rest) = script.split_at(split.unwrap_or(script.len()));
    let mut ears = Ears { heard, number, buffer: Vec::new() };
    for step in clear {
        if matches!(step, Step::Reset) {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok()?;
            return None;
        }
        ears.step(&mut stream, step).await?;
    }
    if rest.is_empty() {
        return Some(());
    }
    let mut stream = acceptor.accept(stream).await.ok()?;
    for step in &rest[1..] {
        ears.step(&mut stream, step).await?;
    }
    stream.shutdown().await.ok()
}

struct Ears<'a> {
    heard: &'a Mutex<Vec<Vec<u8>>>,
    number: usize,
    buffer: Vec<u8>,
}

impl Ears<'_> {
    async fn step<S>(&mut self, stream: &mut S, step: &Step) -> Option<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match step {
            Step::Say(octets) => stream.write_all(octets).await.ok(),
            Step::Answer(verb, octets) => {
                let line = self.until(stream, b"\r\n").await?;
                assert!(line.starts_with(verb.as_bytes()), "{verb}: {line:?}");
                stream.write_all(octets).await.ok()
            }
            Step::Content => self.content(stream).await,
            Step::Take(octets) => {
                while self.buffer.len() < *octets {
                    self.more(stream).await?;
                }
                self.buffer.drain(..*octets);
                Some(())
            }
            Step::Hang => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                None
            }
            Step::Endless(octets, pause) => loop {
                stream.write_all(octets).await.ok()?;
                tokio::time::sleep(*pause).await;
            },
            Step::Serve => self.serve(stream).await,
            Step::Tls | Step::Reset => None,
        }
    }

    /// Content ends with a dot alone on a line, which may be the first.
    async fn content<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Option<()> {
        while self.buffer.len() < 3 {
            self.more(stream).await?;
        }
        if self.buffer.starts_with(b".\r\n") {
            self.buffer.drain(..3);
            return Some(());
        }
        self.until(stream, b"\r\n.\r\n").await.map(drop)
    }

    async fn serve<S>(&mut self, stream: &mut S) -> Option<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let line = self.until(stream, b"\r\n").await?;
            let reply: &[u8] = match &line[..4] {
                b"DATA" => {
                    stream.write_all(b"354 go\r\n").await.ok()?;
                    self.content(stream).await?;
                    b"250 2.0.0 taken\r\n"
                }
                b"QUIT" => {
                    stream.write_all(b"221 2.0.0 bye\r\n").await.ok()?;
                    return None;
                }
                _ => b"250 2.1.0 ok\r\n",
            };
            stream.write_all(reply).await.ok()?;
        }
    }

    /// Reads up to and including `end`.
    async fn until<S: AsyncRead + Unpin>(&mut self, stream: &mut S, end: &[u8]) -> Option<Vec<u8>> {
        let mut seen = 0;
        loop {
            let mut fresh = self.buffer[seen..].windows(end.len());
            if let Some(at) = fresh.position(|window| window == end) {
                return Some(self.buffer.drain(..seen + at + end.len()).collect());
            }
            seen = self.buffer.len().saturating_sub(end.len() - 1);
            self.more(stream).await?;
        }
    }

    async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Option<()> {
        let mut octets = [0; 4096];
        let count = stream.read(&mut octets).await.ok().filter(|count| *count > 0)?;
        self.buffer.extend_from_slice(&octets[..count]);
        self.heard.lock().unwrap()[self.number].extend_from_slice(&octets[..count]);
        Some(())
    }
}

fn acceptor() -> TlsAcceptor {
    let certified = rcgen::generate_simple_self_signed(["mx.there.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
