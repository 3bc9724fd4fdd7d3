//! What the console asks of others, and what it is told. The console has no rights of its own:
//! the host role knows the machine, the daemon knows the mail, and the driver knows chance.

use crate::base::secret::Secret;
use crate::config::checked::DkimAlgorithm;
use crate::control::answer::Answer;
use crate::control::host::{HostAnswer, HostRequest};
use crate::control::request::Request;
use crate::mail::address::Domain;
use crate::mail::source::Verifier;
use crate::sign::keys::DnsRecord;

/// A question for somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// For the host role.
    Host(HostRequest),
    /// For the daemon, through the host role.
    Serve(Box<Request>),
    /// Chance: secrets and keys for the wizard.
    Draw(Draw),
}

/// What the wizard needs of chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The administrator's passphrase, to be hashed.
    pub passphrase: Secret<String>,
    /// Domains that need DKIM keys.
    pub domains: Vec<Domain>,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnKey {
    /// The domain.
    pub domain: Domain,
    /// The selector.
    pub selector: String,
    /// The algorithm.
    pub algorithm: DkimAlgorithm,
    /// PKCS#8 PEM.
    pub pem: Secret<String>,
    /// What to publish.
    pub record: DnsRecord,
}

/// What chance gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// What was asked for.
    pub order: Draw,
    /// The administrator's passphrase as a PHC string.
    pub administrator: Secret<String>,
    /// The first source's password, shown once.
    pub secret: Secret<String>,
    /// Its verifier for the document.
    pub verifier: Verifier,
    /// Keys.
    pub keys: Vec<DrawnKey>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The host role's.
    Host(Box<HostAnswer>),
    /// The daemon's.
    Served(Box<Answer>),
    /// What chance gave.
    Drawn(Box<Drawn>),
    /// It did not work out: in words.
    Failed(String),
    /// Nobody answers; whoever was logged in is not any more.
    Away(String),
}
