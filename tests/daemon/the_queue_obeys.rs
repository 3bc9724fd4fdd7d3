//! `postern queue ..` and `postern message ..`: what is seen, what is done, and how many messages
//! it touched.

use std::time::Duration;

use crate::client::Client;
use crate::stage::{Daemon, Stage};

fn ids(daemon: &Daemon, words: &[&str]) -> Vec<String> {
    let mut all = vec!["queue", "list"];
    all.extend(words);
    let page = daemon.json(&all);
    let rows = page["rows"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lists_are_paged_and_filtered() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let mut posted: Vec<String> =
        (0..5).map(|n| app.post(&[&format!("defer{n}@example.net")])).collect();
    posted.push(app.post(&["defer@example.com"]));
    let mut net = Client::clear(daemon.address("clear"));
    posted.push(net.post(&["defer@example.net"]));
    assert_eq!(ids(&daemon, &[]), posted, "the oldest first");
    let page = daemon.json(&["queue", "list", "--limit", "2", "--page", "3"]);
    assert_eq!((&page["total"], &page["offset"]), (&7.into(), &4.into()), "{page}");
    assert_eq!(ids(&daemon, &["--limit", "2", "--page", "3"]), posted[4..6]);
    assert_eq!(ids(&daemon, &["--source", "net"]), posted[6..]);
    assert_eq!(ids(&daemon, &["--domain", "example.com"]), posted[5..6]);
    assert_eq!(ids(&daemon, &["--class", "otp"]), Vec::<String>::new());
    assert_eq!(ids(&daemon, &["--older-than", "1h"]), Vec::<String>::new());
    assert_eq!(ids(&daemon, &["--held"]), Vec::<String>::new());
    let table = daemon.cli(&["queue", "list"]);
    assert_eq!(table.code, 0);
    assert!(posted.iter().all(|id| table.out.contains(id.as_str())), "{}", table.out);

    let shown = daemon.json(&["queue", "show", &posted[5]]);
    assert_eq!(shown["reverse_path"], "a@example.org", "{shown}");
    assert_eq!(shown["everyone"][0]["address"], "defer@example.com", "{shown}");
    // Something that is not in the queue, and something that is no id.
    assert_eq!(daemon.cli(&["queue", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).code, 1);
    assert_eq!(daemon.cli(&["queue", "show", "nonsense"]).code, 2);
    daemon.stop();
}

#[test]
fn messages_are_held_released_retried_and_purged() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let posted: Vec<String> =
        (0..4).map(|n| app.post(&[&format!("defer{n}@example.net")])).collect();
    crate::stage::wait_for("four attempts", || {
        let page = daemon.json(&["queue", "list"]);
        page["rows"].as_array().unwrap().iter().all(|row| row["attempts"] == 1)
    });
    let touched = |words: &[&str]| daemon.json(words)["messages"].as_u64().unwrap();
    // Nothing destroys or holds everything by accident.
    for verb in ["hold", "release", "retry", "purge"] {
        assert_eq!(daemon.cli(&["queue", verb]).code, 2, "{verb}");
    }
    assert_eq!(touched(&["queue", "hold", &posted[0], "--dry-run"]), 1);
    assert_eq!(ids(&daemon, &["--held"]), Vec::<String>::new());
    assert_eq!(touched(&["queue", "hold", &posted[0], &posted[1]]), 2);
    assert_eq!(ids(&daemon, &["--held"]), posted[..2]);
    daemon.stage.sink.set_deferring(false);
    assert_eq!(touched(&["queue", "retry", "--all", "--dry-run"]), 4);
    assert_eq!(daemon.queued(), 4);
    daemon.json(&["queue", "retry", "--all"]);
    daemon.stage.sink.wait(|_| true);
    daemon.stage.sink.wait(|_| true);
    daemon.wait_queued(2);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ids(&daemon, &[]), posted[..2], "what is held stays");

    // A hold survives a restart.
    let daemon = daemon.crash().start();
    daemon.wait_queued(2);
    assert_eq!(ids(&daemon, &["--held"]), posted[..2]);
    let touched = |words: &[&str]| daemon.json(words)["messages"].as_u64().unwrap();
    assert_eq!(touched(&["queue", "purge", &posted[0], "--dry-run"]), 1);
    assert_eq!(daemon.queued(), 2);
    assert_eq!(touched(&["queue", "purge", &posted[0]]), 1);
    assert_eq!(daemon.queued(), 1);
    assert_eq!(touched(&["queue", "release", "--held"]), 1);
    daemon.json(&["queue", "retry", &posted[1]]);
    daemon.stage.sink.wait(|message| message.forward_paths() == ["defer1@example.net"]);
    daemon.wait_queued(0);
    // What was destroyed does not come back. An outcome is synced within 100 ms; a kill before
    // that would be a duplicate, which is another test's business.
    std::thread::sleep(Duration::from_millis(500));
    let daemon = daemon.crash().start();
    daemon.app().post(&["last@example.net"]);
    daemon.stage.sink.wait(|message| message.forward_paths() == ["last@example.net"]);
    daemon.wait_queued(0);
    assert_eq!(daemon.stage.sink.count(), 0);
}

#[test]
fn a_message_is_traced_and_explained() {
    let daemon = Stage::new().start();
    let id = daemon.app().post(&["b@example.net", "defer@example.net", "refuse@example.net"]);
    daemon.stage.sink.wait(|message| message.forward_paths().contains(&"b@example.net"));
    daemon.wait_told("status=deferred");
    let facts = daemon.json(&["message", "trace", &id]);
    let names: Vec<&str> =
        facts.as_array().unwrap().iter().map(|fact| fact["event"].as_str().unwrap()).collect();
    for name in
        ["message_accepted", "recipient_delivered", "recipient_deferred", "recipient_failed"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let steps = daemon.json(&["message", "explain", &id]);
    let steps: Vec<&str> =
        steps.as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    let route = ["identify", "permit", "clear", "sign", "spool", "deliver", "schedule"];
    assert!(route.iter().all(|step| steps.contains(step)), "{steps:?}");
    let table = daemon.cli(&["message", "explain", &id]);
    assert!(table.out.contains("451 4.2.1 Come back later"), "{}", table.out);
    assert_eq!(daemon.cli(&["message", "trace", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).code, 1);
    daemon.stage.sink.set_deferring(false);
    daemon.json(&["queue", "retry", &id]);
    let follow = daemon.cli(&["message", "trace", &id, "--follow"]);
    assert_eq!(follow.code, 0, "{}", follow.err);
    assert!(follow.out.contains(&format!("{id}: removed")), "{}", follow.out);
    daemon.stop();
}
