//! The walls of the box: the broker is a process that the service manager started, and the gateway
//! lives in an empty network namespace. Mail goes in by passed sockets and out by the broker's.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel as channel_of_words};
use std::time::{Duration, Instant};

use postern::net::egress::reach_broker;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::client::Client;
use crate::stage::{Daemon, PROGRAM, Stage, wait_for};

/// The broker as its unit starts it: the test is the service manager, and keeps the socket.
struct BrokerUnit {
    listener: OwnedFd,
    path: PathBuf,
    told: PathBuf,
    environment: Vec<(String, String)>,
    process: Option<Child>,
}

impl BrokerUnit {
    fn new(stage: &Stage) -> Self {
        let path = stage.path("egress.sock");
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let made = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None);
        let listener = made.unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&listener, 8).unwrap();
        let told = stage.path("told-by-broker");
        Self { listener, path, told, environment: Vec::new(), process: None }
    }

    /// A shell knows its process id before it becomes the broker.
    fn start(&mut self) {
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" egress";
        let told = fs::File::options().create(true).append(true).open(&self.told).unwrap();
        let mut command = Command::new("bash");
        command.args(["-c", script, PROGRAM]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(self.listener.try_clone().unwrap()).stdout(Stdio::null()).stderr(told);
        self.process = Some(command.spawn().unwrap());
    }

    fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.told).unwrap_or_default()
    }

    fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some())
    }
}

impl Drop for BrokerUnit {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // One that has ended is only reaped.
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("told by the broker:\n{}", self.told());
        }
    }
}

/// Starts the gateway in a namespace without any interface that is up, with sockets as systemd
/// passes them. With `families`, every kind of socket that it opens is written there.
fn confine(
    stage: &Stage,
    broker: &Path,
    passed: [(&str, TcpListener); 3],
    families: Option<&Path>,
) -> Child {
    fs::write(stage.path("postern.toml"), stage.document()).unwrap();
    let script = "exec 3<&0 4>&1 5>&2 </dev/null >/dev/null 2>>\"$1\"; shift
        LISTEN_PID=$$ exec \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(stage.path("told"));
    if let Some(families) = families {
        // -D: the traced program keeps the process id that the sockets were passed to.
        command.args(["strace", "-D", "-f", "-q", "-e", "trace=socket", "-o"]).arg(families);
    }
    command.args(["unshare", "--net", "--", PROGRAM, "serve", "--broker"]).arg(broker);
    command.arg("--config").arg(stage.path("postern.toml"));
    let names: Vec<&str> = passed.iter().map(|(name, _)| *name).collect();
    command.env("LISTEN_FDS", "3").env("LISTEN_FDNAMES", names.join(":"));
    let [first, second, third] = passed.map(|(_, socket)| OwnedFd::from(socket));
    command.stdin(first).stdout(second).stderr(third).spawn().unwrap()
}

fn listeners() -> [(&'static str, TcpListener); 3] {
    ["tls", "starttls", "clear"].map(|name| (name, TcpListener::bind("127.0.0.1:0").unwrap()))
}

fn walls(daemon: &Daemon) -> Vec<(String, bool, String)> {
    let status = daemon.json(&["status"]);
    let rows = status["walls"].as_array().unwrap().iter().map(|row| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (text("name"), row["stands"].as_bool().unwrap(), text("note"))
    });
    rows.collect()
}

