//! Names from a table: for tests, and for a demonstration without an Internet.

use std::net::IpAddr;

use super::{ByName, Lookup, Names, Verdict};
use crate::config::checked::Egress;
use crate::route::{Addresses, LookupError, MxAnswer, TlsaAnswer};

/// A fixed set of answers; a name that is not in it does not exist.
#[derive(Clone, Debug, Default)]
pub struct Table {
    mx: ByName<Result<MxAnswer, LookupError>>,
    addresses: ByName<Result<Addresses, LookupError>>,
    tlsa: ByName<Result<TlsaAnswer, LookupError>>,
    txt: ByName<Result<Vec<String>, LookupError>>,
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

    /// The answer to a question for the TLSA records of `_port._tcp.host`.
    #[must_use]
    pub fn with_tlsa(
        mut self,
        host: &str,
        port: u16,
        answer: Result<TlsaAnswer, LookupError>,
    ) -> Self {
        self.tlsa.insert(format!("_{port}._tcp.{host}"), answer);
        self
    }

    /// The answer to a question for the TXT records of `name`.
    #[must_use]
    pub fn with_txt(mut self, name: &str, answer: Result<Vec<String>, LookupError>) -> Self {
        self.txt.insert(name.to_owned(), answer);
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

    fn tlsa<'a>(&'a self, _egress: &'a Egress, host: &'a str, port: u16) -> Lookup<'a, TlsaAnswer> {
        let none = Ok(TlsaAnswer::default());
        let answer = self.tlsa.get(&format!("_{port}._tcp.{host}")).cloned().unwrap_or(none);
        Box::pin(std::future::ready(answer))
    }

    fn txt<'a>(&'a self, _egress: &'a Egress, name: &'a str) -> Lookup<'a, Vec<String>> {
        let answer = self.txt.get(name).cloned().unwrap_or(Err(LookupError::NoSuchDomain));
        Box::pin(std::future::ready(answer))
    }

    fn names<'a>(&'a self, _egress: &'a Egress, _address: IpAddr) -> Lookup<'a, Vec<String>> {
        Box::pin(std::future::ready(Err(LookupError::NoSuchDomain)))
    }

    fn dnssec(&self, _egress: &Egress) -> Option<Verdict> {
        None
    }
}
