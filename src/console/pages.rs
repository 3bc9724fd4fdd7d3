//! Answers as lines: labels before values, one fact a line, nothing that needs a wide screen.

use serde_json::Value;

use super::ask::Told;
use super::status;
use super::words::Language;
use crate::base::time::WallTime;
use crate::control::answer::{
    Acted, Answer, DifferenceRow, EgressRow, Page, QueueRow, Rotated, SourceRow, StepRow,
};
use crate::control::check::{EgressCheck, Grade};
use crate::control::diagnose::Diagnosis;
use crate::control::dialogue::{Dialogue, Speaker};
use crate::control::host::HostAnswer;
use crate::control::host::answer::{Applied, GenerationRow, LinkRow, Papers};
use crate::control::lanes::LaneRow;
use crate::event::deed::Recorded;

/// The lines of an answer.
#[must_use]
pub(super) fn lines(told: &Told, language: Language) -> Vec<String> {
    match told {
        Told::Host(answer) => host(answer, language),
        Told::Served(answer) => served(answer, language),
        Told::Drawn(_) => Vec::new(),
        Told::Failed(text) | Told::Away(text) => vec![format!("[!] {text}")],
    }
}

fn host(answer: &HostAnswer, language: Language) -> Vec<String> {
    match answer {
        HostAnswer::Status(found) => status::screen(found, language),
        HostAnswer::Welcome(welcome) if welcome.login_wait_secs > 0 => {
            let secs = &welcome.login_wait_secs;
            vec![language.fill("[!] The next try is looked at in {} s.", &[secs])]
        }
        HostAnswer::Welcome(_) => vec![language.tr("Good.").to_owned()],
        HostAnswer::Done(text) if text.is_empty() => vec![language.tr("Done.").to_owned()],
        HostAnswer::Done(text) => vec![text.clone()],
        HostAnswer::Text(text) => text.lines().map(str::to_owned).collect(),
        HostAnswer::Applied(applied) => self::applied(applied, language),
        HostAnswer::History(rows) => history(rows, language),
        HostAnswer::Update(value) => pairs(value, 0),
        HostAnswer::Delivered(file) => {
            let octets = super::paper::octets(file.octets);
            vec![language.fill("{} was written, {}.", &[&file.name, &octets])]
        }
        HostAnswer::Ports(links) => {
            links.iter().map(|link| format!("{}: {}", link.name, port(link, language))).collect()
        }
        HostAnswer::Certificates(papers) => self::papers(papers, language),
        HostAnswer::Diagnosed(diagnosis) => self::diagnosis(diagnosis, language),
        HostAnswer::Audit(page) => page_of(page, recorded, "Nothing is recorded.", language),
        HostAnswer::Differences(rows) => differences(rows, language),
        HostAnswer::Trouble(trouble) => vec![format!("[!] {}", trouble.text)],
        other => serde_json::to_value(other)
            .map(|value| pairs(value.get("data").unwrap_or(&Value::Null), 0))
            .unwrap_or_default(),
    }
}

fn applied(applied: &Applied, language: Language) -> Vec<String> {
    let mut lines = vec![match applied.generation {
        0 => language.tr("There is no configuration now.").to_owned(),
        generation => language.fill("Configuration {} is in force.", &[&generation]),
    }];
    if let Some(secs) = applied.confirm_secs {
        lines.push(language.fill("It must be confirmed within {} s.", &[&secs]));
    }
    lines.extend(applied.notes.iter().cloned());
    lines
}

fn history(rows: &[GenerationRow], language: Language) -> Vec<String> {
    if rows.is_empty() {
        return vec![language.tr("There is no configuration yet.").to_owned()];
    }
    let line = |row: &GenerationRow| format!("{} {}", row.generation, generation(row, language));
    rows.iter().map(line).collect()
}

/// A configuration in a line, without its number.
pub(super) fn generation(row: &GenerationRow, language: Language) -> String {
    let state = if row.state.is_empty() { String::new() } else { format!(", {}", row.state) };
    let why = if row.comment.is_empty() { String::new() } else { format!(": {}", row.comment) };
    let by = language.fill("{}, by {}", &[&minute(row.at), &row.by]);
    format!("{by}{state}{why}")
}

/// A date and time to the minute.
fn minute(at: WallTime) -> String {
    at.rfc3339().get(..16).unwrap_or_default().replace('T', " ")
}

