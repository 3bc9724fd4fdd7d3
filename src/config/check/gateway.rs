//! The gateway itself: spool, listeners, connections, certificate, control socket.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::Surroundings;
use super::super::checked::{
    ConnectionLimits, ControlConfig, Listener, ListenerKind, SpoolConfig, TlsFiles,
};
use super::super::complaint::Desk;
use super::super::file::{Section, parsed};
use super::{PLAIN_NAME, absolute, device, keyword, plain_name};
use crate::base::limits::{BALLAST_OCTETS, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX};

/// Free octets below which new mail hears 452: ten of the largest messages.
const FREE_OCTETS_MIN: u64 = 256 * 1024 * 1024;

/// A sync slower than this on average makes new mail wait. Rotating disks take 10 to 30 ms.
const SYNC_SLOW: Duration = Duration::from_millis(500);

/// Where the control socket is on any machine with systemd (`RuntimeDirectory=postern`).
pub(super) const CONTROL_SOCKET: &str = "/run/postern/control.sock";

const PATH: &str = "Write a path that begins with /";

pub(super) fn spool(top: &mut Section<'_>) -> Option<SpoolConfig> {
    let remedy = "Add [spool] with path = \"/var/lib/postern/spool\"";
    let mut section = top.need("spool", remedy)?.section()?;
    let gib = 1024 * 1024 * 1024;
    let path = section.needed("path", PATH, absolute);
    let ballast_octets = section.size("ballast", 0..=gib).unwrap_or(BALLAST_OCTETS);
    let free_octets_min = section.size("free_min", 0..=1024 * gib).unwrap_or(FREE_OCTETS_MIN);
    let bounds = Duration::from_millis(1)..=Duration::from_secs(60);
    let sync_slow = section.duration("sync_slow", SYNC_SLOW, bounds);
    section.close();
    Some(SpoolConfig { path: path?, ballast_octets, free_octets_min, sync_slow })
}

pub(super) fn listeners(top: &mut Section<'_>, lab: bool) -> Vec<Listener> {
    let remedy = "Add [listener.submission] with address = \"0.0.0.0:587\" and kind = \
                  \"submission\"";
    let Some(mut section) = top.need("listener", remedy).and_then(|entry| entry.section()) else {
        return Vec::new();
    };
    let mut listeners = Vec::new();
    for (name, entry) in section.named() {
        if !plain_name(&name) {
            entry.complain("is no name for a listener", PLAIN_NAME);
        }
        listeners.extend(entry.section().and_then(|section| listener(name, section, lab)));
    }
    listeners
}

fn listener(name: String, mut section: Section<'_>, lab: bool) -> Option<Listener> {
    let address = section.needed(
        "address",
        "Write address and port, for example \"192.0.2.1:587\" or \"[::]:587\"",
        |text| text.parse::<SocketAddr>().map_err(|_| "is no address with a port"),
    );
    let kind = section.needed(
        "kind",
        "Write \"submission\" (587), \"submissions\" (465) or \"smtp\" (25)",
        keyword::<ListenerKind>,
    );
    let device = section.parsed("device", "Write the name of the intake interface", device);
    let network_sources = section.flag("network_sources");
    let clear_text = section.flag("clear_text");
    let clear_path = section.find("clear_text");
    let address_path = section.find("address");
    section.close();
    if let (true, Some(entry)) = (clear_text, clear_path) {
        if !network_sources {
            entry.complain(
                "nobody could submit here: AUTH is never offered without TLS",
                "Remove clear_text, or set network_sources = true",
            );
        }
        if matches!(kind, Some(ListenerKind::Submission | ListenerKind::Submissions)) {
            entry.complain(
                "submission and submissions always use TLS (RFC 8314)",
                "Remove clear_text, or use kind = \"smtp\"",
            );
        }
    }
    let address = address?;
    if let (0, false, Some(entry)) = (address.port(), lab, address_path) {
        entry.complain("port 0 takes any free port", "Write a port, or set lab = true");
    }
    Some(Listener { name, address, kind: kind?, device, network_sources, clear_text })
}

