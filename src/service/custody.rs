//! The spool as the sorting desk sees it, and the pen that writes reports.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::dispatch::{Dispatch, FetchError, Reporter, Store};
use super::standing::Standing;
use crate::base::chance::Chance;
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::host::clock;
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::mail::class::MessageClass;
use crate::mail::envelope::Envelope;
use crate::mail::queued::Change;
use crate::mail::source::SourceName;
use crate::mail::stage::{Custody, Label, Parcel, Signed};
use crate::outcome::dsn::Report;
use crate::sign::seal_report;
use crate::store::Health;
use crate::store::spool::{self, CommitError, Spool};

/// The sorting desk of this house.
pub type SortingDesk = Dispatch<Vault, Scribe>;

/// Queue ids from the clock and a seeded stream of chance.
#[derive(Debug)]
pub struct Ids(Mutex<Chance>);

impl Ids {
    /// A stream from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Chance::new(seed)))
    }

    /// An id for a message that is accepted now.
    pub fn next(&self) -> QueueId {
        let mut chance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bits = u128::from(chance.draw()) << 64 | u128::from(chance.draw());
        QueueId::new(clock::wall(), bits)
    }
}

/// The spool.
#[derive(Clone)]
pub struct Vault(pub Spool);

impl Vault {
    fn latched(&self) -> Result<(), Fault> {
        match self.0.health() {
            Health::Latched => Err(Fault::new("recording in", "the ledger", "it has failed")),
            _ => Ok(()),
        }
    }
}

fn ledger_fault(cause: CommitError) -> Fault {
    Fault::new("writing to", "the ledger", cause)
}

impl Store for Vault {
    async fn fetch(&self, id: QueueId) -> Result<Arc<Parcel>, FetchError> {
        self.0.fetch(id).await.map_err(|error| match error {
            spool::FetchError::Fault(fault) => FetchError::Fault(fault),
            other => {
                let reason = other.to_string();
                let known = match other {
                    spool::FetchError::Damaged(Some(known)) => Some(*known),
                    _ => None,
                };
                let known = known.map(|(label, envelope)| {
                    Arc::new(Parcel { id, label, envelope, content: Bytes::new() })
                });
                FetchError::Damaged { reason, known }
            }
        })
    }

    async fn quarantine(&self, id: QueueId, reason: &str) -> Result<(), Fault> {
        match self.0.quarantine(id, reason).await {
            // What is not there any more needs no quarantine.
            Ok(()) | Err(spool::FetchError::Unknown) => Ok(()),
            Err(error) => Err(Fault::new("setting aside", id, error)),
        }
    }

    fn record(&self, changes: Vec<Change>) -> Result<(), Fault> {
        self.latched()?;
        self.0.record(changes);
        Ok(())
    }

    async fn record_durably(&self, changes: Vec<Change>) -> Result<(), Fault> {
        self.0.record_durably(changes).await.map_err(ledger_fault)
    }

    async fn commit(&self, signed: Signed, changes: Vec<Change>) -> Result<Custody, Fault> {
        self.0.commit(signed, changes).await.map_err(ledger_fault)
    }
}

/// Seals reports.
pub struct Scribe {
    standing: Arc<ArcSwap<Standing>>,
    ids: Arc<Ids>,
}

impl Scribe {
    /// A scribe that signs with the keys that stand.
    #[must_use]
    pub fn new(standing: Arc<ArcSwap<Standing>>, ids: Arc<Ids>) -> Self {
        Self { standing, ids }
    }
}

impl Reporter for Scribe {
    fn id(&self) -> QueueId {
        self.ids.next()
    }

    fn hostname(&self) -> Domain {
        self.standing.load().config.hostname.clone()
    }

    fn owner(&self, source: &SourceName) -> Option<Mailbox> {
        self.standing.load().directory.source(source)?.owner.clone()
    }

