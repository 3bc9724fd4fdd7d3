//! Whose host an MX is: the provider whose limits count, whatever domains it serves.
//!
//! The best MX decides, by the table of providers; a provider that no rule knows is called by the
//! registered domain of that host, as the Public Suffix List has it.

use std::net::IpAddr;

use super::Host;
use crate::config::checked::ProviderRule;

/// The provider behind a list of hosts, the best first.
#[must_use]
pub fn provider<'a>(rules: &'a [ProviderRule], hosts: &'a [Host]) -> Option<&'a str> {
    hosts.first().map(|host| provider_of(rules, &host.name))
}

/// The provider that a host belongs to. A name without registered domain, or an address, is its
/// own provider.
#[must_use]
pub fn provider_of<'a>(rules: &'a [ProviderRule], host: &'a str) -> &'a str {
    if let Some(rule) = rules.iter().find(|rule| rule.serves(host)) {
        return &rule.name;
    }
    psl::domain_str(host).filter(|_| host.parse::<IpAddr>().is_err()).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::super::special::Origin;
    use super::*;

    fn host(name: &str) -> Host {
        Host { name: name.to_owned(), address: None, port: 25, origin: Origin::Mx }
    }

    #[test]
    fn the_best_host_decides_and_strangers_are_called_by_their_domain() {
        let rule = ProviderRule {
            name: "filter".to_owned(),
            mx: vec!["*.filter.example".to_owned()],
            ..ProviderRule::default()
        };
        let rules = [rule];
        let of = |names: &[&str]| {
            let hosts: Vec<Host> = names.iter().map(|name| host(name)).collect();
            provider(&rules, &hosts).map(str::to_owned)
        };
        assert_eq!(of(&["a.filter.example", "mx.other.example"]).as_deref(), Some("filter"));
        assert_eq!(of(&["mx.other.co.uk", "a.filter.example"]).as_deref(), Some("other.co.uk"));
        assert_eq!(of(&["192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(of(&["localhost"]).as_deref(), Some("localhost"));
        assert_eq!(of(&[]), None);
    }
}
