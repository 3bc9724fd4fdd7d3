//! What interfaces this machine has, for those who give them parts.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::config::checked::Hardware;
use crate::host::plan::kernel::{items, json, text};

/// An interface as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Its other names: where it is plugged in.
    pub other_names: Vec<String>,
    /// The address that its maker gave it; a bond or a VLAN shows a borrowed one.
    pub mac: String,
    /// The kernel's word for what it is (`vlan`, `bond`, `veth`); none: a card.
    pub kind: Option<String>,
    /// The driver of the card.
    pub driver: Option<String>,
    /// Where the card is plugged in: `0000:01:00.0`, `virtio1`.
    pub bus: Option<String>,
    /// Megabits a second, if there is a link that says so.
    pub speed: Option<u32>,
    /// It was told to be up.
    pub up: bool,
    /// There is a link.
    pub carrier: bool,
    /// Its addresses, each with its prefix.
    pub addresses: Vec<String>,
}

impl InterfaceFacts {
    /// Whether this is the card that a document means. What lies on top of cards shows their
    /// addresses, and is none.
    #[must_use]
    pub fn is(&self, card: &Hardware) -> bool {
        match card {
            Hardware::Mac(address) => self.is_card() && self.mac == address.to_string(),
            Hardware::Name(name) => self.name == *name || self.other_names.contains(name),
        }
    }

    /// Whether it is a card, and not made of others.
    #[must_use]
    pub fn is_card(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == "veth")
    }
}

/// All interfaces but loopback, in the kernel's order; empty if it does not tell.
#[must_use]
pub fn interfaces() -> Vec<InterfaceFacts> {
    let shown = json(&["ip", "-json", "-details", "address", "show"]).unwrap_or_default();
    // Addresses come without the other names.
    let links = json(&["ip", "-json", "link", "show"]).unwrap_or_default();
    let mut all: Vec<InterfaceFacts> = items(&shown).iter().filter_map(facts).collect();
    for facts in &mut all {
        let link = items(&links).iter().find(|link| text(link, "ifname") == facts.name);
        let names = link.and_then(|link| link.get("altnames")).map(items).unwrap_or_default();
        facts.other_names = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    all
}

fn facts(link: &Value) -> Option<InterfaceFacts> {
    let name = text(link, "ifname").to_owned();
    if name.is_empty() || text(link, "link_type") == "loopback" {
        return None;
    }
    let flags = link.get("flags").map(items).unwrap_or_default();
    let flag = |word: &str| flags.iter().any(|flag| flag.as_str() == Some(word));
    let class = Path::new("/sys/class/net").join(&name);
    let device = class.join("device");
    let last = |path: &Path| {
        let target = fs::read_link(path).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    };
    let permanent = text(link, "permaddr");
    let mac = if permanent.is_empty() { text(link, "address") } else { permanent };
    let kind = link.get("linkinfo").map(|info| text(info, "info_kind").to_owned());
    let address = |entry: &Value| {
        let length = entry.get("prefixlen").and_then(Value::as_u64)?;
        Some(format!("{}/{length}", text(entry, "local")))
    };
    Some(InterfaceFacts {
        mac: mac.to_owned(),
        kind: kind.filter(|kind| !kind.is_empty()),
        driver: last(&device.join("driver")),
        bus: last(&device),
        // -1 and an error both mean that there is no link.
        speed: fs::read_to_string(class.join("speed")).ok().and_then(|s| s.trim().parse().ok()),
        up: flag("UP"),
        carrier: flag("LOWER_UP"),
        addresses: link
            .get("addr_info")
            .map(items)
            .unwrap_or_default()
            .iter()
            .filter_map(address)
            .collect(),
        other_names: Vec::new(),
        name,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vlan_is_not_its_card() {
        let link = json!({"ifname": "egress0", "flags": ["UP", "LOWER_UP"], "link_type": "ether",
            "address": "52:54:00:12:00:03", "linkinfo": {"info_kind": "vlan"},
            "addr_info": [{"local": "192.0.2.5", "prefixlen": 24}]});
        let facts = facts(&link).unwrap();
        let card = Hardware::Mac(crate::config::checked::MacAddress([0x52, 0x54, 0, 0x12, 0, 3]));
        assert!(!facts.is(&card) && facts.up && facts.carrier);
        assert_eq!(facts.addresses, ["192.0.2.5/24"]);
        assert!(facts.is(&Hardware::Name("egress0".to_owned())));
    }

    #[test]
    fn a_part_of_a_bond_is_known_by_its_own_address() {
        let link = json!({"ifname": "nic525400120003", "flags": [], "link_type": "ether",
            "address": "52:54:00:12:00:04", "permaddr": "52:54:00:12:00:03"});
        let facts = facts(&link).unwrap();
        let card = Hardware::Mac(crate::config::checked::MacAddress([0x52, 0x54, 0, 0x12, 0, 3]));
        assert!(facts.is(&card) && !facts.carrier);
    }
}
