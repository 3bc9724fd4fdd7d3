//! Answers as text for people.

pub(super) mod diagnose;
mod lanes;

use super::table::{Table, distance, octets, pairs, span};
use crate::base::time::WallTime;
use crate::control::answer::{
    Acted, Answer, Checked, DifferenceRow, EgressRow, FactRow, FamilyRow, Page, QueueMessage,
    QueueRow, Rotated, SettingRow, SourceDetail, SourceRow, Status, StepRow, WallRow,
};
use crate::event::deed::{Recorded, Verification};
use crate::event::harmless;
use crate::event::hour::LastHour;

/// The text of an answer; trouble has none, it goes to standard error.
pub(super) fn text(answer: &Answer, now: WallTime) -> String {
    match answer {
        Answer::Status(status) => self::status(status),
        Answer::Metrics(page) => page.clone(),
        Answer::Facts(facts) => self::facts(facts),
        Answer::Queue(page) => queue(page, now),
        Answer::Lanes(page) => lanes::lanes(page, now),
        Answer::Message(message) => self::message(message, now),
        Answer::Acted(acted) => self::acted(acted),
        Answer::Steps(steps) => self::steps(steps),
        Answer::Sources(page) => sources(page),
        Answer::Source(detail) => source(detail),
        Answer::Rotated(rotated) => self::rotated(rotated),
        Answer::Egresses(rows) => egresses(rows),
        Answer::EgressChecks(checks) => super::check::text(checks),
        Answer::Attested(signed) => serde_json::to_string_pretty(signed).unwrap_or_default() + "\n",
        Answer::Diagnosed(found) => diagnose::diagnosis(found),
        Answer::Dialogue(dialogue) => diagnose::dialogue(dialogue),
        Answer::Settings(rows) => settings(rows),
        Answer::Checked(checked) => self::checked(checked),
        Answer::Differences(rows) => differences(rows),
        Answer::Audit(page) => audit(page),
        Answer::Verified(found) => verified(found),
        Answer::Trouble(_) => String::new(),
    }
}

fn status(status: &Status) -> String {
    let state = if status.reasons.is_empty() {
        status.state.clone()
    } else {
        format!("{}: {}", status.state, status.reasons.join("; "))
    };
    let (queue, spool, totals) = (&status.queue, &status.spool, &status.totals);
    let mut rows = vec![
        ("state", state),
        ("gateway", format!("{} (postern {})", status.hostname, status.version)),
        ("running for", span(status.now.since(status.started))),
        ("configuration", status.config.clone()),
        ("sources", format!("{} of {} active", status.sources_active, status.sources)),
        (
            "queue",
            format!(
                "{} messages, {} recipients open, {} held, {} in flight, {} lanes",
                queue.messages, queue.recipients, queue.held, queue.in_flight, queue.lanes
            ),
        ),
        (
            "spool",
            format!(
                "{}: {}, {} free, {} segments, sync {} us",
                spool.state,
                spool.path,
                octets(spool.free_octets),
                spool.segments,
                spool.sync_micros
            ),
        ),
        (
            "since start",
            format!(
                "{} accepted, {} refused, {} delivered, {} deferred, {} failed, {} expired",
                totals.accepted,
                totals.refused,
                totals.delivered,
                totals.deferred,
                totals.failed,
                totals.expired
            ),
        ),
        ("last hour", last_hour(&status.last_hour)),
        ("sessions", format!("{} open", totals.sessions_open)),
    ];
    for listener in &status.listeners {
        let text = format!("{}: {} {}", listener.name, listener.kind, listener.address);
        rows.push(("listener", text));
    }
    for egress in &status.egresses {
        let reason = egress.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        rows.push(("egress", format!("{}: {}{reason}", egress.name, egress.state)));
    }
    for check in &status.checks {
        let age = span(status.now.since(check.at));
        let passed = format!("{}: {} passed ({age} ago)", check.egress, check.passed);
        rows.push(("check", [vec![passed], check.wrong.clone()].concat().join("; ")));
    }
    for held in &status.held {
        rows.push(("held", lanes::held(held, status.now)));
    }
    rows.extend(status.walls.iter().map(|wall| ("wall", standing(wall))));
    if status.lab {
        rows.push(("laboratory", "yes: this gateway is not for the Internet".to_owned()));
    }
    pairs(&rows) + &lanes::delays(&status.delays.iter().collect::<Vec<_>>())
}

fn last_hour(hour: &LastHour) -> String {
    format!(
        "{} accepted, {} refused, {} delivered, {} deferred",
        hour.accepted, hour.refused, hour.delivered, hour.deferred
    )
}

