//! What a check of a way out found: findings with a grade and a remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::time::WallTime;

/// How good a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Grade {
    /// As receivers want it.
    Pass,
    /// It could not be found out; that is no good news.
    Unknown,
    /// It works, and some receivers will mind.
    Warn,
    /// Mail is or will be refused.
    Fail,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Unknown => "UNKNOWN",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What: `link`, `address`, `route`, `gateway`, `dns`, `dnssec`, `port`, `ptr`, `forward`,
    /// `ehlo`, `spf`, `dkim`, `dmarc`, `dnsbl`, `user`, `plan`, `guard`.
    pub item: String,
    /// Of what: an address, a domain, a name server, a list.
    pub subject: String,
    /// How good it is.
    pub grade: Grade,
    /// In plain words.
    pub text: String,
    /// What to do: the record to publish, the command to give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Everything about one way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressCheck {
    /// Its name.
    pub egress: String,
    /// The interface.
    pub device: Option<String>,
    /// Source addresses.
    pub addresses: Vec<String>,
    /// The EHLO name.
    pub ehlo: String,
    /// When it was looked at.
    pub at: WallTime,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl EgressCheck {
    /// How many findings have a grade.
    #[must_use]
    pub fn count(&self, grade: Grade) -> usize {
        self.findings.iter().filter(|finding| finding.grade == grade).count()
    }

    /// The worst grade.
    #[must_use]
    pub fn worst(&self) -> Grade {
        self.findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Unknown)
    }
}

/// The last check of a way out in the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRow {
    /// Name of the egress.
    pub egress: String,
    /// When.
    pub at: WallTime,
    /// The worst grade.
    pub worst: Grade,
    /// Findings that passed.
    pub passed: u64,
    /// What is wrong, in plain words, the worst first; at most three.
    pub wrong: Vec<String>,
}
