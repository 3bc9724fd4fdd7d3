//! The real daemon with two ways out: shares, stickiness, stand-ins, what is suspended and by
//! whom, and an address that is new; all seen by the receiver at the far end of the wires.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postern::mail::address::Domain;
use postern::mail::source::SourceName;
use postern::route::pool::Pools;
use serde_json::Value;

use crate::bed_space::Space;

const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");
const PATIENCE: Duration = Duration::from_secs(60);
const A4: &str = "198.51.100.10";
const B4: &str = "203.0.113.10";

/// Who brought mail, and to which domain.
type Seen = Arc<Mutex<Vec<(IpAddr, String)>>>;

/// A gateway with two wires to a receiver.
struct Town {
    folder: tempfile::TempDir,
    gateway: Space,
    internet: Space,
    seen: Seen,
    /// What stands in the document beside the ways out.
    more: String,
    daemon: Option<Child>,
}

impl Drop for Town {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            let told = fs::read_to_string(self.folder.path().join("told")).unwrap_or_default();
            eprintln!("{told}\n{:?}", self.seen.lock());
        }
    }
}

impl Town {
    fn new(more: &str) -> Self {
        let (gateway, internet) = (Space::new(), Space::new());
        let far = internet.path();
        // A device with a dot in its name, as a VLAN has it.
        gateway.ip(&format!(
            "link add eg0.25 type veth peer name af0 netns {far}\n\
             link add eb0 type veth peer name bf0 netns {far}\n\
             link set eg0.25 up\nlink set eb0 up"
        ));
        internet.ip("link set af0 up\nlink set bf0 up\n\
             addr add 198.51.100.1/24 dev af0\naddr add 203.0.113.1/24 dev bf0\n\
             addr add 2001:db8:a::1/64 dev af0 nodad\naddr add 2001:db8:ffff::1/128 dev lo nodad\n\
             addr add 192.0.2.1/32 dev lo");
        let mut town = Self {
            folder: tempfile::Builder::new().prefix("postern").tempdir().unwrap(),
            gateway,
            internet,
            seen: Seen::default(),
            more: more.to_owned(),
            daemon: None,
        };
        town.plug();
        for host in ["192.0.2.1:2525", "[2001:db8:ffff::1]:2525"] {
            let listener = town.internet.within(|| TcpListener::bind(host).unwrap());
            let seen = town.seen.clone();
            std::thread::spawn(move || receive(&listener, &seen));
        }
        town.start();
        town
    }

    /// Addresses, tables and rules of both ways.
    fn plug(&self) {
        self.gateway.try_ip(
            "addr add 198.51.100.10/24 dev eg0.25\naddr add 203.0.113.10/24 dev eb0\n\
             -6 addr add 2001:db8:a::10/64 dev eg0.25 nodad\n\
             route replace default via 198.51.100.1 dev eg0.25 table 101\n\
             route replace default via 203.0.113.1 dev eb0 table 102\n\
             -6 route replace default via 2001:db8:a::1 dev eg0.25 table 101",
        );
        let rules = self.gateway.within(|| {
            let shown = Command::new("ip").args(["rule", "show"]).output().unwrap();
            String::from_utf8_lossy(&shown.stdout).into_owned()
        });
        if !rules.contains("lookup 101") {
            self.gateway.ip(
                "rule add from 198.51.100.10 lookup 101\nrule add from 203.0.113.10 lookup 102\n\
                 -6 rule add from 2001:db8:a::10 lookup 101",
            );
        }
    }

