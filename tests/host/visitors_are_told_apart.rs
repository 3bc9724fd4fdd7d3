//! Root may do everything, a console nothing before it has said the passphrase, strangers nothing.

use std::time::{Duration, Instant};

use postern::base::limits::{HOST_GUESTS_MAX, HOST_REFUSALS_PER_MINUTE, LOGIN_FREE_TRIES};
use postern::control::answer::TroubleKind;
use postern::control::host::{HostAnswer, HostLine, HostRequest};
use postern::control::request::PageAsk;

use crate::changes_come_back::configured;
use crate::machine::{Machine, PASSPHRASE, said, setup};

fn forbidden(answer: &HostAnswer) -> bool {
    matches!(answer, HostAnswer::Trouble(trouble) if trouble.kind == TroubleKind::Forbidden)
}

fn login(line: &mut HostLine, text: &str) -> HostAnswer {
    let tty = Some("ttyS0".to_owned());
    line.ask(&HostRequest::Login { passphrase: said(text), tty }).unwrap()
}

/// How the service manager is asked for a restart.
const RESTART: &str = "systemctl start --no-block --job-mode=replace-irreversibly reboot.target";

#[test]
fn a_console_does_nothing_before_it_has_logged_in() {
    let machine = configured();
    let role = machine.start(true);
    let document = machine.document(300, "");
    let verbs = [
        HostRequest::ConfigApply { document: document.clone(), confirm_secs: None, comment: None },
        HostRequest::ConfigShow { generation: None },
        HostRequest::Reboot {},
        HostRequest::FactoryReset { keep_spool: true, word: "gw.example.org".to_owned() },
        HostRequest::SetPassphrase { old: None, new: said("another good passphrase") },
        HostRequest::Relay { request: serde_json::json!({ "verb": "stop-all" }) },
        HostRequest::AuditShow { page: PageAsk::default() },
        setup(machine.setup_file(300, "")),
    ];
    let mut line = role.line();
    for verb in &verbs {
        let answer = line.ask(verb).unwrap();
        assert!(forbidden(&answer), "{verb:?}: {answer:?}");
    }
    let HostAnswer::Status(status) = line.ask(&HostRequest::Status {}).unwrap() else {
        panic!("no status")
    };
    assert!(status.configured && status.passphrase_set);
    assert!(forbidden(&login(&mut line, "seven brown bears")));
    assert!(matches!(login(&mut line, PASSPHRASE), HostAnswer::Welcome(w) if w.administrator));
    assert!(matches!(line.ask(&verbs[1]).unwrap(), HostAnswer::Text(_)));
    // An open console does not make somebody else the administrator.
    let changed = line.ask(&verbs[4]).unwrap();
    assert!(matches!(&changed, HostAnswer::Trouble(t) if t.kind == TroubleKind::Invalid));
    // Another connection is nobody again.
    assert!(forbidden(&role.ask(&verbs[1])));
    let HostAnswer::Audit(page) = line.ask(&verbs[6]).unwrap() else { panic!("no audit") };
    let row = page.rows.iter().find(|row| row.deed.action == "login").unwrap();
    assert!(row.deed.origin.contains("ttyS0"), "{row:?}");
    assert!(!format!("{page:?}").contains("brown"), "a passphrase is in the audit trail");
    assert!(!role.said().contains("brown"), "a passphrase is in the journal");
    let left = line.ask(&HostRequest::Logout {}).unwrap();
    assert!(matches!(left, HostAnswer::Welcome(w) if !w.administrator));
    assert!(forbidden(&line.ask(&verbs[2]).unwrap()));
    assert!(!machine.calls().contains("reboot"), "{}", machine.calls());
}

#[test]
fn a_console_that_has_gone_mad_fills_neither_the_door_nor_the_disk() {
    let machine = configured();
    let role = machine.start(true);
    let mut lines: Vec<HostLine> = Vec::new();
    for _ in 0..HOST_GUESTS_MAX {
        // The place of a connection that was just closed may take a moment to be free.
        lines.push(crate::machine::wait(
            || {
                let mut line = role.line();
                let heard = matches!(line.ask(&HostRequest::Status {}), Ok(HostAnswer::Status(_)));
                heard.then_some(line)
            },
            || "there is no place".to_owned(),
        ));
    }
    let full = |answer: Result<HostAnswer, _>| match answer {
        Ok(HostAnswer::Trouble(trouble)) => trouble.text.contains("too many connections"),
        // It is turned away before it has asked.
        Ok(_) => false,
        Err(_) => true,
    };
    assert!(full(role.line().ask(&HostRequest::Status {})));
    drop(lines.pop());
    crate::machine::wait(
        || (!full(role.line().ask(&HostRequest::Status {}))).then_some(()),
        || "a place that was left is not free".to_owned(),
    );
    for _ in 0..100 {
        assert!(forbidden(&lines[0].ask(&HostRequest::Reboot {}).unwrap()));
    }
    let trail = machine.read("var/lib/postern-host/audit.log").unwrap();
    let refusals = trail.lines().filter(|line| line.contains("\"reboot\"")).count();
    assert!((1..=HOST_REFUSALS_PER_MINUTE as usize).contains(&refusals), "{refusals}");
}

