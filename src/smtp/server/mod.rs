//! The server side of a session: a machine without sockets.
//!
//! ```text
//!            MAIL          RCPT                DATA ──► Data ────┐
//!   Idle ─?──────► Sender ─?────► Recipients ─?┤                 ├─?─► Idle
//!    ▲ ▲             │               │         BDAT ─► Chunk ────┘
//!    │ └──── RSET ───┴───────────────┘                  ▲  │ more
//!    │ AUTH                                             └─ Chunks
//!    └──?── Auth          STARTTLS ──► Handshake ──► Idle, everything forgotten
//! ```
//! At each `?` a [`Question`] is open: the session is `Deciding` and reads nothing until
//! [`Session::handle_verdict`]. Every way out that is not drawn is `Closed`.
//!
//! The driver feeds `handle_*`, then drains [`Session::poll_action`] until `None`, and calls
//! [`Session::handle_timeout`] when [`Session::poll_timeout`] is reached.
//!
//! **Invariant:** who may send what is not decided here: MAIL is a question, and without an answer
//! nothing goes on (default deny). The only way to a 250 after content is a `Custody`.
//!
//! Law: RFC 5321, 1870, 2034, 2852, 2920, 3030, 3207, 3461, 4954, 6152, 6409, 6531, 6710, 8689.

pub mod ask;
mod auth;
mod commands;
mod content;
mod state;
mod verdicts;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};

use self::ask::Question;
use self::state::State;
pub use self::state::{Ending, Tally, Terms, TlsFacts};
use super::dots::ContentFault;
use super::line::{Cut, cut, swallow};
use super::replies;
use super::reply::Reply;
use crate::base::limits::{
    AUTH_FAILURES_MAX, AUTH_LINE_OCTETS_MAX, COMMAND_LINE_OCTETS_MAX, COMMAND_TIMEOUT,
    IDLE_COMMANDS_MAX, PIPELINE_OCTETS_MAX, SESSION_ERRORS_MAX, STRANGER_COMMAND_TIMEOUT,
    SWALLOWED_OCTETS_MAX,
};
use crate::base::time::Instant;

/// What the driver must do next.
#[derive(Debug)]
pub enum Action {
    /// Write these octets.
    Send(Bytes),
    /// Shake hands, then call [`Session::handle_tls`]. Everything before was sent.
    StartTls,
    /// Ask the house, then call [`Session::handle_verdict`].
    Ask(Question),
    /// Close the connection; everything before was sent.
    Close(Ending),
}

/// EHLO or HELO, as it was said.
#[derive(Debug)]
struct Hello {
    name: Box<str>,
    esmtp: bool,
}

/// Counters that end a session.
#[derive(Debug, Default)]
struct Patience {
    errors: u32,
    idle: u32,
}

/// One SMTP session, from the greeting to the end.
#[derive(Debug)]
pub struct Session {
    terms: Arc<Terms>,
    peer: SocketAddr,
    tls: Option<TlsFacts>,
    hello: Option<Hello>,
    authenticated: bool,
    identified: bool,
    nonce_seed: [u8; 32],
    state: State,
    /// Octets that came and were not read yet: half a line, or what waits behind a question.
    waiting: BytesMut,
    /// Octets of an over-long line that were thrown away so far.
    swallowed: Option<usize>,
    output: Vec<u8>,
    question: Option<Question>,
    start_tls: bool,
    ending: Option<Ending>,
    last_orders: Option<Reply>,
    deadline: Instant,
    patience: Patience,
    tally: Tally,
}

impl Session {
    /// A session with `peer`; the greeting is its first action. `tls` is there if TLS came first
    /// (port 465). `nonce_seed` are 32 octets of chance, the secret of SCRAM's nonces.
    #[must_use]
    pub fn new(
        terms: Arc<Terms>,
        peer: SocketAddr,
        tls: Option<TlsFacts>,
        nonce_seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let greeting = format!("220 {} ESMTP Postern\r\n", terms.hostname);
        Self {
            terms,
            peer,
            tls,
            hello: None,
            authenticated: false,
            identified: false,
            nonce_seed,
            state: State::Idle,
            waiting: BytesMut::new(),
            swallowed: None,
            output: greeting.into_bytes(),
            question: None,
            start_tls: false,
            ending: None,
            last_orders: None,
            deadline: now.after(STRANGER_COMMAND_TIMEOUT),
            patience: Patience::default(),
            tally: Tally::default(),
        }
    }

