"""Tests of what image/ does without building an image: `python3 tests/image/scripts.py`."""

import os
import pathlib
import re
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
        english = dict(LOCPATH=str(self.place), LC_ALL="en_US.UTF-8")
        if made.returncode:
            english = {}
        self.assertEqual(self.pins(LC_ALL="C"), self.pins(**english))

    def test_what_sorts_is_told_how(self):
        # Also where no other locale can be made: a sort that tells what it was told.
        sort = self.place / "sort"
        sort.write_text('#!/bin/sh\ncat >/dev/null\necho "LC_ALL=$LC_ALL"\n')
        sort.chmod(0o755)
        path = f"{self.place}:{os.environ['PATH']}"
        self.assertEqual(self.pins(LC_ALL="en_US.UTF-8", PATH=path), "LC_ALL=C\n")

    def test_every_script_sets_it(self):
        for script in IMAGE.iterdir():
            if script.is_file() and script.read_bytes().startswith(b"#!/bin/bash"):
                self.assertIn("\nexport LC_ALL=C\n", script.read_text(), script.name)


class Keys(unittest.TestCase):
    """Keys that boxes trust are made when a person asks for them, and never over others."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-")
        self.place = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def test_they_lie_outside_the_checkout(self):
        home = dict(HOME=str(self.place), XDG_DATA_HOME="", POSTERN_KEYS="")
        said = run(IMAGE / "keys", "--place", **home).stdout
        self.assertEqual(said, f"{self.place}/.local/share/postern/keys\n")
        said = run(IMAGE / "keys", "--place", POSTERN_KEYS="/safe").stdout
        self.assertEqual(said, "/safe\n")

    def test_a_build_makes_none_by_the_way(self):
        keys = self.place / "keys"
        said = run(IMAGE / "build", "--unlocked", "--only-disk", "--binary", "/bin/true",
                   "--keys", keys)
        self.assertEqual(said.returncode, 1, said.stderr)
        self.assertIn(f"no keys in {keys}.", said.stderr)
        self.assertIn("image/keys makes them", said.stderr)
        self.assertFalse(keys.exists())

    def test_those_that_are_there_stay(self):
        def made():
            said = run(IMAGE / "keys", self.place)
            self.assertEqual(said.returncode, 0, said.stderr)
            return {path.name: path.read_bytes() for path in self.place.iterdir()}

        first = made()
        self.assertLessEqual({"db.key", "PK.auth", "release-3.key", "release-3.pub"}, first.keys())
        self.assertEqual(made(), first)
        # The secret of one lies elsewhere, and this script has changed since.
        (self.place / "release-3.key").unlink()
        (self.place / "complete").write_text("1\n")
        second = made()
        self.assertNotIn("release-3.key", second)
        for name in [name for name in first if name.endswith((".pub", ".crt"))]:
            self.assertEqual(second[name], first[name], name)


class Beginnings(unittest.TestCase):
    """What cannot come to an end is told at once, in words."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-")
        self.place = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def test_an_old_compiler(self):
        rustc = self.place / "rustc"
        rustc.write_text("#!/bin/sh\necho rustc 1.63.0 '(4b91a6ea7 2022-08-08)'\n")
        rustc.chmod(0o755)
        said = run(IMAGE / "build", "--unlocked", "--test-keys",
                   PATH=f"{self.place}:{os.environ['PATH']}")
        self.assertEqual(said.returncode, 1, said.stderr)
        self.assertIn("rustc is 1.63.0", said.stderr)

    def test_the_readme_asks_for_the_same_compiler(self):
        asked = re.search(r'^rust-version = "(.*)"$', read("Cargo.toml"), re.M)[1]
        self.assertIn(f"**Rust {asked} or newer**", read("README.md"))

    def test_nothing_to_try(self):
        (self.place / "image").mkdir()
        for name in ("try", "tools"):
            (self.place / "image" / name).symlink_to(IMAGE / name)
        said = run("bash", "-c", f"cd '{self.place}' && cp -L image/try image/once && image/once")
        self.assertEqual(said.returncode, 1, said.stderr)
        self.assertIn("no disk; image/build makes it", said.stderr)


