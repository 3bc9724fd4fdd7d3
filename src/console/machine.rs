//! The console's state machine: lines and answers in, actions out. No clock, no terminal.
//!
//! ```text
//!                 l, passphrase         number or word        its word
//!  ┌──► Status ─────────────────► Menu ───────────────► Form ──────────► Word ──┐
//!  │     │ w                       ▲ └──────────────────────────────────────────┘
//!  │     ▼                         │ confirmed
//!  │    Wizard ──apply──► Confirm ─┘
//!  └─────── ctrl-C, ctrl-D, idle, the host role gone: from everywhere ───────────────
//! ```
//!
//! `Waiting` lies between any two of them while a question is with somebody else; no line is read
//! then, only ctrl-C is heard.

use std::time::Duration;

use zeroize::Zeroize as _;

use super::ask::{Ask, Told};
use super::form::Form;
use super::intake::Typed;
use super::menu::SECTIONS;
use super::outbox::{Action, Outbox};
use super::status;
use super::wizard::Wizard;
use super::words::Language;
use crate::base::secret::Secret;
use crate::base::time::Instant;
use crate::control::host::{HostAnswer, HostRequest, HostStatus, Passphrase};
use crate::control::request::Request;

/// Without a key for so long the administrator is logged out.
pub const IDLE: Duration = Duration::from_secs(300);
/// Without a key for so long a set-up is left; its answers stay.
pub const IDLE_WIZARD: Duration = Duration::from_secs(1800);
/// Without a key for so long a question for a passphrase is taken back.
pub const IDLE_LOGIN: Duration = Duration::from_secs(60);
/// Time to confirm the first configuration.
pub const CONFIRM: Duration = Duration::from_secs(300);
/// Between two countings of the seconds that are left to confirm.
const COUNTDOWN: Duration = Duration::from_secs(60);
/// The first and the longest wait before the host role is asked again.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What a login is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The menu.
    Menu,
    /// The kill switch, then the menu.
    StopAll,
    /// The set-up of a machine that has a passphrase and no configuration.
    SetUp,
}

/// What an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The status screen.
    Screen,
    /// The status, renewed behind the menu.
    Behind,
    /// The passphrase was said.
    LoggedIn(Errand),
    /// It was refused: how long until the next try is looked at.
    LoginWait(Errand),
    /// Show it, then the menu.
    Show,
    /// The lines of a live trace.
    Watch,
    /// What may be chosen in a form.
    Choices(Form),
    /// How many messages a form would touch.
    Count(Form),
    /// How the machine is, before a form is done.
    Weigh(Form),
    /// How the machine is; then the wizard.
    SetUp,
    /// For the wizard.
    Wizard,
    /// The setup was tried.
    Applied,
    /// The configuration was confirmed.
    Confirmed,
    /// The first check of the ways out; so many tries are left.
    FirstCheck(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The screen that everybody may see.
    Status,
    /// A question is with somebody else.
    Waiting(Then),
    /// The passphrase is asked for.
    Login(Errand),
    /// The menu, or the section of it that is open.
    Menu,
    /// An entry of the menu asks for what it needs.
    Form(Form),
    /// A word stands between the administrator and an entry.
    Word(String, Form),
    /// A live trace is watched until Enter.
    Watching {
        /// The number of the last line that was shown.
        after: u64,
        /// It is asked for more then.
        next: Instant,
    },
    /// The wizard has the word.
    Wizard,
    /// The first configuration waits for a yes.
    Confirm {
        /// It is taken back then.
        until: Instant,
        /// The seconds are said again then.
        said: Instant,
    },
}

/// How the console is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Face {
    /// Line by line: lists are printed.
    #[default]
    Lines,
    /// On pages: lists are seen beside what is printed.
    Pages,
}

/// The console.
#[derive(Debug)]
pub struct Console {
    pub(super) out: Outbox,
    pub(super) state: State,
    pub(super) admin: bool,
    pub(super) wizard: Option<Wizard>,
    pub(super) host: Option<HostStatus>,
    pub(super) face: Face,
    /// The section of the menu that is open.
    pub(super) place: Option<usize>,
    /// No passphrase is looked at before this.
    pub(super) login_wait: Option<Instant>,
    /// The last line of a live trace that was shown.
    pub(super) watching: Option<u64>,
    /// The status is asked for again so often, where it is seen all the time.
    refresh: Option<Duration>,
    refreshed: Instant,
    /// The terminal, for the audit trail.
    pub(super) tty: String,
    pub(super) now: Instant,
    /// The last key, or the last answer to it.
    touched: Instant,
    /// The host role is away: when it is asked again, and the wait before that.
    retry: Option<(Instant, Duration)>,
}

