//! What an answer means, by what it was asked for.

use std::time::Duration;

use super::ask::{Ask, Told};
use super::machine::{Console, Deed, Errand, State, Then};
use super::outbox::Action;
use super::pages;
use super::paper::count;
use super::wizard::Wizard;
use crate::control::answer::Answer;
use crate::control::host::answer::LinkRow;
use crate::control::host::{HostAnswer, HostRequest, HostStatus};
use crate::control::request::Request;

/// How often the first check of the ways out is tried: the daemon has just been started.
const FIRST_CHECK_TRIES: u32 = 5;

impl Console {
    pub(super) fn told(&mut self, then: Then, told: Told) {
        if let (Told::Away(text), false) = (&told, then == Then::Screen) {
            return self.lost(&text.clone(), &then);
        }
        match then {
            Then::Screen => self.show_screen(told),
            Then::LoggedIn(errand) => self.logged_in_for(errand, &told),
            Then::Show | Then::NewPassphrase => {
                self.show(&told);
                self.menu();
            }
            Then::Sources => self.sources(&told),
            Then::Count(real, what) => self.counted(*real, &what, &told),
            Then::Weigh(deed) => self.weighed(deed, &told),
            Then::SetUp => self.set_up(&told),
            Then::Wizard => self.wizard_told(told),
            Then::Applied => self.applied(&told),
            Then::Confirmed => self.confirmed(&told),
            Then::FirstCheck(left) => self.first_check(left, &told),
        }
    }

    /// The host role went away: with it goes what a login allowed.
    fn lost(&mut self, text: &str, then: &Then) {
        self.out.say(&format!("[!] {text}"));
        if self.admin {
            self.out.say("You are logged out.");
        }
        self.admin = false;
        self.out.push(Action::HangUp);
        match then {
            Then::Wizard | Then::Applied if self.wizard.is_some() => {
                self.out.say("The answers are kept.");
            }
            _ => {}
        }
        self.screen();
    }

    /// Shows an answer as it is.
    fn show(&mut self, told: &Told) {
        if let Told::Host(answer) = told
            && let HostAnswer::Status(host) = &**answer
        {
            self.host = Some((**host).clone());
        }
        for line in pages::lines(told) {
            self.out.say_indented(&line, 2);
        }
    }

    fn logged_in_for(&mut self, errand: Errand, told: &Told) {
        let welcome = match told {
            Told::Host(answer) => matches!(&**answer, HostAnswer::Welcome(w) if w.administrator),
            _ => false,
        };
        if !welcome {
            self.show(told);
            self.state = State::Login(errand);
            return self.prompt();
        }
        self.admin = true;
        match errand {
            Errand::Menu => {
                self.out.say("Logged in. ! and Enter stop all mail, from everywhere.");
                self.list_menu();
                self.menu();
            }
            Errand::StopAll => {
                self.ask(Ask::Serve(Box::new(Request::StopAll {})), Then::Show);
            }
            Errand::SetUp => self.ask(Ask::Host(HostRequest::Status {}), Then::SetUp),
        }
    }

    fn sources(&mut self, told: &Told) {
        let Told::Served(answer) = told else {
            self.show(told);
            return self.menu();
        };
        let Answer::Sources(page) = &**answer else {
            self.show(told);
            return self.menu();
        };
        for (index, row) in page.rows.iter().enumerate() {
            let waits = count(row.queued, "message");
            self.out.say_indented(
                &format!(
                    "{:2} {}: {}, {waits} waiting, {} held",
                    index + 1,
                    row.name,
                    row.state,
                    row.held
                ),
                3,
            );
        }
        if page.total > page.rows.len() as u64 {
            self.out.say(&format!("and {} more", page.total - page.rows.len() as u64));
        }
        if page.rows.is_empty() {
            self.out.say("There is no source.");
            return self.menu();
        }
        self.state = State::Sources(page.rows.iter().map(|row| row.name.clone()).collect());
        self.prompt();
    }

    fn counted(&mut self, real: Request, what: &str, told: &Told) {
        let Told::Served(answer) = told else {
            self.show(told);
            return self.menu();
        };
        let Answer::Acted(acted) = &**answer else {
            self.show(told);
            return self.menu();
        };
        self.out.say(&format!("{}: {what}.", count(acted.messages, "waiting message")));
        self.state = State::Word("yes".to_owned(), Ask::Serve(Box::new(real)));
        self.prompt();
    }

    fn weighed(&mut self, deed: Deed, told: &Told) {
        let Some(host) = status(told) else {
            self.show(told);
            return self.menu();
        };
        let waits = match host.queued.or(host.mail.as_ref().map(|mail| mail.queue.messages)) {
            Some(queued) => count(queued, "message"),
            None => "An unknown number of messages (the daemon does not answer)".to_owned(),
        };
        let (text, word, request) = weight(deed, &host, &waits);
        self.out.say(&text);
        self.host = Some(host);
        self.state = State::Word(word, Ask::Host(request));
        self.prompt();
    }

    fn set_up(&mut self, told: &Told) {
        let Some(host) = status(told) else {
            self.show(told);
            return self.screen();
        };
        let ports = physical(&host);
        self.host = Some(host);
        let wizard = self.wizard.get_or_insert_with(|| Wizard::new(Vec::new()));
        self.state = State::Wizard;
        wizard.enter(ports, &mut self.out);
        if wizard.waits() {
            self.state = State::Waiting(Then::Wizard);
        }
    }

