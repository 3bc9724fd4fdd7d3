//! Pools of egresses, and what one address may carry while it is new.

use serde::{Deserialize, Serialize};

use super::Config;

/// Egresses that share the mail of some sources and destinations. Every egress is also a pool of
/// one that bears its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Who is in it; never empty.
    pub members: Vec<Member>,
}

/// An egress in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Name of the egress.
    pub egress: String,
    /// Its share, against the sum of all weights; at least 1.
    pub weight: u32,
}

/// The schedule of an address that receivers do not know yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUp {
    /// The first day, in days since 1970-01-01 (UTC).
    pub first_day: u32,
    /// Messages to one provider on the first day, the second, and so on; never empty. After the
    /// last day there is no limit.
    pub steps: Vec<u32>,
}

impl WarmUp {
    /// Messages that one provider may get on `day` (days since 1970-01-01, UTC); none: no limit.
    #[must_use]
    pub fn allowance(&self, day: u32) -> Option<u32> {
        let day = usize::try_from(day.saturating_sub(self.first_day)).unwrap_or(usize::MAX);
        self.steps.get(day).copied()
    }
}

impl Config {
    /// The pool called `name`, or the default one: the first of the document, else the first
    /// egress.
    #[must_use]
    pub fn pool(&self, name: Option<&str>) -> Option<&Pool> {
        match name {
            Some(name) => self.pools.iter().find(|pool| pool.name == name),
            None => self.pools.first(),
        }
    }
}
