//! What the driver must do next, in order.

use std::collections::VecDeque;
use std::fmt::Display;
use std::time::Duration;

use super::ask::Ask;
use super::paper;
use super::words::{Language, Said};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write a line.
    Print(String),
    /// Write this without an end of line and wait for what is typed.
    Prompt {
        /// What stands before the cursor.
        text: String,
        /// What is typed must not be seen.
        secret: bool,
    },
    /// Put a question to somebody else; the answer comes by `handle_told`.
    Ask(Ask),
    /// Drop the connection to the host role, and with it what a login allowed.
    HangUp,
    /// Wait so long before the next action.
    Pause(Duration),
    /// From lines to the screen, or back.
    Switch,
}

/// Actions that wait for the driver. Words of ours are translated here, and nowhere else.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: VecDeque<Action>,
    /// The language that is spoken.
    pub language: Language,
    /// Lists are seen beside what is printed, so they need not be printed.
    pub pages: bool,
}

impl Outbox {
    /// Words of ours, folded.
    pub fn say(&mut self, text: &'static str) {
        self.quote(self.language.tr(text), 0);
    }

    /// Words of ours with values.
    pub fn say_with(&mut self, text: &'static str, values: &[&dyn Display]) {
        self.quote(&self.language.fill(text, values), 0);
    }

    /// A sentence of ours, further lines indented.
    pub fn say_said(&mut self, said: &Said, indent: usize) {
        self.quote(&self.language.say(said), indent);
    }

    /// A text as it is, folded, further lines indented.
    pub fn quote(&mut self, text: &str, indent: usize) {
        self.actions.extend(paper::fold(text, indent).into_iter().map(Action::Print));
    }

    /// Several lines as they are, each folded.
    pub fn lines<L: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = L>) {
        for line in lines {
            self.quote(line.as_ref(), 2);
        }
    }

    /// A question to the person; what is typed is seen.
    pub fn prompt(&mut self, text: &'static str) {
        self.prompt_with(text, &[]);
    }

    /// A question with values in it.
    pub fn prompt_with(&mut self, text: &'static str, values: &[&dyn Display]) {
        let text = self.language.fill(text, values);
        self.prompt_quote(&text, false);
    }

    /// A question to the person; what is typed is not seen.
    pub fn prompt_secret(&mut self, text: &'static str) {
        let text = self.language.tr(text).to_owned();
        self.prompt_quote(&text, true);
    }

    /// A question as it is.
    pub fn prompt_quote(&mut self, text: &str, secret: bool) {
        let text = paper::cut(text, paper::COLUMNS - 20) + " ";
        self.actions.push_back(Action::Prompt { text, secret });
    }

    /// A question to somebody else.
    pub fn ask(&mut self, ask: Ask) {
        self.actions.push_back(Action::Ask(ask));
    }

    /// Any action.
    pub fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}
