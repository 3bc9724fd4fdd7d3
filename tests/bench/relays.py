"""The relays that tests/bench/compare measures, each a private instance in its own folder."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time

import load

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Postfix:
    """Debian's Postfix with its recommended settings, and no work that Postern is not asked for."""

    name = "Postfix"
    MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = relay.bench.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
relayhost = [127.0.0.1]:{next_port}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtp_tls_security_level = may
message_size_limit = 52428800
# It would slow its own acceptance down when delivery falls behind.
in_flow_delay = 0
"""
    MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

    def __init__(self, folder, next_port):
        self.folder, self.next_port, self.port = folder, next_port, load.free_port()
        folder.mkdir()
        folder.chmod(0o755)
        owner = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir()
        os.chown(folder / "data", owner.pw_uid, owner.pw_gid)
        known = {"folder": folder, "next_port": next_port, "port": self.port}
        (folder / "etc/main.cf").write_text(self.MAIN.format(**known))
        (folder / "etc/master.cf").write_text(self.MASTER.format(**known))
        self.root = None

    def _postfix(self, *words):
        done = subprocess.run(["postfix", "-c", self.folder / "etc", *words],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"postfix {words}: {done.stderr.strip()}")

    def start(self):
        """Starts it; the seconds until it greets."""
        began = time.monotonic()
        self._postfix("start")
        load.wait_for("Postfix", lambda: load.banner(self.port), 120, 0.005)
        self.root = int((self.folder / "queue/pid/master.pid").read_text())
        return time.monotonic() - began

    def stop(self):
        self._postfix("stop")

    def crash(self):
        load.kill_tree(self.root)
        time.sleep(0.2)

    def flush(self):
        subprocess.run(["postqueue", "-c", self.folder / "etc", "-f"], check=True)

    def spool(self):
        return self.folder / "queue"


class Postern:
    """The daemon of this repository, built for release."""

    CONFIG = """
version = 1
hostname = "relay.bench.test"
lab = true

[spool]
path = "{folder}/spool"

[control]
socket = "{folder}/control.sock"

[listener.intake]
address = "127.0.0.1:{port}"
kind = "smtp"
network_sources = true
clear_text = true

[connections]
per_address_max = 1000

[source.bench]
proof = "network"
networks = ["127.0.0.0/8"]
pairs = [{{ reverse_path = "*@bench.test", from = "*@bench.test" }}]
owner = "owner@bench.test"
unsigned = "{unsigned}"

[egress.out]
device = "lo"
ipv4 = "127.0.0.1"
ehlo = "relay.bench.test"
resolvers = ["127.0.0.1:9"]
allow_networks = ["127.0.0.0/8"]

[[route]]
domain = "*"
hosts = ["127.0.0.1:{next_port}"]

[lanes]
connections_first = 20
connections_max = 20
"""

    def __init__(self, folder, next_port, signed, binary):
        self.binary = binary
        self.name = "Postern, DKIM twice" if signed else "Postern, unsigned"
        self.folder, self.next_port, self.port = folder, next_port, load.free_port()
        folder.mkdir()
        known = {"folder": folder, "next_port": next_port, "port": self.port,
                 "unsigned": "refuse" if signed else "allow"}
        text = self.CONFIG.format(**known)
        if signed:
            text += self._keys()
        (folder / "postern.toml").write_text(text)
        self.process = None

    def _keys(self):
        text = ""
        for selector, algorithm, words in (
            ("r1", "rsa-sha256", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
            ("e1", "ed25519-sha256", ["ed25519"]),
        ):
            key = self.folder / f"{selector}.pem"
            subprocess.run(["openssl", "genpkey", "-algorithm", *words, "-out", key],
                           check=True, capture_output=True)
            key.chmod(0o600)
            text += (f'\n[[dkim]]\ndomain = "bench.test"\nselector = "{selector}"\n'
                     f'algorithm = "{algorithm}"\nfile = "{key}"\n')
        return text

    @property
    def root(self):
        return self.process.pid

    def start(self):
        """Starts it; the seconds until it greets."""
        began = time.monotonic()
        log = open(self.folder / "log", "ab")
        self.said_before = log.tell()
        # A session of its own, as Postfix's master makes one: the kernel shares the processor
        # out by session (sched_autogroup).
        self.process = subprocess.Popen(
            [self.binary, "serve", "--config", self.folder / "postern.toml"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"postern ended: {(self.folder / 'log').read_text()[-2000:]}")
            return load.banner(self.port)

        load.wait_for("Postern", ready, 120, 0.005)
        return time.monotonic() - began

    def knows_all(self):
        """Whether it has said, since its last start, that the whole spool is known."""
        with open(self.folder / "log", "rb") as log:
            log.seek(self.said_before)
            return b" spool open after " in log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def crash(self):
        load.kill_tree(self.root)
        self.process.wait(10)

    def flush(self):
        subprocess.run([self.binary, "queue", "retry", "--all",
                        "--socket", self.folder / "control.sock"],
                       check=True, capture_output=True)

    def spool(self):
        return self.folder / "spool"


def remove(folder):
    """Forgets an instance."""
    shutil.rmtree(folder, ignore_errors=True)


def version(command):
    """First line that a program says about itself."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]
