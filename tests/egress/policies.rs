//! What receivers publish and how they behave, over real sockets: DANE, MTA-STS, certificates,
//! greylists, throttles, tarpits and lost replies, each with the outcome that it must have.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::bed::gateway::{Gateway, SAFE_INTAKE};
use crate::bed::names::Names;
use crate::bed::papers::{Authority, Paper};
use crate::bed::receiver::{Manner, Receiver};
use crate::bed::web::Web;
use crate::bed::wires::{Bed, Wire};
use crate::town::{PATIENCE, RETRY};

/// Where policies are served.
const POLICY_HOST: Ipv4Addr = Ipv4Addr::new(93, 184, 3, 1);

/// What must become of the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Delivered, with these words about TLS.
    Sent(&'static str),
    /// Put off with these words, and never said in any way that is not good enough.
    Waits(&'static str),
}

/// TLSA records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tlsa {
    None,
    Right,
    Wrong,
}

/// A domain with one host.
struct Case {
    domain: &'static str,
    paper: Option<Paper>,
    tlsa: Tlsa,
    /// Mode of its policy, and the host that it names.
    policy: Option<(&'static str, Named)>,
    header: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Its,
    Another,
}

const fn case(domain: &'static str, paper: Option<Paper>, outcome: Outcome) -> Case {
    Case { domain, paper, tlsa: Tlsa::None, policy: None, header: "", outcome }
}

const fn dane(domain: &'static str, paper: Option<Paper>, tlsa: Tlsa, outcome: Outcome) -> Case {
    Case { tlsa, ..case(domain, paper, outcome) }
}

const fn sts(
    domain: &'static str,
    paper: Option<Paper>,
    mode: &'static str,
    outcome: Outcome,
) -> Case {
    Case { policy: Some((mode, Named::Its)), ..case(domain, paper, outcome) }
}

const SELF: Option<Paper> = Some(Paper::Own);
const GOOD: Option<Paper> = Some(Paper::Good);
const OTHER: Option<Paper> = Some(Paper::OtherName);
const OVER: Option<Paper> = Some(Paper::Expired);

/// Domains end in the zone that they live in: signed, unsigned, or forged.
const CASES: [Case; 23] = [
    dane("dane-right.test", SELF, Tlsa::Right, Outcome::Sent(" dane")),
    dane("dane-expired.test", OVER, Tlsa::Right, Outcome::Sent(" dane")),
    dane("dane-wrong.test", GOOD, Tlsa::Wrong, Outcome::Waits("4.7.5")),
    dane("dane-clear.test", None, Tlsa::Right, Outcome::Waits("4.7.5")),
    dane("dane-bogus.forged", SELF, Tlsa::Right, Outcome::Waits("4.7.5")),
    // An unsigned zone proves nothing: its records are not believed.
    dane("dane-open.open", SELF, Tlsa::Wrong, Outcome::Sent(" encrypted")),
    // DANE comes before MTA-STS, which would have refused this certificate.
    Case {
        policy: Some(("enforce", Named::Its)),
        ..dane("dane-over-sts.test", SELF, Tlsa::Right, Outcome::Sent(" dane"))
    },
    Case {
        header: "TLS-Required: No\r\n",
        ..dane("dane-waived.test", GOOD, Tlsa::Wrong, Outcome::Sent("TLSv1.3"))
    },
    dane("overridden.test", GOOD, Tlsa::Wrong, Outcome::Sent("TLSv1.3")),
    sts("sts-good.open", GOOD, "enforce", Outcome::Sent(" mta-sts")),
    sts("sts-signed.test", GOOD, "enforce", Outcome::Sent(" mta-sts")),
    sts("sts-other.open", OTHER, "enforce", Outcome::Waits("4.7.5")),
    sts("sts-expired.open", OVER, "enforce", Outcome::Waits("4.7.5")),
    sts("sts-self.open", SELF, "enforce", Outcome::Waits("4.7.5")),
    sts("sts-clear.open", None, "enforce", Outcome::Waits("4.7.5")),
    Case {
        policy: Some(("enforce", Named::Another)),
        ..case("sts-host.open", GOOD, Outcome::Waits("4.7.5"))
    },
    sts("sts-testing.open", OTHER, "testing", Outcome::Sent(" encrypted")),
    sts("sts-none.open", SELF, "none", Outcome::Sent(" encrypted")),
    case("good.open", GOOD, Outcome::Sent(" verified")),
    case("self.open", SELF, Outcome::Sent(" encrypted")),
    case("expired.open", OVER, Outcome::Sent(" encrypted")),
    case("clear.open", None, Outcome::Sent("tls=none")),
    case("clear.test", None, Outcome::Sent("tls=none")),
];

/// The address of a host: IPv4 and IPv6 in turn.
fn address(number: usize) -> IpAddr {
    let host = u8::try_from(number + 1).unwrap();
    if number.is_multiple_of(2) {
        Ipv4Addr::new(93, 184, 2, host).into()
    } else {
        Ipv6Addr::new(0x2a05, 2, 0, 0, 0, 0, 0, u16::from(host)).into()
    }
}

/// Zones, hosts and policies, as text and as servers.
struct World {
    receivers: Vec<Receiver>,
    root: String,
    open: String,
    forged: String,
    policies: BTreeMap<String, String>,
}

impl World {
    fn new() -> Self {
        let (root, open, forged) = Default::default();
        Self { receivers: Vec::new(), root, open, forged, policies: BTreeMap::new() }
    }

