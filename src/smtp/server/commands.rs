//! What each command does in each state. A state without an arm for a command answers 503.

use super::ask::{Question, Wishes};
use super::state::{Chunk, Exchange, Pending, State, Transaction};
use super::{Ending, Hello, Session};
use crate::base::limits::RECIPIENTS_MAX;
use crate::base::time::Instant;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{Envelope, Recipient};
use crate::smtp::command::{Command, Mechanism, NotACommand, parse};
use crate::smtp::parameters::{MailParameters, RecipientParameters};
use crate::smtp::replies;
use crate::smtp::reply::Reply;

impl Session {
    /// One complete line. `last`: nothing came after it.
    pub(super) fn command(&mut self, line: &[u8], last: bool, now: Instant) {
        if let State::Auth(exchange) = &mut self.state {
            let exchange = std::mem::replace(exchange, Exchange::PlainMessage);
            return self.auth_line(exchange, line, last);
        }
        let utf8 = match &self.state {
            State::Sender(transaction) | State::Recipients(transaction) => {
                transaction.envelope.smtputf8
            }
            _ => false,
        };
        match parse(line, utf8) {
            Ok(command) => self.obey(command, last, now),
            Err(NotACommand::Refused(reply)) => self.refuse(&reply),
            Err(NotACommand::RefusedChunk(reply, octets)) => self.skip(octets, reply),
            Err(NotACommand::Lost(reply)) => self.leave(&reply, Ending::Violation),
            Err(NotACommand::Foreign) => {
                self.leave(&replies::FOREIGN_PROTOCOL, Ending::Violation);
            }
        }
    }

    fn obey(&mut self, command: Command, last: bool, now: Instant) {
        match command {
            Command::Quit => {
                self.say(&replies::QUIT);
                self.close(Ending::Quit);
            }
            // The replies to these change what may come next (RFC 2920 3.1).
            Command::Ehlo(_) | Command::Helo(_) | Command::Auth { .. } | Command::Data if !last => {
                self.leave(&replies::IMPROPER_PIPELINING, Ending::Violation);
            }
            Command::StartTls if !last => self.leave(&replies::TLS_INJECTION, Ending::Violation),
            Command::Ehlo(name) => self.hello(Hello { name, esmtp: true }),
            Command::Helo(name) => self.hello(Hello { name, esmtp: false }),
            Command::StartTls => self.start_tls(now),
            Command::Rset => {
                self.patience.idle += 1;
                self.state = State::Idle;
                self.say(&replies::OK);
            }
            Command::Noop => self.idle(&replies::OK),
            Command::Help => self.idle(&replies::HELP),
            _ if self.terms.tls_required && self.tls.is_none() => self.not_in_clear(&command),
            Command::Vrfy => self.idle(&replies::VRFY),
            Command::Auth { mechanism, initial } => {
                self.auth(mechanism, initial.as_ref().map(|text| text.expose().as_str()));
            }
            Command::Mail(path, parameters) => self.mail(path, parameters),
            Command::Rcpt(path, parameters) => self.recipient(path, parameters),
            Command::Data => self.begin_data(),
            Command::Bdat { octets, last } => self.begin_chunk(Chunk { left: octets, last }, now),
        }
    }

    /// RFC 3207 section 4: 530 to everything but a few; RFC 4954 section 4 has its own code.
    fn not_in_clear(&mut self, command: &Command) {
        match command {
            Command::Auth { .. } => self.refuse(&replies::AUTH_NEEDS_TLS),
            Command::Bdat { octets, .. } => self.skip(*octets, replies::NEEDS_TLS),
            _ => self.refuse(&replies::NEEDS_TLS),
        }
    }

    fn idle(&mut self, reply: &Reply) {
        self.patience.idle += 1;
        self.say(reply);
    }

    /// EHLO and HELO abandon a transaction (RFC 5321 4.1.4).
    fn hello(&mut self, hello: Hello) {
        self.state = State::Idle;
        let reply = if hello.esmtp {
            self.extensions()
        } else {
            Reply { code: 250, status: None, text: self.terms.hostname.to_string().into() }
        };
        self.hello = Some(hello);
        self.idle(&reply);
    }

    /// The reply to EHLO: what can be had in this very session.
    fn extensions(&self) -> Reply {
        let encrypted = self.tls.is_some();
        let mut text = format!(
            "{}\nPIPELINING\nSIZE {}\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nDSN\nCHUNKING\n\
             MT-PRIORITY",
            self.terms.hostname, self.terms.message_octets_max,
        );
        if self.terms.deadlines {
            text.push_str("\nDELIVERBY");
        }
        if encrypted {
            text.push_str("\nAUTH PLAIN LOGIN SCRAM-SHA-256\nREQUIRETLS");
        } else if self.terms.tls_offered {
            text.push_str("\nSTARTTLS");
        }
        Reply { code: 250, status: None, text: text.into() }
    }

