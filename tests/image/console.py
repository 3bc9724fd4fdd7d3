"""The serial console of a machine: what it says, what is typed, and the whole dialogue kept."""

import re
import socket
import threading
import time

# Colours, cursor, titles: what a terminal does, not what a person reads.
SEQUENCES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][0-9A-Za-z]"
                       r"|[=>78cDEHMNOPVWXZ])")


class Silence(Exception):
    """The console did not say what was waited for."""


class Console:
    """A console on a Unix socket of QEMU's."""

    def __init__(self, path, transcript, patience):
        self.patience = patience
        self.text, self.seen = "", 0
        self.moved = threading.Condition()
        self.transcript = open(transcript, "a", encoding="utf-8")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        rest = ""
        while True:
            try:
                octets = self.socket.recv(65536)
            except OSError:
                octets = b""
            if not octets:
                break
            text = rest + octets.decode("utf-8", "replace")
            # A sequence that is cut in two waits for its other half.
            cut = text.rfind("\x1b", -32)
            rest = ""
            if cut >= 0 and not SEQUENCES.match(text, cut):
                text, rest = text[:cut], text[cut:]
            text = re.sub(r"\r+\n?", "\n", SEQUENCES.sub("", text))
            text = "".join(c for c in text if c == "\n" or c == "\t" or c >= " ")
            # Kept before anybody is told: whoever has read it finds it in the transcript.
            self.transcript.write(text)
            self.transcript.flush()
            with self.moved:
                self.text += text
                self.moved.notify_all()

    def expect(self, pattern, seconds=None):
        """Waits until the pattern appears after what was expected last; gives what came."""
        limit = time.monotonic() + (seconds or self.patience)
        with self.moved:
            while not (found := re.compile(pattern, re.M).search(self.text, self.seen)):
                left = limit - time.monotonic()
                if left <= 0:
                    tail = "\n".join(self.text.splitlines()[-25:])
                    raise Silence(f"the console did not say {pattern!r}; its last lines:\n{tail}")
                self.moved.wait(min(left, 1))
            came = self.text[self.seen:found.end()]
            self.seen = found.end()
            return came

    def quiet(self, pattern):
        """Whether the pattern never appeared."""
        with self.moved:
            return not re.search(pattern, self.text, re.M)

    def type(self, line):
        self.press(line + "\r")

    def press(self, keys):
        self.socket.sendall(keys.encode())

    def skip(self):
        """What was said until now is not waited for any more."""
        with self.moved:
            self.seen = len(self.text)

    def answer(self, question, line, seconds=None):
        """Waits for a question, answers it; gives the screen up to the question."""
        came = self.expect(question, seconds)
        self.type(line)
        return came

    def close(self):
        self.socket.close()
        self.thread.join(5)
        self.transcript.close()


# What differs from run to run, and what stands for it in the kept screens.
MASKS = [
    # What the kernel and the journal say comes between the lines of the console when it will.
    (re.compile(r"\[ *\d+\.\d{3,}\] [^\n]*"), ""),
    (re.compile(r"\n\s*\n"), "\n"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( UTC|Z)?"), "DATE"),
    (re.compile(r"\bup (\d+d )?(\d+h )?(\d+m )?\d+s\b"), "up AGE"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "MESSAGE"),
    (re.compile(r"\b[0-9.]+ [KMG]iB\b"), "SIZE"),
    (re.compile(r"\b[a-z]{8}(-[a-z]{8}){7}\b"), "RECOVERY-KEY"),
    (re.compile(r"\b\d+ seconds left\b"), "N seconds left"),
    (re.compile(r"\b\d+ messages? on disk stays?\b"), "MAIL on disk stays"),
    # The way out is checked some minutes after a start.
    (re.compile(r"^\[!\] Egress main: (\S+ strips DNSSEC|names cannot be)[^\n]*\n", re.M), ""),
    # What is said of a clock.
    (re.compile(r"\b(by|answered,) -?\d+(\.\d+)? (ns|us|ms|s)\b"), r"\1 TIME"),
    (re.compile(r"by -?\d+\.\d+ millionths"), "by N millionths"),
    (re.compile(r"\b\d of the last 8 questions answered, TIME ago,\s+stratum"),
     "N of the last 8 questions answered, TIME ago, stratum"),
    # Selectors bear the year in which they were made.
    (re.compile(r"\bp\d{4}([re])\b"), r"pYEAR\1"),
    # A key of DKIM, which goes on in the next lines; not the policy of DMARC.
    (re.compile(r'\b(p=[A-Za-z0-9+/=]{20,}")(\s+"[A-Za-z0-9+/=]+")+'), r"\1"),
    (re.compile(r"\bp=[A-Za-z0-9+/=]{20,}"), "p=KEY"),
    (re.compile(r"\$argon2id\$\S+"), "HASH"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "NUMBER"),
    (re.compile(r"[ \t]+$", re.M), ""),
]


def screen(text, secrets=()):
    """A screen as it is kept: without what differs from run to run, and without secrets."""
    for mask, instead in MASKS:
        text = mask.sub(instead, text)
    for secret in secrets:
        text = text.replace(secret, "SECRET")
    return text.strip("\n") + "\n"
