//! The office: everything that can be asked, as functions. Implemented by a service.

use std::future::Future;

use super::answer::{
    Acted, Answer, Checked, DifferenceRow, EgressRow, FactRow, Page, QueueMessage, QueueRow,
    Rotated, SettingRow, SourceDetail, SourceRow, Status, StepRow, Trouble, TroubleKind,
};
use super::check::EgressCheck;
use super::diagnose::{Diagnosis, Test};
use super::dialogue::{Dialogue, Traced};
use super::lanes::LaneRow;
use super::request::{PageAsk, QueueFilter, Request};
use crate::base::id::QueueId;
use crate::event::deed::{Recorded, Verification};
use crate::mail::source::SourceName;
use crate::sign::statement::Signed;

/// Done, or why not.
pub type Done<T> = Result<T, Trouble>;

/// What is done to the messages of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueAct {
    /// Keep them back.
    Hold,
    /// Let them go.
    Release,
    /// Try them now.
    Retry,
    /// Destroy them; nobody is told.
    Purge,
}

/// What is done to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAct {
    /// Accept and keep.
    Hold,
    /// End a hold: back to what the configuration says.
    Release,
    /// Accept nothing, hold the backlog, end its transactions in flight with 421.
    Disable,
    /// Back to what the configuration says; the backlog goes.
    Enable,
}

