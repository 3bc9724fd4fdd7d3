//! The units of a plain machine under a real service manager: systemd of this machine is process 1
//! of a few namespaces, with the system's /usr, an /etc of its own, and what `systemd/install` puts
//! there. What a sandbox forbids that is needed shows here and nowhere else.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::text::root;

const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");

/// A start of everything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Makes the machine in the folder `$1` (a mount of its own), with the program `$2`, and becomes
/// its process 1.
const BOOT: &str = r#"set -e
cd "$1"
mount --make-rprivate /
mount --bind root root
mount -t tmpfs tmpfs upper
mkdir -p upper/up upper/work
mount -t overlay overlay -o "lowerdir=/usr,upperdir=upper/up,workdir=upper/work" root/usr
cp -r tree/usr/. root/usr/
touch root/usr/bin/postern
mount --bind "$2" root/usr/bin/postern
mount -t proc proc root/proc
mount -t sysfs sysfs root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
for folder in run tmp dev; do mount -t tmpfs -o mode=0755 tmpfs "root/$folder"; done
chmod 1777 root/tmp
for node in null zero full random urandom tty; do
    touch "root/dev/$node"
    mount --bind "/dev/$node" "root/dev/$node"
done
mkdir root/dev/pts root/dev/shm
mount -t devpts devpts root/dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
mount -t tmpfs tmpfs root/dev/shm
touch root/dev/console
mount --bind console root/dev/console
ip link set lo up
cd root
exec chroot . /usr/bin/env -i container=oci PATH=/usr/sbin:/usr/bin \
    /usr/lib/systemd/systemd --system --log-target=journal --unit=postern.target"#;

/// A host that takes every message, and an application that submits one; says when it has arrived.
const MAIL: &str = r"
import socket, threading, time, smtplib, sys
server = socket.create_server(('127.0.0.1', 2525))
arrived = []
def session(peer):
    lines, data = peer.makefile('rwb', 0), False
    lines.write(b'220 sink\r\n')
    for line in lines:
        if data:
            if line == b'.\r\n':
                data = False
                arrived.append(1)
                lines.write(b'250 ok\r\n')
        elif line[:4].upper() == b'DATA':
            data = True
            lines.write(b'354 go\r\n')
        else:
            lines.write(b'250 sink\r\n')
