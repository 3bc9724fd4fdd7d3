//! `source rotate`: the new password works at once, the old one until its grace ends, and both
//! facts survive a restart.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::stage::{Daemon, Stage};

fn tries(daemon: &Daemon, password: &str) -> String {
    Client::secure(daemon.address("tls")).authenticate("app", password)
}

#[test]
fn the_old_password_ends_with_its_grace() {
    let daemon = Stage::new().start();
    // What was right before is remembered; the memory must not outlive the grace.
    assert!(tries(&daemon, "sesame").starts_with("235 "));
    let began = Instant::now();
    let made = daemon.json(&["source", "rotate", "app", "--grace", "3s"]);
    assert_eq!((&made["name"], &made["user"]), (&"app".into(), &"app".into()), "{made}");
    let new = made["password"].as_str().unwrap();
    assert!(new.len() >= 20, "{made}");
    assert!(tries(&daemon, new).starts_with("235 "));
    let old = tries(&daemon, "sesame");
    assert!(old.starts_with("235 ") || began.elapsed() > Duration::from_secs(3), "{old}");
    let daemon = daemon.crash().start();
    assert!(tries(&daemon, new).starts_with("235 "));
    std::thread::sleep(Duration::from_secs(4).saturating_sub(began.elapsed()));
    assert!(tries(&daemon, "sesame").starts_with("535 5.7.8"));
    assert!(tries(&daemon, new).starts_with("235 "));

    // A stranger knows it: no grace at all.
    let made = daemon.json(&["source", "rotate", "app", "--grace", "0s"]);
    assert!(tries(&daemon, new).starts_with("535 5.7.8"));
    assert!(tries(&daemon, made["password"].as_str().unwrap()).starts_with("235 "));
    // Neither the journal nor the log of deeds knows a password.
    let deeds = daemon.cli(&["audit", "show", "--json"]).out;
    for secret in ["sesame", new, made["password"].as_str().unwrap()] {
        assert!(!daemon.stage.told().contains(secret) && !deeds.contains(secret));
    }
    // Only passwords can be rotated.
    assert_eq!(daemon.cli(&["source", "rotate", "net"]).code, 1);
    daemon.stop();
}
