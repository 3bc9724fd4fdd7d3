//! Words of transport security that names, routes and connections share.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// How well the next hop was known, from the least up. The order of the variants is the order of
/// strength; TLS memory remembers the highest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Assurance {
    /// Clear text.
    #[default]
    Clear,
    /// Encrypted; nobody checked to whom.
    Encrypted,
    /// Encrypted, and the certificate is one that the Web's authorities vouch for, for the name of
    /// the host. Without a policy that is safe from an attacker, this is a fact and not a promise.
    Verified,
    /// As a policy of MTA-STS in force demands (RFC 8461).
    MtaSts,
    /// As TLSA records that DNSSEC proved demand (RFC 7672).
    Dane,
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Assurance {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Encrypted => "encrypted",
            Self::Verified => "verified",
            Self::MtaSts => "mta-sts",
            Self::Dane => "dane",
        }
    }
}

/// A TLSA record (RFC 6698 2.1), as it was published.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tlsa {
    /// 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE. SMTP uses 2 and 3 (RFC 7672 3.1).
    pub usage: u8,
    /// 0 the whole certificate, 1 its `SubjectPublicKeyInfo`.
    pub selector: u8,
    /// 0 exact, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// The data to match.
    pub data: Vec<u8>,
}

impl Tlsa {
    /// The record as a zone file writes it, for reports and reasons.
    #[must_use]
    pub fn presentation(&self) -> String {
        let mut text = format!("{} {} {} ", self.usage, self.selector, self.matching);
        for octet in &self.data {
            // Writing to a string cannot fail.
            let _ = write!(text, "{octet:02x}");
        }
        text
    }
}

/// Which kind of policy a session was held against, by its word in reports (RFC 8460 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// TLSA records (RFC 7672).
    Tlsa,
    /// MTA-STS (RFC 8461).
    Sts,
    /// The domain publishes neither.
    NoPolicyFound,
}

/// The policy that a session was held against, as it is reported (RFC 8460 4.4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicySeen {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its words: TLSA records, or the lines of the policy.
    pub strings: Vec<String>,
    /// The host patterns that it names.
    pub mx_hosts: Vec<String>,
}

impl PolicySeen {
    /// The domain publishes nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { kind: PolicyKind::NoPolicyFound, strings: Vec::new(), mx_hosts: Vec::new() }
    }
}

/// Why a session failed, by its word in reports (RFC 8460 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsResult {
    /// The host offers no STARTTLS.
    StarttlsNotSupported,
    /// The certificate is for another name.
    CertificateHostMismatch,
    /// The certificate has expired.
    CertificateExpired,
    /// No authority that is trusted vouches for the certificate.
    CertificateNotTrusted,
    /// Any other failure of the handshake.
    ValidationFailure,
    /// The TLSA records match nothing that the host shows, or cannot be used.
    TlsaInvalid,
    /// DNSSEC proves the records wrong, or nobody can say.
    DnssecInvalid,
    /// The policy asks for DANE and the host has no TLSA records.
    DaneRequired,
    /// The policy of MTA-STS could not be fetched.
    StsPolicyFetchError,
    /// The policy of MTA-STS makes no sense, or does not name the host.
    StsPolicyInvalid,
    /// The certificate of the policy host is not valid.
    StsWebpkiInvalid,
}

impl TlsResult {
    /// The word of RFC 8460 4.3.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}
