//! A setup file makes a new box a gateway; on a configured one only a signed file does.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::machine::{Machine, PASSPHRASE};

const FILE: &str = "efi/postern/postern-setup.toml";
const SIGNATURE: &str = "efi/postern/postern-setup.toml.sig";
const ERROR: &str = "efi/postern/postern-setup.error.txt";
const DOCUMENT: &str = "etc/postern/postern.toml";

fn recipients(machine: &Machine) -> Option<String> {
    let text = machine.read(DOCUMENT)?;
    text.lines().find_map(|line| line.strip_prefix("recipients_max = ")).map(str::to_owned)
}

#[test]
fn a_new_box_takes_the_file_once_and_wipes_it() {
    let machine = Machine::new();
    let text = machine.setup_file(200, "");
    machine.write(FILE, &text);
    // Another name of the same octets shows that they are overwritten, not only unlinked.
    fs::hard_link(machine.path(FILE), machine.path("twin")).unwrap();
    let said = machine.boot();
    assert!(said.contains("this box is set up"), "{said}");
    assert!(said.contains("s1._domainkey.example.org. IN TXT"), "{said}");
    assert!(said.contains("1.0.0.127.in-addr.arpa. IN PTR gw.example.org."), "{said}");
    assert!(said.contains("v=spf1 ip4:127.0.0.1 -all"), "{said}");
    assert_eq!(machine.read(FILE), None);
    let twin = fs::read(machine.path("twin")).unwrap();
    assert!(twin.len() == text.len() && twin.iter().all(|octet| *octet == 0));
    assert_eq!(recipients(&machine).as_deref(), Some("200"));
    // What nobody gave was made, and only the gateway's group reads it.
    for name in ["tls/key.pem", "dkim/s1.pem"] {
        let path = machine.path("etc/postern").join(name);
        assert!(fs::read_to_string(&path).unwrap().contains("PRIVATE KEY"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "{name}");
    }
    assert!(machine.read("etc/postern/tls/chain.pem").unwrap().contains("CERTIFICATE"));
    let hash = machine.read("var/lib/postern-host/admin").unwrap();
    assert!(hash.starts_with("$argon2id$v=19$") && !hash.contains(PASSPHRASE));
    assert!(machine.read("var/lib/postern-host/dns-records.txt").unwrap().contains("_dmarc"));
    // The network and the gateway start after this step by themselves.
    assert_eq!(machine.calls(), "");
    let checked =
        machine.cli(&["config", "check", &machine.path(DOCUMENT).display().to_string()], "");
    assert!(checked.status.success(), "{checked:?}");
    // A power cut before the wiping: the file is back, and is known.
    machine.write(FILE, &text);
    assert_eq!(machine.boot(), "");
    assert_eq!(machine.read(FILE), None);
}

#[test]
fn a_wrong_file_leaves_the_box_alone_and_says_why_without_secrets() {
    let machine = Machine::new();
    let text = machine.setup_file(5, "nonsense = 1\n").replace(PASSPHRASE, "xyzzy");
    machine.write(FILE, &text);
    let said = machine.boot();
    let error = machine.read(ERROR).unwrap();
    for shown in [&said, &error] {
        assert!(shown.contains("administrator.passphrase"), "{shown}");
        assert!(shown.contains("document: line 4: recipients_max"), "{shown}");
        assert!(shown.contains("control.nonsense"), "{shown}");
        assert!(!shown.contains("xyzzy"), "{shown}");
    }
    assert_eq!(machine.read(DOCUMENT), None);
    assert_eq!(machine.read("var/lib/postern-host/admin"), None);
    assert!(machine.read(FILE).is_some(), "the file is there to be mended");
    // Mended, it is taken, and the complaint goes.
    machine.write(FILE, machine.setup_file(200, ""));
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("200"));
    assert_eq!((machine.read(ERROR), machine.read(FILE)), (None, None));
}

