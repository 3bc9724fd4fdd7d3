//! Backups come back whole or not at all; a support bundle holds no secret.

use std::fs;
use std::io::Read as _;

use postern::control::host::{HostAnswer, HostRequest};

use crate::changes_come_back::configured;
use crate::machine::{Machine, PASSPHRASE, Role, said};

const BACKUP_PASSPHRASE: &str = "nine green apples";

#[test]
fn a_backup_brings_another_box_to_where_this_one_was() {
    let machine = configured();
    let role = machine.start(false);
    let file = machine.path("box.pbk").display().to_string();
    let weak = machine.cli(&["backup", &file], "short\n");
    assert_eq!(weak.status.code(), Some(2), "{weak:?}");
    let made = machine.cli(&["backup", &file], &format!("{BACKUP_PASSPHRASE}\n"));
    assert!(made.status.success(), "{made:?}");
    let sealed = fs::read(&file).unwrap();
    let key = machine.read("etc/postern/dkim/s1.pem").unwrap();
    let inside = key.lines().nth(1).unwrap().as_bytes();
    assert!(!sealed.windows(inside.len()).any(|window| window == inside));
    drop(role);

    let other = Machine::new();
    let role = other.start(false);
    // The other box has other paths: the document is the same but for its root.
    let moved = other.path("box.pbk").display().to_string();
    other.write("box.pbk", &sealed);
    let wrong = other.cli(&["restore", &moved], "nine green pears\n");
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let mut bent = sealed.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 4;
    other.write("bent.pbk", bent);
    let bent = other.path("bent.pbk").display().to_string();
    let refused = other.cli(&["restore", &bent], &format!("{BACKUP_PASSPHRASE}\n"));
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(other.read("etc/postern/postern.toml"), None);
    drop(role);

    // Back on the first box, which has changed since.
    let role = machine.start(false);
    let document = machine.document(300, "");
    role.ask(&HostRequest::ConfigApply { document, confirm_secs: None, comment: None });
    fs::write(machine.path("etc/postern/dkim/s1.pem"), "gone\n").unwrap();
    let typed = format!("{BACKUP_PASSPHRASE}\n");
    let checked = machine.cli(&["restore", &file, "--check"], &typed);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && text.contains("recipients_max"), "{checked:?}");
    assert!(text.contains("file: dkim/s1.pem"), "{text}");
    assert_eq!(machine.read("etc/postern/dkim/s1.pem").as_deref(), Some("gone\n"));
    // On trial: keys come back with the document if nobody confirms.
    let tried = machine.cli(&["restore", &file, "--confirm", "10m"], &typed);
    assert!(tried.status.success(), "{tried:?}");
    assert_eq!(machine.read("etc/postern/dkim/s1.pem").as_deref(), Some(key.as_str()));
    machine.cli(&["config", "rollback"], "");
    assert_eq!(machine.read("etc/postern/dkim/s1.pem").as_deref(), Some("gone\n"));
    assert!(machine.read("etc/postern/postern.toml").unwrap().contains("recipients_max = 300"));
    let done = machine.cli(&["restore", &file], &typed);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(machine.read("etc/postern/dkim/s1.pem").as_deref(), Some(key.as_str()));
    assert!(machine.read("etc/postern/postern.toml").unwrap().contains("recipients_max = 200"));
}

fn apply(role: &Role<'_>, document: String) {
    let answer =
        role.ask(&HostRequest::ConfigApply { document, confirm_secs: None, comment: None });
    assert!(matches!(answer, HostAnswer::Applied(_)), "{answer:?}");
}

/// Years of new keys, a file of another kind, and more domains than a setup file brings files.
#[test]
fn a_backup_holds_what_the_document_names_and_comes_back() {
    let machine = configured();
    let role = machine.start(false);
    let root = machine.path("").display().to_string();
    let key = |number: u32| {
        format!(
            "\n[[dkim]]\ndomain = \"d{number}.example.net\"\nselector = \"s\"\n\
             algorithm = \"ed25519-sha256\"\nfile = \"{root}etc/postern/dkim/d{number}.pem\"\n"
        )
    };
    let more: String = (0..260).map(key).collect();
    apply(&role, machine.document(200, &more));
    for number in 0..300 {
        machine.write(&format!("etc/postern/dkim/old{number}.pem"), "old");
    }
    machine.write("etc/postern/tls/bundle.p12", [0x30, 0x82, 0xff, 0x00]);
    // A chain in DER: no text, and named.
    let octets = [0x30, 0x82, 0xff, 0xfe, 0x00, 0x0a];
    machine.write("etc/postern/tls/chain.pem", octets);
    let file = machine.path("box.pbk").display().to_string();
    let typed = format!("{BACKUP_PASSPHRASE}\n");
    let made = machine.cli(&["backup", &file], &typed);
    assert!(made.status.success(), "{made:?}");
    for name in ["tls/chain.pem", "dkim/d259.pem", "dkim/old7.pem"] {
        machine.write(&format!("etc/postern/{name}"), "gone");
    }
    let checked = machine.cli(&["restore", &file, "--check"], &typed);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && text.contains("file: dkim/d259.pem"), "{checked:?}");
    assert!(!text.contains("old") && !text.contains("bundle"), "{text}");
    let done = machine.cli(&["restore", &file], &typed);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(fs::read(machine.path("etc/postern/tls/chain.pem")).unwrap(), octets);
    assert!(machine.read("etc/postern/dkim/d259.pem").unwrap().contains("PRIVATE KEY"));
    assert_eq!(machine.read("etc/postern/dkim/old7.pem").as_deref(), Some("gone"));
}

