//! The boring part: a connection that reads, feeds the conversation, drains it and writes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{self, Context as Waker, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Tls;
use crate::host::clock::{now, wall};
use crate::mail::answer::{Answer, Phase};
use crate::mail::reply::PeerReply;
use crate::mail::trust::{Assurance, PolicySeen, TlsResult};
use crate::net::tls_client::{Rung, TlsFailure, Verify, Wire};
use crate::route::trust::{Barred, Demand, Reached, Standing, Terms, Wish};
use crate::service::post::Job;
use crate::service::tap::Ear;
use crate::smtp::client::{Action, Conversation, Settings};

/// Octets that wait for the socket before the conversation is asked for more.
const OUTBOX_OCTETS_MAX: usize = 256 * 1024;

/// Slices of one vectored write.
const SLICES_MAX: usize = 32;

/// A read from the peer; replies are short.
const INBOX_OCTETS: usize = 2048;

/// Why a host could not be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) phase: Phase,
    pub(super) reply: PeerReply,
    /// The handshake hung at the post-quantum rung; the classical one may do.
    pub(super) stepped_back: bool,
    /// What a report says about it, and against which policy.
    pub(super) report: Option<(PolicySeen, TlsResult)>,
}

impl Unusable {
    fn new(phase: Phase, reply: PeerReply, stepped_back: bool) -> Self {
        Self { phase, reply, stepped_back, report: None }
    }

    fn barred(barred: Barred, stepped_back: bool) -> Self {
        let Barred { reply, report } = barred;
        Self { phase: Phase::StartTls, reply, stepped_back, report }
    }
}

/// What became of a transaction.
pub(super) enum Transacted {
    /// One answer for each recipient.
    Answered(Vec<Answer>),
    /// The connection had died before; make it again on a fresh one.
    Stale,
}

/// What the socket did.
enum Event {
    Read(usize),
    Wrote(usize),
    Flushed,
    Closed(String),
}

/// A connection with its conversation.
pub(super) struct Link {
    /// `None` only while the handshake holds it.
    wire: Option<Wire>,
    talk: Conversation,
    outbox: VecDeque<Bytes>,
    outbox_octets: usize,
    /// Octets that the socket has taken and that were not yet flushed.
    unflushed: usize,
    inbox: Box<[u8]>,
    /// `host[address]:port`.
    pub(super) relay: String,
    /// Name of the egress.
    pub(super) egress: String,
    /// Who receives, as limits and allowances know it.
    pub(super) provider: String,
    /// TLS version and suite, or `none`.
    pub(super) tls: String,
    /// How well the host is known.
    pub(super) assurance: Assurance,
    /// What the connection is good for; none before it is ready.
    standing: Option<Standing>,
    /// The host's name was vouched for by authorities, whether anybody asked for that or not.
    verified: bool,
    /// Why the handshake failed.
    failure: Option<TlsFailure>,
    /// What is seen here is to be remembered of the domain: nothing lies over its policy.
    to_be_noted: bool,
    /// Somebody traces this domain.
    pub(super) ear: Option<Box<Ear>>,
}

impl Link {
    pub(super) fn new(stream: TcpStream, settings: Settings, relay: String, egress: &str) -> Self {
        Self {
            wire: Some(Wire::Clear(stream)),
            talk: Conversation::new(settings, now()),
            outbox: VecDeque::new(),
            outbox_octets: 0,
            unflushed: 0,
            inbox: vec![0; INBOX_OCTETS].into_boxed_slice(),
            relay,
            egress: egress.to_owned(),
            provider: String::new(),
            tls: "none".to_owned(),
            assurance: Assurance::Clear,
            standing: None,
            verified: false,
            failure: None,
            to_be_noted: false,
            ear: None,
        }
    }

