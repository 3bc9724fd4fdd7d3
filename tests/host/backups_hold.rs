//! Backups come back whole or not at all; a support bundle holds no secret.

use std::fs;
use std::io::Read as _;

use postern::control::host::{HostAnswer, HostRequest};

use crate::changes_come_back::configured;
use crate::machine::{Machine, PASSPHRASE, said};

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
