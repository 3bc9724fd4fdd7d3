"""What is shown of the appliance. Each function is a scenario; its docstring says what it shows."""

import os
import subprocess
import threading
import time

from lab import BOOT, ROOT, SLOWNESS, Wrong, wait
from letters import PASSPHRASE
from machine import tools


def short(lab):
    """One boot by a setup file, a signed message through, power off."""
    box = lab.configured()
    lab.through("short-1")
    lab.no_mail_on_manage()
    power_off(lab, box)


def first_boot_by_stick(lab):
    """From an empty box to a gateway by a file on a USB stick; the file is wiped from it."""
    stick = lab.papers.stick()
    box = lab.machine()
    box.start(stick=stick)
    lab.wait_listening("first boot to listening")
    lab.through("stick-1")
    lab.no_mail_on_manage()
    wait("the file on the stick to be wiped", lambda: passphrase_gone(stick), 60 * SLOWNESS)
    status(lab, box, "configured")


def first_boot_by_console(lab):
    """From an empty box to a gateway by a person at the serial console."""
    box = lab.machine()
    box.start()
    console = box.console
    lab.keep("new", console.answer(r"set up.*: ?$", "w", BOOT))
    for number, (question, answer) in enumerate(WIZARD, 1):
        console.expect(rf"^{number} of \d+\. {question}", 60 * SLOWNESS)
        console.answer(r"^(Answer|Passphrase|Again).*: ?$", answer, 60 * SLOWNESS)
    lab.keep("summary", console.expect(r"\[.*\]: ?$", 120 * SLOWNESS))


# What a person types, question after question.
WIZARD = [
    ("Administrator's passphrase", PASSPHRASE),
    ("The passphrase once more", PASSPHRASE),
    ("Full name", "relay.sender.example"),
    ("Port for egress", "3"),
    ("IPv4 of egress", "198.51.100.9/24"),
    ("IPv4 router of egress", "198.51.100.1"),
    ("IPv6 of egress", ""),
    ("Port for intake", "2"),
    ("IPv4 of intake", "10.2.0.2/24"),
    ("IPv4 router of intake", ""),
    ("IPv6 of intake", ""),
    ("Port for manage", "1"),
    ("IPv4 of manage", "10.1.0.2/24"),
]


def reboot(lab):
    """A restart by the power button and one by the reset button; both come back as a gateway."""
    box = lab.configured()
    lab.through("before")
    box.order("system_reset")
    lab.wait_listening("reset to listening")
    lab.through("after-reset")
    power_off(lab, box)
    box.start()
    lab.wait_listening("second start to listening")
    lab.through("after-start")
    lab.no_mail_on_manage()


def power_cut(lab):
    """The power goes under load, three times; every message that was acknowledged is delivered."""
    box = lab.configured()
    kept = []
    for cut in range(3):
        load = Load(lab, f"cut{cut}", 8)
        load.begin()
        wait("two hundred letters to be taken", lambda: len(load.kept) >= 200, 120 * SLOWNESS)
        box.cut()
        load.end()
        kept += load.kept
        lab.say(f"cut {cut + 1}: {len(load.kept)} letters were acknowledged before it")
        box.start()
        lab.wait_listening("power cut to listening")
    lab.through("after-the-cuts")
    try:
        wait("every acknowledged letter", lambda: not missing(lab, kept), 180 * SLOWNESS)
    except Wrong:
        lost = missing(lab, kept)
        raise Wrong(f"{len(lost)} acknowledged letters are lost, for example {lost[:3]}") from None
    twice = sum(times - 1 for mark, times in lab.internet.marks().items() if mark in set(kept))
    lab.say(f"{len(kept)} letters acknowledged, all delivered, {twice} of them once more")
    lab.no_mail_on_manage()


def missing(lab, kept):
    came = lab.internet.marks()
    return [mark for mark in kept if mark not in came]


class Load:
    """Clients that submit one letter after another until the wire is dead."""

    def __init__(self, lab, name, clients):
        self.lab, self.name = lab, name
        self.kept, self.lock, self.going = [], threading.Lock(), True
        self.threads = [threading.Thread(target=self._submit, args=(number,))
                        for number in range(clients)]

    def begin(self):
        for thread in self.threads:
            thread.start()

    def _submit(self, number):
        try:
            client, count = self.lab.client(), 0
            while self.going:
                mark = f"{self.name}-{number}-{count}"
                client.submit(mark, 2048)
                with self.lock:
                    self.kept.append(mark)
                count += 1
        except Exception:
            # The power is gone, or the gateway asks for patience: what was acknowledged counts.
            return

    def end(self):
        self.going = False
        for thread in self.threads:
            thread.join(60)


