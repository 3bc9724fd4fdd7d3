//! Parameters of MAIL and RCPT: each known, well formed, and said once.

use super::replies;
use super::reply::Reply;
use super::xtext::is_xtext;
use crate::mail::envelope::{BodyType, ByMode, Notify, PRIORITIES, Ret};

/// Octets of ENVID= (RFC 3461 4.4).
const ENVID_OCTETS_MAX: usize = 100;
/// Octets of ORCPT= (RFC 3461 4.2).
const ORCPT_OCTETS_MAX: usize = 500;
/// Digits of SIZE= (RFC 1870 section 4).
const SIZE_DIGITS_MAX: usize = 20;
/// Digits of BY= (RFC 2852 section 4).
const BY_DIGITS_MAX: usize = 9;

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
    /// MT-PRIORITY= (RFC 6710).
    pub priority: Option<i8>,
    /// BY= (RFC 2852).
    pub by: Option<By>,
}

/// BY= as it was said: by when, counted from the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Seconds, at most nine digits; with mode R never less than one.
    pub secs: i32,
    /// What happens then.
    pub mode: ByMode,
    /// Every hop is reported.
    pub trace: bool,
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
                ("MT-PRIORITY", Some(value)) => once(&mut found.priority, priority(value))?,
                ("BY", Some(value)) => once(&mut found.by, by(value))?,
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

const MAIL_KEYWORDS: [&str; 9] =
    ["SIZE", "BODY", "RET", "ENVID", "SMTPUTF8", "REQUIRETLS", "AUTH", "MT-PRIORITY", "BY"];
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

/// `priority-value = (["-"] NZDIGIT) / "0"` (RFC 6710 section 7).
fn priority(value: &str) -> Option<i8> {
    let digit = value.strip_prefix('-').unwrap_or(value);
    let written = digit.len() == 1 && value != "-0";
    value.parse().ok().filter(|number| written && PRIORITIES.contains(number))
}

/// `by-value = by-time ";" by-mode [by-trace]` (RFC 2852 section 4). A time that is not in the
/// future is an error with mode R, and with mode N a deadline that has passed.
fn by(value: &str) -> Option<By> {
    let (time, mode) = value.split_once(';')?;
    let digits = time.strip_prefix(['-', '+']).unwrap_or(time);
    let written = (1..=BY_DIGITS_MAX).contains(&digits.len());
    let good = written && digits.bytes().all(|b| b.is_ascii_digit());
    let secs: i32 = time.parse().ok().filter(|_| good)?;
    let (mode, trace) = match &*mode.to_ascii_uppercase() {
        "R" => (ByMode::Return, false),
        "RT" => (ByMode::Return, true),
        "N" => (ByMode::Notify, false),
        "NT" => (ByMode::Notify, true),
        _ => return None,
    };
    (mode == ByMode::Notify || secs > 0).then_some(By { secs, mode, trace })
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
    fn priorities_are_one_digit_with_or_without_a_sign() {
        for (text, number) in [("0", 0), ("9", 9), ("-9", -9), ("3", 3)] {
            let found = MailParameters::parse(&format!(" mt-priority={text}")).unwrap();
            assert_eq!(found.priority, Some(number));
        }
        for bad in ["", "10", "-10", "+3", "-0", "03", "x", "1.0", "--1", "3 MT-PRIORITY=3"] {
            let said = MailParameters::parse(&format!(" MT-PRIORITY={bad}"));
            assert_eq!(said, Err(replies::BAD_PARAMETER), "{bad}");
        }
        assert_eq!(MailParameters::parse(" MT-PRIORITY"), Err(replies::BAD_PARAMETER));
    }

    #[test]
    fn deadlines_are_read_with_their_mode() {
        let (back, on) = (ByMode::Return, ByMode::Notify);
        for (text, secs, mode, trace) in [
            ("120;R", 120, back, false),
            ("+1;rt", 1, back, true),
            ("999999999;R", 999_999_999, back, false),
            ("-999999999;N", -999_999_999, on, false),
            ("0;nT", 0, on, true),
        ] {
            let found = MailParameters::parse(&format!(" BY={text}")).unwrap();
            assert_eq!(found.by, Some(By { secs, mode, trace }), "{text}");
        }
        for bad in [
            "",
            "60",
            "60;",
            "60;X",
            "60;T",
            "60;TR",
            "60;RR",
            ";R",
            "+;R",
            "-;N",
            "0;R",
            "-1;R",
            "-0;R",
            "1000000000;N",
            "0000000001;R",
            "1e3;N",
            "60;R;T",
            "60,R",
            "++1;N",
            "60;R BY=60;R",
        ] {
            let said = MailParameters::parse(&format!(" BY={bad}"));
            assert_eq!(said, Err(replies::BAD_PARAMETER), "{bad}");
        }
        assert_eq!(MailParameters::parse(" BY"), Err(replies::BAD_PARAMETER));
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
