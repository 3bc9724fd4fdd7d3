//! What a service manager sees: READY, RELOADING, WATCHDOG and STOPPING on its socket, sockets that
//! it passes taken, and one daemon for one spool.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::Client;
use crate::stage::{Daemon, PROGRAM, Said, Stage};

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a datagram with a line that starts so; the datagrams up to and with it.
fn hear(manager: &UnixDatagram, wanted: &str) -> Vec<String> {
    let began = Instant::now();
    let mut heard = Vec::new();
    manager.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut buffer = [0; 4096];
    while began.elapsed() < PATIENCE {
        let Ok(length) = manager.recv(&mut buffer) else { continue };
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
    let manager = UnixDatagram::bind(&socket).unwrap();
    stage.environment = vec![
        ("NOTIFY_SOCKET".to_owned(), socket.display().to_string()),
        ("WATCHDOG_USEC".to_owned(), "400000".to_owned()),
    ];
    let daemon = stage.start();
    let heard = hear(&manager, "READY=1");
    assert!(heard.last().unwrap().contains("STATUS="), "{heard:?}");
    // READY means that mail is taken.
    daemon.app().post(&["b@example.net"]);
    hear(&manager, "WATCHDOG=1");
    daemon.signal(Signal::SIGHUP);
    let heard = hear(&manager, "RELOADING=1");
    assert!(heard.last().unwrap().contains("MONOTONIC_USEC="), "{heard:?}");
    hear(&manager, "READY=1");
    let mut daemon = daemon;
    daemon.signal(Signal::SIGTERM);
    hear(&manager, "STOPPING=1");
    assert!(daemon.wait_end().success());
}

/// A wrong reload is told as well, and ends with READY: systemd waits for it.
#[test]
fn a_reload_that_fails_does_not_keep_the_manager_waiting() {
    let mut stage = Stage::new();
    let socket = stage.path("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    stage.environment = vec![("NOTIFY_SOCKET".to_owned(), socket.display().to_string())];
    let daemon = stage.start();
    hear(&manager, "READY=1");
    std::fs::write(daemon.stage.path("postern.toml"), "nonsense").unwrap();
    daemon.signal(Signal::SIGHUP);
    hear(&manager, "RELOADING=1");
    hear(&manager, "READY=1");
    daemon.app().post(&["b@example.net"]);
    daemon.stop();
}

/// Starts the daemon with sockets as systemd passes them.
fn launch_with(
    stage: &Stage,
    names: &str,
    sockets: &[&std::net::TcpListener],
) -> std::process::Child {
    std::fs::write(stage.path("postern.toml"), stage.document()).unwrap();
    let told = std::fs::File::create(stage.path("told")).unwrap();
    // A shell knows its process id before it becomes the daemon, and moves the descriptors.
    let moves: String = sockets
        .iter()
        .enumerate()
        .map(|(at, socket)| format!("{}<&{} ", at + 3, socket.as_raw_fd() + 100))
        .collect();
    let script = format!("exec {moves}; LISTEN_PID=$$ exec \"$0\" serve --config \"$1\"");
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).arg(PROGRAM).arg(stage.path("postern.toml"));
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    let descriptors: Vec<i32> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told);
    pass(&mut command, descriptors);
    command.spawn().unwrap()
}

/// The child gets copies of `descriptors`, a hundred numbers higher.
#[allow(unsafe_code, reason = "descriptors are passed between fork and exec")]
fn pass(command: &mut Command, descriptors: Vec<i32>) {
    // SAFETY: dup2 is async-signal-safe, and nothing else is called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            for descriptor in &descriptors {
                if libc_dup2(*descriptor, descriptor + 100) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

#[allow(unsafe_code, reason = "see `pass`")]
fn libc_dup2(from: i32, to: i32) -> i32 {
    unsafe extern "C" {
        fn dup2(from: i32, to: i32) -> i32;
    }
    // SAFETY: two numbers; an error is returned as -1.
    unsafe { dup2(from, to) }
}

#[test]
fn passed_sockets_are_taken_by_name() {
    let stage = Stage::new();
    let tls = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let clear = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (tls_at, clear_at) = (tls.local_addr().unwrap(), clear.local_addr().unwrap());
    let child = launch_with(&stage, "clear:tls", &[&clear, &tls]);
    // The manager's own copies may close: the daemon has its own.
    drop((tls, clear));
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
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = launch_with(&stage, "submision", &[&socket]);
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
