//! Answers of the host role as text for people.

use std::time::Duration;

use super::super::table::{Table, octets, pairs, span};
use crate::base::time::WallTime;
use crate::cli::view;
use crate::control::answer::Answer;
use crate::control::host::HostAnswer;
use crate::control::host::answer::{
    Applied, CertificateSoonest, GenerationRow, HostStatus, Imported, LinkRow, Papers, SetUp,
};
use crate::event::harmless;

/// The text of an answer; trouble has none, it goes to standard error.
pub(super) fn text(answer: &HostAnswer, now: WallTime) -> String {
    let shared = |answer: Answer| view::text(&answer, now);
    match answer {
        HostAnswer::Welcome(welcome) => format!("postern {}\n", welcome.version),
        HostAnswer::Status(status) => self::status(status),
        HostAnswer::Done(word) => line(word),
        HostAnswer::Text(text) => text.lines().map(|text| harmless(text) + "\n").collect(),
        HostAnswer::SetUp(setup) => set_up(setup),
        HostAnswer::Checked(checked) => shared(Answer::Checked(checked.clone())),
        HostAnswer::Differences(rows) => shared(Answer::Differences(rows.clone())),
        HostAnswer::Applied(applied) => self::applied(applied),
        HostAnswer::History(rows) => history(rows),
        HostAnswer::Update(value) | HostAnswer::Relayed(value) => format!("{value:#}\n"),
        HostAnswer::Delivered(made) => format!("{}: {} octets\n", made.name, made.octets),
        HostAnswer::Imported(imported) => self::imported(imported, now),
        HostAnswer::Names(names) => line(names.document.as_ref().unwrap_or(&names.kernel)),
        HostAnswer::Ports(rows) => ports(rows),
        HostAnswer::Certificates(papers) => self::papers(papers),
        HostAnswer::Diagnosed(found) => shared(Answer::Diagnosed(found.clone())),
        HostAnswer::Audit(page) => shared(Answer::Audit(page.clone())),
        HostAnswer::Verified(found) => view::verified(found),
        HostAnswer::Trouble(_) => String::new(),
    }
}

fn line(text: &str) -> String {
    harmless(text) + "\n"
}

fn status(status: &HostStatus) -> String {
    let version = match &status.image_version {
        Some(image) => format!("image {image}, postern {}", status.version),
        None => format!("postern {} (no appliance)", status.version),
    };
    let generation = match (&status.pending, status.generation) {
        (Some(pending), _) => format!(
            "generation {} on trial by {}, {} s left to confirm it",
            pending.generation, pending.by, pending.left_secs
        ),
        (None, 0) => "none".to_owned(),
        (None, number) if status.edited_by_hand => {
            format!("generation {number}, edited by hand since")
        }
        (None, number) => format!("generation {number}"),
    };
    let queued = status.queued.map_or_else(String::new, |count| format!(", {count} queued"));
    let hundredths = status.load_hundredths;
    let mut text = pairs(&[
        ("box", status.hostname.clone()),
        ("version", version),
        ("configuration", generation),
        ("gateway", format!("{}{queued}", status.gateway)),
        ("running for", span(Duration::from_secs(status.uptime_secs))),
        ("load", format!("{}.{:02}", hundredths / 100, hundredths % 100)),
        (
            "memory",
            format!(
                "{} of {} available",
                octets(status.memory_available_octets),
                octets(status.memory_octets)
            ),
        ),
        (
            "disk",
            format!(
                "{} free for state, {} for the spool",
                octets(status.state_free_octets),
                octets(status.spool_free_octets)
            ),
        ),
    ]);
    text.push_str(&machine(status));
    for notice in &status.notices {
        text.push_str(&line(&format!("notice: {notice}")));
    }
    let mut links = Table::new(&["interface", "state", "hardware", "addresses"]);
    for link in &status.links {
        let addresses = link.addresses.join(", ");
        links.row([link.name.clone(), link.state.clone(), link.mac.clone(), addresses]);
    }
    let mut units = Table::new(&["unit", "state", ""]);
    for unit in &status.units {
        units.row([unit.name.clone(), unit.active.clone(), unit.sub.clone()]);
    }
    text + "\n" + &links.text() + "\n" + &units.text()
}

