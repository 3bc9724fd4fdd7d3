//! The office: what the control socket can ask and order, done with the rooms of the house.

mod lanes;
mod look;
mod walls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::check::Checker;
use super::custody::Vault;
use super::diagnose;
use super::switchboard::{Switchboard, check};
use super::tap::Tap;
use super::trust::Trust;
use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::config::show;
use crate::control::answer::{
    Acted, Checked, DifferenceRow, EgressRow, FactRow, ListenerRow, Page, QueueMessage, QueueRow,
    Rotated, SettingRow, SourceDetail, SourceRow, Status, StepRow, Trouble, TroubleKind,
};
use crate::control::check::EgressCheck;
use crate::control::diagnose::{Diagnosis, Test};
use crate::control::dialogue::{Dialogue, Traced};
use crate::control::lanes::LaneRow;
use crate::control::office::{Done, Office, QueueAct, SourceAct};
use crate::control::request::{PageAsk, QueueFilter};
use crate::dns::Names;
use crate::event::deed::{Recorded, Verification};
use crate::event::harmless;
use crate::event::herald::Told;
use crate::host::clock;
use crate::mail::address::Domain;
use crate::mail::source::{Proof, SourceName, SourceState};
use crate::queue::Selection;
use crate::sign::statement::Signed;
use crate::store::audit::{self, Audit};

/// The office of a running gateway.
pub struct Rooms {
    pub(super) board: Arc<Switchboard>,
    pub(super) vault: Vault,
    pub(super) audit: Arc<Mutex<Audit>>,
    pub(super) listeners: Vec<ListenerRow>,
    pub(super) started: WallTime,
    pub(super) checker: Arc<Checker>,
    pub(super) trust: Arc<Trust>,
    pub(super) tap: Arc<Tap>,
}

fn not_found(what: impl std::fmt::Display) -> Trouble {
    Trouble::new(TroubleKind::NotFound, format!("{what} is not known here"))
}

fn row_of(told: &Told) -> FactRow {
    FactRow {
        number: told.number,
        at: told.at,
        event: told.event.name().to_owned(),
        message: told.event.message(),
        text: told.event.text(),
    }
}

impl Rooms {
    /// The queue's selection for a filter.
    fn selection(&self, filter: &QueueFilter) -> Done<Selection> {
        let domain = match &filter.domain {
            None => None,
            Some(text) => Some(Domain::parse(text).map_err(|e| {
                Trouble::new(TroubleKind::Invalid, format!("the domain {text:?}: {e}"))
            })?),
        };
        let mut selection = Selection {
            ids: (!filter.ids.is_empty()).then(|| filter.ids.clone()),
            source: filter.source.clone(),
            class: filter.class,
            domain,
            lane: filter.lane.clone(),
            held: filter.held,
        };
        if let Some(secs) = filter.older_than_secs {
            let now = clock::wall();
            let old = |id: &QueueId| now.since(id.accepted()) >= Duration::from_secs(secs);
            let all = self.board.desk.page_messages(&selection, None, usize::MAX);
            selection.ids = Some(all.into_iter().map(|view| view.id).filter(old).collect());
        }
        Ok(selection)
    }

    fn source_state(&self, name: &SourceName) -> Done<SourceState> {
        let standing = self.board.standing.load();
        let known = standing.directory.source(name).is_some();
        known
            .then(|| standing.directory.state(name, clock::wall()))
            .ok_or_else(|| not_found(format!("the source {name}")))
    }

    fn backlog(&self, name: &SourceName) -> u64 {
        let selection = Selection { source: Some(name.clone()), ..Selection::default() };
        self.board.desk.count(&selection).messages
    }
}

impl Office for Rooms {
    async fn status(&self) -> Done<Status> {
        Ok(self.look_around())
    }

    async fn metrics(&self) -> Done<String> {
        Ok(self.board.herald.counters().prometheus())
    }

