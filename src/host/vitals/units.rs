//! Units of systemd, as `systemctl` shows them. Root asks PID 1 itself, without a message bus.

use std::collections::BTreeMap;
use std::path::Path;

use super::ask;

/// The target that has all of ours.
const TARGET: &str = "postern.target";
/// What belongs to us where there is no target.
const OURS: &str = "postern*";
/// Properties that are looked at.
const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,ConditionResult,\
                          ConditionTimestampMonotonic,Type,WatchdogUSec";

/// One unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// `loaded`, `not-found`, `masked` and so on.
    pub load: String,
    /// `active`, `activating`, `failed`, `inactive` and so on.
    pub active: String,
    /// The finer word.
    pub sub: String,
    /// How it ended last.
    pub result: String,
    /// It was asked to start, and its conditions did not hold.
    pub unwanted: bool,
    /// It does one thing and ends.
    pub oneshot: bool,
    /// Its watchdog, in words of systemd (`20s`); none: it has none.
    pub watchdog: Option<String>,
}

/// Units of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// There is our target.
    pub target: bool,
    /// Ours: what the target wants, or what bears our name.
    pub ours: Vec<Unit>,
    /// Failed units, ours or not.
    pub failed: Vec<String>,
}

pub(super) fn look() -> Result<Units, String> {
    if !Path::new("/run/systemd/system").exists() {
        return Err("systemd does not run here".to_owned());
    }
    let wants = ask("systemctl", &["show", "--property=Wants,Requires,LoadState", TARGET])?;
    let (target, mut names) = read_target(&wants);
    if !target {
        let list = ["list-units", "--all", "--plain", "--no-legend", "--no-pager", OURS];
        names = first_words(&ask("systemctl", &list)?);
    }
    let failed = ["list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"];
    let failed = first_words(&ask("systemctl", &failed)?);
    if names.is_empty() {
        return Ok(Units { target, ours: Vec::new(), failed });
    }
    let mut words = vec!["show", PROPERTIES, "--"];
    words.extend(names.iter().map(String::as_str));
    let ours = read_units(&ask("systemctl", &words)?);
    Ok(Units { target, ours, failed })
}

/// Whether the target is there, and what it wants.
fn read_target(text: &str) -> (bool, Vec<String>) {
    let values = properties(text);
    let of = |key: &str| values.get(key).copied().unwrap_or_default();
    let words = of("Wants").split_whitespace().chain(of("Requires").split_whitespace());
    let mut names: Vec<String> = words.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    (of("LoadState") == "loaded", names)
}

fn first_words(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn properties(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

/// One paragraph for each unit.
fn read_units(text: &str) -> Vec<Unit> {
    let unit = |paragraph: &str| {
        let values = properties(paragraph);
        let of = |key: &str| values.get(key).copied().unwrap_or_default();
        let asked = !matches!(of("ConditionTimestampMonotonic"), "" | "0");
        let watchdog = Some(of("WatchdogUSec")).filter(|w| !matches!(*w, "" | "0" | "infinity"));
        Unit {
            name: of("Id").to_owned(),
            load: of("LoadState").to_owned(),
            active: of("ActiveState").to_owned(),
            sub: of("SubState").to_owned(),
            result: of("Result").to_owned(),
            unwanted: asked && of("ConditionResult") == "no",
            oneshot: of("Type") == "oneshot",
            watchdog: watchdog.map(str::to_owned),
        }
    };
    text.split("\n\n").filter(|part| !part.trim().is_empty()).map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemctl_is_read() {
        let (target, names) = read_target(
            "Requires=b.service\nWants=a.socket b.service\n\
                                           LoadState=loaded\n",
        );
        assert!(target);
        assert_eq!(names, ["a.socket", "b.service"]);
        assert_eq!(read_target("Requires=\nWants=\nLoadState=not-found\n"), (false, vec![]));
        let text = "Type=notify-reload\nResult=success\nWatchdogUSec=20s\nId=postern.service\n\
                    LoadState=loaded\nActiveState=inactive\nSubState=dead\nConditionResult=no\n\
                    ConditionTimestampMonotonic=77\n\n\
                    Id=postern-egress.socket\nLoadState=loaded\nActiveState=active\n\
                    SubState=listening\nResult=success\nConditionResult=yes\n\
                    ConditionTimestampMonotonic=70\n";
        let units = read_units(text);
        assert_eq!(units.len(), 2);
        assert!(units[0].unwanted && !units[1].unwanted);
        assert_eq!(units[0].watchdog.as_deref(), Some("20s"));
        assert_eq!((units[1].active.as_str(), units[1].oneshot), ("active", false));
    }
}
