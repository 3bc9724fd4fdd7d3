//! `postern diagnose` against real servers behind a real router: what it finds, and that nothing of
//! it ever leaves by another interface.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use postern::config::checked::{Config, DaneMode, Egress, TlsFiles, TrustConfig};
use postern::config::{Anywhere, read};
use postern::control::check::Grade;
use postern::control::diagnose::{Diagnosis, Test};
use postern::dns::resolver::Resolvers;
use postern::net::tls::ServerTls;
use postern::service::diagnose::Outlook;
use postern::service::diagnose::interface::{Errand, by_interface};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::bed_space::{Program, Space};
use crate::space::{client, egress};

const HOST: &str = "203.0.113.25";
const ROUTER: &str = "198.51.100.1";

/// A gateway with a way out and an interface for administrators, a router, and a host behind it.
struct Land {
    gateway: Space,
    router: Space,
    host: Space,
    folder: tempfile::TempDir,
    servers: Vec<Program>,
}

impl Land {
    fn new() -> Self {
        let (gateway, router, host) = (Space::new(), Space::new(), Space::new());
        // The kernel's own chatter of IPv6 is no leak, and would be counted as one.
        gateway.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        gateway.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        let (between, behind) = (router.path(), host.path());
        gateway.ip(&format!(
            "link add eg0 type veth peer name re0 netns {between}\n\
             link add ma0 type veth peer name rm0 netns {between}\n\
             address add 198.51.100.9/24 dev eg0\naddress add 10.9.0.2/24 dev ma0\n\
             link set eg0 up\nlink set ma0 up"
        ));
        router.ip(&format!(
            "link add rh0 type veth peer name ho0 netns {behind}\n\
             address add {ROUTER}/24 dev re0\naddress add 10.9.0.1/24 dev rm0\n\
             address add 203.0.113.1/24 dev rh0\n\
             link set re0 up\nlink set rm0 up\nlink set rh0 up"
        ));
        router.sysctl("net/ipv4/ip_forward", "1");
        host.ip(&format!(
            "address add {HOST}/24 dev ho0\nlink set ho0 up\nroute add default via 203.0.113.1"
        ));
        // The better way is by the interface for administrators; whoever is bound to the other
        // one has a way there, too.
        gateway.ip(&format!(
            "route add default via 10.9.0.1 dev ma0 metric 1\n\
             route add default via {ROUTER} dev eg0 metric 100"
        ));
        gateway.sysctl("net/ipv4/ping_group_range", "0 0");
        let folder = tempfile::tempdir().unwrap();
        Self { gateway, router, host, folder, servers: Vec::new() }
    }

    fn start(&mut self, program: &str, arguments: &[&str]) {
        assert!(Path::new(program).exists(), "{program} is missing: tests/check installs it");
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.servers.push(self.host.start(&mut command));
    }

    fn names(&mut self) {
        let folder = self.folder.path().display();
        let configuration = format!(
            "server:\n interface: {HOST}\n access-control: 0.0.0.0/0 allow\n username: \"\"\n \
             chroot: \"\"\n directory: \"{folder}\"\n pidfile: \"\"\n use-syslog: no\n \
             do-daemonize: no\n module-config: \"iterator\"\n num-threads: 1\n \
             local-zone: \"test.\" static\n \
             local-data: \"mail.test. MX 10 mx.mail.test.\"\n \
             local-data: \"mail.test. MX 20 mx2.mail.test.\"\n \
             local-data: \"mx.mail.test. A {HOST}\"\n \
             local-data: \"mx2.mail.test. A 203.0.113.26\"\n \
             local-data: \"none.test. MX 0 .\"\n\
             remote-control:\n control-enable: no\n"
        );
        let path = self.folder.path().join("unbound.conf");
        std::fs::write(&path, configuration).unwrap();
        self.start("/usr/sbin/unbound", &["-d", "-c", path.to_str().unwrap()]);
        self.wait_for(53);
    }

