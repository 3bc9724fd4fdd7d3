//! A deed: what somebody did through the control socket, as the audit log keeps it.

use serde::{Deserialize, Serialize};

use crate::base::time::WallTime;

/// Who did what to what, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Who: name and user id.
    pub actor: String,
    /// By which way: "control socket, process 4711".
    pub origin: String,
    /// The verb, as the command line has it: "source disable".
    pub action: String,
    /// To what.
    pub subject: String,
    /// `begun`, `done: ..`, `refused: ..` or `failed: ..`.
    pub outcome: String,
}

/// A deed in the log, chained to the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Counts from 1, no gaps.
    pub seq: u64,
    /// When.
    pub time: WallTime,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
    /// Hash of the record before, in hex; 64 zeros for the first.
    pub prev: String,
    /// SHA-256 over everything above, in hex.
    pub hash: String,
}

/// What a check of the whole log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Records that were read.
    pub records: u64,
    /// Whether every record is as it was written, in place, and none is missing.
    pub good: bool,
    /// The first record that is not.
    pub first_bad: Option<u64>,
    /// What is wrong with it, or a word of comfort.
    pub finding: String,
}
