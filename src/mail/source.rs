//! A source: one application that may submit mail, with everything that binds it.
//!
//! The type is whole from the start (what buyers of relays know); what this version does not
//! enforce is refused by `config/checked.rs`, never ignored.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::address::Mailbox;
use super::class::MessageClass;
use crate::base::time::WallTime;

/// The name of a source: 1 to 64 of `a-z 0-9 . _ -`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct SourceName(Arc<str>);

/// The name that stands in the place of a source where the gateway itself is the author.
const HOUSE: &str = "tls-reports";

impl TryFrom<String> for SourceName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name).ok_or("a source name is 1 to 64 of a-z 0-9 . _ - and starts with no dot")
    }
}

impl SourceName {
    /// The name, if its characters are allowed; it appears in journals, headers and paths.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let good = !name.is_empty() && name.len() <= 64 && name.bytes().all(legal);
        (good && !name.starts_with('.')).then(|| Self(name.into()))
    }

    /// Whose the reports are that the gateway writes on its own behalf (RFC 8460): nobody's.
    #[must_use]
    pub fn house() -> Self {
        Self(HOUSE.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an application may do at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Mail is accepted and delivered.
    #[default]
    Active,
    /// Mail is accepted and kept; nothing leaves.
    Hold,
    /// Nothing is accepted; the backlog is held.
    Disabled,
    /// As disabled, for good: its secrets are void.
    Revoked,
    /// As disabled, because its date has passed.
    Expired,
}

impl SourceState {
    /// Whether new mail may enter.
    #[must_use]
    pub fn accepts(self) -> bool {
        matches!(self, Self::Active | Self::Hold)
    }

    /// Whether queued mail may leave.
    #[must_use]
    pub fn delivers(self) -> bool {
        matches!(self, Self::Active)
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Hold => "hold",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        })
    }
}

/// A set of mailboxes: one, or every local part of one domain (`*@example.org`). Subdomains are
/// listed one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxPattern {
    /// The local part as it must be written, or `None` for any.
    pub local_part: Option<Box<str>>,
    /// The domain in normal form.
    pub domain: super::address::Domain,
}

impl MailboxPattern {
    /// Whether `mailbox` is in the set. Local parts are compared octet for octet, as RFC 5321 2.4
    /// demands of everyone but the final host.
    #[must_use]
    pub fn matches(&self, mailbox: &Mailbox) -> bool {
        *mailbox.domain() == self.domain
            && self.local_part.as_deref().is_none_or(|local| local == mailbox.local_part())
    }
}

/// An allowed pair of envelope sender and header author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderPair {
    /// MAIL FROM; `None` stands for the null reverse-path `<>`.
    pub reverse_path: Option<MailboxPattern>,
    /// `From:` of the message.
    pub from: MailboxPattern,
}

/// How a source proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// AUTH with a user name and one of the verifiers (two during a rotation).
    Password {
        /// The user name of AUTH.
        user: String,
        /// Verifiers, the newest first.
        verifiers: Vec<Verifier>,
    },
    /// A client certificate, known by the SHA-256 of its public key (SPKI) in lower-case hex.
    Certificate {
        /// Fingerprints, the newest first.
        spki_sha256: Vec<String>,
    },
    /// The network alone, on listeners that allow it; the pairs still bind.
    Network,
    /// The health gate: whoever speaks from this machine at the listener that nobody else has. It
    /// writes to its own reserved domain and to nobody else. No document can write it.
    Health,
}

/// A password verifier: never the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// Argon2id in PHC string form, for PLAIN and LOGIN.
    pub argon2id: String,
    /// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803), for SCRAM-SHA-256.
    pub scram_sha256: Option<String>,
    /// After this moment the verifier is void: the grace period of a rotation.
    pub not_after: Option<WallTime>,
}

/// Ceilings per source. Enforced by the limits issue; until then the check refuses them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceLimits {
    /// Messages an hour.
    pub messages_per_hour: Option<u64>,
    /// Messages a day.
    pub messages_per_day: Option<u64>,
    /// Recipients an hour.
    pub recipients_per_hour: Option<u64>,
    /// Recipients a day.
    pub recipients_per_day: Option<u64>,
    /// Octets an hour.
    pub octets_per_hour: Option<u64>,
    /// Octets a day.
    pub octets_per_day: Option<u64>,
}

/// What is done when the domain of From: has no DKIM key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    /// The message is refused.
    #[default]
    Refuse,
    /// The message leaves unsigned; an explicit choice of the administrator.
    Allow,
}

/// Whether a source may set deadlines with BY= (RFC 2852), and what counts as delivery in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deadlines {
    /// BY= is refused.
    #[default]
    Refuse,
    /// As RFC 2852 4.1.4.1 has it: with mode R a message goes to hosts alone that promise the
    /// deadline in turn, and is returned if the next host does not.
    Strict,
    /// With mode R a host without DELIVERBY may have the message as long as its time is not over:
    /// hardly a host on the Internet offers the extension, and a password that is handed over in
    /// time is what its sender wants. Nothing is handed over late.
    Handover,
}

/// One application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// How it proves who it is.
    pub proof: Proof,
    /// Networks from which it may submit; empty: any (never for `Proof::Network`).
    pub networks: Vec<IpNet>,
    /// Who it may send as; never empty.
    pub pairs: Vec<SenderPair>,
    /// State of the configuration; operators' switches lie over it.
    pub state: SourceState,
    /// After this moment the source is expired.
    pub expires: Option<WallTime>,
    /// Class of its messages.
    pub class: MessageClass,
    /// Ceiling for one message in octets, if lower than the gateway's.
    pub message_octets_max: Option<u64>,
    /// Recipients of one transaction, if fewer than the gateway's.
    pub recipients_max: Option<usize>,
    /// Who is told about failures when the reverse-path is null, and about containment.
    pub owner: Option<Mailbox>,
    /// Whether mail without a DKIM key may leave.
    pub unsigned: Unsigned,
    /// Volume ceilings.
    pub limits: SourceLimits,
    /// The pool (or egress) that its mail leaves by; none: the route's, or the default.
    pub pool: Option<String>,
    /// The highest MT-PRIORITY that it is granted (RFC 6710); none: the parameter is ignored.
    pub priority_max: Option<i8>,
    /// Whether BY= is granted (RFC 2852).
    pub deliver_by: Deadlines,
    /// Only recipients in the gateway's own domains.
    pub internal_only: bool,
    /// Rewrites by header or envelope name.
    pub rewrite: BTreeMap<String, String>,
    /// Unsubscribe list for subscribed mail.
    pub unsubscribe_list: Option<String>,
    /// Free words for reports.
    pub tags: Vec<String>,
    /// People behind it.
    pub contacts: Vec<String>,
    /// Free text for administrators.
    pub notes: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::Domain;

    #[test]
    fn a_pattern_never_reaches_a_subdomain() {
        let pattern =
            MailboxPattern { local_part: None, domain: Domain::parse("example.org").unwrap() };
        let matches = |text| pattern.matches(&Mailbox::parse(text, false).unwrap());
        assert!(matches("a@EXAMPLE.org"));
        assert!(!matches("a@sub.example.org"));
        assert!(!matches("a@badexample.org"));
    }

    #[test]
    fn names_are_plain() {
        assert!(SourceName::new("billing-1").is_some());
        for bad in ["", ".x", "A", "a/b", "a b", "a\n"] {
            assert!(SourceName::new(bad).is_none(), "{bad:?}");
        }
    }
}
