//! What receivers bear: providers and what their replies mean.

use std::time::Duration;

use serde::Serialize;

use super::LaneLimits;
use crate::mail::meaning::{CodePattern, Meaning, StatusPattern};

/// Limits of one provider, over those of [`super::LaneLimits`]. The document's come first, then the
/// built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProviderRule {
    /// Its name; lanes and histograms show it.
    pub name: String,
    /// Names of MX hosts: `mx.example.net`, `*.example.net` for everything below, `mx*.example.net`
    /// for one label that begins so.
    pub mx: Vec<String>,
    /// Connections at most.
    pub connections_max: Option<u32>,
    /// Messages on one connection.
    pub messages_per_connection: Option<u32>,
    /// Messages a minute.
    pub messages_per_minute: Option<u32>,
}

impl ProviderRule {
    /// Whether a host name (lower case, no final dot) is one of this provider's.
    #[must_use]
    pub fn serves(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| {
            let Some((head, tail)) = pattern.split_once('*') else { return host == pattern };
            let middle = host.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
            middle.is_some_and(|middle| match head {
                "" => !middle.is_empty(),
                _ => !middle.contains('.'),
            })
        })
    }

    /// The limits of the lanes of this provider.
    #[must_use]
    pub fn limits(&self, lanes: &LaneLimits) -> LaneLimits {
        let connections_max = self.connections_max.unwrap_or(lanes.connections_max);
        LaneLimits {
            connections_first: lanes.connections_first.min(connections_max),
            connections_max,
            connections_total_max: lanes.connections_total_max,
            messages_per_connection: self
                .messages_per_connection
                .unwrap_or(lanes.messages_per_connection),
            messages_per_minute: self.messages_per_minute.or(lanes.messages_per_minute),
        }
    }
}

/// What a reply means, by provider, code, status and text: all that are given must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplyRule {
    /// Only replies of this provider's hosts.
    pub provider: Option<String>,
    /// Only these codes.
    pub code: Option<CodePattern>,
    /// Only these enhanced statuses.
    pub status: Option<StatusPattern>,
    /// Only replies whose text has this somewhere, whatever the case; `*` stands for anything.
    pub text: Option<String>,
    /// What it means.
    pub meaning: Meaning,
    /// The shortest wait: of the message if it is about the message, else of the lane.
    pub pause: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_hosts() {
        let rule = ProviderRule {
            mx: ["mx.example.net", "*.example.org", "mx*.example.com"].map(str::to_owned).into(),
            ..ProviderRule::default()
        };
        for host in ["mx.example.net", "a.example.org", "a.b.example.org", "mx1.example.com"] {
            assert!(rule.serves(host), "{host}");
        }
        for host in ["x.example.net", "example.org", "mx1.evil.example.com", "evilexample.org"] {
            assert!(!rule.serves(host), "{host}");
        }
    }

    #[test]
    fn what_a_rule_does_not_say_is_as_everywhere() {
        let lanes = LaneLimits {
            connections_first: 5,
            connections_max: 20,
            connections_total_max: 100,
            messages_per_connection: 100,
            messages_per_minute: Some(600),
        };
        assert_eq!(ProviderRule::default().limits(&lanes), lanes);
        let two = ProviderRule { connections_max: Some(2), ..ProviderRule::default() };
        let limits = two.limits(&lanes);
        assert_eq!((limits.connections_first, limits.connections_max), (2, 2));
        assert_eq!(limits.messages_per_minute, Some(600));
    }
}