def serve():
    while True:
        threading.Thread(target=session, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
app = smtplib.SMTP('127.0.0.1', 587, timeout=20)
app.ehlo('app.example.org')
app.sendmail('a@example.org', ['b@example.net'], 'From: a@example.org\r\n\r\nhello\r\n')
end = time.time() + float(sys.argv[1])
while not arrived and time.time() < end:
    time.sleep(0.05)
print('arrived' if arrived else 'waits')
";

const DOCUMENT: &str = r#"version = 1
hostname = "relay.example.com"
lab = true
[spool]
path = "/var/lib/postern/spool"
ballast = "1MiB"
free_min = "1MiB"
[listener.submission]
address = "0.0.0.0:587"
kind = "smtp"
clear_text = true
network_sources = true
[source.net]
proof = "network"
networks = ["127.0.0.1"]
pairs = [{ reverse_path = "*@example.org", from = "*@example.org" }]
unsigned = "allow"
[egress.lo]
device = "lo"
ipv4 = "127.0.0.1"
resolvers = ["127.0.0.1:9"]
allow_networks = ["127.0.0.0/8"]
[[route]]
domain = "*"
hosts = ["127.0.0.1:2525"]
[retry.transactional]
first = "30s"
longest = "60s"
lifetime = "10m"
"#;

/// A machine that runs.
struct Machine {
    folder: tempfile::TempDir,
    process: Child,
}

impl Machine {
    fn boot() -> Self {
        let folder = tempfile::Builder::new().prefix("postern").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["upper", "root", "tree"] {
            fs::create_dir(at(name)).unwrap();
        }
        for name in ["usr", "proc", "sys", "run", "tmp", "dev", "var", "etc", "var/lib", "var/tmp"]
        {
            fs::create_dir(at("root").join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), at("root").join(name)).unwrap();
        }
        fs::write(at("console"), "").unwrap();
        let mut install = Command::new(root().join("systemd/install"));
        assert!(install.arg("--destdir").arg(at("tree")).output().unwrap().status.success());
        Self::furnish(&at("root/etc"));
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount", "--cgroup", "--net", "--uts", "--ipc"]);
        command.args(["--kill-child", "bash", "-c", BOOT, "bash"]).arg(folder.path()).arg(PROGRAM);
        let told = fs::File::create(at("told")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told);
        let process = command.spawn().unwrap();
        // Before its first child it is not yet process 1 of anything.
        std::thread::sleep(Duration::from_millis(500));
        Self { folder, process }
    }

    /// An /etc with users, the document, and our units enabled as `systemd/install --enable` does.
    fn furnish(etc: &Path) {
        let sysusers = fs::read_to_string(root().join("systemd/postern.sysusers")).unwrap();
        let (mut users, mut groups) =
            ("root:x:0:0::/:/bin/sh\n".to_owned(), "root:x:0:\n".to_owned());
        users += "nobody:x:65534:65534::/:/bin/sh\n";
        groups += "nogroup:x:65534:\nsystemd-journal:x:190:\n";
        for line in sysusers.lines().filter_map(|line| line.strip_prefix("u ")) {
            let mut words = line.split(' ');
            let (name, id) = (words.next().unwrap(), words.next().unwrap());
            writeln!(users, "{name}:x:{id}:{id}::/:/bin/false").unwrap();
            writeln!(groups, "{name}:x:{id}:").unwrap();
        }
        fs::write(etc.join("passwd"), users).unwrap();
        fs::write(etc.join("group"), groups).unwrap();
        fs::write(etc.join("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::create_dir_all(etc.join("postern")).unwrap();
        fs::write(etc.join("postern/postern.toml"), DOCUMENT).unwrap();
        // Root's file, read by the gateway's group.
        let document = etc.join("postern/postern.toml");
        let given = Command::new("chown").arg("0:901").arg(document).status().unwrap();
        assert!(given.success(), "run this test as root");
        let enable = |target: &str, unit: &str| {
            let folder = etc.join("systemd/system").join(format!("{target}.wants"));
            fs::create_dir_all(&folder).unwrap();
            symlink(format!("/usr/lib/systemd/system/{unit}"), folder.join(unit)).unwrap();
        };
        enable("sysinit.target", "postern-guard.service");
        enable("sockets.target", "postern-egress.socket");
        enable("sockets.target", "postern-submission.socket");
        enable("postern.service", "postern-submission.socket");
        // The test does not wait as long as an operator would.
        let quick = etc.join("systemd/system/postern-egress.service.d");
        fs::create_dir_all(&quick).unwrap();
        fs::write(quick.join("quick.conf"), "[Service]\nWatchdogSec=3\n").unwrap();
    }

    /// Process 1 of the machine, as this one sees it.
    fn init(&self) -> String {
        let id = self.process.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let text = fs::read_to_string(children).unwrap_or_default();
        text.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// Runs a program on the machine.
    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args([
            "30",
            "nsenter",
            "-t",
            &self.init(),
            "-m",
            "-p",
            "-u",
            "-i",
            "-n",
            "-C",
            "-r",
        ]);
        command.arg("-w").args(words).env("SYSTEMD_PAGER", "").stdin(Stdio::null());
        command.output().unwrap()
    }

    fn said(&self, words: &[&str]) -> String {
        String::from_utf8_lossy(&self.run(words).stdout).into_owned()
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.said(&["systemctl", "show", "--value", "-p", name, unit]).trim().to_owned()
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            let late = began.elapsed() > PATIENCE || self.init().is_empty();
            assert!(!late, "waited in vain for {what}:\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    fn journal(&self) -> String {
        let told = fs::read_to_string(self.folder.path().join("told")).unwrap_or_default();
        let units = self.said(&["systemctl", "list-units", "--all", "--plain", "postern*"]);
        told + &units + &self.said(&["journalctl", "--no-pager", "-n", "60", "-o", "cat"])
    }

    /// Sends one message; whether it arrives within this time.
    fn mail(&self, seconds: &str) -> String {
        let init = self.init();
        let mut command = Command::new("timeout");
        command.args(["90", "nsenter", "-t", &init, "-n", "python3", "-c", MAIL, seconds]);
        let said = command.output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        if text.is_empty() { String::from_utf8_lossy(&said.stderr).into_owned() } else { text }
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join("root").join(path), text).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its process 1 takes everything with it, the mounts too.
        let _ = Command::new("kill").args(["-9", &self.init()]).status();
        let _ = self.process.wait();
    }
}

#[test]
fn systemd_runs_them() {
    let program = Path::new("/usr/lib/systemd/systemd");
    assert!(program.exists(), "apt-get install systemd: its process 1 runs the units here");
    let machine = Machine::boot();
    machine.wait("the service manager", || {
        machine.said(&["systemctl", "is-active", "postern.service"]).trim() == "active"
    });
    assert_eq!(machine.mail("20"), "arrived", "{}", machine.journal());
    let status = machine.said(&["postern", "status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    for wall in status["walls"].as_array().unwrap() {
        assert_eq!(wall["stands"], true, "{wall}");
    }
    assert!(status["walls"][0]["note"].as_str().unwrap().ends_with("postern-egress"), "{status}");

    // A document that is refused fails the reload, and the one in force stays.
    machine.write("etc/postern/postern.toml", "nonsense");
    assert!(!machine.run(&["systemctl", "reload", "postern.service"]).status.success());
    machine.write("etc/postern/postern.toml", DOCUMENT);
    assert!(machine.run(&["systemctl", "reload", "postern.service"]).status.success());

    // A broker that hangs is found out by its watchdog, and met again.
    let old = machine.property("postern-egress.service", "MainPID");
    let stop = ["systemctl", "kill", "--kill-whom=main", "-s", "SIGSTOP", "postern-egress.service"];
    let stopped = machine.run(&stop);
    assert!(stopped.status.success(), "{stopped:?}");
    machine.wait("another broker", || {
        let now = machine.property("postern-egress.service", "MainPID");
        now != old && now != "0"
    });
    assert_eq!(machine.mail("40"), "arrived", "{}", machine.journal());

    // Without a guard that can be loaded there is no broker: mail is taken, and waits.
    fs::create_dir(machine.folder.path().join("root/etc/nftables.d")).unwrap();
    machine.write("etc/nftables.d/postern.nft", "nonsense\n");
    let guard = "postern-guard.service";
    assert!(!machine.run(&["systemctl", "restart", guard]).status.success());
    machine.wait("the end of the broker", || {
        machine.said(&["systemctl", "is-active", "postern-egress.service"]).trim() != "active"
    });
    assert_eq!(machine.mail("3"), "waits", "{}", machine.journal());
    machine.wait("the news", || machine.said(&["postern", "status"]).contains(guard));
    assert_eq!(machine.said(&["systemctl", "is-active", "postern.service"]).trim(), "active");
    machine.write("etc/nftables.d/postern.nft", "");
    let mend = ["systemctl", "start", guard, "postern-egress.socket", "postern-egress.service"];
    assert!(machine.run(&mend).status.success(), "{}", machine.journal());
    assert_eq!(machine.mail("80"), "arrived", "{}", machine.journal());
}
