//! MTA-STS (RFC 8461) and the record that asks for reports (RFC 8460): what was published, read.
//!
//! ```text
//! _mta-sts.DOMAIN TXT ─► Signal ─ new id? ─► https://mta-sts.DOMAIN/.. ─► Policy ─► names(host)
//! _smtp._tls.DOMAIN TXT ─► ReportTo
//! ```
//!
//! Both are strangers' words: whatever is not exactly as the law writes it counts as absent
//! (RFC 8461 3.1) or as an error (3.2), and nothing here ever makes a policy weaker than it is.

use serde::{Deserialize, Serialize};

use crate::base::limits::{
    STS_MAX_AGE_SECS_MAX, STS_MX_PATTERNS_MAX, STS_POLICY_OCTETS_MAX, TLSRPT_ADDRESSES_MAX,
};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::trust::{PolicyKind, PolicySeen};

/// The version of both the record and the policy (RFC 8461 3.1, 3.2).
const STS_VERSION: &str = "STSv1";
/// The version of the record that asks for reports (RFC 8460 3).
const RPT_VERSION: &str = "TLSRPTv1";
/// Letters of an id (RFC 8461 3.1).
const ID_LETTERS_MAX: usize = 32;

/// What `_mta-sts.DOMAIN` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// There is no record, or none that counts, or more than one.
    Silent,
    /// There is a policy, and this is the name of its version.
    Id(String),
}

/// Reads the TXT records of `_mta-sts.DOMAIN`, the strings of each joined.
#[must_use]
pub fn signal<T: AsRef<str>>(records: &[T]) -> Signal {
    match single(records, STS_VERSION).and_then(|record| field(record, "id")) {
        Some(id) if id_good(id) => Signal::Id(id.to_owned()),
        _ => Signal::Silent,
    }
}

/// The only record that begins with `v=version` (RFC 8461 3.1, RFC 8460 3): others are not ours,
/// and two of them are none.
fn single<'r, T: AsRef<str>>(records: &'r [T], version: &str) -> Option<&'r str> {
    let ours = |record: &&'r str| {
        let first = record.split(';').next().unwrap_or_default();
        let (name, value) = first.split_once('=').unwrap_or_default();
        name.trim() == "v" && value.trim() == version && record.contains(';')
    };
    let mut found = records.iter().map(AsRef::as_ref).filter(ours);
    let record = found.next()?;
    if found.next().is_some() { None } else { Some(record) }
}

/// The value of a field that stands once.
fn field<'r>(record: &'r str, name: &str) -> Option<&'r str> {
    let named = |part: &'r str| {
        let (found, value) = part.split_once('=')?;
        (found.trim() == name).then(|| value.trim())
    };
    let mut values = record.split(';').skip(1).filter_map(named);
    let value = values.next()?;
    if values.next().is_some() { None } else { Some(value) }
}

fn id_good(id: &str) -> bool {
    (1..=ID_LETTERS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// How much a policy insists (RFC 8461 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A host that does not comply is not used.
    Enforce,
    /// A host that does not comply is used, and reported.
    Testing,
    /// The domain has taken its policy back.
    None,
}

impl Mode {
    /// The word of the policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

/// A policy (RFC 8461 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// What it asks for.
    pub mode: Mode,
    /// Host names, or `*.` and a domain, in lower case.
    pub mx: Vec<String>,
    /// How long it holds, in seconds.
    pub max_age_secs: u64,
}

/// Why a text is no policy; the words go into a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is longer than RFC 8461 3.3 lets a sender read.
    #[error("longer than 64 KiB")]
    TooLong,
    /// A line is no `key: value` of ASCII.
    #[error("a line is not key: value")]
    Line,
    /// `version: STSv1` is missing.
    #[error("no version: STSv1")]
    Version,
    /// `mode` is missing or unknown.
    #[error("no mode that is known")]
    Mode,
    /// `max_age` is missing or no number.
    #[error("no max_age")]
    MaxAge,
    /// `mx` is missing, or one of them is no host name or pattern.
    #[error("no mx, or one that is no host")]
    Mx,
}

impl Policy {
    /// Reads a policy. Lines end with CRLF or LF; keys that are not known are ignored; of a key
    /// that stands twice, other than `mx`, the first counts (RFC 8461 3.2).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        if text.len() > STS_POLICY_OCTETS_MAX {
            return Err(PolicyError::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| PolicyError::Line)?;
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim_matches([' ', '\t']).is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(PolicyError::Line)?;
            let value = value.trim_matches([' ', '\t']);
            match key {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => mx.push(value),
                _ => {}
            }
        }
        if version != Some(STS_VERSION) {
            return Err(PolicyError::Version);
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(PolicyError::Mode),
        };
        let max_age_secs = max_age.and_then(age).ok_or(PolicyError::MaxAge)?;
        let mx = mx.into_iter().map(pattern).collect::<Option<Vec<_>>>().ok_or(PolicyError::Mx)?;
        let absent = mx.is_empty() && mode != Mode::None;
        if absent || mx.len() > STS_MX_PATTERNS_MAX {
            return Err(PolicyError::Mx);
        }
        Ok(Self { mode, mx, max_age_secs })
    }

    /// Whether `host` is one of the policy's hosts: the name itself, or `*.` and exactly one label
    /// before the rest (RFC 8461 4.1).
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            None => *pattern == host,
            Some(parent) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        })
    }

    /// The policy as it is reported: its lines (RFC 8460 4.4).
    #[must_use]
    pub fn seen(&self) -> PolicySeen {
        let mut strings =
            vec![format!("version: {STS_VERSION}"), format!("mode: {}", self.mode.as_str())];
        strings.extend(self.mx.iter().map(|mx| format!("mx: {mx}")));
        strings.push(format!("max_age: {}", self.max_age_secs));
        PolicySeen { kind: PolicyKind::Sts, strings, mx_hosts: self.mx.clone() }
    }
}