/// The daemon as the control socket sees it. Roles were checked and the deed was recorded by the
/// keeper; the office only does.
///
/// With `dry_run` nothing is changed and the answer says how many messages it would touch.
pub trait Office: Send + Sync + 'static {
    /// How the gateway is.
    fn status(&self) -> impl Future<Output = Done<Status>> + Send;
    /// Metrics in Prometheus' text format.
    fn metrics(&self) -> impl Future<Output = Done<String>> + Send;
    /// Facts with numbers beyond `after`, oldest first, at most `limit`.
    fn facts(&self, after: u64, limit: u64) -> impl Future<Output = Done<Vec<FactRow>>> + Send;
    /// Messages in the queue, oldest first.
    fn queue_list(
        &self,
        filter: QueueFilter,
        page: PageAsk,
    ) -> impl Future<Output = Done<Page<QueueRow>>> + Send;
    /// Lanes by name.
    fn queue_lanes(&self, page: PageAsk) -> impl Future<Output = Done<Page<LaneRow>>> + Send;
    /// Ends the holds of a lane, or those of one source's mail; without a source, also its pause.
    /// `NotFound` if there is nothing to end.
    fn lane_release(
        &self,
        lane: String,
        source: Option<SourceName>,
        by: String,
        dry_run: bool,
    ) -> impl Future<Output = Done<Acted>> + Send;
    /// One message. `NotFound` if it is not in the queue.
    fn queue_show(&self, id: QueueId) -> impl Future<Output = Done<QueueMessage>> + Send;
    /// Acts on every message that `filter` selects. Durable when it returns.
    fn queue_act(
        &self,
        act: QueueAct,
        filter: QueueFilter,
        by: String,
        dry_run: bool,
    ) -> impl Future<Output = Done<Acted>> + Send;
    /// What is remembered about a message with fact numbers beyond `after`.
    fn message_trace(
        &self,
        id: QueueId,
        after: u64,
    ) -> impl Future<Output = Done<Vec<FactRow>>> + Send;
    /// The chain of decisions about a message, and what comes next.
    fn message_explain(&self, id: QueueId) -> impl Future<Output = Done<Vec<StepRow>>> + Send;
    /// Sources by name.
    fn source_list(&self, page: PageAsk) -> impl Future<Output = Done<Page<SourceRow>>> + Send;
    /// One source.
    fn source_show(&self, name: SourceName) -> impl Future<Output = Done<SourceDetail>> + Send;
    /// Acts on a source. New mail obeys within 100 ms, transactions in flight within 1 s; durable
    /// when it returns; `messages` is the size of the backlog.
    fn source_act(
        &self,
        act: SourceAct,
        name: SourceName,
        by: String,
        dry_run: bool,
    ) -> impl Future<Output = Done<Acted>> + Send;
    /// A new password; the old one stays valid for `grace_secs`.
    fn source_rotate(
        &self,
        name: SourceName,
        grace_secs: u64,
        by: String,
    ) -> impl Future<Output = Done<Rotated>> + Send;
    /// Stops all mail, or lets it run again. Survives a restart.
    fn stop_all(&self, stopped: bool, by: String) -> impl Future<Output = Done<Acted>> + Send;
    /// Suspends an egress, for a reason, or lets it go. Survives a restart.
    fn egress_act(
        &self,
        name: String,
        suspend: Option<String>,
        by: String,
    ) -> impl Future<Output = Done<Acted>> + Send;
    /// Ways out.
    fn egress_list(&self) -> impl Future<Output = Done<Vec<EgressRow>>> + Send;
    /// Checks one way out or all, to a host if one is named.
    fn egress_check(
        &self,
        egress: Option<String>,
        to: Option<String>,
    ) -> impl Future<Output = Done<Vec<EgressCheck>>> + Send;
    /// Checks one way out or all, and signs what was found.
    fn egress_attest(&self, egress: Option<String>) -> impl Future<Output = Done<Signed>> + Send;
    /// Tries one thing by one egress; never by another.
    fn diagnose(
        &self,
        test: Test,
        role: String,
        target: String,
    ) -> impl Future<Output = Done<Diagnosis>> + Send;
    /// Begins a live trace; an older one ends.
    fn trace_begin(&self, of: Traced, secs: u64) -> impl Future<Output = Done<Dialogue>> + Send;
    /// Lines of the trace after `after`.
    fn trace_poll(&self, after: u64) -> impl Future<Output = Done<Dialogue>> + Send;
    /// Ends the trace and forgets its lines.
    fn trace_end(&self) -> impl Future<Output = Done<Acted>> + Send;
    /// The configuration in force, without secrets.
    fn config_show(&self) -> impl Future<Output = Done<Vec<SettingRow>>> + Send;
    /// Whether a document could be put in force.
    fn config_check(&self, text: String) -> impl Future<Output = Done<Checked>> + Send;
    /// What would change: against `text`, or against the file that the daemon was started with.
    fn config_diff(
        &self,
        text: Option<String>,
    ) -> impl Future<Output = Done<Vec<DifferenceRow>>> + Send;
    /// Reads the file again and puts it in force if it is good.
    fn config_reload(&self, by: String) -> impl Future<Output = Done<Checked>> + Send;
    /// The audit log, newest first.
    fn audit_show(&self, page: PageAsk) -> impl Future<Output = Done<Page<Recorded>>> + Send;
    /// Checks the whole audit log.
    fn audit_verify(&self) -> impl Future<Output = Done<Verification>> + Send;
}

