//! The role and a real gateway: requests are passed on, and a document is taken without a restart.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use postern::control::answer::Answer;
use postern::control::host::{HostAnswer, HostLine, HostRequest};
use postern::control::request::{PageAsk, Request};

use crate::changes_come_back::configured;
use crate::machine::{Machine, PASSPHRASE, PATIENCE, PROGRAM, said, wait};

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(machine: &Machine) -> Gateway {
    std::fs::create_dir_all(machine.path("var/lib/postern/spool")).unwrap();
    let child = Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(machine.path("etc/postern/postern.toml"))
        .stdin(Stdio::null())
        .stderr(Stdio::from(std::fs::File::create(machine.path("served")).unwrap()))
        .spawn()
        .unwrap();
    let socket = machine.path("run/c.sock");
    wait(
        || std::os::unix::net::UnixStream::connect(&socket).ok(),
        || format!("no gateway: {:?}", machine.read("served")),
    );
    Gateway(child)
}

fn state(line: &mut HostLine) -> String {
    match line.relay(&Request::Status {}).unwrap() {
        Answer::Status(status) => status.state,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_console_steers_the_gateway_through_the_role_and_is_on_record() {
    let machine = configured();
    let gateway = serve(&machine);
    let role = machine.start(true);
    let mut line = role.line();
    assert!(matches!(line.relay(&Request::Status {}).unwrap(), Answer::Trouble(_)));
    line.ask(&HostRequest::Login { passphrase: said(PASSPHRASE), tty: Some("tty1".to_owned()) })
        .unwrap();
    assert_eq!(state(&mut line), "running");
    line.relay(&Request::StopAll {}).unwrap();
    assert_eq!(state(&mut line), "stopped");
    line.relay(&Request::ResumeAll {}).unwrap();
    let HostAnswer::Audit(page) =
        line.ask(&HostRequest::AuditShow { page: PageAsk::default() }).unwrap()
    else {
        panic!("no audit")
    };
    let deeds: Vec<_> = page.rows.iter().filter(|row| row.deed.action == "relay").collect();
    assert!(deeds.iter().any(|row| row.deed.subject == "stop-all"
        && row.deed.outcome == "done"
        && row.deed.origin.contains("tty1")));
    // Looking is no deed.
    assert!(
        deeds
            .iter()
            .all(|row| row.deed.subject != "status" || row.deed.outcome.starts_with("refused"))
    );
    let bad = HostRequest::Relay { request: serde_json::json!({ "verb": "shell" }) };
    assert!(matches!(line.ask(&bad).unwrap(), HostAnswer::Trouble(_)));

    // A document that a reload can take is taken by the gateway that runs.
    let before = machine.calls().matches("restart postern.service").count();
    let document = machine.document(321, "");
    let apply = HostRequest::ConfigApply { document, confirm_secs: Some(600), comment: None };
    let answer = line.ask(&apply).unwrap();
    assert!(matches!(&answer, HostAnswer::Applied(_)), "{answer:?}");
    let shown = |line: &mut HostLine| {
        let Answer::Settings(rows) = line.relay(&Request::ConfigShow {}).unwrap() else {
            panic!("no settings")
        };
        rows.into_iter().find(|row| row.key == "recipients_max").unwrap().value
    };
    assert_eq!(shown(&mut line), "321");
    line.ask(&HostRequest::ConfigRollback { generation: None }).unwrap();
    assert_eq!(shown(&mut line), "200");
    assert_eq!(machine.calls().matches("restart postern.service").count(), before);
    // One that only a restart can is given to the service manager.
    let document = machine.document(200, "").replace("sync_slow = \"60s\"", "sync_slow = \"50s\"");
    let apply = HostRequest::ConfigApply { document, confirm_secs: None, comment: None };
    let answer = line.ask(&apply).unwrap();
    assert!(matches!(&answer, HostAnswer::Applied(_)), "{answer:?}");
    assert_eq!(machine.calls().matches("restart postern.service").count(), before + 1);
    drop(gateway);
}

#[test]
fn the_updater_is_asked_in_writing_and_its_answer_is_passed_on() {
    let machine = configured();
    let role = machine.start(false);
    machine.write("answer", r#"{"id":"@ID@","good":true,"answer":{"version":"2.0.0"}}"#);
    let now = Some(" it is\nabused ".to_owned());
    let stage = |from: &str| {
        let (from, now) = (Some(from.to_owned()), now.clone());
        role.ask(&HostRequest::UpdateStage { from, downgrade: true, now })
    };
    let answer = stage("usb");
    assert!(
        matches!(&answer, HostAnswer::Update(value) if value["version"] == "2.0.0"),
        "{answer:?}"
    );
    let asked = machine.read("asked").unwrap();
    assert!(asked.contains(r#""downgrade":true,"from":"usb","now":"it is"#), "{asked}");
    assert!(asked.contains(r#"abused","verb":"stage"}"#), "{asked}");
    let bad = r#"{"id":"@ID@","good":false,"answer":{"error":"one signature is missing"}}"#;
    machine.write("answer", bad);
    let HostAnswer::Trouble(trouble) = stage("/run/x.pbu") else { panic!("it was staged") };
    assert!(trouble.text.contains("one signature is missing"), "{trouble}");
    for odd in ["--help", "http://example.org/x.pbu", "/a b", "x"] {
        assert!(matches!(stage(odd), HostAnswer::Trouble(_)), "{odd}");
    }
}

/// The service manager hears of life once the role is ready, and while a deed lasts.
#[test]
fn the_watchdog_is_fed_also_while_a_deed_lasts() {
    let machine = configured();
    let systemd = UnixDatagram::bind(machine.path("notify")).unwrap();
    let (tell, told) = mpsc::channel();
    // Whoever tells must never wait for somebody who does not listen.
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = systemd.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if tell.send(text).is_err() {
                return;
            }
        }
    });
    let hear = |wanted: &str| {
        while !told.recv_timeout(PATIENCE).unwrap().lines().any(|line| line == wanted) {}
    };
    let role = machine.start(false);
    hear("READY=1");
    hear("WATCHDOG=1");
    // A change at the desk, whose network step hangs for a while.
    machine.write("hold-at", "systemctl reload-or-restart");
    let document = machine.document(300, "");
    let request = HostRequest::ConfigApply { document, confirm_secs: None, comment: None };
    std::thread::scope(|scope| {
        let deed = scope.spawn(|| role.ask(&request));
        wait(|| machine.path("held").exists().then_some(()), || "it is not held".to_owned());
        while told.try_recv().is_ok() {}
        for _ in 0..3 {
            hear("WATCHDOG=1");
        }
        std::fs::remove_file(machine.path("hold-at")).unwrap();
        let answer = deed.join().unwrap();
        assert!(matches!(answer, HostAnswer::Applied(_)), "{answer:?}");
    });
}

#[test]
fn one_deed_of_the_updater_at_a_time() {
    let machine = configured();
    let role = machine.start(false);
    machine.write("answer", r#"{"id":"@ID@","good":true,"answer":{"version":"2.0.0"}}"#);
    machine.write("hold", "");
    let busy = |answer: HostAnswer| {
        let HostAnswer::Trouble(trouble) = answer else { panic!("{answer:?}") };
        assert!(trouble.text.contains("another update command is at work"), "{trouble}");
    };
    std::thread::scope(|scope| {
        let staged = scope.spawn(|| {
            role.ask(&HostRequest::UpdateStage { from: None, downgrade: false, now: None })
        });
        while machine.read("asked").is_none_or(|asked| asked.is_empty()) {
            std::thread::yield_now();
        }
        // Somebody at another console wants to restart into it while it is being written.
        busy(role.ask(&HostRequest::UpdateApply { now: None }));
        std::fs::remove_file(machine.path("hold")).unwrap();
        let staged = staged.join().unwrap();
        assert!(matches!(&staged, HostAnswer::Update(value) if value["version"] == "2.0.0"));
    });
    assert!(machine.read("asked").unwrap().contains(r#""verb":"stage""#));
    // The unit was at work for a role that is gone: its answer is not ours, and what was asked
    // for is not left for a later start.
    machine.write("joined", r#"{"id":"1-1","good":true,"answer":{}}"#);
    busy(role.ask(&HostRequest::UpdateApply { now: None }));
    assert_eq!(machine.read("run/postern-host/update-request.json"), None);
}
