//! What happens, live: facts in short lines that fit a terminal of 100 columns.
//!
//! A thread of its own writes them, so that a terminal that is slow or gone never holds the
//! gateway up; what does not fit its bounded queue is counted and said.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::base::id::QueueId;
use crate::event::herald::{Herald, Told};
use crate::event::{Attempt, Event, Loudness, harmless};

/// Facts that may wait for the terminal.
const WAITING_MAX: usize = 4096;
/// Columns before the words of a line: time, word and message.
const INDENT: &str = "                              ";
/// Columns for the text, of 100.
const TEXT_COLUMNS: usize = 70;

enum Word {
    Fact(Arc<Told>),
    End,
}

/// Shows facts as they are told.
pub(super) struct Live {
    sender: SyncSender<Word>,
    receiver: Option<Receiver<Word>>,
    missed: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Listens from now on; nothing is shown before [`Live::begin`].
    pub(super) fn listen(herald: &Herald) -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        let (facts, lost) = (sender.clone(), Arc::clone(&missed));
        herald.attach(Box::new(move |told: &Arc<Told>| {
            if !lines(told).is_empty() && facts.try_send(Word::Fact(Arc::clone(told))).is_err() {
                lost.fetch_add(1, Ordering::Relaxed);
            }
            true
        }));
        Self { sender, receiver: Some(receiver), missed, thread: None }
    }

    /// Shows what was told so far and what comes.
    pub(super) fn begin(&mut self) {
        let missed = Arc::clone(&self.missed);
        if let Some(receiver) = self.receiver.take() {
            self.thread = Some(std::thread::spawn(move || show(&receiver, &missed)));
        }
    }

    /// Shows the rest.
    pub(super) fn end(mut self) {
        if let Some(thread) = self.thread.take()
            && self.sender.send(Word::End).is_ok()
        {
            // A thread that panicked has shown what it could.
            let _ = thread.join();
        }
    }
}

fn show(receiver: &Receiver<Word>, missed: &AtomicU64) {
    while let Ok(Word::Fact(told)) = receiver.recv() {
        for line in lines(&told) {
            say(&line);
        }
        let missed = missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            say(&format!("{INDENT}({missed} facts came too fast to be shown)"));
        }
    }
}

/// Writes a line to standard output. Whoever has closed it does not want to know.
pub(super) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A fact in lines; none for what only a journal needs.
pub(super) fn lines(told: &Told) -> Vec<String> {
    let at = told.at.rfc3339();
    let at = at.get(11..23).unwrap_or(&at);
    let mut lines = Vec::new();
    for (number, (word, id, text)) in rows(&told.event).into_iter().enumerate() {
        let at = if number == 0 { at } else { "" };
        let id = id.map_or_else(String::new, short);
        let mut start = format!("{at:12} {word:<9} {id:<6} ");
        let text = harmless(&text);
        let mut rest = text.as_str();
        while let Some((line, more)) = fold(rest) {
            lines.push(format!("{start}{line}"));
            INDENT.clone_into(&mut start);
            rest = more;
        }
        lines.push(format!("{start}{rest}"));
    }
    lines
}

/// The words that fit a line, and the rest; nothing if all of them fit.
fn fold(text: &str) -> Option<(&str, &str)> {
    let (over, _) = text.char_indices().nth(TEXT_COLUMNS)?;
    // A word that is longer than the line is left whole: it may be copied.
    let space = text[..over].rfind(' ').or_else(|| Some(over + text[over..].find(' ')?))?;
    Some((&text[..space], &text[space + 1..]))
}

/// The end of an id tells messages of one run apart.
fn short(id: QueueId) -> String {
    let id = id.to_string();
    id.get(id.len().saturating_sub(6)..).unwrap_or_default().to_owned()
}

