//! BY= (RFC 2852) and MT-PRIORITY= (RFC 6710) from the application to the next host, and back as a
//! report.

use std::time::Duration;

use crate::client::{Client, LETTER, queue_id};
use crate::sink::Delivered;
use crate::stage::{Daemon, Stage, verifier};

/// A message with these parameters of MAIL; its queue id.
fn submit(app: &mut Client, parameters: &str, recipient: &str) -> String {
    let reply = app.say(&format!("MAIL FROM:<a@example.org>{parameters}"));
    assert!(reply.starts_with("250"), "{reply}");
    assert!(app.say(&format!("RCPT TO:<{recipient}>")).starts_with("250"));
    assert!(app.say("DATA").starts_with("354"));
    app.send(LETTER);
    app.send(b"\r\n.\r\n");
    queue_id(&app.reply())
}

fn report(daemon: &Daemon) -> Delivered {
    daemon.stage.sink.wait(|message| message.reverse_path().is_empty())
}

fn says(report: &Delivered, lines: &[&str]) {
    let text = report.text();
    for line in lines {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line:?} is not in {text}");
    }
}

/// A password that came too late is worth nothing: it is returned, and never delivered.
#[test]
fn with_mode_r_nothing_is_delivered_after_the_deadline() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let id = submit(&mut app, " BY=2;R", "defer@example.net");
    daemon.wait_told("status=deferred");
    let report = report(&daemon);
    says(&report, &["Action: failed", "Status: 5.4.7", "Deliver-By-Date: ", "Arrival-Date: "]);
    daemon.wait_told("status=expired");
    daemon.stage.sink.set_deferring(false);
    daemon.cli(&["queue", "retry", "--all"]);
    daemon.wait_queued(0);
    assert_eq!(daemon.stage.sink.count(), 0);
    // Content that takes longer than the deadline is refused on the spot.
    assert!(app.say("MAIL FROM:<a@example.org> BY=1;R").starts_with("250"));
    assert!(app.say("RCPT TO:<b@example.net>").starts_with("250"));
    assert!(app.say("DATA").starts_with("354"));
    app.send(LETTER);
    std::thread::sleep(Duration::from_millis(1200));
    app.send(b"\r\n.\r\n");
    let reply = app.reply();
    assert!(reply.starts_with("550 5.4.7"), "{reply}");
    let trace = daemon.cli(&["message", "trace", &id]).out;
    assert!(!trace.contains("status=sent"), "{trace}");
    daemon.stop();
}

/// What is kept back by an operator past its deadline is returned as it is let go.
#[test]
fn a_hold_does_not_make_a_late_message_good() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let id = submit(&mut app, " BY=2;R", "defer@example.net");
    daemon.wait_told("status=deferred");
    daemon.json(&["queue", "hold", &id]);
    std::thread::sleep(Duration::from_millis(2500));
    daemon.stage.sink.set_deferring(false);
    daemon.json(&["queue", "release", &id]);
    daemon.cli(&["queue", "retry", "--all"]);
    says(&report(&daemon), &["Action: failed", "Status: 5.4.7"]);
    daemon.wait_queued(0);
    assert_eq!(daemon.stage.sink.count(), 0);
    daemon.stop();
}

/// With mode N the sender is told at the deadline, and delivery goes on.
#[test]
fn with_mode_n_the_sender_is_told_and_delivery_goes_on() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    submit(&mut app, " BY=2;N", "defer@example.net");
    says(&report(&daemon), &["Action: delayed", "Status: 4.4.7", "Will-Retry-Until: "]);
    daemon.stage.sink.set_deferring(false);
    daemon.cli(&["queue", "retry", "--all"]);
    let late = daemon.stage.sink.wait(|message| message.forward_paths() == ["defer@example.net"]);
    assert!(late.recipients[0].ends_with('>'), "DELAY is asked for only in time: {late:?}");
    daemon.wait_queued(0);

    // In time, to a host that does not know the deadline: the sender is told so, and the host
    // shall tell of delays in turn (4.1.4.2).
    submit(&mut app, " BY=600;N", "b@example.net");
    let passed = daemon.stage.sink.wait(|message| message.forward_paths() == ["b@example.net"]);
    assert!(passed.recipients[0].ends_with(" NOTIFY=FAILURE,DELAY"), "{passed:?}");
    assert!(!passed.mail.contains("BY="), "{passed:?}");
    says(&report(&daemon), &["Action: relayed", "Status: 2.0.0"]);
    daemon.wait_queued(0);
    assert_eq!(daemon.stage.sink.count(), 0);
    daemon.stop();
}

/// To a host that knows them, deadline and priority go on; a report is as urgent as its message.
#[test]
fn deadline_and_priority_go_on_to_hosts_that_know_them() {
    let daemon = Stage::new().start();
    daemon.stage.sink.offer(&["DELIVERBY 30", "MT-PRIORITY MIXER"]);
    let mut app = daemon.app();
    let id = submit(&mut app, " BY=600;RT MT-PRIORITY=2", "b@example.net");
    let passed = daemon.stage.sink.wait(|message| message.forward_paths() == ["b@example.net"]);
    assert!(passed.mail.contains(" MT-PRIORITY=2"), "{passed:?}");
    let by = passed.mail.split(" BY=").nth(1).unwrap_or_else(|| panic!("{passed:?}"));
    let secs: u32 = by.split(';').next().unwrap().parse().unwrap();
    assert!((580..600).contains(&secs) && by.starts_with(&format!("{secs};RT")), "{passed:?}");
    assert!(passed.text().contains("\r\n\tpriority 2;\r\n"), "{}", passed.text());
    let trace = report(&daemon);
    says(&trace, &["Action: relayed", "Deliver-By-Date: "]);
    assert!(trace.mail.contains(" MT-PRIORITY=2"), "{trace:?}");
    let accepted = daemon.wait_told("priority=2, deliver-by=2");
    assert!(accepted.contains("from=<a@example.org>"), "{accepted}");
    let explained = daemon.cli(&["message", "explain", &id]).out;
    assert!(explained.contains("priority 2, to be delivered by 2"), "{explained}");
    // Less than the host can promise, and the administrator lets the source hand over in time.
    submit(&mut app, " BY=10;R", "c@example.net");
    let handed = daemon.stage.sink.wait(|message| message.forward_paths() == ["c@example.net"]);
    assert!(!handed.mail.contains("BY=") && handed.mail.contains(" MT-PRIORITY=0"), "{handed:?}");
    daemon.stop();
}

/// RFC 2852 4.1.4.1 to the letter, for a source that is configured so.
#[test]
fn a_strict_deadline_stays_away_from_hosts_that_cannot_promise_it() {
    let mut stage = Stage::new();
    stage.more = format!(
        "[source.strict]\nproof = \"password\"\nuser = \"strict\"\nunsigned = \"allow\"\n\
         deliver_by = \"strict\"\n\
         pairs = [{{ reverse_path = \"*@example.org\", from = \"*@example.org\" }}]\n\
         [source.strict.password]\n{}",
        verifier("sesame")
    );
    let daemon = stage.start();
    let mut app = Client::secure(daemon.address("tls"));
    assert!(app.authenticate("strict", "sesame").starts_with("235"));
    submit(&mut app, " BY=600;R", "b@example.net");
    says(&report(&daemon), &["Action: failed", "Status: 5.3.3", "Deliver-By-Date: "]);
    daemon.wait_queued(0);
    assert_eq!(daemon.stage.sink.count(), 0);
    daemon.stop();
}
