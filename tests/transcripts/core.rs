//! The core as a [`Transport`]: no socket, no clock, and a house of a few lines.
//!
//! The house knows one application, `app` with the password `sesame`, which may send as
//! `@example.org` and with the null reverse-path, set deadlines (BY=) and priorities up to 3; who
//! is known by its address alone may set neither. The recipient `refused@...` is refused. A daemon
//! that plays the same files is configured to the same.

#![allow(dead_code, reason = "shared by several test programs, each of which needs a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::pbkdf2;
use postern::base::id::QueueId;
use postern::base::time::{Instant, WallTime};
use postern::mail::address::ReversePath;
use postern::mail::envelope::DeliverBy;
use postern::mail::stage::{Custody, Submitted};
use postern::mail::status::EnhancedStatus;
use postern::smtp::reply::{Refusal, Reply};
use postern::smtp::sasl::{hmac_sha256, sha256};
use postern::smtp::server::ask::{Grants, Question, ScramKeys, Verdict, Wishes};
use postern::smtp::server::{Action, Ending, Session, Terms, TlsFacts};

use super::player::{Ended, Stage, Transport, describe};

/// A session with a house behind it.
pub(crate) struct Core {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    pub(crate) heard: Vec<u8>,
    pub(crate) ending: Option<Ending>,
    pub(crate) house: House,
    unread: Option<String>,
    hands_due: bool,
}

/// Who decides.
#[derive(Default)]
pub(crate) struct House {
    pub(crate) admitted: VecDeque<Submitted>,
    pub(crate) questions: Vec<String>,
    /// The peer has shown who it is.
    pub(crate) identified: bool,
    /// It may set deadlines, and priorities up to 3.
    trusted: bool,
    scripted: BTreeMap<String, VecDeque<Verdict>>,
    messages: u128,
}

pub(crate) fn tls_facts() -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".into(),
        suite: "TLS_AES_256_GCM_SHA384".into(),
        client_spki_sha256: None,
    }
}

impl Core {
    pub(crate) fn new(stage: &Stage) -> Self {
        let terms = Arc::new(Terms {
            hostname: "gw.example.org".into(),
            message_octets_max: stage.size,
            recipients_max: stage.recipients,
            tls_offered: stage.door != "bare",
            tls_required: matches!(&*stage.door, "tls" | "starttls"),
            deadlines: stage.door != "bare",
        });
        let tls = (stage.door == "tls").then(tls_facts);
        let peer = "192.0.2.7:40000".parse().unwrap();
        let now = Instant::default();
        let mut core = Self {
            session: Session::new(terms, peer, tls, [7; 32], now),
            now,
            heard: Vec::new(),
            ending: None,
            // A clear listener is for network sources: the peer is known by its address.
            house: House {
                identified: matches!(&*stage.door, "clear" | "bare"),
                ..House::default()
            },
            unread: None,
            hands_due: false,
        };
        core.drain();
        core
    }

    /// Does what the session wants, until it wants nothing.
    pub(crate) fn drain(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(octets) => self.heard.extend_from_slice(&octets),
                Action::Ask(question) => {
                    let verdict = self.house.answer(question);
                    self.session.handle_verdict(verdict, self.now);
                }
                Action::StartTls => self.hands_due = true,
                Action::Close(ending) => self.ending = Some(ending),
            }
        }
    }
}

impl House {
    /// A house that may know its visitor by its address.
    pub(crate) fn knowing(identified: bool) -> Self {
        Self { identified, ..Self::default() }
    }

    /// The answer to `question`.
    pub(crate) fn answer(&mut self, question: Question) -> Verdict {
        let kind = kind(&question);
        self.questions.push(kind.to_owned());
        if let Question::Message(message) = &question {
            self.admitted.push_back((**message).clone());
        }
        if let Some(verdict) = self.scripted.get_mut(kind).and_then(VecDeque::pop_front) {
            self.admitted.retain(|_| kind != "message");
            return verdict;
        }
        match question {
            Question::Password { user, password } => {
                self.identify(user == "app" && password.expose() == "sesame")
            }
            Question::ScramProven { user } => self.identify(user == "app"),
            Question::ScramFailed { .. } => self.identify(false),
            Question::ScramKeys { user } => Verdict::Scram(keys(user == "app")),
            Question::Mail { reverse_path, wishes, .. } => {
                let own = match &reverse_path {
                    ReversePath::Null => true,
                    ReversePath::Mailbox(mailbox) => mailbox.domain().as_str() == "example.org",
                };
                match (self.identified, own) {
                    (false, _) => no(530, (5, 7, 0), "Authentication required"),
                    (true, false) => no(550, (5, 7, 1), "The sender is not yours"),
                    (true, true) => self.grant(wishes),
                }
            }
            Question::Recipient { forward_path, .. } if forward_path.local_part() == "refused" => {
                no(550, (5, 7, 1), "The recipient is not allowed")
            }
            Question::Recipient { .. } | Question::Content { .. } => Verdict::Yes,
            Question::Message(_) => {
                self.messages += 1;
                Verdict::Accepted(Custody::mint(QueueId(self.messages)))
            }
        }
    }

