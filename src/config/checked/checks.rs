//! What an egress is checked for, again and again.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::mail::address::Domain;

/// What the document says about checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckConfig {
    /// Between two rounds of the self-probe; none: only by command.
    pub every: Option<Duration>,
    /// Host and port to which a connection must succeed: port 25 open to the Internet.
    pub probe: Option<(Domain, u16)>,
    /// Lists of addresses that are asked about ours.
    pub dnsbl: Vec<Domain>,
    /// Ed25519 key (PKCS#8 PEM) that signs statements.
    pub key: Option<PathBuf>,
}

impl Default for CheckConfig {
    fn default() -> Self {
        let every = Some(Duration::from_secs(15 * 60));
        Self { every, probe: None, dnsbl: Vec::new(), key: None }
    }
}
