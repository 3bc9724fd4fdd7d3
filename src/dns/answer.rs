//! What an answer says, and what DNSSEC proves of it.
//!
//! hickory validates signatures and chains of keys, and marks each record with its proof; those
//! marks are believed here. What it says of *absence* is judged once more, because it refuses
//! honest answers (an alias with the denial of its target; a name that a wildcard stands for, one
//! label below it) and lets others pass (the denial of a foreign zone; opt-out as proof).
//!
//! Laws: RFC 4035 5.3.4 and 5.4, RFC 5155 8 and 9.2, RFC 6840 4.

use std::io;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_resolver::proto::op::{DnsResponse, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::route::LookupError;

/// Aliases in a row that are followed.
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

/// What one question came to.
#[derive(Debug)]
pub(super) enum Step {
    /// Records at the name itself.
    Found {
        /// Their data.
        data: Vec<RData>,
        /// Whether they are proved.
        secure: bool,
        /// How long they hold.
        span: Duration,
    },
    /// The name is an alias.
    Alias {
        /// Of this one.
        target: Name,
        /// Whether that is proved.
        secure: bool,
        /// How long it holds.
        span: Duration,
    },
    /// None, for so long.
    Denied(Denied, Duration),
    /// What came does not stand up to DNSSEC.
    Doubtful,
    /// Nobody knows.
    Unknown(LookupError),
}

/// Reads what a validator came back with for `name`.
pub(super) fn read(answer: &Result<DnsResponse, NetError>, name: &Name, kind: RecordType) -> Step {
    let (response, absence) = match answer {
        Ok(response) => (response, Proof::Secure),
        Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => (&**response, *proof),
        Err(error) => return Step::Unknown(unknown(error)),
    };
    if !matches!(response.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Step::Unknown(LookupError::Temporary(response.response_code.to_string()));
    }
    for kind in [kind, RecordType::CNAME] {
        let set: Vec<&Record> =
            response.answers.iter().filter(|record| is_of(record, name, kind)).collect();
        if !set.is_empty() {
            return records(response, &set, name, absence);
        }
    }
    absent(response, name, absence)
}

fn is_of(record: &Record, name: &Name, kind: RecordType) -> bool {
    record.record_type() == kind && record.name == *name
}

fn records(response: &DnsResponse, set: &[&Record], name: &Name, absence: Proof) -> Step {
    let all = |proof: Proof| set.iter().all(|record| record.proof == proof);
    let secure = if all(Proof::Secure) {
        match expansion(response, name, set[0].record_type()) {
            None => true,
            Some(labels) => match stands_for(response, name, labels, absence) {
                Some(secure) => secure,
                None => return Step::Doubtful,
            },
        }
    } else if all(Proof::Insecure) {
        false
    } else {
        return Step::Doubtful;
    };
    let ttl = set.iter().map(|record| record.ttl).min().unwrap_or_default();
    let span = Duration::from_secs(ttl.into());
    match &set[0].data {
        // Only the alias counts: the rest of the answer is asked for by its own name.
        RData::CNAME(cname) => Step::Alias { target: cname.0.clone(), secure, span },
        _ => Step::Found { data: set.iter().map(|r| r.data.clone()).collect(), secure, span },
    }
}

/// Labels of the wildcard's parent, if the signature of a record set is that of a wildcard.
fn expansion(response: &DnsResponse, name: &Name, kind: RecordType) -> Option<u8> {
    let labels = response.answers.iter().filter(|record| record.name == *name).filter_map(|r| {
        match &r.data {
            RData::DNSSEC(DNSSECRData::RRSIG(signature)) => {
                let signed = signature.input();
                (signed.type_covered == kind).then_some(signed.num_labels)
            }
            _ => None,
        }
    });
    labels.min().filter(|labels| *labels < name.num_labels())
}

/// Whether it is proved that nothing closer than a wildcard could answer for `name`; none if that
/// is not even claimed.
fn stands_for(response: &DnsResponse, name: &Name, labels: u8, absence: Proof) -> Option<bool> {
    if !is_at_home(response, name) {
        return None;
    }
    if nsecs(response).any(|(owner, nsec)| leaves_to_wildcard(owner, nsec, name, labels)) {
        return Some(true);
    }
    nsec3s(response).next()?;
    match absence {
        // With opt-out the name may be one that is delegated and not signed (RFC 5155 9.2).
        Proof::Secure => Some(!nsec3s(response).any(|(_, nsec3)| nsec3.opt_out())),
        Proof::Insecure => Some(false),
        _ => None,
    }
}

/// Whether an NSEC record proves that `name` does not exist, and that the closest name above it
/// that does is the parent of the wildcard, which has so many labels (RFC 4035 5.3.4).
fn leaves_to_wildcard(owner: &Name, nsec: &NSEC, name: &Name, labels: u8) -> bool {
    let next = nsec.next_domain_name();
    let last = next <= owner;
    let covers = name > owner && (name < next || last && next.zone_of(name));
    // What lies below a delegation is not for the parent to deny (RFC 6840 4.1).
    let foreign = nsec.is_ancestor_delegation() && owner.zone_of(name);
    // The name itself is there if something is below it.
    let inner = name.zone_of(next);
    let closest = shared(name, owner).max(shared(name, next));
    covers && !foreign && !inner && closest == labels
}

/// Labels that two names share, from the root down; a wildcard's star counts for none.
fn shared(one: &Name, other: &Name) -> u8 {
    let same = |(a, b): &(&[u8], &[u8])| a.eq_ignore_ascii_case(b);
    let labels = one.iter().rev().zip(other.iter().rev()).take_while(same).count();
    u8::try_from(labels).unwrap_or(u8::MAX)
}

fn absent(response: &DnsResponse, name: &Name, absence: Proof) -> Step {
    let exists = response.response_code == ResponseCode::NoError;
    let span = Duration::from_secs(response.negative_ttl().unwrap_or_default().into());
    let denied = |secure| Step::Denied(Denied { exists, secure }, span);
    if !is_at_home(response, name) {
        return Step::Doubtful;
    }
    match absence {
        Proof::Insecure => return denied(false),
        Proof::Secure => {}
        _ => return Step::Doubtful,
    }
    let signed = nsecs(response).next().is_some() || nsec3s(response).next().is_some();
    if signed {
        let direct = nsec3s(response).any(|(owner, nsec3)| is_hash(owner, nsec3, name));
        let optional = nsec3s(response).any(|(_, nsec3)| nsec3.opt_out());
        return denied(direct || !optional);
    }
    // The zone is not signed. Whoever answers from a zone in which the name is not may be an enemy
    // with a zone of his own: only the name's own zone can deny it.
    let soa = response.authorities.iter().find(|record| record.record_type() == RecordType::SOA);
    let referral = response.authorities.iter().any(|r| r.record_type() == RecordType::NS);
    match soa {
        Some(soa) if soa.name.zone_of(name) => denied(false),
        None if referral && exists => {
            Step::Unknown(LookupError::Temporary("lame delegation".to_owned()))
        }
        // hickory has seen for itself that no signed zone has the name.
        None if response.authorities.is_empty() => denied(false),
        _ => Step::Doubtful,
    }
}

/// Whether an NSEC3 record is the one of `name` itself.
fn is_hash(owner: &Name, nsec3: &NSEC3, name: &Name) -> bool {
    let hash = nsec3.hash_algorithm().hash(nsec3.salt(), name, nsec3.iterations());
    let (Ok(hash), Some(label)) = (hash, owner.iter().next()) else { return false };
    base32(hash.as_ref()).eq_ignore_ascii_case(label)
}

/// RFC 4648 7, without padding: 20 octets are 32 characters.
fn base32(octets: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut text = Vec::with_capacity(octets.len() * 8 / 5);
    for group in octets.chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, octet| bits << 8 | u64::from(*octet));
        let bits = bits << (8 * (5 - group.len()));
        for place in (0..(group.len() * 8).div_ceil(5)).map(|place| 35 - 5 * place) {
            text.push(ALPHABET[usize::try_from(bits >> place & 31).unwrap_or_default()]);
        }
    }
    text
}

