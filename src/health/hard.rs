//! What must hold on every boot, judged from what was seen. Pure: facts in, findings out.
//!
//! Before there is a configuration, what is there must hold: a fresh machine that waits for its
//! administrator is healthy.

use std::path::Path;
use std::time::Duration;

use super::daemon::Daemon;
use super::relative::Before;
use crate::config::checked::Config;
use crate::config::show;
use crate::control::answer::SpoolRow;
use crate::control::health::Finding;
use crate::host::disk::{self, NoConfig};
use crate::host::vitals::{Guard, Unit, Units, Vitals, is_mounted};

/// Units that come after the gate, or are the gate: they cannot be ready before it.
const AFTER_US: [&str; 4] = [
    "postern-health.service",
    "postern-bless.service",
    "systemd-bless-boot.service",
    "boot-complete.target",
];
/// The daemon's unit.
const SERVE: &str = "postern.service";
/// Instances of the console's unit, one for each terminal.
const CONSOLE: &str = "postern-console@";
/// Names of a list that one line shows.
const SHOWN: usize = 3;
/// A clock further ahead than this of what runs is wrong: certificates and signatures would be.
const AHEAD_MAX: Duration = Duration::from_secs(20 * 365 * 86_400);

/// The document of the machine.
#[derive(Debug)]
pub(super) enum Document {
    /// There is none: the machine waits for its administrator.
    Missing,
    /// It cannot be put in force.
    Wrong(String),
    /// It can.
    Good(Box<Config>),
}

impl Document {
    /// Reads it.
    pub(super) fn read(path: &Path) -> Self {
        // What may not be looked at is not missing.
        match std::fs::metadata(path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Self::Missing,
            Err(cause) => return Self::Wrong(format!("{}: {cause}", path.display())),
            Ok(_) => {}
        }
        match disk::load(path) {
            Ok(reading) => Self::Good(Box::new(reading.config)),
            Err(NoConfig::Unreadable(fault)) => Self::Wrong(fault.to_string()),
            Err(NoConfig::Wrong(complaints)) => {
                let first = complaints.first().map(ToString::to_string).unwrap_or_default();
                Self::Wrong(format!("{} complaint(s): {first}", complaints.len()))
            }
        }
    }
}

/// Everything that was seen at one moment.
pub(super) struct Facts<'a> {
    pub(super) vitals: &'a Vitals,
    pub(super) document: &'a Document,
    pub(super) daemon: &'a Daemon,
    pub(super) before: Option<&'a Before>,
    /// It is the gate of a boot.
    pub(super) boot: bool,
    /// Of a version on trial.
    pub(super) trial: bool,
}

impl Facts<'_> {
    /// This is an appliance, not any machine with the program on it.
    fn boxed(&self) -> bool {
        self.vitals.system == "postern"
    }

    fn configured(&self) -> bool {
        !matches!(self.document, Document::Missing)
    }
}

/// Judges everything.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = units(facts);
    findings.push(root(facts));
    findings.extend(disks(facts));
    findings.push(configuration(facts));
    findings.push(clock(facts));
    findings.extend(spool(facts));
    findings.push(watchdog(facts));
    findings.push(guard(facts));
    findings.push(host(facts));
    findings
}

fn units(facts: &Facts<'_>) -> Vec<Finding> {
    let units = match &facts.vitals.units {
        Ok(units) => units,
        Err(why) if facts.boxed() => return vec![Finding::waiting("units", why)],
        Err(why) => return vec![Finding::skipped("units", why)],
    };
    let mut findings = Vec::new();
    if facts.boxed() && !units.target {
        findings.push(Finding::fail("units", "postern.target is not there"));
    }
    let ours = || units.ours.iter().filter(|unit| !AFTER_US.contains(&unit.name.as_str()));
    let judged: Vec<Finding> = ours().filter_map(|unit| unit_finding(facts, unit)).collect();
    if judged.is_empty() && findings.is_empty() {
        findings.push(match ours().count() {
            0 => Finding::skipped("units", "systemd starts nothing of ours here"),
            count => Finding::pass("units", format!("{count} units are as they should be")),
        });
    }
    findings.extend(judged);
    findings.extend(failed_units(facts, units));
    findings
}