def flipped_byte(lab):
    """One changed octet in the root file system: that slot never becomes a gateway again."""
    box = lab.configured()
    power_off(lab, box)
    flat, parts = box.partitions()
    name = next(name for name in parts if name.startswith("postern_") and "verity" not in name)
    start, _ = parts[name]
    flip_all(flat, start, 8 << 20)
    box.put_back(flat)
    box.start()
    console = box.console
    console.expect(r"(dm-verity|verity|Verity).*(corrupt|fail)|restart|Restarting|reboot", BOOT)
    if listens(lab, 60 * SLOWNESS):
        raise Wrong("a changed root served mail")
    lab.say("the changed slot did not come up")


def flip_all(flat, start, length):
    """Changes one octet of every second block of the slot's first part: what is read is met."""
    with open(flat, "r+b") as disk:
        for at in range(start + 4096, start + length, 8192):
            disk.seek(at)
            octet = disk.read(1)
            disk.seek(at)
            disk.write(bytes([octet[0] ^ 1]))


def listens(lab, seconds):
    try:
        lab.wait_listening("listening", seconds)
    except TimeoutError:
        return False
    return True


def tpm(lab):
    """With a TPM: state and spool are encrypted, the recovery key is shown once, it boots again."""
    box = lab.machine(tpm=True)
    box.start(credentials=[("postern.setup", lab.papers.setup)])
    box.console.expect(r"(?i)recovery key", BOOT)
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
    lab.wait_listening("second boot to listening")
    lab.through("tpm-2")
    if not box.console.quiet(r"(?i)recovery key is"):
        raise Wrong("the recovery key was shown a second time")


def secure_boot(lab):
    """With Secure Boot and the builder's keys: ours boots, the same without signatures does not."""
    keys = ROOT / "target/image/keys"
    variables = lab.folder / "enrolled.fd"
    enrol(keys, variables)
    box = lab.machine(secure=True, variables=variables)
    box.start(credentials=[("postern.setup", lab.papers.setup)])
    lab.wait_listening("first boot to listening")
    lab.through("secure-1")
    box.cut()
    other = lab.machine(secure=True, variables=variables)
    flat, parts = other.partitions()
    unsign(lab, flat, parts["esp"])
    other.put_back(flat)
    other.start(credentials=[("postern.setup", lab.papers.setup)])
    other.console.expect(r"(?i)access denied|security violation|failed to (load|start)", BOOT)
    if listens(lab, 60 * SLOWNESS):
        raise Wrong("unsigned programs were started")
    lab.say("what is not signed was refused")


def enrol(keys, variables):
    """Firmware variables with the builder's certificates in them, as an owner would enrol them."""
    owner = "0c7d3b0e-6a57-4f0c-9d2e-706f73746572"
    tools("virt-fw-vars", "--version")
    tools("virt-fw-vars", "-i", "/usr/share/OVMF/OVMF_VARS_4M.fd", "-o", variables,
          "--set-pk", owner, keys / "PK.crt", "--add-kek", owner, keys / "KEK.crt",
          "--add-db", owner, keys / "db.crt", "--secure-boot")


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


def passphrase_gone(stick):
    os.sync()
    said = subprocess.run(["grep", "-c", "-a", PASSPHRASE, stick], check=False,
                          stdout=subprocess.DEVNULL)
    return said.returncode == 1


def login(box):
    """A person logs in at the serial console."""
    box.console.type("")
    box.console.answer(r"log in: ?$", "l", 60 * SLOWNESS)
    box.console.answer(r"^Passphrase: ?$", PASSPHRASE, 60 * SLOWNESS)


def status(lab, box, name):
    box.console.type("")
    lab.keep(name, box.console.expect(r"log in: ?$", 60 * SLOWNESS))


def power_off(lab, box):
    began = time.monotonic()
    if not box.power_button(60):
        raise Wrong("the power button does not switch the box off")
    lab.say(f"off after {time.monotonic() - began:.1f} s")


ALL = [short, first_boot_by_stick, first_boot_by_console, reboot, power_cut, flipped_byte, tpm,
       secure_boot]
