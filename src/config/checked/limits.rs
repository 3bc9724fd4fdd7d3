//! What receivers bear: providers and what their replies mean.

use serde::Serialize;

/// Limits of one provider, over those of [`super::LaneLimits`]. The document's come first, then the
/// built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProviderRule {
    /// Its name; lanes and histograms show it.
    pub name: String,
    /// Names of MX hosts: `mx.example.net`, or `*.example.net` for everything below.
    pub mx: Vec<String>,
    /// Connections at most.
    pub connections_max: Option<u32>,
    /// Messages on one connection.
    pub messages_per_connection: Option<u32>,
    /// Messages a minute.
    pub messages_per_minute: Option<u32>,
}