/// A wall, and whether it stands.
fn standing(wall: &WallRow) -> String {
    let stands = match (wall.stands, wall.unknown) {
        (true, _) => "stands",
        (_, true) => "is UNKNOWN",
        _ => "does not stand",
    };
    format!("{} {stands}: {}", wall.name, wall.note)
}

/// What stands below a page of a list.
fn foot<T>(page: &Page<T>, what: &str) -> String {
    let shown = page.rows.len() as u64;
    if shown == page.total {
        return format!("{shown} {what}\n");
    }
    let first = (page.offset + 1).min(page.total);
    format!("{what} {first} to {} of {}\n", page.offset + shown, page.total)
}

fn queue(page: &Page<QueueRow>, now: WallTime) -> String {
    let heads =
        ["ID", "AGE#", "SIZE#", "SOURCE", "CLASS", "OPEN#", "TRIES#", "NEXT", "TO", "STATE"];
    let mut table = Table::new(&heads);
    for row in &page.rows {
        let more = if row.recipients > row.domains.len() as u64 { ", .." } else { "" };
        let state = match (&row.held, &row.reply) {
            (Some(why), _) => format!("held: {why}"),
            (None, Some(reply)) => reply.clone(),
            (None, None) => "waiting".to_owned(),
        };
        table.row([
            row.id.to_string(),
            span(now.since(row.accepted)),
            octets(row.octets),
            row.source.to_string(),
            row.class.to_string(),
            row.recipients.to_string(),
            row.attempts.to_string(),
            if row.next > now { distance(now, row.next) } else { "now".to_owned() },
            format!("{}{more}", row.domains.join(", ")),
            state,
        ]);
    }
    table.text() + &foot(page, "messages")
}

fn message(message: &QueueMessage, now: WallTime) -> String {
    let row = &message.row;
    let mut text = pairs(&[
        ("message", row.id.to_string()),
        ("source", row.source.to_string()),
        ("class", row.class.to_string()),
        ("from", format!("<{}>", message.reverse_path)),
        ("size", format!("{} octets", row.octets)),
        ("accepted", format!("{} ({} ago)", row.accepted, span(now.since(row.accepted)))),
        ("given up", format!("{} ({})", message.expires, distance(now, message.expires))),
        ("state", row.held.as_ref().map_or("moves".to_owned(), |why| format!("held: {why}"))),
        ("notification", if message.notification { "yes" } else { "no" }.to_owned()),
    ]);
    text.push('\n');
    let mut table = Table::new(&["RECIPIENT", "STATE", "TRIES#", "NEXT", "LAST ANSWER"]);
    for recipient in &message.everyone {
        table.row([
            format!("<{}>", recipient.address),
            recipient.state.clone(),
            recipient.attempts.to_string(),
            recipient.next.map_or_else(String::new, |next| distance(now, next)),
            recipient.reply.clone().unwrap_or_default(),
        ]);
    }
    text + &table.text()
}

fn acted(acted: &Acted) -> String {
    let verb = if acted.dry_run { "would touch" } else { "done:" };
    let noun = if acted.messages == 1 { "message" } else { "messages" };
    let note = if acted.note.is_empty() { String::new() } else { format!("; {}", acted.note) };
    harmless(&format!("{verb} {} {noun}{note}", acted.messages)) + "\n"
}

/// Facts, one a line.
pub(super) fn facts(facts: &[FactRow]) -> String {
    let line = |fact: &FactRow| fact.at.rfc3339() + "  " + &harmless(&fact.text) + "\n";
    facts.iter().map(line).collect()
}

fn steps(steps: &[StepRow]) -> String {
    let mut table = Table::new(&["WHEN", "STEP", "WHAT AND WHY"]);
    for step in steps {
        let when = step.at.map_or_else(|| "to come".to_owned(), WallTime::rfc3339);
        table.row([when, step.step.clone(), step.text.clone()]);
    }
    table.text()
}

fn state(row: &SourceRow) -> String {
    if row.state == row.configured {
        row.state.to_string()
    } else {
        format!("{} (configured: {})", row.state, row.configured)
    }
}

fn sources(page: &Page<SourceRow>) -> String {
    let heads = ["NAME", "STATE", "PROOF", "CLASS", "ACCEPTED#", "QUEUED#", "HELD#"];
    let mut table = Table::new(&heads);
    for row in &page.rows {
        table.row([
            row.name.to_string(),
            state(row),
            row.proof.clone(),
            row.class.to_string(),
            row.accepted.to_string(),
            row.queued.to_string(),
            row.held.to_string(),
        ]);
    }
    table.text() + &foot(page, "sources")
}

