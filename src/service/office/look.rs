//! What the office sees when it looks: rows and pictures, nothing that changes anything.

use std::path::Path;
use std::time::Duration;

use super::{Rooms, not_found};
use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::config::show;
use crate::control::answer::{
    EgressRow, FamilyRow, QueueMessage, QueueRow, QueueSums, RecipientRow, SourceDetail, SourceRow,
    SpoolRow, Status, StepRow, Trouble, TroubleKind,
};
use crate::control::office::Done;
use crate::event::{Attempt, Event, harmless, omission, secured};
use crate::host::{clock, failures};
use crate::mail::source::{Proof, Source, SourceState};
use crate::mail::trust::Assurance;
use crate::queue::{LegView, MessageView, Selection};
use crate::service::dispatch::{FetchError, Store};
use crate::service::gate;
use crate::service::ways::{EgressState, FamilyState};
use crate::store::Health;

/// How long a failed unit makes the gateway look worse than it is.
const FAILURE_SHOWN: Duration = Duration::from_secs(3600);

/// Domains that a row shows.
const DOMAINS_SHOWN: usize = 3;

impl Rooms {
    pub(super) fn queue_row(&self, view: &MessageView) -> QueueRow {
        let stopped = self.board.switches().positions().stopped.is_some();
        let held = if view.held {
            Some("held by an operator".to_owned())
        } else if stopped {
            Some("stop-all".to_owned())
        } else if !view.source_state.delivers() && !view.notification {
            Some(format!("its source is {}", view.source_state))
        } else {
            None
        };
        let defect = view.legs.iter().find(|leg| leg.state == "defect");
        let held = held.or_else(|| {
            let why = defect?.parked.as_deref().unwrap_or_default();
            Some(format!("a fault of ours: {why}"))
        });
        let next = view.legs.iter().filter_map(|leg| leg.next).min();
        QueueRow {
            id: view.id,
            source: view.source.clone(),
            class: view.class,
            accepted: view.accepted,
            octets: view.octets.into(),
            held,
            recipients: view.legs.iter().map(|leg| leg.recipients.len() as u64).sum(),
            domains: view.legs.iter().take(DOMAINS_SHOWN).map(|leg| leg.domain.clone()).collect(),
            attempts: view.legs.iter().map(|leg| leg.attempts).max().unwrap_or(0),
            next: next.unwrap_or(view.accepted),
            reply: view.legs.iter().find_map(|leg| leg.last_reply.clone()),
            lanes: lanes_of(view),
        }
    }

    /// One message with everyone it was for.
    pub(super) async fn describe(&self, view: &MessageView) -> Done<QueueMessage> {
        let parcel = self.vault.fetch(view.id).await.map_err(|error| match error {
            FetchError::Damaged { reason, .. } => Trouble::new(TroubleKind::Fault, reason),
            FetchError::Fault(fault) => fault.into(),
        })?;
        let told = self.board.herald.about(view.id);
        let everyone = parcel.envelope.recipients.iter().zip(0_u16..).map(|(recipient, index)| {
            let address = recipient.forward_path.to_string();
            let mut attempts = told.iter().rev().filter_map(|told| {
                let attempt = told.event.attempt()?;
                (attempt.recipient == address).then_some((attempt, told.event.status_word()))
            });
            let last = attempts.next();
            let leg = view.legs.iter().find(|leg| leg.recipients.contains(&index));
            let state = leg.map_or_else(
                || last.and_then(|(_, word)| word).unwrap_or("done").to_owned(),
                |leg| leg.state.to_owned(),
            );
            RecipientRow {
                address,
                state,
                attempts: leg.map_or(0, |leg| leg.attempts),
                next: leg.and_then(|leg| leg.next),
                reply: last.map(|(attempt, _)| attempt.reply.to_string()),
            }
        });
        Ok(QueueMessage {
            row: self.queue_row(view),
            reverse_path: parcel.envelope.reverse_path.to_string(),
            expires: view.expires,
            notification: view.notification,
            everyone: everyone.collect(),
        })
    }

