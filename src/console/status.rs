//! The status screen: what everybody may see who stands before the machine. Never a secret, never
//! an address of a sender or a recipient.

use std::fmt::Display;
use std::time::Duration;

use serde_json::Value;

use super::paper::{COLUMNS, cut, octets, span};
use super::wizard::Wizard;
use super::words::Language;
use crate::control::answer::{EgressRow, SpoolRow, Status};
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
pub fn screen(host: &HostStatus, language: Language) -> Vec<String> {
    let image = host.image_version.as_ref();
    let image = image.map_or_else(String::new, |version| language.fill(", image {}", &[version]));
    let mut lines = vec![format!("Postern {}{image}  {}", host.version, host.hostname)];
    let found = warnings(host, language);
    if host.privacy {
        lines.push(health_alone(found.is_empty(), language));
        return lines;
    }
    let more = |count: &usize| format!("{:11}{}", "", language.fill("and {} more", &[count]));
    some(&mut lines, &found, WARNINGS_MAX, |warning| format!("[!] {warning}"), more);
    if found.is_empty() {
        lines.push(format!("[OK] {}", language.tr("No alarms.")));
    }
    mail(&mut lines, host, language);
    some(
        &mut lines,
        &host.links,
        PORTS_MAX,
        |link| labelled(language, "Interface", &port(link, language)),
        more,
    );
    lines.extend(machine(host, language));
    lines.extend(papers(host, language));
    lines.push(labelled(language, "Software", &software(host, language)));
    let now = host.now.rfc3339();
    let now = now.get(..19).unwrap_or_default().replace('T', " ");
    let up = span(Duration::from_secs(host.uptime_secs));
    lines.push(labelled(language, "Time", &language.fill("{} UTC, up {}", &[&now, &up])));
    lines.truncate(LINES_MAX);
    lines.iter().map(|line| cut(line, COLUMNS)).collect()
}

/// All that strangers may see where the configuration wants privacy.
fn health_alone(healthy: bool, language: Language) -> String {
    if healthy {
        format!("[OK] {}", language.tr("Healthy. Log in to see more."))
    } else {
        format!("[!] {}", language.tr("Not healthy. Log in to see why."))
    }
}

/// A label and what belongs to it.
fn labelled(language: Language, label: &'static str, text: &str) -> String {
    let label = super::paper::ascii(language.tr(label));
    format!("{label:<11}{text}")
}

/// The first of a list, and how many more there are.
fn some<T>(
    lines: &mut Vec<String>,
    list: &[T],
    max: usize,
    line: impl Fn(&T) -> String,
    more: impl Fn(&usize) -> String,
) {
    let shown = if list.len() > max { max - 1 } else { list.len() };
    lines.extend(list.iter().take(shown).map(line));
    if list.len() > shown {
        lines.push(more(&(list.len() - shown)));
    }
}

