//! Open-relay probes at the level of the rooms: two hundred ways to write a recipient or a sender
//! × every failed way to show who one is. Nobody is ever identified, and an address never means
//! another one than it says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "submission/probes.rs"]
mod probes;
mod submission;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use postern::base::secret::Secret;
use postern::base::time::{Instant, WallTime};
use postern::mail::address::{Mailbox, ReversePath};
use postern::mail::source::{Proof, Source, SourceState};
use postern::policy::{permit_recipient, permit_sender};
use postern::source::{
    BootSecret, Directory, Strength, Switches, Throttle, unidentified, verifier_for,
};
use probes::{SERVER_ADDRESS, recipients};

const NOW: WallTime = WallTime(1_790_000_000_000);

/// A directory with a source of each kind, none of which is the prober.
fn directory() -> Directory {
    let pairs = [("*@own.example", "*@own.example")];
    let password = Secret::new("correct horse battery staple".to_owned());
    let verifiers = vec![verifier_for(&password, Strength::Generated).unwrap()];
    let locked = Proof::Password { user: "app".to_owned(), verifiers: verifiers.clone() };
    let disabled = Proof::Password { user: "old".to_owned(), verifiers };
    let certificate = Proof::Certificate { spki_sha256: vec!["5a".repeat(32)] };
    let mut sources: Vec<Source> = vec![
        submission::source("locked", locked, &pairs),
        submission::source("disabled", disabled, &pairs),
        submission::source("certificate", certificate, &pairs),
        submission::source("network", Proof::Network, &pairs),
    ];
    for source in &mut sources {
        source.networks = vec!["10.1.2.0/24".parse().unwrap()];
    }
    sources[1].state = SourceState::Disabled;
    let sources: BTreeMap<_, _> =
        sources.into_iter().map(|source| (source.name.clone(), Arc::new(source))).collect();
    Directory::new(&sources, &Switches::default(), BootSecret::from_octets(&[3; 32]))
}

#[test]
fn nobody_is_identified_by_anything_but_evidence() {
    let book = directory();
    let outside: [IpAddr; 6] = [
        "127.0.0.1".parse().unwrap(),
        "::1".parse().unwrap(),
        SERVER_ADDRESS.parse().unwrap(),
        "10.1.3.1".parse().unwrap(),
        "::ffff:10.1.3.1".parse().unwrap(),
        "2001:db8::10:1:2:1".parse().unwrap(),
    ];
    let names = recipients();
    assert!(names.len() >= 200, "{} forms", names.len());
    for peer in outside {
        // No AUTH: the address alone, on every kind of listener.
        for allows in [false, true] {
            assert_eq!(book.identify_network(allows, peer, NOW).unwrap_err().reply.code, 530);
        }
        // The right certificate from the wrong network, and wrong certificates.
        assert!(book.identify_certificate(&[0x5a; 32], peer, NOW).is_err());
        for octet in 0..=255_u8 {
            let inside = "10.1.2.3".parse().unwrap();
            let found = book.identify_certificate(&[octet; 32], inside, NOW);
            assert_eq!(found.is_ok(), octet == 0x5a);
        }
        // The right password from the wrong network, and of a disabled source.
        for user in ["app", "old"] {
            let right = Secret::new("correct horse battery staple".to_owned());
            assert!(book.identify_password(user, &right, peer, NOW).is_err());
            assert!(book.recall_password(user, &right, peer, NOW).is_none_or(|r| r.is_err()));
            assert!(book.identify_scram(user, peer, NOW).is_err());
        }
    }
    // Failed AUTH: every form as a user name, from inside the right network.
    let inside = "10.1.2.3".parse().unwrap();
    for name in names {
        let wrong = Secret::new(name.clone());
        assert!(book.identify_password(&name, &wrong, inside, NOW).is_err(), "{name:?}");
        assert!(book.identify_password("app", &wrong, inside, NOW).is_err(), "{name:?}");
        assert!(!book.scram_keys(&name, NOW).real, "{name:?}");
        assert!(book.identify_scram(&name, inside, NOW).is_err(), "{name:?}");
    }
    assert_eq!(unidentified().reply.code, 530);
}

/// Even for a source that may write to anybody, an address is delivered to the domain behind its
/// last `@` or refused: `%`, `!`, routes and comments have no meaning.
#[test]
fn an_address_never_means_another_one() {
    let pairs = [("*@own.example", "*@own.example")];
    let source = submission::source("app", Proof::Network, &pairs);
    let (mut refused, mut plain) = (0, 0);
    for text in recipients() {
        for utf8 in [false, true] {
            let Ok(mailbox) = Mailbox::parse(&text, utf8) else {
                refused += 1;
                continue;
            };
            assert_eq!(mailbox.as_str(), text, "what was read is what was written");
            let (_, domain) = text.rsplit_once('@').unwrap();
            if permit_recipient(&source, &mailbox, 0, 1000).is_err() {
                refused += 1;
                continue;
            }
            plain += 1;
            assert_eq!(mailbox.domain().as_str(), domain.to_lowercase(), "{text:?}");
            assert!(!text.contains(|c: char| c.is_control() || c == ' '), "{text:?}");
            assert!(mailbox.domain().literal().is_none(), "{text:?}");
        }
    }
    assert!(refused >= 200 && plain >= 10, "{refused} refused, {plain} plain");
}

/// As a sender none of the forms is allowed, because none is in the source's domain.
#[test]
fn none_of_the_forms_is_a_sender() {
    let pairs = [("*@own.example", "*@own.example")];
    let source = submission::source("app", Proof::Network, &pairs);
    for text in recipients() {
        if let Ok(mailbox) = Mailbox::parse(&text, true) {
            let refusal = permit_sender(&source, &ReversePath::Mailbox(mailbox), None).unwrap_err();
            assert_eq!((refusal.rule, refusal.reply.code), ("sender-not-allowed", 550), "{text}");
        }
    }
    let refusal = permit_sender(&source, &ReversePath::Null, None).unwrap_err();
    assert_eq!(refusal.rule, "null-sender-not-allowed");
}

/// A hundred thousand guesses: few are computed, and memory stays where it is.
#[test]
fn guessing_is_slow_whatever_the_number_of_addresses() {
    let mut throttle = Throttle::new();
    let mut computed = 0;
    for n in 0..100_000_u32 {
        let peer = IpAddr::V4((0x0b00_0000 + n % 5000).into());
        let now = Instant(u64::from(n) * 600);
        if throttle.permit(peer, "app", now).is_ok() {
            computed += 1;
            throttle.failed(peer, "app", now);
        }
    }
    // Sixty seconds of guesses at one account: one window of ten, and the first of the next.
    assert!(computed <= 20, "{computed} guesses were computed");
}
