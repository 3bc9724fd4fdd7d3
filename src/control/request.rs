//! What may be asked, and who may ask it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::diagnose::Test;
use crate::base::id::QueueId;
use crate::base::limits::PAGE_ROWS_MAX;
use crate::config::checked::ControlConfig;
use crate::mail::class::MessageClass;
use crate::mail::source::SourceName;

/// What somebody may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Hold, release, retry, disable, stop.
    Operator,
    /// Destroy mail, change secrets, reload the configuration.
    Administrator,
}

impl Role {
    /// The role of a user id; root and the daemon's own user are administrators, strangers have
    /// none.
    #[must_use]
    pub fn of(uid: u32, own_uid: u32, config: &ControlConfig) -> Option<Self> {
        if uid == 0 || uid == own_uid || config.administrators.contains(&uid) {
            Some(Self::Administrator)
        } else if config.operators.contains(&uid) {
            Some(Self::Operator)
        } else if config.viewers.contains(&uid) {
            Some(Self::Viewer)
        } else {
            None
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        })
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageAsk {
    /// Rows to skip.
    pub offset: u64,
    /// Rows to give, at most `PAGE_ROWS_MAX`.
    pub limit: u64,
}

impl Default for PageAsk {
    fn default() -> Self {
        Self { offset: 0, limit: 50 }
    }
}

impl PageAsk {
    /// Rows to skip and rows to give, within bounds.
    #[must_use]
    pub fn bounds(self) -> (usize, usize) {
        let limit = usize::try_from(self.limit).unwrap_or(PAGE_ROWS_MAX);
        (usize::try_from(self.offset).unwrap_or(usize::MAX), limit.min(PAGE_ROWS_MAX))
    }
}

/// Which messages. Everything that is given must hold; nothing given means every message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueFilter {
    /// One of these; empty: any.
    pub ids: Vec<QueueId>,
    /// Submitted by this source.
    pub source: Option<SourceName>,
    /// With an open recipient in this domain (normal form).
    pub domain: Option<String>,
    /// With an open recipient in a lane of this name: a provider, or a domain.
    pub lane: Option<String>,
    /// Of this class.
    pub class: Option<MessageClass>,
    /// Kept back by an operator, or not.
    pub held: Option<bool>,
    /// Accepted at least so many seconds ago.
    pub older_than_secs: Option<u64>,
}

impl QueueFilter {
    /// Whether nothing is filtered: the whole queue.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// A request. The form on the wire is `{"verb": "queue-list", ..}`. Verbs without fields have empty
/// braces because serde would overlook unknown fields of a plain variant, `dry_run` for example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "verbs and fields are those of the command line")]
pub enum Request {
    Status {},
    Metrics {},
    Facts {
        #[serde(default)]
        after: u64,
        #[serde(default)]
        limit: u64,
    },
    QueueList {
        #[serde(default)]
        filter: QueueFilter,
        #[serde(default)]
        page: PageAsk,
    },
    QueueLanes {
        #[serde(default)]
        page: PageAsk,
    },
    LaneRelease {
        lane: String,
        #[serde(default)]
        source: Option<SourceName>,
        #[serde(default)]
        dry_run: bool,
    },
    QueueShow {
        id: QueueId,
    },
    QueueHold {
        filter: QueueFilter,
        #[serde(default)]
        dry_run: bool,
    },
    QueueRelease {
        filter: QueueFilter,
        #[serde(default)]
        dry_run: bool,
    },
    QueueRetry {
        filter: QueueFilter,
        #[serde(default)]
        dry_run: bool,
    },
    QueuePurge {
        filter: QueueFilter,
        #[serde(default)]
        dry_run: bool,
    },
    MessageTrace {
        id: QueueId,
        #[serde(default)]
        after: u64,
    },
    MessageExplain {
        id: QueueId,
    },
    SourceList {
        #[serde(default)]
        page: PageAsk,
    },
    SourceShow {
        name: SourceName,
    },
    SourceHold {
        name: SourceName,
        #[serde(default)]
        dry_run: bool,
    },
    SourceRelease {
        name: SourceName,
        #[serde(default)]
        dry_run: bool,
    },
    SourceDisable {
        name: SourceName,
        #[serde(default)]
        dry_run: bool,
    },
    SourceEnable {
        name: SourceName,
        #[serde(default)]
        dry_run: bool,
    },
    SourceRotate {
        name: SourceName,
        grace_secs: u64,
    },
    StopAll {},
    ResumeAll {},
    EgressList {},
    EgressSuspend {
        name: String,
        #[serde(default)]
        reason: Option<String>,
    },
    EgressResume {
        name: String,
    },
    EgressCheck {
        #[serde(default)]
        egress: Option<String>,
        #[serde(default)]
        to: Option<String>,
    },
    EgressAttest {
        #[serde(default)]
        egress: Option<String>,
    },
    Diagnose {
        test: Test,
        role: String,
        target: String,
    },
    TraceBegin {
        #[serde(default)]
        source: Option<SourceName>,
        #[serde(default)]
        destination: Option<String>,
        secs: u64,
    },
    TracePoll {
        #[serde(default)]
        after: u64,
    },
    TraceEnd {},
    ConfigShow {},
    ConfigCheck {
        text: String,
    },
    ConfigDiff {
        #[serde(default)]
        text: Option<String>,
    },
    ConfigReload {},
    AuditShow {
        #[serde(default)]
        page: PageAsk,
    },
    AuditVerify {},
}

/// How a request is treated in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Only looks; recorded only if it is refused.
    Looks,
    /// Stops something. Done first and recorded then: a full disk must not stand between an
    /// operator and the kill switch.
    Stops,
    /// Lets something go, destroys it or changes it. Recorded before it is done; not done if it
    /// cannot be recorded.
    Changes,
}

