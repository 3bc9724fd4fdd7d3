//! `source disable` and `source hold`: what is refused from that moment on, what is kept, and what
//! goes on its way afterwards.

use std::time::{Duration, Instant};

use postern::control::call::Line;
use postern::control::request::Request;
use postern::mail::source::SourceName;

use crate::client::LETTER;
use crate::stage::Stage;

/// Within this time a transaction in flight must hear that it is over. It takes milliseconds; by
/// its own time-outs it would end after minutes.
const IN_FLIGHT: Duration = Duration::from_secs(5);

#[test]
fn disable_refuses_new_mail_ends_transactions_and_holds_the_backlog() {
    let daemon = Stage::new().start();
    let mut first = daemon.app();
    let ids: Vec<String> =
        (0..3).map(|n| first.post(&[&format!("defer{n}@example.net")])).collect();

    // Every place in a transaction at which a client can be.
    let mut idle = daemon.app();
    let mut between = daemon.app();
    assert!(between.say("MAIL FROM:<a@example.org>").starts_with("250"));
    let mut content = daemon.app();
    assert!(content.say("MAIL FROM:<a@example.org>").starts_with("250"));
    assert!(content.say("RCPT TO:<b@example.net>").starts_with("250"));
    assert!(content.say("DATA").starts_with("354"));
    content.send(LETTER);
    let mut chunks = daemon.app();
    assert!(chunks.say("MAIL FROM:<a@example.org>").starts_with("250"));
    assert!(chunks.say("RCPT TO:<b@example.net>").starts_with("250"));
    chunks.send(b"BDAT 1000\r\nFrom: <a@exa");
    // A bystander.
    let mut other = crate::client::Client::clear(daemon.address("clear"));

    let asked = Instant::now();
    let acted = daemon.json(&["source", "disable", "app"]);
    assert_eq!(acted["messages"], 3, "{acted}");
    assert!(acted["note"].as_str().unwrap().contains("3 messages are held"), "{acted}");
    for (name, client) in [
        ("content", &mut content),
        ("chunks", &mut chunks),
        ("between", &mut between),
        ("idle", &mut idle),
    ] {
        let reply = client.reply();
        assert!(reply.starts_with("421 4.7.0"), "{name}: {reply}");
        assert_eq!(client.reply(), "", "{name}: the connection ends");
    }
    assert!(asked.elapsed() < IN_FLIGHT, "it took {:?}", asked.elapsed());

    // New mail after the answer: refused, whatever the way in.
    let mut late = crate::client::Client::secure(daemon.address("tls"));
    assert!(late.authenticate("app", "sesame").starts_with("454 4.7.0"));
    let reply = other.submit("a@example.org", &["b@example.net"], LETTER);
    assert!(reply.starts_with("250 2.0.0"), "another source is not touched: {reply}");
    daemon.stage.sink.wait(|_| true);

    // Held: nothing moves, also when the receiving host would take it.
    daemon.stage.sink.set_deferring(false);
    daemon.json(&["queue", "retry", "--all"]);
    let rows = daemon.json(&["queue", "list"]);
    assert_eq!(rows["total"], 3, "{rows}");
    let held = "its source is disabled";
    assert!(rows["rows"].as_array().unwrap().iter().all(|row| row["held"] == held), "{rows}");
    let row = daemon.json(&["source", "show", "app"]);
    assert_eq!((&row["state"], &row["held"]), (&"disabled".into(), &3.into()), "{row}");
    assert!(row["switched"].as_str().unwrap().starts_with("disabled by "), "{row}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(daemon.stage.sink.count(), 0);

    // It survives SIGKILL.
    let stage = daemon.crash();
    stage.sink.set_deferring(false);
    let daemon = stage.start();
    let mut late = crate::client::Client::secure(daemon.address("tls"));
    assert!(late.authenticate("app", "sesame").starts_with("454 4.7.0"));
    daemon.wait_queued(3);

    let acted = daemon.json(&["source", "enable", "app"]);
    assert_eq!(acted["messages"], 3, "{acted}");
    daemon.json(&["queue", "retry", "--all"]);
    for _ in &ids {
        daemon.stage.sink.wait(|_| true);
    }
    daemon.app().post(&["b@example.net"]);
    daemon.wait_queued(0);
    daemon.stop();
}

#[test]
fn hold_accepts_and_keeps() {
    let daemon = Stage::new().start();
    let mut client = daemon.app();
    let dry = daemon.json(&["source", "hold", "app", "--dry-run"]);
    assert_eq!((&dry["dry_run"], &dry["messages"]), (&true.into(), &0.into()), "{dry}");
    assert_eq!(daemon.json(&["source", "show", "app"])["state"], "active");
    daemon.json(&["source", "hold", "app"]);
    let id = client.post(&["b@example.net"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((daemon.queued(), daemon.stage.sink.count()), (1, 0));
    let row = daemon.json(&["queue", "show", &id]);
    assert_eq!(row["held"], "its source is hold", "{row}");
    daemon.json(&["source", "release", "app"]);
    daemon.stage.sink.wait(|_| true);
    let said = daemon.cli(&["source", "disable", "nobody"]);
    assert_eq!(said.code, 1, "{}", said.err);
    daemon.stop();
}

/// The answer to the control call means that it is done: the next reply is a refusal. And the
/// answer itself comes soon.
#[test]
fn no_mail_slips_in_after_the_answer() {
    let daemon = Stage::new().start();
    let mut waiting = crate::client::Client::clear(daemon.address("clear"));
    let mut line = Line::open(&daemon.stage.path("control.sock")).unwrap();
    let name = || SourceName::new("app").unwrap();
    let mut took = Vec::new();
    for _ in 0..10 {
        let mut client = daemon.app();
        client.post(&["b@example.net"]);
        let began = Instant::now();
        line.ask(&Request::SourceDisable { name: name(), dry_run: false }).unwrap();
        took.push(began.elapsed());
        // The 421 may be there already; what counts is that no 250 comes any more.
        let reply = client.submit("a@example.org", &["b@example.net"], LETTER);
        assert!(!reply.starts_with("250"), "{reply}");
        line.ask(&Request::SourceEnable { name: name(), dry_run: false }).unwrap();
    }
    assert!(waiting.say("NOOP").starts_with("250"), "another source is not touched");
    println!("source disable took {took:?}");
    // Once in ten a busy machine is not too busy.
    assert!(took.iter().min().unwrap() < &Duration::from_millis(100), "{took:?}");
    assert_eq!(daemon.json(&["source", "show", "app"])["accepted"], 10);
}
