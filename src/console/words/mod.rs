//! The console's languages: English is written in the code and is the key; the others stand in
//! tables beside this file, block by block.
//!
//! ```text
//! en: Type {} to do it
//! de: {} eingeben, um es zu tun
//! es: Escriba {} para hacerlo
//! fr: Tapez {} pour le faire
//! ```
//!
//! What the host role and the daemon say is theirs and stays English, as do words that are typed.
//! `{}` takes the values in order, `{0}`, `{1}`, .. take them in the order of the language.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::sync::OnceLock;

/// The tables.
const TABLES: [&str; 4] = [
    include_str!("menu.txt"),
    include_str!("pages.txt"),
    include_str!("wizard.txt"),
    include_str!("refusals.txt"),
];

/// A language of the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// As it is written in the code.
    #[default]
    English,
    /// Deutsch.
    German,
    /// Español.
    Spanish,
    /// Français.
    French,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::English, Self::German, Self::Spanish, Self::French];

    /// `en`, `de`, ..: as in the configuration.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Spanish => "es",
            Self::French => "fr",
        }
    }

    /// The language of a code.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// A text of ours in this language; one that has no translation stays English.
    #[must_use]
    pub fn tr(self, english: &str) -> &str {
        if self == Self::English {
            return english;
        }
        self.translation(english).unwrap_or(english)
    }

    /// The translation of a text, if there is one.
    #[must_use]
    pub fn translation(self, english: &str) -> Option<&'static str> {
        static BOOK: OnceLock<HashMap<(Language, String), &'static str>> = OnceLock::new();
        let book = BOOK.get_or_init(|| {
            let mut book = HashMap::new();
            for (english, language, text) in TABLES.iter().flat_map(|table| blocks(table)) {
                book.insert((language, english.to_owned()), text);
            }
            book
        });
        book.get(&(self, english.to_owned())).copied()
    }

    /// A text of ours with values in it.
    #[must_use]
    pub fn fill(self, english: &str, values: &[&dyn Display]) -> String {
        filled(self.tr(english), values)
    }

    /// A sentence of ours.
    #[must_use]
    pub fn say(self, said: &Said) -> String {
        let values: Vec<&dyn Display> = said.values.iter().map(|v| v as &dyn Display).collect();
        self.fill(said.text, &values)
    }

    /// `1 message`, `2 messages`.
    #[must_use]
    pub fn messages(self, count: u64) -> String {
        if count == 1 {
            self.tr("1 message").to_owned()
        } else {
            self.fill("{} messages", &[&count])
        }
    }
}

/// The translations of a table: English, language, text.
fn blocks(table: &'static str) -> Vec<(&'static str, Language, &'static str)> {
    let mut found = Vec::new();
    let mut english = "";
    for line in table.lines() {
        match line.split_once(": ") {
            Some(("en", text)) => english = text,
            Some((code, text)) => {
                found.extend(Language::of(code).map(|language| (english, language, text)));
            }
            None => {}
        }
    }
    found
}

/// Every English text that has a translation.
#[must_use]
pub fn translated() -> Vec<&'static str> {
    let lines = TABLES.iter().flat_map(|table| table.lines());
    lines.filter_map(|line| line.strip_prefix("en: ")).collect()
}

/// The template with its values.
fn filled(template: &str, values: &[&dyn Display]) -> String {
    let mut text = String::with_capacity(template.len() + 16);
    let (mut rest, mut next) = (template, 0);
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((place, behind)) = after.split_once('}') else {
            text.push('{');
            rest = after;
            continue;
        };
        // A brace of the text itself.
        if !place.bytes().all(|octet| octet.is_ascii_digit()) {
            text.push('{');
            rest = after;
            continue;
        }
        let index = place.parse().unwrap_or(next);
        next += 1;
        if let Some(value) = values.get(index) {
            let _ = write!(text, "{value}");
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// A sentence of ours with values; it is translated when it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// In English, with places for values.
    pub text: &'static str,
    /// The values.
    pub values: Vec<String>,
}

impl Said {
    /// A sentence with values.
    #[must_use]
    pub fn with(text: &'static str, values: &[&dyn Display]) -> Self {
        Self { text, values: values.iter().map(ToString::to_string).collect() }
    }

    /// Words of somebody else, as they are.
    #[must_use]
    pub fn quote(text: &str) -> Self {
        Self { text: "{}", values: vec![text.to_owned()] }
    }
}

impl From<&'static str> for Said {
    fn from(text: &'static str) -> Self {
        Self { text, values: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_where_the_language_wants_them() {
        assert_eq!(filled("{} of {}", &[&1, &"two"]), "1 of two");
        assert_eq!(filled("{1} von {0}", &[&1, &"two"]), "two von 1");
        assert_eq!(filled("a { b {}", &[&1]), "a { b 1");
        assert_eq!(Language::English.say(&Said::quote("{x}")), "{x}");
    }

    #[test]
    fn every_block_has_every_language_and_every_value() {
        let places = |text: &str| text.matches('{').count();
        for english in translated() {
            for language in Language::ALL.into_iter().skip(1) {
                let text = language.translation(english);
                let text = text.unwrap_or_else(|| panic!("no {language:?} for {english:?}"));
                assert_eq!(places(text), places(english), "{language:?}: {text}");
            }
        }
    }
}
