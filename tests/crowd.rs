//! Crowds: what an idle connection costs, and what happens when descriptors run out.
//!
//! One test in a process of its own, because it counts the memory and the descriptors of the
//! process. The clients are another process: this program again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "transcripts/core.rs"]
mod core;
#[path = "transcripts/gate.rs"]
mod gate;
#[path = "transcripts/player.rs"]
mod player;
#[path = "transcripts/wire.rs"]
mod wire;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::player::Transport as _;

/// Of each kind. Two thousand descriptors are allowed everywhere.
const CROWD: usize = 800;

/// An idle connection in clear text: task, session, socket of the runtime. 3.5 KB when written.
const PLAIN_OCTETS_MAX: usize = 6 * 1024;

/// An idle connection in TLS: keys and buffers of rustls come on top. 10.9 KB when written.
const TLS_OCTETS_MAX: usize = 20 * 1024;

#[test]
fn crowds_cost_little_and_are_turned_away_politely() {
    if let Ok(task) = std::env::var("POSTERN_TEST_CROWD") {
        return be_a_crowd(&task);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let reception = gate::Reception::start(&runtime);
    let alone = descriptors();

    for (door, ceiling) in [("clear", PLAIN_OCTETS_MAX), ("tls", TLS_OCTETS_MAX)] {
        // The first ones pay for buffers of threads, tables and the allocator.
        let warm = crowd(door, reception.address(door), 100);
        let before = resident_octets();
        let idle = crowd(door, reception.address(door), CROWD);
        let each = resident_octets().saturating_sub(before) / CROWD;
        println!("an idle connection ({door}) costs {each} octets");
        assert!(each <= ceiling, "an idle connection ({door}) costs {each} octets");
        // An honest client among them.
        let started = Instant::now();
        let mut client = reception.connect(door);
        assert!(client.line().unwrap().starts_with("220 "));
        assert!(started.elapsed() < Duration::from_secs(10));
        dismiss(idle);
        dismiss(warm);
    }

    // Descriptors run out below the ceiling of connections: some are let in, the others hear 421,
    // and when the crowd has gone there is room again.
    let old = getrlimit(Resource::Nofile);
    // The last crowd's descriptors are not closed in the moment in which it goes.
    let deadline = Instant::now() + Duration::from_secs(20);
    while descriptors() > alone + 4 {
        assert!(Instant::now() < deadline, "{} descriptors, {alone} before", descriptors());
        std::thread::sleep(Duration::from_millis(20));
    }
    let limit = Rlimit { current: Some(descriptors() + 40), maximum: old.maximum };
    let mut child = start("full", reception.address("clear"), 100);
    setrlimit(Resource::Nofile, limit).unwrap();
    let line = ready(&mut child);
    let mut counts = line.split(' ').map(|count| count.parse::<usize>().unwrap());
    let (let_in, turned_away) = (counts.next().unwrap(), counts.next().unwrap());
    assert!(let_in >= 20 && turned_away >= 20, "{let_in} let in, {turned_away} turned away");
    assert_eq!(let_in + turned_away, 100);
    setrlimit(Resource::Nofile, old).unwrap();
    dismiss(child);
    // A listener that was stopped by the scheduler while it turned the crowd away does so to the
    // next one too, and then never again.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let greeting = reception.connect("clear").line().unwrap();
        if greeting.starts_with("220 ") {
            break;
        }
        assert!(greeting.starts_with("421 ") && Instant::now() < deadline, "{greeting}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Open descriptors of this process.
fn descriptors() -> u64 {
    u64::try_from(std::fs::read_dir("/proc/self/fd").unwrap().count()).unwrap()
}

/// Resident memory that is not of files.
fn resident_octets() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() * 1024
}

fn start(task: &str, address: SocketAddr, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crowds_cost_little_and_are_turned_away_politely", "--nocapture"])
        .env("POSTERN_TEST_CROWD", format!("{task} {address} {count}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The line in which the crowd says that it stands.
fn ready(child: &mut Child) -> String {
    let mut text = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    let mut octet = [0];
    loop {
        assert_eq!(stdout.read(&mut octet).unwrap(), 1, "the crowd is gone: {text}");
        text.push(char::from(octet[0]));
        if let Some((_, line)) = text.split_once("CROWD ")
            && let Some(line) = line.strip_suffix('\n')
        {
            return line.to_owned();
        }
    }
}

fn crowd(task: &str, address: SocketAddr, count: usize) -> Child {
    let mut child = start(task, address, count);
    assert_eq!(ready(&mut child), format!("{count} 0"));
    // The last of them may still be on the way to its first read.
    std::thread::sleep(Duration::from_millis(200));
    child
}

fn dismiss(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// In the other process: connect, hear the greeting, wait for the end of stdin.
fn be_a_crowd(task: &str) {
    let mut words = task.split(' ');
    let (task, address, count) =
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (address, count): (SocketAddr, usize) = (address.parse().unwrap(), count.parse().unwrap());
    let mut plain = Vec::new();
    let mut encrypted = Vec::new();
    let (mut let_in, mut turned_away) = (0, 0);
    for _ in 0..count {
        if task == "tls" {
            let mut wire = wire::Wire::connect(address, true, Box::new(|| None));
            let_in += usize::from(wire.line().is_some_and(|line| line.starts_with("220 ")));
            encrypted.push(wire);
        } else {
            plain.push(TcpStream::connect(address).unwrap());
        }
    }
    for stream in &mut plain {
        let mut code = [0; 3];
        stream.read_exact(&mut code).unwrap();
        let_in += usize::from(&code == b"220");
        turned_away += usize::from(&code == b"421");
    }
    println!("CROWD {let_in} {turned_away}");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