# Drivers of buildroot-config's fragments and the modules that Debian has instead; none where
# another module of the list has it, or Debian's kernel has it built in.
NETWORK = {
    "E1000": "e1000", "E1000E": "e1000e", "IGB": "igb", "IGC": "igc", "IXGBE": "ixgbe",
    "IXGBEVF": "ixgbevf", "I40E": "i40e", "I40EVF": "iavf", "ICE": "ice", "BNX2": "bnx2",
    "BNX2X": "bnx2x", "BNXT": "bnxt_en", "TIGON3": "tg3", "MLX4_EN": "mlx4_en",
    "MLX5_CORE": "mlx5_core", "MLX5_CORE_EN": None, "SFC": "sfc", "QEDE": "qede", "QED": "qed",
    "CHELSIO_T4": "cxgb4", "BE2NET": "be2net", "R8169": "r8169", "AQTION": "atlantic",
    "ENA_ETHERNET": "ena", "ENIC": "enic", "NETDEVICES": None, "ETHERNET": None,
}
STORAGE = {
    "PCI": None, "PCIEPORTBUS": None, "SCSI": None, "ATA": None, "BLK_DEV_NVME": "nvme",
    "BLK_DEV_SD": "sd_mod", "SATA_AHCI": "ahci", "MEGARAID_SAS": "megaraid_sas",
    "SCSI_MPT3SAS": "mpt3sas", "SCSI_MPI3MR": "mpi3mr", "SCSI_SMARTPQI": "smartpqi",
    "SCSI_HPSA": "hpsa", "SCSI_AACRAID": "aacraid", "VMD": "vmd",
}
FAMILIES = {"inet": "NF_TABLES_INET", "arp": "NF_TABLES_ARP", "netdev": "NF_TABLES_NETDEV",
            "ip": "NF_TABLES_IPV4", "ip6": "NF_TABLES_IPV6"}
STATEMENTS = {"ct": "NFT_CT", "limit": "NFT_LIMIT", "reject": "NFT_REJECT_INET",
              "fib": "NFT_FIB_INET", "log": "NFT_LOG"}


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def fragment(name):
    return read(f"buildroot-config/board/postern/linux/{name}.config")


def symbols(text):
    return re.findall(r"^CONFIG_(\w+)=y$", text, re.M)


class Kernels(unittest.TestCase):
    """Both images know the same hardware, and both can load the guard."""

    def modules(self, key):
        block = re.search(rf"^{key}=\n((?:[ \t]+.*\n)+)", read("image/mkosi/mkosi.conf"), re.M)[1]
        lines = [line.strip() for line in block.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]

    def lost(self, key, wanted):
        patterns = self.modules(key)
        return [module for module in wanted
                if not any(re.search(pattern, f"/{module}.ko") for pattern in patterns)]

    def paragraph(self, opening):
        found = [part for part in fragment("devices").split("\n\n") if part.startswith(opening)]
        self.assertEqual(len(found), 1, opening)
        return symbols(found[0])

    def test_every_card_of_one_is_in_the_other(self):
        cards = self.paragraph("# Network cards of servers")
        self.assertEqual([name for name in cards if name not in NETWORK], [])
        self.assertEqual(self.lost("KernelModulesInclude", filter(None, NETWORK.values())), [])

    def test_every_disk_of_one_is_in_the_other_and_before_the_root(self):
        disks = self.paragraph("# Disks of servers")
        self.assertEqual([name for name in disks if name not in STORAGE], [])
        for key in ("KernelModulesInclude", "KernelModulesInitrdInclude"):
            self.assertEqual(self.lost(key, filter(None, STORAGE.values())), [], key)

    def test_the_kernel_knows_the_families_of_the_guard(self):
        rules = [read("systemd/closed.nft"), read("src/host/plan/nftables.rs")]
        rules += [path.read_text(encoding="utf-8")
                  for path in sorted((ROOT / "tests/plan").glob("*.expected"))]
        families = {family for text in rules
                    for family in re.findall(r"\btable (\w+) postern\b", text)}
        self.assertLessEqual({"inet", "arp"}, families)
        words = {word for word in STATEMENTS for text in rules[2:]
                 if re.search(rf"^\s+[^#\n]*\b{word} \w", text, re.M)}
        self.assertLessEqual({"ct", "limit"}, words)
        wanted = {FAMILIES[family] for family in families} | {STATEMENTS[word] for word in words}
        for machine in ("x86_64", "aarch64"):
            known = {name for part in ("boot", "devices", "network", "hardening", machine)
                     for name in symbols(fragment(part))}
            self.assertEqual(wanted - known, set(), machine)


if __name__ == "__main__":
    unittest.main()
