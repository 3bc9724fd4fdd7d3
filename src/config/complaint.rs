//! A complaint: what is wrong, where, and what to do about it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// One problem in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// Key path: `source.billing.pairs[0].from`.
    pub key: String,
    /// Line, counted from 1, if the key or its section stands in the document.
    pub line: Option<usize>,
    /// The value as it was written; none if it is missing or secret.
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}. {}", self.problem, self.remedy)
    }
}

/// Where complaints are collected while a document is read.
#[derive(Debug, Default)]
pub(super) struct Desk {
    complaints: RefCell<Vec<Complaint>>,
    warnings: RefCell<Vec<Complaint>>,
    /// The whole document is secret: no complaint repeats a value.
    secret: Cell<bool>,
    /// Line and value of every key that was looked at.
    places: RefCell<BTreeMap<String, (usize, Option<String>)>>,
}

impl Desk {
    /// From now on no value is repeated.
    pub(super) fn keep_secret(&self) {
        self.secret.set(true);
    }

    /// A key stands in `line`.
    pub(super) fn place(&self, key: &str, line: usize, value: Option<String>) {
        let value = value.filter(|_| !self.secret.get());
        self.places.borrow_mut().insert(key.to_owned(), (line, value));
    }

    /// Complains about `key`.
    pub(super) fn complain(
        &self,
        key: &str,
        problem: impl fmt::Display,
        remedy: impl fmt::Display,
    ) {
        let complaint = self.complaint(key, &problem, &remedy);
        self.complaints.borrow_mut().push(complaint);
    }

    /// Warns about `key`: allowed, and probably not meant.
    pub(super) fn warn(&self, key: &str, problem: impl fmt::Display, remedy: impl fmt::Display) {
        let complaint = self.complaint(key, &problem, &remedy);
        self.warnings.borrow_mut().push(complaint);
    }

    /// Complaints and warnings in the order of the document; what stands nowhere comes last.
    pub(super) fn close(self) -> (Vec<Complaint>, Vec<Complaint>) {
        let order = |complaint: &Complaint| complaint.line.unwrap_or(usize::MAX);
        let (mut complaints, mut warnings) =
            (self.complaints.into_inner(), self.warnings.into_inner());
        complaints.sort_by_key(order);
        warnings.sort_by_key(order);
        (complaints, warnings)
    }

    fn complaint(
        &self,
        key: &str,
        problem: &dyn fmt::Display,
        remedy: &dyn fmt::Display,
    ) -> Complaint {
        let places = self.places.borrow();
        let value = places.get(key).and_then(|(_, value)| value.clone());
        Complaint {
            key: key.to_owned(),
            line: line_of(&places, key),
            value,
            problem: problem.to_string(),
            remedy: remedy.to_string(),
        }
    }
}

/// The line of `key`, or of the nearest section around it.
fn line_of(places: &BTreeMap<String, (usize, Option<String>)>, key: &str) -> Option<usize> {
    let mut key = key;
    loop {
        if let Some((line, _)) = places.get(key) {
            return Some(*line);
        }
        key = &key[..key.rfind(['.', '['])?];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_found_at_its_section() {
        let desk = Desk::default();
        desk.place("egress.main", 7, None);
        desk.place("egress.main.ipv4", 9, Some("\"x\"".to_owned()));
        desk.complain("egress.main.device", "is missing", "Name the interface");
        desk.complain("egress.main.ipv4", "is no address", "Write 192.0.2.1");
        desk.complain("spool", "is missing", "Add it");
        let (complaints, _) = desk.close();
        let lines: Vec<_> = complaints.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "line 7: egress.main.device: is missing. Name the interface",
                "line 9: egress.main.ipv4 = \"x\": is no address. Write 192.0.2.1",
                "spool: is missing. Add it",
            ]
        );
    }
}
