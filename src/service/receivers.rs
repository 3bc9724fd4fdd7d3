//! What is known of receivers: who a host belongs to and what its replies mean.

use crate::config::checked::{Config, ProviderRule};
use crate::config::providers::built_in;
use crate::outcome::replies::Book;
use crate::route;

/// The table of providers and the reply book, as the configuration has them.
#[derive(Clone, Debug)]
pub struct Receivers {
    /// What replies mean.
    pub book: Book,
    providers: Vec<ProviderRule>,
}

impl Default for Receivers {
    /// The built-in tables.
    fn default() -> Self {
        Self { book: Book::default(), providers: built_in() }
    }
}

impl Receivers {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { book: Book::new(&config.replies), providers: config.providers.clone() }
    }

    /// The provider whose host answered; `None` if no host did.
    #[must_use]
    pub fn speaker<'a>(&'a self, relay: &'a str) -> Option<&'a str> {
        let (host, _) = relay.split_once('[')?;
        Some(route::provider_of(&self.providers, host))
    }

    /// Whether a rule knows the provider of this name.
    #[must_use]
    pub fn knows(&self, provider: &str) -> bool {
        self.providers.iter().any(|rule| rule.name == provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_that_spoke_says_whose_words_they_are() {
        let receivers = Receivers::default();
        let of = |relay| receivers.speaker(relay);
        assert_eq!(of("aspmx.l.google.com[192.0.2.1]:25"), Some("google"));
        assert_eq!(of("mx.evil.example[192.0.2.2]:25"), Some("evil.example"));
        assert_eq!(of("none"), None);
        assert!(receivers.knows("google") && !receivers.knows("evil.example"));
    }
}