    fn place(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn document(&self) -> String {
        format!(
            "version = 1\nhostname = \"gw.example.org\"\nlab = true\n\
             [spool]\npath = \"{spool}\"\nballast = \"1MiB\"\nfree_min = \"1MiB\"\n\
             sync_slow = \"60s\"\n\
             [listener.clear]\naddress = \"127.0.0.1:2525\"\nkind = \"smtp\"\nclear_text = true\n\
             network_sources = true\n\
             [source.app]\nproof = \"network\"\nnetworks = [\"127.0.0.1\"]\nunsigned = \"allow\"\n\
             pairs = [{{ reverse_path = \"*@example.org\", from = \"*@example.org\" }}]\n\
             [egress.a]\ndevice = \"eg0.25\"\nipv4 = \"{A4}\"\nipv6 = \"2001:db8:a::10\"\n\
             resolvers = [\"192.0.2.1:53\", \"[2001:db8:ffff::1]:53\"]\n\
             allow_networks = [\"192.0.2.0/24\", \"2001:db8:ffff::/48\"]\n\
             [egress.b]\ndevice = \"eb0\"\nipv4 = \"{B4}\"\nresolvers = [\"192.0.2.1:53\"]\n\
             allow_networks = [\"192.0.2.0/24\"]\n\
             [pool.all]\nmembers = [\"a\", {{ egress = \"b\", weight = 3 }}]\n\
             [[route]]\ndomain = \"six.example\"\nhosts = [\"[2001:db8:ffff::1]:2525\"]\n\
             egress = \"a\"\n\
             [[route]]\ndomain = \"*\"\nhosts = [\"192.0.2.1:2525\"]\n\
             [control]\nsocket = \"{socket}\"\n{more}",
            spool = self.place("spool"),
            socket = self.place("control.sock"),
            more = self.more,
        )
    }

    fn start(&mut self) {
        fs::create_dir_all(self.place("spool")).unwrap();
        fs::write(self.place("postern.toml"), self.document()).unwrap();
        let told = fs::File::options().create(true).append(true).open(self.place("told")).unwrap();
        let document = self.place("postern.toml");
        let began = self.told().len();
        let child = self.gateway.within(|| {
            let mut command = Command::new(PROGRAM);
            command.args(["serve", "--config", &document]).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(told).spawn().unwrap()
        });
        self.daemon = Some(child);
        self.wait("the daemon serves", |town| town.told()[began..].contains(" serves on "));
    }

    /// Ends the daemon without a warning, and starts it again. The broker ends by itself.
    fn crash(&mut self) {
        let mut child = self.daemon.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.start();
    }

    fn told(&self) -> String {
        fs::read_to_string(self.place("told")).unwrap_or_default()
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn json(&self, words: &[&str]) -> Value {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--json").arg("--socket").arg(self.place("control.sock"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn egress(&self, name: &str) -> Value {
        let rows = self.json(&["egress", "list"]);
        rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
    }

    fn wait_state(&self, name: &str, state: &str) {
        self.wait(&format!("{name} is {state}"), |town| town.egress(name)["state"] == state);
    }

    fn queued(&self) -> u64 {
        self.json(&["status"])["queue"]["messages"].as_u64().unwrap()
    }

    /// Submits one message to each domain.
    fn submit(&self, domains: &[String]) {
        self.gateway.within(|| {
            let stream = TcpStream::connect("127.0.0.1:2525").unwrap();
            let mut client = BufReader::new(stream);
            let mut say = |line: &str, wanted: &str| {
                if !line.is_empty() {
                    client.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
                }
                let mut reply = String::new();
                while reply.is_empty() || reply.as_bytes().get(3) == Some(&b'-') {
                    reply.clear();
                    assert_ne!(client.read_line(&mut reply).unwrap(), 0, "{line}");
                }
                assert!(reply.starts_with(wanted), "{line}: {reply}");
            };
            say("", "220");
            say("EHLO app.example.org", "250");
            for domain in domains {
                say("MAIL FROM:<app@example.org>", "250");
                say(&format!("RCPT TO:<you@{domain}>"), "250");
                say("DATA", "354");
                let date = "Date: Sat, 21 Nov 2026 20:00:00 +0000";
                say(&format!("From: <app@example.org>\r\n{date}\r\n\r\nhello\r\n."), "250");
            }
        });
    }

    /// Submits to each domain and waits for all; by which address each came.
    fn carry(&self, domains: &[String]) -> BTreeMap<String, IpAddr> {
        self.seen.lock().unwrap().clear();
        self.submit(domains);
        self.wait("all mail has come", |town| town.seen.lock().unwrap().len() >= domains.len());
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), domains.len(), "each once");
        seen.iter().map(|(from, domain)| (domain.clone(), *from)).collect()
    }

    /// The home of each domain, by the rules alone.
    fn homes(&self, domains: &[String]) -> BTreeMap<String, IpAddr> {
        let reading = postern::config::read(&self.document(), &postern::config::Anywhere);
        let pools = Pools::new(Arc::new(reading.unwrap().config));
        let source = SourceName::new("app").unwrap();
        let address = |domain: &String| {
            let way = pools.way(Some(&source), &Domain::parse(domain).unwrap());
            let address = if &*way.home == "a" { A4 } else { B4 };
            (domain.clone(), address.parse().unwrap())
        };
        domains.iter().map(address).collect()
    }
}

