//! `egress check` and `egress attest` end to end: the real daemon and its broker in a namespace
//! with a name server, a receiving host and a list.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, MX, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use postern::config::checked::{DkimAlgorithm, DkimKey};
use postern::mail::address::Domain;
use postern::sign::keys::{DnsRecord, generate};
use serde_json::Value;

use crate::space::{alone, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");
const V4: &str = "198.51.100.9";
const V6: &str = "2001:db8:1::9";
const SERVER: &str = "198.51.100.53:53";

/// Records by name (with a dot at the end) and kind.
type Zone = Arc<Mutex<BTreeMap<(String, &'static str), Vec<String>>>>;

/// Answers from `zone` until the test ends; names of kind `dead` get SERVFAIL.
fn name_server(zone: Zone) {
    let socket = UdpSocket::bind(SERVER).unwrap();
    std::thread::spawn(move || {
        let mut octets = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut octets) {
            if let Some(answer) = answer(&zone, &octets[..length]) {
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
}

fn answer(zone: &Zone, octets: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(octets).ok()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let question = query.queries.first()?.clone();
    let name = question.name().to_lowercase().to_ascii();
    let zone = zone.lock().unwrap();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    let known = name == "." || zone.keys().any(|(known, _)| *known == name);
    if zone.contains_key(&(name.clone(), "dead")) {
        response.metadata.response_code = ResponseCode::ServFail;
    } else if !known {
        response.metadata.response_code = ResponseCode::NXDomain;
    }
    let kind = match question.query_type() {
        RecordType::A => "a",
        RecordType::AAAA => "aaaa",
        RecordType::MX => "mx",
        RecordType::PTR => "ptr",
        RecordType::TXT => "txt",
        _ => "",
    };
    for value in zone.get(&(name, kind)).into_iter().flatten() {
        let data = match kind {
            "a" => RData::A(A(value.parse().unwrap())),
            "aaaa" => RData::AAAA(AAAA(value.parse().unwrap())),
            "mx" => RData::MX(MX::new(10, Name::from_ascii(value).unwrap())),
            "ptr" => RData::PTR(PTR(Name::from_ascii(value).unwrap())),
            _ => {
                let parts = value.as_bytes().chunks(255);
                let parts = parts.map(|part| String::from_utf8_lossy(part).into_owned());
                RData::TXT(TXT::new(parts.collect()))
            }
        };
        response.add_answer(Record::from_rdata(question.name().clone(), 1, data));
    }
    response.add_query(question);
    response.to_vec().ok()
}

/// A host that greets, encrypts, and writes down every command that it hears. Over IPv6 its
/// handshake never comes.
fn receiving_host(heard: &Arc<Mutex<Vec<String>>>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["mx.example.net".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let config = Arc::new(config);
    for (address, encrypts) in [("198.51.100.25:25", true), ("[2001:db8:1::25]:25", false)] {
        let listener = TcpListener::bind(address).unwrap();
        let (heard, config) = (Arc::clone(heard), Arc::clone(&config));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let config = encrypts.then(|| Arc::clone(&config));
                // A caller that hangs up has heard enough.
                let _gone = receive(stream.unwrap(), config, &heard);
            }
        });
    }
}

fn receive(
    stream: TcpStream,
    config: Option<Arc<rustls::ServerConfig>>,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let peer = stream.peer_addr()?.ip();
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220-mx.example.net\r\n220 ready\r\n")?;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        let word = line.trim_end().to_owned();
        line.clear();
        heard.lock().unwrap().push(word.clone());
        match word.split(' ').next().unwrap_or_default() {
            "EHLO" => {
                let reply = format!("250-mx.example.net [{peer}]\r\n250 STARTTLS\r\n");
                stream.get_mut().write_all(reply.as_bytes())?;
            }
            "STARTTLS" => {
                stream.get_mut().write_all(b"220 go\r\n")?;
                let Some(config) = config else { return Ok(()) };
                let session = rustls::ServerConnection::new(config).unwrap();
                let session = rustls::StreamOwned::new(session, stream.into_inner());
                let mut inside = BufReader::new(session);
                inside.read_line(&mut line)?;
                heard.lock().unwrap().push(format!("inside: {}", line.trim_end()));
                return inside.get_mut().write_all(b"221 bye\r\n");
            }
            _ => stream.get_mut().write_all(b"221 bye\r\n")?,
        }
    }
    Ok(())
}

fn reversed(address: &str) -> String {
    Name::from(address.parse::<IpAddr>().unwrap()).to_ascii()
}

fn on_list(address: &str) -> String {
    match address.parse::<IpAddr>().unwrap() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.list.example.")
        }
        IpAddr::V6(v6) => nibbles(v6) + "list.example.",
    }
}

