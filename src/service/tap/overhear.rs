//! From the octets of both directions to lines of dialogue, without secrets and without content.
//!
//! ```text
//!             AUTH            DATA                    BDAT n
//!   Commands ─────► Secret   ─────► Content ─ dot ─► ─────► Chunk ─ n octets ─► Commands
//!      ▲              │ other than 334  │ other than 354
//!      └──────────────┴─────────────────┘
//! ```
//! What is a secret and what is content is known by the command that announced it, before the first
//! octet of it is looked at; it is counted and forgotten. A line that is no command is not shown
//! either: it may be a password that was sent at the wrong moment.

use std::collections::VecDeque;

use crate::control::dialogue::Speaker;

/// Letters of a line that are shown.
const LINE_SHOWN: usize = 500;

/// Octets of a line that are kept until it ends; what is beyond is dropped.
const LINE_OCTETS_MAX: usize = 4096;

/// Commands that are shown with what they say (RFC 5321 and its extensions).
const VERBS: [&str; 13] = [
    "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP",
    "STARTTLS",
];

/// What a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Plain,
    Auth,
    Data,
}

/// What the client's next octets are.
#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Commands,
    Secret,
    /// `decided`: 354 was said. Octets that come before that are no less content.
    Content {
        octets: u64,
        tail: [u8; 5],
        decided: bool,
    },
    Chunk {
        left: u64,
        octets: u64,
    },
}

/// The end of content (RFC 5321 4.1.1.4), and what stands before its first line.
const END: [u8; 5] = *b"\r\n.\r\n";
const BEGIN: [u8; 5] = *b"\0\0\0\r\n";

/// A dialogue that is overheard.
#[derive(Debug)]
pub(super) struct Overhearing {
    client: Vec<u8>,
    server: Vec<u8>,
    /// Commands without their reply, in order; the greeting is the first.
    asked: VecDeque<Asked>,
    mode: Mode,
    rows: Vec<(Speaker, String)>,
}

impl Overhearing {
    pub(super) fn new() -> Self {
        Self {
            client: Vec::new(),
            server: Vec::new(),
            asked: VecDeque::from([Asked::Plain]),
            mode: Mode::Commands,
            rows: Vec::new(),
        }
    }

    /// Lines since the last call.
    pub(super) fn rows(&mut self) -> Vec<(Speaker, String)> {
        std::mem::take(&mut self.rows)
    }

    /// A word of the trace itself.
    pub(super) fn remark(&mut self, text: String) {
        self.rows.push((Speaker::Trace, text));
    }

    /// TLS is on: everything before is forgotten (RFC 3207 4.2).
    pub(super) fn encrypted(&mut self, suite: &str) {
        self.client.clear();
        self.server.clear();
        self.asked.clear();
        self.mode = Mode::Commands;
        self.remark(format!("encrypted: {suite}"));
    }

    /// The client has said these octets.
    pub(super) fn client(&mut self, mut octets: &[u8]) {
        while let Some((first, rest)) = octets.split_first() {
            match &mut self.mode {
                Mode::Commands | Mode::Secret => {
                    let end = octets.iter().position(|octet| *octet == b'\n');
                    let (line, rest) = octets.split_at(end.map_or(octets.len(), |end| end + 1));
                    keep(&mut self.client, line);
                    octets = rest;
                    if end.is_some() {
                        let line = std::mem::take(&mut self.client);
                        self.line(&line);
                    }
                }
                Mode::Content { octets: count, tail, .. } => {
                    *count += 1;
                    tail.rotate_left(1);
                    tail[4] = *first;
                    octets = rest;
                    if *tail == END {
                        let shown = count.saturating_sub(3);
                        self.mode = Mode::Commands;
                        self.rows.push((Speaker::Client, format!("({shown} octets of content)")));
                        self.rows.push((Speaker::Client, ".".to_owned()));
                    }
                }
                Mode::Chunk { left, octets: count } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(octets.len());
                    *left -= taken as u64;
                    octets = &octets[taken..];
                    if *left == 0 {
                        let text = format!("({count} octets of content)");
                        self.mode = Mode::Commands;
                        self.rows.push((Speaker::Client, text));
                    }
                }
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']);
        if self.mode == Mode::Secret {
            return self.say("(secret)".to_owned());
        }
        let mut words = text.split(' ');
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "AUTH" => {
                let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
                let kind = words.next().unwrap_or_default();
                let kind = if kind.bytes().all(legal) && kind.len() <= 20 { kind } else { "?" };
                self.asked.push_back(Asked::Auth);
                self.mode = Mode::Secret;
                self.say(format!("AUTH {kind} (secret)"));
            }
            "DATA" => {
                self.asked.push_back(Asked::Data);
                self.mode = Mode::Content { octets: 0, tail: BEGIN, decided: false };
                self.say("DATA".to_owned());
            }
            "BDAT" => {
                self.asked.push_back(Asked::Plain);
                let octets = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
                if octets > 0 {
                    self.mode = Mode::Chunk { left: octets, octets };
                }
                self.say(text.to_owned());
            }
            verb => {
                self.asked.push_back(Asked::Plain);
                if VERBS.contains(&verb) {
                    self.say(text.to_owned());
                } else {
                    self.say(format!("({} octets that are no command)", text.len()));
                }
            }
        }
    }

