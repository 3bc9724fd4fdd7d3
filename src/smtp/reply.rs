//! Replies that *we* give (RFC 5321 4.2, RFC 2034). Texts are constants, never peer input.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use crate::mail::status::EnhancedStatus;

/// Code, enhanced status and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Enhanced status; none where RFC 2034 wants none (greeting, EHLO, 3xx).
    pub status: Option<EnhancedStatus>,
    /// The text; `\n` separates lines of a multi-line reply.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A constant reply.
    #[must_use]
    pub const fn new(code: u16, status: (u8, u16, u16), text: &'static str) -> Self {
        let status = Some(EnhancedStatus::new(status.0, status.1, status.2));
        Self { code, status, text: Cow::Borrowed(text) }
    }

    /// A constant reply without enhanced status.
    #[must_use]
    pub const fn bare(code: u16, text: &'static str) -> Self {
        Self { code, status: None, text: Cow::Borrowed(text) }
    }

    /// 4xx or 5xx.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// The octets for the wire, every line with code and status (RFC 2034 section 4).
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.text.len() + 16);
        self.append_to(&mut octets);
        octets
    }

    /// As [`Reply::octets`], behind what `octets` already holds: replies to pipelined commands
    /// leave together (RFC 2920 3.2).
    pub fn append_to(&self, octets: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            // Writing to a vector cannot fail.
            let _ = write!(octets, "{:03}{separator}", self.code);
            if let Some(status) = self.status {
                let _ = write!(octets, "{status} ");
            }
            octets.extend_from_slice(line.as_bytes());
            octets.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} ", self.code)?;
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        f.write_str(&self.text.replace('\n', " / "))
    }
}

/// A room's "no": the reply, and the stable name of the rule for journal, trace and explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kebab-case, stable across versions: `sender-not-allowed`.
    pub rule: &'static str,
    /// What the peer hears.
    pub reply: Reply,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub const fn new(rule: &'static str, reply: Reply) -> Self {
        Self { rule, reply }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_carries_code_and_status() {
        let reply = Reply::new(550, (5, 7, 1), "first\nsecond");
        assert_eq!(reply.octets(), b"550-5.7.1 first\r\n550 5.7.1 second\r\n");
        assert_eq!(Reply::bare(354, "Go ahead").octets(), b"354 Go ahead\r\n");
    }
}