impl Console {
    /// A console on the terminal `tty`; the first thing that it does is to ask how things are.
    #[must_use]
    pub fn new(tty: &str, now: Instant) -> Self {
        let mut console = Self {
            out: Outbox::default(),
            state: State::Status,
            admin: false,
            wizard: None,
            host: None,
            face: Face::Lines,
            place: None,
            login_wait: None,
            watching: None,
            refresh: None,
            refreshed: now,
            tty: tty.to_owned(),
            now,
            touched: now,
            retry: None,
        };
        console.screen();
        console
    }

    /// From now on it is seen so; on pages the status is renewed by itself.
    pub fn show_as(&mut self, face: Face, refresh: Option<Duration>) {
        self.face = face;
        self.out.pages = face == Face::Pages;
        self.refresh = refresh;
    }

    /// The language that is spoken.
    #[must_use]
    pub fn language(&self) -> Language {
        self.out.language
    }

    /// Speaks another language.
    pub fn speak(&mut self, language: Language) {
        self.out.language = language;
    }

    /// Something was typed.
    pub fn handle_typed(&mut self, typed: Typed, now: Instant) {
        self.now = now;
        self.touched = now;
        match typed {
            Typed::Line(mut line) => {
                self.line(&line);
                // It may have been a passphrase.
                line.zeroize();
            }
            Typed::TooLong => {
                self.out.say("That line was too long; it was not read.");
                self.again();
            }
            Typed::Break | Typed::Leave => self.leave("Left."),
        }
    }

