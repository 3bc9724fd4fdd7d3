//! Macros in the domains of a record (RFC 7208 section 7).

use std::net::IpAddr;

use super::Sender;

/// The longest name of DNS; longer results lose labels at the left (RFC 7208 7.3).
const NAME_OCTETS_MAX: usize = 253;

/// `text` with its macros expanded, for a record of `domain`.
pub(super) fn expand(text: &str, sender: &Sender<'_>, domain: &str) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let odd = || format!("{text:?} has a broken macro");
        match rest.as_bytes().first() {
            Some(b'%') => expanded.push('%'),
            Some(b'_') => expanded.push(' '),
            Some(b'-') => expanded.push_str("%20"),
            Some(b'{') => {
                let end = rest.find('}').ok_or_else(odd)?;
                expanded.push_str(&one(&rest[1..end], sender, domain).ok_or_else(odd)?);
                rest = &rest[end + 1..];
                continue;
            }
            _ => return Err(odd()),
        }
        rest = &rest[1..];
    }
    expanded.push_str(rest);
    let mut name = expanded.trim_end_matches('.');
    while name.len() > NAME_OCTETS_MAX {
        name = name.split_once('.').map_or("", |(_, rest)| rest);
    }
    if name.is_empty() || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(format!("{text:?} makes no name: {name:?}"));
    }
    Ok(name.to_ascii_lowercase())
}

/// What stands between the braces: letter, digits, `r`, delimiters.
fn one(inside: &str, sender: &Sender<'_>, domain: &str) -> Option<String> {
    let letter = inside.chars().next()?;
    let value = match letter.to_ascii_lowercase() {
        's' => format!("{}@{}", sender.local_part, sender.domain),
        'l' => sender.local_part.to_owned(),
        'o' => sender.domain.to_owned(),
        'd' => domain.to_owned(),
        'i' => dotted(sender.address),
        // RFC 7208 7.3 lets everyone say so, and advises against the look-up.
        'p' => "unknown".to_owned(),
        'v' => if sender.address.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
        'h' => sender.ehlo.to_owned(),
        _ => return None,
    };
    let rest = &inside[letter.len_utf8()..];
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    let reversed = rest.starts_with(['r', 'R']);
    let delimiters = if reversed { &rest[1..] } else { rest };
    if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
        return None;
    }
    let kept =
        if number.is_empty() { usize::MAX } else { number.parse().ok().filter(|n| *n > 0)? };
    let cut = |c: char| if delimiters.is_empty() { c == '.' } else { delimiters.contains(c) };
    let mut parts: Vec<&str> = value.split(cut).collect();
    if reversed {
        parts.reverse();
    }
    let from = parts.len().saturating_sub(kept);
    Some(parts[from..].join("."))
}

/// IPv4 with dots, IPv6 as nibbles with dots.
fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
        }
    }
}
