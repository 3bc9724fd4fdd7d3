//! Trust: what a connection to a host must satisfy, and whether it did.
//!
//! ```text
//! override ─┐
//! DANE ─────┤                      ┌► Terms ─ connection ─ judge ─┬► Assurance
//! MTA-STS ──┼─ decide (per domain, ┤                              │
//! floor ────┤   host and message)  └► Barred ◄────────────────────┘
//! wishes ───┤
//! memory ───┘
//! ```
//!
//! The order, from the strongest word to the weakest:
//! 1. An **override** of the administrator that has not expired lies over everything that the
//!    domain publishes and over the route's floor. It does not make a promise to a sender void:
//!    REQUIRETLS still needs a host that is known.
//! 2. **REQUIRETLS** (RFC 8689 4.2.1): DANE, a policy of MTA-STS that names the host, or a valid
//!    certificate for a host whose name DNSSEC or the administrator vouches for; else 5.7.30.
//!    `TLS-Required: No` beside it is void (RFC 8689 4.1).
//! 3. **`TLS-Required: No`** (RFC 8689 4.2.2): what the domain publishes is ignored, the route's
//!    floor is not.
//! 4. **DANE** before **MTA-STS** (RFC 8461 2): names that DNSSEC proves wrong, and TLSA records
//!    that nobody can look up, bar the host (RFC 7672 2.1.1); records none of which is usable make
//!    TLS mandatory without saying to whom (2.2).
//! 5. The route's **floor**, and the TLS that is **remembered** where the configuration relies on
//!    it.
//!
//! Everything is decided for one recipient domain and one host: what one domain publishes never
//! touches another one behind the same host. No answer of this room leads to clear text after TLS
//! has failed.

mod dane;
pub mod memory;

pub use dane::{Dane, bases, found};

use std::borrow::Cow;
use std::sync::Arc;

use super::plan::matches;
use super::sts::{Mode, Policy};
use crate::base::time::WallTime;
use crate::config::checked::{TlsFloor, TlsOverride};
use crate::mail::address::Domain;
use crate::mail::envelope::Envelope;
use crate::mail::reply::PeerReply;
use crate::mail::status::EnhancedStatus;
use crate::mail::trust::{Assurance, PolicyKind, PolicySeen, TlsResult, Tlsa};

/// What a connection must satisfy before a transaction may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// STARTTLS if it is offered; clear text only if it never was.
    Opportunistic,
    /// STARTTLS, whoever answers.
    Encrypted,
    /// A certificate that authorities vouch for, valid for one of these names.
    Verified {
        /// The names; the first is shown to the host (SNI).
        names: Vec<String>,
    },
    /// The same, because a policy of MTA-STS asks for it (RFC 8461 4.1).
    Sts {
        /// The names; the first is shown to the host (SNI).
        names: Vec<String>,
    },
    /// One of these records is right (RFC 7672).
    Dane {
        /// Usable records.
        records: Vec<Tlsa>,
        /// The base domain, which is shown to the host (SNI, RFC 7672 8.1), then the other names
        /// that a certificate may be for where an authority is named (3.2.2).
        names: Vec<String>,
    },
}

impl Demand {
    /// Whether clear text is out of the question.
    #[must_use]
    pub fn needs_tls(&self) -> bool {
        *self != Self::Opportunistic
    }

    /// What a handshake is worth that met this; `verified`: authorities vouch for the host's name.
    #[must_use]
    pub fn worth(&self, verified: bool) -> Assurance {
        match self {
            Self::Dane { .. } => Assurance::Dane,
            Self::Sts { .. } => Assurance::MtaSts,
            Self::Verified { .. } => Assurance::Verified,
            Self::Opportunistic | Self::Encrypted if verified => Assurance::Verified,
            Self::Opportunistic | Self::Encrypted => Assurance::Encrypted,
        }
    }
}

/// What the sender of a message wishes (RFC 8689).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Nothing: the recipient's domain decides.
    #[default]
    None,
    /// REQUIRETLS.
    Required,
    /// `TLS-Required: No`.
    Optional,
}

impl Wish {
    /// The wish of a message. REQUIRETLS makes `TLS-Required: No` void (RFC 8689 4.1); a report
    /// about a message with REQUIRETLS is protected as the recipient's domain asks, and never lost
    /// for want of more (section 5).
    #[must_use]
    pub fn of(envelope: &Envelope) -> Self {
        match (envelope.require_tls, envelope.tls_optional) {
            (true, _) if envelope.reverse_path.mailbox().is_some() => Self::Required,
            (false, true) => Self::Optional,
            (_, _) => Self::None,
        }
    }
}

