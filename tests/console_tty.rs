//! The real `postern console` on a real terminal, against the real host role on a machine that is
//! a folder: first boot, login, noise, and a terminal that is sane again at the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "console/machine.rs"]
mod machine;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;

use machine::{Machine, PATIENCE};

const PASSPHRASE: &str = "tulip wagon orbit 7";

/// A console on a terminal, and everything that it has shown.
struct Tty {
    child: Child,
    /// The end where a person sits.
    person: fs::File,
    terminal: OwnedFd,
    before: Termios,
    shown: String,
    read: usize,
}

impl Tty {
    fn start(socket: &Path) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&pair.slave).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_postern"))
            .args(["console", "--plain", "--host-socket"])
            .arg(socket)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let person = fs::File::from(pair.master);
        Self { child, person, terminal: pair.slave, before, shown: String::new(), read: 0 }
    }

    /// Waits until `text` is shown, after what was waited for before.
    fn expect(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.shown[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            let left = PATIENCE.checked_sub(begun.elapsed());
            let left = left.unwrap_or_else(|| panic!("no `{text}` in:\n{}", self.shown));
            self.look(left);
        }
    }

    fn look(&mut self, patience: Duration) {
        let timeout = PollTimeout::try_from(patience).unwrap();
        let mut fds = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).unwrap() == 0 {
            return;
        }
        let mut octets = [0; 4096];
        let count = self.person.read(&mut octets).unwrap_or(0);
        assert!(count > 0, "the console has ended:\n{}", self.shown);
        self.shown.extend(octets[..count].iter().map(|octet| char::from(*octet)));
    }

    fn send(&mut self, octets: &[u8]) {
        self.person.write_all(octets).unwrap();
    }

    /// Waits for a prompt and answers it.
    fn answer(&mut self, prompt: &str, text: &str) {
        self.expect(prompt);
        self.send(format!("{text}\r").as_bytes());
    }

    /// Waits for a prompt whose answer must not be seen.
    fn answer_secret(&mut self, prompt: &str, text: &str) {
        self.expect(prompt);
        let flags = tcgetattr(&self.terminal).unwrap().local_flags;
        assert!(!flags.contains(LocalFlags::ECHO), "what is typed at {prompt} is seen");
        self.send(format!("{text}\r").as_bytes());
    }

    /// Ends the console by a signal; the terminal is as it was.
    fn end(mut self, signal: Signal) -> String {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status} on {signal}");
        let after = tcgetattr(&self.terminal).unwrap();
        assert_eq!(after, self.before, "the terminal is not restored");
        self.shown.clone()
    }
}

/// What the first boot needs, from the first prompt to the last.
fn first_boot(tty: &mut Tty, name: &str) {
    tty.answer("Enter: refresh, w: set up, l: log in:", "w");
    tty.answer_secret("Passphrase:", PASSPHRASE);
    tty.answer_secret("Again:", PASSPHRASE);
    tty.answer("3 of", name);
    tty.answer("Port for egress", "1");
    tty.answer("IPv4 of egress", "192.0.2.25/24");
    for _ in 0..2 {
        tty.answer("]: ", "");
    }
}

