//! Simulation of queue, outcome and a model spool: faults rain and safety holds at every step;
//! then the faults stop, and everything must come to its end.
//!
//! Faults: name servers that time out, hosts that are dead, busy, greylist, refuse, have had
//! enough, find fault with our records, vanish in the content or after the final dot; power cuts that lose what was not synced; wall clocks that
//! jump to 1970 or two days ahead; carriers that die; sources that are held and let go; stop-all;
//! a link that goes down; orders of operators; reports that cannot be stored.
//!
//! One seed is one history. `POSTERN_SIM_SEEDS=20000 cargo test --test sim` runs more of them;
//! `POSTERN_SIM_FIRST=17 POSTERN_SIM_SEEDS=1` repeats one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: to stop is to say no")]

#[path = "sim/spool.rs"]
mod spool;
#[path = "sim/world.rs"]
mod world;

use world::{Broken, World};

const STEPS: usize = 400;
const SEEDS: u64 = 500;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn history(seed: u64, broken: Broken) -> Result<World, String> {
    let mut world = World::new(seed, broken);
    for step in 0..STEPS {
        world.step().map_err(|why| format!("seed {seed}, step {step}: {why}"))?;
    }
    world.calm().map_err(|why| format!("seed {seed}, fine weather: {why}"))?;
    Ok(world)
}

#[test]
fn safety_in_the_storm_and_liveness_after_it() {
    let first = number("POSTERN_SIM_FIRST", 1);
    let (mut delivered, mut reports, mut cuts, mut pauses, mut holds) = (0, 0, 0, 0, 0);
    for seed in first..first + number("POSTERN_SIM_SEEDS", SEEDS) {
        match history(seed, Broken::Nothing) {
            Ok(world) => {
                delivered += world.delivered;
                reports += world.reports;
                cuts += world.cuts;
                pauses += world.pauses;
                holds += world.holds;
            }
            Err(why) => panic!("{why}"),
        }
    }
    println!("{delivered} deliveries, {reports} reports, {cuts} power cuts");
    println!("{pauses} pauses, {holds} holds");
    assert!(delivered > 0 && reports > 0 && cuts > 0, "the storm was a storm");
    assert!(pauses > 0 && holds > 0, "providers had enough, and found fault");
}

#[test]
fn the_witness_notices_what_is_broken_on_purpose() {
    for broken in [
        Broken::AckBeforeSync,
        Broken::HoldsForgotten,
        Broken::OutcomesForgotten,
        Broken::ReportsForgotten,
    ] {
        let caught = (1..=50).find_map(|seed| history(seed, broken).err());
        let why = caught.unwrap_or_else(|| panic!("{broken:?} went unnoticed"));
        println!("{broken:?}: {why}");
    }
}