/// What MTA-STS says about a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sts {
    /// There is no policy, or MTA-STS is not used.
    Absent,
    /// There must be a policy, it could not be had, and none is remembered: delivery goes on as
    /// without one (RFC 8461 3.3), and a report says so.
    Lost {
        /// What the report says.
        result: TlsResult,
        /// The cause in words.
        cause: String,
    },
    /// The policy in force.
    Policy(Arc<Policy>),
}

/// What is known when a host is about to be called for a message.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its name, as MX records or the configuration have it.
    pub host: &'a str,
    /// The floor of the route.
    pub floor: TlsFloor,
    /// The override in force, see [`override_of`].
    pub exception: Option<&'a TlsOverride>,
    /// What DNS says for this host.
    pub dane: &'a Dane,
    /// What MTA-STS says for this domain.
    pub sts: &'a Sts,
    /// DNSSEC proved that this is a host of the domain, or the administrator named it.
    pub vouched: bool,
    /// The domain has spoken TLS for so long that the configuration relies on it.
    pub relied: bool,
    /// The wish of the message.
    pub wish: Wish,
}

/// The override for `domain` that is in force at `now`; overrides stand in the order in which they
/// count.
#[must_use]
pub fn override_of<'a>(
    overrides: &'a [TlsOverride],
    domain: &Domain,
    now: WallTime,
) -> Option<&'a TlsOverride> {
    overrides.iter().find(|one| now < one.expires && matches(&one.matches, domain))
}

/// The terms on which a host may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What the connection must satisfy.
    pub demand: Demand,
    /// Who asks for that, in words.
    pub grounds: Cow<'static, str>,
    /// The policy that the session is held against, for reports; none where an override or the
    /// sender's wish lies over it.
    pub held: Option<PolicySeen>,
    /// A connection that meets the demand is good enough for REQUIRETLS.
    pub authenticated: bool,
    /// What keeps a policy that is being tested from holding, to be reported only.
    pub tested: Option<(TlsResult, &'static str)>,
    /// The wish that these terms serve.
    pub wish: Wish,
    /// Without that wish less would be demanded: a host that falls short fails this message alone.
    pub for_wish_alone: bool,
}

/// A host that may not be used, or was found wanting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// What is answered if no other host is better; the class of its status decides.
    pub reply: PeerReply,
    /// What a report says, and against which policy.
    pub report: Option<(PolicySeen, TlsResult)>,
}

/// On which terms the host may be used.
///
/// # Errors
/// It may not be: 4.7.5 if that can change, 5.7.30 if nobody vouches for the host and the sender
/// insists.
pub fn decide(facts: &Facts<'_>) -> Result<Terms, Barred> {
    if let Some(exception) = facts.exception {
        return under(exception, facts);
    }
    if facts.wish == Wish::Optional {
        let (demand, grounds) = from_floor(facts).unwrap_or((Demand::Opportunistic, FREE));
        return Ok(Terms { held: None, ..terms(facts, demand, grounds) });
    }
    if let Dane::Failed { cause } = facts.dane {
        let reply =
            later(&format!("DANE: the TLSA records of {} are unknown: {cause}", facts.host));
        return Err(Barred { reply, report: Some((seen(facts), TlsResult::DnssecInvalid)) });
    }
    if let Dane::Usable { records, names } = facts.dane {
        let demand = Demand::Dane { records: records.clone(), names: names.clone() };
        return Ok(terms(facts, demand, "DANE"));
    }
    if let Sts::Policy(policy) = facts.sts {
        let named = policy.names(facts.host);
        let insists = facts.wish == Wish::Required || facts.floor == TlsFloor::Authenticated;
        match policy.mode {
            Mode::Enforce if !named => {
                let text = format!("MTA-STS: the policy does not name the host {}", facts.host);
                let report = Some((seen(facts), TlsResult::ValidationFailure));
                return Err(Barred { reply: later(&text), report });
            }
            Mode::Enforce | Mode::Testing if named && (policy.mode == Mode::Enforce || insists) => {
                return Ok(terms(facts, Demand::Sts { names: names(facts) }, "MTA-STS"));
            }
            _ => {}
        }
    }
    if facts.wish == Wish::Required {
        return known(facts);
    }
    let (demand, grounds) = match (from_floor(facts), facts.dane) {
        (Some(floor), _) => floor,
        (None, Dane::Unusable { .. }) => (Demand::Encrypted, "TLSA records without a usable one"),
        (None, _) if facts.relied => (Demand::Encrypted, "TLS memory"),
        (None, _) => (Demand::Opportunistic, FREE),
    };
    Ok(terms(facts, demand, grounds))
}