/// A host that takes everything and writes down who brought it.
fn receive(listener: &TcpListener, seen: &Seen) {
    for stream in listener.incoming() {
        let (Ok(stream), seen) = (stream, seen.clone()) else { return };
        std::thread::spawn(move || {
            let from = stream.peer_addr().map(|peer: SocketAddr| peer.ip()).ok()?;
            let mut client = BufReader::new(stream);
            client.get_mut().write_all(b"220 mx.example\r\n").ok()?;
            let (mut domain, mut line) = (String::new(), String::new());
            loop {
                line.clear();
                if client.read_line(&mut line).ok()? == 0 {
                    return Some(());
                }
                let upper = line.to_ascii_uppercase();
                let reply = if upper.starts_with("DATA") {
                    client.get_mut().write_all(b"354 go on\r\n").ok()?;
                    while line != ".\r\n" {
                        line.clear();
                        client.read_line(&mut line).ok()?;
                    }
                    seen.lock().ok()?.push((from, domain.clone()));
                    "250 2.0.0 taken"
                } else if upper.starts_with("RCPT") {
                    let to = line.split(['@', '>']).nth(1).unwrap_or_default();
                    to.clone_into(&mut domain);
                    "250 2.1.5 Ok"
                } else if upper.starts_with("QUIT") {
                    client.get_mut().write_all(b"221 2.0.0 Bye\r\n").ok()?;
                    return Some(());
                } else {
                    "250 2.0.0 Ok"
                };
                client.get_mut().write_all(format!("{reply}\r\n").as_bytes()).ok()?;
            }
        });
    }
}

fn domains(count: u32) -> Vec<String> {
    (0..count).map(|n| format!("d{n}.example")).collect()
}