    fn grant(&self, wishes: Wishes) -> Verdict {
        if wishes.by.is_some() && !self.trusted {
            return no(555, (5, 7, 1), "No deadlines for you");
        }
        let ceiling = if self.trusted { 3 } else { 0 };
        let deliver_by = wishes.by.map(|by| DeliverBy {
            deadline: WallTime(
                u64::try_from(super::player::EPOCH + i64::from(by.secs) * 1000).unwrap(),
            ),
            mode: by.mode,
            trace: by.trace,
            handover: false,
        });
        let priority = wishes.priority.map(|priority| priority.min(ceiling));
        Verdict::Granted(Grants { priority, deliver_by })
    }

    fn identify(&mut self, known: bool) -> Verdict {
        if known {
            self.identified = true;
            self.trusted = true;
            Verdict::Yes
        } else {
            no(535, (5, 7, 8), "Authentication credentials invalid")
        }
    }
}

fn kind(question: &Question) -> &'static str {
    match question {
        Question::Password { .. } => "password",
        Question::ScramKeys { .. } => "keys",
        Question::ScramProven { .. } => "proven",
        Question::ScramFailed { .. } => "failed",
        Question::Mail { .. } => "mail",
        Question::Recipient { .. } => "recipient",
        Question::Content { .. } => "content",
        Question::Message(_) => "message",
    }
}

fn no(code: u16, status: (u8, u16, u16), text: &'static str) -> Verdict {
    Verdict::No(Refusal::new("test", Reply::new(code, status, text)))
}

/// Keys for "sesame"; made up for everybody else.
fn keys(real: bool) -> ScramKeys {
    let (salt, iterations) = (b"salt of the test".to_vec(), 4096);
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(iterations).unwrap(),
        &salt,
        b"sesame",
        &mut salted,
    );
    let stored_key = sha256(&hmac_sha256(&salted, b"Client Key"));
    let server_key = hmac_sha256(&salted, b"Server Key");
    ScramKeys { salt, iterations, stored_key, server_key, real }
}

impl Transport for Core {
    fn send(&mut self, octets: &[u8]) {
        if self.ending.is_none() {
            self.session.handle_octets(octets, self.now);
            self.drain();
        }
    }

    fn line(&mut self) -> Option<String> {
        if let Some(line) = self.unread.take() {
            return Some(line);
        }
        let end = self.heard.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8(self.heard[..end].to_vec()).unwrap();
        self.heard.drain(..end + 2);
        Some(line)
    }

    fn shake_hands(&mut self) {
        assert!(std::mem::take(&mut self.hands_due), "nobody waits for a handshake");
        self.session.handle_tls(tls_facts(), self.now);
        self.drain();
    }

    fn vanish(&mut self) {
        self.session.handle_vanished();
        self.drain();
    }

    fn admitted(&mut self) -> Option<(Vec<u8>, Option<String>)> {
        let message = self.house.admitted.pop_front()?;
        Some((message.content.to_vec(), Some(describe(&message))))
    }

    fn ended(&mut self) -> Ended {
        self.ending.map_or(Ended::Open, |ending| Ended::For(ending.to_string()))
    }

    fn pass(&mut self, secs: u64) {
        self.now = self.now.after(Duration::from_secs(secs));
        self.session.handle_timeout(self.now);
        self.drain();
    }

    /// `kind reply`, `kind leave reply`, `kind yes`, `stop reply`, `last-orders reply`.
    fn script(&mut self, kind: &str, text: &str) {
        if kind == "unread" {
            self.unread = Some(text.to_owned());
            return;
        }
        if kind == "shortage" {
            return self.session.handle_shortage();
        }
        let (leave, text) = text.strip_prefix("leave ").map_or((false, text), |text| (true, text));
        if text == "yes" {
            return self.house.scripted.entry(kind.to_owned()).or_default().push_back(Verdict::Yes);
        }
        let mut words = text.splitn(3, ' ');
        let code = words.next().unwrap().parse().unwrap();
        let status: EnhancedStatus = words.next().unwrap().parse().unwrap();
        let text = words.next().unwrap().to_owned();
        let reply = Reply { code, status: Some(status), text: text.into() };
        match kind {
            "stop" => self.session.handle_stop(reply),
            "last-orders" => self.session.handle_last_orders(reply),
            _ => {
                let refusal = Refusal::new("test", reply);
                let verdict = if leave { Verdict::Leave(refusal) } else { Verdict::No(refusal) };
                return self.house.scripted.entry(kind.to_owned()).or_default().push_back(verdict);
            }
        }
        self.drain();
    }
}