/// Nobody asks for TLS.
const FREE: &str = "nobody";

/// The terms that an override sets.
fn under(exception: &TlsOverride, facts: &Facts<'_>) -> Result<Terms, Barred> {
    if facts.wish == Wish::Required {
        return known(facts).map(|terms| Terms { held: None, ..terms });
    }
    let demand = match exception.tls {
        TlsFloor::Opportunistic => Demand::Opportunistic,
        TlsFloor::Encrypted => Demand::Encrypted,
        TlsFloor::Authenticated => Demand::Verified { names: names(facts) },
    };
    let grounds = format!("override until {}: {}", exception.expires, exception.reason);
    Ok(Terms { held: None, grounds: grounds.into(), ..terms(facts, demand, "") })
}

/// REQUIRETLS without a policy: the name of the host must be known for sure.
fn known(facts: &Facts<'_>) -> Result<Terms, Barred> {
    if facts.vouched {
        let floor = facts.exception.map_or(facts.floor, |exception| exception.tls);
        let for_wish_alone = floor != TlsFloor::Authenticated;
        let terms = terms(facts, Demand::Verified { names: names(facts) }, "REQUIRETLS");
        return Ok(Terms { for_wish_alone, ..terms });
    }
    let text =
        "REQUIRETLS: neither DANE nor MTA-STS nor DNSSEC says who the hosts of the domain are";
    Err(Barred { reply: never(REQUIRETLS_UNSUPPORTED, text), report: None })
}

/// What the route's floor asks for.
fn from_floor(facts: &Facts<'_>) -> Option<(Demand, &'static str)> {
    let demand = match (facts.floor, facts.dane) {
        (TlsFloor::Opportunistic, _) => return None,
        (TlsFloor::Encrypted, _) => Demand::Encrypted,
        (TlsFloor::Authenticated, Dane::Usable { records, names }) => {
            Demand::Dane { records: records.clone(), names: names.clone() }
        }
        (TlsFloor::Authenticated, _) => Demand::Verified { names: names(facts) },
    };
    Some((demand, "the route"))
}

fn terms(facts: &Facts<'_>, demand: Demand, grounds: &'static str) -> Terms {
    let authenticated = match demand {
        Demand::Dane { .. } | Demand::Sts { .. } => true,
        Demand::Verified { .. } => facts.vouched,
        Demand::Opportunistic | Demand::Encrypted => false,
    };
    let tested = match (facts.sts, facts.dane) {
        (Sts::Policy(policy), Dane::Absent | Dane::Unusable { .. })
            if policy.mode == Mode::Testing && !policy.names(facts.host) =>
        {
            Some((TlsResult::ValidationFailure, "the policy does not name the host"))
        }
        _ => None,
    };
    Terms {
        demand,
        grounds: grounds.into(),
        held: Some(seen(facts)),
        authenticated,
        tested,
        wish: facts.wish,
        for_wish_alone: false,
    }
}

/// The policy that a report names (RFC 8460 4.4).
fn seen(facts: &Facts<'_>) -> PolicySeen {
    match (facts.dane, facts.sts) {
        (Dane::Usable { records, names }, _) => tlsa_seen(records, names),
        (Dane::Unusable { records }, Sts::Absent | Sts::Lost { .. }) => tlsa_seen(records, &[]),
        (Dane::Failed { .. }, _) => tlsa_seen(&[], &[]),
        (_, Sts::Policy(policy)) if policy.mode != Mode::None => policy.seen(),
        (_, Sts::Lost { .. }) => {
            PolicySeen { kind: PolicyKind::Sts, strings: Vec::new(), mx_hosts: Vec::new() }
        }
        (_, Sts::Policy(_) | Sts::Absent) => PolicySeen::none(),
    }
}

fn tlsa_seen(records: &[Tlsa], names: &[String]) -> PolicySeen {
    PolicySeen {
        kind: PolicyKind::Tlsa,
        strings: records.iter().map(Tlsa::presentation).collect(),
        mx_hosts: names.first().cloned().into_iter().collect(),
    }
}

fn names(facts: &Facts<'_>) -> Vec<String> {
    vec![facts.host.to_owned()]
}

/// How far a connection came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The host does not offer STARTTLS.
    Clear,
    /// The handshake failed, or what was shown did not meet the demand.
    Broken {
        /// What a report says.
        result: TlsResult,
        /// The cause in words.
        cause: String,
    },
    /// The handshake met the demand.
    Tls {
        /// Authorities vouch for the certificate and the host's name.
        verified: bool,
        /// The host offers REQUIRETLS on the encrypted channel.
        require_tls: bool,
    },
}

