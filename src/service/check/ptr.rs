//! Who an address says it is: PTR = A or AAAA = EHLO name (forward-confirmed reverse DNS). Large
//! receivers refuse mail of an address without it.

use std::net::IpAddr;

use futures_util::future::join_all;

use super::{Finding, Grade, Round, addresses, cause, of_family, pass, unknown, wrong};
use crate::route::LookupError;

/// Words by which receivers know names that providers give to connections of customers.
const GENERIC_WORDS: [&str; 12] = [
    "dyn",
    "dynamic",
    "dhcp",
    "pool",
    "ppp",
    "dsl",
    "adsl",
    "cable",
    "broadband",
    "customer",
    "dialup",
    "static",
];

pub(super) async fn check(round: &Round<'_>) -> Vec<Finding> {
    let each = addresses(round.egress).map(|address| one(round, address));
    join_all(each).await.into_iter().flatten().collect()
}

async fn one(round: &Round<'_>, address: IpAddr) -> Vec<Finding> {
    let ehlo = round.egress.ehlo.as_str();
    let mut findings = Vec::new();
    let names = match round.names.names(round.egress, address).await {
        Ok(names) => names,
        Err(LookupError::NoSuchDomain) => Vec::new(),
        Err(error) => {
            let text = format!("whether {address} has a PTR is not known: {}", cause(&error));
            return vec![unknown("ptr", address, text)];
        }
    };
    let names: Vec<String> =
        names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
    let Some(first) = names.first() else {
        let text = format!("{address} has no PTR record: large receivers refuse its mail");
        findings.push(wrong("ptr", address, Grade::Fail, text, publish_ptr(address, ehlo)));
        findings.push(forward(round, address, ehlo).await);
        return findings;
    };
    findings.push(match names.len() {
        1 if generic(first, address) => wrong(
            "ptr",
            address,
            Grade::Warn,
            format!("the PTR of {address}, {first}, looks like that of a customer's connection"),
            publish_ptr(address, ehlo),
        ),
        1 => pass("ptr", address, format!("{address} is {first}")),
        count => wrong(
            "ptr",
            address,
            Grade::Warn,
            format!("{address} has {count} PTR records: {}", names.join(", ")),
            format!("leave one: {}", publish_ptr(address, ehlo)),
        ),
    });
    let name = names.iter().find(|name| *name == ehlo).unwrap_or(first);
    findings.push(forward(round, address, name).await);
    findings.push(if name == ehlo {
        pass("ehlo", address, format!("says EHLO {ehlo}, which is its PTR"))
    } else {
        wrong(
            "ehlo",
            address,
            Grade::Warn,
            format!("says EHLO {ehlo}, and its PTR is {name}"),
            format!("{}; or set ehlo = \"{name}\"", publish_ptr(address, ehlo)),
        )
    });
    findings
}

/// Whether `name` leads back to `address`.
async fn forward(round: &Round<'_>, address: IpAddr, name: &str) -> Finding {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    let remedy = format!("publish: {name}. IN {kind} {address}");
    let alone = of_family(round.egress, address);
    let found = match round.names.addresses(&alone, name).await {
        Ok(found) => found,
        Err(LookupError::NoSuchDomain) => {
            let text = format!("{name} does not exist, and {address} goes by that name");
            return wrong("forward", address, Grade::Fail, text, remedy);
        }
        Err(error) => {
            let text = format!("where {name} leads is not known: {}", cause(&error));
            return unknown("forward", address, text);
        }
    };
    let v4 = found.v4.iter().map(|v4| IpAddr::V4(*v4));
    let all: Vec<IpAddr> = v4.chain(found.v6.iter().map(|v6| IpAddr::V6(*v6))).collect();
    if all.contains(&address) {
        return pass("forward", address, format!("{name} leads back to {address}"));
    }
    let others: Vec<String> = all.iter().map(ToString::to_string).collect();
    let others = if others.is_empty() { "nowhere".to_owned() } else { others.join(", ") };
    let text = format!("{name} leads to {others}, not back to {address}");
    wrong("forward", address, Grade::Fail, text, remedy)
}

/// What whoever gave us the address must publish.
fn publish_ptr(address: IpAddr, ehlo: &str) -> String {
    format!("have your provider publish: {}. IN PTR {ehlo}.", reverse_name(address, "arpa"))
}

/// The name of an address below `in-addr.arpa` or `ip6.arpa`, or of a list's zone.
pub(super) fn reverse_name(address: IpAddr, zone: &str) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            let family = if zone == "arpa" { "in-addr." } else { "" };
            format!("{d}.{c}.{b}.{a}.{family}{zone}")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|o| [o & 15, o >> 4]);
            let nibbles: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            let family = if zone == "arpa" { "ip6." } else { "" };
            format!("{}.{family}{zone}", nibbles.join("."))
        }
    }
}

/// Whether a name looks as if a machine had made it from the address.
fn generic(name: &str, address: IpAddr) -> bool {
    let host = name.split('.').next().unwrap_or_default();
    let mut words = name.split(['.', '-', '_']).map(|word| word.trim_matches(char::is_numeric));
    if words.any(|word| GENERIC_WORDS.contains(&word)) {
        return true;
    }
    let IpAddr::V4(v4) = address else { return false };
    let octets = v4.octets().map(|octet| octet.to_string());
    let numbers: Vec<&str> = name
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.trim_start_matches('0'))
        .map(|digits| if digits.is_empty() { "0" } else { digits })
        .collect();
    let same = |order: &mut dyn Iterator<Item = &String>| {
        let octets: Vec<&str> = order.map(String::as_str).collect();
        numbers.windows(4).any(|four| four == octets)
    };
    let hex = format!("{:08x}", v4.to_bits());
    same(&mut octets.iter()) || same(&mut octets.iter().rev()) || host.contains(&hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_connections_are_known() {
        let address: IpAddr = "192.0.2.25".parse().unwrap();
        for name in [
            "192-0-2-25.isp.example",
            "host-25.2.0.192.isp.example",
            "c0000219.isp.example",
            "dyn-17.isp.example",
            "pool12.isp.example",
            "static.25.2.0.192.isp.example",
            "ip192.000.002.025.isp.example",
        ] {
            assert!(generic(name, address), "{name}");
        }
        for name in ["relay.example.com", "mx25.example.com", "out2.dynamo.example", "a.example"] {
            assert!(!generic(name, address), "{name}");
        }
    }

    #[test]
    fn reverse_names() {
        let v4 = reverse_name("192.0.2.25".parse().unwrap(), "arpa");
        assert_eq!(v4, "25.2.0.192.in-addr.arpa");
        let list = reverse_name("192.0.2.25".parse().unwrap(), "zen.example");
        assert_eq!(list, "25.2.0.192.zen.example");
        let v6 = reverse_name("2001:db8::25".parse().unwrap(), "arpa");
        assert!(v6.starts_with("5.2.0.0.0.0.") && v6.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
    }
}