/// Digits only, at most ten of them; more than a year is a year (RFC 8461 3.2).
fn age(text: &str) -> Option<u64> {
    let digits = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let age: u64 = text.parse().ok().filter(|_| digits)?;
    Some(age.min(STS_MAX_AGE_SECS_MAX))
}

/// A host name, or `*.` and a domain.
fn pattern(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let (star, name) = match text.strip_prefix("*.") {
        Some(parent) => ("*.", parent),
        None => ("", text),
    };
    let domain = Domain::parse(name).ok().filter(|domain| domain.literal().is_none())?;
    Some(format!("{star}{domain}"))
}

/// Where a domain wants its reports (RFC 8460 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTo {
    /// By mail.
    Mailbox(Mailbox),
    /// By POST to this address: host, port and target.
    Https {
        /// The host.
        host: String,
        /// Its port; none: the usual one.
        port: Option<u16>,
        /// Path and query, beginning with a slash.
        target: String,
    },
}

/// Reads the TXT records of `_smtp._tls.DOMAIN`. Addresses of a kind that is not known are
/// skipped; empty if nobody asks for reports.
#[must_use]
pub fn report_to<T: AsRef<str>>(records: &[T]) -> Vec<ReportTo> {
    let Some(rua) = single(records, RPT_VERSION).and_then(|record| field(record, "rua")) else {
        return Vec::new();
    };
    rua.split(',').map(str::trim).filter_map(address).take(TLSRPT_ADDRESSES_MAX).collect()
}

fn address(uri: &str) -> Option<ReportTo> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        // RFC 6068: parameters behind a question mark mean nothing here.
        let mailbox = decoded(rest.split('?').next()?)?;
        return Mailbox::parse(&mailbox, false).ok().map(ReportTo::Mailbox);
    }
    let rest = rest.strip_prefix("//").filter(|_| scheme.eq_ignore_ascii_case("https"))?;
    let legal = |b: u8| b.is_ascii_graphic() && b != b'#' && b != b'"' && b != b'<' && b != b'>';
    if !rest.bytes().all(legal) {
        return None;
    }
    let cut = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(cut);
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
        None => (authority, None),
    };
    let host = Domain::parse(host).ok().filter(|host| host.literal().is_none())?;
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Some(ReportTo::Https { host: host.as_str().to_owned(), port, target })
}

