//! How much of the machine each unit could reach, as systemd counts it.

use super::analyze::analyze;
use super::{install, services};

/// Exposure in tenths, by `systemd-analyze security --offline=true`: on a plain machine with an
/// older systemd than 257, and on the box. Lower is better; a change is to be seen, whichever way.
const EXPOSURE: &[(&str, Option<u32>, u32)] = &[
    ("postern-console@.service", None, 5),
    ("postern-diagnose.service", None, 16),
    ("postern-disks.service", None, 18),
    ("postern-egress.service", Some(13), 11),
    ("postern-failure@.service", Some(7), 7),
    ("postern-guard.service", Some(14), 14),
    ("postern-health.service", None, 17),
    ("postern-host.service", None, 20),
    ("postern-network.service", None, 20),
    ("postern-return.service", None, 7),
    ("postern-settle.service", None, 17),
    ("postern-settled.service", None, 17),
    ("postern-setup.service", None, 19),
    ("postern-update.service", None, 20),
    ("postern.service", Some(4), 2),
];

/// The most that each may have on the box; all others 2.0.
const ALLOWED: &[(&str, u32)] =
    &[("postern.service", 3), ("postern-egress.service", 11), ("postern-host.service", 20)];
const ALLOWED_OTHERS: u32 = 20;

#[test]
fn the_exposure_of_each_unit_is_known() {
    let (plain, _) = install(&[]);
    let (whole, _) = install(&["--box"]);
    let folder = |tree: &tempfile::TempDir| tree.path().join("usr/lib/systemd/system");
    let services = services(&folder(&whole));
    let named: Vec<&str> = EXPOSURE.iter().map(|(unit, ..)| *unit).collect();
    assert_eq!(services, named, "a unit is missing here, or one too many");
    let plain_units: Vec<String> = EXPOSURE
        .iter()
        .filter(|(_, plain, _)| plain.is_some())
        .map(|(unit, ..)| (*unit).to_owned())
        .collect();
    let mut wrong = Vec::new();
    for (unit, found) in analyze().exposure(&folder(&plain), &plain_units) {
        let (_, known, _) = EXPOSURE.iter().find(|(name, ..)| *name == unit).unwrap();
        if *known != Some(found) {
            wrong.push(format!("{unit} on a plain machine: {found}, the table has {known:?}"));
        }
    }
    for (unit, found) in analyze().exposure(&folder(&whole), &services) {
        let (_, _, known) = EXPOSURE.iter().find(|(name, ..)| *name == unit).unwrap();
        let allowed = ALLOWED.iter().find(|(name, _)| *name == unit);
        let allowed = allowed.map_or(ALLOWED_OTHERS, |(_, allowed)| *allowed);
        if found != *known || found > allowed {
            wrong.push(format!("{unit}: {found}, the table has {known}, allowed is {allowed}"));
        }
    }
    assert!(wrong.is_empty(), "systemd {}: {wrong:#?}", analyze().version);
}