    /// Somebody else answered.
    pub fn handle_told(&mut self, told: Told, now: Instant) {
        self.now = now;
        let State::Waiting(then) = std::mem::replace(&mut self.state, State::Status) else {
            return;
        };
        // What comes by itself is no sign of anybody.
        if then != Then::Behind {
            self.touched = now;
        }
        self.told(then, told);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if let Some((at, _)) = self.retry
            && at <= now
            && self.state == State::Status
        {
            self.retry = self.retry.map(|(_, wait)| (Instant(u64::MAX), wait));
            self.state = State::Waiting(Then::Screen);
            self.out.ask(Ask::Host(HostRequest::Status {}));
        }
        if self.refresh_at().is_some_and(|at| at <= now) {
            self.refreshed = now;
            let home = self.state == State::Status;
            self.state = State::Waiting(if home { Then::Screen } else { Then::Behind });
            self.out.ask(Ask::Host(HostRequest::Status {}));
        }
        if let State::Watching { after, next } = self.state
            && next <= now
        {
            self.ask(Ask::Serve(Box::new(Request::TracePoll { after })), Then::Watch);
        }
        if let State::Confirm { until, said } = self.state {
            self.countdown(until, said);
        }
        if self.idle_after().is_some_and(|idle| self.touched.after(idle) <= now) {
            match self.state {
                State::Login(_) => self.leave("No passphrase was typed."),
                State::Wizard => self.leave("Nothing was typed for long; the answers are kept."),
                _ => self.leave("Logged out: nothing was typed for 5 minutes."),
            }
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.poll()
    }

    /// When `handle_timeout` is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retry = self.retry.filter(|_| self.state == State::Status).map(|(at, _)| at);
        let confirm = match self.state {
            State::Confirm { until, said } => Some(until.after(Duration::from_secs(1)).min(said)),
            State::Watching { next, .. } => Some(next),
            _ => None,
        };
        let idle = self.idle_after().map(|idle| self.touched.after(idle));
        [retry, confirm, idle, self.refresh_at()]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| at.0 < u64::MAX)
    }

    /// When the status is renewed by itself.
    fn refresh_at(&self) -> Option<Instant> {
        let seen = matches!(self.state, State::Status | State::Menu) && self.retry.is_none();
        self.refresh.filter(|_| seen).map(|every| self.refreshed.after(every))
    }

    /// Whether a line may be given to it; otherwise it is kept until it may.
    #[must_use]
    pub fn listens(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    /// Whether somebody is logged in.
    #[must_use]
    pub fn logged_in(&self) -> bool {
        self.admin
    }

    /// How long nobody may type anything in this state.
    fn idle_after(&self) -> Option<Duration> {
        match self.state {
            // The answer takes as long as it takes; a break is always heard.
            State::Waiting(_) | State::Confirm { .. } | State::Watching { .. } => None,
            State::Login(_) => Some(IDLE_LOGIN),
            State::Wizard => Some(IDLE_WIZARD),
            _ => self.admin.then_some(IDLE),
        }
    }

    /// To the screen that everybody may see, as nobody.
    fn leave(&mut self, why: &'static str) {
        let waiting = matches!(self.state, State::Waiting(_));
        if self.admin || waiting {
            self.out.push(Action::HangUp);
        }
        self.admin = false;
        self.place = None;
        self.out.say("");
        self.out.say(why);
        self.screen();
    }

    /// Asks how things are, for the status screen.
    pub(super) fn screen(&mut self) {
        self.state = State::Waiting(Then::Screen);
        self.out.ask(Ask::Host(HostRequest::Status {}));
    }

    /// Puts a question to somebody else.
    pub(super) fn ask(&mut self, ask: Ask, then: Then) {
        self.state = State::Waiting(then);
        self.out.ask(ask);
    }

    /// Shows the status screen, or why there is none.
    pub(super) fn show_screen(&mut self, told: Told) {
        self.state = State::Status;
        match told {
            Told::Host(answer) => match *answer {
                HostAnswer::Status(host) => {
                    self.retry = None;
                    self.refreshed = self.now;
                    self.configured_language(&host);
                    if self.face == Face::Lines {
                        self.out.say("");
                        for line in status::screen(&host, self.out.language) {
                            self.out.push(Action::Print(line));
                        }
                    }
                    self.host = Some(*host);
                    self.prompt();
                }
                other => self.missing(&format!("{other:?}"), false),
            },
            Told::Away(text) | Told::Failed(text) => {
                let known = self.retry.is_some();
                self.missing(&text, known);
            }
            Told::Served(_) | Told::Drawn(_) => self.missing("another answer came", false),
        }
    }

    /// There is no status; it is asked for again by itself, and said once.
    fn missing(&mut self, why: &str, known: bool) {
        let wait = self.retry.map_or(RETRY_FIRST, |(_, wait)| (wait * 2).min(RETRY_MAX));
        self.retry = Some((self.now.after(wait), wait));
        if !known {
            self.out.say("");
            self.out.say_with("[!] No status: {}", &[&why]);
            self.out.say("It is asked for again by itself until there is one.");
            self.prompt();
        }
    }

    /// The question that stands, once more.
    pub(super) fn again(&mut self) {
        match &self.state {
            State::Wizard => {
                if let Some(wizard) = &mut self.wizard {
                    let _ = wizard.handle_line("?", &mut self.out);
                }
            }
            _ => self.prompt(),
        }
    }

    /// Puts the question of the present state.
    pub(super) fn prompt(&mut self) {
        match &self.state {
            State::Status => {
                let choices = status::choices(self.host.as_ref(), self.wizard.as_ref());
                self.out.prompt(choices);
            }
            State::Login(_) => self.out.prompt_secret("Passphrase (Enter goes back):"),
            State::Menu => match self.place.and_then(|place| SECTIONS.get(place)) {
                Some(section) => {
                    let title = self.out.language.tr(section.title);
                    self.out.prompt_with("{} (Enter lists it, 0 goes back):", &[&title]);
                }
                None => self.out.prompt("Menu (Enter lists it):"),
            },
            State::Form(form) => {
                let (text, secret) = form.prompt(self.out.language);
                self.out.prompt_quote(&text, secret);
            }
            State::Word(word, _) => {
                self.out.prompt_with("Type {} to do it (Enter goes back):", &[word]);
            }
            State::Confirm { .. } => self.out.prompt("Type yes to keep it:"),
            State::Watching { .. } => self.out.prompt("Enter ends it:"),
            State::Waiting(_) | State::Wizard => {}
        }
    }

    /// The language of the configuration, until somebody chooses another one.
    fn configured_language(&mut self, host: &HostStatus) {
        let first = self.host.as_ref().is_none_or(|known| known.language != host.language);
        if let Some(language) = Language::of(&host.language).filter(|_| first) {
            self.out.language = language;
        }
    }

    /// Says how much time is left, or that it is over.
    fn countdown(&mut self, until: Instant, said: Instant) {
        // The host role counts for itself; it has the last word.
        if until.after(Duration::from_secs(1)) <= self.now {
            self.out.say("");
            self.out.say("Nobody confirmed it: the host role takes it back.");
            if self.admin {
                self.out.push(Action::HangUp);
                self.admin = false;
            }
            self.screen();
        } else if said <= self.now {
            let left = until.since(self.now).as_secs();
            self.state = State::Confirm { until, said: self.now.after(COUNTDOWN) };
            if left > 0 {
                self.out.say("");
                self.out.say_with("{} seconds left.", &[&left]);
                self.prompt();
            }
        }
    }

    /// Begins to wait for the yes.
    pub(super) fn begin_confirm(&mut self, secs: u64) {
        let until = self.now.after(Duration::from_secs(secs));
        self.state = State::Confirm { until, said: self.now.after(COUNTDOWN).min(until) };
        self.out.say_with(
            "It is in force. Without a yes within {} seconds the old state comes back.",
            &[&secs],
        );
        self.prompt();
    }

    /// Says the passphrase to the host role.
    pub(super) fn login(&mut self, passphrase: &Secret<String>, then: Then) {
        let request = HostRequest::Login {
            passphrase: Passphrase::new(passphrase.expose().clone()),
            tty: Some(self.tty.clone()),
        };
        self.ask(Ask::Host(request), then);
    }
}
