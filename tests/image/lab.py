"""One scenario's world: four wires, the Internet, the papers of the gateway, and its machines."""

import pathlib
import re
import shutil
import time

import console
from internet import HOST, RESOLVER, ROUTER, Internet
from letters import CLIENT, PASSPHRASE, Client, Papers, listening
from machine import ROLES, ROOT, SLOWNESS, Machine, version_of
from space import Space

SCREENS = pathlib.Path(__file__).resolve().parent / "screens"
ADDRESSES = {
    "manage": ["10.1.0.1/24"],
    "intake": [f"{CLIENT}/24"],
    "egress": [f"{ROUTER}/24", f"{HOST}/32", f"{RESOLVER}/32"],
    "public": ["192.0.2.1/24"],
}
# From power-on to a greeting; the first start makes and encrypts partitions as well.
BOOT = 150 * SLOWNESS


class Wrong(Exception):
    """What a scenario found."""


class Lab:
    def __init__(self, name, options):
        self.name, self.options = name, options
        self.folder = options.work / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.machines, self.helpers, self.times = [], [], []
        self.spaces = {}
        self.internet = None
        try:
            for role in ROLES:
                self.spaces[role] = Space(role, *ADDRESSES[role])
                self.spaces[role].capture(self.folder / f"{role}.pcap")
            self.internet = Internet(self.spaces["egress"], self.folder / "internet")
            self.papers = Papers(self.folder / "papers")
        except BaseException:
            self.close()
            raise

    # --- machines ---------------------------------------------------------------------------

    def machine(self, disk=None, **options):
        made = Machine(self.folder / f"machine{len(self.machines)}", disk or self.image(),
                       self.spaces, **options)
        self.machines.append(made)
        return made

    def image(self):
        """The newest disk that image/build left."""
        found = [path for path in self.options.out.glob("postern*.raw")
                 if re.fullmatch(r"postern[-_]\d+\.\d+\.\d+\.raw", path.name)]
        if not found:
            raise Wrong(f"no disk in {self.options.out}: image/build makes it")
        return max(found, key=lambda path: version_of(path.name))

    def closes(self, helper):
        """Ends with the scenario."""
        self.helpers.append(helper)

    def configured(self, **options):
        """A machine that its setup file has made a gateway, listening."""
        box = self.machine()
        box.start(credentials=[("postern.setup", self.papers.setup)], **options)
        self.wait_listening("first boot to listening")
        return box

    def wait_listening(self, what, seconds=BOOT):
        took = listening(self.spaces["intake"], seconds)
        self.times.append((what, took))
        self.say(f"{what}: {took:.1f} s")
        return took

    # --- mail -------------------------------------------------------------------------------

    def client(self, **options):
        return Client(self.spaces["intake"], **options)

    def through(self, mark):
        """A message from a real client on intake to a host on the Internet, signed on the way."""
        client = self.client()
        client.submit(mark)
        client.close()
        letter = self.internet.wait(mark, 60 * SLOWNESS)
        if not self.papers.signed(letter):
            raise Wrong(f"{mark} has no good DKIM signature")
        self.say(f"{mark} went through, its signature is good")
        return letter

    def no_mail_on_manage(self):
        for role in ("manage", "public"):
            seen = self.spaces[role].watch.mail
            if seen:
                raise Wrong(f"{seen} packets of mail on {role}: {self.folder}/{role}.pcap")
        out = self.spaces["egress"].watch
        inside = self.spaces["intake"].watch
        if not out.mail or not inside.mail:
            raise Wrong("the captures saw no mail at all: they prove nothing")
        self.say(f"packets of mail: intake {inside.mail}, egress {out.mail}, "
                 f"manage 0 of {self.spaces['manage'].watch.packets}, "
                 f"public 0 of {self.spaces['public'].watch.packets}")

    # --- console ----------------------------------------------------------------------------

    def keep(self, name, text):
        """Compares a screen with the kept one; --renew-screens keeps the new one."""
        path = SCREENS / f"{name}.txt"
        text = console.screen(text, [PASSPHRASE])
        (self.folder / f"screen-{name}.txt").write_text(text, encoding="utf-8")
        kept = path.read_text(encoding="utf-8") if path.exists() else None
        if kept == text:
            return
        if not self.options.renew_screens:
            raise Wrong(f"screen {name} differs from tests/image/screens/{name}.txt:\n{text}")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.say(f"screen {name} renewed")

    def say(self, text):
        print(f"    {text}", flush=True)

    def close(self):
        for made in self.machines:
            made.close()
        for helper in [*self.helpers, *([self.internet] if self.internet else [])]:
            helper.close()
        for space in self.spaces.values():
            space.close()


def wait(what, condition, seconds):
    """Waits until the condition holds."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise Wrong(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.3)


__all__ = ["BOOT", "ROOT", "SLOWNESS", "Lab", "Wrong", "wait"]
