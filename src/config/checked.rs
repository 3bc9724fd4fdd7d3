//! The configuration as it is meant: typed, cross-checked, immutable. Reload swaps one
//! `Arc<Config>`.

mod checks;
mod console;
mod health;
mod interface;
mod limits;
mod network;
mod setup;
mod trust;
mod updates;
mod ways;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::source::{Source, SourceName};

pub use checks::CheckConfig;
pub use console::{CONSOLE_LANGUAGES, ConsoleConfig};
pub use health::HealthConfig;
pub use interface::{
    BondMode, Hardware, Interface, Ipv4Way, Ipv6Way, MacAddress, Nts, Role, TimeConfig,
};
pub use limits::{ProviderRule, ReplyRule};
pub use network::{Link, NetworkConfig, Vlan};
pub use setup::SetupConfig;
pub use trust::{DaneMode, Remember, TlsOverride, TlsReports, TrustConfig};
pub use updates::{UpdateConfig, UpdateUrl, Window};
pub use ways::{Member, Pool, WarmUp};

/// Everything that an administrator decides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The gateway's own name: greeting, Received, Authentication-Results, report-from domain.
    pub hostname: Domain,
    /// A laboratory: loopback receivers, odd ports and shared interfaces are allowed.
    pub lab: bool,
    /// Largest message in octets (SIZE).
    pub message_octets_max: u64,
    /// Recipients of one transaction.
    pub recipients_max: usize,
    /// Where acknowledged mail lives.
    pub spool: SpoolConfig,
    /// Where submissions come in.
    pub listeners: Vec<Listener>,
    /// Ceilings for all listeners.
    pub connections: ConnectionLimits,
    /// Certificate of the listeners; required unless every listener is without TLS.
    pub tls: Option<TlsFiles>,
    /// Who may submit.
    pub sources: BTreeMap<SourceName, Arc<Source>>,
    /// Keys by From: domain.
    pub dkim: Vec<DkimKey>,
    /// Ways out.
    pub egresses: Vec<Egress>,
    /// Pools of the document in its order, then one for each egress. The first is the default.
    pub pools: Vec<Pool>,
    /// Exceptions from MX routing, the most specific first.
    pub routes: Vec<Route>,
    /// Patience by class.
    pub retry: BTreeMap<MessageClass, RetryPolicy>,
    /// Ceilings per provider.
    pub lanes: LaneLimits,
    /// Limits of single providers, the first that matches counts.
    pub providers: Vec<ProviderRule>,
    /// What replies mean, before the built-in table is asked; the first that matches counts.
    pub replies: Vec<ReplyRule>,
    /// Transport security.
    pub trust: TrustConfig,
    /// Checks of the ways out.
    pub checks: CheckConfig,
    /// The parts that other interfaces play.
    pub network: NetworkConfig,
    /// Setup files for a box that is configured already.
    pub setup: SetupConfig,
    /// The console.
    pub console: ConsoleConfig,
    /// The health gate's message; its listener, source, egress, route and key are among the others.
    pub health: Option<HealthConfig>,
    /// Updates of the appliance.
    pub updates: UpdateConfig,
    /// The control socket.
    pub control: ControlConfig,
}

/// The spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpoolConfig {
    /// The folder; on the box its own partition.
    pub path: PathBuf,
    /// Octets held in reserve so that a full disk can be drained.
    pub ballast_octets: u64,
    /// Below this many free octets new mail hears 452 4.3.1.
    pub free_octets_min: u64,
    /// A sync that takes longer than this on average makes new mail wait (452 4.3.1).
    pub sync_slow: Duration,
}

/// What a listener speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerKind {
    /// Port 587: STARTTLS, then AUTH or a client certificate (RFC 6409).
    Submission,
    /// Port 465: TLS from the first octet (RFC 8314).
    Submissions,
    /// Port 25: as 587, for applications that cannot be told otherwise; network sources live here.
    Smtp,
    /// Loopback, without TLS: for the health gate's message alone. No document can write it.
    #[serde(skip_deserializing)]
    Health,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Its name; also the `FileDescriptorName=` under socket activation.
    pub name: String,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What it speaks.
    pub kind: ListenerKind,
    /// The interface it is bound to.
    pub device: Option<String>,
    /// Whether `Proof::Network` sources may submit here.
    pub network_sources: bool,
    /// Whether mail may enter without TLS (network sources only; never AUTH).
    pub clear_text: bool,
}

