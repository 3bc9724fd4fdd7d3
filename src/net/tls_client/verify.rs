//! The verifier of one handshake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::dane;
use crate::mail::trust::Tlsa;

/// What a host must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing.
    Nothing,
    /// The Web's authorities, or those of the site, vouch for a certificate that is valid for one
    /// of these names (RFC 6125 DNS-ID, RFC 8461 4.1).
    WebPki {
        /// The names.
        names: Vec<String>,
    },
    /// One of these records is right (RFC 7672).
    Dane {
        /// The records, as they were published; unusable ones are passed over. If none is usable
        /// the handshake fails: to ask for less is for the caller to decide.
        records: Vec<Tlsa>,
        /// The names one of which the certificate must be for, where a record leaves the choice to
        /// an authority: base domain, next-hop domain (RFC 7672 3.2.2).
        names: Vec<String>,
    },
}

#[derive(Debug)]
pub(super) struct Verifier {
    /// The host, for the fact.
    host: String,
    verify: Verify,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Authorities vouch for the certificate and the name of the host.
    vouched: AtomicBool,
    /// The host has the key of the certificate.
    proved: AtomicBool,
}

impl Verifier {
    pub(super) fn new(
        host: &str,
        verify: &Verify,
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let verify = match verify {
            Verify::Dane { records, names } => {
                Verify::Dane { records: dane::usable(records), names: names.clone() }
            }
            other => other.clone(),
        };
        let (vouched, proved) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { host: host.to_owned(), verify, roots, algorithms, vouched, proved }
    }

    /// Whether the host has proved its name before the Web's authorities.
    pub(super) fn is_verified(&self) -> bool {
        self.vouched.load(Ordering::Relaxed) && self.proved.load(Ordering::Relaxed)
    }

    fn web(&self, shown: &Shown<'_>, names: &[String], roots: &RootCertStore) -> Result<(), Error> {
        let leaf = ParsedCertificate::try_from(shown.leaf)?;
        self.chain(&leaf, shown, roots)?;
        any_name(&leaf, names)
    }

    fn chain(
        &self,
        leaf: &ParsedCertificate<'_>,
        shown: &Shown<'_>,
        roots: &RootCertStore,
    ) -> Result<(), Error> {
        verify_server_cert_signed_by_trust_anchor(
            leaf,
            roots,
            shown.above,
            shown.now,
            self.algorithms.all,
        )
    }

    fn dane(&self, shown: &Shown<'_>, records: &[Tlsa], names: &[String]) -> Result<(), Error> {
        if dane::names_leaf(records, shown.leaf) {
            return Ok(());
        }
        let roots = RootCertStore { roots: dane::anchors(records, shown.leaf, shown.above) };
        if roots.is_empty() {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let leaf = ParsedCertificate::try_from(shown.leaf)?;
        self.chain(&leaf, shown, &roots).map_err(|error| match error {
            // An authority that a record names, and none of its certificates: the record is wrong.
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            ) => CertificateError::ApplicationVerificationFailure.into(),
            error => error,
        })?;
        dane::check_names(shown.leaf, names).map_err(Error::from)
    }

    /// What a signature of the handshake says: proof where somebody asked for it, else a fact.
    fn key(
        &self,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proved.store(checked.is_ok(), Ordering::Relaxed);
        match self.verify {
            Verify::Nothing => Ok(HandshakeSignatureValid::assertion()),
            _ => checked,
        }
    }

    /// DANE-EE takes certificates that the Web's rules do not know, version 1 above all; their key
    /// is to be proved all the same.
    fn takes_any_form(&self) -> bool {
        matches!(self.verify, Verify::Dane { .. })
    }
}

/// What the host showed, and when.
struct Shown<'a> {
    leaf: &'a CertificateDer<'a>,
    above: &'a [CertificateDer<'a>],
    now: UnixTime,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Shown { leaf, above, now };
        let host = std::slice::from_ref(&self.host);
        self.vouched.store(self.web(&shown, host, &self.roots).is_ok(), Ordering::Relaxed);
        match &self.verify {
            Verify::Nothing => {}
            Verify::WebPki { names } => self.web(&shown, names, &self.roots)?,
            Verify::Dane { records, names } => self.dane(&shown, records, names)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let plain = ParsedCertificate::try_from(certificate).is_ok();
        self.key(if plain || !self.takes_any_form() {
            verify_tls12_signature(message, certificate, signature, &self.algorithms)
        } else {
            verify_tls12_with_key(message, certificate, signature, &self.algorithms)
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let plain = ParsedCertificate::try_from(certificate).is_ok();
        self.key(if plain || !self.takes_any_form() {
            verify_tls13_signature(message, certificate, signature, &self.algorithms)
        } else {
            let key = key_of(certificate)?;
            let key = SubjectPublicKeyInfoDer::from(key.raw);
            verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn any_name(leaf: &ParsedCertificate<'_>, names: &[String]) -> Result<(), Error> {
    let mut error = CertificateError::NotValidForName.into();
    for name in names {
        let Ok(name) = ServerName::try_from(name.trim_end_matches('.')) else { continue };
        match verify_server_name(leaf, &name) {
            Ok(()) => return Ok(()),
            Err(other) => error = other,
        }
    }
    Err(error)
}

/// A public key as it stands in a certificate.
struct Key<'a> {
    raw: &'a [u8],
    algorithm: &'a [u8],
    bits: &'a [u8],
}

fn key_of<'a>(certificate: &'a CertificateDer<'_>) -> Result<Key<'a>, Error> {
    let bad = || Error::from(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| bad())?;
    let raw = parsed.tbs_certificate.subject_pki.raw;
    let (rest, algorithm) = Any::from_der(dane::inside(raw).ok_or_else(bad)?).map_err(|_| bad())?;
    // The first octet of a BIT STRING counts its unused bits.
    let bits = dane::inside(rest).and_then(|bits| bits.strip_prefix(&[0])).ok_or_else(bad)?;
    Ok(Key { raw, algorithm: algorithm.data, bits })
}

/// `rustls::crypto::verify_tls12_signature` for a certificate of any form.
fn verify_tls12_with_key(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = key_of(certificate)?;
    let possible = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
    let fitting = possible.iter().flat_map(|(_, algorithms)| algorithms.iter());
    let mut fitting = fitting.filter(|known| known.public_key_alg_id().as_ref() == key.algorithm);
    if fitting.any(|known| known.verify_signature(key.bits, message, signature.signature()).is_ok())
    {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}
