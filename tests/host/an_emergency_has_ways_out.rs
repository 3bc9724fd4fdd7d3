//! A box that cannot start is not dead: whoever stands before it has ways out, without a host role.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use nix::pty::openpty;

use crate::machine::{Machine, PROGRAM, wait};

const RESET: &str = "efi/postern/factory-reset";

#[test]
fn a_reset_is_ordered_at_any_console_by_its_words() {
    let machine = Machine::new();
    machine.write("sys/class/tty/console/active", "tty0 ttyS0\n");
    fs::create_dir_all(machine.path("dev")).unwrap();
    // Both are real terminals; somebody sits at the first, which is not the last console.
    let (screen, line) = (openpty(None, None).unwrap(), openpty(None, None).unwrap());
    for (name, pair) in [("tty0", &screen), ("ttyS0", &line)] {
        let terminal = format!("/proc/self/fd/{}", pair.slave.as_raw_fd());
        symlink(fs::read_link(terminal).unwrap(), machine.path("dev").join(name)).unwrap();
    }
    let mut role = Command::new(PROGRAM)
        .args(["emergency", "--root"])
        .arg(machine.path(""))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut person = File::from(screen.master);
    // The words without the warning before them, a warning that somebody thinks better of, and
    // what is meant.
    for typed in ["destroy everything", "factory-reset", "", "power-off"] {
        writeln!(person, "{typed}").unwrap();
    }
    let called = |words: &str| machine.calls().contains(words).then_some(());
    wait(|| called("poweroff.target"), || machine.calls());
    assert_eq!(machine.read(RESET), None);
    for typed in ["factory-reset", "destroy everything"] {
        writeln!(person, "{typed}").unwrap();
    }
    wait(|| called("reboot.target"), || machine.calls());
    assert_eq!(machine.read(RESET).as_deref(), Some("everything\n"));
    role.kill().unwrap();
    role.wait().unwrap();
}
