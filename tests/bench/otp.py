"""One-time passwords behind a batch: how long from the application's 250 to the receiver's 250.

A receiver that takes its time for each message (20 to 50 ms, as large providers do) is kept busy
by a batch of tens of thousands of messages to one provider; meanwhile passwords come in, ten a
second, for the same provider. Measured is what a lane is worth:

    unloaded      no batch
    lanes         the batch is `subscribed`, the passwords are `otp`
    own source    both are `subscribed`: sources take turns
    one line      passwords are submitted by the source of the batch: first come, first served

Times are of CLOCK_MONOTONIC, which all processes of a machine share.
"""

import asyncio
import multiprocessing
import random
import socket
import statistics
import sys
import threading
import time

import load
import relays

# What the receiver takes for the reply to the final dot, in seconds.
DELAY = (0.020, 0.050)
# Connections of the lane (see relays.Postern.CONFIG).
CONNECTIONS = 20
# Passwords a second, and the most that one run may take to deliver them all.
RATE = 10
PATIENCE = 180


class _Peer(asyncio.Protocol):
    """One connection of the receiver: pipelining, and a pause before the reply to the dot."""

    def __init__(self, house):
        self.house, self.waiting, self.content, self.pausing = house, b"", False, False

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        transport.write(b"220 slow ESMTP\r\n")

    def data_received(self, octets):
        self.waiting += octets
        self._work()

    def _work(self):
        while not self.pausing:
            if self.content:
                end = self.waiting.find(b"\r\n.\r\n")
                if end < 0:
                    return
                content, self.waiting = self.waiting[:end], self.waiting[end + 5:]
                self.content, self.pausing = False, True
                asyncio.get_running_loop().call_later(
                    self.house.chance.uniform(*DELAY), self._taken, content)
                return
            line, ended, rest = self.waiting.partition(b"\r\n")
            if not ended:
                return
            self.waiting = rest
            self._answer(line[:4].upper())

    def _answer(self, verb):
        if verb == b"EHLO":
            self.transport.write(b"250-slow\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        elif verb == b"DATA":
            self.content = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self.transport.write(b"221 bye\r\n")
            self.transport.close()
        else:
            self.transport.write(b"250 2.0.0 ok\r\n")

    def _taken(self, content):
        self.transport.write(b"250 2.0.0 ok\r\n")
        self.house.taken(content, time.monotonic())
        self.pausing = False
        self._work()


class _House:
    """The receiver, in a process of its own."""

    def __init__(self, count, pipe):
        self.count, self.pipe, self.chance = count, pipe, random.Random(7)

    def taken(self, content, at):
        self.count.value += 1
        mark = content.find(b"\r\nX-Mark: ")
        if mark >= 0:
            end = content.find(b"\r\n", mark + 10)
            self.pipe.send((content[mark + 10:end].decode(), at))

    async def serve(self, listening):
        server = await asyncio.get_running_loop().create_server(
            lambda: _Peer(self), sock=listening, backlog=128)
        await server.serve_forever()


class SlowSink:
    """A receiver that needs its time, and stamps messages that carry X-Mark."""

    def __init__(self, port):
        self.arrived = {}
        listening = socket.create_server(("127.0.0.1", port), backlog=128)
        self._count = multiprocessing.Value("L", 0, lock=False)
        self._ear, pipe = multiprocessing.Pipe(duplex=False)
        house = _House(self._count, pipe)
        self.process = multiprocessing.get_context("fork").Process(
            target=lambda: asyncio.run(house.serve(listening)), daemon=True)
        self.process.start()
        listening.close()
        pipe.close()
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self):
        while True:
            try:
                mark, at = self._ear.recv()
            except (EOFError, OSError):
                return
            self.arrived[mark] = at

    @property
    def count(self):
        """Messages that were taken so far."""
        return self._count.value

    def stop(self):
        self.process.terminate()
        self.process.join(10)


