//! DANE: which names are asked for TLSA records, and what the answers mean (RFC 7672 2).

use super::super::special::Origin;
use super::super::{Addresses, Host, LookupError, TlsaAnswer};
use crate::config::checked::DaneMode;
use crate::mail::trust::Tlsa;

/// What DNS says about DANE for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dane {
    /// No DANE: it is off, a name on the way is not proved, or it is proved that there are no
    /// records.
    Absent,
    /// Proved records, none of which means anything: TLS is mandatory (RFC 7672 2.2).
    Unusable {
        /// The records.
        records: Vec<Tlsa>,
    },
    /// Proved records that the host must meet.
    Usable {
        /// The usable ones.
        records: Vec<Tlsa>,
        /// The base domain and the other names that count, see [`super::Demand::Dane`].
        names: Vec<String>,
    },
    /// Proved wrong, or nobody can say: the host is not to be used (RFC 7672 2.1.1).
    Failed {
        /// Why, in words.
        cause: String,
    },
}

/// The names whose TLSA records are asked for, in order: where a chain of CNAMEs ended, then the
/// name itself (RFC 7672 2.2.2). None if DANE does not apply. `mx_secure`: the MX answer was
/// proved, which does not matter for hosts that the administrator named.
#[must_use]
pub fn bases(mode: DaneMode, host: &Host, mx_secure: bool, addresses: &Addresses) -> Vec<String> {
    let named = match host.origin {
        Origin::Mx | Origin::Implicit => mx_secure,
        Origin::RouteName => true,
        Origin::RouteAddress => false,
    };
    // An insecure address is asked nothing: some name servers cannot bear the question.
    if mode == DaneMode::Off || !named || !addresses.secure {
        return Vec::new();
    }
    let mut bases = Vec::with_capacity(2);
    bases.extend(addresses.canonical.iter().filter(|name| **name != host.name).cloned());
    bases.push(host.name.clone());
    bases
}

/// What the answer for the base domain `base` of `host` means; none: the next base domain is
/// asked, and after the last one there is no DANE. `next_hop` is the recipient's domain.
///
/// # Errors
/// Our own way to the name servers is suspended.
pub fn found(
    base: &str,
    host: &Host,
    next_hop: &str,
    answer: Result<TlsaAnswer, LookupError>,
) -> Result<Option<Dane>, String> {
    let records = match answer {
        Ok(answer) if answer.secure => answer.records,
        Ok(_) | Err(LookupError::NoSuchDomain) => return Ok(None),
        Err(LookupError::Temporary(cause) | LookupError::Bogus(cause)) => {
            return Ok(Some(Dane::Failed { cause }));
        }
        Err(LookupError::Suspended(cause)) => return Err(cause),
    };
    if records.is_empty() {
        return Ok(None);
    }
    let usable: Vec<Tlsa> = records.iter().filter(|record| is_usable(record)).cloned().collect();
    if usable.is_empty() {
        return Ok(Some(Dane::Unusable { records }));
    }
    let mut names = vec![base.to_owned()];
    for name in [host.name.as_str(), next_hop] {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(Some(Dane::Usable { records: usable, names }))
}

/// Usages 2 and 3 (RFC 7672 3.1.3), selectors and digests that are known, of the right length.
fn is_usable(record: &Tlsa) -> bool {
    let length = record.data.len();
    let whole = match record.matching {
        0 => length > 0,
        1 => length == 32,
        2 => length == 64,
        _ => false,
    };
    whole && matches!(record.usage, 2 | 3) && matches!(record.selector, 0 | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(origin: Origin) -> Host {
        Host { name: "mx.example".to_owned(), address: None, port: 25, origin }
    }

    fn record(usage: u8, selector: u8, matching: u8, octets: usize) -> Tlsa {
        Tlsa { usage, selector, matching, data: vec![7; octets] }
    }

    #[test]
    fn only_proved_names_are_asked_for_records() {
        fn ask(mode: DaneMode, origin: Origin, mx: bool, addresses: &Addresses) -> Vec<String> {
            bases(mode, &host(origin), mx, addresses)
        }
        let proved = Addresses { secure: true, ..Addresses::default() };
        assert_eq!(ask(DaneMode::Auto, Origin::Mx, true, &proved), ["mx.example"]);
        assert_eq!(ask(DaneMode::On, Origin::Implicit, true, &proved), ["mx.example"]);
        assert_eq!(ask(DaneMode::On, Origin::RouteName, false, &proved), ["mx.example"]);
        let none: [&str; 0] = [];
        assert_eq!(ask(DaneMode::Off, Origin::Mx, true, &proved), none);
        assert_eq!(ask(DaneMode::Auto, Origin::Mx, false, &proved), none);
        assert_eq!(ask(DaneMode::Auto, Origin::RouteAddress, true, &proved), none);
        assert_eq!(ask(DaneMode::Auto, Origin::Mx, true, &Addresses::default()), none);
        let alias = Addresses { canonical: Some("real.example".to_owned()), ..proved };
        assert_eq!(ask(DaneMode::Auto, Origin::Mx, true, &alias), ["real.example", "mx.example"]);
    }

    #[test]
    fn answers_mean_what_rfc_7672_says() {
        let say = |answer| found("mx.example", &host(Origin::Mx), "example", answer);
        let secure = |records| Ok(TlsaAnswer { records, secure: true });
        let good = record(3, 1, 1, 32);
        let names = vec!["mx.example".to_owned(), "example".to_owned()];
        let bad = [
            record(0, 1, 1, 32),
            record(1, 0, 2, 64),
            record(4, 1, 1, 32),
            record(3, 2, 1, 32),
            record(3, 1, 3, 32),
            record(3, 1, 1, 31),
            record(2, 1, 2, 32),
            record(2, 0, 0, 0),
        ];
        for record in &bad {
            let records = vec![record.clone()];
            assert_eq!(say(secure(records.clone())), Ok(Some(Dane::Unusable { records })));
        }
        let mut mixed = bad.to_vec();
        mixed.push(good.clone());
        let usable = Dane::Usable { records: vec![good.clone()], names };
        assert_eq!(say(secure(mixed)), Ok(Some(usable)));
        assert_eq!(say(secure(Vec::new())), Ok(None));
        assert_eq!(say(Ok(TlsaAnswer { records: vec![good], secure: false })), Ok(None));
        assert_eq!(say(Err(LookupError::NoSuchDomain)), Ok(None));
        for error in [LookupError::Temporary("x".to_owned()), LookupError::Bogus("x".to_owned())] {
            assert_eq!(say(Err(error)), Ok(Some(Dane::Failed { cause: "x".to_owned() })));
        }
        assert_eq!(say(Err(LookupError::Suspended("down".to_owned()))), Err("down".to_owned()));
    }
}