/// What is not as it should be about one unit.
fn unit_finding(facts: &Facts<'_>, unit: &Unit) -> Option<Finding> {
    let Unit { name, active, result, .. } = unit;
    match unit.load.as_str() {
        "masked" => return Some(Finding::state("units", format!("{name} is masked"))),
        "not-found" | "bad-setting" | "error" => {
            let text = format!("{name} is wanted and cannot be loaded ({})", unit.load);
            return Some(if facts.boxed() {
                Finding::fail("units", text)
            } else {
                Finding::state("units", text)
            });
        }
        _ => {}
    }
    match active.as_str() {
        "active" | "reloading" | "refreshing" => None,
        "failed" => Some(Finding::fail("units", format!("{name} has failed ({result})"))),
        "inactive" if unit.unwanted && (name != SERVE || !facts.configured()) => None,
        "inactive" if unit.unwanted => {
            Some(Finding::fail("units", format!("{name} is held back by a condition")))
        }
        "inactive" if unit.oneshot && result == "success" && unit.sub == "dead" => None,
        // Not every machine has every terminal.
        "inactive" if name.starts_with(CONSOLE) => {
            Some(Finding::state("units", format!("{name} is not running")))
        }
        _ => Some(Finding::waiting("units", format!("{name} is {active} ({})", unit.sub))),
    }
}

/// On the box every failed unit counts; elsewhere those of others are not ours to judge.
fn failed_units(facts: &Facts<'_>, units: &Units) -> Option<Finding> {
    let told = |name: &&String| {
        !units.ours.iter().any(|unit| unit.name == **name) && !AFTER_US.contains(&name.as_str())
    };
    let foreign: Vec<&String> = units.failed.iter().filter(told).collect();
    let first = foreign.first()?;
    let text = match foreign.len() {
        1 => format!("{first} has failed"),
        count => format!("{} units have failed: {}", count, some(&foreign)),
    };
    Some(if facts.boxed() {
        Finding::fail("units", text)
    } else {
        Finding::state("units", format!("{text} (not ours)"))
    })
}

fn some(names: &[&String]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(|name| name.as_str()).collect();
    let rest = if names.len() > SHOWN { ", .." } else { "" };
    format!("{}{rest}", shown.join(", "))
}

/// The root is sealed, and it is the slot of the version that says it runs.
fn root(facts: &Facts<'_>) -> Finding {
    if !facts.boxed() {
        return Finding::skipped("root", "this is not the box: no slots and no verity");
    }
    let root = &facts.vitals.root;
    if !root.verity {
        return Finding::fail("root", "the root file system is not on a verity device");
    }
    let Some(version) = &facts.vitals.image_version else {
        return Finding::fail("root", "os-release names no IMAGE_VERSION");
    };
    let label = format!("postern_{version}");
    if root.partitions.contains(&label) {
        Finding::pass("root", format!("verity on the slot {label}"))
    } else {
        let found = root.partitions.join(", ");
        Finding::fail("root", format!("version {version} runs from the slot of [{found}]"))
    }
}

fn disks(facts: &Facts<'_>) -> Vec<Finding> {
    if !facts.boxed() {
        return vec![Finding::skipped("disks", "this is not the box: no disks of its own")];
    }
    let look = |point: &str| match is_mounted(&facts.vitals.mounts, point) {
        Some(true) => Finding::pass("disks", format!("{point} is mounted and writable")),
        Some(false) => Finding::fail("disks", format!("{point} has become read-only")),
        None => Finding::waiting("disks", format!("{point} is not mounted")),
    };
    vec![look("/var"), look("/var/lib/postern")]
}

/// The document reads, and what is in force is what it says.
fn configuration(facts: &Facts<'_>) -> Finding {
    let config = match facts.document {
        Document::Missing => {
            return Finding::pass("config", "there is none yet: the machine awaits its setup");
        }
        Document::Wrong(why) => return Finding::fail("config", why),
        Document::Good(config) => config,
    };
    let Daemon::Speaks { settings, .. } = facts.daemon else {
        return Finding::pass("config", "the document is good; what is in force is not known");
    };
    let written = show::settings(config);
    let differs = written.iter().find(|row| !settings.contains(row));
    let differs = differs.or_else(|| settings.iter().find(|row| !written.contains(row)));
    match differs {
        None => Finding::pass("config", format!("{} settings, all in force", written.len())),
        Some((key, _)) => {
            let text = format!("what is in force is not what the document says: {key}");
            // By hand this may be a change that somebody is about to put in force.
            if facts.boot { Finding::fail("config", text) } else { Finding::state("config", text) }
        }
    }
}

