//! A resolver for each egress: hickory with the egress's name servers and the broker's sockets.
//!
//! What matters most here is the difference between "there is none" and "nobody knows": only an
//! authoritative NXDOMAIN or an empty NOERROR is the former (RFC 5321 5.1). SERVFAIL, REFUSED, a
//! timeout, a lame delegation or nonsense is the latter, and mail waits.
//!
//! Answers are proved by DNSSEC here and not believed from anybody (RFC 7672 2.1.1): what is
//! signed and does not stand up to it is nobody's knowledge either. Name servers that strip
//! signatures would make every answer such a one: with `dane = "auto"` they are found out
//! ([`trial`](super::trial)) and their answers taken as they are, as proof of nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::watch;

use super::answer::{self, CHAIN_LINKS_MAX, Denied, Found, Step};
use super::denial::Denials;
use super::provider::Provider;
use super::trial::Trial;
use super::{ByName, Lookup, Names, Sockets, Verdict};
use crate::base::fault::Fault;
use crate::base::limits::{
    DNS_CACHE_RECORDS, DNS_FAMILY_GRACE, DNS_PROOFS_MAX, DNS_TIMEOUT, DNS_TTL_MAX,
};
use crate::config::checked::{DaneMode, Egress};
use crate::mail::trust::Tlsa;
use crate::route::{Addresses, LookupError, MxAnswer, TlsaAnswer};

/// One question to one server; three of them fit into `DNS_TIMEOUT`.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) type Asking = Arc<Resolver<Provider>>;

/// Resolvers by egress, made when they are first needed.
pub struct Resolvers {
    sockets: Arc<dyn Sockets>,
    proofs: RwLock<Proofs>,
    known: Mutex<ByName<Asker>>,
    verdicts: watch::Sender<ByName<Verdict>>,
}

/// Whether answers are proved, and from where.
#[derive(Clone)]
struct Proofs {
    mode: DaneMode,
    anchors: Arc<TrustAnchors>,
}

/// The resolvers of one egress.
#[derive(Clone)]
struct Asker {
    servers: Vec<SocketAddr>,
    mode: DaneMode,
    plain: Asking,
    proving: Option<Asking>,
    trial: Arc<Trial>,
    denials: Arc<Denials>,
    asked: Arc<AtomicU64>,
}

