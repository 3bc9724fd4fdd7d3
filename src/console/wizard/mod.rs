//! The first boot wizard: from answers to a setup file, and nothing else.
//!
//! ```text
//!            line            c              c answered          Enter
//! Asking ───────────► Asking ──► Baseline ────────────► Watching ────► Comparing ──► Asking
//!   │ last answer                                                             (the port found)
//!   ▼        keys made            apply
//! Drawing ───────────► Review ──────────► the host role's `setup`
//!   ▲                    │ a number: that question, and back here
//!   └────────────────────┘
//! ```
//!
//! **Invariant:** nothing leaves this machine and nothing is changed on it before `apply`; going
//! back or leaving loses no answer.

pub mod answers;
pub mod document;
mod network;
pub mod questions;
pub mod read;
mod review;
mod view;

use answers::{Answers, Attachment, Question, Role};
use questions::{proposal, wording};
use read::take;

use super::ask::{Ask, Draw, Drawn};
use super::outbox::Outbox;
use super::strength::judge;
use crate::base::secret::Secret;
use crate::control::host::HostRequest;
use crate::control::host::answer::LinkRow;
use crate::mail::address::Domain;

/// A lamp blinks as long as it takes to look at every port of a box.
const BLINK_SECS: u64 = 10;

/// Where the wizard is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// A question stands.
    Asking(Question),
    /// The ports were asked for, to be chosen from.
    Listing(Role),
    /// A port blinks.
    Blinking(Role),
    /// The ports as they are now were asked for.
    Baseline(Role),
    /// A cable is to be moved.
    Watching(Role, Vec<LinkRow>),
    /// The ports as they are after that were asked for.
    Comparing(Role, Vec<LinkRow>),
    /// Keys are being made.
    Drawing,
    /// Everything is answered.
    Review,
}

/// What comes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The wizard goes on.
    Stay,
    /// Its user goes back beyond the first question.
    Leave,
    /// Put this setup file in force.
    Apply(Secret<String>),
}

/// The wizard.
#[derive(Clone, Debug)]
pub struct Wizard {
    answers: Answers,
    ports: Vec<LinkRow>,
    stage: Stage,
    /// The review was seen: a changed answer leads back to it.
    reviewed: bool,
    drawn: Option<Drawn>,
}

impl Wizard {
    /// A wizard for a machine with these ports.
    #[must_use]
    pub fn new(ports: Vec<LinkRow>) -> Self {
        Self {
            answers: Answers::default(),
            ports,
            stage: Stage::Asking(Question::Passphrase),
            reviewed: false,
            drawn: None,
        }
    }

    /// The answers so far.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The passphrase that was chosen.
    #[must_use]
    pub fn passphrase(&self) -> Option<&Secret<String>> {
        self.answers.passphrase.as_ref()
    }