/// Ceilings for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionLimits {
    /// In all.
    pub total_max: usize,
    /// From one address (an IPv6 /64 counts as one).
    pub per_address_max: usize,
}

/// Certificate and key of the listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsFiles {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Signature algorithm of a DKIM key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DkimAlgorithm {
    /// RSA, 2,048 bits or more (RFC 8301).
    RsaSha256,
    /// Ed25519 (RFC 8463).
    Ed25519Sha256,
}

/// One DKIM key of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DkimKey {
    /// `d=`; signs mail whose From: domain is exactly this one.
    pub domain: Domain,
    /// `s=`.
    pub selector: String,
    /// What the key is.
    pub algorithm: DkimAlgorithm,
    /// PKCS#8 PEM.
    pub file: PathBuf,
}

/// A way out: interface, addresses, name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Its name.
    pub name: String,
    /// The interface every socket is bound to; `None` only in a laboratory.
    pub device: Option<String>,
    /// Source address for IPv4 destinations; none: IPv4 is not used.
    pub ipv4: Option<Ipv4Addr>,
    /// Source address for IPv6 destinations; none: IPv6 is not used.
    pub ipv6: Option<Ipv6Addr>,
    /// EHLO name.
    pub ehlo: Domain,
    /// Name servers, asked through this egress.
    pub resolvers: Vec<SocketAddr>,
    /// Destinations that are allowed although they are not globally routable.
    pub allow_networks: Vec<IpNet>,
    /// Port of MX hosts: 25, except in a laboratory.
    pub mx_port: u16,
    /// Port of policy hosts and report receivers: 443, except in a laboratory.
    pub https_port: u16,
    /// Its local network.
    pub link: Link,
    /// The schedule of a new address.
    pub warm_up: Option<WarmUp>,
}

/// Which recipient domains a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum RouteMatch {
    /// Exactly this domain.
    Domain(Domain),
    /// Every subdomain of this domain, not itself (`*.example.org`).
    Subdomains(Domain),
    /// Everything (`*`).
    Any,
}

/// How much TLS a route or a host must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsFloor {
    /// STARTTLS if it is offered; never clear text after a TLS failure.
    #[default]
    Opportunistic,
    /// STARTTLS or the mail waits.
    Encrypted,
    /// TLS with a host that DANE, MTA-STS or a valid certificate for its name authenticates, or the
    /// mail waits.
    Authenticated,
}

/// An exception from MX routing: a smarthost or a partner's host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// For whom.
    pub matches: RouteMatch,
    /// Hosts in order of preference: name or address, and port. Empty: MX routing, but with this
    /// route's egress and floor.
    pub hosts: Vec<(RouteHost, u16)>,
    /// The pool or egress; none: the source's, or the default.
    pub egress: Option<String>,
    /// TLS floor.
    pub tls: TlsFloor,
}

/// A host of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum RouteHost {
    /// A name, looked up for A and AAAA.
    Name(Domain),
    /// An address.
    Address(IpAddr),
}

/// Patience of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RetryPolicy {
    /// First retry after.
    pub first: Duration,
    /// Longest wait between attempts.
    pub longest: Duration,
    /// Given up after.
    pub lifetime: Duration,
    /// The sender is told of a delay after; none: never.
    pub delay_notice: Option<Duration>,
}

/// Ceilings per provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LaneLimits {
    /// Connections when the provider is new or has just failed.
    pub connections_first: u32,
    /// Connections at most.
    pub connections_max: u32,
    /// Connections to all providers together.
    pub connections_total_max: u32,
    /// Messages on one connection.
    pub messages_per_connection: u32,
    /// Messages a minute, if limited.
    pub messages_per_minute: Option<u32>,
}

/// Who may use the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlConfig {
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// User ids that may read.
    pub viewers: Vec<u32>,
    /// User ids that may hold, release, disable.
    pub operators: Vec<u32>,
    /// User ids that may do everything; the daemon's own user and root always may.
    pub administrators: Vec<u32>,
}
