//! Plays transcripts. The core and the daemon are two [`Transport`]s of the same files.
//!
//! | line | meaning |
//! |---|---|
//! | `#` | a comment; the first one says what is shown |
//! | `@ words` | the stage, before anything else: see [`Stage`] |
//! | `C:` | a line of the client; CRLF is added, lines in a row leave as one segment |
//! | `R:` | octets of the client, nothing added |
//! | `S:` | a line of the server, exactly; `*` stands for any text |
//! | `S* N` | as `S:`, N times |
//! | `S+` | a whole reply of any number of lines, the last with this code |
//! | `M:` | a line of the message that was admitted, in order; `M: (empty)` for no octet |
//! | `F:` | the envelope that was admitted, as [`describe`] writes it |
//! | `L: user password` | a SCRAM-SHA-256 exchange up to, not with, the last reply |
//! | `V: kind reply` | what the house answers to the next question of this kind (core only) |
//! | `H:` | the handshake of STARTTLS |
//! | `T:` | seconds that pass (core only) |
//! | `X:` | the peer vanishes |
//! | `E:` | the connection ends, for this reason |
//!
//! In `C:`, `R:` and `M:` the escapes `\r \n \0 \t \\ \xNN` and `\{TEXT*N}` (TEXT, N times) are
//! undone. Every admitted message must be met by `M:` lines: a core that forgets to undo
//! dot-stuffing would pass every `C:` and `S:`.

#![allow(dead_code, reason = "shared by several test programs, each of which needs a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Write as _;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern::mail::stage::Submitted;
use postern::smtp::sasl::{hmac_sha256, sha256};

/// The wall clock of the house stands still here, in milliseconds; beyond what BY= can reach back.
pub(crate) const EPOCH: i64 = 2_000_000_000_000;

/// What a transcript takes for granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// `tls` (the default): TLS from the first octet. `starttls`: a listener that wants STARTTLS.
    /// `clear`: one that takes clear text, with STARTTLS offered. `bare`: without a certificate.
    pub(crate) door: String,
    /// `core`: this transcript needs a scripted house or a clock, no daemon can play it.
    pub(crate) core: bool,
    /// `size=N`: SIZE (implies core).
    pub(crate) size: u64,
    /// `recipients=N` (implies core).
    pub(crate) recipients: usize,
}

impl Default for Stage {
    fn default() -> Self {
        Self { door: "tls".to_owned(), core: false, size: 26_214_400, recipients: 1000 }
    }
}

/// Whether a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Open,
    /// For a reason that the peer cannot see.
    Closed,
    /// For this reason.
    For(String),
}

/// Something that speaks SMTP.
pub(crate) trait Transport {
    /// The client sends.
    fn send(&mut self, octets: &[u8]);
    /// The next line that the server sent, without CRLF; `None` if it says nothing more.
    fn line(&mut self) -> Option<String>;
    /// A line that was sent and not met by a line of the transcript, as far as is known now.
    fn unmet(&mut self) -> Option<String> {
        self.line()
    }
    /// Whether the message that was admitted is the one that was expected. A daemon has put its
    /// own fields in front: there the end of `admitted` counts.
    fn same(&self, admitted: &[u8], expected: &[u8]) -> bool {
        admitted == expected
    }
    /// The client shakes hands.
    fn shake_hands(&mut self);
    /// The client vanishes.
    fn vanish(&mut self);
    /// The next message that was admitted: its content, and what [`describe`] says of its envelope
    /// if that can be known.
    fn admitted(&mut self) -> Option<(Vec<u8>, Option<String>)>;
    /// Whether a message was admitted that no `M:` line has met.
    fn left_over(&mut self) -> bool {
        self.admitted().is_some()
    }
    /// Whether the connection ended.
    fn ended(&mut self) -> Ended;
    /// Seconds pass.
    fn pass(&mut self, secs: u64);
    /// The house's next answer to a question of this kind.
    fn script(&mut self, kind: &str, reply: &str);
}

/// The stage of a transcript.
pub(crate) fn stage(text: &str) -> Stage {
    let mut stage = Stage::default();
    for word in text.lines().filter_map(|line| line.strip_prefix("@ ")).flat_map(|l| l.split(' ')) {
        match word.split_once('=') {
            Some(("size", n)) => (stage.size, stage.core) = (n.parse().unwrap(), true),
            Some(("recipients", n)) => (stage.recipients, stage.core) = (n.parse().unwrap(), true),
            None if word == "core" => stage.core = true,
            None if ["tls", "starttls", "clear", "bare"].contains(&word) => {
                word.clone_into(&mut stage.door);
            }
            _ => panic!("unknown stage: {word}"),
        }
    }
    let scripted = text.lines().any(|line| line.starts_with("V:") || line.starts_with("T:"));
    stage.core |= scripted || stage.door == "bare";
    stage
}

