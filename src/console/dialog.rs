//! What a typed line means in each state.

use super::ask::Ask;
use super::machine::{Change, Console, Deed, Errand, State, Then};
use super::strength::judge;
use super::wizard::Turn;
use crate::base::secret::Secret;
use crate::control::host::request::Destination;
use crate::control::host::{HostRequest, Passphrase};
use crate::control::request::{PageAsk, Request};
use crate::mail::source::SourceName;

/// The menu: the number is the place in the list.
const MENU: [&str; 18] = [
    "status",
    "stop all mail (! does it from everywhere)",
    "let mail run again",
    "queue, by lane",
    "sources: list, hold, release, disable, enable, new secret",
    "egresses: list",
    "egresses: check",
    "DNS records to publish",
    "configuration: history",
    "configuration: confirm",
    "configuration: roll back",
    "update: status",
    "update: return to the other slot",
    "support bundle to the USB stick",
    "change the passphrase",
    "restart",
    "power off",
    "factory reset",
];

/// What may be done with a source.
const SOURCE_DEEDS: [&str; 5] = [
    "1 hold: accept its mail and keep it",
    "2 release: end a hold",
    "3 disable: accept nothing more, hold what waits",
    "4 enable: undo disable",
    "5 new secret: shown once; the old one ends in 24 hours",
];

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
            State::Sources(names) => self.at_sources(word, names),
            State::Source(name) => self.at_source(word, name),
            State::Reset => self.at_reset(word),
            State::Word(wanted, ask) => self.at_word(word, &wanted, ask),
            State::Change(change) => self.at_change(line, change),
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

    /// Two keys from everywhere: `!` and Enter. Where a secret or an answer of the wizard is typed
    /// an exclamation mark is what it is.
    fn stop_from_here(&mut self) -> bool {
        let typed_text = matches!(self.state, State::Login(_) | State::Change(_) | State::Wizard);
        if typed_text || !self.host.as_ref().is_some_and(|host| host.configured) {
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
            "l" | "L" => self.begin_login(Errand::Menu),
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
            self.ask(Ask::Host(HostRequest::Status {}), Then::SetUp);
        }
    }

    fn at_login(&mut self, line: &str, errand: Errand) {
        if line.is_empty() {
            self.screen();
            return;
        }
        self.login(&Secret::new(line.to_owned()), Then::LoggedIn(errand));
    }

    /// Lists the menu.
    pub(super) fn list_menu(&mut self) {
        self.out.say("");
        for (index, text) in MENU.iter().enumerate() {
            self.out.say(&format!("{:2} {text}", index + 1));
        }
        self.out.say(" 0 log out");
    }

    /// Waits for a number of the menu.
    pub(super) fn menu(&mut self) {
        self.state = State::Menu;
        self.prompt();
    }

    fn at_menu(&mut self, word: &str) {
        let host = |request| (Ask::Host(request), Then::Show);
        let serve = |request| (Ask::Serve(Box::new(request)), Then::Show);
        let all = PageAsk { offset: 0, limit: 200 };
        let (ask, then) = match word {
            "" => {
                self.list_menu();
                return self.menu();
            }
            "0" => {
                self.out.push(super::outbox::Action::HangUp);
                self.admin = false;
                self.out.say("Logged out.");
                return self.screen();
            }
            "1" => host(HostRequest::Status {}),
            "2" => serve(Request::StopAll {}),
            "3" => {
                self.out.say("Mail in and out runs again, and everything that waits goes.");
                let ask = Ask::Serve(Box::new(Request::ResumeAll {}));
                self.state = State::Word("yes".to_owned(), ask);
                return self.prompt();
            }
            "4" => serve(Request::QueueLanes { page: all }),
            "5" => (Ask::Serve(Box::new(Request::SourceList { page: all })), Then::Sources),
            "6" => serve(Request::EgressList {}),
            "7" => {
                self.out.say("Asking through every egress; this takes up to a minute.");
                serve(Request::EgressCheck { egress: None, to: None })
            }
            "8" => host(HostRequest::DnsRecords {}),
            "9" => host(HostRequest::ConfigHistory {}),
            "10" => host(HostRequest::ConfigConfirm {}),
            "11" => weigh(Deed::ConfigRollback),
            "12" => host(HostRequest::UpdateStatus {}),
            "13" => weigh(Deed::UpdateRollback),
            "14" => {
                self.out.say("Writing to the stick with the label POSTERNCFG.");
                host(HostRequest::SupportBundle { to: Destination::Stick })
            }
            "15" => {
                self.state = State::Change(Change::Old);
                return self.prompt();
            }
            "16" => weigh(Deed::Reboot),
            "17" => weigh(Deed::PowerOff),
            "18" => {
                self.out.say("A factory reset destroys configuration, keys and passphrase.");
                self.out.say("1 keeps the mail that waits, 2 destroys it too.");
                self.state = State::Reset;
                return self.prompt();
            }
            _ => {
                self.out.say("There is no such number.");
                return self.menu();
            }
        };
        self.ask(ask, then);
    }

    fn at_sources(&mut self, word: &str, names: Vec<SourceName>) {
        if word.is_empty() {
            return self.menu();
        }
        let number = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let name = match number {
            Some(index) => names.get(index).cloned(),
            None => names.iter().find(|name| name.to_string() == word).cloned(),
        };
        if let Some(name) = name {
            self.out.say(&format!("Source {name}:"));
            self.out.lines(SOURCE_DEEDS);
            self.state = State::Source(name);
        } else {
            self.out.say("There is no such source.");
            self.state = State::Sources(names);
        }
        self.prompt();
    }

    fn at_source(&mut self, word: &str, name: SourceName) {
        let (dry, real, what) = match word {
            "" => return self.menu(),
            "1" => (
                Request::SourceHold { name: name.clone(), dry_run: true },
                Request::SourceHold { name, dry_run: false },
                "held",
            ),
            "2" => (
                Request::SourceRelease { name: name.clone(), dry_run: true },
                Request::SourceRelease { name, dry_run: false },
                "released",
            ),
            "3" => (
                Request::SourceDisable { name: name.clone(), dry_run: true },
                Request::SourceDisable { name, dry_run: false },
                "held, and nothing more is accepted",
            ),
            "4" => (
                Request::SourceEnable { name: name.clone(), dry_run: true },
                Request::SourceEnable { name, dry_run: false },
                "released, and its mail is accepted again",
            ),
            "5" => {
                self.out.say("The new secret is shown on this screen, once.");
                let ask = Request::SourceRotate { name, grace_secs: 86_400 };
                self.state = State::Word("yes".to_owned(), Ask::Serve(Box::new(ask)));
                return self.prompt();
            }
            _ => {
                self.out.say("There is no such number.");
                self.state = State::Source(name);
                return self.prompt();
            }
        };
        let then = Then::Count(Box::new(real), what.to_owned());
        self.ask(Ask::Serve(Box::new(dry)), then);
    }

    fn at_reset(&mut self, word: &str) {
        match word {
            "1" => {
                let (ask, then) = weigh(Deed::FactoryReset { keep_spool: true });
                self.ask(ask, then);
            }
            "2" => {
                let (ask, then) = weigh(Deed::FactoryReset { keep_spool: false });
                self.ask(ask, then);
            }
            _ => {
                self.out.say("Nothing was done.");
                self.menu();
            }
        }
    }

    fn at_word(&mut self, word: &str, wanted: &str, ask: Ask) {
        if word != wanted {
            self.out.say("Nothing was done.");
            return self.menu();
        }
        self.ask(ask, Then::Show);
    }

    fn at_change(&mut self, line: &str, change: Change) {
        if line.is_empty() {
            self.out.say("Nothing was changed.");
            return self.menu();
        }
        let typed = Secret::new(line.to_owned());
        match change {
            Change::Old => self.state = State::Change(Change::New(typed)),
            Change::New(old) => {
                let name = self.host.as_ref().map_or("", |host| host.hostname.as_str());
                match judge(line, name) {
                    Ok(strength) => {
                        self.out.say(&format!("Its strength: {strength}."));
                        self.state = State::Change(Change::Again(old, typed));
                    }
                    Err(problem) => {
                        self.out.say(&format!("No: {problem}"));
                        self.state = State::Change(Change::New(old));
                    }
                }
            }
            Change::Again(old, new) if new == typed => {
                let request = HostRequest::SetPassphrase {
                    old: Some(Passphrase::new(old.expose().clone())),
                    new: Passphrase::new(new.expose().clone()),
                };
                return self.ask(Ask::Host(request), Then::NewPassphrase);
            }
            Change::Again(old, _) => {
                self.out.say("No: the two are not the same.");
                self.state = State::Change(Change::New(old));
            }
        }
        self.prompt();
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
                    confirm_secs: Some(super::machine::CONFIRM.as_secs()),
                };
                self.ask(Ask::Host(request), Then::Applied);
            }
        }
    }
}

/// First how many messages there are, then the word.
fn weigh(deed: Deed) -> (Ask, Then) {
    (Ask::Host(HostRequest::Status {}), Then::Weigh(deed))
}