#[test]
fn mail_goes_in_and_out_without_a_network() {
    let stage = Stage::new();
    let mut broker = BrokerUnit::new(&stage);
    broker.start();
    let families = stage.path("families");
    let child = confine(&stage, &broker.path, listeners(), Some(&families));
    let daemon = Daemon::new(stage, child, 0);
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_ne!(space(&daemon.pid().to_string()), space("self"));
    daemon.app().post(&["b@example.net"]);
    Client::clear(daemon.address("clear")).post(&["c@example.net"]);
    daemon.stage.sink.wait(|_| true);
    daemon.wait_queued(0);
    let walls = walls(&daemon);
    let network = walls.iter().find(|(name, ..)| name == "own network").unwrap();
    assert!(network.1, "{walls:?}");
    // Nothing that looks at the network fails; it does not know.
    let check = daemon.cli(&["egress", "check", "--json"]).out;
    assert!(check.contains("does not see the system's network"), "{check}");
    let _stage = daemon.stop();
    let opened = fs::read_to_string(&families).unwrap();
    let (unix, others): (Vec<&str>, Vec<&str>) = opened
        .lines()
        .filter(|line| line.contains("socket("))
        .partition(|line| line.contains("socket(AF_UNIX,"));
    assert!(!unix.is_empty() && others.is_empty(), "{others:#?}");
    assert!(!broker.has_ended(), "{}", broker.told());
}

