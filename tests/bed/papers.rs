//! Certificates of the Internet's hosts: good, of another name, expired, and vouched for by nobody.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData as _};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paper {
    /// Nothing.
    Good,
    /// It is for another name.
    OtherName,
    /// It is over.
    Expired,
    /// It is signed by itself.
    Own,
}

/// What a host shows.
pub(crate) struct Shown {
    pub(crate) server: Arc<ServerConfig>,
    /// SHA-256 of its public key, in hexadecimal: TLSA 3 1 1.
    pub(crate) spki_sha256: String,
    /// PEM of certificate and key.
    pub(crate) pem: (String, String),
}

/// An authority that the gateway is told to trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its certificate.
    pub(crate) pem: String,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "The bed's authority");
        let made = params.self_signed(&key).unwrap();
        let (certificate, pem) = (made.der().clone(), made.pem());
        Self { issuer: Issuer::new(params, key), certificate, pem }
    }

    /// A certificate for `names`.
    pub(crate) fn paper(&self, names: &[&str], paper: Paper) -> Shown {
        let key = KeyPair::generate().unwrap();
        let names = if paper == Paper::OtherName { &["elsewhere.test"][..] } else { names };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if paper == Paper::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 12, 31);
        }
        let made = match paper {
            Paper::Own => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        let spki = postern::smtp::sasl::sha256(&key.subject_public_key_info());
        let octets: Vec<String> = spki.iter().map(|octet| format!("{octet:02x}")).collect();
        let spki_sha256 = octets.concat();
        let pem = (made.pem(), key.serialize_pem());
        let chain = vec![made.der().clone()];
        let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .unwrap();
        Shown { server: Arc::new(server), spki_sha256, pem }
    }

    /// What an application needs to speak to a gateway with our certificate.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}
