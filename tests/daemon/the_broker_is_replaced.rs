//! The broker dies: its egress is suspended, mail waits without an attempt, another broker comes,
//! and mail flows.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stage::{Daemon, Stage, children, wait_for};

fn broker(daemon: &Daemon) -> u32 {
    let is_broker = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|octet| *octet == 0).nth(1) == Some(b"egress")
    };
    let found: Vec<u32> = children(daemon.pid()).into_iter().filter(is_broker).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().copied().unwrap_or_default()
}

#[test]
fn a_killed_broker_comes_back_and_mail_flows() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    app.post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    for round in 0..3 {
        let old = broker(&daemon);
        assert_ne!(old, 0);
        kill(Pid::from_raw(i32::try_from(old).unwrap()), Signal::SIGKILL).unwrap();
        // In the moment without a broker mail is taken, and waits.
        let id = app.post(&["b@example.net"]);
        daemon.stage.sink.wait(|_| true);
        wait_for("another broker", || ![0, old].contains(&broker(&daemon)));
        let sent = daemon.wait_told(&format!("{id}: to="));
        assert!(sent.contains("attempts=1"), "round {round}: {sent}");
    }
    let told = daemon.told();
    let line = told.lines().find(|line| line.contains("egress was started again"));
    assert!(line.is_some_and(|line| line.contains("signal: 9")), "{told}");
    assert!(told.contains("egress lo suspended"), "{told}");
    assert!(told.contains("egress lo is whole again"), "{told}");
    assert_eq!(daemon.json(&["status"])["state"], "running");
    assert_eq!(daemon.json(&["egress", "list"])[0]["state"], "up");
    let last = broker(&daemon);
    daemon.stop();
    // It ends with its daemon.
    wait_for("the end of the broker", || !std::path::Path::new(&format!("/proc/{last}")).exists());
}

/// An interface that is not there: the egress is suspended, said so, and nothing is attempted.
#[test]
fn a_missing_interface_suspends_and_burns_no_attempt() {
    let mut stage = Stage::new();
    stage.device = "nothere0".to_owned();
    let daemon = stage.start();
    daemon.wait_told("egress lo suspended");
    let id = daemon.app().post(&["b@example.net"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let shown = daemon.json(&["queue", "show", &id]);
    assert_eq!(shown["attempts"], 0, "{shown}");
    let status = daemon.json(&["status"]);
    assert_eq!(status["state"], "degraded", "{status}");
    assert!(status["reasons"][0].as_str().unwrap().contains("nothere0"), "{status}");
    // A reload with a good interface lets it go.
    let document = daemon.stage.document().replace("nothere0", "lo");
    std::fs::write(daemon.stage.path("postern.toml"), document).unwrap();
    daemon.json(&["config", "reload"]);
    daemon.stage.sink.wait(|_| true);
    daemon.wait_told("egress lo is whole again");
    daemon.stop();
}

/// A broker that hangs holds no mail back: it is found out, ended and replaced.
#[test]
fn a_broker_that_hangs_is_replaced() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    app.post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    // The connection to the next host is kept for a while, and needs no broker.
    daemon.wait_queued(0);
    std::thread::sleep(std::time::Duration::from_secs(6));
    let old = broker(&daemon);
    kill(Pid::from_raw(i32::try_from(old).unwrap()), Signal::SIGSTOP).unwrap();
    let id = app.post(&["b@example.net"]);
    let line = daemon.wait_told("egress was started again");
    assert!(line.contains("does not answer"), "{line}");
    daemon.stage.sink.wait(|_| true);
    let sent = daemon.wait_told(&format!("{id}: to="));
    assert!(sent.contains("attempts=1"), "{sent}");
    assert_ne!(broker(&daemon), old);
    daemon.stop();
}

/// Five crashes in a minute: the role rests and the gateway says so, while mail is still taken.
#[test]
fn a_broker_that_dies_again_and_again_rests() {
    let daemon = Stage::new().start();
    for _ in 0..5 {
        wait_for("a broker", || broker(&daemon) != 0);
        let old = broker(&daemon);
        kill(Pid::from_raw(i32::try_from(old).unwrap()), Signal::SIGKILL).unwrap();
        wait_for("its end", || broker(&daemon) != old);
    }
    daemon.wait_told("ended too often");
    assert_eq!(broker(&daemon), 0);
    let status = daemon.json(&["status"]);
    assert_eq!(status["state"], "degraded", "{status}");
    assert!(status["reasons"][0].as_str().unwrap().contains("broker"), "{status}");
    let id = daemon.app().post(&["b@example.net"]);
    let shown = daemon.json(&["queue", "show", &id]);
    assert_eq!(shown["attempts"], 0, "{shown}");
    // An end in order needs no broker.
    daemon.stop();
}
