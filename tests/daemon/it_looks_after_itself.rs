//! `postern health`: a message through the real daemon and its broker to the gate's own sink, and
//! every part that is broken is found with the right words.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::Client;
use crate::stage::{Daemon, PROGRAM, Said, Stage, wait_for};

/// A stage whose document has a health gate; the sink's port is free at this moment.
fn stage() -> Stage {
    let mut stage = Stage::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    stage.more = format!(
        "[health]\nenabled = true\nlistener = \"127.0.0.1:0\"\nsink = \"127.0.0.1:{port}\"\n"
    );
    stage
}

/// The gate's sink as the document has it.
fn sink(stage: &Stage) -> String {
    let line = stage.more.lines().find(|line| line.starts_with("sink")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// Runs the gate.
fn gate(stage: &Stage, words: &[&str]) -> Said {
    let mut command = Command::new(PROGRAM);
    command.args(["health", "--wait", "8s"]).args(words);
    command.arg("--config").arg(stage.path("postern.toml"));
    command.arg("--state").arg(stage.path("host"));
    Said::of(&command.stdin(Stdio::null()).output().unwrap())
}

/// Runs the gate; its report, and whether its exit code agrees.
fn examine(stage: &Stage) -> Value {
    let said = gate(stage, &["--json"]);
    let report: Value = serde_json::from_str(&said.out)
        .unwrap_or_else(|e| panic!("{e}: {} {}", said.out, said.err));
    let healthy = report["healthy"].as_bool().unwrap();
    assert_eq!(said.code, i32::from(!healthy), "{} {}", said.out, said.err);
    report
}

/// Verdict and words of every finding of one check.
fn found(report: &Value, check: &str) -> Vec<(String, String)> {
    let rows = report["findings"].as_array().unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let of = rows.iter().filter(|row| row["check"] == check);
    of.map(|row| (text(row, "verdict"), text(row, "text"))).collect()
}

/// The gate says that a check failed, with these words.
fn fails(report: &Value, check: &str, words: &str) {
    assert_eq!(report["healthy"], false, "{report:#}");
    let found = found(report, check);
    let hit = found.iter().any(|(verdict, text)| verdict == "fail" && text.contains(words));
    assert!(hit, "{check}: {words:?} is not in {found:?}");
}

#[test]
fn a_message_goes_from_end_to_end() {
    let daemon = stage().start();
    let report = examine(&daemon.stage);
    assert_eq!(report["healthy"], true, "{report:#}");
    for check in [
        "config",
        "clock",
        "spool",
        "mail",
        "delivery",
        "signature",
        "queue",
        "report",
        "scan",
        "relay",
    ] {
        let found = found(&report, check);
        assert!(!found.is_empty() && found.iter().all(|(v, _)| v == "pass"), "{check}: {found:?}");
    }
    // What cannot be checked on this machine is said, and is no pass.
    assert_eq!(found(&report, "root")[0].0, "skipped");
    // Nothing of it went to the world, and nothing is left.
    assert_eq!(daemon.stage.sink.count(), 0);
    daemon.wait_queued(0);
    // It is kept for people.
    let last = gate(&daemon.stage, &["--last"]);
    assert_eq!(last.code, 0, "{}", last.err);
    assert!(last.out.contains(" is healthy ("), "{}", last.out);
    // As the gate of a boot it has one line for the console.
    let boot = gate(&daemon.stage, &["--boot"]);
    assert_eq!((boot.code, boot.out.lines().count()), (0, 1), "{} {}", boot.out, boot.err);
    daemon.stop();
}
