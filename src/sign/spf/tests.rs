//! Zones for every mechanism, limit and macro.

use super::*;

/// Zones: name, kind, value. Kinds: txt, a, mx, ptr, broken.
const ZONES: &[(&str, &str, &str)] = &[
    ("plain.example", "txt", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"),
    ("host.example", "txt", "v=spf1 a:relay.example -all"),
    ("wide.example", "txt", "v=spf1 a:near.example/24 -all"),
    ("near.example", "a", "192.0.2.200"),
    ("relay.example", "a", "192.0.2.25"),
    ("mx.example", "txt", "v=spf1 mx ~all"),
    ("mx.example", "mx", "relay.example"),
    ("inc.example", "txt", "V=SPF1 include:plain.example ?all"),
    ("redirect.example", "txt", "v=spf1 redirect=plain.example"),
    ("lost.example", "txt", "v=spf1 redirect=nothing.example"),
    ("badinc.example", "txt", "v=spf1 include:nothing.example -all"),
    ("two.example", "txt", "v=spf1 -all"),
    ("two.example", "txt", "v=spf1 +all"),
    ("other.example", "txt", "v=spf10 -all"),
    ("other.example", "txt", "google-site-verification=x"),
    ("typo.example", "txt", "v=spf1 ipv4:192.0.2.25 -all"),
    ("late.example", "txt", "v=spf1 ip4:192.0.2.25 nonsense -all"),
    ("loop.example", "txt", "v=spf1 include:loop.example -all"),
    ("open.example", "txt", "v=spf1 +all"),
    ("void.example", "txt", "v=spf1 a:v1.example a:v2.example a:v3.example -all"),
    ("macro.example", "txt", "v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all"),
    ("25.2.0.192.in-addr._spf.macro.example", "a", "127.0.0.2"),
    ("ptr.example", "txt", "v=spf1 ptr -all"),
    ("192.0.2.25", "ptr", "out.ptr.example"),
    ("out.ptr.example", "a", "192.0.2.25"),
    ("dead.example", "broken", "SERVFAIL"),
    ("deadinc.example", "txt", "v=spf1 include:dead.example -all"),
    ("silent.example", "txt", "v=spf1 ip4:198.51.100.1"),
    ("ten.example", "txt", "v=spf1 a:n a:n a:n a:n a:n a:n a:n a:n a:n a:relay.example -all"),
    ("eleven.example", "txt", "v=spf1 a:n a:n a:n a:n a:n a:n a:n a:n a:n a:n a:relay.example"),
    ("n", "a", "203.0.113.1"),
];

fn answer(question: &Question) -> Known {
    let (name, kind) = match question {
        Question::Txt(name) => (name.clone(), "txt"),
        Question::Addresses(name) | Question::Exists(name) => (name.clone(), "a"),
        Question::Mx(name) => (name.clone(), "mx"),
        Question::Names(address) => (address.to_string(), "ptr"),
    };
    let here = |kind: &str| -> Vec<String> {
        let rows = ZONES.iter().filter(|(n, k, _)| *n == name && *k == kind);
        rows.map(|(_, _, value)| (*value).to_owned()).collect()
    };
    if let Some(why) = here("broken").pop() {
        return Known::Unknown(why);
    }
    match here(kind) {
        none if none.is_empty() => Known::Nothing,
        found if kind == "a" => {
            Known::Addresses(found.iter().map(|text| text.parse().unwrap()).collect())
        }
        found => Known::Words(found),
    }
}

fn verdict(domain: &str, address: &str) -> Verdict {
    let sender = Sender {
        address: address.parse().unwrap(),
        local_part: "postmaster",
        domain,
        ehlo: "relay.example",
    };
    let mut answers = Answers::new();
    for _ in 0..100 {
        match evaluate(&sender, &answers) {
            Ok(verdict) => return verdict,
            Err(question) => {
                let known = answer(&question);
                assert!(answers.insert(question, known).is_none(), "asked twice");
            }
        }
    }
    panic!("no end of questions")
}

#[test]
fn every_mechanism_decides() {
    for (domain, address, expected) in [
        ("plain.example", "192.0.2.25", "pass"),
        ("plain.example", "198.51.100.1", "fail"),
        ("plain.example", "2001:db8::25", "pass"),
        ("host.example", "192.0.2.25", "pass"),
        ("host.example", "192.0.2.26", "fail"),
        ("wide.example", "192.0.2.25", "pass"),
        ("mx.example", "192.0.2.25", "pass"),
        ("mx.example", "192.0.2.26", "softfail"),
        ("inc.example", "192.0.2.25", "pass"),
        ("inc.example", "203.0.113.9", "neutral"),
        ("redirect.example", "192.0.2.25", "pass"),
        ("redirect.example", "203.0.113.9", "fail"),
        ("nothing.example", "192.0.2.25", "none"),
        ("other.example", "192.0.2.25", "none"),
        ("silent.example", "192.0.2.25", "neutral"),
        ("macro.example", "192.0.2.25", "pass"),
        ("macro.example", "192.0.2.26", "fail"),
        ("ptr.example", "192.0.2.25", "pass"),
        ("open.example", "203.0.113.9", "pass"),
        ("ten.example", "192.0.2.25", "pass"),
    ] {
        assert_eq!(verdict(domain, address).outcome.to_string(), expected, "{domain} {address}");
    }
}

#[test]
fn broken_records_are_permanent_errors_and_silence_is_not() {
    for (domain, expected) in [
        ("two.example", "more than one SPF record"),
        ("typo.example", "\"ipv4:192.0.2.25\" is no mechanism"),
        ("late.example", "\"nonsense\" is no mechanism"),
        ("loop.example", "more than 10 look-ups"),
        ("eleven.example", "more than 10 look-ups"),
        ("void.example", "more than 2 look-ups find nothing"),
        ("lost.example", "redirect=nothing.example has no SPF record"),
        ("badinc.example", "include:nothing.example has no SPF record"),
    ] {
        let outcome = verdict(domain, "192.0.2.25").outcome;
        let Outcome::PermError(why) = &outcome else { panic!("{domain}: {outcome}") };
        assert!(why.contains(expected), "{domain}: {why}");
    }
    for domain in ["dead.example", "deadinc.example"] {
        assert!(matches!(verdict(domain, "192.0.2.25").outcome, Outcome::TempError(_)));
    }
}

#[test]
fn what_decided_is_said() {
    let inside = verdict("inc.example", "192.0.2.25");
    assert_eq!(inside.by, "include:plain.example in the record of inc.example");
    assert_eq!(inside.lookups, 1);
    assert_eq!(verdict("open.example", "203.0.113.9").concerns.len(), 1);
    assert_eq!(verdict("ptr.example", "192.0.2.25").concerns.len(), 1);
}

#[test]
fn macros_of_the_rfc() {
    // RFC 7208 7.4.
    let sender = |address: &str| Sender {
        address: address.parse().unwrap(),
        local_part: "strong-bad",
        domain: "email.example.com",
        ehlo: "mx.example.org",
    };
    for (text, expected) in [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
    ] {
        let found = expand(text, &sender("192.0.2.3"), "email.example.com");
        assert_eq!(found.as_deref(), Ok(expected), "{text}");
    }
    let v6 = expand("%{ir}.%{v}._spf.%{d2}", &sender("2001:db8::cb01"), "email.example.com");
    let nibbles = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    assert_eq!(v6.as_deref(), Ok(format!("{nibbles}.ip6._spf.example.com").as_str()));
    for broken in ["%", "%{x}", "%{d0}", "%{d", "%{d2r*}", "%a", ".."] {
        assert!(expand(broken, &sender("192.0.2.3"), "email.example.com").is_err(), "{broken}");
    }
}

#[test]
fn no_text_makes_the_reader_fall_over() {
    for text in [
        "v=spf1",
        "v=spf1 ",
        "v=spf1 a/",
        "v=spf1 a//",
        "v=spf1 a/33",
        "v=spf1 a:/24",
        "v=spf1 :",
        "v=spf1 +",
        "v=spf1 ip4:",
        "v=spf1 ip4:1.2.3.4/033",
        "v=spf1 ip6:1.2.3.4",
        "v=spf1 =",
        "v=spf1 a:%{d}/24//64",
        "v=spf1 redirect= ",
        "v=spf1 exp=a exp=b",
        "v=spf1 \u{e9}",
    ] {
        let _ = Record::parse(text);
    }
    assert!(Record::parse("v=spf1 a/24//64 mx//64 a:x.example/8").is_ok());
    for broken in
        ["v=spf1 a/33", "v=spf1 ip4:1.2.3.4/033", "v=spf1 a:", "v=spf1 redirect=a redirect=b"]
    {
        assert!(Record::parse(broken).is_err(), "{broken}");
    }
}
