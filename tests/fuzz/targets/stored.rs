//! Readers of what comes back from the disk, from an administrator, from DNS, from a message.

use std::sync::OnceLock;

use postern::base::chance::Chance;
use postern::base::limits::{
    MIME_DEPTH_MAX, MIME_PARTS_MAX, STS_MAX_AGE_SECS_MAX, TLSRPT_ADDRESSES_MAX,
};
use postern::config::checked::Config;
use postern::config::{Anywhere, read};
use postern::mail::address::Domain;
use postern::mail::queued::Change;
use postern::route::sts::{Mode, Policy, Signal, report_to, signal};
use postern::route::{MxAnswer, choose, hosts as hosts_of};
use postern::scan::structure::measure;
use postern::spool::record::{Freed, HEADER_OCTETS, Header, Opening, Stored, read_head};
use postern::spool::scan::{Depth, Found, Scan};
use postern::spool::state;

use super::take;

/// Law: what a stranger publishes about TLS is read or refused, and a policy that is read names no
/// host that is not written in it.
pub(crate) fn policy(octets: &[u8]) {
    if let Ok(policy) = Policy::parse(octets) {
        assert!(policy.max_age_secs <= STS_MAX_AGE_SECS_MAX);
        assert!(policy.mode == Mode::None || !policy.mx.is_empty());
        let exact = policy.mx.iter().filter(|mx| !mx.starts_with("*."));
        assert!(exact.clone().all(|mx| policy.names(mx)));
        let stranger = "mx.stranger.invalid";
        let written = policy.mx.iter().any(|mx| mx.ends_with("stranger.invalid"));
        assert!(written || !policy.names(stranger));
    }
    let text = String::from_utf8_lossy(octets);
    let records: Vec<&str> = text.lines().collect();
    if let Signal::Id(id) = signal(&records) {
        assert!(id.len() <= 32 && id.is_ascii());
    }
    assert!(report_to(&records).len() <= TLSRPT_ADDRESSES_MAX);
}

/// Law: what passes is within the bounds.
pub(crate) fn structure(octets: &[u8]) {
    if let Ok(structure) = measure(octets) {
        assert!(structure.depth <= MIME_DEPTH_MAX && structure.parts <= MIME_PARTS_MAX);
    }
}

/// Law: a document is good or says what is wrong with it.
pub(crate) fn config(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Err(complaints) = read(text, &Anywhere) {
        assert!(!complaints.is_empty(), "refused without a reason");
    }
}

/// Law: a walk over any octets ends, its places go up, and heads are read or refused. The salt is
/// the one of the octets, so that the walk comes further than the first comparison; its checksum
/// is repaired, because chance would never find it.
pub(crate) fn record(octets: &[u8]) {
    let mut octets = octets.to_vec();
    let mut at = 0;
    while let Some(place) = octets.get_mut(at..at + HEADER_OCTETS) {
        let checksum = {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&place[4..12]);
            hasher.update(&place[16..]);
            hasher.finalize()
        };
        place[12..16].copy_from_slice(&checksum.to_le_bytes());
        at += HEADER_OCTETS;
    }
    let salt = octets.get(4..12).map_or([0; 8], |eight| eight.try_into().expect("eight octets"));
    let mut places = Vec::new();
    for depth in [Depth::Whole, Depth::Heads] {
        let walk = Scan::new(octets.as_slice(), 1, u64::from_le_bytes(salt), depth, None);
        places.clear();
        for found in walk {
            match found {
                Found::Record { at, header, head, .. } => {
                    places.push(at);
                    heads(&header, &head);
                }
                Found::HeadDamaged { at, .. } | Found::Gap { at, .. } => places.push(at),
            }
            assert!(places.len() <= octets.len() + 1, "a walk without end");
        }
        assert!(places.is_sorted(), "a walk that goes back");
    }
    let header = octets.first_chunk::<HEADER_OCTETS>().and_then(Header::decode_any);
    if let Some(header) = header {
        heads(&header, &octets[HEADER_OCTETS..]);
    }
    let _ = state::decode::<state::Meta>(b"meta", &octets);
}

fn heads(header: &Header, head: &[u8]) {
    let _ = read_head::<Opening>(header, head);
    let _ = read_head::<Stored>(header, head);
    let _ = read_head::<Vec<Change>>(header, head);
    let _ = read_head::<Freed>(header, head);
}

fn settings() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let text = include_str!("../../../systemd/postern.toml");
        read(text, &Anywhere).expect("the sample is good").config
    })
}

/// Law: MX answers of any kind give hosts by preference, each once and none without a name.
pub(crate) fn route(octets: &[u8]) {
    let mut octets = octets;
    let mut chance = Chance::new(u64::from(take(&mut octets)));
    let mut hosts = Vec::new();
    for line in octets.split(|octet| *octet == b'\n') {
        let mut line = line;
        let preference = u16::from(take(&mut line));
        hosts.push((preference, String::from_utf8_lossy(line).into_owned()));
    }
    let domain = Domain::parse("next.example").expect("a domain");
    let chosen = choose(settings(), &domain, &settings().egresses[0].name).expect("a way out");
    let answer = MxAnswer { hosts, secure: false };
    if let Ok(hosts) = hosts_of(&chosen, &domain, Ok(answer), &mut chance) {
        let mut names: Vec<_> = hosts.iter().map(|host| host.name.as_str()).collect();
        assert!(names.iter().all(|name| !name.is_empty()));
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "a host twice");
    }
}