fn nibbles(v6: Ipv6Addr) -> String {
    let octets = v6.octets().into_iter().rev();
    let nibbles = octets.flat_map(|octet| [octet & 15, octet >> 4]);
    nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".") + "."
}

/// A gateway with everything around it.
struct Stage {
    folder: tempfile::TempDir,
    zone: Zone,
    heard: Arc<Mutex<Vec<String>>>,
    daemon: Child,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

fn set(zone: &Zone, name: &str, kind: &'static str, values: &[&str]) {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    zone.lock().unwrap().insert((name.to_owned(), kind), values);
}

fn remove(zone: &Zone, name: &str, kind: &'static str) {
    zone.lock().unwrap().remove(&(name.to_owned(), kind));
}

/// Everything as receivers want it.
fn good_zone(dkim: &DnsRecord) -> Zone {
    let zone = Zone::default();
    for (name, kind, value) in [
        ("relay.example.com.", "a", V4),
        ("relay.example.com.", "aaaa", V6),
        ("relay.example.com.", "txt", "v=spf1 a -all"),
        ("example.com.", "txt", "v=spf1 ip4:198.51.100.0/24 include:six.example.com -all"),
        ("six.example.com.", "txt", "v=spf1 ip6:2001:db8:1::/64 -all"),
        ("_dmarc.example.com.", "txt", "v=DMARC1; p=quarantine"),
        ("mx.example.net.", "a", "198.51.100.25"),
        ("mx.example.net.", "aaaa", "2001:db8:1::25"),
        ("list.example.", "txt", "a list"),
    ] {
        set(&zone, name, kind, &[value]);
    }
    set(&zone, &reversed(V4), "ptr", &["relay.example.com."]);
    set(&zone, &reversed(V6), "ptr", &["relay.example.com."]);
    set(&zone, &format!("{}.", dkim.name), "txt", &[&dkim.value]);
    zone
}

impl Stage {
    fn start() -> Self {
        for address in [V4, "198.51.100.53", "198.51.100.25"] {
            run(&format!("ip address add {address}/32 dev lo"));
        }
        for address in [V6, "2001:db8:1::25"] {
            run(&format!("ip address add {address}/128 dev lo nodad"));
        }
        // The broker wants a way to more than ourselves.
        run("ip -6 route add 2001:db8::/32 dev lo");
        let folder = tempfile::tempdir().unwrap();
        let pem = generate(DkimAlgorithm::Ed25519Sha256).unwrap();
        let key = DkimKey {
            domain: Domain::parse("example.com").unwrap(),
            selector: "p1".to_owned(),
            algorithm: DkimAlgorithm::Ed25519Sha256,
            file: folder.path().join("dkim.pem"),
        };
        fs::write(&key.file, pem.expose()).unwrap();
        let zone = good_zone(&DnsRecord::of(&key, pem.expose().as_bytes()).unwrap());
        name_server(Arc::clone(&zone));
        let heard = Arc::<Mutex<Vec<String>>>::default();
        receiving_host(&heard);
        fs::write(folder.path().join("postern.toml"), document(folder.path())).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let daemon = Command::new(PROGRAM)
            .args(["serve", "--config"])
            .arg(folder.path().join("postern.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let stage = Self { folder, zone, heard, daemon };
        let patience = Instant::now() + Duration::from_secs(30);
        while !stage.log().contains("egress wan is whole") && !stage.serves() {
            assert!(Instant::now() < patience, "{}", stage.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The daemon answers and its egress is whole.
    fn serves(&self) -> bool {
        let out = self.postern(&["egress", "list", "--json"]);
        out.status.success() && String::from_utf8_lossy(&out.stdout).contains("\"up\"")
    }

    fn postern(&self, words: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--config").arg(self.path("postern.toml"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Grades by item and subject, and the whole answer.
    fn check(&self, words: &[&str]) -> (BTreeMap<(String, String), String>, Value) {
        let words = [&["egress", "check", "--json"][..], words].concat();
        // The broker tells how its egress is when it has looked at it.
        let untold = |out: &Output| String::from_utf8_lossy(&out.stdout).contains("not told yet");
        let mut out = self.postern(&words);
        for _ in 0..100 {
            if !untold(&out) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            // What the host has heard is what one check says.
            self.heard.lock().unwrap().clear();
            out = self.postern(&words);
        }
        let said = String::from_utf8_lossy(&out.stderr);
        let answer: Value = serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|_| panic!("{said}\n{}", self.log()));
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let findings = answer[0]["findings"].as_array().unwrap().iter();
        let grades =
            findings.map(|f| ((text(f, "item"), text(f, "subject")), text(f, "grade"))).collect();
        let failed = answer[0]["findings"].as_array().unwrap().iter();
        let failed = failed.clone().any(|finding| finding["grade"] == "FAIL");
        assert_eq!(out.status.code(), Some(i32::from(failed)), "{answer:#}");
        (grades, answer)
    }
}

fn document(folder: &Path) -> String {
    let place = |name: &str| folder.join(name).display().to_string();
    format!(
        r#"version = 1
hostname = "relay.example.com"
lab = true
[spool]
path = "{spool}"
ballast = "1MiB"
free_min = "1MiB"
[listener.clear]
address = "127.0.0.1:0"
kind = "smtp"
clear_text = true
network_sources = true
[source.app]
proof = "network"
networks = ["127.0.0.1"]
pairs = [{{ reverse_path = "*@example.com", from = "*@example.com" }}]
[[dkim]]
domain = "example.com"
selector = "p1"
algorithm = "ed25519-sha256"
file = "{key}"
[egress.wan]
device = "lo"
ipv4 = "{V4}"
ipv6 = "{V6}"
resolvers = ["{SERVER}"]
allow_networks = ["198.51.100.0/24", "2001:db8::/32"]
[checks]
probe = "mx.example.net"
dnsbl = ["list.example"]
[control]
socket = "{control}"
"#,
        spool = place("spool"),
        key = place("dkim.pem"),
        control = place("control"),
    )
}

/// The grade of an item about something; `""` if it was not looked at.
fn grade<'g>(grades: &'g BTreeMap<(String, String), String>, item: &str, about: &str) -> &'g str {
    let found = grades.iter().find(|((i, s), _)| i == item && s.contains(about));
    found.map_or("", |(_, grade)| grade)
}

fn remedy(answer: &Value, item: &str, about: &str) -> String {
    let findings = answer[0]["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| {
        finding["item"] == item && finding["subject"].as_str().unwrap().contains(about)
    });
    found.and_then(|finding| finding["remedy"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn a_good_egress_passes_and_every_fault_is_named() {
    alone(|| {
        let stage = Stage::start();
        let (grades, answer) = stage.check(&[]);
        for (item, about) in [
            ("link", "lo"),
            ("address", V4),
            ("address", V6),
            ("route", V4),
            ("route", V6),
            ("dns", SERVER),
            ("port", V4),
            ("ptr", V4),
            ("ptr", V6),
            ("forward", V4),
            ("forward", V6),
            ("ehlo", V4),
            ("spf", "example.com from 198.51.100.9"),
            ("spf", "example.com from 2001:db8:1::9"),
            ("spf", "relay.example.com from 198.51.100.9"),
            ("dkim", "p1._domainkey.example.com"),
            ("dmarc", "example.com"),
            ("dnsbl", V4),
            ("dnsbl", V6),
        ] {
            assert_eq!(grade(&grades, item, about), "PASS", "{item} {about}: {answer:#}");
        }
        // This name server signs nothing, and says so.
        assert_eq!(grade(&grades, "dnssec", SERVER), "WARN", "{answer:#}");
        assert_eq!(grade(&grades, "user", "postern-egress"), "WARN");
        assert_eq!(grade(&grades, "plan", ""), "UNKNOWN");
        // Over IPv6 the host offers STARTTLS and breaks off.
        assert_eq!(grade(&grades, "port", V6), "WARN", "{answer:#}");
        let heard = stage.heard.lock().unwrap().clone();
        let hello = ["EHLO relay.example.com", "STARTTLS"];
        assert_eq!(heard, [&hello[..], &["inside: QUIT"], &hello].concat());
        faults(&stage);
    });
}

/// Breaks one thing after the other; each must be seen, with its remedy, and alone.
fn faults(stage: &Stage) {
    let zone = &stage.zone;
    std::thread::sleep(Duration::from_millis(1200));
    remove(zone, &reversed(V4), "ptr");
    set(zone, "relay.example.com.", "aaaa", &["2001:db8:1::77"]);
    set(zone, "six.example.com.", "txt", &["v=spf1 -all"]);
    set(zone, "p1._domainkey.example.com.", "txt", &["v=DKIM1; k=ed25519; p=AAAA"]);
    remove(zone, "_dmarc.example.com.", "txt");
    set(zone, &on_list(V4), "a", &["127.0.0.4"]);
    set(zone, &on_list(V4), "txt", &["sent mail to a trap"]);
    set(zone, &on_list(V6), "a", &["127.255.255.254"]);
    let (grades, answer) = stage.check(&["wan", "--to", "nobody.example.net:25"]);
    for (item, about, expected, cure) in [
        ("ptr", V4, "FAIL", "9.100.51.198.in-addr.arpa. IN PTR relay.example.com."),
        ("ptr", V6, "PASS", ""),
        ("forward", V6, "FAIL", "relay.example.com. IN AAAA 2001:db8:1::9"),
        ("spf", "example.com from 198.51.100.9", "PASS", ""),
        ("spf", "example.com from 2001:db8:1::9", "FAIL", "add ip6:2001:db8:1::9"),
        ("dkim", "p1._domainkey", "FAIL", "publish: p1._domainkey.example.com. IN TXT"),
        ("dmarc", "example.com", "FAIL", "publish: _dmarc.example.com. IN TXT \"v=DMARC1"),
        ("dnsbl", V4, "FAIL", "remove 198.51.100.9"),
        ("dnsbl", V6, "UNKNOWN", ""),
        ("port", "nobody.example.net", "UNKNOWN", ""),
    ] {
        assert_eq!(grade(&grades, item, about), expected, "{item} {about}: {answer:#}");
        let given = remedy(&answer, item, about);
        assert!(given.contains(cure), "{item} {about}: {given}");
    }
    // One family is gone, the other goes on.
    run(&format!("ip address del {V6}/128 dev lo"));
    std::thread::sleep(Duration::from_millis(1500));
    let (grades, answer) = stage.check(&[]);
    assert_eq!(grade(&grades, "address", V6), "FAIL", "{answer:#}");
    assert_eq!(grade(&grades, "route", V6), "UNKNOWN", "{answer:#}");
    assert_eq!(grade(&grades, "address", V4), "PASS", "{answer:#}");
    assert_eq!(grade(&grades, "port", V4), "PASS", "{answer:#}");
    run(&format!("ip address add {V6}/128 dev lo nodad"));
    // A name server that does not answer is no verdict about anybody.
    std::thread::sleep(Duration::from_millis(1200));
    set(zone, &reversed(V6), "dead", &[]);
    set(zone, "example.com.", "dead", &[]);
    let (grades, answer) = stage.check(&[]);
    assert_eq!(grade(&grades, "ptr", V6), "UNKNOWN", "{answer:#}");
    assert_eq!(grade(&grades, "spf", "example.com from 198.51.100.9"), "UNKNOWN", "{answer:#}");
    let text = stage.postern(&["egress", "check", "other"]);
    assert!(String::from_utf8_lossy(&text.stderr).contains("there is no egress other"));
    let status = stage.postern(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("check "), "{status:?}");
}

#[test]
fn what_is_attested_can_be_verified_and_not_altered() {
    alone(|| {
        let stage = Stage::start();
        let file = stage.path("statement.json");
        let out = stage.postern(&["egress", "attest", "--out", file.to_str().unwrap()]);
        assert!(out.status.success(), "{out:?}");
        let said = String::from_utf8(out.stdout).unwrap();
        let key = said.trim_end().rsplit(' ').next().unwrap().to_owned();
        let verify = |more: &[&str]| {
            let words = ["egress", "attest", "--verify", file.to_str().unwrap()];
            stage.postern(&[&words[..], more].concat())
        };
        assert!(verify(&[]).status.success());
        let good = verify(&["--key", &key]);
        let text = String::from_utf8_lossy(&good.stdout).into_owned();
        assert!(good.status.success() && text.contains("good: relay.example.com"), "{good:?}");
        assert!(text.contains("PASS"), "{text}");
        // A second statement is signed with the same key, which is in the spool for us alone.
        let again = stage.postern(&["egress", "attest", "--json"]);
        let again: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(again["public_key"], key.as_str());
        let statement = &again["statement"];
        assert_eq!(statement["configuration_sha256"].as_str().unwrap().len(), 64);
        assert_eq!(statement["egresses"][0]["egress"], "wan");
        // One letter.
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replacen("PASS", "FAIL", 1)).unwrap();
        assert_eq!(verify(&[]).status.code(), Some(1));
        fs::write(&file, &text).unwrap();
        assert!(verify(&["--key", &key]).status.success());
        let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(verify(&["--key", other]).status.code(), Some(1));
        assert_eq!(verify(&["--key", "nonsense"]).status.code(), Some(2));
    });
}

#[test]
fn the_self_probe_tells_what_has_changed() {
    alone(|| {
        let stage = Stage::start();
        remove(&stage.zone, &reversed(V4), "ptr");
        // The first round comes ten seconds after the start.
        let patience = Instant::now() + Duration::from_secs(25);
        let told = "egress wan, ptr: 198.51.100.9 has no PTR record";
        while !stage.log().contains(told) {
            assert!(Instant::now() < patience, "{}", stage.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(stage.log().contains("egress wan checked:"), "{}", stage.log());
        let metrics = stage.postern(&["metrics"]);
        let metrics = String::from_utf8_lossy(&metrics.stdout).into_owned();
        assert!(metrics.contains("egress_check_failures_total{check=\"ptr\"} 1"), "{metrics}");
        let row = stage.postern(&["status"]);
        assert!(String::from_utf8_lossy(&row.stdout).contains("has no PTR record"), "{row:?}");
    });
}
