//! A machine in a folder: its programs are scripts that write down how they were called, fail when
//! they are told to, and kill or end the role when they are told to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use postern::base::secret::Secret;
use postern::control::host::{HostAnswer, HostLine, HostRequest, Passphrase};
use postern::source::{Strength, verifier_for};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const PASSPHRASE: &str = "seven brown foxes";

/// `$0` is `ROOT/usr/bin/NAME`.
const SCRIPT: &str = r#"#!/bin/sh
name=${0##*/}
root=${0%/usr/bin/*}
echo "$name $*" >>"$root/calls"
if [ -e "$root/kill-at" ] && [ "$(cat "$root/kill-at")" = "$name $1" ]; then
    rm "$root/kill-at"
    kill -9 "$PPID"
    exit 1
fi
called() {
    [ -e "$root/$1" ] && case "$call" in "$(cat "$root/$1")"*) return 0 ;; esac
    return 1
}
call="$name $*"
if called end-at; then
    kill -TERM "$PPID"
    sleep 1
fi
if called hold-at; then
    : >"$root/held"
    while [ -e "$root/hold-at" ]; do sleep 0.05; done
fi
if called fail-at; then
    echo "told to fail" >&2
    exit 1
fi
case $name in
journalctl) cat "$root/journal" 2>/dev/null ;;
chronyc) cat "$root/time-$3" 2>/dev/null ;;
systemctl)
    if [ "$2" = postern-update.service ]; then
        if [ -e "$root/joined" ]; then
            cat "$root/joined" >"$root/run/postern-host/update-answer.json"
            exit 0
        fi
        mv "$root/run/postern-host/update-request.json" "$root/asked"
        while [ -e "$root/hold" ]; do sleep 0.05; done
        id=$(sed 's/.*"id":"\([^"]*\)".*/\1/' "$root/asked")
        sed "s/@ID@/$id/" "$root/answer" >"$root/run/postern-host/update-answer.json"
    fi
    if [ "$2" = postern-diagnose.service ]; then
        mv "$root/run/postern-host/diagnose-request.json" "$root/asked"
        cat "$root/answer" >"$root/run/postern-host/diagnose-answer.json"
    fi
    if [ "$1" = show ]; then
        echo Id=postern.service
        echo LoadState=loaded
        echo ActiveState=active
        echo SubState=running
    fi
    ;;
esac
exit 0
"#;

pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// The appliance, not set up yet.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(place).unwrap();
        let machine = Self { folder };
        for name in ["usr/bin", "usr/lib", "efi/postern", "run", "etc"] {
            fs::create_dir_all(machine.path(name)).unwrap();
        }
        for name in ["systemctl", "postern", "journalctl", "chronyc"] {
            let path = machine.path("usr/bin").join(name);
            fs::write(&path, SCRIPT).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine.write("usr/lib/os-release", "ID=postern\nIMAGE_ID=postern\nIMAGE_VERSION=1.2.3\n");
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// How the programs of the machine were called.
    pub(crate) fn calls(&self) -> String {
        self.read("calls").unwrap_or_default()
    }

    /// A document of this machine; `recipients_max` tells one from another.
    pub(crate) fn document(&self, recipients_max: u64, more: &str) -> String {
        let root = self.folder.path().display();
        let verifier =
            verifier_for(&Secret::new("app's password".to_owned()), Strength::Generated).unwrap();
        let (argon2id, scram) = (verifier.argon2id, verifier.scram_sha256.unwrap());
        format!(
            r#"version = 1
hostname = "gw.example.org"
lab = true
recipients_max = {recipients_max}

[spool]
path = "{root}/var/lib/postern/spool"
ballast = "1MiB"
free_min = "1MiB"
sync_slow = "60s"

[tls]
certificate = "{root}/etc/postern/tls/chain.pem"
key = "{root}/etc/postern/tls/key.pem"

[listener.tls]
address = "127.0.0.1:0"
kind = "submissions"

[source.app]
proof = "password"
user = "app"
pairs = [{{ reverse_path = "*@example.org", from = "*@example.org" }}]
owner = "owner@example.com"

[source.app.password]
argon2id = "{argon2id}"
scram_sha256 = "{scram}"

[[dkim]]
domain = "example.org"
selector = "s1"
algorithm = "ed25519-sha256"
file = "{root}/etc/postern/dkim/s1.pem"

[egress.lo]
device = "lo"
ipv4 = "127.0.0.1"
resolvers = ["127.0.0.1:9"]
allow_networks = ["127.0.0.0/8"]

[control]
socket = "{root}/run/c.sock"
{more}"#
        )
    }

    /// A setup file with that document.
    pub(crate) fn setup_file(&self, recipients_max: u64, more: &str) -> String {
        let document = self.document(recipients_max, more);
        format!(
            "version = 1\ndocument = '''\n{document}'''\n\
             [administrator]\npassphrase = \"{PASSPHRASE}\"\n"
        )
    }

    /// `postern` with these words, on this machine; what is typed comes on standard input.
    pub(crate) fn cli(&self, words: &[&str], typed: &str) -> Output {
        use std::io::Write as _;
        let mut child = Command::new(PROGRAM)
            .args(words)
            .arg("--socket")
            .arg(self.path("run/h.sock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// `postern setup --boot`; what it said.
    pub(crate) fn boot(&self) -> String {
        let mut command = Command::new(PROGRAM);
        command.args(["setup", "--boot", "--root"]).arg(self.folder.path());
        command.env_remove("CREDENTIALS_DIRECTORY");
        if self.path("credentials").exists() {
            command.env("CREDENTIALS_DIRECTORY", self.path("credentials"));
        }
        let said = command.output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let err = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{text}{err}");
        text + &err
    }

    /// Starts the role; everybody but root is a guest if `guest`.
    pub(crate) fn start(&self, guest: bool) -> Role<'_> {
        let own = nix::unistd::geteuid().to_string();
        let guest = if guest { own } else { "no-such-user".to_owned() };
        let child = Command::new(PROGRAM)
            .args(["host", "--root"])
            .arg(self.folder.path())
            .arg("--socket")
            .arg(self.path("run/h.sock"))
            .args(["--console-user", &guest])
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stderr(Stdio::from(fs::File::create(self.path("said")).unwrap()))
            .spawn()
            .unwrap();
        let role = Role { machine: self, child };
        wait(
            || HostLine::open(&self.path("run/h.sock")).is_ok().then_some(()),
            || format!("no role: {:?}", self.read("said")),
        );
        role
    }
}

/// The role as a process; killed when it is dropped.
pub(crate) struct Role<'m> {
    pub(crate) machine: &'m Machine,
    child: Child,
}

impl Role<'_> {
    pub(crate) fn line(&self) -> HostLine {
        HostLine::open(&self.machine.path("run/h.sock")).unwrap()
    }

    pub(crate) fn ask(&self, request: &HostRequest) -> HostAnswer {
        self.line().ask(request).unwrap()
    }

    /// Waits until the role has died.
    pub(crate) fn wait_for_the_end(&mut self) {
        let _ = self.child.wait();
    }

    /// What the role has told so far.
    pub(crate) fn said(&self) -> String {
        self.machine.read("said").unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something.
pub(crate) fn wait<T>(mut look: impl FnMut() -> Option<T>, missed: impl Fn() -> String) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{}", missed());
        sleep(Duration::from_millis(10));
    }
}

pub(crate) fn said(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

pub(crate) fn setup(text: String) -> HostRequest {
    HostRequest::Setup { text: Passphrase::new(text), check: false, confirm_secs: None }
}
