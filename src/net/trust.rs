//! A TLS connection that trusts exactly one certificate authority file: for our own clients (the
//! demonstration's probe), never for delivery.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::fault::Fault;

/// Connects to `address` with TLS from the first octet and verifies `name` against `ca_pem`.
///
/// # Errors
/// If the file holds no certificate, the connection fails, or the certificate is not trusted.
pub async fn connect(
    address: SocketAddr,
    name: &str,
    ca_pem: &[u8],
) -> Result<TlsStream<TcpStream>, Fault> {
    let fault = |cause: String| Fault::new("connecting with TLS to", address, cause);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|e| fault(e.to_string()))?;
        roots.add(certificate).map_err(|e| fault(e.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| fault(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|e| fault(e.to_string()))?;
    let stream = TcpStream::connect(address).await.map_err(|e| fault(e.to_string()))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|e| fault(e.to_string()))
}
