//! One egress's resolvers: one that proves what it hears, and one that does not.

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _, RetryDnsHandle};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, Resolver, TlsConfig};

use super::Sockets;
use super::answer::{self, CHAIN_LINKS_MAX, Denied, Found, Step};
use super::memory::Memory;
use super::provider::Provider;
use super::trial::Trial;
use crate::base::fault::Fault;
use crate::base::limits::{DNS_CACHE_RECORDS, DNS_PROOFS_MAX, DNS_TTL_MAX};
use crate::config::checked::{DaneMode, Egress, TrustConfig};
use crate::mail::address::Domain;
use crate::route::LookupError;

/// One question to one server; three of them fit into `DNS_TIMEOUT`.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Rounds of questions that get no answer.
const ATTEMPTS: usize = 2;

/// Whether answers are proved, and from where.
#[derive(Clone)]
pub(super) struct Proofs {
    pub(super) mode: DaneMode,
    /// Zones that are taken as not signed.
    pub(super) unsigned: Arc<Vec<Name>>,
    /// The file of anchors, if there is one.
    pub(super) text: Option<String>,
    anchors: Arc<TrustAnchors>,
}

impl Proofs {
    pub(super) fn read(trust: &TrustConfig) -> Result<Self, Fault> {
        let zone = |domain: &Domain| {
            let name = Name::from_ascii(format!("{domain}."));
            name.map_err(|error| Fault::new("reading the zone", domain, error))
        };
        let unsigned = trust.unsigned.iter().map(zone).collect::<Result<Vec<_>, _>>()?;
        let mut proofs = Self {
            mode: trust.dane,
            unsigned: Arc::new(unsigned),
            text: None,
            anchors: Arc::default(),
        };
        let Some(path) = &trust.anchors else { return Ok(proofs) };
        let fault = |cause: String| Fault::new("reading anchors of", path.display(), cause);
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let anchors = TrustAnchors::from_str(&text).map_err(|error| fault(error.to_string()))?;
        if anchors.is_empty() {
            return Err(fault("there is no DNSKEY of the root in it".to_owned()));
        }
        (proofs.text, proofs.anchors) = (Some(text), Arc::new(anchors));
        Ok(proofs)
    }
}

/// A resolver that takes answers as they come.
pub(super) type Plain = Resolver<Provider>;

/// A resolver that proves answers.
pub(super) struct Proving {
    handle: DnssecDnsHandle<RetryDnsHandle<NameServerPool<Provider>>>,
    options: DnsRequestOptions,
}

/// The resolvers of one egress.
pub(super) struct Asker {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) mode: DaneMode,
    unsigned: Arc<Vec<Name>>,
    pub(super) plain: Plain,
    /// None: nothing is to be proved.
    pub(super) proving: Option<Proving>,
    pub(super) trial: Trial,
    memory: Memory,
}

/// Why there are no records.
pub(super) enum Missing {
    /// There are none.
    Denied(Denied),
    /// Nobody knows.
    Unknown(LookupError),
}

impl Missing {
    /// Whether it is proved that a name which exists has none.
    pub(super) fn existing(self) -> Result<bool, LookupError> {
        match self {
            Self::Denied(Denied { exists: true, secure }) => Ok(secure),
            Self::Denied(Denied { exists: false, .. }) => Err(LookupError::NoSuchDomain),
            Self::Unknown(error) => Err(error),
        }
    }
}

impl From<LookupError> for Missing {
    fn from(error: LookupError) -> Self {
        Self::Unknown(error)
    }
}

impl Asker {
    /// Resolvers for `egress`.
    pub(super) fn new(
        sockets: &Arc<dyn Sockets>,
        egress: &Egress,
        proofs: Proofs,
    ) -> Result<Self, NetError> {
        let provider = Provider::new(Arc::clone(sockets), &egress.name);
        let servers = ResolverConfig::from_parts(None, Vec::new(), servers(egress));
        let mut builder = Resolver::builder_with_config(servers, provider.clone());
        *builder.options_mut() = options();
        let proving = match proofs.mode {
            DaneMode::Off => None,
            DaneMode::Auto | DaneMode::On => Some(Proving::new(provider, egress, &proofs.anchors)?),
        };
        Ok(Self {
            servers: egress.resolvers.clone(),
            mode: proofs.mode,
            unsigned: proofs.unsigned,
            plain: builder.build()?,
            proving,
            trial: Trial::default(),
            memory: Memory::default(),
        })
    }

    /// Whether the site has said that the zone of `name` is not signed.
    pub(super) fn is_unsigned(&self, name: &Name) -> bool {
        self.unsigned.iter().any(|zone| zone.zone_of(name))
    }

