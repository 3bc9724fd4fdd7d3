//! What is answered: plain rows that tables and programs are made from.

use serde::{Deserialize, Serialize};

use super::check::{CheckRow, EgressCheck};
use super::diagnose::Diagnosis;
use super::dialogue::Dialogue;
use super::health::GateRow;
use super::lanes::{HeldRow, LaneRow};
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::event::Delay;
use crate::event::counters::Totals;
use crate::event::deed::{Recorded, Verification};
use crate::event::hour::LastHour;
use crate::mail::class::MessageClass;
use crate::mail::source::{SourceName, SourceState};
use crate::sign::statement::Signed;

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Rows of the whole list.
    pub total: u64,
    /// Rows that were skipped.
    pub offset: u64,
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// The caller's role does not reach.
    Forbidden,
    /// No such message, source, ...
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// Not in this state: it is already so, or something else stands against it.
    Conflict,
    /// Something of ours failed.
    Fault,
}

/// A request that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Trouble {
    /// The kind, for programs.
    pub kind: TroubleKind,
    /// What happened and what to do, for people.
    pub text: String,
}

impl Trouble {
    /// A trouble of a kind.
    pub fn new(kind: TroubleKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::new(TroubleKind::Fault, fault.to_string())
    }
}

/// A message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// The message.
    pub id: QueueId,
    /// Who submitted it.
    pub source: SourceName,
    /// Its class.
    pub class: MessageClass,
    /// When responsibility was taken.
    pub accepted: WallTime,
    /// Octets of its content.
    pub octets: u64,
    /// Why it does not move: an operator, its source or stop-all; `None` if it moves.
    pub held: Option<String>,
    /// Recipients whose outcome is open.
    pub recipients: u64,
    /// Their domains, at most three.
    pub domains: Vec<String>,
    /// Attempts so far, of the recipient that was tried most often.
    pub attempts: u32,
    /// The earliest next attempt.
    pub next: WallTime,
    /// The last answer, if it is remembered.
    pub reply: Option<String>,
    /// Lanes of its open recipients, at most three.
    #[serde(default)]
    pub lanes: Vec<String>,
}

/// A recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientRow {
    /// The forward-path.
    pub address: String,
    /// `open`, `in flight`, `delivered`, `failed`, `expired`, `purged`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The next attempt, if the outcome is open.
    pub next: Option<WallTime>,
    /// The last answer, if it is remembered.
    pub reply: Option<String>,
}

/// One message, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMessage {
    /// As in the list.
    #[serde(flatten)]
    pub row: QueueRow,
    /// MAIL FROM; empty: the null reverse-path.
    pub reverse_path: String,
    /// When delivery is given up.
    pub expires: WallTime,
    /// It is a notification of ours.
    pub notification: bool,
    /// Everyone it was for.
    pub everyone: Vec<RecipientRow>,
}

/// How much was done, or would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Messages that were touched, or would be.
    pub messages: u64,
    /// Nothing was done.
    pub dry_run: bool,
    /// A word more, or nothing.
    pub note: String,
}

/// A fact in a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactRow {
    /// The number of the fact.
    pub number: u64,
    /// When.
    pub at: WallTime,
    /// Its stable name.
    pub event: String,
    /// The message it is about.
    pub message: Option<QueueId>,
    /// In words.
    pub text: String,
}

/// One step in the explanation of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// When, if it is past.
    pub at: Option<WallTime>,
    /// The room: `identify`, `permit`, `sign`, `spool`, `schedule`, `deliver`, `report`.
    pub step: String,
    /// What was decided and why, in plain words.
    pub text: String,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Its name.
    pub name: SourceName,
    /// What it may do now.
    pub state: SourceState,
    /// What the configuration says, if an operator's switch lies over it.
    pub configured: SourceState,
    /// `password`, `certificate` or `network`.
    pub proof: String,
    /// Class of its messages.
    pub class: MessageClass,
    /// Messages of it in the queue.
    pub queued: u64,
    /// Messages of it that are held.
    pub held: u64,
    /// Messages accepted since the start.
    pub accepted: u64,
}

/// One source, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDetail {
    /// As in the list.
    #[serde(flatten)]
    pub row: SourceRow,
    /// User name of AUTH, for password sources.
    pub user: Option<String>,
    /// How many secrets are valid now, and until when the older ones are.
    pub secrets: Vec<String>,
    /// Networks; empty: any.
    pub networks: Vec<String>,
    /// Pairs as `<reverse-path> From: <author>`.
    pub pairs: Vec<String>,
    /// After this moment it is expired.
    pub expires: Option<WallTime>,
    /// Who is told.
    pub owner: Option<String>,
    /// Who set the state, and when.
    pub switched: Option<String>,
    /// Contacts, tags and notes.
    pub notes: Vec<String>,
}

/// A new secret. Shown once, kept nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The source.
    pub name: SourceName,
    /// User name of AUTH.
    pub user: String,
    /// The new password.
    pub password: String,
    /// Until when the old one is valid too.
    pub grace_until: WallTime,
}