/// Undoes `%XX`, by which a record writes a comma or an exclamation mark (RFC 8460 3).
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            octets.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            octets.push(first);
            rest = after;
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Signal {
        Signal::Id(text.to_owned())
    }

    #[test]
    fn exactly_one_record_signals_a_policy() {
        assert_eq!(signal(&["v=STSv1; id=20160831085700Z;"]), id("20160831085700Z"));
        assert_eq!(signal(&["v=STSv1;id=1"]), id("1"));
        assert_eq!(signal(&["v=spf1 -all", "v=STSv1; x=y; id=1; z=w"]), id("1"));
        let long = format!("v=STSv1; id={}", "a".repeat(33));
        for silent in [
            &["v=STSv1; id=1", "v=STSv1; id=1"][..],
            &["v=STSv1; id=1;", "v=STSv1; id=2"],
            &["v=STSv1"],
            &["v=STSv1;"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a-b"],
            &["v=STSv1; id=1; id=2"],
            &["v=STSv2; id=1"],
            &["v=stsv1; id=1"],
            &["id=1; v=STSv1"],
            &[&long],
            &[],
        ] {
            assert_eq!(signal(silent), Signal::Silent, "{silent:?}");
        }
    }

    const GOOD: &str =
        "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n";

    #[test]
    fn a_policy_reads_with_either_line_end_and_keys_that_nobody_knows() {
        let policy = Policy::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net"]);
        assert_eq!(policy.max_age_secs, 604_800);
        let other = GOOD.replace('\n', "\r\n").replace("mode: ", "new: thing:x\r\nmode:\t");
        assert_eq!(Policy::parse(other.as_bytes()), Ok(policy.clone()));
        let twice = format!("{GOOD}mode: none\nmax_age: 1\nversion: STSv2");
        assert_eq!(Policy::parse(twice.as_bytes()), Ok(policy));
        let none = Policy::parse(b"version: STSv1\nmode: none\nmax_age: 99999999999").unwrap_err();
        assert_eq!(none, PolicyError::MaxAge);
        let none = Policy::parse(b"version: STSv1\nmode: none\nmax_age: 9999999999").unwrap();
        assert_eq!((none.mode, none.max_age_secs), (Mode::None, STS_MAX_AGE_SECS_MAX));
    }

    #[test]
    fn what_is_not_a_policy_is_refused_with_the_reason() {
        let without = |line: &str| GOOD.replace(line, "");
        let rows = [
            (without("version: STSv1\n"), PolicyError::Version),
            (GOOD.replace("STSv1", "STSv2"), PolicyError::Version),
            (without("mode: enforce\n"), PolicyError::Mode),
            (GOOD.replace("enforce", "Enforce"), PolicyError::Mode),
            (without("max_age: 604800\n"), PolicyError::MaxAge),
            (GOOD.replace("604800", "-1"), PolicyError::MaxAge),
            (GOOD.replace("604800", "+1"), PolicyError::MaxAge),
            (without("mx: mail.example.com\n").replace("mx: *.example.net\n", ""), PolicyError::Mx),
            (GOOD.replace("mail.example.com", "mail..example.com"), PolicyError::Mx),
            (GOOD.replace("*.example.net", "a.*.example.net"), PolicyError::Mx),
            (GOOD.replace("*.example.net", "*"), PolicyError::Mx),
            (GOOD.replace("mail.example.com", "192.0.2.1"), PolicyError::Mx),
            (format!("{GOOD}<html>"), PolicyError::Line),
            (format!("{GOOD}{}", "x: y\n".repeat(20_000)), PolicyError::TooLong),
            (String::new(), PolicyError::Version),
        ];
        for (text, error) in rows {
            assert_eq!(
                Policy::parse(text.as_bytes()),
                Err(error),
                "{}",
                &text[..text.len().min(90)]
            );
        }
        assert_eq!(Policy::parse(b"version: STSv1\nmode: \xff"), Err(PolicyError::Line));
    }

    #[test]
    fn a_star_is_one_label() {
        let policy = Policy::parse(GOOD.as_bytes()).unwrap();
        for named in ["mail.example.com", "MAIL.Example.COM.", "a.example.net", "B.EXAMPLE.NET"] {
            assert!(policy.names(named), "{named}");
        }
        for other in [
            "example.com",
            "x.mail.example.com",
            "example.net",
            "a.b.example.net",
            ".example.net",
            "aexample.net",
            "a.example.net.evil.example",
            "",
        ] {
            assert!(!policy.names(other), "{other}");
        }
    }

    #[test]
    fn reports_go_where_the_record_says() {
        let asked = report_to(&["v=TLSRPTv1; rua=mailto:a%2cb@x.example?subject=x, \
                                 https://r.example:8443/v1/in?x=1,ftp://x,https://h.example"]);
        let mailbox = Mailbox::parse("a,b@x.example", false);
        assert!(mailbox.is_err(), "a comma needs quotes, so the address is skipped");
        let https = |host: &str, port, target: &str| ReportTo::Https {
            host: host.to_owned(),
            port,
            target: target.to_owned(),
        };
        assert_eq!(
            asked,
            [https("r.example", Some(8443), "/v1/in?x=1"), https("h.example", None, "/")]
        );
        let one = report_to(&["v=TLSRPTv1;rua=mailto:tls@x.example"]);
        assert_eq!(one, [ReportTo::Mailbox(Mailbox::parse("tls@x.example", false).unwrap())]);
        for nobody in [
            &["v=TLSRPTv1"][..],
            &["v=TLSRPTv1;"],
            &["v=TLSRPTv1; rua=mailto:"],
            &["v=TLSRPTv1; rua=https://[::1]/"],
            &["v=TLSRPTv1; rua=https://u@h.example/"],
            &["v=TLSRPTv1; rua=https://h.example/a b"],
            &["v=TLSRPTv1; rua=https://h.example:0/"],
            &["v=TLSRPTv1; rua=mailto:a@b.c", "v=TLSRPTv1; rua=mailto:d@e.f"],
            &[],
        ] {
            assert_eq!(report_to(nobody), [], "{nobody:?}");
        }
    }

    #[test]
    fn no_octets_make_the_readers_fall_over() {
        let mut chance = crate::base::chance::Chance::new(8461);
        let words: [&[u8]; 12] = [
            b"version: STSv1",
            b"mode",
            b": ",
            b"\r\n",
            b"\n",
            b"mx: *.",
            b"max_age: 9",
            b"v=",
            b"TLSRPTv1;",
            b"rua=mailto:%",
            b"https://",
            b"\xc3\xa9",
        ];
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..chance.below(12) {
                let pick = usize::try_from(chance.below(12)).unwrap();
                text.extend_from_slice(words[pick]);
            }
            let _ = Policy::parse(&text);
            let lossy = String::from_utf8_lossy(&text);
            let _ = (signal(&[&lossy]), report_to(&[&lossy]));
        }
    }
}
