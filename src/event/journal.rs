//! A fact as journald fields: fixed names, so that `journalctl POSTERN_MESSAGE_ID=..` works.
//!
//! The only place where a fact meets `tracing`. Field names become upper case on the way to the
//! journal. A field must never be called `message_id`: journald reserves `MESSAGE_ID` for the
//! 128-bit catalogue id of the *kind* of entry.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format;
use tracing_subscriber::prelude::*;

use super::Event;
use super::herald::Told;
use super::words::{Loudness, harmless};

/// Where facts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// journald's own protocol, with fields.
    Journal,
    /// Lines on standard error.
    StandardError,
}

/// Installs the subscriber of the process: journald if `under_journal` and it answers, else lines
/// on standard error. Words of foreign crates are let through from warnings up. A second call
/// changes nothing.
pub fn install(under_journal: bool) -> Output {
    let loud = Targets::new().with_target("postern", Level::INFO).with_default(Level::WARN);
    let journald = if under_journal { tracing_journald::layer().ok() } else { None };
    if let Some(layer) = journald {
        let layer = layer.with_field_prefix(None).with_syslog_identifier("postern".to_owned());
        let layer = layer.with_priority_mappings(tracing_journald::PriorityMappings {
            info: tracing_journald::Priority::Informational,
            ..tracing_journald::PriorityMappings::new()
        });
        let _ = tracing_subscriber::registry().with(loud).with(layer).try_init();
        return Output::Journal;
    }
    // The sentence says it all to a person; the fields are for the journal.
    let sentence = format::debug_fn(|writer, field, value| {
        if field.name() == "message" { write!(writer, "{value:?}") } else { Ok(()) }
    });
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(|| Lines)
        .with_ansi(false)
        .with_target(false)
        .fmt_fields(sentence);
    if tracing_subscriber::registry().with(loud).with(layer).try_init().is_ok() {
        SENTENCES_ONLY.store(true, Ordering::Relaxed);
    }
    Output::StandardError
}

/// Lines for standard error that go there together.
const GATHERED_OCTETS_MAX: usize = 64 * 1024;

