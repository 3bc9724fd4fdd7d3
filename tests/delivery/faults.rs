//! Hosts that misbehave, at every point of the conversation.

use std::sync::Arc;
use std::time::Duration;

use postern::mail::answer::Phase;

use crate::desk::{
    CONTENT, TestDesk, carry, carry_at, carry_patiently, config, egress, job, table,
};
use crate::peer::{EHLO, GREETING, Peer, Step, after_opening, answer, say};

/// Plays `first` at the better MX and an ordinary host at the other one.
async fn two_hosts(first: Vec<Step>) -> (Vec<String>, Peer, Peer) {
    let better = Peer::start("127.0.0.1", 0, vec![first]).await;
    let other = Peer::start("127.0.0.2", better.port, vec![after_opening(vec![Step::Serve])]).await;
    let names =
        table(&[(10, "a.there.example", &["127.0.0.1"]), (20, "b.there.example", &["127.0.0.2"])]);
    let jobs = vec![job(&["x@there.example"], CONTENT)];
    let config = config(egress(better.port), Vec::new());
    let desk = carry_patiently(config, Arc::new(names), jobs, Duration::from_millis(700)).await;
    (desk.answers(), better, other)
}

/// Plays `script` at the only MX.
async fn one_host(script: Vec<Step>) -> Vec<String> {
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "a.there.example", &["127.0.0.1"])]);
    let jobs = vec![job(&["x@there.example"], CONTENT)];
    let config = config(egress(peer.port), Vec::new());
    let desk = carry_patiently(config, Arc::new(names), jobs, Duration::from_millis(700)).await;
    desk.answers()
}

#[tokio::test]
async fn a_host_that_cannot_be_used_is_followed_by_the_next() {
    let pause = Duration::from_millis(100);
    let useless = [
        vec![say("421 4.3.2 busy\r\n")],
        vec![say("450 4.7.1 later\r\n")],
        vec![say("554 5.7.1 not you\r\n")],
        vec![say("HTTP/1.1 400 Bad Request\r\n")],
        vec![say("354 what\r\n")],
        vec![],
        vec![Step::Reset],
        vec![Step::Hang],
        vec![Step::Endless(b"220-x\r\n".to_vec(), Duration::ZERO)],
        vec![Step::Endless(b"2".to_vec(), pause)],
        vec![Step::Endless(vec![b'2'; 1 << 16], Duration::ZERO)],
        vec![say(GREETING)],
        vec![say(GREETING), answer("EHLO", "421 4.3.2 closing\r\n")],
        vec![say(GREETING), answer("EHLO", "554 5.7.1 no\r\n")],
        vec![say(GREETING), answer("EHLO", "500 what\r\n"), answer("HELO", "500 what\r\n")],
        vec![say(GREETING), answer("EHLO", "250-a\r\n"), Step::Hang],
    ];
    for script in useless {
        let (answers, better, other) = two_hosts(script.clone()).await;
        assert_eq!(answers, ["0 Dot 250 2.0.0 taken"], "{script:?}");
        assert_eq!((better.connections(), other.connections()), (1, 1), "{script:?}");
    }
}

#[tokio::test]
async fn without_another_host_the_answer_says_how_far_it_came() {
    let cases = [
        (vec![say("421 4.3.2 busy\r\n")], "0 Greeting 421 4.3.2 busy"),
        (vec![say("554 5.7.1 not you\r\n")], "0 Greeting 554 5.7.1 not you"),
        (vec![], "0 Greeting 4.4.2 the host closed the connection"),
        (vec![Step::Hang], "0 Greeting 4.4.2 the host took too long"),
        (vec![say("nonsense\r\n")], "0 Greeting 4.5.0 a reply does not follow RFC 5321 4.2"),
        (vec![say(GREETING)], "0 Ehlo 4.4.2 the host closed the connection"),
    ];
    for (script, expected) in cases {
        assert_eq!(one_host(script).await, [expected]);
    }
}