    async fn facts(&self, after: u64, limit: u64) -> Done<Vec<FactRow>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.board.herald.since(after, limit).iter().map(|told| row_of(told)).collect())
    }

    async fn queue_list(&self, filter: QueueFilter, page: PageAsk) -> Done<Page<QueueRow>> {
        let selection = self.selection(&filter)?;
        let (offset, limit) = page.bounds();
        let total = self.board.desk.count(&selection).messages;
        let rows = offset.saturating_add(limit);
        let views = self.board.desk.page_messages(&selection, None, rows);
        let rows = views.iter().skip(offset).map(|view| self.queue_row(view)).collect();
        Ok(Page { rows, total, offset: offset as u64 })
    }

    async fn queue_lanes(&self, page: PageAsk) -> Done<Page<LaneRow>> {
        Ok(self.lanes(page))
    }

    async fn lane_release(
        &self,
        lane: String,
        source: Option<SourceName>,
        by: String,
        dry_run: bool,
    ) -> Done<Acted> {
        self.release_lane(&lane, source.as_ref(), &by, dry_run)
    }

    async fn queue_show(&self, id: QueueId) -> Done<QueueMessage> {
        let view = self.board.desk.show(id).ok_or_else(|| not_found(format!("message {id}")))?;
        self.describe(&view).await
    }

    async fn queue_act(
        &self,
        act: QueueAct,
        filter: QueueFilter,
        by: String,
        dry_run: bool,
    ) -> Done<Acted> {
        let selection = self.selection(&filter)?;
        let desk = &self.board.desk;
        if dry_run {
            let held = match act {
                QueueAct::Hold => Some(false),
                QueueAct::Release => Some(true),
                QueueAct::Retry | QueueAct::Purge => selection.held,
            };
            let tally = desk.count(&Selection { held, ..selection });
            return Ok(Acted { messages: tally.messages, dry_run, note: String::new() });
        }
        let tally = match act {
            QueueAct::Hold => desk.hold(&selection, &by).await?,
            QueueAct::Release => desk.release(&selection, &by).await?,
            QueueAct::Retry => desk.retry(&selection),
            QueueAct::Purge => desk.purge(&selection, &by).await?,
        };
        let note = match tally.in_flight {
            0 => String::new(),
            n => format!("{n} recipients are being delivered at this moment and are not touched"),
        };
        Ok(Acted { messages: tally.messages, dry_run, note })
    }

    async fn message_trace(&self, id: QueueId, after: u64) -> Done<Vec<FactRow>> {
        let facts = self.board.herald.about(id);
        if facts.is_empty() && self.board.desk.show(id).is_none() {
            return Err(not_found(format!(
                "message {id} (the journal has what is older than this run)"
            )));
        }
        Ok(facts.iter().filter(|told| told.number > after).map(|told| row_of(told)).collect())
    }

    async fn message_explain(&self, id: QueueId) -> Done<Vec<StepRow>> {
        self.explain(id)
    }

    async fn source_list(&self, page: PageAsk) -> Done<Page<SourceRow>> {
        let standing = self.board.standing.load_full();
        let (offset, limit) = page.bounds();
        let total = standing.directory.sources().count() as u64;
        let sources = standing.directory.sources().skip(offset).take(limit);
        let rows = sources.map(|source| self.source_row(source)).collect();
        Ok(Page { rows, total, offset: offset as u64 })
    }

    async fn source_show(&self, name: SourceName) -> Done<SourceDetail> {
        let standing = self.board.standing.load_full();
        let source = standing.directory.source(&name);
        let source = source.ok_or_else(|| not_found(format!("the source {name}")))?;
        Ok(self.source_detail(source))
    }

    async fn source_act(
        &self,
        act: SourceAct,
        name: SourceName,
        by: String,
        dry_run: bool,
    ) -> Done<Acted> {
        let present = self.source_state(&name)?;
        if dry_run {
            let note = format!("{name} is {present} now");
            return Ok(Acted { messages: self.backlog(&name), dry_run, note });
        }
        let state = match act {
            SourceAct::Hold => Some(SourceState::Hold),
            SourceAct::Disable => Some(SourceState::Disabled),
            SourceAct::Release | SourceAct::Enable => None,
        };
        let (state, messages) = self.board.switch_source(&name, state, &by).await?;
        let note = if state.delivers() {
            format!("{name} is {state}; {messages} messages go on their way")
        } else {
            format!("{name} is {state}; {messages} messages are held")
        };
        Ok(Acted { messages, dry_run, note })
    }

    async fn source_rotate(&self, name: SourceName, grace_secs: u64, by: String) -> Done<Rotated> {
        let standing = self.board.standing.load_full();
        let source = standing.directory.source(&name);
        let source = source.ok_or_else(|| not_found(format!("the source {name}")))?;
        let Proof::Password { user, .. } = &source.proof else {
            let text = format!("{name} has no password: its proof is of another kind");
            return Err(Trouble::new(TroubleKind::Conflict, text));
        };
        let grace_until = clock::wall().after(Duration::from_secs(grace_secs));
        let password = self.board.rotate(source, grace_until, &by).await?;
        let (user, password) = (user.clone(), password.expose().clone());
        Ok(Rotated { name, user, password, grace_until })
    }

    async fn stop_all(&self, stopped: bool, by: String) -> Done<Acted> {
        let messages = self.board.switch_all(stopped, &by).await?;
        let note = if stopped {
            "nothing is accepted and nothing leaves until `postern resume-all`"
        } else {
            "mail is accepted and leaves again"
        };
        Ok(Acted { messages, dry_run: false, note: note.to_owned() })
    }

    async fn egress_act(&self, name: String, why: Option<String>, by: String) -> Done<Acted> {
        let config = self.board.standing.load().config.clone();
        let known = config.ways_out().any(|egress| egress.name == name);
        // A suspension of an egress that is configured no more can be ended, not begun.
        let held = self.board.switches().positions().egresses.contains_key(&name);
        if !known && (why.is_some() || !held) {
            return Err(not_found(format!("the egress {name}")));
        }
        let suspended = why.is_some();
        self.board.switch_egress(&name, why, &by).await?;
        let states = self.board.ways.states();
        let state = states.into_iter().find(|state| state.name == name);
        let note = match state.and_then(|state| state.suspended) {
            Some(_) if suspended => {
                format!("nothing leaves by {name} until `postern egress resume {name}`")
            }
            Some(reason) => format!("{name} is let go, and stays suspended: {reason}"),
            None => format!("mail leaves by {name} again"),
        };
        Ok(Acted { messages: 0, dry_run: false, note })
    }

    async fn egress_list(&self) -> Done<Vec<EgressRow>> {
        Ok(self.egresses())
    }

    async fn egress_check(
        &self,
        egress: Option<String>,
        to: Option<String>,
    ) -> Done<Vec<EgressCheck>> {
        self.checker.check(egress.as_deref(), to.as_deref()).await
    }

    async fn egress_attest(&self, egress: Option<String>) -> Done<Signed> {
        self.checker.attest(egress.as_deref()).await
    }

    async fn diagnose(&self, test: Test, role: String, target: String) -> Done<Diagnosis> {
        let config = self.board.standing.load().config.clone();
        let means = (&self.board.egress, &*self.board.names as &dyn Names);
        diagnose::by_egress(&config, means, &self.trust, (test, &role, &target)).await
    }

    async fn trace_begin(&self, of: Traced, secs: u64) -> Done<Dialogue> {
        let of = match of {
            Traced::Source(name) => {
                self.source_state(&name)?;
                Traced::Source(name)
            }
            Traced::Destination(text) => {
                let domain = Domain::parse(&text).map_err(|cause| {
                    let text = format!("the domain {:?}: {cause}", harmless(&text));
                    Trouble::new(TroubleKind::Invalid, text)
                })?;
                Traced::Destination(domain.to_string())
            }
        };
        Ok(self.tap.begin(of, secs))
    }

    async fn trace_poll(&self, after: u64) -> Done<Dialogue> {
        Ok(self.tap.poll(after))
    }

    async fn trace_end(&self) -> Done<Acted> {
        let note = if self.tap.end() { "the trace has ended" } else { "nobody traces" };
        Ok(Acted { messages: 0, dry_run: false, note: note.to_owned() })
    }

    async fn config_show(&self) -> Done<Vec<SettingRow>> {
        let config = self.board.standing.load().config.clone();
        let settings = show::settings(&config).into_iter();
        Ok(settings.map(|(key, value)| SettingRow { key, value }).collect())
    }

    async fn config_check(&self, text: String) -> Done<Checked> {
        Ok(match check(&text) {
            Ok(reading) => {
                let warnings = reading.warnings.iter().map(ToString::to_string).collect();
                Checked { good: true, complaints: Vec::new(), warnings }
            }
            Err(complaints) => Checked { good: false, complaints, warnings: Vec::new() },
        })
    }

    async fn config_diff(&self, text: Option<String>) -> Done<Vec<DifferenceRow>> {
        let reading = match text {
            Some(text) => check(&text),
            None => self.board.read_document().await,
        };
        let reading = reading
            .map_err(|complaints| Trouble::new(TroubleKind::Invalid, complaints.join("\n")))?;
        let present = self.board.standing.load().config.clone();
        let rows = show::diff(&present, &reading.config).into_iter();
        let row = |d: show::Difference| DifferenceRow { key: d.key, old: d.old, new: d.new };
        Ok(rows.map(row).collect())
    }

    async fn config_reload(&self, _by: String) -> Done<Checked> {
        Ok(match self.board.reload().await {
            Ok(warnings) => Checked { good: true, complaints: Vec::new(), warnings },
            Err(complaints) => Checked { good: false, complaints, warnings: Vec::new() },
        })
    }

    async fn audit_show(&self, page: PageAsk) -> Done<Page<Recorded>> {
        let (offset, limit) = page.bounds();
        let log = self.audit.clone();
        let read = move || log.lock().unwrap_or_else(PoisonError::into_inner).newest(offset, limit);
        let read = tokio::task::spawn_blocking(read).await;
        let (rows, total) = read.map_err(|e| Trouble::new(TroubleKind::Fault, e.to_string()))??;
        Ok(Page { rows, total, offset: offset as u64 })
    }

    async fn audit_verify(&self) -> Done<Verification> {
        let path = self.audit.lock().unwrap_or_else(PoisonError::into_inner).path().to_owned();
        let verified = tokio::task::spawn_blocking(move || audit::verify(&path)).await;
        Ok(verified.map_err(|e| Trouble::new(TroubleKind::Fault, e.to_string()))??)
    }
}
