"""A terminal of 80 by 24 on the serial line of a machine: tmux, which answers what a terminal is
asked, and shows what a person would see.

Run as a program, it is what runs inside tmux: octets from the line to the terminal and back.
"""

import os
import re
import select
import socket
import subprocess
import sys
import termios
import time
import tty

COLUMNS, ROWS = 80, 24


class Blank(Exception):
    """The screen did not show what was waited for."""


class Terminal:
    """What a person sees, and the keys that are pressed; they are counted."""

    def __init__(self, path, transcript, patience):
        self.patience, self.keys = patience, 0
        self.name = f"postern-{os.getpid()}-{os.path.basename(os.path.dirname(transcript))}"
        self.transcript = open(transcript, "a", encoding="utf-8")
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS),
                   f"{sys.executable} {__file__} {path}")

    def _tmux(self, *words):
        ran = subprocess.run(["tmux", "-L", self.name, *words], capture_output=True, check=True)
        return ran.stdout.decode("utf-8", "replace")

    def screen(self):
        return self._tmux("capture-pane", "-p")

    def expect(self, pattern, seconds=None):
        """Waits until the screen shows the pattern; gives the screen."""
        limit = time.monotonic() + (seconds or self.patience)
        while True:
            screen = self.screen()
            if re.search(pattern, screen, re.M):
                self.transcript.write(f"{screen}\n{'=' * COLUMNS}\n")
                self.transcript.flush()
                return screen
            if time.monotonic() > limit:
                raise Blank(f"the screen did not show {pattern!r}:\n{screen}")
            time.sleep(0.1)

    def key(self, pattern, key, seconds=None):
        """Presses one key, by tmux's name of it, once the screen shows the pattern."""
        screen = self.expect(pattern, seconds)
        self._tmux("send-keys", key)
        self.keys += 1
        return screen

    def answer(self, pattern, line, seconds=None):
        """Types a line and Enter, once the screen shows what is asked."""
        screen = self.expect(pattern, seconds)
        if line:
            self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")
        self.keys += len(line) + 1
        return screen

    def close(self):
        subprocess.run(["tmux", "-L", self.name, "kill-server"], capture_output=True, check=False)
        self.transcript.close()


def carry(path):
    """Octets between the line and this program's own terminal, until one of them ends."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        while True:
            ready, _, _ = select.select([0, line], [], [])
            if line in ready:
                if not (octets := line.recv(65536)):
                    return
                os.write(1, octets)
            if 0 in ready:
                if not (octets := os.read(0, 65536)):
                    return
                line.sendall(octets)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


if __name__ == "__main__":
    carry(sys.argv[1])