    fn sink(&mut self) {
        let listen = format!("inet:{HOST}:25");
        self.start("/usr/sbin/smtp-sink", &["-c", "-u", "root", &listen, "100"]);
        self.wait_for(25);
    }

    fn wait_for(&self, port: u16) {
        let to: SocketAddr = format!("{HOST}:{port}").parse().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let there = || self.host.within(|| std::net::TcpStream::connect(to).is_ok());
        while !there() {
            assert!(Instant::now() < end, "nobody listens at {to}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `work` in the gateway's namespace.
    fn run<T: Send, F: Future<Output = T>>(&self, work: impl FnOnce() -> F + Send) -> T {
        self.gateway.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work())
        })
    }

    /// Tries something by the way out.
    fn diagnose(&self, test: Test, target: &str) -> Diagnosis {
        let (egress, config) = (wan(), config());
        self.run(|| async {
            let client = client(&egress).await;
            let trust = TrustConfig { dane: DaneMode::Off, ..TrustConfig::default() };
            let names = Resolvers::new(client.clone(), &trust).unwrap();
            let outlook = Outlook {
                config: &config,
                egress: &egress,
                client: &client,
                names: &names,
                trust: None,
                role: "wan".to_owned(),
            };
            outlook.run(test, target).await.unwrap()
        })
    }

    /// Packets that left by the interface for administrators.
    fn managed(&self) -> u64 {
        let text = self.gateway.within(|| std::fs::read_to_string("/proc/thread-self/net/dev"));
        let text = text.unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with("ma0:")).unwrap();
        line.split_whitespace().nth(10).unwrap().parse().unwrap()
    }
}

fn wan() -> Egress {
    Egress {
        device: Some("eg0".to_owned()),
        ipv4: Some("198.51.100.9".parse().unwrap()),
        ipv6: None,
        resolvers: vec![format!("{HOST}:53").parse().unwrap()],
        allow_networks: vec!["203.0.113.0/24".parse().unwrap()],
        ..egress(&[])
    }
}

fn config() -> Config {
    let text = r#"
        version = 1
        hostname = "gw.example.org"

        [spool]
        path = "/var/lib/postern/spool"

        [tls]
        certificate = "/etc/postern/tls/chain.pem"
        key = "/etc/postern/tls/key.pem"

        [listener.submissions]
        address = "10.9.0.2:465"
        kind = "submissions"

        [source.app]
        proof = "password"
        user = "app"
        unsigned = "allow"
        password = { argon2id = "$argon2id$v=19$m=19456,t=2,p=1$SALT$KEY" }
        pairs = [{ reverse_path = "*@example.org", from = "*@example.org" }]
        owner = "owner@example.com"

        [egress.wan]
        device = "eg0"
        ipv4 = "198.51.100.9/24"
        gateway4 = "198.51.100.1"
        ehlo = "gw.example.org"
        resolvers = ["203.0.113.25"]

        [interface.ma0]
        role = "manage"
        mac = "52:54:00:12:00:01"
        ipv4 = "10.9.0.2/24"
        gateway4 = "10.9.0.1"
        dns = ["203.0.113.25"]

        [interface.eg0]
        role = "egress"
        mac = "52:54:00:12:00:02"
    "#;
    let text = text.replace("SALT", "c2FtcGxlc2FtcGxlIQ");
    let text = text.replace("KEY", "BVSSW5+mW8wJMTxbh4bLHwNxPNWZYLeqPqi4jqPf9yE");
    let reading = read(&text, &Anywhere).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    let mut config = reading.config;
    // The zones of this land are signed by nobody.
    config.trust.dane = DaneMode::Off;
    config
}

fn step<'d>(found: &'d Diagnosis, name: &str) -> &'d str {
    let step = found.steps.iter().find(|step| step.step == name);
    step.map_or_else(|| panic!("no step {name}: {found:#?}"), |step| &step.text)
}