impl Terms {
    /// What a connection that came so far is worth.
    ///
    /// # Errors
    /// No transaction may begin on it. The host is left, and the next one is tried.
    pub fn judge(&self, reached: &Reached) -> Result<Assurance, Barred> {
        match reached {
            Reached::Clear if self.wish == Wish::Required => {
                let text = "REQUIRETLS: the host does not offer STARTTLS";
                Err(self.barred(never(ENCRYPTION_NEEDED, text), TlsResult::StarttlsNotSupported))
            }
            Reached::Clear if self.demand.needs_tls() => {
                let text =
                    format!("the host does not offer STARTTLS ({} asks for it)", self.grounds);
                Err(self.barred(later(&text), TlsResult::StarttlsNotSupported))
            }
            Reached::Clear => Ok(Assurance::Clear),
            Reached::Broken { result, cause } if self.for_wish_alone && about_names(*result) => {
                let reply = never(ENCRYPTION_NEEDED, &format!("REQUIRETLS: {cause}"));
                Err(Barred { reply, report: None })
            }
            Reached::Broken { result, cause } => {
                let grounds = match self.demand {
                    Demand::Opportunistic => String::new(),
                    _ => format!(" ({} asks for it)", self.grounds),
                };
                Err(self.barred(later(&format!("{cause}{grounds}")), *result))
            }
            Reached::Tls { require_tls: false, .. } if self.wish == Wish::Required => {
                let text = "REQUIRETLS: the host does not offer it";
                Err(Barred { reply: never(REQUIRETLS_UNSUPPORTED, text), report: None })
            }
            Reached::Tls { verified, .. } => Ok(self.demand.worth(*verified)),
        }
    }

    /// What a report says about a connection that is used all the same: it is not what the policy
    /// that it was held against would have it (testing, RFC 8461 5; RFC 8460 4.3).
    #[must_use]
    pub fn finding(&self, reached: &Reached) -> Option<(TlsResult, &'static str)> {
        let held = self.held.as_ref()?;
        match (held.kind, reached) {
            (_, Reached::Clear) => Some((TlsResult::StarttlsNotSupported, "")),
            (PolicyKind::Tlsa, Reached::Tls { .. }) if self.demand == Demand::Encrypted => {
                Some((TlsResult::TlsaInvalid, "no record is usable"))
            }
            (PolicyKind::Sts, Reached::Tls { verified, .. }) => match self.tested {
                Some(tested) => Some(tested),
                None if *verified || held.strings.is_empty() => None,
                None => Some((TlsResult::CertificateNotTrusted, "or for another name")),
            },
            (_, Reached::Broken { .. } | Reached::Tls { .. }) => None,
        }
    }

    fn barred(&self, reply: PeerReply, result: TlsResult) -> Barred {
        Barred { reply, report: self.held.clone().map(|held| (held, result)) }
    }
}

/// TLS works, and the host is not known by it.
fn about_names(result: TlsResult) -> bool {
    use TlsResult::{CertificateExpired, CertificateHostMismatch, CertificateNotTrusted};
    matches!(result, CertificateExpired | CertificateHostMismatch | CertificateNotTrusted)
}

/// What an open connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// For whose wish it was made.
    pub wish: Wish,
    /// It is known to whom, see [`Terms::authenticated`].
    pub authenticated: bool,
    /// The host offers REQUIRETLS.
    pub require_tls: bool,
}

impl Standing {
    /// Whether a message with `wish` may go over it too. What is not good enough is closed, and
    /// the message gets a connection of its own.
    #[must_use]
    pub fn serves(&self, wish: Wish) -> bool {
        match wish {
            Wish::Required => self.authenticated && self.require_tls,
            // What ignored the domain's policy serves nobody who did not ask for that.
            Wish::None => self.wish != Wish::Optional,
            Wish::Optional => true,
        }
    }
}

/// REQUIRETLS support required (RFC 8689 7).
const REQUIRETLS_UNSUPPORTED: (u16, u16) = (7, 30);
/// Encryption needed (RFC 8689 4.2.1).
const ENCRYPTION_NEEDED: (u16, u16) = (7, 10);

/// The trouble is between two hosts and may pass (RFC 3463 4.7.5: cryptographic failure).
fn later(text: &str) -> PeerReply {
    PeerReply::ours(EnhancedStatus::new(4, 7, 5), text)
}

fn never((subject, detail): (u16, u16), text: &str) -> PeerReply {
    PeerReply::ours(EnhancedStatus::new(5, subject, detail), text)
}

#[cfg(test)]
mod tests;
