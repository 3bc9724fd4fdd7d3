//! An entry of the menu that asks for what it needs, one question after the other.

use super::ask::{Ask, Told};
use super::machine::{Console, Face, State, Then};
use super::menu::{self, Choice, Danger, Deed, Enter, Entry, Field, Filled, Kind, List, Word};
use super::strength::judge;
use super::words::{Language, Said};
use crate::base::time::Instant;
use crate::control::answer::Answer;
use crate::control::host::answer::LinkRow;
use crate::control::host::{HostAnswer, HostRequest, HostStatus};
use crate::control::request::{PageAsk, Request};

/// Rows of a list to choose from.
const ROWS: PageAsk = PageAsk { offset: 0, limit: 200 };

/// An entry and the answers to its questions so far.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) entry: &'static Entry,
    pub(super) filled: Filled,
    /// What may be answered to the question that stands.
    pub(super) choices: Vec<Choice>,
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        self.entry.word == other.entry.word && self.filled == other.filled
    }
}

impl Eq for Form {}

impl Form {
    pub(super) fn new(entry: &'static Entry) -> Self {
        Self { entry, filled: Filled::default(), choices: Vec::new() }
    }

    /// The question that stands.
    pub(super) fn field(&self) -> Option<&'static Field> {
        self.entry.fields.get(self.filled.len())
    }

    /// The question in words, and whether the answer must not be seen.
    pub(super) fn prompt(&self, language: Language) -> (String, bool) {
        let Some(field) = self.field() else { return (String::new(), false) };
        let secret = matches!(field.kind, Kind::Secret | Kind::NewSecret | Kind::Again);
        let question = language.tr(field.prompt);
        let text = match field.enter {
            Enter::Back => language.fill("{} (Enter goes back):", &[&question]),
            Enter::All => language.fill("{} (Enter: any):", &[&question]),
            Enter::Without => language.fill("{} (Enter: it can):", &[&question]),
            Enter::Takes(word) => format!("{question} [{}]:", language.tr(word)),
        };
        (text, secret)
    }

    /// What was typed as the answer to the question that stands.
    fn answer(&self, line: &str, host_name: &str) -> Result<Answered, Said> {
        let Some(field) = self.field() else { return Ok(Answered::Back) };
        if line.is_empty() {
            return Ok(match field.enter {
                Enter::Back => Answered::Back,
                Enter::All | Enter::Without => Answered::Taken(String::new()),
                Enter::Takes(word) => Answered::Taken(word.to_owned()),
            });
        }
        let last = self.filled.len().checked_sub(1).map_or("", |last| self.filled.get(last));
        match field.kind {
            Kind::Secret => Ok(Answered::Taken(line.to_owned())),
            Kind::NewSecret => judge(line, host_name)
                .map(|strength| Answered::Judged(line.to_owned(), strength.word())),
            Kind::Again if line == last => Ok(Answered::Taken(line.to_owned())),
            Kind::Again => Ok(Answered::Different),
            Kind::Words => Ok(Answered::Taken(line.trim().to_owned())),
            Kind::One(_) | Kind::Existing(_) => {
                let words: Vec<&str> = self.choices.iter().map(|c| c.word.as_str()).collect();
                let index = menu::pick(line.trim(), &words);
                let word = index.and_then(|index| words.get(index));
                // A list of words may be open: an address beside `usb`.
                let open = matches!(field.kind, Kind::One(_)) && line.contains(['/', '.']);
                match word {
                    Some(word) => Ok(Answered::Taken((*word).to_owned())),
                    None if open => Ok(Answered::Taken(line.trim().to_owned())),
                    None => Err(Said::with("There is no {} in the list.", &[&line.trim()])),
                }
            }
        }
    }
}

/// What an answer is.
enum Answered {
    Back,
    Taken(String),
    Judged(String, &'static str),
    /// The two passphrases are not the same.
    Different,
}

impl Console {
    /// Begins an entry.
    pub(super) fn begin(&mut self, entry: &'static Entry) {
        if !entry.note.is_empty() {
            self.out.say(entry.note);
        }
        self.go_on(Form::new(entry));
    }

    /// Puts the next question of a form, or does it.
    pub(super) fn go_on(&mut self, mut form: Form) {
        let Some(field) = form.field() else { return self.warn(form) };
        form.choices.clear();
        match field.kind {
            Kind::Existing(list) => self.ask(asked(list), Then::Choices(form)),
            Kind::One(words) => {
                let choice = |(word, label): &(&str, &'static str)| Choice {
                    word: (*word).to_owned(),
                    label: self.out.language.tr(label).to_owned(),
                };
                form.choices = words.iter().map(choice).collect();
                self.offer(form);
            }
            _ => self.offer(form),
        }
    }

    /// The list of a form has come.
    pub(super) fn choices_told(&mut self, mut form: Form, told: &Told) {
        let Some(choices) = choices(told, self.out.language) else {
            self.show(told);
            return self.menu();
        };
        if choices.is_empty() {
            self.out.say("There is nothing to choose from.");
            return self.menu();
        }
        form.choices = choices;
        self.offer(form);
    }

    fn offer(&mut self, form: Form) {
        if self.face == Face::Lines {
            for (index, choice) in form.choices.iter().enumerate() {
                self.out.quote(&format!("{:2} {}: {}", index + 1, choice.word, choice.label), 3);
            }
        }
        self.state = State::Form(form);
        self.prompt();
    }