/// What a machine is beside its gateway.
pub(in crate::cli) fn machine(status: &HostStatus) -> String {
    let warm = status.temperature_celsius.map(|celsius| ("temperature", format!("{celsius} C")));
    let slot = status.slot.iter().map(|slot| ("slot", slot.clone()));
    let paper = status.certificate_soonest.iter().map(|first| ("certificate", ends(first)));
    pairs(&slot.chain(warm).chain(paper).collect::<Vec<_>>())
}

fn ends(first: &CertificateSoonest) -> String {
    match first.days_left {
        left @ 0.. => format!("{} ends in {left} days", first.name),
        left => format!("{} has ended {} days ago", first.name, left.unsigned_abs()),
    }
}

fn ports(rows: &[LinkRow]) -> String {
    let mut table =
        Table::new(&["port", "link", "state", "speed#", "hardware", "driver", "role", "addresses"]);
    for link in rows {
        table.row([
            link.name.clone(),
            if link.carrier { "cable" } else { "none" }.to_owned(),
            link.state.clone(),
            link.speed_mbit.map_or_else(String::new, |speed| format!("{speed} Mbit/s")),
            link.mac.clone(),
            link.driver.clone().unwrap_or_default(),
            link.role.clone().unwrap_or_default(),
            link.addresses.join(", "),
        ]);
    }
    table.text()
}

fn papers(papers: &Papers) -> String {
    let mut certificates =
        Table::new(&["certificate", "subject", "names", "until", "days#", "key"]);
    for row in &papers.certificates {
        certificates.row([
            row.purpose.clone(),
            row.subject.clone(),
            row.names.join(", "),
            row.not_after.rfc3339(),
            row.days_left.to_string(),
            row.key.clone(),
        ]);
    }
    let mut keys = Table::new(&["domain", "selector", "algorithm", "age"]);
    for row in &papers.dkim {
        let age = row.age_days.map_or_else(String::new, |days| format!("{days} days"));
        keys.row([row.domain.clone(), row.selector.clone(), row.algorithm.clone(), age]);
    }
    let notes: String = papers.notes.iter().map(|note| line(&format!("notice: {note}"))).collect();
    certificates.text() + "\n" + &keys.text() + &notes
}

fn set_up(setup: &SetUp) -> String {
    let mut text = String::new();
    for complaint in &setup.complaints {
        text.push_str(&line(complaint));
    }
    for warning in &setup.warnings {
        text.push_str(&line(&format!("warning: {warning}")));
    }
    for made in &setup.made {
        text.push_str(&line(&format!("made: {made}")));
    }
    match (setup.good, setup.generation, setup.complaints.len()) {
        (false, _, 1) => text.push_str("1 complaint, nothing was changed\n"),
        (false, _, count) => {
            text.push_str(&line(&format!("{count} complaints, nothing was changed")));
        }
        (true, 0, _) => text.push_str("good\n"),
        (true, number, _) => {
            text.push_str(&line(&format!("set up: generation {number} is in force")));
            text.push_str("; what the DNS must say before the first message leaves\n");
            for record in &setup.dns {
                text.push_str(&line(record));
            }
        }
    }
    text
}

fn applied(applied: &Applied) -> String {
    let mut text: String = applied.notes.iter().map(|note| line(note)).collect();
    let said = match (applied.generation, applied.confirm_secs) {
        (0, _) => "no configuration is in force".to_owned(),
        (number, None) => format!("generation {number} is in force"),
        (number, Some(secs)) => {
            let before = match applied.previous {
                0 => "what was before".to_owned(),
                previous => format!("generation {previous}"),
            };
            format!(
                "generation {number} is in force on trial: `postern config confirm` within {secs} \
                 s keeps it, else {before} comes back"
            )
        }
    };
    text.push_str(&line(&said));
    text
}

fn history(rows: &[GenerationRow]) -> String {
    let mut table = Table::new(&["generation#", "applied", "by", "state", "comment"]);
    for row in rows {
        table.row([
            row.generation.to_string(),
            row.at.rfc3339(),
            row.by.clone(),
            row.state.clone(),
            row.comment.clone(),
        ]);
    }
    table.text()
}

fn imported(imported: &Imported, now: WallTime) -> String {
    let mut text = view::text(&Answer::Differences(imported.differences.clone()), now);
    for file in &imported.files {
        text.push_str(&line(&format!("file: {file}")));
    }
    if let Some(applied) = &imported.applied {
        text.push_str(&self::applied(applied));
    }
    text
}