impl Resolvers {
    /// Resolvers that ask through `sockets`, and prove what they hear unless DANE is off.
    /// `anchors` is a file of DNSKEY records that are trusted in place of the root's.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn new(
        sockets: impl Sockets,
        mode: DaneMode,
        anchors: Option<&Path>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            sockets: Arc::new(sockets),
            proofs: RwLock::new(Proofs::read(mode, anchors)?),
            known: Mutex::default(),
            verdicts: watch::Sender::default(),
        })
    }

    /// Takes another mode and other anchors, after a reload.
    ///
    /// # Errors
    /// As [`Resolvers::new`]; the old ones stay in force.
    pub fn reload(&self, mode: DaneMode, anchors: Option<&Path>) -> Result<(), Fault> {
        let proofs = Proofs::read(mode, anchors)?;
        *self.proofs.write().unwrap_or_else(PoisonError::into_inner) = proofs;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.verdicts.send_replace(ByName::new());
        Ok(())
    }

    /// Whether the name servers of each egress pass DNSSEC on, and its changes.
    #[must_use]
    pub fn verdicts(&self) -> watch::Receiver<ByName<Verdict>> {
        self.verdicts.subscribe()
    }

    /// Whether the name servers of `egress` pass DNSSEC on, tried now unless it was tried a short
    /// while ago. None: DANE is off, or no server answers.
    pub async fn try_dnssec(&self, egress: &Egress) -> Option<Verdict> {
        let asker = self.of(egress).ok()?;
        self.tried(egress, &asker, asker.proving.as_ref()?).await
    }

    async fn tried(&self, egress: &Egress, asker: &Asker, proving: &Asking) -> Option<Verdict> {
        let verdict = asker.trial.verdict(proving, &asker.plain).await?;
        self.verdicts.send_if_modified(|verdicts| {
            let before = verdicts.get(&egress.name) == Some(&verdict);
            if !before {
                verdicts.insert(egress.name.clone(), verdict.clone());
            }
            !before
        });
        Some(verdict)
    }

    /// The resolvers of an egress; new ones if its name servers have changed, or if the old ones
    /// have grown fat.
    fn of(&self, egress: &Egress) -> Result<Asker, LookupError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = None;
        if let Some(asker) = known.get(&egress.name)
            && asker.servers == egress.resolvers
        {
            if asker.asked.load(Ordering::Relaxed) < DNS_PROOFS_MAX {
                return Ok(asker.clone());
            }
            kept = Some((Arc::clone(&asker.trial), Arc::clone(&asker.denials)));
        }
        let proofs = self.proofs.read().unwrap_or_else(PoisonError::into_inner).clone();
        let unbuilt = |error: NetError| LookupError::Temporary(format!("resolver: {error}"));
        let (trial, denials) = kept.unwrap_or_default();
        let proving = match proofs.mode {
            DaneMode::Off => None,
            DaneMode::Auto | DaneMode::On => {
                let anchors = Some(proofs.anchors);
                Some(Arc::new(build(&self.sockets, egress, anchors).map_err(unbuilt)?))
            }
        };
        let asker = Asker {
            servers: egress.resolvers.clone(),
            mode: proofs.mode,
            plain: Arc::new(build(&self.sockets, egress, None).map_err(unbuilt)?),
            proving,
            trial,
            denials,
            asked: Arc::default(),
        };
        known.insert(egress.name.clone(), asker.clone());
        Ok(asker)
    }

    async fn ask(&self, egress: &Egress, name: &str, kind: RecordType) -> Result<Found, Missing> {
        if let Some(cause) = self.sockets.suspended(&egress.name) {
            return Err(Missing::Unknown(LookupError::Suspended(cause)));
        }
        let asker = self.of(egress).map_err(Missing::Unknown)?;
        let mut fqdn = Name::from_ascii(name)
            .map_err(|error| Missing::Unknown(LookupError::Temporary(error.to_string())))?;
        fqdn.set_fqdn(true);
        let proving = match &asker.proving {
            None => None,
            Some(proving) => match (self.tried(egress, &asker, proving).await, asker.mode) {
                (Some(Err(_)), DaneMode::Auto) => None,
                _ => Some(proving),
            },
        };
        let answer = async {
            match proving {
                Some(proving) => asker.prove(proving, &fqdn, kind).await,
                None => asker.believe(&fqdn, kind).await,
            }
        };
        let late = || Err(Missing::Unknown(LookupError::Temporary("timeout".to_owned())));
        tokio::time::timeout(DNS_TIMEOUT, answer).await.unwrap_or_else(|_| late())
    }

    async fn mx_of(&self, egress: &Egress, domain: &str) -> Result<MxAnswer, LookupError> {
        let found = match self.ask(egress, domain, RecordType::MX).await {
            Ok(found) => found,
            Err(missing) => {
                let secure = missing.existing()?;
                return Ok(MxAnswer { hosts: Vec::new(), secure });
            }
        };
        let hosts = found.data.iter().filter_map(|data| match data {
            RData::MX(mx) => Some((mx.preference, plain(&mx.exchange))),
            _ => None,
        });
        Ok(MxAnswer { hosts: hosts.collect(), secure: found.secure })
    }

    async fn records(
        &self,
        egress: &Egress,
        host: &str,
        kind: RecordType,
    ) -> Result<Addresses, LookupError> {
        let found = match self.ask(egress, host, kind).await {
            Ok(found) => found,
            Err(missing) => {
                return Ok(Addresses { secure: missing.existing()?, ..Addresses::default() });
            }
        };
        let mut addresses = Addresses {
            secure: found.secure,
            canonical: found.end.as_ref().map(plain),
            ..Addresses::default()
        };
        for data in &found.data {
            match data {
                RData::A(a) => addresses.v4.push(a.0),
                RData::AAAA(aaaa) => addresses.v6.push(aaaa.0),
                _ => {}
            }
        }
        Ok(addresses)
    }

    /// The families of the egress. A host that has none of them is asked for the other one, so
    /// that "we cannot reach it" is not mistaken for "it has no address".
    async fn addresses_of(&self, egress: &Egress, host: &str) -> Result<Addresses, LookupError> {
        let (own, other) = match (egress.ipv4.is_some(), egress.ipv6.is_some()) {
            (true, false) => (RecordType::A, RecordType::AAAA),
            (false, true) => (RecordType::AAAA, RecordType::A),
            _ => return self.both_families(egress, host).await,
        };
        match self.records(egress, host, own).await {
            Ok(none) if !any(&none) => {
                let found = self.records(egress, host, other).await?;
                Ok(Addresses { secure: none.secure && found.secure, ..found })
            }
            answer => answer,
        }
    }

    /// Both side by side; the slower one has a short grace once the other has addresses.
    async fn both_families(&self, egress: &Egress, host: &str) -> Result<Addresses, LookupError> {
        let mut v4 = pin!(self.records(egress, host, RecordType::A));
        let mut v6 = pin!(self.records(egress, host, RecordType::AAAA));
        let (first, second) = tokio::select! {
            first = &mut v4 => (first, v6),
            first = &mut v6 => (first, v4),
        };
        let second = if first.as_ref().is_ok_and(any) {
            tokio::time::timeout(DNS_FAMILY_GRACE, second)
                .await
                .unwrap_or(Err(LookupError::Temporary("timeout".to_owned())))
        } else {
            second.await
        };
        both(first, second)
    }
}

