"""The gateway of the tests: its document, its setup file, a client, a judge of DKIM."""

import base64
import json
import pathlib
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time

import internet
from machine import MAC, ROOT, tools

PASSPHRASE = "tulip wagon orbit 7"
USER, PASSWORD = "billing", "correct-horse-battery"
# As `postern source hash` made it of the password.
VERIFIER = ("$argon2id$v=19$m=19456,t=2,p=1$UwG/DwVH8PpSMjC9Tq8DMA"
            "$XzhwYbk/0oze+WHTJMDlHF6jTvgEI/ZyTiX7wmZbwZs")
INTAKE, CLIENT = "10.2.0.2", "10.2.0.10"

DOCUMENT = f"""version = 1
hostname = "relay.sender.example"
[spool]
path = "/var/lib/postern/spool"
free_min = "16MiB"
[tls]
certificate = "/etc/postern/tls/chain.pem"
key = "/etc/postern/tls/key.pem"
[listener.submission]
address = "{INTAKE}:587"
kind = "submission"
[listener.submissions]
address = "{INTAKE}:465"
kind = "submissions"
[interface.manage0]
mac = "{MAC['manage']}"
role = "manage"
ipv4 = "10.1.0.2/24"
gateway4 = "10.1.0.1"
[interface.intake0]
mac = "{MAC['intake']}"
role = "intake"
ipv4 = "{INTAKE}/24"
[interface.egress0]
mac = "{MAC['egress']}"
role = "egress"
[egress.main]
device = "egress0"
ipv4 = "{internet.GATEWAY}/24"
gateway4 = "{internet.ROUTER}"
resolvers = ["{internet.RESOLVER}"]
[health]
enabled = true
[source.{USER}]
proof = "password"
user = "{USER}"
owner = "ops@sender.example"
networks = ["10.2.0.0/24"]
class = "transactional"
pairs = [{{ reverse_path = "bounces@sender.example", from = "*@sender.example" }}]
[[source.{USER}.password]]
argon2id = "{VERIFIER}"
[[dkim]]
domain = "sender.example"
selector = "test"
algorithm = "rsa-sha256"
file = "/etc/postern/dkim/sender.example.test.pem"
[retry.transactional]
first = "10s"
longest = "30s"
lifetime = "2d"
delay_notice = "never"
"""


class Papers:
    """The DKIM key of the gateway, and the setup file that brings it."""

    def __init__(self, folder, document=DOCUMENT, files=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = self.folder / "dkim.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt",
                        "rsa_keygen_bits:2048", "-out", self.key], check=True,
                       stderr=subprocess.DEVNULL)
        public = subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-outform", "DER"],
                                check=True, stdout=subprocess.PIPE).stdout
        self.records = {"test._domainkey.sender.example":
                        "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()}
        self.setup = self.folder / "postern-setup.toml"
        self.setup.write_text(
            f"version = 1\ndocument = '''\n{document}'''\n"
            f'[administrator]\npassphrase = "{PASSPHRASE}"\n[disk]\nrecovery_key = "show"\n'
            '[[file]]\npath = "dkim/sender.example.test.pem"\n'
            f'text = """\n{self.key.read_text()}"""\n'
            + "".join(f'[[file]]\npath = "{name}"\ntext = """\n{path.read_text()}"""\n'
                      for name, path in files), encoding="utf-8")

    def stick(self):
        """The setup file on a stick, as a person would bring it."""
        path = self.folder / "stick.raw"
        with open(path, "wb") as stick:
            stick.truncate(64 << 20)
        tools("mkfs.vfat", "-n", "POSTERNCFG", path)
        tools("mcopy", "-i", path, self.setup, "::postern-setup.toml")
        return path

    def signed(self, letter):
        """Whether every DKIM signature of a letter is good, as dkimpy judges, and there is one."""
        with tempfile.TemporaryDirectory(prefix="postern-") as folder:
            pathlib.Path(folder, "keys.json").write_text(json.dumps(self.records))
            pathlib.Path(folder, "letter.eml").write_bytes(letter)
            python = ROOT / "target/venv/bin/python"
            said = subprocess.run([python, ROOT / "tests/dkim/verify.py", folder], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout
        results = json.loads(said)["results"]
        return bool(results) and all(results)


def letter(mark, size=0):
    body = "Dear customer,\r\n" + ("x" * 70 + "\r\n") * (size // 72) + "."
    return (f"From: Billing <billing@sender.example>\r\nTo: someone@post.example\r\n"
            f"Subject: {mark}\r\nMessage-ID: <{mark}@sender.example>\r\n"
            f"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n\r\n{body}\r\n")


def listening(space, seconds, port=587):
    """Waits until the gateway greets on the intake wire; gives the seconds that took."""
    began = time.monotonic()
    last = None
    while time.monotonic() - began < seconds:
        try:
            with space.inside(socket.create_connection, (INTAKE, port), 3) as line:
                line.settimeout(10)
                if line.recv(64).startswith(b"220"):
                    return time.monotonic() - began
        except OSError as why:
            last = why
        time.sleep(0.5)
    raise TimeoutError(f"nothing listens on {INTAKE}:{port} after {seconds:.0f} s: {last}")


class Client:
    """An application in the intake network."""

    def __init__(self, space, password=PASSWORD, user=USER):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The certificate is the gateway's own; who it is, the wire says.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.smtp = space.inside(lambda: smtplib.SMTP(INTAKE, 587, CLIENT, timeout=30))
        self.smtp.starttls(context=context)
        self.smtp.login(user, password)

    def submit(self, mark, size=0):
        """Returns only when the gateway has said that it keeps the letter."""
        self.smtp.sendmail("bounces@sender.example", ["someone@post.example"], letter(mark, size))

    def close(self):
        try:
            self.smtp.quit()
        except (smtplib.SMTPException, OSError):
            self.smtp.close()
