//! Transport security: what is asked of the next hop, by whom, and until when.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{RouteMatch, TlsFloor};
use crate::base::time::WallTime;
use crate::mail::address::{Domain, Mailbox};

/// Whether DANE is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DaneMode {
    /// As long as the name servers of the egress pass DNSSEC on, which is tried now and then.
    #[default]
    Auto,
    /// Always: without DNSSEC mail to signed domains waits.
    On,
    /// Never.
    Off,
}

/// What the memory of a domain's TLS is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remember {
    /// A connection that is worth less than what is remembered raises an alarm.
    #[default]
    Alarm,
    /// And a domain that has spoken TLS for a month gets no mail in clear text.
    Enforce,
}

/// What the document says about transport security.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustConfig {
    /// DANE (RFC 7672).
    pub dane: DaneMode,
    /// MTA-STS (RFC 8461).
    pub mta_sts: bool,
    /// What becomes of a connection that is worth less than earlier ones.
    pub remember: Remember,
    /// PEM of authorities that are trusted beside the Web's.
    pub roots: Option<PathBuf>,
    /// Zones that are taken as not signed, whatever the world above them proves: names that only
    /// the site's own name servers know.
    pub unsigned: Vec<Domain>,
    /// DNSSEC trust anchors (DNSKEY records of the root) in place of the built-in ones; a
    /// laboratory's.
    pub anchors: Option<PathBuf>,
    /// Exceptions with an end, the most specific first.
    pub overrides: Vec<TlsOverride>,
    /// Reports to others about TLS (RFC 8460); none: not sent.
    pub reports: Option<TlsReports>,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            dane: DaneMode::Auto,
            mta_sts: true,
            remember: Remember::Alarm,
            roots: None,
            unsigned: Vec::new(),
            anchors: None,
            overrides: Vec::new(),
            reports: None,
        }
    }
}

/// A decision of the administrator that lies over what the receiver's domain publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsOverride {
    /// For which recipient domains.
    pub matches: RouteMatch,
    /// What is asked for in place of DANE, MTA-STS and the route's floor.
    pub tls: TlsFloor,
    /// Why; shown wherever it takes effect.
    pub reason: String,
    /// When it ends.
    pub expires: WallTime,
}

/// Who reports about TLS, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsReports {
    /// From: of the reports; its domain needs a DKIM key.
    pub from: Mailbox,
    /// `organization-name`.
    pub organization: String,
    /// Domains that are never reported to, our own for example.
    pub except: Vec<Domain>,
}
