//! What the health gate found, as it is kept for people and for other roles
//! (`postern health --last`, the console's status line), and what the daemon tells the gate.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::WallTime;

/// Where everything that the host's roles keep lies.
pub const STATE_FOLDER: &str = "/var/lib/postern-host";

/// What worked before an update, in the folder of results below [`STATE_FOLDER`].
pub const BEFORE: &str = "before.json";

/// What the daemon tells the gate in its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRow {
    /// Where the gate's message is delivered.
    pub sink: SocketAddr,
    /// What would have to stand in the DNS for its signature; none: see `trouble`.
    pub record: Option<String>,
    /// Why the key cannot be used.
    pub trouble: Option<String>,
}

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It cannot be checked here; said, because silence would look like a pass.
    Skipped,
    /// Not as usual, and no fault of this version: an operator's decision, or so before.
    State,
    /// Not yet; becomes a failure when the time is over.
    Waiting,
    /// Not healthy.
    Fail,
}

impl Verdict {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::State => "state",
            Self::Waiting => "waiting",
            Self::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check: `units`, `root`, `disks`, `mail`, `before` and so on.
    pub check: String,
    /// What came of it.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(check: &str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict, text: text.into() }
    }

    /// As it should be.
    pub fn pass(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Pass, text)
    }

    /// Cannot be checked here.
    pub fn skipped(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, text)
    }

    /// Worth a word, and no failure.
    pub fn state(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::State, text)
    }

    /// Not yet.
    pub fn waiting(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Waiting, text)
    }

    /// Not healthy.
    pub fn fail(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, text)
    }
}

/// One run of the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// When it ended.
    pub at: WallTime,
    /// The version that was examined.
    pub version: String,
    /// The verdict.
    pub healthy: bool,
    /// The boot was a trial of a new version.
    pub trial: bool,
    /// There was a configuration.
    pub configured: bool,
    /// How long it took.
    pub millis: u64,
    /// The line for consoles.
    pub line: String,
    /// Everything that was looked at.
    pub findings: Vec<Finding>,
}

impl HealthReport {
    /// The report of a run of `version`; what is still waiting has failed.
    #[must_use]
    pub fn of(
        version: &str,
        mut findings: Vec<Finding>,
        at: WallTime,
        took: Duration,
        trial: bool,
        configured: bool,
    ) -> Self {
        for finding in findings.iter_mut().filter(|f| f.verdict == Verdict::Waiting) {
            finding.verdict = Verdict::Fail;
        }
        let healthy = findings.iter().all(|finding| finding.verdict != Verdict::Fail);
        let mut report = Self {
            at,
            version: version.to_owned(),
            healthy,
            trial,
            configured,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            line: String::new(),
            findings,
        };
        report.line = report.summary();
        report
    }

    /// What is wrong, check by check.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.with(Verdict::Fail)
            .map(|finding| format!("{}: {}", finding.check, finding.text))
            .collect()
    }

    fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.verdict == verdict)
    }

    fn summary(&self) -> String {
        let at = self.at.rfc3339();
        let mut line = format!(
            "Postern {} {} ({}Z)",
            self.version,
            match (self.healthy, self.configured) {
                (true, true) => "is healthy",
                (true, false) => "is healthy and not configured yet",
                (false, _) => "is NOT healthy",
            },
            at.get(..19).unwrap_or_default(),
        );
        if self.trial {
            line.push_str(", on trial");
        }
        let failures = self.failures();
        if let Some(first) = failures.first() {
            let _ = write!(line, ": {first}");
        }
        if failures.len() > 1 {
            let _ = write!(line, "; and {} more", failures.len() - 1);
        }
        if self.healthy {
            for finding in self.with(Verdict::State).take(2) {
                let _ = write!(line, "; {}: {}", finding.check, finding.text);
            }
        }
        line
    }

    /// The whole report for people.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        for Finding { check, verdict, text } in &self.findings {
            let _ = writeln!(page, "{:<8} {check:<10} {text}", verdict.word());
        }
        let _ = writeln!(page, "{}", self.line);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>, trial: bool) -> HealthReport {
        let at = WallTime(1_790_000_000_123);
        HealthReport::of("1.4.0", findings, at, Duration::from_millis(7), trial, true)
    }

    #[test]
    fn what_waits_at_the_end_has_failed() {
        let findings = vec![Finding::pass("a", "good"), Finding::waiting("b", "not there")];
        let report = report(findings, true);
        assert!(!report.healthy);
        let line = "Postern 1.4.0 is NOT healthy (2026-09-21T14:13:20Z), on trial: b: not there";
        assert_eq!((report.line.as_str(), report.version.as_str()), (line, "1.4.0"));
    }

    #[test]
    fn a_state_and_what_cannot_be_checked_are_no_failures() {
        let findings = vec![
            Finding::skipped("root", "not the box"),
            Finding::state("mail", "everything was stopped by alice"),
        ];
        let report = report(findings, false);
        assert!(report.healthy);
        assert!(
            report.line.ends_with("; mail: everything was stopped by alice"),
            "{}",
            report.line
        );
        assert!(
            report.page().starts_with("skipped  root       not the box\n"),
            "{}",
            report.page()
        );
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<HealthReport>(&text).unwrap(), report);
    }
}
