//! Parameters of MAIL and RCPT: each known, well formed, and said once.

use super::replies;
use super::reply::Reply;
use super::xtext::is_xtext;
use crate::mail::envelope::{BodyType, Notify, Ret};

/// Octets of ENVID= (RFC 3461 4.4).
const ENVID_OCTETS_MAX: usize = 100;
/// Octets of ORCPT= (RFC 3461 4.2).
const ORCPT_OCTETS_MAX: usize = 500;
/// Digits of SIZE= (RFC 1870 section 4).
const SIZE_DIGITS_MAX: usize = 20;

/// What MAIL may say after the reverse-path. AUTH= is read and forgotten: a submission server
/// trusts nobody to assert another's identity (RFC 4954 section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// SIZE= (RFC 1870).
    pub size: Option<u64>,
    /// BODY= (RFC 6152).
    pub body: Option<BodyType>,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// RET= (RFC 3461).
    pub ret: Option<Ret>,
    /// ENVID= (RFC 3461), as written.
    pub envid: Option<Box<str>>,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
}

impl MailParameters {
    /// Reads ` KEYWORD=value` words.
    ///
    /// # Errors
    /// 555 for an unknown parameter, 501 for a malformed or doubled one.
    pub fn parse(text: &str) -> Result<Self, Reply> {
        let mut found = Self::default();
        let mut auth = false;
        for word in words(text) {
            let (keyword, value) = take_apart(word);
            match (&*keyword, value) {
                ("SIZE", Some(value)) => once(&mut found.size, size(value))?,
                ("BODY", Some(value)) => once(&mut found.body, body(value))?,
                ("RET", Some(value)) => once(&mut found.ret, ret(value))?,
                ("ENVID", Some(value)) => once(&mut found.envid, envid(value))?,
                ("SMTPUTF8", None) => flag(&mut found.smtputf8)?,
                ("REQUIRETLS", None) => flag(&mut found.require_tls)?,
                ("AUTH", Some(value)) if value == "<>" || is_xtext(value) => flag(&mut auth)?,
                _ => return Err(not_known(&keyword, &MAIL_KEYWORDS)),
            }
        }
        Ok(found)
    }
}

/// What RCPT may say after the forward-path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientParameters {
    /// NOTIFY= (RFC 3461 4.1).
    pub notify: Option<Notify>,
    /// ORCPT= (RFC 3461 4.2), as written.
    pub orcpt: Option<Box<str>>,
}

impl RecipientParameters {
    /// Reads ` KEYWORD=value` words. `utf8` allows RFC 6533's address type beyond ASCII.
    ///
    /// # Errors
    /// As [`MailParameters::parse`].
    pub fn parse(text: &str, utf8: bool) -> Result<Self, Reply> {
        let mut found = Self::default();
        for word in words(text) {
            let (keyword, value) = take_apart(word);
            match (&*keyword, value) {
                ("NOTIFY", Some(value)) => once(&mut found.notify, notify(value))?,
                ("ORCPT", Some(value)) => once(&mut found.orcpt, orcpt(value, utf8))?,
                _ => return Err(not_known(&keyword, &RCPT_KEYWORDS)),
            }
        }
        Ok(found)
    }
}

const MAIL_KEYWORDS: [&str; 7] = ["SIZE", "BODY", "RET", "ENVID", "SMTPUTF8", "REQUIRETLS", "AUTH"];
const RCPT_KEYWORDS: [&str; 2] = ["NOTIFY", "ORCPT"];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

fn take_apart(word: &str) -> (String, Option<&str>) {
    let (keyword, value) = word.split_once('=').map_or((word, None), |(k, v)| (k, Some(v)));
    (keyword.to_ascii_uppercase(), value)
}

fn not_known(keyword: &str, known: &[&str]) -> Reply {
    if known.contains(&keyword) { replies::BAD_PARAMETER } else { replies::UNKNOWN_PARAMETER }
}

fn once<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), Reply> {
    match (slot.is_some(), value) {
        (false, Some(value)) => {
            *slot = Some(value);
            Ok(())
        }
        _ => Err(replies::BAD_PARAMETER),
    }
}

fn flag(slot: &mut bool) -> Result<(), Reply> {
    if std::mem::replace(slot, true) { Err(replies::BAD_PARAMETER) } else { Ok(()) }
}

