//! Lanes as text for people.

use super::foot;
use crate::base::time::WallTime;
use crate::cli::table::{Table, distance, span};
use crate::control::answer::Page;
use crate::control::lanes::{HeldRow, LaneRow};
use crate::event::Delay;

/// A page of lanes: a line for each, and what is the matter with those that are not open.
pub(super) fn lanes(page: &Page<LaneRow>, now: WallTime) -> String {
    let heads = [
        "LANE",
        "EGRESS",
        "STATE",
        "CONN",
        "RATE",
        "OTP#",
        "TRANS#",
        "SUBSCR#",
        "HELD#",
        "OLDEST#",
        "NEXT",
        "TOP DOMAINS",
    ];
    let mut table = Table::new(&heads);
    for row in &page.rows {
        let top = row.top.iter().map(|top| format!("{} {}", top.domain, top.messages));
        table.row([
            row.lane.clone(),
            row.egress.clone(),
            state(row, now),
            format!("{}/{}/{}", row.connections, row.allowed, row.connections_max),
            row.messages_per_minute.map_or_else(|| "-".to_owned(), |rate| format!("{rate}/min")),
            row.classes.otp.to_string(),
            row.classes.transactional.to_string(),
            row.classes.subscribed.to_string(),
            row.held.to_string(),
            row.oldest.map_or_else(String::new, |oldest| span(now.since(oldest))),
            row.next.map_or_else(String::new, |next| distance(now, next)),
            top.collect::<Vec<_>>().join(", "),
        ]);
    }
    let mut text = table.text();
    let mut said = Table::new(&["LANE", "EGRESS", "LAST ANSWER OR REASON"]);
    let mut any = false;
    for row in &page.rows {
        if let Some(words) = row.reason.as_ref().or(row.reply.as_ref()) {
            any = true;
            said.row([row.lane.clone(), row.egress.clone(), words.clone()]);
        }
    }
    if any {
        text = text + "\n" + &said.text();
    }
    let known: Vec<&Delay> = page.rows.iter().flat_map(|row| &row.delays).collect();
    text + &delays(&known) + "\n" + &foot(page, "lanes")
}

fn state(row: &LaneRow, now: WallTime) -> String {
    let until = row.until.map_or_else(String::new, |until| match row.state.as_str() {
        "held" => format!(", probe {}", distance(now, until)),
        _ => format!(", ends {}", distance(now, until)),
    });
    format!("{}{until}", row.state)
}

/// How long deliveries took; nothing if there were none.
pub(super) fn delays(rows: &[&Delay]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["PROVIDER", "CLASS", "DELIVERED#", "P50 S#", "P99 S#"]);
    let seconds = |millis: u64| format!("{}.{:03}", millis / 1000, millis % 1000);
    for row in rows {
        table.row([
            row.provider.clone(),
            row.class.to_string(),
            row.delivered.to_string(),
            seconds(row.p50_millis),
            seconds(row.p99_millis),
        ]);
    }
    "\n".to_owned() + &table.text()
}

/// A line of the status for mail that is held for a fault of ours.
pub(super) fn held(row: &HeldRow, now: WallTime) -> String {
    let whose =
        row.source.as_ref().map_or_else(|| "all mail".to_owned(), |s| format!("mail of {s}"));
    format!(
        "{whose} to {} from {} for {}: {} ({}); look at {}; next probe {}",
        row.lane,
        row.egress,
        span(now.since(row.since)),
        row.what,
        row.reply,
        row.remedy,
        distance(now, row.probe)
    )
}
