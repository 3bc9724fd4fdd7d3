//! Counters, derived from facts and from nothing else, in Prometheus' text format (0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::delays::{Delay, Delays};
use super::{Attempt, Event};
use crate::mail::class::MessageClass;
use crate::mail::source::SourceName;

/// Label values that are counted one by one; further ones are counted as `other`, so that nobody
/// outside can make our memory grow.
const LABELS_MAX: usize = 1000;

/// A counter with one label.
#[derive(Debug, Default)]
struct Labelled(Mutex<BTreeMap<Box<str>, u64>>);

impl Labelled {
    fn add(&self, label: &str, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = counts.get_mut(label) {
            *value += count;
        } else {
            let label = if counts.len() < LABELS_MAX { label } else { "other" };
            *counts.entry(label.into()).or_default() += count;
        }
    }

    fn get(&self, label: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(label).copied().unwrap_or(0)
    }

    fn snapshot(&self) -> Vec<(Box<str>, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(label, count)| (label.clone(), *count)).collect()
    }
}

/// All counters of the process.
#[derive(Debug, Default)]
pub struct Counters {
    sessions_opened: AtomicU64,
    sessions_closed: AtomicU64,
    sessions_refused: Labelled,
    identifications: AtomicU64,
    identification_failures: AtomicU64,
    accepted: [AtomicU64; 3],
    accepted_octets: AtomicU64,
    accepted_by_source: Labelled,
    refused: Labelled,
    completed: AtomicU64,
    delivered: [AtomicU64; 3],
    deferred: [AtomicU64; 3],
    failed: [AtomicU64; 3],
    expired: [AtomicU64; 3],
    in_doubt: AtomicU64,
    delays: Delays,
    reports: AtomicU64,
    reports_omitted: AtomicU64,
    purged: AtomicU64,
    quarantined: AtomicU64,
    lanes_slowed: AtomicU64,
    own_defects: Labelled,
    listings: Labelled,
    egress_suspensions: Labelled,
    egress_check_failures: Labelled,
    assurances: Labelled,
    tls_downgrades: Labelled,
    tls_reports: AtomicU64,
    role_restarts: Labelled,
    faults: Labelled,
    config_refusals: AtomicU64,
    journal_dropped: AtomicU64,
}

/// The sums that status pages show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// Sessions that are open now.
    pub sessions_open: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Transactions refused.
    pub refused: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Attempts that ended in a deferral.
    pub deferred: u64,
    /// Recipients failed.
    pub failed: u64,
    /// Recipients expired.
    pub expired: u64,
    /// Faults of our own.
    pub faults: u64,
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn class_index(class: MessageClass) -> usize {
    match class {
        MessageClass::Otp => 0,
        MessageClass::Transactional => 1,
        MessageClass::Subscribed => 2,
    }
}

fn sum(counters: &[AtomicU64]) -> u64 {
    counters.iter().map(|counter| counter.load(Relaxed)).sum()
}

impl Counters {
    /// Messages of a source that were accepted since the start.
    #[must_use]
    pub fn accepted_from(&self, source: &SourceName) -> u64 {
        self.accepted_by_source.get(source.as_str())
    }

    /// Counts a fact. Called by the herald. Letters of the health gate are counted for their source
    /// alone: every start would look like mail that was refused and failed.
    pub(super) fn count(&self, event: &Event) {
        if let Event::MessageAccepted { source, .. } = event {
            self.accepted_by_source.add(source.as_str(), 1);
        }
        if event.is_of_the_gate() {
            return;
        }
        match event {
            Event::SessionOpened { .. } => one(&self.sessions_opened),
            Event::SessionClosed { .. } => one(&self.sessions_closed),
            Event::SessionRefused { listener, .. } => self.sessions_refused.add(listener, 1),
            Event::SourceIdentified { .. } => one(&self.identifications),
            Event::SourceRefused { .. } => one(&self.identification_failures),
            Event::MessageAccepted { class, octets, .. } => {
                one(&self.accepted[class_index(*class)]);
                self.accepted_octets.fetch_add(*octets, Relaxed);
            }
            Event::MessageRefused { reason, .. } => self.refused.add(reason, 1),
            Event::MessageCompleted { .. } => one(&self.completed),
            Event::RecipientDelivered(attempt) => self.delivered(attempt),
            Event::RecipientDeferred { attempt, .. } => {
                one(&self.deferred[class_index(attempt.class)]);
            }
            Event::RecipientFailed(attempt) => one(&self.failed[class_index(attempt.class)]),
            Event::RecipientExpired(attempt) => one(&self.expired[class_index(attempt.class)]),
            Event::DeliveryInDoubt(_) => one(&self.in_doubt),
            Event::ReportQueued { .. } => one(&self.reports),
            Event::ReportOmitted { .. } => one(&self.reports_omitted),
            Event::MessagesPurged { messages, .. } => {
                self.purged.fetch_add(*messages, Relaxed);
            }
            Event::RecordQuarantined { .. } | Event::MessageQuarantined { .. } => {
                one(&self.quarantined);
            }
            Event::LaneSlowed { .. } => one(&self.lanes_slowed),
            Event::OwnDefectSeen { what, .. } => self.own_defects.add(&what.to_string(), 1),
            Event::AddressListed { provider, .. } => self.listings.add(provider, 1),
            Event::EgressSuspended { egress, .. } => self.egress_suspensions.add(egress, 1),
            Event::EgressCheckFailed { item, .. } => self.egress_check_failures.add(item, 1),
            Event::TlsDowngraded { found, .. } => self.tls_downgrades.add(found.word(), 1),
            Event::TlsReportSent { .. } => one(&self.tls_reports),
            Event::RoleRestarted { role, .. } => self.role_restarts.add(role, 1),
            Event::ConfigRefused { .. } => one(&self.config_refusals),
            Event::FaultSeen { room, .. } => self.faults.add(room, 1),
            Event::SpoolLatched { .. } => self.faults.add("spool", 1),
            _ => {}
        }
    }