    /// The chain of decisions about one message.
    pub(super) fn explain(&self, id: QueueId) -> Done<Vec<StepRow>> {
        let mut steps: Vec<StepRow> = self
            .board
            .herald
            .about(id)
            .iter()
            .flat_map(|told| {
                let at = Some(told.at);
                let step =
                    move |(step, text): (&str, String)| StepRow { at, step: step.to_owned(), text };
                steps_of(&told.event).into_iter().map(step)
            })
            .collect();
        let view = self.board.desk.show(id);
        if steps.is_empty() && view.is_none() {
            return Err(not_found(format!("message {id}")));
        }
        for leg in view.iter().flat_map(|view| &view.legs) {
            let text = Self::schedule(leg);
            steps.push(StepRow { at: None, step: "schedule".to_owned(), text });
        }
        Ok(steps)
    }

    /// What a part of a message waits for.
    fn schedule(leg: &LegView) -> String {
        let when = leg.next.map_or_else(String::new, |next| format!(", next look at {next}"));
        let why = match leg.state {
            "ready" => "about to go".to_owned(),
            "waiting" => "waits for its next attempt".to_owned(),
            "busy" => "is being delivered".to_owned(),
            "held" => "is held by an operator".to_owned(),
            "source-held" => "is held with its source".to_owned(),
            "stopped" => "waits for `postern resume-all`".to_owned(),
            "paused" => "waits: its provider has had enough for now".to_owned(),
            "defect" => {
                format!(
                    "is held for a fault of ours: {}",
                    leg.parked.as_deref().unwrap_or_default()
                )
            }
            "shut" => "waits: its hosts did not answer".to_owned(),
            "parked" => {
                format!("waits for its way {}: {}", leg.way, leg.parked.as_deref().unwrap_or(""))
            }
            other => other.to_owned(),
        };
        format!(
            "{} recipient(s) at {} after {} attempt(s), lane {}: {why}{when}",
            leg.recipients.len(),
            leg.domain,
            leg.attempts,
            leg.lane,
        )
    }

    pub(super) fn source_row(&self, source: &Source) -> SourceRow {
        let standing = self.board.standing.load();
        let state = standing.directory.state(&source.name, clock::wall());
        let mine = Selection { source: Some(source.name.clone()), ..Selection::default() };
        let queued = self.board.desk.count(&mine).messages;
        let held = if state.delivers() {
            self.board.desk.count(&Selection { held: Some(true), ..mine }).messages
        } else {
            queued
        };
        let proof = match source.proof {
            Proof::Password { .. } => "password",
            Proof::Certificate { .. } => "certificate",
            Proof::Network => "network",
            Proof::Health => "health",
        };
        SourceRow {
            name: source.name.clone(),
            state,
            configured: source.state,
            proof: proof.to_owned(),
            class: source.class,
            queued,
            held,
            accepted: self.board.herald.counters().accepted_from(&source.name),
        }
    }

    pub(super) fn source_detail(&self, source: &Source) -> SourceDetail {
        let (user, configured) = match &source.proof {
            Proof::Password { user, verifiers } => (Some(user.clone()), verifiers.len()),
            Proof::Certificate { spki_sha256 } => (None, spki_sha256.len()),
            Proof::Network | Proof::Health => (None, 0),
        };
        let switches = self.board.switches();
        let positions = switches.positions();
        let mut secrets = vec![format!("{configured} in the configuration")];
        if let Some(rotation) = positions.rotations.get(&source.name) {
            secrets.push(format!("{} by rotation", rotation.verifiers.len()));
            let ends = rotation.retired.values().max();
            secrets.extend(ends.map(|end| format!("older ones are void after {end}")));
        }
        let last_switch = positions
            .sources
            .get(&source.name)
            .map(|switched| format!("{} by {} at {}", switched.state, switched.by, switched.at));
        drop(switches);
        let pair = |pair: &crate::mail::source::SenderPair| {
            let path = pair.reverse_path.as_ref().map_or_else(String::new, show::pattern);
            format!("<{path}> From: {}", show::pattern(&pair.from))
        };
        let mut notes = source.contacts.clone();
        notes.extend(source.tags.iter().map(|tag| format!("#{tag}")));
        notes.extend((!source.notes.is_empty()).then(|| source.notes.clone()));
        SourceDetail {
            row: self.source_row(source),
            user,
            secrets,
            networks: source.networks.iter().map(ToString::to_string).collect(),
            pairs: source.pairs.iter().map(pair).collect(),
            expires: source.expires,
            owner: source.owner.as_ref().map(ToString::to_string),
            switched: last_switch,
            notes,
        }
    }

