"""Scenarios of what the firmware and the TPM prove: Secure Boot, and disks that are sealed."""

import re
import shutil

from acts import MENU, listens, login, power_off
from lab import BOOT, SLOWNESS, Wrong
from machine import tools

# What the product prints with a new recovery key, and the key itself.
KEY_SHOWN, KEY = r"Write this recovery key down", r"\b[a-z]{8}(-[a-z]{8}){7}\b"


def tpm(lab):
    """With a TPM: state and spool are encrypted, each start shows another recovery key until one is
    written down, and it boots by itself; a TPM that does not open them asks for that key, once."""
    box = lab.machine(tpm=True)
    box.start(credentials=[("postern.setup", lab.papers.setup)])
    first = recovery_key(box)
    lab.wait_listening("first boot to listening")
    lab.through("tpm-1")
    power_off(lab, box)
    flat, parts = box.partitions()
    for name in ("state", "spool"):
        with open(flat, "rb") as disk:
            disk.seek(parts[name][0])
            if disk.read(6) != b"LUKS\xba\xbe":
                raise Wrong(f"{name} is not encrypted")
    flat.unlink()
    box.start()
    second = recovery_key(box)
    if second == first:
        raise Wrong("the key that nobody has written down was not replaced")
    lab.wait_listening("second boot to listening")
    lab.through("tpm-2")
    login(box)
    box.console.answer(MENU, "recovery-key", 60 * SLOWNESS)
    box.console.expect(second, 60 * SLOWNESS)
    box.console.answer(MENU, "recovery-key-kept", 60 * SLOWNESS)
    box.console.answer(r"Type yes [^\n]*: ", "yes", 60 * SLOWNESS)
    box.console.expect(r"the recovery key is forgotten here", 60 * SLOWNESS)
    box.console.answer(MENU, "0", 60 * SLOWNESS)
    power_off(lab, box)
    box.start()
    lab.wait_listening("third boot to listening")
    lab.through("tpm-3")
    if not box.console.quiet(f"{KEY_SHOWN}|{KEY}"):
        raise Wrong("a recovery key was shown after one was written down")
    power_off(lab, box)
    # As after a change of the firmware's keys or of the board: nothing that was sealed opens.
    shutil.rmtree(box.folder / "tpm")
    box.start()
    asked = r"Recovery key:"
    box.console.answer(f"TPM does not open the disks[^\n]*{asked}", "not the key", BOOT)
    box.console.answer(f"does not open them[^\n]*{asked}", second, 120 * SLOWNESS)
    lab.wait_listening("boot with another TPM and the recovery key to listening")
    lab.through("tpm-4")
    power_off(lab, box)
    box.start()
    lab.wait_listening("the boot after it, by the TPM alone")
    lab.through("tpm-5")


def recovery_key(box):
    """The key that a start shows."""
    box.console.expect(KEY_SHOWN, BOOT)
    return re.search(KEY, box.console.expect(KEY, 60 * SLOWNESS))[0]


def secure_boot(lab):
    """Secure Boot: the builder's keys are enrolled, ours boots, without signatures it does not."""
    box = lab.machine(secure=True)
    # The firmware is in setup mode: the boot loader enrols the keys of the ESP and starts again.
    box.start(credentials=[("postern.setup", lab.papers.setup)])
    lab.wait_listening("first boot to listening", 2 * BOOT)
    lab.through("secure-1")
    box.cut()
    other = lab.machine(secure=True, variables=box.variables)
    flat, parts = other.partitions()
    unsign(lab, flat, parts["esp"])
    other.put_back(flat)
    other.start(credentials=[("postern.setup", lab.papers.setup)])
    other.console.expect(r"(?i)access denied|security violation|failed to (load|start)", BOOT)
    if listens(lab, 60 * SLOWNESS):
        raise Wrong("unsigned programs were started")
    lab.say("what is not signed was refused, by a firmware with the keys of the first machine")


def unsign(lab, flat, place):
    """Takes the signatures off every EFI program of the ESP."""
    start, length = place
    esp = lab.folder / "esp.raw"
    with open(flat, "rb") as disk, open(esp, "wb") as copy:
        disk.seek(start)
        copy.write(disk.read(length))
    for path in tools("mdir", "-/", "-b", "-i", esp).splitlines():
        if not path.lower().endswith(".efi"):
            continue
        program = lab.folder / "program.efi"
        tools("mcopy", "-n", "-o", "-i", esp, path, program)
        tools("sbattach", "--remove", program)
        tools("mcopy", "-n", "-o", "-i", esp, program, path)
    with open(flat, "r+b") as disk, open(esp, "rb") as copy:
        disk.seek(start)
        disk.write(copy.read())
