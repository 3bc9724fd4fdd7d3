//! Diagnosis of one way to the outside: what is tried, and what came of it, step by step.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::Grade;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// Is somebody there, and how far away?
    Ping,
    /// Which routers are on the way?
    Trace,
    /// Which addresses does a name have?
    Dns,
    /// Where does mail for a domain go?
    Mx,
    /// A TLS connection and the certificate.
    Tls,
    /// Greeting, EHLO, STARTTLS, certificate, QUIT; never mail.
    Smtp,
}

impl Test {
    /// All of them, in the order in which they build upon each other.
    pub const ALL: [Self; 6] =
        [Self::Ping, Self::Trace, Self::Dns, Self::Mx, Self::Tls, Self::Smtp];

    /// Its name, as it is typed and sent.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Trace => "trace",
            Self::Dns => "dns",
            Self::Mx => "mx",
            Self::Tls => "tls",
            Self::Smtp => "smtp",
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One step of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestStep {
    /// What was done: `address`, `connect`, `greeting`, `hop 3`, ...
    pub step: String,
    /// How it went.
    pub grade: Grade,
    /// In plain words.
    pub text: String,
}

impl TestStep {
    /// A step.
    pub fn new(step: impl Into<String>, grade: Grade, text: impl Into<String>) -> Self {
        Self { step: step.into(), grade, text: text.into() }
    }
}

/// What a test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What was tried.
    pub test: Test,
    /// By which interface or egress, and no other.
    pub role: String,
    /// To whom.
    pub target: String,
    /// Step by step.
    pub steps: Vec<TestStep>,
    /// What to do next, if something is wrong.
    #[serde(default)]
    pub next: Option<String>,
}

impl Diagnosis {
    /// The worst step.
    #[must_use]
    pub fn worst(&self) -> Grade {
        self.steps.iter().map(|step| step.grade).max().unwrap_or(Grade::Unknown)
    }
}
