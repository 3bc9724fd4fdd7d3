"""Network namespaces: made, entered by a thread, given a tap, watched, taken away."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
import time

NEW_NETWORK = 0x40000000        # CLONE_NEWNET
SET_INTERFACE = 0x400454CA      # TUNSETIFF
TAP_WITHOUT_HEAD = 0x1002       # IFF_TAP | IFF_NO_PI
EVERYTHING = 3                  # ETH_P_ALL
MAIL_PORTS = {25, 465, 587}
NTP, NTS = 123, 4460

libc = ctypes.CDLL(None, use_errno=True)


def ip(*words, space=None):
    before = ["ip", "-n", space] if space else ["ip"]
    subprocess.run([*before, *words], check=True, stdout=subprocess.DEVNULL)


class Space:
    """One wire of the box: a namespace with the other end of one of its network cards."""

    def __init__(self, name, *addresses):
        self.name = f"postern-{os.getpid()}-{name}"
        self.role = name
        self.watch = None
        ip("netns", "add", self.name)
        self.tap = self.inside(self._tap)
        ip("link", "set", "lo", "up", space=self.name)
        ip("link", "set", "tap0", "up", space=self.name)
        for address in addresses:
            device = "lo" if address.endswith("/32") else "tap0"
            ip("addr", "add", address, "dev", device, space=self.name)

    @staticmethod
    def _tap():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, SET_INTERFACE, struct.pack("16sH22x", b"tap0", TAP_WITHOUT_HEAD))
        return fd

    def inside(self, work, *arguments):
        """Runs `work` in a thread that lives in this namespace; its sockets stay there."""
        result = []

        def enter():
            try:
                fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
                if libc.setns(fd, NEW_NETWORK):
                    raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")
                os.close(fd)
                result.append((work(*arguments), None))
            except BaseException as why:  # handed to whoever asked
                result.append((None, why))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        value, why = result[0]
        if why:
            raise why
        return value

    def program(self, *command, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, command)], **options)

    def capture(self, path):
        """Keeps every packet of the wire from now on."""
        self.watch = Capture(self, path)
        return self.watch

    def close(self):
        if self.watch:
            self.watch.stop()
        os.close(self.tap)
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class Capture:
    """Packets of a wire, in a pcap file and counted."""

    def __init__(self, space, path):
        self.path, self.packets, self.mail, self.time = path, 0, 0, 0
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        self.socket = space.inside(self._socket)
        self.running = True
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    @staticmethod
    def _socket():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
        raw.bind(("tap0", EVERYTHING))
        raw.settimeout(0.2)
        return raw

    def _read(self):
        while self.running:
            try:
                frame = self.socket.recv(65535)
            except TimeoutError:
                continue
            except OSError:
                return
            now = time.time()
            head = struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame))
            self.file.write(head + frame)
            self.packets += 1
            packet = ports_of(frame)
            self.mail += is_mail(*packet)
            self.time += is_time(*packet)

    def stop(self):
        self.running = False
        self.thread.join()
        self.socket.close()
        self.file.close()


def ports_of(frame):
    """Protocol and ports of a packet, in IPv4 or IPv6, with or without a VLAN tag."""
    at = 12
    kind = int.from_bytes(frame[at:at + 2], "big")
    while kind in (0x8100, 0x88A8):
        at += 4
        kind = int.from_bytes(frame[at:at + 2], "big")
    at += 2
    if kind == 0x0800 and len(frame) >= at + 20:
        protocol, segment = frame[at + 9], at + (frame[at] & 15) * 4
    elif kind == 0x86DD and len(frame) >= at + 40:
        protocol, segment = frame[at + 6], at + 40
    else:
        return "other", set()
    word = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}.get(protocol)
    if word is None or len(frame) < segment + 4:
        return "other", set()
    return word, set(struct.unpack("!HH", frame[segment:segment + 4]))


def is_mail(protocol, ports):
    return protocol == "tcp" and not MAIL_PORTS.isdisjoint(ports)


def is_time(protocol, ports):
    """NTP, or the agreement on its keys (NTS)."""
    return (protocol == "udp" and NTP in ports) or (protocol == "tcp" and NTS in ports)
