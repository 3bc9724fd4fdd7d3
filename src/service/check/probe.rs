//! The self-probe: the cheap part of a check again and again, and an alarm when something that was
//! well is not any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Checker, Depth, addresses};
use crate::config::checked::Egress;
use crate::control::check::{EgressCheck, Grade};
use crate::event::Event;
use crate::host::clock;

/// Before the first round: the broker is started, links come up.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// A reload that changes the beat counts after this time at the latest.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rounds between two that ask lists and the probe host: two hours at the default beat, and lists
/// are guests' houses.
const LISTS_EVERY: u64 = 8;
/// What the broker tells at once, and better.
const TOLD_ELSEWHERE: [&str; 3] = ["link", "address", "route"];

/// Grades by item and subject, of one egress.
type Grades = BTreeMap<(String, String), Grade>;

/// What is known of each egress between rounds.
#[derive(Debug, Default)]
struct Memory {
    grades: BTreeMap<String, Grades>,
    sums: BTreeMap<String, [u64; 4]>,
}

impl Checker {
    /// Probes until the task is dropped.
    pub(in crate::service) async fn keep_checking(self: Arc<Self>) {
        tokio::time::sleep(FIRST_WAIT).await;
        let mut memory = Memory::default();
        for round in 0_u64.. {
            let begun = clock::now();
            if self.standing.load().config.checks.every.is_some() {
                let depth = if round % LISTS_EVERY == 0 { Depth::Lists } else { Depth::Quick };
                self.probe(&mut memory, depth).await;
            }
            loop {
                let every = self.standing.load().config.checks.every;
                let past = clock::now().since(begun);
                let left = every.map_or(PATIENCE, |every| every.saturating_sub(past));
                if every.is_some() && left.is_zero() {
                    break;
                }
                tokio::time::sleep(left.min(PATIENCE)).await;
            }
        }
    }

    /// One round, egress by egress.
    async fn probe(&self, memory: &mut Memory, depth: Depth) {
        let config = self.standing.load().config.clone();
        // What leaves by loopback alone is seen by nobody: there is nothing to be alarmed about.
        let seen = |egress: &&Egress| !addresses(egress).all(|address| address.is_loopback());
        for egress in config.ways_out().filter(seen) {
            let to = config.checks.probe.clone().filter(|_| depth != Depth::Quick);
            let check = self.look(&config, egress, to, depth).await;
            self.remember(&check);
            for event in memory.changes(&check) {
                self.herald.tell(event);
            }
        }
        memory.grades.retain(|name, _| config.ways_out().any(|egress| egress.name == *name));
    }
}

impl Memory {
    /// What has changed since the last round. What is not known changes nothing.
    fn changes(&mut self, check: &EgressCheck) -> Vec<Event> {
        let mut events = Vec::new();
        let grades = self.grades.entry(check.egress.clone()).or_default();
        let of_interest =
            check.findings.iter().filter(|f| !TOLD_ELSEWHERE.contains(&f.item.as_str()));
        for finding in of_interest.filter(|finding| finding.grade != Grade::Unknown) {
            let key = (finding.item.clone(), finding.subject.clone());
            let failed_before = grades.insert(key, finding.grade) == Some(Grade::Fail);
            let (egress, item) = (check.egress.clone(), finding.item.clone());
            let reason = finding.text.clone();
            match (failed_before, finding.grade == Grade::Fail) {
                (false, true) => {
                    let remedy = finding.remedy.clone().unwrap_or_default();
                    events.push(Event::EgressCheckFailed { egress, item, reason, remedy });
                }
                (true, false) => events.push(Event::EgressCheckMended { egress, item, reason }),
                _ => {}
            }
        }
        let count = |grade| check.count(grade) as u64;
        let [passed, warned, failed, unknown] =
            [Grade::Pass, Grade::Warn, Grade::Fail, Grade::Unknown].map(count);
        let sums = [passed, warned, failed, unknown];
        // Rounds that ask lists count more findings; only what is wrong makes a difference.
        let wrong = |sums: &[u64; 4]| (sums[1], sums[2]);
        let before = self.sums.insert(check.egress.clone(), sums);
        if before.as_ref().map(wrong) != Some(wrong(&sums)) {
            let egress = check.egress.clone();
            events.push(Event::EgressChecked { egress, passed, warned, failed, unknown });
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::super::{finding, pass, unknown, wrong};
    use super::*;
    use crate::base::time::WallTime;
    use crate::control::check::Finding;

    fn check(findings: Vec<Finding>) -> EgressCheck {
        EgressCheck {
            egress: "main".to_owned(),
            device: None,
            addresses: Vec::new(),
            ehlo: "relay.example".to_owned(),
            at: WallTime(0),
            findings,
        }
    }

    fn names(memory: &mut Memory, findings: Vec<Finding>) -> Vec<&'static str> {
        memory.changes(&check(findings)).iter().map(Event::name).collect()
    }

    #[test]
    fn an_alarm_comes_once_and_goes_once() {
        let mut memory = Memory::default();
        let good = || vec![pass("ptr", "192.0.2.25", "it is relay.example")];
        let gone = || vec![wrong("ptr", "192.0.2.25", Grade::Fail, "no PTR", "publish it")];
        let dark = || vec![unknown("ptr", "192.0.2.25", "nobody answers")];
        assert_eq!(names(&mut memory, good()), ["egress_checked"]);
        assert_eq!(names(&mut memory, good()), [""; 0]);
        assert_eq!(names(&mut memory, gone()), ["egress_check_failed", "egress_checked"]);
        assert_eq!(names(&mut memory, gone()), [""; 0]);
        // Nobody knows: neither mended nor failed again.
        let events = names(&mut memory, dark());
        assert!(
            !events.contains(&"egress_check_mended") && !events.contains(&"egress_check_failed")
        );
        assert!(!names(&mut memory, gone()).contains(&"egress_check_failed"));
        assert_eq!(names(&mut memory, good()), ["egress_check_mended", "egress_checked"]);
    }

    #[test]
    fn the_link_has_an_alarm_of_its_own() {
        let mut memory = Memory::default();
        let down = vec![finding("link", "eth1", Grade::Fail, "eth1 has no link")];
        assert_eq!(names(&mut memory, down), ["egress_checked"]);
    }
}
