//! The recovery key waits for whoever writes it down, and only then is no other made.

use postern::control::answer::TroubleKind;
use postern::control::host::{HostAnswer, HostRequest};

use crate::changes_come_back::configured;
use crate::machine::Machine;

const KEY: &str = "run/postern-disks/recovery-key";
const KEPT: &str = "var/lib/postern-host/recovery-key-kept";

#[test]
fn it_is_shown_until_it_is_written_down_and_made_again_when_it_is_lost() {
    let machine = configured();
    machine.write("run/postern-disks/state.json", r#"{"encrypted":true,"notes":["spool broke"]}"#);
    machine.write(KEY, "cbdefghi-cbdefghi\n");
    let role = machine.start(false);
    let HostAnswer::Status(status) = role.ask(&HostRequest::Status {}) else { panic!() };
    for notice in ["nobody has written down", "spool broke"] {
        assert!(status.notices.iter().any(|text| text.contains(notice)), "{:?}", status.notices);
    }
    let shown = machine.cli(&["host", "recovery-key"], "");
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "cbdefghi-cbdefghi\n");
    assert_eq!(machine.read(KEPT), None, "whoever looks has not written it down");
    assert!(machine.cli(&["host", "recovery-key", "--forget"], "").status.success());
    assert_eq!((machine.read(KEY), machine.read(KEPT)), (None, Some(String::new())));
    let ask = |forget| role.ask(&HostRequest::RecoveryKey { forget });
    for answer in [ask(false), ask(true)] {
        let HostAnswer::Trouble(trouble) = answer else { panic!("{answer:?}") };
        assert!(trouble.kind == TroubleKind::NotFound && trouble.text.contains("is written down"));
    }
    assert!(machine.cli(&["host", "recovery-key", "--renew"], "").status.success());
    assert_eq!(machine.read(KEPT), None);
    // A key that was never shown cannot be written down.
    let HostAnswer::Trouble(trouble) = ask(true) else { panic!() };
    assert!(trouble.text.contains("no recovery key was made"));
    machine.write("run/postern-disks/state.json", r#"{"encrypted":false}"#);
    let answer = role.ask(&HostRequest::RecoveryKeyRenew {});
    assert!(matches!(&answer, HostAnswer::Trouble(t) if t.kind == TroubleKind::Conflict));
}

#[test]
fn a_setup_that_hides_it_has_no_other_made() {
    let machine = Machine::new();
    machine.write(KEY, "cbdefghi-cbdefghi\n");
    let text = machine.setup_file(200, "") + "[disk]\nrecovery_key = \"hide\"\n";
    machine.write("efi/postern/postern-setup.toml", text);
    assert!(machine.boot().contains("this box is set up"));
    assert_eq!((machine.read(KEY), machine.read(KEPT)), (None, Some(String::new())));
}
