//! The whole product of what can come together, against the rules as the RFCs write them.

use super::*;
use crate::config::checked::RouteMatch;
use crate::mail::address::{Mailbox, ReversePath};

/// What TLSA look-ups can bring.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tlsas {
    None,
    Unusable,
    Usable,
    Failed,
}

/// What MTA-STS can say; named: the policy lists the host.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Policies {
    Absent,
    Lost,
    TakenBack,
    Testing { named: bool },
    Enforce { named: bool },
}

/// The certificate that a host shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shown {
    SelfSigned,
    WrongName,
    Expired,
    Good,
}

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Server {
    NoStartTls,
    HandshakeFails,
    Tls { shown: Shown, tlsa_matches: bool, offers_require_tls: bool },
}

/// One combination.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a dimension of the table")]
struct Row {
    dane: Tlsas,
    sts: Policies,
    require_tls: bool,
    tls_required_no: bool,
    /// The word of an override, and whether it has expired.
    exception: Option<(TlsFloor, bool)>,
    floor: TlsFloor,
    /// DNSSEC or the administrator says that this is the domain's host.
    vouched: bool,
    relied: bool,
    server: Server,
}

/// What must come of it.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Delivered(Assurance),
    /// The status of our answer.
    Not(String),
}

const NOW: WallTime = WallTime(1_790_000_000_000);

/// The expected outcome, from the texts of the RFCs and the administrator's manual, one rule after
/// the other; nothing here calls what is tested.
fn expected(row: &Row) -> Outcome {
    let not = |status: &str| Outcome::Not(status.to_owned());
    let (wait, unsupported, encryption_needed) = (not("4.7.5"), not("5.7.30"), not("5.7.10"));
    // An override counts until it expires, and lies over the route and what the domain publishes.
    let word = row.exception.and_then(|(word, expired)| (!expired).then_some(word));
    // RFC 8689 4.2.2: TLS-Required: No lies over what the domain publishes; 4.1: REQUIRETLS over
    // it.
    let free = row.tls_required_no && !row.require_tls;
    let published_counts = word.is_none() && !free;
    let floor = word.unwrap_or(row.floor);

    // RFC 7672 2.1.1: no host whose TLSA records are bogus or cannot be looked up.
    if published_counts && row.dane == Tlsas::Failed {
        return wait;
    }
    // RFC 7672 2.2 and RFC 8461 2: usable records decide, whatever MTA-STS says. A route that asks
    // for authentication takes DANE for it.
    let by_dane = row.dane == Tlsas::Usable
        && word.is_none()
        && (!free || row.floor == TlsFloor::Authenticated);
    // RFC 8461 5: in enforce mode no other host and no invalid certificate.
    if published_counts && !by_dane && row.sts == (Policies::Enforce { named: false }) {
        return wait;
    }
    let enforced = row.sts == Policies::Enforce { named: true };
    let insisted = row.require_tls || row.floor == TlsFloor::Authenticated;
    let tested = row.sts == Policies::Testing { named: true } && insisted;
    let by_sts = published_counts && !by_dane && (enforced || tested);
    // RFC 8689 4.2.1: DANE, a policy of MTA-STS, or a host that DNSSEC vouches for.
    if row.require_tls && !by_dane && !by_sts && !row.vouched {
        return unsupported;
    }
    let asked_to_verify = row.require_tls || floor == TlsFloor::Authenticated;
    let by_certificate = !by_dane && (by_sts || asked_to_verify);
    let tls_is_a_must = by_dane
        || by_certificate
        || floor != TlsFloor::Opportunistic
        || (published_counts && (row.dane == Tlsas::Unusable || row.relied));

    match row.server {
        // RFC 8689 4.2.1: 5.7.10 when TLS cannot be had.
        Server::NoStartTls if row.require_tls => encryption_needed,
        Server::NoStartTls if tls_is_a_must => wait,
        Server::NoStartTls => Outcome::Delivered(Assurance::Clear),
        // Never clear text after TLS failed.
        Server::HandshakeFails => wait,
        Server::Tls { tlsa_matches: false, .. } if by_dane => wait,
        // RFC 8689 4.2.1 again, where nobody else asks for the certificate.
        Server::Tls { shown, .. }
            if by_certificate
                && shown != Shown::Good
                && !by_sts
                && floor != TlsFloor::Authenticated =>
        {
            encryption_needed
        }
        Server::Tls { shown, .. } if by_certificate && shown != Shown::Good => wait,
        Server::Tls { offers_require_tls: false, .. } if row.require_tls => unsupported,
        Server::Tls { shown, .. } => Outcome::Delivered(if by_dane {
            Assurance::Dane
        } else if by_sts {
            Assurance::MtaSts
        } else if shown == Shown::Good {
            Assurance::Verified
        } else {
            Assurance::Encrypted
        }),
    }
}