/// Plays `text`; panics with name and line number where the server strays from it.
pub(crate) fn play(name: &str, text: &str, transport: &mut dyn Transport) {
    let mut player = Player { name, at: 0, out: Vec::new(), message: None, transport };
    for (index, line) in text.lines().enumerate() {
        player.at = index + 1;
        player.step(line);
    }
    player.flush();
    player.quiet();
    player.message_done();
    assert!(!player.transport.left_over(), "{name}: a message without M: lines");
}

struct Player<'a> {
    name: &'a str,
    at: usize,
    out: Vec<u8>,
    message: Option<(Vec<u8>, Vec<u8>)>,
    transport: &'a mut dyn Transport,
}

impl Player<'_> {
    fn step(&mut self, line: &str) {
        if line.is_empty() || line.starts_with('#') || line.starts_with('@') {
            return;
        }
        let (verb, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        if verb != "C:" && verb != "R:" {
            self.flush();
        }
        if verb != "M:" {
            self.message_done();
        }
        if matches!(verb, "H:" | "T:" | "L:" | "X:") {
            self.quiet();
        }
        match verb {
            "C:" | "R:" => {
                if self.out.is_empty() {
                    self.quiet();
                }
                self.out.extend(unescape(rest));
                if verb == "C:" {
                    self.out.extend(b"\r\n");
                }
            }
            "S:" => self.expect(rest),
            "S*" => {
                let (count, line) = rest.split_once(' ').expect("S* count line");
                (0..count.parse().expect("a count")).for_each(|_: u32| self.expect(line));
            }
            "S+" => self.expect_all(rest),
            "M:" => self.message_line(rest),
            "F:" => self.envelope(rest),
            "L:" => self.log_in(rest),
            "V:" => {
                let (kind, reply) = rest.split_once(' ').expect("V: kind reply");
                self.transport.script(kind, reply);
            }
            "H:" => self.transport.shake_hands(),
            "T:" => self.transport.pass(rest.parse().expect("seconds")),
            "X:" => self.transport.vanish(),
            "E:" => self.end(rest),
            _ => panic!("{}:{}: unknown line {line:?}", self.name, self.at),
        }
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.transport.send(&std::mem::take(&mut self.out));
        }
    }

    fn quiet(&mut self) {
        let line = self.transport.unmet();
        assert_eq!(line, None, "{}:{}: an unexpected line", self.name, self.at);
    }

    fn expect(&mut self, pattern: &str) {
        let line = self.transport.line();
        let met = line.as_ref().is_some_and(|line| matches(pattern, line));
        assert!(met, "{}:{}: expected {pattern:?}, heard {line:?}", self.name, self.at);
    }

    fn expect_all(&mut self, code: &str) {
        while let Some(line) = self.transport.line() {
            if line.starts_with(&format!("{code} ")) {
                return;
            }
            let more = line.starts_with(&format!("{code}-"));
            assert!(more, "{}:{}: expected {code}, heard {line:?}", self.name, self.at);
        }
        panic!("{}:{}: expected {code}, heard nothing", self.name, self.at);
    }

    fn message_line(&mut self, rest: &str) {
        let admitted = self.message.take().unwrap_or_else(|| {
            let message = self.transport.admitted();
            let message = message.unwrap_or_else(|| {
                panic!("{}:{}: no message was admitted", self.name, self.at);
            });
            (message.0, Vec::new())
        });
        let (content, mut expected) = admitted;
        if rest != "(empty)" {
            expected.extend(unescape(rest));
            expected.extend(b"\r\n");
        }
        self.message = Some((content, expected));
    }

    fn message_done(&mut self) {
        if let Some((content, expected)) = self.message.take() {
            let same = self.transport.same(&content, &expected);
            let (content, expected) = (content.escape_ascii(), expected.escape_ascii());
            assert!(same, "{}:{}: admitted {content}, expected {expected}", self.name, self.at);
        }
    }

    /// `F:` stands before the `M:` lines of its message.
    fn envelope(&mut self, expected: &str) {
        let message = self.transport.admitted();
        let message = message.unwrap_or_else(|| panic!("{}:{}: no message", self.name, self.at));
        if let Some(envelope) = message.1 {
            assert_eq!(envelope, expected, "{}:{}: the envelope", self.name, self.at);
        }
        self.message = Some((message.0, Vec::new()));
    }

    fn end(&mut self, reason: &str) {
        self.quiet();
        match self.transport.ended() {
            Ended::For(heard) => assert_eq!(heard, reason, "{}:{}", self.name, self.at),
            Ended::Closed => {}
            Ended::Open => panic!("{}:{}: the connection is still open", self.name, self.at),
        }
    }

    fn log_in(&mut self, rest: &str) {
        let (user, password) = rest.split_once(' ').expect("L: user password");
        let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
        let first = STANDARD.encode(format!("n,,{bare}"));
        self.transport.send(format!("AUTH SCRAM-SHA-256 {first}\r\n").as_bytes());
        let server = self.transport.line().unwrap_or_default();
        let server = server.strip_prefix("334 ").expect("a challenge");
        let server = String::from_utf8(STANDARD.decode(server).unwrap()).unwrap();
        let mut fields = server.split(',').map(|field| &field[2..]);
        let (nonce, salt, rounds) =
            (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        let mut salted = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(rounds.parse().unwrap()).unwrap(),
            &STANDARD.decode(salt).unwrap(),
            password.as_bytes(),
            &mut salted,
        );
        let client_key = hmac_sha256(&salted, b"Client Key");
        let unproven = format!("c=biws,r={nonce}");
        let said = format!("{bare},{server},{unproven}");
        let mut proof = hmac_sha256(&sha256(&client_key), said.as_bytes());
        proof.iter_mut().zip(client_key).for_each(|(octet, key)| *octet ^= key);
        let last = STANDARD.encode(format!("{unproven},p={}", STANDARD.encode(proof)));
        self.transport.send(format!("{last}\r\n").as_bytes());
        let server_key = hmac_sha256(&salted, b"Server Key");
        let proof = STANDARD.encode(hmac_sha256(&server_key, said.as_bytes()));
        let proof = format!("334 {}", STANDARD.encode(format!("v={proof}")));
        // A wrong password is refused at once; then the next `S:` line sees the refusal.
        if let Some(line) = self.transport.line() {
            if line == proof {
                self.transport.send(b"\r\n");
            } else {
                self.transport.script("unread", &line);
            }
        }
    }
}