/// Moments are called so on the wire, in milliseconds since 1970.
const MOMENTS: [&str; 4] = ["at", "last_seen", "made", "expires"];

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
                    Value::Number(millis) if MOMENTS.contains(&key.as_str()) => {
                        let at = WallTime(millis.as_u64().unwrap_or_default());
                        lines.push(format!("{pad}{label}: {} UTC", minute(at)));
                    }
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

fn served(answer: &Answer, language: Language) -> Vec<String> {
    match answer {
        Answer::Acted(acted) => vec![self::acted(acted, language)],
        Answer::Lanes(page) => page_of(page, lane, "The queue is empty.", language),
        Answer::Sources(page) => {
            let row =
                |row: &SourceRow, language| format!("{}: {}", row.name, source(row, language));
            page_of(page, row, "There is no source.", language)
        }
        Answer::Queue(page) => page_of(page, message, "There is no such message.", language),
        Answer::Steps(rows) => rows.iter().map(step).collect(),
        Answer::Egresses(rows) => rows.iter().flat_map(|row| egress(row, language)).collect(),
        Answer::EgressChecks(checks) => {
            checks.iter().flat_map(|found| check(found, language)).collect()
        }
        Answer::Rotated(rotated) => self::rotated(rotated, language),
        Answer::Trouble(trouble) => vec![format!("[!] {}", trouble.text)],
        other => serde_json::to_value(other)
            .map(|value| pairs(value.get("data").unwrap_or(&Value::Null), 0))
            .unwrap_or_default(),
    }
}

fn acted(acted: &Acted, language: Language) -> String {
    let note = if acted.note.is_empty() { String::new() } else { format!(" {}.", acted.note) };
    language.fill("Done: {}.", &[&language.messages(acted.messages)]) + &note
}

/// A list, a row a line, and how many more there are.
fn page_of<T>(
    page: &Page<T>,
    row: impl Fn(&T, Language) -> String,
    empty: &'static str,
    language: Language,
) -> Vec<String> {
    if page.rows.is_empty() {
        return vec![language.tr(empty).to_owned()];
    }
    let mut lines: Vec<String> = page.rows.iter().map(|found| row(found, language)).collect();
    let shown = page.rows.len() as u64;
    if page.total > shown {
        lines.push(language.fill("and {} more", &[&(page.total - shown)]));
    }
    lines
}

/// A source in a line, without its name.
pub(super) fn source(row: &SourceRow, language: Language) -> String {
    let messages = language.messages(row.queued);
    language.fill("{}, {} waiting, {} held", &[&row.state, &messages, &row.held])
}

fn message(row: &QueueRow, language: Language) -> String {
    let held = row.held.as_ref().map_or_else(String::new, |why| format!(" [{why}]"));
    let reply = row.reply.as_ref().map_or_else(String::new, |reply| format!(": {reply}"));
    let since = language.fill("since {}", &[&minute(row.accepted)]);
    format!("{} {} {} {since}{held}{reply}", row.id, row.source, row.domains.join(","))
}

fn step(row: &StepRow) -> String {
    let at = row.at.map_or_else(String::new, |at| format!("{} ", minute(at)));
    format!("{at}{}: {}", row.step, row.text)
}

fn lane(row: &LaneRow, language: Language) -> String {
    let sum = row.classes.otp + row.classes.transactional + row.classes.subscribed;
    let why = row.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let oldest = row
        .oldest
        .map_or_else(String::new, |at| language.fill(", oldest since {}", &[&minute(at)]));
    let messages = language.messages(sum);
    let state = format!("{}{why}", row.state);
    let values: [&dyn std::fmt::Display; 6] =
        [&row.lane, &row.egress, &messages, &state, &row.held, &row.in_flight];
    language.fill("{} by {}: {}, {}, held {}, in flight {}", &values) + &oldest
}

fn egress(row: &EgressRow, language: Language) -> Vec<String> {
    let device = row.device.as_deref().unwrap_or_else(|| language.tr("any interface"));
    let addresses = row.addresses.join(", ");
    let state = language.tr(&row.state);
    let mut lines = vec![format!("{}: {state}, {device}, {addresses}", row.name)];
    if let Some(reason) = &row.reason {
        let by = row.by.as_ref().map_or_else(String::new, |by| format!(" ({by})"));
        lines.push(format!("  {}{by}", language.fill("why: {}", &[reason])));
    }
    lines.extend(
        row.listed
            .iter()
            .map(|(who, said)| format!("  {}", language.fill("listed, says {}: {}", &[who, said]))),
    );
    lines.extend(row.warm_up.iter().map(|text| format!("  {text}")));
    lines
}