fn tlsa(usage: u8) -> Tlsa {
    Tlsa { usage, selector: 1, matching: 1, data: vec![1; 32] }
}

fn dane(row: &Row) -> Dane {
    match row.dane {
        Tlsas::None => Dane::Absent,
        Tlsas::Unusable => Dane::Unusable { records: vec![tlsa(0)] },
        Tlsas::Usable => Dane::Usable { records: vec![tlsa(3)], names: vec![HOST.to_owned()] },
        Tlsas::Failed => Dane::Failed { cause: "SERVFAIL".to_owned() },
    }
}

const HOST: &str = "mx.there.example";

fn policy(mode: Mode, named: bool) -> Sts {
    let mx = vec![if named { "*.there.example" } else { "other.example" }.to_owned()];
    Sts::Policy(Arc::new(Policy { mode, mx, max_age_secs: 86_400 }))
}

fn sts(row: &Row) -> Sts {
    match row.sts {
        Policies::Absent => Sts::Absent,
        Policies::Lost => {
            Sts::Lost { result: TlsResult::StsPolicyFetchError, cause: "404".to_owned() }
        }
        Policies::TakenBack => policy(Mode::None, false),
        Policies::Testing { named } => policy(Mode::Testing, named),
        Policies::Enforce { named } => policy(Mode::Enforce, named),
    }
}

fn exception(word: TlsFloor, expired: bool) -> TlsOverride {
    TlsOverride {
        matches: RouteMatch::Domain(Domain::parse("there.example").unwrap()),
        tls: word,
        reason: "their certificate is late".to_owned(),
        expires: if expired { NOW } else { WallTime(NOW.0 + 1) },
    }
}

/// A handshake as a verifier of rustls makes it: what is demanded is checked, nothing else.
fn handshake(demand: &Demand, server: Server) -> Reached {
    let broken = |result, cause: &str| Reached::Broken { result, cause: cause.to_owned() };
    let (shown, tlsa_matches, require_tls) = match server {
        Server::NoStartTls => return Reached::Clear,
        Server::HandshakeFails => return broken(TlsResult::ValidationFailure, "broken off"),
        Server::Tls { shown, tlsa_matches, offers_require_tls } => {
            (shown, tlsa_matches, offers_require_tls)
        }
    };
    let verified = shown == Shown::Good;
    match demand {
        Demand::Dane { .. } if !tlsa_matches => broken(TlsResult::TlsaInvalid, "no match"),
        Demand::Verified { .. } | Demand::Sts { .. } if !verified => match shown {
            Shown::WrongName => broken(TlsResult::CertificateHostMismatch, "name"),
            Shown::Expired => broken(TlsResult::CertificateExpired, "date"),
            _ => broken(TlsResult::CertificateNotTrusted, "issuer"),
        },
        _ => Reached::Tls { verified, require_tls },
    }
}

