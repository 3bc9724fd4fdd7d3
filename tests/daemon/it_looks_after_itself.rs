//! `postern health`: a message through the real daemon and its broker to the gate's own sink, and
//! every part that is broken is found with the right words.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postern::config::checked::DkimAlgorithm;
use postern::sign::keys::generate;
use serde_json::Value;

use crate::client::Client;
use crate::stage::{Daemon, PROGRAM, Said, Stage, children, wait_for};

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

/// Starts the daemon with an egress that has no name servers: checks need not wait for any.
fn start_nameless(stage: Stage) -> Daemon {
    let began = stage.told().len();
    let document = stage.document().replace("resolvers = [\"127.0.0.1:9\"]", "resolvers = []");
    std::fs::write(stage.path("postern.toml"), document).unwrap();
    let child = stage.launch_as_is();
    Daemon::new(stage, child, began)
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
    // It is no mail of anybody's: what was refused and failed on purpose alarms nobody.
    let totals = &daemon.json(&["status"])["totals"];
    for word in ["accepted", "refused", "delivered", "failed"] {
        assert_eq!(totals[word], 0, "{totals}");
    }
    // It is kept for people.
    let last = gate(&daemon.stage, &["--last"]);
    assert_eq!(last.code, 0, "{}", last.err);
    assert!(last.out.contains(" is healthy ("), "{}", last.out);
    // As the gate of a boot it has one line for the console.
    let boot = gate(&daemon.stage, &["--boot"]);
    assert_eq!((boot.code, boot.out.lines().count()), (0, 1), "{} {}", boot.out, boot.err);
    daemon.stop();
}

/// The gate's listener, egress and domain serve nobody else, and are no way out.
#[test]
fn nobody_else_can_use_the_gates_parts() {
    let daemon = start_nameless(stage());
    let gates = daemon.address("health");
    let mut stranger = Client::clear(gates);
    assert!(stranger.say("STARTTLS").starts_with("502"), "TLS is not offered here");
    let reply = stranger.authenticate("app", "sesame");
    assert!(!reply.starts_with("235"), "{reply}");
    assert!(stranger.say("MAIL FROM:<a@example.org>").starts_with("550 5.7.1"));
    assert!(stranger.say("MAIL FROM:<gate@health.invalid>").starts_with("250"));
    let reply = stranger.say("RCPT TO:<b@example.net>");
    assert!(reply.starts_with("550 5.1.2") && reply.contains("recipient-is-reserved"), "{reply}");
    // From any other address of this machine it is not the gate.
    let mut near = Client::clear(daemon.address("clear"));
    assert!(near.say("MAIL FROM:<gate@health.invalid>").starts_with("550 5.7.1"));
    assert!(near.say("MAIL FROM:<a@example.org>").starts_with("250"));
    assert!(near.say("RCPT TO:<gate@health.invalid>").starts_with("550 5.1.2"));
    let reply =
        daemon.app().submit("a@example.org", &["gate@health.invalid"], crate::client::LETTER);
    assert!(reply.starts_with("550 5.1.2"), "{reply}");
    // It is shown, and is no way out that operators or checks are concerned with.
    let shown = daemon.json(&["egress", "list"]).to_string();
    assert!(shown.contains("\"health\""), "{shown}");
    // What is not known makes no difference here.
    let said = daemon.cli(&["egress", "check", "--json"]);
    let checks: Value = serde_json::from_str(&said.out).unwrap();
    let names: Vec<&Value> = checks.as_array().unwrap().iter().map(|c| &c["egress"]).collect();
    assert_eq!(names, ["lo"], "{checks}");
    assert_eq!(daemon.cli(&["egress", "suspend", "health"]).code, 1);
    daemon.stop();
}