#[test]
fn a_broker_that_is_started_again_is_met_again() {
    let stage = Stage::new();
    let mut broker = BrokerUnit::new(&stage);
    broker.start();
    let child = confine(&stage, &broker.path, listeners(), None);
    let daemon = Daemon::new(stage, child, 0);
    let mut app = daemon.app();
    app.post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    // The connection to the next host is kept for a while, and needs no broker.
    daemon.wait_queued(0);
    std::thread::sleep(Duration::from_secs(6));
    broker.kill();
    daemon.wait_told("channel to the broker was started again");
    daemon.wait_told("egress lo suspended");
    // The socket is there, and nobody behind it: mail is taken, waits, and burns no attempt.
    let id = app.post(&["b@example.net"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(daemon.json(&["queue", "show", &id])["attempts"], 0);
    broker.start();
    daemon.stage.sink.wait(|_| true);
    let sent = daemon.wait_told(&format!("{id}: to="));
    assert!(sent.contains("attempts=1"), "{sent}");
    daemon.wait_told("egress lo is whole again");
    // A gateway that starts again finds the same broker.
    let stage = daemon.stop();
    wait_for("the farewell", || broker.told().contains("channel ended"));
    let began = stage.told().len();
    let child = confine(&stage, &broker.path, listeners(), None);
    let daemon = Daemon::new(stage, child, began);
    daemon.app().post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    daemon.stop();
    assert!(!broker.has_ended(), "{}", broker.told());
}

#[test]
fn a_listener_without_its_socket_names_the_unit() {
    let stage = Stage::new();
    let mut passed = listeners();
    passed[2].0 = "tls";
    let mut child = confine(&stage, Path::new("/nowhere"), passed, None);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{}", stage.told());
    let told = stage.told();
    assert!(told.contains("postern-clear.socket"), "{told}");
    assert!(told.contains("no network of its own"), "{told}");
}

/// The newest channel counts, and a stranger has none, whatever the socket's mode.
#[test]
fn the_broker_serves_one_gateway_and_no_stranger() {
    let stage = Stage::new();
    let mut broker = BrokerUnit::new(&stage);
    let socket = stage.path("notify");
    let systemd = ear(UnixDatagram::bind(&socket).unwrap());
    broker.environment = vec![
        ("NOTIFY_SOCKET".to_owned(), socket.display().to_string()),
        ("WATCHDOG_USEC".to_owned(), "400000".to_owned()),
    ];
    broker.start();
    hear(&systemd, "READY=1");
    hear(&systemd, "WATCHDOG=1");
    let first = channel(&broker.path);
    hear(&systemd, "STATUS=serves the gateway");
    let second = channel(&broker.path);
    assert_eq!(told_first(&first), "closed");
    assert!(told_first(&second).contains("\"uid\":"));
    hear(&systemd, "WATCHDOG=1");
    fs::set_permissions(&broker.path, fs::Permissions::from_mode(0o666)).unwrap();
    let stranger = "import socket, os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
print(len(s.recv(4096)))";
    let said = Command::new("python3").args(["-c", stranger]).arg(&broker.path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "0", "{said:?}");
    wait_for("the refusal", || broker.told().contains("refused a channel of the user nobody"));
    drop(second);
    hear(&systemd, "STATUS=waits for the gateway");
    assert!(!broker.has_ended(), "{}", broker.told());
}

/// A gateway that takes nothing any more is cut off; the watchdog is fed all the same.
#[test]
fn a_gateway_that_hangs_does_not_end_the_broker() {
    let stage = Stage::new();
    let mut broker = BrokerUnit::new(&stage);
    broker.start();
    let silent = channel(&broker.path);
    let mut wishes = UnixStream::from(silent.try_clone().unwrap());
    // Questions whose answers nobody reads fill the channel.
    let ask = b"{\"say\":\"health\"}".as_slice();
    let orders = br#"{"say":"orders","egresses":[],"permits":[],"own":[]}"#.as_slice();
    wishes.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    wishes.write_all(orders).unwrap();
    let open = br#"{"say":"open","id":1,"egress":"x","transport":"tcp",
        "to":"192.0.2.1:25","wait_millis":9}"#;
    // A broker that has not had the processor yet takes nothing either: it is asked until it tells.
    wait_for("the cut", || {
        let mut left = 100_000;
        while (&wishes).write(open).is_ok() && left > 0 {
            left -= 1;
        }
        let _ = (&wishes).write(ask);
        broker.told().contains("takes nothing any more")
    });
    assert!(told_all(&mut wishes), "the channel is still open");
    assert!(!broker.has_ended(), "{}", broker.told());
    assert!(told_first(&channel(&broker.path)).contains("\"uid\":"));
}

fn channel(path: &Path) -> OwnedFd {
    let mut met = None;
    wait_for("the broker's socket", || reach_broker(path).is_ok() || path.exists());
    for _ in 0..100 {
        match reach_broker(path) {
            Ok(channel) => {
                met = Some(channel);
                break;
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    let channel = met.unwrap();
    rustix::io::ioctl_fionbio(&channel, false).unwrap();
    channel
}

/// The first packet, or `closed` if the channel ends (before or after it).
fn told_first(channel: &OwnedFd) -> String {
    let mut packet = [0; 4096];
    let mut all = String::new();
    loop {
        let read =
            rustix::net::recv(channel.as_fd(), &mut packet[..], rustix::net::RecvFlags::empty());
        match read {
            Ok((0, _)) | Err(_) => return "closed".to_owned(),
            Ok((length, _)) => all += &String::from_utf8_lossy(&packet[..length]),
        }
        if !all.is_empty() && !is_shut(channel) {
            return all;
        }
    }
}

/// Whether the other side has ended the channel, waiting a moment for it.
fn is_shut(channel: &OwnedFd) -> bool {
    let mut packet = [0; 1];
    for _ in 0..20 {
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        match rustix::net::recv(channel.as_fd(), &mut packet[..], flags) {
            Ok((0, _)) => return true,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    false
}

/// Reads what is left; whether the channel then ends.
fn told_all(wishes: &mut UnixStream) -> bool {
    wishes.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut packet = [0; 4096];
    loop {
        match wishes.read(&mut packet) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// The service manager's socket is always read, like the real one: else ten words of the watchdog
/// fill it, and the broker waits for us while we wait for the broker.
fn ear(systemd: UnixDatagram) -> Receiver<String> {
    let (heard, all) = channel_of_words();
    systemd.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = systemd.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if heard.send(text).is_err() {
                break;
            }
        }
    });
    all
}

fn hear(systemd: &Receiver<String>, wanted: &str) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        let text = systemd.recv_timeout(Duration::from_secs(20)).unwrap();
        if text.lines().any(|line| line.starts_with(wanted)) {
            return;
        }
    }
    panic!("{wanted} was not heard");
}
