//! What a certificate says, for people.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::base::time::WallTime;

/// Ed25519 (RFC 8410).
const ED25519: &str = "1.3.101.112";

/// Milliseconds of a day.
const DAY_MILLIS: i128 = 24 * 3600 * 1000;

/// A certificate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: WallTime,
    /// `ECDSA 256`, `RSA 2048`, `Ed25519`.
    pub key: String,
}

impl Paper {
    /// Reads a certificate; none: it is none.
    #[must_use]
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, found) = X509Certificate::from_der(certificate).ok()?;
        let names = found.subject_alternative_name().ok().flatten();
        let names = names.map_or_else(Vec::new, |names| {
            names.value.general_names.iter().filter_map(name).collect()
        });
        let not_after = found.validity().not_after.timestamp();
        Some(Self {
            subject: found.subject().to_string(),
            issuer: found.issuer().to_string(),
            names,
            not_after: WallTime(u64::try_from(not_after).unwrap_or(0).saturating_mul(1000)),
            key: key(&found),
        })
    }

    /// Days that are left at `now`; below zero: since so many days it is over.
    #[must_use]
    pub fn days_left(&self, now: WallTime) -> i64 {
        let left = i128::from(self.not_after.0) - i128::from(now.0);
        i64::try_from(left.div_euclid(DAY_MILLIS)).unwrap_or(i64::MAX)
    }

    /// The name to call it by: the first that it is for, else whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.subject)
    }
}

/// The certificates of a PEM text, the leaf first.
///
/// # Errors
/// It holds none, or something that is none; in words.
pub fn read_pem(text: &[u8]) -> Result<Vec<Paper>, String> {
    let mut papers = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        papers.push(Paper::read(&certificate).ok_or("a certificate in it cannot be read")?);
    }
    if papers.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(papers) }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn key(certificate: &X509Certificate<'_>) -> String {
    let public = certificate.public_key();
    match public.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA {}", point.key_size()),
        _ if public.algorithm.algorithm.to_id_string() == ED25519 => "Ed25519".to_owned(),
        _ => public.algorithm.algorithm.to_id_string(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_is_put_into_words() {
        let key = KeyPair::generate().unwrap();
        let names = vec!["gw.example.org".to_owned(), "192.0.2.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(2026, 12, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let papers = read_pem(pem.as_bytes()).unwrap();
        assert_eq!(papers[0].names, ["gw.example.org", "192.0.2.1"]);
        assert_eq!(papers[0].key, "ECDSA 256");
        assert_eq!(papers[0].not_after.rfc3339(), "2026-12-01T00:00:00.000Z");
        // Half a day before the end, and half a day after it.
        assert_eq!(papers[0].days_left(WallTime(papers[0].not_after.0 - 43_200_000)), 0);
        assert_eq!(papers[0].days_left(WallTime(papers[0].not_after.0 + 43_200_000)), -1);
        assert!(read_pem(b"nothing").is_err());
    }
}
