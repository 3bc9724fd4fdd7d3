//! Names from a table: for tests, and for a demonstration without an Internet.

use super::{ByName, Lookup, Names};
use crate::config::checked::Egress;
use crate::route::{Addresses, LookupError, MxAnswer};

/// A fixed set of answers; a name that is not in it does not exist.
#[derive(Clone, Debug, Default)]
pub struct Table {
    mx: ByName<Result<MxAnswer, LookupError>>,
    addresses: ByName<Result<Addresses, LookupError>>,
}

impl Table {
    /// The answer to a question for the MX of `domain`.
    #[must_use]
    pub fn with_mx(mut self, domain: &str, answer: Result<MxAnswer, LookupError>) -> Self {
        self.mx.insert(domain.to_owned(), answer);
        self
    }

    /// The answer to a question for the addresses of `host`.
    #[must_use]
    pub fn with_addresses(mut self, host: &str, answer: Result<Addresses, LookupError>) -> Self {
        self.addresses.insert(host.to_owned(), answer);
        self
    }
}

impl Names for Table {
    fn mx<'a>(&'a self, _egress: &'a Egress, domain: &'a str) -> Lookup<'a, MxAnswer> {
        // A name that exists in any form has at least an empty answer.
        let known = self.addresses.contains_key(domain);
        let absent = if known { Ok(MxAnswer::default()) } else { Err(LookupError::NoSuchDomain) };
        let answer = self.mx.get(domain).cloned().unwrap_or(absent);
        Box::pin(std::future::ready(answer))
    }

    fn addresses<'a>(&'a self, _egress: &'a Egress, host: &'a str) -> Lookup<'a, Addresses> {
        let answer = self.addresses.get(host).cloned().unwrap_or(Err(LookupError::NoSuchDomain));
        Box::pin(std::future::ready(answer))
    }
}
