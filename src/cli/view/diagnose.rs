//! Diagnoses and live traces as text for people.

use crate::cli::table::Table;
use crate::control::diagnose::Diagnosis;
use crate::control::dialogue::{Dialogue, DialogueRow, Speaker};
use crate::event::harmless;

pub(super) fn diagnosis(found: &Diagnosis) -> String {
    let mut table = Table::new(&["STEP", "HOW", "WHAT"]);
    for step in &found.steps {
        table.row([step.step.clone(), step.grade.to_string(), step.text.clone()]);
    }
    let next = found.next.as_ref().map_or_else(String::new, |next| format!("next: {next}"));
    let head = format!("{} {} by {}", found.test, found.target, found.role);
    let foot = if next.is_empty() { next } else { harmless(&next) + "\n" };
    harmless(&head) + "\n" + &table.text() + &foot
}

pub(in crate::cli) fn dialogue(dialogue: &Dialogue) -> String {
    dialogue.rows.iter().map(row).collect()
}

fn row(row: &DialogueRow) -> String {
    let speaker = match row.speaker {
        Speaker::Client => "C:",
        Speaker::Server => "S:",
        Speaker::Trace => "--",
    };
    let at = row.at.rfc3339();
    let line = format!("{} [{}] {speaker} {}", at, row.session, row.text);
    harmless(&line) + "\n"
}
