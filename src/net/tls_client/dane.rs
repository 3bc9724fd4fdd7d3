//! TLSA records against the certificates that a host showed (RFC 6698, RFC 7671, RFC 7672).

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, Der, TrustAnchor};
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

use crate::mail::trust::Tlsa;

/// DANE-TA: an authority of the domain's own choice.
const USAGE_TA: u8 = 2;
/// DANE-EE: this certificate or key, whatever it says.
const USAGE_EE: u8 = 3;
/// Selector: the certificate.
const CERTIFICATE: u8 = 0;
/// Selector: its key.
const KEY: u8 = 1;
/// Matching: the data themselves.
const EXACT: u8 = 0;
/// Matching: SHA-256.
const SHA_256: u8 = 1;
/// Matching: SHA-512.
const SHA_512: u8 = 2;

/// The records that mean something for SMTP: usages 2 and 3 (RFC 7672 3.1.3 rules out the other
/// two), known selectors, known digests of the right length; of two digests for the same usage and
/// selector only the stronger one counts (RFC 7671 9). If none is left, the host must speak TLS
/// and need not prove who it is (RFC 7672 2.2).
#[must_use]
pub fn usable(records: &[Tlsa]) -> Vec<Tlsa> {
    let sound: Vec<&Tlsa> = records.iter().filter(|record| is_sound(record)).collect();
    let outdone = |weak: &Tlsa| {
        weak.matching == SHA_256
            && sound.iter().any(|strong| {
                (strong.usage, strong.selector, strong.matching)
                    == (weak.usage, weak.selector, SHA_512)
            })
    };
    sound.iter().filter(|record| !outdone(record)).map(|record| (*record).clone()).collect()
}

fn is_sound(record: &Tlsa) -> bool {
    let length = match record.matching {
        EXACT => !record.data.is_empty(),
        SHA_256 => record.data.len() == 32,
        SHA_512 => record.data.len() == 64,
        _ => false,
    };
    length
        && matches!(record.usage, USAGE_TA | USAGE_EE)
        && matches!(record.selector, CERTIFICATE | KEY)
}

/// Whether a record for DANE-EE names `leaf`. Name and dates do not matter (RFC 7671 5.1).
pub(super) fn names_leaf(records: &[Tlsa], leaf: &CertificateDer<'_>) -> bool {
    records.iter().any(|record| record.usage == USAGE_EE && matches(record, leaf))
}

/// The authorities that records for DANE-TA name: certificates that the host showed above its
/// own, and those that stand in a record whole. A bare key in a record (`2 1 0`) may be that of
/// whoever signed one of the certificates.
pub(super) fn anchors(
    records: &[Tlsa],
    leaf: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
) -> Vec<TrustAnchor<'static>> {
    let mut anchors = Vec::new();
    for record in records.iter().filter(|record| record.usage == USAGE_TA) {
        let named = above.iter().filter(|certificate| matches(record, certificate));
        anchors.extend(named.filter_map(|certificate| anchor(certificate)));
        match (record.selector, record.matching) {
            (CERTIFICATE, EXACT) => anchors.extend(anchor(&record.data)),
            (KEY, EXACT) => {
                let Some(key) = inside(&record.data) else { continue };
                let shown = std::iter::once(leaf).chain(above);
                anchors.extend(shown.filter_map(|certificate| issuer(certificate)).map(|name| {
                    TrustAnchor {
                        subject: Der::from(name),
                        subject_public_key_info: Der::from(key.to_vec()),
                        name_constraints: None,
                    }
                }));
            }
            _ => {}
        }
    }
    anchors
}

/// Whether `leaf` is for one of `names` (RFC 7672 3.2.3): its DNS names, or its common name if it
/// has none; a wildcard is the whole first label and stands for one.
pub(super) fn check_names(
    leaf: &CertificateDer<'_>,
    names: &[String],
) -> Result<(), CertificateError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let alternatives =
        leaf.subject_alternative_name().map_err(|_| CertificateError::BadEncoding)?;
    let mut presented: Vec<&str> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    if presented.is_empty() {
        let subjects = X509Name::iter_common_name(leaf.subject());
        presented.extend(subjects.filter_map(|cn| cn.as_str().ok()));
    }
    let good = |presented: &&str| names.iter().any(|name| is_name(presented, name));
    if presented.iter().any(good) { Ok(()) } else { Err(CertificateError::NotValidForName) }
}

fn is_name(presented: &str, wanted: &str) -> bool {
    let presented = presented.trim_end_matches('.');
    let wanted = wanted.trim_end_matches('.');
    match presented.strip_prefix("*.") {
        None => !presented.is_empty() && presented.eq_ignore_ascii_case(wanted),
        Some(parent) => wanted.split_once('.').is_some_and(|(first, rest)| {
            !first.is_empty() && parent.contains('.') && rest.eq_ignore_ascii_case(parent)
        }),
    }
}

fn matches(record: &Tlsa, certificate: &[u8]) -> bool {
    let selected = match record.selector {
        CERTIFICATE => certificate,
        KEY => match X509Certificate::from_der(certificate) {
            Ok((_, parsed)) => parsed.tbs_certificate.subject_pki.raw,
            Err(_) => return false,
        },
        _ => return false,
    };
    match record.matching {
        EXACT => record.data == selected,
        SHA_256 => record.data == digest(&SHA256, selected).as_ref(),
        SHA_512 => record.data == digest(&SHA512, selected).as_ref(),
        _ => false,
    }
}

/// A certificate as an authority. Its own dates and constraints beside the name do not count: the
/// record vouches for it.
fn anchor(certificate: &[u8]) -> Option<TrustAnchor<'static>> {
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from(certificate)).ok()?;
    store.roots.pop()
}

fn issuer(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    inside(parsed.tbs_certificate.issuer.as_raw()).map(<[u8]>::to_vec)
}

/// What a DER value holds, without its tag and length; none if it is no single value.
pub(super) fn inside(der: &[u8]) -> Option<&[u8]> {
    match Any::from_der(der) {
        Ok(([], value)) => Some(value.data),
        _ => None,
    }
}