pub(super) fn connections(top: &mut Section<'_>) -> ConnectionLimits {
    let default = ConnectionLimits {
        total_max: CONNECTIONS_MAX,
        per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
    };
    let Some(mut section) = top.find("connections").and_then(|entry| entry.section()) else {
        return default;
    };
    let total = section.number("total_max", default.total_max as u64, 1..=100_000);
    let each = section.number("per_address_max", default.per_address_max as u64, 1..=100_000);
    if each > total
        && let Some(entry) = section.find("per_address_max")
    {
        entry.complain("is more than total_max", "Lower it, or raise total_max");
    }
    section.close();
    let count = |number| usize::try_from(number).unwrap_or(CONNECTIONS_MAX);
    ConnectionLimits { total_max: count(total), per_address_max: count(each) }
}

pub(super) fn tls(
    top: &mut Section<'_>,
    surroundings: &dyn Surroundings,
    listeners: &[Listener],
    desk: &Desk,
) -> Option<TlsFiles> {
    let Some(entry) = top.find("tls") else {
        if let Some(listener) = listeners.iter().find(|listener| !listener.clear_text) {
            desk.complain(
                "tls",
                format!("is missing, and listener {} uses TLS", listener.name),
                "Add [tls] with certificate and key (PEM files)",
            );
        }
        return None;
    };
    let mut section = entry.section()?;
    let mut file = |key| {
        let path = section.needed(key, PATH, absolute);
        readable(&mut section, key, path.as_deref(), surroundings);
        path
    };
    let (certificate, key) = (file("certificate"), file("key"));
    section.close();
    Some(TlsFiles { certificate: certificate?, key: key? })
}

/// Complains if the file under `key` cannot be read.
pub(super) fn readable(
    section: &mut Section<'_>,
    key: &'static str,
    path: Option<&std::path::Path>,
    surroundings: &dyn Surroundings,
) {
    if let Some(path) = path
        && let Err(cause) = surroundings.readable(path)
        && let Some(entry) = section.find(key)
    {
        let remedy = "Put the file there, and let the daemon's user read it";
        entry.complain(format!("cannot be read: {cause}"), remedy);
    }
}

pub(super) fn control(
    top: &mut Section<'_>,
    surroundings: &dyn Surroundings,
) -> Option<ControlConfig> {
    let default = ControlConfig {
        socket: CONTROL_SOCKET.into(),
        viewers: Vec::new(),
        operators: Vec::new(),
        administrators: Vec::new(),
    };
    let Some(entry) = top.find("control") else { return Some(default) };
    let mut section = entry.section()?;
    let socket = section.parsed("socket", PATH, socket_path).unwrap_or(default.socket);
    let viewers = people(&mut section, "viewers", surroundings);
    let operators = people(&mut section, "operators", surroundings);
    let administrators = people(&mut section, "administrators", surroundings);
    for (key, weaker, stronger) in [
        ("viewers", &viewers, [&operators, &administrators].as_slice()),
        ("operators", &operators, [&administrators].as_slice()),
    ] {
        let twice = |uid| stronger.iter().any(|people| people.contains(uid));
        if let (Some(uid), Some(entry)) = (weaker.iter().find(|u| twice(u)), section.find(key)) {
            entry.complain(
                format!("user id {uid} has a stronger role too"),
                "Name everyone once; each role includes the weaker ones",
            );
        }
    }
    section.close();
    Some(ControlConfig { socket, viewers, operators, administrators })
}

/// A path that fits into `sockaddr_un` (108 octets with the final NUL).
fn socket_path(text: &str) -> Result<std::path::PathBuf, String> {
    let path = absolute(text)?;
    if text.len() > 107 {
        return Err("is too long for a Unix socket (107 octets)".to_owned());
    }
    Ok(path)
}

/// User ids, or names that this machine knows.
fn people(
    section: &mut Section<'_>,
    key: &'static str,
    surroundings: &dyn Surroundings,
) -> Vec<u32> {
    let remedy = "Write user names or numeric user ids, for example [\"alice\", 1000]";
    let Some(entry) = section.find(key) else { return Vec::new() };
    let uid = |item: &super::super::file::Entry<'_>| {
        if item.is_number() {
            let uid = item.number(remedy).and_then(|number| u32::try_from(number).ok());
            if uid.is_none() {
                item.complain("is no user id", remedy);
            }
            return uid;
        }
        parsed(item, remedy, |name| {
            surroundings.uid(name).ok_or("is a user that this machine does not know")
        })
    };
    entry.items(remedy).iter().filter_map(uid).collect()
}