    /// From the greeting to the point where a transaction may begin on these terms. Returns how
    /// far TLS came.
    pub(super) async fn greet(&mut self, host: &str, tls: &Tls<'_>) -> Result<Reached, Unusable> {
        let mut stepped_back = false;
        loop {
            match self.drive().await {
                Action::Ready => {
                    let reached = self.reached();
                    let judged = tls.terms.judge(&reached);
                    self.assurance =
                        judged.map_err(|barred| Unusable::barred(barred, stepped_back))?;
                    self.stand(tls.terms);
                    return Ok(reached);
                }
                Action::StartTls => stepped_back = self.encrypt(host, tls).await,
                Action::Failed { phase, reply } => {
                    return Err(self.fallen(phase, reply, tls.terms, stepped_back));
                }
                Action::Close => {
                    let reply = super::ours((4, 4, 2), "the connection ended");
                    return Err(Unusable::new(Phase::Greeting, reply, stepped_back));
                }
                Action::Answered(_) | Action::Stale | Action::Write(_) => {}
            }
        }
    }

    /// How far TLS came on a connection that is ready.
    fn reached(&self) -> Reached {
        match &self.wire {
            Some(Wire::Tls(_)) => {
                Reached::Tls { verified: self.verified, require_tls: self.talk.offer().require_tls }
            }
            _ => Reached::Clear,
        }
    }

    fn stand(&mut self, terms: &Terms) {
        self.to_be_noted = terms.held.is_some();
        self.standing = Some(Standing {
            wish: terms.wish,
            authenticated: terms.authenticated && self.assurance > Assurance::Encrypted,
            require_tls: self.talk.offer().require_tls,
        });
    }

    /// The host failed before a transaction: what is answered, and what a report says.
    fn fallen(
        &mut self,
        phase: Phase,
        reply: PeerReply,
        terms: &Terms,
        stepped_back: bool,
    ) -> Unusable {
        if phase != Phase::StartTls {
            return Unusable::new(phase, reply, stepped_back);
        }
        let reached = match self.failure.take() {
            Some(failure) => {
                Reached::Broken { result: result_of(&failure), cause: failure.to_string() }
            }
            None if reply.code == 0 && !self.talk.offer().starttls => Reached::Clear,
            None => {
                // Offered and refused, or spoken out of turn: what was said is told as it is.
                let result = match reply.code {
                    0 => TlsResult::ValidationFailure,
                    _ => TlsResult::StarttlsNotSupported,
                };
                let report = terms.held.clone().map(|held| (held, result));
                return Unusable { phase, reply, stepped_back, report };
            }
        };
        match terms.judge(&reached) {
            Err(barred) => Unusable::barred(barred, stepped_back),
            Ok(_) => Unusable::new(phase, reply, stepped_back),
        }
    }

    /// What is to be remembered of the domain: told once, when a message was really taken.
    pub(super) fn worth_noting(&mut self, answers: &[Answer]) -> Option<Assurance> {
        let taken = |answer: &Answer| answer.phase == Phase::Dot && answer.reply.code / 100 == 2;
        let noted = self.to_be_noted && answers.iter().any(taken);
        noted.then(|| {
            self.to_be_noted = false;
            self.assurance
        })
    }

    /// Whether the connection is good enough for the wish of another message.
    pub(super) fn serves(&self, job: &Job) -> bool {
        self.standing.is_some_and(|standing| standing.serves(Wish::of(&job.parcel.envelope)))
    }

    /// One transaction.
    pub(super) async fn transact(&mut self, job: &Job) -> Transacted {
        self.talk.handle_job(job.parcel.clone(), &job.recipients, wall(), now());
        loop {
            match self.drive().await {
                Action::Answered(answers) => return Transacted::Answered(answers),
                Action::Stale | Action::Close => return Transacted::Stale,
                _ => {}
            }
        }
    }

