//! The Internet's names: one signed zone that is the root, by nsd, behind a recursive unbound that
//! hides nothing of what it heard.
//!
//! `nsd` says what stands in the zone; `unbound`, which the gateway asks, passes signatures on and
//! judges none of them: that is the gateway's own duty.

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

/// Zones by name, and the text of each after its SOA and NS.
pub(crate) type Zones<'z> = [(&'z str, &'z str)];

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
        && socket.recv(&mut answer).is_ok_and(|octets| octets > 12 && answer[3] & 15 == 0)
}

/// The text of the root zone around `records`.
pub(crate) fn root_zone(records: &str) -> String {
    format!(
        "$ORIGIN .\n$TTL 2\n. SOA a.root. hostmaster.root. 1 3600 600 86400 1\n. NS a.root.\n\
         a.root. A {ROOT}\n{records}"
    )
}

/// Starts nsd with zones from `folder`.
pub(crate) fn nsd(space: &Space, folder: &Path, zones: &Zones<'_>) -> Program {
    let mut configuration = format!(
        "server:\n ip-address: {ROOT}@53\n username: \"\"\n zonesdir: \"{0}\"\n pidfile: \"\"\n\
         \x20xfrdfile: \"{0}/xfrd\"\n xfrdir: \"{0}\"\n zonelistfile: \"{0}/list\"\n\
         \x20server-count: 1\nremote-control:\n control-enable: no\n",
        folder.display()
    );
    for (name, file) in zones {
        configuration += &format!("zone:\n name: \"{name}\"\n zonefile: {file}\n");
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
