//! A connection as a [`Transport`], blocking, in clear text or TLS: for everything that listens.

#![allow(dead_code, reason = "shared by several test programs, each of which needs a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::player::{Ended, Transport};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

/// What was admitted behind the wire: content, and the envelope if it can be known.
pub(crate) type Admitted = Box<dyn FnMut() -> Option<(Vec<u8>, Option<String>)>>;

/// A client's end of a connection.
pub(crate) struct Wire {
    stream: Stream,
    heard: Vec<u8>,
    closed: bool,
    unread: Option<String>,
    admitted: Admitted,
    /// Fields are put in front of messages behind the wire.
    fields_added: bool,
}

impl Wire {
    /// Connects; `tls`: TLS comes first.
    pub(crate) fn connect(address: SocketAddr, tls: bool, admitted: Admitted) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self {
            stream: Stream::Plain(stream),
            heard: Vec::new(),
            closed: false,
            unread: None,
            admitted,
            fields_added: false,
        };
        if tls {
            wire.shake_hands();
        }
        wire
    }

    /// As [`Wire::connect`], to something that adds fields to messages.
    pub(crate) fn adding_fields(mut self) -> Self {
        self.fields_added = true;
        self
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer)?,
            Stream::Tls(stream) => stream.read(&mut buffer)?,
            Stream::Gone => 0,
        };
        self.heard.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn buffered_line(&mut self) -> Option<String> {
        if let Some(line) = self.unread.take() {
            return Some(line);
        }
        let end = self.heard.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8(self.heard[..end].to_vec()).unwrap();
        self.heard.drain(..end + 2);
        Some(line)
    }
}

impl Transport for Wire {
    fn send(&mut self, octets: &[u8]) {
        // A peer that has closed cannot be written to; its last words are what counts.
        let _ = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(octets),
            Stream::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
            Stream::Gone => Ok(()),
        };
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.buffered_line() {
                return Some(line);
            }
            if self.closed || !matches!(self.read(), Ok(1..)) {
                self.closed = true;
                return None;
            }
        }
    }

    fn unmet(&mut self) -> Option<String> {
        self.buffered_line()
    }

    fn same(&self, admitted: &[u8], expected: &[u8]) -> bool {
        // A message without a body gets the empty line that ends its header.
        let ends = |text: &[u8]| text.ends_with(expected);
        let headed = || admitted.strip_suffix(b"\r\n").is_some_and(ends);
        if self.fields_added { ends(admitted) || headed() } else { admitted == expected }
    }

    fn shake_hands(&mut self) {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            panic!("TLS is on already");
        };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer))
            .with_no_client_auth();
        let name = ServerName::try_from("gw.example.org").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, stream)));
    }

    fn vanish(&mut self) {
        let stream = match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &mut stream.sock,
            Stream::Gone => return,
        };
        let _ = stream.shutdown(Shutdown::Write);
    }

    fn admitted(&mut self) -> Option<(Vec<u8>, Option<String>)> {
        // `M:` lines may stand before the reply that follows them: the message is on its way.
        let started = std::time::Instant::now();
        loop {
            let admitted = (self.admitted)();
            if admitted.is_some() || started.elapsed() > PATIENCE {
                return admitted;
            }
            std::thread::yield_now();
        }
    }

    fn left_over(&mut self) -> bool {
        (self.admitted)().is_some()
    }

    fn ended(&mut self) -> Ended {
        while !self.closed {
            match self.read() {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ended::Open,
                Ok(0) | Err(_) => self.closed = true,
            }
        }
        Ended::Closed
    }

    fn pass(&mut self, _: u64) {
        panic!("no transcript with T: can be played here");
    }

    fn script(&mut self, kind: &str, reply: &str) {
        assert_eq!(kind, "unread", "no transcript with V: can be played here");
        self.unread = Some(reply.to_owned());
    }
}

/// Certificates are not what transcripts are about.
#[derive(Debug)]
pub(crate) struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
