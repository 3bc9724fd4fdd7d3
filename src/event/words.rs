//! A fact in words: one line that a Postfix administrator can read, and what it is about.
//!
//! Names that came from strangers (user names, addresses) are made harmless here, so that no line
//! can break a journal or a terminal.

use std::fmt::Write as _;

use super::{Attempt, Event};
use crate::base::id::QueueId;
use crate::mail::gate;
use crate::mail::source::SourceName;
use crate::mail::trust::Assurance;

/// How loud a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Ordinary business.
    Info,
    /// Somebody should look at it today.
    Warning,
    /// Somebody should look at it now.
    Error,
}

/// `text` on one line: control characters and characters that turn the direction of writing
/// become `?`.
#[must_use]
pub fn harmless(text: &str) -> String {
    let wicked = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if wicked(c) { '?' } else { c }).collect()
}

/// Why a report was not written, in words; what is no stable word is said as it is.
#[must_use]
pub fn omission(reason: &str) -> &str {
    match reason {
        "nowhere-to-go" => "the reverse-path is null and the source has no owner",
        "about-notification" => "it is a report itself",
        other => other,
    }
}

impl Event {
    /// The stable name of the fact in snake case, as its JSON form has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ServiceStarted { .. } => "service_started",
            Self::ServiceStopping { .. } => "service_stopping",
            Self::ConfigLoaded { .. } => "config_loaded",
            Self::ConfigRefused { .. } => "config_refused",
            Self::SessionOpened { .. } => "session_opened",
            Self::SessionRefused { .. } => "session_refused",
            Self::SessionClosed { .. } => "session_closed",
            Self::SourceIdentified { .. } => "source_identified",
            Self::SourceRefused { .. } => "source_refused",
            Self::SourceStateChanged { .. } => "source_state_changed",
            Self::MessageAccepted { .. } => "message_accepted",
            Self::MessageRefused { .. } => "message_refused",
            Self::RecipientDelivered(_) => "recipient_delivered",
            Self::RecipientDeferred { .. } => "recipient_deferred",
            Self::RecipientFailed(_) => "recipient_failed",
            Self::RecipientExpired(_) => "recipient_expired",
            Self::DeliveryInDoubt(_) => "delivery_in_doubt",
            Self::ReportQueued { .. } => "report_queued",
            Self::ReportOmitted { .. } => "report_omitted",
            Self::MessageCompleted { .. } => "message_completed",
            Self::MessagesHeld { .. } => "messages_held",
            Self::MessagesReleased { .. } => "messages_released",
            Self::MessagesPurged { .. } => "messages_purged",
            Self::LaneSlowed { .. } => "lane_slowed",
            Self::OwnDefectSeen { .. } => "own_defect_seen",
            Self::LaneReleased { .. } => "lane_released",
            Self::AddressListed { .. } => "address_listed",
            Self::SpoolOpened { .. } => "spool_opened",
            Self::StateRebuilt { .. } => "state_rebuilt",
            Self::RecordQuarantined { .. } => "record_quarantined",
            Self::MessageQuarantined { .. } => "message_quarantined",
            Self::SpoolPressureChanged { .. } => "spool_pressure_changed",
            Self::SpoolLatched { .. } => "spool_latched",
            Self::EgressSuspended { .. } => "egress_suspended",
            Self::EgressImpaired { .. } => "egress_impaired",
            Self::EgressResumed { .. } => "egress_resumed",
            Self::DnssecLost { .. } => "dnssec_lost",
            Self::DnssecProved { .. } => "dnssec_proved",
            Self::EgressChecked { .. } => "egress_checked",
            Self::EgressCheckFailed { .. } => "egress_check_failed",
            Self::EgressCheckMended { .. } => "egress_check_mended",
            Self::TlsDowngraded { .. } => "tls_downgraded",
            Self::TlsReportSent { .. } => "tls_report_sent",
            Self::RoleRestarted { .. } => "role_restarted",
            Self::RoleStopped { .. } => "role_stopped",
            Self::StopAllChanged { .. } => "stop_all_changed",
            Self::GenerationApplied { .. } => "generation_applied",
            Self::GenerationConfirmed { .. } => "generation_confirmed",
            Self::GenerationTakenBack { .. } => "generation_taken_back",
            Self::SetupTaken { .. } => "setup_taken",
            Self::SetupRefused { .. } => "setup_refused",
            Self::HealthChecked { .. } => "health_checked",
            Self::ControlActed { .. } => "control_acted",
            Self::UpdateMoved { .. } => "update_moved",
            Self::FaultSeen { .. } => "fault_seen",
        }
    }

    /// How loud it is.
    #[must_use]
    pub fn loudness(&self) -> Loudness {
        match self {
            Self::SpoolLatched { .. }
            | Self::RoleStopped { .. }
            | Self::OwnDefectSeen { .. }
            | Self::HealthChecked { healthy: false, .. } => Loudness::Error,
            Self::UpdateMoved { state, .. } if state == "rolled-back" => Loudness::Error,
            Self::UpdateMoved { state, .. } if state == "failed" => Loudness::Warning,
            Self::ConfigRefused { .. }
            | Self::SourceRefused { .. }
            | Self::RecipientFailed(_)
            | Self::RecipientExpired(_)
            | Self::DeliveryInDoubt(_)
            | Self::ReportOmitted { .. }
            | Self::MessagesPurged { .. }
            | Self::StateRebuilt { .. }
            | Self::RecordQuarantined { .. }
            | Self::MessageQuarantined { .. }
            | Self::SpoolPressureChanged { .. }
            | Self::EgressSuspended { .. }
            | Self::EgressImpaired { .. }
            | Self::DnssecLost { .. }
            | Self::EgressCheckFailed { .. }
            | Self::AddressListed { .. }
            | Self::TlsDowngraded { .. }
            | Self::RoleRestarted { .. }
            | Self::StopAllChanged { .. }
            | Self::GenerationTakenBack { .. }
            | Self::SetupRefused { .. }
            | Self::FaultSeen { .. } => Loudness::Warning,
            _ => Loudness::Info,
        }
    }

    /// The outcome of one attempt, if the fact is one.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::RecipientDelivered(attempt)
            | Self::RecipientDeferred { attempt, .. }
            | Self::RecipientFailed(attempt)
            | Self::RecipientExpired(attempt)
            | Self::DeliveryInDoubt(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// The message that the fact is about.
    #[must_use]
    pub fn message(&self) -> Option<QueueId> {
        match self {
            Self::MessageAccepted { id, .. }
            | Self::ReportQueued { about: id, .. }
            | Self::ReportOmitted { about: id, .. }
            | Self::MessageCompleted { id }
            | Self::MessageQuarantined { id, .. } => Some(*id),
            Self::RecordQuarantined { id, .. } => *id,
            other => other.attempt().map(|attempt| attempt.id),
        }
    }

    /// The source that the fact is about.
    #[must_use]
    pub fn source(&self) -> Option<&SourceName> {
        match self {
            Self::SourceIdentified { source, .. }
            | Self::SourceStateChanged { source, .. }
            | Self::MessageAccepted { source, .. } => Some(source),
            Self::MessageRefused { source, .. }
            | Self::OwnDefectSeen { source, .. }
            | Self::LaneReleased { source, .. } => source.as_ref(),
            other => other.attempt().map(|attempt| &attempt.source),
        }
    }

    /// A letter of the health gate's, which is no mail of anybody's: both its source and its domain
    /// say so, for a source may have that name where the gate sends no letters.
    #[must_use]
    pub fn is_of_the_gate(&self) -> bool {
        let (source, mailbox) = match self {
            Self::MessageAccepted { source, reverse_path, .. } => (Some(source), reverse_path),
            Self::MessageRefused { source, reverse_path, .. } => (source.as_ref(), reverse_path),
            other => match other.attempt() {
                Some(attempt) => (Some(&attempt.source), &attempt.recipient),
                None => return false,
            },
        };
        source.is_some_and(|source| source.as_str() == gate::NAME)
            && mailbox.rsplit_once('@').is_some_and(|(_, domain)| domain == gate::DOMAIN)
    }

    /// Postfix's `status=` word, if the fact is an outcome.
    #[must_use]
    pub fn status_word(&self) -> Option<&'static str> {
        match self {
            Self::RecipientDelivered(_) => Some("sent"),
            Self::RecipientDeferred { .. } => Some("deferred"),
            Self::RecipientFailed(_) => Some("bounced"),
            Self::RecipientExpired(_) => Some("expired"),
            Self::DeliveryInDoubt(_) => Some("in-doubt"),
            _ => None,
        }
    }

    /// One line for people.
    #[must_use]
    pub fn text(&self) -> String {
        let text = match self {
            Self::MessageAccepted { .. }
            | Self::MessageRefused { .. }
            | Self::ReportQueued { .. }
            | Self::ReportOmitted { .. }
            | Self::MessageCompleted { .. }
            | Self::MessagesHeld { .. }
            | Self::MessagesReleased { .. }
            | Self::MessagesPurged { .. }
            | Self::RecordQuarantined { .. }
            | Self::MessageQuarantined { .. } => self.message_text(),
            Self::RecipientDelivered(attempt)
            | Self::RecipientFailed(attempt)
            | Self::RecipientExpired(attempt)
            | Self::DeliveryInDoubt(attempt) => self.outcome_text(attempt),
            Self::RecipientDeferred { attempt, next } => {
                format!("{}, next={}", self.outcome_text(attempt), next.rfc3339())
            }
            Self::SessionOpened { .. }
            | Self::SessionRefused { .. }
            | Self::SessionClosed { .. }
            | Self::SourceIdentified { .. }
            | Self::SourceRefused { .. }
            | Self::SourceStateChanged { .. } => self.session_text(),
            Self::LaneSlowed { .. }
            | Self::OwnDefectSeen { .. }
            | Self::LaneReleased { .. }
            | Self::AddressListed { .. } => self.lane_text(),
            Self::EgressImpaired { .. }
            | Self::EgressSuspended { .. }
            | Self::EgressResumed { .. }
            | Self::DnssecLost { .. }
            | Self::DnssecProved { .. }
            | Self::EgressChecked { .. }
            | Self::EgressCheckFailed { .. }
            | Self::EgressCheckMended { .. } => self.egress_text(),
            _ => self.house_text(),
        };
        harmless(&text)
    }

    /// As Postfix writes the end of a delivery.
    fn outcome_text(&self, attempt: &Attempt) -> String {
        let (whole, tenths) = (attempt.delay_millis / 1000, attempt.delay_millis % 1000 / 100);
        let mut text = format!(
            "{}: to=<{}>, relay={}, delay={whole}.{tenths}",
            attempt.id, attempt.recipient, attempt.relay
        );
        if let Some(status) = attempt.reply.status {
            let _ = write!(text, ", dsn={status}");
        }
        let _ = write!(
            text,
            ", status={} ({}), source={}, egress={}, tls={}, attempts={}",
            self.status_word().unwrap_or("unknown"),
            attempt.reply,
            attempt.source,
            attempt.egress,
            secured(attempt),
            attempt.attempts
        );
        text
    }

    fn message_text(&self) -> String {
        match self {
            Self::MessageAccepted {
                id,
                source,
                class,
                peer,
                reverse_path,
                from,
                mail_message_id,
                recipients,
                octets,
                signatures,
                priority,
                deadline,
            } => format!(
                "{id}: from=<{reverse_path}>, size={octets}, nrcpt={recipients}, source={source}, \
                 class={class}, client={peer}, author=<{from}>, message-id={mail_message_id}, \
                 signed={}{}{}",
                if signatures.is_empty() { "no".to_owned() } else { signatures.join("+") },
                priority.map_or_else(String::new, |priority| format!(", priority={priority}")),
                deadline.map_or_else(String::new, |deadline| format!(", deliver-by={deadline}")),
            ),
            Self::MessageRefused { source, peer, reverse_path, reason, reply } => format!(
                "refused: client={peer}, source={}, from=<{reverse_path}>, rule={reason} ({reply})",
                source.as_ref().map_or("none", SourceName::as_str)
            ),
            Self::ReportQueued { id, about, to, kind } => {
                format!("{about}: {kind} report {id} queued to=<{to}>")
            }
            Self::ReportOmitted { about, reason } => {
                format!("{about}: no report was written: {}", omission(reason))
            }
            Self::MessageCompleted { id } => format!("{id}: removed"),
            Self::MessagesHeld { by, messages } => format!("{by} put {messages} messages on hold"),
            Self::MessagesReleased { by, messages } => format!("{by} released {messages} messages"),
            Self::MessagesPurged { by, messages } => format!("{by} destroyed {messages} messages"),
            Self::RecordQuarantined { id, place, reason } => format!(
                "{}: a damaged record at {place} was set aside: {reason}",
                id.map_or_else(|| "unknown message".to_owned(), |id| id.to_string())
            ),
            Self::MessageQuarantined { id, reason } => format!("{id}: quarantined: {reason}"),
            _ => String::new(),
        }
    }

    fn session_text(&self) -> String {
        match self {
            Self::SessionOpened { peer, listener } => format!("connect from {peer} to {listener}"),
            Self::SessionRefused { peer, listener, reason } => {
                format!("connection from {peer} to {listener} refused: {reason}")
            }
            Self::SessionClosed { peer, listener, accepted, refused, reason } => format!(
                "disconnect from {peer} at {listener}: accepted={accepted} refused={refused} \
                 ({reason})"
            ),
            Self::SourceIdentified { source, peer, how } => {
                format!("source {source} identified by {how} from {peer}")
            }
            Self::SourceRefused { claimed, peer, reason } => {
                format!("identification as \"{claimed}\" from {peer} failed: {reason}")
            }
            Self::SourceStateChanged { source, state, by, held } => {
                format!("source {source} is now {state} (by {by}); {held} messages held")
            }
            _ => String::new(),
        }
    }

    fn lane_text(&self) -> String {
        let whose = |source: &Option<SourceName>| {
            source.as_ref().map_or_else(|| "all mail".to_owned(), |name| format!("mail of {name}"))
        };
        match self {
            Self::LaneSlowed { lane, connections, wait_millis, reason } => format!(
                "lane {lane} slowed to {connections} connections, waits {wait_millis} ms: {reason}"
            ),
            Self::OwnDefectSeen { provider, what, source, egress, reply, held } => format!(
                "{provider} refuses {} from {egress}: {what} is wrong ({reply}); look at {}{}",
                whose(source),
                what.remedy(),
                if *held { "; it is held, and one message in four hours goes to see" } else { "" }
            ),
            Self::LaneReleased { lane, egress, source, what } => {
                format!("{} from {egress} to {lane}, held for {what}, goes again", whose(source))
            }
            Self::AddressListed { provider, egress, reply } => {
                format!("{provider} says that the address of {egress} has a bad name: {reply}")
            }
            _ => String::new(),
        }
    }

    fn egress_text(&self) -> String {
        match self {
            Self::EgressImpaired { egress, reason } => {
                format!("egress {egress} goes on with one family of addresses: {reason}")
            }
            Self::EgressSuspended { egress, reason, by } => {
                format!("egress {egress} suspended (by {by}), it carries nothing: {reason}")
            }
            Self::EgressResumed { egress } => format!("egress {egress} is whole again"),
            Self::DnssecLost { egress, reason } => {
                format!("egress {egress} cannot prove names by DNSSEC: {reason}")
            }
            Self::DnssecProved { egress } => format!("egress {egress} proves names by DNSSEC"),
            Self::EgressChecked { egress, passed, warned, failed, unknown } => format!(
                "egress {egress} checked: {passed} passed, {warned} to mind, {failed} failed, \
                 {unknown} not known"
            ),
            Self::EgressCheckFailed { egress, item, reason, remedy } => {
                format!("egress {egress}, {item}: {reason}; remedy: {remedy}")
            }
            Self::EgressCheckMended { egress, item, reason } => {
                format!("egress {egress}, {item} is well again: {reason}")
            }
            _ => String::new(),
        }
    }

    fn house_text(&self) -> String {
        match self {
            Self::ServiceStarted { version, listeners, queued } => format!(
                "postern {version} serves on {}; {queued} messages queued",
                listeners.join(", ")
            ),
            Self::ServiceStopping { reason } => format!("stopping: {reason}"),
            Self::ConfigLoaded { path, sources } => {
                format!("configuration {path} in force, {sources} sources")
            }
            Self::ConfigRefused { path, complaints } => {
                format!("configuration {path} refused: {}", complaints.join("; "))
            }
            Self::SpoolOpened { live, segments, state, millis } => format!(
                "spool open after {millis} ms: {live} messages, {segments} segments, state {state}"
            ),
            Self::StateRebuilt { reason, records } => {
                format!("state rebuilt from the ledger, {records} records: {reason}")
            }
            Self::SpoolPressureChanged { state, free_octets, sync_micros } => {
                format!("spool is {state}: {free_octets} octets free, sync takes {sync_micros} us")
            }
            Self::SpoolLatched { reason } => format!(
                "the ledger failed, nothing is accepted or delivered until a restart: {reason}"
            ),
            Self::TlsDowngraded { domain, relay, best, best_at, found } => format!(
                "TLS of {domain} is worth less than it was: {found} at {relay}, {best} until \
                 {best_at}"
            ),
            Self::TlsReportSent { domain, day, sessions_good, sessions_bad } => format!(
                "TLS report for {} sent to {domain}: {sessions_good} sessions well, {sessions_bad} \
                 not",
                &day.rfc3339()[..10]
            ),
            Self::RoleRestarted { role, reason } => format!("{role} was started again: {reason}"),
            Self::RoleStopped { role, reason } => {
                format!("{role} ended too often and rests for a minute: {reason}")
            }
            Self::HealthChecked { line, .. } => line.clone(),
            Self::StopAllChanged { stopped: true, by } => format!("{by} stopped all mail"),
            Self::StopAllChanged { stopped: false, by } => format!("{by} lets mail run again"),
            Self::ControlActed { by, action, subject, messages } => {
                let mut text = format!("{by}: {action}");
                if !subject.is_empty() {
                    let _ = write!(text, " {subject}");
                }
                if *messages > 0 {
                    let _ = write!(text, " ({messages} messages)");
                }
                text
            }
            Self::UpdateMoved { version, state, reason } if version.is_empty() => {
                format!("an update is {state}: {reason}")
            }
            Self::UpdateMoved { version, state, reason } => {
                format!("update to {version} is {state}: {reason}")
            }
            Self::FaultSeen { room, fault } => format!("fault in {room}: {fault}"),
            _ => self.machine_text(),
        }
    }

    fn machine_text(&self) -> String {
        match self {
            Self::GenerationApplied { generation, by, confirm_secs: Some(secs) } => format!(
                "{by} put generation {generation} in force on trial: it is taken back unless it is \
                 confirmed within {secs} s"
            ),
            Self::GenerationApplied { generation, by, confirm_secs: None } => {
                format!("{by} put generation {generation} in force")
            }
            Self::GenerationConfirmed { generation, by } => {
                format!("{by} confirmed generation {generation}")
            }
            Self::GenerationTakenBack { generation, back_to: 0, reason } => {
                format!("generation {generation} was taken back, there is none: {reason}")
            }
            Self::GenerationTakenBack { generation, back_to, reason } => format!(
                "generation {generation} was taken back, {back_to} is in force again: {reason}"
            ),
            Self::SetupTaken { place, generation } => {
                format!("setup file {place} taken, generation {generation} in force")
            }
            Self::SetupRefused { place, reason } => format!("setup file {place} refused: {reason}"),
            _ => String::new(),
        }
    }
}

