"""What is shown of the appliance. Each function is a scenario; its docstring says what it shows."""

import calendar
import os
import re
import subprocess
import threading
import time

import builds
import hours
from acts import MENU, listens, login, look, power_button, power_off, status
from lab import BOOT, SLOWNESS, Wrong, wait
from letters import DOCUMENT, PASSPHRASE, Papers
from sealed import secure_boot, tpm
from terminal import Terminal


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
    lab.keep("new", console.answer(r"w: set up.*l: log in: ?$", "w", BOOT))
    for number, (question, answer) in enumerate(WIZARD, 1):
        console.expect(rf"^{number} of \d+\. {question}", 60 * SLOWNESS)
        console.answer(r"^(Answer|Passphrase|Again)\b.*: ?$", answer, 60 * SLOWNESS)
    lab.keep("review", console.answer(r"^apply\?.*$", "apply", 120 * SLOWNESS))
    lab.keep("in-force", console.answer(r"^Type yes to keep it: ?$", "yes", 120 * SLOWNESS))
    told = console.expect(r"password: (\S+)", 60 * SLOWNESS)
    console.answer(r"^Menu.*: ?$", "0", 180 * SLOWNESS)
    console.expect(r"!: stop all mail: ", 60 * SLOWNESS)
    lab.wait_listening("wizard to listening")
    client = lab.client(user="billing", password=told.rsplit(None, 1)[1])
    client.submit("console-1")
    client.close()
    if b"DKIM-Signature:" not in lab.internet.wait("console-1", 60 * SLOWNESS):
        raise Wrong("the letter of the wizard's gateway is not signed")
    lab.no_mail_on_manage()
    status(lab, box, "configured-by-console")


# What a person types, question after question; the cards are in the order of machine.ROLES.
WIZARD = [
    ("Administrator's passphrase", PASSPHRASE),
    ("The passphrase once more", PASSPHRASE),
    ("Full name", "relay.sender.example"),
    ("Port for egress", "3"),
    ("IPv4 of egress", "198.51.100.9/24"),
    ("IPv4 router of egress", "198.51.100.1"),
    ("IPv6 of egress", "none"),
    ("Port for intake", "2"),
    ("IPv4 of intake", "10.2.0.2/24"),
    ("IPv4 router of intake", "none"),
    ("IPv6 of intake", "none"),
    ("Port for manage", "1"),
    ("IPv4 of manage", "10.1.0.2/24"),
    ("IPv4 router of manage", "10.1.0.1"),
    ("IPv6 of manage", "none"),
    ("Port for public", "none"),
    ("Name servers for mail", "9.9.9.9"),
    ("Name servers for time", "10.1.0.1"),
    ("Time servers", "default"),
    ("Name of the first application", "billing"),
    ("Who it may write as", "*@sender.example"),
    ("Where its bounces go", "bounces@sender.example"),
    ("Who owns it", "ops@sender.example"),
    ("From which networks", "10.2.0.0/24"),
    ("Domains to sign for", "sender.example"),
]


def pages(lab):
    """The same on pages, at a terminal: from power-on to the first delivered message."""
    box = lab.machine()
    box.start(line=Terminal)
    began, screen = time.monotonic(), box.console
    lab.keep("page-new", screen.key("w: set up", "w", BOOT))
    home = time.monotonic()
    for number, (question, answer) in enumerate(WIZARD, 1):
        shown = screen.answer(rf"^{question}.* {number} of \d+$", answer, 60 * SLOWNESS)
        if question in ("Administrator's passphrase", "Port for egress"):
            lab.keep(f"page-question-{number}", shown)
    lab.keep("page-review", screen.answer(r"^apply\?", "apply", 120 * SLOWNESS))
    lab.keep("page-in-force", screen.answer("^Type yes to keep it", "yes", 120 * SLOWNESS))
    password = re.search(r"password: (\S+)", screen.expect(r"password: \S+", 60 * SLOWNESS))[1]
    lab.wait_listening("wizard to listening")
    client = lab.client(user="billing", password=password)
    client.submit("pages-1")
    client.close()
    if b"DKIM-Signature:" not in lab.internet.wait("pages-1", 60 * SLOWNESS):
        raise Wrong("the letter of the wizard's gateway is not signed")
    ended = time.monotonic()
    lab.say(f"delivered {ended - began:.0f} s after power-on, {ended - home:.0f} s after the first "
            f"page, with {screen.keys} keys")
    lab.no_mail_on_manage()
    looked_around(lab, screen)


