//! The rules that lead to tables: those of a plan, and those of the running kernel, in one form.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use super::networkd::{LAST_PRIORITY, USER_PRIORITY};
use super::{DEVICE_PRIORITY_BASE, Outlet, Plan, SOURCE_PRIORITY_BASE};

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::host) enum Selector {
    From(IpAddr),
    By(String),
    User(u32),
    Everything,
    /// Nothing that a plan ever looks at.
    Other,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(address) => write!(f, "from {address}"),
            Self::By(device) => write!(f, "oif {device}"),
            Self::User(uid) => write!(f, "uidrange {uid}-{uid}"),
            Self::Everything | Self::Other => f.write_str("from all"),
        }
    }
}

/// A rule; without a table it ends the search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::host) struct Rule {
    pub(in crate::host) v6: bool,
    pub(in crate::host) priority: u64,
    pub(in crate::host) selector: Selector,
    pub(in crate::host) table: Option<u64>,
}

impl Rule {
    /// Reads what `ip -N -json rule` shows.
    pub(in crate::host) fn read(rule: &Value, v6: bool) -> Self {
        let number = |key: &str| rule.get(key).and_then(Value::as_u64);
        let text = |key: &str| rule.get(key).and_then(Value::as_str);
        let source = text("src").filter(|source| *source != "all");
        let users = number("uid_start").zip(number("uid_end"));
        // Who has made a rule (protocol) does not change what it does.
        let known =
            ["priority", "src", "table", "oif", "action", "uid_start", "uid_end", "protocol"];
        let strange = rule
            .as_object()
            .is_some_and(|fields| fields.keys().any(|key| !known.contains(&key.as_str())));
        let selector = match (source, text("oif"), users) {
            _ if strange => Selector::Other,
            (Some(source), None, None) => source.parse().map_or(Selector::Other, Selector::From),
            (None, Some(device), None) => Selector::By(device.to_owned()),
            (None, None, Some((first, last))) if first == last => {
                u32::try_from(first).map_or(Selector::Other, Selector::User)
            }
            (None, None, None) => Selector::Everything,
            _ => Selector::Other,
        };
        // A rule that ends the search may name a table, which nobody looks at.
        let leads = text("action").is_none();
        let table = text("table").filter(|_| leads).and_then(|table| table.parse().ok());
        Self { v6, priority: number("priority").unwrap_or_default(), selector, table }
    }

    /// Whether the priority is one of those that plans use.
    pub(in crate::host) fn is_ours(&self) -> bool {
        let (first, end) =
            (u64::from(SOURCE_PRIORITY_BASE), u64::from(DEVICE_PRIORITY_BASE) + 1000);
        (first..end).contains(&self.priority)
            || [USER_PRIORITY, LAST_PRIORITY].map(u64::from).contains(&self.priority)
    }

    /// As `ip rule add` and `ip rule del` take it.
    pub(in crate::host) fn words(&self) -> String {
        let end = match self.table {
            Some(table) => format!("lookup {table}"),
            None => "unreachable".to_owned(),
        };
        format!("priority {} {} {end}", self.priority, self.selector)
    }
}

impl Plan {
    /// All rules, in the order in which the kernel asks them.
    pub(in crate::host) fn rules(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (device, outlets) in self.ways() {
            let first = outlets.iter().find(|o| o.whole_sides().next().is_some()).copied();
            add_rules(&mut rules, device, &outlets, first);
        }
        let Some(whole) = &self.whole else {
            rules.sort_by_key(|rule| rule.priority);
            return rules;
        };
        let ways: Vec<&String> = self.ways().map(|(name, _)| name).collect();
        for face in &whole.faces {
            let outlet = &face.outlet;
            let way = ways.iter().any(|way| *way == face.device());
            add_rules(&mut rules, face.device(), &[outlet], (!way).then_some(outlet));
        }
        let table = whole.manage().map(|face| u64::from(face.outlet.table()));
        for v6 in [false, true] {
            for uid in whole.users().into_iter().filter(|_| table.is_some()) {
                let (priority, selector) = (u64::from(USER_PRIORITY), Selector::User(uid));
                rules.push(Rule { v6, priority, selector, table });
            }
            let (priority, selector) = (u64::from(LAST_PRIORITY), Selector::Everything);
            rules.push(Rule { v6, priority, selector, table: None });
        }
        rules.sort_by_key(|rule| rule.priority);
        rules
    }
}

/// Rules by source, and the one by interface, which leads to the table of `first`.
fn add_rules(rules: &mut Vec<Rule>, device: &str, outlets: &[&Outlet], first: Option<&Outlet>) {
    for outlet in outlets {
        for (side, _) in outlet.whole_sides() {
            rules.push(Rule {
                v6: side.address.is_ipv6(),
                priority: outlet.source_priority().into(),
                selector: Selector::From(side.address),
                table: Some(outlet.table().into()),
            });
        }
    }
    for (v6, first) in [false, true].into_iter().filter_map(|v6| Some((v6, first?))) {
        rules.push(Rule {
            v6,
            priority: first.device_priority().into(),
            selector: Selector::By(device.to_owned()),
            table: Some(first.table().into()),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_read_as_the_kernel_shows_them() {
        for (shown, words, ours) in [
            (
                json!({"priority": 1001, "src": "192.0.2.9", "table": "101", "protocol": "4"}),
                "priority 1001 from 192.0.2.9 lookup 101",
                true,
            ),
            (
                json!({"priority": 2301, "src": "all", "oif": "manage0", "table": "401"}),
                "priority 2301 oif manage0 lookup 401",
                true,
            ),
            (
                json!({"priority": 5000, "src": "all", "uid_start": 0, "uid_end": 0,
                    "table": "401"}),
                "priority 5000 uidrange 0-0 lookup 401",
                true,
            ),
            (
                json!({"priority": 30000, "src": "all", "action": "7", "table": "254"}),
                "priority 30000 from all unreachable",
                true,
            ),
            (
                json!({"priority": 32766, "src": "all", "table": "254"}),
                "priority 32766 from all lookup 254",
                false,
            ),
        ] {
            let rule = Rule::read(&shown, false);
            assert_eq!((rule.words().as_str(), rule.is_ours()), (words, ours));
        }
        let strange = json!({"priority": 1001, "src": "192.0.2.9", "table": "101", "fwmark": "1"});
        assert_eq!(Rule::read(&strange, false).selector, Selector::Other);
    }
}
