//! What the running kernel lacks of a plan. It only looks: `ip -json`, `nft -json`, /proc/sys.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::networkd::last_destinations;
use super::rules::Rule;
use super::{METRIC_LAST, Outlet, Plan, nftables, sysctl};

/// Something that is not as planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What is different, in plain words.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Difference {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// What is said of the guard when this process may not look at it.
pub const UNSEEN: &str = "whether the guard is loaded cannot be seen";

/// Everything in which the running kernel differs from `plan`, in this process's network
/// namespace. What cannot be seen (the guard, without root) is a difference too.
#[must_use]
pub fn differences(plan: &Plan) -> Vec<Difference> {
    let mut found = Vec::new();
    let faces = plan.whole.iter().flat_map(|whole| &whole.faces);
    let faces = faces.map(|face| (&face.outlet.device, vec![&face.outlet], face.is_leased()));
    let ways = plan.ways().map(|(name, outlets)| (name, outlets, false));
    for (name, outlets, leased) in ways.chain(faces) {
        match json(&["ip", "-json", "-details", "address", "show", "dev", name]) {
            Err(why) => {
                found.push(Difference::new(why, format!("is the interface {name} plugged in?")));
                continue;
            }
            Ok(link) => outlets.iter().for_each(|outlet| addresses(&mut found, outlet, &link)),
        }
        // What a lease says is not planned, and not wrong either.
        for outlet in outlets.into_iter().filter(|_| !leased) {
            routes(&mut found, outlet);
        }
    }
    for family in ["-4", "-6"] {
        rules(&mut found, plan, family);
    }
    settings(&mut found, plan);
    guard(&mut found, plan);
    found
}

/// The answer of a program that speaks JSON; none at all is an empty list.
pub(in crate::host) fn json(words: &[&str]) -> Result<Value, String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(Value::Null) };
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let out = run.map_err(|cause| format!("{program} cannot be run: {cause}"))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(format!("`{}`: {}", words.join(" "), said.trim()));
    }
    if out.stdout.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Array(Vec::new()));
    }
    serde_json::from_slice(&out.stdout).map_err(|cause| format!("{program}: {cause}"))
}

pub(in crate::host) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(in crate::host) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn flag(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "-4" } else { "-6" }
}

fn addresses(found: &mut Vec<Difference>, outlet: &Outlet, link: &Value) {
    let device = &outlet.device;
    let held: Vec<&Value> = items(link)
        .iter()
        .flat_map(|l| items(l.get("addr_info").unwrap_or(&Value::Null)))
        .collect();
    for (side, network) in outlet.whole_sides() {
        let same = |known: &&&Value| text(known, "local").parse() == Ok(side.address);
        match held.iter().find(same) {
            None => found.push(Difference::new(
                format!("{device} has not the address {network} of {}", outlet.whose),
                format!("ip address replace {network} dev {device} noprefixroute"),
            )),
            Some(known) if number(known, "prefixlen") != u64::from(network.prefix_len()) => {
                let length = number(known, "prefixlen");
                found.push(Difference::new(
                    format!("{device} has {} with the prefix /{length}", side.address),
                    format!(
                        "ip address del {}/{length} dev {device}; ip address replace {network} \
                         dev {device} noprefixroute",
                        side.address
                    ),
                ));
            }
            Some(known) if known.get("noprefixroute").and_then(Value::as_bool) != Some(true) => {
                found.push(Difference::new(
                    format!("the table main has a route to {} by {device}", network.trunc()),
                    format!("ip address change {network} dev {device} noprefixroute"),
                ));
            }
            Some(_) => {}
        }
    }
}

/// A route as far as a plan cares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// The network, or `unreachable` and the network.
    to: String,
    gateway: Option<IpAddr>,
    device: Option<String>,
}

