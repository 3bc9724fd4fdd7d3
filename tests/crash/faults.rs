//! A disk that says EIO or ENOSPC at the n-th call, injected by strace below everything of ours: no
//! 250 without custody, the daemon ends by itself, and after a restart everything is there.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use postern::base::chance::Chance;

use crate::clients::Clients;
use crate::daemon::Home;
use crate::letters::{Book, Letter};
use crate::receiver::Receiver;
use crate::{close, is_damage, judge, settle};

/// The n-th call fails under load, and the daemon ends, within this time; strace is slow.
const END: Duration = Duration::from_secs(60);

/// The calls that make a message durable, and how they fail.
const FAULTS: [&str; 7] = [
    "fdatasync:error=EIO:when=1+",
    "fdatasync:error=EIO:when=9",
    "fdatasync:error=EIO:when=60",
    "pwritev:error=EIO:when=1+",
    "pwritev:error=EIO:when=25",
    "pwritev:error=EROFS:when=70",
    "fallocate:error=EIO:when=2+",
];

/// `strace` that makes a call fail, in front of the daemon.
fn strace(fault: &str) -> Command {
    let call = fault.split(':').next().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]);
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={fault}")]);
    command.arg(env!("CARGO_BIN_EXE_postern"));
    command
}

fn strace_must_work() {
    let tried = Command::new("strace").args(["-f", "--seccomp-bpf", "-qq", "true"]).output();
    let works = tried.is_ok_and(|output| output.status.success());
    assert!(works, "strace is missing or may not trace: tests/check installs it, and needs ptrace");
}

/// Letters of up to 100 KiB, so that room is reserved more than once.
fn letter(id: u64, chance: &mut Chance) -> Letter {
    let letter = Letter::draw(id, chance);
    let octets = if chance.below(4) == 0 { 100_000 } else { letter.octets.min(100_000) };
    Letter { octets, ..letter }
}

#[test]
fn a_failing_disk_gets_no_promise() {
    strace_must_work();
    let folder = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::default());
    let receiver = Receiver::open(Arc::clone(&book));
    let home = Home::make(folder.path(), receiver.address, None);
    let clients = Clients::start(4, 11, &book, &home.port, letter);
    for fault in FAULTS {
        let mut daemon = home.start_under(strace(fault));
        let status = daemon.wait(END);
        book.killed();
        let said = daemon.said();
        assert_eq!(status.code(), Some(1), "{fault}: {said:#?}");
        let latched = said.iter().filter(|line| line.contains("ledger failed")).count();
        assert!(latched > 0, "{fault}: {said:#?}");
        // An ordinary run between two faults; it must find everything whole.
        let daemon = home.start();
        daemon.ready();
        std::thread::sleep(Duration::from_millis(700));
        let said = daemon.kill(&book);
        assert!(!said.iter().any(|line| is_damage(line)), "after {fault}: {said:#?}");
    }
    let daemon = home.start();
    daemon.ready();
    std::thread::sleep(Duration::from_millis(500));
    clients.stop();
    settle(&book);
    close(&home, daemon);
    let figures = book.figures();
    println!("{} failing calls: {figures}", FAULTS.len());
    judge(&figures, 11);
    assert!(figures.acknowledged > 100, "too little load");
}
