//! A whole machine from one document: cards that only their makers have named, the real
//! systemd-networkd, leases from a server on the wire, and back again.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::networkd::{Daemon, NETWORKD};
use crate::space::{folder, run, tried};

/// Cards by their makers' addresses; the last has no part in any document.
const CARDS: [&str; 5] = ["01", "02", "03", "04", "05"];

/// The network at the other ends of the wires: what is to be done there, one after the other.
pub(crate) struct Far {
    asks: Sender<Box<dyn FnOnce() + Send>>,
}

impl Far {
    /// Does something there and waits for what comes of it.
    pub(crate) fn within<T: Send + 'static>(&self, ask: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        self.asks.send(Box::new(move || tell.send(ask()).unwrap())).unwrap();
        told.recv().unwrap()
    }
}

/// Runs `test` in a thread with a network, a /run and a host name of its own, and five cards `p0`
/// to `p4`. The other ends of their wires (`w0` to `w4`) lie in a network of their own.
pub(crate) fn machine(test: fn(&Far)) {
    let (asks, asked) = channel::<Box<dyn FnOnce() + Send>>();
    let far = Far { asks };
    std::thread::spawn(move || {
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS;
        unshare(flags).unwrap();
        for ask in asked {
            ask();
        }
    });
    let thread = far.within(nix::unistd::gettid);
    let test = std::thread::spawn(move || {
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS;
        let alone = unshare(flags | CloneFlags::CLONE_FS);
        assert!(alone.is_ok(), "no namespaces ({alone:?}): run this test as root");
        private_run();
        run("ip link set lo up");
        for (number, card) in CARDS.iter().enumerate() {
            run(&format!(
                "ip link add p{number} address 52:54:00:12:00:{card} type veth peer name w{number}"
            ));
            run(&format!("ip link set w{number} netns {thread}"));
        }
        far.within(|| {
            run("ip link set lo up");
            (0..CARDS.len()).for_each(|number| _ = run(&format!("ip link set w{number} up")));
        });
        test(&far);
    });
    test.join().unwrap();
}

/// /run and /etc/systemd are private and empty, and /sys is read-only, which tells networkd that no
/// udev will ever come.
fn private_run() {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    for place in ["/run", "/etc/systemd"] {
        mount(Some("none"), place, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    }
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::MS_RDONLY, none).unwrap();
    for part in ["links", "leases", "lldp"] {
        fs::create_dir_all(format!("/run/systemd/netif/{part}")).unwrap();
    }
    run("chown -R systemd-network /run/systemd/netif");
}

pub(crate) fn networkd() -> Daemon {
    let mut command = Command::new(NETWORKD);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Daemon(command.env("SYSTEMD_LOG_TARGET", "null").spawn().unwrap())
}

/// The document of this folder, with changes.
pub(crate) fn document(change: impl Fn(&str) -> String) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(folder().join("cards.toml")).unwrap();
    fs::write(place.path().join("postern.toml"), change(&text)).unwrap();
    place
}

fn postern(place: &tempfile::TempDir, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    let command = command.arg("network").args(words).arg("--config");
    let out = command.arg(place.path().join("postern.toml")).stdin(Stdio::null()).output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.code(), String::from_utf8_lossy(&said).into_owned())
}

pub(crate) fn applied(place: &tempfile::TempDir, words: &[&str]) -> String {
    let (code, said) = postern(place, words);
    assert_eq!(code, Some(0), "{said}");
    said
}