/// What the code says.
fn actual(row: &Row) -> (Outcome, Option<Terms>) {
    let sender = Mailbox::parse("a@source.example", false).unwrap();
    let mut envelope = Envelope::from(ReversePath::Mailbox(sender));
    (envelope.require_tls, envelope.tls_optional) = (row.require_tls, row.tls_required_no);
    let overrides: Vec<TlsOverride> =
        row.exception.iter().map(|(word, expired)| exception(*word, *expired)).collect();
    let domain = Domain::parse("there.example").unwrap();
    let (dane, sts) = (dane(row), sts(row));
    let facts = Facts {
        host: HOST,
        floor: row.floor,
        exception: override_of(&overrides, &domain, NOW),
        dane: &dane,
        sts: &sts,
        vouched: row.vouched,
        relied: row.relied,
        wish: Wish::of(&envelope),
    };
    let status = |barred: Barred| Outcome::Not(barred.reply.status.unwrap().to_string());
    match decide(&facts) {
        Err(barred) => (status(barred), None),
        Ok(terms) => {
            let reached = handshake(&terms.demand, row.server);
            let outcome = terms.judge(&reached).map_or_else(status, Outcome::Delivered);
            (outcome, Some(terms))
        }
    }
}

const FLOORS: [TlsFloor; 3] =
    [TlsFloor::Opportunistic, TlsFloor::Encrypted, TlsFloor::Authenticated];

fn servers() -> Vec<Server> {
    let mut servers = vec![Server::NoStartTls, Server::HandshakeFails];
    for shown in [Shown::SelfSigned, Shown::WrongName, Shown::Expired, Shown::Good] {
        for tlsa_matches in [false, true] {
            for offers_require_tls in [false, true] {
                servers.push(Server::Tls { shown, tlsa_matches, offers_require_tls });
            }
        }
    }
    servers
}

fn exceptions() -> Vec<Option<(TlsFloor, bool)>> {
    let words = FLOORS.iter().flat_map(|word| [Some((*word, false)), Some((*word, true))]);
    std::iter::once(None).chain(words).collect()
}

/// Every combination; records without proved names do not exist.
fn rows() -> Vec<Row> {
    let named = [false, true];
    let policies = [Policies::Absent, Policies::Lost, Policies::TakenBack]
        .into_iter()
        .chain(named.map(|named| Policies::Testing { named }))
        .chain(named.map(|named| Policies::Enforce { named }));
    let policies: Vec<Policies> = policies.collect();
    let daned = [
        (Tlsas::None, false),
        (Tlsas::None, true),
        (Tlsas::Unusable, true),
        (Tlsas::Usable, true),
        (Tlsas::Failed, true),
    ];
    let mut rows = Vec::new();
    for (dane, vouched) in daned {
        for sts in &policies {
            for (require_tls, tls_required_no) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                for exception in exceptions() {
                    for floor in FLOORS {
                        for relied in [false, true] {
                            rows.extend(servers().into_iter().map(|server| Row {
                                dane,
                                sts: *sts,
                                require_tls,
                                tls_required_no,
                                exception,
                                floor,
                                vouched,
                                relied,
                                server,
                            }));
                        }
                    }
                }
            }
        }
    }
    rows
}

#[test]
fn every_combination_is_decided_as_the_standards_say() {
    let rows = rows();
    // DANE 5 x MTA-STS 7 x wishes 4 x override 7 x floor 3 x memory 2 x server 18.
    assert_eq!(rows.len(), 5 * 7 * 4 * 7 * 3 * 2 * 18);
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    for row in &rows {
        let (found, terms) = actual(row);
        assert_eq!(found, expected(row), "{row:#?}\n{terms:#?}");
        *outcomes.entry(format!("{found:?}")).or_default() += 1;
        // Laws that hold whatever the table says.
        if row.server == Server::HandshakeFails {
            assert!(matches!(found, Outcome::Not(_)), "clear text after TLS failed: {row:?}");
        }
        if let (true, Outcome::Delivered(assurance)) = (row.require_tls, &found) {
            assert!(*assurance >= Assurance::Verified, "{row:?}");
        }
    }
    // Every outcome that can be does come about: the table compares something.
    assert_eq!(outcomes.len(), 8, "{outcomes:?}");
    assert!(outcomes.values().all(|count| *count > 100), "{outcomes:?}");
}

#[test]
fn a_report_is_never_lost_for_want_of_requiretls() {
    let mut envelope = Envelope::from(ReversePath::Null);
    envelope.require_tls = true;
    assert_eq!(Wish::of(&envelope), Wish::None);
    envelope.tls_optional = true;
    assert_eq!(Wish::of(&envelope), Wish::None);
    envelope.require_tls = false;
    assert_eq!(Wish::of(&envelope), Wish::Optional);
}

