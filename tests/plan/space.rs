//! A namespace of one thread with the interfaces of `wires.toml`, and programs in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, unshare};
use postern::config::checked::Config;
use postern::config::{Anywhere, read};
use postern::host::plan::{File, Form, Plan};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan")
}

/// The plan of a document in this folder.
pub(crate) fn plan(name: &str) -> Plan {
    Plan::of(&config(name))
}

/// The plan of a whole machine; user 123 asks for the time.
pub(crate) fn whole(name: &str) -> Plan {
    Plan::whole(&config(name), Some(123))
}

fn config(name: &str) -> Config {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let reading = read(&text, &Anywhere).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    reading.config
}

pub(crate) fn script(plan: &Plan) -> String {
    plan.files(Form::Shell).remove(0).text
}

pub(crate) fn guard(plan: &Plan) -> File {
    plan.files(Form::Nftables).remove(0)
}

/// Runs `test` in a thread with a network of its own: `ma0`, `in0`, `eg0` and `eg1`, each with a
/// peer `..p` on the other side of the wire, in a namespace without rules.
pub(crate) fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        let alone = unshare(CloneFlags::CLONE_NEWNET);
        assert!(alone.is_ok(), "no network namespace ({alone:?}): run this test as root");
        run("ip link set lo up");
        for name in ["ma0", "in0", "eg0", "eg1"] {
            run(&format!("ip link add {name} type veth peer name {name}p"));
            run(&format!("ip link set {name}p up"));
        }
        run("ip link set ma0 up");
        run("ip address add 172.16.0.2/24 dev ma0");
        run("ip route add default via 172.16.0.1");
        test();
    });
    thread.join().unwrap();
}

/// Runs a command line in this thread's namespace; what it said.
pub(crate) fn run(line: &str) -> String {
    let out = tried(line);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{line}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

pub(crate) fn tried(line: &str) -> Output {
    let mut words = line.split_whitespace();
    Command::new(words.next().unwrap()).args(words).stdin(Stdio::null()).output().unwrap()
}

/// Feeds `text` to a program; fails with what it says if it does not like it.
pub(crate) fn feed(program: &str, arguments: &[&str], text: &str) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {said}");
}

/// Packets that a named counter of the guard has met.
pub(crate) fn counted(name: &str) -> u64 {
    let listed = run(&format!("nft list counter inet postern {name}"));
    let words: Vec<&str> = listed.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "packets").unwrap();
    words[at + 1].parse().unwrap()
}
