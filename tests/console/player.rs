//! Plays a dialogue and writes down what happens.

use std::fmt::Write as _;

use postern::base::time::Instant;
use postern::console::Console;
use postern::console::intake::Intake;
use postern::console::outbox::Action;

use super::world::{World, verb};

/// A console, the world around it, and what was typed where nobody may see it.
pub(crate) struct Player {
    console: Option<Console>,
    world: World,
    now: Instant,
    secret: bool,
    secrets: Vec<String>,
    written: String,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            console: None,
            world: World::default(),
            now: Instant(1_000_000),
            secret: false,
            secrets: Vec::new(),
            written: String::new(),
        }
    }
}

/// What every line must be: ASCII, narrower than 80 columns, and no secret.
pub(crate) fn proper(text: &str, secrets: &[String]) {
    assert!(text.len() < 80, "{} columns: {text}", text.len());
    assert!(text.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "no ASCII: {text:?}");
    for secret in secrets.iter().filter(|secret| secret.len() > 5) {
        assert!(!text.contains(secret.as_str()), "a secret is shown: {text}");
    }
}

impl Player {
    /// Goes on with a console that has lived already.
    pub(crate) fn from(console: Console, world: World, now: Instant) -> Self {
        Self { console: Some(console), world, now, ..Self::default() }
    }

    /// Plays the input of a dialogue; gives the whole dialogue as it happened.
    pub(crate) fn play(mut self, text: &str) -> String {
        for line in text.lines() {
            let said = line.starts_with(['|', '?', '!', '-', '(']);
            if said {
                continue;
            }
            self.written += line;
            self.written.push('\n');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_at(1) {
                ("@", change) => self.world.change(change.trim()),
                (">", typed) => {
                    let typed = typed.strip_prefix(' ').unwrap_or(typed);
                    if self.secret && !typed.is_empty() {
                        self.secrets.push(typed.to_owned());
                    }
                    self.secret = false;
                    self.type_octets(format!("{typed}\n").as_bytes());
                }
                ("^", _) => self.type_octets(&[3]),
                ("=", count) => {
                    let count = count.trim().parse().unwrap();
                    self.type_octets(format!("{}\n", "x".repeat(count)).as_bytes());
                }
                ("~", secs) => self.pass(secs.trim().parse().unwrap()),
                _ => panic!("what is {line}"),
            }
        }
        self.written
    }

    fn console(&mut self) -> &mut Console {
        let now = self.now;
        self.console.get_or_insert_with(|| Console::new("ttyS0", now))
    }

    fn type_octets(&mut self, octets: &[u8]) {
        if self.console.is_none() {
            self.drain();
        }
        let now = self.now;
        for typed in Intake::default().feed(octets) {
            self.console().handle_typed(typed, now);
        }
        self.drain();
    }

    /// Seconds pass, one by one.
    fn pass(&mut self, secs: u64) {
        if self.console.is_none() {
            self.drain();
        }
        for _ in 0..secs {
            self.now = Instant(self.now.0 + 1_000_000);
            self.world.pass();
            let now = self.now;
            if self.console().poll_timeout().is_some_and(|at| at <= now) {
                self.console().handle_timeout(now);
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.console().poll_action() {
            let line = match action {
                Action::Print(line) => {
                    proper(&line, &self.secrets);
                    format!("| {line}")
                }
                Action::Prompt { text, secret } => {
                    proper(&text, &self.secrets);
                    self.secret = secret;
                    format!("{} {text}", if secret { "??" } else { "?" })
                }
                Action::Ask(ask) => {
                    let line = format!("! {}", verb(&ask));
                    self.write(&line);
                    let told = self.world.answer(&ask);
                    let now = self.now;
                    self.console().handle_told(told, now);
                    continue;
                }
                Action::HangUp => "-".to_owned(),
                Action::Switch => "(switch)".to_owned(),
                Action::Pause(_) => continue,
            };
            self.write(&line);
        }
    }

    fn write(&mut self, line: &str) {
        let _ = writeln!(self.written, "{}", line.trim_end());
    }
}
