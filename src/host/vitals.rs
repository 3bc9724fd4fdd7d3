//! What the machine itself says about its health: units, root, disks, guard, clock, links. It only
//! looks, and a look that is not possible is told as such.

mod disks;
mod units;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::net::if_::InterfaceFlags;
use serde_json::Value;

use crate::base::time::WallTime;

pub use disks::{Mount, Root, is_mounted};
pub use units::{Unit, Units};

/// A program of the system that has said nothing for so long is waited for no more.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(20);

/// Octets of its answer.
const ANSWER_OCTETS_MAX: u64 = 4 * 1024 * 1024;

/// The firewall of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Our table is loaded; with the hooks that it has.
    InForce(Vec<String>),
    /// There is none of ours.
    Absent,
    /// It cannot be seen, and why.
    Unseen(String),
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// It is up and has its link.
    pub running: bool,
    /// It has an IPv4 address.
    pub v4: bool,
    /// It has an IPv6 address beyond the link.
    pub v6: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// `ID=` of os-release.
    pub system: String,
    /// `IMAGE_VERSION=` of os-release.
    pub image_version: Option<String>,
    /// Units; why not, if there is no systemd.
    pub units: Result<Units, String>,
    /// The root file system.
    pub root: Root,
    /// Mounted file systems.
    pub mounts: Vec<Mount>,
    /// The firewall.
    pub guard: Guard,
    /// Now.
    pub now: WallTime,
    /// The youngest date that this system was made at.
    pub made: Option<WallTime>,
    /// The clock is kept by somebody: chrony or timesyncd says so.
    pub synchronised: bool,
    /// Interfaces but loopback.
    pub interfaces: BTreeMap<String, Interface>,
    /// Somebody answers at the host role's socket; none: there is no such socket.
    pub host: Option<bool>,
}

impl Vitals {
    /// The version that runs, as updates count: the image's; this program's where no image runs.
    #[must_use]
    pub fn version(&self) -> String {
        self.image_version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
    }
}

/// The slot of the image that runs, by the label of its partition; none: no slot runs.
#[must_use]
pub fn slot() -> Option<String> {
    let root = disks::root();
    root.partitions.into_iter().find(|label| root.verity && !label.ends_with("_verity"))
}

/// Looks at everything.
#[must_use]
pub fn take() -> Vitals {
    let release = release();
    Vitals {
        system: release.get("ID").cloned().unwrap_or_default(),
        image_version: release.get("IMAGE_VERSION").cloned(),
        units: units::look(),
        root: disks::root(),
        mounts: disks::mounts(),
        guard: guard(),
        now: super::clock::wall(),
        made: made(),
        synchronised: synchronised(),
        interfaces: interfaces(),
        host: host(Path::new("/run/postern-host/host.sock")),
    }
}

/// os-release(5).
fn release() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// What a program of the system says on standard output.
///
/// # Errors
/// It is not there, it failed, or it does not end.
fn ask(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|cause| format!("{program} cannot be run: {cause}"))?;
    let out = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let read = out.map(|out| out.take(ANSWER_OCTETS_MAX).read_to_string(&mut text));
        read.is_some_and(|read| read.is_ok()).then_some(text)
    });
    let end = std::time::Instant::now() + PROGRAM_PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if std::time::Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => {
                // Ours, and it hangs; an error means that it has just ended.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} does not end"));
            }
        }
    };
    let text = reader.join().ok().flatten();
    match text {
        Some(text) if status.success() => Ok(text),
        _ => Err(format!("{program} {}: {status}", arguments.join(" "))),
    }
}

fn guard() -> Guard {
    match ask("nft", &["-json", "list", "ruleset"]) {
        Ok(text) => read_guard(&text),
        Err(why) if super::walls::is_root() => Guard::Unseen(why),
        Err(_) => Guard::Unseen("the firewall can be read by root alone".to_owned()),
    }
}

