//! The status screen: what everybody may see who stands before the machine. Never a secret, never
//! an address of a sender or a recipient.

use std::time::Duration;

use serde_json::Value;

use super::paper::{COLUMNS, count, cut, octets, span};
use super::wizard::Wizard;
use crate::control::answer::{EgressRow, Status};
use crate::control::host::HostStatus;
use crate::control::host::answer::LinkRow;

/// Lines of the screen; the prompt needs one more, and a vt100 has 24.
pub const LINES_MAX: usize = 22;

/// Warnings, interfaces and ways out that are shown; more are counted.
const WARNINGS_MAX: usize = 6;
const PORTS_MAX: usize = 5;
const EGRESSES_MAX: usize = 3;

/// The screen.
#[must_use]
pub fn screen(host: &HostStatus) -> Vec<String> {
    let image = host.image_version.as_ref();
    let image = image.map_or_else(String::new, |version| format!(", image {version}"));
    let mut lines = vec![format!("Postern {}{image}  {}", host.version, host.hostname)];
    let warnings = warnings(host);
    some(&mut lines, &warnings, WARNINGS_MAX, |warning| format!("[!] {warning}"));
    if warnings.is_empty() {
        lines.push("[OK] No alarms.".to_owned());
    }
    mail(&mut lines, host);
    some(&mut lines, &host.links, PORTS_MAX, port);
    lines.extend(machine(host));
    lines.push(format!("Software   {}", software(host)));
    let now = host.now.rfc3339();
    let now = now.get(..19).unwrap_or_default().replace('T', " ");
    let up = span(Duration::from_secs(host.uptime_secs));
    lines.push(format!("Time       {now} UTC, up {up}"));
    lines.truncate(LINES_MAX);
    lines.iter().map(|line| cut(line, COLUMNS)).collect()
}

/// The first of a list, and how many more there are.
fn some<T>(lines: &mut Vec<String>, list: &[T], max: usize, line: impl Fn(&T) -> String) {
    let shown = if list.len() > max { max - 1 } else { list.len() };
    lines.extend(list.iter().take(shown).map(line));
    if list.len() > shown {
        lines.push(format!("           and {} more", list.len() - shown));
    }
}

/// What somebody should do something about, the most urgent first.
#[must_use]
pub fn warnings(host: &HostStatus) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(pending) = &host.pending {
        let back = match pending.previous {
            0 => "no configuration".to_owned(),
            previous => format!("configuration {previous}"),
        };
        found.push(format!(
            "Configuration {} must be confirmed within {} s, or {back} comes back",
            pending.generation, pending.left_secs
        ));
    }
    if !host.configured {
        found.push("NOT CONFIGURED: type w to set this gateway up".to_owned());
    }
    found.extend(rolled_back(host.update.as_ref()));
    match &host.mail {
        Some(mail) => found.extend(alarms(mail)),
        None if host.configured => found.push(format!("Mail: {}", host.gateway)),
        None => {}
    }
    let failed = host.units.iter().filter(|unit| unit.active == "failed");
    found.extend(failed.map(|unit| format!("{} has failed", unit.name)));
    found.extend(unhealthy(host.health.as_ref()));
    if host.edited_by_hand {
        found.push("The configuration on disk was edited by hand and is not in force".to_owned());
    }
    found.extend(host.notices.iter().filter(|notice| !said(host, notice)).cloned());
    found
}

/// Whether a notice only repeats what stands on the screen already.
fn said(host: &HostStatus, notice: &str) -> bool {
    let mail = host.mail.as_ref().is_some_and(|mail| mail.reasons.iter().any(|why| why == notice));
    mail || notice == "this box is not set up yet"
        || (host.pending.is_some() && notice.starts_with("generation ") && notice.contains("trial"))
        || host.units.iter().any(|unit| notice == format!("{} has failed", unit.name))
}

/// What the daemon itself complains of.
fn alarms(mail: &Status) -> Vec<String> {
    let mut found = Vec::new();
    if mail.state != "running" {
        let why = mail.reasons.join("; ");
        let why = if why.is_empty() { why } else { format!(": {why}") };
        found.push(format!("Mail is {}{why}", mail.state));
    }
    let ill = |egress: &&EgressRow| egress.state != "up";
    for egress in mail.egresses.iter().filter(ill) {
        let why = egress.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        found.push(format!("Egress {} is {}{why}", egress.name, egress.state));
    }
    for egress in &mail.egresses {
        let listed = egress.listed.iter();
        found.extend(listed.map(|(who, _)| format!("Egress {}: listed, says {who}", egress.name)));
    }
    for check in &mail.checks {
        found.extend(check.wrong.iter().map(|what| format!("Egress {}: {what}", check.egress)));
    }
    if !mail.held.is_empty() {
        let lanes = count(mail.held.len() as u64, "lane");
        found.push(format!("Mail in {lanes} is held for a fault of ours"));
    }
    if mail.spool.state != "fine" {
        found.push(format!("The spool is {}", mail.spool.state));
    }
    let fallen = mail.walls.iter().filter(|wall| !wall.stands);
    found.extend(fallen.map(|wall| format!("The wall {} does not stand", wall.name)));
    if mail.lab {
        found.push("A laboratory: not for the Internet".to_owned());
    }
    found
}