/// Has `office` do `request` on behalf of `by`.
pub(super) async fn perform<O: Office>(office: &O, request: Request, by: String) -> Answer {
    let answer = match request {
        Request::QueueHold { filter, dry_run } => {
            office.queue_act(QueueAct::Hold, filter, by, dry_run).await.map(Answer::Acted)
        }
        Request::QueueRelease { filter, dry_run } => {
            office.queue_act(QueueAct::Release, filter, by, dry_run).await.map(Answer::Acted)
        }
        Request::QueueRetry { filter, dry_run } => {
            office.queue_act(QueueAct::Retry, filter, by, dry_run).await.map(Answer::Acted)
        }
        Request::QueuePurge { filter, dry_run } => {
            office.queue_act(QueueAct::Purge, filter, by, dry_run).await.map(Answer::Acted)
        }
        Request::LaneRelease { lane, source, dry_run } => {
            office.lane_release(lane, source, by, dry_run).await.map(Answer::Acted)
        }
        Request::SourceHold { name, dry_run } => {
            office.source_act(SourceAct::Hold, name, by, dry_run).await.map(Answer::Acted)
        }
        Request::SourceRelease { name, dry_run } => {
            office.source_act(SourceAct::Release, name, by, dry_run).await.map(Answer::Acted)
        }
        Request::SourceDisable { name, dry_run } => {
            office.source_act(SourceAct::Disable, name, by, dry_run).await.map(Answer::Acted)
        }
        Request::SourceEnable { name, dry_run } => {
            office.source_act(SourceAct::Enable, name, by, dry_run).await.map(Answer::Acted)
        }
        Request::SourceRotate { name, grace_secs } => {
            office.source_rotate(name, grace_secs, by).await.map(Answer::Rotated)
        }
        Request::StopAll {} => office.stop_all(true, by).await.map(Answer::Acted),
        Request::ResumeAll {} => office.stop_all(false, by).await.map(Answer::Acted),
        Request::EgressSuspend { name, reason } => {
            let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
            office.egress_act(name, Some(reason), by).await.map(Answer::Acted)
        }
        Request::EgressResume { name } => {
            office.egress_act(name, None, by).await.map(Answer::Acted)
        }
        Request::TraceBegin { source, destination, secs } => match (source, destination) {
            (Some(name), None) => {
                office.trace_begin(Traced::Source(name), secs).await.map(Answer::Dialogue)
            }
            (None, Some(domain)) => {
                office.trace_begin(Traced::Destination(domain), secs).await.map(Answer::Dialogue)
            }
            _ => {
                let text = "a trace is of one source or of one destination";
                Err(Trouble::new(TroubleKind::Invalid, text))
            }
        },
        Request::TraceEnd {} => office.trace_end().await.map(Answer::Acted),
        Request::ConfigReload {} => office.config_reload(by).await.map(Answer::Checked),
        looking => look(office, looking).await,
    };
    answer.unwrap_or_else(Answer::Trouble)
}

/// The requests that change nothing.
async fn look<O: Office>(office: &O, request: Request) -> Done<Answer> {
    Ok(match request {
        Request::Status {} => Answer::Status(Box::new(office.status().await?)),
        Request::Metrics {} => Answer::Metrics(office.metrics().await?),
        Request::Facts { after, limit } => Answer::Facts(office.facts(after, limit).await?),
        Request::QueueList { filter, page } => {
            Answer::Queue(office.queue_list(filter, page).await?)
        }
        Request::QueueLanes { page } => Answer::Lanes(office.queue_lanes(page).await?),
        Request::QueueShow { id } => Answer::Message(Box::new(office.queue_show(id).await?)),
        Request::MessageTrace { id, after } => {
            Answer::Facts(office.message_trace(id, after).await?)
        }
        Request::MessageExplain { id } => Answer::Steps(office.message_explain(id).await?),
        Request::SourceList { page } => Answer::Sources(office.source_list(page).await?),
        Request::SourceShow { name } => Answer::Source(Box::new(office.source_show(name).await?)),
        Request::EgressList {} => Answer::Egresses(office.egress_list().await?),
        Request::EgressCheck { egress, to } => {
            Answer::EgressChecks(office.egress_check(egress, to).await?)
        }
        Request::EgressAttest { egress } => {
            Answer::Attested(Box::new(office.egress_attest(egress).await?))
        }
        Request::Diagnose { test, role, target } => {
            Answer::Diagnosed(office.diagnose(test, role, target).await?)
        }
        Request::TracePoll { after } => Answer::Dialogue(office.trace_poll(after).await?),
        Request::ConfigShow {} => Answer::Settings(office.config_show().await?),
        Request::ConfigCheck { text } => Answer::Checked(office.config_check(text).await?),
        Request::ConfigDiff { text } => Answer::Differences(office.config_diff(text).await?),
        Request::AuditShow { page } => Answer::Audit(office.audit_show(page).await?),
        Request::AuditVerify {} => Answer::Verified(office.audit_verify().await?),
        other => {
            let text = format!("{} is not a request that looks", other.action());
            Answer::Trouble(Trouble::new(TroubleKind::Invalid, text))
        }
    })
}
