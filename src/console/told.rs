//! What an answer means, by what it was asked for.

use std::time::Duration;

use super::ask::{Ask, Told};
use super::form::Form;
use super::machine::{CONFIRM, Console, Errand, Face, State, Then};
use super::menu::{Danger, Word};
use super::outbox::Action;
use super::pages;
use super::wizard::Wizard;
use crate::control::answer::Answer;
use crate::control::host::answer::LinkRow;
use crate::control::host::{HostAnswer, HostRequest, HostStatus};
use crate::control::request::Request;

/// How often the first check of the ways out is tried: the daemon has just been started.
const FIRST_CHECK_TRIES: u32 = 5;
/// How often a live trace is asked for more.
const POLL: Duration = Duration::from_secs(1);

impl Console {
    pub(super) fn told(&mut self, then: Then, told: Told) {
        if let (Told::Away(text), false) = (&told, then == Then::Screen) {
            return self.lost(&text.clone(), &then);
        }
        match then {
            Then::Screen => self.show_screen(told),
            Then::Behind => {
                self.host = status(&told).or(self.host.take());
                self.state = State::Menu;
            }
            Then::LoggedIn(errand) => self.logged_in_for(errand, &told),
            Then::LoginWait(errand) => self.wait_for_login(errand, &told),
            Then::Show => {
                self.show(&told);
                self.menu();
            }
            Then::Watch => self.watched(&told),
            Then::Choices(form) => self.choices_told(form, &told),
            Then::Count(form) => self.counted(form, &told),
            Then::Weigh(form) => self.weighed(form, &told),
            Then::SetUp => self.set_up(&told),
            Then::Wizard => self.wizard_told(told),
            Then::Applied => self.applied(&told),
            Then::Confirmed => self.confirmed(&told),
            Then::FirstCheck(left) => self.first_check(left, &told),
        }
    }

