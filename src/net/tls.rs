//! TLS of the listeners: certificate, client certificates, facts of a session.
//!
//! A client may show any certificate: the handshake proves that it holds the key, and nothing
//! more. Who that key belongs to is for `source/` to say, by the hash of its public key.
//!
//! **Invariant:** TLS 1.2 at least, aws-lc as the only provider, no early data.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ServerConnection;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion, ServerConfig, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
pub use tokio_rustls::TlsAcceptor;
pub use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::base::fault::Fault;
use crate::config::checked::TlsFiles;
use crate::smtp::sasl::sha256;
use crate::smtp::server::TlsFacts;

/// Certificate and key of the listeners; a reload swaps them without touching a session.
#[derive(Debug)]
pub struct ServerTls {
    config: ArcSwap<ServerConfig>,
}

impl ServerTls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// A file that cannot be read, is no PEM, or a key that does not fit the certificate.
    pub fn load(files: &TlsFiles) -> Result<Self, Fault> {
        Ok(Self { config: ArcSwap::from_pointee(read(files)?) })
    }

    /// Reads certificate and key again. Sessions in TLS keep what they have.
    ///
    /// # Errors
    /// As [`ServerTls::load`]; the old certificate stays in force.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), Fault> {
        self.config.store(Arc::new(read(files)?));
        Ok(())
    }

    /// What the next handshake uses.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

/// The facts of a handshake that is done.
#[must_use]
pub fn facts(connection: &ServerConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    // rustls marks the suites of TLS 1.3 in a way of its own; the registry's names do not.
    let suite = suite.unwrap_or("unknown").replace("TLS13_", "TLS_");
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    TlsFacts {
        version: version.into(),
        suite: suite.into(),
        client_spki_sha256: certificate.and_then(spki_sha256),
    }
}

/// SHA-256 of the `SubjectPublicKeyInfo` in lower-case hexadecimal (as RFC 7469 2.4 hashes it).
#[must_use]
pub fn spki_sha256(certificate: &CertificateDer<'_>) -> Option<Box<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut text = String::with_capacity(64);
    for octet in sha256(certificate.public_key().raw) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    Some(text.into())
}

/// 32 octets of chance from the system, for what an attacker must not foresee; none if the system
/// has none, and then nothing that needs it may go on.
#[must_use]
pub fn fresh_secret() -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    ::aws_lc_rs::rand::fill(&mut secret).ok()?;
    Some(secret)
}

fn read(files: &TlsFiles) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = read_chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| Fault::new("reading the key", files.key.display(), error))?;
    let fault = |error| Fault::new("using the certificate", files.certificate.display(), error);
    let verifier = Arc::new(AnyCertificate { provider: provider.clone() });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(fault)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(fault)?;
    // Tickets instead of a session cache: resumption costs no memory of ours.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(fault)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let fault = |error| Fault::new("reading the certificate", path.display(), error);
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(fault)?;
    if chain.is_empty() {
        return Err(Fault::new("reading the certificate", path.display(), "it holds none"));
    }
    Ok(chain)
}

/// Asks for a client certificate, takes any, and checks only that the client has its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyCertificate {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
