//! Versions of releases: three numbers and perhaps a pre-release, in the order of semver.org 2.0.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Characters of a version: it stands in a GPT label (36 characters) between `postern_` and
/// `_verity`.
const CHARS_MAX: usize = 21;

/// A version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u32; 3],
    /// Dot-separated words behind `-`; empty for a release.
    before: String,
}

/// A text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version: write three numbers, as in 1.4.0 or 1.4.0-rc.1")]
pub struct NoVersion(String);

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let wrong = || NoVersion(text.chars().take(CHARS_MAX * 2).collect());
        if text.len() > CHARS_MAX {
            return Err(wrong());
        }
        let (release, before) = match text.split_once('-') {
            Some((release, before)) => (release, Some(before)),
            None => (text, None),
        };
        let mut numbers = [0; 3];
        let mut parts = release.split('.');
        for number in &mut numbers {
            *number = parts.next().and_then(plain_number).ok_or_else(wrong)?;
        }
        if parts.next().is_some() || before.is_some_and(|before| !plain_words(before)) {
            return Err(wrong());
        }
        Ok(Self { numbers, before: before.unwrap_or_default().to_owned() })
    }
}

/// A number without sign and without leading zeros: one version has one spelling.
fn plain_number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn plain_words(text: &str) -> bool {
    text.split('.').all(|word| {
        let legal = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let digits = word.bytes().all(|b| b.is_ascii_digit());
        !word.is_empty() && legal && (!digits || plain_number(word).is_some())
    })
}

impl TryFrom<String> for Version {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Self, NoVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.before.is_empty() { Ok(()) } else { write!(f, "-{}", self.before) }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        numbers.then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => words(&self.before, &other.before),
        })
    }
}

/// The order of pre-releases (semver.org 11.4): numbers before words, more words after fewer.
fn words(ours: &str, theirs: &str) -> Ordering {
    let (mut ours, mut theirs) = (ours.split('.'), theirs.split('.'));
    loop {
        let order = match (ours.next(), theirs.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u32>(), b.parse::<u32>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_order_of_semver() {
        let order = [
            "0.1.0",
            "0.9.10",
            "0.10.0",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "2.0.0",
        ];
        let versions: Vec<Version> = order.iter().map(|text| text.parse().unwrap()).collect();
        for (at, version) in versions.iter().enumerate() {
            assert_eq!(version.to_string(), order[at]);
            for (other_at, other) in versions.iter().enumerate() {
                assert_eq!(version.cmp(other), at.cmp(&other_at), "{version} {other}");
            }
        }
    }

    #[test]
    fn one_version_has_one_spelling() {
        for wrong in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "01.0.0",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0-a..b",
            "1.0.0+b",
            "1.0.0_1",
            "v1.0.0",
            " 1.0.0",
            "1.0.0-RC",
            "-1.0.0",
            "+1.0.0",
            "1.0.99999999999",
            "1.0.0-aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "1.0.0/..",
        ] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Version>("\"1.0.0\"").is_ok());
        assert!(serde_json::from_str::<Version>("\"1.0\"").is_err());
    }
}
