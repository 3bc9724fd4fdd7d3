//! There are no log lines, there are facts. Each is a noun and a past-tense verb.
//!
//! **Invariant:** a fact never carries content or credentials. Reply texts of peers arrive here
//! already harmless ([`PeerReply`]).

pub mod counters;
pub mod deed;
mod delays;
pub mod herald;
pub mod hour;
pub mod journal;
mod words;

pub use delays::Delay;
pub use words::{Loudness, harmless, omission, secured};

use std::net::IpAddr;

use serde::Serialize;

use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::mail::class::MessageClass;
use crate::mail::meaning::Defect;
use crate::mail::reply::PeerReply;
use crate::mail::source::{SourceName, SourceState};
use crate::mail::trust::Assurance;

/// What one attempt for one recipient was about; shared by all outcome facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The message.
    pub id: QueueId,
    /// Who submitted it.
    pub source: SourceName,
    /// Its class.
    pub class: MessageClass,
    /// The recipient, in the form that was sent.
    pub recipient: String,
    /// `host[address]:port`, or `none` if no host was reached.
    pub relay: String,
    /// The provider of that host, if the table of providers knows it.
    pub provider: Option<String>,
    /// The egress that was used, or `none`.
    pub egress: String,
    /// TLS version and suite, or `none`.
    pub tls: String,
    /// How well the host was known.
    pub assurance: Assurance,
    /// How many attempts were made, this one included.
    pub attempts: u32,
    /// From acceptance to now, in milliseconds.
    pub delay_millis: u64,
    /// What was answered.
    pub reply: PeerReply,
}