#[test]
fn first_boot_over_a_terminal() {
    let mut machine = Machine::new();
    let mut tty = Tty::start(&machine.socket());
    tty.expect("No status");
    machine.start();
    tty.expect("NOT CONFIGURED");
    first_boot(&mut tty, "relay.example.com");
    // Whatever ports this machine has: with one alone, intake is a VLAN beside the egress's.
    tty.expect("Port for intake");
    tty.send(b"<\r");
    tty.expect("IPv6 of egress");
    for _ in 0..3 {
        tty.answer(": ", "<");
    }
    tty.answer("Port for egress", "1.25");
    for _ in 0..3 {
        tty.answer("]: ", "");
    }
    tty.answer("Port for intake", "1.30");
    tty.answer("IPv4 of intake", "10.20.0.1/24");
    // Routers, IPv6, manage, public, names, time, the source and its domain: as proposed.
    for _ in 0..12 {
        tty.answer("]: ", "");
    }
    tty.expect("_domainkey.example.com. IN TXT (");
    tty.answer("apply? ", "apply");
    tty.answer("Type yes to keep it: ", "yes");
    tty.expect("stays in force");
    tty.expect("password: ");
    // There is no daemon in the folder: the check of the way out is left.
    tty.send(&[3]);
    tty.expect("Left.");

    let document = fs::read_to_string(machine.path("etc/postern/postern.toml")).unwrap();
    for line in ["hostname = \"relay.example.com\"", "id = 25 }", "[interface.intake0]"] {
        assert!(document.contains(line), "no {line} in:\n{document}");
    }
    let admin = fs::read_to_string(machine.path("var/lib/postern-host/admin")).unwrap();
    assert!(admin.starts_with("$argon2id$"), "{admin}");
    assert!(machine.path("etc/postern/dkim").read_dir().unwrap().count() >= 2);
    assert!(machine.path("etc/postern/tls/chain.pem").is_file());

    tty.answer("Enter: refresh, l: log in, !: stop all mail:", "l");
    tty.answer_secret("Passphrase (Enter goes back):", "not the right one, surely");
    tty.expect("that is not the passphrase");
    tty.answer_secret("Passphrase (Enter goes back):", PASSPHRASE);
    tty.expect("Logged in.");
    tty.answer("Menu (Enter lists it): ", "dns-records");
    tty.expect("25.2.0.192.in-addr.arpa. IN PTR relay.example.com.");
    tty.answer("Menu (Enter lists it): ", "config-history");
    tty.expect("in force");
    tty.answer("Menu (Enter lists it): ", "factory-reset");
    tty.answer("Type relay.example.com to do it (Enter goes back): ", "relay");
    tty.expect("Nothing was done.");
    tty.answer("Menu (Enter lists it): ", "0");
    tty.expect("Logged out.");

    let shown = tty.end(Signal::SIGTERM);
    assert!(!shown.contains(PASSPHRASE), "a passphrase is on the screen:\n{shown}");
    assert!(!shown.contains("not the right one"), "a wrong passphrase is on the screen");
    for line in shown.lines() {
        assert!(line.trim_end().len() < 110, "a wide line with its echo: {line}");
    }
    assert!(shown.bytes().all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n' | 3)), "no ASCII");
}

#[test]
fn an_unconfirmed_first_configuration_is_taken_back() {
    let mut machine = Machine::new();
    machine.start();
    let mut tty = Tty::start(&machine.socket());
    first_boot(&mut tty, "relay.example.com");
    tty.expect("Port for intake");
    tty.send(b"<\r");
    for _ in 0..3 {
        tty.answer(": ", "<");
    }
    tty.answer("Port for egress", "1.25");
    for _ in 0..3 {
        tty.answer("]: ", "");
    }
    tty.answer("Port for intake", "1.30");
    tty.answer("IPv4 of intake", "10.20.0.1/24");
    for _ in 0..12 {
        tty.answer("]: ", "");
    }
    tty.answer("apply? ", "apply");
    tty.expect("Type yes to keep it: ");
    assert!(machine.path("etc/postern/postern.toml").exists());
    tty.send(&[3]);
    tty.expect("must be confirmed within");
    // It waits; whoever knows the passphrase takes it back.
    tty.answer("!: stop all mail:", "l");
    tty.answer_secret("Passphrase (Enter goes back):", PASSPHRASE);
    tty.answer("Menu (Enter lists it): ", "config-rollback");
    tty.answer("Type roll back to do it (Enter goes back): ", "roll back");
    tty.expect("Menu (Enter lists it): ");
    tty.send(b"0\r");
    tty.expect("NOT CONFIGURED");
    assert!(!machine.path("etc/postern/postern.toml").exists());
    tty.expect("w: go on with the set-up");
    tty.end(Signal::SIGHUP);
}

#[test]
fn noise_and_control_keys_leave_a_screen() {
    let mut machine = Machine::new();
    machine.start();
    let mut tty = Tty::start(&machine.socket());
    tty.expect("w: set up, l: log in:");
    let mut chance = 2_463_534_242_u32;
    for _ in 0..200 {
        let noise: Vec<u8> = (0..32)
            .map(|_| {
                chance ^= chance << 13;
                chance ^= chance >> 17;
                chance ^= chance << 5;
                // XOFF alone would rightly stop the output.
                let octet = chance.to_be_bytes()[0];
                if octet == 0x13 { 0 } else { octet }
            })
            .collect();
        tty.send(&noise);
        tty.look(Duration::from_millis(2));
    }
    // ctrl-C, ctrl-Z, ctrl-\ and ctrl-D end nothing.
    for key in [3, 26, 28, 4] {
        tty.send(&[17, key, b'\r']);
    }
    tty.read = tty.shown.len();
    tty.send(&[3]);
    tty.expect("Postern ");
    tty.expect("Enter: refresh");
    assert!(tty.child.try_wait().unwrap().is_none(), "it has ended");
    tty.end(Signal::SIGTERM);
}

#[test]
fn a_terminal_stopped_by_xoff_does_not_keep_it() {
    let mut machine = Machine::new();
    machine.start();
    let mut tty = Tty::start(&machine.socket());
    tty.expect("w: set up, l: log in:");
    tty.send(&[0x13]);
    for _ in 0..64 {
        tty.send(b"\r");
    }
    tty.end(Signal::SIGTERM);
}

#[test]
fn a_script_needs_no_terminal() {
    let mut machine = Machine::new();
    machine.start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["console", "--plain", "--host-socket"])
        .arg(machine.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\nw\nshort\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    let shown = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(shown.matches("NOT CONFIGURED").count(), 2, "{shown}");
    assert!(shown.contains("7 more are needed"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}