/// What somebody should do something about, the most urgent first.
#[must_use]
pub fn warnings(host: &HostStatus, language: Language) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(pending) = &host.pending {
        let back = match pending.previous {
            0 => language.tr("no configuration").to_owned(),
            previous => language.fill("configuration {}", &[&previous]),
        };
        found.push(language.fill(
            "Configuration {} must be confirmed within {} s, or {} comes back",
            &[&pending.generation, &pending.left_secs, &back],
        ));
    }
    if !host.configured {
        found.push(language.tr("NOT CONFIGURED: type w to set this gateway up").to_owned());
    }
    found.extend(rolled_back(host.update.as_ref(), language));
    match &host.mail {
        Some(mail) => found.extend(alarms(mail, language)),
        None if host.configured => {
            found.push(format!("{}: {}", language.tr("Mail"), host.gateway));
        }
        None => {}
    }
    let failed = host.units.iter().filter(|unit| unit.active == "failed");
    found.extend(failed.map(|unit| language.fill("{} has failed", &[&unit.name])));
    found.extend(unhealthy(host.health.as_ref(), language));
    if host.edited_by_hand {
        let text = "The configuration on disk was edited by hand and is not in force";
        found.push(language.tr(text).to_owned());
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
fn alarms(mail: &Status, language: Language) -> Vec<String> {
    let mut found = Vec::new();
    if mail.state != "running" {
        let why = mail.reasons.join("; ");
        let why = if why.is_empty() { why } else { format!(": {why}") };
        found.push(language.fill("Mail is {}", &[&language.tr(&mail.state)]) + &why);
    }
    let ill = |egress: &&EgressRow| egress.state != "up";
    for egress in mail.egresses.iter().filter(ill) {
        let why = egress.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let state = language.tr(&egress.state);
        found.push(language.fill("Egress {} is {}", &[&egress.name, &state]) + &why);
    }
    for egress in &mail.egresses {
        let listed = egress.listed.iter();
        found.extend(
            listed
                .map(|(who, _)| language.fill("Egress {}: listed, says {}", &[&egress.name, who])),
        );
    }
    for check in &mail.checks {
        let wrong = |what| language.fill("Egress {}: {}", &[&check.egress, what]);
        found.extend(check.wrong.iter().map(|what| wrong(what)));
    }
    if !mail.held.is_empty() {
        let lanes = mail.held.len();
        found.push(language.fill("Mail is held for a fault of ours; lanes: {}", &[&lanes]));
    }
    if mail.spool.state != SpoolRow::OPEN {
        found.push(language.fill("The spool is {}", &[&mail.spool.state]));
    }
    let fallen = mail.walls.iter().filter(|wall| !wall.stands && !wall.unknown);
    found.extend(fallen.map(|wall| language.fill("The wall {} does not stand", &[&wall.name])));
    if mail.lab {
        found.push(language.tr("A laboratory: not for the Internet").to_owned());
    }
    found
}

fn mail(lines: &mut Vec<String>, host: &HostStatus, language: Language) {
    let Some(mail) = &host.mail else {
        let text =
            if host.configured { host.gateway.as_str() } else { language.tr("not configured") };
        let queued = host.queued.map_or_else(String::new, |queued| {
            language.fill("; {} in the spool", &[&language.messages(queued)])
        });
        lines.push(labelled(language, "Mail", &format!("{text}{queued}")));
        return;
    };
    let oldest = host.oldest_secs.filter(|_| mail.queue.messages > 0);
    let oldest = oldest.map_or_else(String::new, |secs| {
        language.fill(", oldest {}", &[&span(Duration::from_secs(secs))])
    });
    let values: [&dyn Display; 4] =
        [&language.tr(&mail.state), &mail.queue.messages, &mail.queue.held, &mail.queue.in_flight];
    let queue = language.fill("{}; queue {}, held {}, in flight {}", &values) + &oldest;
    lines.push(labelled(language, "Mail", &queue));
    let sums = &mail.totals;
    let values: [&dyn Display; 5] = [
        &sums.accepted,
        &sums.refused,
        &sums.delivered,
        &sums.deferred,
        &(sums.failed + sums.expired),
    ];
    let text = "accepted {}, refused {}, delivered {}, deferred {}, failed {}";
    lines.push(labelled(language, "So far", &language.fill(text, &values)));
    let hour = &mail.last_hour;
    let values: [&dyn Display; 4] =
        [&hour.accepted, &hour.delivered, &hour.deferred, &hour.refused];
    let text = "in {}, out {}, deferred {}, refused {}";
    lines.push(labelled(language, "Last hour", &language.fill(text, &values)));
    let more = |count: &usize| format!("{:11}{}", "", language.fill("and {} more", &[count]));
    some(
        lines,
        &mail.egresses,
        EGRESSES_MAX,
        |egress| {
            let text = format!("{}: {}", egress.name, language.tr(&egress.state));
            labelled(language, "Egress", &text)
        },
        more,
    );
}

/// Whether there is something at the other end of a port's cable.
pub(super) fn linked(port: &LinkRow) -> bool {
    port.carrier || port.state == "up"
}

/// A port in a line.
pub(super) fn port(port: &LinkRow, language: Language) -> String {
    let role = port.role.as_ref().map_or_else(String::new, |role| format!(" ({role})"));
    let link = language.tr(if linked(port) { "link" } else { "no link" });
    let addresses = if port.addresses.is_empty() {
        language.tr("no address").to_owned()
    } else {
        port.addresses.join(", ")
    };
    format!("{}{role}: {link}, {addresses}, {}", port.name, port.mac)
}

fn machine(host: &HostStatus, language: Language) -> [String; 2] {
    let part = |free: u64, all: u64| match all {
        0 => language.fill("{} free", &[&octets(free)]),
        all => language.fill("{} of {} free", &[&octets(free), &octets(all)]),
    };
    let disk = language.fill(
        "state {}; spool {}",
        &[
            &part(host.state_free_octets, host.state_octets),
            &part(host.spool_free_octets, host.spool_octets),
        ],
    );
    let memory = part(host.memory_available_octets, host.memory_octets);
    [labelled(language, "Memory", &memory), labelled(language, "Disk", &disk)]
}

/// The certificate that ends first, and the temperature; none: neither is known.
fn papers(host: &HostStatus, language: Language) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(soonest) = &host.certificate_soonest {
        let values: [&dyn Display; 2] = [&soonest.name, &soonest.days_left];
        parts.push(language.fill("certificate of {}: {} days left", &values));
    }
    if let Some(celsius) = host.temperature_celsius {
        parts.push(language.fill("{} degrees Celsius", &[&celsius]));
    }
    (!parts.is_empty()).then(|| labelled(language, "Sensors", &parts.join("; ")))
}

