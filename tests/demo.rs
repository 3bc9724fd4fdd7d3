//! `postern demo` as a newcomer and as a script runs it: it ends well and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest that a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demonstration that runs, with its temporary files in a folder of the test.
struct Demo {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Demo {
    fn start(temporary: &Path, words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
            .arg("demo")
            .args(words)
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    fn until(&mut self, text: &str) {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended before {text:?}");
            if line.contains(text) {
                return;
            }
        }
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    fn end(mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that has failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn left_in(folder: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn once_delivers_verifies_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path(), &["--once"]);
    demo.until("250-AUTH PLAIN LOGIN SCRAM-SHA-256");
    demo.until("every recipient has an outcome");
    demo.until("shop.example/e1: good");
    demo.until("Delivered, signed and verified.");
    let (status, said) = demo.end();
    assert!(status.success(), "{said}");
    assert!(left_in(temporary.path()).is_empty());
}

#[test]
fn every_signal_ends_it_and_nothing_is_left() {
    use nix::sys::signal::Signal;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let temporary = tempfile::tempdir().unwrap();
        let mut demo = Demo::start(temporary.path(), &["--json"]);
        let said: serde_json::Value = serde_json::from_str(&demo.line()).unwrap();
        for key in [
            "submission",
            "submissions",
            "user",
            "password",
            "from",
            "accepts",
            "ca",
            "sink",
            "spool",
            "control",
        ] {
            assert!(said[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
        }
        demo.signal(signal);
        let (status, said) = demo.end();
        assert!(status.success() && said.is_empty(), "{signal}: {status} {said}");
        assert!(left_in(temporary.path()).is_empty(), "{signal}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_leave_something_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path(), &[]);
    demo.until("Ctrl-C ends it");
    demo.stdout = None;
    demo.signal(nix::sys::signal::Signal::SIGINT);
    let (status, said) = demo.end();
    assert!(status.success(), "{said}");
    assert!(left_in(temporary.path()).is_empty());
}

#[test]
fn a_kept_folder_has_one_user_at_a_time_and_keeps_its_password() {
    let (temporary, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let words = ["--json", "--spool", kept.path().to_str().unwrap()];
    let mut first = Demo::start(temporary.path(), &words);
    let said: serde_json::Value = serde_json::from_str(&first.line()).unwrap();
    let second = Demo::start(temporary.path(), &words);
    let (status, complaint) = second.end();
    assert!(!status.success() && complaint.contains("is in use by process"), "{complaint}");
    // A run that is killed leaves its socket and its folder in the way of nobody.
    first.child.kill().unwrap();
    first.end();
    let mut third = Demo::start(temporary.path(), &words);
    let again: serde_json::Value = serde_json::from_str(&third.line()).unwrap();
    assert_eq!(said["password"], again["password"]);
    third.signal(nix::sys::signal::Signal::SIGINT);
    assert!(third.end().0.success());
}