fn source(detail: &SourceDetail) -> String {
    let row = &detail.row;
    let networks =
        if detail.networks.is_empty() { "any".to_owned() } else { detail.networks.join(", ") };
    let mut rows = vec![
        ("source", row.name.to_string()),
        ("state", state(row)),
        ("proof", row.proof.clone()),
        ("class", row.class.to_string()),
        ("networks", networks),
        ("queued", format!("{} messages, {} held", row.queued, row.held)),
        ("accepted", format!("{} messages since the start", row.accepted)),
    ];
    rows.extend(detail.user.iter().map(|user| ("user", user.clone())));
    rows.extend(detail.switched.iter().map(|text| ("switched", text.clone())));
    rows.extend(detail.expires.iter().map(|at| ("expires", at.rfc3339())));
    rows.extend(detail.owner.iter().map(|owner| ("owner", owner.clone())));
    rows.extend(detail.secrets.iter().map(|secret| ("secret", secret.clone())));
    rows.extend(detail.pairs.iter().map(|pair| ("may send", pair.clone())));
    rows.extend(detail.notes.iter().map(|note| ("note", note.clone())));
    pairs(&rows)
}

fn rotated(rotated: &Rotated) -> String {
    let mut text = pairs(&[
        ("source", rotated.name.to_string()),
        ("user", rotated.user.clone()),
        ("password", rotated.password.clone()),
        ("old password", format!("valid until {}", rotated.grace_until)),
    ]);
    text.push_str("This is the only time that the password is shown.\n");
    text
}

fn egresses(rows: &[EgressRow]) -> String {
    let mut table =
        Table::new(&["NAME", "POOLS", "DEVICE", "ADDRESSES", "STATE", "SINCE", "BY", "WHY"]);
    let mut below = String::new();
    for row in rows {
        let others = row.pools.iter().filter(|pool| **pool != row.name);
        let address = |family: &FamilyRow| match &family.reason {
            Some(_) => format!("{} ({})", family.address, family.state),
            None => family.address.clone(),
        };
        let addresses = row.families.iter().map(address).collect::<Vec<_>>();
        table.row([
            row.name.clone(),
            others.cloned().collect::<Vec<_>>().join(", "),
            row.device.clone().unwrap_or_else(|| "any".to_owned()),
            addresses.join(", "),
            row.state.clone(),
            row.since.map_or_else(String::new, |since| since.to_string()),
            row.by.clone().unwrap_or_default(),
            row.reason.clone().unwrap_or_default(),
        ]);
        for (provider, reply) in &row.listed {
            below += &harmless(&format!("{}: listed, says {provider}: {reply}", row.name));
            below.push('\n');
        }
        if let Some(warm_up) = &row.warm_up {
            below += &harmless(&format!("{}: warms up, {warm_up}", row.name));
            below.push('\n');
        }
    }
    table.text() + &below
}

fn settings(rows: &[SettingRow]) -> String {
    rows.iter().map(|row| harmless(&format!("{} = {}", row.key, row.value)) + "\n").collect()
}

fn checked(checked: &Checked) -> String {
    let mut text = String::new();
    for warning in &checked.warnings {
        text.push_str(&(harmless(&format!("warning: {warning}")) + "\n"));
    }
    for complaint in &checked.complaints {
        text.push_str(&(harmless(complaint) + "\n"));
    }
    let verdict = match (checked.good, checked.complaints.len()) {
        (true, _) => "the configuration is good\n".to_owned(),
        (false, 1) => "1 complaint; nothing was changed\n".to_owned(),
        (false, count) => format!("{count} complaints; nothing was changed\n"),
    };
    text + &verdict
}

fn differences(rows: &[DifferenceRow]) -> String {
    if rows.is_empty() {
        return "no difference\n".to_owned();
    }
    let line = |sign: &str, key: &str, value: &Option<String>| {
        value
            .as_ref()
            .map_or_else(String::new, |value| harmless(&format!("{sign} {key} = {value}")) + "\n")
    };
    rows.iter().map(|row| line("-", &row.key, &row.old) + &line("+", &row.key, &row.new)).collect()
}

fn audit(page: &Page<Recorded>) -> String {
    let mut table = Table::new(&["SEQ#", "TIME", "WHO", "WHAT", "TO", "OUTCOME"]);
    for row in &page.rows {
        table.row([
            row.seq.to_string(),
            row.time.rfc3339(),
            row.deed.actor.clone(),
            row.deed.action.clone(),
            row.deed.subject.clone(),
            row.deed.outcome.clone(),
        ]);
    }
    table.text() + &foot(page, "records")
}

/// What a verification found, in a line.
pub(super) fn verified(found: &Verification) -> String {
    let verdict = if found.good { "good" } else { "BAD" };
    harmless(&format!("{verdict}: {}", found.finding)) + "\n"
}