    fn say(&mut self, text: String) {
        let text = if text.chars().count() > LINE_SHOWN {
            text.chars().take(LINE_SHOWN).collect::<String>() + ".."
        } else {
            text
        };
        self.rows.push((Speaker::Client, text));
    }

    /// The server has said these octets.
    pub(super) fn server(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let end = octets.iter().position(|octet| *octet == b'\n');
            let (line, rest) = octets.split_at(end.map_or(octets.len(), |end| end + 1));
            keep(&mut self.server, line);
            octets = rest;
            if end.is_some() {
                let line = std::mem::take(&mut self.server);
                self.reply(&line);
            }
        }
    }

    fn reply(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']);
        let code = text.get(..3).unwrap_or_default().to_owned();
        let secret = code == "334" && self.asked.front() == Some(&Asked::Auth);
        let shown = if secret {
            "334 (challenge)".to_owned()
        } else {
            text.chars().take(LINE_SHOWN).collect()
        };
        self.rows.push((Speaker::Server, shown));
        if text.as_bytes().get(3) == Some(&b'-') {
            return;
        }
        match (self.asked.pop_front(), code.as_str()) {
            (Some(Asked::Auth), "334") => self.asked.push_front(Asked::Auth),
            (Some(Asked::Auth), _) if self.mode == Mode::Secret => self.mode = Mode::Commands,
            (Some(Asked::Data), "354") => {
                // The dot is answered, too.
                self.asked.push_front(Asked::Plain);
                if let Mode::Content { decided, .. } = &mut self.mode {
                    *decided = true;
                }
            }
            (Some(Asked::Data), _) => {
                if let Mode::Content { octets, decided: false, .. } = self.mode {
                    self.mode = Mode::Commands;
                    if octets > 0 {
                        self.remark(format!("{octets} octets came unasked"));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Keeps a piece of a line, within bounds; its end always.
fn keep(line: &mut Vec<u8>, more: &[u8]) {
    let room = LINE_OCTETS_MAX.saturating_sub(line.len());
    line.extend_from_slice(&more[..more.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[(char, &str)]) -> Vec<String> {
        let mut heard = Overhearing::new();
        for (who, octets) in parts {
            match who {
                'C' => heard.client(octets.as_bytes()),
                _ => heard.server(octets.as_bytes()),
            }
        }
        let letter = |speaker| match speaker {
            Speaker::Client => "C",
            Speaker::Server => "S",
            Speaker::Trace => "-",
        };
        heard.rows().into_iter().map(|(who, text)| format!("{}: {text}", letter(who))).collect()
    }

    #[test]
    fn secrets_and_content_are_counted_and_never_shown() {
        let lines = shown(&[
            ('S', "220 gw ESMTP\r\n"),
            ('C', "EHLO app\r\n"),
            ('S', "250-gw\r\n250 AUTH PLAIN LOGIN\r\n"),
            ('C', "AUTH PLAIN AGFwcABzZWNyZXQ=\r\n"),
            ('S', "535 5.7.8 no\r\n"),
            ('C', "auth login\r\n"),
            ('S', "334 VXNlcm5hbWU6\r\n"),
            ('C', "YXBw\r"),
            ('C', "\n"),
            ('S', "334 UGFzc3dvcmQ6\r\n"),
            ('C', "c2VjcmV0\r\n"),
            ('S', "235 2.7.0 ok\r\n"),
            ('C', "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"),
            ('S', "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"),
            ('C', "Subject: secret\r\n\r\nMAIL FROM:<secret>\r\n..secret\r\n.\r"),
            ('C', "\nQUIT\r\n"),
            ('S', "250 2.0.0 kept\r\n221 bye\r\n"),
        ]);
        assert_eq!(
            lines,
            [
                "S: 220 gw ESMTP",
                "C: EHLO app",
                "S: 250-gw",
                "S: 250 AUTH PLAIN LOGIN",
                "C: AUTH PLAIN (secret)",
                "S: 535 5.7.8 no",
                "C: AUTH login (secret)",
                "S: 334 (challenge)",
                "C: (secret)",
                "S: 334 (challenge)",
                "C: (secret)",
                "S: 235 2.7.0 ok",
                "C: MAIL FROM:<a@example.org>",
                "C: RCPT TO:<b@example.net>",
                "C: DATA",
                "S: 250 2.1.0 ok",
                "S: 250 2.1.5 ok",
                "S: 354 go",
                "C: (49 octets of content)",
                "C: .",
                "C: QUIT",
                "S: 250 2.0.0 kept",
                "S: 221 bye",
            ]
        );
    }

    /// A client that does not wait: what it says is taken for what it announced.
    #[test]
    fn what_comes_too_early_is_not_shown_either() {
        let whole = "EHLO a\r\nAUTH LOGIN\r\ndXNlcg==\r\nc2VjcmV0\r\n";
        let lines = shown(&[('S', "220 gw\r\n"), ('C', whole), ('S', "250 gw\r\n538 no\r\n")]);
        assert!(!lines.iter().any(|line| line.contains("c2VjcmV0")), "{lines:?}");
        let whole = "DATA\r\nSubject: secret\r\n\r\nsecret\r\n";
        let lines = shown(&[('S', "220 gw\r\n"), ('C', whole), ('S', "503 no\r\n")]);
        assert_eq!(lines, ["S: 220 gw", "C: DATA", "S: 503 no", "-: 27 octets came unasked"]);
        let whole = "BDAT 8 LAST\r\nsecret\r\nRSET\r\n";
        let lines = shown(&[('S', "220 gw\r\n"), ('C', whole), ('S', "250 ok\r\n250 ok\r\n")]);
        assert_eq!(lines[1..4], ["C: BDAT 8 LAST", "C: (8 octets of content)", "C: RSET"]);
        // A password at the wrong moment, and an empty message.
        let lines = shown(&[('S', "220 gw\r\n"), ('C', "c2VjcmV0\r\n"), ('S', "500 what\r\n")]);
        assert_eq!(lines[1], "C: (8 octets that are no command)");
        let lines =
            shown(&[('S', "220 a\r\n"), ('C', "DATA\r\n"), ('S', "354 b\r\n"), ('C', ".\r\n")]);
        assert_eq!(lines[3..], ["C: (0 octets of content)", "C: ."]);
    }

    #[test]
    fn whatever_is_said_in_whatever_pieces_takes_little_room() {
        let mut heard = Overhearing::new();
        for _ in 0..100 {
            heard.client(&[b'x'; 10_000]);
            heard.server(&[b'y'; 10_000]);
        }
        assert!(heard.client.len() <= LINE_OCTETS_MAX && heard.server.len() <= LINE_OCTETS_MAX);
        assert!(heard.rows().is_empty());
        heard.client(b"\n");
        heard.server(b"\n");
        assert!(heard.rows().iter().all(|(_, text)| text.len() <= LINE_SHOWN + 2));
    }
}
