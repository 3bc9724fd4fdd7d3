//! SMTP smuggling: everything that somebody might take for the end of a message, a command before
//! a handshake, and octets of a chunk that look like commands.
//!
//! The reference is one line: content ends at the first CRLF `.` CRLF, the 354 counting as a CRLF.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "transcripts/core.rs"]
mod core;
#[path = "transcripts/gate.rs"]
mod gate;
#[path = "transcripts/player.rs"]
mod player;
#[path = "transcripts/wire.rs"]
mod wire;

use postern::smtp::dots::{Content, ContentFault, Framing, Reader};

use self::core::Core;
use self::player::{Stage, Transport as _};

const DOORS: [&str; 4] = ["tls", "starttls", "clear", "bare"];

/// A session that was told 354, or stands behind RCPT.
fn session(door: &str, data: bool) -> Core {
    let mut core = Core::new(&Stage { door: door.to_owned(), ..Stage::default() });
    core.send(b"EHLO client.example.org\r\n");
    if door == "starttls" {
        core.send(b"STARTTLS\r\n");
        core.shake_hands();
        core.send(b"EHLO client.example.org\r\n");
    }
    if matches!(door, "tls" | "starttls") {
        core.send(b"AUTH PLAIN AGFwcABzZXNhbWU=\r\n");
    }
    core.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n");
    if data {
        core.send(b"DATA\r\n");
        assert!(core.heard.ends_with(b"354 End data with <CR><LF>.<CR><LF>\r\n"));
    }
    core.heard.clear();
    core.house.questions.clear();
    core
}

/// The reference model: where content ends, and whether it is clean.
fn model(stream: &[u8]) -> Option<(usize, bool)> {
    let seen = [b"\r\n", stream].concat();
    let end = seen.windows(5).position(|window| window == b"\r\n.\r\n")?;
    let content = String::from_utf8_lossy(&seen[2..(end + 2).max(2)]).replace("\r\n", "");
    Some((end + 3, !content.contains(['\r', '\n', '\0'])))
}

/// The twelve forms of the public lists (CVE-2023-51764, -51765, -51766 and their testers).
const FORMS: [&str; 12] = [
    "\n.\n",
    "\r.\r",
    "\r.\n",
    "\n.\r",
    "\n.\r\n",
    "\r.\r\n",
    "\r\n.\n",
    "\r\n.\r",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\r\n.\r\r\n",
    "\r\r\n.\r\r\n",
];

#[test]
fn no_form_of_a_false_end_is_an_end_at_any_split() {
    let tail = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<c@example.net>\r\nDATA\r\nevil\r\n.\r\n";
    for door in DOORS {
        for form in FORMS {
            let stream = format!("From: a@example.org\r\n\r\nfirst{form}{tail}");
            for split in 0..=stream.len() {
                let mut core = session(door, true);
                core.send(&stream.as_bytes()[..split]);
                core.send(&stream.as_bytes()[split..]);
                let heard = String::from_utf8_lossy(&core.heard).into_owned();
                assert!(core.house.admitted.is_empty(), "{door} {form:?} {split}");
                assert!(core.house.questions.is_empty(), "{door} {form:?} {split}: {heard}");
                assert!(heard.starts_with("550 5.6."), "{door} {form:?} {split}: {heard}");
                assert_eq!(heard.lines().count(), 1, "{door} {form:?} {split}: {heard}");
                assert!(core.ending.is_some(), "{door} {form:?} {split}");
            }
        }
    }
}

/// Calls `check` with all strings of 1 to `length` octets that matter.
fn every_string(length: usize, check: &mut dyn FnMut(&[u8])) -> usize {
    const ALPHABET: [u8; 5] = [b'\r', b'\n', b'.', 0, b'x'];
    let mut count = 0;
    for octets in 1..=length {
        let mut digits = vec![0; octets];
        'strings: loop {
            let string: Vec<u8> = digits.iter().map(|&digit| ALPHABET[digit]).collect();
            check(&string);
            count += 1;
            for digit in &mut digits {
                *digit += 1;
                if *digit < ALPHABET.len() {
                    continue 'strings;
                }
                *digit = 0;
            }
            break;
        }
    }
    count
}

