//! The hatch between the sorting desk (queue) and the carriers (delivery tasks).

use std::future::Future;
use std::sync::Arc;

use crate::mail::address::Domain;
use crate::mail::answer::Answer;
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;
use crate::mail::trust::Assurance;
use crate::queue::Untried;

/// One carrier: a task that delivers to one domain over one connection at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierId(pub u64);

/// One transaction to make: a message and those of its recipients that share the domain.
#[derive(Clone, Debug)]
pub struct Job {
    /// The message.
    pub parcel: Arc<Parcel>,
    /// Indices of the recipients.
    pub recipients: Vec<u16>,
    /// Attempts before this one, of the recipient that was tried most often.
    pub attempts: u32,
}

/// What a carrier brings back.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// One answer for each recipient of the job.
    pub answers: Vec<Answer>,
    /// `host[address]:port`, or `none`.
    pub relay: String,
    /// Name of the egress.
    pub egress: String,
    /// TLS version and suite, or `none`.
    pub tls: String,
    /// How well the host was known.
    pub assurance: Assurance,
    /// The host offered DSN, so that NOTIFY went on to it (RFC 3461 5.2.1); else success that the
    /// sender wants to hear of is reported here, as "relayed".
    pub dsn_offered: bool,
    /// The host offered DELIVERBY, so that BY= went on to it (RFC 2852 4.1.4).
    pub deadline_offered: bool,
    /// How much of the delay was waiting for the connection, in milliseconds.
    pub connect_millis: u64,
}

/// A receiver says that our address has a bad name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The egress that was used.
    pub egress: &'a str,
    /// Who says so.
    pub provider: &'a str,
    /// The provider stands in the table of providers: its word is worth more than a stranger's.
    pub known: bool,
    /// What it said.
    pub reply: &'a PeerReply,
}

/// Somebody who wants to hear that an address of ours is listed. Called for every such reply; must
/// not block.
pub type ListedEar = Arc<dyn Fn(Listed<'_>) + Send + Sync>;

/// The sorting desk, as carriers see it.
pub trait Desk: Send + Sync + 'static {
    /// The next job for `carrier`; waits up to `CONNECTION_IDLE` for one if `patient`. `None`
    /// means: close the connection and end.
    fn next(&self, carrier: CarrierId, patient: bool) -> impl Future<Output = Option<Job>> + Send;

    /// Outcome of a job. Returns once the change is on its way to the ledger.
    fn settle(
        &self,
        carrier: CarrierId,
        job: Job,
        delivery: Delivery,
    ) -> impl Future<Output = ()> + Send;

    /// The provider behind a domain is known now (registered domain of its best MX).
    fn provider(&self, domain: &Domain, provider: &str);

    /// Whether a carrier may open a connection, asked after [`Desk::provider`]: the provider may
    /// have turned out to be one that has all its connections already. If not: [`Desk::hand_back`]
    /// the job and leave.
    fn may_connect(&self, carrier: CarrierId) -> bool {
        let _ = carrier;
        true
    }

    /// A job that was not begun goes back to the front of its line; no attempt is counted.
    fn hand_back(&self, carrier: CarrierId, job: Job) {
        let _ = (carrier, job);
    }

    /// A job that was not begun because its way is closed goes back; no attempt is counted, and the
    /// destination waits until the way is open.
    fn park(&self, carrier: CarrierId, job: Job, untried: Untried<'_>) {
        let _ = (carrier, job, untried);
    }

    /// The carrier ends; its slot is free.
    fn leave(&self, carrier: CarrierId);
}
