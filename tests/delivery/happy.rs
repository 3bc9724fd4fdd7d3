//! Hosts that behave: what they hear, octet for octet.

use postern::config::checked::{Route, RouteHost, RouteMatch, TlsFloor};
use postern::mail::envelope::{Notify, Ret};

use crate::desk::{CONTENT, carry, config, egress, job, table};
use crate::peer::{EHLO, GREETING, Peer, Step, after_opening, answer, say};

#[tokio::test]
async fn a_pipelining_host_hears_the_envelope_at_once_and_takes_many_messages() {
    let peer = Peer::start("127.0.0.1", 0, vec![after_opening(vec![Step::Serve])]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let jobs = (0..3).map(|_| job(&["x@there.example", "y@there.example"], CONTENT)).collect();
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    assert_eq!(peer.connections(), 1);
    let settled = desk.settled.lock().unwrap();
    assert_eq!(settled.len(), 3);
    assert_eq!(settled[0].relay, format!("mx.there.example[127.0.0.1]:{}", peer.port));
    assert_eq!((settled[0].egress.as_str(), settled[0].tls.as_str()), ("wan", "none"));
    drop(settled);
    assert_eq!(desk.answers()[0], "0 Dot 250 2.0.0 taken");
    assert_eq!(desk.answers().len(), 6);
    assert_eq!(desk.providers.lock().unwrap()[0], "there.example");
    let one = "MAIL FROM:<a@source.example> SIZE=55\r\nRCPT TO:<x@there.example>\r\n\
               RCPT TO:<y@there.example>\r\nDATA\r\nFrom: <a@source.example>\r\n\
               Subject: hello\r\n\r\n..dot\r\nbye\r\n.\r\n";
    assert_eq!(CONTENT.len(), 55);
    let expected = format!("EHLO relay.example\r\n{one}{one}{one}QUIT\r\n");
    assert_eq!(peer.transcript(0), expected);
}

#[tokio::test]
async fn a_host_without_extensions_hears_one_command_at_a_time() {
    let script = vec![
        say("220-hello\r\n220 there\r\n"),
        answer("EHLO", "502 5.5.1 what\r\n"),
        answer("HELO", "250 mx\r\n"),
        answer("MAIL FROM:<a@source.example>\r\n", "250 ok\r\n"),
        answer("RCPT TO:<x@there.example>\r\n", "250 ok\r\n"),
        answer("RCPT TO:<y@there.example>\r\n", "550 no\r\n"),
        answer("DATA", "354 go\r\n"),
        Step::Content,
        say("250 taken\r\n"),
        answer("QUIT", "221 bye\r\n"),
    ];
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let jobs = vec![job(&["x@there.example", "y@there.example"], CONTENT)];
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 taken", "1 Rcpt 550 no"]);
    assert!(peer.transcript(0).ends_with("QUIT\r\n"));
}

#[tokio::test]
async fn parameters_go_only_to_hosts_that_know_them() {
    let bare = "250-mx\r\n250 8BITMIME\r\n";
    for (offer, mail, recipient) in [
        (
            EHLO,
            "MAIL FROM:<a@source.example> SIZE=11 BODY=8BITMIME RET=HDRS ENVID=e+2B\r\n",
            "RCPT TO:<x@there.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@there.example\r\n",
        ),
        (bare, "MAIL FROM:<a@source.example> BODY=8BITMIME\r\n", "RCPT TO:<x@there.example>\r\n"),
    ] {
        let script = vec![say(GREETING), answer("EHLO", offer), Step::Serve];
        let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
        let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
        let mut sent = job(&["x@there.example"], "A:b\r\n\r\né\r\n".as_bytes());
        let parcel = std::sync::Arc::make_mut(&mut sent.parcel);
        parcel.envelope.ret = Some(Ret::Hdrs);
        parcel.envelope.envid = Some("e+2B".into());
        let first = &mut parcel.envelope.recipients[0];
        first.notify = Some(Notify::On { success: true, failure: false, delay: true });
        first.orcpt = Some("rfc822;x@there.example".into());
        let desk = carry(config(egress(peer.port), Vec::new()), names, vec![sent]).await;
        assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"]);
        let heard = peer.transcript(0);
        assert!(heard.contains(mail) && heard.contains(recipient), "{heard}");
    }
}

#[tokio::test]
async fn what_a_host_cannot_take_is_answered_without_a_word() {
    let utf8 = "From: <a@source.example>\r\n\r\nx\r\n";
    let eight = "From: <a@source.example>\r\n\r\né\r\n";
    let cases = [
        ("250 mx\r\n", "jos\u{e9}@there.example", utf8, "0 Ehlo 5.6.7 "),
        ("250 mx\r\n", "x@there.example", eight, "0 Ehlo 5.6.3 "),
        ("250-mx\r\n250 SIZE 5\r\n", "x@there.example", utf8, "0 Ehlo 5.3.4 "),
        ("250 mx\r\n", "x@there.example", "a\nb\r\n", "0 Ehlo 5.6.0 "),
        ("250 mx\r\n", "x@there.example", "a\r\n.\rb\r\n", "0 Ehlo 5.6.0 "),
    ];
    for (offer, recipient, content, expected) in cases {
        let script = vec![say(GREETING), answer("EHLO", offer), answer("QUIT", "221 bye\r\n")];
        let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
        let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
        let jobs = vec![job(&[recipient], content.as_bytes())];
        let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
        assert!(desk.answers()[0].starts_with(expected), "{:?}", desk.answers());
        assert_eq!(peer.transcript(0), "EHLO relay.example\r\nQUIT\r\n");
    }
}

#[tokio::test]
async fn only_the_recipient_that_needs_smtputf8_is_refused_and_a_domain_is_written_in_ascii() {
    let script = vec![say(GREETING), answer("EHLO", "250-mx\r\n250 PIPELINING\r\n"), Step::Serve];
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let jobs = vec![job(&["jos\u{e9}@there.example", "x@b\u{fc}cher.example"], CONTENT)];
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    let answers = desk.answers();
    assert!(answers[0].starts_with("0 Ehlo 5.6.7") && answers[1] == "1 Dot 250 2.0.0 taken");
    assert!(peer.transcript(0).contains("RCPT TO:<x@xn--bcher-kva.example>\r\n"));
}

#[tokio::test]
async fn recipients_are_answered_one_by_one() {
    let script = after_opening(vec![
        answer("MAIL", "250 ok\r\n"),
        answer("RCPT", "250 2.1.5 ok\r\n"),
        answer("RCPT", "550 5.1.1 unknown\r\n"),
        answer("RCPT", "452 4.5.3 too many\r\n"),
        answer("RCPT", "552 5.5.3 too many\r\n"),
        answer("DATA", "354 go\r\n"),
        Step::Content,
        say("250 2.6.0 queued as 1\r\n"),
        answer("QUIT", "221 bye\r\n"),
    ]);
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let recipients = ["a@there.example", "b@there.example", "c@there.example", "d@there.example"];
    let jobs = vec![job(&recipients, CONTENT)];
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    let expected = [
        "0 Dot 250 2.6.0 queued as 1",
        "1 Rcpt 550 5.1.1 unknown",
        "2 Rcpt 452 4.5.3 too many",
        "3 Rcpt 452 4.5.3 too many",
    ];
    assert_eq!(desk.answers(), expected);
}

#[tokio::test]
async fn a_refused_transaction_is_reset_and_the_next_one_follows() {
    let refused = [
        vec![
            answer("MAIL", "250 ok\r\n"),
            answer("RCPT", "550 no\r\n"),
            answer("DATA", "503 5.5.1 no valid recipients\r\n"),
        ],
        // A host that wants content for nobody gets an empty message (RFC 2920 section 3.1).
        vec![
            answer("MAIL", "250 ok\r\n"),
            answer("RCPT", "550 no\r\n"),
            answer("DATA", "354 go\r\n"),
            answer(".\r\n", "554 no valid recipients\r\n"),
        ],
        vec![
            answer("MAIL", "550 no\r\n"),
            answer("RCPT", "503 no\r\n"),
            answer("DATA", "503 no\r\n"),
        ],
    ];
    for steps in refused {
        let reset = !matches!(steps.last(), Some(Step::Answer(".\r\n", _)));
        let mut script = after_opening(steps);
        script.push(Step::Serve);
        let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
        let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
        let jobs = (0..2).map(|_| job(&["x@there.example"], CONTENT)).collect();
        let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
        let answers = desk.answers();
        assert!(answers[0].ends_with("550 no"), "{answers:?}");
        assert_eq!(answers[1], "0 Dot 250 2.0.0 taken");
        assert_eq!(peer.connections(), 1);
        assert_eq!(peer.transcript(0).contains("RSET\r\nMAIL"), reset);
    }
}

#[tokio::test]
async fn a_connection_carries_no_more_messages_than_it_may() {
    let peer = Peer::start("127.0.0.1", 0, vec![after_opening(vec![Step::Serve])]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let mut config = config(egress(peer.port), Vec::new());
    config.lanes.messages_per_connection = 2;
    let jobs = (0..5).map(|_| job(&["x@there.example"], CONTENT)).collect();
    let desk = carry(config, names, jobs).await;
    assert_eq!((desk.answers().len(), peer.connections()), (5, 3));
    assert!((0..3).all(|number| peer.transcript(number).ends_with("QUIT\r\n")));
}

#[tokio::test]
async fn a_smarthost_by_address_takes_everything() {
    let peer = Peer::start("127.0.0.1", 0, vec![after_opening(vec![Step::Serve])]).await;
    let route = Route {
        matches: RouteMatch::Any,
        hosts: vec![(RouteHost::Address("127.0.0.1".parse().unwrap()), peer.port)],
        egress: None,
        tls: TlsFloor::Opportunistic,
    };
    let mut egress = egress(25);
    egress.allow_networks.clear();
    let names = table(&[]);
    let jobs = vec![job(&["x@elsewhere.example"], CONTENT)];
    let desk = carry(config(egress, vec![route]), names, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"]);
}

#[tokio::test]
async fn a_large_message_arrives_octet_for_octet() {
    let line = b"..".iter().chain(&[b'x'; 70]).chain(b"\r\n").copied().collect::<Vec<u8>>();
    let content = line.repeat(10_000);
    let script = after_opening(vec![Step::Serve]);
    let script: Vec<Step> = script
        .into_iter()
        .map(|step| match step {
            Step::Answer("EHLO", _) => answer("EHLO", "250-mx\r\n250 PIPELINING\r\n"),
            step => step,
        })
        .collect();
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "mx.there.example", &["127.0.0.1"])]);
    let jobs = vec![job(&["x@there.example"], &content)];
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 taken"]);
    let heard = peer.heard.lock().unwrap()[0].clone();
    let begin = heard.windows(6).position(|w| w == b"DATA\r\n").unwrap() + 6;
    let stuffed: Vec<u8> = [b".".to_vec(), line].concat().repeat(10_000);
    assert!(heard[begin..].starts_with(&stuffed));
    assert!(heard.ends_with(b"\r\n.\r\nQUIT\r\n"));
}
