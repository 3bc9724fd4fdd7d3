//! Readers of what a client says: lines, commands, content, SASL, and the whole session.

use std::sync::Arc;

use postern::base::id::QueueId;
use postern::base::limits::PIPELINE_OCTETS_MAX;
use postern::base::time::Instant;
use postern::mail::stage::Custody;
use postern::smtp::command;
use postern::smtp::dots::{Content, Framing, Reader};
use postern::smtp::line::{Cut, cut};
use postern::smtp::replies;
use postern::smtp::reply::Refusal;
use postern::smtp::sasl::{self, ScramFirst};
use postern::smtp::server::ask::{Question, ScramKeys, Verdict};
use postern::smtp::server::{Action, Session, Terms, TlsFacts};

use super::take;

/// Law: a line is cut at CRLF and nowhere else.
pub(crate) fn command(octets: &[u8]) {
    if let Cut::Line(line, rest) = cut(octets, 2048) {
        assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
        assert_eq!(line.len() + 2 + rest.len(), octets.len());
    }
    for utf8 in [false, true] {
        let _ = command::parse(octets, utf8);
    }
}

/// Law: content in pieces is the content in one, and holds no line ending but CRLF.
pub(crate) fn content(octets: &[u8]) {
    let mut octets = octets;
    let framing = if take(&mut octets) & 1 == 0 { Framing::Dots } else { Framing::Counted };
    let step = usize::from(take(&mut octets)) + 1;
    let read = |step: usize| {
        let mut reader = Reader::new(framing);
        let mut content = Content::new(None, 8192);
        let mut used = 0;
        for block in octets.chunks(step.max(1)) {
            if let Some(part) = reader.feed(block, &mut content) {
                return (Some(used + part), content.finish());
            }
            used += block.len();
        }
        reader.finish(&mut content);
        (None, content.finish())
    };
    let (end, whole) = read(octets.len());
    assert_eq!((end, whole.clone()), read(step));
    if let Ok(kept) = whole {
        let text = String::from_utf8_lossy(&kept).replace("\r\n", "");
        assert!(!text.contains(['\r', '\n', '\0']));
    }
}

fn keys() -> ScramKeys {
    ScramKeys {
        salt: b"salt and more".to_vec(),
        iterations: 4096,
        stored_key: [7; 32],
        server_key: [9; 32],
        real: true,
    }
}

/// Law: nothing that was made without the key is a proof.
pub(crate) fn sasl(octets: &[u8]) {
    let _ = sasl::plain(octets);
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = sasl::decode(text);
    }
    let cut = octets.iter().position(|octet| *octet == b'\n').unwrap_or(octets.len());
    let (first, last) = octets.split_at(cut);
    if let Ok(first) = ScramFirst::parse(first) {
        let (_, expected) = first.challenge(keys(), "server");
        let proven = expected.prove(last.get(1..).unwrap_or_default());
        assert!(!matches!(proven, Ok(Some(_))));
    }
}

/// How one session went: what it answered, and what it asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Course {
    said: Vec<u8>,
    asked: Vec<String>,
    encrypted: bool,
    closed: bool,
}

fn terms() -> Arc<Terms> {
    Arc::new(Terms {
        hostname: "mx.example".into(),
        message_octets_max: 16_384,
        recipients_max: 5,
        tls_offered: true,
        tls_required: false,
        deadlines: true,
    })
}

/// Answers by the number of the question, so that two runs hear the same.
fn verdict(question: &Question, number: usize, mood: u8) -> Verdict {
    let no = || Refusal::new("fuzz", replies::NOT_TEXT);
    match question {
        Question::ScramKeys { .. } => Verdict::Scram(keys()),
        _ if mood != 0 && number % usize::from(mood) == usize::from(mood) - 1 => Verdict::No(no()),
        Question::Message(message) => {
            let text = String::from_utf8_lossy(&message.content).replace("\r\n", "");
            assert!(!text.contains(['\r', '\n', '\0']), "a line ending slipped through");
            assert!(!message.envelope.recipients.is_empty(), "nobody to send to");
            Verdict::Accepted(Custody::mint(QueueId(1)))
        }
        _ => Verdict::Yes,
    }
}

/// Plays the octets, `step` at a time, until the session closes or asks for TLS.
fn play(octets: &[u8], step: usize, tls: bool, mood: u8) -> Course {
    let now = Instant(1);
    let facts = TlsFacts {
        version: "TLSv1.3".into(),
        suite: "TLS_AES_256_GCM_SHA384".into(),
        client_spki_sha256: None,
    };
    let peer = "192.0.2.1:4000".parse().expect("an address");
    let mut session = Session::new(terms(), peer, tls.then_some(facts), [3; 32], now);
    let mut course = Course::default();
    for block in octets.chunks(step.max(1)) {
        if !session.wants_octets() {
            break;
        }
        session.handle_octets(block, now);
        while let Some(action) = session.poll_action() {
            assert!(!course.closed, "{action:?} follows the end");
            match action {
                Action::Send(octets) => course.said.extend_from_slice(&octets),
                Action::StartTls => course.encrypted = true,
                Action::Close(_) => course.closed = true,
                Action::Ask(question) => {
                    let answer = verdict(&question, course.asked.len(), mood);
                    // The facts of a question, without what differs between two runs.
                    course.asked.push(format!("{question:?}"));
                    session.handle_verdict(answer, now);
                }
            }
        }
        assert!(session.content_held() <= 64 * 1024, "content without bound");
    }
    course
}

/// Law: replies are well formed, and the same however the octets were cut into segments.
pub(crate) fn session(octets: &[u8]) {
    let mut octets = octets;
    let (step, mood) = (take(&mut octets), take(&mut octets));
    let tls = step & 1 == 1;
    let pieces = play(octets, usize::from(step / 2) + 1, tls, mood % 8);
    for line in pieces.said.split_inclusive(|octet| *octet == b'\n') {
        assert!(line.len() >= 6 && line.ends_with(b"\r\n"), "{line:?}");
        assert!(line[..3].iter().all(u8::is_ascii_digit) && b" -".contains(&line[3]), "{line:?}");
        assert!(!line[..line.len() - 2].contains(&b'\r'), "{line:?}");
    }
    let whole = play(octets, octets.len(), tls, mood % 8);
    // Commands that must end their segment (RFC 2920 3.1) are the one thing that segments decide.
    let awaited = |course: &Course| {
        let said = String::from_utf8_lossy(&course.said);
        course.encrypted || said.contains("Improper pipelining") || said.contains("follow STARTTLS")
    };
    if octets.len() < PIPELINE_OCTETS_MAX && !awaited(&pieces) && !awaited(&whole) {
        assert_eq!(pieces, whole, "segments matter");
    }
}
