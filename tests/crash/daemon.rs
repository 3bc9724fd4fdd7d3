//! The real daemon as a child process: started, listened to, killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postern::config::checked::DkimAlgorithm;
use postern::sign::keys;

use crate::letters::Book;

/// A start on a busy machine takes less.
const START: Duration = Duration::from_secs(30);

/// A broker that lost its daemon must be gone by then.
const BROKER_GONE: Duration = Duration::from_secs(5);

/// A folder with a configuration and a spool.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    pub(crate) spool: PathBuf,
    /// Where the present run listens; 0 while nobody does.
    pub(crate) port: Arc<AtomicU16>,
}

impl Home {
    /// Writes the configuration: everything goes to `receiver`. `spool` lies in `folder` unless it
    /// is said otherwise.
    pub(crate) fn make(folder: &Path, receiver: SocketAddr, spool: Option<&Path>) -> Self {
        let spool = spool.map_or_else(|| folder.join("spool"), Path::to_owned);
        let key = folder.join("dkim.pem");
        let pem = keys::generate(DkimAlgorithm::Ed25519Sha256).unwrap();
        fs::write(&key, pem.expose()).unwrap();
        let document = format!(
            r#"version = 1
hostname = "gateway.own.example"
lab = true
[spool]
path = "{spool}"
ballast = "1MiB"
free_min = "4MiB"
sync_slow = "30s"
[listener.intake]
address = "127.0.0.1:0"
kind = "smtp"
network_sources = true
clear_text = true
[source.app]
proof = "network"
networks = ["127.0.0.1"]
pairs = [{{ reverse_path = "*@own.example", from = "*@own.example" }}]
owner = "owner@own.example"
[[dkim]]
domain = "own.example"
selector = "e1"
algorithm = "ed25519-sha256"
file = "{key}"
[egress.wire]
device = "lo"
ipv4 = "127.0.0.1"
allow_networks = ["127.0.0.0/8"]
[[route]]
domain = "*"
hosts = ["{receiver}"]
[retry.transactional]
first = "200ms"
longest = "1s"
lifetime = "1h"
delay_notice = "never"
[control]
socket = "{socket}"
"#,
            spool = spool.display(),
            key = key.display(),
            socket = folder.join("control.sock").display(),
        );
        fs::write(folder.join("postern.toml"), document).unwrap();
        Self { folder: folder.to_owned(), spool, port: Arc::default() }
    }

    /// Starts the daemon.
    pub(crate) fn start(&self) -> Daemon {
        self.start_under(Command::new(env!("CARGO_BIN_EXE_postern")))
    }

    /// Starts the daemon by a command that ends in its program.
    pub(crate) fn start_under(&self, mut command: Command) -> Daemon {
        command.arg("serve").arg("--config").arg(self.folder.join("postern.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "JOURNAL_STREAM"] {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Said::default());
        let (ear, port) = (Arc::clone(&said), Arc::clone(&self.port));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(at) = listens(&line) {
                    port.store(at, Relaxed);
                }
                ear.lines.lock().unwrap().push(line);
                ear.news.notify_all();
            }
            *ear.ended.lock().unwrap() = true;
            ear.news.notify_all();
        });
        Daemon { child, said, port: Arc::clone(&self.port) }
    }
}

fn listens(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once(" serves on intake 127.0.0.1:")?;
    rest.split(';').next()?.parse().ok()
}

#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    ended: Mutex<bool>,
    news: Condvar,
}

/// A run of the daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    said: Arc<Said>,
    port: Arc<AtomicU16>,
}

impl Daemon {
    /// Waits until it listens.
    pub(crate) fn ready(&self) {
        self.hear(" serves on ", START);
    }

    /// Waits for a line that contains `words`.
    pub(crate) fn hear(&self, words: &str, patience: Duration) -> String {
        let until = Instant::now() + patience;
        let mut lines = self.said.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never heard {words:?}, but: {lines:#?}");
            lines = self.said.news.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lines.lock().unwrap().clone()
    }

    /// Kills it as the kernel would, and sees to it that its broker goes with it.
    pub(crate) fn kill(mut self, book: &Book) -> Vec<String> {
        let children = children(self.child.id());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        book.killed();
        self.port.store(0, Relaxed);
        gone(&children);
        self.said()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        let children = children(self.child.id());
        self.signal(Signal::SIGTERM);
        let status = self.wait(Duration::from_secs(60));
        gone(&children);
        (status, self.said())
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.port.store(0, Relaxed);
                return status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("it does not end: {:#?}", self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A test that failed leaves nothing running. One that passed has reaped it, and its number
        // may be another's by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Under strace the daemon is a child.
        for child in children(self.child.id()) {
            let _ = kill(Pid::from_raw(i32::try_from(child).unwrap()), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.port.store(0, Relaxed);
    }
}

/// Its children, that is: its broker.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let list: String = lists.collect::<Vec<_>>().join(" ");
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn gone(children: &[u32]) {
    let until = Instant::now() + BROKER_GONE;
    for child in children {
        loop {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
            if matches!(state, None | Some(b'Z' | b'X')) {
                break;
            }
            assert!(Instant::now() < until, "the broker {child} outlives its daemon: {stat}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
