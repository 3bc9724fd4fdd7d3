//! Words of transport security that names, routes and connections share.

use std::fmt;

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
        f.write_str(match self {
            Self::Clear => "clear",
            Self::Encrypted => "encrypted",
            Self::Verified => "verified",
            Self::MtaSts => "mta-sts",
            Self::Dane => "dane",
        })
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