impl Entry {
    fn of(route: &Value, family: &str) -> Self {
        let everything = if family == "-4" { "0.0.0.0/0" } else { "::/0" };
        let to = match text(route, "dst") {
            "default" => everything.to_owned(),
            network if network.contains('/') => network.to_owned(),
            host => host
                .parse::<IpAddr>()
                .map_or_else(|_| host.to_owned(), |address| IpNet::from(address).to_string()),
        };
        // Numbers of linux/rtnetlink.h: `-N` makes names of tables and types numbers.
        let kind = match text(route, "type") {
            "" | "1" | "unicast" => "",
            "6" => "blackhole",
            "7" => "unreachable",
            "8" => "prohibit",
            other => other,
        };
        if !kind.is_empty() {
            let last = number(route, "metric") == u64::from(METRIC_LAST);
            let metric = if last { "" } else { " with another metric" };
            return Self { to: format!("{kind} {to}{metric}"), gateway: None, device: None };
        }
        Self {
            to,
            gateway: text(route, "gateway").parse().ok(),
            device: Some(text(route, "dev").to_owned()),
        }
    }

    /// As `ip route` takes it.
    fn words(&self) -> String {
        let mut words = self.to.clone();
        if let Some(gateway) = self.gateway {
            let _ = write!(words, " via {gateway}");
        }
        if let Some(device) = &self.device {
            let _ = write!(words, " dev {device}");
        }
        words
    }
}

/// What the table of an egress must hold in one family.
fn planned(outlet: &Outlet, family: &str) -> BTreeSet<Entry> {
    let mut entries = BTreeSet::new();
    let device = Some(outlet.device.clone());
    let everything = if family == "-4" { "0.0.0.0/0" } else { "::/0" };
    for (side, network) in outlet.whole_sides().filter(|(side, _)| flag(side.address) == family) {
        let to = network.trunc().to_string();
        entries.insert(Entry { to, gateway: None, device: device.clone() });
        if side.gateway.is_some() {
            let to = everything.to_owned();
            entries.insert(Entry { to, gateway: side.gateway, device: device.clone() });
        }
    }
    if last_destinations(outlet).contains(&everything) {
        let to = format!("unreachable {everything}");
        entries.insert(Entry { to, gateway: None, device: None });
    }
    entries
}

fn routes(found: &mut Vec<Difference>, outlet: &Outlet) {
    let table = outlet.table().to_string();
    for family in ["-4", "-6"] {
        let planned = planned(outlet, family);
        // A table without routes does not exist, which `ip` calls an error.
        let shown = json(&["ip", "-N", "-json", family, "route", "show", "table", &table]);
        let shown = shown.unwrap_or_default();
        let present: BTreeSet<Entry> =
            items(&shown).iter().map(|route| Entry::of(route, family)).collect();
        // Neighbours first: the router is one of them.
        let mut missing: Vec<&Entry> = planned.difference(&present).collect();
        missing.sort_by_key(|entry| entry.gateway.is_some());
        for entry in missing {
            let metric = match entry.device {
                None => format!(" metric {METRIC_LAST}"),
                Some(_) => String::new(),
            };
            found.push(Difference::new(
                format!("table {table} of {} has no route {}", outlet.whose, entry.words()),
                format!("ip {family} route replace {}{metric} table {table}", entry.words()),
            ));
        }
        for entry in present.difference(&planned).filter(|_| !planned.is_empty()) {
            found.push(Difference::new(
                format!(
                    "table {table} of {} has a route that is not planned: {}",
                    outlet.whose,
                    entry.words()
                ),
                format!("ip {family} route del {} table {table}", entry.words()),
            ));
        }
    }
}

fn rules(found: &mut Vec<Difference>, plan: &Plan, family: &str) {
    let shown = match json(&["ip", "-N", "-json", family, "rule", "show"]) {
        Ok(shown) => shown,
        Err(why) => {
            found.push(Difference::new(why, "install iproute2"));
            return;
        }
    };
    let v6 = family == "-6";
    let present: Vec<Rule> = items(&shown).iter().map(|rule| Rule::read(rule, v6)).collect();
    let planned: Vec<Rule> = plan.rules().into_iter().filter(|rule| rule.v6 == v6).collect();
    for rule in planned.iter().filter(|rule| !present.contains(rule)) {
        let what = match rule.table {
            Some(table) => format!("no rule sends what goes {} to table {table}", rule.selector),
            None => "no rule stops what none has sent to a table".to_owned(),
        };
        found.push(Difference::new(what, format!("ip {family} rule add {}", rule.words())));
    }
    let last = planned.last().map_or(0, |rule| rule.priority);
    for rule in &present {
        let priority = rule.priority;
        let foreign = !planned.iter().any(|known| known.priority == priority);
        if priority > 0 && priority < last && foreign {
            found.push(Difference::new(
                format!("a rule that is not planned comes before ours, at priority {priority}"),
                format!("see `ip {family} rule`; ip {family} rule del priority {priority}"),
            ));
        }
    }
}