/// What is not as it should be first, each with its remedy; what passed is counted.
fn check(check: &EgressCheck, language: Language) -> Vec<String> {
    let mut findings: Vec<_> =
        check.findings.iter().filter(|finding| finding.grade != Grade::Pass).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    let passed = check.count(Grade::Pass);
    let values: [&dyn std::fmt::Display; 3] = [&check.egress, &passed, &check.findings.len()];
    let mut lines = vec![language.fill("Egress {}: {} of {} passed", &values)];
    for finding in findings {
        lines.push(format!(
            "[{}] {} {}: {}",
            finding.grade, finding.item, finding.subject, finding.text
        ));
        lines.extend(finding.remedy.iter().map(|remedy| format!("    {remedy}")));
    }
    lines
}

fn rotated(rotated: &Rotated, language: Language) -> Vec<String> {
    let left = rotated.grace_until.rfc3339();
    vec![
        language.tr("The new secret, shown this once:").to_owned(),
        format!("  user: {}", rotated.user),
        format!("  password: {}", rotated.password),
        language.fill("The old one ends at {}.", &[&left]),
    ]
}

/// A port in a line, without its name.
pub(super) fn port(port: &LinkRow, language: Language) -> String {
    let role = port.role.as_ref().map_or_else(String::new, |role| format!("{role}, "));
    let driver = port.driver.as_ref().map_or_else(String::new, |name| format!(", {name}"));
    let speed = port.speed_mbit.map_or_else(String::new, |speed| format!(", {speed} Mbit/s"));
    let link = language.tr(if status::linked(port) { "link" } else { "no link" });
    format!("{role}{link}{speed}, {}{driver}", port.mac)
}

fn papers(papers: &Papers, language: Language) -> Vec<String> {
    let mut lines: Vec<String> = papers.notes.iter().map(|note| format!("[!] {note}")).collect();
    for row in &papers.certificates {
        lines.push(format!("{}: {}", row.purpose, row.subject));
        let until = row.not_after.rfc3339();
        let until = until.get(..10).unwrap_or_default();
        let left = language.fill("until {}, {} days left", &[&until, &row.days_left]);
        lines.push(format!("  {}, {left}", row.key));
        lines.push(format!("  {}", row.names.join(", ")));
    }
    for row in &papers.dkim {
        let age = row.age_days.map_or_else(String::new, |days| {
            format!(", {}", language.fill("{} days old", &[&days]))
        });
        lines.push(format!(
            "DKIM {}._domainkey.{}: {}{age}",
            row.selector, row.domain, row.algorithm
        ));
    }
    if lines.is_empty() {
        lines.push(language.tr("There is none yet.").to_owned());
    }
    lines
}

fn diagnosis(diagnosis: &Diagnosis, language: Language) -> Vec<String> {
    let values: [&dyn std::fmt::Display; 3] = [&diagnosis.test, &diagnosis.target, &diagnosis.role];
    let mut lines = vec![language.fill("{} to {} by {}:", &values)];
    let steps = diagnosis.steps.iter();
    lines.extend(steps.map(|step| format!("[{}] {}: {}", step.grade, step.step, step.text)));
    lines.extend(diagnosis.next.iter().map(|next| language.fill("Next: {}", &[next])));
    lines
}

fn recorded(row: &Recorded, _: Language) -> String {
    let deed = serde_json::to_value(&row.deed).unwrap_or_default();
    let word = |key: &str| deed.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let words: Vec<String> = ["actor", "action", "subject", "outcome"].map(word).into();
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    format!("{} {} {}", row.seq, minute(row.time), words.join(", "))
}

fn differences(rows: &[DifferenceRow], language: Language) -> Vec<String> {
    if rows.is_empty() {
        return vec![language.tr("Nothing differs.").to_owned()];
    }
    let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    rows.iter()
        .map(|row| format!("{}: {} -> {}", row.key, value(&row.old), value(&row.new)))
        .collect()
}

/// Lines of a live trace.
pub(super) fn dialogue(dialogue: &Dialogue, language: Language) -> Vec<String> {
    let mut lines = Vec::new();
    if dialogue.lost > 0 {
        lines.push(language.fill("{} lines came too fast and are not shown.", &[&dialogue.lost]));
    }
    for row in &dialogue.rows {
        let at = row.at.rfc3339();
        let speaker = match row.speaker {
            Speaker::Client => "C:",
            Speaker::Server => "S:",
            Speaker::Trace => "--",
        };
        let at = at.get(11..19).unwrap_or_default();
        lines.push(format!("{at} {} {speaker} {}", row.session, row.text));
    }
    lines
}