/// A key that is not the one that signs is found out; one that is damaged is made anew.
#[test]
fn another_dkim_key_is_found_out() {
    let daemon = stage().start();
    let file = daemon.stage.path("spool/health.pem");
    let other = generate(DkimAlgorithm::Ed25519Sha256).unwrap();
    std::fs::write(&file, other.expose()).unwrap();
    let report = examine(&daemon.stage);
    fails(&report, "signature", "DKIM of health.invalid/health: ");
    assert!(found(&report, "delivery").iter().all(|(verdict, _)| verdict == "pass"));
    std::fs::write(&file, "nonsense").unwrap();
    fails(&examine(&daemon.stage), "mail", "the gate's DKIM key: no PEM key");
    // Real mail never waits for this key.
    let daemon = daemon.stop().start();
    assert_eq!(examine(&daemon.stage)["healthy"], true);
    daemon.stop();
}

/// What an operator stopped is told, and is no failure.
#[test]
fn mail_that_an_operator_stopped_is_a_state() {
    let daemon = stage().start();
    daemon.json(&["stop-all"]);
    let report = examine(&daemon.stage);
    assert_eq!(report["healthy"], true, "{report:#}");
    let (verdict, text) = &found(&report, "mail")[0];
    assert_eq!(verdict, "state");
    assert!(text.contains("no message was sent: everything was stopped by"), "{text}");
    assert!(report["line"].as_str().unwrap().contains("was stopped by"), "{report:#}");
    daemon.json(&["resume-all"]);
    daemon.json(&["source", "disable", "health"]);
    let report = examine(&daemon.stage);
    assert_eq!((&report["healthy"], found(&report, "mail")[0].0.as_str()), (&true.into(), "state"));
    daemon.json(&["source", "enable", "health"]);
    assert_eq!(found(&examine(&daemon.stage), "mail")[0].0, "pass");
    daemon.stop();
}

#[test]
fn a_spool_without_room_fails_the_gate() {
    let stage = stage();
    let began = stage.told().len();
    let full = stage.document().replace("free_min = \"1MiB\"", "free_min = \"900GiB\"");
    std::fs::write(stage.path("postern.toml"), full).unwrap();
    let child = stage.launch_as_is();
    let daemon = Daemon::new(stage, child, began);
    let report = examine(&daemon.stage);
    fails(&report, "spool", "the spool is full: no new mail is accepted");
    fails(&report, "mail", "a message was refused at DATA: 452 4.3.1");
    daemon.stop();
}

#[test]
fn a_sink_that_is_taken_fails_the_gate() {
    let daemon = stage().start();
    let _taken = TcpListener::bind(sink(&daemon.stage)).unwrap();
    fails(&examine(&daemon.stage), "mail", "the sink cannot listen at 127.0.0.1:");
    daemon.stop();
}

/// A broker that dies and dies again: mail waits, and the gate says for whom.
#[test]
fn without_a_broker_the_message_does_not_arrive() {
    let daemon = stage().start();
    let broker = || {
        let is_broker = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|octet| *octet == 0).nth(1) == Some(b"egress")
        };
        children(daemon.pid()).into_iter().find(is_broker)
    };
    for _ in 0..5 {
        wait_for("a broker", || broker().is_some());
        let old = broker().unwrap();
        kill(Pid::from_raw(i32::try_from(old).unwrap()), Signal::SIGKILL).unwrap();
        wait_for("its end", || broker() != Some(old));
    }
    daemon.wait_told("ended too often");
    let report = examine(&daemon.stage);
    fails(&report, "delivery", "egress health is suspended: the broker is not running");
    assert!(found(&report, "mail").iter().all(|(verdict, _)| verdict == "pass"), "{report:#}");
    daemon.stop();
}

