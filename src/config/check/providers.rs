//! Providers: what receivers bear, and what their replies mean.

use std::time::Duration;

use super::super::checked::{ProviderRule, ReplyRule};
use super::super::file::{Entry, Section};
use super::super::providers::built_in;
use super::{PLAIN_NAME, plain_name};
use crate::mail::meaning::{CodePattern, Meaning, StatusPattern};

/// What a pattern of hosts may be.
const MX_REMEDY: &str = "Write MX hosts, for example [\"mx.example.net\", \"*.example.net\"]";

/// The longest pause that a rule may ask for.
const PAUSE_LONGEST: Duration = Duration::from_secs(86_400);

/// The longest text of a rule: what is kept of a reply.
const TEXT_OCTETS_MAX: usize = 256;

/// The document's rules, then the built-in ones that it does not replace.
pub(super) fn providers(top: &mut Section<'_>) -> Vec<ProviderRule> {
    let mut rules = built_in();
    let Some(mut section) = top.find("provider").and_then(|entry| entry.section()) else {
        return rules;
    };
    let mut own = Vec::new();
    for (name, entry) in section.named() {
        let known = rules.iter().find(|rule| rule.name == name).cloned();
        own.extend(provider(name, &entry, known));
    }
    rules.retain(|rule| own.iter().all(|other: &ProviderRule| other.name != rule.name));
    own.extend(rules);
    own
}

fn provider(name: String, entry: &Entry<'_>, known: Option<ProviderRule>) -> Option<ProviderRule> {
    if !plain_name(&name) {
        entry.complain("is no name for a provider", PLAIN_NAME);
    } else if name.contains('.') {
        // Lanes of providers that no rule knows bear the name of a domain.
        entry.complain("looks like a domain", "Use a name without dots");
    }
    let mut section = entry.section()?;
    let hosts = section.list("mx", MX_REMEDY, host_pattern);
    let new = known.is_none();
    let mut rule = known.unwrap_or_else(|| ProviderRule { name, ..ProviderRule::default() });
    match section.find("mx") {
        Some(entry) if entry.is_list() && entry.items("").is_empty() => {
            entry.complain("names no host", MX_REMEDY);
        }
        Some(_) => rule.mx = hosts,
        None if new => drop(section.need("mx", MX_REMEDY)),
        None => {}
    }
    if let Some(count) = count(&mut section, "connections_max", 10_000) {
        rule.connections_max = Some(count);
    }
    if let Some(count) = count(&mut section, "messages_per_connection", 100_000) {
        rule.messages_per_connection = Some(count);
    }
    let minute = count(&mut section, "messages_per_minute", 10_000_000);
    let second = count(&mut section, "messages_per_second", 100_000);
    if let (Some(_), Some(_), Some(entry)) = (minute, second, section.find("messages_per_second")) {
        entry.complain("says the same as messages_per_minute", "Keep one of the two");
    }
    if let Some(rate) = minute.or(second.map(|rate| rate * 60)) {
        rule.messages_per_minute = Some(rate);
    }
    section.close();
    Some(rule)
}

fn count(section: &mut Section<'_>, key: &'static str, most: u64) -> Option<u32> {
    section.find(key)?;
    u32::try_from(section.number(key, 1, 1..=most)).ok()
}

/// A host name with at most one `*`, and a registered name behind it.
fn host_pattern(text: &str) -> Result<String, &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.*".contains(&b);
    let good = !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(legal)
        && !text.starts_with('.')
        && !text.ends_with(['.', '*'])
        && !text.contains("..");
    if !good {
        return Err("is no host name");
    }
    match text.split_once('*') {
        None => Ok(text.to_ascii_lowercase()),
        Some((_, tail)) if tail.contains('*') => Err("has more than one *"),
        Some((head, tail)) => {
            let whole = head.is_empty() && !tail.starts_with('.');
            if whole || tail.matches('.').count() < 2 {
                Err("covers too much: a domain with its top level must stand behind the *")
            } else {
                Ok(text.to_ascii_lowercase())
            }
        }
    }
}

/// What replies mean, in the order of the document.
pub(super) fn replies(top: &mut Section<'_>, providers: &[ProviderRule]) -> Vec<ReplyRule> {
    let remedy = "Write [[reply]] with a meaning and at least one of code, status and text";
    let Some(list) = top.find("reply") else { return Vec::new() };
    let rules = list.items(remedy);
    rules.iter().filter_map(|entry| reply(entry, providers, remedy)).collect()
}

fn reply(entry: &Entry<'_>, providers: &[ProviderRule], remedy: &str) -> Option<ReplyRule> {
    let mut section = entry.section()?;
    let provider = section.parsed(
        "provider",
        "Write a name of the built-in table or of a [provider.NAME]",
        |name| {
            let known = providers.iter().any(|rule| rule.name == name);
            if known { Ok(name.to_owned()) } else { Err("is no provider that is known here") }
        },
    );
    let code =
        section.parsed("code", "Write \"421\", \"4xx\" or \"5xx\"", str::parse::<CodePattern>);
    let status = section.parsed(
        "status",
        "Write \"5.7.26\", \"x.7.26\" or \"5.7.606-649\"",
        str::parse::<StatusPattern>,
    );
    let text = section.parsed("text", "Write a part of the reply; * stands for anything", |text| {
        let said = text.split('*').any(|part| !part.trim().is_empty());
        if !said {
            Err("matches everything")
        } else if text.len() > TEXT_OCTETS_MAX {
            Err("is longer than 256 octets")
        } else {
            Ok(text.to_lowercase())
        }
    });
    let words: Vec<&str> = Meaning::WORDS.iter().map(|(word, _)| *word).collect();
    let meaning =
        section.needed("meaning", &format!("Write one of {}", words.join(", ")), |word| {
            Meaning::of(word).ok_or("is no meaning that is known here")
        });
    let pause = section
        .find("pause")
        .map(|_| section.duration("pause", Duration::ZERO, Duration::from_secs(1)..=PAUSE_LONGEST));
    let nothing = ["code", "status", "text"].into_iter().all(|key| section.find(key).is_none());
    section.close();
    if nothing {
        entry.complain("says of no reply what it means", remedy);
    }
    Some(ReplyRule { provider, code, status, text, meaning: meaning?, pause })
}