thread_local! {
    /// Lines of this thread that wait for the others of their batch; `None` outside of a batch.
    static GATHERED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Standard error, or what this thread gathers for it.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        GATHERED.with_borrow_mut(|gathered| match gathered {
            Some(lines) => {
                lines.extend_from_slice(octets);
                Ok(octets.len())
            }
            None => io::stderr().write(octets),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes facts to whatever subscriber is installed; lines for standard error in few pieces. May
/// block on it: call it from a thread of its own.
pub fn write_all<'a>(facts: impl IntoIterator<Item = &'a Told>) {
    GATHERED.set(Some(Vec::new()));
    for told in facts {
        write(told);
        GATHERED.with_borrow_mut(|gathered| {
            if let Some(lines) = gathered.as_mut().filter(|l| l.len() >= GATHERED_OCTETS_MAX) {
                hand_over(lines);
                lines.clear();
            }
        });
    }
    if let Some(lines) = GATHERED.take() {
        hand_over(&lines);
    }
}

/// There is nobody to tell that standard error takes nothing.
fn hand_over(lines: &[u8]) {
    let _ = io::stderr().write_all(lines);
}

/// Whether only the sentence of a fact is shown: the fields would be composed for nobody.
static SENTENCES_ONLY: AtomicBool = AtomicBool::new(false);

fn write(told: &Told) {
    let event = &told.event;
    if SENTENCES_ONLY.load(Ordering::Relaxed) {
        return match event.loudness() {
            Loudness::Info => tracing::info!(target: "postern", "{}", event.text()),
            Loudness::Warning => tracing::warn!(target: "postern", "{}", event.text()),
            Loudness::Error => tracing::error!(target: "postern", "{}", event.text()),
        };
    }
    write_fields(told);
}

fn write_fields(told: &Told) {
    let event = &told.event;
    let attempt = event.attempt();
    let id = event.message().map(|id| id.to_string());
    let peer = peer(event);
    let recipient = attempt.map(|attempt| harmless(&attempt.recipient));
    let reply = attempt.map(|attempt| attempt.reply.to_string());
    let dsn = attempt.and_then(|attempt| attempt.reply.status).map(|status| status.to_string());
    let class = class(event);
    let assurance = attempt.map(|attempt| attempt.assurance.word());
    let (mail_message_id, reverse_path) = match event {
        Event::MessageAccepted { mail_message_id, reverse_path, .. } => {
            (Some(harmless(mail_message_id)), Some(harmless(reverse_path)))
        }
        Event::MessageRefused { reverse_path, .. } => (None, Some(harmless(reverse_path))),
        _ => (None, None),
    };
    // One call site for each level: the level of a call site is fixed at compile time.
    macro_rules! entry {
        ($level:ident) => {
            tracing::$level!(
                target: "postern",
                postern_event = event.name(),
                postern_number = told.number,
                postern_message_id = id.as_deref(),
                postern_source = event.source().map(|source| source.as_str()),
                postern_class = class.as_deref(),
                postern_peer = peer.as_deref(),
                postern_mail_message_id = mail_message_id.as_deref(),
                postern_reverse_path = reverse_path.as_deref(),
                postern_recipient = recipient.as_deref(),
                postern_status = event.status_word(),
                postern_dsn = dsn.as_deref(),
                postern_reply = reply.as_deref(),
                postern_relay = attempt.map(|attempt| attempt.relay.as_str()),
                postern_egress = egress(event),
                postern_tls = attempt.map(|attempt| attempt.tls.as_str()),
                postern_assurance = assurance,
                postern_attempts = attempt.map(|attempt| attempt.attempts),
                postern_delay_millis = attempt.map(|attempt| attempt.delay_millis),
                postern_reason = reason(event).map(harmless).as_deref(),
                "{}",
                event.text()
            )
        };
    }
    match event.loudness() {
        Loudness::Info => entry!(info),
        Loudness::Warning => entry!(warn),
        Loudness::Error => entry!(error),
    }
}

fn peer(event: &Event) -> Option<String> {
    match event {
        Event::SessionOpened { peer, .. }
        | Event::SessionRefused { peer, .. }
        | Event::SessionClosed { peer, .. }
        | Event::SourceIdentified { peer, .. }
        | Event::SourceRefused { peer, .. }
        | Event::MessageAccepted { peer, .. }
        | Event::MessageRefused { peer, .. } => Some(peer.to_string()),
        _ => None,
    }
}

fn class(event: &Event) -> Option<String> {
    match event {
        Event::MessageAccepted { class, .. } => Some(class.to_string()),
        other => other.attempt().map(|attempt| attempt.class.to_string()),
    }
}

fn egress(event: &Event) -> Option<&str> {
    match event {
        Event::EgressSuspended { egress, .. }
        | Event::EgressImpaired { egress, .. }
        | Event::EgressResumed { egress }
        | Event::DnssecLost { egress, .. }
        | Event::DnssecProved { egress }
        | Event::EgressChecked { egress, .. }
        | Event::EgressCheckFailed { egress, .. }
        | Event::EgressCheckMended { egress, .. }
        | Event::OwnDefectSeen { egress, .. }
        | Event::LaneReleased { egress, .. }
        | Event::AddressListed { egress, .. } => Some(egress),
        other => other.attempt().map(|attempt| attempt.egress.as_str()),
    }
}

fn reason(event: &Event) -> Option<&str> {
    match event {
        Event::ServiceStopping { reason }
        | Event::SessionRefused { reason, .. }
        | Event::SessionClosed { reason, .. }
        | Event::SourceRefused { reason, .. }
        | Event::MessageRefused { reason, .. }
        | Event::ReportOmitted { reason, .. }
        | Event::LaneSlowed { reason, .. }
        | Event::StateRebuilt { reason, .. }
        | Event::RecordQuarantined { reason, .. }
        | Event::MessageQuarantined { reason, .. }
        | Event::SpoolLatched { reason }
        | Event::EgressSuspended { reason, .. }
        | Event::EgressImpaired { reason, .. }
        | Event::DnssecLost { reason, .. }
        | Event::EgressCheckFailed { reason, .. }
        | Event::EgressCheckMended { reason, .. }
        | Event::GenerationTakenBack { reason, .. }
        | Event::SetupRefused { reason, .. }
        | Event::UpdateMoved { reason, .. }
        | Event::RoleRestarted { reason, .. }
        | Event::HealthChecked { reason, .. }
        | Event::RoleStopped { reason, .. } => Some(reason),
        _ => None,
    }
}
