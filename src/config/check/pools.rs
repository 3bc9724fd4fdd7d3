//! Pools: egresses that share mail. A pool that is half configured is refused.

use super::super::checked::{Egress, Member, Pool, Route, WarmUp};
use super::super::complaint::Desk;
use super::super::file::{Entry, Section};
use super::egress::Egresses;
use super::{PLAIN_NAME, plain_name};
use crate::base::time::WallTime;
use crate::mail::source::Source;

/// The largest weight; a member with a thousandth of the mail is a mistake already.
const WEIGHT_MAX: u32 = 1000;
/// Days of a warm-up. Four weeks are usual.
const WARM_UP_DAYS_MAX: usize = 365;
/// Messages to one provider on one day of a warm-up.
const WARM_UP_STEP_MAX: u64 = 100_000_000;

/// What a pool and its members must be.
const MEMBERS: &str = "Write members = [\"main\", { egress = \"second\", weight = 3 }]";

/// The pools of the document, then one for each egress. Those that sources name must exist.
pub(super) fn pools(
    top: &mut Section<'_>,
    egresses: &Egresses,
    sources: &[Source],
    desk: &Desk,
) -> Vec<Pool> {
    // Names of egresses that could not be read are no mistake of a pool.
    let Egresses { known: egresses, names } = egresses;
    let alone = |egress: &Egress| Pool {
        name: egress.name.clone(),
        members: vec![Member { egress: egress.name.clone(), weight: 1 }],
    };
    let mut pools = Vec::new();
    if let Some(mut section) = top.find("pool").and_then(|entry| entry.section()) {
        for (name, entry) in section.named() {
            if !plain_name(&name) {
                entry.complain("is no name for a pool", PLAIN_NAME);
            }
            if names.contains(&name) {
                entry.complain(
                    "is the name of an egress, which is a pool of its own",
                    "Give the pool another name",
                );
            }
            if let Some(section) = entry.section() {
                let pool = Pool { members: members(section, names), name };
                alike(&pool, egresses, desk);
                pools.push(pool);
            }
        }
    }
    pools.extend(egresses.iter().map(alone));
    named(sources, &pools, names, desk);
    pools
}

fn members(mut section: Section<'_>, names: &[String]) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    let list = section.need("members", MEMBERS);
    section.close();
    let Some(list) = list else { return members };
    let items = list.items(MEMBERS);
    if items.is_empty() && list.is_list() {
        list.complain("names nobody: its mail could never leave", MEMBERS);
    }
    for item in items {
        let Some(member) = member(&item) else { continue };
        if !names.contains(&member.egress) {
            item.complain(
                format!("{} is no egress", member.egress),
                format!("Write the name of an egress: {}", names.join(", ")),
            );
        } else if members.iter().any(|other| other.egress == member.egress) {
            item.complain(
                format!("{} is a member already", member.egress),
                "Name every member once; weight gives it a larger share",
            );
        } else {
            members.push(member);
        }
    }
    members
}

/// A member by its name alone, or with its weight.
fn member(item: &Entry<'_>) -> Option<Member> {
    if item.is_text() {
        return Some(Member { egress: item.text(MEMBERS)?.to_owned(), weight: 1 });
    }
    let mut section = item.section()?;
    let egress = section.need("egress", MEMBERS).and_then(|entry| entry.text(MEMBERS));
    let weight = section.number("weight", 1, 1..=WEIGHT_MAX.into());
    section.close();
    Some(Member { egress: egress?.to_owned(), weight: u32::try_from(weight).unwrap_or(1) })
}

