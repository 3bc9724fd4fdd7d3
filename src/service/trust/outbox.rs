//! How a report that the gateway wrote itself becomes mail: sealed, in custody, queued.

use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::super::custody::{Ids, SortingDesk};
use super::super::standing::Standing;
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::host::clock;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::class::MessageClass;
use crate::mail::envelope::Envelope;
use crate::mail::source::SourceName;
use crate::mail::stage::Label;
use crate::sign::seal_report;
use crate::store::spool::Spool;

/// Where reports are posted.
pub trait Outbox: Send + Sync + 'static {
    /// A fresh id for a message.
    fn id(&self) -> QueueId;

    /// Takes a message from the null reverse-path; it is in custody when this returns.
    ///
    /// # Errors
    /// It could not be signed or stored.
    fn send(
        &self,
        id: QueueId,
        to: Mailbox,
        content: Bytes,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The outbox of this house.
pub struct ReportBox {
    /// Keys and patience.
    pub standing: Arc<ArcSwap<Standing>>,
    /// Custody.
    pub spool: Spool,
    /// The queue.
    pub desk: Arc<SortingDesk>,
    /// Names of messages.
    pub ids: Arc<Ids>,
}

impl Outbox for ReportBox {
    fn id(&self) -> QueueId {
        self.ids.next()
    }

    async fn send(&self, id: QueueId, to: Mailbox, content: Bytes) -> Result<(), Fault> {
        let standing = self.standing.load_full();
        let (now, class) = (clock::wall(), MessageClass::Transactional);
        let patience = standing.config.retry.get(&class);
        let lifetime = patience.map(|patience| patience.lifetime).unwrap_or_default();
        let label = Label {
            source: SourceName::house(),
            class,
            accepted: now,
            expires: now.after(lifetime),
            notification: true,
            priority: 0,
            notice: None,
        };
        // Its header says so too: a report about TLS that fails must not fail with it.
        let envelope = Envelope { tls_optional: true, ..Envelope::from(ReversePath::Null) };
        let sealed = seal_report(&content, envelope, to, label, id, &standing.keyring)?;
        let parcel = sealed.signed.parcel().clone();
        let committed = self.spool.commit(sealed.signed, Vec::new()).await;
        let custody = committed.map_err(|error| Fault::new("storing the report", id, error))?;
        self.desk.admit(&custody, &parcel);
        Ok(())
    }
}
