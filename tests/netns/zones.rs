//! A small signed world: a root, a top-level domain and zones in every state that DNSSEC knows.
//!
//! ```text
//! .        signed, its key is the anchor
//! zone.    signed
//!   sec.zone.      NSEC, ECDSA             n3.zone.       NSEC3
//!   rsa.zone.      NSEC, RSA/SHA-256       opt.zone.      NSEC3 with opt-out, u.opt.zone. unsigned
//!   plain.zone.    unsigned                bogus.zone.    a record was changed after signing
//!   expired.zone.  signatures of long ago  wrong.zone.    its DS is of another key
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::space::Program;

/// The data of every TLSA record here.
pub(crate) const TLSA_DATA: [u8; 32] = [0xab; 32];

/// How a zone is signed.
#[derive(Clone, Copy, PartialEq)]
enum Signed {
    No,
    Nsec,
    Nsec3,
    OptOut,
    Expired,
}

/// What every zone has: a mail host with TLSA records, one without, aliases and a wildcard.
fn records(zone: &str) -> String {
    let tlsa = "ab".repeat(32);
    let mut text = format!(
        "$ORIGIN {zone}.\n$TTL 300\n@ SOA ns. hostmaster 1 3600 600 86400 60\n@ NS ns.\n\
         @ MX 10 mx\nmx A 192.0.2.1\nmx AAAA 2001:db8::1\n_25._tcp.mx TLSA 3 1 1 {tlsa}\n\
         bare A 192.0.2.2\nheld A 192.0.2.3\n_tcp.held NS ns.dead.\nnull MX 0 .\n\
         deep.ent A 192.0.2.4\n*.wild A 192.0.2.5\nreal.wild A 192.0.2.7\n*.wild MX 10 mx\n\
         *.wilder CNAME mx\n\
         *.far CNAME mx.n3.zone.\n\
         *.farther CNAME nosuch.rsa.zone.\n\
         alias CNAME mx\nalias2 CNAME alias\nnodata CNAME bare\ndangling CNAME nosuch\n\
         tlsaalias A 192.0.2.6\n_25._tcp.tlsaalias CNAME _25._tcp.mx\n\
         text TXT \"one\" \"two\"\nkept MX 10 bare\n"
    );
    for other in ["sec", "n3", "plain", "bogus", "wrong"] {
        writeln!(text, "to-{other} CNAME mx.{other}.zone.").unwrap();
        writeln!(text, "to-{other}-none CNAME nosuch.{other}.zone.").unwrap();
        writeln!(text, "to-{other}-bare CNAME bare.{other}.zone.").unwrap();
    }
    text
}

/// A folder with the zones.
pub(crate) struct World<'a> {
    folder: &'a Path,
    zones: Vec<String>,
}

impl<'a> World<'a> {
    /// Makes and signs every zone.
    pub(crate) fn create(folder: &'a Path) -> Self {
        let mut world = Self { folder, zones: Vec::new() };
        let mut delegations = String::new();
        let kinds = [
            ("sec", Signed::Nsec, "ECDSAP256SHA256"),
            ("n3", Signed::Nsec3, "ECDSAP256SHA256"),
            ("rsa", Signed::Nsec, "RSASHA256"),
            ("opt", Signed::OptOut, "ED25519"),
            ("plain", Signed::No, ""),
            ("bogus", Signed::Nsec, "ECDSAP256SHA256"),
            ("expired", Signed::Expired, "ECDSAP256SHA256"),
            ("wrong", Signed::Nsec3, "ECDSAP256SHA256"),
        ];
        for (name, signed, algorithm) in kinds {
            let zone = format!("{name}.zone");
            let mut text = records(&zone);
            if name == "opt" {
                text.push_str("u NS ns.\n");
            }
            let ds = world.zone(&zone, &text, signed, algorithm);
            writeln!(delegations, "{zone}. NS ns.").unwrap();
            match name {
                "wrong" => {
                    let other = world.key("wrong.zone", algorithm);
                    delegations.push_str(&world.read(&format!("{other}.ds")));
                }
                _ => delegations.push_str(&ds),
            }
        }
        world.zone("u.opt.zone", &records("u.opt.zone"), Signed::No, "");
        let apex = "$TTL 300\n@ SOA ns. hostmaster 1 3600 600 86400 60\n@ NS ns.\n";
        let top = format!("$ORIGIN zone.\n{apex}{delegations}");
        let ds = world.zone("zone", &top, Signed::Nsec, "ECDSAP256SHA256");
        let root = format!(
            "$ORIGIN .\n{apex}ns. A 127.0.0.1\nzone. NS ns.\n{ds}\ndead. NS ns.dead.\n\
             ns.dead. A 127.0.0.9\n"
        );
        world.zone("", &root, Signed::Nsec, "ECDSAP256SHA256");
        world.tamper();
        world
    }

