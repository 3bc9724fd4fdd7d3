//! Two hundred ways to ask for a relay × every failed way to show who one is, over sockets:
//! nothing is accepted, nothing leaves.

use crate::client::{Client, Identity, LETTER};
use crate::probes::{TARGET, TARGET_DOMAIN, recipients};
use crate::stage::{Daemon, Stage, verifier};

/// A stranger's connection, after whatever it shows as evidence.
type Approach = fn(&Daemon, &Identity) -> Client;

fn without_auth(daemon: &Daemon, _: &Identity) -> Client {
    Client::secure(daemon.address("tls"))
}

fn with_failed_auth(daemon: &Daemon, _: &Identity) -> Client {
    let mut client = Client::secure(daemon.address("tls"));
    let reply = client.authenticate("app", "opensesame");
    assert!(["535 5.7.8", "454 4.7.0"].contains(&&reply[..9]), "{reply}");
    client
}

fn from_the_wrong_network(daemon: &Daemon, _: &Identity) -> Client {
    Client::clear(daemon.address("clear"))
}

fn with_a_password_from_the_wrong_network(daemon: &Daemon, _: &Identity) -> Client {
    let mut client = Client::secure(daemon.address("tls"));
    let reply = client.authenticate("far", "sesame");
    assert!(["535 5.7.8", "454 4.7.0"].contains(&&reply[..9]), "{reply}");
    client
}

fn with_the_wrong_certificate(daemon: &Daemon, stranger: &Identity) -> Client {
    Client::secure_as(daemon.address("tls"), Some(stranger))
}

/// Everything that the daemon says to one attempt with `sender` and `recipient`.
fn attempt(mut client: Client, sender: &str, recipient: &str) -> Vec<String> {
    let mut heard = vec![
        client.say(&format!("MAIL FROM:<{sender}>")),
        client.say(&format!("RCPT TO:<{recipient}>")),
        client.say("DATA"),
    ];
    client.send(LETTER);
    client.send(b"\r\n.\r\nQUIT\r\n");
    loop {
        let reply = client.reply();
        if reply.is_empty() {
            return heard;
        }
        heard.push(reply);
    }
}

#[test]
fn no_form_is_relayed_for_anybody_unknown() {
    let mut stage = Stage::new();
    stage.near = "10.1.2.0/24".to_owned();
    let (known, stranger) = (Identity::new(), Identity::new());
    let pairs = "pairs = [{ reverse_path = \"*@example.org\", from = \"*@example.org\" }]";
    stage.more = format!(
        "[source.far]\nproof = \"password\"\nuser = \"far\"\n\
         networks = [\"10.1.2.0/24\"]\n{pairs}\n[source.far.password]\n{}\n[source.card]\nproof = \"certificate\"\n{pairs}\n\
         certificate_spki_sha256 = [\"{}\"]\n",
        verifier("sesame"),
        known.spki_sha256
    );
    let daemon = stage.start();
    let approaches: [(&str, Approach); 5] = [
        ("no AUTH", without_auth),
        ("failed AUTH", with_failed_auth),
        ("wrong network", from_the_wrong_network),
        ("password from the wrong network", with_a_password_from_the_wrong_network),
        ("wrong certificate", with_the_wrong_certificate),
    ];
    let forms = recipients();
    assert!(forms.len() >= 200, "{} forms", forms.len());
    let target = format!("{TARGET}@{TARGET_DOMAIN}");
    let mut tried = 0;
    for (name, approach) in approaches {
        for form in &forms {
            for (sender, recipient) in [("a@example.org", &**form), (&**form, &*target)] {
                let heard = attempt(approach(&daemon, &stranger), sender, recipient);
                let taken = |reply: &String| {
                    ["354", "250 2.0.0", "250 2.1"].iter().any(|code| reply.starts_with(code))
                };
                let taken = heard.iter().any(taken);
                assert!(!taken, "{name}: <{sender}> -> <{recipient}>: {heard:?}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 2000, "{tried} attempts");
    let totals = &daemon.json(&["status"])["totals"];
    assert_eq!(totals["accepted"], 0, "{totals}");
    assert_eq!((daemon.queued(), daemon.stage.sink.count()), (0, 0));
}
