"""Images and updates that only the tests need, made once by image/build below target/image/builds.

The good update is 0.2.0; the broken one is 0.3.0, whose gateway does not find its configuration;
the tampered one is the good one with a changed octet.
"""

import pathlib
import subprocess

from machine import ROOT, tools

PLACE = ROOT / "target/image/builds"
BROKEN = """[Service]
ExecStartPre=
ExecStart=
ExecStart=/usr/bin/postern serve --config /nowhere/postern.toml
"""


def built(lab, version, name, files, *more):
    """The folder with the results of one build, which is made unless it is there; `more` are words
    for image/build."""
    out = PLACE / name
    program = newest_program()
    made = out / f"postern-{version}.raw"
    if made.exists() and made.stat().st_mtime > max(map(mtime, sources(program))):
        return out
    extra = PLACE / f"{name}.extra"
    for path, text in files.items():
        place = extra / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    words = [ROOT / "image/build", "--unlocked", "--test-keys", "--version", version, "--out", out]
    if files:
        words += ["--extra", extra]
    if program:
        words += ["--binary", program]
    words += more
    lab.say(f"building {version} ({name})")
    subprocess.run([*map(str, words)], check=True)
    return out


def newest_program():
    """The gateway that was compiled last; without one image/build compiles it."""
    places = [ROOT / "target/image/cargo/release/postern", ROOT / "target/release/postern"]
    return max((place for place in places if place.exists()), key=mtime, default=None)


def mtime(path):
    return path.stat().st_mtime


def sources(program):
    """What an image of the tests is made of: an older one is built again."""
    yield pathlib.Path(__file__)
    if program:
        yield program
    for folder in ("image", "systemd"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file())


def bundle(lab, which):
    if which == "broken":
        return built(lab, "0.3.0", "broken", {
            "usr/lib/systemd/system/postern.service.d/99-broken.conf": BROKEN,
        }) / "postern-0.3.0.pbu"
    good = built(lab, "0.2.0", "good", {}) / "postern-0.2.0.pbu"
    if which == "good":
        return good
    tampered = lab.folder / "postern-0.2.0.pbu"
    octets = bytearray(good.read_bytes())
    octets[len(octets) * 2 // 3] ^= 1
    tampered.write_bytes(octets)
    return tampered


def development(lab):
    """The disk of a build that lets a key in, and that key."""
    key = PLACE / "development.key"
    if not key.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    out = built(lab, "0.4.0", "development", {}, "--only-disk", "--ssh", f"{key}.pub")
    return out / "postern-0.4.0.raw", key


def stick(lab, which):
    """A stick as a person would bring it."""
    made = bundle(lab, which)
    path = pathlib.Path(lab.folder, "stick.raw")
    with open(path, "wb") as out:
        out.truncate(made.stat().st_size + (64 << 20))
    tools("mkfs.vfat", "-n", "POSTERNUPD", path)
    tools("mcopy", "-i", path, made, f"::{made.name}")
    return path
