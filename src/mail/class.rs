//! The class of a message: what decides its place in a lane.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Urgency, from the most urgent down. The order of the variants is the order of service.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum MessageClass {
    /// One-time passwords and resets: worthless after minutes.
    Otp,
    /// Invoices, receipts, alerts.
    #[default]
    Transactional,
    /// Mail that its recipients subscribed to and may leave (RFC 8058).
    Subscribed,
}

impl MessageClass {
    /// All classes, most urgent first.
    pub const ALL: [Self; 3] = [Self::Otp, Self::Transactional, Self::Subscribed];
}

impl fmt::Display for MessageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Otp => "otp",
            Self::Transactional => "transactional",
            Self::Subscribed => "subscribed",
        })
    }
}