/// Nobody serves; the document is wrong; the daemon runs by another one; there is none.
#[test]
fn documents_and_daemons_that_do_not_fit() {
    let stage = stage();
    // A machine that awaits its setup.
    let report = examine(&stage);
    assert_eq!((&report["healthy"], &report["configured"]), (&true.into(), &false.into()));
    assert!(report["line"].as_str().unwrap().contains("not configured yet"), "{report:#}");
    std::fs::write(stage.path("postern.toml"), stage.document()).unwrap();
    fails(&examine(&stage), "spool", "no daemon answers");
    let good = stage.document();
    let daemon = stage.start();
    std::fs::write(daemon.stage.path("postern.toml"), good.replace("lab = true", "")).unwrap();
    fails(&examine(&daemon.stage), "config", "complaint(s): line");
    let other = good.replace("hostname = \"gw.", "hostname = \"other.");
    std::fs::write(daemon.stage.path("postern.toml"), other).unwrap();
    let report = examine(&daemon.stage);
    assert_eq!(found(&report, "config")[0].0, "state", "{report:#}");
    let boot = gate(&daemon.stage, &["--boot"]);
    assert_eq!(boot.code, 1, "{}", boot.out);
    assert!(boot.out.contains("config: what is in force is not what the document says"));
    daemon.stop();
}

/// The listener of the gate was not there when the daemon was started.
#[test]
fn a_listener_that_is_missing_fails_the_gate_of_a_boot() {
    let mut stage = stage();
    let gates = std::mem::take(&mut stage.more);
    let mut daemon = stage.start();
    daemon.stage.more = gates;
    std::fs::write(daemon.stage.path("postern.toml"), daemon.stage.document()).unwrap();
    let boot = gate(&daemon.stage, &["--boot", "--json"]);
    assert_eq!(boot.code, 1, "{}", boot.out);
    let report: Value = serde_json::from_str(&boot.out).unwrap();
    fails(&report, "config", "not what the document says");
    assert_eq!(found(&report, "mail")[0].1, "no message was sent: [health] is not enabled");
    daemon.stop();
}

/// On trial, what was written down before must work again; what did not work then never counts.
#[test]
fn a_trial_holds_the_new_version_to_what_worked() {
    let daemon = start_nameless(stage());
    let record = Command::new(PROGRAM)
        .args(["health", "record", "--json", "--config"])
        .arg(daemon.stage.path("postern.toml"))
        .arg("--state")
        .arg(daemon.stage.path("host"))
        .output()
        .unwrap();
    let record = Said::of(&record);
    assert_eq!(record.code, 0, "{}", record.err);
    let mut before: Value = serde_json::from_str(&record.out).unwrap();
    let works = before["works"].as_object().unwrap();
    assert!(works.contains_key("egress lo") && works.contains_key("spool"), "{before:#}");
    assert!(!works.keys().any(|key| key.starts_with("dns ")), "{before:#}");
    let update = daemon.stage.path("host/update");
    std::fs::create_dir_all(&update).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let state = format!(
        "{{\"format\":1,\"record\":{{\"state\":{{\"is\":\"trial\",\"release\":\
         {{\"version\":\"{version}\"}}}}}}}}"
    );
    std::fs::write(update.join("state.json"), state).unwrap();
    let report = examine(&daemon.stage);
    assert_eq!((&report["healthy"], &report["trial"]), (&true.into(), &true.into()), "{report:#}");
    assert_eq!(found(&report, "before")[0].0, "pass");
    before["works"]["dns lo 127.0.0.1:9"] = "127.0.0.1:9 answers".into();
    std::fs::write(daemon.stage.path("host/health/before.json"), before.to_string()).unwrap();
    let boot = gate(&daemon.stage, &["--boot", "--json"]);
    assert_eq!(boot.code, 1, "{}", boot.out);
    let report: Value = serde_json::from_str(&boot.out).unwrap();
    fails(&report, "before", "dns lo 127.0.0.1:9 worked with version");
    // A unit hangs the restart on this mark.
    assert!(daemon.stage.path("host/health/return").exists());
    // An operator has suspended the way out since: nobody's fault.
    daemon.json(&["egress", "suspend", "lo", "--reason", "maintenance"]);
    let report = examine(&daemon.stage);
    assert_eq!(report["healthy"], true, "{report:#}");
    assert!(found(&report, "before").iter().any(|(verdict, _)| verdict == "state"));
    daemon.stop();
}