#[test]
fn the_reader_agrees_with_the_model_on_every_string_and_split() {
    let count = every_string(7, &mut |string| {
        for split in 0..string.len() {
            let mut content = Content::new(None, 1000);
            let mut reader = Reader::new(Framing::Dots);
            let first = reader.feed(&string[..split], &mut content);
            let end = first
                .or_else(|| reader.feed(&string[split..], &mut content).map(|end| end + split));
            let want = model(string);
            assert_eq!(end, want.map(|(end, _)| end), "{string:?} at {split}");
            if let Some((_, clean)) = want {
                assert_eq!(content.finish().is_ok(), clean, "{string:?} at {split}");
            }
        }
    });
    assert_eq!(count, 97_655);
}

#[test]
fn the_session_agrees_with_the_model() {
    every_string(6, &mut |string| {
        let mut core = session("clear", true);
        core.send(string);
        match model(string) {
            None => assert!(core.heard.is_empty() && core.ending.is_none(), "{string:?}"),
            Some((_, true)) => {
                assert!(core.heard.starts_with(b"250 2.0.0 "), "{string:?}");
                assert_eq!(core.house.admitted.len(), 1, "{string:?}");
            }
            Some((_, false)) => {
                assert!(core.heard.starts_with(b"550 5.6."), "{string:?}");
                assert!(core.house.admitted.is_empty() && core.ending.is_some(), "{string:?}");
            }
        }
    });
}

