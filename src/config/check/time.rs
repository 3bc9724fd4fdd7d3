//! Checks of `[time]`: where the machine gets its time.

use std::net::IpAddr;

use super::super::Surroundings;
use super::super::checked::{Nts, TimeConfig};
use super::super::file::Section;
use super::gateway::readable;
use super::{absolute, host_name};

/// More are of no use: three agree, a fourth may fail.
const SERVERS_MAX: usize = 16;

/// Reads `[time]`.
pub(super) fn time(top: &mut Section<'_>, surroundings: &dyn Surroundings) -> TimeConfig {
    let mut time = TimeConfig::default();
    let Some(mut section) = top.find("time").and_then(|entry| entry.section()) else { return time };
    let remedy = "Write names or addresses, for example [\"time.cloudflare.com\"]";
    if let Some(entry) = section.find("servers") {
        time.servers = section.list("servers", remedy, server);
        if time.servers.is_empty() && entry.is_list() {
            entry.complain("names no server", "Write some, or remove the line for the usual ones");
        }
        if time.servers.len() > SERVERS_MAX {
            entry.complain(format!("are more than {SERVERS_MAX}"), "Three to five are enough");
        }
    }
    if let Some(entry) = section.find("nts") {
        let remedy = "Write true, false or \"auto\"";
        if entry.is_text() {
            let word = section.parsed("nts", remedy, |text| match text {
                "auto" => Ok(Nts::Auto),
                _ => Err("is neither true, false nor \"auto\""),
            });
            time.nts = word.unwrap_or_default();
        } else {
            time.nts = if section.flag("nts") { Nts::Always } else { Nts::Never };
        }
        let address = time.servers.iter().find(|server| server.parse::<IpAddr>().is_ok());
        if let (Nts::Always, Some(address)) = (time.nts, address) {
            entry.complain(
                format!("is true, and {address} has no name that a certificate could prove"),
                "Write the server's name, or nts = \"auto\"",
            );
        }
    }
    let remedy = "Write the path of a PEM file with certificates of authorities";
    time.roots = section.parsed("roots", remedy, absolute);
    readable(&mut section, "roots", time.roots.as_deref(), surroundings);
    section.close();
    time
}

/// A name or an address; it stands in a file of chrony's.
fn server(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return Err("is no address that can be asked".to_owned());
        }
        return Ok(address.to_string());
    }
    host_name(text).map(|name| name.to_string())
}
