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

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::watch;

use super::answer::{Denied, Found};
use super::asker::{Asker, Missing, Proofs, Proving};
use super::{ByName, Lookup, Names, Sockets, Verdict};
use crate::base::fault::Fault;
use crate::base::limits::{DNS_FAMILY_GRACE, DNS_TIMEOUT};
use crate::config::checked::{DaneMode, Egress, TrustConfig};
use crate::mail::trust::Tlsa;
use crate::route::{Addresses, LookupError, MxAnswer, TlsaAnswer};

/// Resolvers by egress, made when they are first needed.
pub struct Resolvers {
    sockets: Arc<dyn Sockets>,
    proofs: RwLock<Proofs>,
    known: Mutex<ByName<Arc<Asker>>>,
    verdicts: watch::Sender<ByName<Verdict>>,
}

impl Resolvers {
    /// Resolvers that ask through `sockets`, and prove what they hear unless DANE is off.
    ///
    /// # Errors
    /// The file of anchors cannot be read or holds something else.
    pub fn new(sockets: impl Sockets, trust: &TrustConfig) -> Result<Self, Fault> {
        Ok(Self {
            sockets: Arc::new(sockets),
            proofs: RwLock::new(Proofs::read(trust)?),
            known: Mutex::default(),
            verdicts: watch::Sender::default(),
        })
    }

    /// Takes other settings after a reload. What is known is kept if they are the
    /// same.
    ///
    /// # Errors
    /// As [`Resolvers::new`]; the old ones stay in force.
    pub fn reload(&self, trust: &TrustConfig) -> Result<(), Fault> {
        let new = Proofs::read(trust)?;
        let mut proofs = self.proofs.write().unwrap_or_else(PoisonError::into_inner);
        let said =
            |proofs: &Proofs| (proofs.mode, proofs.text.clone(), Vec::clone(&proofs.unsigned));
        if said(&proofs) == said(&new) {
            return Ok(());
        }
        *proofs = new;
        drop(proofs);
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

    async fn tried(&self, egress: &Egress, asker: &Asker, proving: &Proving) -> Option<Verdict> {
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

    /// The resolvers of an egress; new ones if its name servers have changed.
    fn of(&self, egress: &Egress) -> Result<Arc<Asker>, LookupError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asker) = known.get(&egress.name)
            && asker.servers == egress.resolvers
        {
            return Ok(Arc::clone(asker));
        }
        let proofs = self.proofs.read().unwrap_or_else(PoisonError::into_inner).clone();
        let asker = Asker::new(&self.sockets, egress, proofs)
            .map(Arc::new)
            .map_err(|error| LookupError::Temporary(format!("resolver: {error}")))?;
        known.insert(egress.name.clone(), Arc::clone(&asker));
        Ok(asker)
    }

    async fn ask(
        &self,
        egress: &Egress,
        name: &str,
        kind: RecordType,
    ) -> Result<Arc<Found>, Missing> {
        if let Some(cause) = self.sockets.suspended(&egress.name) {
            return Err(LookupError::Suspended(cause).into());
        }
        let asker = self.of(egress)?;
        let mut fqdn =
            Name::from_ascii(name).map_err(|error| LookupError::Temporary(error.to_string()))?;
        fqdn.set_fqdn(true);
        let proving = match &asker.proving {
            None => None,
            Some(_) if asker.is_unsigned(&fqdn) => None,
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
        let late = || Err(LookupError::Temporary("timeout".to_owned()).into());
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
            // The case is what was asked in, which is random.
            canonical: found.end.as_ref().map(|end| plain(&end.to_lowercase())),
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
            let records = found.data.iter().filter_map(|data| match data {
                RData::TLSA(tlsa) => Some(Tlsa {
                    usage: tlsa.cert_usage.into(),
                    selector: tlsa.selector.into(),
                    matching: tlsa.matching.into(),
                    data: tlsa.cert_data.clone(),
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
