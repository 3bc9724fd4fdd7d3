//! What an answer says and what DNSSEC proves of it.
//!
//! hickory marks every record with its proof and refuses what is bogus. Three things are left to
//! see here: a chain of aliases is as good as its weakest link; a denial is only as good as the
//! zone that it comes from; and an alias whose end was remembered may have lost its links.

use std::io;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::route::LookupError;

/// Aliases in a row; hickory follows as many.
pub(super) const CHAIN_LINKS_MAX: usize = 8;

/// Records of the kind that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Their data.
    pub(super) data: Vec<RData>,
    /// Every link of the chain and every record is proved.
    pub(super) secure: bool,
    /// Where the chain ended, if there was one.
    pub(super) end: Option<Name>,
}

/// Somebody who must know says that there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denied {
    /// The name exists, only not with records of this kind.
    pub(super) exists: bool,
    /// DNSSEC proves it.
    pub(super) secure: bool,
}

/// What one look-up came to.
#[derive(Debug)]
pub(super) enum Step {
    /// Records.
    Found(Found),
    /// None, for so long.
    Denied(Denied, Duration),
    /// None, and nobody said of which zone.
    Homeless {
        /// As in [`Denied`].
        exists: bool,
    },
    /// What came does not stand up to DNSSEC, or is not a whole chain.
    Doubtful,
    /// Nobody knows.
    Unknown(LookupError),
}

/// Reads a positive answer of a resolver that proves.
pub(super) fn proved(answers: &[Record], name: &Name, kind: RecordType) -> Step {
    chain(answers, name, kind).map_or(Step::Doubtful, Step::Found)
}

/// Reads a positive answer of a resolver that does not prove.
pub(super) fn plain(answers: &[Record], name: &Name, kind: RecordType) -> Found {
    let end = chain(answers, name, kind).and_then(|found| found.end);
    let data = answers.iter().filter(|record| record.record_type() == kind);
    Found { data: data.map(|record| record.data.clone()).collect(), secure: false, end }
}

/// Follows the aliases from `name` to records of `kind`.
fn chain(answers: &[Record], name: &Name, kind: RecordType) -> Option<Found> {
    let mut current = name;
    let mut secure = true;
    for _ in 0..=CHAIN_LINKS_MAX {
        let mut data = Vec::new();
        for record in answers.iter().filter(|record| is_record_of(record, current, kind)) {
            secure &= record.proof == Proof::Secure;
            data.push(record.data.clone());
        }
        if !data.is_empty() {
            return Some(Found { data, secure, end: (current != name).then(|| current.clone()) });
        }
        let (target, link) = alias(answers, current)?;
        secure &= link;
        current = target;
    }
    None
}

/// Whether a record is of this name and kind.
pub(super) fn is_record_of(record: &Record, name: &Name, kind: RecordType) -> bool {
    record.record_type() == kind && record.name == *name
}

/// The alias at `name`, and whether it is proved.
pub(super) fn alias<'a>(answers: &'a [Record], name: &Name) -> Option<(&'a Name, bool)> {
    answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(cname) => Some((&cname.0, record.proof == Proof::Secure)),
        _ => None,
    })
}

/// Reads the error of a resolver that proves.
pub(super) fn failed(error: &NetError, name: &Name, kind: RecordType) -> Step {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => denied(none),
        // A denial that is genuine and proves nothing: NSEC3 opt-out, or too many iterations.
        NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. }) => {
            if let Some(found) = chain(&response.answers, name, kind) {
                return Step::Found(Found { secure: false, ..found });
            }
            let exists = response.response_code != ResponseCode::NXDomain;
            let wait = response.negative_ttl().unwrap_or_default();
            Step::Denied(Denied { exists, secure: false }, Duration::from_secs(wait.into()))
        }
        NetError::Dns(DnsError::Nsec { .. } | DnsError::DnssecBogus) => Step::Doubtful,
        error => Step::Unknown(unknown(error)),
    }
}

/// Reads the error of a resolver that does not prove.
pub(super) fn failed_plain(error: &NetError) -> Result<Denied, LookupError> {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return Err(unknown(error)) };
    Ok(Denied { exists: existence(none)?, secure: false })
}

fn denied(none: &NoRecords) -> Step {
    let exists = match existence(none) {
        Ok(exists) => exists,
        Err(error) => return Step::Unknown(error),
    };
    match &none.soa {
        // Whoever answers for a zone in which the name is not may be an enemy with a zone of his
        // own: only the name's own zone can deny it.
        Some(soa) if !soa.name.zone_of(&none.query.name) => Step::Doubtful,
        Some(soa) => {
            let secure = soa.proof == Proof::Secure;
            Step::Denied(Denied { exists, secure }, negative_ttl(soa))
        }
        // These never leave the resolver (RFC 6761, RFC 7686).
        None if is_special(&none.query.name) => {
            Step::Denied(Denied { exists, secure: false }, Duration::ZERO)
        }
        None => Step::Homeless { exists },
    }
}

/// How long a denial may be kept (RFC 2308 5).
fn negative_ttl(soa: &Record<SOA>) -> Duration {
    Duration::from_secs(soa.ttl.min(soa.data.minimum).into())
}

fn is_special(name: &Name) -> bool {
    let top = name.iter().next_back().unwrap_or_default();
    [&b"invalid"[..], b"onion", b"localhost"].iter().any(|kept| top.eq_ignore_ascii_case(kept))
}

/// Whether a denial says that the name exists.
fn existence(none: &NoRecords) -> Result<bool, LookupError> {
    match none.response_code {
        ResponseCode::NXDomain => Ok(false),
        // A referral in place of an answer: the delegation is lame.
        ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
            Err(LookupError::Temporary("lame delegation".to_owned()))
        }
        ResponseCode::NoError => Ok(true),
        code => Err(LookupError::Temporary(code.to_string())),
    }
}

fn unknown(error: &NetError) -> LookupError {
    match error {
        NetError::Io(io) if io.kind() == io::ErrorKind::NetworkDown => {
            LookupError::Suspended(io.to_string())
        }
        error => LookupError::Temporary(error.to_string()),
    }
}
