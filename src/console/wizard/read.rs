//! From what was typed to an answer, or to what is wrong with it and what to do.
//!
//! A form of an answer (a number of the list, a bond, a prefix) is understood here. Whether it
//! makes sense is asked of the real check of the configuration: the document is made with the new
//! answer, and what is complained of under the answer's own keys is the answer's problem. So there
//! is no second opinion of what a good configuration is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::answers::{Answers, Attachment, Question, Role};
use super::document;
use super::questions::wording;
use crate::config::{Anywhere, read as check};
use crate::console::words::Said;
use crate::control::host::answer::LinkRow;
use crate::mail::address::{Domain, Mailbox};

/// Why an answer cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub problem: Said,
    /// What to do.
    pub remedy: Said,
}

fn refuse<T>(problem: impl Into<Said>, remedy: impl Into<Said>) -> Result<T, Refusal> {
    Err(Refusal { problem: problem.into(), remedy: remedy.into() })
}

/// The answers with `line` as the answer to `question`.
///
/// # Errors
/// What is wrong with it.
pub fn take(
    question: Question,
    line: &str,
    answers: &Answers,
    ports: &[LinkRow],
) -> Result<Answers, Refusal> {
    let line = line.trim();
    let text = match question {
        Question::Ports(role) => attachment(role, line, answers, ports)?,
        Question::V4(role) => v4(role, line)?,
        Question::Gateway4(role) => gateway4(role, line, answers)?,
        Question::V6(role) => {
            let text = v6(role, line)?;
            if text == "none" && answers.get(Question::V4(role)) == "none" {
                return refuse(
                    Said::with("Then {} has no address at all.", &[&role.word()]),
                    "Type an address, or < and an IPv4 address.",
                );
            }
            text
        }
        Question::Gateway6(role) => gateway6(role, line, answers)?,
        Question::ManageDns if line == "dhcp" => {
            if answers.get(Question::V4(Role::Manage)) != "dhcp" {
                return refuse("Manage has no DHCP.", "Type addresses of name servers.");
            }
            line.to_owned()
        }
        Question::Resolvers | Question::ManageDns => addresses(line, 1..=3)?,
        Question::Time => time(line)?,
        Question::From => patterns(line)?,
        Question::Bounces | Question::Owner => mailbox(line)?,
        Question::Networks => networks(line)?,
        Question::Dkim => domains(line, answers)?,
        Question::HostName | Question::Source => line.to_ascii_lowercase(),
        Question::Passphrase | Question::Again => String::new(),
    };
    let mut new = answers.clone();
    new.set(question, text);
    second_opinion(question, &new, ports)?;
    Ok(new)
}

/// What the real check says about the answer.
fn second_opinion(question: Question, answers: &Answers, ports: &[LinkRow]) -> Result<(), Refusal> {
    let keys = document::keys(question, answers);
    let text = document::document(answers, ports, None);
    let Err(complaints) = check(&text, &Anywhere) else { return Ok(()) };
    let own = |key: &str| keys.iter().any(|own| key == own || key.starts_with(&format!("{own}[")));
    match complaints.into_iter().find(|complaint| own(&complaint.key)) {
        Some(complaint) => {
            let value = complaint.value.filter(|value| value.starts_with('"'));
            let value = value.map_or_else(String::new, |value| format!("{value} "));
            let hint = wording(question).hint;
            refuse(Said::quote(&format!("{value}{}.", complaint.problem)), hint)
        }
        None => Ok(()),
    }
}

/// `2`, `1,2`, `2.25`, a name, or `none`.
fn attachment(
    role: Role,
    line: &str,
    answers: &Answers,
    ports: &[LinkRow],
) -> Result<String, Refusal> {
    if line.is_empty() || line == "none" || line == "-" {
        if role.optional() {
            return Ok("none".to_owned());
        }
        return refuse(
            Said::with("Without a port for {} there is no gateway.", &[&role.word()]),
            "Type the number of a port, or c to find it by its cable.",
        );
    }
    let (numbers, vlan) = split_vlan(line, ports)?;
    let mut chosen: Vec<String> = Vec::new();
    for word in numbers.split([',', '+', ' ']).filter(|word| !word.is_empty()) {
        let number = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let port = match number {
            Some(index) => ports.get(index),
            None => ports.iter().find(|port| port.name == word),
        };
        let Some(port) = port else {
            let list =
                if ports.len() == 1 { "1".to_owned() } else { format!("1 to {}", ports.len()) };
            return refuse(
                Said::with("There is no port {}.", &[&word]),
                Said::with("Type a number: {}.", &[&list]),
            );
        };
        if chosen.contains(&port.name) {
            return refuse(Said::with("Port {} is named twice.", &[&word]), "Name each port once.");
        }
        chosen.push(port.name.clone());
    }
    if chosen.is_empty() {
        return refuse("No port is named.", "Type the number of a port.");
    }
    let found = Attachment { ports: chosen, vlan };
    for other in Role::ALL.into_iter().filter(|other| *other != role) {
        let theirs = Attachment::read(answers.get(Question::Ports(other)));
        let Some(shared) = found.ports.iter().find(|port| theirs.ports.contains(port)) else {
            continue;
        };
        let apart = found.vlan.is_some() && theirs.vlan.is_some() && found.vlan != theirs.vlan;
        if found.ports != theirs.ports || !apart {
            return refuse(
                Said::with("{} is the port of {} already.", &[&shared, &other.word()]),
                "Choose another port, or give both roles a VLAN of their own (1.25).",
            );
        }
    }
    Ok(found.to_string())
}

