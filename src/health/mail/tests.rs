//! Gateways that are made up, each with one fault: the gate must find it and say which.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use super::*;
use crate::base::time::WallTime;
use crate::control::answer::{Acted, ListenerRow, Trouble, TroubleKind};
use crate::control::health::Verdict;
use crate::health::daemon::sample;

/// What a made-up gateway does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It hands everything on as it is, unsigned, and refuses nothing.
    Careless,
    /// It accepts and delivers nothing.
    Holds,
    /// It has no room.
    Full,
    /// It does not greet.
    Mute,
}

struct Scene {
    folder: tempfile::TempDir,
    status: Status,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Scene {
    fn new(fault: Fault) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = UnixListener::bind(folder.path().join("control.sock")).unwrap();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = control.accept() {
                std::thread::spawn(move || answer(&stream));
            }
        });
        let sink = free();
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut status = sample();
        status.health = Some(GateRow { sink, record: Some(String::new()), trouble: None });
        status.listeners.push(ListenerRow {
            name: "health".to_owned(),
            address: door.local_addr().unwrap().to_string(),
            kind: "health".to_owned(),
        });
        std::thread::spawn(move || {
            while let Ok((stream, _)) = door.accept() {
                std::thread::spawn(move || session(stream, fault, sink));
            }
        });
        Self { folder, status }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn findings(&self) -> Vec<(String, Verdict, String)> {
        let until = Instant::now() + Duration::from_secs(1);
        let findings = examine(&self.socket(), &self.status, true, until);
        findings.into_iter().map(|f| (f.check, f.verdict, f.text)).collect()
    }
}

/// The control socket of a daemon that knows nothing.
fn answer(stream: &UnixStream) -> Option<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|octets| *octets > 0)?;
        let answer = match serde_json::from_str(&line).ok()? {
            Request::MessageTrace { .. } => Answer::Facts(Vec::new()),
            Request::QueueRetry { .. } => Answer::Acted(Acted::default()),
            Request::EgressList {} => Answer::Egresses(Vec::new()),
            _ => Answer::Trouble(Trouble::new(TroubleKind::NotFound, "not known here")),
        };
        let mut octets = serde_json::to_vec(&answer).ok()?;
        octets.push(b'\n');
        (&mut &*stream).write_all(&octets).ok()?;
    }
}

/// A listener that takes everything.
fn session(stream: TcpStream, fault: Fault, sink: SocketAddr) -> Option<()> {
    if fault == Fault::Mute {
        return None;
    }
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    let mut say = |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).ok();
    say("220 careless.example")?;
    let (mut from, mut to) = (String::new(), String::new());
    loop {
        let line = lines.next()?.ok()?;
        let path = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match line.get(..4)? {
            "DATA" if fault == Fault::Full => say("452 4.3.1 Mail storage is full")?,
            "DATA" => {
                say("354 go")?;
                let mut content = String::new();
                loop {
                    let line = lines.next()?.ok()?;
                    if line == "." {
                        break;
                    }
                    content.push_str(line.strip_prefix('.').unwrap_or(&line));
                    content.push_str("\r\n");
                }
                if fault == Fault::Careless && to.starts_with("accept") {
                    hand_on(sink, &from, &to, &content)?;
                }
                say(&format!("250 2.0.0 {}", QueueId::new(WallTime(1_790_000_000_000), 7)))?;
            }
            "QUIT" => return say("221 bye"),
            verb => {
                match verb {
                    "MAIL" => from = path,
                    "RCPT" => to = path,
                    _ => {}
                }
                say("250 ok")?;
            }
        }
    }
}

fn hand_on(sink: SocketAddr, from: &str, to: &str, content: &str) -> Option<()> {
    let letter = Letter { reverse_path: from, forward_path: to, content };
    // The sink's reply names no message: that it has it is enough.
    matches!(submit(sink, &letter), Heard::Broken(why) if why.contains("no message id"))
        .then_some(())
}

fn has(found: &[(String, Verdict, String)], check: &str, verdict: Verdict, words: &str) {
    let hit = |(c, v, text): &(String, Verdict, String)| {
        c == check && *v == verdict && text.contains(words)
    };
    assert!(found.iter().any(hit), "{check} {verdict:?} {words:?}: {found:#?}");
}

#[test]
fn a_careless_gateway_is_found_out_in_every_part() {
    let found = Scene::new(Fault::Careless).findings();
    has(&found, "mail", Verdict::Pass, "accepted");
    has(&found, "delivery", Verdict::Fail, "it came from \"health.invalid\"");
    has(&found, "signature", Verdict::Fail, "without its DKIM signature");
    has(&found, "queue", Verdict::Fail, "is not booked");
    has(&found, "report", Verdict::Fail, "no report came back");
    has(&found, "scan", Verdict::Fail, "a twisted MIME structure was taken");
    has(&found, "relay", Verdict::Fail, "mail for a stranger was taken");
}

#[test]
fn mail_that_does_not_arrive_or_is_not_taken() {
    let found = Scene::new(Fault::Holds).findings();
    has(&found, "delivery", Verdict::Fail, "did not arrive");
    has(&found, "delivery", Verdict::Fail, "nobody has tried");
    let found = Scene::new(Fault::Full).findings();
    has(&found, "mail", Verdict::Fail, "refused at DATA: 452 4.3.1 Mail storage is full");
    let found = Scene::new(Fault::Mute).findings();
    has(&found, "mail", Verdict::Fail, "could not be submitted: the listener at");
}

#[test]
fn what_is_missing_is_said_before_anything_is_sent() {
    let mut scene = Scene::new(Fault::Careless);
    let _taken = TcpListener::bind(scene.status.health.as_ref().unwrap().sink).unwrap();
    has(&scene.findings(), "mail", Verdict::Fail, "the sink cannot listen at");
    scene.status.health.as_mut().unwrap().trouble = Some("no PEM key".to_owned());
    has(&scene.findings(), "mail", Verdict::Fail, "the gate's DKIM key: no PEM key");
    scene.status.state = "stopped".to_owned();
    scene.status.reasons = vec!["everything was stopped by alice".to_owned()];
    has(&scene.findings(), "mail", Verdict::State, "everything was stopped by alice");
    scene.status.listeners.clear();
    has(&scene.findings(), "mail", Verdict::Fail, "no listener for the health gate");
    scene.status.health = None;
    has(&scene.findings(), "mail", Verdict::State, "[health] is not enabled");
}

#[test]
fn a_listener_that_is_gone() {
    let mut scene = Scene::new(Fault::Careless);
    scene.status.listeners[0].address = free().to_string();
    has(&scene.findings(), "mail", Verdict::Fail, "could not be submitted: the listener at");
}