    fn delivered(&self, attempt: &Attempt) {
        one(&self.delivered[class_index(attempt.class)]);
        self.assurances.add(attempt.assurance.word(), 1);
        self.delays.add(attempt.class, attempt.provider.as_deref(), attempt.delay_millis);
    }

    /// Facts that the journal was too slow for.
    pub fn journal_dropped(&self, facts: u64) {
        self.journal_dropped.fetch_add(facts, Relaxed);
    }

    /// The sums that status pages show.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let labelled = |counter: &Labelled| counter.snapshot().iter().map(|(_, n)| n).sum();
        let opened = self.sessions_opened.load(Relaxed);
        Totals {
            sessions_open: opened.saturating_sub(self.sessions_closed.load(Relaxed)),
            accepted: sum(&self.accepted),
            refused: labelled(&self.refused),
            delivered: sum(&self.delivered),
            deferred: sum(&self.deferred),
            failed: sum(&self.failed),
            expired: sum(&self.expired),
            faults: labelled(&self.faults),
        }
    }

    /// How long deliveries took, by class and provider.
    #[must_use]
    pub fn delays(&self) -> Vec<Delay> {
        self.delays.rows()
    }

    /// All counters in Prometheus' text exposition format.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut page = Page(String::with_capacity(8192));
        page.plain("sessions_opened_total", "Connections accepted", &self.sessions_opened);
        page.plain("sessions_closed_total", "Connections ended", &self.sessions_closed);
        page.labelled("sessions_refused_total", "listener", &self.sessions_refused);
        page.plain("identifications_total", "Sources identified", &self.identifications);
        page.plain(
            "identification_failures_total",
            "Failed identifications",
            &self.identification_failures,
        );
        page.classes("messages_accepted_total", "Messages in custody", &self.accepted);
        page.plain("octets_accepted_total", "Octets in custody", &self.accepted_octets);
        page.labelled("source_messages_accepted_total", "source", &self.accepted_by_source);
        page.labelled("transactions_refused_total", "rule", &self.refused);
        page.plain("messages_completed_total", "Messages with all outcomes", &self.completed);
        page.classes("recipients_delivered_total", "Recipients delivered", &self.delivered);
        page.classes("recipients_deferred_total", "Attempts deferred", &self.deferred);
        page.classes("recipients_failed_total", "Recipients failed", &self.failed);
        page.classes("recipients_expired_total", "Recipients expired", &self.expired);
        page.plain("deliveries_in_doubt_total", "Answers to the dot lost", &self.in_doubt);
        page.head(Delays::NAME, Delays::HELP, "histogram");
        self.delays.write(&mut page.0);
        page.plain("reports_queued_total", "Notifications queued", &self.reports);
        page.plain("reports_omitted_total", "Notifications without address", &self.reports_omitted);
        page.plain("messages_purged_total", "Messages destroyed by operators", &self.purged);
        page.plain("quarantined_total", "Records and messages set aside", &self.quarantined);
        page.plain("lanes_slowed_total", "Providers that asked for less", &self.lanes_slowed);
        page.labelled("own_defects_total", "what", &self.own_defects);
        page.labelled("address_listings_total", "provider", &self.listings);
        page.labelled("egress_suspensions_total", "egress", &self.egress_suspensions);
        page.labelled("egress_check_failures_total", "check", &self.egress_check_failures);
        page.labelled("deliveries_by_assurance_total", "assurance", &self.assurances);
        page.labelled("tls_downgrades_total", "assurance", &self.tls_downgrades);
        page.plain("tls_reports_sent_total", "TLS reports to other domains", &self.tls_reports);
        page.labelled("role_restarts_total", "role", &self.role_restarts);
        page.labelled("faults_total", "room", &self.faults);
        page.plain("config_refusals_total", "Configurations refused", &self.config_refusals);
        page.plain("journal_dropped_total", "Facts lost to a slow journal", &self.journal_dropped);
        page.0
    }
}