    fn start_tls(&mut self, now: Instant) {
        if self.tls.is_some() {
            return self.refuse(&replies::TLS_ALREADY);
        }
        if !self.terms.tls_offered {
            return self.refuse(&replies::TLS_NOT_AVAILABLE);
        }
        if self.hello.is_none() {
            return self.refuse(&replies::HELLO_FIRST);
        }
        self.say(&replies::START_TLS);
        self.state = State::Handshake;
        self.start_tls = true;
        self.rest(now);
    }

    fn auth(&mut self, mechanism: Option<Mechanism>, initial: Option<&str>) {
        if self.tls.is_none() {
            return self.refuse(&replies::AUTH_NEEDS_TLS);
        }
        if !self.hello.as_ref().is_some_and(|hello| hello.esmtp) {
            return self.refuse(&replies::HELLO_FIRST);
        }
        if self.authenticated {
            return self.refuse(&replies::AUTH_ALREADY);
        }
        if !matches!(self.state, State::Idle) {
            return self.refuse(&replies::BAD_SEQUENCE);
        }
        match mechanism {
            Some(mechanism) => self.begin_auth(mechanism, initial),
            None => self.refuse(&replies::UNKNOWN_MECHANISM),
        }
    }

    fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) {
        if self.hello.is_none() {
            return self.refuse(&replies::HELLO_FIRST);
        }
        if !matches!(self.state, State::Idle) {
            return self.refuse(&replies::BAD_SEQUENCE);
        }
        if parameters.require_tls && self.tls.is_none() {
            return self.refuse(&replies::REQUIRETLS_NEEDS_TLS);
        }
        if parameters.size.is_some_and(|size| size > self.terms.message_octets_max) {
            return self.refuse(&replies::TOO_LARGE);
        }
        if parameters.by.is_some() && !self.terms.deadlines {
            return self.refuse(&replies::UNKNOWN_PARAMETER);
        }
        let size = parameters.size;
        let wishes = Wishes { priority: parameters.priority, by: parameters.by };
        let envelope = Envelope {
            body: parameters.body.unwrap_or_default(),
            smtputf8: parameters.smtputf8,
            require_tls: parameters.require_tls,
            ret: parameters.ret,
            envid: parameters.envid,
            ..Envelope::from(reverse_path.clone())
        };
        let transaction = Box::new(Transaction { envelope, size });
        let question = Question::Mail { reverse_path, size, wishes };
        self.ask(question, Pending::Mail(transaction, wishes));
    }

    fn recipient(&mut self, forward_path: Mailbox, parameters: RecipientParameters) {
        let transaction = match std::mem::replace(&mut self.state, State::Idle) {
            State::Sender(transaction) | State::Recipients(transaction) => transaction,
            other => return self.out_of_order(other),
        };
        let accepted = transaction.envelope.recipients.len();
        if accepted >= self.terms.recipients_max.min(RECIPIENTS_MAX) {
            self.state = State::Recipients(transaction);
            return self.refuse(&replies::TOO_MANY_RECIPIENTS);
        }
        let question = Question::Recipient {
            reverse_path: transaction.envelope.reverse_path.clone(),
            forward_path: forward_path.clone(),
            accepted,
        };
        let recipient =
            Recipient { forward_path, notify: parameters.notify, orcpt: parameters.orcpt };
        self.ask(question, Pending::Recipient(transaction, recipient));
    }

    fn begin_data(&mut self) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Recipients(transaction) => {
                let question = Question::Content { size: transaction.size };
                self.ask(question, Pending::Data(transaction));
            }
            other => self.out_of_order(other),
        }
    }

    fn begin_chunk(&mut self, chunk: Chunk, now: Instant) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Recipients(transaction) => {
                let question = Question::Content { size: transaction.size };
                self.ask(question, Pending::FirstChunk(transaction, chunk));
            }
            State::Chunks(body) => self.open_chunk(body, chunk, now),
            other => {
                let reply = wrong_order(&other);
                self.skip(chunk.left, reply);
            }
        }
    }

    /// A command of a transaction where the transaction is not that far; it stays as it was.
    fn out_of_order(&mut self, state: State) {
        let reply = wrong_order(&state);
        self.state = state;
        self.refuse(&reply);
    }
}

fn wrong_order(state: &State) -> Reply {
    match state {
        State::Idle => replies::MAIL_FIRST,
        State::Sender(_) => replies::NO_RECIPIENTS,
        _ => replies::BAD_SEQUENCE,
    }
}
