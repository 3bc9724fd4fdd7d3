"""The time of the house, on the wire of the administrators: chrony with a certificate of an
authority of the house (NTS), and a name server that knows its name."""

import subprocess

from machine import TOOLS

ADDRESS = "10.1.0.1"
NAME = "time.lab.example"


class Hours:
    """Runs in the namespace of the managing wire until it is closed."""

    def __init__(self, space, folder):
        self.space, self.folder = space, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.roots = folder / "roots.pem"
        self._certificates()
        # -x: the clock of this machine is not touched.
        self.programs = [
            self._start("unbound", "/usr/sbin/unbound", "-d", "-c", self._names()),
            self._start("chronyd", TOOLS, "run", "chronyd", "-d", "-x", "-u", "root", "-f",
                        self._time()),
        ]

    def _start(self, name, *command):
        with open(self.folder / f"{name}.log", "ab") as log:
            return self.space.program(*command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _certificates(self):
        """An authority of the house, and what it says of the server."""
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        for words in (
            ["-subj", "/CN=Authority of the house", "-out", self.roots, "-keyout", "roots.key"],
            ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-CA", self.roots,
             "-CAkey", "roots.key", "-addext", "basicConstraints=critical,CA:FALSE",
             "-out", "server.pem", "-keyout", "server.key"],
        ):
            subprocess.run(["openssl", "req", "-x509", *key, *words], check=True, cwd=self.folder,
                           stderr=subprocess.DEVNULL)

    def _names(self):
        path = self.folder / "unbound.conf"
        path.write_text(
            f"server:\n  interface: {ADDRESS}\n  access-control: 0.0.0.0/0 allow\n"
            "  username: ''\n  chroot: ''\n  use-syslog: no\n  verbosity: 1\n  do-daemonize: no\n"
            f"  pidfile: '{self.folder}/unbound.pid'\n  module-config: iterator\n"
            f"  local-zone: . static\n  local-data: '{NAME}. 60 IN A {ADDRESS}'\n"
            "remote-control:\n  control-enable: no\n")
        return path

    def _time(self):
        path = self.folder / "chrony.conf"
        path.write_text(
            f"local stratum 3\nallow 10.1.0.0/24\nbindaddress {ADDRESS}\ncmdport 0\n"
            f"bindcmdaddress /\npidfile {self.folder}/chronyd.pid\n"
            f"ntsserverkey {self.folder}/server.key\nntsservercert {self.folder}/server.pem\n"
            f"ntsdumpdir {self.folder}\n")
        return path

    def close(self):
        for program in self.programs:
            program.terminate()
            program.wait()


def document(text):
    """The document of the tests, with this server for its time."""
    router = f'gateway4 = "{ADDRESS}"\n'
    return text.replace(router, f'{router}dns = ["{ADDRESS}"]\n', 1) + (
        f'[time]\nservers = ["{NAME}"]\nnts = true\n'
        'roots = "/etc/postern/tls/time-roots.pem"\n')
