//! Everything that was answered, what will be published, and what the real check says about it.

use super::answers::{Answers, Question, Role};
use super::document::document;
use super::questions::wording;
use crate::config::checked::Config;
use crate::config::{Anywhere, read};
use crate::console::ask::Drawn;
use crate::console::outbox::{Action, Outbox};
use crate::console::strength::judge;
use crate::console::words::Language;
use crate::control::host::answer::LinkRow;
use crate::sign::records::to_publish;

/// Whether there is something at the other end of a port's cable.
pub(super) fn linked(port: &LinkRow) -> bool {
    port.carrier || port.state == "up"
}

/// A port in a line.
pub(super) fn port(port: &LinkRow, language: Language) -> String {
    let driver = port.driver.as_ref().map_or_else(String::new, |name| format!(", {name}"));
    let speed = port
        .speed_mbit
        .filter(|_| linked(port))
        .map_or_else(String::new, |speed| format!(", {speed} Mbit/s"));
    let link = language.tr(if linked(port) { "link" } else { "no link" });
    format!("{}, {}{driver}, {link}{speed}", port.name, port.mac)
}

/// What the real check says against the whole.
pub(super) fn complaints(answers: &Answers, ports: &[LinkRow], drawn: &Drawn) -> Vec<String> {
    match checked(answers, ports, drawn) {
        Ok(_) => Vec::new(),
        Err(complaints) => complaints,
    }
}

fn checked(
    answers: &Answers,
    ports: &[LinkRow],
    drawn: &Drawn,
) -> Result<(Config, Vec<String>), Vec<String>> {
    match read(&document(answers, ports, Some(drawn)), &Anywhere) {
        Ok(reading) => {
            let warnings = reading.warnings.iter().map(ToString::to_string).collect();
            Ok((reading.config, warnings))
        }
        Err(complaints) => Err(complaints.iter().map(ToString::to_string).collect()),
    }
}

/// Prints the review.
pub(super) fn show(answers: &Answers, ports: &[LinkRow], drawn: &Drawn, out: &mut Outbox) {
    out.say("");
    let language = out.language;
    out.say("Review. Nothing has been changed yet.");
    for (index, question) in answers.path().into_iter().enumerate() {
        let Some(value) = value(question, answers, ports, language) else { continue };
        let title = language.say(&wording(question).title);
        let title = title.split(": ").next().unwrap_or_default();
        out.quote(&format!("{:2} {title}: {value}", index + 1), 5);
    }
    match checked(answers, ports, drawn) {
        Ok((config, warnings)) => {
            for warning in warnings {
                out.quote(&language.fill("Note: {}", &[&warning]), 2);
            }
            publish(&config, drawn, out);
        }
        Err(complaints) => {
            out.say("This is wrong and must be changed first:");
            out.lines(complaints);
        }
    }
}

pub(super) fn value(
    question: Question,
    answers: &Answers,
    ports: &[LinkRow],
    language: Language,
) -> Option<String> {
    Some(match question {
        Question::Again => return None,
        Question::Passphrase => {
            let passphrase = answers.passphrase.as_ref()?;
            let strength = judge(passphrase.expose(), answers.get(Question::HostName)).ok();
            let strength = strength.map_or("", |strength| language.tr(strength.word()));
            language.fill("set, {}", &[&strength])
        }
        Question::Ports(role) if answers.has(role) => with_mac(role, answers, ports),
        other => answers.get(other).to_owned(),
    })
}

fn with_mac(role: Role, answers: &Answers, ports: &[LinkRow]) -> String {
    let text = answers.get(Question::Ports(role));
    match ports.iter().find(|port| port.name == text) {
        Some(port) => format!("{text} ({})", port.mac),
        None => text.to_owned(),
    }
}

/// The records as lines of a zone file that can be copied from the screen.
fn publish(config: &Config, drawn: &Drawn, out: &mut Outbox) {
    let keys: Vec<_> = drawn.keys.iter().map(|key| key.record.clone()).collect();
    out.say("");
    out.quote(&format!("; {}", out.language.tr("Records to publish in DNS")), 0);
    for record in to_publish(config, &keys) {
        out.quote(&format!("; {}", record.what), 0);
        // Not folded: they are copied as they are.
        for line in record.zone_lines() {
            out.push(Action::Print(line));
        }
    }
    out.say("");
}