impl Proofs {
    fn read(mode: DaneMode, anchors: Option<&Path>) -> Result<Self, Fault> {
        let anchors = match anchors {
            None => TrustAnchors::default(),
            Some(path) => {
                let fault = |cause: String| Fault::new("reading anchors of", path.display(), cause);
                let text = std::fs::read_to_string(path).map_err(|e| fault(e.to_string()))?;
                let anchors = TrustAnchors::from_str(&text).map_err(|e| fault(e.to_string()))?;
                if anchors.is_empty() {
                    return Err(fault("there is no DNSKEY of the root in it".to_owned()));
                }
                anchors
            }
        };
        Ok(Self { mode, anchors: Arc::new(anchors) })
    }
}

impl Asker {
    /// An answer as it comes.
    async fn believe(&self, name: &Name, kind: RecordType) -> Result<Found, Missing> {
        match self.plain.lookup(name.clone(), kind).await {
            Ok(found) => Ok(answer::plain(found.answers(), name, kind)),
            Err(error) => Err(answer::failed_plain(&error).into()),
        }
    }

    /// An answer that DNSSEC proves, or of which it proves that nobody can.
    async fn prove(
        &self,
        proving: &Asking,
        name: &Name,
        kind: RecordType,
    ) -> Result<Found, Missing> {
        if let Some(denied) = self.denials.get(name, kind) {
            return Err(Missing::Denied(denied));
        }
        let mut current = name.clone();
        let mut secure = true;
        for _ in 0..CHAIN_LINKS_MAX {
            match self.step(proving, &current, kind).await {
                Step::Found(mut found) => {
                    found.secure &= secure;
                    let end = (current != *name).then_some(current);
                    return Ok(Found { end: found.end.take().or(end), ..found });
                }
                Step::Denied(mut denied, span) => {
                    denied.secure &= secure;
                    self.denials.put(name, kind, denied, span);
                    return Err(Missing::Denied(denied));
                }
                Step::Unknown(error) => return Err(Missing::Unknown(error)),
                // An answer that ends in a denial, or whose links were forgotten: link by link.
                Step::Doubtful | Step::Homeless { .. } => {
                    let Some((target, link)) = self.alias(proving, &current).await else { break };
                    secure &= link;
                    current = target;
                }
            }
        }
        Err(Missing::Unknown(self.why(name, kind).await))
    }

