//! A page: a title, a list, what stands above it, and what is counted. The console and its wizard
//! fill it, the screen draws it.

use super::menu::Choice;

/// The kind of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// How the machine is, for everybody.
    #[default]
    Home,
    /// A secret is typed.
    Login,
    /// Sections, or entries of one.
    Menu,
    /// A question.
    Form,
    /// The wizard.
    Wizard,
    /// Something runs until Enter.
    Watch,
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Its kind.
    pub kind: Kind,
    /// Its title.
    pub title: String,
    /// Which step of how many.
    pub step: Option<(usize, usize)>,
    /// What stands above everything else.
    pub text: Vec<String>,
    /// What may be chosen.
    pub choices: Vec<Choice>,
    /// Enter alone means something, so nothing is chosen by itself.
    pub enter: bool,
    /// What was answered so far.
    pub answers: Vec<String>,
    /// What is counted, a second at a time.
    pub count: Option<String>,
    /// A question is with somebody else.
    pub waits: bool,
}
