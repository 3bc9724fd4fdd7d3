//! The matrix of answers, from nsd itself and through unbound as a recursive server.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use postern::config::checked::{DaneMode, Egress, TrustConfig};
use postern::dns::Names;
use postern::dns::resolver::Resolvers;
use postern::route::{Addresses, LookupError};

use crate::space::{Program, alone, client, egress};

/// The zone `test.`, whose child `lame.test.` is delegated to a server that is not there.
fn zone() -> String {
    let mut zone = String::from(
        "$ORIGIN test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n\
         @ NS ns\nns A 127.0.0.1\n\
         plain MX 20 mx2.plain\nplain MX 10 MX1.plain\nmx1.plain A 192.0.2.1\n\
         mx1.plain AAAA 2001:db8::1\nmx2.plain A 192.0.2.2\n\
         implicit A 192.0.2.3\nempty TXT \"nothing here\"\nnull MX 0 .\n\
         alias CNAME plain\nmxalias MX 10 host.mxalias\nhost.mxalias CNAME mx1.plain\n\
         gone MX 10 nosuch.test.\ndangling CNAME nosuch.test.\n\
         loop1 CNAME loop2\nloop2 CNAME loop1\n\
         private MX 10 mx.private\nmx.private A 10.0.0.1\nmx.private A 127.0.0.1\n\
         literal MX 10 192.0.2.1.\nonly6 AAAA 2001:db8::6\nlame NS ns.elsewhere.invalid.\n",
    );
    for number in 0..100 {
        writeln!(zone, "many MX {number} a-rather-long-host-name-{number}.many").unwrap();
    }
    zone
}

fn nsd(folder: &Path, address: &str) -> Program {
    std::fs::write(folder.join("test.zone"), zone()).unwrap();
    let configuration = format!(
        "server:\n ip-address: {address}\n username: \"\"\n zonesdir: \"{0}\"\n pidfile: \"\"\n\
         \x20xfrdfile: \"{0}/xfrd\"\n xfrdir: \"{0}\"\n zonelistfile: \"{0}/list\"\n\
         \x20server-count: 1\nremote-control:\n control-enable: no\n\
         zone:\n name: test\n zonefile: test.zone\n\
         zone:\n name: broken.test\n zonefile: nosuch.zone\n",
        folder.display()
    );
    let path = folder.join("nsd.conf");
    std::fs::write(&path, configuration).unwrap();
    Program::start("/usr/sbin/nsd", &["-d", "-c", path.to_str().unwrap()])
}

fn unbound(folder: &Path) -> Program {
    let configuration = format!(
        "server:\n interface: 127.0.0.1@5301\n username: \"\"\n chroot: \"\"\n directory: \"{0}\"\n\
         \x20pidfile: \"\"\n use-syslog: no\n do-not-query-localhost: no\n do-daemonize: no\n\
         \x20module-config: \"iterator\"\n num-threads: 1\n local-zone: \"test.\" nodefault\n\
         remote-control:\n control-enable: no\n\
         stub-zone:\n name: test\n stub-addr: 127.0.0.1@5300\n",
        folder.display()
    );
    let path = folder.join("unbound.conf");
    std::fs::write(&path, configuration).unwrap();
    Program::start("/usr/sbin/unbound", &["-d", "-c", path.to_str().unwrap()])
}

async fn resolvers(egress: &Egress) -> Resolvers {
    let trust = TrustConfig { dane: DaneMode::Off, ..TrustConfig::default() };
    Resolvers::new(client(egress).await, &trust).unwrap()
}

