//! STARTTLS: used when offered, never followed by clear text when it fails.

use std::sync::Arc;
use std::time::Duration;

use postern::config::checked::{Route, RouteMatch, TlsFloor};

use crate::desk::{CONTENT, carry, carry_patiently, config, egress, job, table};
use crate::peer::{EHLO, GREETING, Peer, Step, after_opening, answer, say};

const OFFER: &str = "250-mx.there.example\r\n250-SIZE 5\r\n250 STARTTLS\r\n";

/// Greeting, EHLO, and this answer to STARTTLS.
fn starttls(reply: &str) -> Vec<Step> {
    vec![say(GREETING), answer("EHLO", OFFER), answer("STARTTLS", reply)]
}

#[tokio::test]
async fn an_offer_is_taken_and_what_was_offered_before_is_forgotten() {
    let mut script = starttls("220 go\r\n");
    script.extend([Step::Tls, answer("EHLO", EHLO), Step::Serve]);
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let jobs = (0..2).map(|_| job(&["x@there.example"], CONTENT)).collect();
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    // SIZE 5 of the clear channel would have refused the message.
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"; 2]);
    let settled = desk.settled.lock().unwrap();
    assert_eq!(settled[0].tls, "TLSv1.3 TLS_AES_256_GCM_SHA384");
    let heard = peer.transcript(0);
    assert_eq!(heard.matches("EHLO relay.example\r\n").count(), 2);
    assert!(heard.contains("STARTTLS\r\nEHLO") && heard.ends_with("QUIT\r\n"));
}

#[tokio::test]
async fn a_failed_tls_is_never_followed_by_clear_text() {
    let broken = [
        starttls("454 4.7.0 not now\r\n"),
        starttls("500 what\r\n"),
        starttls("220 go\r\n250 injected\r\n"),
        starttls("220 go\r\n220"),
        [starttls("220 go\r\n"), vec![say("not TLS at all\r\n"), Step::Hang]].concat(),
        starttls("220 go\r\n"),
        [starttls("220 go\r\n"), vec![Step::Hang]].concat(),
    ];
    for script in broken {
        let peer = Peer::start("127.0.0.1", 0, vec![script.clone()]).await;
        let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
        let jobs = vec![job(&["x@there.example"], CONTENT)];
        let config = config(egress(peer.port), Vec::new());
        let desk = carry_patiently(config, Arc::new(names), jobs, Duration::from_millis(700)).await;
        let answers = desk.answers();
        let known = ["0 StartTls 4.7.5 ", "0 StartTls 454 4.7.0 ", "0 StartTls 500 what"];
        assert!(known.iter().any(|known| answers[0].starts_with(known)), "{answers:?} {script:?}");
        for number in 0..peer.connections() {
            assert!(!peer.transcript(number).contains("MAIL"), "{script:?}");
        }
    }
}

#[tokio::test]
async fn a_host_with_broken_tls_is_followed_by_the_next() {
    let better = Peer::start("127.0.0.1", 0, vec![starttls("220 go\r\n250 injected\r\n")]).await;
    let serve = vec![after_opening(vec![Step::Serve])];
    let other = Peer::start("127.0.0.2", better.port, serve).await;
    let names = table(&[(10, "a.example", &["127.0.0.1"]), (20, "b.example", &["127.0.0.2"])]);
    let jobs = vec![job(&["x@there.example"], CONTENT)];
    let desk = carry(config(egress(better.port), Vec::new()), names, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"]);
    assert_eq!((better.connections(), other.connections()), (1, 1));
}

#[tokio::test]
async fn a_host_that_breaks_off_gets_a_smaller_handshake_and_is_remembered() {
    let mut good = starttls("220 go\r\n");
    good.extend([Step::Tls, answer("EHLO", EHLO), Step::Serve]);
    let peer = Peer::start("127.0.0.1", 0, vec![starttls("220 go\r\n"), good]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let mut config = config(egress(peer.port), Vec::new());
    config.lanes.messages_per_connection = 1;
    let jobs = (0..2).map(|_| job(&["x@there.example"], CONTENT)).collect();
    let desk = carry(config, names, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"; 2]);
    assert_eq!(peer.connections(), 3);
}

#[tokio::test]
async fn a_floor_keeps_mail_from_hosts_without_tls() {
    let script = after_opening(vec![Step::Serve]);
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let route = Route {
        matches: RouteMatch::Any,
        hosts: Vec::new(),
        egress: None,
        tls: TlsFloor::Encrypted,
    };
    let jobs = vec![job(&["x@there.example"], CONTENT)];
    let desk = carry(config(egress(peer.port), vec![route]), names, jobs).await;
    assert!(desk.answers()[0].starts_with("0 StartTls 4.7.5 "), "{:?}", desk.answers());
    assert_eq!(peer.transcript(0), "EHLO relay.example\r\n");
}
