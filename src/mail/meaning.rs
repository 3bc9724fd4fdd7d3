//! What a receiver means by an unhappy reply, beyond its first digit, and how such replies are
//! recognised.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::status::EnhancedStatus;

/// Something of ours that a receiver finds wrong and that no retry mends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// The address has no PTR record, or the name does not lead back to it.
    Ptr,
    /// The EHLO name.
    Helo,
    /// The receiver demands TLS and did not get it.
    Tls,
    /// SPF does not allow the address.
    Spf,
    /// The DKIM signature is missing or broken.
    Dkim,
    /// DMARC: no alignment, or the domain publishes no policy.
    Dmarc,
    /// Neither SPF nor DKIM authenticates the message.
    Authentication,
}

impl Defect {
    /// Whether it is a fault of the way out, whoever the mail is from: the others are faults of a
    /// source's domain.
    #[must_use]
    pub fn is_of_the_way(self) -> bool {
        matches!(self, Self::Ptr | Self::Helo | Self::Tls)
    }

    /// What is to be looked at, in words.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Ptr => "the PTR record of the egress address and the A record of that name",
            Self::Helo => "the EHLO name of the egress",
            Self::Tls => "why TLS could not be used with this receiver",
            Self::Spf => "the SPF record of the reverse-path's domain",
            Self::Dkim => "the DKIM key of the author's domain and its record",
            Self::Dmarc => {
                "the DMARC record of the author's domain, and SPF or DKIM of that domain"
            }
            Self::Authentication => "the SPF and DKIM records of the author's domain",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ptr => "ptr",
            Self::Helo => "helo",
            Self::Tls => "tls",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Authentication => "authentication",
        })
    }
}

/// What a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// Fewer connections at a time.
    TooManyConnections,
    /// Less mail in a time: the lane pauses.
    RateLimited,
    /// The receiver is busy or has had enough for now: the lane pauses.
    Throttled,
    /// The first attempt of a stranger: come again later.
    Greylisted,
    /// The mailbox has no room.
    MailboxFull,
    /// Our address, or a domain of ours, stands on a blocklist or has a bad name.
    Listed,
    /// Something of ours is wrong.
    OwnDefect(Defect),
    /// There is no such recipient.
    UnknownRecipient,
    /// The message looks like spam to the receiver.
    Spam,
    /// Nothing but what the code says; makes an exception from a later rule.
    Ordinary,
}

impl Meaning {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 16] = [
        ("too-many-connections", Self::TooManyConnections),
        ("rate-limited", Self::RateLimited),
        ("throttled", Self::Throttled),
        ("greylisted", Self::Greylisted),
        ("mailbox-full", Self::MailboxFull),
        ("listed", Self::Listed),
        ("defect-ptr", Self::OwnDefect(Defect::Ptr)),
        ("defect-helo", Self::OwnDefect(Defect::Helo)),
        ("defect-tls", Self::OwnDefect(Defect::Tls)),
        ("defect-spf", Self::OwnDefect(Defect::Spf)),
        ("defect-dkim", Self::OwnDefect(Defect::Dkim)),
        ("defect-dmarc", Self::OwnDefect(Defect::Dmarc)),
        ("defect-authentication", Self::OwnDefect(Defect::Authentication)),
        ("unknown-recipient", Self::UnknownRecipient),
        ("spam", Self::Spam),
        ("ordinary", Self::Ordinary),
    ];

    /// The meaning that a word of the configuration stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, known)| *known == self).map_or("ordinary", |(word, _)| word)
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Meaning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// Reply codes: `550`, or `4xx` and `5xx` for all of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CodePattern {
    /// The least.
    pub low: u16,
    /// The greatest.
    pub high: u16,
}

impl CodePattern {
    /// Whether `code` is meant.
    #[must_use]
    pub fn matches(self, code: u16) -> bool {
        (self.low..=self.high).contains(&code)
    }
}