    async fn step(&self, proving: &Asking, name: &Name, kind: RecordType) -> Step {
        let step = self.once(proving, name, kind).await;
        match step {
            // hickory calls it bogus too when a key could not be fetched: once more, then.
            Step::Doubtful => self.once(proving, name, kind).await,
            Step::Homeless { exists } => self.at_home(proving, name, exists).await,
            step => step,
        }
    }

    async fn once(&self, proving: &Asking, name: &Name, kind: RecordType) -> Step {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match proving.lookup(name.clone(), kind).await {
            Ok(found) => answer::proved(found.answers(), name, kind),
            Err(error) => answer::failed(&error, name, kind),
        }
    }

    /// A denial that names no zone counts if the zone that the name is in is provably unsigned.
    async fn at_home(&self, proving: &Asking, name: &Name, exists: bool) -> Step {
        let mut zone = name.clone();
        while !zone.is_root() {
            if let Ok(found) = proving.lookup(zone.clone(), RecordType::SOA).await {
                let soa = |r: &&_| answer::is_record_of(r, &zone, RecordType::SOA);
                match found.answers().iter().find(soa).map(|record| record.proof) {
                    Some(Proof::Insecure) => {
                        return Step::Denied(Denied { exists, secure: false }, Duration::ZERO);
                    }
                    Some(_) => return Step::Doubtful,
                    None => {}
                }
            }
            zone = zone.base_name();
        }
        Step::Doubtful
    }

    async fn alias(&self, proving: &Asking, name: &Name) -> Option<(Name, bool)> {
        let found = proving.lookup(name.clone(), RecordType::CNAME).await.ok()?;
        answer::alias(found.answers(), name).map(|(target, secure)| (target.clone(), secure))
    }

    /// What to say of an answer that nothing proves: a server that does not answer at all is no
    /// forger.
    async fn why(&self, name: &Name, kind: RecordType) -> LookupError {
        match self.believe(name, kind).await {
            Err(Missing::Unknown(error)) => error,
            Ok(_) | Err(Missing::Denied(_)) => {
                LookupError::Bogus(format!("{} {kind} does not stand up to DNSSEC", plain(name)))
            }
        }
    }
}

impl Names for Resolvers {
    fn mx<'a>(&'a self, egress: &'a Egress, domain: &'a str) -> Lookup<'a, MxAnswer> {
        Box::pin(self.mx_of(egress, domain))
    }

    fn addresses<'a>(&'a self, egress: &'a Egress, host: &'a str) -> Lookup<'a, Addresses> {
        Box::pin(self.addresses_of(egress, host))
    }

    fn tlsa<'a>(&'a self, egress: &'a Egress, host: &'a str, port: u16) -> Lookup<'a, TlsaAnswer> {
        Box::pin(async move {
            let name = format!("_{port}._tcp.{host}");
            let found = match self.ask(egress, &name, RecordType::TLSA).await {
                Ok(found) => found,
                Err(Missing::Denied(Denied { secure, .. })) => {
                    return Ok(TlsaAnswer { records: Vec::new(), secure });
                }
                Err(Missing::Unknown(error)) => return Err(error),
            };
            let records = found.data.into_iter().filter_map(|data| match data {
                RData::TLSA(tlsa) => Some(Tlsa {
                    usage: tlsa.cert_usage.into(),
                    selector: tlsa.selector.into(),
                    matching: tlsa.matching.into(),
                    data: tlsa.cert_data,
                }),
                _ => None,
            });
            Ok(TlsaAnswer { records: records.collect(), secure: found.secure })
        })
    }

    fn txt<'a>(&'a self, egress: &'a Egress, name: &'a str) -> Lookup<'a, Vec<String>> {
        Box::pin(async move {
            let found = match self.ask(egress, name, RecordType::TXT).await {
                Ok(found) => found,
                Err(missing) => return missing.existing().map(|_| Vec::new()),
            };
            let texts = found.data.iter().filter_map(|data| match data {
                RData::TXT(txt) => Some(txt.to_string()),
                _ => None,
            });
            Ok(texts.collect())
        })
    }

    fn names<'a>(&'a self, egress: &'a Egress, address: IpAddr) -> Lookup<'a, Vec<String>> {
        Box::pin(async move {
            let name = Name::from(address).to_ascii();
            let found = match self.ask(egress, &name, RecordType::PTR).await {
                Ok(found) => found,
                Err(missing) => return missing.existing().map(|_| Vec::new()),
            };
            let names = found.data.iter().filter_map(|data| match data {
                RData::PTR(ptr) => Some(plain(&ptr.0)),
                _ => None,
            });
            Ok(names.collect())
        })
    }

    fn dnssec(&self, egress: &Egress) -> Option<Verdict> {
        self.verdicts.borrow().get(&egress.name).cloned()
    }
}

