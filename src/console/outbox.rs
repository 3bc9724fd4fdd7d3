//! What the driver must do next, in order.

use std::collections::VecDeque;
use std::time::Duration;

use super::ask::Ask;
use super::paper;

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
}

/// Actions that wait for the driver.
#[derive(Debug, Default)]
pub struct Outbox(VecDeque<Action>);

impl Outbox {
    /// Words, folded.
    pub fn say(&mut self, text: &str) {
        self.say_indented(text, 0);
    }

    /// Words, folded, further lines indented.
    pub fn say_indented(&mut self, text: &str, indent: usize) {
        self.0.extend(paper::fold(text, indent).into_iter().map(Action::Print));
    }

    /// Several lines, each folded.
    pub fn lines<L: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = L>) {
        for line in lines {
            self.say_indented(line.as_ref(), 2);
        }
    }

    /// A question to the person; what is typed is seen.
    pub fn prompt(&mut self, text: &str) {
        let text = paper::cut(text, paper::COLUMNS - 20) + " ";
        self.0.push_back(Action::Prompt { text, secret: false });
    }

    /// A question to the person; what is typed is not seen.
    pub fn prompt_secret(&mut self, text: &str) {
        let text = paper::cut(text, paper::COLUMNS - 20) + " ";
        self.0.push_back(Action::Prompt { text, secret: true });
    }

    /// A question to somebody else.
    pub fn ask(&mut self, ask: Ask) {
        self.0.push_back(Action::Ask(ask));
    }

    /// Any action.
    pub fn push(&mut self, action: Action) {
        self.0.push_back(action);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.0.pop_front()
    }
}
