//! Names: MX, A and AAAA through an egress, by the egress's own name servers.
//!
//! **Invariant:** this is the only door to hickory, and no socket is opened here: they all come
//! from the broker.

mod provider;
pub mod resolver;
pub mod table;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::config::checked::Egress;
use crate::route::{Addresses, LookupError, MxAnswer};

/// A look-up in progress.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, LookupError>> + Send + 'a>>;

/// Where names are looked up; a table in tests and demonstrations.
pub trait Names: Send + Sync + 'static {
    /// The MX records of `domain`.
    fn mx<'a>(&'a self, egress: &'a Egress, domain: &'a str) -> Lookup<'a, MxAnswer>;

    /// The addresses of `host`. A family that `egress` lacks may be left out if the other one has
    /// addresses.
    fn addresses<'a>(&'a self, egress: &'a Egress, host: &'a str) -> Lookup<'a, Addresses>;
}

/// Names by egress name: what `table::Table` and the resolver share.
type ByName<T> = BTreeMap<String, T>;
