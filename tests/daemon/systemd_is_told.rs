//! What a service manager sees: READY, RELOADING, WATCHDOG and STOPPING on its socket, sockets that
//! it passes taken, and one daemon for one spool.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::Client;
use crate::stage::{Daemon, PROGRAM, Said, Stage};

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a datagram with a line that starts so; the datagrams up to and with it.
fn hear(systemd: &UnixDatagram, wanted: &str) -> Vec<String> {
    let began = Instant::now();
    let mut heard = Vec::new();
    systemd.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut buffer = [0; 4096];
    while began.elapsed() < PATIENCE {
        let Ok(length) = systemd.recv(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let found = text.lines().any(|line| line.starts_with(wanted));
        heard.push(text);
        if found {
            return heard;
        }
    }
    panic!("{wanted} was not heard, only {heard:?}");
}

#[test]
fn ready_reloading_watchdog_and_stopping_are_told() {
    let mut stage = Stage::new();
    let socket = stage.path("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    stage.environment = vec![
        ("NOTIFY_SOCKET".to_owned(), socket.display().to_string()),
        ("WATCHDOG_USEC".to_owned(), "400000".to_owned()),
    ];
    let daemon = stage.start();
    let heard = hear(&systemd, "READY=1");
    assert!(heard.last().unwrap().contains("STATUS="), "{heard:?}");
    // READY means that mail is taken.
    daemon.app().post(&["b@example.net"]);
    hear(&systemd, "WATCHDOG=1");
    daemon.signal(Signal::SIGHUP);
    let heard = hear(&systemd, "RELOADING=1");
    assert!(heard.last().unwrap().contains("MONOTONIC_USEC="), "{heard:?}");
    hear(&systemd, "READY=1");
    let mut daemon = daemon;
    daemon.signal(Signal::SIGTERM);
    hear(&systemd, "STOPPING=1");
    assert!(daemon.wait_end().success());
}

/// A wrong reload is told as well, and ends with READY: systemd waits for it.
#[test]
fn a_reload_that_fails_keeps_nobody_waiting() {
    let mut stage = Stage::new();
    let socket = stage.path("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    stage.environment = vec![("NOTIFY_SOCKET".to_owned(), socket.display().to_string())];
    let daemon = stage.start();
    hear(&systemd, "READY=1");
    std::fs::write(daemon.stage.path("postern.toml"), "nonsense").unwrap();
    daemon.signal(Signal::SIGHUP);
    hear(&systemd, "RELOADING=1");
    hear(&systemd, "READY=1");
    daemon.app().post(&["b@example.net"]);
    daemon.stop();
}

/// Starts the daemon with one or two sockets as systemd passes them: a shell, which knows its
/// process id before it becomes the daemon, moves them from its standard input and output.
fn launch_with(
    stage: &Stage,
    names: &str,
    first: TcpListener,
    second: Option<TcpListener>,
) -> Child {
    std::fs::write(stage.path("postern.toml"), stage.document()).unwrap();
    let told = std::fs::File::create(stage.path("told")).unwrap();
    let count = 1 + usize::from(second.is_some());
    let script = "exec 3<&0 4>&1 </dev/null >/dev/null
        LISTEN_PID=$$ exec \"$0\" serve --config \"$1\"";
    let second = second.map_or_else(Stdio::null, |socket| OwnedFd::from(socket).into());
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).arg(PROGRAM).arg(stage.path("postern.toml"));
    command.env("LISTEN_FDS", count.to_string()).env("LISTEN_FDNAMES", names);
    command.stdin(OwnedFd::from(first)).stdout(second).stderr(told).spawn().unwrap()
}

#[test]
fn passed_sockets_are_taken_by_name() {
    let stage = Stage::new();
    let tls = TcpListener::bind("127.0.0.1:0").unwrap();
    let clear = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tls_at, clear_at) = (tls.local_addr().unwrap(), clear.local_addr().unwrap());
    let child = launch_with(&stage, "clear:tls", clear, Some(tls));
    let daemon = Daemon::new(stage, child, 0);
    assert_eq!((daemon.address("tls"), daemon.address("clear")), (tls_at, clear_at));
    daemon.app().post(&["b@example.net"]);
    Client::clear(clear_at).post(&["b@example.net"]);
    // A listener that nobody passed was bound.
    Client::clear(daemon.address("starttls"));
    daemon.stop();
}

#[test]
fn a_passed_socket_that_no_listener_has_is_said() {
    let stage = Stage::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = launch_with(&stage, "submision", socket, None);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1), "{}", stage.told());
    assert!(stage.told().contains("submision"), "{}", stage.told());
}

#[test]
fn a_second_daemon_on_the_same_spool_is_refused() {
    let daemon = Stage::new().start();
    let document = daemon.stage.document();
    let second = daemon.stage.path("second.toml");
    // Everything else differs, the spool is the same.
    std::fs::write(&second, document.replace("control.sock", "second.sock")).unwrap();
    let mut command = Command::new(PROGRAM);
    let said = Said::of(&command.args(["serve", "--config"]).arg(second).output().unwrap());
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains(&daemon.pid().to_string()), "{}", said.err);
    assert!(said.err.contains("spool"), "{}", said.err);
    // The first one has not noticed.
    daemon.app().post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    // Its lock goes with the process, however that ends.
    let daemon = daemon.crash().start();
    daemon.app().post(&["b@example.net"]);
    daemon.stage.sink.wait(|_| true);
    daemon.stop();
}
