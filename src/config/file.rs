//! The document as it was written: sections, keys, values and their lines. No opinions, except
//! that a key nobody asked for is a mistake.
//!
//! Values are taken one by one and not by a derived reader, because a derived reader stops at the
//! first error of a section and hides the rest.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::Desk;
use super::measure;

/// Characters of a value that a complaint repeats.
const VALUE_SHOWN_MAX: usize = 60;

/// Keys whose values are never repeated.
const SECRET_KEYS: [&str; 3] = ["argon2id", "scram_sha256", "password"];

/// A document that was parsed as far as it could be.
#[derive(Debug)]
pub(super) struct Document<'t> {
    text: &'t str,
    table: Spanned<DeTable<'t>>,
    desk: Desk,
    torn: bool,
}

impl<'t> Document<'t> {
    /// Parses `text`; errors of the grammar become complaints.
    pub(super) fn parse(text: &'t str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let desk = Desk::default();
        for (number, error) in errors.iter().enumerate() {
            let key =
                if number == 0 { "document".to_owned() } else { format!("document[{number}]") };
            if let Some(span) = error.span() {
                desk.place(&key, line_at(text, span.start), None);
            }
            desk.complain(&key, format!("not TOML: {}", error.message()), "Correct the line");
        }
        let torn = !errors.is_empty();
        Self { text, table, desk, torn }
    }

    /// Whether the grammar is broken, so that parts may be missing.
    pub(super) fn torn(&self) -> bool {
        self.torn
    }

    /// Where complaints go.
    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The top of the document.
    pub(super) fn top(&self) -> Section<'_> {
        Section {
            path: String::new(),
            table: self.table.get_ref(),
            text: self.text,
            desk: &self.desk,
            asked: Vec::new(),
        }
    }

    /// Gives the desk back.
    pub(super) fn into_desk(self) -> Desk {
        self.desk
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|octet| **octet == b'\n').count() + 1
}

/// A table of the document.
#[derive(Debug)]
pub(super) struct Section<'d> {
    path: String,
    table: &'d DeTable<'d>,
    text: &'d str,
    desk: &'d Desk,
    asked: Vec<&'static str>,
}

/// A value and its key path.
#[derive(Clone, Debug)]
pub(super) struct Entry<'d> {
    /// Key path.
    pub(super) path: String,
    value: &'d Spanned<DeValue<'d>>,
    desk: &'d Desk,
    text: &'d str,
}

impl<'d> Entry<'d> {
    /// Complains about this value.
    pub(super) fn complain(&self, problem: impl fmt::Display, remedy: impl fmt::Display) {
        self.desk.complain(&self.path, problem, remedy);
    }

