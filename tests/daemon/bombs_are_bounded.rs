//! Content that is made to be expensive: refused, quickly, and without memory that grows with it.
//! And peers that hold much and finish nothing.

use std::time::{Duration, Instant};

use crate::client::{Client, LETTER};
use crate::stage::{Daemon, Stage};

/// The most that the daemon may have resident at any time, in KiB: its idle memory, one message of
/// the largest size in every form it takes, and room for the allocator.
const RESIDENT_KIB_MAX: u64 = 200 * 1024;

/// A line of `/proc/PID/status` in KiB.
fn memory_kib(daemon: &Daemon, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn bombs() -> Vec<(&'static str, String)> {
    let head = "From: <a@example.org>\r\nMIME-Version: 1.0\r\n";
    let nested = |depth: usize| {
        let open =
            |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        head.to_owned() + &(0..depth).map(open).collect::<Vec<_>>().concat()
    };
    let boundaries: String = "--b\r\n\r\nx\r\n".repeat(200_000);
    let long = format!("Subject: {}\r\n", "word ".repeat(150));
    let folded = format!("Subject: x\r\n{}", format!(" {}\r\n", "y".repeat(900)).repeat(5000));
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(5000);
    let parameters: String =
        (0..20_000).fold(String::new(), |text, n| text + &format!(";\r\n a*{n}=x"));
    vec![
        ("a thousand levels", nested(1000)),
        ("a hundred thousand levels", nested(100_000)),
        ("messages in messages", format!("{head}{messages}")),
        (
            "two hundred thousand parts",
            format!("{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n{boundaries}"),
        ),
        ("a header of twenty megabytes", head.to_owned() + &long.repeat(25_000)),
        ("a field of four megabytes", head.to_owned() + &folded),
        ("a hundred thousand fields", head.to_owned() + &"X: y\r\n".repeat(100_000)),
        ("hops", head.to_owned() + &"Received: x\r\n".repeat(1000)),
        ("parameters", format!("{head}Content-Type: text/plain{parameters}\r\n\r\nx")),
        ("addresses", format!("From: {}\r\n", vec!["<a@example.org>"; 50_000].join(",\r\n "))),
    ]
}

#[test]
fn bombs_are_refused_in_bounded_time_and_memory() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    for (name, content) in bombs() {
        let began = Instant::now();
        let reply = app.submit("a@example.org", &["b@example.net"], content.as_bytes());
        assert!(reply.starts_with("55"), "{name}: {reply}");
        assert!(began.elapsed() < Duration::from_secs(10), "{name}: {:?}", began.elapsed());
    }
    // The largest message that is honest passes, one octet more does not.
    let mut large = LETTER.to_vec();
    let line = format!("\r\n{}", "x".repeat(76));
    let room = 26_214_400 - large.len() - 2;
    large.extend(line.repeat(room / line.len()).as_bytes());
    let reply = app.submit("a@example.org", &["b@example.net"], &large);
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    daemon.stage.sink.wait(|message| message.content.len() > large.len());
    large.extend(line.as_bytes());
    let reply = app.submit("a@example.org", &["b@example.net"], &large);
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    let peak = memory_kib(&daemon, "VmHWM:");
    println!("peak {peak} KiB");
    assert!(peak < RESIDENT_KIB_MAX, "{peak} KiB");
    daemon.wait_queued(0);
    daemon.stop();
}

/// Twenty peers that send twelve megabytes each and never end: they cost what they have sent, an
/// honest peer is served all the time, and the memory comes back.
#[test]
fn unfinished_messages_cost_what_was_sent() {
    let daemon = Stage::new().start();
    let before = memory_kib(&daemon, "VmRSS:");
    let part = format!("{}\r\n", "x".repeat(998)).repeat(12 * 1024);
    let hoard = |_| {
        let mut client = Client::clear(daemon.address("clear"));
        client.say("MAIL FROM:<a@example.org>");
        client.say("RCPT TO:<b@example.net>");
        assert!(client.say("DATA").starts_with("354"));
        client.send(b"From: <a@example.org>\r\n\r\n");
        client.send(part.as_bytes());
        client
    };
    let hoarders: Vec<Client> = (0..20).map(hoard).collect();
    let sent = hoarders.len() as u64 * part.len() as u64 / 1024;
    daemon.app().post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    let held = memory_kib(&daemon, "VmRSS:");
    println!("{before} KiB, {held} KiB with {sent} KiB of unfinished messages");
    assert!(held < before + sent * 5 / 4 + 64 * 1024, "{held} KiB");
    drop(hoarders);
    crate::stage::wait_for("memory", || memory_kib(&daemon, "VmRSS:") < before + 100 * 1024);
    daemon.stop();
}
