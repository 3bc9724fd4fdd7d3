//! Answers as lines: labels before values, one fact a line, nothing that needs a wide screen.

use serde_json::Value;

use super::ask::Told;
use super::paper::count;
use super::status;
use crate::base::time::WallTime;
use crate::control::answer::{Acted, Answer, EgressRow, Page, Rotated};
use crate::control::check::{EgressCheck, Grade};
use crate::control::host::HostAnswer;
use crate::control::host::answer::{Applied, GenerationRow};
use crate::control::lanes::LaneRow;

/// The lines of an answer.
#[must_use]
pub(super) fn lines(told: &Told) -> Vec<String> {
    match told {
        Told::Host(answer) => host(answer),
        Told::Served(answer) => served(answer),
        Told::Drawn(_) => Vec::new(),
        Told::Failed(text) | Told::Away(text) => vec![format!("[!] {text}")],
    }
}

fn host(answer: &HostAnswer) -> Vec<String> {
    match answer {
        HostAnswer::Status(found) => status::screen(found),
        HostAnswer::Welcome(welcome) if welcome.login_wait_secs > 0 => {
            vec![format!("[!] The next try is looked at in {} s.", welcome.login_wait_secs)]
        }
        HostAnswer::Welcome(_) => vec!["Good.".to_owned()],
        HostAnswer::Done(text) if text.is_empty() => vec!["Done.".to_owned()],
        HostAnswer::Done(text) => vec![text.clone()],
        HostAnswer::Text(text) => text.lines().map(str::to_owned).collect(),
        HostAnswer::Applied(applied) => self::applied(applied),
        HostAnswer::History(rows) => history(rows),
        HostAnswer::Update(value) => pairs(value, 0),
        HostAnswer::Delivered(file) => {
            vec![format!("{} was written, {}.", file.name, super::paper::octets(file.octets))]
        }
        HostAnswer::Trouble(trouble) => vec![format!("[!] {}", trouble.text)],
        other => serde_json::to_value(other)
            .map(|value| pairs(value.get("data").unwrap_or(&Value::Null), 0))
            .unwrap_or_default(),
    }
}

fn applied(applied: &Applied) -> Vec<String> {
    let mut lines = vec![match applied.generation {
        0 => "There is no configuration now.".to_owned(),
        generation => format!("Configuration {generation} is in force."),
    }];
    if let Some(secs) = applied.confirm_secs {
        lines.push(format!("It must be confirmed within {secs} s."));
    }
    lines.extend(applied.notes.iter().cloned());
    lines
}

fn history(rows: &[GenerationRow]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["There is no configuration yet.".to_owned()];
    }
    let line = |row: &GenerationRow| {
        let state = if row.state.is_empty() { String::new() } else { format!(", {}", row.state) };
        let why = if row.comment.is_empty() { String::new() } else { format!(": {}", row.comment) };
        format!("{} {}, by {}{state}{why}", row.generation, minute(row.at), row.by)
    };
    rows.iter().map(line).collect()
}

/// A date and time to the minute.
fn minute(at: WallTime) -> String {
    at.rfc3339().get(..16).unwrap_or_default().replace('T', " ")
}

/// A document of somebody else's, key by key; what is empty is left out.
fn pairs(value: &Value, depth: usize) -> Vec<String> {
    let pad = "  ".repeat(depth);
    let mut lines = Vec::new();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let label = key.replace('_', " ");
                match value {
                    Value::Null => {}
                    Value::Object(_) | Value::Array(_) => {
                        let below = pairs(value, depth + 1);
                        if !below.is_empty() {
                            lines.push(format!("{pad}{label}:"));
                            lines.extend(below);
                        }
                    }
                    Value::String(text) => lines.push(format!("{pad}{label}: {text}")),
                    other => lines.push(format!("{pad}{label}: {other}")),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::String(text) => lines.push(format!("{pad}{text}")),
                    other => lines.extend(pairs(other, depth)),
                }
            }
        }
        Value::Null => {}
        other => lines.push(format!("{pad}{other}")),
    }
    lines
}

fn served(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Acted(acted) => vec![self::acted(acted)],
        Answer::Lanes(page) => lanes(page),
        Answer::Egresses(rows) => rows.iter().flat_map(egress).collect(),
        Answer::EgressChecks(checks) => checks.iter().flat_map(check).collect(),
        Answer::Rotated(rotated) => self::rotated(rotated),
        Answer::Trouble(trouble) => vec![format!("[!] {}", trouble.text)],
        other => serde_json::to_value(other)
            .map(|value| pairs(value.get("data").unwrap_or(&Value::Null), 0))
            .unwrap_or_default(),
    }
}

fn acted(acted: &Acted) -> String {
    let note = if acted.note.is_empty() { String::new() } else { format!(" {}.", acted.note) };
    format!("Done: {}.{note}", count(acted.messages, "message"))
}

fn lanes(page: &Page<LaneRow>) -> Vec<String> {
    if page.rows.is_empty() {
        return vec!["The queue is empty.".to_owned()];
    }
    let mut lines: Vec<String> = page.rows.iter().map(lane).collect();
    let shown = page.rows.len() as u64;
    if page.total > shown {
        lines.push(format!("and {} more", page.total - shown));
    }
    lines
}

fn lane(row: &LaneRow) -> String {
    let sum = row.classes.otp + row.classes.transactional + row.classes.subscribed;
    let why = row.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let oldest = row.oldest.map_or_else(String::new, |at| format!(", oldest since {}", minute(at)));
    format!(
        "{} by {}: {}, {}{why}, held {}, in flight {}{oldest}",
        row.lane,
        row.egress,
        count(sum, "message"),
        row.state,
        row.held,
        row.in_flight
    )
}

fn egress(row: &EgressRow) -> Vec<String> {
    let device = row.device.as_deref().unwrap_or("any interface");
    let addresses = row.addresses.join(", ");
    let mut lines = vec![format!("{}: {}, {device}, {addresses}", row.name, row.state)];
    if let Some(reason) = &row.reason {
        let by = row.by.as_ref().map_or_else(String::new, |by| format!(", by {by}"));
        lines.push(format!("  why: {reason}{by}"));
    }
    lines.extend(row.listed.iter().map(|(who, said)| format!("  listed, says {who}: {said}")));
    lines.extend(row.warm_up.iter().map(|text| format!("  warms up: {text}")));
    lines
}

/// What is not as it should be first, each with its remedy; what passed is counted.
fn check(check: &EgressCheck) -> Vec<String> {
    let mut findings: Vec<_> =
        check.findings.iter().filter(|finding| finding.grade != Grade::Pass).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    let passed = check.count(Grade::Pass);
    let mut lines =
        vec![format!("Egress {}: {passed} of {} passed", check.egress, check.findings.len())];
    for finding in findings {
        lines.push(format!(
            "[{}] {} {}: {}",
            finding.grade, finding.item, finding.subject, finding.text
        ));
        lines.extend(finding.remedy.iter().map(|remedy| format!("    {remedy}")));
    }
    lines
}

fn rotated(rotated: &Rotated) -> Vec<String> {
    let left = rotated.grace_until.rfc3339();
    vec![
        "The new secret, shown this once:".to_owned(),
        format!("  user: {}", rotated.user),
        format!("  password: {}", rotated.password),
        format!("The old one ends at {left}."),
    ]
}
