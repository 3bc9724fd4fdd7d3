//! Reports about TLS (RFC 8460): counting sessions, and the report of a day.
//!
//! ```text
//! session ─► Counts (one per UTC day and recipient domain) ─► json ─► gzip ─┬► message ─► mail
//!                                                                           └► POST
//! ```
//!
//! A report says nothing about a message, a sender or a recipient: hosts, policies and numbers.

mod message;

pub use message::{Notice, message};

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::limits::{TLSRPT_DETAILS_MAX, TLSRPT_POLICIES_MAX};
use crate::base::time::WallTime;
use crate::mail::trust::{PolicyKind, PolicySeen, TlsResult};

/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 120;

/// Seconds of a day.
const DAY_SECS: u64 = 86_400;

/// The UTC day of a moment, in days since 1970.
#[must_use]
pub fn day_of(at: WallTime) -> u32 {
    u32::try_from(at.unix_secs() / DAY_SECS).unwrap_or(u32::MAX)
}

/// The moment at which a UTC day begins.
#[must_use]
pub fn begin_of(day: u32) -> WallTime {
    WallTime(u64::from(day) * DAY_SECS * 1000)
}

/// One session with a host, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What it was held against.
    pub policy: PolicySeen,
    /// What went wrong, in the report's word and in ours; none: all was well.
    pub failure: Option<(TlsResult, String)>,
    /// The address that we came from.
    pub sending: Option<IpAddr>,
    /// The host, by name.
    pub host: Option<String>,
    /// Its address.
    pub receiving: Option<IpAddr>,
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    result: TlsResult,
    reason: String,
    sending: Option<IpAddr>,
    host: Option<String>,
    receiving: Option<IpAddr>,
    sessions: u64,
}

/// The sessions under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    policy: PolicySeen,
    good: u64,
    bad: u64,
    details: Vec<Detail>,
}

/// The sessions of one day with the hosts of one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(Vec<Tally>);

impl Counts {
    /// Counts a session. What is beyond the bounds is counted in the sum, without its details.
    pub fn note(&mut self, session: Session) {
        let known = self.0.iter().position(|tally| tally.policy == session.policy);
        let at = known.unwrap_or_else(|| {
            if self.0.len() < TLSRPT_POLICIES_MAX {
                let policy = session.policy.clone();
                self.0.push(Tally { policy, good: 0, bad: 0, details: Vec::new() });
            }
            self.0.len() - 1
        });
        let tally = &mut self.0[at];
        let Some((result, reason)) = session.failure else {
            tally.good += 1;
            return;
        };
        tally.bad += 1;
        let plain = reason.chars().map(|c| if c.is_control() { '?' } else { c });
        let detail = Detail {
            result,
            reason: plain.take(REASON_CHARS_MAX).collect(),
            sending: session.sending,
            host: session.host,
            receiving: session.receiving,
            sessions: 1,
        };
        let same = |other: &Detail| Detail { sessions: 1, ..other.clone() } == detail;
        match tally.details.iter().position(same) {
            Some(known) => tally.details[known].sessions += 1,
            None if tally.details.len() < TLSRPT_DETAILS_MAX => tally.details.push(detail),
            None => {}
        }
    }

    /// Sessions that were well, and that were not.
    #[must_use]
    pub fn sums(&self) -> (u64, u64) {
        self.0.iter().fold((0, 0), |(good, bad), tally| (good + tally.good, bad + tally.bad))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who reports to whom about which day.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// The recipient domain.
    pub domain: &'a str,
    /// `organization-name`.
    pub organization: &'a str,
    /// `contact-info`, a mail address.
    pub contact: &'a str,
    /// The UTC day.
    pub day: u32,
}

impl Heading<'_> {
    /// `report-id`: the same for every try to send this report.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", begin_of(self.day).unix_secs(), self.domain)
    }

    /// The last second of the day.
    fn end(&self) -> WallTime {
        begin_of(self.day).after(Duration::from_secs(DAY_SECS - 1))
    }
}

/// The report as JSON (RFC 8460 4.4).
///
/// # Errors
/// It cannot be written, which would be a mistake of this program.
pub fn json(heading: &Heading<'_>, counts: &Counts) -> Result<Vec<u8>, Fault> {
    let report = Whole {
        organization_name: heading.organization,
        date_range: DateRange {
            start_datetime: seconds(begin_of(heading.day)),
            end_datetime: seconds(heading.end()),
        },
        contact_info: heading.contact,
        report_id: heading.id(),
        policies: counts.0.iter().map(|tally| policy(heading.domain, tally)).collect(),
    };
    serde_json::to_vec(&report)
        .map_err(|error| Fault::new("writing the report for", heading.domain, error))
}

/// What is sent: the JSON, compressed.
///
/// # Errors
/// Writing to memory failed.
pub fn gzip(json: &[u8]) -> Result<Vec<u8>, Fault> {
    let fault = |error| Fault::new("compressing", "a report", error);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(json).map_err(fault)?;
    encoder.finish().map_err(fault)
}

fn policy<'a>(domain: &'a str, tally: &'a Tally) -> ReportedPolicy<'a> {
    ReportedPolicy {
        policy: PolicyWords {
            policy_type: tally.policy.kind,
            policy_string: &tally.policy.strings,
            policy_domain: domain,
            mx_host: &tally.policy.mx_hosts,
        },
        summary: Summary {
            total_successful_session_count: tally.good,
            total_failure_session_count: tally.bad,
        },
        failure_details: tally.details.iter().map(detail).collect(),
    }
}

fn detail(detail: &Detail) -> FailureDetail<'_> {
    FailureDetail {
        result_type: detail.result,
        sending_mta_ip: detail.sending,
        receiving_mx_hostname: detail.host.as_deref(),
        receiving_ip: detail.receiving,
        failed_session_count: detail.sessions,
        failure_reason_code: Some(detail.reason.as_str()).filter(|reason| !reason.is_empty()),
    }
}

/// Without milliseconds, as every example of the RFC has it.
fn seconds(at: WallTime) -> String {
    at.rfc3339().replace(".000Z", "Z")
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Whole<'a> {
    organization_name: &'a str,
    date_range: DateRange,
    contact_info: &'a str,
    report_id: String,
    policies: Vec<ReportedPolicy<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DateRange {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ReportedPolicy<'a> {
    policy: PolicyWords<'a>,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failure_details: Vec<FailureDetail<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PolicyWords<'a> {
    policy_type: PolicyKind,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    policy_string: &'a [String],
    policy_domain: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    mx_host: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct FailureDetail<'a> {
    result_type: TlsResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    sending_mta_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_mx_hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_ip: Option<IpAddr>,
    failed_session_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason_code: Option<&'a str>,
}

#[cfg(test)]
mod tests;
