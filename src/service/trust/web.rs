//! Policy hosts and report receivers, asked over HTTPS through an egress.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::base::limits::{MX_ADDRESSES_MAX, STS_FETCH_TIMEOUT, STS_POLICY_OCTETS_MAX};
use crate::config::checked::{Config, Egress};
use crate::dns::Names;
use crate::host::clock;
use crate::mail::trust::TlsResult;
use crate::net::broker::words::own_addresses;
use crate::net::egress::EgressClient;
use crate::net::https::{Content, Https, HttpsError, Limits};
use crate::net::tls_client::TlsClient;
use crate::route::LookupError;
use crate::route::special::{Origin, permitted};

/// Where the policy of a domain stands at its policy host (RFC 8461 3.3).
const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

/// What a report is, for its receiver (RFC 8460 5.4).
const REPORT_KIND: &str = "application/tlsrpt+gzip";

/// The answer to a report is not read.
const REPORT_LIMITS: Limits = Limits { octets_max: 64 * 1024, wait: Duration::from_secs(60) };

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// Our own way out is suspended: nothing is known about the host.
    #[error("the egress is suspended: {0}")]
    Suspended(String),
    /// The host's certificate is not valid for its name.
    #[error("{0}")]
    Certificate(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl WebError {
    /// What a report says of a policy that could not be fetched so (RFC 8460 4.3).
    #[must_use]
    pub fn result(&self) -> TlsResult {
        match self {
            Self::Certificate(_) => TlsResult::StsWebpkiInvalid,
            Self::Suspended(_) | Self::Other(_) => TlsResult::StsPolicyFetchError,
        }
    }
}

/// An answer on its way.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, WebError>> + Send + 'a>>;

/// What the keeper needs of the Web.
pub trait Web: Send + Sync + 'static {
    /// The policy text of `domain`, from `mta-sts.DOMAIN`: status 200, `text/plain`, no redirect.
    fn policy<'a>(&'a self, egress: &'a Egress, domain: &'a str) -> Asking<'a, Bytes>;

    /// Gives a compressed report to `target` of `host`; `port`: the egress's usual one if none.
    fn submit<'a>(
        &'a self,
        egress: &'a Egress,
        host: &'a str,
        port: Option<u16>,
        target: &'a str,
        report: Bytes,
    ) -> Asking<'a, ()>;
}

/// The Web behind the broker.
pub struct EgressWeb {
    config: Arc<ArcSwap<Config>>,
    sockets: EgressClient,
    names: Arc<dyn Names>,
    tls: Arc<TlsClient>,
}

impl EgressWeb {
    /// A way to the Web by the names and sockets of an egress.
    #[must_use]
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        sockets: EgressClient,
        names: Arc<dyn Names>,
        tls: Arc<TlsClient>,
    ) -> Self {
        Self { config, sockets, names, tls }
    }

    /// Addresses of `host` that the egress may reach: resolved, filtered, and used as they are, so
    /// that a second answer cannot lead into our own networks.
    async fn addresses(
        &self,
        egress: &Egress,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, WebError> {
        let found = self.names.addresses(egress, host).await.map_err(|error| match error {
            LookupError::Suspended(cause) => WebError::Suspended(cause),
            LookupError::NoSuchDomain => WebError::Other(format!("{host} does not exist")),
            LookupError::Temporary(cause) | LookupError::Bogus(cause) => {
                WebError::Other(format!("the name servers of {host}: {cause}"))
            }
        })?;
        let own = own_addresses(&self.config.load());
        let v6 = found.v6.into_iter().map(IpAddr::V6).filter(|_| egress.ipv6.is_some());
        let v4 = found.v4.into_iter().map(IpAddr::V4).filter(|_| egress.ipv4.is_some());
        let good = |address: &IpAddr| permitted(*address, Origin::Mx, &egress.allow_networks, &own);
        let addresses: Vec<SocketAddr> = v6
            .chain(v4)
            .filter(good)
            .take(MX_ADDRESSES_MAX)
            .map(|address| SocketAddr::new(address, port))
            .collect();
        if addresses.is_empty() {
            return Err(WebError::Other(format!("{host} has no address that may be asked")));
        }
        Ok(addresses)
    }

    fn https<'a>(&'a self, egress: &'a Egress) -> Https<'a> {
        Https { sockets: &self.sockets, egress: &egress.name, tls: &self.tls, now: clock::now() }
    }
}

fn failure(error: HttpsError) -> WebError {
    match error {
        HttpsError::Suspended(cause) => WebError::Suspended(cause),
        HttpsError::Tls(cause) => WebError::Certificate(cause.to_string()),
        other => WebError::Other(other.to_string()),
    }
}

/// `text/plain`, whatever follows it (RFC 8461 3.2).
fn is_plain(kind: Option<&str>) -> bool {
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/plain")
}

impl Web for EgressWeb {
    fn policy<'a>(&'a self, egress: &'a Egress, domain: &'a str) -> Asking<'a, Bytes> {
        Box::pin(async move {
            let host = format!("mta-sts.{domain}");
            let addresses = self.addresses(egress, &host, egress.https_port).await?;
            let limits = Limits { octets_max: STS_POLICY_OCTETS_MAX, wait: STS_FETCH_TIMEOUT };
            let asked = self.https(egress).get(&host, &addresses, POLICY_PATH, limits).await;
            let response = asked.map_err(failure)?;
            if response.status != 200 {
                return Err(WebError::Other(format!("HTTP status {}", response.status)));
            }
            if !is_plain(response.content_type.as_deref()) {
                return Err(WebError::Other("the policy is not text/plain".to_owned()));
            }
            Ok(response.body)
        })
    }

    fn submit<'a>(
        &'a self,
        egress: &'a Egress,
        host: &'a str,
        port: Option<u16>,
        target: &'a str,
        report: Bytes,
    ) -> Asking<'a, ()> {
        Box::pin(async move {
            let port = port.unwrap_or(egress.https_port);
            let addresses = self.addresses(egress, host, port).await?;
            let content = Content { kind: REPORT_KIND, encoding: None, body: report };
            let https = self.https(egress);
            let sent = https.post(host, &addresses, target, content, REPORT_LIMITS).await;
            sent.map(drop).map_err(failure)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_is_a_policy() {
        for good in ["text/plain", "Text/Plain; charset=utf-8", " text/plain ;x"] {
            assert!(is_plain(Some(good)), "{good}");
        }
        for bad in [None, Some(""), Some("text/html"), Some("text/plainer")] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
