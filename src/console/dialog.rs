//! What a typed line means in each state.

use super::ask::Ask;
use super::machine::{CONFIRM, Console, Errand, Face, State, Then};
use super::menu::{self, SECTIONS};
use super::outbox::Action;
use super::wizard::Turn;
use crate::base::secret::Secret;
use crate::control::host::{HostRequest, Passphrase};
use crate::control::request::Request;

impl Console {
    pub(super) fn line(&mut self, line: &str) {
        let word = line.trim();
        if word == "!" && self.stop_from_here() {
            return;
        }
        match std::mem::replace(&mut self.state, State::Status) {
            State::Status => self.at_status(word),
            State::Login(errand) => self.at_login(line, errand),
            State::Menu => self.at_menu(word),
            State::Form(form) => self.at_form(line, form),
            State::Word(wanted, form) => self.at_word(word, &wanted, form),
            // Whatever is typed ends it.
            State::Watching { .. } => {
                self.watching = None;
                self.ask(Ask::Serve(Box::new(Request::TraceEnd {})), Then::Show);
            }
            State::Wizard => self.at_wizard(line),
            State::Confirm { until, said } => {
                self.state = State::Confirm { until, said };
                if word == "yes" {
                    self.ask(Ask::Host(HostRequest::ConfigConfirm {}), Then::Confirmed);
                } else {
                    self.out.say("Only yes keeps it; without it the old state comes back.");
                    self.prompt();
                }
            }
            // The driver gives no lines then.
            state @ State::Waiting(_) => self.state = state,
        }
    }

    /// Whether what is typed now is a text of somebody's, in which `!` is what it is.
    #[must_use]
    pub fn reads_text(&self) -> bool {
        match &self.state {
            State::Login(_) | State::Wizard => true,
            State::Form(form) => form.choices.is_empty(),
            _ => false,
        }
    }

    /// Two keys from everywhere: `!` and Enter. Where a secret or an answer of the wizard is typed
    /// an exclamation mark is what it is.
    fn stop_from_here(&mut self) -> bool {
        if self.reads_text() {
            return false;
        }
        self.stop_all()
    }

    /// The kill switch; false: there is nothing to stop yet.
    pub fn stop_all(&mut self) -> bool {
        if !self.host.as_ref().is_some_and(|host| host.configured) || !self.listens() {
            return false;
        }
        if self.admin {
            self.ask(Ask::Serve(Box::new(Request::StopAll {})), Then::Show);
        } else {
            self.out.say("Stop all mail: the passphrase, please.");
            self.state = State::Login(Errand::StopAll);
            self.prompt();
        }
        true
    }

    fn at_status(&mut self, word: &str) {
        let configured = self.host.as_ref().is_some_and(|host| host.configured);
        match word {
            "" => self.screen(),
            "l" => self.begin_login(Errand::Menu),
            "L" => {
                self.out.push(Action::Switch);
                self.screen();
            }
            "w" | "W" if !configured => self.begin_setup(),
            "w" | "W" => {
                self.out.say("This gateway is set up; log in to change it.");
                self.prompt();
            }
            _ => {
                self.out.say("Type one of the letters, or Enter.");
                self.prompt();
            }
        }
    }

    fn begin_login(&mut self, errand: Errand) {
        if self.host.as_ref().is_some_and(|host| !host.passphrase_set) {
            self.out.say("There is no passphrase yet: set this gateway up first.");
            self.state = State::Status;
        } else {
            self.state = State::Login(errand);
        }
        self.prompt();
    }

    /// A machine that belongs to nobody lets the console set it up; one that has a passphrase wants
    /// to hear it first.
    fn begin_setup(&mut self) {
        if self.host.as_ref().is_some_and(|host| host.passphrase_set) {
            self.out.say("This machine has a passphrase already; it is needed for the set-up.");
            self.begin_login(Errand::SetUp);
        } else {
            self.ask(Ask::Host(HostRequest::Ports {}), Then::SetUp);
        }
    }

    fn at_login(&mut self, line: &str, errand: Errand) {
        if line.is_empty() {
            self.screen();
            return;
        }
        self.login(&Secret::new(line.to_owned()), Then::LoggedIn(errand));
    }

    /// Lists the sections, or what is in the one that is open.
    pub(super) fn list_menu(&mut self) {
        if self.face == Face::Pages {
            return;
        }
        self.out.say("");
        let language = self.out.language;
        let mut row = |number: usize, word: &str, title: &'static str| {
            let title = language.tr(title);
            self.out.quote(&format!("{number:2} {word:<15} {title}"), 19);
        };
        if let Some(section) = self.place.and_then(|place| SECTIONS.get(place)) {
            for (index, entry) in section.entries.iter().enumerate() {
                row(index + 1, entry.word, entry.title);
            }
            row(0, "back", "to the menu");
        } else {
            for (index, section) in SECTIONS.iter().enumerate() {
                row(index + 1, section.word, section.title);
            }
            row(0, "log-out", "leave; L there changes between lines and screen");
        }
    }

    /// Waits for a choice of the menu.
    pub(super) fn menu(&mut self) {
        self.state = State::Menu;
        self.prompt();
    }

    /// A section, an entry, or the word of either.
    fn at_menu(&mut self, word: &str) {
        let open = self.place.and_then(|place| SECTIONS.get(place));
        match (word, open) {
            ("", _) => {
                self.list_menu();
                return self.menu();
            }
            ("0" | "back" | "<", Some(_)) => {
                self.place = None;
                self.list_menu();
                return self.menu();
            }
            ("0" | "log-out", _) => {
                self.out.push(Action::HangUp);
                self.admin = false;
                self.place = None;
                self.out.say("Logged out.");
                return self.screen();
            }
            _ => {}
        }
        let entries = open.map_or(&[][..], |section| section.entries);
        let words: Vec<&str> = entries.iter().map(|entry| entry.word).collect();
        let here = menu::pick(word, &words).and_then(|index| entries.get(index));
        if let Some(entry) = here.or_else(|| menu::entry(word)) {
            return self.begin(entry);
        }
        let words: Vec<&str> = SECTIONS.iter().map(|section| section.word).collect();
        let section = menu::pick(word, &words).filter(|_| open.is_none() || !is_number(word));
        if section.is_some() {
            self.place = section;
            self.list_menu();
        } else {
            self.out.say("There is no such number or word.");
        }
        self.menu();
    }

    fn at_wizard(&mut self, line: &str) {
        let Some(wizard) = &mut self.wizard else { return self.screen() };
        match wizard.handle_line(line, &mut self.out) {
            Turn::Stay if wizard.waits() => self.state = State::Waiting(Then::Wizard),
            Turn::Stay => self.state = State::Wizard,
            Turn::Leave => {
                self.out.say("The set-up is left; its answers are kept.");
                self.screen();
            }
            Turn::Apply(text) => {
                self.out.say("Putting it in force..");
                let request = HostRequest::Setup {
                    text: Passphrase::new(text.expose().clone()),
                    check: false,
                    confirm_secs: Some(CONFIRM.as_secs()),
                };
                self.ask(Ask::Host(request), Then::Applied);
            }
        }
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|octet| octet.is_ascii_digit())
}
