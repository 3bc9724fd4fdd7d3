//! Mailboxes, reverse-paths and forward-paths (RFC 5321 4.1.2, RFC 6531 3.3).
//!
//! Parsing is strict: no source route, no white space, no missing angle brackets, no address that
//! two programs could read in two ways. What was written is kept for the wire; what is compared
//! is the normal form (domain as lower-case A-labels, local part octet for octet).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Octets of a local part (RFC 5321 4.5.3.1.1).
const LOCAL_PART_OCTETS_MAX: usize = 64;
/// Octets of a domain (RFC 5321 4.5.3.1.2).
const DOMAIN_OCTETS_MAX: usize = 255;
/// Octets of a label (RFC 1035 2.3.4).
const LABEL_OCTETS_MAX: usize = 63;
/// Octets of a path without its brackets (RFC 5321 4.5.3.1.3).
const PATH_OCTETS_MAX: usize = 254;

/// Why a text is not an address. The words are for the journal; replies have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, no local part, or no domain.
    #[error("an address is local-part@domain")]
    Incomplete,
    /// The local part is neither a dot-string nor a quoted string.
    #[error("the local part is neither a dot-string nor a quoted string")]
    LocalPart,
    /// The domain is no host name and no address literal.
    #[error("the domain is no host name")]
    Domain,
    /// A length of RFC 5321 4.5.3.1 is exceeded.
    #[error("longer than RFC 5321 4.5.3.1 allows")]
    TooLong,
    /// Octets beyond ASCII without SMTPUTF8.
    #[error("characters beyond ASCII need SMTPUTF8")]
    NeedsUtf8,
}

/// A domain in normal form: lower-case A-labels without a trailing dot, or an address literal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Domain(Box<str>);

impl Domain {
    /// Reads a host name or an address literal such as `[192.0.2.1]`; U-labels become A-labels.
    ///
    /// # Errors
    /// `Domain` if it is neither, `TooLong` beyond RFC 5321 4.5.3.1.2.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('[') {
            return literal(text).map(|_| Self(text.to_ascii_lowercase().into()));
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| AddressError::Domain)?
        };
        if ascii.len() > DOMAIN_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        let labels_good = ascii.split('.').all(label_good);
        let numeric =
            ascii.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if labels_good && !numeric { Ok(Self(ascii.into())) } else { Err(AddressError::Domain) }
    }

    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if this is an address literal.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        literal(&self.0).ok()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Letters, digits and inner hyphens; underscores are refused as RFC 5321 2.3.5 does.
fn label_good(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !label.is_empty()
        && label.len() <= LABEL_OCTETS_MAX
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// An address literal of RFC 5321 4.1.3.
fn literal(text: &str) -> Result<IpAddr, AddressError> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or(AddressError::Domain)?;
    let v6 = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    if v6 {
        inner[5..].parse().map(IpAddr::V6).map_err(|_| AddressError::Domain)
    } else {
        inner.parse().map(IpAddr::V4).map_err(|_| AddressError::Domain)
    }
}

/// A mailbox: local part as it was written, domain as it was written and in normal form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mailbox {
    written: Box<str>,
    at: u16,
    domain: Domain,
}

impl Mailbox {
    /// Reads `local-part@domain`. `utf8` allows the addresses of RFC 6531.
    ///
    /// # Errors
    /// What is wrong with it; see [`AddressError`].
    pub fn parse(text: &str, utf8: bool) -> Result<Self, AddressError> {
        if !utf8 && !text.is_ascii() {
            return Err(AddressError::NeedsUtf8);
        }
        if text.len() > PATH_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        let at = local_part_end(text)?;
        if at > LOCAL_PART_OCTETS_MAX {
            return Err(AddressError::TooLong);
        }
        if text.as_bytes().get(at) != Some(&b'@') {
            return Err(AddressError::Incomplete);
        }
        let domain = Domain::parse(&text[at + 1..])?;
        let at = u16::try_from(at).map_err(|_| AddressError::TooLong)?;
        Ok(Self { written: text.into(), at, domain })
    }

