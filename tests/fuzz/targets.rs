//! The targets: each takes any octets, must never panic, and checks a law of its reader.

mod control;
mod keys;
mod letter;
mod peer;
mod release;
mod session;
mod stored;

/// A target: its name and the function that must survive any octets.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target, each with its seeds in `tests/fuzz/corpus/NAME/`.
pub(crate) const TARGETS: &[Target] = &[
    ("address", letter::address),
    ("addresses", letter::addresses),
    ("header", letter::header),
    ("command", session::command),
    ("content", session::content),
    ("sasl", session::sasl),
    ("session", session::session),
    ("reply", peer::reply),
    ("conversation", peer::conversation),
    ("control", control::request),
    ("keys", keys::keys),
    ("structure", stored::structure),
    ("config", stored::config),
    ("record", stored::record),
    ("route", stored::route),
    ("policy", stored::policy),
    ("release", release::release),
];

/// Takes one octet off the front; 0 when there is none.
fn take(octets: &mut &[u8]) -> u8 {
    let Some((first, rest)) = octets.split_first() else { return 0 };
    *octets = rest;
    *first
}