fn settings(found: &mut Vec<Difference>, plan: &Plan) {
    for setting in sysctl::settings(plan) {
        // What this kernel does not have cannot be wrong.
        let Ok(value) = std::fs::read_to_string(format!("/proc/sys/{}", setting.key)) else {
            continue;
        };
        if value.trim() != setting.value.to_string() {
            found.push(Difference::new(
                format!(
                    "{} is {}, not {}: {}",
                    setting.key,
                    value.trim(),
                    setting.value,
                    setting.reason
                ),
                format!("sysctl -w {}={}", setting.key, setting.value),
            ));
        }
    }
}

/// The guard by the name in its comment, and whether somebody has added or removed rules.
fn guard(found: &mut Vec<Difference>, plan: &Plan) {
    let load = if plan.whole.is_some() {
        "postern network apply"
    } else {
        "postern egress plan --format nftables --write / && nft -f /etc/nftables.d/postern.nft"
    };
    let listed = match json(&["nft", "-json", "list", "table", "inet", "postern"]) {
        Ok(listed) => listed,
        Err(why) if why.contains("No such file") => {
            found.push(Difference::new(
                "the guard (nftables table inet postern) is not loaded",
                load,
            ));
            return;
        }
        Err(why) => {
            let what = format!("{UNSEEN}: {why}");
            found.push(Difference::new(what, "run this as root, with nftables installed"));
            return;
        }
    };
    let objects = items(listed.get("nftables").unwrap_or(&Value::Null));
    let count = objects.iter().filter(|object| object.get("rule").is_some()).count();
    // nft 1.0 leaves the comment of a table out of its JSON.
    let shown = Command::new("nft").args(["list", "table", "inet", "postern"]).output();
    let shown = shown.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let named = shown.is_ok_and(|text| text.contains(&nftables::plan_name(plan)));
    if !named {
        found.push(Difference::new("the guard is that of another plan", load));
    } else if count != nftables::rule_count(plan) {
        let planned = nftables::rule_count(plan);
        let what = format!("the guard has {count} rules, the plan has {planned}: it was changed");
        found.push(Difference::new(what, load));
    }
    let listed = json(&["nft", "-json", "list", "table", "arp", "postern"]).unwrap_or_default();
    let objects = items(listed.get("nftables").unwrap_or(&Value::Null));
    let count = objects.iter().filter(|object| object.get("rule").is_some()).count();
    if count != nftables::neighbour_rules(plan).len() {
        let what = "the guard of neighbours (nftables table arp postern) is not as planned";
        found.push(Difference::new(what, load));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn routes_are_read_as_the_kernel_shows_them() {
        let entry = |route: Value, family: &str| Entry::of(&route, family).words();
        let via = json!({"dst": "default", "gateway": "192.0.2.1", "dev": "eg0", "flags": []});
        assert_eq!(entry(via, "-4"), "0.0.0.0/0 via 192.0.2.1 dev eg0");
        let last = json!({"type": "unreachable", "dst": "default", "dev": "lo",
            "metric": 4_294_967_295_u32});
        assert_eq!(entry(last, "-6"), "unreachable ::/0");
        let weak = json!({"type": "unreachable", "dst": "default", "metric": 5});
        assert_eq!(entry(weak, "-4"), "unreachable 0.0.0.0/0 with another metric");
        let host = json!({"dst": "192.0.2.7", "dev": "eg0"});
        assert_eq!(entry(host, "-4"), "192.0.2.7/32 dev eg0");
    }
}
