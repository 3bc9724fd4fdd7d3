//! Stored messages that cannot be read back: their senders are told as far as they are known.

use std::sync::Arc;

use super::{Dispatch, Reporter, Store};
use crate::event::Event;
use crate::mail::answer::{Answer, Phase};
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;
use crate::mail::status::EnhancedStatus;
use crate::mail::trust::Assurance;
use crate::queue::Ticket;
use crate::service::post::{Delivery, Job};

impl<S: Store, R: Reporter> Dispatch<S, R> {
    /// A job whose message is damaged. If its envelope is known, its recipients fail as any others:
    /// recorded and reported in one. Else nobody can be told but the operator.
    pub(super) async fn give_up_damaged(
        &self,
        carrier: u64,
        ticket: Ticket,
        reason: String,
        known: Option<Arc<Parcel>>,
    ) {
        let id = ticket.id;
        let Some(parcel) = known else {
            if let Err(fault) = self.store.quarantine(id, &reason).await {
                self.fault_seen(&fault);
            }
            self.with(|queue, at| queue.handle_damaged(carrier, at.now));
            return;
        };
        (self.tell)(Event::MessageQuarantined { id, reason });
        // RFC 3463: 5.3.0, a fault of the mail system.
        let reply = PeerReply::ours(
            EnhancedStatus::new(5, 3, 0),
            "the stored message was damaged and cannot be delivered; send it again",
        );
        let Ticket { recipients, attempts, .. } = ticket;
        let answer = |recipient: &u16| Answer {
            recipient: *recipient,
            phase: Phase::Routing,
            reply: reply.clone(),
            in_doubt: false,
        };
        let nobody = || "none".to_owned();
        let delivery = Delivery {
            answers: recipients.iter().map(answer).collect(),
            relay: nobody(),
            egress: nobody(),
            tls: nobody(),
            assurance: Assurance::Clear,
            dsn_offered: false,
            deadline_offered: false,
            connect_millis: 0,
        };
        let job = Job { parcel, recipients, attempts };
        self.settle_job(carrier, &job, &delivery).await;
    }
}