#[test]
fn what_was_stuffed_comes_out_as_it_went_in() {
    every_string(6, &mut |lines| {
        // Lines of dots and letters; CR and LF of the alphabet stand for line ends here.
        let text: Vec<u8> = lines
            .iter()
            .flat_map(|octet| match octet {
                b'\r' | b'\n' => b"\r\n".to_vec(),
                0 => b"..".to_vec(),
                other => vec![*other],
            })
            .chain(*b"\r\n")
            .collect();
        let mut stuffed = Vec::new();
        for line in text.split_inclusive(|octet| *octet == b'\n') {
            stuffed.extend(line.starts_with(b".").then_some(b'.'));
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        let mut content = Content::new(None, 1000);
        let mut reader = Reader::new(Framing::Dots);
        assert_eq!(reader.feed(&stuffed, &mut content), Some(stuffed.len()));
        assert_eq!(content.finish().unwrap(), text);
    });
}

#[test]
fn starttls_injection_never_reaches_the_handshake() {
    for injected in ["R", "\r\n", "RSET\r\n", "EHLO x\r\n", "MAIL FROM:<a@example.org>\r\n", "\0"] {
        for door in ["starttls", "clear"] {
            let mut core = Core::new(&Stage { door: door.to_owned(), ..Stage::default() });
            core.send(b"EHLO x\r\n");
            core.heard.clear();
            core.send(format!("STARTTLS\r\n{injected}").as_bytes());
            assert!(core.heard.starts_with(b"554 5.5.0 "), "{injected:?}");
            assert!(core.ending.is_some(), "{injected:?}");
        }
    }
}

#[test]
fn starttls_forgets_what_was_said_in_clear() {
    let mut core = session("clear", false);
    core.send(b"STARTTLS\r\n");
    core.shake_hands();
    core.heard.clear();
    for (command, code) in [
        ("DATA", "503"),
        ("RCPT TO:<c@example.net>", "503"),
        ("MAIL FROM:<a@example.org>", "503"),
        ("AUTH PLAIN AGFwcABzZXNhbWU=", "503"),
    ] {
        core.send(format!("{command}\r\n").as_bytes());
        let heard = std::mem::take(&mut core.heard);
        assert!(heard.starts_with(code.as_bytes()), "{command}");
    }
    // Octets between 220 and the handshake are no commands either: the driver gives them to TLS.
    let mut core = session("clear", false);
    core.send(b"STARTTLS\r\n");
    core.heard.clear();
    core.send(b"NOOP\r\n");
    assert!(core.heard.is_empty());
}

/// What the client sends behind RCPT; codes of the replies; messages that are admitted, `|`
/// between them; whether the session ends.
const CHUNKS: [(&str, &str, &str, bool); 40] = [
    ("BDAT 3 LAST\r\nx\r\n", "250", "x\r\n", false),
    ("bdat 3 last\r\nx\r\n", "250", "x\r\n", false),
    ("BDAT  3  LAST \r\nx\r\n", "250", "x\r\n", false),
    ("BDAT 0 LAST\r\n", "250", "", false),
    ("BDAT 0\r\nBDAT 0 LAST\r\n", "250 250", "", false),
    ("BDAT 3\r\nx\r\nBDAT 0 LAST\r\n", "250 250", "x\r\n", false),
    ("BDAT 1\r\nxBDAT 2 LAST\r\n\r\n", "250 250", "x\r\n", false),
    ("BDAT 2\r\nx\rBDAT 1 LAST\r\n\n", "250 250", "x\r\n", false),
    ("BDAT 1 LAST\r\nx", "250", "x\r\n", false),
    ("BDAT 5 LAST\r\n.\r\n.\r", "550", "", true),
    ("BDAT 6 LAST\r\n.\r\n.\r\n", "250", ".\r\n.\r\n", false),
    ("BDAT 4 LAST\r\n..\r\n", "250", "..\r\n", false),
    ("BDAT 9 LAST\r\nx\r\n.\r\nQUI", "250", "x\r\n.\r\nQUI\r\n", false),
    ("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 250", "QUIT\r\n", false),
    ("BDAT 3 LAST\r\nx\n\n", "550", "", true),
    ("BDAT 3\r\nx\nyBDAT 0 LAST\r\n", "550", "", true),
    ("BDAT 3 LAST\r\nx\ry", "550", "", true),
    ("BDAT 2 LAST\r\nx\r", "550", "", true),
    ("BDAT 2\r\nx\rBDAT 1 LAST\r\ny", "250 550", "", true),
    ("BDAT 2\r\nx\rBDAT 0 LAST\r\n", "250 550", "", true),
    ("BDAT 3 LAST\r\n\0\r\n", "550", "", true),
    ("BDAT\r\n", "501", "", true),
    ("BDAT LAST\r\n", "501", "", true),
    ("BDAT x\r\n", "501", "", true),
    ("BDAT -1\r\n", "501", "", true),
    ("BDAT 0x10\r\n", "501", "", true),
    ("BDAT 4294967296\r\n", "552", "", true),
    ("BDAT 99999999999999999999999999 LAST\r\n", "552", "", true),
    ("BDAT 3 FIRST\r\nx\r\nNOOP\r\n", "501 250", "", false),
    ("BDAT 3 LAST LAST\r\nx\r\nNOOP\r\n", "501 250", "", false),
    ("BDAT 3\r\nx\r\nDATA\r\n", "250 503", "", false),
    ("BDAT 3\r\nx\r\nMAIL FROM:<a@example.org>\r\n", "250 503", "", false),
    ("BDAT 3\r\nx\r\nRCPT TO:<c@example.net>\r\n", "250 503", "", false),
    ("BDAT 3\r\nx\r\nRSET\r\nBDAT 3 LAST\r\ny\r\n", "250 250 503", "", false),
    ("BDAT 3\r\nx\r\nNOOP\r\nBDAT 0 LAST\r\n", "250 250 250", "x\r\n", false),
    ("BDAT 3\r\nx\r\nQUIT\r\n", "250 221", "", true),
    ("BDAT 3 LAST\r\nx\r\nBDAT 3 LAST\r\ny\r\n", "250 503", "x\r\n", false),
    ("RSET\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 503 250", "", false),
    ("BDAT 101\r\n\x01", "", "", false),
    ("BDAT 3\r\nx\r\nBDAT 98 LAST\r\n\x02NOOP\r\n", "250 552 250", "", false),
];

#[test]
fn chunks_are_counted_and_nothing_else() {
    for (sent, codes, messages, ends) in CHUNKS {
        let sent = sent.replace('\x01', &"x".repeat(100)).replace('\x02', &"x".repeat(98));
        for split in 0..=sent.len() {
            let stage = Stage { size: 100, door: "clear".into(), ..Stage::default() };
            let mut core = Core::new(&stage);
            core.send(b"EHLO x\r\n");
            core.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n");
            core.heard.clear();
            core.send(&sent.as_bytes()[..split]);
            core.send(&sent.as_bytes()[split..]);
            let heard = String::from_utf8(core.heard.clone()).unwrap();
            let said: Vec<_> = heard.lines().map(|line| &line[..3]).collect();
            assert_eq!(said.join(" "), codes, "{sent:?} at {split}: {heard}");
            let admitted: Vec<_> =
                core.house.admitted.iter().map(|m| String::from_utf8_lossy(&m.content)).collect();
            assert_eq!(admitted.join("|"), messages, "{sent:?} at {split}");
            let count = usize::from(!messages.is_empty() || sent.contains("BDAT 0 LAST"));
            assert!(admitted.len() <= count, "{sent:?} at {split}");
            assert_eq!(core.ending.is_some(), ends, "{sent:?} at {split}");
        }
    }
}

#[test]
fn content_at_fault_holds_no_memory() {
    for poison in ["\n", "\0", &"x".repeat(999)] {
        let mut core = session("clear", true);
        core.send(format!("x{poison}").as_bytes());
        core.send(&b"0123456789\r\n".repeat(10_000));
        assert_eq!(core.session.content_held(), 0);
    }
    let mut content = Content::new(None, 10);
    content.spoil(ContentFault::Shortage);
    assert_eq!((content.held(), content.finish()), (0, Err(ContentFault::Shortage)));
}

#[test]
fn a_flood_of_commands_is_bounded() {
    // A megabyte of RCPT in one write, as a driver reads it: in blocks.
    let mut core = session("clear", false);
    for block in b"RCPT TO:<refused@example.net>\r\n".repeat(34_000).chunks(32 * 1024) {
        core.send(block);
    }
    assert!(core.ending.is_some());
    assert_eq!(core.house.questions.len(), 20);
}

#[test]
fn no_form_of_a_false_end_is_an_end_over_sockets() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let reception = gate::Reception::start(&runtime);
    let hello = |wire: &mut wire::Wire| {
        wire.send(b"EHLO client.example.org\r\n");
        while wire.line().unwrap().starts_with("250-") {}
    };
    for door in ["tls", "starttls", "clear"] {
        for form in FORMS {
            for split in 0..=form.len() {
                let mut wire = reception.connect(door);
                assert!(wire.line().unwrap().starts_with("220 "));
                hello(&mut wire);
                if door == "starttls" {
                    wire.send(b"STARTTLS\r\n");
                    assert!(wire.line().unwrap().starts_with("220 "));
                    wire.shake_hands();
                    hello(&mut wire);
                }
                if door != "clear" {
                    wire.send(b"AUTH PLAIN AGFwcABzZXNhbWU=\r\n");
                    assert!(wire.line().unwrap().starts_with("235 "));
                }
                wire.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
                for code in ["250 ", "250 ", "354 "] {
                    assert!(wire.line().unwrap().starts_with(code));
                }
                let (head, tail) = form.split_at(split);
                wire.send(format!("From: <a@example.org>\r\n\r\nfirst{head}").as_bytes());
                wire.send(format!("{tail}MAIL FROM:<evil@example.org>\r\n.\r\n").as_bytes());
                let said = wire.line().unwrap();
                assert!(said.starts_with("550 5.6."), "{door} {form:?} {split}: {said}");
                assert_eq!(wire.line(), None, "{door} {form:?} {split}");
                assert!(!wire.left_over(), "{door} {form:?} {split}");
            }
        }
    }
}
