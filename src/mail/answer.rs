//! What an attempt brought back for one recipient.

use serde::{Deserialize, Serialize};

use super::reply::PeerReply;

/// How far the attempt had come when the answer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Our own way out is suspended: nothing was tried, no attempt is counted.
    Egress,
    /// Names: MX, A, AAAA (RFC 5321 5.1, RFC 7505).
    Routing,
    /// TCP.
    Connect,
    /// 220.
    Greeting,
    /// EHLO or HELO.
    Ehlo,
    /// STARTTLS and the handshake.
    StartTls,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA up to 354.
    Data,
    /// Content was being sent.
    Content,
    /// The final dot was sent.
    Dot,
}

/// One recipient's answer. `phase == Dot` with a 2xx code is delivery; nothing else is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Index in [`super::envelope::Envelope::recipients`].
    pub recipient: u16,
    /// When it was given.
    pub phase: Phase,
    /// What was said. Code 0 with a status of ours if nothing was: the class of the status decides.
    pub reply: PeerReply,
    /// The final dot was sent and no reply was heard: the host may have taken it (RFC 1047).
    pub in_doubt: bool,
}
