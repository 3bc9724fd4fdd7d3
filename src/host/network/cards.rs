//! Cards get the names of their parts: by udev, and by ourselves where udev has not done it.

use std::path::Path;
use std::time::Duration;

use super::interfaces::{InterfaceFacts, interfaces};
use super::{Change, Moment, Work};
use crate::base::fault::Fault;
use crate::host::plan::Plan;

/// Gives each card of the plan its name; the new names of those that were renamed.
///
/// At a start udev has named the cards before the document was read. It reads our `.link` files at
/// the next `add` of a card, so it is told again of all of them; nothing is up yet.
pub(super) fn settle(work: &mut Work, plan: &Plan, change: &Change) -> Result<Vec<String>, Fault> {
    let udev = Path::new("/run/udev/control").exists();
    if udev && work.at == Moment::Boot {
        // The first names come first: a card must not change its name while we look at it.
        let _unsettled = work.run(&["udevadm", "settle", "--timeout=30"]);
    }
    if udev && (work.at == Moment::Boot || change.is_about("link")) {
        work.run(&["udevadm", "control", "--reload"])?;
    }
    let mut renamed = Vec::new();
    if work.at == Moment::Running {
        renamed = rename(work, plan)?;
    }
    if udev && (work.at == Moment::Boot || !renamed.is_empty()) {
        let trigger = ["udevadm", "trigger", "--subsystem-match=net", "--action=add", "--settle"];
        // A card that udev cannot name is named below.
        let _unsettled = work.run(&trigger);
    }
    renamed.extend(rename(work, plan)?);
    Ok(renamed)
}

/// Renames by hand what does not bear its name yet. udev may still be at it: what fails is looked
/// at again.
fn rename(work: &mut Work, plan: &Plan) -> Result<Vec<String>, Fault> {
    let mut tries = 1;
    loop {
        match rename_once(work, plan) {
            Err(_) if tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            ended => return ended,
        }
    }
}

/// Together ten seconds: as long as the start of a machine waits for a card.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

fn rename_once(work: &mut Work, plan: &Plan) -> Result<Vec<String>, Fault> {
    let mut renamed = Vec::new();
    for (card, name) in plan.cards() {
        let facts = interfaces();
        let Some(found) = facts.iter().find(|facts| facts.is(card)) else { continue };
        if found.name == *name {
            continue;
        }
        if let Some(other) = facts.iter().find(|facts| facts.name == *name) {
            let spare = spare(&facts);
            call(work, &other.name, &spare)?;
            renamed.push(spare);
        }
        call(work, &found.name, name)?;
        renamed.push(name.clone());
    }
    Ok(renamed)
}

/// A name that nobody has.
fn spare(facts: &[InterfaceFacts]) -> String {
    let taken = |name: &String| facts.iter().any(|facts| facts.name == *name);
    let names = (0..).map(|number| format!("spare{number}"));
    names.skip_while(taken).take(1).collect()
}

/// Only an interface that is down can be renamed everywhere; what brings it up again knows it by
/// its new name.
fn call(work: &mut Work, from: &str, to: &str) -> Result<(), Fault> {
    work.run(&["ip", "link", "set", "dev", from, "down"])?;
    work.run(&["ip", "link", "set", "dev", from, "name", to])
}