/// A page of metrics in the making.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP postern_{name} {help}\n# TYPE postern_{name} {kind}");
    }

    fn line(&mut self, name: &str, value: u64) {
        let _ = writeln!(self.0, "postern_{name} {value}");
    }

    fn plain(&mut self, name: &str, help: &str, counter: &AtomicU64) {
        self.head(name, help, "counter");
        self.line(name, counter.load(Relaxed));
    }

    fn classes(&mut self, name: &str, help: &str, counters: &[AtomicU64; 3]) {
        self.head(name, help, "counter");
        for (class, counter) in MessageClass::ALL.iter().zip(counters) {
            self.line(&format!("{name}{{class=\"{class}\"}}"), counter.load(Relaxed));
        }
    }

    fn labelled(&mut self, name: &str, label: &str, counter: &Labelled) {
        self.head(name, &format!("By {label}"), "counter");
        for (value, count) in counter.snapshot() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.line(&format!("{name}{{{label}=\"{value}\"}}"), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::QueueId;
    use crate::event::herald::sample;

    #[test]
    fn facts_become_counters() {
        let counters = Counters::default();
        counters.count(&Event::RecipientDelivered(sample(QueueId(1), "a@b.c")));
        counters.count(&Event::RecipientFailed(sample(QueueId(1), "a@b.c")));
        counters.count(&Event::FaultSeen { room: "dns\"".to_owned(), fault: "x".to_owned() });
        let page = counters.prometheus();
        for line in [
            "postern_recipients_delivered_total{class=\"transactional\"} 1",
            "postern_recipients_delivered_total{class=\"otp\"} 0",
            "postern_delivery_delay_seconds_bucket{class=\"transactional\",provider=\"other\",\
             le=\"1.000\"} 0",
            "postern_delivery_delay_seconds_bucket{class=\"transactional\",provider=\"other\",\
             le=\"5.000\"} 1",
            "postern_delivery_delay_seconds_bucket{class=\"transactional\",provider=\"other\",\
             le=\"+Inf\"} 1",
            "postern_delivery_delay_seconds_sum{class=\"transactional\",provider=\"other\"} 1.234",
            "postern_faults_total{room=\"dns\\\"\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
        assert_eq!(counters.totals().delivered, 1);
        assert_eq!(counters.totals().failed, 1);
    }

    #[test]
    fn letters_of_the_health_gate_are_no_mail() {
        let counters = Counters::default();
        let letter = |source: &str, recipient: &str| Attempt {
            source: SourceName::new(source).unwrap(),
            ..sample(QueueId(1), recipient)
        };
        counters.count(&Event::RecipientFailed(letter("health", "refuse@health.invalid")));
        let refused = |source: Option<&str>, reverse_path: &str| Event::MessageRefused {
            source: source.and_then(SourceName::new),
            peer: std::net::IpAddr::from([127, 0, 0, 1]),
            reverse_path: reverse_path.to_owned(),
            reason: "mime-ambiguous".to_owned(),
            reply: "550 5.6.0 no".to_owned(),
        };
        counters.count(&refused(Some("health"), "gate@health.invalid"));
        assert_eq!(counters.totals(), Totals::default());
        // Somebody else's mail is counted, whatever it calls itself.
        counters.count(&refused(None, "gate@health.invalid"));
        counters.count(&Event::RecipientFailed(letter("health", "a@b.c")));
        counters.count(&Event::RecipientFailed(letter("shop", "refuse@health.invalid")));
        assert_eq!(counters.totals(), Totals { refused: 1, failed: 2, ..Totals::default() });
    }

    #[test]
    fn strangers_cannot_make_labels_without_end() {
        let labelled = Labelled::default();
        for n in 0..5000 {
            labelled.add(&n.to_string(), 1);
        }
        assert!(labelled.snapshot().len() <= LABELS_MAX + 1);
        assert_eq!(labelled.snapshot().iter().map(|(_, n)| n).sum::<u64>(), 5000);
    }
}
