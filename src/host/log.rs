//! Lines of the journal, for the administrator: asked of `journalctl` with checked words only.

use super::machine::{System, journal_of};
use crate::base::fault::Fault;

/// Lines that are shown without a wish, and at most.
const LINES: u64 = 200;
const LINES_MAX: u64 = 2000;

/// Lines that are searched for words.
const SEARCHED_MAX: u64 = 50_000;

/// Octets of the answer; the newest are kept.
const OCTETS_MAX: usize = 512 * 1024;

/// A year: what is older is not in a journal of this size.
const SINCE_SECS_MAX: u64 = 366 * 24 * 3600;

/// Priorities as syslog(3) names them, the gravest first.
pub const PRIORITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// What is wanted of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogAsk {
    /// Only of this unit.
    pub unit: Option<String>,
    /// Only of this priority or a graver one.
    pub priority: Option<String>,
    /// Only with these words, in any case of letters.
    pub words: Option<String>,
    /// Only of the last so many seconds.
    pub since_secs: Option<u64>,
    /// How many lines, the newest.
    pub lines: Option<u64>,
}

impl LogAsk {
    /// The words for `journalctl`.
    ///
    /// # Errors
    /// A unit or a priority that cannot be one, in words.
    fn arguments(&self) -> Result<Vec<String>, String> {
        let mut words: Vec<String> =
            ["--no-pager", "--quiet", "--no-hostname", "--output=short-iso"].map(Into::into).into();
        let lines = if self.words.is_some() { SEARCHED_MAX } else { self.lines() };
        words.push(format!("--lines={lines}"));
        if let Some(unit) = &self.unit {
            if !is_unit(unit) {
                return Err(format!(
                    "{unit:?} is no name of a unit: postern.service, chrony.service"
                ));
            }
            words.push(format!("--unit={unit}"));
        }
        if let Some(priority) = &self.priority {
            if !PRIORITIES.contains(&priority.as_str()) {
                return Err(format!("a priority is one of {}", PRIORITIES.join(", ")));
            }
            words.push(format!("--priority={priority}"));
        }
        if let Some(secs) = self.since_secs {
            words.push(format!("--since=-{}s", secs.clamp(1, SINCE_SECS_MAX)));
        }
        Ok(words)
    }

    fn lines(&self) -> u64 {
        self.lines.unwrap_or(LINES).clamp(1, LINES_MAX)
    }

    /// The newest lines that have the words, within bounds.
    fn choose(&self, said: &str) -> String {
        let words = self.words.as_ref().map(|words| words.to_lowercase());
        let has = |line: &&str| words.as_ref().is_none_or(|w| line.to_lowercase().contains(w));
        let limit = usize::try_from(self.lines()).unwrap_or(usize::MAX);
        let mut octets = 0;
        let fits = |line: &&str| {
            octets += line.len() + 1;
            octets <= OCTETS_MAX
        };
        let newest: Vec<&str> =
            said.lines().rev().filter(has).take(limit).take_while(fits).collect();
        newest.iter().rev().fold(String::new(), |text, line| text + line + "\n")
    }
}

fn is_unit(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"@._:\\-".contains(&c);
    (1..=128).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(legal)
}

/// Why there are no lines.
#[derive(Debug, thiserror::Error)]
pub enum NoLog {
    /// The wish makes no sense.
    #[error("{0}")]
    Wish(String),
    /// journalctl failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Lines of the journal of this machine.
///
/// # Errors
/// The wish cannot be one, or `journalctl` failed.
pub fn show(system: &System, ask: &LogAsk) -> Result<String, NoLog> {
    let words = ask.arguments().map_err(NoLog::Wish)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(ask.choose(&journal_of(system, &words)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_typed_becomes_an_option() {
        for unit in ["--flush", "a b", "../x", "x;reboot", "", "a\n", "ä.service"] {
            let ask = LogAsk { unit: Some(unit.to_owned()), ..LogAsk::default() };
            assert!(ask.arguments().is_err(), "{unit:?}");
        }
        let loud = LogAsk { priority: Some("shout".to_owned()), ..LogAsk::default() };
        assert!(loud.arguments().unwrap_err().contains("emerg, alert"));
        let ask = LogAsk {
            unit: Some("postern-console@tty1.service".to_owned()),
            priority: Some("err".to_owned()),
            words: Some("--output=export".to_owned()),
            since_secs: Some(u64::MAX),
            lines: Some(u64::MAX),
        };
        let words = ask.arguments().unwrap().join(" ");
        assert_eq!(
            words,
            "--no-pager --quiet --no-hostname --output=short-iso --lines=50000 \
             --unit=postern-console@tty1.service --priority=err --since=-31622400s"
        );
    }

    #[test]
    fn the_newest_lines_with_the_words_are_kept() {
        let lines: Vec<String> = (0..5000).map(|n| format!("line {n} Of {}\n", n % 2)).collect();
        let said = lines.concat();
        let ask = |words: Option<&str>, lines| LogAsk {
            words: words.map(str::to_owned),
            lines: Some(lines),
            ..LogAsk::default()
        };
        assert_eq!(ask(Some("oF 0"), 2).choose(&said), "line 4996 Of 0\nline 4998 Of 0\n");
        assert_eq!(ask(None, 1).choose(&said), "line 4999 Of 1\n");
        assert_eq!(ask(None, u64::MAX).choose(&said).lines().count(), 2000);
        let long = format!("{}\nlast\n", "x".repeat(OCTETS_MAX));
        assert_eq!(ask(None, 10).choose(&long), "last\n");
    }
}
