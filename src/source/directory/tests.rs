//! The directory under every kind of evidence.

use SourceState::{Active, Disabled, Expired, Hold, Revoked};

use super::*;
use crate::mail::source::{Deadlines, MailboxPattern, SenderPair, SourceLimits, Unsigned};
use crate::source::secret::{Strength, verifier_for};

const NOW: WallTime = WallTime(1_790_000_000_000);

fn source(name: &str, proof: Proof, networks: &[&str]) -> Source {
    let domain = crate::mail::address::Domain::parse("example.org").unwrap();
    let from = MailboxPattern { local_part: None, domain };
    Source {
        name: SourceName::new(name).unwrap(),
        proof,
        networks: networks.iter().map(|net| net.parse().unwrap()).collect(),
        pairs: vec![SenderPair { reverse_path: Some(from.clone()), from }],
        state: SourceState::Active,
        expires: None,
        class: crate::mail::class::MessageClass::Transactional,
        message_octets_max: None,
        recipients_max: None,
        owner: None,
        unsigned: Unsigned::Refuse,
        limits: SourceLimits::default(),
        internal_only: false,
        rewrite: BTreeMap::new(),
        unsubscribe_list: None,
        tags: Vec::new(),
        contacts: Vec::new(),
        notes: String::new(),
        pool: None,
        priority_max: None,
        deliver_by: Deadlines::default(),
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn password_proof(user: &str, password: &str) -> Proof {
    let verifiers = vec![verifier_for(&secret(password), Strength::Generated).unwrap()];
    Proof::Password { user: user.to_owned(), verifiers }
}

fn directory(sources: Vec<Source>, switches: &Switches) -> Directory {
    let sources = sources.into_iter().map(|s| (s.name.clone(), Arc::new(s))).collect();
    Directory::new(&sources, switches, BootSecret::from_octets(&[9; 32]))
}

fn peer(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn refused(result: Result<Attributed, Refusal>) -> (u16, &'static str) {
    let refusal = result.map(|a| a.source().name.clone()).unwrap_err();
    (refusal.reply.code, refusal.rule)
}

#[test]
fn a_password_speaks_for_its_source_and_for_no_other() {
    let sources = vec![
        source("a", password_proof("app-a", "one"), &[]),
        source("b", Proof::Network, &["10.0.0.0/8"]),
    ];
    let book = directory(sources, &Switches::default());
    let try_it = |user: &str, pw: &str| book.identify_password(user, &secret(pw), peer("::1"), NOW);
    assert!(book.recall_password("app-a", &secret("one"), peer("::1"), NOW).is_none());
    assert_eq!(try_it("app-a", "one").unwrap().source().name.as_str(), "a");
    assert!(book.recall_password("app-a", &secret("one"), peer("::1"), NOW).unwrap().is_ok());
    for (user, pw) in [("app-a", "two"), ("app-a", ""), ("", ""), ("APP-A", "one"), ("a", "one")] {
        assert_eq!(refused(try_it(user, pw)), (535, "credentials-invalid"), "{user} {pw}");
    }
    assert_eq!(refused(try_it("app-a", &"x".repeat(256))), (535, "credentials-invalid"));
}

#[test]
fn the_network_lock_binds_every_proof() {
    let sources = vec![
        source("a", password_proof("u", "one"), &["192.0.2.0/24"]),
        source("c", Proof::Certificate { spki_sha256: vec!["ab".repeat(32)] }, &["192.0.2.0/24"]),
    ];
    let book = directory(sources, &Switches::default());
    let with = |from| book.identify_password("u", &secret("one"), peer(from), NOW);
    assert!(with("192.0.2.7").is_ok());
    assert!(with("::ffff:192.0.2.7").is_ok());
    assert_eq!(refused(with("192.0.3.7")), (535, "network-not-allowed"));
    let recalled = book.recall_password("u", &secret("one"), peer("192.0.3.7"), NOW).unwrap();
    assert_eq!(refused(recalled), (535, "network-not-allowed"));
    let print = [0xab; 32];
    assert!(book.identify_certificate(&print, peer("192.0.2.1"), NOW).is_ok());
    let outside = book.identify_certificate(&print, peer("198.51.100.1"), NOW);
    assert_eq!(refused(outside), (550, "network-not-allowed"));
    let unknown = book.identify_certificate(&[1; 32], peer("192.0.2.1"), NOW);
    assert_eq!(refused(unknown), (550, "certificate-unknown"));
}

#[test]
fn a_network_is_an_identity_only_where_the_listener_says_so() {
    let sources = vec![
        source("wide", Proof::Network, &["10.0.0.0/8"]),
        source("narrow", Proof::Network, &["10.1.0.0/16", "2001:db8::/32"]),
        source("other", password_proof("u", "p"), &["10.2.0.0/16"]),
    ];
    let book = directory(sources, &Switches::default());
    let name = |allows, from| {
        book.identify_network(allows, peer(from), NOW).map(|a| a.source().name.to_string())
    };
    assert_eq!(name(true, "10.9.9.9").unwrap(), "wide");
    assert_eq!(name(true, "10.1.9.9").unwrap(), "narrow");
    assert_eq!(name(true, "10.2.9.9").unwrap(), "wide");
    assert_eq!(name(true, "::ffff:10.1.0.1").unwrap(), "narrow");
    assert_eq!(name(true, "2001:db8::1").unwrap(), "narrow");
    for (allows, from) in
        [(false, "10.1.0.1"), (true, "127.0.0.1"), (true, "::1"), (true, "11.0.0.1")]
    {
        assert_eq!(name(allows, from).unwrap_err().reply.code, 530, "{from}");
    }
}

#[test]
fn states_and_dates_are_obeyed_and_the_strictest_counts() {
    let with = |state: SourceState, switch: Option<SourceState>, expires| {
        let mut one = source("a", password_proof("u", "p"), &[]);
        (one.state, one.expires) = (state, expires);
        let mut switches = Switches::default();
        switches.states.extend(switch.map(|s| (one.name.clone(), s)));
        let book = directory(vec![one], &switches);
        book.identify_password("u", &secret("p"), peer("::1"), NOW)
    };
    assert!(with(Active, None, None).is_ok());
    assert!(with(Hold, None, None).is_ok());
    assert!(with(Active, Some(Hold), Some(WallTime(NOW.0 + 1))).is_ok());
    assert_eq!(refused(with(Disabled, None, None)), (454, "source-disabled"));
    assert_eq!(refused(with(Active, Some(Disabled), None)), (454, "source-disabled"));
    assert_eq!(refused(with(Disabled, Some(Active), None)), (454, "source-disabled"));
    assert_eq!(refused(with(Revoked, Some(Active), None)), (535, "source-revoked"));
    assert_eq!(refused(with(Expired, None, None)), (535, "source-expired"));
    assert_eq!(refused(with(Active, None, Some(NOW))), (535, "source-expired"));
}

#[test]
fn a_disabled_source_is_not_welcome_in_the_middle_of_a_session() {
    let one = source("a", password_proof("u", "p"), &[]);
    let before = directory(vec![one.clone()], &Switches::default());
    let attributed = before.identify_password("u", &secret("p"), peer("::1"), NOW).unwrap();
    assert!(before.still_welcome(attributed.source(), NOW).is_ok());
    let mut switches = Switches::default();
    switches.states.insert(one.name.clone(), SourceState::Disabled);
    let after = directory(vec![one], &switches);
    assert_eq!(after.still_welcome(attributed.source(), NOW).unwrap_err().reply.code, 421);
    assert_eq!(refused(after.renew(&attributed, NOW)), (421, "source-disabled"));
    let gone = directory(Vec::new(), &Switches::default());
    assert_eq!(refused(gone.renew(&attributed, NOW)), (421, "source-revoked"));
}

#[test]
fn a_rotation_has_a_grace_period_in_which_both_secrets_are_right() {
    let one = source("a", password_proof("u", "old"), &[]);
    let mut switches = Switches::default();
    let grace = WallTime(NOW.0 + 1000);
    switches.rotate(&one, verifier_for(&secret("new"), Strength::Generated).unwrap(), grace);
    let book = directory(vec![one.clone()], &switches);
    let at = |pw, now| book.identify_password("u", &secret(pw), peer("::1"), now).is_ok();
    assert!(at("new", NOW) && at("old", NOW));
    assert!(at("new", grace) && !at("old", grace));
    assert!(book.recall_password("u", &secret("old"), peer("::1"), grace).is_none());
    switches.rotate(&one, verifier_for(&secret("newest"), Strength::Generated).unwrap(), NOW);
    let book = directory(vec![one], &switches);
    let at = |pw| book.identify_password("u", &secret(pw), peer("::1"), NOW).is_ok();
    assert!(at("newest") && !at("new") && !at("old"));
}

#[test]
fn a_stranger_cannot_tell_which_users_exist() {
    let book = directory(vec![source("a", password_proof("u", "p"), &[])], &Switches::default());
    let (real, made_up) = (book.scram_keys("u", NOW), book.scram_keys("nobody", NOW));
    assert!(real.real && !made_up.real);
    assert_eq!(real.iterations, made_up.iterations);
    assert_eq!(real.salt.len(), made_up.salt.len());
    assert_eq!(made_up, book.scram_keys("nobody", NOW));
    assert_ne!(made_up.salt, book.scram_keys("somebody", NOW).salt);
    assert_eq!(refused(book.identify_scram("nobody", peer("::1"), NOW)).0, 535);
    assert!(book.identify_scram("u", peer("::1"), NOW).is_ok());
}

#[test]
fn what_two_sources_claim_belongs_to_neither() {
    let sources = vec![
        source("a", password_proof("u", "p"), &[]),
        source("b", password_proof("u", "p"), &[]),
        source("c", Proof::Network, &["10.0.0.0/8"]),
        source("d", Proof::Network, &["10.0.0.0/8"]),
    ];
    let book = directory(sources, &Switches::default());
    let password = book.identify_password("u", &secret("p"), peer("::1"), NOW);
    assert_eq!(refused(password), (535, "credentials-invalid"));
    assert_eq!(
        refused(book.identify_network(true, peer("10.0.0.1"), NOW)),
        (530, "not-identified")
    );
}

#[test]
fn the_gate_is_known_at_its_listener_and_from_this_machine_alone() {
    let gate = source("health", Proof::Health, &["127.0.0.1/32"]);
    let near = source("near", Proof::Network, &["127.0.0.0/8"]);
    let book = directory(vec![gate.clone(), near], &Switches::default());
    let health =
        |from: &str| book.identify_health(peer(from), NOW).map(|a| a.source().name.to_string());
    assert_eq!(health("127.0.0.1").unwrap(), "health");
    assert_eq!(health("::ffff:127.0.0.1").unwrap(), "health");
    assert_eq!(refused(book.identify_health(peer("127.0.0.2"), NOW)).0, 530);
    assert_eq!(refused(book.identify_health(peer("10.0.0.1"), NOW)).0, 530);
    // Elsewhere its address is anybody's.
    let at = book.identify_network(true, peer("127.0.0.1"), NOW).unwrap();
    assert_eq!(at.source().name.as_str(), "near");
    // Without a gate nobody is it.
    let book = directory(vec![], &Switches::default());
    assert_eq!(refused(book.identify_health(peer("127.0.0.1"), NOW)).0, 530);
    // A gate without a network is nobody, not everybody.
    let open = Source { networks: Vec::new(), ..gate };
    let book = directory(vec![open], &Switches::default());
    assert_eq!(refused(book.identify_health(peer("127.0.0.1"), NOW)).0, 530);
}
