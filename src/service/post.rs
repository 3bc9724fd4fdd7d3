//! The hatch between the sorting desk (queue) and the carriers (delivery tasks).

use std::future::Future;
use std::sync::Arc;

use crate::mail::address::Domain;
use crate::mail::answer::Answer;
use crate::mail::stage::Parcel;

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
    /// How much of the delay was waiting for the connection, in milliseconds.
    pub connect_millis: u64,
}

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

    /// The carrier ends; its slot is free.
    fn leave(&self, carrier: CarrierId);
}
