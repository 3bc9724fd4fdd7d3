//! Which page the console shows in each of its states.

use super::machine::{Console, State};
use super::menu::{Choice, Enter, SECTIONS};
use super::page::{Kind, View};
use super::status;
use crate::base::time::Instant;

impl Console {
    /// The page of the present state.
    #[must_use]
    pub fn view(&self, now: Instant) -> View {
        let language = self.out.language;
        let tr = |text: &'static str| language.tr(text).to_owned();
        match &self.state {
            State::Status => self.home(),
            State::Waiting(then) => self.waiting(then),
            State::Login(_) => {
                let left = self.login_wait.filter(|until| *until > now);
                let secs = |until: Instant| until.since(now).as_secs().max(1);
                let count = left.map(|until| {
                    language.fill("The next try is looked at in {} s.", &[&secs(until)])
                });
                let (kind, title) = (Kind::Login, tr("Log in"));
                View { kind, title, count, enter: true, ..View::default() }
            }
            State::Menu => self.menu_view(),
            State::Form(form) => View {
                kind: Kind::Form,
                title: tr(form.entry.title),
                choices: form.choices.clone(),
                enter: form.field().is_some_and(|field| field.enter != Enter::Back),
                ..View::default()
            },
            State::Word(_, form) => {
                let (kind, title) = (Kind::Form, tr(form.entry.title));
                View { kind, title, enter: true, ..View::default() }
            }
            State::Watching { .. } => {
                let (kind, title) = (Kind::Watch, tr("A live trace"));
                View { kind, title, enter: true, ..View::default() }
            }
            State::Wizard => self.wizard_view(),
            State::Confirm { until, .. } => {
                let left = until.since(now).as_secs();
                View {
                    kind: Kind::Form,
                    title: tr("Keep this configuration?"),
                    enter: true,
                    count: Some(language.fill("{} seconds left.", &[&left])),
                    ..View::default()
                }
            }
        }
    }

    fn home(&self) -> View {
        let language = self.out.language;
        let text = self.host.as_ref().map(|host| status::screen(host, language));
        View { kind: Kind::Home, text: text.unwrap_or_default(), enter: true, ..View::default() }
    }

    fn menu_view(&self) -> View {
        let language = self.out.language;
        let choice = |word: &str, title: &'static str| Choice {
            word: word.to_owned(),
            label: language.tr(title).to_owned(),
        };
        let open = self.place.and_then(|place| SECTIONS.get(place));
        let (title, choices) = if let Some(section) = open {
            let entries = section.entries.iter();
            (section.title, entries.map(|entry| choice(entry.word, entry.title)).collect())
        } else {
            let sections = SECTIONS.iter();
            ("Menu", sections.map(|found| choice(found.word, found.title)).collect())
        };
        View { kind: Kind::Menu, title: language.tr(title).to_owned(), choices, ..View::default() }
    }

    fn wizard_view(&self) -> View {
        let Some(wizard) = &self.wizard else { return self.home() };
        wizard.view(self.out.language)
    }

    /// What is seen while a question is with somebody else: the page that it was asked from.
    fn waiting(&self, then: &super::machine::Then) -> View {
        use super::machine::Then;
        let view = match then {
            // The status is renewed without a word.
            Then::Screen => return self.home(),
            Then::Behind => return self.menu_view(),
            Then::Watch if self.watching.is_some() => {
                let title = self.out.language.tr("A live trace").to_owned();
                return View { kind: Kind::Watch, title, enter: true, ..View::default() };
            }
            Then::Wizard | Then::SetUp => self.wizard_view(),
            Then::Choices(form) | Then::Count(form) | Then::Weigh(form) => View {
                kind: Kind::Form,
                title: self.out.language.tr(form.entry.title).to_owned(),
                ..View::default()
            },
            Then::LoggedIn(_) | Then::LoginWait(_) => View {
                kind: Kind::Login,
                title: self.out.language.tr("Log in").to_owned(),
                ..View::default()
            },
            Then::Applied | Then::Confirmed | Then::FirstCheck(_) => View {
                kind: Kind::Wizard,
                title: self.out.language.tr("Putting it in force..").to_owned(),
                ..View::default()
            },
            Then::Show | Then::Watch => View { choices: Vec::new(), ..self.menu_view() },
        };
        View { waits: true, enter: true, ..view }
    }

    /// What is said at the top of every page: the program, the machine, and whether it is well.
    #[must_use]
    pub fn heading(&self) -> (String, String) {
        let language = self.out.language;
        let Some(host) = &self.host else {
            return ("Postern".to_owned(), format!("[!] {}", language.tr("no status")));
        };
        let warnings = status::warnings(host, language);
        let health =
            if warnings.is_empty() { "[OK]".to_owned() } else { format!("[!] {}", warnings.len()) };
        (format!("Postern {}  {}", host.version, host.hostname), health)
    }

    /// Goes back from where it is; false: there is no way back.
    pub fn back(&mut self, now: Instant) -> bool {
        use super::intake::Typed;
        let line = match &self.state {
            State::Wizard => "<",
            State::Menu if self.place.is_some() => "0",
            State::Login(_) | State::Watching { .. } | State::Word(..) => "",
            State::Form(_) => {
                self.cancel(now);
                return true;
            }
            _ => return false,
        };
        self.handle_typed(Typed::Line(line.to_owned()), now);
        true
    }
}
