//! What the session machine asks the house, and what it may be told.

use crate::base::secret::Secret;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::DeliverBy;
use crate::mail::stage::{Custody, Submitted};
use crate::smtp::parameters::By;
use crate::smtp::reply::Refusal;

/// A question; the machine waits in `Deciding` and reads no further command until the answer.
#[derive(Debug)]
pub enum Question {
    /// AUTH PLAIN or LOGIN.
    Password {
        /// The authentication identity.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// SCRAM-SHA-256 (RFC 7677): the keys of this user. An unknown user gets keys that are made
    /// up, always the same for the same name, so that nobody learns which names exist.
    ScramKeys {
        /// The authentication identity.
        user: String,
    },
    /// SCRAM proof verified: is this user still welcome?
    ScramProven {
        /// The authentication identity.
        user: String,
    },
    /// A SCRAM proof did not hold: for ceilings of failed authentications. `No` and `Leave` carry
    /// what the peer hears; `Yes` cannot let anybody in, the peer hears 535.
    ScramFailed {
        /// The authentication identity.
        user: String,
    },
    /// MAIL FROM.
    Mail {
        /// The reverse-path.
        reverse_path: ReversePath,
        /// SIZE=, if it was given.
        size: Option<u64>,
        /// What it asks for beyond delivery; [`Verdict::Granted`] says what it gets. A plain yes
        /// is no answer to a wish.
        wishes: Wishes,
    },
    /// RCPT TO.
    Recipient {
        /// The reverse-path of the transaction.
        reverse_path: ReversePath,
        /// The forward-path.
        forward_path: Mailbox,
        /// Recipients accepted so far.
        accepted: usize,
    },
    /// DATA, or the first BDAT: may content come now? (Disk, memory, kill switch.)
    Content {
        /// The size that MAIL announced.
        size: Option<u64>,
    },
    /// The message is complete.
    Message(Box<Submitted>),
}

/// What MAIL asks for and not every source may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// MT-PRIORITY= (RFC 6710).
    pub priority: Option<i8>,
    /// BY= (RFC 2852).
    pub by: Option<By>,
}

/// What a transaction gets of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The priority that holds; none: 0, and nobody spoke of it.
    pub priority: Option<i8>,
    /// The deadline, on our clock.
    pub deliver_by: Option<DeliverBy>,
}

/// SCRAM-SHA-256 keys of a user (RFC 5802 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramKeys {
    /// Salt.
    pub salt: Vec<u8>,
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// H(HMAC(SaltedPassword, "Client Key")).
    pub stored_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
    /// False if the user does not exist: the exchange is played to its end and then fails.
    pub real: bool,
}

/// An answer.
#[derive(Debug)]
pub enum Verdict {
    /// Yes: identified, or go on.
    Yes,
    /// Yes to MAIL, with what is granted of its wishes.
    Granted(Grants),
    /// The keys that were asked for.
    Scram(ScramKeys),
    /// The message is in custody: the only way to a 250 after content.
    Accepted(Custody),
    /// No.
    No(Refusal),
    /// No, and the session ends after the reply.
    Leave(Refusal),
}