#[test]
fn a_host_is_found_and_the_way_to_it() {
    let land = Land::new();
    let before = land.managed();
    let found = land.diagnose(Test::Ping, HOST);
    assert_eq!((found.worst(), found.next.as_ref()), (Grade::Pass, None), "{found:#?}");
    assert!(step(&found, "ping").contains("answered 3 of 3"), "{found:#?}");
    let found = land.diagnose(Test::Trace, HOST);
    assert!(step(&found, "hop 1").starts_with(ROUTER), "{found:#?}");
    assert!(step(&found, "hop 2").starts_with(HOST), "{found:#?}");
    // Its own router is nobody's business but ours, and may be asked.
    assert_eq!(land.diagnose(Test::Ping, "10.9.0.1").worst(), Grade::Fail);
    // Behind the router is nobody with this address, and the router says so.
    let found = land.diagnose(Test::Ping, "203.0.113.77");
    assert!(step(&found, "ping").contains("answered none of 3"), "{found:#?}");
    assert!(found.next.unwrap().contains("trace the way"));
    land.router.nft(
        "table ip f {\nchain c {\ntype filter hook forward priority 0; policy accept;\n\
         ip daddr 203.0.113.78 reject with icmp type admin-prohibited\n}\n}\n",
    );
    let found = land.diagnose(Test::Trace, "203.0.113.78");
    assert!(step(&found, "hop 2").contains("a firewall forbids it"), "{found:#?}");
    // The cable is pulled: nothing goes another way, whatever routes there are.
    land.router.ip("link set re0 down");
    let found = land.diagnose(Test::Ping, HOST);
    assert_eq!(found.worst(), Grade::Fail, "{found:#?}");
    assert_eq!(land.managed(), before, "packets left by the interface for administrators");
}

#[test]
fn names_are_asked_of_this_way_alone() {
    let mut land = Land::new();
    land.names();
    let before = land.managed();
    let found = land.diagnose(Test::Dns, "mx.mail.test");
    assert!(step(&found, "address").starts_with("mx.mail.test is 203.0.113.25"), "{found:#?}");
    let found = land.diagnose(Test::Dns, "nobody.test");
    assert!(step(&found, "address").contains("does not exist"), "{found:#?}");
    assert!(found.next.unwrap().contains("written right"));
    let found = land.diagnose(Test::Mx, "mail.test");
    assert_eq!(step(&found, "host 10"), "mx.mail.test");
    assert_eq!(step(&found, "host 20"), "mx2.mail.test");
    assert!(step(&land.diagnose(Test::Mx, "none.test"), "mx").contains("takes no mail at all"));
    // Its servers gone, nobody else is asked, and the end comes in time.
    land.servers.clear();
    let begun = Instant::now();
    let found = land.diagnose(Test::Dns, "mx.mail.test");
    assert_eq!(found.worst(), Grade::Fail, "{found:#?}");
    assert!(begun.elapsed() < Duration::from_secs(35));
    assert_eq!(land.managed(), before);
}

#[test]
fn a_host_is_spoken_to_and_never_sent_mail() {
    let mut land = Land::new();
    land.names();
    land.sink();
    let found = land.diagnose(Test::Smtp, "mail.test");
    assert!(step(&found, "mx").contains("goes to mx.mail.test (10)"), "{found:#?}");
    assert!(step(&found, "connect").contains("from 198.51.100.9"), "{found:#?}");
    assert!(step(&found, "starttls").contains("offers no STARTTLS"), "{found:#?}");
    assert!(step(&found, "quit").contains("no mail was sent"), "{found:#?}");
    let found = land.diagnose(Test::Smtp, "203.0.113.25:587");
    assert_eq!(found.worst(), Grade::Fail);
    assert!(step(&found, "connect").contains("port 587"), "{found:#?}");
    let found = land.diagnose(Test::Tls, HOST);
    assert!(step(&found, "connect").contains("refuses connections"), "{found:#?}");
}

