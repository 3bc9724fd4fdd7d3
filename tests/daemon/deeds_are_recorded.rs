//! The log of deeds: who did what through the control socket, and that nobody can change it
//! without being found out. And who may do nothing.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::stage::{PROGRAM, Said, Stage};

/// A user that has no role, `nobody` on most machines.
const STRANGER: u32 = 65_534;

#[test]
fn every_deed_is_recorded_and_a_changed_log_is_found() {
    let daemon = Stage::new().start();
    daemon.json(&["source", "hold", "app"]);
    daemon.json(&["source", "release", "app"]);
    daemon.json(&["stop-all"]);
    daemon.json(&["resume-all"]);
    assert_eq!(daemon.cli(&["source", "disable", "nobody"]).code, 1);
    let page = daemon.json(&["audit", "show"]);
    let rows = page["rows"].as_array().unwrap();
    let did = |action: &str, outcome: &str| {
        rows.iter().any(|row| {
            row["action"] == action && row["outcome"].as_str().unwrap().starts_with(outcome)
        })
    };
    // What stops mail is not delayed by the log: it is recorded when it is done.
    for action in ["source hold", "source release", "stop-all", "resume-all"] {
        assert!(did(action, "done"), "{action} in {page}");
    }
    for action in ["source release", "resume-all"] {
        assert!(did(action, "begun"), "{action} in {page}");
    }
    assert!(did("source disable", "failed"), "{page}");
    assert!(rows.iter().all(|row| row["actor"].as_str().unwrap().contains("uid")), "{page}");
    let found = daemon.json(&["audit", "verify"]);
    assert_eq!((&found["good"], &found["records"]), (&true.into(), &page["total"]), "{found}");

    // Looking is no deed.
    daemon.json(&["status"]);
    assert_eq!(daemon.json(&["audit", "show"])["total"], page["total"]);
    let log = daemon.stage.path("spool/audit.log");
    let stage = daemon.stop();
    let honest = fs::read_to_string(&log).unwrap();
    let file = log.display().to_string();
    let verify = || {
        let mut command = Command::new(PROGRAM);
        Said::of(&command.args(["audit", "verify", "--file", &file]).output().unwrap()).code
    };
    assert_eq!(verify(), 0);
    let lines: Vec<&str> = honest.lines().collect();
    let whole = |lines: &[&str]| lines.join("\n") + "\n";
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    for (how, changed) in [
        ("a word", honest.replacen("source hold", "source held", 1)),
        ("a line gone", whole(&[&lines[..2], &lines[3..]].concat())),
        ("the end gone", whole(&lines[..lines.len() - 1])),
        ("two lines swapped", whole(&swapped)),
        ("all gone", String::new()),
    ] {
        fs::write(&log, changed).unwrap();
        assert_eq!(verify(), 1, "{how}");
    }
    // The daemon says so too, and goes on carrying mail.
    fs::write(&log, honest.replacen("source hold", "source held", 1)).unwrap();
    let daemon = stage.start();
    let said = daemon.cli(&["audit", "verify", "--json"]);
    assert_eq!(said.code, 1, "{} {}", said.out, said.err);
    assert!(said.out.contains("\"good\": false"), "{}", said.out);
    daemon.app().post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    daemon.stop();
}

#[test]
fn roles_reach_as_far_as_they_say() {
    let root = nix::unistd::geteuid().is_root();
    assert!(root, "only root may become somebody else: run this test as root");
    let mut stage = Stage::new();
    stage.control = "viewers = [3001]\noperators = [3002]\nadministrators = [3003]".to_owned();
    let daemon = stage.start();
    let id = daemon.app().post(&["defer@example.net"]);
    let program = daemon.stage.path("postern");
    fs::copy(PROGRAM, &program).unwrap();
    let call = |uid: u32, words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(words).arg("--socket").arg(daemon.stage.path("control.sock"));
        Said::of(&command.uid(uid).gid(uid).output().unwrap())
    };
    for words in [&["status"][..], &["queue", "list"], &["stop-all"], &["audit", "show"]] {
        let said = call(STRANGER, words);
        assert_eq!(said.code, 1, "{words:?}: {}", said.out);
        assert!(said.err.contains("has no role"), "{words:?}: {}", said.err);
        assert!(!said.out.contains("app") && said.out.is_empty(), "{}", said.out);
    }
    let purge = ["queue", "purge", id.as_str()];
    assert_eq!(call(3001, &["status"]).code, 0);
    assert_eq!(call(3001, &["source", "disable", "app"]).code, 1);
    assert_eq!(call(3002, &["source", "hold", "app"]).code, 0);
    assert_eq!(call(3002, &["source", "rotate", "app"]).code, 1);
    assert_eq!(call(3002, &purge).code, 1);
    assert_eq!(daemon.queued(), 1);
    assert_eq!(call(3003, &purge).code, 0);
    assert_eq!(daemon.queued(), 0);
    // Refusals are on record as well.
    let page = daemon.json(&["audit", "show"]).to_string();
    assert!(page.contains("refused: no role") && page.contains("uid 65534"), "{page}");
    assert!(page.contains("refused: role viewer, role operator is needed"), "{page}");
    daemon.stop();
}