/// The hooks of our tables.
fn read_guard(text: &str) -> Guard {
    let Ok(answer) = serde_json::from_str::<Value>(text) else {
        return Guard::Unseen("nft speaks no JSON".to_owned());
    };
    let rows = answer["nftables"].as_array().map_or(&[][..], Vec::as_slice);
    let ours = |row: &Value| {
        let (table, family) = (row["table"].as_str(), row["family"].as_str());
        table.is_some_and(|table| table.starts_with("postern")) && family == Some("inet")
    };
    let chains = rows.iter().filter_map(|row| row.get("chain")).filter(|chain| ours(chain));
    let mut hooks: Vec<String> =
        chains.filter_map(|chain| chain["hook"].as_str().map(str::to_owned)).collect();
    hooks.sort_unstable();
    hooks.dedup();
    if hooks.is_empty() { Guard::Absent } else { Guard::InForce(hooks) }
}

/// The clock cannot be earlier than what runs: the system's files (an image has one date for all)
/// and this program.
fn made() -> Option<WallTime> {
    let places = ["/usr/lib/clock-epoch", "/usr/lib/os-release", "/proc/self/exe"];
    let dates = places.iter().filter_map(|path| fs::metadata(path).ok()?.modified().ok());
    let wall = |date: SystemTime| {
        let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(WallTime(u64::try_from(since.as_millis()).ok()?))
    };
    dates.filter_map(wall).max()
}

fn synchronised() -> bool {
    // systemd-timesyncd leaves a mark; chrony is asked.
    Path::new("/run/systemd/timesync/synchronized").exists()
        || ask("chronyc", &["-n", "-c", "tracking"]).is_ok_and(|text| tracks(&text))
}

/// `chronyc -c tracking`: the last field is the leap status, the first the reference (zero: none).
fn tracks(text: &str) -> bool {
    let fields: Vec<&str> = text.trim().split(',').collect();
    let known = fields.first().is_some_and(|id| !matches!(*id, "" | "0" | "00000000"));
    known && fields.len() > 10 && fields.last().is_some_and(|leap| *leap != "Not synchronised")
}

fn interfaces() -> BTreeMap<String, Interface> {
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let whole = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_LOWER_UP;
        let interface = interfaces.entry(entry.interface_name).or_default();
        interface.running |= entry.flags.contains(whole);
        let Some(address) = entry.address else { continue };
        interface.v4 |= address.as_sockaddr_in().is_some();
        interface.v6 |=
            address.as_sockaddr_in6().is_some_and(|v6| !v6.ip().is_unicast_link_local());
    }
    interfaces
}

fn host(socket: &Path) -> Option<bool> {
    socket.exists().then(|| UnixStream::connect(socket).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_is_known_by_its_hooks() {
        let text = r#"{"nftables": [{"metainfo": {"version": "1"}},
            {"table": {"family": "inet", "name": "postern"}},
            {"chain": {"family": "inet", "table": "postern", "name": "out", "hook": "output"}},
            {"chain": {"family": "inet", "table": "postern", "name": "in", "hook": "input"}},
            {"chain": {"family": "inet", "table": "postern", "name": "part"}},
            {"chain": {"family": "ip", "table": "filter", "name": "x", "hook": "forward"}}]}"#;
        assert_eq!(read_guard(text), Guard::InForce(vec!["input".into(), "output".into()]));
        assert_eq!(read_guard(r#"{"nftables": []}"#), Guard::Absent);
        assert!(matches!(read_guard("table"), Guard::Unseen(_)));
    }

    #[test]
    fn chrony_says_whether_it_keeps_the_clock() {
        let kept =
            "C0000201,192.0.2.1,2,1790000000.1,0.0,0.0,0.0,1.0,0.0,0.1,0.01,0.01,64.0,Normal";
        assert!(tracks(kept));
        let lost = "00000000,,0,0.000000000,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised";
        assert!(!tracks(lost) && !tracks(""));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_answer() {
        assert!(ask("no-such-program-anywhere", &[]).unwrap_err().contains("cannot be run"));
        assert!(ask("false", &[]).is_err());
        assert_eq!(ask("echo", &["a"]).unwrap(), "a\n");
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let vitals = take();
        assert!(!vitals.mounts.is_empty());
        assert!(vitals.made.is_some_and(|made| made <= vitals.now));
    }
}
