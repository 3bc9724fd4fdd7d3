"""The box: QEMU with UEFI, a disk, four network cards, a serial console and perhaps a TPM."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from console import Console

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROCESSORS = 2
TOOLS = ROOT / "image" / "tools"
ROLES = ["manage", "intake", "egress", "public"]
# Locally administered, one for each role; the document of the gateway names them.
MAC = {role: f"52:54:00:12:00:0{number}" for number, role in enumerate(ROLES, 1)}


def tools(*command, **options):
    """A command in the tree of tools that the image is built with."""
    said = subprocess.run([TOOLS, "run", *map(str, command)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if said.returncode:
        raise RuntimeError(f"{command[0]} ended with {said.returncode}: {said.stdout[-2000:]}")
    return said.stdout


def firmware():
    tree = subprocess.run([TOOLS, "path"], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(tree.stdout.strip()) / "usr/share/OVMF"


def fast():
    """Whether guests run on this machine's own processor. Only where a person says that it can:
    a KVM inside another virtual machine may be there and stop in the middle of the firmware."""
    return os.environ.get("POSTERN_ACCEL") == "kvm"


# What waits for a guest waits this much longer without a processor of its own.
SLOWNESS = 1 if fast() else 6


class Machine:
    """One box. Its disk is an overlay: the image that was built is never written."""

    def __init__(self, folder, disk, spaces, *, size="8G", memory="1G", tpm=False,
                 secure=False, variables=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.spaces, self.memory, self.tpm, self.secure = spaces, memory, tpm, secure
        self.disk = self.folder / "disk.qcow2"
        self.variables = self.folder / "variables.fd"
        self.process = self.console = self.swtpm = None
        self.turn = threading.Lock()
        # Unix sockets have short names.
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="postern-"))
        self.starts = 0
        tools("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b",
              pathlib.Path(disk).resolve(), self.disk, size)
        shutil.copyfile(variables or firmware() / "OVMF_VARS_4M.fd", self.variables)

    def start(self, credentials=(), stick=None, line=Console, clock=None):
        """Powers on. Credentials are (name, file) for fw_cfg, a stick is a raw disk on USB, `line`
        is what is at the other end of the serial line: a console, or a terminal. `clock` is the time
        that the machine's own clock has kept, if that is not the right one."""
        self.starts += 1
        code = "OVMF_CODE_4M.secboot.fd" if self.secure else "OVMF_CODE_4M.fd"
        machine = "q35,smm=on" if self.secure else "q35"
        words = [
            "qemu-system-x86_64", "-nodefaults",
            # Inside another virtual machine a processor may have this one and not let it be set.
            "-machine", machine, "-accel", "kvm" if fast() else "tcg,thread=multi",
            "-cpu", "max,arch-capabilities=off" if fast() else "max",
            "-smp", str(PROCESSORS), "-m", self.memory, "-display", "none", "-vga", "std",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/{code}",
            "-drive", f"if=pflash,format=raw,unit=1,file={self.variables}",
            "-drive", f"if=none,id=disk,format=qcow2,file={self.disk}",
            "-device", "virtio-blk-pci,drive=disk,bootindex=1",
            "-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset",
            "-device", "qemu-xhci",
            "-chardev", f"socket,id=serial,path={self.sockets}/serial,server=on,wait=on",
            "-serial", "chardev:serial",
            "-qmp", f"unix:{self.sockets}/monitor,server=on,wait=off",
        ]
        if self.secure:
            words += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        if clock:
            words += ["-rtc", f"base={clock}"]
        for role in ROLES:
            kind = "e1000e" if role == "public" else "virtio-net-pci"
            words += ["-netdev", f"tap,id={role},fd={self.spaces[role].tap}",
                      "-device", f"{kind},netdev={role},mac={MAC[role]}"]
        for name, path in credentials:
            words += ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={path}"]
        if stick:
            words += ["-drive", f"if=none,id=stick,format=raw,file={stick}",
                      "-device", "usb-storage,drive=stick,removable=on"]
        if more := os.environ.get("POSTERN_CMDLINE"):
            words += ["-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={more}"]
        if self.tpm:
            words += self._tpm()
        for name in ("serial", "monitor"):
            (self.sockets / name).unlink(missing_ok=True)
        environment = dict(os.environ, POSTERN_BIND=f"{ROOT}:{self.folder}:{self.sockets}")
        with open(self.folder / "qemu.log", "ab") as log:
            self.process = subprocess.Popen(
                [TOOLS, "run", *map(str, words)], env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=[self.spaces[role].tap for role in ROLES])
        self._wait_for(self.sockets / "serial")
        self.console = line(str(self.sockets / "serial"), self.folder / "console.txt",
                            120 * SLOWNESS)
        self.began = time.monotonic()
        if not fast():
            threading.Thread(target=self._watch, args=(self.process,), daemon=True).start()

    def _tpm(self):
        state = self.folder / "tpm"
        state.mkdir(exist_ok=True)
        path = self.sockets / "tpm"
        path.unlink(missing_ok=True)
        environment = dict(os.environ, POSTERN_BIND=f"{ROOT}:{self.folder}:{self.sockets}")
        self.swtpm = subprocess.Popen(
            [TOOLS, "run", "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl",
             f"type=unixio,path={path}", "--terminate"], env=environment, stdin=subprocess.DEVNULL)
        self._wait_for(path)
        return ["-chardev", f"socket,id=tpm,path={path}", "-tpmdev",
                "emulator,id=tpm,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm"]

    def _wait_for(self, path, seconds=60):
        limit = time.monotonic() + seconds
        while not path.exists():
            if self.process and self.process.poll() is not None:
                raise RuntimeError("QEMU did not start: " + self.said())
            if time.monotonic() > limit:
                raise RuntimeError(f"nothing listens on {path}: " + self.said())
            time.sleep(0.05)

    def said(self):
        """The last words of QEMU itself."""
        log = self.folder / "qemu.log"
        return log.read_text(errors="replace")[-1500:] if log.exists() else "nothing"

    def order(self, verb, **arguments):
        """One order to QEMU's monitor, which listens to one at a time."""
        with self.turn, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.sockets / "monitor"))
            stream = line.makefile("rw")
            stream.readline()
            for order in ({"execute": "qmp_capabilities"},
                          {"execute": verb, "arguments": arguments}):
                stream.write(json.dumps(order) + "\n")
                stream.flush()
                while "event" in (answer := json.loads(stream.readline())):
                    pass
            if "error" in answer:
                raise RuntimeError(f"QEMU refuses {verb}: {answer['error']['desc']}")
            return answer["return"]

    def _watch(self, process):
        """Presses the reset button of a machine that the emulator has put to sleep for ever."""
        while process.poll() is None:
            time.sleep(20)
            try:
                if self.has_lost_its_timer():
                    print("    QEMU lost a timer interrupt: the reset button was pressed", flush=True)
                    self.order("system_reset")
            except (OSError, ValueError, IndexError, RuntimeError):
                # It is off, or about to be.
                continue

    def has_lost_its_timer(self):
        """Whether the emulator has lost a timer interrupt: it counts as in service at a processor
        that is halted, and stays so. No further one comes then, and the machine sleeps for ever.
        QEMU 10.0 does this by translation, about once in fifteen boots of a busy host."""
        suspects = range(PROCESSORS)
        for _ in range(4):
            halted = re.findall(r"HLT=(\d)", self._monitor("info registers -a"))
            suspects = [n for n in suspects if halted[n] == "1" and re.search(
                r"^ISR\s.*\b236\b", self._monitor(f"info lapic {n}"), re.M)]
            time.sleep(0.5)
        return bool(suspects)

    def _monitor(self, line):
        return self.order("human-monitor-command", **{"command-line": line})

    def running(self):
        return self.process is not None and self.process.poll() is None

    def power_button(self, seconds=60):
        """Presses the button and waits until the machine is off; false if it ignores that."""
        self.order("system_powerdown")
        return self.wait_off(seconds)

    def wait_off(self, seconds=60):
        try:
            self.process.wait(seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            return False
        self._after()
        return True

    def cut(self):
        """The power is gone from one moment to the next."""
        if self.running():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._after()

    def _after(self):
        if self.console:
            self.console.close()
        if self.swtpm:
            try:
                self.swtpm.wait(5)
            except subprocess.TimeoutExpired:
                self.swtpm.kill()
                self.swtpm.wait()
        self.process = self.console = self.swtpm = None

    def partitions(self):
        """Name, first octet and length of every partition of the disk, while it is off."""
        flat = self.folder / "flat.raw"
        tools("qemu-img", "convert", "-O", "raw", self.disk, flat)
        said = tools("sfdisk", "-J", flat)
        table = json.loads(said[said.index("{"):])["partitiontable"]
        sector = table.get("sectorsize", 512)
        return flat, {part.get("name", part["node"]): (part["start"] * sector,
                                                       part["size"] * sector)
                      for part in table["partitions"]}

    def put_back(self, flat):
        """Makes the changed raw disk the one of the machine."""
        tools("qemu-img", "convert", "-O", "qcow2", flat, self.disk)
        flat.unlink()

    def close(self):
        self.cut()
        shutil.rmtree(self.sockets, ignore_errors=True)


def version_of(name):
    found = re.search(r"(\d+\.\d+\.\d+)", name)
    return tuple(map(int, found[1].split("."))) if found else (0, 0, 0)