type Row = (&'static str, Option<QueueId>, String);

fn rows(event: &Event) -> Vec<Row> {
    match event {
        Event::MessageAccepted {
            id, reverse_path, recipients, octets, source, signatures, ..
        } => {
            let to = if *recipients == 1 { "recipient" } else { "recipients" };
            let from = format!("<{reverse_path}> by source {source}, {recipients} {to}");
            let signed = if signatures.is_empty() {
                "no".to_owned()
            } else {
                format!("by {}", signatures.join(" and "))
            };
            vec![
                ("accepted", Some(*id), from),
                ("", None, format!("{octets} octets, queued as {id}")),
                ("signed", Some(*id), signed),
            ]
        }
        Event::RecipientDelivered(attempt) => outcome("delivered", attempt, None),
        Event::RecipientDeferred { attempt, next } => {
            let next = next.rfc3339();
            let again = format!("again at {}", next.get(11..19).unwrap_or(&next));
            outcome("deferred", attempt, Some(again))
        }
        Event::RecipientFailed(attempt) => outcome("refused", attempt, None),
        Event::RecipientExpired(attempt) => outcome("expired", attempt, None),
        Event::ReportQueued { id, about, to, kind } => {
            let text = format!("<{to}> gets a {kind} report, message {}", short(*id));
            vec![("reported", Some(*about), text)]
        }
        Event::MessageCompleted { id } => {
            vec![("complete", Some(*id), "every recipient has an outcome".to_owned())]
        }
        Event::MessageRefused { reverse_path, reason, reply, .. } => vec![
            ("no", None, format!("<{reverse_path}> was refused by rule {reason}")),
            ("", None, reply.clone()),
        ],
        Event::SpoolOpened { live, .. } if *live > 0 => {
            vec![("resumed", None, format!("{live} messages of an earlier run"))]
        }
        event if event.loudness() > Loudness::Info => vec![("notice", None, event.text())],
        Event::SourceStateChanged { .. }
        | Event::MessagesHeld { .. }
        | Event::MessagesReleased { .. }
        | Event::LaneSlowed { .. }
        | Event::LaneReleased { .. }
        | Event::EgressResumed { .. } => vec![("notice", None, event.text())],
        _ => Vec::new(),
    }
}

fn outcome(word: &'static str, attempt: &Attempt, again: Option<String>) -> Vec<Row> {
    let host = attempt.relay.split('[').next().unwrap_or_default();
    let mut text = format!("<{}>", attempt.recipient);
    if host != "none" {
        text = format!("{text} at {host}");
    }
    let mut rows = vec![(word, Some(attempt.id), text), ("", None, attempt.reply.to_string())];
    if let Some(again) = again {
        rows.push(("", None, format!("attempt {}, {again}", attempt.attempts)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::WallTime;
    use crate::mail::reply::PeerReply;
    use crate::mail::status::EnhancedStatus;

    #[test]
    fn a_deferral_reads_well_and_fits_a_terminal() {
        let attempt = Attempt {
            id: QueueId(12_345),
            source: "billing".to_owned().try_into().unwrap(),
            class: crate::mail::class::MessageClass::Transactional,
            recipient: "defer-ann@inbox.example".to_owned(),
            relay: "mx.internet.example[127.0.0.1]:25".to_owned(),
            provider: None,
            egress: "internet".to_owned(),
            tls: "none".to_owned(),
            assurance: crate::mail::trust::Assurance::Clear,
            attempts: 1,
            delay_millis: 10,
            reply: PeerReply::new(451, Some(EnhancedStatus::new(4, 2, 1)), "Later\u{1b}"),
        };
        let next = WallTime::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let event = Event::RecipientDeferred { attempt, next };
        let lines = lines(&Told { number: 1, at: next, event });
        assert_eq!(
            lines,
            [
                "03:04:05.000 deferred  000C1S <defer-ann@inbox.example> at mx.internet.example",
                "                              451 4.2.1 Later?",
                "                              attempt 1, again at 03:04:05"
            ]
        );
    }

    #[test]
    fn long_words_are_folded_at_spaces_only() {
        assert_eq!(fold("short"), None);
        let words = "word ".repeat(20);
        let (line, rest) = fold(&words).unwrap();
        assert_eq!((line.len(), rest.len()), (69, 30));
        let long = "x".repeat(90);
        assert_eq!(fold(&long), None);
        assert_eq!(fold(&format!("{long} y")), Some((long.as_str(), "y")));
    }

    #[test]
    fn what_only_a_journal_needs_is_not_shown() {
        let at = WallTime::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        let event = Event::SessionOpened { peer, listener: "submission".to_owned() };
        assert!(lines(&Told { number: 1, at, event }).is_empty());
    }
}
