"""Tests of the driver's own parts, without a machine: `python3 tests/image/parts.py`."""

import os
import pathlib
import smtplib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import console  # noqa: E402
import internet  # noqa: E402
import space  # noqa: E402


def frame(kind, head, ports, tags=()):
    tagged = b"".join(struct.pack("!HH", *tag) for tag in tags)
    return b"\0" * 12 + tagged + struct.pack("!H", kind) + head + struct.pack("!HH", *ports)


def ipv4(protocol):
    return bytes([0x45, 0, 0, 40]) + bytes(5) + bytes([protocol]) + bytes(10)


def ipv6(protocol):
    return bytes([0x60, 0, 0, 0, 0, 20, protocol, 64]) + bytes(32)


def is_mail(packet):
    return space.is_mail(*space.ports_of(packet))


def is_time(packet):
    return space.is_time(*space.ports_of(packet))


class Packets(unittest.TestCase):
    """A capture that counts nothing would prove anything."""

    def test_mail_is_counted(self):
        for port in (25, 465, 587):
            self.assertTrue(is_mail(frame(0x0800, ipv4(6), (40000, port))))
            self.assertTrue(is_mail(frame(0x86DD, ipv6(6), (port, 40000))))
        self.assertTrue(is_mail(frame(0x0800, ipv4(6), (1, 25), [(0x8100, 5)])))

    def test_nothing_else_is(self):
        self.assertFalse(is_mail(frame(0x0800, ipv4(17), (40000, 25))))
        self.assertFalse(is_mail(frame(0x0800, ipv4(6), (40000, 443))))
        self.assertFalse(is_mail(frame(0x0806, ipv4(6), (40000, 25))))
        self.assertFalse(is_mail(b"\0" * 12 + b"\x08\x00\x45"))

    def test_questions_for_the_time_are_counted(self):
        self.assertTrue(is_time(frame(0x0800, ipv4(17), (40000, 123))))
        self.assertTrue(is_time(frame(0x86DD, ipv6(6), (4460, 40000))))
        self.assertFalse(is_time(frame(0x0800, ipv4(6), (40000, 123))))
        self.assertFalse(is_time(frame(0x0800, ipv4(17), (40000, 4460))))


class Dialogue(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-")
        path = self.folder.name + "/serial"
        door = socket.socket(socket.AF_UNIX)
        door.bind(path)
        door.listen()
        self.console = console.Console(path, self.folder.name + "/console.txt", 5)
        self.far, _ = door.accept()
        door.close()

    def tearDown(self):
        self.far.close()
        self.console.close()
        self.folder.cleanup()

    def test_sequences_are_not_read_even_if_cut(self):
        self.far.sendall(b"\x1b[1mPass\x1b[")
        threading.Timer(0.2, self.far.sendall, [b"0mphrase: "]).start()
        self.assertEqual(self.console.expect(r"^Passphrase: ?$"), "Passphrase: ")

    def test_what_was_expected_is_not_found_again(self):
        self.far.sendall(b"one\r\none\r\n")
        self.console.expect("one")
        self.console.expect("one")
        with self.assertRaises(console.Silence):
            self.console.expect("one", 0.3)

    def test_an_answer_is_typed(self):
        self.far.sendall(b"Answer: ")
        self.console.answer("Answer: $", "yes")
        self.assertEqual(self.far.recv(64), b"yes\r")

    def test_all_that_was_said_is_kept(self):
        self.far.sendall(b"first\r\n\x1b[2Jsecond\r\n")
        self.console.expect("second\n")
        kept = pathlib.Path(self.folder.name, "console.txt").read_text(encoding="utf-8")
        self.assertEqual(kept, "first\nsecond\n")


class Screens(unittest.TestCase):
    def test_what_differs_is_masked(self):
        text = ("Time 2026-11-28 23:00:00 UTC, up 1m 35s, 1.8 GiB free  \n"
                f'"p={"A" * 30}"\n  "{"B" * 60}"\n  "C=" ) tulip wagon\n'
                "it is off by 3 us, lately by 0.5 ms\n")
        self.assertEqual(console.screen(text, ["tulip wagon"]),
                         'Time DATE, up AGE, SIZE free\n"p=KEY" ) SECRET\n'
                         "it is off by TIME, lately by TIME\n")

    def test_what_matters_is_not(self):
        text = ("Egress main: up\n198.51.100.9, image 0.1.0\nv=DMARC1; p=none\n"
                "So far     accepted 1, refused 0\nwithin 300 s\n")
        self.assertEqual(console.screen(text), text)


@unittest.skipUnless(os.geteuid() == 0, "not shown: only root makes network namespaces")
class Wires(unittest.TestCase):
    """The fake Internet answers for itself, and a capture sees what goes over a wire."""

    def test_the_internet_takes_a_letter(self):
        # tests/check installs it: a machine without it shows nothing, and that is a failure.
        self.assertTrue(os.path.exists("/usr/sbin/unbound"), "unbound is missing")
        wire = space.Space("egress", f"{internet.ROUTER}/24", f"{internet.HOST}/32",
                           f"{internet.RESOLVER}/32")
        with tempfile.TemporaryDirectory(prefix="postern-") as folder:
            far = internet.Internet(wire, pathlib.Path(folder))
            try:
                wire.inside(self.send, far.papers[0])
                self.assertIn(b"\r\n.one dot\r\n", far.wait("parts-1", 10))
                self.assertEqual((far.encrypted, far.marks()), (1, {"parts-1": 1}))
                self.assertEqual(self.asked(wire), "10 mx.post.example.")
                watch = wire.capture(pathlib.Path(folder, "egress.pcap"))
                os.write(wire.tap, frame(0x0800, ipv4(6), (40000, 25)) + bytes(20))
                limit = time.monotonic() + 10
                while not watch.mail and time.monotonic() < limit:
                    time.sleep(0.1)
                self.assertEqual(watch.mail, 1)
            finally:
                far.close()
                wire.close()

    @staticmethod
    def send(papers):
        smtp = smtplib.SMTP(internet.HOST, 25, "parts.example", timeout=20)
        smtp._host = "mx.post.example"
        smtp.starttls(context=ssl.create_default_context(cafile=str(papers)))
        smtp.sendmail("a@sender.example", ["b@post.example"],
                      "Subject: parts-1\r\n\r\n.one dot\r\n")
        smtp.quit()

    @staticmethod
    def asked(wire):
        for _ in range(50):
            said = wire.program("drill", "-Q", "post.example", "MX", f"@{internet.RESOLVER}",
                                stdout=subprocess.PIPE, text=True).communicate()[0]
            if said.startswith("10 ") or " MX " in said:
                return said.split(" MX ")[-1].strip()
            time.sleep(0.1)
        return said


unittest.main()
