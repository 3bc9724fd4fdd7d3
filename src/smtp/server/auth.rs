//! AUTH exchanges (RFC 4954): base 64 lines, each mechanism a few steps, `*` cancels.

use super::ask::Question;
use super::state::{Exchange, Pending, State};
use super::{Ending, Session};
use crate::base::secret::Secret;
use crate::smtp::command::Mechanism;
use crate::smtp::replies;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{self, Malformed, ScramFirst};

/// "Username:" and "Password:" as the LOGIN draft writes them.
const LOGIN_USER: &[u8] = b"Username:";
const LOGIN_PASSWORD: &[u8] = b"Password:";

impl Session {
    /// AUTH was said. An initial response saves a round.
    pub(super) fn begin_auth(&mut self, mechanism: Mechanism, initial: Option<&str>) {
        let (exchange, challenge) = match mechanism {
            Mechanism::Plain => (Exchange::PlainMessage, &b""[..]),
            Mechanism::Login => (Exchange::LoginUser, LOGIN_USER),
            Mechanism::ScramSha256 => (Exchange::ScramFirst, &b""[..]),
        };
        match initial {
            Some(text) => self.auth_step(exchange, text.as_bytes()),
            None => self.challenge(challenge, exchange),
        }
    }

    /// A line of the exchange. Nothing may be sent ahead of a challenge.
    pub(super) fn auth_line(&mut self, exchange: Exchange, line: &[u8], last: bool) {
        if !last {
            return self.leave(&replies::IMPROPER_PIPELINING, Ending::Violation);
        }
        if line == b"*" {
            self.state = State::Idle;
            return self.refuse(&replies::AUTH_CANCELLED);
        }
        self.auth_step(exchange, line);
    }

    fn auth_step(&mut self, exchange: Exchange, line: &[u8]) {
        self.state = State::Idle;
        let step = std::str::from_utf8(line)
            .map_err(|_| Malformed)
            .and_then(sasl::decode)
            .and_then(|message| self.auth_message(exchange, message.expose()));
        if step.is_err() {
            self.refuse(&replies::AUTH_MALFORMED);
        }
    }

    fn auth_message(&mut self, exchange: Exchange, message: &[u8]) -> Result<(), Malformed> {
        match exchange {
            Exchange::PlainMessage => {
                let (user, password) = sasl::plain(message)?;
                self.identity(Question::Password { user, password }, true);
            }
            Exchange::LoginUser => {
                let user = sasl::credential(message)?;
                self.challenge(LOGIN_PASSWORD, Exchange::LoginPassword(user));
            }
            Exchange::LoginPassword(user) => {
                let password = Secret::new(sasl::credential(message)?);
                self.identity(Question::Password { user, password }, true);
            }
            Exchange::ScramFirst => {
                let first = ScramFirst::parse(message)?;
                let question = Question::ScramKeys { user: first.user().to_owned() };
                self.ask(question, Pending::ScramKeys(first));
            }
            Exchange::ScramFinal(expected) => {
                let user = expected.user().to_owned();
                match expected.prove(message)? {
                    Some(proof) => self.challenge(proof.as_bytes(), Exchange::ScramEnd(user)),
                    None => self.identity(Question::ScramFailed { user }, false),
                }
            }
            Exchange::ScramEnd(user) => {
                if !message.is_empty() {
                    return Err(Malformed);
                }
                self.identity(Question::ScramProven { user }, true);
            }
        }
        Ok(())
    }

    fn identity(&mut self, question: Question, proven: bool) {
        self.ask(question, Pending::Identity { proven });
    }

    /// 334 with a challenge.
    pub(super) fn challenge(&mut self, challenge: &[u8], next: Exchange) {
        self.say(&Reply { code: 334, status: None, text: sasl::encode(challenge).into() });
        self.state = State::Auth(next);
    }

    /// A nonce that nobody can foresee: the seed is chance of this session, the counter keeps two
    /// exchanges of it apart.
    pub(super) fn nonce(&self) -> String {
        sasl::encode(&sasl::hmac_sha256(&self.nonce_seed, &self.tally.commands.to_be_bytes())[..18])
    }
}