/// Splits `2.25` or `eth1 vlan 25`; names of ports may have dots themselves.
fn split_vlan<'a>(line: &'a str, ports: &[LinkRow]) -> Result<(&'a str, Option<u16>), Refusal> {
    if ports.iter().any(|port| port.name == line) {
        return Ok((line, None));
    }
    let split = line.split_once(" vlan ").or_else(|| line.rsplit_once('.'));
    let Some((numbers, vlan)) = split else { return Ok((line, None)) };
    match vlan.trim().parse::<u16>() {
        Ok(vlan) if (1..=4094).contains(&vlan) => Ok((numbers, Some(vlan))),
        _ => refuse(
            Said::with("{} is no VLAN.", &[&vlan]),
            "A VLAN has a number from 1 to 4094: 1.25.",
        ),
    }
}

fn v4(role: Role, line: &str) -> Result<String, Refusal> {
    let form = "Type address and prefix length, for example 192.0.2.25/24.";
    match (line, role) {
        ("dhcp", Role::Egress) => {
            return refuse("The egress address must be fixed: receivers know it.", form);
        }
        ("dhcp" | "none", _) => return Ok(line.to_owned()),
        ("", _) => return refuse("An address is needed.", form),
        _ => {}
    }
    if line.parse::<Ipv4Addr>().is_ok() {
        return refuse("The prefix length is missing.", form);
    }
    let Ok(net) = line.parse::<Ipv4Net>() else {
        return refuse(Said::with("{} is no IPv4 address with a prefix length.", &[&line]), form);
    };
    let address = net.addr();
    let wide = net.prefix_len() < 31;
    if wide && (address == net.network() || address == net.broadcast()) {
        return refuse(
            Said::with("{} is the first or the last of its network.", &[&address]),
            form,
        );
    }
    if address.is_loopback() || address.is_multicast() || address.is_unspecified() {
        return refuse(Said::with("{} is no address of a port.", &[&address]), form);
    }
    Ok(net.to_string())
}

fn v6(role: Role, line: &str) -> Result<String, Refusal> {
    let form = "Type address and prefix length, for example 2001:db8::25/64, or none.";
    match (line, role) {
        ("none" | "", _) => return Ok("none".to_owned()),
        ("slaac" | "dhcp", Role::Egress) => {
            return refuse("The egress address must be fixed: receivers know it.", form);
        }
        ("slaac" | "dhcp", _) => return Ok(line.to_owned()),
        _ => {}
    }
    let Ok(net) = line.parse::<Ipv6Net>() else {
        return refuse(Said::with("{} is no IPv6 address with a prefix length.", &[&line]), form);
    };
    let address = net.addr();
    let never = address.is_loopback() || address.is_multicast() || address.is_unspecified();
    if never || address.is_unicast_link_local() || address.to_ipv4_mapped().is_some() {
        return refuse(Said::with("{} is no address for a port.", &[&address]), form);
    }
    Ok(net.to_string())
}

fn gateway4(role: Role, line: &str, answers: &Answers) -> Result<String, Refusal> {
    if line == "none" {
        return no_router(role);
    }
    let form = "Type the IPv4 address of the router.";
    let Ok(address) = line.parse::<Ipv4Addr>() else {
        return refuse(Said::with("{} is no IPv4 address.", &[&line]), form);
    };
    if let Ok(net) = answers.get(Question::V4(role)).parse::<Ipv4Net>() {
        if !net.contains(&address) {
            return refuse(Said::with("{} is not in {}.", &[&address, &net.trunc()]), form);
        }
        if address == net.addr() {
            return refuse(Said::with("{} is this gateway's own address.", &[&address]), form);
        }
    }
    Ok(address.to_string())
}