    // ---- getters

    /// Whether octets are welcome: a driver reads the socket only then.
    #[must_use]
    pub fn wants_octets(&self) -> bool {
        !matches!(self.state, State::Deciding(_) | State::Handshake | State::Closed)
    }

    /// Whether [`Session::poll_action`] has something.
    #[must_use]
    pub fn has_action(&self) -> bool {
        let deciding = matches!(self.state, State::Deciding(_));
        self.question.is_some()
            || self.start_tls
            || self.ending.is_some()
            || (!deciding && !self.output.is_empty())
    }

    /// Octets of memory that content holds.
    #[must_use]
    pub fn content_held(&self) -> usize {
        match &self.state {
            State::Data(body) | State::Chunks(body) | State::Chunk(body, _) => body.content.held(),
            _ => 0,
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    // ---- what happens

    /// Octets came from the peer.
    pub fn handle_octets(&mut self, octets: &[u8], now: Instant) {
        if self.waiting.is_empty() {
            let rest = self.read(octets, now);
            if !rest.is_empty() {
                self.waiting.extend_from_slice(rest);
            }
        } else {
            self.waiting.extend_from_slice(octets);
            self.read_waiting(now);
        }
        if matches!(self.state, State::Closed) {
            self.waiting = BytesMut::new();
        } else if self.waiting.len() > PIPELINE_OCTETS_MAX {
            self.leave(&replies::PIPELINE_FULL, Ending::Violation);
        }
    }

    /// The handshake is done: everything that was said in clear text is forgotten (RFC 3207 4.2).
    pub fn handle_tls(&mut self, facts: TlsFacts, now: Instant) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.tls = Some(facts);
        self.hello = None;
        self.authenticated = false;
        self.identified = false;
        self.state = State::Idle;
        self.rest(now);
    }

    /// The peer closed its side.
    pub fn handle_vanished(&mut self) {
        self.state = State::Closed;
        self.ending.get_or_insert(Ending::Vanished);
    }

    /// The time of [`Session::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.leave(&replies::TIMEOUT, Ending::Timeout);
        }
    }

    /// The source was disabled, or everything was stopped: the peer hears `reply` now, also in the
    /// middle of content. Only a message whose verdict is open gets that verdict first.
    pub fn handle_stop(&mut self, reply: Reply) {
        match self.state {
            State::Closed => {}
            State::Deciding(state::Pending::Message) => self.last_orders = Some(reply),
            _ => self.leave(&reply, Ending::Dismissed),
        }
    }

    /// Shutdown: a transaction in hand may end, then the peer hears `reply`.
    pub fn handle_last_orders(&mut self, reply: Reply) {
        self.last_orders = Some(reply);
        self.settle();
    }

    /// Memory is short: the content that is coming in is let go and refused with 452 at its end.
    pub fn handle_shortage(&mut self) {
        match &mut self.state {
            State::Data(body) | State::Chunks(body) | State::Chunk(body, _) => {
                body.content.spoil(ContentFault::Shortage);
            }
            _ => {}
        }
    }

    // ---- what to do

    /// The next thing to do. Replies to pipelined commands are held back while a question is
    /// open, so that they leave together (RFC 2920 3.2).
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(question) = self.question.take() {
            return Some(Action::Ask(question));
        }
        if !self.output.is_empty() && !matches!(self.state, State::Deciding(_)) {
            return Some(Action::Send(std::mem::take(&mut self.output).into()));
        }
        if std::mem::take(&mut self.start_tls) {
            return Some(Action::StartTls);
        }
        self.ending.take().map(Action::Close)
    }

    /// When to call [`Session::handle_timeout`]; none while a question is open.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Deciding(_) | State::Closed => None,
            _ => Some(self.deadline),
        }
    }

    // ---- reading

    /// Reads what waits.
    fn read_waiting(&mut self, now: Instant) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let left = self.read(&waiting, now).len();
        if left > 0 {
            waiting.advance(waiting.len() - left);
            self.waiting = waiting;
        }
    }

    /// Reads as far as the state allows; what is left.
    fn read<'a>(&mut self, mut input: &'a [u8], now: Instant) -> &'a [u8] {
        while !input.is_empty() {
            let before = input.len();
            input = match self.state {
                State::Closed => return &[],
                State::Deciding(_) | State::Handshake => return input,
                State::Data(_) => self.data(input, now),
                State::Chunk(..) | State::Skipping { .. } => self.chunk(input, now),
                _ if self.swallowed.is_some() => self.swallow(input, now),
                _ => self.line(input, now),
            };
            if input.len() == before {
                break;
            }
        }
        input
    }

    /// Reads one line.
    fn line<'a>(&mut self, input: &'a [u8], now: Instant) -> &'a [u8] {
        let auth = matches!(self.state, State::Auth(_))
            || input.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
        let limit = if auth { AUTH_LINE_OCTETS_MAX } else { COMMAND_LINE_OCTETS_MAX };
        match cut(input, limit) {
            Cut::More => input,
            Cut::Line(line, rest) => {
                self.tally.commands = self.tally.commands.saturating_add(1);
                self.command(line, rest.is_empty(), now);
                self.rest(now);
                rest
            }
            Cut::TooLong => {
                self.swallowed = Some(0);
                self.swallow(input, now)
            }
            Cut::BareCr | Cut::BareLf => {
                self.leave(&replies::BARE_LINE_END, Ending::Violation);
                &[]
            }
        }
    }

    /// Throws an over-long line away, up to a budget.
    fn swallow<'a>(&mut self, input: &'a [u8], now: Instant) -> &'a [u8] {
        let (octets, ended) = swallow(input);
        let swallowed = self.swallowed.unwrap_or_default() + octets;
        self.swallowed = (!ended).then_some(swallowed);
        if swallowed > SWALLOWED_OCTETS_MAX {
            self.leave(&replies::LINE_TOO_LONG, Ending::Violation);
            return &[];
        }
        if ended {
            // An AUTH exchange that loses a line is over.
            if matches!(self.state, State::Auth(_)) {
                self.state = State::Idle;
            }
            self.refuse(&replies::LINE_TOO_LONG);
            self.rest(now);
        }
        &input[octets..]
    }

    // ---- answering

    /// Appends a reply.
    fn say(&mut self, reply: &Reply) {
        reply.append_to(&mut self.output);
    }

    /// Appends a refusal, and counts it.
    fn refuse(&mut self, reply: &Reply) {
        self.say(reply);
        self.tally.refused = self.tally.refused.saturating_add(1);
        // 4xx is our trouble, or a ceiling that an honest bulk of recipients meets.
        if reply.code >= 500 {
            self.patience.errors += 1;
        }
    }

    /// Says a last reply.
    fn leave(&mut self, reply: &Reply, ending: Ending) {
        self.say(reply);
        self.tally.refused = self.tally.refused.saturating_add(u32::from(reply.is_refusal()));
        self.close(ending);
    }

    fn close(&mut self, ending: Ending) {
        self.state = State::Closed;
        self.question = None;
        self.start_tls = false;
        self.waiting = BytesMut::new();
        self.ending.get_or_insert(ending);
    }

    fn ask(&mut self, question: Question, pending: state::Pending) {
        self.question = Some(question);
        self.state = State::Deciding(pending);
    }

    /// A command is done: bounds are looked at, and the wait for the next one begins. Octets of a
    /// line that is not complete do not lengthen it.
    fn rest(&mut self, now: Instant) {
        if matches!(self.state, State::Closed) {
            return;
        }
        let patience = if self.identified { COMMAND_TIMEOUT } else { STRANGER_COMMAND_TIMEOUT };
        if !matches!(self.state, State::Data(_) | State::Chunk(..)) {
            self.deadline = now.after(patience);
        }
        if self.tally.auth_failures >= AUTH_FAILURES_MAX {
            self.leave(&replies::TOO_MANY_AUTH, Ending::Excess);
        } else if self.patience.errors >= SESSION_ERRORS_MAX {
            self.leave(&replies::TOO_MANY_ERRORS, Ending::Excess);
        } else if self.patience.idle > IDLE_COMMANDS_MAX {
            self.leave(&replies::TOO_MANY_IDLE, Ending::Excess);
        }
        self.settle();
    }

    /// Last orders, once no transaction is in hand.
    fn settle(&mut self) {
        if matches!(self.state, State::Idle)
            && let Some(reply) = self.last_orders.take()
        {
            self.leave(&reply, Ending::Shutdown);
        }
    }
}
