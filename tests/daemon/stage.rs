//! The real daemon as a process, with a configuration of its own in a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postern::base::secret::Secret;
use postern::source::{Strength, verifier_for};
use serde_json::Value;

use crate::client::Client;
use crate::sink::Sink;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");

/// Longer than a start or an end takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Folder, receiving host and document, before and between runs of the daemon.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub(crate) sink: Sink,
    /// `[source.…]` and what else a test adds to the document.
    pub(crate) more: String,
    /// The network of the source `net`.
    pub(crate) near: String,
    /// The interface of the egress.
    pub(crate) device: String,
    /// What stands before the first section.
    pub(crate) top: String,
    /// `[retry.transactional]`.
    pub(crate) retry: String,
    /// `[control]` beyond the socket.
    pub(crate) control: String,
    /// Environment of the daemon.
    pub(crate) environment: Vec<(String, String)>,
}

impl Stage {
    /// A stage as the transcripts take it for granted, and whatever `more` says.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("postern").tempdir().unwrap();
        // Other users find the control socket, and are refused there.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["gw.example.org".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        fs::create_dir(folder.path().join("spool")).unwrap();
        Self {
            folder,
            sink: Sink::start(),
            more: String::new(),
            near: "127.0.0.1".to_owned(),
            device: "lo".to_owned(),
            top: String::new(),
            retry: "first = \"30s\"\nlongest = \"60s\"\nlifetime = \"10m\"".to_owned(),
            control: String::new(),
            environment: Vec::new(),
        }
    }

    /// A file of the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The document as it stands now.
    #[expect(clippy::too_many_lines, reason = "a document reads best in one piece")]
    pub(crate) fn document(&self) -> String {
        let place = |name: &str| self.path(name).display().to_string();
        format!(
            r#"version = 1
hostname = "gw.example.org"
lab = true
{top}
[spool]
path = "{spool}"
ballast = "1MiB"
free_min = "1MiB"
sync_slow = "60s"

[tls]
certificate = "{certificate}"
key = "{key}"

[listener.tls]
address = "127.0.0.1:0"
kind = "submissions"

[listener.starttls]
address = "127.0.0.1:0"
kind = "submission"

[listener.clear]
address = "127.0.0.1:0"
kind = "smtp"
clear_text = true
network_sources = true

[connections]
total_max = 20000
per_address_max = 20000

[source.app]
proof = "password"
user = "app"
pairs = [
    {{ reverse_path = "*@example.org", from = "*@example.org" }},
    {{ reverse_path = "<>", from = "*@example.org" }},
]
owner = "owner@example.com"
unsigned = "allow"
priority_max = 3
deliver_by = "handover"

[source.app.password]
{verifier}

[source.net]
proof = "network"
networks = ["{near}"]
pairs = [{{ reverse_path = "*@example.org", from = "*@example.org" }}]
unsigned = "allow"

[egress.lo]
device = "{device}"
ipv4 = "127.0.0.1"
resolvers = ["127.0.0.1:9"]
allow_networks = ["127.0.0.0/8"]

[[route]]
domain = "*"
hosts = ["{sink}"]

[lanes]
connections_first = 1
connections_max = 1

[retry.transactional]
{retry}

[control]
socket = "{socket}"
{control}

{more}
"#,
            top = self.top,
            spool = place("spool"),
            certificate = place("cert.pem"),
            key = place("key.pem"),
            verifier = sesame(),
            near = self.near,
            device = self.device,
            sink = self.sink.address,
            retry = self.retry,
            socket = place("control.sock"),
            control = self.control,
            more = self.more,
        )
    }

    /// Writes the document and starts the daemon without waiting for it.
    pub(crate) fn launch(&self) -> Child {
        fs::write(self.path("postern.toml"), self.document()).unwrap();
        self.launch_as_is()
    }

    /// Starts the daemon by the document that is there.
    pub(crate) fn launch_as_is(&self) -> Child {
        let told = fs::File::options().create(true).append(true).open(self.path("told")).unwrap();
        Command::new(PROGRAM)
            .args(["serve", "--config"])
            .arg(self.path("postern.toml"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(told)
            .spawn()
            .unwrap()
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) fn start(self) -> Daemon {
        let began = self.told().len();
        let child = self.launch();
        Daemon::new(self, child, began)
    }

    /// What all daemons of this stage have told so far.
    pub(crate) fn told(&self) -> String {
        fs::read(self.path("told"))
            .map(|octets| String::from_utf8_lossy(&octets).into_owned())
            .unwrap_or_default()
    }
}

/// The verifier of the password `sesame`.
fn sesame() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| verifier("sesame"))
}

