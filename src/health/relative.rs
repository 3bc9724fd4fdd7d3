//! What worked before the update must work after it. What was missing before fails nobody.
//!
//! A thing that works is a key with words: `dns main 192.0.2.53:53`. The set of keys is written
//! down before the update (`postern health record`) and looked for again on the trial boot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Scene;
use super::daemon::{ask, odd};
use crate::base::time::WallTime;
use crate::control::answer::{Answer, EgressRow, SpoolRow, Status};
use crate::control::call::Line;
use crate::control::check::{EgressCheck, Grade};
use crate::control::health::{Finding, Verdict};
use crate::control::request::Request;
use crate::host::vitals::{self, Vitals};
use crate::mail::gate;

/// Findings of the checks of ways out that are about being connected, not about reputation.
const CONNECTED: [&str; 5] = ["link", "address", "route", "gateway", "dns"];
/// The probe of somebody's port 25.
const PROBE: &str = "port";
/// Facts that are asked for at a time, and how often at most.
const FACTS: u64 = 1000;
const FACT_PAGES_MAX: usize = 60;
/// Between two looks: each asks strangers' hosts.
const RELATIVE_BEAT: Duration = Duration::from_secs(5);
/// The window of the count of deliveries.
const HOUR: Duration = Duration::from_secs(3600);

/// What worked at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// When.
    at: WallTime,
    /// The version that ran.
    version: String,
    /// What worked, with a word each.
    works: BTreeMap<String, String>,
    /// Recipients delivered in the hour before; for people.
    delivered_last_hour: u64,
}

impl Before {
    /// Whether something worked.
    pub(super) fn has(&self, key: &str) -> bool {
        self.works.contains_key(key)
    }

    /// For people.
    pub(super) fn page(&self) -> String {
        let mut page = String::new();
        for (key, text) in &self.works {
            let _ = writeln!(page, "{key:<40} {text}");
        }
        let _ = writeln!(
            page,
            "{} things work with version {}; {} recipients were delivered in the last hour",
            self.works.len(),
            self.version,
            self.delivered_last_hour
        );
        page
    }
}

/// Looks at everything that may be lost by an update.
pub(super) fn record(vitals: &Vitals, socket: &Path) -> Before {
    let view = View::take(vitals, socket);
    Before {
        at: vitals.now,
        version: vitals.version(),
        works: view.works,
        delivered_last_hour: view.delivered,
    }
}

/// What works now, and what somebody has decided about it.
#[derive(Debug, Default)]
struct View {
    works: BTreeMap<String, String>,
    /// Egresses, and why nothing is to be expected of one.
    egresses: BTreeMap<String, Option<String>>,
    /// The daemon answered.
    answered: bool,
    delivered: u64,
}

impl View {
    fn take(vitals: &Vitals, socket: &Path) -> Self {
        let mut view = Self::default();
        view.machine(vitals);
        if let Ok(mut line) = Line::open(socket) {
            // What is not answered does not work, which is what is to be found out.
            let _ = view.daemon(&mut line, vitals.now);
        }
        view
    }

    fn put(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.works.insert(key.into(), text.into());
    }

    fn machine(&mut self, vitals: &Vitals) {
        for (name, interface) in &vitals.interfaces {
            for (what, there, text) in [
                ("link", interface.running, "up, with a link"),
                ("ipv4", interface.v4, "has an IPv4 address"),
                ("ipv6", interface.v6, "has an IPv6 address"),
            ] {
                if there {
                    self.put(format!("{what} {name}"), text);
                }
            }
        }
        if vitals.synchronised {
            self.put("time", "the clock is synchronised");
        }
    }

    fn daemon(&mut self, line: &mut Line, now: WallTime) -> Result<(), String> {
        let Answer::Status(status) = ask(line, &Request::Status {})? else { return Err(odd()) };
        self.answered = true;
        self.status(&status);
        let check = Request::EgressCheck { egress: None, to: None };
        let Answer::EgressChecks(checks) = ask(line, &check)? else { return Err(odd()) };
        for check in &checks {
            self.check(check);
        }
        self.delivered = delivered(line, now)?;
        Ok(())
    }

