//! An SPF record as text (RFC 7208 section 4.6.1 and 5).

use std::net::IpAddr;

use ipnet::IpNet;

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// Lengths of prefixes behind `a` and `mx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    v4: u8,
    v6: u8,
}

impl Lengths {
    /// Whether `address` is in the network of `host`.
    pub(super) fn covers(self, host: IpAddr, address: IpAddr) -> bool {
        let length = if host.is_ipv4() { self.v4 } else { self.v6 };
        IpNet::new(host, length).is_ok_and(|network| network.trunc().contains(&address))
    }
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(String),
    A { target: Option<String>, lengths: Lengths },
    Mx { target: Option<String>, lengths: Lengths },
    Ptr(Option<String>),
    Network(IpNet),
    Exists(String),
}

/// A mechanism with its qualifier, and as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) qualifier: Qualifier,
    pub(super) mechanism: Mechanism,
    pub(super) text: String,
}

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) terms: Vec<Term>,
    pub(super) redirect: Option<String>,
}

impl Record {
    /// Reads a record that begins with `v=spf1`. A syntax error anywhere spoils the whole
    /// (RFC 7208 4.6).
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut record = Self::default();
        let mut explained = false;
        for word in text.split(' ').skip(1).filter(|word| !word.is_empty()) {
            if let Some((name, value)) = modifier(word) {
                let twice = || format!("{name}= stands there twice");
                match name.to_ascii_lowercase().as_str() {
                    "redirect" if record.redirect.is_some() => return Err(twice()),
                    "redirect" if value.is_empty() => return Err("redirect= is empty".to_owned()),
                    "redirect" => record.redirect = Some(value.to_owned()),
                    "exp" if std::mem::replace(&mut explained, true) => return Err(twice()),
                    // Unknown modifiers are for others.
                    _ => {}
                }
                continue;
            }
            record.terms.push(term(word)?);
        }
        if record.terms.iter().any(|term| term.mechanism == Mechanism::All) {
            // RFC 7208 6.1: a redirect beside `all` is ignored.
            record.redirect = None;
        }
        Ok(record)
    }
}

/// `name=value`; a mechanism has its `:` or `/` before any `=`.
fn modifier(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(legal);
    good.then_some((name, value))
}

fn term(word: &str) -> Result<Term, String> {
    let odd = || format!("{word:?} is no mechanism");
    let (qualifier, rest) = match word.as_bytes().first() {
        Some(b'+') => (Qualifier::Pass, &word[1..]),
        Some(b'-') => (Qualifier::Fail, &word[1..]),
        Some(b'~') => (Qualifier::SoftFail, &word[1..]),
        Some(b'?') => (Qualifier::Neutral, &word[1..]),
        _ => (Qualifier::Pass, word),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, value) = rest.split_at(end);
    let value_of = |value: &str| value.strip_prefix(':').map(str::to_owned);
    let needed = || value_of(value).filter(|v| !v.is_empty()).ok_or_else(odd);
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if value.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(needed()?),
        "exists" => Mechanism::Exists(needed()?),
        "ptr" if value.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(needed()?)),
        "ip4" | "ip6" => Mechanism::Network(network(name, &needed()?).ok_or_else(odd)?),
        "a" | "mx" => {
            let (target, lengths) = dual(value).ok_or_else(odd)?;
            if name.eq_ignore_ascii_case("a") {
                Mechanism::A { target, lengths }
            } else {
                Mechanism::Mx { target, lengths }
            }
        }
        _ => return Err(odd()),
    };
    Ok(Term { qualifier, mechanism, text: word.to_owned() })
}

fn network(name: &str, value: &str) -> Option<IpNet> {
    let (address, length) = match value.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (value, None),
    };
    let address: IpAddr = address.parse().ok()?;
    if address.is_ipv4() != name.eq_ignore_ascii_case("ip4") {
        return None;
    }
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(whole), |length| prefix(length, whole))?;
    IpNet::new(address, length).ok().map(|network| network.trunc())
}

/// `[:domain][/v4][//v6]`.
fn dual(value: &str) -> Option<(Option<String>, Lengths)> {
    // A slash may stand inside a macro as a delimiter: only what follows the last brace counts.
    let from = value.rfind('}').map_or(0, |at| at + 1);
    let slash = value[from..].find('/').map_or(value.len(), |at| at + from);
    let (target, lengths) = value.split_at(slash);
    let target = match target.strip_prefix(':') {
        Some("") => return None,
        Some(domain) => Some(domain.to_owned()),
        None if target.is_empty() => None,
        None => return None,
    };
    let (v4, v6) = match lengths.split_once("//") {
        Some((v4, v6)) => (v4.strip_prefix('/').or(v4.is_empty().then_some(""))?, Some(v6)),
        None if lengths.is_empty() => ("", None),
        None => (lengths.strip_prefix('/')?, None),
    };
    if lengths == "/" {
        return None;
    }
    let v4 = if v4.is_empty() { Some(32) } else { prefix(v4, 32) };
    let v6 = v6.map_or(Some(128), |v6| prefix(v6, 128));
    Some((target, Lengths { v4: v4?, v6: v6? }))
}

/// Digits without a leading zero, up to the whole.
fn prefix(text: &str, whole: u8) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|length| plain && *length <= whole)
}
