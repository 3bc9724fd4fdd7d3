//! By which way mail leaves: a pool of egresses, and the member at which it is at home.

use std::fmt;
use std::sync::Arc;

/// A pool and the member that mail of one (source, destination) prefers. As long as the home is
/// whole, the receiver always sees the same address; when it is not, another member of the pool
/// stands in, and never anybody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// Name of the pool.
    pub pool: Arc<str>,
    /// Name of the egress that is preferred.
    pub home: Arc<str>,
}

impl Way {
    /// A way through `pool`, at home at `home`.
    #[must_use]
    pub fn new(pool: &str, home: &str) -> Self {
        Self { pool: pool.into(), home: home.into() }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pool == self.home {
            f.write_str(&self.home)
        } else {
            write!(f, "{}/{}", self.pool, self.home)
        }
    }
}
