//! TLS towards other hosts: post-quantum first, with memory, and as strict as the caller asks.
//!
//! Opportunistic TLS knows no name that a certificate could prove (RFC 3207 4.1), so every
//! certificate is taken; a check that can only fail for honest old hosts (X.509 v1, RSA-1024)
//! protects nobody. Whether the certificate *would* have passed is told as a fact. Where a policy
//! asks for more, [`Verify`] says what. After a failed handshake nothing is sent in clear text.
//!
//! **Invariant:** TLS 1.2 at least, aws-lc as the only provider. No session is resumed: every
//! handshake shows a certificate and proves its key.

mod dane;
mod failure;
mod verify;
mod wire;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::fault::Fault;
use crate::base::time::Instant;
pub use dane::usable;
pub use failure::TlsFailure;
use verify::Verifier;
pub use verify::Verify;
pub use wire::Wire;

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
    post_quantum: ClientConfig,
    classical: ClientConfig,
    algorithms: WebPkiSupportedAlgorithms,
    roots: ArcSwap<RootCertStore>,
    stepped_back: Mutex<HashMap<String, Instant>>,
}

/// A handshake that is done.
#[derive(Debug)]
pub struct Secured {
    /// The connection.
    pub stream: Box<TlsStream<TcpStream>>,
    /// The host proved the key of a certificate that is valid for its name and that the Web's (or
    /// the site's) authorities vouch for. A fact beside what was asked for: where nothing was,
    /// nothing was decided by it.
    pub verified: bool,
}

impl TlsClient {
    /// Builds the configurations. `site_roots` is PEM of authorities that are trusted beside those
    /// of the Web.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate; or the cryptographic provider lacks TLS
    /// 1.2 or 1.3, which would be a mistake of the build.
    pub fn new(site_roots: Option<&Path>) -> Result<Self, Fault> {
        let full = aws_lc_rs::default_provider();
        let algorithms = full.signature_verification_algorithms;
        let mut classical = full.clone();
        classical.kx_groups.retain(|group| !is_post_quantum(group.name()));
        Ok(Self {
            post_quantum: config(full, algorithms)?,
            classical: config(classical, algorithms)?,
            algorithms,
            roots: ArcSwap::from_pointee(roots(site_roots)?),
            stepped_back: Mutex::default(),
        })
    }

    /// Reads the authorities of the site again, after a reload.
    ///
    /// # Errors
    /// As [`TlsClient::new`]; the old ones stay in force.
    pub fn reload(&self, site_roots: Option<&Path>) -> Result<(), Fault> {
        self.roots.store(Arc::new(roots(site_roots)?));
        Ok(())
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

    /// The handshake with a host that is told `sni` (for DANE the base domain of the TLSA records,
    /// RFC 7672 8.1; else the name of the host). The caller sets the time limit.
    ///
    /// # Errors
    /// The peer broke off, does not speak our TLS, or is not who `verify` asks for.
    pub async fn connect(
        &self,
        sni: &str,
        rung: Rung,
        verify: &Verify,
        stream: TcpStream,
    ) -> Result<Secured, TlsFailure> {
        let mut config = match rung {
            Rung::PostQuantum => self.post_quantum.clone(),
            Rung::Classical => self.classical.clone(),
        };
        let verifier = Verifier::new(sni, verify, self.roots.load_full(), self.algorithms);
        let verifier = Arc::new(verifier);
        config.dangerous().set_certificate_verifier(verifier.clone());
        // A name that is none is never shown; what is to be proved stands in `verify`.
        let name = if let Ok(name) = ServerName::try_from(sni.to_owned()) {
            name
        } else {
            let peer = stream.peer_addr().map_err(|error| TlsFailure::from(&error))?;
            ServerName::IpAddress(peer.ip().into())
        };
        let connector = TlsConnector::from(Arc::new(config));
        match connector.connect(name, stream).await {
            Ok(stream) => {
                Ok(Secured { stream: Box::new(stream), verified: verifier.is_verified() })
            }
            Err(error) => Err(TlsFailure::from(&error)),
        }
    }
}

impl TlsClient {
    /// Whether the certificates that `host` has shown on `wire` would meet `verify`.
    ///
    /// # Errors
    /// They would not, and why.
    pub fn would_meet(&self, host: &str, verify: &Verify, wire: &Wire) -> Result<(), TlsFailure> {
        let verifier = Verifier::new(host, verify, self.roots.load_full(), self.algorithms);
        let failure = |error: rustls::Error| TlsFailure::from(&error);
        let Some((leaf, above)) = wire.shown().split_first() else {
            return Err(failure(rustls::Error::NoCertificatesPresented));
        };
        let name = ServerName::try_from(host.to_owned())
            .unwrap_or_else(|_| ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()));
        let met = verifier.verify_server_cert(leaf, above, &name, &[], UnixTime::now());
        met.map(|_| ()).map_err(failure)
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

/// A configuration whose verifier is replaced for each connection.
fn config(
    provider: CryptoProvider,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<ClientConfig, Fault> {
    let none = Arc::new(RootCertStore::empty());
    let nobody = Verifier::new("", &Verify::WebPki { names: Vec::new() }, none, algorithms);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::new("building", "the TLS client", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(nobody))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The Web's authorities and those of the site.
fn roots(site: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(path) = site else { return Ok(roots) };
    let fault = |cause: String| Fault::new("reading certificates of", path.display(), cause);
    let mut any = false;
    let pem = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    for certificate in pem {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
        any = true;
    }
    if any { Ok(roots) } else { Err(fault("there is no certificate in it".to_owned())) }
}