class Lanes(relays.Postern):
    """Postern with a source of batches (127.0.0.1) and a source of passwords (127.0.0.3)."""

    def __init__(self, folder, next_port, binary, otp_class):
        super().__init__(folder, next_port, False, binary)
        self.name = f"Postern, passwords as {otp_class}"
        place = folder / "postern.toml"
        everybody = 'networks = ["127.0.0.0/8"]\npairs'
        text = place.read_text()
        assert everybody in text
        text = text.replace(everybody, 'networks = ["127.0.0.1/32"]\nclass = "subscribed"\npairs')
        text += (f'\n[source.otp]\nproof = "network"\nnetworks = ["127.0.0.3/32"]\n'
                 'pairs = [{ reverse_path = "*@bench.test", from = "*@bench.test" }]\n'
                 f'unsigned = "allow"\nclass = "{otp_class}"\n')
        place.write_text(text)


def application(port, address, passwords, seed):
    """Submits passwords one by one, ten a second; when each was accepted, by its mark."""
    chance = random.Random(seed)
    peer = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = peer.makefile("rb")

    def reply(expected):
        while (line := lines.readline())[3:4] == b"-":
            pass
        if line[:3] != expected:
            raise RuntimeError(f"the relay said {line!r}, not {expected!r}")

    reply(b"220")
    peer.sendall(b"EHLO otp.bench.test\r\n")
    reply(b"250")
    accepted = {}
    due = time.monotonic()
    for number in range(passwords):
        due += chance.uniform(0.5, 1.5) / RATE
        time.sleep(max(0, due - time.monotonic()))
        mark = f"otp{number}"
        content = (f"From: <{load.FROM}>\r\nTo: <{load.TO}>\r\nSubject: Your code is {number:06}\r\n"
                   f"X-Mark: {mark}\r\n\r\nIt is valid for five minutes.\r\n").encode()
        peer.sendall(f"MAIL FROM:<{load.FROM}>\r\nRCPT TO:<{load.TO}>\r\nDATA\r\n".encode())
        for expected in (b"250", b"250", b"354"):
            reply(expected)
        peer.sendall(content + b".\r\n")
        reply(b"250")
        accepted[mark] = time.monotonic()
    peer.sendall(b"QUIT\r\n")
    peer.close()
    return accepted


def run(make, otp_class, address, queued, passwords):
    """Delays of the passwords in seconds, and what was left of the batch when the last came in."""
    next_port = load.free_port()
    sink = SlowSink(next_port)
    relay = make(next_port, otp_class)
    relay.start()
    try:
        if queued:
            load.smtp_source(relay.port, queued, 2048, keep=True)
        accepted = application(relay.port, address, passwords, 11)
        left = max(0, queued - sink.count)
        load.wait_for("all passwords", lambda: len(sink.arrived) == passwords, PATIENCE)
        return [sink.arrived[mark] - at for mark, at in accepted.items()], left
    finally:
        relay.crash()
        sink.stop()
        relays.remove(relay.folder)


def measure(make, queued, passwords):
    """The figures of all four runs, in milliseconds, and their ratios to the unloaded one."""
    figures = {}
    base = None
    for name, otp_class, address, batch, count in (
        ("unloaded", "otp", "127.0.0.3", 0, passwords),
        ("lanes", "otp", "127.0.0.3", queued, passwords),
        ("own source", "subscribed", "127.0.0.3", queued, passwords),
        # Each waits for the whole batch: a few tell it all.
        ("one line", "subscribed", "127.0.0.1", queued, min(passwords, 30)),
    ):
        delays, left = run(make, otp_class, address, batch, count)
        half, worst = load.quantile(delays, 0.5), load.quantile(delays, 0.99)
        print(f"{name}: p50 {half * 1000:.1f} ms, p99 {worst * 1000:.1f} ms, mean "
              f"{statistics.mean(delays) * 1000:.1f} ms of {count}; {left} of {batch} left",
              file=sys.stderr, flush=True)
        if batch and name != "one line" and left < CONNECTIONS:
            raise RuntimeError(f"{name}: the batch was over before the passwords: queue more")
        figures[f"{name}, p50 ms"], figures[f"{name}, p99 ms"] = half * 1000, worst * 1000
        if base is None:
            base = half, worst
        else:
            figures[f"{name}, p50 over unloaded"] = half / base[0]
            figures[f"{name}, p99 over unloaded"] = worst / base[1]
    return figures
