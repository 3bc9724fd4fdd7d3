//! What depends on dates and files: a source that expires stops by itself, and a certificate that
//! was renewed is shown after a reload.

use nix::sys::signal::Signal;
use postern::base::time::WallTime;
use std::time::{Duration, SystemTime};

use crate::client::{Client, LETTER};
use crate::stage::Stage;

#[test]
fn a_source_that_expires_stops_in_the_middle_of_a_transaction() {
    let mut stage = Stage::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let end = WallTime(u64::try_from((now + Duration::from_secs(6)).as_millis()).unwrap());
    stage.more = format!(
        "[source.short]\nproof = \"password\"\nuser = \"short\"\nexpires = \"{}\"\n\
         pairs = [{{ reverse_path = \"*@example.org\", from = \"*@example.org\" }}]\n\
         unsigned = \"allow\"\n[source.short.password]\n{}",
        end.rfc3339(),
        crate::stage::verifier("sesame")
    );
    let daemon = stage.start();
    let mut client = Client::secure(daemon.address("tls"));
    assert!(client.authenticate("short", "sesame").starts_with("235 "));
    client.post(&["b@example.net"]);
    assert!(client.say("MAIL FROM:<a@example.org>").starts_with("250"));
    assert!(client.say("RCPT TO:<b@example.net>").starts_with("250"));
    assert!(client.say("DATA").starts_with("354"));
    client.send(LETTER);
    let reply = client.reply();
    assert!(reply.starts_with("421 4.7.0"), "{reply}");
    let late = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(late < now + Duration::from_secs(30), "{late:?}");
    let reply = Client::secure(daemon.address("tls")).authenticate("short", "sesame");
    assert!(reply.starts_with("535 5.7.8"), "{reply}");
    assert_eq!(daemon.json(&["source", "show", "short"])["state"], "expired");
    daemon.stop();
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload() {
    let daemon = Stage::new().start();
    let mut kept = daemon.app();
    let before = Client::secure(daemon.address("tls")).certificate();
    let other = Stage::new();
    for name in ["cert.pem", "key.pem"] {
        std::fs::copy(other.path(name), daemon.stage.path(name)).unwrap();
    }
    daemon.signal(Signal::SIGHUP);
    crate::stage::wait_for("another certificate", || {
        Client::secure(daemon.address("tls")).certificate() != before
    });
    assert!(kept.say("NOOP").starts_with("250"));
    // Half a renewal: the key does not fit. The old pair stays, and it is said.
    let shown = Client::secure(daemon.address("tls")).certificate();
    std::fs::copy(Stage::new().path("key.pem"), daemon.stage.path("key.pem")).unwrap();
    let said = daemon.cli(&["config", "reload"]);
    assert_eq!(said.code, 2, "{} {}", said.out, said.err);
    assert_eq!(Client::secure(daemon.address("tls")).certificate(), shown);
    daemon.stop();
}