def looked_around(lab, screen):
    """A person who is logged in looks at what the box shows, and gives it another address."""
    screen.key("Enter: on", "Enter", 180 * SLOWNESS)
    for word, answers, seen in LOOKS:
        screen.answer("Enter lists it", word, 60 * SLOWNESS)
        for question, answer in answers:
            screen.answer(question, answer, 60 * SLOWNESS)
        shown = screen.expect(seen, 90 * SLOWNESS)
        if word in KEPT:
            lab.keep(f"page-{word}", shown)
        if "Enter: on" in shown:
            screen.key("Enter: on", "Enter")
    screen.answer("Enter lists it", "log-out", 60 * SLOWNESS)
    screen.expect(r"^Interface  manage0 \(manage\): link, 10\.1\.0\.7,", 60 * SLOWNESS)


# What is looked at, what is answered, and what is seen then.
LOOKS = [
    ("ports", [], "^egress0: egress, link"),
    ("clock", [], "^the clock is kept by"),
    ("certificates", [], "DKIM|dkim"),
    ("ping", [("^From which interface", "manage0"), ("^To which name", "10.1.0.1")],
     r"PASS. ping: 10\.1\.0\.1 answered"),
    ("address", [("^Which interface", "manage0"), ("^IPv4 address", "10.1.0.7/24"),
                 ("^IPv4 router", ""), ("^IPv6 address", ""), ("^IPv6 router", ""),
                 ("^Type change", "change")], "^It must be confirmed within"),
    ("config-confirm", [], "stays in force"),
]

# Of these the screen is kept: it is the same every time.
KEPT = ["ports", "clock", "address"]


def reboot(lab):
    """The reset button, power off by the menu and by the power button: the box comes back from
    each as a gateway."""
    box = lab.configured()
    lab.through("before")
    box.order("system_reset")
    lab.wait_listening("reset to listening")
    lab.through("after-reset")
    power_off(lab, box)
    box.start()
    lab.wait_listening("second start to listening")
    lab.through("after-start")
    power_button(lab, box)
    box.start()
    lab.wait_listening("start after the button to listening")
    lab.through("after-button")
    lab.no_mail_on_manage()


def clock(lab):
    """A machine whose clock has stood still for years gets the time from a server that proves who
    it is, by the wire of the administrators alone."""
    time_server = hours.Hours(lab.spaces["manage"], lab.folder / "hours")
    lab.closes(time_server)
    lab.papers = Papers(lab.folder / "papers", hours.document(DOCUMENT),
                        [("tls/time-roots.pem", time_server.roots)])
    box = lab.configured(clock="2020-02-02T02:02:02")
    wait("the clock to be kept", lambda: "is followed" in clock_page(box), 120 * SLOWNESS)
    lab.keep("clock", clock_page(box))
    shown = re.search(r"^Time +(\S+ \S+) UTC", look(box), re.M)[1]
    off = time.time() - calendar.timegm(time.strptime(shown, "%Y-%m-%d %H:%M:%S"))
    if abs(off) > 30:
        raise Wrong(f"the box says {shown}, which is {off:.0f} s off")
    lab.through("after-the-clock")
    seen = {role: space.watch.time for role, space in lab.spaces.items()}
    if not seen.pop("manage") or any(seen.values()):
        raise Wrong(f"packets of time on other wires: {seen}")
    lab.say(f"the box says {shown}; nobody was asked for the time but by manage")


def clock_page(box):
    """What the console says of the clock to a person who has logged in."""
    login(box)
    box.console.answer(MENU, "clock", 60 * SLOWNESS)
    said = box.console.answer(MENU, "0", 60 * SLOWNESS)
    box.console.expect(r"Logged out", 60 * SLOWNESS)
    return said


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
    damaged(lab, box, "postern_")
    box.start()
    # The kernel gives up and starts again; there is no other slot yet, so it comes to the same.
    for _ in range(2):
        box.console.expect(r"panic - not syncing: dm-verity device corrupted", BOOT)
        box.console.expect(r"Rebooting in \d+ seconds", BOOT)
        if listens(lab, 5):
            raise Wrong("a changed root served mail")
    lab.say("the changed slot did not come up, twice")


