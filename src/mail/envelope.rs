//! The envelope: everything that MAIL and RCPT said (RFC 5321, 3461, 6152, 6531, 8689).

use serde::{Deserialize, Serialize};

use super::address::{Mailbox, ReversePath};
use crate::base::time::WallTime;

/// BODY= of RFC 6152. BINARYMIME is not offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyType {
    /// Lines of ASCII.
    #[default]
    SevenBit,
    /// Lines with octets beyond 127.
    EightBitMime,
}

/// RET= of RFC 3461 4.3: what a failure report carries of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header only.
    Hdrs,
}

/// NOTIFY= of RFC 3461 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notify {
    /// Never report anything.
    Never,
    /// Report what is set.
    On {
        /// Report delivery, or relaying to a host without DSN.
        success: bool,
        /// Report failure.
        failure: bool,
        /// Report delay.
        delay: bool,
    },
}

impl Default for Notify {
    /// Without NOTIFY= failures are reported, and delays as RFC 3461 5.2.1 allows.
    fn default() -> Self {
        Self::On { success: false, failure: true, delay: true }
    }
}

/// One forward-path with its DSN parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// RCPT TO.
    pub forward_path: Mailbox,
    /// NOTIFY=, if it was given; passed on as it was.
    pub notify: Option<Notify>,
    /// ORCPT= as it was written (`rfc822;` xtext), passed on as it was.
    pub orcpt: Option<Box<str>>,
}

impl Recipient {
    /// A recipient without DSN parameters.
    #[must_use]
    pub fn plain(forward_path: Mailbox) -> Self {
        Self { forward_path, notify: None, orcpt: None }
    }
}

/// BY= of RFC 2852: by when the message must be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverBy {
    /// When it must have been delivered: the moment of MAIL plus the by-time.
    pub deadline: WallTime,
    /// What happens then.
    pub mode: ByMode,
    /// Trace every hop (`T`).
    pub trace: bool,
    /// A host that does not know BY= may have a message of mode R as long as its time is not
    /// over: handing it over counts as delivery. An administrator's word (see
    /// [`super::source::Deadlines`]); RFC 2852 4.1.4.1 itself forbids it.
    pub handover: bool,
}

impl DeliverBy {
    /// Seconds from `now` to the deadline, rounded down; negative once it has passed. Never beyond
    /// the nine digits that BY= has.
    #[must_use]
    pub fn remaining_secs(&self, now: WallTime) -> i64 {
        let whole = |millis: u64| i64::try_from(millis / 1000).unwrap_or(i64::MAX);
        let left = if self.deadline >= now {
            whole(self.deadline.0 - now.0)
        } else {
            -whole((now.0 - self.deadline.0).saturating_add(999))
        };
        left.clamp(-BY_SECS_MAX, BY_SECS_MAX)
    }

    /// The message must not be handed to anybody any more.
    #[must_use]
    pub fn is_dead(&self, now: WallTime) -> bool {
        self.mode == ByMode::Return && self.deadline <= now
    }
}

/// What MT-PRIORITY= may be (RFC 6710 section 3); more is more urgent.
pub const PRIORITIES: std::ops::RangeInclusive<i8> = -9..=9;

/// The farthest that BY= can point, in seconds (RFC 2852 section 4).
pub const BY_SECS_MAX: i64 = 999_999_999;

/// The mode of BY= (RFC 2852 4.1.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByMode {
    /// `R`: it is returned and not delivered.
    Return,
    /// `N`: the sender is told of the delay, and delivery goes on.
    Notify,
}

/// What a transaction said before DATA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in order; at least one once a message is admitted. Recipients are known to the
    /// whole house by their index in this list.
    pub recipients: Vec<Recipient>,
    /// BODY=.
    pub body: BodyType,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// REQUIRETLS was asked for (RFC 8689).
    pub require_tls: bool,
    /// The message says `TLS-Required: No` (RFC 8689 5): a policy that it cannot meet is ignored.
    pub tls_optional: bool,
    /// BY= (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// MT-PRIORITY= (RFC 6710), as it was granted: -9 to 9.
    pub priority: Option<i8>,
    /// RET=.
    pub ret: Option<Ret>,
    /// ENVID= as it was written (xtext).
    pub envid: Option<Box<str>>,
}

impl Envelope {
    /// An envelope without extensions and recipients.
    #[must_use]
    pub fn from(reverse_path: ReversePath) -> Self {
        Self {
            reverse_path,
            recipients: Vec::new(),
            body: BodyType::SevenBit,
            smtputf8: false,
            require_tls: false,
            tls_optional: false,
            deliver_by: None,
            priority: None,
            ret: None,
            envid: None,
        }
    }
}