fn clock(facts: &Facts<'_>) -> Finding {
    let (now, made) = (facts.vitals.now, facts.vitals.made);
    let Some(made) = made else {
        return Finding::skipped("clock", "nothing here says when it was made");
    };
    if now < made {
        return Finding::fail("clock", format!("{now} is before this system was made ({made})"));
    }
    if now.since(made) > AHEAD_MAX {
        return Finding::fail("clock", format!("{now} is decades after this system was made"));
    }
    Finding::pass("clock", format!("{now} is plausible"))
}

/// The daemon answers, its spool is open, and what an earlier version wrote can be read.
fn spool(facts: &Facts<'_>) -> Vec<Finding> {
    let Daemon::Speaks { status, set_aside, .. } = facts.daemon else {
        let Daemon::Silent(why) = facts.daemon else { return Vec::new() };
        return vec![match facts.document {
            Document::Missing => Finding::skipped("spool", why),
            // It cannot start by such a document: nothing is waited for.
            Document::Wrong(_) => Finding::fail("spool", why),
            Document::Good(_) => Finding::waiting("spool", why),
        }];
    };
    let spool = &status.spool;
    let mut findings = vec![match spool.state.as_str() {
        SpoolRow::OPEN => Finding::pass(
            "spool",
            format!("open, {} segments, {} messages wait", spool.segments, status.queue.messages),
        ),
        "latched" => Finding::waiting("spool", "the ledger has failed, and mail stands still"),
        state => {
            let text = format!("the spool is {state}: no new mail is accepted");
            match facts.before {
                Some(before) if facts.trial && !before.has("spool") => {
                    Finding::state("spool", format!("{text}, as before the update"))
                }
                _ => Finding::waiting("spool", text),
            }
        }
    }];
    if *set_aside > 0 {
        let text = format!("{set_aside} records or messages were set aside since the start");
        findings.push(if facts.trial {
            Finding::fail("spool", format!("{text}: this version may misread the older one's"))
        } else {
            Finding::state("spool", text)
        });
    }
    findings
}

fn watchdog(facts: &Facts<'_>) -> Finding {
    let Ok(units) = &facts.vitals.units else {
        return Finding::skipped("watchdog", "there is no systemd that could watch");
    };
    let Some(unit) = units.ours.iter().find(|unit| unit.name == SERVE) else {
        return Finding::skipped("watchdog", format!("{SERVE} is not used here"));
    };
    match &unit.watchdog {
        Some(beat) => Finding::pass("watchdog", format!("systemd watches {SERVE} every {beat}")),
        None if facts.boxed() && facts.configured() => {
            Finding::fail("watchdog", format!("nobody watches {SERVE}"))
        }
        None => Finding::skipped("watchdog", format!("{SERVE} has no watchdog here")),
    }
}

/// Our table of the firewall is loaded: the closed one before there is a configuration.
fn guard(facts: &Facts<'_>) -> Finding {
    match &facts.vitals.guard {
        Guard::InForce(hooks) if !facts.boxed() || hooks.iter().any(|hook| hook == "output") => {
            Finding::pass("guard", format!("the guard is in force ({})", hooks.join(", ")))
        }
        Guard::InForce(hooks) => {
            Finding::fail("guard", format!("nothing guards the output ({})", hooks.join(", ")))
        }
        Guard::Absent if facts.boxed() => Finding::fail("guard", "no guard is loaded"),
        Guard::Absent => Finding::state("guard", "no guard is loaded: see `postern egress plan`"),
        Guard::Unseen(why) if facts.boxed() && facts.boot => {
            Finding::fail("guard", format!("the guard cannot be seen: {why}"))
        }
        Guard::Unseen(why) => Finding::skipped("guard", why),
    }
}

fn host(facts: &Facts<'_>) -> Finding {
    match facts.vitals.host {
        Some(true) => Finding::pass("host", "the host role answers"),
        Some(false) => Finding::waiting("host", "nobody answers at the host role's socket"),
        None if facts.boxed() => Finding::waiting("host", "the host role has no socket"),
        None => Finding::skipped("host", "no host role on this machine"),
    }
}

#[cfg(test)]
mod tests;
