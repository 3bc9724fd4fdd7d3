"""Load and measurement for tests/bench/compare: generators, sinks, memory, processor time."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
FROM = "app@bench.test"
TO = "somebody@next.test"


def free_port():
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, seconds=60.0, pause=0.02):
    """Waits until condition() is true; the time it took, in seconds."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
    return time.monotonic() - began


def banner(port):
    """True if an SMTP server greets on the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as peer:
            peer.settimeout(2)
            return peer.recv(4) == b"220 "
    except OSError:
        return False


def tree(root):
    """The process and all its descendants."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(parents.get(pid, []))
    return found


def pss_mb(root):
    """Proportional memory of a process tree in MB: shared pages are counted once."""
    total = 0
    for pid in tree(root):
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
        total += int(found.group(1)) if found else 0
    return total / 1024


def cpu_seconds(root):
    """Processor time of a process tree, with the children it has already buried."""
    total = 0
    for pid in tree(root):
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def disk_mb(folder):
    """Space that a folder takes on its disk."""
    done = subprocess.run(["du", "-s", "--block-size=1K", folder], capture_output=True, text=True)
    return int(done.stdout.split()[0]) / 1024


def smtp_source(port, messages, octets, sessions=20, keep=False):
    """Sends messages with Postfix's smtp-source; the seconds it took."""
    command = ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(octets)]
    command += ["-f", FROM, "-t", TO, "-M", "client.bench.test"]
    command += ["-d"] if keep else []
    began = time.monotonic()
    done = subprocess.run(command + [f"127.0.0.1:{port}"], capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(f"smtp-source: {done.stderr.strip() or done.returncode}")
    return took


class Sink:
    """Postfix's smtp-sink with its own count of messages."""

    def __init__(self, port):
        self.port = port
        self.count = 0
        command = ["smtp-sink", "-c", "-8", f"127.0.0.1:{port}", "1000"]
        if os.getuid() == 0:
            command[1:1] = ["-u", "nobody"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_for("smtp-sink", lambda: banner(port), 10)

    def _read(self):
        tail = b""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            tail = (tail + chunk)[-200:]
            found = re.findall(rb"(?:mesg|messages)\D+(\d+)|(\d+)\s*\r", tail)
            if found:
                self.count = int(found[-1][0] or found[-1][1])

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Silent:
    """A next hop that accepts connections and never says a word."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.peers = []
        self.open = True
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while self.open:
            try:
                self.peers.append(self.socket.accept()[0])
            except OSError:
                return

    def stop(self):
        self.open = False
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for peer in self.peers:
            peer.close()


class StampingSink:
    """A next hop in this process that notes when each message was complete."""

    def __init__(self, port):
        self.arrived = {}
        self.socket = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer = self.socket.accept()[0]
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        peer.sendall(b"220 sink ESMTP\r\n")
        lines = peer.makefile("rb")
        while line := lines.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                peer.sendall(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                peer.sendall(b"354 go on\r\n")
                self._content(lines)
                peer.sendall(b"250 2.0.0 ok\r\n")
            elif verb == b"QUIT":
                peer.sendall(b"221 bye\r\n")
                break
            else:
                peer.sendall(b"250 2.0.0 ok\r\n")
        peer.close()

    def _content(self, lines):
        mark = None
        while (line := lines.readline()) not in (b".\r\n", b""):
            if line.lower().startswith(b"x-mark:"):
                mark = line[7:].strip().decode()
        self.arrived[mark] = time.monotonic()

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def latencies(port, sink, messages=300, octets=4096):
    """One message at a time on an open connection: (accept, end to end) seconds of each.

    Accept is the whole transaction: MAIL, RCPT and DATA in one segment, content, the 250.
    """
    peer = socket.create_connection(("127.0.0.1", port), timeout=30)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = peer.makefile("rb")

    def reply():
        while True:
            line = lines.readline()
            if line[3:4] != b"-":
                return line

    reply()
    peer.sendall(b"EHLO client.bench.test\r\n")
    reply()
    accepts, ends = [], []
    for at in range(messages):
        mark = f"m{at}"
        content = (
            f"From: <{FROM}>\r\nTo: <{TO}>\r\nSubject: one\r\nX-Mark: {mark}\r\n"
            f"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark}@bench.test>\r\n\r\n"
        ).encode()
        content += (b"x" * 70 + b"\r\n") * ((octets - len(content)) // 72)
        began = time.monotonic()
        peer.sendall(f"MAIL FROM:<{FROM}>\r\nRCPT TO:<{TO}>\r\nDATA\r\n".encode())
        heard = [reply(), reply(), reply()]
        peer.sendall(content + b".\r\n")
        heard.append(reply())
        accepts.append(time.monotonic() - began)
        if heard[2][:3] != b"354" or heard[3][:3] != b"250":
            raise RuntimeError(f"the relay said {heard}")
        wait_for(f"delivery of {mark}", lambda mark=mark: mark in sink.arrived, 30, 0.0002)
        ends.append(sink.arrived[mark] - began)
        time.sleep(0.005)
    peer.sendall(b"QUIT\r\n")
    peer.close()
    return accepts, ends


def quantile(values, share):
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def kill_tree(root):
    """Ends a process tree at once, as a crash would."""
    for pid in tree(root):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
