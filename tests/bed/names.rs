//! The Internet's names: a root and a few zones, by nsd, behind a recursive unbound that hides
//! nothing of what it heard.
//!
//! The root may be signed; then `forged.` is signed too, and was changed after that, and `open.` is
//! not signed, which the root proves. Without a signature all is in the root.
//!
//! `nsd` says what stands in the zone; `unbound`, which the gateway asks, passes signatures on and
//! judges none of them: that is the gateway's own duty.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::space::{Program, Space};
use super::wires::Bed;

/// The name server that the gateway asks.
pub(crate) const RESOLVER4: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);
/// The same one in IPv6.
pub(crate) const RESOLVER6: Ipv6Addr = Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe);
/// The server of the root.
const ROOT: Ipv4Addr = Ipv4Addr::new(193, 0, 14, 129);

/// Longer than the servers take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The servers.
pub(crate) struct Names {
    folder: PathBuf,
    _nsd: Program,
    unbound: Option<Program>,
}

impl Names {
    /// Serves the root zone from the Internet of `bed`, with files in `folder`.
    pub(crate) fn serve(bed: &Bed, folder: &Path, root: &str) -> Self {
        bed.add_hosts(&[RESOLVER4.into(), RESOLVER6.into(), ROOT.into()]);
        fs::write(folder.join("root.zone"), root_zone(root)).unwrap();
        let nsd = nsd(&bed.internet, folder, &[(".", "root.zone")]);
        Self::behind(bed, folder, nsd)
    }

    /// Serves signed zones: the root with `records`, `open.` without a signature, `forged.` with
    /// wrong ones for its TLSA records.
    pub(crate) fn serve_signed(
        bed: &Bed,
        folder: &Path,
        records: &str,
        open: &str,
        forged: &str,
    ) -> Self {
        bed.add_hosts(&[RESOLVER4.into(), RESOLVER6.into(), ROOT.into()]);
        let head = "$TTL 2\n@ SOA a.root. hostmaster.root. 1 3600 600 86400 1\n@ NS a.root.\n";
        fs::write(folder.join("open.zone"), format!("$ORIGIN open.\n{head}{open}")).unwrap();
        fs::write(folder.join("forged"), format!("$ORIGIN forged.\n{head}{forged}")).unwrap();
        let key = sign(folder, "forged.", "forged", "forged.zone");
        forge(&folder.join("forged.zone"));
        let ds = fs::read_to_string(folder.join(format!("{key}.ds"))).unwrap();
        let records = format!("{records}open. NS a.root.\nforged. NS a.root.\n{ds}");
        fs::write(folder.join("root"), root_zone(&records)).unwrap();
        let key = sign(folder, ".", "root", "root.zone");
        fs::copy(folder.join(format!("{key}.key")), folder.join("anchor")).unwrap();
        let zones = [(".", "root.zone"), ("open.", "open.zone"), ("forged.", "forged.zone")];
        let nsd = nsd(&bed.internet, folder, &zones);
        Self::behind(bed, folder, nsd)
    }

    /// The key of the signed root, as the gateway's configuration wants it.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.folder.join("anchor")
    }

    fn behind(bed: &Bed, folder: &Path, nsd: Program) -> Self {
        let mut names = Self { folder: folder.to_owned(), _nsd: nsd, unbound: None };
        names.resume(&bed.internet);
        names
    }

    /// The resolver answers no more.
    pub(crate) fn pause(&mut self) {
        self.unbound = None;
    }

    /// The resolver answers again.
    pub(crate) fn resume(&mut self, internet: &Space) {
        self.unbound = Some(unbound(internet, &self.folder));
        let began = Instant::now();
        let alive = || internet.within(|| asked(RESOLVER4.into()));
        while !alive() {
            assert!(began.elapsed() < PATIENCE, "the name server never answered");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Asks for the root's SOA; whether there was an answer without fault.
fn asked(server: IpAddr) -> bool {
    const QUESTION: [u8; 17] = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
    let Ok(socket) = std::net::UdpSocket::bind("0.0.0.0:0") else { return false };
    let mut answer = [0; 512];
    let patience = Some(Duration::from_millis(500));
    socket.set_read_timeout(patience).is_ok()
        && socket.send_to(&QUESTION, (server, 53)).is_ok()
        && socket
            .recv(&mut answer)
            .is_ok_and(|octets| octets > 12 && answer[3].trailing_zeros() >= 4)
}

/// The text of the root zone around `records`.
fn root_zone(records: &str) -> String {
    format!(
        "$ORIGIN .\n$TTL 2\n. SOA a.root. hostmaster.root. 1 3600 600 86400 1\n. NS a.root.\n\
         a.root. A {ROOT}\n{records}"
    )
}

/// Signs a zone with a new key; the name of the key's files.
fn sign(folder: &Path, zone: &str, plain: &str, signed: &str) -> String {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder).output();
        let output = output.unwrap_or_else(|e| panic!("{program}: {e}: tests/check installs it"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let algorithm = ["-r", "/dev/urandom", "-k", "-a", "ECDSAP256SHA256", zone];
    let key = run("ldns-keygen", &algorithm);
    run("ldns-signzone", &["-o", zone, "-f", signed, plain, &key]);
    key
}

/// Changes the data of every TLSA record, but not its signature.
fn forge(zone: &Path) {
    let text = fs::read_to_string(zone).unwrap();
    let forged = text.replace("TLSA\t3 1 1 a", "TLSA\t3 1 1 b");
    assert_ne!(text, forged, "nothing was forged");
    fs::write(zone, forged).unwrap();
}

/// Starts nsd with zones, each a name and a file in `folder`.
fn nsd(space: &Space, folder: &Path, zones: &[(&str, &str)]) -> Program {
    let mut configuration = format!(
        "server:\n ip-address: {ROOT}@53\n username: \"\"\n zonesdir: \"{0}\"\n pidfile: \"\"\n\
         \x20xfrdfile: \"{0}/xfrd\"\n xfrdir: \"{0}\"\n zonelistfile: \"{0}/list\"\n\
         \x20server-count: 1\nremote-control:\n control-enable: no\n",
        folder.display()
    );
    for (name, file) in zones {
        writeln!(configuration, "zone:\n name: \"{name}\"\n zonefile: {file}").unwrap();
    }
    let path = folder.join("nsd.conf");
    fs::write(&path, configuration).unwrap();
    program(space, "/usr/sbin/nsd", &["-d", "-c", path.to_str().unwrap()])
}

fn unbound(space: &Space, folder: &Path) -> Program {
    let configuration = format!(
        "server:\n interface: {RESOLVER4}\n interface: {RESOLVER6}\n access-control: ::/0 allow\n\
         \x20access-control: 0.0.0.0/0 allow\n username: \"\"\n chroot: \"\"\n directory: \"{0}\"\n\
         \x20pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n module-config: \"iterator\"\n\
         \x20num-threads: 1\n cache-max-ttl: 2\n cache-max-negative-ttl: 1\n\
         \x20do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n\
         remote-control:\n control-enable: no\n\
         stub-zone:\n name: \".\"\n stub-addr: {ROOT}\n",
        folder.display()
    );
    let path = folder.join("unbound.conf");
    fs::write(&path, configuration).unwrap();
    program(space, "/usr/sbin/unbound", &["-d", "-c", path.to_str().unwrap()])
}

fn program(space: &Space, path: &str, arguments: &[&str]) -> Program {
    assert!(Path::new(path).exists(), "{path} is missing: tests/check installs it");
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    space.start(&mut command)
}
