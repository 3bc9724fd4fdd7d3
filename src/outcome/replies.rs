//! The reply book: what receivers mean by what they say.
//!
//! A reply is held against rules of provider, code, enhanced status and text, the first that
//! matches counts: those of the document, then the built-in ones of the provider whose host spoke,
//! then the built-in ones for everybody. Without a rule the code alone decides
//! ([`super::classify`]).
//!
//! Only replies that refuse or put off are looked up, so delivered mail costs nothing here.

mod table;

use std::time::Duration;

use crate::base::limits::{GREYLIST_WAIT, MAILBOX_FULL_WAIT, PAUSE_HEARD_LONGEST};
use crate::config::checked::ReplyRule;
use crate::mail::meaning::{CodePattern, Meaning, StatusPattern};
use crate::mail::reply::PeerReply;

/// What a reply was found to mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The meaning.
    pub meaning: Meaning,
    /// How long to wait at least, if the rule or the reply says so: the message if it is about
    /// the message, else the lane.
    pub pause: Option<Duration>,
}

/// All rules, ready to be held against replies.
#[derive(Clone, Debug)]
pub struct Book {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    provider: Option<Box<str>>,
    code: Option<CodePattern>,
    status: Option<StatusPattern>,
    /// Parts of the text that must follow each other, in lower case.
    parts: Vec<Box<str>>,
    found: Found,
}

impl Default for Book {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Book {
    /// The rules of the document before the built-in ones.
    #[must_use]
    pub fn new(own: &[ReplyRule]) -> Self {
        let own = own.iter().map(|rule| Rule {
            provider: rule.provider.as_deref().map(Into::into),
            code: rule.code,
            status: rule.status,
            parts: parts(rule.text.as_deref().unwrap_or_default()),
            found: Found { meaning: rule.meaning, pause: rule.pause },
        });
        Self { rules: own.chain(table::rules()).collect() }
    }

    /// What `reply` means, said by a host of `provider`; `None` if only its code counts.
    #[must_use]
    pub fn look_up(&self, provider: Option<&str>, reply: &PeerReply) -> Option<Found> {
        let (index, text) = self.find(provider, reply)?;
        let Found { meaning, pause } = self.rules[index].found;
        let heard = || match meaning {
            Meaning::Greylisted => Some(wait_in(&text).unwrap_or(GREYLIST_WAIT)),
            Meaning::MailboxFull => Some(MAILBOX_FULL_WAIT),
            _ => None,
        };
        Some(Found { meaning, pause: pause.or_else(heard) })
    }

