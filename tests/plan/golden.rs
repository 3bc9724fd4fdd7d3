//! The text of the plan, line by line, and the command that writes it.

use std::fmt::Write as _;
use std::process::Command;

use postern::host::plan::{File, Form, closed};

use crate::space::{folder, plan, whole};

/// Holds the files of one form against `NAME.expected`; `BLESS=1` writes it instead.
fn same(form: Form, name: &str) {
    same_files(plan("box.toml").files(form), name);
}

fn same_files(files: Vec<File>, name: &str) {
    let mut text = String::new();
    for file in files {
        let _ = write!(text, "### /{}\n{}\n", file.path.display(), file.text);
    }
    let path = folder().join(format!("{name}.expected"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "{name}.expected, line {}", number + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "{name}.expected");
}

#[test]
fn networkd_files_are_as_written_down() {
    same(Form::Networkd, "networkd");
}

#[test]
fn the_guard_is_as_written_down() {
    same(Form::Nftables, "nftables");
}

#[test]
fn the_script_is_as_written_down() {
    same(Form::Shell, "shell");
}

#[test]
fn the_whole_machine_is_as_written_down() {
    same_files(whole("whole.toml").files(Form::Whole), "whole");
}

/// The same text stands in the image, for the time before there is a configuration.
#[test]
fn the_closed_guard_of_the_image_is_ours() {
    let path = folder().join("../../systemd/closed.nft");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, closed().text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), closed().text);
}

#[test]
fn gaps_are_said() {
    let notes = plan("box.toml").notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("egress 5-bare: the prefix of ipv4 is not known"), "{notes:?}");
}

#[test]
fn the_command_writes_what_it_says_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    // Files that the configuration names need not exist on the machine of this test.
    let text = std::fs::read_to_string(folder().join("box.toml")).unwrap();
    let pem = place.path().join("any.pem");
    std::fs::write(&pem, "x").unwrap();
    let document = place.path().join("postern.toml");
    let text = text.replace("/c.pem", pem.to_str().unwrap());
    std::fs::write(&document, text.replace("/k.pem", pem.to_str().unwrap())).unwrap();
    let target = place.path().join("root");
    std::fs::create_dir_all(target.join("etc/systemd/network")).unwrap();
    let mine = target.join("etc/systemd/network/10-mine.network");
    std::fs::write(&mine, "mine").unwrap();
    let postern = || {
        let out = Command::new(env!("CARGO_BIN_EXE_postern"))
            .args(["egress", "plan", "--config", document.to_str().unwrap(), "--write"])
            .arg(&target)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let said = postern();
    let files = plan("box.toml").files(Form::Files);
    assert_eq!(said.lines().count(), files.len());
    assert!(said.lines().all(|line| line.starts_with("written  ")), "{said}");
    for file in &files {
        assert_eq!(std::fs::read_to_string(target.join(&file.path)).unwrap(), file.text);
    }
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    assert!(postern().lines().all(|line| line.starts_with("unchanged  ")));
    std::fs::write(target.join(&files[0].path), "old").unwrap();
    assert!(postern().contains("replaced  "));
}
