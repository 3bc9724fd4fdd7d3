//! The route of one message, from the first command to the 250, on one screen.
//!
//! ```text
//! identify ─► permit ─► clear ─► seal ─► commit ─► 250 ─► queue
//! ```
//!
//! Each step is a type that only its room can make ([`crate::mail::stage`]). Refusals are values
//! and become the peer's reply; faults of ours are told and become 451.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::custody::{Ids, SortingDesk};
use super::reception::Gate;
use super::standing::Standing;
use super::tap::{Ear, Tap};
use crate::base::limits::{PASSWORD_CHECKS_AT_ONCE, SEAL_INLINE_OCTETS_MAX};
use crate::base::secret::Secret;
use crate::config::checked::{Listener, ListenerKind};
use crate::event::Event;
use crate::event::herald::Herald;
use crate::host::clock;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::source::SourceName;
use crate::mail::stage::{Attributed, Cleared, Custody, Submitted};
use crate::net::listen::Full;
use crate::policy;
use crate::scan;
use crate::sign::{SealError, SealFacts, Sealed, seal};
use crate::smtp::replies;
use crate::smtp::reply::{Refusal, Reply};
use crate::smtp::server::ask::{Grants, Question, Verdict, Wishes};
use crate::smtp::server::{Ending, Tally, TlsFacts};
use crate::source::Throttle;
use crate::store::Health;
use crate::store::spool::{CommitError, Spool};

/// Everything is stopped by an operator.
const STOPPED: Refusal = Refusal::new(
    "stop-all",
    Reply::new(421, (4, 3, 2), "Mail is stopped by the operator: try again later"),
);

/// The spool cannot take the message now (RFC 3463 4.3.1).
const SPOOL_FULL: Refusal = Refusal::new(
    "spool-full",
    Reply::new(452, (4, 3, 1), "Mail storage is full or too slow: try again later"),
);

/// The ledger has failed; a restart compares and goes on.
const SPOOL_LATCHED: Refusal = Refusal::new(
    "spool-failed",
    Reply::new(421, (4, 3, 0), "Mail storage has failed: try again later"),
);

/// Mail without TLS where the listener demands it.
const NEEDS_TLS: Refusal = Refusal::new("tls-required", replies::NEEDS_TLS);

/// A SCRAM proof that does not hold; the same words as for a wrong password.
const SCRAM_FAILED: Refusal = Refusal::new("credentials-invalid", replies::AUTH_FAILED);

/// A fault of ours: temporary, never the peer's problem.
const FAULT: Refusal = Refusal::new("fault", replies::FAULT);

/// The gate of the house.
pub struct Admission {
    standing: Arc<ArcSwap<Standing>>,
    spool: Spool,
    desk: Arc<SortingDesk>,
    herald: Arc<Herald>,
    stopped: AtomicBool,
    throttle: Mutex<Throttle>,
    checks: Semaphore,
    ids: Arc<Ids>,
    tap: Arc<Tap>,
}

/// What is known about one connection.
pub struct Visitor {
    peer: SocketAddr,
    listener: Arc<Listener>,
    tls: bool,
    certificate: Option<[u8; 32]>,
    attributed: Option<Attributed>,
    authenticated: bool,
    reverse_path: String,
}

impl Admission {
    /// A gate that admits by what stands.
    pub fn new(
        standing: Arc<ArcSwap<Standing>>,
        spool: Spool,
        desk: Arc<SortingDesk>,
        herald: Arc<Herald>,
        ids: Arc<Ids>,
        tap: Arc<Tap>,
    ) -> Self {
        Self {
            standing,
            spool,
            desk,
            herald,
            stopped: AtomicBool::new(false),
            throttle: Mutex::new(Throttle::new()),
            checks: Semaphore::new(PASSWORD_CHECKS_AT_ONCE),
            ids,
            tap,
        }
    }

