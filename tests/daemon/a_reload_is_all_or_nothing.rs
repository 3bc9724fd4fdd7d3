//! SIGHUP and `config reload`: a good document is put in force without dropping a connection, a
//! bad one changes nothing and says so; and what the `config` verbs show.

use std::fs;

use nix::sys::signal::Signal;

use crate::client::{Client, LETTER};
use crate::stage::{PROGRAM, Said, Stage, verifier};

#[test]
fn a_good_document_counts_and_a_bad_one_does_not() {
    let mut daemon = Stage::new().start();
    let mut kept = daemon.app();
    let path = daemon.stage.path("postern.toml");
    let (path_text, good) = (path.display().to_string(), daemon.stage.document());
    let more = format!(
        "[source.new]\nproof = \"password\"\nuser = \"new\"\n\
         pairs = [{{ reverse_path = \"*@example.org\", from = \"*@example.org\" }}]\n\
         [source.new.password]\n{}",
        verifier("swordfish")
    );
    assert!(
        Client::secure(daemon.address("tls")).authenticate("new", "swordfish").starts_with("535")
    );

    fs::write(&path, good.replace("recipients_max = 7", "") + "\nnonsense = 1\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    let line = daemon.wait_told(" refused: ");
    assert!(line.contains("nonsense"), "{line}");
    assert!(kept.say("NOOP").starts_with("250"));
    let said = daemon.cli(&["config", "reload", "--json"]);
    assert_eq!(said.code, 2, "{} {}", said.out, said.err);
    assert!(said.out.contains("nonsense"), "{}", said.out);
    kept.post(&["b@example.net"]);

    // A change that only a restart can make is not silently ignored.
    fs::write(&path, good.replace("kind = \"submission\"", "kind = \"smtp\"")).unwrap();
    let said = daemon.cli(&["config", "reload"]);
    assert_eq!(said.code, 2, "{} {}", said.out, said.err);
    assert!(said.out.contains("restart"), "{} {}", said.out, said.err);

    fs::write(&path, format!("{good}\n{more}")).unwrap();
    let changes = daemon.json(&["config", "diff"]);
    let keys: Vec<&str> =
        changes.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("source.new")), "{keys:?}");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_told("in force, 3 sources");
    assert!(
        Client::secure(daemon.address("tls")).authenticate("new", "swordfish").starts_with("235")
    );
    assert_eq!(daemon.json(&["config", "diff"]), serde_json::json!([]));

    // A source that is gone from the document is gone, also from sessions that it has open.
    let mut gone = Client::secure(daemon.address("tls"));
    assert!(gone.authenticate("new", "swordfish").starts_with("235"));
    fs::write(&path, &good).unwrap();
    assert_eq!(daemon.cli(&["config", "reload"]).code, 0);
    let reply = gone.submit("a@example.org", &["b@example.net"], LETTER);
    assert!(reply.starts_with("421"), "{reply}");
    assert!(kept.say("NOOP").starts_with("250"), "the oldest connection is still there");
    kept.post(&["b@example.net"]);

    // A document that vanished.
    fs::remove_file(&path).unwrap();
    assert_eq!(daemon.cli(&["config", "reload"]).code, 2);
    kept.post(&["b@example.net"]);
    fs::write(&path, &good).unwrap();

    let settings = daemon.json(&["config", "show"]);
    let settings = settings.as_array().unwrap();
    let hostname = settings.iter().find(|row| row["key"] == "hostname").unwrap();
    assert_eq!(hostname["value"], "gw.example.org");
    assert!(!daemon.cli(&["config", "show"]).out.contains("argon2id$"));
    assert_eq!(daemon.cli(&["config", "check", &path_text]).code, 0);
    daemon.stage.more = "[source.bad]\n".to_owned();
    let bad = daemon.stage.path("bad.toml");
    fs::write(&bad, daemon.stage.document()).unwrap();
    let bad = bad.display().to_string();
    assert_eq!(daemon.cli(&["config", "check", &bad]).code, 2);
    assert_eq!(daemon.cli(&["config", "diff", &bad]).code, 2);
    daemon.stop();
}

/// What cannot be put in force ends with 2, and says why on standard error.
#[test]
fn a_wrong_document_ends_with_2() {
    let stage = Stage::new();
    let serve = |document: Option<&str>| {
        let path = stage.path("postern.toml");
        match document {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let mut command = std::process::Command::new(PROGRAM);
        Said::of(&command.args(["serve", "--config"]).arg(&path).output().unwrap())
    };
    let good = stage.document();
    let ten = good
        .replace("version = 1", "version = 9")
        .replace("\"gw.example.org\"", "\"not a name\"")
        .replace("kind = \"submissions\"", "kind = \"imap\"")
        .replace("proof = \"network\"", "proof = \"trust\"")
        .replace("device = \"lo\"", "device = 5")
        .replace("domain = \"*\"", "domain = \"*.*\"")
        .replace("connections_max = 1", "connections_max = 0")
        .replace("first = \"30s\"", "first = \"soon\"")
        .replace("total_max = 20000", "total_max = 1")
        .replace("ballast = \"1MiB\"", "balast = \"1MiB\"");
    let said = serve(Some(&ten));
    assert_eq!(said.code, 2, "{}", said.err);
    let count = said.err.lines().last().unwrap_or_default();
    assert!(count.ends_with("complaint(s), not started"), "{}", said.err);
    for key in [
        "version",
        "hostname",
        "listener.tls.kind",
        "source.net.proof",
        "egress.lo.device",
        "route[0].domain",
        "lanes.connections_max",
        "retry.transactional.first",
        "connections.per_address_max",
        "spool.balast",
    ] {
        assert!(said.err.contains(key), "{key} in {}", said.err);
    }
    assert_eq!(serve(Some("not = [toml")).code, 2);
    assert_eq!(serve(None).code, 2);
    // What the document cannot know is a failure, not a wrong document.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let said = serve(Some(&good.replacen("127.0.0.1:0", &port.to_string(), 1)));
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains(&port.to_string()), "{}", said.err);
    // Wrong usage is 2 as well.
    let mut command = std::process::Command::new(PROGRAM);
    assert_eq!(Said::of(&command.arg("nonsense").output().unwrap()).code, 2);
}
