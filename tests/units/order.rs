//! What is started before what: a graph from the units, and from what systemd adds by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::Unit;

/// What others' units say, as far as our order leans on it: a unit, and what it comes after
/// (systemd.special(7), and the units of Debian 13).
const OTHERS: &[(&str, &[&str])] = &[
    ("local-fs.target", &["local-fs-pre.target"]),
    ("systemd-udevd.service", &["systemd-sysusers.service"]),
    ("systemd-udev-trigger.service", &["systemd-udevd.service"]),
    ("systemd-tmpfiles-setup.service", &["local-fs.target", "systemd-sysusers.service"]),
    ("systemd-journal-flush.service", &["var.mount", "systemd-journald.service"]),
    ("sysinit.target", &["local-fs.target", "systemd-tmpfiles-setup.service", "cryptsetup.target"]),
    ("basic.target", &["sysinit.target", "sockets.target", "slices.target"]),
    ("systemd-networkd.service", &["network-pre.target", "systemd-sysusers.service"]),
    ("network.target", &["systemd-networkd.service"]),
    ("network-online.target", &["network.target"]),
    ("chrony.service", &["network.target", "basic.target"]),
    ("multi-user.target", &["basic.target"]),
    ("systemd-bless-boot.service", &["boot-complete.target"]),
];

/// Who comes after whom.
#[derive(Default)]
pub(crate) struct Order(BTreeMap<String, BTreeSet<String>>);

impl Order {
    /// Of these units, with what systemd adds (systemd.unit(5), systemd.service(5), ...:
    /// "automatic dependencies").
    pub(crate) fn of(units: &BTreeMap<String, Unit>) -> Self {
        let mut order = Self::default();
        for (unit, before) in OTHERS {
            before.iter().for_each(|other| order.put(other, unit));
        }
        for (name, unit) in units {
            unit.words("Unit", "After").iter().for_each(|other| order.put(other, name));
            unit.words("Unit", "Before").iter().for_each(|other| order.put(name, other));
            let keys = ["RequiresMountsFor", "WantsMountsFor"];
            for path in keys.into_iter().flat_map(|key| unit.words("Unit", key)) {
                units.keys().filter(|m| lies_on(path, m)).for_each(|mount| order.put(mount, name));
            }
            order.automatic(name, unit, units);
        }
        order
    }

    fn automatic(&mut self, name: &str, unit: &Unit, units: &BTreeMap<String, Unit>) {
        let (stem, kind) = name.rsplit_once('.').unwrap();
        let defaults = unit.last("Unit", "DefaultDependencies") != Some("no");
        let ours = units.contains_key(name) && !unit.words("Unit", "Description").is_empty();
        match kind {
            "service" if defaults && ours => {
                self.put("basic.target", name);
                self.put("sysinit.target", name);
            }
            "socket" => {
                let service = unit.last("Socket", "Service");
                let service = service.map_or_else(|| format!("{stem}.service"), str::to_owned);
                self.put(name, &service);
                if defaults {
                    self.put("sysinit.target", name);
                    self.put(name, "sockets.target");
                }
            }
            "mount" => {
                if unit.last("Unit", "DefaultDependencies") != Some("no") {
                    self.put("local-fs-pre.target", name);
                    self.put(name, "local-fs.target");
                }
                // A file system lies on the one above it.
                let above = units.keys().filter(|m| *m != name);
                let here = unit.last("Mount", "Where").unwrap_or_default();
                above.filter(|m| lies_on(here, m)).for_each(|mount| self.put(mount, name));
            }
            "target" if defaults => {
                for other in [unit.words("Unit", "Wants"), unit.words("Unit", "Requires")].concat()
                {
                    self.put(other, name);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, before: &str, after: &str) {
        self.0.entry(after.to_owned()).or_default().insert(before.to_owned());
    }

    /// Whether `one` is always started before `other`.
    pub(crate) fn holds(&self, one: &str, other: &str) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![other]);
        while let Some(unit) = open.pop() {
            for before in self.0.get(unit).into_iter().flatten() {
                if before == one {
                    return true;
                }
                if seen.insert(before.as_str()) {
                    open.push(before);
                }
            }
        }
        false
    }

    /// Units that come before themselves.
    pub(crate) fn circles(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|unit| self.holds(unit, unit)).collect()
    }
}

/// Whether a path is on the file system of a mount unit.
fn lies_on(path: &str, mount: &str) -> bool {
    let Some(stem) = mount.strip_suffix(".mount") else { return false };
    let place = format!("/{}", stem.replace('-', "/").replace("\\x2d", "-"));
    path == place || path.starts_with(&format!("{place}/"))
}

#[test]
fn an_order_is_followed_and_a_circle_is_found() {
    let mut order = Order::default();
    order.put("a", "b");
    order.put("b", "c");
    assert!(order.holds("a", "c") && !order.holds("c", "a"));
    assert!(order.circles().is_empty());
    order.put("c", "a");
    assert_eq!(order.circles(), ["a", "b", "c"]);
    assert!(lies_on("/var/lib/postern-host", "var.mount"));
    assert!(lies_on("/run/postern-host/stick", "run-postern\\x2dhost-stick.mount"));
    assert!(!lies_on("/variable", "var.mount"));
}
