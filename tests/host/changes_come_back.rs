//! A change that nobody confirms comes back, whatever happens to the role meanwhile.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postern::control::host::{HostAnswer, HostRequest};

use crate::machine::{Machine, Role, setup, wait};

/// A machine that is set up, with `recipients_max = 200`.
pub(crate) fn configured() -> Machine {
    let machine = Machine::new();
    let role = machine.start(false);
    let answer = role.ask(&setup(machine.setup_file(200, "")));
    assert!(matches!(&answer, HostAnswer::SetUp(done) if done.generation == 1), "{answer:?}");
    drop(role);
    machine
}

fn in_force(machine: &Machine) -> u64 {
    let text = machine.read("etc/postern/postern.toml").expect("a document");
    let line = text.lines().find_map(|line| line.strip_prefix("recipients_max = ")).unwrap();
    line.parse().unwrap()
}

fn apply(role: &Role<'_>, recipients_max: u64, confirm_secs: Option<u64>) -> HostAnswer {
    let document = role.machine.document(recipients_max, "");
    let comment = Some(format!("to {recipients_max}"));
    role.ask(&HostRequest::ConfigApply { document, confirm_secs, comment })
}

fn pending(machine: &Machine) -> bool {
    machine.path("var/lib/postern-host/pending.json").exists()
}

#[test]
fn what_nobody_confirms_comes_back_and_what_somebody_confirms_stays() {
    let machine = configured();
    let role = machine.start(false);
    let begun = Instant::now();
    let HostAnswer::Applied(applied) = apply(&role, 300, Some(2)) else { panic!("not applied") };
    assert_eq!((applied.generation, applied.previous, applied.confirm_secs), (2, 1, Some(2)));
    assert_eq!(in_force(&machine), 300);
    let HostAnswer::Status(status) = role.ask(&HostRequest::Status {}) else { panic!("no status") };
    assert_eq!(status.pending.as_ref().unwrap().generation, 2);
    assert!(status.notices.iter().any(|n| n.contains("on trial")), "{:?}", status.notices);
    wait(|| (in_force(&machine) == 200).then_some(()), || role.said());
    assert!(begun.elapsed() >= Duration::from_secs(2));
    wait(|| (!pending(&machine)).then_some(()), || role.said());
    wait(|| role.said().contains("nobody confirmed it in time").then_some(()), || role.said());
    // Network and gateway heard of both changes.
    let calls = machine.calls();
    assert!(
        calls.matches("systemctl reload-or-restart postern-network.service").count() >= 3,
        "{calls}"
    );
    assert!(calls.matches("systemctl restart postern.service").count() >= 3, "{calls}");

    apply(&role, 400, Some(600));
    let said = machine.cli(&["config", "confirm"], "");
    assert!(said.status.success(), "{said:?}");
    drop(role);
    let role = machine.start(false);
    assert_eq!(in_force(&machine), 400);

    let said = machine.cli(&["config", "rollback", "1"], "");
    assert!(said.status.success(), "{said:?}");
    assert_eq!(in_force(&machine), 200);
    let HostAnswer::History(rows) = role.ask(&HostRequest::ConfigHistory {}) else {
        panic!("none")
    };
    let marks: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!((marks[0], marks[1], marks[3]), ("in force", "", ""));
    assert!(marks[2].starts_with("taken back"), "{marks:?}");
    assert!(rows[0].by.contains("uid"), "{rows:?}");
}

#[test]
fn one_value_is_changed_and_comes_back_as_well() {
    let machine = configured();
    let role = machine.start(false);
    let before = machine.read("etc/postern/postern.toml").unwrap();
    let said = machine.cli(&["config", "set", "recipients_max", "300", "--confirm", "2s"], "");
    assert!(said.status.success(), "{said:?}");
    let edited = machine.read("etc/postern/postern.toml").unwrap();
    assert_eq!(edited, before.replace("recipients_max = 200", "recipients_max = 300"));
    wait(|| (in_force(&machine) == 200).then_some(()), || role.said());
    wait(|| (!pending(&machine)).then_some(()), || role.said());

    for (words, why) in [
        (&["config", "set", "recipients_max", "many"][..], "recipients_max"),
        (&["config", "set", "recipients_max", "200"][..], "how it is already"),
        (&["config", "set", "listener", "x"][..], "is a section"),
        (&["config", "set", "nonsense", "1"][..], "nonsense"),
    ] {
        let said = machine.cli(words, "");
        let text = format!("{}{}", utf8(&said.stdout), utf8(&said.stderr));
        assert!(!said.status.success() && text.contains(why), "{words:?}: {text}");
        assert_eq!(machine.read("etc/postern/postern.toml").unwrap(), before);
    }
}

#[test]
fn another_address_of_a_way_out_stands_with_the_way_out() {
    let machine = configured();
    let role = machine.start(false);
    let ask = |ipv4: &str| HostRequest::ConfigAddress {
        interface: "lo".to_owned(),
        ipv4: Some(ipv4.to_owned()),
        gateway4: None,
        ipv6: None,
        gateway6: None,
        confirm_secs: Some(600),
    };
    let answer = role.ask(&ask("127.0.0.9"));
    assert!(matches!(&answer, HostAnswer::Applied(done) if done.generation == 2), "{answer:?}");
    assert!(machine.read("etc/postern/postern.toml").unwrap().contains("ipv4 = \"127.0.0.9\""));
    let said = machine.cli(&["config", "rollback"], "");
    assert!(said.status.success(), "{said:?}");
    let answer = role.ask(&ask("127.0.0"));
    assert!(format!("{answer:?}").contains("egress.lo.ipv4"), "{answer:?}");
    assert!(machine.read("etc/postern/postern.toml").unwrap().contains("ipv4 = \"127.0.0.1\""));
}

