//! `stop-all`: nothing comes in, nothing goes out, until `resume-all`, whatever happens to the
//! process in between.

use std::time::Duration;

use crate::client::{Client, LETTER};
use crate::stage::{Daemon, Stage};

fn is_stopped(daemon: &Daemon, queued: u64) {
    let status = daemon.json(&["status"]);
    assert_eq!(status["state"], "stopped", "{status}");
    assert!(status["reasons"][0].as_str().unwrap().contains("stopped by"), "{status}");
    for door in ["starttls", "clear"] {
        let reply = Client::connect(daemon.address(door)).reply();
        assert!(reply.starts_with("421 4.3.2"), "{door}: {reply}");
    }
    daemon.wait_queued(queued);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(daemon.stage.sink.count(), 0);
    let rows = daemon.json(&["queue", "list"]);
    assert!(rows["rows"].as_array().unwrap().iter().all(|row| row["held"] == "stop-all"), "{rows}");
}

#[test]
fn a_stop_outlives_sigterm_and_sigkill() {
    let daemon = Stage::new().start();
    let mut client = daemon.app();
    client.post(&["defer1@example.net"]);
    client.post(&["defer2@example.net"]);
    let mut content = Client::clear(daemon.address("clear"));
    assert!(content.say("MAIL FROM:<a@example.org>").starts_with("250"));
    assert!(content.say("RCPT TO:<b@example.net>").starts_with("250"));
    assert!(content.say("DATA").starts_with("354"));
    content.send(LETTER);

    let acted = daemon.json(&["stop-all"]);
    assert_eq!(acted["messages"], 2, "{acted}");
    assert!(content.reply().starts_with("421 4.3.2"));
    assert!(client.reply().starts_with("421 4.3.2"));
    is_stopped(&daemon, 2);
    daemon.stage.sink.set_deferring(false);

    let daemon = daemon.crash().start();
    is_stopped(&daemon, 2);
    let daemon = daemon.stop().start();
    is_stopped(&daemon, 2);

    let acted = daemon.json(&["resume-all"]);
    assert_eq!(acted["messages"], 2, "{acted}");
    daemon.json(&["queue", "retry", "--all"]);
    daemon.app().post(&["b@example.net"]);
    for _ in 0..3 {
        daemon.stage.sink.wait(|_| true);
    }
    daemon.wait_queued(0);
    assert_eq!(daemon.json(&["status"])["state"], "running");
    // The resume is as durable as the stop.
    let daemon = daemon.crash().start();
    assert_eq!(daemon.json(&["status"])["state"], "running");
    daemon.app().post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
}
