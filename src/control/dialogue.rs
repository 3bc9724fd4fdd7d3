//! A live trace of the SMTP dialogue of one source or one destination, as it is polled.
//!
//! What AUTH carries and the content of messages are never in it: both are left out where the lines
//! are taken, not where they are shown.

use serde::{Deserialize, Serialize};

use crate::base::time::WallTime;
use crate::mail::source::SourceName;

/// Whose dialogue is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traced {
    /// Sessions in which this source submits, from its identification on.
    Source(SourceName),
    /// Deliveries to this domain.
    Destination(String),
}

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The client: a source, or we as we deliver.
    Client,
    /// The server: we as we receive, or the destination's host.
    Server,
    /// Nobody: a remark of the trace itself (connected, TLS, octets of DATA).
    Trace,
}

/// A line of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogueRow {
    /// Its number; begins at 1.
    pub number: u64,
    /// When.
    pub at: WallTime,
    /// Which session of the trace; begins at 1.
    pub session: u64,
    /// Who said it.
    pub speaker: Speaker,
    /// The line, without its end, cut where it is long.
    pub text: String,
}

/// What a poll of a trace gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// `source NAME` or `destination DOMAIN`; empty: nobody traces.
    pub about: String,
    /// Lines after the number that was asked for, oldest first.
    pub rows: Vec<DialogueRow>,
    /// Lines that were too old or too many to be kept.
    pub lost: u64,
    /// Seconds until the trace ends by itself; 0: it has ended.
    pub left_secs: u64,
}