    /// An answer to a question of a form.
    pub(super) fn at_form(&mut self, line: &str, mut form: Form) {
        let name = self.host.as_ref().map_or("", |host| host.hostname.as_str()).to_owned();
        match form.answer(line, &name) {
            Ok(Answered::Back) => {
                self.out.say("Nothing was changed.");
                return self.menu();
            }
            Ok(Answered::Taken(text)) => form.filled.push(&text),
            Ok(Answered::Judged(text, strength)) => {
                let strength = self.out.language.tr(strength);
                self.out.say_with("Its strength: {}.", &[&strength]);
                form.filled.push(&text);
            }
            Ok(Answered::Different) => {
                self.out.say("No: the two are not the same.");
                form.filled.pop();
            }
            Err(said) => {
                self.out.say_said(&said, 2);
                self.state = State::Form(form);
                return self.prompt();
            }
        }
        self.go_on(form);
    }

    /// A form is left.
    pub(super) fn cancel(&mut self, now: Instant) {
        self.now = now;
        self.out.say("Nothing was changed.");
        self.menu();
    }

    /// What stands before the deed.
    fn warn(&mut self, form: Form) {
        match form.entry.danger {
            Danger::None => self.perform(&form),
            Danger::Said(text, word) => {
                self.out.say(text);
                self.want_word(word, form);
            }
            Danger::Counted(..) => match form.entry.deed.ask(&form.filled, true) {
                Ok(Some(ask)) => self.ask(ask, Then::Count(form)),
                Ok(None) => self.menu(),
                Err(said) => self.not_so(&said),
            },
            Danger::Weighed(..) | Danger::Configuration(_) => {
                self.ask(Ask::Host(HostRequest::Status {}), Then::Weigh(form));
            }
        }
    }

    pub(super) fn want_word(&mut self, word: Word, form: Form) {
        let word = match word {
            Word::Is(word) => word.to_owned(),
            Word::HostName => {
                self.host.as_ref().map_or_else(String::new, |host| host.hostname.clone())
            }
        };
        self.state = State::Word(word, form);
        self.prompt();
    }

    pub(super) fn at_word(&mut self, word: &str, wanted: &str, mut form: Form) {
        if word != wanted {
            self.out.say("Nothing was done.");
            return self.menu();
        }
        form.filled.push(word);
        self.perform(&form);
    }

    /// Does it.
    fn perform(&mut self, form: &Form) {
        match form.entry.deed.ask(&form.filled, false) {
            Ok(Some(ask)) => {
                let watch = matches!(form.entry.deed, Deed::Watch(_));
                if matches!(&ask, Ask::Host(request) if request.ends_machine()) {
                    self.out.say("The machine goes down now, or says here why not.");
                }
                self.ask(ask, if watch { Then::Watch } else { Then::Show });
            }
            Ok(None) => {
                if let Some(language) = Language::of(form.filled.get(0)) {
                    self.out.language = language;
                    self.out.say("This console speaks English now.");
                }
                self.menu();
            }
            Err(said) => self.not_so(&said),
        }
    }

    fn not_so(&mut self, said: &Said) {
        self.out.say_said(said, 2);
        self.menu();
    }
}

/// Who knows a list.
fn asked(list: List) -> Ask {
    let serve = |request| Ask::Serve(Box::new(request));
    match list {
        List::Sources => serve(Request::SourceList { page: ROWS }),
        List::Egresses => serve(Request::EgressList {}),
        List::Lanes => serve(Request::QueueLanes { page: ROWS }),
        List::Ways => Ask::Host(HostRequest::Status {}),
        List::Ports => Ask::Host(HostRequest::Ports {}),
        List::Generations => Ask::Host(HostRequest::ConfigHistory {}),
    }
}

/// What may be chosen by an answer; none: it is no list.
fn choices(told: &Told, language: Language) -> Option<Vec<Choice>> {
    let choice =
        |word: &dyn std::fmt::Display, label: String| Choice { word: word.to_string(), label };
    match told {
        Told::Served(answer) => match &**answer {
            Answer::Sources(page) => {
                let row = |row: &crate::control::answer::SourceRow| {
                    choice(&row.name, super::pages::source(row, language))
                };
                Some(page.rows.iter().map(row).collect())
            }
            Answer::Egresses(rows) => {
                Some(rows.iter().map(|row| choice(&row.name, row.state.clone())).collect())
            }
            Answer::Lanes(page) => {
                let mut found: Vec<Choice> = Vec::new();
                for row in &page.rows {
                    if found.iter().all(|known| known.word != row.lane) {
                        found.push(choice(&row.lane, row.state.clone()));
                    }
                }
                Some(found)
            }
            _ => None,
        },
        Told::Host(answer) => match &**answer {
            HostAnswer::Status(host) => Some(ways(host, language)),
            HostAnswer::Ports(links) => {
                let row = |link: &LinkRow| choice(&link.name, super::pages::port(link, language));
                Some(links.iter().map(row).collect())
            }
            HostAnswer::History(rows) => {
                let row = |row: &crate::control::host::answer::GenerationRow| {
                    choice(&row.generation, super::pages::generation(row, language))
                };
                Some(rows.iter().map(row).collect())
            }
            _ => None,
        },
        _ => None,
    }
}

/// Interfaces with a role and ways out.
fn ways(host: &HostStatus, language: Language) -> Vec<Choice> {
    let egresses = host.mail.iter().flat_map(|mail| &mail.egresses).map(|egress| Choice {
        word: egress.name.clone(),
        label: format!("{}, {}", egress.device.as_deref().unwrap_or("-"), egress.state),
    });
    let links = host.links.iter().filter(|link| link.role.is_some());
    let links = links
        .map(|link| Choice { word: link.name.clone(), label: super::status::port(link, language) });
    egresses.chain(links).collect()
}
