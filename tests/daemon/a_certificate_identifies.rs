//! A client certificate says who speaks: the right one is enough, an unknown one is refused, and
//! without one AUTH is as good as ever.

use crate::client::{Client, Identity, LETTER};
use crate::stage::Stage;

fn stage(known: &Identity) -> Stage {
    let mut stage = Stage::new();
    stage.more = format!(
        "[source.card]\nproof = \"certificate\"\ncertificate_spki_sha256 = [\"{}\"]\n\
         pairs = [{{ reverse_path = \"*@example.org\", from = \"*@example.org\" }}]\n\
         unsigned = \"allow\"\n",
        known.spki_sha256
    );
    stage
}

#[test]
fn the_right_one_the_wrong_one_and_none() {
    let known = Identity::new();
    let daemon = stage(&known).start();
    for door in ["tls", "starttls"] {
        let connect = |identity: Option<&Identity>| {
            if door == "tls" {
                return Client::secure_as(daemon.address(door), identity);
            }
            let mut client = Client::clear(daemon.address(door));
            assert!(client.say("STARTTLS").starts_with("220 "));
            client.shake_hands(identity);
            assert!(client.say("EHLO client.example.org").starts_with("250"));
            client
        };
        let to = ["b@example.net"];
        let reply = connect(Some(&known)).submit("a@example.org", &to, LETTER);
        assert!(reply.starts_with("250 2.0.0"), "{door}: {reply}");
        daemon.stage.sink.wait(|_| true);
        // Its source may not send as somebody else either.
        let reply = connect(Some(&known)).submit("a@example.com", &to, LETTER);
        assert!(reply.starts_with("550 5.7.1"), "{door}: {reply}");

        let stranger = Identity::new();
        let mut client = connect(Some(&stranger));
        let reply = client.submit("a@example.org", &to, LETTER);
        assert!(reply.starts_with("550 5.7.1"), "{door}: {reply}");
        // An unknown certificate does not stand in the way of a right password.
        assert!(client.authenticate("app", "sesame").starts_with("235 "));
        let reply = client.submit("a@example.org", &to, LETTER);
        assert!(reply.starts_with("250 2.0.0"), "{door}: {reply}");
        daemon.stage.sink.wait(|_| true);

        let mut client = connect(None);
        let reply = client.submit("a@example.org", &to, LETTER);
        assert!(reply.starts_with("530 5.7.0"), "{door}: {reply}");
        assert!(client.authenticate("app", "sesame").starts_with("235 "));
        let reply = client.submit("a@example.org", &to, LETTER);
        assert!(reply.starts_with("250 2.0.0"), "{door}: {reply}");
        daemon.stage.sink.wait(|_| true);
    }
    let row = daemon.json(&["source", "show", "card"]);
    assert_eq!(row["accepted"], 2, "{row}");
    daemon.stop();
}