/// Whoever stands in must be able to do what the other does.
fn alike(pool: &Pool, egresses: &[Egress], desk: &Desk) {
    let of = |member: &Member| egresses.iter().find(|egress| egress.name == member.egress);
    let members: Vec<&Egress> = pool.members.iter().filter_map(of).collect();
    let key = format!("pool.{}.members", pool.name);
    let asks = members.iter().find(|egress| !egress.resolvers.is_empty());
    let mute = members.iter().find(|egress| egress.resolvers.is_empty());
    if let (Some(asks), Some(mute)) = (asks, mute) {
        desk.complain(
            &key,
            format!("{} has name servers and {} has none", asks.name, mute.name),
            format!("Write egress.{}.resolvers: without, it cannot stand in", mute.name),
        );
    }
    for (family, has) in [
        ("IPv6", (|egress: &Egress| egress.ipv6.is_some()) as fn(&Egress) -> bool),
        ("IPv4", |egress| egress.ipv4.is_some()),
    ] {
        let with = members.iter().find(|egress| has(egress));
        let without = members.iter().find(|egress| !has(egress));
        if let (Some(with), Some(without)) = (with, without) {
            desk.warn(
                &key,
                format!(
                    "{} has an {family} address and {} has none: hosts with {family} alone wait \
                     when their mail is at home there",
                    with.name, without.name
                ),
                "Give all members of a pool the same families",
            );
        }
    }
}

/// Pools that sources name must exist.
fn named(sources: &[Source], pools: &[Pool], names: &[String], desk: &Desk) {
    for source in sources {
        let Some(name) = &source.pool else { continue };
        if !pools.iter().any(|pool| pool.name == *name) && !names.contains(name) {
            desk.complain(
                &format!("source.{}.pool", source.name),
                "is no pool and no egress",
                format!("Write one of {}", ways(pools, names).join(", ")),
            );
        }
    }
}

/// Names that a route or a source may give: pools, and egresses of the document.
pub(super) fn ways(pools: &[Pool], names: &[String]) -> Vec<String> {
    let mut ways: Vec<String> = Vec::new();
    for name in pools.iter().map(|pool| &pool.name).chain(names) {
        if !ways.contains(name) {
            ways.push(name.clone());
        }
    }
    ways
}

/// Whether mail of a route may leave by `egress`.
pub(super) fn leads(route: &Route, egress: &str, pools: &[Pool], sources: &[Source]) -> bool {
    let has = |name: &str| {
        let pool = pools.iter().find(|pool| pool.name == name);
        pool.is_some_and(|pool| pool.members.iter().any(|member| member.egress == egress))
    };
    if let Some(name) = route.egress.as_deref() {
        return has(name);
    }
    let default = pools.first().map(|pool| pool.name.as_str());
    let of_sources = sources.iter().filter_map(|source| source.pool.as_deref());
    of_sources.chain(default).any(has)
}

/// The schedule of a new address.
pub(super) fn warm_up(section: &mut Section<'_>) -> Option<WarmUp> {
    let mut section = section.find("warm_up")?.section()?;
    let remedy = "Write the first day (UTC), for example first_day = \"2026-11-20\"";
    let entry = section.need("first_day", remedy);
    let first_day = entry.and_then(|entry| {
        let day = entry.moment().and_then(|text| day(&text));
        if day.is_none() {
            entry.complain("is no day", remedy);
        }
        day
    });
    let remedy = "Write messages a day to one provider, for example steps = [50, 100, 200]";
    let list = section.need("steps", remedy);
    section.close();
    let list = list?;
    let items = list.items(remedy);
    if list.is_list() && (items.is_empty() || items.len() > WARM_UP_DAYS_MAX) {
        list.complain(format!("has no days, or more than {WARM_UP_DAYS_MAX}"), remedy);
        return None;
    }
    let step = |item: &Entry<'_>| {
        let number = item.number(remedy)?;
        if (1..=WARM_UP_STEP_MAX).contains(&number) {
            return u32::try_from(number).ok();
        }
        item.complain("is out of bounds", format!("Write 1 to {WARM_UP_STEP_MAX}"));
        None
    };
    let steps: Vec<u32> = items.iter().filter_map(step).collect();
    if steps.windows(2).any(|pair| pair[1] < pair[0]) {
        list.complain(
            "allows less on a later day than on an earlier one",
            "Write steps that grow: receivers get to know the address by its volume",
        );
    }
    Some(WarmUp { first_day: first_day?, steps }).filter(|warm_up| !warm_up.steps.is_empty())
}

/// A date as days since 1970-01-01.
fn day(text: &str) -> Option<u32> {
    if text.len() != 10 {
        return None;
    }
    let midnight = WallTime::parse_rfc3339(&format!("{text}T00:00:00Z"))?;
    u32::try_from(midnight.unix_secs() / 86_400).ok()
}