    /// The root's key.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.folder.join("anchor")
    }

    /// Writes a zone and signs it; its DS.
    fn zone(&mut self, zone: &str, text: &str, signed: Signed, algorithm: &str) -> String {
        let file = if zone.is_empty() { "root" } else { zone };
        self.zones.push(zone.to_owned());
        let plain = format!("{file}.plain");
        std::fs::write(self.folder.join(&plain), text).unwrap();
        let out = format!("{file}.zone");
        if signed == Signed::No {
            std::fs::copy(self.folder.join(plain), self.folder.join(out)).unwrap();
            return String::new();
        }
        let key = self.key(zone, algorithm);
        let mut arguments = match signed {
            Signed::Nsec3 => vec!["-n", "-t", "0"],
            Signed::OptOut => vec!["-n", "-t", "0", "-p"],
            Signed::Expired => vec!["-i", "20200101", "-e", "20200201"],
            Signed::Nsec | Signed::No => Vec::new(),
        };
        let origin = format!("{zone}.");
        arguments.extend(["-o", &origin, "-f", &out, &plain, &key]);
        self.run("ldns-signzone", &arguments);
        if zone.is_empty() {
            std::fs::copy(self.folder.join(format!("{key}.key")), self.anchor()).unwrap();
        }
        self.read(&format!("{key}.ds"))
    }

    fn key(&self, zone: &str, algorithm: &str) -> String {
        let zone = format!("{zone}.");
        let arguments = ["-r", "/dev/urandom", "-k", "-b", "2048", "-a", algorithm, &zone];
        self.run("ldns-keygen", &arguments).trim().to_owned()
    }

    /// Another address where the signature says the old one.
    fn tamper(&self) {
        let path = self.folder.join("bogus.zone.zone");
        let mut forged = std::fs::read_to_string(&path).unwrap();
        for (signed, other) in [
            ("A\t192.0.2.1\n", "A\t198.51.100.1\n"),
            ("MX\t10 mx.bogus.zone.", "MX\t10 mx.evil.zone."),
            ("TLSA\t3 1 1 ab", "TLSA\t3 1 1 ba"),
        ] {
            assert!(forged.contains(signed), "no {signed:?} to forge");
            forged = forged.replace(signed, other);
        }
        std::fs::write(path, forged).unwrap();
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.folder).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}: ldnsutils"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// nsd with all zones, on 127.0.0.1 port 53.
    pub(crate) fn serve(&self) -> Program {
        let mut configuration = format!(
            "server:\n ip-address: 127.0.0.1@53\n username: \"\"\n zonesdir: \"{0}\"\n\
             \x20pidfile: \"\"\n xfrdfile: \"{0}/xfrd\"\n xfrdir: \"{0}\"\n\
             \x20zonelistfile: \"{0}/list\"\n server-count: 1\n rrl-ratelimit: 0\n\
             remote-control:\n control-enable: no\n",
            self.folder.display()
        );
        for zone in &self.zones {
            let file = if zone.is_empty() { "root" } else { zone };
            writeln!(configuration, "zone:\n name: \"{zone}.\"\n zonefile: {file}.zone").unwrap();
        }
        let path = self.folder.join("nsd.conf");
        std::fs::write(&path, configuration).unwrap();
        Program::start("/usr/sbin/nsd", &["-d", "-c", path.to_str().unwrap()])
    }

    /// unbound as the name server of a site, on `port`; it may validate for itself.
    pub(crate) fn upstream(&self, port: u16, validates: bool) -> Program {
        let hints = self.folder.join("hints");
        std::fs::write(&hints, ". 300 NS ns.\nns. 300 A 127.0.0.1\n").unwrap();
        let modules = if validates { "validator iterator" } else { "iterator" };
        let configuration = format!(
            "server:\n interface: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n\
             \x20directory: \"{0}\"\n pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n\
             \x20do-not-query-localhost: no\n module-config: \"{modules}\"\n num-threads: 1\n\
             \x20root-hints: \"{1}\"\n trust-anchor-file: \"{2}\"\n do-ip6: no\n\
             \x20qname-minimisation: no\n\
             remote-control:\n control-enable: no\n",
            self.folder.display(),
            hints.display(),
            self.anchor().display(),
        );
        let path = self.folder.join(format!("unbound-{port}.conf"));
        std::fs::write(&path, configuration).unwrap();
        Program::start("/usr/sbin/unbound", &["-d", "-c", path.to_str().unwrap()])
    }
}