#[test]
fn a_domain_pays_for_its_own_policy_only() {
    let strict = policy(Mode::Enforce, false);
    let facts = Facts {
        host: HOST,
        floor: TlsFloor::Opportunistic,
        exception: None,
        dane: &Dane::Absent,
        sts: &strict,
        vouched: false,
        relied: false,
        wish: Wish::None,
    };
    let barred = decide(&facts).unwrap_err();
    assert!(barred.reply.to_string().contains("does not name the host mx.there.example"));
    assert_eq!(barred.report.unwrap().1, TlsResult::ValidationFailure);
    // Another domain behind the same host, and the same domain under an override.
    assert_eq!(
        decide(&Facts { sts: &Sts::Absent, ..facts }).unwrap().demand,
        Demand::Opportunistic
    );
    let exception = exception(TlsFloor::Encrypted, false);
    let terms = decide(&Facts { exception: Some(&exception), ..facts }).unwrap();
    assert_eq!((terms.demand.clone(), &terms.held), (Demand::Encrypted, &None));
    let barred = terms.judge(&Reached::Clear).unwrap_err();
    let said = barred.reply.to_string();
    assert!(said.contains("override until") && said.contains("certificate is late"), "{said}");
}

#[test]
fn a_connection_serves_the_wishes_that_it_was_good_for() {
    let all = [Wish::None, Wish::Required, Wish::Optional];
    for made_for in all {
        for authenticated in [false, true] {
            for require_tls in [false, true] {
                let standing = Standing { wish: made_for, authenticated, require_tls };
                let good = authenticated && require_tls;
                assert_eq!(standing.serves(Wish::Required), good);
                assert_eq!(standing.serves(Wish::None), made_for != Wish::Optional);
                assert!(standing.serves(Wish::Optional));
            }
        }
    }
}

#[test]
fn a_policy_on_trial_is_reported_and_bars_nobody() {
    let tell = |sts: &Sts, dane: &Dane, reached: &Reached| {
        let facts = Facts {
            host: HOST,
            floor: TlsFloor::Opportunistic,
            exception: None,
            dane,
            sts,
            vouched: true,
            relied: false,
            wish: Wish::None,
        };
        let terms = decide(&facts).unwrap();
        terms.finding(reached).map(|(result, _)| result.as_str())
    };
    let tls = |verified| Reached::Tls { verified, require_tls: false };
    let (testing, other) = (policy(Mode::Testing, true), policy(Mode::Testing, false));
    assert_eq!(tell(&testing, &Dane::Absent, &tls(true)), None);
    assert_eq!(tell(&testing, &Dane::Absent, &tls(false)), Some("certificate-not-trusted"));
    assert_eq!(tell(&testing, &Dane::Absent, &Reached::Clear), Some("starttls-not-supported"));
    assert_eq!(tell(&other, &Dane::Absent, &tls(true)), Some("validation-failure"));
    assert_eq!(tell(&Sts::Absent, &Dane::Absent, &tls(false)), None);
    assert_eq!(tell(&Sts::Absent, &Dane::Absent, &Reached::Clear), Some("starttls-not-supported"));
    let unusable = Dane::Unusable { records: vec![tlsa(0)] };
    assert_eq!(tell(&Sts::Absent, &unusable, &tls(true)), Some("tlsa-invalid"));
}

#[test]
fn the_most_specific_override_counts_until_its_last_millisecond() {
    let domain = Domain::parse("there.example").unwrap();
    let mut any = exception(TlsFloor::Encrypted, false);
    any.matches = RouteMatch::Any;
    let overrides = [exception(TlsFloor::Opportunistic, true), any];
    let before = override_of(&overrides, &domain, WallTime(NOW.0 - 1)).unwrap();
    assert_eq!(before.tls, TlsFloor::Opportunistic);
    assert_eq!(override_of(&overrides, &domain, NOW).unwrap().tls, TlsFloor::Encrypted);
    assert!(override_of(&overrides, &domain, WallTime(NOW.0 + 1)).is_none());
}