#[test]
fn what_cannot_be_carried_is_named_before_anything_is_written() {
    let machine = configured();
    let role = machine.start(false);
    let root = machine.path("").display().to_string();
    machine.write("etc/elsewhere/key.pem", "key");
    machine.write("etc/postern/trust/own/ca.pem", "ca");
    let document = machine
        .document(200, &format!("\n[updates]\nroots = \"{root}etc/postern/trust/own/ca.pem\"\n"))
        .replace("/etc/postern/tls/key.pem", "/etc/elsewhere/key.pem");
    apply(&role, document);
    let file = machine.path("box.pbk").display().to_string();
    let made = machine.cli(&["backup", &file], &format!("{BACKUP_PASSPHRASE}\n"));
    assert!(!made.status.success(), "{made:?}");
    let text = String::from_utf8_lossy(&made.stderr).into_owned();
    for said in ["/etc/elsewhere/key.pem", "trust/own/ca.pem", "Put it into one of", "not deeper"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!machine.path("box.pbk").exists());
    // Beyond what a restore takes.
    apply(&role, machine.document(200, ""));
    machine.write("etc/postern/tls/key.pem", vec![b'x'; 1024 * 1024 + 1]);
    let made = machine.cli(&["backup", &file], &format!("{BACKUP_PASSPHRASE}\n"));
    let text = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(!made.status.success() && text.contains("tls/key.pem has more than"), "{text}");
    assert!(!machine.path("box.pbk").exists());
}

#[test]
fn a_new_box_is_claimed_by_a_backup_with_its_passphrase() {
    let machine = configured();
    let role = machine.start(false);
    let file = machine.path("box.pbk");
    let named = file.display().to_string();
    machine.cli(&["backup", &named], &format!("{BACKUP_PASSPHRASE}\n"));
    drop(role);
    // As after a factory reset: the same box, with nothing on it.
    fs::remove_dir_all(machine.path("var/lib/postern-host")).unwrap();
    fs::remove_dir_all(machine.path("etc/postern")).unwrap();
    let role = machine.start(true);
    let done = machine.cli(&["restore", &named], &format!("{BACKUP_PASSPHRASE}\n"));
    assert!(done.status.success(), "{done:?}");
    assert!(machine.path("etc/postern/tls/key.pem").exists());
    let login = HostRequest::Login { passphrase: said(PASSPHRASE), tty: None };
    assert!(matches!(role.ask(&login), HostAnswer::Welcome(w) if w.administrator));
}

#[test]
fn a_support_bundle_holds_what_helps_and_no_secret() {
    let machine = configured();
    let document = machine.read("etc/postern/postern.toml").unwrap();
    let admin = machine.read("var/lib/postern-host/admin").unwrap();
    let key = machine.read("etc/postern/dkim/s1.pem").unwrap();
    let tls_key = machine.read("etc/postern/tls/key.pem").unwrap();
    let quoted = |name: &str| {
        let line = document.lines().find(|line| line.starts_with(name)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let secrets = [
        quoted("argon2id"),
        quoted("scram_sha256"),
        quoted("scram_sha256").rsplit('$').next().unwrap().to_owned(),
        admin.clone(),
        admin.rsplit('$').next().unwrap().to_owned(),
        key.lines().nth(1).unwrap().to_owned(),
        tls_key.lines().nth(2).unwrap().to_owned(),
    ];
    // A program that talks too much: even then nothing gets out.
    let journal = secrets.join("!\npostern said ");
    machine.write("journal", format!("an ordinary line\npostern said {journal}!\n"));
    let role = machine.start(false);
    let file = machine.path("support.tar.gz");
    let made = machine.cli(&["support-bundle", &file.display().to_string()], "");
    assert!(made.status.success(), "{made:?}");
    drop(role);
    let mut text = Vec::new();
    let packed = fs::read(&file).unwrap();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text);
    for secret in &secrets {
        assert!(!text.contains(secret.as_str()), "a secret is in the bundle: {secret}");
    }
    assert!(!text.contains(PASSPHRASE) && !text.contains("PRIVATE KEY"));
    for present in [
        "postern-support/status.json",
        "postern-support/journal.txt",
        "an ordinary line",
        "source.app.password[0].argon2id = (set)",
        "IMAGE_VERSION=1.2.3",
        "generations.json",
        "MemTotal",
    ] {
        assert!(text.contains(present), "{present} is missing");
    }
}