#[tokio::test]
async fn a_passing_refusal_outweighs_one_for_good() {
    for scripts in
        [["554 5.7.1 no\r\n", "421 4.3.2 busy\r\n"], ["421 4.3.2 busy\r\n", "554 no\r\n"]]
    {
        let a = Peer::start("127.0.0.1", 0, vec![vec![say(scripts[0])]]).await;
        let _b = Peer::start("127.0.0.2", a.port, vec![vec![say(scripts[1])]]).await;
        let names = table(&[(10, "a.example", &["127.0.0.1"]), (20, "b.example", &["127.0.0.2"])]);
        let jobs = vec![job(&["x@there.example"], CONTENT)];
        let desk = carry(config(egress(a.port), Vec::new()), names, jobs).await;
        assert_eq!(desk.answers(), ["0 Greeting 421 4.3.2 busy"]);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_answered_by_its_phase_and_only_the_dot_is_in_doubt() {
    let mail = || answer("MAIL", "250 ok\r\n");
    let to = || answer("RCPT", "250 ok\r\n");
    let data = || answer("DATA", "354 go\r\n");
    let cases = [
        (vec![], Phase::Mail, false),
        (vec![mail()], Phase::Rcpt, false),
        (vec![mail(), to()], Phase::Data, false),
        (vec![mail(), to(), data(), Step::Content], Phase::Dot, true),
        (vec![mail(), to(), data(), Step::Content, Step::Reset], Phase::Dot, true),
        (vec![mail(), to(), data(), Step::Content, Step::Hang], Phase::Dot, true),
        (vec![mail(), to(), data(), Step::Content, say("25")], Phase::Dot, true),
        (vec![mail(), to(), data(), Step::Content, say("hm\r\n")], Phase::Dot, true),
        (vec![mail(), to(), data(), Step::Content, say("354 more\r\n")], Phase::Dot, true),
        (vec![mail(), Step::Hang], Phase::Rcpt, false),
        (vec![mail(), to(), Step::Hang], Phase::Data, false),
    ];
    for (steps, phase, in_doubt) in cases {
        let answers = one_host(after_opening(steps.clone())).await;
        let expected = format!("0 {phase:?} 4.");
        assert!(answers[0].starts_with(&expected), "{answers:?} {steps:?}");
        assert_eq!(answers[0].ends_with("in doubt"), in_doubt, "{answers:?} {steps:?}");
    }
}

#[tokio::test]
async fn a_host_that_refuses_in_the_middle_of_the_content_is_believed() {
    let script = after_opening(vec![
        answer("MAIL", "250 ok\r\n"),
        answer("RCPT", "250 ok\r\n"),
        answer("DATA", "354 go\r\n"),
        Step::Take(1000),
        say("552 5.3.4 too big\r\n"),
        Step::Hang,
    ]);
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "a.there.example", &["127.0.0.1"])]);
    let content = b"xxxxxxxx\r\n".repeat(90_000);
    let jobs = vec![job(&["x@there.example"], &content)];
    let mut script = config(egress(peer.port), Vec::new());
    script.message_octets_max = 1 << 30;
    let desk = carry_patiently(script, Arc::new(names), jobs, Duration::from_secs(2)).await;
    let answers = desk.answers();
    // The host may be heard before or after the last octet has left us, never in doubt.
    assert!(answers[0].ends_with("552 5.3.4 too big"), "{answers:?}");
}

#[tokio::test]
async fn a_421_ends_the_transaction_and_answers_everybody() {
    let script = after_opening(vec![
        answer("MAIL", "250 ok\r\n"),
        answer("RCPT", "250 ok\r\n"),
        answer("RCPT", "421 4.3.2 closing\r\n"),
    ]);
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "a.there.example", &["127.0.0.1"])]);
    let jobs = vec![job(&["x@there.example", "y@there.example", "z@there.example"], CONTENT)];
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    assert!(desk.answers().iter().all(|answer| answer.ends_with("Rcpt 421 4.3.2 closing")));
    assert_eq!(desk.answers().len(), 3);
}

#[tokio::test]
async fn a_host_that_closes_as_soon_as_it_is_ready_costs_an_attempt() {
    let ehlo = format!("{EHLO}421 4.3.2 closing\r\n");
    let script = vec![say(GREETING), answer("EHLO", &ehlo)];
    let peer = Peer::start("127.0.0.1", 0, vec![script]).await;
    let names = table(&[(10, "a.there.example", &["127.0.0.1"])]);
    let jobs = vec![job(&["x@there.example"], CONTENT)];
    let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
    assert_eq!(desk.answers(), ["0 Mail 4.4.2 the host closed the connection before MAIL"]);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_desk_that_wants_no_connection_gets_its_job_back() {
    let peer = Peer::start("127.0.0.1", 0, vec![after_opening(vec![Step::Serve])]).await;
    let names = table(&[(10, "a.there.example", &["127.0.0.1"])]);
    let desk = Arc::new(TestDesk { busy: true, ..TestDesk::default() });
    desk.jobs.lock().unwrap().push_back(job(&["x@there.example"], CONTENT));
    let config = config(egress(peer.port), Vec::new());
    let desk = carry_at(desk, config, Arc::new(names), Duration::from_secs(5)).await;
    assert_eq!((desk.jobs.lock().unwrap().len(), peer.connections()), (1, 0));
    assert!(desk.answers().is_empty());
}

#[tokio::test]
async fn a_connection_that_died_of_old_age_costs_no_attempt() {
    let once = |end: Vec<Step>| {
        let mut steps = vec![
            answer("MAIL", "250 ok\r\n"),
            answer("RCPT", "250 ok\r\n"),
            answer("DATA", "354 go\r\n"),
            Step::Content,
            say("250 2.0.0 once\r\n"),
        ];
        steps.extend(end);
        after_opening(steps)
    };
    let ends = [
        vec![],
        vec![say("421 4.4.2 idle\r\n")],
        vec![answer("MAIL", "")],
        vec![answer("MAIL", ""), Step::Reset],
    ];
    for end in ends {
        let scripts = vec![once(end.clone()), after_opening(vec![Step::Serve])];
        let peer = Peer::start("127.0.0.1", 0, scripts).await;
        let names = table(&[(10, "a.there.example", &["127.0.0.1"])]);
        let jobs = (0..2).map(|_| job(&["x@there.example"], CONTENT)).collect();
        let desk = carry(config(egress(peer.port), Vec::new()), names, jobs).await;
        assert_eq!(desk.answers(), ["0 Dot 250 2.0.0 once", "0 Dot 250 2.0.0 taken"], "{end:?}");
        assert_eq!(peer.connections(), 2, "{end:?}");
    }
}