/// TLS and what it is worth, in words: `TLSv1.3 TLS_AES_256_GCM_SHA384 dane`.
#[must_use]
pub fn secured(attempt: &Attempt) -> String {
    match attempt.assurance {
        Assurance::Clear => attempt.tls.clone(),
        assurance => format!("{} {assurance}", attempt.tls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::WallTime;
    use crate::event::herald::sample;

    #[test]
    fn a_machine_that_is_not_healthy_is_loud() {
        let checked = |healthy| Event::HealthChecked {
            healthy,
            trial: true,
            line: "Postern 1.2.0 is".to_owned(),
            reason: String::new(),
        };
        assert_eq!(checked(false).loudness(), Loudness::Error);
        assert_eq!(checked(true).loudness(), Loudness::Info);
        assert_eq!(
            (checked(true).text().as_str(), checked(true).name()),
            ("Postern 1.2.0 is", "health_checked")
        );
    }

    #[test]
    fn an_outcome_reads_as_postfix_writes_it() {
        let id = QueueId::new(WallTime(1_790_000_000_000), 7);
        let text = Event::RecipientDelivered(sample(id, "a@example.org")).text();
        let expected = format!(
            "{id}: to=<a@example.org>, relay=mx.example.org[192.0.2.1]:25, delay=1.2, dsn=2.0.0, \
             status=sent (250 2.0.0 Ok queued), source=billing, egress=main, tls=TLSv1.3 dane, \
             attempts=1"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_stranger_cannot_write_a_second_line() {
        let event = Event::SourceRefused {
            claimed: "x\r\nAug 1 root: fine\u{202e}".to_owned(),
            peer: [192, 0, 2, 1].into(),
            reason: "unknown".to_owned(),
        };
        assert!(!event.text().contains(['\r', '\n', '\u{202e}']));
    }

    #[test]
    fn the_name_is_the_tag_of_the_json_form() {
        let id = QueueId(5);
        for event in [
            Event::MessageCompleted { id },
            Event::RecipientDelivered(sample(id, "a@b.c")),
            Event::EgressResumed { egress: "main".to_owned() },
        ] {
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["event"], event.name());
        }
    }
}