impl std::fmt::Debug for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotated").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A listener in the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRow {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// What it speaks.
    pub kind: String,
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRow {
    /// Its name.
    pub name: String,
    /// The interface.
    pub device: Option<String>,
    /// Source addresses.
    pub addresses: Vec<String>,
    /// `up`, `impaired` (one family of two is lost) or `suspended`.
    pub state: String,
    /// Why it is suspended or impaired.
    pub reason: Option<String>,
    /// Who or what suspended it: `link`, `receivers`, or an operator.
    #[serde(default)]
    pub by: Option<String>,
    /// Since when.
    #[serde(default)]
    pub since: Option<WallTime>,
    /// Pools that it is a member of; one of them bears its own name.
    #[serde(default)]
    pub pools: Vec<String>,
    /// Its families of addresses.
    #[serde(default)]
    pub families: Vec<FamilyRow>,
    /// Providers that get nothing from it for a time because they say that it is listed, and what
    /// they said.
    #[serde(default)]
    pub listed: Vec<(String, String)>,
    /// The day of its warm-up, its allowance and what is used of it.
    #[serde(default)]
    pub warm_up: Option<String>,
}

/// One family of addresses of an egress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyRow {
    /// The address.
    pub address: String,
    /// `up` or `suspended`.
    pub state: String,
    /// What is missing.
    pub reason: Option<String>,
}

/// The spool in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolRow {
    /// [`SpoolRow::OPEN`], `slow`, `full` or `latched`.
    pub state: String,
    /// The folder.
    pub path: String,
    /// Ledger segments.
    pub segments: u64,
    /// Octets free for new mail.
    pub free_octets: u64,
    /// Average time of a sync in microseconds.
    pub sync_micros: u64,
}

impl SpoolRow {
    /// The state of a spool that takes new mail.
    pub const OPEN: &str = "open";
}

/// The queue in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSums {
    /// Messages.
    pub messages: u64,
    /// Recipients whose outcome is open.
    pub recipients: u64,
    /// Messages that are held, for whatever reason.
    pub held: u64,
    /// Deliveries in flight.
    pub in_flight: u64,
    /// Providers with mail.
    pub lanes: u64,
}

/// A wall between roles and whether it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallRow {
    /// Its name.
    pub name: String,
    /// It stands.
    pub stands: bool,
    /// Whether it stands cannot be seen from where the gateway is.
    #[serde(default)]
    pub unknown: bool,
    /// What it rests on, or why it does not stand.
    pub note: String,
}

/// How the gateway is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `running`, `stopped` (stop-all), `draining`, `degraded` or `latched`.
    pub state: String,
    /// Why, if it is not running.
    pub reasons: Vec<String>,
    /// Version of the program.
    pub version: String,
    /// The gateway's own name.
    pub hostname: String,
    /// A laboratory.
    pub lab: bool,
    /// When it started.
    pub started: WallTime,
    /// Now.
    pub now: WallTime,
    /// The configuration in force.
    pub config: String,
    /// Listeners.
    pub listeners: Vec<ListenerRow>,
    /// Ways out.
    pub egresses: Vec<EgressRow>,
    /// What the last checks of the ways out found.
    #[serde(default)]
    pub checks: Vec<CheckRow>,
    /// Sources that are active, and all.
    pub sources_active: u64,
    /// All sources.
    pub sources: u64,
    /// The queue.
    pub queue: QueueSums,
    /// The spool.
    pub spool: SpoolRow,
    /// Sums since the start.
    pub totals: Totals,
    /// Walls.
    pub walls: Vec<WallRow>,
    /// Mail that is held for faults of ours.
    #[serde(default)]
    pub held: Vec<HeldRow>,
    /// How long deliveries took, by class and provider.
    #[serde(default)]
    pub delays: Vec<Delay>,
    /// What the health gate must know; none: no synthetic message is configured.
    #[serde(default)]
    pub health: Option<GateRow>,
    /// The last sixty minutes, or since the start if that is less ago.
    #[serde(default)]
    pub last_hour: LastHour,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRow {
    /// Key path.
    pub key: String,
    /// Value; secrets are not shown.
    pub value: String,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceRow {
    /// Key path.
    pub key: String,
    /// In force; none: not set.
    pub old: Option<String>,
    /// New; none: not set.
    pub new: Option<String>,
}

/// What a check of a configuration found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// It could be put in force.
    pub good: bool,
    /// Why not, all at once.
    pub complaints: Vec<String>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// An answer. The form on the wire is `{"answer": "status", "data": {..}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "data", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the types say it")]
pub enum Answer {
    Status(Box<Status>),
    Metrics(String),
    Facts(Vec<FactRow>),
    Queue(Page<QueueRow>),
    Lanes(Page<LaneRow>),
    Message(Box<QueueMessage>),
    Acted(Acted),
    Steps(Vec<StepRow>),
    Sources(Page<SourceRow>),
    Source(Box<SourceDetail>),
    Rotated(Rotated),
    Egresses(Vec<EgressRow>),
    EgressChecks(Vec<EgressCheck>),
    Attested(Box<Signed>),
    Diagnosed(Diagnosis),
    Dialogue(Dialogue),
    Settings(Vec<SettingRow>),
    Checked(Checked),
    Differences(Vec<DifferenceRow>),
    Audit(Page<Recorded>),
    Verified(Verification),
    Trouble(Trouble),
}