    pub(super) fn egresses(&self) -> Vec<EgressRow> {
        let config = self.board.standing.load().config.clone();
        let device = |name: &str| {
            let known = config.egresses.iter().find(|egress| egress.name == name);
            known.and_then(|egress| egress.device.clone())
        };
        let word = |lost: bool| if lost { "suspended" } else { "up" }.to_owned();
        let row = |state: EgressState| {
            let lost = state.families.iter().find_map(|family| family.suspended.clone());
            let family = |family: FamilyState| FamilyRow {
                address: family.address,
                state: word(family.suspended.is_some()),
                reason: family.suspended,
            };
            let named = match (&state.suspended, &lost) {
                (None, Some(_)) => "impaired".to_owned(),
                (suspended, _) => word(suspended.is_some()),
            };
            EgressRow {
                device: device(&state.name),
                addresses: state.families.iter().map(|f| f.address.clone()).collect(),
                state: named,
                reason: state.suspended.or(lost),
                by: state.by,
                since: state.since,
                pools: state.pools,
                families: state.families.into_iter().map(family).collect(),
                listed: state.listed,
                warm_up: state.warm_up,
                name: state.name,
            }
        };
        self.board.ways.states().into_iter().map(row).collect()
    }

    /// Everything at a glance.
    pub(super) fn look_around(&self) -> Status {
        let standing = self.board.standing.load_full();
        let now = clock::wall();
        let (state, reasons) = self.condition();
        let counts = self.board.desk.counts();
        let tally = self.board.desk.count(&Selection::default());
        let held = self.board.desk.count(&Selection { held: Some(true), ..Selection::default() });
        let usage = self.vault.0.usage();
        let active = |source: &&std::sync::Arc<Source>| {
            standing.directory.state(&source.name, now) == SourceState::Active
        };
        Status {
            state,
            reasons,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: standing.config.hostname.to_string(),
            lab: standing.config.lab,
            started: self.started,
            now,
            config: self.board.document.display().to_string(),
            listeners: self.listeners.clone(),
            egresses: self.egresses(),
            checks: self.checker.rows(),
            sources_active: standing.directory.sources().filter(active).count() as u64,
            sources: standing.directory.sources().count() as u64,
            queue: QueueSums {
                messages: counts.messages as u64,
                recipients: tally.recipients,
                held: held.messages,
                in_flight: tally.in_flight,
                lanes: counts.lanes as u64,
            },
            spool: SpoolRow {
                state: self.vault.0.health().as_str().to_owned(),
                path: standing.config.spool.path.display().to_string(),
                segments: usage.segments,
                free_octets: usage.free_octets,
                sync_micros: usage.sync_micros,
            },
            totals: self.board.herald.counters().totals(),
            walls: super::walls::rows(self.board.egress.broker_user()),
            held: self.held_rows(),
            delays: self.board.herald.counters().delays(),
            health: gate::row(&standing.config),
            last_hour: self.board.herald.last_hour(),
        }
    }

    /// One word for how it is, and why it is not better.
    fn condition(&self) -> (String, Vec<String>) {
        let mut reasons = Vec::new();
        let stopped = self.board.switches().positions().stopped.clone();
        if let Some((by, at)) = &stopped {
            reasons.push(format!("everything was stopped by {by} at {at}"));
        }
        let health = self.vault.0.health();
        if health != Health::Open {
            reasons.push(format!("the spool is {}", health.as_str()));
        }
        for egress in self.egresses() {
            let why = egress.reason.map(|reason| {
                let by = egress.by.map_or_else(String::new, |by| format!(" by {by}"));
                format!("egress {} {}{by}: {reason}", egress.name, egress.state)
            });
            reasons.extend(why);
            let listed = egress.listed.into_iter();
            reasons.extend(listed.map(|(provider, reply)| {
                format!("egress {} is listed, says {provider}: {reply}", egress.name)
            }));
        }
        reasons.extend(self.held_reasons());
        reasons.extend(failed_lately(clock::wall()));
        let word = match (health, stopped.is_some(), reasons.is_empty()) {
            (Health::Latched, ..) => "latched",
            (_, true, _) => "stopped",
            (_, _, true) => "running",
            _ => "degraded",
        };
        (word.to_owned(), reasons)
    }
}

