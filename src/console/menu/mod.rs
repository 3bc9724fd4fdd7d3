//! The menu as a tree: sections, entries, what an entry asks for, what it warns of, what it does.
//!
//! The plain mode and the screen are two pictures of this tree. The words are stable: a script
//! types `power-off` and not the number of the day.

mod machine;
mod tree;

pub use tree::SECTIONS;

use super::ask::Ask;
use super::words::Said;
use crate::base::secret::Secret;
use crate::control::host::HostRequest;
use crate::control::request::Request;

/// A part of the menu.
#[derive(Debug)]
pub struct Section {
    /// The word that opens it.
    pub word: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What may be done in it.
    pub entries: &'static [Entry],
}

/// Something that may be done.
#[derive(Debug)]
pub struct Entry {
    /// The word that does it, for ever.
    pub word: &'static str,
    /// What it does.
    pub title: &'static str,
    /// Said before it is asked for; empty: nothing.
    pub note: &'static str,
    /// What it needs to know.
    pub fields: &'static [Field],
    /// What stands between the administrator and it.
    pub danger: Danger,
    /// What it does.
    pub deed: Deed,
}

/// What an entry does.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// The host role does it.
    Host(fn(&Filled) -> HostRequest),
    /// The daemon does it; with the second argument it only counts.
    Serve(fn(&Filled, bool) -> Result<Request, Said>),
    /// The daemon lets it be watched until a key is pressed.
    Watch(fn(&Filled) -> Result<Request, Said>),
    /// It changes the console's language.
    Language,
}

impl Deed {
    /// The question that it puts to somebody else; none: it is done here.
    ///
    /// # Errors
    /// An answer makes no sense.
    pub fn ask(self, filled: &Filled, dry_run: bool) -> Result<Option<Ask>, Said> {
        Ok(match self {
            Self::Host(make) => Some(Ask::Host(make(filled))),
            Self::Serve(make) => Some(Ask::Serve(Box::new(make(filled, dry_run)?))),
            Self::Watch(make) => Some(Ask::Serve(Box::new(make(filled)?))),
            Self::Language => None,
        })
    }
}

/// What must be typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// This.
    Is(&'static str),
    /// The name of the machine: whoever types it knows where he is.
    HostName,
}

/// What stands before a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// Nothing.
    None,
    /// It says what will happen, and wants a word.
    Said(&'static str, Word),
    /// A dry run counts the messages first; `{}` is their number.
    Counted(&'static str, Word),
    /// The messages on the machine are counted first; `{}` is their number.
    Weighed(&'static str, Word),
    /// The configurations in force and before are named first.
    Configuration(Word),
}

/// A question of an entry.
#[derive(Debug)]
pub struct Field {
    /// The question.
    pub prompt: &'static str,
    /// What may be answered.
    pub kind: Kind,
    /// What Enter means.
    pub enter: Enter,
}

/// What Enter means without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enter {
    /// Nothing is done.
    Back,
    /// This word.
    Takes(&'static str),
    /// No limit: every one of them.
    All,
    /// There is no answer, and none is needed.
    Without,
}

/// What may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any words.
    Words,
    /// A secret that is known already.
    Secret,
    /// A new passphrase; it is judged.
    NewSecret,
    /// The field before, once more.
    Again,
    /// One of these: word and meaning.
    One(&'static [(&'static str, &'static str)]),
    /// One of what exists.
    Existing(List),
}

/// A list that must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Sources.
    Sources,
    /// Ways out.
    Egresses,
    /// Lanes of the queue.
    Lanes,
    /// Ports of the machine.
    Ports,
    /// Interfaces and ways out that a test may go by.
    Ways,
    /// Configurations that are kept.
    Generations,
}

/// Something that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is typed for it.
    pub word: String,
    /// What it is.
    pub label: String,
}

/// The answers so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled(Vec<Secret<String>>);

impl Filled {
    /// The answer to a question; empty: all, or nothing.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |value| value.expose().as_str())
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn some(&self, index: usize) -> Option<String> {
        Some(self.get(index)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// One more answer.
    pub fn push(&mut self, text: &str) {
        self.0.push(Secret::new(text.to_owned()));
    }

    /// The last answer again.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A number of the list, counted from 1, or its word.
#[must_use]
pub fn pick(typed: &str, words: &[&str]) -> Option<usize> {
    match typed.parse::<usize>() {
        Ok(number) => number.checked_sub(1).filter(|index| *index < words.len()),
        Err(_) => words.iter().position(|word| word.eq_ignore_ascii_case(typed)),
    }
}

/// The entry with a word, wherever it is.
#[must_use]
pub fn entry(word: &str) -> Option<&'static Entry> {
    let mut entries = SECTIONS.iter().flat_map(|section| section.entries);
    entries.find(|entry| entry.word.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_is_one_and_typed_easily() {
        let mut seen = BTreeSet::new();
        let words = SECTIONS.iter().flat_map(|section| {
            std::iter::once(section.word).chain(section.entries.iter().map(|entry| entry.word))
        });
        for word in words {
            assert!(seen.insert(word), "{word} twice");
            assert!(word.bytes().all(|octet| octet == b'-' || octet.is_ascii_lowercase()));
        }
        assert!(SECTIONS.len() <= 9, "a digit opens each section");
    }

    #[test]
    fn a_word_stands_before_everything_that_destroys() {
        for word in ["queue-purge", "power-off", "reboot", "factory-reset", "update-apply"] {
            assert_ne!(entry(word).unwrap().danger, Danger::None, "{word}");
        }
    }

    #[test]
    fn what_is_left_as_it_is_is_not_asked_for() {
        let mut filled = Filled::default();
        for answer in ["manage0", "10.1.0.7/24", "same", "none", "same", "change"] {
            filled.push(answer);
        }
        let ask = entry("address").unwrap().deed.ask(&filled, false).unwrap();
        let wanted = HostRequest::ConfigAddress {
            interface: "manage0".to_owned(),
            ipv4: Some("10.1.0.7/24".to_owned()),
            gateway4: None,
            ipv6: Some("none".to_owned()),
            gateway6: None,
            confirm_secs: Some(300),
        };
        assert_eq!(ask, Some(Ask::Host(wanted)));
    }

    #[test]
    fn a_number_and_a_word_choose_the_same() {
        assert_eq!(pick("2", &["a", "b"]), Some(1));
        assert_eq!(pick("B", &["a", "b"]), Some(1));
        assert_eq!(pick("0", &["a", "b"]), None);
        assert_eq!(pick("3", &["a", "b"]), None);
    }
}
