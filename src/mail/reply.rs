//! What a receiving host answered, in the form that is kept, journalled and reported.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::status::EnhancedStatus;
use crate::base::limits::PEER_REPLY_KEPT_OCTETS_MAX;

/// The answer of a peer, with its text made harmless: printable, one line, bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReply {
    /// The three digits of RFC 5321 4.2; 0 if no reply was heard (see the text).
    pub code: u16,
    /// The enhanced status, if the peer gave one (RFC 2034).
    pub status: Option<EnhancedStatus>,
    /// The text without code and status; line breaks have become " / ".
    text: String,
}

impl PeerReply {
    /// A reply of a peer. Control characters become `?`, the text is cut to
    /// `PEER_REPLY_KEPT_OCTETS_MAX` octets: it goes into journals and reports.
    #[must_use]
    pub fn new(code: u16, status: Option<EnhancedStatus>, text: &str) -> Self {
        let mut kept = String::with_capacity(text.len().min(PEER_REPLY_KEPT_OCTETS_MAX));
        for c in text.replace("\r\n", " / ").chars() {
            let c = if c.is_control() { '?' } else { c };
            if kept.len() + c.len_utf8() > PEER_REPLY_KEPT_OCTETS_MAX {
                break;
            }
            kept.push(c);
        }
        Self { code, status, text: kept }
    }

    /// Something that *we* found out (no address, no connection): code 0 and our own words.
    #[must_use]
    pub fn ours(status: EnhancedStatus, text: &str) -> Self {
        Self::new(0, Some(status), text)
    }

    /// The text without code and status.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PeerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code != 0 {
            write!(f, "{:03} ", self.code)?;
        }
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_text_cannot_reach_a_terminal_or_a_header() {
        let reply = PeerReply::new(550, None, "no\r\nX-Evil: 1\u{1b}[2J\n");
        assert_eq!(reply.to_string(), "550 no / X-Evil: 1?[2J?");
        let long = PeerReply::new(550, None, &"é".repeat(4000));
        assert!(long.text().len() <= PEER_REPLY_KEPT_OCTETS_MAX);
    }
}