    /// The host role went away: with it goes what a login allowed.
    fn lost(&mut self, text: &str, then: &Then) {
        self.out.quote(&format!("[!] {text}"), 0);
        if self.admin {
            self.out.say("You are logged out.");
        }
        self.admin = false;
        self.place = None;
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
    pub(super) fn show(&mut self, told: &Told) {
        if let Told::Host(answer) = told
            && let HostAnswer::Status(host) = &**answer
        {
            self.host = Some((**host).clone());
        }
        for line in pages::lines(told, self.out.language) {
            self.out.quote(&line, 2);
        }
    }

    fn logged_in_for(&mut self, errand: Errand, told: &Told) {
        let welcome = match told {
            Told::Host(answer) => matches!(&**answer, HostAnswer::Welcome(w) if w.administrator),
            _ => false,
        };
        if !welcome {
            self.show(told);
            // Where the seconds are seen running the host role is asked how many there are.
            if self.face == Face::Pages && matches!(told, Told::Host(_)) {
                let hello = HostRequest::Hello { tty: Some(self.tty.clone()) };
                return self.ask(Ask::Host(hello), Then::LoginWait(errand));
            }
            self.state = State::Login(errand);
            return self.prompt();
        }
        self.admin = true;
        self.login_wait = None;
        match errand {
            Errand::Menu => {
                self.out.say("Logged in. ! and Enter stop all mail, from everywhere.");
                self.list_menu();
                self.menu();
            }
            Errand::StopAll => {
                self.ask(Ask::Serve(Box::new(Request::StopAll {})), Then::Show);
            }
            Errand::SetUp => self.ask(Ask::Host(HostRequest::Ports {}), Then::SetUp),
        }
    }

    fn wait_for_login(&mut self, errand: Errand, told: &Told) {
        if let Told::Host(answer) = told
            && let HostAnswer::Welcome(welcome) = &**answer
        {
            let wait = Duration::from_secs(welcome.login_wait_secs);
            self.login_wait = (!wait.is_zero()).then(|| self.now.after(wait));
        }
        self.state = State::Login(errand);
        self.prompt();
    }

    /// More of a live trace.
    fn watched(&mut self, told: &Told) {
        let dialogue = match told {
            Told::Served(answer) => match &**answer {
                Answer::Dialogue(dialogue) => dialogue,
                _ => return self.not_watched(told),
            },
            _ => return self.not_watched(told),
        };
        let first = self.watching.is_none();
        let last = dialogue.rows.last().map(|row| row.number);
        let after = last.or(self.watching).unwrap_or(0);
        self.watching = Some(after);
        for line in pages::dialogue(dialogue, self.out.language) {
            self.out.quote(&line, 2);
        }
        if dialogue.left_secs == 0 {
            self.watching = None;
            self.out.say("The trace has ended by itself.");
            return self.menu();
        }
        self.state = State::Watching { after, next: self.now.after(POLL) };
        if first {
            self.out.say("Watching; secrets and content are left out.");
        }
        if first || !dialogue.rows.is_empty() {
            self.prompt();
        }
    }

    fn not_watched(&mut self, told: &Told) {
        self.watching = None;
        self.show(told);
        self.menu();
    }

    fn counted(&mut self, form: Form, told: &Told) {
        let (Told::Served(answer), Danger::Counted(text, word)) = (told, form.entry.danger) else {
            self.show(told);
            return self.menu();
        };
        let Answer::Acted(acted) = &**answer else {
            self.show(told);
            return self.menu();
        };
        let messages = self.out.language.messages(acted.messages);
        self.out.say_with(text, &[&messages]);
        self.want_word(word, form);
    }

    fn weighed(&mut self, form: Form, told: &Told) {
        let Some(host) = status(told) else {
            self.show(told);
            return self.menu();
        };
        let language = self.out.language;
        let waits = match host.queued.or(host.mail.as_ref().map(|mail| mail.queue.messages)) {
            Some(queued) => language.messages(queued),
            None => {
                language.tr("An unknown number of messages (the daemon does not answer)").to_owned()
            }
        };
        let word = match form.entry.danger {
            Danger::Weighed(text, word) => {
                self.out.say_with(text, &[&waits]);
                word
            }
            Danger::Configuration(word) => {
                self.say_configurations(&host);
                word
            }
            // Nothing else is weighed.
            _ => Word::HostName,
        };
        self.host = Some(host);
        self.want_word(word, form);
    }

    fn say_configurations(&mut self, host: &HostStatus) {
        match &host.pending {
            Some(pending) => self.out.say_with(
                "Configuration {} is taken back; {} comes back.",
                &[&pending.generation, &pending.previous],
            ),
            None => self.out.say_with(
                "Configuration {} is in force; the one before comes back, as a new one.",
                &[&host.generation],
            ),
        }
    }

    fn set_up(&mut self, told: &Told) {
        let Some(ports) = ports(told) else {
            self.show(told);
            return self.screen();
        };
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
                if let Some(ports) = ports(&other) {
                    wizard.handle_ports(ports, &mut self.out);
                } else {
                    let text = pages::lines(&other, self.out.language).join(" ");
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
                for file in &found.made {
                    self.out.say_with("Made here: {}", &[file]);
                }
                for line in &found.warnings {
                    let note = self.out.language.fill("Note: {}", &[line]);
                    self.out.quote(&note, 2);
                }
                // Who has just said what the passphrase is need not say it again.
                self.admin = true;
                self.begin_confirm(CONFIRM.as_secs());
            }
            Some(found) => {
                wizard.handle_refusal(&found.complaints, &mut self.out);
                self.state = State::Wizard;
            }
            None => {
                let lines = pages::lines(told, self.out.language);
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
            self.out.say("The first source, shown this once; source-secret makes a new secret:");
            self.out.quote(&format!("  user: {source}"), 0);
            self.out.quote(&format!("  password: {}", secret.expose()), 0);
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
        self.out.say("The gateway is set up. egress-check checks the way out again.");
        self.menu();
    }
}

/// The status in an answer.
fn status(told: &Told) -> Option<HostStatus> {
    let Told::Host(answer) = told else { return None };
    let HostAnswer::Status(host) = &**answer else { return None };
    Some((**host).clone())
}

/// Ports with a cable; what is made of others is none. A laboratory has only made ones.
fn ports(told: &Told) -> Option<Vec<LinkRow>> {
    let Told::Host(answer) = told else { return None };
    let HostAnswer::Ports(all) = &**answer else { return None };
    let real: Vec<LinkRow> = all.iter().filter(|link| link.driver.is_some()).cloned().collect();
    Some(if real.is_empty() { all.clone() } else { real })
}