    /// The number of the first rule that matches, and the text in lower case.
    fn find(&self, provider: Option<&str>, reply: &PeerReply) -> Option<(usize, String)> {
        if !(400..600).contains(&reply.code) {
            return None;
        }
        // The blanks let a pattern ask for whole words at the ends too.
        let text = format!(" {} ", reply.text().to_lowercase());
        let matches = |rule: &Rule| {
            rule.provider.as_deref().is_none_or(|wanted| provider == Some(wanted))
                && rule.code.is_none_or(|code| code.matches(reply.code))
                && rule.status.is_none_or(|pattern| {
                    reply.status.is_some_and(|status| pattern.matches(status))
                })
                && follow_each_other(&rule.parts, &text)
        };
        let index = self.rules.iter().position(matches)?;
        Some((index, text))
    }
}

/// What stands between the `*` of a pattern.
fn parts(pattern: &str) -> Vec<Box<str>> {
    pattern.split('*').filter(|part| !part.is_empty()).map(Into::into).collect()
}

fn follow_each_other(parts: &[Box<str>], text: &str) -> bool {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(&**part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The wait that a text names: "try again in 5 minutes", "for 300 seconds". Between ten seconds
/// and an hour, whatever the receiver says.
fn wait_in(text: &str) -> Option<Duration> {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    let mut before: Option<u64> = None;
    for word in words.by_ref() {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = word.split_at(digits);
        // "300s" is a number with its unit, "300 seconds" a number before it.
        let number = number.parse().ok().or(before);
        let unit_secs = match unit {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            _ => 0,
        };
        match number {
            Some(number) if unit_secs > 0 => {
                let wait = Duration::from_secs(number.saturating_mul(unit_secs));
                return Some(wait.clamp(Duration::from_secs(10), PAUSE_HEARD_LONGEST));
            }
            _ => before = number.filter(|_| unit.is_empty()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply as it stands on the wire, on one line.
    fn heard(line: &str) -> PeerReply {
        let (code, rest) = line.split_once(' ').unwrap();
        let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
        match first.parse() {
            Ok(status) => PeerReply::new(code.parse().unwrap(), Some(status), text),
            Err(_) => PeerReply::new(code.parse().unwrap(), None, rest),
        }
    }

    #[test]
    fn every_built_in_rule_has_a_sample_of_its_own() {
        let book = Book::default();
        assert_eq!(book.rules.len(), table::TABLE.len(), "a pattern cannot be read");
        assert!(book.rules.len() >= 60);
        for (index, row) in table::TABLE.iter().enumerate() {
            let provider = (!row.0.is_empty()).then_some(row.0);
            let found = book.find(provider, &heard(row.6)).map(|(index, _)| index);
            assert_eq!(found, Some(index), "{}: {:?}", row.6, found.map(|i| table::TABLE[i]));
        }
    }

    #[test]
    fn providers_of_rules_are_in_the_table_of_providers() {
        let known = crate::config::providers::built_in();
        for row in table::TABLE.iter().filter(|row| !row.0.is_empty()) {
            assert!(known.iter().any(|rule| rule.name == row.0), "{}", row.0);
        }
    }

    #[test]
    fn ordinary_replies_mean_what_their_code_says() {
        let book = Book::default();
        for line in [
            "250 2.0.0 ok",
            "450 4.3.0 local problem",
            "451 4.3.0 mail server temporarily rejected message",
            "550 5.7.1 relaying denied",
            "550 5.7.1 sender is on the recipient's private blacklist",
            "552 5.3.4 message too big",
            "421 4.3.2 shutting down",
            "501 5.1.7 bad sender address syntax",
            "550 5.1.8 sender domain does not exist",
            "451 4.7.1 temporary DMARC DNS lookup failure",
        ] {
            assert_eq!(book.look_up(None, &heard(line)), None, "{line}");
        }
        // What Gmail means by 5.7.30, another receiver does not.
        let basic = heard("550 5.7.30 Basic authentication is not supported");
        assert_eq!(book.look_up(None, &basic), None);
    }

    #[test]
    fn the_document_comes_first() {
        let own = ReplyRule {
            provider: Some("google".to_owned()),
            code: None,
            status: "x.7.28".parse().ok(),
            text: Some("rate * unsolicited".to_owned()),
            meaning: Meaning::Ordinary,
            pause: None,
        };
        let book = Book::new(&[own]);
        let reply = heard("421 4.7.28 an unusual RATE of Unsolicited mail, blocked");
        let found = |provider| book.look_up(provider, &reply).map(|found| found.meaning);
        assert_eq!(found(Some("google")), Some(Meaning::Ordinary));
        assert_ne!(found(Some("yahoo")), Some(Meaning::Ordinary));
    }

    #[test]
    fn a_wait_that_is_named_is_kept_within_bounds() {
        let wait = |text| wait_in(text).map(|wait| wait.as_secs());
        assert_eq!(wait("greylisted, try again in 5 minutes"), Some(300));
        assert_eq!(wait("greylisted for 300 seconds"), Some(300));
        assert_eq!(wait("greylisted (retry in 90s)"), Some(90));
        assert_eq!(wait("greylisted, 999999 hours"), Some(3600));
        assert_eq!(wait("greylisted, 1 second"), Some(10));
        assert_eq!(wait("greylisted, see http://a.example/99"), None);
    }
}