    async fn seal(&self, report: Report, about: &Parcel) -> Result<Signed, Fault> {
        let standing = self.standing.load_full();
        let now = clock::wall();
        let class = MessageClass::Transactional;
        let Some(patience) = standing.config.retry.get(&class) else {
            return Err(Fault::new("sealing the report about", about.id, "no patience is set"));
        };
        let lifetime = patience.lifetime;
        let label = Label {
            source: about.label.source.clone(),
            class,
            accepted: now,
            expires: now.after(lifetime),
            notification: true,
            // A report is as urgent as what it reports (RFC 6710 4.6), and its header, which the
            // report carries, is as confidential (RFC 8689 section 5).
            priority: about.label.priority,
            notice: None,
        };
        let Report { id, to, content, smtputf8, .. } = report;
        let envelope = Envelope {
            smtputf8,
            require_tls: about.envelope.require_tls,
            priority: about.envelope.priority,
            ..Envelope::from(ReversePath::Null)
        };
        let sealed = seal_report(&content, envelope, to, label, id, &standing.keyring)?;
        Ok(sealed.signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Anywhere, read};
    use crate::mail::envelope::Recipient;
    use crate::outcome::dsn::{Desk, Fate, Line, compose};
    use crate::source::{BootSecret, Switches};

    const DOCUMENT: &str = r#"
version = 1
hostname = "gate.example.org"
lab = true
[spool]
path = "/var/lib/postern/spool"
[listener.in]
address = "127.0.0.1:0"
kind = "smtp"
clear_text = true
network_sources = true
[source.shop]
proof = "network"
networks = ["127.0.0.1/32"]
pairs = [{ reverse_path = "*@example.org", from = "*@example.org" }]
[egress.out]
device = "lo"
ipv4 = "127.0.0.1"
resolvers = ["127.0.0.1:53"]
"#;

    fn scribe() -> Scribe {
        let config = Arc::new(read(DOCUMENT, &Anywhere).unwrap().config);
        let secret = BootSecret::draw().unwrap();
        let standing = Standing::build(config, &Switches::default(), secret).unwrap();
        Scribe::new(Arc::new(ArcSwap::from_pointee(standing)), Arc::new(Ids::new(1)))
    }

    /// RFC 8689 section 5, RFC 6710 4.6.
    #[tokio::test]
    async fn a_report_is_as_confidential_and_as_urgent_as_its_message() {
        let scribe = scribe();
        let mailbox = |text| Mailbox::parse(text, false).unwrap();
        for (require_tls, priority) in [(true, Some(4)), (false, Some(-2)), (false, None)] {
            let now = clock::wall();
            let mut envelope = Envelope::from(ReversePath::Mailbox(mailbox("shop@example.org")));
            envelope.recipients = vec![Recipient::plain(mailbox("x@example.net"))];
            envelope.require_tls = require_tls;
            envelope.priority = priority;
            let label = Label {
                source: SourceName::new("shop").unwrap(),
                class: MessageClass::Otp,
                accepted: now,
                expires: now,
                notification: false,
                priority: priority.unwrap_or(0),
                notice: None,
            };
            let content = Bytes::from_static(b"From: shop@example.org\r\n\r\nx\r\n");
            let about = Parcel { id: scribe.id(), label, envelope, content };
            let hostname = scribe.hostname();
            let desk = Desk { hostname: &hostname, owner: None, id: scribe.id(), now };
            let reply = crate::mail::reply::PeerReply::new(550, None, "no");
            let line =
                Line { recipient: 0, fate: Fate::Failed, reply, remote: None, attempted: None };
            let report = compose(&about, desk, &[line]).unwrap();
            let signed = scribe.seal(report, &about).await.unwrap();
            let parcel = signed.parcel();
            assert_eq!(parcel.envelope.reverse_path, ReversePath::Null);
            assert_eq!(parcel.envelope.require_tls, require_tls);
            assert_eq!(parcel.envelope.priority, priority);
            assert_eq!(parcel.label.priority, priority.unwrap_or(0));
            assert!(parcel.label.notification);
        }
    }
}
