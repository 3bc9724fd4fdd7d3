//! TLS towards other hosts: opportunistic, post-quantum first, with memory.
//!
//! Opportunistic TLS knows no name that a certificate could prove (RFC 3207 4.1), so every
//! certificate is taken; a check that can only fail for honest old hosts (X.509 v1, RSA-1024)
//! protects nobody. What it does promise: after a failed handshake nothing is sent in clear text.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::fault::Fault;
use crate::base::time::Instant;

/// Hosts whose step back is remembered.
const MEMORY_HOSTS_MAX: usize = 4096;

/// How long a step back is remembered; then the host gets another chance.
const MEMORY_SPAN: Duration = Duration::from_secs(86_400);

/// Which key exchange is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// X25519MLKEM768 first: 1.5 KB of `ClientHello`.
    PostQuantum,
    /// Classical groups only, for hosts that hang on a `ClientHello` of two segments.
    Classical,
}

/// Configurations and memory for outbound TLS.
#[derive(Debug)]
pub struct TlsClient {
    post_quantum: Arc<ClientConfig>,
    classical: Arc<ClientConfig>,
    stepped_back: Mutex<HashMap<String, Instant>>,
}

impl TlsClient {
    /// Builds both configurations.
    ///
    /// # Errors
    /// The cryptographic provider lacks TLS 1.2 or 1.3, which would be a mistake of the build.
    pub fn new() -> Result<Self, Fault> {
        let full = aws_lc_rs::default_provider();
        let mut classical = full.clone();
        classical.kx_groups.retain(|group| !is_post_quantum(group.name()));
        Ok(Self {
            post_quantum: config(full)?,
            classical: config(classical)?,
            stepped_back: Mutex::default(),
        })
    }

    /// The rung for `host`.
    #[must_use]
    pub fn rung(&self, host: &str, now: Instant) -> Rung {
        let memory = self.stepped_back.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = memory.get(host).is_some_and(|since| now.since(*since) < MEMORY_SPAN);
        if fresh { Rung::Classical } else { Rung::PostQuantum }
    }

    /// Remembers that `host` broke off or hung at the post-quantum rung.
    pub fn step_back(&self, host: &str, now: Instant) {
        let mut memory = self.stepped_back.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= MEMORY_HOSTS_MAX {
            memory.retain(|_, since| now.since(*since) < MEMORY_SPAN);
        }
        if memory.len() < MEMORY_HOSTS_MAX {
            memory.insert(host.to_owned(), now);
        }
    }

    /// The handshake with `host`. The caller sets the time limit.
    ///
    /// # Errors
    /// The peer broke off or does not speak our TLS.
    pub async fn connect(
        &self,
        host: &str,
        rung: Rung,
        stream: TcpStream,
    ) -> io::Result<Box<TlsStream<TcpStream>>> {
        let config = match rung {
            Rung::PostQuantum => &self.post_quantum,
            Rung::Classical => &self.classical,
        };
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            // Nothing depends on the name: it is only shown to the host (SNI).
            Err(_) => ServerName::IpAddress(stream.peer_addr()?.ip().into()),
        };
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map(Box::new)
    }
}

fn is_post_quantum(group: NamedGroup) -> bool {
    matches!(
        group,
        NamedGroup::X25519MLKEM768
            | NamedGroup::secp256r1MLKEM768
            | NamedGroup::MLKEM512
            | NamedGroup::MLKEM768
            | NamedGroup::MLKEM1024
    )
}

fn config(provider: CryptoProvider) -> Result<Arc<ClientConfig>, Fault> {
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::new("building", "the TLS client", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate { schemes }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The verifier of opportunistic TLS. See the module for why it asks nothing.
#[derive(Debug)]
struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// A connection, in clear text or encrypted.
#[derive(Debug)]
pub enum Wire {
    /// As it came from the broker.
    Clear(TcpStream),
    /// After the handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// TLS version and suite, or `none`.
    #[must_use]
    pub fn tls(&self) -> String {
        let Self::Tls(stream) = self else { return "none".to_owned() };
        let (_, session) = stream.get_ref();
        match (session.protocol_version(), session.negotiated_cipher_suite()) {
            (Some(version), Some(suite)) => {
                let version = match version {
                    rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
                    _ => "TLSv1.2",
                };
                // rustls names the suites of TLS 1.3 with a number; everybody else does not.
                let suite = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
                format!("{version} {suite}")
            }
            _ => "none".to_owned(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
