//! What has to stand in DNS for a configuration: one place for setup, console and command line.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::keys::DnsRecord;
use crate::config::checked::Config;
use crate::mail::address::Domain;

/// Characters of a string of a record on one line of a terminal.
const PIECE_OCTETS: usize = 64;
/// Characters of a line; a terminal has 80.
const LINE_OCTETS: usize = 79;

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is for, in words.
    pub what: String,
    /// The name, without the final dot.
    pub name: String,
    /// `A`, `AAAA`, `PTR`, `TXT`.
    pub kind: &'static str,
    /// The value; of TXT in one piece, without quotes.
    pub value: String,
}

impl Record {
    /// The record as lines of a zone file, none longer than a terminal is wide; they can be copied
    /// as they are.
    #[must_use]
    pub fn zone_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut head = format!("{}. IN {}", self.name, self.kind);
        let value = if self.kind == "TXT" { pieces(&self.value) } else { vec![self.value.clone()] };
        let whole = value.iter().map(|piece| piece.len() + 1).sum::<usize>();
        if head.len() + whole <= LINE_OCTETS {
            return vec![format!("{head} {}", value.join(" "))];
        }
        if head.len() + 2 > LINE_OCTETS {
            // The names of IPv6 addresses: the zone is said first.
            let middle = self.name.len() / 2;
            let dot = self.name.get(middle..).and_then(|rest| rest.find('.'));
            if let Some((own, zone)) = dot.and_then(|dot| self.name.split_at_checked(middle + dot))
            {
                lines.push(format!("$ORIGIN {}.", zone.trim_start_matches('.')));
                head = format!("{own} IN {}", self.kind);
            }
        }
        lines.push(format!("{head} ("));
        for (at, piece) in value.iter().enumerate() {
            let end = if at + 1 == value.len() { " )" } else { "" };
            lines.push(format!("  {piece}{end}"));
        }
        lines
    }
}

/// The strings of a TXT record, none longer than a line.
fn pieces(value: &str) -> Vec<String> {
    let piece = |octets: &[u8]| format!("\"{}\"", String::from_utf8_lossy(octets));
    value.as_bytes().chunks(PIECE_OCTETS).map(piece).collect()
}

/// Everything to publish for a configuration; `keys` are the records of its DKIM keys, as far as
/// somebody could read them.
#[must_use]
pub fn to_publish(config: &Config, keys: &[DnsRecord]) -> Vec<Record> {
    // What the health gate sends never leaves the machine.
    let config = &*config.outward();
    let mut records = Vec::new();
    let mut add = |what: &str, name: String, kind, value: String| {
        let record = Record { what: what.to_owned(), name, kind, value };
        if !records.contains(&record) {
            records.push(record);
        }
    };
    for egress in &config.egresses {
        let name = egress.ehlo.as_str();
        if let Some(address) = egress.ipv4 {
            add(
                "the gateway's name leads to its address",
                name.to_owned(),
                "A",
                address.to_string(),
            );
            add("and the address back to the name", reverse_v4(address), "PTR", format!("{name}."));
        }
        if let Some(address) = egress.ipv6 {
            let value = address.to_string();
            add("the gateway's name leads to its IPv6 address", name.to_owned(), "AAAA", value);
            add("and that back to the name", reverse_v6(address), "PTR", format!("{name}."));
        }
        let value = "v=spf1 a -all".to_owned();
        add("only this address speaks in the gateway's name", name.to_owned(), "TXT", value);
    }
    for domain in return_domains(config) {
        let value = spf(config);
        add(
            "SPF: join it with the domain's, if it has one",
            domain.as_str().to_owned(),
            "TXT",
            value,
        );
    }
    for key in keys {
        add("DKIM key", key.name.clone(), "TXT", key.value.clone());
    }
    for domain in author_domains(config) {
        let owner = config.sources.values().find_map(|source| source.owner.as_ref());
        let told =
            owner.map_or_else(String::new, |owner| format!("; rua=mailto:{}", owner.as_str()));
        let value = format!("v=DMARC1; p=none{told}");
        let what = "DMARC: none to begin with, quarantine or reject once reports are clean";
        add(what, format!("_dmarc.{domain}"), "TXT", value);
    }
    records
}

/// The SPF record of domains whose mail leaves here.
fn spf(config: &Config) -> String {
    let mut value = "v=spf1".to_owned();
    for egress in &config.egresses {
        value.extend(egress.ipv4.map(|address| format!(" ip4:{address}")));
        value.extend(egress.ipv6.map(|address| format!(" ip6:{address}")));
    }
    value + " -all"
}

/// Domains of return paths, each once.
fn return_domains(config: &Config) -> Vec<Domain> {
    let pairs = config.sources.values().flat_map(|source| &source.pairs);
    unique(pairs.filter_map(|pair| pair.reverse_path.as_ref()).map(|pattern| &pattern.domain))
}

/// Domains of authors, each once.
fn author_domains(config: &Config) -> Vec<Domain> {
    let pairs = config.sources.values().flat_map(|source| &source.pairs);
    unique(pairs.map(|pair| &pair.from.domain))
}

fn unique<'a>(domains: impl Iterator<Item = &'a Domain>) -> Vec<Domain> {
    let mut found: Vec<Domain> = Vec::new();
    for domain in domains {
        if !found.contains(domain) {
            found.push(domain.clone());
        }
    }
    found
}

/// The name under which an address is looked up (RFC 1035 3.5).
fn reverse_v4(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// The same for IPv6 (RFC 3596 2.5).
fn reverse_v6(address: Ipv6Addr) -> String {
    let mut name = String::with_capacity(72);
    for octet in address.octets().iter().rev() {
        let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
    }
    name + "ip6.arpa"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_record_fits_a_terminal_and_loses_nothing() {
        let record = Record {
            what: String::new(),
            name: "p2026r._domainkey.example.com".to_owned(),
            kind: "TXT",
            value: format!("v=DKIM1; k=rsa; p={}", "A".repeat(392)),
        };
        let lines = record.zone_lines();
        assert!(lines.iter().all(|line| line.len() < 80), "{lines:?}");
        let strings: String = lines.join(" ").split('"').skip(1).step_by(2).collect();
        assert_eq!(strings, record.value);
        assert!(lines[0].ends_with('(') && lines.last().unwrap().ends_with(')'));
    }

    #[test]
    fn the_name_of_an_ipv6_address_fits_too() {
        let record = Record {
            what: String::new(),
            name: reverse_v6("2001:db8::25".parse().unwrap()),
            kind: "PTR",
            value: "relay.example.com.".to_owned(),
        };
        let lines = record.zone_lines();
        assert!(lines.iter().all(|line| line.len() < 80), "{lines:?}");
        let zone = lines[0].strip_prefix("$ORIGIN ").unwrap();
        let own = lines[1].strip_suffix(" IN PTR (").unwrap();
        assert_eq!(format!("{own}.{zone}"), format!("{}.", record.name));
        assert_eq!(lines[2], "  relay.example.com. )");
    }

    #[test]
    fn addresses_are_turned_round() {
        assert_eq!(reverse_v4(Ipv4Addr::new(192, 0, 2, 25)), "25.2.0.192.in-addr.arpa");
        let name = reverse_v6("2001:db8::25".parse().unwrap());
        assert!(
            name.starts_with("5.2.0.0.") && name.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"),
            "{name}"
        );
    }
}