    /// `stop-all` and `resume-all`.
    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Release);
    }

    // ---- identify -----------------------------------------------------------------------------

    async fn password(
        &self,
        visitor: &mut Visitor,
        user: &str,
        password: Secret<String>,
    ) -> Result<(), Refusal> {
        let peer = visitor.peer.ip();
        self.throttle().permit(peer, user, clock::now())?;
        let standing = self.standing.load_full();
        let now = clock::wall();
        let found = match standing.directory.recall_password(user, &password, peer, now) {
            Some(found) => found,
            None => self.compute_password(standing, user.to_owned(), password, peer).await?,
        };
        self.identified(visitor, user, found)
    }

    /// Argon2id, off the async workers and a few at a time.
    async fn compute_password(
        &self,
        standing: Arc<Standing>,
        user: String,
        password: Secret<String>,
        peer: std::net::IpAddr,
    ) -> Result<Result<Attributed, Refusal>, Refusal> {
        let Ok(_permit) = self.checks.acquire().await else { return Err(FAULT) };
        let check =
            move || standing.directory.identify_password(&user, &password, peer, clock::wall());
        tokio::task::spawn_blocking(check).await.map_err(|e| self.fault("source", &e))
    }

    fn scram(&self, visitor: &mut Visitor, user: &str) -> Result<(), Refusal> {
        let standing = self.standing.load();
        let found = standing.directory.identify_scram(user, visitor.peer.ip(), clock::wall());
        self.identified(visitor, user, found)
    }

    /// Books success or failure of AUTH.
    fn identified(
        &self,
        visitor: &mut Visitor,
        user: &str,
        found: Result<Attributed, Refusal>,
    ) -> Result<(), Refusal> {
        let peer = visitor.peer.ip();
        match found {
            Ok(attributed) => {
                self.throttle().succeeded(peer, user, clock::now());
                self.welcome(visitor, attributed, "password");
                visitor.authenticated = true;
                Ok(())
            }
            Err(refusal) => Err(self.failed(visitor, user, refusal)),
        }
    }

    fn failed(&self, visitor: &Visitor, user: &str, refusal: Refusal) -> Refusal {
        let peer = visitor.peer.ip();
        self.throttle().failed(peer, user, clock::now());
        let claimed = user.chars().filter(|c| !c.is_control()).take(64).collect();
        let reason = refusal.rule.to_owned();
        self.herald.tell(Event::SourceRefused { claimed, peer, reason });
        refusal
    }

    fn welcome(&self, visitor: &mut Visitor, attributed: Attributed, how: &str) {
        let source = attributed.source().name.clone();
        let event =
            Event::SourceIdentified { source, peer: visitor.peer.ip(), how: how.to_owned() };
        self.herald.tell(event);
        visitor.attributed = Some(attributed);
    }

    /// Who speaks? AUTH, else the certificate, else the network: default deny.
    fn attributed(&self, visitor: &mut Visitor) -> Result<Attributed, Refusal> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(STOPPED);
        }
        if !visitor.tls && !visitor.listener.clear_text {
            return Err(NEEDS_TLS);
        }
        let (standing, now, peer) = (self.standing.load(), clock::wall(), visitor.peer.ip());
        if let Some(known) = &visitor.attributed {
            return standing.directory.renew(known, now);
        }
        if visitor.listener.kind == ListenerKind::Health {
            let attributed = standing.directory.identify_health(peer, now)?;
            self.welcome(visitor, attributed.clone(), "health gate");
            return Ok(attributed);
        }
        let certified = visitor.certificate.map(|print| {
            (standing.directory.identify_certificate(&print, peer, now), "certificate")
        });
        let (found, how) = match certified {
            Some((Ok(attributed), how)) => (Ok(attributed), how),
            other => {
                let allowed = visitor.listener.network_sources;
                match (standing.directory.identify_network(allowed, peer, now), other) {
                    (Ok(attributed), _) => (Ok(attributed), "network"),
                    (Err(_), Some(refused)) => refused,
                    (Err(refusal), None) => (Err(refusal), "network"),
                }
            }
        };
        let attributed = found?;
        self.welcome(visitor, attributed.clone(), how);
        Ok(attributed)
    }

    // ---- permit -------------------------------------------------------------------------------

    fn sender(
        &self,
        visitor: &mut Visitor,
        path: &ReversePath,
        size: Option<u64>,
        wishes: Wishes,
    ) -> Result<Grants, Refusal> {
        visitor.reverse_path = path.to_string();
        let attributed = self.attributed(visitor)?;
        policy::permit_sender(attributed.source(), path, size)?;
        policy::wishes::grant(attributed.source(), wishes, clock::wall())
    }

    fn recipient(
        &self,
        visitor: &mut Visitor,
        path: &Mailbox,
        accepted: usize,
    ) -> Result<(), Refusal> {
        let attributed = self.attributed(visitor)?;
        let most = self.standing.load().config.recipients_max;
        policy::permit_recipient(attributed.source(), path, accepted, most)
    }

    fn content(&self, visitor: &mut Visitor) -> Result<(), Refusal> {
        self.attributed(visitor)?;
        match self.spool.health() {
            Health::Open => Ok(()),
            Health::Latched => Err(SPOOL_LATCHED),
            Health::Full | Health::Slow => Err(SPOOL_FULL),
        }
    }

    // ---- the message --------------------------------------------------------------------------

    /// Permit, clear, seal, commit.
    async fn message(&self, visitor: &mut Visitor, message: Submitted) -> Result<Custody, Refusal> {
        let attributed = self.attributed(visitor)?;
        let large = message.content.len() > SEAL_INLINE_OCTETS_MAX;
        let work = || self.prepare(&attributed, message);
        let sealed = if large { tokio::task::block_in_place(work)? } else { work()? };
        let accepted = Self::accepted(visitor, &sealed);
        let (spool, desk, herald) = (self.spool.clone(), self.desk.clone(), self.herald.clone());
        // A task of its own: a session that ends here must not tear custody from the queue.
        let commit = tokio::spawn(async move {
            let parcel = sealed.signed.parcel().clone();
            let custody = spool.commit(sealed.signed, Vec::new()).await?;
            herald.tell(accepted);
            desk.admit(&custody, &parcel);
            Ok(custody)
        });
        match commit.await {
            Ok(Ok(custody)) => Ok(custody),
            Ok(Err(CommitError::Full)) => Err(SPOOL_FULL),
            Ok(Err(CommitError::Taken)) => Err(FAULT),
            Ok(Err(CommitError::Latched)) => Err(SPOOL_LATCHED),
            Err(e) => Err(self.fault("spool", &e)),
        }
    }

    fn prepare(&self, attributed: &Attributed, message: Submitted) -> Result<Sealed, Refusal> {
        policy::wishes::permit_deadline(message.envelope.deliver_by, clock::wall())?;
        let permitted = policy::permit_message(attributed, message)?;
        let cleared = scan::clear(permitted)?;
        self.seal(&cleared)
    }

    fn seal(&self, cleared: &Cleared) -> Result<Sealed, Refusal> {
        let standing = self.standing.load();
        let class = cleared.source().class;
        let Some(retry) = standing.config.retry.get(&class) else {
            return Err(self.fault("sign", &format!("no retry policy for {class}")));
        };
        let facts = SealFacts {
            hostname: &standing.config.hostname,
            id: self.ids.next(),
            now: clock::wall(),
            lifetime: retry.lifetime,
        };
        seal(cleared, &standing.keyring, &facts).map_err(|error| match error {
            SealError::Refusal(refusal) => refusal,
            SealError::Fault(fault) => self.fault("sign", &fault),
        })
    }

    fn accepted(visitor: &Visitor, sealed: &Sealed) -> Event {
        let parcel = sealed.signed.parcel();
        Event::MessageAccepted {
            id: parcel.id,
            source: parcel.label.source.clone(),
            class: parcel.label.class,
            peer: visitor.peer.ip(),
            reverse_path: parcel.envelope.reverse_path.to_string(),
            from: sealed.from.clone(),
            mail_message_id: sealed.message_id.clone(),
            recipients: u32::try_from(parcel.envelope.recipients.len()).unwrap_or(u32::MAX),
            octets: parcel.content.len() as u64,
            signatures: sealed.signatures.clone(),
            priority: parcel.envelope.priority,
            deadline: parcel.envelope.deliver_by.map(|by| by.deadline),
        }
    }

    // ---- for all steps -----------------------------------------------------------------

    fn fault(&self, room: &str, cause: &dyn std::fmt::Display) -> Refusal {
        let (room, fault) = (room.to_owned(), cause.to_string());
        self.herald.tell(Event::FaultSeen { room, fault });
        FAULT
    }

    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, visitor: &Visitor, refusal: &Refusal) {
        self.herald.tell(Event::MessageRefused {
            source: source_of(visitor),
            peer: visitor.peer.ip(),
            reverse_path: visitor.reverse_path.clone(),
            reason: refusal.rule.to_owned(),
            reply: refusal.reply.to_string(),
        });
    }

    fn verdict(&self, visitor: &Visitor, outcome: Result<(), Refusal>) -> Verdict {
        match outcome {
            Ok(()) => Verdict::Yes,
            Err(refusal) => {
                self.refused(visitor, &refusal);
                if refusal.reply.code == 421 {
                    Verdict::Leave(refusal)
                } else {
                    Verdict::No(refusal)
                }
            }
        }
    }
}