    /// The value as text; complains about any other kind.
    pub(super) fn text(&self, remedy: &str) -> Option<&'d str> {
        let text = self.value.get_ref().as_str();
        if text.is_none() {
            self.wrong_kind("text in quotes", remedy);
        }
        text
    }

    /// The value as a whole number, not negative.
    pub(super) fn number(&self, remedy: &str) -> Option<u64> {
        let integer = self.value.get_ref().as_integer();
        let number = integer.and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        if number.is_none() {
            self.wrong_kind("a whole number that is not negative", remedy);
        }
        number
    }

    /// The value as a whole number that may be negative.
    pub(super) fn signed(&self, remedy: &str) -> Option<i64> {
        let integer = self.value.get_ref().as_integer();
        let number = integer.and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        if number.is_none() {
            self.wrong_kind("a whole number", remedy);
        }
        number
    }

    /// The value as a date and time: a TOML date-time with offset, or such a text.
    pub(super) fn moment(&self) -> Option<String> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Datetime(moment) => Some(moment.to_string()),
            _ => None,
        }
    }

    /// The entries of a list.
    pub(super) fn items(&self, remedy: &str) -> Vec<Entry<'d>> {
        let Some(list) = self.value.get_ref().as_array() else {
            self.wrong_kind("a list", remedy);
            return Vec::new();
        };
        let item = |(index, value)| {
            let item = Entry { path: format!("{}[{index}]", self.path), value, ..self.clone() };
            item.place();
            item
        };
        list.iter().enumerate().map(item).collect()
    }

    /// Whether the value is a list.
    pub(super) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// Whether the value is a text.
    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    /// Whether the value is a number.
    pub(super) fn is_number(&self) -> bool {
        self.value.get_ref().is_integer()
    }

    /// The value as a section.
    pub(super) fn section(&self) -> Option<Section<'d>> {
        let Some(table) = self.value.get_ref().as_table() else {
            self.wrong_kind("a section", &format!("Write [{}] and its keys below", self.path));
            return None;
        };
        let path = self.path.clone();
        Some(Section { path, table, text: self.text, desk: self.desk, asked: Vec::new() })
    }

    fn wrong_kind(&self, wanted: &str, remedy: &str) {
        let kind = self.value.get_ref().type_str();
        self.complain(format!("{wanted} is expected here, not {}", article(kind)), remedy);
    }

    fn place(&self) {
        let Range { start, end } = self.value.span();
        let key = self.path.rsplit('.').next().unwrap_or_default();
        let key = key.split('[').next().unwrap_or_default();
        let plain = !self.value.get_ref().is_table() && !SECRET_KEYS.contains(&key);
        let value = self.text.get(start..end).filter(|_| plain).map(shorten);
        self.desk.place(&self.path, line_at(self.text, start), value);
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

fn shorten(value: &str) -> String {
    let one_line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = one_line.chars().take(VALUE_SHOWN_MAX).collect();
    if shown.len() < one_line.len() {
        shown.push_str("..");
    }
    shown
}

impl<'d> Section<'d> {
    /// The path of a key in this section.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`.
    pub(super) fn find(&mut self, key: &'static str) -> Option<Entry<'d>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some(self.entry(key, value))
    }

    /// The value of `key`; complains if it is missing.
    pub(super) fn need(&mut self, key: &'static str, remedy: &str) -> Option<Entry<'d>> {
        let entry = self.find(key);
        if entry.is_none() {
            self.desk.complain(&self.path(key), "is missing", remedy);
        }
        entry
    }

    /// The entries of this section in the order of the document, when the keys are names.
    pub(super) fn named(&mut self) -> Vec<(String, Entry<'d>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(name, value)| name.span().start.min(value.span().start));
        entries
            .iter()
            .map(|(name, value)| {
                let name = name.get_ref().to_string();
                let entry = self.entry(&name, value);
                (name, entry)
            })
            .collect()
    }

    fn entry(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Entry<'d> {
        let entry = Entry { path: self.path(key), value, desk: self.desk, text: self.text };
        entry.place();
        entry
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str, remedy: &str) -> Option<String> {
        self.find(key)?.text(remedy).map(str::to_owned)
    }

    /// A text that `read` understands.
    pub(super) fn parsed<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        remedy: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let entry = self.find(key)?;
        parsed(&entry, remedy, read)
    }

    /// As [`Self::parsed`]; complains if it is missing.
    pub(super) fn needed<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        remedy: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let entry = self.need(key, remedy)?;
        parsed(&entry, remedy, read)
    }

    /// A list of texts that `read` understands; those that it does not are complained about.
    pub(super) fn list<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        remedy: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let Some(entry) = self.find(key) else { return Vec::new() };
        entry.items(remedy).iter().filter_map(|item| parsed(item, remedy, &read)).collect()
    }

    /// `true` or `false`; `false` if it is missing.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        let Some(entry) = self.find(key) else { return false };
        entry.value.get_ref().as_bool().unwrap_or_else(|| {
            entry.wrong_kind("true or false", "Write it without quotes");
            false
        })
    }

    /// A whole number between bounds.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        default: u64,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let Some(entry) = self.find(key) else { return default };
        let remedy = format!("Write a number from {} to {}", bounds.start(), bounds.end());
        match entry.number(&remedy) {
            Some(number) if bounds.contains(&number) => number,
            Some(_) => {
                entry.complain("is out of bounds", remedy);
                default
            }
            None => default,
        }
    }

    /// A duration between bounds.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let remedy = format!(
            "Write a duration such as \"5m\", from {} to {}",
            measure::write_duration(*bounds.start()),
            measure::write_duration(*bounds.end())
        );
        self.parsed(key, &remedy, |text| {
            let duration = measure::duration(text)?;
            let good = bounds.contains(&duration);
            if good { Ok(duration) } else { Err("is out of bounds".to_owned()) }
        })
        .unwrap_or(default)
    }

    /// A size between bounds, as text with a unit or as a number of octets.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let entry = self.find(key)?;
        let remedy = format!(
            "Write a size such as \"25MB\", from {} to {}",
            measure::write_size(*bounds.start()),
            measure::write_size(*bounds.end())
        );
        let size = if entry.is_number() {
            entry.number(&remedy)?
        } else {
            parsed(&entry, &remedy, measure::size)?
        };
        if !bounds.contains(&size) {
            entry.complain("is out of bounds", remedy);
            return None;
        }
        Some(size)
    }

    /// Ends the section: a key that nobody asked for is a mistake.
    pub(super) fn close(self) {
        for (name, value) in self.table {
            let name = name.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let entry = self.entry(name, value);
            let remedy = match nearest(name, &self.asked) {
                Some(known) => format!("Did you mean {known}?"),
                None => format!("Known here: {}", self.asked.join(", ")),
            };
            entry.complain("is no key of this section", remedy);
        }
    }
}

/// The text of `entry` as `read` understands it, or a complaint.
pub(super) fn parsed<T, E: fmt::Display>(
    entry: &Entry<'_>,
    remedy: &str,
    read: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    match read(entry.text(remedy)?) {
        Ok(value) => Some(value),
        Err(problem) => {
            entry.complain(problem, remedy);
            None
        }
    }
}

/// The known key that was probably meant: at most two letters away.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|key| (distance(name, key), *key))
        .filter(|(d, _)| *d <= 2)
        .min()
        .map(|(_, k)| k)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = usize::from(ca != *cb);
            let next = (diagonal + cost).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_hears_what_was_meant() {
        let document = Document::parse("adress = \"x\"\nzzzzzz = 1\n");
        let mut top = document.top();
        assert!(top.find("address").is_none());
        top.close();
        let (complaints, _) = document.into_desk().close();
        assert_eq!(complaints[0].remedy, "Did you mean address?");
        assert_eq!(complaints[0].value.as_deref(), Some("\"x\""));
        assert_eq!(complaints[1].remedy, "Known here: address");
        assert_eq!(complaints[1].line, Some(2));
    }

    #[test]
    fn two_errors_of_the_grammar_are_two_complaints() {
        let document = Document::parse("a = \nb = 1\nc == 2\n");
        let (complaints, _) = document.into_desk().close();
        assert!(complaints.len() >= 2, "{complaints:?}");
        assert_eq!(complaints[0].line, Some(1));
    }
}