/// Lanes of a message, each once.
fn lanes_of(view: &MessageView) -> Vec<String> {
    let mut lanes: Vec<String> = Vec::new();
    for leg in &view.legs {
        if !lanes.contains(&leg.lane) && lanes.len() < DOMAINS_SHOWN {
            lanes.push(leg.lane.clone());
        }
    }
    lanes
}

/// Units beside this one that failed within the last hour; one that failed earlier and is needed is
/// seen by what it does not do.
fn failed_lately(now: WallTime) -> Vec<String> {
    let all = failures::recorded(Path::new(failures::FOLDER)).into_iter();
    let lately = all.filter(|failure| now.since(failure.at) < FAILURE_SHOWN);
    lately.map(|failure| failure.to_string()).collect()
}

/// A fact as steps of the route.
fn steps_of(event: &Event) -> Vec<(&'static str, String)> {
    match event {
        Event::MessageAccepted {
            source,
            peer,
            reverse_path,
            from,
            recipients,
            octets,
            signatures,
            priority,
            deadline,
            ..
        } => vec![
            ("identify", format!("{peer} spoke for the source {source}")),
            (
                "permit",
                format!(
                    "{source} may send as <{reverse_path}> From: {from}; {recipients} recipients{}",
                    wishes(*priority, *deadline)
                ),
            ),
            ("clear", "the structure of the content is within bounds".to_owned()),
            (
                "sign",
                if signatures.is_empty() {
                    "no key for this domain; its source allows unsigned mail".to_owned()
                } else {
                    format!("signed by {}", signatures.join(" and "))
                },
            ),
            ("spool", format!("{octets} octets were synced to disk before the 250")),
        ],
        Event::RecipientDelivered(attempt) => {
            let how = match attempt.assurance {
                Assurance::Clear => "in clear text".to_owned(),
                _ => secured(attempt),
            };
            let at = format!("{} has taken responsibility ({how})", attempt.relay);
            deliver(attempt, &at)
        }
        Event::RecipientDeferred { attempt, next } => {
            deliver(attempt, &format!("{}; to be tried again at {next}", host(attempt)))
        }
        Event::RecipientFailed(attempt) => deliver(attempt, &format!("{} for good", host(attempt))),
        Event::RecipientExpired(attempt) => deliver(attempt, "given up, its time is over"),
        Event::DeliveryInDoubt(attempt) => {
            deliver(attempt, "the connection broke after the last dot: it may arrive twice")
        }
        Event::ReportQueued { id, to, kind, .. } => {
            vec![("report", format!("a {kind} report to <{to}> was queued as {id}"))]
        }
        Event::ReportOmitted { reason, .. } => {
            vec![("report", format!("no report was written: {}", omission(reason)))]
        }
        Event::MessageCompleted { .. } => {
            vec![("complete", "every recipient has an outcome; the spool forgets it".to_owned())]
        }
        Event::MessageQuarantined { reason, .. } | Event::RecordQuarantined { reason, .. } => {
            vec![("quarantine", reason.clone())]
        }
        other => vec![("note", other.text())],
    }
}

/// What was granted beyond delivery, as the end of a sentence.
fn wishes(priority: Option<i8>, deadline: Option<WallTime>) -> String {
    let priority = priority.map(|priority| format!("priority {priority}"));
    let deadline = deadline.map(|deadline| format!("to be delivered by {deadline}"));
    let granted: Vec<String> = priority.into_iter().chain(deadline).collect();
    if granted.is_empty() { String::new() } else { format!("; {}", granted.join(", ")) }
}

/// Who did not take it.
fn host(attempt: &Attempt) -> String {
    match attempt.relay.as_str() {
        "none" => "not possible".to_owned(),
        relay => format!("refused by {relay}"),
    }
}

/// One attempt in words: for whom, what became of it, what was said.
fn deliver(attempt: &Attempt, what: &str) -> Vec<(&'static str, String)> {
    let Attempt { recipient, attempts, reply, .. } = attempt;
    vec![(
        "deliver",
        format!("<{recipient}>, attempt {attempts}: {what}: {}", harmless(&reply.to_string())),
    )]
}