    /// Whether another transaction may begin. Looks at the socket without waiting: a host that
    /// said 421 or closed in the meantime is found out before a command is wasted.
    pub(super) fn is_ready(&mut self) -> bool {
        while let Poll::Ready(event) = self.poll_event(&mut Waker::from_waker(task::Waker::noop()))
        {
            self.take(event);
            if !self.talk.is_ready() {
                return false;
            }
        }
        self.talk.is_ready()
    }

    /// Whether NOTIFY went on to the host.
    pub(super) fn offers_dsn(&self) -> bool {
        self.talk.offer().dsn
    }

    /// Whether BY= went on to the host.
    pub(super) fn offers_deadlines(&self) -> bool {
        self.talk.offer().deliver_by.is_some()
    }

    /// Says goodbye; waits for the reply so that the host sees an orderly end.
    pub(super) async fn farewell(mut self) {
        self.talk.handle_quit(now());
        while self.drive().await != Action::Close {}
    }

    /// The handshake. Whether the host will be offered less next time.
    async fn encrypt(&mut self, host: &str, tls: &Tls<'_>) -> bool {
        let Some(Wire::Clear(stream)) = self.wire.take() else {
            self.talk.handle_unencrypted("the connection is gone");
            return false;
        };
        let (sni, verify) = proof(host, &tls.terms.demand);
        let rung = tls.client.rung(host, now());
        let handshake = tls.client.connect(sni, rung, &verify, stream);
        let failure = match tokio::time::timeout(tls.wait, handshake).await {
            Ok(Ok(secured)) => {
                self.verified = secured.verified;
                let wire = Wire::Tls(secured.stream);
                self.tls = wire.tls();
                if let Some(ear) = &mut self.ear {
                    ear.encrypted(&self.tls);
                }
                self.wire = Some(wire);
                self.talk.handle_encrypted(now(), tls.terms.authenticated);
                return false;
            }
            Ok(Err(failure)) => failure,
            Err(_) => TlsFailure::timed_out(),
        };
        let hung = rung == Rung::PostQuantum && failure.is_silence();
        if hung {
            tls.client.step_back(host, now());
        }
        if let Some(ear) = &mut self.ear {
            ear.remark(&failure.to_string());
        }
        self.talk.handle_unencrypted(&failure.to_string());
        self.failure = Some(failure);
        hung
    }

