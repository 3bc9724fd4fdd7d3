"""The trials of tests/interop/run: each is a function; its docstring says what it shows."""

import email
import json
import os
import pathlib
import queue
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "bench"))

import dkim
import letters
import load
import relays
from aiosmtpd.controller import Controller

POSTERN = ROOT / "target/debug/postern"


class Demo:
    """`postern demo --json`: the daemon with its built-in Internet."""

    def __init__(self):
        self.process = subprocess.Popen([POSTERN, "demo", "--json"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = queue.Queue()
        threading.Thread(target=self._drain, args=(self.process.stdout, True), daemon=True).start()
        threading.Thread(target=self._drain, args=(self.process.stderr, False),
                         daemon=True).start()
        self.said = json.loads(self.lines.get(timeout=60))

    def _drain(self, stream, keep):
        for line in stream:
            if keep:
                self.lines.put(line)

    def __getattr__(self, name):
        return self.said[name]

    def wait(self, what, condition, seconds=30):
        load.wait_for(what, condition, seconds)

    def host(self, listener):
        host, port = self.said[listener].rsplit(":", 1)
        return host.strip("[]"), int(port)

    def delivered(self, mark, seconds=30):
        """The octets of the delivered message that carries the mark."""
        found = []

        def look():
            for path in pathlib.Path(self.sink).iterdir():
                try:
                    octets = path.read_bytes()
                except OSError:
                    continue
                if mark.encode() in octets:
                    found.append(octets)
                    return True
            return False

        load.wait_for(f"delivery of {mark}", look, seconds)
        return found[0]

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(30)
        assert status == 0, f"demo ended with {status}"
        assert not pathlib.Path(self.spool).exists(), "demo left its spool behind"


def message(demo, mark):
    return (f"From: <{demo.said['from']}>\r\nTo: <{demo.accepts}>\r\nSubject: {mark}\r\n\r\n"
            f"..A line that begins with dots, and the mark {mark}.\r\n.\r\nThe end.\r\n")


def written(demo, mark, folder):
    path = pathlib.Path(folder) / f"{mark}.eml"
    path.write_bytes(message(demo, mark).encode())
    return path


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, **more)
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def arrived(demo, mark):
    """Delivered whole, with its dots, our trace and both signatures."""
    octets = demo.delivered(mark)
    head, body = octets.split(b"\r\n\r\n", 1)
    lines = body.split(b"\r\n")
    assert lines[0].startswith(b"..A line") and lines[1] == b".", body
    fields = email.message_from_bytes(octets)
    assert len(fields.get_all("DKIM-Signature", [])) == 2, head
    assert "ESMTPSA" in fields["Received"], head
    assert fields["Date"] and fields["Message-ID"], head


# -- programs that submit ------------------------------------------------------------------------

def smtplib_starttls(demo, mark, folder):
    """Python's smtplib on 587 with STARTTLS."""
    peer = smtplib.SMTP(*demo.host("submission"), timeout=30)
    peer.starttls(context=ssl.create_default_context(cafile=demo.ca))
    peer.login(demo.user, demo.password)
    peer.sendmail(demo.said["from"], [demo.accepts], message(demo, mark))
    peer.quit()


def smtplib_implicit(demo, mark, folder):
    """Python's smtplib on 465."""
    peer = smtplib.SMTP_SSL(*demo.host("submissions"), timeout=30,
                            context=ssl.create_default_context(cafile=demo.ca))
    peer.login(demo.user, demo.password)
    peer.sendmail(demo.said["from"], [demo.accepts], message(demo, mark))
    peer.quit()


def smtplib_priority(demo, mark, folder):
    """smtplib finds MT-PRIORITY in EHLO, and stands back with it; what is not granted is told."""
    peer = smtplib.SMTP_SSL(*demo.host("submissions"), timeout=30,
                            context=ssl.create_default_context(cafile=demo.ca))
    peer.login(demo.user, demo.password)
    peer.ehlo_or_helo_if_needed()
    assert peer.has_extn("mt-priority") and not peer.has_extn("deliverby"), peer.esmtp_features
    asked = peer.mail(demo.said["from"], ["MT-PRIORITY=9"])
    assert asked[0] == 250 and asked[1].startswith(b"2.3.6 0 "), asked
    peer.rset()
    asked = peer.mail(demo.said["from"], ["BY=60;R"])
    assert asked[0] == 555, asked
    peer.sendmail(demo.said["from"], [demo.accepts], message(demo, mark),
                  mail_options=["MT-PRIORITY=-2"])
    peer.quit()
    assert b"\r\n\tpriority -2;\r\n" in demo.delivered(mark)


def swaks(mechanism, flag):
    def trial(demo, mark, folder):
        listener = "submission" if flag == "--tls" else "submissions"
        host, port = demo.host(listener)
        run("swaks", "--server", host, "--port", port, flag, "--auth", mechanism,
            "--auth-user", demo.user, "--auth-password", demo.password,
            "--from", demo.said["from"], "--to", demo.accepts,
            "--data", f"@{written(demo, mark, folder)}")
    trial.__doc__ = f"swaks {flag} with {mechanism}."
    return trial


def curl(scheme):
    def trial(demo, mark, folder):
        host, port = demo.host("submission" if scheme == "smtp" else "submissions")
        run("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", demo.ca,
            f"{scheme}://{host}:{port}/client.test", "--user", f"{demo.user}:{demo.password}",
            "--mail-from", demo.said["from"], "--mail-rcpt", demo.accepts,
            "--upload-file", written(demo, mark, folder))
    trial.__doc__ = f"curl {scheme}://."
    return trial


def msmtp(mechanism):
    def trial(demo, mark, folder):
        host, port = demo.host("submission")
        run("msmtp", "--file=/dev/null", f"--host={host}", f"--port={port}", "--tls=on",
            "--tls-starttls=on", f"--tls-trust-file={demo.ca}", f"--auth={mechanism}",
            f"--user={demo.user}", f"--passwordeval=printf %s '{demo.password}'",
            f"--from={demo.said['from']}", demo.accepts,
            input=message(demo, mark).replace("\r\n", "\n"))
    trial.__doc__ = f"msmtp with {mechanism}."
    return trial


SUBMITTERS = {
    "smtplib-starttls": smtplib_starttls,
    "smtplib-implicit": smtplib_implicit,
    "smtplib-priority": smtplib_priority,
    "swaks-plain": swaks("PLAIN", "--tls"),
    "swaks-login": swaks("LOGIN", "--tls"),
    "swaks-implicit": swaks("PLAIN", "--tls-on-connect"),
    "curl-starttls": curl("smtp"),
    "curl-implicit": curl("smtps"),
    "msmtp-plain": msmtp("plain"),
    "msmtp-scram": msmtp("scram-sha-256"),
}


# -- programs that receive -----------------------------------------------------------------------

class Collector:
    """An aiosmtpd that keeps what it is given."""

    def __init__(self, tls=None, utf8=True):
        self.kept = []
        self.controller = Controller(self, hostname="127.0.0.1", port=load.free_port(),
                                     tls_context=tls, enable_SMTPUTF8=utf8)
        self.controller.start()
        self.port = self.controller.port

    async def handle_DATA(self, server, session, envelope):
        self.kept.append((envelope.original_content, session.ssl is not None))
        return "250 2.0.0 kept"

    def wait(self, mark):
        load.wait_for(f"delivery of {mark}",
                      lambda: any(mark.encode() in octets for octets, _ in self.kept), 30)
        return next(pair for pair in self.kept if mark.encode() in pair[0])

    def stop(self):
        self.controller.stop()


def certificate(folder):
    """A self-signed certificate, as most of the Internet's MX hosts once had."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2", "-subj", "/CN=mx.next.test", "-keyout", folder / "mx.key",
        "-out", folder / "mx.crt")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "mx.crt", folder / "mx.key")
    return context


def public_key(pem, algorithm):
    """The record of a key as DNS would give it."""
    der = subprocess.run(["openssl", "pkey", "-in", pem, "-pubout", "-outform", "DER"],
                         capture_output=True, check=True).stdout
    import base64
    octets = der[-32:] if algorithm == "ed25519" else der
    return f"v=DKIM1; k={algorithm}; p={base64.b64encode(octets).decode()}".encode()


def verified(octets, folder):
    """Both signatures hold for dkimpy."""
    records = {b"r1._domainkey.bench.test.": public_key(folder / "r1.pem", "rsa"),
               b"e1._domainkey.bench.test.": public_key(folder / "e1.pem", "ed25519")}
    for index in (0, 1):
        held = dkim.DKIM(octets).verify(index, dnsfunc=lambda name, timeout=5: records[name])
        assert held, f"signature {index} does not hold"


def submit(relay, mark):
    peer = smtplib.SMTP("127.0.0.1", relay.port, timeout=30)
    text = (f"From: <{load.FROM}>\r\nTo: <{load.TO}>\r\nSubject: {mark}\r\n\r\n"
            f"..dots\r\n.\r\n{mark}\r\n")
    peer.sendmail(load.FROM, [load.TO], text)
    peer.quit()


def through(folder, next_port, work):
    relay = relays.Postern(folder / "postern", next_port, signed=True, binary=POSTERN)
    relay.start()
    try:
        return work(relay)
    finally:
        relay.stop()


def to_aiosmtpd(folder):
    """aiosmtpd receives in clear text where it offers no TLS; dkimpy verifies both signatures."""
    mx = Collector()

    def work(relay):
        submit(relay, "clear-0001")
        octets, tls = mx.wait("clear-0001")
        assert not tls and b"\r\n..dots\r\n.\r\n" in octets, octets
        verified(octets, relay.folder)

    try:
        through(folder, mx.port, work)
    finally:
        mx.stop()


def to_aiosmtpd_tls(folder):
    """aiosmtpd offers STARTTLS with a self-signed certificate: it is taken."""
    mx = Collector(certificate(folder))

    def work(relay):
        submit(relay, "tls-0001")
        octets, tls = mx.wait("tls-0001")
        assert tls, "delivered in clear text although TLS was offered"
        verified(octets, relay.folder)

    try:
        through(folder, mx.port, work)
    finally:
        mx.stop()


def to_a_host_without_smtputf8(folder):
    """No silent downgrade: the host gets nothing, the sender a report that says 5.6.7."""
    mx = Collector(utf8=False)

    def work(relay):
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as peer:
            peer.ehlo()
            peer.sendmail(load.FROM, ["jörg@next.test"],
                          f"From: {load.FROM}\r\nTo: jörg@next.test\r\n\r\nutf8-0001\r\n".encode(),
                          mail_options=["SMTPUTF8"])
        octets, _ = mx.wait("5.6.7")
        report = email.message_from_bytes(octets)
        assert report.get_content_type() == "multipart/report", octets
        assert len(mx.kept) == 1, [pair[0][:200] for pair in mx.kept]

    try:
        through(folder, mx.port, work)
    finally:
        mx.stop()


def to_postfix(folder):
    """Debian's Postfix receives, and hands on what is still signed."""
    mx = Collector()
    postfix = relays.Postfix(folder / "postfix", mx.port)
    postfix.start()

    def work(relay):
        submit(relay, "postfix-0001")
        octets, _ = mx.wait("postfix-0001")
        assert octets.count(b"Received:") >= 2, octets
        verified(octets, relay.folder)

    try:
        through(folder, postfix.port, work)
    finally:
        postfix.stop()
        mx.stop()


def smtp_source_to_smtp_sink(folder):
    """500 messages from smtp-source to smtp-sink, none lost, none twice."""
    next_port = load.free_port()
    sink = load.Sink(next_port)

    def work(relay):
        load.smtp_source(relay.port, 500, 4096)
        load.wait_for("500 messages", lambda: sink.count >= 500, 60)
        time.sleep(0.5)
        assert sink.count == 500, sink.count

    try:
        through(folder, next_port, work)
    finally:
        sink.stop()


RECEIVERS = {
    "aiosmtpd": to_aiosmtpd,
    "aiosmtpd-tls": to_aiosmtpd_tls,
    "host-without-smtputf8": to_a_host_without_smtputf8,
    "postfix": to_postfix,
    "smtp-source-smtp-sink": smtp_source_to_smtp_sink,
}


class Count:
    """Runs trials and counts."""

    def __init__(self):
        self.passed = self.failed = 0

    def trial(self, name, work, *more):
        began = time.monotonic()
        try:
            work(*more)
            self.passed += 1
            print(f"ok     {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:
            self.failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    count = Count()
    with tempfile.TemporaryDirectory(prefix="postern-interop-", dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        submitters = {name: work for name, work in SUBMITTERS.items() if wanted in name}
        carried = {name: work for name, work in letters.LETTERS.items() if wanted in name}
        if submitters or carried:
            demos = []
            count.trial("demo-starts", lambda: demos.append(Demo()))
            for at, (name, work) in enumerate(submitters.items() if demos else ()):
                mark = f"mark-{at:04}-{os.getpid()}"

                def both(work=work, mark=mark):
                    work(demos[0], mark, folder)
                    arrived(demos[0], mark)

                count.trial(f"submits: {name}", both)
            for at, (name, work) in enumerate(carried.items() if demos else ()):
                mark = f"letter-{at:04}-{os.getpid()}"
                count.trial(f"carries: {name}", work, demos[0], mark, folder)
            for demo in demos:
                count.trial("demo-ends", demo.stop)
        for name, work in RECEIVERS.items():
            if wanted in name:
                own = folder / name
                own.mkdir()
                own.chmod(0o755)
                count.trial(f"receives: {name}", work, own)
    print(f"{count.passed} passed, {count.failed} failed")
    sys.exit(0 if count.failed == 0 and count.passed > 0 else 1)


if __name__ == "__main__":
    main()
