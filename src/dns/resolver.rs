//! A resolver for each egress: hickory with the egress's name servers and the broker's sockets.
//!
//! What matters most here is the difference between "there is none" and "nobody knows": only an
//! authoritative NXDOMAIN or an empty NOERROR is the former (RFC 5321 5.1). SERVFAIL, REFUSED, a
//! timeout, a lame delegation or nonsense is the latter, and mail waits.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup as Found;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::provider::Provider;
use super::{ByName, Lookup, Names, Sockets};
use crate::base::limits::{DNS_CACHE_RECORDS, DNS_FAMILY_GRACE, DNS_TIMEOUT, DNS_TTL_MAX};
use crate::config::checked::Egress;
use crate::route::{Addresses, LookupError, MxAnswer, TlsaAnswer};

/// One question to one server; three of them fit into `DNS_TIMEOUT`.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

type Asking = Arc<Resolver<Provider>>;

/// Resolvers by egress, made when they are first needed.
pub struct Resolvers {
    sockets: Arc<dyn Sockets>,
    known: Mutex<ByName<(Vec<SocketAddr>, Asking)>>,
}

impl Resolvers {
    /// Resolvers that ask through `sockets`.
    #[must_use]
    pub fn new(sockets: impl Sockets) -> Self {
        Self { sockets: Arc::new(sockets), known: Mutex::default() }
    }

    /// The resolver of an egress; a new one if its name servers have changed.
    fn of(&self, egress: &Egress) -> Result<Asking, LookupError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((servers, resolver)) = known.get(&egress.name)
            && *servers == egress.resolvers
        {
            return Ok(Arc::clone(resolver));
        }
        let resolver = build(&self.sockets, egress)
            .map(Arc::new)
            .map_err(|error| LookupError::Temporary(format!("resolver: {error}")))?;
        known.insert(egress.name.clone(), (egress.resolvers.clone(), Arc::clone(&resolver)));
        Ok(resolver)
    }

    async fn ask(&self, egress: &Egress, name: &str, kind: RecordType) -> Result<Found, Missing> {
        if let Some(cause) = self.sockets.suspended(&egress.name) {
            return Err(Missing::Unknown(LookupError::Suspended(cause)));
        }
        let resolver = self.of(egress).map_err(Missing::Unknown)?;
        let mut fqdn = Name::from_ascii(name)
            .map_err(|error| Missing::Unknown(LookupError::Temporary(error.to_string())))?;
        fqdn.set_fqdn(true);
        match tokio::time::timeout(DNS_TIMEOUT, resolver.lookup(fqdn, kind)).await {
            Err(_) => Err(Missing::Unknown(LookupError::Temporary("timeout".to_owned()))),
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(missing(&error)),
        }
    }

    async fn mx_of(&self, egress: &Egress, domain: &str) -> Result<MxAnswer, LookupError> {
        let found = match self.ask(egress, domain, RecordType::MX).await {
            Ok(found) => found,
            Err(Missing::Empty) => return Ok(MxAnswer::default()),
            Err(Missing::Unknown(error)) => return Err(error),
        };
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some((mx.preference, plain(&mx.exchange))),
            _ => None,
        });
        Ok(MxAnswer { hosts: records.collect(), secure: false })
    }

    async fn records(
        &self,
        egress: &Egress,
        host: &str,
        kind: RecordType,
    ) -> Result<Addresses, LookupError> {
        let found = match self.ask(egress, host, kind).await {
            Ok(found) => found,
            Err(Missing::Empty) => return Ok(Addresses::default()),
            Err(Missing::Unknown(error)) => return Err(error),
        };
        let mut addresses = Addresses::default();
        for record in found.answers() {
            match &record.data {
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
            Ok(none) if none == Addresses::default() => self.records(egress, host, other).await,
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
        let any = matches!(&first, Ok(found) if !(found.v4.is_empty() && found.v6.is_empty()));
        let second = if any {
            tokio::time::timeout(DNS_FAMILY_GRACE, second)
                .await
                .unwrap_or(Err(LookupError::Temporary("timeout".to_owned())))
        } else {
            second.await
        };
        both(first, second)
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
            match self.ask(egress, &name, RecordType::TLSA).await {
                // Nothing is proven yet, so nothing is to be believed.
                Ok(_) | Err(Missing::Empty | Missing::Unknown(LookupError::NoSuchDomain)) => {
                    Ok(TlsaAnswer::default())
                }
                Err(Missing::Unknown(error)) => Err(error),
            }
        })
    }

    fn txt<'a>(&'a self, egress: &'a Egress, name: &'a str) -> Lookup<'a, Vec<String>> {
        Box::pin(async move {
            let found = match self.ask(egress, name, RecordType::TXT).await {
                Ok(found) => found,
                Err(Missing::Empty) => return Ok(Vec::new()),
                Err(Missing::Unknown(error)) => return Err(error),
            };
            let texts = found.answers().iter().filter_map(|record| match &record.data {
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
                Err(Missing::Empty) => return Ok(Vec::new()),
                Err(Missing::Unknown(error)) => return Err(error),
            };
            let names = found.answers().iter().filter_map(|record| match &record.data {
                RData::PTR(ptr) => Some(plain(&ptr.0)),
                _ => None,
            });
            Ok(names.collect())
        })
    }
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
            Ok(found)
        }
        (Ok(found), Err(error)) | (Err(error), Ok(found)) => {
            let any = !(found.v4.is_empty() && found.v6.is_empty());
            if any { Ok(found) } else { Err(error) }
        }
        (Err(LookupError::NoSuchDomain), Err(error)) | (Err(error), Err(_)) => Err(error),
    }
}

/// Why there are no records.
enum Missing {
    /// The name exists and has none.
    Empty,
    /// The name does not exist, or nobody knows.
    Unknown(LookupError),
}

fn missing(error: &NetError) -> Missing {
    let unknown = |cause: String| Missing::Unknown(LookupError::Temporary(cause));
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Missing::Unknown(LookupError::NoSuchDomain),
            // A referral in place of an answer: the delegation is lame.
            ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
                unknown("lame delegation".to_owned())
            }
            ResponseCode::NoError => Missing::Empty,
            code => unknown(code.to_string()),
        },
        NetError::Io(io) if io.kind() == io::ErrorKind::NetworkDown => {
            Missing::Unknown(LookupError::Suspended(io.to_string()))
        }
        error => unknown(error.to_string()),
    }
}

/// A name without its trailing dot; the root is empty.
fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

fn build(sockets: &Arc<dyn Sockets>, egress: &Egress) -> Result<Resolver<Provider>, NetError> {
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
    builder.build()
}
