//! Patience by class and ceilings per provider.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::checked::{LaneLimits, RetryPolicy};
use super::super::file::Section;
use super::super::measure;
use crate::base::limits::{
    CONNECTION_MESSAGES_MAX, LANE_CONNECTIONS_FIRST, LANE_CONNECTIONS_MAX, RETRY_FIRST,
    RETRY_LONGEST,
};
use crate::mail::class::MessageClass;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Connections to all providers together: 25 lanes at their maximum.
const CONNECTIONS_TOTAL_MAX: u32 = 500;

/// What a class gets when nothing is said.
fn default(class: MessageClass) -> RetryPolicy {
    match class {
        // A code that comes after half an hour is worth nothing, and its sender has long known.
        MessageClass::Otp => RetryPolicy {
            first: Duration::from_secs(30),
            longest: 5 * MINUTE,
            lifetime: 30 * MINUTE,
            delay_notice: None,
        },
        // Two days bridge a weekend's outage less than RFC 5321 4.5.4.1's four to five, because
        // the application can still act on a failed invoice.
        MessageClass::Transactional => RetryPolicy {
            first: RETRY_FIRST,
            longest: RETRY_LONGEST,
            lifetime: 2 * DAY,
            delay_notice: Some(4 * HOUR),
        },
        MessageClass::Subscribed => RetryPolicy {
            first: RETRY_FIRST,
            longest: RETRY_LONGEST,
            lifetime: 5 * DAY,
            delay_notice: None,
        },
    }
}

pub(super) fn retry(top: &mut Section<'_>, lab: bool) -> BTreeMap<MessageClass, RetryPolicy> {
    let mut policies: BTreeMap<_, _> =
        MessageClass::ALL.into_iter().map(|class| (class, default(class))).collect();
    let Some(mut section) = top.find("retry").and_then(|entry| entry.section()) else {
        return policies;
    };
    for (key, class) in [
        ("otp", MessageClass::Otp),
        ("transactional", MessageClass::Transactional),
        ("subscribed", MessageClass::Subscribed),
    ] {
        if let Some(section) = section.find(key).and_then(|entry| entry.section()) {
            policies.insert(class, policy(section, default(class), lab));
        }
    }
    section.close();
    policies
}

fn policy(mut section: Section<'_>, default: RetryPolicy, lab: bool) -> RetryPolicy {
    let shortest = if lab { Duration::from_millis(10) } else { Duration::from_secs(10) };
    let first = section.duration("first", default.first, shortest..=DAY);
    let longest = section.duration("longest", default.longest.max(first), shortest..=7 * DAY);
    let lifetime = section.duration("lifetime", default.lifetime, shortest..=14 * DAY);
    let remedy = "Write a duration such as \"4h\", or \"never\"";
    let notice = section.parsed("delay_notice", remedy, |text| {
        if text == "never" { Ok(None) } else { measure::duration(text).map(Some) }
    });
    let asked = notice.is_some();
    let delay_notice = notice.unwrap_or(default.delay_notice).filter(|d| asked || *d < lifetime);
    if longest < first
        && let Some(entry) = section.find("longest")
    {
        entry.complain("is shorter than first", "Make it at least as long as first");
    }
    if lifetime <= first
        && let Some(entry) = section.find("lifetime").or_else(|| section.find("first"))
    {
        entry.complain(
            format!(
                "the first retry ({}) would come after the end ({})",
                measure::write_duration(first),
                measure::write_duration(lifetime)
            ),
            "Make lifetime longer than first",
        );
    }
    if delay_notice.is_some_and(|notice| notice >= lifetime)
        && let Some(entry) = section.find("delay_notice")
    {
        entry.complain("comes after the end (lifetime)", "Shorten it, or write \"never\"");
    }
    section.close();
    RetryPolicy { first, longest, lifetime, delay_notice }
}

pub(super) fn lanes(top: &mut Section<'_>) -> LaneLimits {
    let default = LaneLimits {
        connections_first: LANE_CONNECTIONS_FIRST,
        connections_max: LANE_CONNECTIONS_MAX,
        connections_total_max: CONNECTIONS_TOTAL_MAX,
        messages_per_connection: CONNECTION_MESSAGES_MAX,
        messages_per_minute: None,
    };
    let Some(mut section) = top.find("lanes").and_then(|entry| entry.section()) else {
        return default;
    };
    let mut count = |key, default: u32| {
        u32::try_from(section.number(key, default.into(), 1..=100_000)).unwrap_or(default)
    };
    let connections_max = count("connections_max", default.connections_max);
    let lanes = LaneLimits {
        connections_first: count(
            "connections_first",
            default.connections_first.min(connections_max),
        ),
        connections_max,
        connections_total_max: count(
            "connections_total_max",
            default.connections_total_max.max(connections_max),
        ),
        messages_per_connection: count("messages_per_connection", default.messages_per_connection),
        messages_per_minute: None,
    };
    let rate = section
        .find("messages_per_minute")
        .map(|_| section.number("messages_per_minute", 1, 1..=10_000_000));
    for (wrong, key, problem) in [
        (
            lanes.connections_first > lanes.connections_max,
            "connections_first",
            "is more than connections_max",
        ),
        (
            lanes.connections_max > lanes.connections_total_max,
            "connections_max",
            "is more than connections_total_max",
        ),
    ] {
        if let (true, Some(entry)) = (wrong, section.find(key)) {
            entry.complain(problem, "Lower it");
        }
    }
    section.close();
    LaneLimits { messages_per_minute: rate.and_then(|n| u32::try_from(n).ok()), ..lanes }
}
