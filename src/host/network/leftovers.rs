//! What an older document has left in the kernel, and the new one does not want: rules in our
//! places, addresses of interfaces whose addresses are written down, and of cards without a part.
//!
//! networkd removes what it has made itself, unless it was started again in between.

use super::Work;
use super::interfaces::interfaces;
use crate::host::plan::Plan;
use crate::host::plan::kernel::{items, json, text};
use crate::host::plan::rules::Rule;

/// Removes it; what cannot be removed is seen by `postern network status`.
pub(super) fn remove(work: &mut Work, plan: &Plan) {
    let planned = plan.rules();
    for v6 in [false, true] {
        let family = if v6 { "-6" } else { "-4" };
        let shown = json(&["ip", "-N", "-json", family, "rule", "show"]).unwrap_or_default();
        for rule in items(&shown).iter().map(|rule| Rule::read(rule, v6)) {
            if rule.is_ours() && !planned.contains(&rule) {
                let words = rule.words();
                let mut command = vec!["ip", family, "rule", "del"];
                command.extend(words.split(' '));
                let _gone_already = work.run(&command);
            }
        }
    }
    for (device, wanted) in plan.written_addresses() {
        let shown = json(&["ip", "-json", "address", "show", "dev", &device, "scope", "global"]);
        let shown = shown.unwrap_or_default();
        let links = items(&shown).iter().filter_map(|link| link.get("addr_info"));
        for entry in links.flat_map(items) {
            let Ok(address) = text(entry, "local").parse() else { continue };
            if !wanted.contains(&address) {
                let length = entry.get("prefixlen").map(ToString::to_string).unwrap_or_default();
                let address = format!("{address}/{length}");
                let _gone_already = work.run(&["ip", "address", "del", &address, "dev", &device]);
            }
        }
    }
    for card in interfaces().iter().filter(|facts| facts.is_card() && !plan.knows(&facts.name)) {
        let _gone_already = work.run(&["ip", "link", "set", "dev", &card.name, "down"]);
        if !card.addresses.is_empty() {
            let _gone_already = work.run(&["ip", "address", "flush", "dev", &card.name]);
        }
    }
}