/// Waits until the name server answers.
async fn wait_for(names: &Resolvers, egress: &Egress) {
    let mut patience = 100;
    while names.mx(egress, "implicit.test").await.is_err() {
        patience -= 1;
        assert!(patience > 0, "the name server never answered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_temporary<T>(answer: &Result<T, LookupError>) -> bool {
    matches!(answer, Err(LookupError::Temporary(_)))
}

async fn matrix(server: &str) {
    let egress = egress(&[server]);
    let names = resolvers(&egress).await;
    wait_for(&names, &egress).await;
    let mx = |domain: &'static str| names.mx(&egress, domain);
    let found = mx("plain.test").await.unwrap();
    let mut hosts = found.hosts.clone();
    hosts.sort();
    assert_eq!(hosts[0].0, 10);
    assert!(hosts[0].1.eq_ignore_ascii_case("mx1.plain.test"), "{hosts:?}");
    assert_eq!(mx("alias.test").await.unwrap().hosts.len(), 2);
    assert_eq!(mx("null.test").await.unwrap().hosts, [(0, String::new())]);
    assert_eq!(mx("implicit.test").await.unwrap().hosts, []);
    assert_eq!(mx("empty.test").await.unwrap().hosts, []);
    assert_eq!(mx("literal.test").await.unwrap().hosts, [(10, "192.0.2.1".to_owned())]);
    // Truncated over UDP, whole over TCP.
    assert_eq!(mx("many.test").await.unwrap().hosts.len(), 100);
    assert_eq!(mx("nosuch.test").await, Err(LookupError::NoSuchDomain));
    assert_eq!(mx("dangling.test").await, Err(LookupError::NoSuchDomain));
    for unknown in ["broken.test", "x.broken.test", "x.lame.test", "elsewhere.invalid-zone"] {
        let answer = mx(unknown).await;
        // A recursive server may know from the root that a name cannot exist; here it has no root.
        assert!(is_temporary(&answer), "{unknown} {answer:?}");
    }
    let looped = mx("loop1.test").await;
    assert!(
        is_temporary(&looped) || looped.clone().is_ok_and(|l| l.hosts.is_empty()),
        "{looped:?}"
    );
    let addresses = |host: &'static str| names.addresses(&egress, host);
    let both = addresses("mx1.plain.test").await.unwrap();
    assert_eq!((both.v4.len(), both.v6.len()), (1, 1));
    let alias = Addresses { canonical: Some("mx1.plain.test".to_owned()), ..both };
    assert_eq!(addresses("host.mxalias.test").await.unwrap(), alias);
    assert_eq!(addresses("mx.private.test").await.unwrap().v4.len(), 2);
    let none = addresses("empty.test").await.unwrap();
    assert!(none.v4.is_empty() && none.v6.is_empty());
    assert_eq!(addresses("nosuch.test").await, Err(LookupError::NoSuchDomain));
    assert!(is_temporary(&addresses("x.broken.test").await));
    let only_v4 = Egress { ipv6: None, ..egress.clone() };
    assert_eq!(names.addresses(&only_v4, "only6.test").await.unwrap().v6.len(), 1);
}

#[test]
fn an_authoritative_server_is_understood() {
    alone(|| async {
        let folder = tempfile::tempdir().unwrap();
        let _nsd = nsd(folder.path(), "127.0.0.1@5300");
        matrix("127.0.0.1:5300").await;
    });
}

#[test]
fn a_recursive_server_is_understood() {
    alone(|| async {
        let folder = tempfile::tempdir().unwrap();
        let _nsd = nsd(folder.path(), "127.0.0.1@5300");
        let _unbound = unbound(folder.path());
        matrix("127.0.0.1:5301").await;
    });
}

#[test]
fn a_silent_server_is_doubt_and_a_second_one_helps() {
    alone(|| async {
        let folder = tempfile::tempdir().unwrap();
        let _nsd = nsd(folder.path(), "127.0.0.1@5300");
        let _silent = std::net::UdpSocket::bind("127.0.0.1:5399").unwrap();
        let alone = egress(&["127.0.0.1:5399"]);
        let names = resolvers(&alone).await;
        let begun = Instant::now();
        assert!(is_temporary(&names.mx(&alone, "plain.test").await));
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        let two = egress(&["127.0.0.1:5399", "127.0.0.1:5300"]);
        let names = resolvers(&two).await;
        wait_for(&names, &two).await;
        assert_eq!(names.mx(&two, "plain.test").await.unwrap().hosts.len(), 2);
    });
}

#[test]
fn a_resolver_without_link_is_suspended_not_doubtful() {
    alone(|| async {
        let gone = Egress { device: Some("nosuch0".to_owned()), ..egress(&["127.0.0.1:5300"]) };
        let names = resolvers(&gone).await;
        let answer = names.mx(&gone, "plain.test").await;
        assert!(matches!(answer, Err(LookupError::Suspended(_))), "{answer:?}");
    });
}