#[test]
fn guesses_are_slowed_down_over_connections_and_over_a_killed_role() {
    let machine = configured();
    let role = machine.start(true);
    for _ in 0..LOGIN_FREE_TRIES {
        let answer = login(&mut role.line(), "wrong passphrase");
        assert!(matches!(&answer, HostAnswer::Trouble(t) if t.text.contains("not the passphrase")));
    }
    let begun = Instant::now();
    let answer = login(&mut role.line(), PASSPHRASE);
    assert!(matches!(&answer, HostAnswer::Trouble(t) if t.text.contains("wait")), "{answer:?}");
    drop(role);
    let role = machine.start(true);
    let mut line = role.line();
    if begun.elapsed() < Duration::from_secs(1) {
        let HostAnswer::Welcome(welcome) = line.ask(&HostRequest::Hello { tty: None }).unwrap()
        else {
            panic!("no welcome")
        };
        assert!(welcome.login_wait_secs > 0, "a killed role has forgotten the guesses");
    }
    std::thread::sleep(Duration::from_secs(2));
    assert!(matches!(login(&mut line, PASSPHRASE), HostAnswer::Welcome(w) if w.administrator));
}

#[test]
fn a_box_that_belongs_to_nobody_is_set_up_by_whoever_stands_before_it() {
    let machine = Machine::new();
    let role = machine.start(true);
    let mut line = role.line();
    let HostAnswer::Welcome(welcome) = line.ask(&HostRequest::Hello { tty: None }).unwrap() else {
        panic!("no welcome")
    };
    assert!(welcome.unclaimed && !welcome.administrator && !welcome.passphrase_set);
    // There is no default passphrase and no way around the setup.
    assert!(forbidden(&login(&mut line, "")));
    let new = HostRequest::SetPassphrase { old: None, new: said("another good passphrase") };
    assert!(forbidden(&line.ask(&new).unwrap()));
    let weak = machine.setup_file(200, "").replace(PASSPHRASE, "short");
    let answer = line.ask(&setup(weak)).unwrap();
    assert!(matches!(&answer, HostAnswer::SetUp(s) if !s.good && s.complaints.len() == 1));
    // A step that fails leaves the box to whoever stands before it.
    machine.write("fail-at", "systemctl reload-or-restart");
    let answer = line.ask(&setup(machine.setup_file(200, ""))).unwrap();
    assert!(matches!(&answer, HostAnswer::Trouble(_)), "{answer:?}");
    assert_eq!(machine.read("etc/postern/postern.toml"), None);
    assert_eq!(machine.read("var/lib/postern-host/admin"), None);
    std::fs::remove_file(machine.path("fail-at")).unwrap();
    let answer = line.ask(&setup(machine.setup_file(200, ""))).unwrap();
    let HostAnswer::SetUp(done) = answer else { panic!("{answer:?}") };
    assert_eq!(done.generation, 2);
    // Who has set it up is the administrator; the next one must know the passphrase.
    assert!(matches!(line.ask(&HostRequest::Hello { tty: None }).unwrap(),
        HostAnswer::Welcome(w) if w.administrator && !w.unclaimed));
    let mut second = role.line();
    assert!(forbidden(&second.ask(&setup(machine.setup_file(300, ""))).unwrap()));
    assert!(matches!(login(&mut second, PASSPHRASE), HostAnswer::Welcome(w) if w.administrator));
}

#[test]
fn the_box_is_reset_by_its_own_name_only() {
    let machine = configured();
    let role = machine.start(false);
    let wrong = machine.cli(&["factory-reset", "--everything", "--word", "gw"], "");
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert_eq!(machine.read("efi/postern/factory-reset"), None);
    let done = machine.cli(&["factory-reset", "--keep-spool", "--word", "gw.example.org"], "");
    assert!(done.status.success(), "{done:?}");
    assert_eq!(machine.read("efi/postern/factory-reset").as_deref(), Some("keep-spool\n"));
    assert!(machine.calls().contains(RESTART), "{}", machine.calls());
    // A box that cannot restart does not keep the order for another day.
    machine.write("fail-at", RESTART);
    let failed = machine.cli(&["factory-reset", "--everything", "--word", "gw.example.org"], "");
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(machine.read("efi/postern/factory-reset"), None);
    // On another machine nothing is reset.
    machine.write("usr/lib/os-release", "ID=debian\n");
    let other = machine.cli(&["factory-reset", "--everything", "--word", "gw.example.org"], "");
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    drop(role);
}

/// The service manager ends the role for the restart that was just ordered; who ordered it is told.
#[test]
fn who_orders_a_restart_hears_of_it_before_the_end() {
    let machine = configured();
    let mut role = machine.start(false);
    machine.write("end-at", RESTART);
    let answer = role.ask(&HostRequest::Reboot {});
    assert!(matches!(&answer, HostAnswer::Done(text) if text.contains("restarts")), "{answer:?}");
    role.wait_for_the_end();
}

#[test]
fn without_the_role_the_command_line_says_so() {
    let machine = Machine::new();
    let said = machine.cli(&["config", "history"], "");
    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("postern-host.service"), "{text}");
}
