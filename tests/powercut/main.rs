//! Power cuts, reproduced: the block layer logs every write and flush of a real spool at work; the
//! disk is rebuilt as of a chosen moment, and the spool is opened on it.
//!
//! `run` beside this file is the driver; it starts this program again as writer and as checker.
//! `POSTERN_POWERCUT_STATES` says how many moments are tried, each with three models of the
//! disk's cache (all of it, nothing of it, half of it survives).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails so")]

mod checker;
mod letters;
mod writer;

use std::path::Path;
use std::process::Command;

/// The suite. Needs root, qemu-storage-daemon, FUSE, loop devices and ext4, and says so if one of
/// them is missing: a suite that skips itself proves nothing.
#[test]
fn no_acknowledged_message_is_lost() {
    let states = std::env::var("POSTERN_POWERCUT_STATES").unwrap_or_else(|_| "200".into());
    run(&["--states", &states]);
}

/// The suite itself is tested: a spool whose syncs do nothing must be found out.
#[test]
fn a_spool_that_does_not_sync_is_found_out() {
    run(&["--states", "6", "--broken"]);
}

fn run(arguments: &[&str]) {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/powercut/run");
    let status = Command::new(driver)
        .arg("--program")
        .arg(std::env::current_exe().unwrap())
        .args(arguments)
        .status()
        .expect("python3 runs tests/powercut/run");
    assert!(status.success(), "see above");
}

/// Role: write until the driver has seen enough.
#[test]
#[ignore = "a role that the driver starts"]
fn role_write() {
    writer::main();
}

/// Role: open what a power cut left, and compare.
#[test]
#[ignore = "a role that the driver starts"]
fn role_check() {
    checker::main();
}