fn mail(lines: &mut Vec<String>, host: &HostStatus) {
    let Some(mail) = &host.mail else {
        let text = if host.configured { host.gateway.as_str() } else { "not configured" };
        let queued = host.queued.map_or_else(String::new, |queued| {
            format!("; {} in the spool", count(queued, "message"))
        });
        lines.push(format!("Mail       {text}{queued}"));
        return;
    };
    let oldest = host.oldest_secs.filter(|_| mail.queue.messages > 0);
    let oldest = oldest
        .map_or_else(String::new, |secs| format!(", oldest {}", span(Duration::from_secs(secs))));
    lines.push(format!(
        "Mail       {}; queue {}, held {}, in flight {}{oldest}",
        mail.state, mail.queue.messages, mail.queue.held, mail.queue.in_flight
    ));
    let sums = &mail.totals;
    lines.push(format!(
        "Since start  accepted {}, refused {}, delivered {}, deferred {}, failed {}",
        sums.accepted,
        sums.refused,
        sums.delivered,
        sums.deferred,
        sums.failed + sums.expired
    ));
    let egress = |egress: &EgressRow| format!("Egress     {}: {}", egress.name, egress.state);
    some(lines, &mail.egresses, EGRESSES_MAX, egress);
}

fn port(port: &LinkRow) -> String {
    let role = port.role.as_ref().map_or_else(String::new, |role| format!(" ({role})"));
    let link = if port.state == "up" { "link" } else { "no link" };
    let addresses =
        if port.addresses.is_empty() { "no address".to_owned() } else { port.addresses.join(", ") };
    format!("Interface  {}{role}: {link}, {addresses}, {}", port.name, port.mac)
}

fn machine(host: &HostStatus) -> [String; 2] {
    let part = |free: u64, all: u64| match all {
        0 => format!("{} free", octets(free)),
        all => format!("{} of {} free", octets(free), octets(all)),
    };
    [
        format!("Memory     {}", part(host.memory_available_octets, host.memory_octets)),
        format!(
            "Disk       state {}; spool {}",
            part(host.state_free_octets, host.state_octets),
            part(host.spool_free_octets, host.spool_octets)
        ),
    ]
}

/// The slot and the update, as far as the updater wrote them down.
fn software(host: &HostStatus) -> String {
    let mut parts = Vec::new();
    match &host.image_version {
        Some(version) => parts.push(format!("slot {version}")),
        None => parts.push("no image: a machine with Postern on it".to_owned()),
    }
    if let Some(update) = host.update.as_ref().and_then(Update::read)
        && update.state != "idle"
    {
        let version = update.version.map_or_else(String::new, |version| format!(" {version}"));
        parts.push(format!("update{version} {}", update.state));
        parts.extend(update.tries_left.map(|tries| format!("{tries} tries left")));
    }
    parts.join(", ")
}

/// An update, from the updater's record or from its status.
struct Update {
    state: String,
    version: Option<String>,
    reason: Option<String>,
    tries_left: Option<u64>,
}

impl Update {
    fn read(value: &Value) -> Option<Self> {
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let record = &value["record"]["state"];
        if let Some(state) = word(&record["is"]) {
            let (version, reason) = (word(&record["release"]["version"]), word(&record["reason"]));
            return Some(Self { state, version, reason, tries_left: None });
        }
        let slots = value["slots"].as_array();
        let running = slots.and_then(|slots| slots.iter().find(|slot| slot["running"] == true));
        Some(Self {
            state: word(&value["state"])?,
            version: word(&value["version"]),
            reason: word(&value["reason"]),
            tries_left: running.and_then(|slot| slot["tries_left"].as_u64()),
        })
    }
}

/// An update that did not stay, and why.
fn rolled_back(update: Option<&Value>) -> Option<String> {
    let update = Update::read(update?).filter(|update| update.state.contains("rolled"))?;
    let version = update.version.map_or_else(String::new, |version| format!(" to {version}"));
    let why = update.reason.unwrap_or_else(|| "the reason is not known".to_owned());
    Some(format!("The update{version} was rolled back: {why}"))
}

/// What the health check found last, if it was not well.
fn unhealthy(health: Option<&Value>) -> Option<String> {
    let health = health?;
    let healthy = health.get("healthy").and_then(Value::as_bool)?;
    let line = health.get("line").and_then(Value::as_str).unwrap_or("see its report");
    (!healthy).then(|| format!("The health check failed: {line}"))
}

/// What may be typed below the screen.
#[must_use]
pub fn choices(host: Option<&HostStatus>, wizard: Option<&Wizard>) -> String {
    let configured = host.is_some_and(|host| host.configured);
    match (configured, wizard) {
        (true, _) => "Enter: refresh, l: log in, !: stop all mail".to_owned(),
        (false, Some(_)) => "Enter: refresh, w: go on with the set-up".to_owned(),
        (false, None) => "Enter: refresh, w: set up, l: log in".to_owned(),
    }
}