#[test]
fn a_configured_box_takes_a_signed_file_only_and_each_once() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = STANDARD.encode(pair.public_key().as_ref());
    let more = format!("\n[setup]\nkey = \"{public}\"\n");
    let machine = Machine::new();
    machine.write(FILE, machine.setup_file(200, &more));
    machine.boot();
    let second = machine.setup_file(300, &more);
    let refused = |why: &str| {
        let said = machine.boot();
        assert!(said.contains("refused") && said.contains(why), "{said}");
        assert_eq!(recipients(&machine).as_deref(), Some("200"));
        assert!(machine.read(FILE).is_some(), "it was not left alone");
        assert_eq!(machine.read(ERROR), None);
    };
    machine.write(FILE, &second);
    refused("only with a signature");
    let stranger = Ed25519KeyPair::generate().unwrap();
    machine.write(SIGNATURE, stranger.sign(second.as_bytes()).as_ref());
    refused("does not fit");
    machine.write(SIGNATURE, pair.sign(b"something else").as_ref());
    refused("does not fit");
    let good = STANDARD.encode(pair.sign(second.as_bytes()).as_ref());
    machine.write(SIGNATURE, format!("{good}\n"));
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("300"));
    assert_eq!((machine.read(FILE), machine.read(SIGNATURE)), (None, None));
    // Once more the same file: it is wiped, and what came after it stays.
    let third = machine.setup_file(400, &more);
    machine.write(FILE, &third);
    machine.write(SIGNATURE, pair.sign(third.as_bytes()).as_ref());
    machine.boot();
    machine.write(FILE, &second);
    machine.write(SIGNATURE, good);
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("400"));
    let log = machine.path("var/lib/postern-host/audit.log").display().to_string();
    let said = machine.cli(&["audit", "verify", "--file", &log], "");
    assert!(said.status.success(), "{said:?}");
    assert!(machine.read("var/lib/postern-host/audit.log").unwrap().contains("does not fit"));
}

#[test]
fn a_credential_and_a_stick_set_a_box_up_too() {
    let machine = Machine::new();
    machine.write("credentials/postern.setup", machine.setup_file(200, ""));
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("200"));
    // It cannot be wiped and is there at every start: nothing to complain about.
    assert_eq!(machine.boot(), "");

    let machine = Machine::new();
    let stick = "run/postern-host/stick/postern-setup.toml";
    machine.write(stick, machine.setup_file(300, ""));
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("300"));
    assert_eq!(machine.read(stick), None);
}

/// A machine whose host passes the same file at every start, and whose passphrase is lost.
#[test]
fn a_credential_hides_no_signed_file_and_can_be_signed_itself() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = STANDARD.encode(pair.public_key().as_ref());
    let more = format!("\n[setup]\nkey = \"{public}\"\n");
    let credential = "credentials/postern.setup";
    let stick = "run/postern-host/stick/postern-setup.toml";
    let machine = Machine::new();
    machine.write(credential, machine.setup_file(200, &more));
    machine.boot();
    let second = machine.setup_file(300, &more);
    machine.write(stick, &second);
    machine.write(&format!("{stick}.sig"), pair.sign(second.as_bytes()).as_ref());
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("300"));
    assert_eq!(machine.read(stick), None);

    // Another credential is refused without a signature, and hides nothing either.
    let third = machine.setup_file(400, &more);
    machine.write(credential, &third);
    assert!(machine.boot().contains("only with a signature"));
    let fourth = machine.setup_file(500, &more);
    machine.write(FILE, &fourth);
    machine.write(SIGNATURE, pair.sign(fourth.as_bytes()).as_ref());
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("500"));
    machine.write("credentials/postern.setup.sig", pair.sign(third.as_bytes()).as_ref());
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("400"));
    assert_eq!(machine.boot(), "");
}

#[test]
fn a_stick_that_cannot_be_mounted_is_said_with_its_remedy() {
    let machine = Machine::new();
    // A file in place of the folder that plays a stick: there is a stick, and no file system.
    machine.write("run/postern-host/stick", "NTFS");
    let said = machine.boot();
    assert!(said.contains("refused") && said.contains("mounting the stick"), "{said}");
    assert!(said.contains("Format the stick as FAT32 or exFAT"), "{said}");
    // The console shows it, until there is nothing to refuse any more.
    let kept = "var/lib/postern-host/setup-error.txt";
    assert!(machine.read(kept).unwrap().contains("mounting the stick"));
    fs::remove_file(machine.path("run/postern-host/stick")).unwrap();
    assert_eq!(machine.boot(), "");
    assert_eq!(machine.read(kept), None);
    // It does not stand in the way of a file elsewhere.
    machine.write("run/postern-host/stick", "NTFS");
    machine.write(FILE, machine.setup_file(200, ""));
    machine.boot();
    assert_eq!(recipients(&machine).as_deref(), Some("200"));
}

#[test]
fn setup_by_hand_works_where_no_role_runs_and_check_changes_nothing() {
    let machine = Machine::new();
    let file = machine.path("setup.toml");
    machine.write("setup.toml", machine.setup_file(200, ""));
    let root = machine.path("");
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(crate::machine::PROGRAM);
        command.args(["setup", "--file"]).arg(&file).arg("--root").arg(&root).args(more);
        command.output().unwrap()
    };
    let checked = run(&["--check"]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("made: dkim/s1.pem"));
    assert_eq!(machine.read(DOCUMENT), None);
    assert!(!machine.path("var/lib/postern-host").exists());
    fs::write(&file, machine.setup_file(5, "")).unwrap();
    assert_eq!(run(&["--check"]).status.code(), Some(2));
}
