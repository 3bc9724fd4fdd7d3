//! The conversation with one host: greeting, EHLO, STARTTLS, transactions, QUIT.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::exchange::{Exchange, Turn};
use super::heard::{Heard, HeardReader};
use super::offer::Offer;
use super::preflight::{Peer, ours};
use crate::base::limits;
use crate::base::time::{Instant, WallTime};
use crate::mail::address::Domain;
use crate::mail::answer::{Answer, Phase};
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;

/// How long each phase may take (RFC 5321 4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the greeting.
    pub greeting: Duration,
    /// For replies to EHLO, HELO and STARTTLS.
    pub ehlo: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the reply to MAIL.
    pub mail: Duration,
    /// For the reply to RCPT.
    pub recipient: Duration,
    /// For 354.
    pub data: Duration,
    /// For the peer to take one block of content.
    pub block: Duration,
    /// For the reply to the final dot.
    pub dot: Duration,
    /// For the reply to QUIT.
    pub quit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            greeting: limits::GREETING_TIMEOUT,
            ehlo: limits::EHLO_TIMEOUT,
            handshake: limits::TLS_HANDSHAKE_TIMEOUT,
            mail: limits::MAIL_TIMEOUT,
            recipient: limits::RCPT_TIMEOUT,
            data: limits::DATA_START_TIMEOUT,
            block: limits::DATA_BLOCK_TIMEOUT,
            dot: limits::DATA_DONE_TIMEOUT,
            quit: limits::QUIT_TIMEOUT,
        }
    }
}

/// How we present ourselves and what we insist on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// EHLO name.
    pub ehlo: Domain,
    /// The route asks for TLS: without STARTTLS the mail waits.
    pub tls_required: bool,
    /// Time limits.
    pub patience: Patience,
}

/// What the driver must do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these octets after those before; then tell `handle_progress`.
    Write(Bytes),
    /// Begin TLS; then tell `handle_encrypted` or `handle_unencrypted`.
    StartTls,
    /// A transaction may begin: `handle_job` or `handle_quit`.
    Ready,
    /// The transaction is over; one answer for each recipient.
    Answered(Vec<Answer>),
    /// A reused connection had died before it heard the transaction: make it again on a fresh
    /// connection. No attempt is counted.
    Stale,
    /// The host cannot be used, and no transaction was begun: try the next one.
    Failed {
        /// How far it had come.
        phase: Phase,
        /// What the host said, or what we found out.
        reply: PeerReply,
    },
    /// Close the connection; nothing follows.
    Close,
}

/// What is true of the conversation at this moment.
#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Ready,
    Exchange(Box<Exchange>),
    Quitting,
    Closed,
}

/// The machine. See the module for its drawing.
#[derive(Debug)]
pub struct Conversation {
    state: State,
    settings: Settings,
    reader: HeardReader,
    actions: VecDeque<Action>,
    offer: Offer,
    deadline: Option<Instant>,
    encrypted: bool,
    authenticated: bool,
    reset_due: bool,
    transactions: u32,
}

