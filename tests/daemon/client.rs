//! A blocking SMTP client that says exactly what it is told to, in clear text or TLS, with or
//! without a certificate.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::wire::AnyServer;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A certificate of a client.
#[derive(Clone)]
pub(crate) struct Identity {
    certificate: String,
    key: String,
    /// SHA-256 of its public key, as the configuration wants it.
    pub(crate) spki_sha256: String,
}

impl Identity {
    /// A new one, signed by itself.
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["client.example.org".to_owned()];
        let made = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let spki =
            postern::smtp::sasl::sha256(&rcgen::PublicKeyData::subject_public_key_info(&key));
        let hex: Vec<String> = spki.iter().map(|octet| format!("{octet:02x}")).collect();
        let spki_sha256 = hex.concat();
        Self { certificate: made.pem(), key: key.serialize_pem(), spki_sha256 }
    }
}

/// A client's end of a connection.
pub(crate) struct Client {
    stream: Option<Stream>,
    heard: Vec<u8>,
}

impl Client {
    /// Connects and says nothing.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Some(Stream::Plain(stream)), heard: Vec::new() }
    }

    /// TLS from here on.
    pub(crate) fn shake_hands(&mut self, identity: Option<&Identity>) {
        let Some(Stream::Plain(stream)) = self.stream.take() else { panic!("TLS is on already") };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let chain =
                    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        let name = ServerName::try_from("gw.example.org").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        self.stream = Some(Stream::Tls(Box::new(StreamOwned::new(connection, stream))));
    }

    /// TLS from the first octet; greeting and EHLO are done.
    pub(crate) fn secure(address: SocketAddr) -> Self {
        Self::secure_as(address, None)
    }

    /// As [`Self::secure`], with a certificate.
    pub(crate) fn secure_as(address: SocketAddr, identity: Option<&Identity>) -> Self {
        let mut client = Self::connect(address);
        client.shake_hands(identity);
        client.greet();
        client
    }

    /// Clear text; greeting and EHLO are done.
    pub(crate) fn clear(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.greet();
        client
    }

    fn greet(&mut self) {
        let greeting = self.reply();
        assert!(greeting.starts_with("220 "), "{greeting}");
        let reply = self.say("EHLO client.example.org");
        assert!(reply.starts_with("250"), "{reply}");
    }

    /// What the gateway has shown as its certificate.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let Some(Stream::Tls(stream)) = &self.stream else { panic!("no TLS") };
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// AUTH PLAIN; returns the reply.
    pub(crate) fn authenticate(&mut self, user: &str, password: &str) -> String {
        let credentials = STANDARD.encode(format!("\0{user}\0{password}"));
        self.say(&format!("AUTH PLAIN {credentials}"))
    }

    /// Sends octets as they are.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        // A peer that has closed cannot be written to; its last words are what counts.
        let _ = match self.stream.as_mut().unwrap() {
            Stream::Plain(stream) => stream.write_all(octets),
            Stream::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
        };
    }

    /// Sends a line and returns the reply to it.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// The last line of the next reply; empty when the connection has ended.
    pub(crate) fn reply(&mut self) -> String {
        while let Some(line) = self.line() {
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
        String::new()
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.heard.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.heard[..end]).into_owned();
                self.heard.drain(..end + 2);
                return Some(line);
            }
            let mut buffer = [0; 4096];
            match self.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing was said in {PATIENCE:?}");
                }
                Err(_) => return None,
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.as_mut().unwrap() {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    /// One transaction with pipelined commands; the reply that decided it.
    pub(crate) fn submit(&mut self, reverse_path: &str, to: &[&str], content: &[u8]) -> String {
        let reply = self.say(&format!("MAIL FROM:<{reverse_path}>"));
        if !reply.starts_with("250") {
            return reply;
        }
        for recipient in to {
            let reply = self.say(&format!("RCPT TO:<{recipient}>"));
            if !reply.starts_with("250") {
                self.say("RSET");
                return reply;
            }
        }
        let reply = self.say("DATA");
        if !reply.starts_with("354") {
            return reply;
        }
        self.send(content);
        self.send(b"\r\n.\r\n");
        self.reply()
    }

    /// A plain message from `a@example.org`; returns its queue id.
    pub(crate) fn post(&mut self, to: &[&str]) -> String {
        let reply = self.submit("a@example.org", to, LETTER);
        queue_id(&reply)
    }
}

/// A plain message from `a@example.org`, without its last line ending.
pub(crate) const LETTER: &[u8] = b"From: <a@example.org>\r\nSubject: a letter\r\n\r\nHello.";

/// The queue id in the reply to DATA.
pub(crate) fn queue_id(reply: &str) -> String {
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let id = reply.split_whitespace().find(|word| word.len() == 26);
    id.unwrap_or_else(|| panic!("no id in {reply}")).to_owned()
}