/// Whether `line` is `pattern`, where `*` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((head, tail)) => line.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|&at| rest.is_char_boundary(at))
                .any(|at| matches(tail, &rest[at..]))
        }),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let (&code, tail) = rest.split_first().expect("an escape");
        rest = tail;
        match code {
            b'r' => octets.push(b'\r'),
            b'n' => octets.push(b'\n'),
            b't' => octets.push(b'\t'),
            b'0' => octets.push(0),
            b'\\' => octets.push(b'\\'),
            b'x' => {
                let digits = std::str::from_utf8(&rest[..2]).unwrap();
                octets.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &rest[2..];
            }
            b'{' => {
                let end = rest.iter().position(|&b| b == b'}').expect("}");
                let inner = std::str::from_utf8(&rest[..end]).unwrap();
                let (text, count) = inner.rsplit_once('*').expect("TEXT*N");
                octets.extend(unescape(text).repeat(count.parse().unwrap()));
                rest = &rest[end + 1..];
            }
            other => panic!("unknown escape {:?}", char::from(other)),
        }
    }
    octets
}

/// The envelope in one line: `reverse-path -> forward-paths`, and every parameter that was given.
pub(crate) fn describe(message: &Submitted) -> String {
    let envelope = &message.envelope;
    let mut text = format!("<{}> ->", envelope.reverse_path);
    for recipient in &envelope.recipients {
        let _ = write!(text, " <{}>", recipient.forward_path);
        if let Some(notify) = recipient.notify {
            let _ = write!(text, " {notify:?}");
        }
        if let Some(orcpt) = &recipient.orcpt {
            let _ = write!(text, " orcpt={orcpt}");
        }
    }
    let _ = write!(text, "; {:?}", envelope.body);
    for (flag, name) in [(envelope.smtputf8, " utf8"), (envelope.require_tls, " requiretls")] {
        text.push_str(if flag { name } else { "" });
    }
    if let Some(ret) = envelope.ret {
        let _ = write!(text, " ret={ret:?}");
    }
    if let Some(envid) = &envelope.envid {
        let _ = write!(text, " envid={envid}");
    }
    if let Some(priority) = envelope.priority {
        let _ = write!(text, " priority={priority}");
    }
    if let Some(by) = envelope.deliver_by {
        let secs = (i64::try_from(by.deadline.0).unwrap() - EPOCH) / 1000;
        let _ = write!(text, " by={secs} {:?}{}", by.mode, if by.trace { " trace" } else { "" });
    }
    let session = &message.session;
    text.push_str(if session.esmtp { "; esmtp" } else { "; smtp" });
    text.push_str(if session.tls.is_some() { " tls" } else { "" });
    text.push_str(if session.authenticated { " auth" } else { "" });
    text
}