def damaged(lab, box, slot):
    """Changes one octet of a slot: of the superblock of the root, which is read first of all."""
    flat, parts = box.partitions()
    name = next(name for name in parts if name.startswith(slot) and "verity" not in name)
    place = parts[name][0] + 1030
    with open(flat, "r+b") as disk:
        disk.seek(place)
        octet = disk.read(1)
        disk.seek(place)
        disk.write(bytes([octet[0] ^ 1]))
    box.put_back(flat)
    lab.say(f"one octet of {name} is another one")


def update(lab):
    """A new version from a stick: staged, started on trial, found healthy, kept; mail goes on.
    When its slot is damaged later, a person at the boot loader's menu starts the one before."""
    box = before_update(lab, "good")
    applied(lab, box, keep=lab.keep)
    lab.wait_listening("update to listening")
    lab.through("after-update")
    lab.no_mail_on_manage()
    wait("the new version to be kept", lambda: "update 0.2.0 healthy" in look(box), BOOT)
    power_off(lab, box)
    box.start()
    lab.wait_listening("start of the new version to listening")
    if "image 0.2.0" not in look(box):
        raise Wrong("the new version was not kept")
    status(lab, box, "updated")
    power_off(lab, box)
    damaged(lab, box, "postern_0.2.0")
    box.start()
    box.console.expect(r"panic - not syncing: dm-verity device corrupted", BOOT)
    at_the_boot_loader(lab, box)
    # Down, to the version before, and Enter.
    box.console.press("\x1b[B")
    box.console.press("\r")
    lab.wait_listening("start of the slot before to listening")
    if "image 0.1.0" not in look(box):
        raise Wrong("the other version was chosen, and the damaged one runs")
    lab.through("after-the-damage")


def at_the_boot_loader(lab, box):
    """A person keeps a key pressed while the machine starts, until the boot loader's menu comes."""
    limit = time.monotonic() + BOOT
    while box.console.quiet(r"Postern 0\.2\.0\s+Postern 0\.1\.0"):
        if time.monotonic() > limit:
            raise Wrong("the boot loader shows no menu with both slots")
        box.console.press(" ")
        time.sleep(0.05)
    lab.say("the menu of the boot loader shows both slots")


def update_broken(lab):
    """A version that does not work: tried, given up, and the old one is back by itself."""
    box = before_update(lab, "broken")
    applied(lab, box)
    for number in range(3):
        box.console.expect(r"postern_0\.3\.0|image 0\.3\.0|0\.3\.0", BOOT)
        lab.say(f"try {number + 1} of the broken version")
        box.console.expect(r"reboot: Restarting system", BOOT)
    lab.wait_listening("failed update to listening", 2 * BOOT)
    lab.through("after-the-return")
    if "image 0.1.0" not in look(box):
        raise Wrong("something listens, and it is not the old version")
    if "did not become healthy in 3 boots: " not in look(box):
        raise Wrong("the old version does not say what the health check found")
    status(lab, box, "returned")


def update_tampered(lab):
    """An update with one changed octet: refused before anything is written."""
    box = before_update(lab, "tampered")
    said = stage(box)
    if "it is not as signed" not in said:
        raise Wrong(f"a tampered update was not refused as such:\n{said}")
    power_off(lab, box)
    flat, parts = box.partitions()
    flat.unlink()
    if any("0.2.0" in name for name in parts):
        raise Wrong("a tampered update was written to a slot")


def before_update(lab, which):
    """A gateway of the version 0.1.0 with an update on its stick, up for long enough."""
    box = lab.machine(size="10G")
    box.start(credentials=[("postern.setup", lab.papers.setup)], stick=builds.stick(lab, which))
    lab.wait_listening("first boot to listening")
    lab.through("before-update")
    if time.monotonic() > box.began + 240:
        raise Wrong("the boot took so long that nobody can ask within five minutes of it: "
                    "run this on a machine with less to do")
    said = stage(box)
    if "it was started a moment ago" not in said:
        raise Wrong(f"an update was taken within five minutes of a boot:\n{said}")
    lab.say("within five minutes of the boot it was refused")
    time.sleep(max(0, box.began + 330 - time.monotonic()))
    return box


