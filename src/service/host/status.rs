//! How the machine is, put together for the console's first page.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::generations::{Generations, load};
use super::hands::Machine;
use super::papers;
use crate::base::time::WallTime;
use crate::config::control_socket;
use crate::control::answer::{Answer, Status};
use crate::control::call::Line;
use crate::control::host::answer::{CertificateSoonest, HostStatus, LinkRow, PendingRow, UnitRow};
use crate::control::request::{PageAsk, QueueFilter, Request};
use crate::host::paths::Paths;
use crate::host::{facts, vitals};

/// Asks the gateway how it is.
///
/// # Errors
/// Why it does not say, in words.
pub(super) fn gateway(paths: &Paths) -> Result<Status, String> {
    let text = std::fs::read_to_string(paths.document())
        .map_err(|_| "there is no configuration".to_owned())?;
    let socket = paths.at(control_socket(&text));
    let mut line = Line::open(&socket).map_err(|error| error.to_string())?;
    match line.ask(&Request::Status {}) {
        Ok(Answer::Status(status)) => Ok(*status),
        Ok(Answer::Trouble(trouble)) => Err(trouble.text),
        Ok(_) => Err("the gateway's answer is no status".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The name of the box: as its document says, else as the kernel has it.
pub(super) fn hostname(paths: &Paths) -> String {
    document_hostname(paths).unwrap_or_else(facts::hostname)
}

/// The name in the document.
pub(super) fn document_hostname(paths: &Paths) -> Option<String> {
    let text = std::fs::read_to_string(paths.document()).ok()?;
    let reading = crate::config::read(&text, &crate::config::Anywhere).ok()?;
    Some(reading.config.hostname.to_string())
}

/// Age of the message that waits longest, if the gateway says so.
fn oldest_secs(paths: &Paths, now: WallTime) -> Option<u64> {
    let text = std::fs::read_to_string(paths.document()).ok()?;
    let mut line = Line::open(&paths.at(control_socket(&text))).ok()?;
    let page = PageAsk { offset: 0, limit: 1 };
    // The list begins with the oldest.
    let ask = Request::QueueList { filter: QueueFilter::default(), page };
    let Ok(Answer::Queue(page)) = line.ask(&ask) else { return None };
    page.rows.first().map(|row| now.since(row.accepted).as_secs())
}

/// How the machine is.
pub(super) fn of(
    paths: &Paths,
    machine: &Arc<dyn Machine>,
    pending: Option<PendingRow>,
    now: WallTime,
) -> HostStatus {
    let generations = Generations::new(paths.clone());
    let configured = paths.document().exists();
    let current = generations.current();
    let generation = pending.as_ref().map_or(current, |pending| pending.generation);
    let mail = gateway(paths).map(Box::new);
    let oldest_secs = mail.as_ref().ok().and_then(|_| oldest_secs(paths, now));
    let (gateway, queued, gateway_notices, mail) = match mail {
        Ok(status) => (
            status.state.clone(),
            Some(status.queue.messages),
            status.reasons.clone(),
            Some(status),
        ),
        Err(why) => (why, None, Vec::new(), None),
    };
    let (memory_available_octets, memory_octets) = facts::memory();
    let document = std::fs::read_to_string(paths.document()).unwrap_or_default();
    let console = crate::config::console(&document);
    let mut status = HostStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        image_version: paths
            .is_appliance()
            .then(|| paths.os_release_value("IMAGE_VERSION"))
            .flatten(),
        hostname: hostname(paths),
        configured,
        passphrase_set: paths.admin().exists(),
        generation,
        edited_by_hand: pending.is_none() && configured && edited(paths, &generations),
        pending,
        units: machine
            .units()
            .into_iter()
            .map(|unit| UnitRow { name: unit.name, active: unit.active, sub: unit.sub })
            .collect(),
        links: links(paths),
        gateway,
        queued,
        uptime_secs: machine.boot_millis() / 1000,
        load_hundredths: facts::load_hundredths(),
        memory_available_octets,
        memory_octets,
        state_free_octets: facts::free_octets(&paths.state()),
        spool_free_octets: facts::free_octets(&paths.at("/var/lib/postern")),
        health: load::<Value>(&paths.health()),
        update: load::<Value>(&paths.update()),
        notices: gateway_notices,
        now,
        state_octets: facts::all_octets(&paths.state()),
        spool_octets: facts::all_octets(&paths.at("/var/lib/postern")),
        mail,
        oldest_secs,
        privacy: console.privacy,
        language: console.language,
        temperature_celsius: facts::temperature_celsius(),
        slot: paths.is_appliance().then(vitals::slot).flatten(),
        certificate_soonest: soonest(paths, now),
    };
    notices(paths, &mut status);
    status
}

fn edited(paths: &Paths, generations: &Generations) -> bool {
    let text = std::fs::read_to_string(paths.document()).unwrap_or_default();
    generations.document(generations.current()).is_ok_and(|known| known != text)
}

fn soonest(paths: &Paths, now: WallTime) -> Option<CertificateSoonest> {
    let text = std::fs::read_to_string(paths.document()).ok()?;
    let reading = crate::config::read(&text, &crate::config::Anywhere).ok()?;
    papers::soonest(&papers::all(paths, &reading.config, now))
}

fn links(paths: &Paths) -> Vec<LinkRow> {
    rows(paths, facts::links())
}

/// Interfaces with the parts that the document gives them.
pub(super) fn rows(paths: &Paths, links: Vec<facts::Link>) -> Vec<LinkRow> {
    let roles = roles(paths);
    let row = |link: facts::Link| LinkRow {
        role: roles.get(&link.name).cloned(),
        name: link.name,
        mac: link.mac,
        state: link.state,
        addresses: link.addresses,
        driver: link.driver,
        speed_mbit: link.speed_mbit,
        carrier: link.carrier,
    };
    links.into_iter().map(row).collect()
}

/// The parts that the document gives to interfaces.
fn roles(paths: &Paths) -> BTreeMap<String, String> {
    let mut roles = BTreeMap::new();
    let text = std::fs::read_to_string(paths.document()).unwrap_or_default();
    let Ok(reading) = crate::config::read(&text, &crate::config::Anywhere) else { return roles };
    let (config, network) = (&reading.config, &reading.config.network);
    let ways = config.egresses.iter().filter_map(|egress| egress.device.as_ref());
    let parts = [
        ("manage", network.manage.iter().collect::<Vec<_>>()),
        ("intake", network.intake.iter().collect()),
        ("public", network.public.iter().collect()),
        ("egress", ways.collect()),
    ];
    for (part, devices) in parts {
        for device in devices {
            let role: &mut String = roles.entry(device.clone()).or_default();
            if !role.is_empty() {
                role.push_str(", ");
            }
            role.push_str(part);
        }
    }
    roles
}

/// What somebody should know.
fn notices(paths: &Paths, status: &mut HostStatus) {
    let mut note = |text: String| status.notices.push(text);
    if !status.configured {
        note("this box is not set up yet".to_owned());
    } else if !status.passphrase_set {
        note("no administrator's passphrase is set: the console cannot log in".to_owned());
    }
    if let Some(pending) = &status.pending {
        note(format!(
            "generation {} is on trial: confirm it within {} s or it is taken back",
            pending.generation, pending.left_secs
        ));
    }
    if let Ok(text) = std::fs::read_to_string(paths.setup_error()) {
        let first = text.lines().next().unwrap_or_default();
        note(format!("a setup file was refused: {first}"));
    }
    if paths.recovery_key().exists() {
        note("the disks have a new recovery key that nobody has written down yet".to_owned());
    }
    let disks = load::<Value>(&paths.disks()).unwrap_or_default();
    if disks["encrypted"] == false {
        note("the disks are not encrypted".to_owned());
    }
    for text in disks["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        note(text.to_owned());
    }
    for unit in status.units.iter().filter(|unit| unit.active == "failed") {
        status.notices.push(format!("{} has failed", unit.name));
    }
}
