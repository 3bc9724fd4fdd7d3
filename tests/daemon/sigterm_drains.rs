//! SIGTERM: nobody new, what is in hand may end, and nothing that was acknowledged is lost.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::{Client, LETTER, queue_id};
use crate::stage::Stage;

#[test]
fn a_transaction_in_flight_ends_and_its_mail_is_kept() {
    let mut daemon = Stage::new().start();
    daemon.stage.sink.set_stalled(true);
    let mut idle = daemon.app();
    let waiting = idle.post(&["first@example.net"]);
    let mut busy = daemon.app();
    assert!(busy.say("MAIL FROM:<a@example.org>").starts_with("250"));
    assert!(busy.say("RCPT TO:<second@example.net>").starts_with("250"));
    assert!(busy.say("DATA").starts_with("354"));
    busy.send(&LETTER[..20]);
    // The receiving host has the first message in hand and does not answer.
    crate::stage::wait_for("a delivery in flight", || {
        daemon.json(&["status"])["queue"]["in_flight"] == 1
    });
    let address = daemon.address("starttls");
    daemon.signal(Signal::SIGTERM);
    let reply = idle.reply();
    assert!(reply.starts_with("421 4.3.2"), "{reply}");
    daemon.wait_told("stopping: SIGTERM");
    std::thread::sleep(Duration::from_millis(200));
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody new is let in");
    busy.send(&LETTER[20..]);
    busy.send(b"\r\n.\r\n");
    let second = queue_id(&busy.reply());
    assert!(busy.reply().starts_with("421 4.3.2"));
    // The delivery in flight gets its answer before the end.
    daemon.stage.sink.set_stalled(false);
    assert!(daemon.wait_end().success(), "{}", daemon.told());
    let told = daemon.told();
    assert!(told.contains(&format!("{waiting}: removed")), "{told}");
    let first = daemon.stage.sink.take(|message| message.forward_paths() == ["first@example.net"]);
    assert!(first.is_some());

    let daemon = daemon.leave().start();
    daemon.stage.sink.wait(|message| message.forward_paths() == ["second@example.net"]);
    daemon.wait_told(&format!("{second}: removed"));
    assert_eq!(daemon.stage.sink.count(), 0, "nothing was sent twice");
    daemon.stop();
}

/// A peer that never ends its message does not hold the end up for ever, and hears so.
#[test]
fn a_transaction_that_does_not_end_hears_421() {
    let mut daemon = Stage::new().start();
    let mut slow = Client::clear(daemon.address("clear"));
    assert!(slow.say("MAIL FROM:<a@example.org>").starts_with("250"));
    assert!(slow.say("RCPT TO:<b@example.net>").starts_with("250"));
    assert!(slow.say("DATA").starts_with("354"));
    let began = Instant::now();
    daemon.signal(Signal::SIGTERM);
    // Half of DRAIN_TIMEOUT; a client that keeps sending is not a client that ends.
    let status = loop {
        if let Some(status) = daemon.try_end() {
            break status;
        }
        slow.send(b"x\r\n");
        std::thread::sleep(Duration::from_millis(200));
        assert!(began.elapsed() < Duration::from_secs(40), "it does not end");
    };
    assert!(status.success(), "{}", daemon.told());
    assert!(slow.reply().starts_with("421 4.3.2"));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(!daemon.stage.path("control.sock").exists());
}