    fn publish(&mut self, domain: &str, record: &str) {
        let zone = match domain.rsplit('.').next() {
            Some("open") => &mut self.open,
            Some("forged") => &mut self.forged,
            _ => &mut self.root,
        };
        zone.push_str(record);
        zone.push('\n');
    }

    /// A domain with a host that behaves so.
    fn settle(&mut self, bed: &Bed, authority: &Authority, case: &Case, manner: Manner) {
        let (domain, at) = (case.domain, address(self.receivers.len()));
        let host = format!("mx.{domain}");
        bed.add_hosts(&[at]);
        let kind = if at.is_ipv4() { "A" } else { "AAAA" };
        self.publish(domain, &format!("{domain}. MX 10 {host}."));
        self.publish(domain, &format!("{host}. {kind} {at}"));
        let shown = case.paper.map(|paper| authority.paper(&[&host], paper));
        let digest = shown.as_ref().map_or("a".repeat(64), |shown| shown.spki_sha256.clone());
        match case.tlsa {
            Tlsa::None => {}
            // The forger knows this digit.
            Tlsa::Right if domain.ends_with(".forged") => {
                let record = format!("_25._tcp.{host}. TLSA 3 1 1 a{}", &digest[1..]);
                self.publish(domain, &record);
            }
            Tlsa::Right => {
                self.publish(domain, &format!("_25._tcp.{host}. TLSA 3 1 1 {digest}"));
            }
            Tlsa::Wrong => {
                let other = "c".repeat(64);
                self.publish(domain, &format!("_25._tcp.{host}. TLSA 3 1 1 {other}"));
            }
        }
        if let Some((mode, named)) = case.policy {
            let named = if named == Named::Its { &host } else { "mx.elsewhere.test" };
            let text = format!("version: STSv1\nmode: {mode}\nmx: {named}\nmax_age: 86400\n");
            self.policies.insert(format!("mta-sts.{domain}"), text);
            self.publish(domain, &format!("_mta-sts.{domain}. TXT \"v=STSv1; id=1\""));
            self.publish(domain, &format!("mta-sts.{domain}. A {POLICY_HOST}"));
        }
        let tls = shown.as_ref().map(|shown| &shown.server);
        self.receivers.push(Receiver::start(&bed.internet, &host, &[at], manner, tls));
    }
}

/// A bed with these cases, and the gateway that knows its authority and its root.
struct Stage {
    bed: Bed,
    gateway: Gateway,
    world: World,
    web: Web,
    authority: Authority,
    _names: Names,
    _folder: tempfile::TempDir,
}

fn stage(cases: &[(Case, Manner)]) -> Stage {
    let bed = Bed::new();
    let folder = tempfile::Builder::new().prefix("postern-names").tempdir().unwrap();
    let (authority, mut world) = (Authority::new(), World::new());
    bed.add_hosts(&[POLICY_HOST.into()]);
    for (case, manner) in cases {
        world.settle(&bed, &authority, case, *manner);
    }
    // The zone that was tampered with has something to tamper with.
    world.publish("x.forged", "_25._tcp.x.forged. TLSA 3 1 1 aaaa");
    let hosts: Vec<&str> = world.policies.keys().map(String::as_str).collect();
    let paper = authority.paper(&hosts, Paper::Good);
    let place = SocketAddr::new(POLICY_HOST.into(), 443);
    let web = Web::start(&bed.internet, place, paper.server, world.policies.clone());
    let names = Names::serve_signed(&bed, folder.path(), &world.root, &world.open, &world.forged);
    let anchor = std::fs::read_to_string(names.anchor()).unwrap();
    let more = format!(
        "[tls]\ncertificate = \"FOLDER/cert.pem\"\nkey = \"FOLDER/key.pem\"\n\n\
         [listener.safe]\naddress = \"{}:{SAFE_INTAKE}\"\nkind = \"submissions\"\n\
         network_sources = true\n\n",
        Wire::Intake.ours4()
    );
    let more = more
        + "[trust]\ndane = \"on\"\nroots = \"FOLDER/roots.pem\"\n\
                anchors = \"FOLDER/anchor\"\n\n[[trust.override]]\n\
                domain = \"overridden.test\"\ntls = \"opportunistic\"\n\
                reason = \"their new key is not published yet\"\n\
                expires = \"2027-06-30T00:00:00Z\"\n";
    let (certificate, key) = authority.paper(&["gw.example.org"], Paper::Good).pem;
    let files = [
        ("roots.pem", authority.pem.as_str()),
        ("anchor", anchor.as_str()),
        ("cert.pem", certificate.as_str()),
        ("key.pem", key.as_str()),
    ];
    let gateway = Gateway::start_with(&bed, RETRY, &more, &files);
    Stage { bed, gateway, world, web, authority, _names: names, _folder: folder }
}

impl Stage {
    /// Nothing of all this by another wire, nor by another source.
    fn listen(&self) {
        let heard = self.bed.capture.take();
        assert_eq!(heard.wrong, []);
        let of = |port| {
            let count =
                heard.right.iter().filter(|((wire, _, p), _)| *wire == Wire::A && *p == port);
            count.map(|(_, packets)| packets).sum::<u64>()
        };
        println!("packets: SMTP {}, DNS {}, HTTPS {}", of(25), of(53), of(443));
        assert!(of(25) > 0 && of(53) > 0);
    }
}

#[test]
fn what_a_domain_publishes_is_what_its_mail_gets() {
    let began = Instant::now();
    let stage = stage(&CASES.map(|case| (case, Manner::Takes)));
    let mut application = stage.gateway.application(&stage.bed);
    let mut failures = Vec::new();
    let posted: Vec<String> = CASES
        .iter()
        .map(|case| application.post_as(&format!("x@{}", case.domain), "", case.header))
        .collect();
    for ((case, id), receiver) in CASES.iter().zip(&posted).zip(&stage.world.receivers) {
        let line = stage.gateway.wait_told(0, &format!("{id}: to="));
        let taken = receiver.taken();
        let good = match case.outcome {
            Outcome::Sent(words) => {
                line.contains("status=sent") && line.contains(words) && taken.len() == 1
            }
            Outcome::Waits(words) => {
                line.contains("status=deferred") && line.contains(words) && taken.is_empty()
            }
        };
        let words = line.split("relay=").nth(1).unwrap_or(&line);
        println!("{:20} {}", case.domain, words.chars().take(150).collect::<String>());
        if !good {
            failures.push(format!("{}: {line}; {taken:?}", case.domain));
        }
    }
    stage.listen();
    assert_eq!(failures, Vec::<String>::new());
    let bogus = CASES.iter().position(|case| case.domain == "dane-bogus.forged").unwrap();
    assert_eq!(stage.world.receivers[bogus].sessions(), 0);
    let asked = stage.web.asked();
    assert!(asked.iter().any(|host| host == "mta-sts.sts-good.open"), "{asked:?}");
    println!("{} domains, {} s", CASES.len(), began.elapsed().as_secs());
}

/// REQUIRETLS (RFC 8689): only to a host that is known, and the wish goes along; else it comes back
/// at once.
#[test]
fn who_requires_tls_gets_it_or_hears_so() {
    let known = [
        dane("dane-right.test", SELF, Tlsa::Right, Outcome::Sent(" dane")),
        sts("sts-good.open", GOOD, "enforce", Outcome::Sent(" mta-sts")),
    ];
    let unknown = [
        case("self.open", SELF, Outcome::Waits("5.7.30")),
        case("good.open", GOOD, Outcome::Waits("5.7.30")),
        case("clear.open", None, Outcome::Waits("5.7.30")),
    ];
    let cases: Vec<_> =
        known.into_iter().chain(unknown).map(|case| (case, Manner::Takes)).collect();
    let stage = stage(&cases);
    let mut application = stage.gateway.safe_application(&stage.bed, stage.authority.client());
    for ((case, _), receiver) in cases.iter().zip(&stage.world.receivers) {
        let id = application.post_as(&format!("x@{}", case.domain), " REQUIRETLS", "");
        let line = stage.gateway.wait_told(0, &format!("{id}: to="));
        let taken = receiver.taken();
        match case.outcome {
            Outcome::Sent(words) => {
                assert!(line.contains("status=sent") && line.contains(words), "{line}");
                assert!(taken[0].encrypted && taken[0].mail.contains("REQUIRETLS"), "{taken:?}");
            }
            Outcome::Waits(words) => {
                assert!(line.contains("status=bounced") && line.contains(words), "{line}");
                assert!(taken.is_empty(), "{taken:?}");
            }
        }
    }
    stage.listen();
}

/// Hosts with manners: mail comes through without a bounce, however long it takes.
#[test]
fn difficult_receivers_get_their_mail() {
    let polite = |domain| case(domain, SELF, Outcome::Sent(""));
    let stage = stage(&[
        (polite("grey.test"), Manner::Greylists),
        (polite("slow.test"), Manner::Tarpits(Duration::from_millis(150))),
        (polite("less.test"), Manner::Throttles(2)),
        (polite("deaf.test"), Manner::DropsAfterDot(1)),
    ]);
    let mut application = stage.gateway.application(&stage.bed);
    let began = Instant::now();
    let ids = ["grey.test", "slow.test", "less.test", "deaf.test"]
        .map(|domain| application.post(&format!("x@{domain}")));
    for (domain, receiver) in ["grey.test", "slow.test"].iter().zip(&stage.world.receivers) {
        let taken = receiver.wait(&format!("x@{domain}"), PATIENCE);
        println!("{domain}: after {} ms", taken.at.saturating_duration_since(began).as_millis());
    }
    // A provider that wants less: the lane pauses, which is no attempt of the mail's and no bounce.
    stage.gateway.wait_told(0, "4.7.28");
    // A reply that was lost: the mail may have arrived, so it is not sent again for ten minutes.
    let line = stage.gateway.wait_told(0, &format!("{}: to=<x@deaf.test>", ids[3]));
    assert!(!line.contains("status=sent") && !line.contains("status=bounced"), "{line}");
    let deaf = &stage.world.receivers[3];
    assert_eq!((deaf.sessions(), deaf.taken().len()), (1, 0));
    let shown = stage.gateway.json(&["queue", "show", &ids[3]]);
    println!("deaf.test: {shown}");
    // An administrator who knows better may say so.
    while stage.gateway.queued() > 0 {
        stage.gateway.json(&["queue", "retry", "--all"]);
        assert!(began.elapsed() < 2 * PATIENCE, "{}", stage.gateway.json(&["queue", "list"]));
        std::thread::sleep(Duration::from_millis(300));
    }
    for receiver in &stage.world.receivers {
        let taken = receiver.taken();
        assert_eq!(taken.len(), 1, "{taken:?}\n{}", stage.gateway.told());
    }
    let told = stage.gateway.told();
    assert!(!told.contains("status=bounced") && !told.contains("status=expired"), "{told}");
    stage.listen();
}

/// Replies about us and not about the message: the address rests towards a receiver that calls it
/// listed, mail is held for a defect of ours; neither bounces, and an operator's word lets it go.
#[test]
fn what_is_our_fault_waits_for_us() {
    let polite = |domain| case(domain, SELF, Outcome::Sent(""));
    let listed = "550 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org";
    let defect = "550 5.7.25 The IP address sending this message does not have a PTR record";
    let stage = stage(&[
        (polite("listed.test"), Manner::Refuses(1, listed)),
        (polite("ptr.test"), Manner::Refuses(1, defect)),
    ]);
    let mut application = stage.gateway.application(&stage.bed);
    for (domain, words) in [("listed.test", "has a bad name"), ("ptr.test", "PTR record")] {
        let id = application.post(&format!("x@{domain}"));
        println!("{}", stage.gateway.wait_told(0, words));
        let line = stage.gateway.wait_told(0, &format!("{id}: to="));
        assert!(line.contains("status=deferred"), "{line}");
    }
    // Retries would come within two seconds.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(stage.gateway.queued(), 2);
    assert!(stage.world.receivers.iter().all(|receiver| receiver.taken().is_empty()));
    println!("{}", stage.gateway.json(&["egress", "list"]));
    println!("{}", stage.gateway.json(&["queue", "lanes"]));
    println!("{}", stage.gateway.json(&["status"])["held"]);

    stage.gateway.json(&["egress", "resume", "a"]);
    stage.world.receivers[0].wait("x@listed.test", PATIENCE);
    assert_eq!(stage.gateway.queued(), 1, "the other one is still held");
    stage.gateway.json(&["lane", "release", "ptr.test"]);
    stage.gateway.json(&["queue", "retry", "--lane", "ptr.test"]);
    stage.world.receivers[1].wait("x@ptr.test", PATIENCE);
    assert!(!stage.gateway.told().contains("status=bounced"), "{}", stage.gateway.told());
    stage.listen();
}
