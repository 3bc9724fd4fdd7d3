//! The real daemon in the gateway's namespace, under the user whom the guard lets out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use super::broker::{PROGRAM, as_broker};
use super::names::{RESOLVER4, RESOLVER6};
use super::space::Program;
use super::wires::{BROKER, Bed, Wire};

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Port of the listener on the intake wire.
const INTAKE: u16 = 2525;

/// Port of a listener with TLS, where a document has one.
pub(crate) const SAFE_INTAKE: u16 = 2526;

/// A daemon that serves.
pub(crate) struct Gateway {
    folder: tempfile::TempDir,
    intake: SocketAddr,
    process: Program,
}

impl Gateway {
    /// Starts it with both families of egress A, and `more` in its document. `retry` is the
    /// section of transactional mail.
    pub(crate) fn start(bed: &Bed, retry: &str, more: &str) -> Self {
        Self::start_with(bed, retry, more, &[])
    }

    /// As `start`, with files in its folder, which `more` calls `FOLDER`.
    pub(crate) fn start_with(bed: &Bed, retry: &str, more: &str, files: &[(&str, &str)]) -> Self {
        Self::start_upon(bed, retry, more, files, |_| ())
    }

    /// As `start_with`, upon what an earlier run left in its spool.
    pub(crate) fn start_upon(
        bed: &Bed,
        retry: &str,
        more: &str,
        files: &[(&str, &str)],
        left: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("postern").tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
            chown(folder.path().join(name), Some(BROKER), Some(BROKER)).unwrap();
        }
        let more = &more.replace("FOLDER", &folder.path().display().to_string());
        let spool = folder.path().join("spool");
        fs::create_dir(&spool).unwrap();
        left(&spool);
        give_to_broker(&spool);
        let intake = SocketAddr::new(Wire::Intake.ours4().into(), INTAKE);
        let path = folder.path().join("postern.toml");
        fs::write(&path, document(folder.path(), intake, retry, more)).unwrap();
        for entry in ["", "spool", "postern.toml"] {
            chown(folder.path().join(entry), Some(BROKER), Some(BROKER)).unwrap();
        }
        let told = fs::File::create(folder.path().join("told")).unwrap();
        let mut command = as_broker(PROGRAM);
        command.args(["serve", "--config"]).arg(&path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told);
        let process = bed.gateway.start(&mut command);
        let mut gateway = Self { folder, intake, process };
        let began = Instant::now();
        while !gateway.told().contains(" serves on ") {
            let ended = gateway.process.0.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended: {}", gateway.told());
            assert!(began.elapsed() < PATIENCE, "it does not serve: {}", gateway.told());
            std::thread::sleep(Duration::from_millis(10));
        }
        gateway
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All that it has told.
    pub(crate) fn told(&self) -> String {
        let octets = fs::read(self.path("told")).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Waits until it has told something with these words, behind the first `from` octets.
    pub(crate) fn wait_told(&self, from: usize, words: &str) -> String {
        let began = Instant::now();
        loop {
            let told = self.told();
            let told = told.get(from..).unwrap_or_default();
            if let Some(line) = told.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{words:?} was not told: {told}\n{}\n{}\n{}",
                self.told()
                    .lines()
                    .filter(|l| l.contains("egress a "))
                    .collect::<Vec<_>>()
                    .join("\n"),
                self.json(&["egress", "list"]),
                self.json(&["status"])
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a verb of the command line; its JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--json").arg("--socket").arg(self.path("control.sock"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {err}");
        serde_json::from_slice(out).unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    /// Messages in the queue.
    pub(crate) fn queued(&self) -> u64 {
        self.json(&["status"])["queue"]["messages"].as_u64().unwrap()
    }

    /// An application on the intake wire.
    pub(crate) fn application(&self, bed: &Bed) -> Application {
        let stream = bed.internet.within(|| TcpStream::connect(self.intake)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Application::greet(Box::new(stream))
    }

    /// An application on the intake wire that speaks TLS to the name `gw.example.org`.
    pub(crate) fn safe_application(&self, bed: &Bed, tls: Arc<ClientConfig>) -> Application {
        let place = SocketAddr::new(self.intake.ip(), SAFE_INTAKE);
        let stream = bed.internet.within(|| TcpStream::connect(place)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = "gw.example.org".try_into().unwrap();
        let connection = ClientConnection::new(tls, name).unwrap();
        Application::greet(Box::new(StreamOwned::new(connection, stream)))
    }
}

/// Everything below `folder` belongs to the daemon's user.
fn give_to_broker(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        chown(&path, Some(BROKER), Some(BROKER)).unwrap();
        if path.is_dir() {
            give_to_broker(&path);
        }
    }
}

/// Either kind of stream.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A client that submits.
pub(crate) struct Application {
    stream: BufReader<Box<dyn Stream>>,
}

impl Application {
    fn greet(stream: Box<dyn Stream>) -> Self {
        let mut application = Self { stream: BufReader::new(stream) };
        application.reply();
        application.say("EHLO app.example.org");
        application
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            let octets = self.stream.read_line(&mut line).unwrap();
            assert!(octets > 0, "the gateway closed the connection");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Says a line; the reply.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// Submits a message; its queue id.
    pub(crate) fn post(&mut self, to: &str) -> String {
        self.post_as(to, "", "")
    }

    /// As `post`, with parameters of MAIL and lines of the header.
    pub(crate) fn post_as(&mut self, to: &str, parameters: &str, header: &str) -> String {
        for line in
            [&format!("MAIL FROM:<a@example.org>{parameters}"), &format!("RCPT TO:<{to}>"), "DATA"]
        {
            let reply = self.say(line);
            assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
        }
        let letter =
            format!("From: <a@example.org>\r\n{header}Subject: a letter\r\n\r\nHello.\r\n.");
        let reply = self.say(&letter);
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
        reply.split_whitespace().find(|word| word.len() == 26).unwrap().to_owned()
    }
}

fn document(folder: &Path, intake: SocketAddr, retry: &str, more: &str) -> String {
    let place = |name: &str| folder.join(name).display().to_string();
    let (spool, socket) = (place("spool"), place("control.sock"));
    let (device, v4, v6) = (Wire::A.near(), Wire::A.ours4(), Wire::A.ours6());
    format!(
        r#"version = 1
hostname = "gw.example.org"
lab = true

[spool]
path = "{spool}"
ballast = "1MiB"
free_min = "1MiB"
sync_slow = "60s"

[listener.intake]
address = "{intake}"
device = "i0"
kind = "smtp"
clear_text = true
network_sources = true

[source.net]
proof = "network"
networks = ["10.2.0.0/24"]
pairs = [{{ reverse_path = "*@example.org", from = "*@example.org" }}]
owner = "owner@example.org"
unsigned = "allow"

[egress.a]
device = "{device}"
ipv4 = "{v4}"
ipv6 = "{v6}"
resolvers = ["{RESOLVER4}", "{RESOLVER6}"]

[retry.transactional]
{retry}

[control]
socket = "{socket}"

{more}
"#
    )
}
