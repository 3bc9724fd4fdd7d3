//! Certificates of every kind, and a server that shows them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine as _;
use postern::mail::trust::Tlsa;
use postern::net::tls_client::{Rung, TlsClient, TlsFailure, Verify};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The name of the host.
pub(crate) const HOST: &str = "mx.example.net";

/// An authority, with its own certificate.
pub(crate) struct Authority {
    pub(crate) certificate: CertificateDer<'static>,
    pem: String,
    params: CertificateParams,
    key: KeyPair,
}

/// What a server shows: certificates, leaf first, and the key that it really has.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Authority {
    /// A root.
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Self { certificate, pem, params, key }
    }

    /// An authority below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Self { certificate, pem, params, key }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A certificate for a host, shown together with this authority's own.
    pub(crate) fn issue(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer()).unwrap().der().clone();
        Shown { chain: vec![leaf, self.certificate.clone()], key: key.serialize_der() }
    }

    /// A file with its certificate.
    pub(crate) fn file(&self, folder: &TempDir) -> PathBuf {
        let path = folder.path().join("roots.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }
}

impl Shown {
    /// A certificate that vouches for itself.
    pub(crate) fn itself(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let leaf = params.self_signed(&key).unwrap().der().clone();
        Self { chain: vec![leaf], key: key.serialize_der() }
    }

    /// The same certificates in the hands of somebody without their key.
    pub(crate) fn stolen(&self) -> Self {
        Self { key: KeyPair::generate().unwrap().serialize_der(), ..self.clone() }
    }

    /// `chain.pem` and `key.pem`.
    pub(crate) fn write(&self, folder: &std::path::Path) {
        let block = |label: &str, der: &[u8]| {
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
        };
        let chain: String = self.chain.iter().map(|der| block("CERTIFICATE", der)).collect();
        std::fs::write(folder.join("chain.pem"), chain).unwrap();
        std::fs::write(folder.join("key.pem"), block("PRIVATE KEY", &self.key)).unwrap();
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let key = provider::sign::any_supported_type(&key).unwrap();
        Arc::new(CertifiedKey::new(self.chain.clone(), key))
    }
}

/// A certificate for these names, valid today.
pub(crate) fn good(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// The same, of long ago.
pub(crate) fn expired(names: &[&str]) -> CertificateParams {
    let mut params = good(names);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    params
}

/// The same, of days to come.
pub(crate) fn early(names: &[&str]) -> CertificateParams {
    let mut params = good(names);
    (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
    params
}

/// The name stands where names stood before there were alternative ones.
pub(crate) fn old_style(name: &str) -> CertificateParams {
    let mut params = good(&[]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A record for a certificate.
pub(crate) fn record(usage: u8, selector: u8, matching: u8, certificate: &[u8]) -> Tlsa {
    let key = || {
        use x509_parser::prelude::{FromDer as _, X509Certificate};
        let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
        parsed.tbs_certificate.subject_pki.raw.to_vec()
    };
    let selected = if selector == 1 { key() } else { certificate.to_vec() };
    let data = match matching {
        1 => digest(&SHA256, &selected).as_ref().to_vec(),
        2 => digest(&SHA512, &selected).as_ref().to_vec(),
        _ => selected,
    };
    Tlsa { usage, selector, matching, data }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// What a server accepts with.
pub(crate) fn acceptor(
    shown: &Shown,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsAcceptor {
    let provider = Arc::new(provider::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(shown.certified())));
    TlsAcceptor::from(Arc::new(config))
}

/// A handshake with a server on loopback that shows these certificates, by both versions of TLS,
/// which must agree; whether the Web's authorities would vouch too.
pub(crate) async fn shake(
    client: &TlsClient,
    shown: &Shown,
    verify: &Verify,
) -> Result<bool, TlsFailure> {
    let mut outcomes = Vec::new();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let acceptor = acceptor(shown, &[version]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that refuses us ends the handshake.
            let mut stream = acceptor.accept(stream).await.ok()?;
            let octet = stream.read_u8().await.ok()?;
            stream.write_u8(octet).await.ok()
        });
        outcomes.push(talk(client, address, verify).await);
        tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap();
    }
    let word = |outcome: &Result<bool, TlsFailure>| {
        outcome.as_ref().map_err(TlsFailure::result_type).copied()
    };
    assert_eq!(word(&outcomes[0]), word(&outcomes[1]), "{outcomes:?}");
    outcomes.remove(0)
}

/// One handshake and one octet there and back.
pub(crate) async fn talk(
    client: &TlsClient,
    address: SocketAddr,
    verify: &Verify,
) -> Result<bool, TlsFailure> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut secured = client.connect(HOST, Rung::PostQuantum, verify, stream).await?;
    secured.stream.write_u8(7).await.unwrap();
    secured.stream.flush().await.unwrap();
    assert_eq!(secured.stream.read_u8().await.unwrap(), 7);
    Ok(secured.verified)
}