/// The lines of `[source.NAME.password]` for a password.
pub(crate) fn verifier(password: &str) -> String {
    let made = verifier_for(&Secret::new(password.to_owned()), Strength::Generated).unwrap();
    let scram = made.scram_sha256.unwrap();
    format!("argon2id = \"{}\"\nscram_sha256 = \"{scram}\"\n", made.argon2id)
}

/// The command line's answer.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Of a process that has ended.
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A daemon that serves.
pub(crate) struct Daemon {
    child: Process,
    pub(crate) stage: Stage,
    listeners: Vec<(String, SocketAddr)>,
    /// Where in `told` this run begins.
    began: usize,
}

impl Daemon {
    /// Waits until the control socket answers.
    pub(crate) fn new(stage: Stage, child: Child, began: usize) -> Self {
        let child = Process(child, stage.path("told"));
        let mut daemon = Self { child, stage, listeners: Vec::new(), began };
        let waited = Instant::now();
        loop {
            if let Some(status) = daemon.child.0.try_wait().unwrap() {
                panic!("the daemon ended with {status}: {}", daemon.told());
            }
            if daemon.told().contains(" serves on ") {
                break;
            }
            assert!(waited.elapsed() < PATIENCE, "the daemon does not serve: {}", daemon.told());
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = daemon.json(&["status"]);
        let rows = status["listeners"].as_array().unwrap();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        daemon.listeners = rows
            .iter()
            .map(|row| (text(row, "name"), text(row, "address").parse().unwrap()))
            .collect();
        daemon
    }

    /// Where a listener is.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.listeners.iter().find(|(name, _)| name == listener).unwrap().1
    }

    /// A client that has authenticated as `app`.
    pub(crate) fn app(&self) -> Client {
        let mut client = Client::secure(self.address("tls"));
        let reply = client.authenticate("app", "sesame");
        assert!(reply.starts_with("235 "), "{reply}");
        client
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends a signal to the daemon.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// What this run has told so far.
    pub(crate) fn told(&self) -> String {
        self.stage.told().get(self.began..).unwrap_or_default().to_owned()
    }

    /// Waits until this run has told something with these words.
    pub(crate) fn wait_told(&self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let told = self.told();
            if let Some(line) = told.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "{words:?} was not told: {told}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a verb of the command line.
    pub(crate) fn cli(&self, words: &[&str]) -> Said {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--socket").arg(self.stage.path("control.sock"));
        Said::of(&command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a verb that must be done; its JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut with_json = words.to_vec();
        with_json.push("--json");
        let said = self.cli(&with_json);
        assert_eq!(said.code, 0, "{words:?}: {} {}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{words:?}: {e}: {}", said.out))
    }

    /// Messages in the queue.
    pub(crate) fn queued(&self) -> u64 {
        self.json(&["status"])["queue"]["messages"].as_u64().unwrap()
    }

    /// Waits until as many messages are in the queue.
    pub(crate) fn wait_queued(&self, messages: u64) {
        wait_for(&format!("{messages} queued messages"), || self.queued() == messages);
    }

    /// How the process ended, if it has.
    pub(crate) fn try_end(&mut self) -> Option<ExitStatus> {
        self.child.0.try_wait().unwrap()
    }

    /// The stage of a daemon that has ended.
    pub(crate) fn leave(mut self) -> Stage {
        self.wait_end();
        self.stage
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.try_end() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the daemon does not end: {}", self.told());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the daemon in order; the stage stays.
    pub(crate) fn stop(mut self) -> Stage {
        self.signal(Signal::SIGTERM);
        let status = self.wait_end();
        assert!(status.success(), "{status}: {}", self.told());
        self.stage
    }

    /// Ends the daemon by SIGKILL; the stage stays.
    pub(crate) fn crash(mut self) -> Stage {
        self.child.0.kill().unwrap();
        self.wait_end();
        self.stage
    }
}

/// A child of ours, which never outlives its test, and where it writes.
struct Process(Child, PathBuf);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is only reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
        if std::thread::panicking() {
            let told = fs::read(&self.1).unwrap_or_default();
            eprintln!("told by the daemon:\n{}", String::from_utf8_lossy(&told));
        }
    }
}

/// Waits until `done`.
pub(crate) fn wait_for(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process ids of the children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let mut found = Vec::new();
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}
