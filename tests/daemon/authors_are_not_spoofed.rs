//! Spoofed authors from sources that are known and have authenticated: none of them gets through,
//! and honest mail of the same sources does.

use std::fmt::Write as _;

use crate::authors::{FORMS, HONEST, PRETENDERS, filled, letter};
use crate::client::Client;
use crate::stage::{Daemon, Stage, verifier};

fn stage() -> Stage {
    let mut stage = Stage::new();
    for (name, pairs, _) in PRETENDERS {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(path, from)| format!("{{ reverse_path = \"{path}\", from = \"{from}\" }}"))
            .collect();
        let pairs = pairs.join(", ");
        let _ = write!(
            stage.more,
            "[source.{name}]\nproof = \"password\"\nuser = \"{name}\"\npairs = [{pairs}]\n\
             unsigned = \"allow\"\n[source.{name}.password]\n{}\n",
            verifier("sesame")
        );
    }
    stage
}

fn known(daemon: &Daemon, name: &str) -> Client {
    let mut client = Client::secure(daemon.address("tls"));
    let reply = client.authenticate(name, "sesame");
    assert!(reply.starts_with("235 "), "{reply}");
    client
}

/// The replies to one transaction.
fn submit(client: &mut Client, sender: &str, utf8: bool, content: &str) -> Vec<String> {
    let parameter = if utf8 { " SMTPUTF8" } else { "" };
    let mut heard = vec![
        client.say(&format!("MAIL FROM:<{sender}>{parameter}")),
        client.say("RCPT TO:<someone@receiver.example>"),
        client.say("DATA"),
    ];
    if heard[2].starts_with("354") {
        client.send(content.as_bytes());
        client.send(b".\r\n");
        heard.push(client.reply());
    }
    heard
}

#[test]
fn no_form_of_from_passes_for_somebody_else() {
    let daemon = stage().start();
    assert!(FORMS.len() >= 100, "{} forms", FORMS.len());
    let (mut tried, mut passed) = (0, Vec::new());
    for (name, _, sender) in PRETENDERS {
        let mut client = known(&daemon, name);
        for form in FORMS {
            for utf8 in [false, true] {
                let content = letter(&filled(form, name));
                let mut heard = submit(&mut client, sender, utf8, &content);
                if heard[0].starts_with("421") || heard[0].is_empty() {
                    // Too many errors, or a line ending that ended the last session.
                    client = known(&daemon, name);
                    heard = submit(&mut client, sender, utf8, &content);
                }
                tried += 1;
                let last = heard.last().unwrap();
                assert!(heard.len() == 4, "{name}: {form:?} never came to its content: {heard:?}");
                if last.starts_with('2') {
                    passed.push((name, form, utf8));
                }
                if !last.starts_with("55") {
                    client = known(&daemon, name);
                }
            }
        }
    }
    assert!(passed.is_empty(), "{} of {tried}: {passed:#?}", passed.len());
    assert_eq!(daemon.json(&["status"])["totals"]["accepted"], 0);
    assert_eq!((daemon.queued(), daemon.stage.sink.count()), (0, 0));
}

#[test]
fn honest_forms_pass() {
    let daemon = stage().start();
    for (name, _, sender) in PRETENDERS {
        let mut client = known(&daemon, name);
        for form in HONEST {
            let heard = submit(&mut client, sender, false, &letter(&filled(form, name)));
            assert!(heard[3].starts_with("250 2.0.0"), "{name}: {form:?}: {heard:?}");
        }
    }
    for _ in 0..PRETENDERS.len() * HONEST.len() {
        daemon.stage.sink.wait(|_| true);
    }
    daemon.wait_queued(0);
}