/// The slot and the update, as far as the updater wrote them down.
fn software(host: &HostStatus, language: Language) -> String {
    let mut parts = Vec::new();
    match &host.image_version {
        Some(version) => {
            let slot = host.slot.as_ref().unwrap_or(version);
            parts.push(language.fill("slot {}", &[slot]));
        }
        None => parts.push(language.tr("no image: a machine with Postern on it").to_owned()),
    }
    if let Some(update) = host.update.as_ref().and_then(Update::read)
        && update.state != "idle"
    {
        let version = update.version.map_or_else(String::new, |version| format!(" {version}"));
        parts.push(language.fill("update{} {}", &[&version, &update.state]));
        let tries = update.tries_left;
        parts.extend(tries.map(|tries| language.fill("{} tries left", &[&tries])));
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
fn rolled_back(update: Option<&Value>, language: Language) -> Option<String> {
    let update = Update::read(update?).filter(|update| update.state.contains("rolled"))?;
    let version = update.version.unwrap_or_default();
    let unknown = || language.tr("the reason is not known").to_owned();
    let why = update.reason.unwrap_or_else(unknown);
    Some(language.fill("The update to {} was rolled back: {}", &[&version, &why]))
}

/// What the health check found last, if it was not well.
fn unhealthy(health: Option<&Value>, language: Language) -> Option<String> {
    let health = health?;
    let healthy = health.get("healthy").and_then(Value::as_bool)?;
    let line = health.get("line").and_then(Value::as_str).unwrap_or("see its report");
    (!healthy).then(|| language.fill("The health check failed: {}", &[&line]))
}

/// What may be typed below the screen.
#[must_use]
pub fn choices(host: Option<&HostStatus>, wizard: Option<&Wizard>) -> &'static str {
    let configured = host.is_some_and(|host| host.configured);
    match (configured, wizard) {
        (true, _) => "Enter: refresh, l: log in, !: stop all mail:",
        (false, Some(_)) => "Enter: refresh, w: go on with the set-up:",
        (false, None) => "Enter: refresh, w: set up, l: log in:",
    }
}
