//! What is known of each egress: who suspended it, since when, and what people see of that.

use std::collections::BTreeMap;

use serde::Serialize;

use super::listings::Listings;
use crate::base::time::{Instant, WallTime};
use crate::config::checked::{Egress, WarmUp};
use crate::event::Event;
use crate::host::clock;
use crate::net::egress::{Condition, Family};

/// An operator's suspension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallTime,
}

/// A family of an egress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FamilyState {
    /// The address.
    pub address: String,
    /// What is missing; none: it is whole.
    pub suspended: Option<String>,
}

/// An egress as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressState {
    /// Its name.
    pub name: String,
    /// The broker has told how it is.
    pub known: bool,
    /// Why nothing leaves by it.
    pub suspended: Option<String>,
    /// Who or what suspended it: `link`, `receivers`, or an operator.
    pub by: Option<String>,
    /// Since when.
    pub since: Option<WallTime>,
    /// Its families, IPv4 first.
    pub families: Vec<FamilyState>,
    /// Pools that it is a member of.
    pub pools: Vec<String>,
    /// Providers that say that it is listed, and what they said.
    pub listed: Vec<(String, String)>,
    /// How far its warm-up is.
    pub warm_up: Option<String>,
}

impl EgressState {
    /// A family is missing, and the other one carries.
    fn half(&self) -> Option<&str> {
        let lost = self.families.iter().find_map(|family| family.suspended.as_deref());
        lost.filter(|_| self.suspended.is_none())
    }
}

/// Everything but what the broker and the accounts know.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) held: BTreeMap<String, Holder>,
    pub(super) listings: Listings,
    told: BTreeMap<String, Told>,
    /// The configuration is new: the queue must hear of all pools.
    pub(super) stale: bool,
}

/// What was told of an egress last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    suspended: Option<String>,
    half: Option<String>,
    listed: usize,
    since: Option<WallTime>,
}

/// Who suspends what the broker finds unwell.
const LINK: &str = "link";
/// Who suspends what is listed.
const RECEIVERS: &str = "receivers";

impl State {
    pub(super) fn describe(
        &self,
        egress: &Egress,
        condition: Option<Condition>,
        now: Instant,
    ) -> EgressState {
        let known = condition.is_some();
        let condition = condition.unwrap_or_else(|| Condition::all(egress, &Family::Whole));
        let v4 = egress.ipv4.map(|address| (address.to_string(), &condition.v4));
        let v6 = egress.ipv6.map(|address| (address.to_string(), &condition.v6));
        let family = |(address, family): (String, &Family)| FamilyState {
            address,
            suspended: family.suspended().map(str::to_owned),
        };
        let (suspended, by, since) = if let Some(holder) = self.held.get(&egress.name) {
            (Some(holder.reason.clone()), Some(holder.by.clone()), Some(holder.at))
        } else if let Some(rest) = self.listings.whole(&egress.name, now) {
            (Some(rest.reply.clone()), Some(RECEIVERS.to_owned()), Some(rest.since))
        } else if let Some(cause) = condition.suspended() {
            let since = self.told.get(&egress.name).and_then(|told| told.since);
            (Some(cause.to_owned()), Some(LINK.to_owned()), since)
        } else {
            (None, None, None)
        };
        let listed = self.listings.pairs(&egress.name, now).into_iter();
        EgressState {
            name: egress.name.clone(),
            known,
            suspended,
            by,
            since,
            families: v4.into_iter().chain(v6).map(family).collect(),
            pools: Vec::new(),
            listed: listed.map(|(name, rest)| (name.to_owned(), rest.reply.clone())).collect(),
            warm_up: None,
        }
    }

    /// Egresses whose state is not what was told last, and the facts to tell.
    pub(super) fn compare(
        &mut self,
        states: &[EgressState],
        now: Instant,
    ) -> (Vec<String>, Vec<Event>) {
        self.listings.forget(now);
        let (mut changed, mut events) = (Vec::new(), Vec::new());
        for state in states {
            let before = self.told.get(&state.name).cloned();
            let known = before.clone().unwrap_or_default();
            let mut told = Told {
                suspended: state.suspended.clone(),
                half: state.half().map(str::to_owned),
                listed: state.listed.len(),
                since: known.since,
            };
            let suspended = told.suspended.is_some();
            if before.is_some() && told == known {
                continue;
            }
            if suspended != known.suspended.is_some() {
                told.since = suspended.then(clock::wall);
            }
            changed.push(state.name.clone());
            events.extend(fact(state, &known, &told));
            self.told.insert(state.name.clone(), told);
        }
        self.told.retain(|name, _| states.iter().any(|state| state.name == *name));
        (changed, events)
    }
}

/// What is told of a change; a reason that has changed while it lasts is no news.
fn fact(state: &EgressState, known: &Told, told: &Told) -> Option<Event> {
    let egress = state.name.clone();
    let by = || state.by.clone().unwrap_or_default();
    match (&known.suspended, &told.suspended) {
        (None, Some(reason)) => {
            return Some(Event::EgressSuspended { egress, reason: reason.clone(), by: by() });
        }
        (Some(_), None) => return Some(Event::EgressResumed { egress }),
        _ => {}
    }
    match (&known.half, &told.half) {
        (None, Some(reason)) => Some(Event::EgressImpaired { egress, reason: reason.clone() }),
        (Some(_), None) if told.suspended.is_none() => Some(Event::EgressResumed { egress }),
        _ => None,
    }
}

/// How far a warm-up is, in words.
pub(super) fn warm_up_row(
    warm_up: &WarmUp,
    today: u32,
    (total, most): (u64, Option<(&str, u32)>),
) -> Option<String> {
    let allowance = warm_up.allowance(today)?;
    let (days, number) = (warm_up.steps.len(), today.saturating_sub(warm_up.first_day) + 1);
    let most = most.map_or_else(String::new, |(name, used)| format!(", most to {name}: {used}"));
    Some(format!("day {number} of {days}: {allowance} to a provider; {total} sent{most}"))
}
