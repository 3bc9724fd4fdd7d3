//! What the console shows of clock, journal, papers, ports and ways, and a backup from the stick.

use std::fs;

use postern::control::answer::TroubleKind;
use postern::control::check::Grade;
use postern::control::diagnose::Test;
use postern::control::host::{HostAnswer, HostRequest};

use crate::changes_come_back::configured;
use crate::machine::said;

#[test]
fn clock_journal_and_papers_are_shown_to_the_administrator_alone() {
    let machine = configured();
    machine.write(
        "time-tracking",
        "C0000201,192.0.2.1,2,1790000000.1,0.1,0.0,0.2,-1.5,0.0,0.1,0.01,0.01,64.0,Normal\n",
    );
    machine.write("time-sources", "^,*,192.0.2.1,1,6,377,21,0.0021,0.0021,0.01\n");
    machine.write("journal", "2026-11-29 one\n2026-11-29 Two\n2026-11-29 three\n");
    let role = machine.start(false);
    let shown = |arguments: &[&str]| {
        let out = machine.cli(arguments, "");
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let clock = shown(&["host", "clock"]);
    assert!(clock.starts_with("the clock is kept by 192.0.2.1 (stratum 2)\n"), "{clock}");
    assert!(clock.contains("server 192.0.2.1 is followed"), "{clock}");
    let log = shown(&["host", "log", "--unit", "postern.service", "--words", "tWo"]);
    assert_eq!(log, "2026-11-29 Two\n");
    assert!(machine.calls().contains("journalctl --no-pager"), "{}", machine.calls());
    let bad = machine.cli(&["host", "log", "--unit", "--rotate=1"], "");
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    assert!(!machine.calls().contains("rotate"), "{}", machine.calls());
    let papers = shown(&["host", "certificates"]);
    assert!(papers.contains("gw.example.org") && papers.contains("ECDSA 256"), "{papers}");
    assert!(papers.contains("ed25519-sha256"), "{papers}");
    let HostAnswer::Status(status) = role.ask(&HostRequest::Status {}) else { panic!() };
    let soonest = status.certificate_soonest.unwrap();
    assert_eq!(soonest.name, "gw.example.org");
    assert!(soonest.days_left > 1000, "{soonest:?}");
    let HostAnswer::Ports(ports) = role.ask(&HostRequest::Ports {}) else { panic!() };
    assert!(ports.iter().all(|port| port.name != "lo"), "{ports:?}");
    drop(role);

    // A console that has not logged in sees none of it.
    let guest = machine.start(true);
    let log = HostRequest::LogShow {
        unit: None,
        priority: None,
        words: None,
        since_secs: None,
        lines: None,
    };
    for secret in [log, HostRequest::Certificates {}, HostRequest::Clock {}] {
        let answer = guest.ask(&secret);
        let HostAnswer::Trouble(trouble) = &answer else { panic!("{answer:?}") };
        assert_eq!(trouble.kind, TroubleKind::Forbidden);
    }
}

#[test]
fn a_test_by_an_interface_is_an_errand_of_a_unit_with_a_network() {
    let machine = configured();
    let more = "[interface.manage0]\nmac = \"52:54:00:12:00:01\"\nrole = \"manage\"\n\
                ipv4 = \"10.1.0.2/24\"\n";
    machine.write("etc/postern/postern.toml", machine.document(200, more));
    machine.write(
        "answer",
        r#"{"diagnosed":{"test":"ping","role":"manage0","target":"10.1.0.1","steps":
            [{"step":"ping","grade":"FAIL","text":"10.1.0.1 answered none of 3"}],
            "next":"trace the way"}}"#,
    );
    let role = machine.start(false);
    let ask = |role: &str| HostRequest::Diagnose {
        test: Test::Ping,
        role: role.to_owned(),
        target: "10.1.0.1".to_owned(),
    };
    let HostAnswer::Diagnosed(found) = role.ask(&ask("manage0")) else { panic!() };
    assert_eq!(found.worst(), Grade::Fail);
    assert_eq!(found.next.as_deref(), Some("trace the way"));
    let asked = machine.read("asked").unwrap();
    assert_eq!(asked, "{\"role\":\"manage0\",\"target\":\"10.1.0.1\",\"test\":\"ping\"}\n");
    // By an egress it is the gateway's and its broker's matter; here none runs.
    fs::remove_file(machine.path("asked")).unwrap();
    assert!(matches!(role.ask(&ask("lo")), HostAnswer::Trouble(_)));
    assert_eq!(machine.read("asked"), None);
}

#[test]
fn a_backup_comes_back_from_the_stick() {
    let machine = configured();
    let role = machine.start(false);
    let stick = |name: Option<&str>, check: bool| HostRequest::ImportStick {
        name: name.map(str::to_owned),
        passphrase: said("nine green apples"),
        check,
        confirm_secs: None,
    };
    let missing = role.ask(&stick(None, true));
    assert!(matches!(&missing, HostAnswer::Trouble(t) if t.kind == TroubleKind::NotFound));
    fs::create_dir_all(machine.path("run/postern-host/stick")).unwrap();
    let made = machine
        .cli(&["backup", &machine.path("a.pbk").display().to_string()], "nine green apples\n");
    assert!(made.status.success(), "{made:?}");
    let place = |name: &str| machine.path("run/postern-host/stick").join(name);
    fs::copy(machine.path("a.pbk"), place("a.pbk")).unwrap();
    let document = machine.document(300, "");
    role.ask(&HostRequest::ConfigApply { document, confirm_secs: None, comment: None });
    let HostAnswer::Imported(looked) = role.ask(&stick(None, true)) else { panic!() };
    assert!(looked.applied.is_none());
    assert!(looked.differences.iter().any(|row| row.key == "recipients_max"), "{looked:?}");
    fs::copy(machine.path("a.pbk"), place("b.pbk")).unwrap();
    let several = role.ask(&stick(None, true));
    assert!(matches!(&several, HostAnswer::Trouble(t) if t.text.contains("a.pbk, b.pbk")));
    // A name is one of the stick's own, and leads nowhere else.
    let out = role.ask(&stick(Some("../../../a.pbk"), true));
    assert!(matches!(&out, HostAnswer::Trouble(t) if t.kind == TroubleKind::NotFound));
    let HostAnswer::Imported(done) = role.ask(&stick(Some("b.pbk"), false)) else { panic!() };
    assert!(done.applied.is_some());
    assert!(!machine.read("etc/postern/postern.toml").unwrap().contains("recipients_max = 300"));
}
