//! `postern trace smtp`: the dialogue of one source or of one destination as it is spoken, and
//! neither a secret nor a word of content in it.

use crate::client::Client;
use crate::stage::{Daemon, Said, Stage};

/// What a trace shows while `work` is done.
fn traced(daemon: &Daemon, of: [&str; 2], work: impl FnOnce()) -> Said {
    let words = ["trace", "smtp", of[0], of[1], "--for", "4s"];
    std::thread::scope(|scope| {
        let trace = scope.spawn(|| daemon.cli(&words));
        daemon.wait_told(&format!("{} {}", of[0].trim_start_matches('-'), of[1]));
        work();
        trace.join().unwrap()
    })
}

const LETTER: &[u8] = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: nobody reads this\r\n\
    Date: Sun, 29 Nov 2026 02:30:00 +0000\r\nMessage-ID: <trace@example.org>\r\n\r\n\
    MAIL FROM:<hidden@example.org>\r\n";

#[test]
fn a_source_is_seen_from_its_first_word_without_secret_and_content() {
    let daemon = Stage::new().start();
    let shown = traced(&daemon, ["--source", "app"], || {
        let mut other = Client::clear(daemon.address("clear"));
        other.submit("b@example.org", &["other@example.net"], LETTER);
        let mut app = daemon.app();
        app.submit("a@example.org", &["b@example.net"], LETTER);
    });
    assert_eq!(shown.code, 0, "{}", shown.err);
    let text = shown.out;
    for line in [
        "C: EHLO ",
        "C: AUTH PLAIN (secret)",
        "S: 235 ",
        "C: MAIL FROM:<a@example.org>",
        "C: RCPT TO:<b@example.net>",
        "S: 354 ",
        " octets of content)",
        "C: .",
        "S: 250 2.0.0 ",
        "-- encrypted: TLSv1.3",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for hidden in ["nobody reads", "hidden@", "other@", "b@example.org"] {
        assert!(!text.contains(hidden), "{hidden} is in\n{text}");
    }
    // The credentials in base64 (`\0app\0sesame`), whole or in part.
    assert!(!text.contains("AGFwc"), "{text}");
    assert!(daemon.told().contains("trace smtp"), "the deed is told");
    daemon.stop();
}

#[test]
fn a_destination_is_seen_as_its_host_speaks() {
    let daemon = Stage::new().start();
    let shown = traced(&daemon, ["--destination", "Example.NET"], || {
        let mut app = daemon.app();
        app.submit("a@example.org", &["b@example.net"], LETTER);
        app.submit("a@example.org", &["c@example.com"], LETTER);
        daemon.stage.sink.wait(|_| true);
        daemon.stage.sink.wait(|_| true);
    });
    assert_eq!(shown.code, 0, "{}", shown.err);
    let text = shown.out;
    for line in ["-- connected to ", "S: 220 ", "C: EHLO ", "C: RCPT TO:<b@example.net>"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for hidden in ["nobody reads", "hidden@", "c@example.com", "AUTH"] {
        assert!(!text.contains(hidden), "{hidden} is in\n{text}");
    }
    // A source that does not exist, and both at once.
    assert_eq!(daemon.cli(&["trace", "smtp", "--source", "nobody"]).code, 1);
    assert_eq!(daemon.cli(&["trace", "smtp", "--destination", "a b"]).code, 2);
    assert_eq!(daemon.cli(&["trace", "smtp", "--source", "app", "--destination", "b.c"]).code, 2);
    daemon.stop();
}