impl Request {
    /// The verb as the command line has it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::Metrics {} => "metrics",
            Self::Facts { .. } => "facts",
            Self::QueueList { .. } => "queue list",
            Self::QueueLanes { .. } => "queue lanes",
            Self::LaneRelease { .. } => "lane release",
            Self::QueueShow { .. } => "queue show",
            Self::QueueHold { .. } => "queue hold",
            Self::QueueRelease { .. } => "queue release",
            Self::QueueRetry { .. } => "queue retry",
            Self::QueuePurge { .. } => "queue purge",
            Self::MessageTrace { .. } => "message trace",
            Self::MessageExplain { .. } => "message explain",
            Self::SourceList { .. } => "source list",
            Self::SourceShow { .. } => "source show",
            Self::SourceHold { .. } => "source hold",
            Self::SourceRelease { .. } => "source release",
            Self::SourceDisable { .. } => "source disable",
            Self::SourceEnable { .. } => "source enable",
            Self::SourceRotate { .. } => "source rotate",
            Self::StopAll {} => "stop-all",
            Self::ResumeAll {} => "resume-all",
            Self::EgressList {} => "egress list",
            Self::EgressSuspend { .. } => "egress suspend",
            Self::EgressResume { .. } => "egress resume",
            Self::EgressCheck { .. } => "egress check",
            Self::EgressAttest { .. } => "egress attest",
            Self::Diagnose { .. } => "diagnose",
            Self::TraceBegin { .. } => "trace smtp",
            Self::TracePoll { .. } => "trace poll",
            Self::TraceEnd {} => "trace end",
            Self::ConfigShow {} => "config show",
            Self::ConfigCheck { .. } => "config check",
            Self::ConfigDiff { .. } => "config diff",
            Self::ConfigReload {} => "config reload",
            Self::AuditShow { .. } => "audit show",
            Self::AuditVerify {} => "audit verify",
        }
    }

    /// The least role that may ask this.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::QueuePurge { .. }
            | Self::SourceRotate { .. }
            | Self::ConfigShow {}
            | Self::ConfigCheck { .. }
            | Self::ConfigDiff { .. }
            | Self::ConfigReload {}
            | Self::AuditShow { .. }
            | Self::AuditVerify {} => Role::Administrator,
            // They look, but they knock on strangers' doors and use a key, or show who writes to
            // whom.
            Self::EgressCheck { .. }
            | Self::EgressAttest { .. }
            | Self::Diagnose { .. }
            | Self::TracePoll { .. } => Role::Operator,
            other if other.weight() == Weight::Looks => Role::Viewer,
            _ => Role::Operator,
        }
    }

    /// How it is treated in the audit log.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self {
            Self::QueueHold { .. }
            | Self::SourceHold { .. }
            | Self::SourceDisable { .. }
            | Self::EgressSuspend { .. }
            | Self::StopAll {} => Weight::Stops,
            Self::QueueRelease { .. }
            | Self::LaneRelease { .. }
            | Self::QueueRetry { .. }
            | Self::QueuePurge { .. }
            | Self::SourceRelease { .. }
            | Self::SourceEnable { .. }
            | Self::SourceRotate { .. }
            | Self::EgressResume { .. }
            | Self::TraceBegin { .. }
            | Self::TraceEnd {}
            | Self::ResumeAll {}
            | Self::ConfigReload {} => Weight::Changes,
            _ => Weight::Looks,
        }
    }

    /// To what, for the audit log.
    #[must_use]
    pub fn subject(&self) -> String {
        let (text, dry_run) = match self {
            Self::QueueHold { filter, dry_run }
            | Self::QueueRelease { filter, dry_run }
            | Self::QueueRetry { filter, dry_run }
            | Self::QueuePurge { filter, dry_run } => {
                let text = serde_json::to_string(filter).unwrap_or_default();
                (if filter.is_everything() { "the whole queue".to_owned() } else { text }, *dry_run)
            }
            Self::SourceHold { name, dry_run }
            | Self::SourceRelease { name, dry_run }
            | Self::SourceDisable { name, dry_run }
            | Self::SourceEnable { name, dry_run } => (name.to_string(), *dry_run),
            Self::LaneRelease { lane, source, dry_run } => {
                let whose = source.as_ref().map_or_else(String::new, |name| format!(" for {name}"));
                (format!("{lane}{whose}"), *dry_run)
            }
            Self::SourceShow { name } | Self::SourceRotate { name, .. } => {
                (name.to_string(), false)
            }
            Self::EgressSuspend { name, reason: Some(reason) } => {
                (format!("{name}: {reason}"), false)
            }
            Self::EgressSuspend { name, .. } | Self::EgressResume { name } => (name.clone(), false),
            Self::TraceBegin { source, destination, secs } => {
                let source = source.iter().map(|name| format!("source {name}"));
                let all = source.chain(destination.iter().map(|d| format!("destination {d}")));
                (format!("{} for {secs} s", all.collect::<Vec<_>>().join(", ")), false)
            }
            Self::Diagnose { test, role, target } => (format!("{test} {target} by {role}"), false),
            Self::QueueShow { id }
            | Self::MessageTrace { id, .. }
            | Self::MessageExplain { id } => (id.to_string(), false),
            _ => (String::new(), false),
        };
        if dry_run { format!("{text} (dry run)") } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_no_role() {
        let config = ControlConfig {
            socket: "/x".into(),
            viewers: vec![10],
            operators: vec![20],
            administrators: vec![30],
        };
        let role = |uid| Role::of(uid, 40, &config);
        assert_eq!(role(10), Some(Role::Viewer));
        assert_eq!(role(20), Some(Role::Operator));
        assert_eq!([role(30), role(40), role(0)], [Some(Role::Administrator); 3]);
        assert_eq!(role(50), None);
    }

    #[test]
    fn the_form_on_the_wire_is_stable() {
        let request =
            Request::SourceDisable { name: SourceName::new("billing").unwrap(), dry_run: false };
        let line = r#"{"verb":"source-disable","name":"billing","dry_run":false}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), line);
        assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"verb":"queue-list"}"#).unwrap(),
            Request::QueueList { filter: QueueFilter::default(), page: PageAsk::default() }
        );
        for bad in [
            r#"{"verb":"queue-purge"}"#,
            r#"{"verb":"queue-purge","filter":{"idss":[]}}"#,
            r#"{"verb":"nonsense"}"#,
            r#"{"verb":"queue-hold","filter":{"source":"No Such Name"}}"#,
        ] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn looking_is_for_viewers_and_destroying_for_administrators() {
        let everything = QueueFilter::default();
        let purge = Request::QueuePurge { filter: everything.clone(), dry_run: true };
        assert_eq!(purge.role(), Role::Administrator);
        assert_eq!(purge.subject(), "the whole queue (dry run)");
        assert_eq!(Request::StopAll {}.role(), Role::Operator);
        let suspend = Request::EgressSuspend { name: "main".to_owned(), reason: None };
        assert_eq!((suspend.role(), suspend.weight()), (Role::Operator, Weight::Stops));
        let resume = Request::EgressResume { name: "main".to_owned() };
        assert_eq!((resume.role(), resume.weight()), (Role::Operator, Weight::Changes));
        assert_eq!(Request::Status {}.role(), Role::Viewer);
        assert_eq!(PageAsk { offset: 5, limit: u64::MAX }.bounds(), (5, PAGE_ROWS_MAX));
    }
}