fn nsecs(response: &DnsResponse) -> impl Iterator<Item = (&Name, &NSEC)> {
    proved(response).filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => Some((&record.name, nsec)),
        _ => None,
    })
}

fn nsec3s(response: &DnsResponse) -> impl Iterator<Item = (&Name, &NSEC3)> {
    proved(response).filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => Some((&record.name, nsec3)),
        _ => None,
    })
}

fn proved(response: &DnsResponse) -> impl Iterator<Item = &Record> {
    response.authorities.iter().filter(|record| record.proof == Proof::Secure)
}

/// Whether every zone that speaks of absence is one above `name`. The next name of an NSEC record
/// is for its owner to choose: any signed zone could write one that spans all others.
fn is_at_home(response: &DnsResponse, name: &Name) -> bool {
    proved(response).all(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => signature.input().signer_name.zone_of(name),
        _ => true,
    })
}

/// Whether a name never leaves the resolver (RFC 6761, RFC 7686).
pub(super) fn is_special(name: &Name) -> bool {
    let top = name.iter().next_back().unwrap_or_default();
    [&b"invalid"[..], b"onion", b"localhost"].iter().any(|kept| top.eq_ignore_ascii_case(kept))
}

/// Reads a positive answer of a resolver that proves nothing.
pub(super) fn plain(answers: &[Record], name: &Name, kind: RecordType) -> Found {
    let mut end = name;
    for _ in 0..CHAIN_LINKS_MAX {
        let link = answers.iter().find(|record| is_of(record, end, RecordType::CNAME));
        let Some(RData::CNAME(cname)) = link.map(|record| &record.data) else { break };
        end = &cname.0;
    }
    let data = answers.iter().filter(|record| record.record_type() == kind);
    Found {
        data: data.map(|record| record.data.clone()).collect(),
        secure: false,
        end: (end != name).then(|| end.clone()),
    }
}