fn source_of(visitor: &Visitor) -> Option<SourceName> {
    visitor.attributed.as_ref().map(|attributed| attributed.source().name.clone())
}

/// 64 hexadecimal digits as 32 octets.
fn fingerprint(hex: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (index, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(octets)
}

impl Gate for Admission {
    type Visitor = Visitor;

    fn open(&self, peer: SocketAddr, listener: &Arc<Listener>) -> Result<Visitor, Reply> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(STOPPED.reply);
        }
        let opened = Event::SessionOpened { peer: peer.ip(), listener: listener.name.clone() };
        self.herald.tell(opened);
        Ok(Visitor {
            peer,
            listener: listener.clone(),
            tls: false,
            certificate: None,
            attributed: None,
            authenticated: false,
            reverse_path: String::new(),
        })
    }

    fn tls(&self, visitor: &mut Visitor, facts: &TlsFacts) {
        visitor.tls = true;
        visitor.attributed = None;
        visitor.certificate = facts.client_spki_sha256.as_deref().and_then(fingerprint);
    }

    fn ear(&self, visitor: &Visitor) -> Option<Box<Ear>> {
        self.tap.submission(visitor.peer, &visitor.listener.name)
    }

    fn source_of<'v>(&self, visitor: &'v Visitor) -> Option<&'v SourceName> {
        visitor.attributed.as_ref().map(|attributed| &attributed.source().name)
    }

    async fn decide(&self, visitor: &mut Visitor, question: Question) -> Verdict {
        match question {
            Question::Password { user, password } => {
                match self.password(visitor, &user, password).await {
                    Ok(()) => Verdict::Yes,
                    Err(refusal) => Verdict::No(refusal),
                }
            }
            Question::ScramKeys { user } => {
                let allowed = self.throttle().permit(visitor.peer.ip(), &user, clock::now());
                match allowed {
                    Ok(()) => Verdict::Scram(
                        self.standing.load().directory.scram_keys(&user, clock::wall()),
                    ),
                    Err(refusal) => Verdict::No(refusal),
                }
            }
            Question::ScramProven { user } => match self.scram(visitor, &user) {
                Ok(()) => Verdict::Yes,
                Err(refusal) => Verdict::No(refusal),
            },
            Question::ScramFailed { user } => {
                Verdict::No(self.failed(visitor, &user, SCRAM_FAILED))
            }
            Question::Mail { reverse_path, size, wishes } => {
                match self.sender(visitor, &reverse_path, size, wishes) {
                    Ok(grants) => Verdict::Granted(grants),
                    Err(refusal) => self.verdict(visitor, Err(refusal)),
                }
            }
            Question::Recipient { forward_path, accepted, .. } => {
                let outcome = self.recipient(visitor, &forward_path, accepted);
                self.verdict(visitor, outcome)
            }
            Question::Content { .. } => {
                let outcome = self.content(visitor);
                self.verdict(visitor, outcome)
            }
            Question::Message(message) => match self.message(visitor, *message).await {
                Ok(custody) => Verdict::Accepted(custody),
                Err(refusal) => self.verdict(visitor, Err(refusal)),
            },
        }
    }

    fn still_welcome(&self, visitor: &Visitor) -> Result<(), Reply> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(STOPPED.reply);
        }
        let Some(attributed) = &visitor.attributed else { return Ok(()) };
        let standing = self.standing.load();
        standing
            .directory
            .still_welcome(attributed.source(), clock::wall())
            .map_err(|refusal| refusal.reply)
    }

    fn close(&self, visitor: Visitor, tally: Tally, ending: Ending) {
        self.herald.tell(Event::SessionClosed {
            peer: visitor.peer.ip(),
            listener: visitor.listener.name.clone(),
            accepted: tally.accepted,
            refused: tally.refused,
            reason: ending.to_string(),
        });
    }

    fn turned_away(&self, peer: SocketAddr, listener: &Arc<Listener>, full: Full) {
        let reason = match full {
            Full::Total => "too many connections",
            Full::Address => "too many connections from its address",
        };
        self.herald.tell(Event::SessionRefused {
            peer: peer.ip(),
            listener: listener.name.clone(),
            reason: reason.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_digits() {
        assert_eq!(fingerprint(&"0f".repeat(32)), Some([15; 32]));
        assert_eq!(fingerprint("0f"), None);
        assert_eq!(fingerprint(&"zz".repeat(32)), None);
    }
}