/// Why there are no records.
enum Missing {
    /// There are none.
    Denied(Denied),
    /// Nobody knows.
    Unknown(LookupError),
}

impl Missing {
    /// Whether it is proved that a name which exists has none.
    fn existing(self) -> Result<bool, LookupError> {
        match self {
            Self::Denied(Denied { exists: true, secure }) => Ok(secure),
            Self::Denied(Denied { exists: false, .. }) => Err(LookupError::NoSuchDomain),
            Self::Unknown(error) => Err(error),
        }
    }
}

impl From<Result<Denied, LookupError>> for Missing {
    fn from(answer: Result<Denied, LookupError>) -> Self {
        answer.map_or_else(Self::Unknown, Self::Denied)
    }
}

fn any(addresses: &Addresses) -> bool {
    !(addresses.v4.is_empty() && addresses.v6.is_empty())
}

/// What one family found is enough; without any address the doubt of the other one counts.
fn both(
    first: Result<Addresses, LookupError>,
    second: Result<Addresses, LookupError>,
) -> Result<Addresses, LookupError> {
    match (first, second) {
        (Ok(mut found), Ok(more)) => {
            found.v4.extend(more.v4);
            found.v6.extend(more.v6);
            found.secure &= more.secure;
            found.canonical = found.canonical.or(more.canonical);
            Ok(found)
        }
        (Ok(found), Err(error)) | (Err(error), Ok(found)) => {
            if any(&found) {
                Ok(found)
            } else {
                Err(error)
            }
        }
        (Err(LookupError::NoSuchDomain), Err(error)) | (Err(error), Err(_)) => Err(error),
    }
}

/// A name without its trailing dot; the root is empty.
fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// A resolver; it proves what it hears if there are anchors.
fn build(
    sockets: &Arc<dyn Sockets>,
    egress: &Egress,
    anchors: Option<Arc<TrustAnchors>>,
) -> Result<Resolver<Provider>, NetError> {
    let servers = egress.resolvers.iter().map(|server| {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        udp.port = server.port();
        tcp.port = server.port();
        NameServerConfig::new(server.ip(), true, vec![udp, tcp])
    });
    let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
    let mut options = ResolverOpts::default();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 2;
    options.edns0 = true;
    options.try_tcp_on_error = true;
    options.case_randomization = true;
    options.cache_size = DNS_CACHE_RECORDS;
    options.positive_max_ttl = Some(DNS_TTL_MAX);
    options.negative_max_ttl = Some(DNS_TTL_MAX);
    let provider = Provider::new(Arc::clone(sockets), &egress.name);
    let mut builder = Resolver::builder_with_config(config, provider);
    *builder.options_mut() = options;
    if let Some(anchors) = anchors {
        builder = builder.with_trust_anchor(anchors);
    }
    builder.build()
}
