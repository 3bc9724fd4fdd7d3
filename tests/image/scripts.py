"""Tests of what image/ says and does without building an image: `python3 tests/image/scripts.py`."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = ROOT / "image"


def run(*command, **environment):
    """A command of ours; what it said and how it ended."""
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, **environment))


class Languages(unittest.TestCase):
    """The lock is compared octet for octet: no script may sort as its caller's language does."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-")
        self.place = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def pins(self, **environment):
        manifest = self.place / "manifest"
        manifest.write_text("".join(
            f'  "name": "{name}",\n  "version": "1-1"\n'
            for name in ("libacl1", "libc-bin", "libc6", "Lib", "lib-a", "liba")))
        said = run(IMAGE / "pins", "--of", manifest, **environment)
        self.assertEqual(said.returncode, 0, said.stderr)
        return said.stdout

    def test_a_lock_is_the_same_in_every_language(self):
        # A machine may have no other locale: this makes one, which LOCPATH finds.
        made = run("localedef", "-i", "en_US", "-f", "UTF-8", self.place / "en_US.UTF-8")
        english = dict(LOCPATH=str(self.place), LC_ALL="en_US.UTF-8") if made.returncode == 0 else {}
        self.assertEqual(self.pins(LC_ALL="C"), self.pins(**english))

    def test_what_sorts_is_told_how(self):
        # Also where no other locale can be made: a sort that tells what it was told.
        sort = self.place / "sort"
        sort.write_text('#!/bin/sh\necho "LC_ALL=$LC_ALL"\n')
        sort.chmod(0o755)
        path = f"{self.place}:{os.environ['PATH']}"
        self.assertEqual(self.pins(LC_ALL="en_US.UTF-8", PATH=path), "LC_ALL=C\n")

    def test_every_script_sets_it(self):
        for script in IMAGE.iterdir():
            if script.is_file() and script.read_bytes().startswith(b"#!/bin/bash"):
                self.assertIn("\nexport LC_ALL=C\n", script.read_text(), script.name)


if __name__ == "__main__":
    unittest.main()