    /// The address as it was written, for the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The local part as it was written, quotes included.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.written[..usize::from(self.at)]
    }

    /// The domain in normal form.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether the wire form needs SMTPUTF8 (RFC 6531): a local part beyond ASCII. A domain alone
    /// can always be written as A-labels.
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        !self.local_part().is_ascii()
    }

    /// The form for a host without SMTPUTF8: local part as written, domain as A-labels.
    #[must_use]
    pub fn ascii_form(&self) -> String {
        format!("{}@{}", self.local_part(), self.domain)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// The index of the octet after the local part.
fn local_part_end(text: &str) -> Result<usize, AddressError> {
    if let Some(rest) = text.strip_prefix('"') {
        return quoted_end(rest).map(|end| end + 1);
    }
    let end = text.find('@').ok_or(AddressError::Incomplete)?;
    if end == 0 {
        return Err(AddressError::Incomplete);
    }
    let good = text[..end].split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
    if good { Ok(end) } else { Err(AddressError::LocalPart) }
}

/// Quoted-string of RFC 5321 4.1.2: no control character, `"` and `\` only escaped.
fn quoted_end(rest: &str) -> Result<usize, AddressError> {
    let mut chars = rest.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok(index + 1),
            '\\' => match chars.next() {
                Some((_, ' '..='~')) => {}
                _ => return Err(AddressError::LocalPart),
            },
            ' '..='~' => {}
            c if !c.is_ascii() && !c.is_control() => {}
            _ => return Err(AddressError::LocalPart),
        }
    }
    Err(AddressError::LocalPart)
}

/// Atext of RFC 5322 3.2.3, with the additions of RFC 6531 3.3.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

/// Where reports go: a mailbox, or nowhere (RFC 5321 4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: a notification; nothing is ever reported about it.
    Null,
    /// An ordinary sender.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, unless the path is null.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl fmt::Display for ReversePath {
    /// Without angle brackets; the null reverse-path is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mailbox().map_or(Ok(()), |mailbox| mailbox.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_rfc_are_read() {
        for good in [
            "a@b.c",
            "first.last+tag@Example.ORG",
            "\"quoted @ local\"@example.org",
            "\"a\\\"b\"@example.org",
            "!#$%&'*+-/=?^_`{|}~@example.org",
            "user@[192.0.2.1]",
            "user@[IPv6:2001:db8::1]",
        ] {
            let mailbox = Mailbox::parse(good, false);
            assert_eq!(mailbox.as_ref().map(Mailbox::as_str), Ok(good));
        }
    }

    #[test]
    fn everything_ambiguous_is_refused() {
        for bad in [
            "",
            "@",
            "a@",
            "@b.c",
            "a b@c.d",
            "a@b c.d",
            "a@b..c",
            ".a@b.c",
            "a.@b.c",
            "a..b@c.d",
            "a@b@c.d",
            "a@-b.c",
            "a@b-.c",
            "a@b_c.d",
            "a@1.2.3.4",
            "a@[1.2.3]",
            "a@[::1]",
            "@x:a@b.c",
            "\"a@b.c",
            "\"a\"b@c.d",
            "a@b.c.",
            "a,b@c.d",
            "a@b.c\r",
            "a\0@b.c",
            "a@b.c>",
            "<a@b.c",
            "a(x)@b.c",
        ] {
            assert!(Mailbox::parse(bad, false).is_err(), "{bad:?}");
            assert!(Mailbox::parse(bad, true).is_err(), "{bad:?}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        assert_eq!(Mailbox::parse(&long, false), Err(AddressError::TooLong));
    }

    #[test]
    fn a_domain_has_one_normal_form() {
        let forms = ["BÜCHER.example", "bücher.example", "xn--bcher-kva.example"];
        for form in forms {
            assert_eq!(Domain::parse(form).unwrap().as_str(), "xn--bcher-kva.example");
        }
        assert!(Domain::parse("example.org.").is_err());
    }

    #[test]
    fn utf8_is_allowed_only_where_it_was_asked_for() {
        assert_eq!(Mailbox::parse("josé@b.example", false), Err(AddressError::NeedsUtf8));
        let mailbox = Mailbox::parse("josé@bücher.example", true).unwrap();
        assert!(mailbox.needs_utf8());
        assert_eq!(mailbox.ascii_form(), "josé@xn--bcher-kva.example");
    }
}