fn size(value: &str) -> Option<u64> {
    let digits = value.len() <= SIZE_DIGITS_MAX && value.bytes().all(|b| b.is_ascii_digit());
    // Twenty digits may exceed 64 bits: that is a size too, and larger than every limit.
    (digits && !value.is_empty()).then(|| value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Option<BodyType> {
    if value.eq_ignore_ascii_case("8BITMIME") {
        Some(BodyType::EightBitMime)
    } else {
        value.eq_ignore_ascii_case("7BIT").then_some(BodyType::SevenBit)
    }
}

fn ret(value: &str) -> Option<Ret> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(Ret::Full)
    } else {
        value.eq_ignore_ascii_case("HDRS").then_some(Ret::Hdrs)
    }
}

fn envid(value: &str) -> Option<Box<str>> {
    let good = !value.is_empty() && value.len() <= ENVID_OCTETS_MAX && is_xtext(value);
    good.then(|| value.into())
}

fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        let slot = match &*word.to_ascii_uppercase() {
            "SUCCESS" => &mut success,
            "FAILURE" => &mut failure,
            "DELAY" => &mut delay,
            _ => return None,
        };
        flag(slot).ok()?;
    }
    Some(Notify::On { success, failure, delay })
}

/// `addr-type;xtext`; with SMTPUTF8 also the utf-8 type of RFC 6533 section 3.
fn orcpt(value: &str, utf8: bool) -> Option<Box<str>> {
    let (kind, address) = value.split_once(';')?;
    let kind_good = !kind.is_empty()
        && kind.len() <= 32
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let beyond_ascii = utf8 && kind.eq_ignore_ascii_case("utf-8");
    let address_good = is_xtext(address)
        || (beyond_ascii && !address.contains(|c: char| c.is_whitespace() || c.is_control()));
    let good = kind_good && !address.is_empty() && address_good && value.len() <= ORCPT_OCTETS_MAX;
    good.then(|| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_mail_are_read() {
        let all = " SIZE=12 body=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<> REQUIRETLS";
        let found = MailParameters::parse(all).unwrap();
        assert_eq!(found.size, Some(12));
        assert_eq!(found.body, Some(BodyType::EightBitMime));
        assert_eq!(found.ret, Some(Ret::Hdrs));
        assert_eq!(found.envid.as_deref(), Some("a+2Bb"));
        assert!(found.smtputf8 && found.require_tls);
        assert_eq!(
            MailParameters::parse(" SIZE=99999999999999999999").unwrap().size,
            Some(u64::MAX)
        );
    }

    #[test]
    fn malformed_and_doubled_is_501_unknown_is_555() {
        for bad in [
            " SIZE=x",
            " SIZE",
            " SIZE=",
            " SIZE=1 SIZE=1",
            " BODY=BINARYMIME",
            " RET=BOTH",
            " ENVID=a=b",
            " SMTPUTF8=1",
            " SMTPUTF8 SMTPUTF8",
            " AUTH=a b",
            " AUTH=<> AUTH=<>",
            " SIZE=999999999999999999999",
        ] {
            let reply = MailParameters::parse(bad).unwrap_err();
            let unknown = bad == " AUTH=a b";
            let want = if unknown { replies::UNKNOWN_PARAMETER } else { replies::BAD_PARAMETER };
            assert_eq!(reply, want, "{bad}");
        }
        assert_eq!(MailParameters::parse(" X=1"), Err(replies::UNKNOWN_PARAMETER));
        assert_eq!(RecipientParameters::parse(" SIZE=1", false), Err(replies::UNKNOWN_PARAMETER));
    }

    #[test]
    fn parameters_of_recipients_are_read() {
        let found = RecipientParameters::parse(
            " NOTIFY=success,DELAY ORCPT=rfc822;a+2Bb@example.org",
            false,
        );
        let found = found.unwrap();
        let on = Notify::On { success: true, failure: false, delay: true };
        assert_eq!(found.notify, Some(on));
        assert_eq!(found.orcpt.as_deref(), Some("rfc822;a+2Bb@example.org"));
        for bad in
            [" NOTIFY=NEVER,DELAY", " NOTIFY=", " NOTIFY=DELAY,DELAY", " ORCPT=a", " ORCPT=;a"]
        {
            assert_eq!(RecipientParameters::parse(bad, true), Err(replies::BAD_PARAMETER), "{bad}");
        }
        assert!(RecipientParameters::parse(" ORCPT=utf-8;jos\u{e9}@b.example", true).is_ok());
        assert!(RecipientParameters::parse(" ORCPT=utf-8;jos\u{e9}@b.example", false).is_err());
    }
}