def stage(box):
    """A person has the update of the stick written to the other slot; gives what came of it."""
    login(box)
    box.console.answer(MENU, "update-stage", 60 * SLOWNESS)
    box.console.answer(r"From where [^\n]*: ", "usb", 60 * SLOWNESS)
    box.console.answer(r"an older version [^\n]*: ", "", 60 * SLOWNESS)
    box.console.answer(r"cannot wait: why [^\n]*: ", "", 60 * SLOWNESS)
    said = box.console.answer(MENU, "0", 300 * SLOWNESS)
    box.console.expect(r"Logged out", 60 * SLOWNESS)
    return said


def applied(lab, box, keep=lambda name, text: None):
    """The update is staged and tried."""
    began = time.monotonic()
    keep("staged", stage(box))
    lab.say(f"staged in {time.monotonic() - began:.0f} s")
    login(box)
    box.console.answer(MENU, "update-apply", 60 * SLOWNESS)
    box.console.answer(r"cannot wait: why [^\n]*: ", "", 60 * SLOWNESS)
    keep("apply", box.console.answer(r"Type update [^\n]*: ", "update", 60 * SLOWNESS))
    box.console.expect(r"reboot: Restarting system", 60 * SLOWNESS)


def factory_reset(lab):
    """Everything destroyed by an order at the console: an empty box, and nothing to read back."""
    box = lab.configured()
    lab.through("before-reset")
    login(box)
    box.console.answer(MENU, "factory-reset", 60 * SLOWNESS)
    box.console.answer(r"^Type relay\.sender\.example.*: ?$", "relay.sender.example",
                       60 * SLOWNESS)
    box.console.expect(r"The machine goes down now", 60 * SLOWNESS)
    box.console.expect(r"reboot: Restarting system", BOOT)
    # The setup file stays in the firmware: the box may take it again, but with a spool of its own.
    box.console.expect(r"(w: set up|log in).*: ?$", 2 * BOOT)
    box.cut()
    flat, parts = box.partitions()
    start, length = parts["spool"]
    found = search(flat, start, length, b"before-reset")
    flat.unlink()
    if found:
        raise Wrong("mail of before the reset can be read from the disk")


def search(flat, start, length, words):
    """Whether the words stand in a part of the disk."""
    with open(flat, "rb") as disk:
        disk.seek(start)
        rest = b""
        while length > 0:
            block = disk.read(min(length, 1 << 22))
            if not block:
                break
            if words in rest + block:
                return True
            rest, length = block[-len(words):], length - len(block)
    return False


def passphrase_gone(stick):
    os.sync()
    said = subprocess.run(["grep", "-c", "-a", PASSPHRASE, stick], check=False,
                          stdout=subprocess.DEVNULL)
    return said.returncode == 1


def development(lab):
    """A build with --ssh lets its key in by manage, where the document asks for it."""
    disk, key = builds.development(lab)
    lab.papers = Papers(lab.folder / "papers-ssh", DOCUMENT + "[network]\nssh = true\n")
    box = lab.machine(disk)
    box.start(credentials=[("postern.setup", lab.papers.setup)])
    lab.wait_listening("first boot to listening")
    wait("sshd on manage", lambda: "\nID=postern\n" in by_ssh(lab, "manage", "10.1.0.2", key),
         60 * SLOWNESS)
    if by_ssh(lab, "intake", "10.2.0.2", key):
        raise Wrong("SSH is open on intake")


def by_ssh(lab, role, address, key):
    """What the box says of itself over SSH; nothing if it does not let us in."""
    words = ["ssh", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", f"ConnectTimeout={10 * SLOWNESS}",
             f"root@{address}", "cat /usr/lib/os-release"]
    with open(lab.folder / "ssh.log", "ab") as log:
        asked = lab.spaces[role].program(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=log, text=True)
        return asked.communicate()[0]


ALL = [short, first_boot_by_stick, first_boot_by_console, pages, clock, reboot, power_cut, update,
       update_broken, update_tampered, flipped_byte, tpm, secure_boot, factory_reset, development]
