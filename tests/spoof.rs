//! Spoofed authors: no form of From (or of what readers take for it) lets a source send as
//! somebody else. By hand and by combination, from several sources, with and without SMTPUTF8.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "submission/authors.rs"]
mod authors;
mod submission;

use authors::{FORMS, HONEST, PRETENDERS, VICTIM, filled, letter};
use postern::mail::source::{Proof, Source};
use postern::policy::permit_message;

/// Sources that may all do something, and none of which may be the victim.
fn sources() -> Vec<(Source, &'static str)> {
    let source = |(name, pairs, sender): &authors::Pretender| {
        (submission::source(name, Proof::Network, pairs), *sender)
    };
    PRETENDERS.iter().map(source).collect()
}

fn permitted(source: &Source, sender: &str, header: &str, utf8: bool) -> bool {
    let message = submission::submitted(sender, letter(header).as_bytes(), utf8);
    permit_message(&submission::attributed(source.clone()), message).is_ok()
}

#[test]
fn no_form_of_from_passes_for_somebody_else() {
    assert!(FORMS.len() >= 150, "{} forms", FORMS.len());
    let mut passed = Vec::new();
    let mut tried = 0;
    for (source, sender) in sources() {
        for form in FORMS {
            for utf8 in [false, true] {
                tried += 1;
                if permitted(&source, sender, &filled(form, source.name.as_str()), utf8) {
                    passed.push((source.name.to_string(), *form, utf8));
                }
            }
        }
    }
    assert!(passed.is_empty(), "{} of {tried}: {passed:#?}", passed.len());
    println!("{tried} spoofed submissions refused");
}

#[test]
fn honest_forms_pass() {
    for (source, sender) in sources() {
        for form in HONEST {
            let header = filled(form, source.name.as_str());
            assert!(permitted(&source, sender, &header, false), "{} {header}", source.name);
            assert!(permitted(&source, sender, &header, true), "{} {header}", source.name);
        }
    }
}

/// Every way to write an address × every place for it × what stands around it.
#[test]
fn no_combination_passes_either() {
    let addresses = [
        "ceo@bank.example",
        "CEO@BANK.example",
        "\"ceo\"@bank.example",
        "ceo@bank.example.",
        "\"me@own.example\"@bank.example",
        "ceo%own.example@bank.example",
        "x!ceo@bank.example",
        "=?utf-8?q?ceo?=@bank.example",
        "ceo+me@own.example@bank.example",
        "ceo@sub.own.example",
        "ceo@own.example.bank.example",
        "ceo@xown.example",
        "ceo@own.examples",
        "ceo@example",
        "ceo@[192.0.2.9]",
        "ceo@own-example.bank.example",
    ];
    let names = [
        "",
        "Boss ",
        "\"Boss\" ",
        "=?utf-8?Q?Boss?= ",
        "(boss) ",
        "B. Oss ",
        "\"me@own.example\" ",
    ];
    let places = [
        "From: {}",
        "From: {}, Me <me@own.example>\r\nSender: me@own.example",
        "From: Me <me@own.example>, {}\r\nSender: me@own.example",
        "From: me@own.example\r\nSender: {}",
        "From: me@own.example\r\nResent-From: {}",
        "From: me@own.example\r\nFrom: {}",
    ];
    let sources = sources();
    let (source, sender) = &sources[0];
    let mut tried = 0;
    for address in addresses {
        for name in names {
            for place in places {
                tried += 1;
                let header = place.replace("{}", &format!("{name}<{address}>"));
                assert!(!permitted(source, sender, &header, false), "{header}");
                assert!(!permitted(source, sender, &header, true), "{header}");
            }
        }
    }
    assert!(tried >= 500, "{tried} combinations");
}

/// The envelope side of the pair: an author of one's own with a reverse-path of somebody else.
#[test]
fn a_foreign_reverse_path_does_not_pass() {
    let header = "From: me@own.example";
    for (source, _) in &sources()[..2] {
        for sender in [
            "",
            VICTIM,
            "me@sub.own.example",
            "\"me\"@xown.example",
            "me@own.examples",
            "=?utf-8?q?me?=@own.example",
            "me@[192.0.2.1]",
        ] {
            assert!(!permitted(source, sender, header, true), "{} {sender}", source.name);
        }
        assert!(permitted(source, "me@own.example", header, true));
        assert!(permitted(source, "me@OWN.example", header, true));
    }
}