/// Everything that the gateway tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "fields of facts are named by the words of their room")]
pub enum Event {
    /// The daemon serves.
    ServiceStarted { version: String, listeners: Vec<String>, queued: u64 },
    /// SIGTERM or an unrecoverable fault: nothing new is accepted.
    ServiceStopping { reason: String },
    /// A configuration is in force.
    ConfigLoaded { path: String, sources: u64 },
    /// A reload was refused; the old configuration stays.
    ConfigRefused { path: String, complaints: Vec<String> },
    /// A connection was accepted.
    SessionOpened { peer: IpAddr, listener: String },
    /// A connection was turned away before a command.
    SessionRefused { peer: IpAddr, listener: String, reason: String },
    /// A connection ended.
    SessionClosed { peer: IpAddr, listener: String, accepted: u32, refused: u32, reason: String },
    /// A source has shown who it is.
    SourceIdentified { source: SourceName, peer: IpAddr, how: String },
    /// Somebody failed to show who they are.
    SourceRefused { claimed: String, peer: IpAddr, reason: String },
    /// An operator or a date changed what a source may do.
    SourceStateChanged { source: SourceName, state: SourceState, by: String, held: u64 },
    /// Custody was taken.
    MessageAccepted {
        id: QueueId,
        source: SourceName,
        class: MessageClass,
        peer: IpAddr,
        reverse_path: String,
        from: String,
        mail_message_id: String,
        recipients: u32,
        octets: u64,
        signatures: Vec<String>,
        priority: Option<i8>,
        deadline: Option<WallTime>,
    },
    /// A transaction was refused; `reason` is the stable rule name.
    MessageRefused {
        source: Option<SourceName>,
        peer: IpAddr,
        reverse_path: String,
        reason: String,
        reply: String,
    },
    /// A recipient's host took responsibility.
    RecipientDelivered(Attempt),
    /// To be tried again.
    RecipientDeferred { attempt: Attempt, next: WallTime },
    /// Given up on a permanent answer.
    RecipientFailed(Attempt),
    /// Given up because its time is over.
    RecipientExpired(Attempt),
    /// The host may have taken the message although we never heard so (RFC 1047).
    DeliveryInDoubt(Attempt),
    /// A notification was queued.
    ReportQueued { id: QueueId, about: QueueId, to: String, kind: String },
    /// A report was due but has nowhere to go (null reverse-path, no owner).
    ReportOmitted { about: QueueId, reason: String },
    /// All recipients have their outcome; the message is forgotten.
    MessageCompleted { id: QueueId },
    /// Operators took messages out of circulation.
    MessagesHeld { by: String, messages: u64 },
    /// And back.
    MessagesReleased { by: String, messages: u64 },
    /// Operators destroyed messages.
    MessagesPurged { by: String, messages: u64 },
    /// A provider answered so that its lane slowed down.
    LaneSlowed { lane: String, connections: u32, wait_millis: u64, reason: String },
    /// A receiver finds something of ours wrong; `held`: its mail is kept until that is mended.
    OwnDefectSeen {
        provider: String,
        what: Defect,
        source: Option<SourceName>,
        egress: String,
        reply: PeerReply,
        held: bool,
    },
    /// Mail that was held for a fault of ours goes again.
    LaneReleased { lane: String, egress: String, source: Option<SourceName>, what: Defect },
    /// A receiver says that our address has a bad name.
    AddressListed { provider: String, egress: String, reply: PeerReply },
    /// The spool is open.
    SpoolOpened { live: u64, segments: u64, state: String, millis: u64 },
    /// The state behind the ledger was damaged or missing and was rebuilt.
    StateRebuilt { reason: String, records: u64 },
    /// A stored record is damaged and was set aside.
    RecordQuarantined { id: Option<QueueId>, place: String, reason: String },
    /// A message was in hand at two crashes and was set aside.
    MessageQuarantined { id: QueueId, reason: String },
    /// The disk is full, slow, or fine again.
    SpoolPressureChanged { state: String, free_octets: u64, sync_micros: u64 },
    /// The ledger failed; nothing is acknowledged or delivered until a restart.
    SpoolLatched { reason: String },
    /// Nothing leaves by an egress: it lost its interface, address, route or link (`by` is `link`),
    /// receivers say that it is listed (`receivers`), or an operator said so.
    EgressSuspended { egress: String, reason: String, by: String },
    /// An egress goes on without one of its families of addresses.
    EgressImpaired { egress: String, reason: String },
    /// It is whole again.
    EgressResumed { egress: String },
    /// The name servers of an egress do not pass DNSSEC on: names cannot be proved, and DANE cannot
    /// be had.
    DnssecLost { egress: String, reason: String },
    /// They do.
    DnssecProved { egress: String },
    /// The self-probe found something else than before.
    EgressChecked { egress: String, passed: u64, warned: u64, failed: u64, unknown: u64 },
    /// Something about an egress went wrong that receivers see: PTR, lists, name servers.
    EgressCheckFailed { egress: String, item: String, reason: String, remedy: String },
    /// And is well again.
    EgressCheckMended { egress: String, item: String, reason: String },
    /// A connection to a domain's host was worth less than earlier ones.
    TlsDowngraded {
        domain: String,
        relay: String,
        best: Assurance,
        best_at: WallTime,
        found: Assurance,
    },
    /// A domain was told how TLS with its hosts went on a day.
    TlsReportSent { domain: String, day: WallTime, sessions_good: u64, sessions_bad: u64 },
    /// A child process ended and was started again.
    RoleRestarted { role: String, reason: String },
    /// A child process ended too often.
    RoleStopped { role: String, reason: String },
    /// Everything stops, or runs again.
    StopAllChanged { stopped: bool, by: String },
    /// The host role put a configuration in force; with `confirm_secs` on trial.
    GenerationApplied { generation: u64, by: String, confirm_secs: Option<u64> },
    /// It stays.
    GenerationConfirmed { generation: u64, by: String },
    /// It was taken back; `back_to` is in force again (0: no configuration).
    GenerationTakenBack { generation: u64, back_to: u64, reason: String },
    /// A setup file made this box a gateway.
    SetupTaken { place: String, generation: u64 },
    /// A setup file was refused and left alone.
    SetupRefused { place: String, reason: String },
    /// The health gate has examined this machine; `reason` is all that is wrong.
    HealthChecked { healthy: bool, trial: bool, line: String, reason: String },
    /// Somebody acted through the control socket.
    ControlActed { by: String, action: String, subject: String, messages: u64 },
    /// An update of the appliance is `staged`, on `trial`, `healthy`, `rolled-back` or `failed`.
    UpdateMoved { version: String, state: String, reason: String },
    /// Something of ours failed; peers hear 4xx.
    FaultSeen { room: String, fault: String },
}