impl FromStr for CodePattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is neither a code from 400 to 599 nor 4xx or 5xx";
        match text {
            "4xx" => Ok(Self { low: 400, high: 499 }),
            "5xx" => Ok(Self { low: 500, high: 599 }),
            _ => {
                let code: u16 = text.parse().map_err(|_| WRONG)?;
                let good = text.len() == 3 && (400..600).contains(&code);
                if good { Ok(Self { low: code, high: code }) } else { Err(WRONG) }
            }
        }
    }
}

impl fmt::Display for CodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high { self.low.fmt(f) } else { write!(f, "{}xx", self.low / 100) }
    }
}

/// Enhanced statuses: `5.7.26`, `x.7.26` for both classes, `5.7.606-649` for a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatusPattern {
    /// The class; none: 4 and 5.
    pub class: Option<u8>,
    /// The subject.
    pub subject: u16,
    /// The least detail.
    pub low: u16,
    /// The greatest detail.
    pub high: u16,
}

impl StatusPattern {
    /// Whether `status` is meant.
    #[must_use]
    pub fn matches(self, status: EnhancedStatus) -> bool {
        self.class.map_or(status.class != 2, |class| class == status.class)
            && self.subject == status.subject
            && (self.low..=self.high).contains(&status.detail)
    }
}

impl FromStr for StatusPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is no status such as 5.7.26, x.7.26 or 5.7.606-649";
        let (status, high) = match text.split_once('-') {
            Some((status, high)) => (status, Some(high)),
            None => (text, None),
        };
        let (class, rest) = status.split_once('.').ok_or(WRONG)?;
        let class = match class {
            "x" => None,
            "4" => Some(4),
            "5" => Some(5),
            _ => return Err(WRONG),
        };
        let EnhancedStatus { subject, detail, .. } =
            format!("5.{rest}").parse().map_err(|_| WRONG)?;
        let high = match high {
            Some(high) => high.parse().ok().filter(|high| *high >= detail && *high < 1000),
            None => Some(detail),
        };
        Ok(Self { class, subject, low: detail, high: high.ok_or(WRONG)? })
    }
}

impl fmt::Display for StatusPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Some(class) => write!(f, "{class}.{}.{}", self.subject, self.low)?,
            None => write!(f, "x.{}.{}", self.subject, self.low)?,
        }
        if self.high > self.low { write!(f, "-{}", self.high) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meaning_has_one_word() {
        for (word, meaning) in Meaning::WORDS {
            assert_eq!((Meaning::of(word), meaning.word()), (Some(meaning), word));
        }
        assert_eq!(Meaning::of("nonsense"), None);
    }

    #[test]
    fn patterns_read_what_they_write() {
        for text in ["421", "4xx", "5xx", "599"] {
            assert_eq!(text.parse::<CodePattern>().unwrap().to_string(), text);
        }
        for text in ["5.7.26", "x.7.26", "4.7.28", "5.7.606-649"] {
            assert_eq!(text.parse::<StatusPattern>().unwrap().to_string(), text);
        }
        for wrong in ["", "250", "6xx", "0550", "+55", "55", "600"] {
            assert!(wrong.parse::<CodePattern>().is_err(), "{wrong}");
        }
        for wrong in ["", "5.7", "2.0.0", "5.7.9-3", "5.7.1-1000", "5.7.x", "5.7.1-"] {
            assert!(wrong.parse::<StatusPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_and_an_open_class_match_what_they_say() {
        let range: StatusPattern = "5.7.606-649".parse().unwrap();
        let matches = |pattern: StatusPattern, text: &str| pattern.matches(text.parse().unwrap());
        assert!(matches(range, "5.7.606") && matches(range, "5.7.649"));
        assert!(!matches(range, "5.7.605") && !matches(range, "4.7.606"));
        let open: StatusPattern = "x.7.26".parse().unwrap();
        assert!(matches(open, "4.7.26") && matches(open, "5.7.26") && !matches(open, "2.7.26"));
    }
}