    /// An answer as it comes.
    pub(super) async fn believe(
        &self,
        name: &Name,
        kind: RecordType,
    ) -> Result<Arc<Found>, Missing> {
        match self.plain.lookup(name.clone(), kind).await {
            Ok(found) => Ok(Arc::new(answer::plain(found.answers(), name, kind))),
            Err(error) => Err(Missing::Denied(answer::failed_plain(&error)?)),
        }
    }

    /// An answer that DNSSEC proves, or of which it proves that nobody can.
    pub(super) async fn prove(
        &self,
        proving: &Proving,
        name: &Name,
        kind: RecordType,
    ) -> Result<Arc<Found>, Missing> {
        let question = (name.clone(), kind);
        if let Some(answer) = self.memory.get(&question) {
            return answer.map_err(Missing::Denied);
        }
        if answer::is_special(name) {
            return Err(Missing::Denied(Denied { exists: false, secure: false }));
        }
        let mut current = name.clone();
        let (mut whole, mut least) = (true, DNS_TTL_MAX);
        for _ in 0..=CHAIN_LINKS_MAX {
            let mut step = proving.step(&current, kind).await;
            if matches!(step, Step::Doubtful) {
                // What surrounds an alias of a wildcard can hide its proof: the alias alone, then.
                step = match proving.step(&current, RecordType::CNAME).await {
                    alias @ Step::Alias { .. } => alias,
                    _ => Step::Doubtful,
                };
            }
            let (answer, span) = match step {
                Step::Alias { target, secure, span } => {
                    whole &= secure;
                    least = least.min(span);
                    current = target;
                    if self.is_unsigned(&current) {
                        return self.believe(name, kind).await;
                    }
                    continue;
                }
                Step::Found { data, secure, span } => {
                    let end = (current != *name).then_some(current);
                    (Ok(Arc::new(Found { data, secure: secure && whole, end })), span)
                }
                Step::Denied(denied, span) => {
                    (Err(Denied { secure: denied.secure && whole, ..denied }), span)
                }
                Step::Unknown(error) => return Err(error.into()),
                Step::Doubtful => return Err(self.why(name, kind).await.into()),
            };
            self.memory.put(question, &answer, span.min(least));
            return answer.map_err(Missing::Denied);
        }
        Err(LookupError::Temporary("too many aliases in a row".to_owned()).into())
    }

    /// What to say of an answer that nothing proves: a server that does not answer at all is no
    /// forger.
    async fn why(&self, name: &Name, kind: RecordType) -> LookupError {
        match self.believe(name, kind).await {
            Err(Missing::Unknown(error)) => error,
            Ok(_) | Err(Missing::Denied(_)) => {
                LookupError::Bogus(format!("{kind} of {name} does not stand up to DNSSEC"))
            }
        }
    }
}

impl Proving {
    fn new(
        provider: Provider,
        egress: &Egress,
        anchors: &Arc<TrustAnchors>,
    ) -> Result<Self, NetError> {
        let context = Arc::new(PoolContext::new(options(), TlsConfig::new()?));
        let pool = NameServerPool::from_config(servers(egress), context, provider);
        let handle = RetryDnsHandle::new(pool, ATTEMPTS);
        let handle = DnssecDnsHandle::with_trust_anchor(handle, Arc::clone(anchors))
            .validation_cache_size(DNS_PROOFS_MAX);
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        options.case_randomization = true;
        Ok(Self { handle, options })
    }

    /// One question; once more in doubt, because hickory doubts too when a key could not be
    /// fetched.
    pub(super) async fn step(&self, name: &Name, kind: RecordType) -> Step {
        match answer::read(&self.ask(name, kind).await, name, kind) {
            Step::Doubtful => answer::read(&self.ask(name, kind).await, name, kind),
            step => step,
        }
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, NetError> {
        let query = Query::query(name.clone(), kind);
        self.handle.lookup(query, self.options).first_answer().await
    }
}

fn servers(egress: &Egress) -> Vec<NameServerConfig> {
    let servers = egress.resolvers.iter().map(|server| {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        udp.port = server.port();
        tcp.port = server.port();
        NameServerConfig::new(server.ip(), true, vec![udp, tcp])
    });
    servers.collect()
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = ATTEMPTS;
    options.edns0 = true;
    options.try_tcp_on_error = true;
    options.case_randomization = true;
    options.cache_size = DNS_CACHE_RECORDS;
    options.positive_max_ttl = Some(DNS_TTL_MAX);
    options.negative_max_ttl = Some(DNS_TTL_MAX);
    options
}