    fn status(&mut self, status: &Status) {
        if status.spool.state == SpoolRow::OPEN {
            self.put("spool", "open");
        }
        if status.state != "stopped" {
            self.put("running", "mail runs");
        }
        for row in status.egresses.iter().filter(|row| row.name != gate::NAME) {
            if row.state == "up" {
                self.put(format!("egress {}", row.name), "up");
            }
            self.egresses.insert(row.name.clone(), excuse(row));
        }
    }

    fn check(&mut self, check: &EgressCheck) {
        let counts = |item: &str| CONNECTED.contains(&item) || item == PROBE;
        for finding in check.findings.iter().filter(|finding| counts(&finding.item)) {
            // A probe that is answered without STARTTLS is a warning, and was one before.
            let works = finding.grade == Grade::Pass;
            if works {
                let key = format!("{} {} {}", finding.item, check.egress, finding.subject);
                self.put(key, &finding.text);
            }
        }
    }

    /// Why a key that is gone is nobody's fault.
    fn excuse(&self, key: &str) -> Option<String> {
        let mut words = key.split(' ');
        let (what, name) = (words.next()?, words.next().unwrap_or_default());
        let of_egress = what == "egress" || what == PROBE || words.next().is_some();
        match (self.answered, what) {
            (false, _) => return None,
            (true, "running") => return Some("all mail was stopped meanwhile".to_owned()),
            (true, _) if !of_egress => return None,
            (true, _) => {}
        }
        match self.egresses.get(name) {
            None => Some(format!("egress {name} is configured no more")),
            Some(excuse) => excuse.clone(),
        }
    }
}

/// An operator or the receivers have decided about an egress: no version is at fault.
fn excuse(row: &EgressRow) -> Option<String> {
    let by = row.by.as_deref().filter(|by| *by != "link")?;
    let reason = row.reason.as_deref().unwrap_or("no reason given");
    Some(format!("egress {} is suspended by {by}: {reason}", row.name))
}

/// Recipients delivered in the last hour, as far as the daemon remembers.
fn delivered(line: &mut Line, now: WallTime) -> Result<u64, String> {
    let (mut after, mut count) = (0, 0);
    for _ in 0..FACT_PAGES_MAX {
        let Answer::Facts(facts) = ask(line, &Request::Facts { after, limit: FACTS })? else {
            return Err(odd());
        };
        let Some(last) = facts.last() else { break };
        after = last.number;
        let sent = facts
            .iter()
            .filter(|fact| fact.event == "recipient_delivered" && now.since(fact.at) <= HOUR);
        count += sent.count() as u64;
    }
    Ok(count)
}

/// Looks again and again until everything works that did, or the time is over.
pub(super) fn compare(scene: &Scene, before: Option<&Before>, until: Instant) -> Vec<Finding> {
    let Some(before) = before else {
        let text = "nobody wrote down what worked before the update: only the hard checks count";
        return vec![Finding::state("before", text)];
    };
    let mut view = View::take(&scene.vitals, &scene.socket);
    loop {
        let findings = judge(before, &view);
        let lacks = findings.iter().any(|f| f.verdict == Verdict::Waiting);
        if !lacks || Instant::now() >= until {
            return findings;
        }
        std::thread::sleep(RELATIVE_BEAT);
        view = View::take(&vitals::take(), &scene.socket);
    }
}

/// What worked must work; each that does not is told, with its excuse if it has one.
fn judge(before: &Before, view: &View) -> Vec<Finding> {
    let gone = before.works.iter().filter(|(key, _)| !view.works.contains_key(*key));
    let mut findings: Vec<Finding> = gone
        .map(|(key, text)| match view.excuse(key) {
            Some(excuse) => Finding::state("before", format!("{key} is gone: {excuse}")),
            None => Finding::waiting(
                "before",
                format!("{key} worked with version {} ({text}) and does not now", before.version),
            ),
        })
        .collect();
    let again = before.works.len() - findings.len();
    let text = format!(
        "{again} of {} things work that did with version {}; {} recipients were delivered in the \
         hour before",
        before.works.len(),
        before.version,
        before.delivered_last_hour
    );
    findings.insert(0, Finding::pass("before", text));
    findings
}

#[cfg(test)]
mod tests;