/// Speaks SMTP with STARTTLS once; what was said to it.
async fn receiver(files: &TlsFiles) -> Vec<String> {
    let listener = TcpListener::bind(format!("{HOST}:25")).await.unwrap();
    let acceptor = ServerTls::load(files).unwrap().acceptor();
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mx.mail.test ESMTP\r\n").await.unwrap();
    let mut heard = speak(&mut stream).await;
    let mut stream = BufReader::new(acceptor.accept(stream.into_inner()).await.unwrap());
    heard.extend(speak(&mut stream).await);
    heard
}

/// Answers until STARTTLS or QUIT.
async fn speak<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap() == 0 {
            return heard;
        }
        let verb = line.split_whitespace().next().unwrap_or_default().to_owned();
        heard.push(verb.clone());
        let answer = match verb.as_str() {
            "EHLO" => "250-mx.mail.test at your service\r\n250 STARTTLS\r\n",
            "STARTTLS" => "220 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "502 no\r\n",
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if verb == "STARTTLS" || verb == "QUIT" {
            return heard;
        }
    }
}

#[test]
fn a_certificate_is_shown_and_judged() {
    let mut land = Land::new();
    land.names();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["mx.mail.test".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    let made = params.self_signed(&key).unwrap();
    let (certificate, path) =
        (land.folder.path().join("chain.pem"), land.folder.path().join("key.pem"));
    std::fs::write(&certificate, made.pem()).unwrap();
    std::fs::write(&path, key.serialize_pem()).unwrap();
    let files = TlsFiles { certificate, key: path };
    let heard = std::thread::scope(|scope| {
        let net = std::fs::File::open(land.host.path()).unwrap();
        let host = scope.spawn(move || {
            setns(&net, CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let visited =
                async { tokio::time::timeout(Duration::from_secs(40), receiver(&files)).await };
            runtime.unwrap().block_on(visited).unwrap_or_default()
        });
        // It has one visitor only, so nobody may look whether it is there.
        std::thread::sleep(Duration::from_millis(500));
        let found = land.diagnose(Test::Smtp, "mail.test");
        assert!(step(&found, "tls").starts_with("TLSv1.3"), "{found:#?}");
        let shown = step(&found, "certificate 1");
        assert!(shown.contains("for mx.mail.test") && shown.contains("ECDSA 256"), "{shown}");
        assert!(step(&found, "trust").contains("not trusted"), "{found:#?}");
        assert!(step(&found, "ehlo 2").contains("at your service"), "{found:#?}");
        assert_eq!(found.worst(), Grade::Warn, "{found:#?}");
        host.join().unwrap()
    });
    assert_eq!(heard, ["EHLO", "STARTTLS", "EHLO", "QUIT"]);
}

#[test]
fn an_interface_for_administrators_asks_for_itself() {
    let mut land = Land::new();
    land.names();
    let by = |test: Test, role: &str, target: &str| {
        let errand = Errand { test, role: role.to_owned(), target: target.to_owned() };
        let machine: [IpAddr; 0] = [];
        land.run(|| async { by_interface(&config(), &machine, &errand).await })
    };
    let found = by(Test::Ping, "ma0", HOST).unwrap();
    assert!(step(&found, "ping").contains("answered 3 of 3"), "{found:#?}");
    let found = by(Test::Trace, "ma0", HOST).unwrap();
    assert!(step(&found, "hop 1").starts_with("10.9.0.1 "), "{found:#?}");
    let found = by(Test::Mx, "ma0", "mail.test").unwrap();
    assert_eq!(step(&found, "host 10"), "mx.mail.test");
    let refused = by(Test::Smtp, "ma0", "mail.test").unwrap_err();
    assert!(refused.text.contains("never carries mail"), "{refused}");
    let unknown = by(Test::Ping, "eth9", HOST).unwrap_err();
    assert!(unknown.text.contains("wan") && unknown.text.contains("ma0"), "{unknown}");
    land.router.ip("link set rm0 down");
    let lost = by(Test::Ping, "ma0", HOST).unwrap();
    assert_eq!(lost.worst(), Grade::Fail, "the cable is pulled, and no other way is taken");
}
