//! The real `postern console` on pages, on real terminals: in tmux, at 9600 bits a second, on
//! terminals that say nothing, that are too small, that are stopped, and when it is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "console/line.rs"]
mod line;
#[path = "console/machine.rs"]
mod machine;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use line::{Line, Speed, Terminal};
use machine::{Machine, PATIENCE};

const PASSPHRASE: &str = "tulip wagon orbit 7";

/// A tmux server of this test's own.
struct Tmux {
    socket: String,
    keys: usize,
}

impl Tmux {
    fn start(machine: &Machine) -> Self {
        let socket = format!("postern-{}", std::process::id());
        let tmux = Self { socket, keys: 0 };
        let program = env!("CARGO_BIN_EXE_postern");
        let command = format!("{program} console --host-socket {}", machine.socket().display());
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &command]);
        tmux
    }

    fn run(&self, arguments: &[&str]) -> String {
        let ended = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(arguments)
            .output()
            .expect("tmux is needed: apt-get install tmux");
        assert!(
            ended.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
        String::from_utf8(ended.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows a text.
    fn expect(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "no `{text}` on:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types a text and Enter, once the screen shows what is answered.
    fn answer(&mut self, shown: &str, text: &str) {
        self.expect(shown);
        if !text.is_empty() {
            self.run(&["send-keys", "-l", text]);
        }
        self.run(&["send-keys", "Enter"]);
        self.keys += text.len() + 1;
    }

    fn key(&mut self, shown: &str, key: &str) {
        self.expect(shown);
        self.run(&["send-keys", key]);
        self.keys += 1;
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn first_boot_on_pages() {
    let mut machine = Machine::new();
    machine.start();
    let mut tmux = Tmux::start(&machine);
    tmux.key("NOT CONFIGURED", "w");
    tmux.answer("Administrator's passphrase", PASSPHRASE);
    tmux.answer("The passphrase once more", PASSPHRASE);
    tmux.answer("Full name of this gateway", "relay.example.com");
    // Whatever ports this machine has: both roles are VLANs of the first.
    tmux.answer("Port for egress", "1.25");
    tmux.answer("IPv4 of egress", "192.0.2.25/24");
    // Back and forth without loss.
    tmux.key("IPv4 router of egress", "Escape");
    tmux.answer("[192.0.2.25/24]", "");
    tmux.answer("IPv4 router of egress", "");
    tmux.answer("IPv6 of egress", "");
    tmux.answer("Port for intake", "1.30");
    tmux.answer("IPv4 of intake", "10.20.0.1/24");
    for question in [
        "IPv4 router of intake",
        "IPv6 of intake",
        "Port for manage",
        "Port for public",
        "Name servers for mail",
        "Time servers",
        "Name of the first application",
        "Who it may write as",
        "Where its bounces go",
        "Who owns it",
        "From which networks",
        "Domains to sign for",
    ] {
        tmux.answer(question, "");
    }
    tmux.expect("apply?");
    for _ in 0..5 {
        tmux.run(&["send-keys", "PPage"]);
    }
    for _ in 0..5 {
        tmux.run(&["send-keys", "NPage"]);
    }
    tmux.expect("IN TXT");
    tmux.answer("apply?", "apply");
    tmux.answer("Type yes to keep it", "yes");
    tmux.expect("password: ");
    // There is no daemon in the folder: the check of the way out is left.
    tmux.run(&["send-keys", "C-c"]);
    tmux.expect("l: log in, !: stop all mail");
    let document = fs::read_to_string(machine.path("etc/postern/postern.toml")).unwrap();
    for line in ["hostname = \"relay.example.com\"", "id = 25 }", "[interface.intake0]"] {
        assert!(document.contains(line), "no {line} in:\n{document}");
    }

    tmux.key("l: log in", "l");
    tmux.answer("Passphrase (Enter goes back)", "not the right one");
    tmux.expect("that is not the passphrase");
    tmux.answer("Passphrase (Enter goes back)", PASSPHRASE);
    tmux.key("Machine and console", "4");
    tmux.key("DNS records to publish", "3");
    tmux.expect("25.2.0.192.in-addr.arpa. IN PTR relay.example.com.");
    tmux.run(&["send-keys", "Enter"]);
    tmux.answer("Network and DNS (Enter", "config-history");
    tmux.expect("in force");
    tmux.run(&["send-keys", "Enter"]);
    tmux.answer("Network and DNS (Enter", "factory-reset");
    tmux.answer("Type relay.example.com to do it", "relay");
    tmux.expect("Nothing was done.");
    // Line by line, and back: L is for whoever is not logged in.
    tmux.key("Network and DNS", "Escape");
    tmux.key("Menu", "0");
    tmux.key("L: line by line", "L");
    tmux.answer("refresh, l: log in, !: stop all mail:", "L");
    tmux.expect("L: line by line; ctrl-L");
    println!("{} keys", tmux.keys);
}

/// At 9600 bits a second, with noise from the line: a page is 1150 octets at most, which is 1.2 s.
#[test]
fn a_slow_noisy_line_is_served() {
    let mut machine = Machine::new();
    machine.start();
    let mut line = Line::start(&machine, Terminal::Vt100 { columns: 80, rows: 24 }, Speed::Slow);
    line.expect("NOT CONFIGURED");
    line.expect("L: line by line");
    let first = line.octets();
    assert!(first <= 1500 + 64, "{first} octets before the first page stood");
    // Noise comes as keys, and something else wrote over the screen.
    line.send(b"\x00\xff\x1b[\x80\x1b[9;9\x15");
    line.garble(b"\x1b[10;20H\x1b[7m#### kernel: a line that is not ours ####\x1b[m");
    let begun = Instant::now();
    line.send(b"\x0c");
    line.expect_gone("kernel");
    line.expect("L: line by line");
    println!("redrawn after {:?}", begun.elapsed());
    line.settle();
    let (before, begun) = (line.octets(), Instant::now());
    line.send(b"w");
    line.expect("answers are kept");
    let octets = line.octets() - before;
    println!("a new page: {octets} octets, {:?}", begun.elapsed());
    assert!(octets <= 1150, "{octets} octets");
    line.end(Signal::SIGTERM);
}

/// What the kernel writes over a page goes by itself, and it costs next to nothing to find out.
#[test]
fn a_page_that_was_written_over_heals() {
    let mut machine = Machine::new();
    machine.start();
    let terminal = Terminal::Vt100 { columns: 80, rows: 24 };
    let mut line = Line::start(&machine, terminal, Speed::Fast);
    line.expect("L: line by line");
    line.settle();
    line.garble(b"[   88.396799] postern[546]: a line that is not ours\r\n");
    line.expect("a line that is not ours");
    line.expect_gone("a line that is not ours");
    line.expect("L: line by line");
    line.end(Signal::SIGTERM);
}

#[test]
fn a_terminal_that_says_nothing_is_served_line_by_line() {
    let mut machine = Machine::new();
    machine.start();
    for terminal in [Terminal::Silent, Terminal::Vt100 { columns: 50, rows: 15 }] {
        let mut line = Line::start(&machine, terminal, Speed::Fast);
        // What was typed before that was known is not lost.
        line.send(b"w\r");
        line.expect("Administrator's passphrase");
        line.expect("Passphrase:");
        line.end(Signal::SIGTERM);
    }
}

/// Killed at any moment: the cursor is seen, no attribute is left, and the next console finds its
/// way on the same terminal.
#[test]
fn a_killed_console_leaves_a_terminal_for_the_next() {
    let mut machine = Machine::new();
    machine.start();
    let terminal = Terminal::Vt100 { columns: 80, rows: 24 };
    for patience in [0, 3, 30, 300] {
        let mut line = Line::start(&machine, terminal, Speed::Fast);
        line.look(Duration::from_millis(patience));
        line.kill();
        assert!(line.is_sane(), "after {patience} ms");
        line.restart(&machine);
        line.expect("NOT CONFIGURED");
        line.end(Signal::SIGHUP);
    }
}

#[test]
fn a_stopped_terminal_does_not_keep_it() {
    let mut machine = Machine::new();
    machine.start();
    let terminal = Terminal::Vt100 { columns: 80, rows: 24 };
    let mut line = Line::start(&machine, terminal, Speed::Fast);
    line.expect("L: line by line");
    line.send(&[0x13]);
    for _ in 0..200 {
        line.send(b"\r\x0c");
    }
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    line.end(Signal::SIGTERM);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