/// Waits until the network is as the document says.
pub(crate) fn whole(place: &tempfile::TempDir) {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let (code, said) = postern(place, &["status"]);
        if code == Some(0) {
            return;
        }
        assert!(Instant::now() < patience, "{said}\n{}", run("ip address"));
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Everything that a network is, in the kernel and below /run.
fn picture() -> String {
    let mut all = String::new();
    for line in [
        "ip -4 rule",
        "ip -6 rule",
        "ip -4 route show table all",
        "ip -6 route show table all",
        "nft list ruleset",
        "ip -brief -4 address",
        "ip -brief link",
        "grep -r . /run/systemd/network /run/sysctl.d /run/chrony.d /run/postern-host/guard.nft",
        "find /run/systemd/system",
    ] {
        all.push_str(&run(line));
    }
    // Numbers that change by themselves, and the order in which things came.
    let still = all.lines().filter(|line| !line.contains("packets ") && !line.contains(" fe80"));
    let mut lines: Vec<String> =
        still.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn one_document_makes_the_network_of_a_machine() {
    machine(|_| {
        let place = document(str::to_owned);
        let said = applied(&place, &["apply", "--boot"]);
        assert!(said.starts_with("changed"), "{said}");
        // The guard stands before anything else is done.
        let guard = said.find("done     nft -f").unwrap();
        assert!(guard < said.find("done     host name box.example.com").unwrap(), "{said}");
        assert_eq!(run("hostname").trim(), "box.example.com");
        let links = run("ip -brief link");
        for (name, card) in [("manage0", "01"), ("intake0", "02"), ("egress0", "03")] {
            let line = links.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.contains(&format!("52:54:00:12:00:{card}")), "{links}");
        }
        assert!(links.contains("public0@"), "{links}");
        let daemon = networkd();
        whole(&place);
        let get = |what: &str| run(&format!("ip route get {what}"));
        // Each part has its own way, and nobody else has any.
        assert!(get("8.8.8.8 from 10.1.0.2").contains("via 10.1.0.1 dev manage0 table 401"));
        assert!(get("8.8.8.8 from 10.2.0.2").contains("via 10.2.0.1 dev intake0 table 402"));
        assert!(
            get("8.8.8.8 from 198.51.100.9").contains("via 198.51.100.1 dev egress0 table 101")
        );
        assert!(get("8.8.8.8 oif public0").contains("via 203.0.113.1 dev public0 table 404"));
        assert!(get("2600::1 from fd00:2::2").contains("via fd00:2::1 dev intake0 table 402"));
        assert!(get("8.8.8.8 uid 0").contains("dev manage0 table 401"));
        for uid in [65534, 1000] {
            for to in ["8.8.8.8", "10.1.0.1", "10.2.0.77", "2600::1"] {
                let way = tried(&format!("ip route get {to} uid {uid}"));
                assert!(!way.status.success(), "{uid} {to}: {way:?}");
            }
        }
        assert_eq!(run("ip -4 route show table main"), "");
        // A default route that a stranger writes into `main` is nobody's way.
        run("ip route add default dev manage0");
        assert!(!tried("ip route get 8.8.8.8 uid 1000").status.success());
        // The card without a part is down, though something is plugged in.
        let spare = run("ip -brief link show dev p4");
        assert!(spare.contains("DOWN") && !spare.contains("LOWER_UP"), "{spare}");
        drop(daemon);
    });
}

#[test]
fn a_document_that_is_taken_back_leaves_nothing() {
    machine(|_| {
        let old = document(str::to_owned);
        applied(&old, &["apply", "--boot"]);
        let daemon = networkd();
        whole(&old);
        let before = picture();
        // Every card gets another part, addresses and listeners change, one part goes.
        let new = document(|text| {
            text.replace("00:01\"", "00:0x\"")
                .replace("00:02\"", "00:01\"")
                .replace("00:0x\"", "00:05\"")
                .replace("10.2.0.2", "10.2.0.9")
                .replace("198.51.100.9", "198.51.100.77")
                .replace("[listener.submission]", "[listener.other]")
                .replace("box.example.com", "new.example.com")
                .replace("ipv6 = \"fd00:2::2/64\"", "")
                .replace("gateway6 = \"fd00:2::1\"", "")
        });
        drop(daemon);
        applied(&new, &["apply"]);
        let daemon = networkd();
        whole(&new);
        assert_eq!(run("hostname").trim(), "new.example.com");
        let links = run("ip -brief link");
        assert!(links.contains("spare"), "the card of old intake0 has no part: {links}");
        assert!(run("ip -4 rule").contains("from 198.51.100.77 lookup 101"));
        assert!(!run("ip -4 rule").contains("from 198.51.100.9 "));
        assert!(!run("ip address").contains("10.2.0.2/24"));
        assert!(Path::new("/run/systemd/system/postern-listener-other.socket").exists());
        assert!(!Path::new("/run/systemd/system/postern-listener-submission.socket").exists());
        drop(daemon);
        applied(&old, &["apply"]);
        let _daemon = networkd();
        whole(&old);
        // The card that had a part in between is a spare one, by another name than before.
        let links = run("ip -brief link");
        let line = links.lines().find(|line| line.contains("52:54:00:12:00:05")).unwrap();
        let spare = line.split('@').next().unwrap();
        assert!(spare.starts_with("spare"), "{links}");
        let after = picture().replace(spare, "p4");
        let differ = |one: &str, other: &str| -> Vec<String> {
            one.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect()
        };
        assert_eq!(differ(&before, &after), [""; 0]);
        let more: Vec<String> = differ(&after, &before);
        assert!(more.iter().all(|line| line.contains("p4")), "{more:#?}");
    });
}

#[test]
fn a_guard_that_cannot_be_loaded_changes_nothing() {
    machine(|_| {
        let old = document(str::to_owned);
        applied(&old, &["apply", "--boot"]);
        let before = picture();
        // Nobody of this name exists here, so nft refuses the rules.
        let new = document(|text| {
            text.replace("\"65534\"", "\"nobody-at-all\"").replace("10.1.0.2", "10.1.0.3")
        });
        let (code, said) = postern(&new, &["apply"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("nft -f"), "{said}");
        assert_eq!(picture(), before);
        // The same at a start: what stands is the closed guard.
        run("nft -f systemd/closed.nft");
        let closed = run("nft list ruleset");
        let (code, _) = postern(&new, &["apply", "--boot"]);
        assert_eq!((code, run("nft list ruleset")), (Some(1), closed));
    });
}

const SERVER: &str = "[Match]\nName=w0\n[Network]\nDHCPServer=yes\nIPv6SendRA=yes\n\
    Address=10.9.0.1/24\nAddress=fd00:9::1/64\nIPv6DuplicateAddressDetection=0\n\
    [DHCPServer]\nEmitDNS=yes\nDNS=10.9.0.53\nEmitRouter=yes\nEmitNTP=yes\nNTP=10.9.0.99\n\
    [IPv6SendRA]\nRouterLifetimeSec=1800\n[IPv6Prefix]\nPrefix=fd00:9::/64\n";

/// At the other end somebody gives leases and prefixes.
fn lease_server() -> Daemon {
    private_run();
    fs::create_dir_all("/run/systemd/network").unwrap();
    fs::write("/run/systemd/network/10-server.network", SERVER).unwrap();
    networkd()
}

#[test]
fn leases_and_prefixes_lead_to_tables_of_their_own() {
    machine(|far| {
        let _server = far.within(lease_server);
        let place = document(|text| {
            text.replace("ipv4 = \"10.1.0.2/24\"", "ipv4 = \"dhcp\"")
                .replace("ipv6 = \"fd00:1::2/64\"", "ipv6 = \"slaac\"")
                .replace("gateway4 = \"10.1.0.1\"\n", "")
                .replace("gateway6 = \"fd00:1::1\"\n", "")
                .replace("dns = [\"10.1.0.53\"]\n", "")
        });
        applied(&place, &["apply", "--boot"]);
        let _daemon = networkd();
        whole(&place);
        let patience = Instant::now() + Duration::from_secs(30);
        let shown = || {
            let v4 = run("ip -4 route show table 401");
            v4 + &run("ip -6 route show table 401") + &run("ip address show dev manage0")
        };
        let complete = |all: &str| {
            all.contains("default via 10.9.0.1 dev manage0")
                && all.matches("unreachable default").count() == 2
                && all.contains("inet 10.9.0.")
                && all.contains("inet6 fd00:9::5054:ff:fe12:1/64")
                && all.contains("default via fe80::")
                && !all.contains("tentative")
        };
        while !complete(&shown()) {
            assert!(Instant::now() < patience, "{}", shown());
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(run("ip -4 route show table main"), "");
        let main = run("ip -6 route show table main");
        assert!(!main.contains("default"), "{main}");
        assert!(run("ip route get 8.8.8.8 uid 0").contains("dev manage0 table 401"));
        assert!(!tried("ip route get 8.8.8.8 uid 1000").status.success());
        // The lease names a name server, which is asked, and a clock, which is not.
        applied(&place, &["names"]);
        let names = fs::read_to_string("/run/postern-network/resolv.conf").unwrap();
        assert!(names.contains("nameserver 10.9.0.53"), "{names}");
        assert!(!fs::read_to_string("/run/chrony.d/postern.conf").unwrap().contains("10.9.0.99"));
        // Updates come by it, in both families.
        for at in ["10.9.0.1:443", "[fd00:9::1]:443"] {
            let listener = far.within(move || TcpListener::bind(at).unwrap());
            let came = TcpStream::connect_timeout(&at.parse().unwrap(), Duration::from_secs(5));
            assert!(came.is_ok(), "{at}: {came:?}\n{}", run("nft list ruleset"));
            drop(listener);
        }
        whole(&place);
    });
}

#[test]
fn without_a_document_nothing_is_done_to_a_machine_that_others_look_after() {
    machine(|_| {
        let place = tempfile::tempdir().unwrap();
        let before = run("nft list ruleset");
        let said = applied(&place, &["apply", "--boot"]);
        assert!(said.contains("nothing is done"), "{said}");
        // Nor with one that describes no interface.
        let text = fs::read_to_string(folder().join("wires.toml")).unwrap();
        fs::write(place.path().join("postern.toml"), text).unwrap();
        let said = applied(&place, &["apply", "--boot"]);
        assert!(said.contains("others look after its network"), "{said}");
        assert_eq!(run("nft list ruleset"), before);
    });
}

#[test]
fn an_appliance_without_a_document_is_shut() {
    machine(|_| {
        let none: Option<&str> = None;
        let release = tempfile::NamedTempFile::new().unwrap();
        fs::write(release.path(), "ID=postern\n").unwrap();
        mount(Some(release.path()), "/usr/lib/os-release", none, MsFlags::MS_BIND, none).unwrap();
        let place = tempfile::tempdir().unwrap();
        let said = applied(&place, &["apply", "--boot"]);
        assert!(said.contains("the network is shut"), "{said}");
        let rules = run("nft list ruleset");
        assert_eq!(rules.matches("policy drop").count(), 4, "{rules}");
        let _daemon = networkd();
        std::thread::sleep(Duration::from_secs(3));
        let links = run("ip -brief link");
        let cards = links.lines().filter(|line| line.starts_with('p'));
        assert_eq!(cards.filter(|line| line.contains("DOWN")).count(), 5, "{links}");
        // Somebody who looks for cables switches a card on; it stays so, and says nothing.
        run("ip link set p4 addrgenmode none");
        run("ip link set p4 up");
        std::thread::sleep(Duration::from_secs(3));
        let card = run("ip address show dev p4");
        assert!(card.contains(",UP") && !card.contains("inet"), "{card}");
        // A document that is wrong opens nothing either.
        fs::write(place.path().join("postern.toml"), "version = 2\n").unwrap();
        let (code, said) = postern(&place, &["apply", "--boot"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("stays shut"), "{said}");
        assert_eq!(run("nft list ruleset"), rules);
    });
}