    /// The first source and its secret.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &Secret<String>)> {
        let drawn = self.drawn.as_ref()?;
        Some((self.answers.get(Question::Source), &drawn.secret))
    }

    /// Whether a question of it is with somebody else.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(
            self.stage,
            Stage::Listing(_)
                | Stage::Blinking(_)
                | Stage::Baseline(_)
                | Stage::Comparing(..)
                | Stage::Drawing
        )
    }

    /// Says where it is, at the beginning and whenever somebody comes back; the ports are as they
    /// are now.
    pub fn enter(&mut self, ports: Vec<LinkRow>, out: &mut Outbox) {
        self.renew(ports);
        out.say("Setting up this gateway. Enter takes what stands in brackets, < goes back,");
        out.say("? explains, ctrl-C leaves; answers are kept until power-off.");
        match self.stage {
            Stage::Review | Stage::Drawing => self.review(out),
            Stage::Asking(question) => self.put(question, out),
            Stage::Listing(role)
            | Stage::Blinking(role)
            | Stage::Baseline(role)
            | Stage::Watching(role, _)
            | Stage::Comparing(role, _) => self.put(Question::Ports(role), out),
        }
    }

    /// A line was typed.
    pub fn handle_line(&mut self, line: &str, out: &mut Outbox) -> Turn {
        match self.stage.clone() {
            Stage::Asking(question) => return self.answer(question, line, out),
            Stage::Watching(role, before) => {
                if line.trim() == "<" {
                    self.put(Question::Ports(role), out);
                    return Turn::Stay;
                }
                self.stage = Stage::Comparing(role, before);
                out.ask(Ask::Host(HostRequest::Ports {}));
            }
            Stage::Review => return self.decide(line.trim(), out),
            // Nothing is read while a question is with somebody else.
            Stage::Listing(_)
            | Stage::Blinking(_)
            | Stage::Baseline(_)
            | Stage::Comparing(..)
            | Stage::Drawing => {}
        }
        Turn::Stay
    }

    /// The ports, as they were asked for.
    pub fn handle_ports(&mut self, ports: Vec<LinkRow>, out: &mut Outbox) {
        match self.stage.clone() {
            Stage::Baseline(role) => {
                out.say_with(
                    "Pull the cable out of the port that shall be {} (or put it in) and press \
                     Enter.",
                    &[&role.word()],
                );
                self.stage = Stage::Watching(role, ports);
                out.prompt("Done?");
            }
            Stage::Comparing(role, before) => self.compare(role, &before, ports, out),
            Stage::Listing(role) => {
                self.renew(ports);
                self.put_now(Question::Ports(role), out);
            }
            _ => self.renew(ports),
        }
    }

    /// Keys and secrets were made.
    pub fn handle_drawn(&mut self, drawn: Drawn, out: &mut Outbox) {
        self.drawn = Some(drawn);
        self.review(out);
    }

    /// Somebody else did not answer; the question is put again.
    pub fn handle_failure(&mut self, text: &str, out: &mut Outbox) {
        out.quote(text, 0);
        match self.stage.clone() {
            Stage::Listing(role)
            | Stage::Blinking(role)
            | Stage::Baseline(role)
            | Stage::Watching(role, _)
            | Stage::Comparing(role, _) => self.put_now(Question::Ports(role), out),
            Stage::Asking(question) => self.put_now(question, out),
            Stage::Drawing => {
                let last = self.answers.path().last().copied().unwrap_or(Question::Passphrase);
                self.put(last, out);
            }
            Stage::Review => self.review(out),
        }
    }

    /// The setup was refused: what is wrong was said, and the review stands again.
    pub fn handle_refusal(&mut self, complaints: &[String], out: &mut Outbox) {
        out.say("Nothing was changed. This is wrong:");
        out.lines(complaints);
        self.stage = Stage::Review;
        prompt_review(out);
    }

    fn answer(&mut self, question: Question, line: &str, out: &mut Outbox) -> Turn {
        let typed = line.trim();
        match typed {
            "<" => return self.back(question, out),
            "?" => {
                out.say(wording(question).more);
                self.prompt(question, out);
                return Turn::Stay;
            }
            "c" | "C" => {
                if let Question::Ports(role) = question {
                    self.stage = Stage::Baseline(role);
                    out.ask(Ask::Host(HostRequest::Ports {}));
                    return Turn::Stay;
                }
            }
            _ => {
                if let Question::Ports(role) = question
                    && let Some(name) = self.named_to_blink(typed)
                {
                    self.stage = Stage::Blinking(role);
                    out.ask(Ask::Host(HostRequest::PortBlink { name, secs: BLINK_SECS }));
                    return Turn::Stay;
                }
            }
        }
        match question {
            Question::Passphrase => self.passphrase_typed(line, out),
            Question::Again => self.again(line, out),
            _ => {
                let default = proposal(question, &self.answers).filter(|_| typed.is_empty());
                let text = default.as_deref().unwrap_or(typed);
                match take(question, text, &self.answers, &self.ports) {
                    Ok(answers) => {
                        self.answers = answers;
                        self.forward(question, out);
                    }
                    Err(refusal) => {
                        let problem = out.language.say(&refusal.problem);
                        out.quote(&out.language.fill("No: {}", &[&problem]), 2);
                        out.say_said(&refusal.remedy, 2);
                        self.prompt(question, out);
                    }
                }
            }
        }
        Turn::Stay
    }

    fn passphrase_typed(&mut self, line: &str, out: &mut Outbox) {
        if line.is_empty() && self.answers.passphrase.is_some() {
            return self.forward(Question::Passphrase, out);
        }
        match judge(line, self.answers.get(Question::HostName)) {
            Ok(strength) => {
                let strength = out.language.tr(strength.word());
                out.say_with("Its strength: {}.", &[&strength]);
                self.answers.passphrase = Some(Secret::new(line.to_owned()));
                self.answers.repeated = false;
                self.forward(Question::Passphrase, out);
            }
            Err(problem) => {
                let problem = out.language.say(&problem);
                out.quote(&out.language.fill("No: {}", &[&problem]), 2);
                out.say("Use several words, or letters, digits and signs.");
                self.prompt(Question::Passphrase, out);
            }
        }
    }

    fn again(&mut self, line: &str, out: &mut Outbox) {
        let same = self.answers.passphrase.as_ref().is_some_and(|first| first.expose() == line);
        if same || (line.is_empty() && self.answers.repeated) {
            self.answers.repeated = true;
            return self.forward(Question::Again, out);
        }
        out.say("No: the two are not the same. Type the passphrase again, and once more.");
        self.answers.passphrase = None;
        self.answers.repeated = false;
        self.put(Question::Passphrase, out);
    }

    /// To the next question, or to the review.
    fn forward(&mut self, question: Question, out: &mut Outbox) {
        let path = self.answers.path();
        let here = path.iter().position(|other| *other == question).unwrap_or(0);
        let mut rest = path.iter().skip(here + 1).copied();
        let next = if self.reviewed {
            rest.find(|other| !self.answers.answered(*other))
                .or_else(|| path.iter().copied().find(|other| !self.answers.answered(*other)))
        } else {
            rest.next()
        };
        match next {
            Some(next) => self.put(next, out),
            None => self.draw(out),
        }
    }

    fn back(&mut self, question: Question, out: &mut Outbox) -> Turn {
        let path = self.answers.path();
        let here = path.iter().position(|other| *other == question).unwrap_or(0);
        match here.checked_sub(1).and_then(|before| path.get(before)) {
            Some(before) => {
                self.put(*before, out);
                Turn::Stay
            }
            None => Turn::Leave,
        }
    }

    /// The port of `b 2`, whose lamp shall blink.
    fn named_to_blink(&self, typed: &str) -> Option<String> {
        let word = typed.strip_prefix("b ").or_else(|| typed.strip_prefix("B "))?.trim();
        let names: Vec<&str> = self.ports.iter().map(|port| port.name.as_str()).collect();
        super::menu::pick(word, &names).and_then(|index| names.get(index)).map(|n| (*n).to_owned())
    }

    /// Puts a question; ports are looked at first.
    fn put(&mut self, question: Question, out: &mut Outbox) {
        if let Question::Ports(role) = question {
            self.stage = Stage::Listing(role);
            return out.ask(Ask::Host(HostRequest::Ports {}));
        }
        self.put_now(question, out);
    }

    fn put_now(&mut self, question: Question, out: &mut Outbox) {
        self.stage = Stage::Asking(question);
        if out.pages {
            return self.prompt(question, out);
        }
        let path = self.answers.path();
        let number = path.iter().position(|other| *other == question).unwrap_or(0) + 1;
        let words = wording(question);
        out.say("");
        let title = out.language.say(&words.title);
        out.say_with("{} of {}. {}", &[&number, &path.len(), &title]);
        if let Question::Ports(_) = question {
            self.list_ports(out);
        }
        out.say_said(&words.hint, 0);
        self.prompt(question, out);
    }

    fn prompt(&self, question: Question, out: &mut Outbox) {
        match question {
            Question::Passphrase if self.answers.passphrase.is_some() => {
                out.prompt_secret("Passphrase [as before]:");
            }
            Question::Again if self.answers.repeated => out.prompt_secret("Again [as before]:"),
            Question::Passphrase => out.prompt_secret("Passphrase:"),
            Question::Again => out.prompt_secret("Again:"),
            _ => match proposal(question, &self.answers) {
                Some(text) => out.prompt_with("Answer [{}]:", &[&text]),
                None => out.prompt("Answer:"),
            },
        }
    }

    fn list_ports(&self, out: &mut Outbox) {
        if self.ports.is_empty() {
            out.say("No network port was found.");
        }
        for (index, port) in self.ports.iter().enumerate() {
            let taken = Role::ALL.into_iter().find(|role| {
                let attachment = Attachment::read(self.answers.get(Question::Ports(*role)));
                attachment.ports.contains(&port.name)
            });
            let taken = taken.map_or_else(String::new, |role| format!(", {}", role.word()));
            let port = review::port(port, out.language);
            out.quote(&format!("{} {port}{taken}", index + 1), 4);
        }
    }

    fn compare(&mut self, role: Role, before: &[LinkRow], after: Vec<LinkRow>, out: &mut Outbox) {
        let changed = |port: &&LinkRow| {
            let old = before.iter().find(|old| old.name == port.name);
            old.is_some_and(|old| review::linked(old) != review::linked(port))
        };
        let moved: Vec<&LinkRow> = after.iter().filter(changed).collect();
        match moved.as_slice() {
            [one] => {
                let name = one.name.clone();
                if review::linked(one) {
                    out.say_with("{} has a link now: it is taken.", &[&name]);
                } else {
                    out.say_with("{} lost its link: it is taken. Put the cable back in.", &[&name]);
                }
                self.renew(after);
                let _ = self.answer(Question::Ports(role), &name, out);
                return;
            }
            [] => out.say("No link has changed. Wait some seconds after the cable is moved."),
            several => {
                let names: Vec<&str> = several.iter().map(|port| port.name.as_str()).collect();
                out.say_with("Several links have changed: {}.", &[&names.join(", ")]);
            }
        }
        self.renew(after);
        self.put_now(Question::Ports(role), out);
    }

    /// The ports as they are now. A port may have another name after a configuration was tried; it
    /// is the same card, and the answers follow it.
    fn renew(&mut self, ports: Vec<LinkRow>) {
        for role in Role::ALL {
            if !self.answers.has(role) {
                continue;
            }
            let mut attachment = Attachment::read(self.answers.get(Question::Ports(role)));
            for name in &mut attachment.ports {
                let old = self.ports.iter().find(|port| port.name == *name);
                let mac = old.map(|port| port.mac.as_str()).filter(|mac| !mac.is_empty());
                if let Some(new) = ports.iter().find(|port| Some(port.mac.as_str()) == mac) {
                    name.clone_from(&new.name);
                }
            }
            self.answers.set(Question::Ports(role), attachment.to_string());
        }
        self.ports = ports;
    }

    /// Everything is answered: keys, where they are not made yet.
    fn draw(&mut self, out: &mut Outbox) {
        let Some(passphrase) = self.answers.passphrase.clone() else {
            return self.put(Question::Passphrase, out);
        };
        let domains =
            self.answers.words(Question::Dkim).filter_map(|text| Domain::parse(text).ok());
        let order = Draw { passphrase, domains: domains.collect() };
        if self.drawn.as_ref().is_some_and(|drawn| drawn.order == order) {
            return self.review(out);
        }
        out.say("Making keys..");
        self.stage = Stage::Drawing;
        out.ask(Ask::Draw(order));
    }

    /// A word at the review.
    fn decide(&mut self, word: &str, out: &mut Outbox) -> Turn {
        if word == "<" {
            let last = self.answers.path().last().copied().unwrap_or(Question::Passphrase);
            self.put(last, out);
            return Turn::Stay;
        }
        if let Ok(number) = word.parse::<usize>() {
            let index = number.checked_sub(1);
            let question = index.and_then(|index| self.answers.path().get(index).copied());
            if let Some(question) = question {
                self.put(question, out);
            } else {
                out.say("There is no such number.");
                prompt_review(out);
            }
            return Turn::Stay;
        }
        match (word, self.drawn.as_ref()) {
            ("apply", Some(drawn))
                if review::complaints(&self.answers, &self.ports, drawn).is_empty() =>
            {
                return Turn::Apply(Secret::new(document::setup(
                    &self.answers,
                    &self.ports,
                    drawn,
                )));
            }
            ("apply", _) => out.say("Not yet: change what is wrong first."),
            ("", _) => {}
            _ => out.say("Type apply, a number, or <."),
        }
        prompt_review(out);
        Turn::Stay
    }

    fn review(&mut self, out: &mut Outbox) {
        let Some(drawn) = self.drawn.as_ref() else { return self.draw(out) };
        self.stage = Stage::Review;
        self.reviewed = true;
        review::show(&self.answers, &self.ports, drawn, out);
        prompt_review(out);
    }
}

fn prompt_review(out: &mut Outbox) {
    out.say("apply puts it in force; a number changes that answer; < goes back.");
    out.prompt("apply?");
}