    fn wizard_told(&mut self, told: Told) {
        let Some(wizard) = &mut self.wizard else { return self.screen() };
        self.state = State::Wizard;
        match told {
            Told::Drawn(drawn) => wizard.handle_drawn(*drawn, &mut self.out),
            other => {
                if let Some(host) = status(&other) {
                    wizard.handle_ports(physical(&host), &mut self.out);
                    self.host = Some(host);
                } else {
                    let text = pages::lines(&other).join(" ");
                    wizard.handle_failure(&text, &mut self.out);
                }
            }
        }
        if self.wizard.as_ref().is_some_and(Wizard::waits) {
            self.state = State::Waiting(Then::Wizard);
        }
    }

    /// The setup was tried: it is in force for now, or refused with everything that is wrong.
    fn applied(&mut self, told: &Told) {
        let Some(wizard) = &mut self.wizard else { return self.screen() };
        let found = match told {
            Told::Host(answer) => match &**answer {
                HostAnswer::SetUp(found) => Some(found.clone()),
                _ => None,
            },
            _ => None,
        };
        match found {
            Some(found) if found.good => {
                for line in found.made.iter().chain(&found.warnings) {
                    self.out.say_indented(&format!("Note: {line}"), 2);
                }
                // Who has just said what the passphrase is need not say it again.
                self.admin = true;
                self.begin_confirm(super::machine::CONFIRM.as_secs());
            }
            Some(found) => {
                wizard.handle_refusal(&found.complaints, &mut self.out);
                self.state = State::Wizard;
            }
            None => {
                let lines = pages::lines(told);
                wizard.handle_refusal(&lines, &mut self.out);
                self.state = State::Wizard;
            }
        }
    }

    fn confirmed(&mut self, told: &Told) {
        self.show(told);
        let done = match told {
            Told::Host(answer) => !matches!(&**answer, HostAnswer::Trouble(_)),
            _ => false,
        };
        if !done {
            return self.screen();
        }
        if let Some(wizard) = self.wizard.take()
            && let Some((source, secret)) = wizard.credentials()
        {
            self.out.say("");
            self.out.say("The first source, shown this once; menu 5 makes a new secret:");
            self.out.say(&format!("  user: {source}"));
            self.out.say(&format!("  password: {}", secret.expose()));
        }
        self.out.say("");
        self.out.say("Checking the way out; this takes up to a minute. ctrl-C skips it.");
        self.check_again(FIRST_CHECK_TRIES);
    }

    fn check_again(&mut self, left: u32) {
        let ask = Request::EgressCheck { egress: None, to: None };
        self.ask(Ask::Serve(Box::new(ask)), Then::FirstCheck(left));
    }

    /// The daemon has just been started: it may not answer at once.
    fn first_check(&mut self, left: u32, told: &Told) {
        let silent = match told {
            Told::Failed(_) => true,
            Told::Served(answer) => matches!(&**answer, Answer::Trouble(_)),
            _ => false,
        };
        if silent && left > 1 {
            self.out.push(Action::Pause(Duration::from_secs(3)));
            return self.check_again(left - 1);
        }
        self.show(told);
        self.out.say("The gateway is set up. Menu 7 checks the way out again.");
        self.menu();
    }
}

/// What a deed does, the word that is typed for it, and what is asked then.
fn weight(deed: Deed, host: &HostStatus, waits: &str) -> (String, String, HostRequest) {
    match deed {
        Deed::Reboot => (
            format!("{waits} on disk stay; nothing is accepted for about a minute."),
            "restart".to_owned(),
            HostRequest::Reboot {},
        ),
        Deed::PowerOff => (
            format!("{waits} on disk stay; nothing is accepted until power-on."),
            "power off".to_owned(),
            HostRequest::PowerOff {},
        ),
        Deed::FactoryReset { keep_spool: true } => (
            format!("Configuration, keys and passphrase are destroyed. {waits} stay on disk."),
            host.hostname.clone(),
            HostRequest::FactoryReset { keep_spool: true, word: host.hostname.clone() },
        ),
        Deed::FactoryReset { keep_spool: false } => (
            format!("Everything is destroyed, and with it for ever: {waits}. Nobody is told."),
            host.hostname.clone(),
            HostRequest::FactoryReset { keep_spool: false, word: host.hostname.clone() },
        ),
        Deed::UpdateRollback => (
            format!("The machine restarts into the other slot. {waits} on disk stay."),
            "roll back".to_owned(),
            HostRequest::UpdateRollback {},
        ),
        Deed::ConfigRollback => {
            let text = match &host.pending {
                Some(pending) => format!(
                    "Configuration {} is taken back; {} comes back.",
                    pending.generation, pending.previous
                ),
                None => format!(
                    "Configuration {} is in force; the one before comes back, as a new one.",
                    host.generation
                ),
            };
            (text, "roll back".to_owned(), HostRequest::ConfigRollback { generation: None })
        }
    }
}

/// The status in an answer.
fn status(told: &Told) -> Option<HostStatus> {
    let Told::Host(answer) = told else { return None };
    let HostAnswer::Status(host) = &**answer else { return None };
    Some((**host).clone())
}

/// Ports with a cable; what is made of others is none. A laboratory has only made ones.
fn physical(host: &HostStatus) -> Vec<LinkRow> {
    let real: Vec<LinkRow> =
        host.links.iter().filter(|link| link.driver.is_some()).cloned().collect();
    if real.is_empty() { host.links.clone() } else { real }
}
