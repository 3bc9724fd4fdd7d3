//! Mail whose patience is over: reported, recorded, then forgotten. And notices of delay.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::settle::attempt;
use super::{Dispatch, FetchError, Late, Reporter, Store};
use crate::event::Event;
use crate::mail::answer::{Answer, Phase};
use crate::mail::queued::{Change, Settlement};
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;
use crate::mail::status::EnhancedStatus;
use crate::mail::trust::Assurance;
use crate::outcome::dsn::{Fate, Line};
use crate::queue::Overdue;
use crate::service::post::Delivery;

/// Reports that are written at a time: they share their syncs.
const REPORTS_AT_ONCE: usize = 64;

impl<S: Store, R: Reporter> Dispatch<S, R> {
    /// Works off what the queue says is late, for as long as the house stands.
    pub(super) async fn keep_promises(
        self: Arc<Self>,
        mut receiver: mpsc::UnboundedReceiver<Late>,
    ) {
        let mut at_work = JoinSet::new();
        while let Some(late) = receiver.recv().await {
            while at_work.try_join_next().is_some() {}
            if at_work.len() >= REPORTS_AT_ONCE {
                let _ = at_work.join_next().await;
            }
            let desk = Arc::clone(&self);
            at_work.spawn(async move {
                match late {
                    Late::Expired(overdue) => desk.expire(overdue).await,
                    Late::Delayed(overdue) => desk.notice(overdue).await,
                }
            });
        }
    }

    async fn expire(&self, overdue: Overdue) {
        let reply = overdue.reply.clone().unwrap_or_else(|| {
            PeerReply::ours(EnhancedStatus::new(4, 4, 7), "not delivered in the time set for it")
        });
        let changes: Vec<Change> = overdue
            .recipients
            .iter()
            .map(|recipient| Change::Settled {
                id: overdue.id,
                recipient: *recipient,
                settlement: Settlement::Expired { reply: reply.clone() },
            })
            .collect();
        let fetched = match self.store.fetch(overdue.id).await {
            Err(FetchError::Damaged { reason, known: Some(parcel) }) => {
                (self.tell)(Event::MessageQuarantined { id: overdue.id, reason });
                Ok(parcel)
            }
            other => other,
        };
        match fetched {
            Ok(parcel) => {
                let lines = lines(&overdue, &reply, Fate::Expired);
                let at = (self.clock)();
                let written = match self.report(&parcel, &lines, &changes, at).await {
                    Ok(written) => written,
                    Err(fault) => {
                        self.fault_seen(&fault);
                        self.with(|queue, at| queue.handle_postponed(&overdue, at.now));
                        return;
                    }
                };
                self.tell_expired(&parcel, &overdue, &reply);
                self.post(written);
            }
            Err(FetchError::Damaged { reason, .. }) => {
                if let Err(fault) = self.store.quarantine(overdue.id, &reason).await {
                    self.fault_seen(&fault);
                    self.note(changes);
                }
                (self.tell)(Event::ReportOmitted { about: overdue.id, reason });
            }
            Err(FetchError::Fault(fault)) => {
                self.fault_seen(&fault);
                self.with(|queue, at| queue.handle_postponed(&overdue, at.now));
                return;
            }
        }
        if self.with(|queue, at| queue.handle_expired(&overdue, at.now)) {
            (self.tell)(Event::MessageCompleted { id: overdue.id });
        }
    }

    fn tell_expired(&self, parcel: &Parcel, overdue: &Overdue, reply: &PeerReply) {
        let nobody = || "none".to_owned();
        let delivery = Delivery {
            answers: Vec::new(),
            relay: nobody(),
            egress: nobody(),
            tls: nobody(),
            assurance: Assurance::Clear,
            dsn_offered: false,
            deadline_offered: false,
            connect_millis: 0,
        };
        let at = (self.clock)();
        for recipient in &overdue.recipients {
            let answer = Answer {
                recipient: *recipient,
                phase: Phase::Routing,
                reply: reply.clone(),
                in_doubt: false,
            };
            let fact = attempt(parcel, &answer, &delivery, overdue.attempts, at);
            (self.tell)(Event::RecipientExpired(fact));
        }
    }

    async fn notice(&self, overdue: Overdue) {
        let changes: Vec<Change> = overdue
            .recipients
            .iter()
            .map(|recipient| Change::DelayNoticed { id: overdue.id, recipient: *recipient })
            .collect();
        let parcel = match self.store.fetch(overdue.id).await {
            Ok(parcel) => parcel,
            // A notice is a courtesy: the end of the message will be reported, or was.
            Err(FetchError::Damaged { .. }) => return,
            Err(FetchError::Fault(fault)) => return self.fault_seen(&fault),
        };
        let reply = overdue
            .reply
            .clone()
            .unwrap_or_else(|| PeerReply::ours(EnhancedStatus::new(4, 4, 1), "not delivered yet"));
        let until = parcel.label.expires;
        let lines = lines(&overdue, &reply, Fate::Delayed { until });
        let at = (self.clock)();
        match self.report(&parcel, &lines, &changes, at).await {
            Ok(written) => self.post(written),
            Err(fault) => self.fault_seen(&fault),
        }
    }
}

fn lines(overdue: &Overdue, reply: &PeerReply, fate: Fate) -> Vec<Line> {
    let line = |recipient: &u16| Line {
        recipient: *recipient,
        fate,
        reply: reply.clone(),
        remote: None,
        attempted: None,
    };
    overdue.recipients.iter().map(line).collect()
}