fn no_router(role: Role) -> Result<String, Refusal> {
    if role == Role::Egress {
        return refuse("Without a router mail reaches nobody.", "Type the address of the router.");
    }
    Ok("none".to_owned())
}

fn gateway6(role: Role, line: &str, answers: &Answers) -> Result<String, Refusal> {
    if line == "none" {
        return no_router(role);
    }
    let form = "Type the IPv6 address of the router, for example fe80::1.";
    let Ok(address) = line.parse::<Ipv6Addr>() else {
        return refuse(Said::with("{} is no IPv6 address.", &[&line]), form);
    };
    if let Ok(net) = answers.get(Question::V6(role)).parse::<Ipv6Net>() {
        if !net.contains(&address) && !address.is_unicast_link_local() {
            return refuse(Said::with("{} is not in {}.", &[&address, &net.trunc()]), form);
        }
        if address == net.addr() {
            return refuse(Said::with("{} is this gateway's own address.", &[&address]), form);
        }
    }
    Ok(address.to_string())
}

/// Words between blanks and commas.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', ',', ';']).filter(|word| !word.is_empty())
}

fn addresses(line: &str, count: std::ops::RangeInclusive<usize>) -> Result<String, Refusal> {
    let form = "Type addresses such as 192.0.2.53, blanks between them.";
    let mut found = Vec::new();
    for word in words(line) {
        let Ok(address) = word.parse::<IpAddr>() else {
            return refuse(Said::with("{} is no address.", &[&word]), form);
        };
        found.push(address.to_string());
    }
    if !count.contains(&found.len()) {
        return refuse(
            Said::with("{} addresses were given.", &[&found.len()]),
            Said::with("Type {} to {} addresses.", &[&count.start(), &count.end()]),
        );
    }
    Ok(found.join(" "))
}

fn time(line: &str) -> Result<String, Refusal> {
    if line == "default" || line.is_empty() {
        return Ok("default".to_owned());
    }
    let mut found = Vec::new();
    for word in words(line) {
        let domain = Domain::parse(word).is_ok_and(|name| name.as_str().contains('.'));
        let name = domain || word.parse::<IpAddr>().is_ok();
        if !name {
            return refuse(
                Said::with("{} is neither a name nor an address.", &[&word]),
                "Type for example ntp.example.com, or default.",
            );
        }
        found.push(word.to_ascii_lowercase());
    }
    Ok(found.join(" "))
}

fn patterns(line: &str) -> Result<String, Refusal> {
    let found: Vec<&str> = words(line).collect();
    match found.iter().find(|word| !word.contains('@')) {
        _ if found.is_empty() => refuse("No address is named.", "Type for example *@example.com."),
        Some(word) => refuse(
            Said::with("{} is no mail address.", &[&word]),
            Said::with("Type for example *@{}.", &[&word.trim_start_matches(['*', '.'])]),
        ),
        None => Ok(found.join(" ")),
    }
}

fn mailbox(line: &str) -> Result<String, Refusal> {
    match Mailbox::parse(line, false) {
        Ok(mailbox) => Ok(mailbox.as_str().to_owned()),
        Err(cause) => refuse(
            Said::with("{} is no mail address: {}.", &[&line, &cause]),
            "Type for example postmaster@example.com.",
        ),
    }
}

fn networks(line: &str) -> Result<String, Refusal> {
    if line == "any" {
        return Ok(line.to_owned());
    }
    let form = "Type networks such as 10.20.0.0/24, or any.";
    let mut found = Vec::new();
    for word in words(line) {
        let single = word.parse::<IpAddr>().map(IpNet::from);
        match single.or_else(|_| word.parse::<IpNet>()) {
            Ok(network) => found.push(network.to_string()),
            Err(_) => return refuse(Said::with("{} is no network.", &[&word]), form),
        }
    }
    if found.is_empty() {
        return refuse("No network is named.", form);
    }
    Ok(found.join(" "))
}

fn domains(line: &str, answers: &Answers) -> Result<String, Refusal> {
    let mut found: Vec<String> = Vec::new();
    for word in words(line) {
        match Domain::parse(word) {
            Ok(domain) if domain.as_str().contains('.') => found.push(domain.as_str().to_owned()),
            _ => {
                return refuse(
                    Said::with("{} is no domain.", &[&word]),
                    "Type for example example.com.",
                );
            }
        }
    }
    let signed = |domain: &String| found.contains(domain);
    match answers.from_domains().into_iter().find(|domain| !signed(domain)) {
        Some(lost) => refuse(
            Said::with("Mail from {} would be refused: it has no key.", &[&lost]),
            Said::with("Name {} too.", &[&lost]),
        ),
        None => Ok(found.join(" ")),
    }
}
