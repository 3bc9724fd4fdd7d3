"""A fake Internet on the egress wire: names by unbound, and a host that takes mail by TLS."""

import re
import socketserver
import ssl
import subprocess
import threading
import time

# Addresses of the Internet, here in a name space of their own: to a gateway those of documents
# (RFC 5737) are no hosts.
HOST = "81.2.69.25"
RESOLVER = "9.9.9.9"
ROUTER = "198.51.100.1"
GATEWAY = "198.51.100.9"

ZONE = {
    "post.example.": ["MX 10 mx.post.example."],
    "mx.post.example.": [f"A {HOST}"],
    "relay.sender.example.": [f"A {GATEWAY}"],
    "sender.example.": [f'TXT "v=spf1 ip4:{GATEWAY} -all"'],
    "25.69.2.81.in-addr.arpa.": ["PTR mx.post.example."],
    "9.100.51.198.in-addr.arpa.": ["PTR relay.sender.example."],
}


class Internet:
    """Runs in the namespace of the egress wire until it is closed."""

    def __init__(self, space, folder):
        self.space, self.folder = space, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.letters, self.encrypted = [], 0
        self.arrived = threading.Condition()
        self._certificate()
        self.names = self._names()
        self.server = space.inside(Door, self)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _certificate(self):
        self.papers = (self.folder / "mx.pem", self.folder / "mx.key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=mx.post.example", "-addext",
             "subjectAltName=DNS:mx.post.example", "-out", self.papers[0], "-keyout",
             self.papers[1]], check=True, stderr=subprocess.DEVNULL)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*self.papers)

    def _names(self):
        lines = "".join(f"  local-data: '{name} 60 IN {record}'\n"
                        for name, records in ZONE.items() for record in records)
        path = self.folder / "unbound.conf"
        path.write_text(
            f"server:\n  interface: {RESOLVER}\n  access-control: 0.0.0.0/0 allow\n"
            "  username: ''\n  chroot: ''\n  use-syslog: no\n  verbosity: 1\n  do-daemonize: no\n"
            f"  pidfile: '{self.folder}/unbound.pid'\n  module-config: iterator\n"
            f"  local-zone: . static\n{lines}remote-control:\n  control-enable: no\n")
        with open(self.folder / "unbound.log", "ab") as log:
            return self.space.program("/usr/sbin/unbound", "-d", "-c", path, stdout=log,
                                      stderr=log, stdin=subprocess.DEVNULL)

    def take(self, letter, encrypted):
        with self.arrived:
            self.letters.append(letter)
            self.encrypted += encrypted
            self.arrived.notify_all()

    def wait(self, mark, seconds):
        """The letter that carries the mark."""
        limit = time.monotonic() + seconds
        with self.arrived:
            while True:
                for letter in self.letters:
                    if mark.encode() in letter:
                        return letter
                left = limit - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no letter with {mark} came in {seconds:.0f} s")
                self.arrived.wait(min(left, 1))

    def marks(self):
        """How often each mark of a load came."""
        found = {}
        with self.arrived:
            for letter in self.letters:
                for mark in re.findall(rb"^Subject: (\S+)\r$", letter, re.M):
                    found[mark.decode()] = found.get(mark.decode(), 0) + 1
        return found

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.names.terminate()
        self.names.wait()


class Door(socketserver.ThreadingTCPServer):
    """Port 25 of the host."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, internet):
        self.internet = internet
        super().__init__((HOST, 25), Desk)

    def handle_error(self, request, client_address):
        """A gateway whose power is cut leaves in the middle of a word."""


class Desk(socketserver.StreamRequestHandler):
    """One conversation: enough of RFC 5321 for a relay that delivers, and STARTTLS."""

    def handle(self):
        self.connection.settimeout(120)
        encrypted = False
        self.say("220 mx.post.example ready")
        while line := self.rfile.readline(4096):
            verb = line.split(None, 1)[0].upper() if line.strip() else b""
            if verb == b"EHLO":
                tls = "" if encrypted else "250-STARTTLS\r\n"
                self.say(f"250-mx.post.example\r\n{tls}250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE")
            elif verb == b"STARTTLS" and not encrypted:
                self.say("220 go ahead")
                context = self.server.internet.context
                self.request = context.wrap_socket(self.request, server_side=True)
                self.connection, encrypted = self.request, True
                self.rfile = self.request.makefile("rb")
                self.wfile = socketserver._SocketWriter(self.request)
            elif verb == b"DATA":
                self.say("354 go on")
                if (letter := self.letter()) is None:
                    return
                self.server.internet.take(letter, encrypted)
                self.say("250 taken")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            elif verb in (b"MAIL", b"RCPT", b"RSET", b"NOOP"):
                self.say("250 ok")
            else:
                self.say("502 not here")

    def letter(self):
        lines = []
        while line := self.rfile.readline(1 << 20):
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)
        return None

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")
        self.wfile.flush()
