//! Listening sockets as units of the service manager: the gateway has no network of its own, it
//! gets every listener from here, by name.

use std::path::PathBuf;

use super::whole::{UNITS, Whole};
use super::{File, Page, Plan};
use crate::config::checked::Listener;

/// Connections that wait while the gateway is started again.
const BACKLOG: u32 = 1024;
/// The target of all that is ours.
const TARGET: &str = "postern.target";
/// How long a start waits for a card that is not there.
const CARD_SECS: u32 = 10;

/// A socket unit for each listener, wanted by our target, and the patience for their cards.
pub(super) fn units(plan: &Plan, whole: &Whole) -> Vec<File> {
    let mut files = Vec::new();
    let mut cards: Vec<String> = Vec::new();
    for listener in &whole.listeners {
        let card = device(plan, listener);
        let name = format!("postern-listener-{}.socket", listener.name);
        files.push(File {
            path: format!("{UNITS}/{name}").into(),
            text: unit(listener, card.as_deref()),
        });
        files.push(wanted(&name));
        cards.extend(card);
    }
    cards.sort();
    cards.dedup();
    files.extend(cards.iter().map(|card| patience(card)));
    files
}

/// The interface that a listener is bound to: its own, or the only one for applications. A listener
/// of this machine alone is bound to none.
fn device(plan: &Plan, listener: &Listener) -> Option<String> {
    if listener.address.ip().is_loopback() {
        return None;
    }
    let only = match plan.intakes.as_slice() {
        [only] => Some(only.device.clone()),
        _ => None,
    };
    listener.device.clone().or(only)
}

/// `a` of our target; the link's place, and what it would lead to, as a file of its own.
fn wanted(unit: &str) -> File {
    File { path: format!("{UNITS}/{TARGET}.wants/{unit}").into(), text: format!("-> ../{unit}\n") }
}

/// Where a file stands for a symbolic link: to what.
pub(in crate::host) fn link_of(file: &File) -> Option<PathBuf> {
    let wants = file.path.parent()?.extension()? == "wants";
    let target = file.text.strip_prefix("-> ").filter(|_| wants)?;
    Some(PathBuf::from(target.trim_end()))
}

fn unit(listener: &Listener, card: Option<&str>) -> String {
    let mut page = Page::default();
    page.head(&format!("The listener {}", listener.name));
    page.line("[Unit]");
    page.line(&format!("Description=Postern listener {} ({})", listener.name, listener.address));
    page.because("goes with all that is ours", &format!("PartOf={TARGET}"));
    page.because("the gateway finds it open", "Before=postern.service");
    if let Some(card) = card {
        let unit = device_unit(card);
        page.because("a socket can be bound to a card that is there", &format!("Wants={unit}"));
        page.line(&format!("After={unit}"));
    }
    page.line("[Socket]");
    page.line(&format!("ListenStream={}", listener.address));
    if listener.address.is_ipv6() {
        page.because("one socket, one family", "BindIPv6Only=ipv6-only");
    }
    if let Some(card) = card {
        page.because(
            "hears this interface alone, and answers by it",
            &format!("BindToDevice={card}"),
        );
    }
    page.because("the address may come later than the socket", "FreeBind=yes");
    page.because(
        "by this name the gateway knows it",
        &format!("FileDescriptorName={}", listener.name),
    );
    page.because(
        "who connects while the gateway is started again waits, and is not refused",
        &format!("Backlog={BACKLOG}"),
    );
    page.line("Service=postern.service");
    page.0
}

/// A start waits for a card that is not plugged in, but not for a minute and a half.
fn patience(card: &str) -> File {
    let mut page = Page::default();
    page.head(&format!("Patience for the card {card}"));
    page.line("[Unit]");
    page.because(
        "a card that is missing must not keep the rest of the machine from its work",
        &format!("JobRunningTimeoutSec={CARD_SECS}s"),
    );
    let path = format!("{UNITS}/{}.d/60-postern.conf", device_unit(card));
    File { path: path.into(), text: page.0 }
}

/// The unit that stands for an interface, its name escaped as systemd does it.
fn device_unit(card: &str) -> String {
    use std::fmt::Write as _;
    let mut name = String::from("sys-subsystem-net-devices-");
    for (index, octet) in card.bytes().enumerate() {
        let plain = octet.is_ascii_alphanumeric() || octet == b'_' || octet == b':';
        if plain || (octet == b'.' && index > 0) {
            name.push(char::from(octet));
        } else {
            let _ = write!(name, "\\x{octet:02x}");
        }
    }
    name + ".device"
}

/// Units that follow the name servers of a lease.
pub(super) fn lease_units() -> [File; 3] {
    let mut path = Page::default();
    path.head("The name servers of a lease");
    path.line("[Unit]");
    path.line("Description=Name servers of the lease of the interface for administrators");
    path.line("[Path]");
    path.because(
        "systemd-networkd writes here what it has heard",
        "PathChanged=/run/systemd/netif/state",
    );
    path.line("Unit=postern-names.service");
    let mut service = Page::default();
    service.head("The name servers of a lease");
    service.line("[Unit]");
    service.line("Description=Write down the name servers of the lease");
    service.because("may be called often while a lease is new", "StartLimitIntervalSec=0");
    service.line("[Service]");
    service.line("Type=oneshot");
    service.line("ExecStart=/usr/bin/postern network names");
    service.because("it reads one file and writes another", "CapabilityBoundingSet=");
    service.line("NoNewPrivileges=yes");
    service.line("PrivateNetwork=yes");
    service.line("ProtectSystem=strict");
    service.line("ReadWritePaths=/run/postern-network");
    service.line("RestrictAddressFamilies=AF_UNIX");
    service.line("MemoryDenyWriteExecute=yes");
    service.line("SystemCallFilter=@system-service");
    let file =
        |name: &str, page: Page| File { path: format!("{UNITS}/{name}").into(), text: page.0 };
    [
        file("postern-names.path", path),
        file("postern-names.service", service),
        wanted("postern-names.path"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_escaped() {
        assert_eq!(device_unit("intake0"), "sys-subsystem-net-devices-intake0.device");
        assert_eq!(device_unit("in-0.40"), "sys-subsystem-net-devices-in\\x2d0.40.device");
    }
}
