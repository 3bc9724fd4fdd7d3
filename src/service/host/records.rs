//! What the DNS must say before the first message leaves, as lines of zone files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::config::checked::Config;
use crate::host::paths::Paths;
use crate::sign::keys::DnsRecord;

/// The records for a configuration whose keys are on the disk.
pub(super) fn of(config: &Config, paths: &Paths) -> Vec<String> {
    let mut lines = Vec::new();
    let mut addresses = Vec::new();
    for egress in &config.egresses {
        let own = [egress.ipv4.map(IpAddr::from), egress.ipv6.map(IpAddr::from)];
        for address in own.into_iter().flatten() {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            lines.push(format!("{}. IN {kind} {address}", egress.ehlo));
            lines.push(format!("{} IN PTR {}.", reverse(address), egress.ehlo));
            addresses.push(address);
        }
    }
    for key in &config.dkim {
        let pem = std::fs::read(paths.at(&key.file)).map_err(|cause| cause.to_string());
        lines.push(match pem.and_then(|pem| DnsRecord::of(key, &pem)) {
            Ok(record) => record.zone_line(),
            Err(problem) => {
                format!("; {}._domainkey.{}: {problem}", key.selector, key.domain)
            }
        });
    }
    for domain in sender_domains(config) {
        let mut spf = "v=spf1".to_owned();
        for address in &addresses {
            let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
            let _ = write!(spf, " {kind}:{address}");
        }
        lines.push(format!("{domain}. IN TXT \"{spf} -all\" ; and what else sends for it"));
        lines.push(format!(
            "_dmarc.{domain}. IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc@{domain}\" ; stricter \
             when the reports are clean"
        ));
    }
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

/// Domains that stand in reverse-paths or From: fields of our sources, and those of our keys.
fn sender_domains(config: &Config) -> BTreeSet<String> {
    let keys = config.dkim.iter().map(|key| key.domain.to_string());
    let pairs = config.sources.values().flat_map(|source| source.pairs.iter());
    let patterns =
        pairs.flat_map(|pair| pair.reverse_path.iter().chain(std::iter::once(&pair.from)));
    keys.chain(patterns.map(|pattern| pattern.domain.to_string())).collect()
}

/// The name under which an address is looked up (RFC 1035 3.5, RFC 3596 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => {
            let mut name = String::new();
            for octet in v6.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name + "ip6.arpa."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_turned_round() {
        assert_eq!(reverse("192.0.2.25".parse().unwrap()), "25.2.0.192.in-addr.arpa.");
        let v6 = reverse("2001:db8::25".parse().unwrap());
        assert!(v6.starts_with("5.2.0.0.") && v6.ends_with("8.b.d.0.1.0.0.2.ip6.arpa."), "{v6}");
    }
}