/// Reads the error of a resolver that proves nothing.
pub(super) fn failed_plain(error: &NetError) -> Result<Denied, LookupError> {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return Err(unknown(error)) };
    Ok(Denied { exists: existence(none)?, secure: false })
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

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::dnssec::Algorithm;
    use hickory_resolver::proto::dnssec::rdata::{RRSIG, SigInput};
    use hickory_resolver::proto::op::Message;
    use hickory_resolver::proto::rr::SerialNumber;

    use super::*;

    #[test]
    fn a_hash_is_written_as_owners_are() {
        assert_eq!(base32(b"foobar"), b"cpnmuoj1e8");
        assert_eq!(base32(b"foob"), b"cpnmuog");
        assert_eq!(base32(&[0xff; 20]), b"v".repeat(32));
    }

    #[test]
    fn no_zone_denies_the_names_of_another() {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let denial = |zone: &str, owner: &str, next: &str| {
            let nsec = NSEC::new(name(next), [RecordType::A]);
            let input = SigInput {
                type_covered: RecordType::NSEC,
                algorithm: Algorithm::ED25519,
                num_labels: name(owner).num_labels(),
                original_ttl: 60,
                sig_expiration: SerialNumber::new(2),
                sig_inception: SerialNumber::new(1),
                key_tag: 7,
                signer_name: name(zone),
            };
            let data =
                [DNSSECRData::NSEC(nsec), DNSSECRData::RRSIG(RRSIG::from_sig(input, vec![]))];
            let mut message = Message::query();
            message.metadata.response_code = ResponseCode::NXDomain;
            for data in data {
                let mut record = Record::from_rdata(name(owner), 60, RData::DNSSEC(data));
                record.proof = Proof::Secure;
                message.add_authority(record);
            }
            let response = Ok(DnsResponse::from_message(message.into_response()).unwrap());
            read(&response, &name("mx.sec.zone."), RecordType::TLSA)
        };
        let own = denial("sec.zone.", "a.sec.zone.", "z.sec.zone.");
        assert!(matches!(own, Step::Denied(Denied { exists: false, secure: true }, _)), "{own:?}");
        let evil = denial("evil.zone.", "a.evil.zone.", "zzz.zone.");
        assert!(matches!(evil, Step::Doubtful), "{evil:?}");
    }

    #[test]
    fn an_nsec_record_leaves_a_name_to_the_wildcard_above_it() {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let nsec = |next: &str| NSEC::new(name(next), [RecordType::A]);
        let leaves = |owner: &str, next: &str, asked: &str, labels| {
            leaves_to_wildcard(&name(owner), &nsec(next), &name(asked), labels)
        };
        assert!(leaves("*.w.example.", "z.example.", "a.w.example.", 2));
        assert!(leaves("*.w.example.", "example.", "a.w.example.", 2), "the last of the zone");
        assert!(leaves("*.w.example.", "z.example.", "a.b.w.example.", 2));
        assert!(!leaves("*.w.example.", "z.example.", "a.w.example.", 1), "a closer name exists");
        assert!(!leaves("*.w.example.", "b.w.example.", "c.w.example.", 2), "not covered");
        assert!(!leaves("*.w.example.", "x.a.w.example.", "a.w.example.", 2), "it exists, empty");
        let cut = NSEC::new(name("z.example."), [RecordType::NS]);
        assert!(!leaves_to_wildcard(&name("w.example."), &cut, &name("a.w.example."), 1));
    }
}