impl Conversation {
    /// A conversation on a connection that has just been made.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        let deadline = Some(now.after(settings.patience.greeting));
        Self {
            state: State::Greeting,
            settings,
            reader: HeardReader::default(),
            actions: VecDeque::new(),
            offer: Offer::default(),
            deadline,
            encrypted: false,
            authenticated: false,
            reset_due: false,
            transactions: 0,
        }
    }

    /// The next thing to do; drain until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        match &mut self.state {
            State::Exchange(exchange) => exchange.next_octets().map(Action::Write),
            _ => None,
        }
    }

    /// When to call `handle_timeout`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// What the host offers on the present channel.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Whether a transaction may begin.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Transactions that were begun on this connection.
    #[must_use]
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// The peer has sent `octets`.
    pub fn handle_octets(&mut self, octets: &[u8], now: Instant) {
        self.reader.push(octets);
        loop {
            if matches!(self.state, State::Closed | State::Handshake) {
                return;
            }
            match self.reader.next_reply() {
                Ok(Some(heard)) => self.heard(&heard, now),
                Ok(None) => return,
                Err(error) => return self.give_up(&ours((4, 5, 0), &error.to_string())),
            }
        }
    }

    /// The socket has taken `octets` more of what was to be written.
    pub fn handle_progress(&mut self, octets: usize, now: Instant) {
        if let State::Exchange(exchange) = &mut self.state {
            exchange.written(octets);
            self.set_deadline(now);
        }
    }

    /// The peer has closed the connection, or it broke; `cause` says how.
    pub fn handle_closed(&mut self, cause: &str) {
        self.give_up(&ours((4, 4, 2), cause));
    }

    /// The time of `poll_timeout` has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.give_up(&ours((4, 4, 2), "the host took too long"));
        }
    }

    /// TLS stands. What was offered in clear text is forgotten (RFC 3207 4.2). `authenticated`: it
    /// proved that this is the host that the recipient's domain named, by a name that DNSSEC or
    /// MTA-STS vouches for (RFC 8689 section 2); only then is REQUIRETLS ever said.
    pub fn handle_encrypted(&mut self, now: Instant, authenticated: bool) {
        if matches!(self.state, State::Handshake) {
            self.encrypted = true;
            self.authenticated = authenticated;
            self.reader = HeardReader::default();
            self.say_ehlo(now);
        }
    }

    /// TLS failed. This connection is over: it never continues in clear text.
    pub fn handle_unencrypted(&mut self, cause: &str) {
        if matches!(self.state, State::Handshake) {
            self.fail(Phase::StartTls, ours((4, 7, 5), cause));
        }
    }

    /// A transaction for these recipients. Only when `is_ready`. `wall` is for deadlines alone.
    pub fn handle_job(
        &mut self,
        parcel: Arc<Parcel>,
        recipients: &[u16],
        wall: WallTime,
        now: Instant,
    ) {
        if !self.is_ready() {
            return self.actions.push_back(Action::Stale);
        }
        let peer = Peer { offer: &self.offer, authenticated: self.authenticated, wall };
        match Exchange::new(parcel, recipients, &peer, self.reset_due) {
            Ok(exchange) => {
                self.transactions += 1;
                self.state = State::Exchange(Box::new(exchange));
                self.set_deadline(now);
            }
            Err(answers) => self.actions.extend([Action::Answered(answers), Action::Ready]),
        }
    }

    /// No more transactions.
    pub fn handle_quit(&mut self, now: Instant) {
        if self.is_ready() {
            self.state = State::Quitting;
            self.write(b"QUIT\r\n");
            self.set_deadline(now);
        }
    }

    fn heard(&mut self, heard: &Heard, now: Instant) {
        match &mut self.state {
            State::Greeting => self.greeted(heard, now),
            State::Ehlo => self.ehlo_answered(heard, now),
            State::Helo if heard.is_positive() => self.helo_accepted(now),
            State::Helo => self.refused(Phase::Ehlo, heard),
            State::StartTls => self.starttls_answered(heard, now),
            State::Exchange(exchange) => {
                let turn = exchange.heard(heard);
                self.exchanged(turn, now);
            }
            // 421 for idleness, or an answer to nothing: a fresh connection is cheaper than doubt.
            State::Ready | State::Quitting => self.close(),
            State::Handshake | State::Closed => {}
        }
    }

    fn greeted(&mut self, heard: &Heard, now: Instant) {
        if heard.code == 220 { self.say_ehlo(now) } else { self.refused(Phase::Greeting, heard) }
    }

    fn say_ehlo(&mut self, now: Instant) {
        self.offer = Offer::default();
        self.state = State::Ehlo;
        self.write(format!("EHLO {}\r\n", self.settings.ehlo).as_bytes());
        self.set_deadline(now);
    }

    fn ehlo_answered(&mut self, heard: &Heard, now: Instant) {
        if heard.is_positive() {
            self.offer = Offer::read(&heard.text);
            if self.offer.starttls && !self.encrypted {
                self.state = State::StartTls;
                self.write(b"STARTTLS\r\n");
                return self.set_deadline(now);
            }
            return self.greeting_done(now);
        }
        let old_host = heard.code / 100 == 5 && heard.code != 521 && heard.code != 554;
        if old_host && !self.encrypted {
            self.state = State::Helo;
            self.write(format!("HELO {}\r\n", self.settings.ehlo).as_bytes());
            return self.set_deadline(now);
        }
        self.refused(Phase::Ehlo, heard);
    }

    fn helo_accepted(&mut self, now: Instant) {
        self.offer = Offer::default();
        self.greeting_done(now);
    }

    fn greeting_done(&mut self, now: Instant) {
        if self.settings.tls_required && !self.encrypted {
            let text = "the route asks for TLS and the host does not offer STARTTLS";
            return self.fail(Phase::StartTls, ours((4, 7, 5), text));
        }
        self.ready(now);
    }

    fn starttls_answered(&mut self, heard: &Heard, now: Instant) {
        if heard.code != 220 {
            return self.refused(Phase::StartTls, heard);
        }
        if !self.reader.is_empty() {
            // CVE-2011-0411 seen from the client: somebody speaks before the handshake.
            let text = "octets in clear text after the reply to STARTTLS";
            return self.fail(Phase::StartTls, ours((4, 7, 5), text));
        }
        self.state = State::Handshake;
        self.actions.push_back(Action::StartTls);
        self.set_deadline(now);
    }

    fn exchanged(&mut self, turn: Turn, now: Instant) {
        match turn {
            Turn::Continue => self.set_deadline(now),
            Turn::Over { clean } => {
                self.reset_due = !clean;
                self.answered();
                self.ready(now);
            }
            Turn::Broken => {
                self.answered();
                self.close();
            }
        }
    }

    /// Gives out the answers of the exchange.
    fn answered(&mut self) {
        if let State::Exchange(exchange) = std::mem::replace(&mut self.state, State::Closed) {
            self.actions.push_back(Action::Answered(exchange.into_answers()));
        }
    }

    fn ready(&mut self, now: Instant) {
        self.state = State::Ready;
        self.actions.push_back(Action::Ready);
        self.set_deadline(now);
    }

    /// The host said no before a transaction could begin.
    fn refused(&mut self, phase: Phase, heard: &Heard) {
        let reply = if heard.is_refusal() {
            heard.kept()
        } else {
            ours((4, 5, 0), &format!("the host answered out of turn: {}", heard.kept()))
        };
        self.fail(phase, reply);
    }

    fn fail(&mut self, phase: Phase, reply: PeerReply) {
        self.actions.push_back(Action::Failed { phase, reply });
        self.close();
    }

    /// The connection is lost, too slow or speaks nonsense.
    fn give_up(&mut self, reply: &PeerReply) {
        match &mut self.state {
            State::Closed => {}
            State::Greeting => self.fail(Phase::Greeting, reply.clone()),
            State::Ehlo | State::Helo => self.fail(Phase::Ehlo, reply.clone()),
            State::StartTls | State::Handshake => self.fail(Phase::StartTls, reply.clone()),
            State::Exchange(exchange) if self.transactions > 1 && exchange.is_unheard() => {
                self.actions.push_back(Action::Stale);
                self.close();
            }
            State::Exchange(exchange) => {
                exchange.lost(reply);
                self.answered();
                self.close();
            }
            State::Ready | State::Quitting => self.close(),
        }
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.deadline = None;
        self.actions.push_back(Action::Close);
    }

    fn write(&mut self, octets: &[u8]) {
        self.actions.push_back(Action::Write(Bytes::copy_from_slice(octets)));
    }

    fn set_deadline(&mut self, now: Instant) {
        let patience = &self.settings.patience;
        let wait = match &self.state {
            State::Greeting => patience.greeting,
            State::Ehlo | State::Helo | State::StartTls => patience.ehlo,
            State::Handshake => patience.handshake,
            State::Quitting => patience.quit,
            State::Exchange(exchange) => match exchange.phase() {
                Phase::Mail => patience.mail,
                Phase::Rcpt => patience.recipient,
                Phase::Data => patience.data,
                Phase::Content => patience.block,
                _ => patience.dot,
            },
            State::Ready | State::Closed => {
                self.deadline = None;
                return;
            }
        };
        self.deadline = Some(now.after(wait));
    }
}

#[cfg(test)]
mod tests;
