//! The wizard as a page: the question that stands, what may be chosen, and the answers so far.

use super::answers::{Attachment, Question, Role};
use super::questions::{proposal, wording};
use super::{Stage, Wizard, review};
use crate::console::menu::Choice;
use crate::console::page::{Kind, View};
use crate::console::words::Language;

impl Wizard {
    /// The page that stands.
    #[must_use]
    pub fn view(&self, language: Language) -> View {
        match &self.stage {
            Stage::Asking(question) => self.asking(*question, language),
            Stage::Listing(role)
            | Stage::Blinking(role)
            | Stage::Baseline(role)
            | Stage::Watching(role, _)
            | Stage::Comparing(role, _) => {
                let mut view = self.asking(Question::Ports(*role), language);
                view.choices.clear();
                view
            }
            Stage::Drawing | Stage::Review => View {
                kind: Kind::Wizard,
                title: language.tr("Review. Nothing has been changed yet.").to_owned(),
                enter: true,
                ..View::default()
            },
        }
    }

    fn asking(&self, question: Question, language: Language) -> View {
        let path = self.answers.path();
        let number = path.iter().position(|other| *other == question).unwrap_or(0) + 1;
        let words = wording(question);
        let passphrase = matches!(question, Question::Passphrase | Question::Again);
        View {
            kind: Kind::Wizard,
            title: language.say(&words.title),
            step: Some((number, path.len())),
            text: vec![language.say(&words.hint), language.tr(words.more).to_owned()],
            choices: self.choices(question, language),
            enter: !passphrase && proposal(question, &self.answers).is_some(),
            answers: self.answered(question, language),
            ..View::default()
        }
    }

    /// What was answered, without the question that stands.
    fn answered(&self, present: Question, language: Language) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, question) in self.answers.path().into_iter().enumerate() {
            if question == present || !self.answers.answered(question) {
                continue;
            }
            if let Some(value) = review::value(question, &self.answers, &self.ports, language) {
                let title = language.say(&wording(question).title);
                let title = title.split(": ").next().unwrap_or_default();
                lines.push(format!("{:2} {title}: {value}", index + 1));
            }
        }
        lines
    }

    fn choices(&self, question: Question, language: Language) -> Vec<Choice> {
        let choice = |word: &str, label: &str| Choice {
            word: word.to_owned(),
            label: language.tr(label).to_owned(),
        };
        let dhcp = || choice("dhcp", "as DHCP says");
        let slaac = || choice("slaac", "as the router says");
        let none = || choice("none", "there is none");
        match question {
            Question::Ports(role) => self.ports_to_choose(role, language),
            Question::V4(Role::Intake) => vec![dhcp()],
            Question::V4(Role::Manage | Role::Public) => vec![dhcp(), none()],
            Question::V6(Role::Egress) | Question::Gateway4(_) | Question::Gateway6(_) => {
                vec![none()]
            }
            Question::V6(_) => vec![slaac(), dhcp(), none()],
            Question::Time => vec![choice("default", "the usual servers, with NTS")],
            Question::Networks => vec![choice("any", "any network")],
            _ => Vec::new(),
        }
    }

    fn ports_to_choose(&self, role: Role, language: Language) -> Vec<Choice> {
        let mut choices: Vec<Choice> = self
            .ports
            .iter()
            .enumerate()
            .map(|(index, port)| Choice {
                word: (index + 1).to_string(),
                label: review::port(port, language) + &self.taken(port.name.as_str()),
            })
            .collect();
        let cable = "pull a cable now and it is found";
        choices.push(Choice { word: "c".to_owned(), label: language.tr(cable).to_owned() });
        let blink = "its lamp blinks (b and a number)";
        choices.push(Choice { word: "b 1".to_owned(), label: language.tr(blink).to_owned() });
        if role.optional() {
            let none = "there is no such port";
            choices.push(Choice { word: "none".to_owned(), label: language.tr(none).to_owned() });
        }
        choices
    }

    /// The role that a port has already.
    fn taken(&self, name: &str) -> String {
        let taken = Role::ALL.into_iter().find(|role| {
            let attachment = Attachment::read(self.answers.get(Question::Ports(*role)));
            attachment.ports.iter().any(|port| port == name)
        });
        taken.map_or_else(String::new, |role| format!(", {}", role.word()))
    }
}
