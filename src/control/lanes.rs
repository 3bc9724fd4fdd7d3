//! Rows about lanes: how every provider is treated, and why.

use serde::{Deserialize, Serialize};

use crate::base::time::WallTime;
use crate::event::Delay;

/// Legs of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByClass {
    /// One-time passwords.
    pub otp: u64,
    /// Transactional mail.
    pub transactional: u64,
    /// Subscribed mail.
    pub subscribed: u64,
}

/// A domain and what waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopDomain {
    /// The domain.
    pub domain: String,
    /// Messages for it.
    pub messages: u64,
}

/// A lane: a provider as it sees one of our addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRow {
    /// Provider, or domain as long as its provider is not known.
    pub lane: String,
    /// The egress at which its mail is at home.
    pub egress: String,
    /// `open`, `slowed`, `paused` or `held`.
    pub state: String,
    /// Why, if it is not open.
    pub reason: Option<String>,
    /// Until when: the end of the pause, or the next probe of held mail.
    pub until: Option<WallTime>,
    /// Connections now.
    pub connections: u32,
    /// Connections that are allowed now.
    pub allowed: u32,
    /// Connections that are ever allowed.
    pub connections_max: u32,
    /// Messages on one connection.
    pub messages_per_connection: u32,
    /// Messages a minute, if limited.
    pub messages_per_minute: Option<u32>,
    /// Messages in it, by class; whatever their place.
    pub classes: ByClass,
    /// That could go now.
    pub ready: u64,
    /// That wait for their date.
    pub waiting: u64,
    /// In the hands of carriers.
    pub in_flight: u64,
    /// That are held.
    pub held: u64,
    /// When the oldest was accepted.
    pub oldest: Option<WallTime>,
    /// The earliest date of those that wait.
    pub next: Option<WallTime>,
    /// The last unhappy answer.
    pub reply: Option<String>,
    /// Domains in it.
    pub domains: u64,
    /// Domains that are shut after failures or wait for their way.
    pub shut: u64,
    /// The domains with most messages, most first.
    pub top: Vec<TopDomain>,
    /// How long deliveries to this provider took, by class; providers that no rule knows share
    /// their numbers, which stand in the status.
    pub delays: Vec<Delay>,
}

/// Mail that is held for a fault of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRow {
    /// The receiver that refuses it.
    pub lane: String,
    /// From which egress.
    pub egress: String,
    /// Whose mail; none: everybody's.
    pub source: Option<String>,
    /// What is wrong: `ptr`, `helo`, `tls`, `spf`, `dkim`, `dmarc` or `authentication`.
    pub what: String,
    /// What is to be looked at.
    pub remedy: String,
    /// What the receiver said.
    pub reply: String,
    /// Since when.
    pub since: WallTime,
    /// When one message goes to see whether it is mended.
    pub probe: WallTime,
}