fn utf8(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

#[test]
fn a_document_with_mistakes_changes_nothing_and_all_are_named() {
    let machine = configured();
    let role = machine.start(false);
    let document = machine.document(5, "nonsense = 1\n");
    let answer =
        role.ask(&HostRequest::ConfigApply { document, confirm_secs: None, comment: None });
    let HostAnswer::Checked(checked) = answer else { panic!("{answer:?}") };
    assert!(!checked.good && checked.complaints.len() == 2, "{checked:?}");
    assert_eq!(in_force(&machine), 200);
    machine.write("fail-at", "systemctl reload-or-restart");
    let HostAnswer::Trouble(trouble) = apply(&role, 300, None) else { panic!("it was applied") };
    assert!(trouble.text.contains("told to fail"), "{trouble}");
    assert_eq!(in_force(&machine), 200);
}

#[test]
fn a_role_that_is_killed_in_the_middle_of_a_trial_goes_back() {
    for at in ["systemctl reload-or-restart", "systemctl restart"] {
        let machine = configured();
        let mut role = machine.start(false);
        machine.write("kill-at", at);
        let document = machine.document(300, "");
        let ask = HostRequest::ConfigApply { document, confirm_secs: Some(600), comment: None };
        assert!(role.line().ask(&ask).is_err(), "{at}: the role lived on");
        role.wait_for_the_end();
        assert_eq!(in_force(&machine), 300, "{at}");
        assert!(pending(&machine), "{at}");
        let role = machine.start(false);
        wait(|| (!pending(&machine)).then_some(()), || role.said());
        assert_eq!(in_force(&machine), 200, "{at}");
        let told = || role.said().contains("began anew before it was confirmed").then_some(());
        wait(told, || role.said());
    }
}

#[test]
fn a_box_that_restarts_during_a_trial_is_back_before_its_network_starts() {
    let machine = configured();
    let mut role = machine.start(false);
    apply(&role, 300, Some(600));
    kill(Pid::from_raw(role.pid()), Signal::SIGKILL).unwrap();
    role.wait_for_the_end();
    drop(role);
    let before = machine.calls();
    machine.boot();
    assert_eq!(in_force(&machine), 200);
    assert!(!pending(&machine));
    assert_eq!(machine.calls(), before, "network and gateway start by themselves");
}

#[test]
fn on_another_machine_the_network_is_left_alone_and_no_key_is_made() {
    let machine = configured();
    machine.write("usr/lib/os-release", "ID=debian\n");
    let role = machine.start(false);
    let before = machine.calls().matches("postern-network.service").count();
    let HostAnswer::Applied(applied) = apply(&role, 300, None) else { panic!("not applied") };
    assert!(applied.notes.iter().any(|note| note.contains("network")), "{applied:?}");
    assert_eq!(machine.calls().matches("postern-network.service").count(), before);
    let document = machine.document(400, "").replace("dkim/s1.pem", "dkim/s2.pem");
    let ask = HostRequest::ConfigApply { document, confirm_secs: None, comment: None };
    assert!(matches!(role.ask(&ask), HostAnswer::Checked(checked) if !checked.good));
    // On the appliance nobody could put it there by hand.
    machine.write("usr/lib/os-release", "ID=postern\nIMAGE_ID=postern\n");
    assert!(matches!(role.ask(&ask), HostAnswer::Applied(_)));
    assert!(machine.read("etc/postern/dkim/s2.pem").unwrap().contains("PRIVATE KEY"));
}

#[test]
fn killed_at_any_moment_it_is_old_or_new_and_never_half() {
    let machine = configured();
    let mut expected = 200;
    for round in 0..24_u64 {
        let mut role = machine.start(false);
        wait(|| (!pending(&machine)).then_some(()), || role.said());
        assert_eq!(in_force(&machine), expected, "round {round}: {}", role.said());
        let final_one = round % 2 == 0;
        let next = 300 + round;
        let document = machine.document(next, "");
        let confirm_secs = (!final_one).then_some(600);
        let ask = HostRequest::ConfigApply { document, confirm_secs, comment: None };
        let mut line = role.line();
        let asked = std::thread::spawn(move || line.ask(&ask).is_ok());
        std::thread::sleep(Duration::from_millis(round * 2));
        kill(Pid::from_raw(role.pid()), Signal::SIGKILL).unwrap();
        role.wait_for_the_end();
        let answered = asked.join().unwrap();
        drop(role);
        // What was begun for good may be done; what was said to be done must be.
        if final_one {
            let role = machine.start(false);
            wait(|| (!pending(&machine)).then_some(()), || role.said());
            let found = in_force(&machine);
            assert!(found == expected || found == next, "round {round}: {found}");
            assert!(!answered || found == next, "round {round}: {found}, and it was answered");
            expected = found;
        }
    }
    let log = machine.path("var/lib/postern-host/audit.log").display().to_string();
    let said = machine.cli(&["audit", "verify", "--file", &log], "");
    assert!(said.status.success(), "{said:?}");
}