    /// Reads and writes until the conversation wants something else.
    async fn drive(&mut self) -> Action {
        loop {
            while self.outbox_octets < OUTBOX_OCTETS_MAX {
                match self.talk.poll_action() {
                    Some(Action::Write(octets)) => {
                        if let Some(ear) = &mut self.ear {
                            ear.client(&octets);
                        }
                        self.outbox_octets += octets.len();
                        self.outbox.push_back(octets);
                    }
                    Some(action) => return action,
                    None => break,
                }
            }
            let event = match self.talk.poll_timeout() {
                None => self.event().await,
                Some(deadline) => {
                    let wait = deadline.since(now());
                    let Ok(event) = tokio::time::timeout(wait, self.event()).await else {
                        self.talk.handle_timeout(now());
                        continue;
                    };
                    event
                }
            };
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        if let Some(ear) = &mut self.ear {
            match &event {
                Event::Read(octets) => ear.server(&self.inbox[..*octets]),
                Event::Closed(cause) => ear.remark(cause),
                Event::Wrote(_) | Event::Flushed => {}
            }
        }
        match event {
            Event::Read(octets) => self.talk.handle_octets(&self.inbox[..octets], now()),
            Event::Wrote(octets) => self.wrote(octets),
            Event::Flushed => {
                let octets = std::mem::take(&mut self.unflushed);
                self.talk.handle_progress(octets, now());
            }
            Event::Closed(cause) => self.talk.handle_closed(&cause),
        }
    }

    /// Takes `octets` off the outbox. The last of them count when they are flushed: only then may
    /// the host have heard the final dot.
    fn wrote(&mut self, mut octets: usize) {
        self.unflushed += octets;
        self.outbox_octets -= octets;
        while let Some(front) = self.outbox.front_mut() {
            if front.len() > octets {
                front.advance(octets);
                break;
            }
            octets -= front.len();
            self.outbox.pop_front();
        }
        if !self.outbox.is_empty() {
            let octets = std::mem::take(&mut self.unflushed);
            self.talk.handle_progress(octets, now());
        }
    }

    /// The next thing that the socket can do. Dropping the future loses nothing.
    async fn event(&mut self) -> Event {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Waker<'_>) -> Poll<Event> {
        let Some(wire) = self.wire.as_mut() else {
            return Poll::Ready(Event::Closed("the connection is gone".to_owned()));
        };
        let mut wire = Pin::new(wire);
        if !self.outbox.is_empty() {
            let mut slices: [IoSlice<'_>; SLICES_MAX] = std::array::from_fn(|_| IoSlice::new(&[]));
            let mut count = 0;
            for (slice, octets) in slices.iter_mut().zip(&self.outbox) {
                *slice = IoSlice::new(octets);
                count += 1;
            }
            match wire.as_mut().poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Event::Closed("the host takes no more octets".to_owned()));
                }
                Poll::Ready(Ok(octets)) => return Poll::Ready(Event::Wrote(octets)),
                // What the host said before it closed matters more than the failed write.
                Poll::Ready(Err(error)) => {
                    let said = poll_read(wire, cx, &mut self.inbox);
                    return match said {
                        Poll::Ready(Event::Read(octets)) => Poll::Ready(Event::Read(octets)),
                        _ => Poll::Ready(Event::Closed(lost(&error))),
                    };
                }
                Poll::Pending => {}
            }
        } else if self.unflushed > 0 {
            match wire.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Flushed),
                Poll::Ready(Err(error)) => return Poll::Ready(Event::Closed(lost(&error))),
                Poll::Pending => {}
            }
        }
        poll_read(wire, cx, &mut self.inbox)
    }
}

/// The name that is shown to a host, and what it must prove.
fn proof<'a>(host: &'a str, demand: &'a Demand) -> (&'a str, Verify) {
    let first = |names: &'a [String]| names.first().map_or(host, String::as_str);
    match demand {
        Demand::Opportunistic | Demand::Encrypted => (host, Verify::Nothing),
        Demand::Verified { names } | Demand::Sts { names } => {
            (first(names), Verify::WebPki { names: names.clone() })
        }
        Demand::Dane { records, names } => {
            let (records, all) = (records.clone(), names.clone());
            (first(names), Verify::Dane { records, names: all })
        }
    }
}

/// A failure in the words of a report (RFC 8460 4.3).
fn result_of(failure: &TlsFailure) -> TlsResult {
    match failure {
        TlsFailure::HostMismatch(_) => TlsResult::CertificateHostMismatch,
        TlsFailure::Expired(_) => TlsResult::CertificateExpired,
        TlsFailure::NotTrusted(_) => TlsResult::CertificateNotTrusted,
        TlsFailure::TlsaInvalid(_) => TlsResult::TlsaInvalid,
        TlsFailure::Refused(_) | TlsFailure::Lost { .. } => TlsResult::ValidationFailure,
    }
}

fn poll_read(wire: Pin<&mut Wire>, cx: &mut Waker<'_>, inbox: &mut [u8]) -> Poll<Event> {
    let mut buffer = ReadBuf::new(inbox);
    match wire.poll_read(cx, &mut buffer) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(error)) => Poll::Ready(Event::Closed(lost(&error))),
        Poll::Ready(Ok(())) => Poll::Ready(match buffer.filled().len() {
            0 => Event::Closed("the host closed the connection".to_owned()),
            octets => Event::Read(octets),
        }),
    }
}

fn lost(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        // TLS has more to say about it, to programmers.
        return "the connection was lost: the host closed it in the middle".to_owned();
    }
    format!("the connection was lost: {error}")
}