#[test]
fn mail_stays_with_its_home_and_a_stand_in_of_the_pool_carries_what_is_lost() {
    let town = Town::new("");
    town.wait_state("b", "up");
    let all = domains(40);
    let homes = town.homes(&all);
    let at_b = homes.values().filter(|address| address.to_string() == B4).count();
    assert!((22..=38).contains(&at_b), "three quarters of 40, more or less: {at_b}");
    assert_eq!(town.carry(&all), homes);
    assert_eq!(town.carry(&all), homes, "again by the same addresses");
    // The cable of b is pulled at its far end: a stands in, and nobody else.
    town.internet.ip("link set bf0 down");
    town.wait_state("b", "suspended");
    let by_a = town.carry(&all);
    assert!(by_a.values().all(|address| address.to_string() == A4), "{by_a:?}");
    assert_eq!(town.egress("b")["by"], "link");
    // Both are gone: mail waits, and no attempt is counted.
    town.internet.ip("link set af0 down");
    town.wait_state("a", "suspended");
    town.seen.lock().unwrap().clear();
    town.submit(&all[..6]);
    town.wait("all of it is parked", |town| {
        let rows = town.json(&["queue", "list"])["rows"].clone();
        let rows = rows.as_array().unwrap().clone();
        rows.len() == 6 && rows.iter().all(|row| row["attempts"] == 0)
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((town.queued(), town.seen.lock().unwrap().len()), (6, 0));
    let list = town.json(&["queue", "list"]);
    assert!(list["rows"].as_array().unwrap().iter().all(|row| row["attempts"] == 0), "{list}");
    town.internet.ip("link set af0 up\nlink set bf0 up");
    town.internet.try_ip("-6 addr add 2001:db8:a::1/64 dev af0 nodad");
    town.plug();
    town.wait("what waited has come", |town| town.seen.lock().unwrap().len() == 6);
    town.wait_state("b", "up");
    town.wait_state("a", "up");
    assert_eq!(town.carry(&all), homes, "everything is at home again");
}

#[test]
fn one_family_goes_on_without_the_other() {
    let town = Town::new("");
    town.wait_state("a", "up");
    let six = ["six.example".to_owned()];
    let came = town.carry(&six);
    assert_eq!(came["six.example"].to_string(), "2001:db8:a::10");
    town.gateway.ip("-6 addr del 2001:db8:a::10/64 dev eg0.25");
    town.wait_state("a", "impaired");
    let all = domains(12);
    assert_eq!(town.carry(&all), town.homes(&all), "IPv4 goes on");
    // A host with IPv6 alone waits for it, and no attempt is counted.
    town.seen.lock().unwrap().clear();
    town.submit(&six);
    std::thread::sleep(Duration::from_secs(2));
    let rows = town.json(&["queue", "list"])["rows"].clone();
    assert_eq!((rows[0]["attempts"].as_u64(), town.seen.lock().unwrap().len()), (Some(0), 0));
    town.gateway.ip("-6 addr add 2001:db8:a::10/64 dev eg0.25 nodad");
    town.plug();
    town.wait_state("a", "up");
    town.wait("the mail of IPv6 has come", |town| town.seen.lock().unwrap().len() == 1);
}

#[test]
fn what_an_operator_suspends_stays_suspended_across_a_crash() {
    let mut town = Town::new("");
    town.wait_state("a", "up");
    let all = domains(12);
    let homes = town.homes(&all);
    assert!(homes.values().any(|address| address.to_string() == A4));
    town.json(&["egress", "suspend", "a", "--reason", "a new cable"]);
    assert!(town.carry(&all).values().all(|address| address.to_string() == B4));
    town.crash();
    town.wait_state("b", "up");
    let row = town.egress("a");
    assert_eq!((&row["state"], &row["reason"]), (&"suspended".into(), &"a new cable".into()));
    assert_ne!(row["by"], "link");
    assert!(town.carry(&all).values().all(|address| address.to_string() == B4));
    town.json(&["egress", "resume", "a"]);
    assert_eq!(town.egress("a")["state"], "up");
    assert_eq!(town.carry(&all), homes);
}

#[test]
fn a_new_address_sends_its_allowance_and_no_more_whatever_happens() {
    let day = |secs: u64| postern::base::time::WallTime(secs * 1000).rfc3339()[..10].to_owned();
    let now = || postern::host::clock::wall().unix_secs();
    while now() % 86_400 > 86_400 - 100 {
        // A day that ends in the middle of the test would bring a new allowance.
        std::thread::sleep(Duration::from_secs(1));
    }
    let today = day(now());
    let more = format!(
        "[egress.a.warm_up]\nfirst_day = \"{today}\"\nsteps = [3]\n[[route]]\ndomain = \
         \"new.example\"\nhosts = [\"192.0.2.1:2525\"]\negress = \"a\"\n"
    );
    let mut town = Town::new(&more);
    town.wait_state("a", "up");
    let two = vec!["new.example".to_owned(); 2];
    town.submit(&two);
    town.wait("two have come", |town| town.seen.lock().unwrap().len() == 2);
    // An outcome that is not yet on the disk would be found out again, by sending again.
    town.wait("the queue is empty", |town| town.queued() == 0);
    std::thread::sleep(Duration::from_secs(1));
    town.crash();
    town.wait_state("a", "up");
    town.submit(&[two.clone(), two].concat());
    town.wait("the third has come", |town| town.seen.lock().unwrap().len() == 3);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((town.seen.lock().unwrap().len(), town.queued()), (3, 3));
    let rows = town.json(&["queue", "list"])["rows"].clone();
    assert!(rows.as_array().unwrap().iter().all(|row| row["attempts"] == 0), "{rows}");
    let next = rows[0]["next"].as_u64().unwrap() / 1000;
    assert!(next % 86_400 < 60 && next > now(), "it waits for the next day: {next}");
    let warm_up = town.egress("a")["warm_up"].as_str().unwrap().to_owned();
    assert!(warm_up.contains("3 sent, most to 192.0.2.1: 3"), "{warm_up}");
    // Of the pool the other member, which receivers know, carries what is beyond.
    town.seen.lock().unwrap().clear();
    let homes = town.homes(&domains(40));
    let domain = homes.iter().find(|(_, address)| address.to_string() == A4).unwrap().0.clone();
    town.submit(&vec![domain; 5]);
    town.wait("all five have come", |town| town.seen.lock().unwrap().len() == 5);
    let by_a = town.seen.lock().unwrap().iter().filter(|seen| seen.0.to_string() == A4).count();
    assert_eq!((by_a, town.queued()), (0, 3), "they are one provider, whose allowance is used up");
}
