//! HTTPS hosts, good and bad, behind an egress.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use postern::base::time::Instant as Now;
use postern::config::checked::{Egress, Link};
use postern::mail::address::Domain;
use postern::net::broker::words::Orders;
use postern::net::egress::EgressClient;
use postern::net::https::{Content, Https, HttpsError, Limits, Response};
use postern::net::tls_client::{Rung, TlsClient, TlsFailure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::zoo::{Authority, HOST, Shown, acceptor, good};

const LIMITS: Limits = Limits { octets_max: 4096, wait: Duration::from_secs(5) };

/// What the host said, and heard.
struct Host {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

/// A host that answers each connection with the same octets, then waits so long before it closes.
async fn host(shown: &Shown, answer: &[u8], wait: Duration) -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = acceptor(shown, rustls::ALL_VERSIONS);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (answer, list) = (answer.to_vec(), heard.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !complete(&request) {
                let mut octets = [0; 1024];
                let count = stream.read(&mut octets).await.unwrap_or(0);
                if count == 0 {
                    break;
                }
                request.extend_from_slice(&octets[..count]);
            }
            list.lock().unwrap().push(String::from_utf8(request).unwrap());
            // The client may have had enough.
            stream.write_all(&answer).await.ok();
            stream.flush().await.ok();
            tokio::time::sleep(wait).await;
            stream.shutdown().await.ok();
        }
    });
    Host { address, heard }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn egress(https_port: u16) -> EgressClient {
    let egress = Egress {
        name: "wan".to_owned(),
        device: None,
        ipv4: Some("127.0.0.1".parse().unwrap()),
        ipv6: None,
        ehlo: Domain::parse("relay.example").unwrap(),
        resolvers: Vec::new(),
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        mx_port: 25,
        https_port,
        link: Link::default(),
        warm_up: None,
    };
    EgressClient::in_process(Orders { egresses: vec![egress], ..Orders::default() })
}

struct World {
    authority: Authority,
    tls: TlsClient,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::root("root");
        let tls = TlsClient::new(Some(&authority.file(&folder))).unwrap();
        Self { authority, tls }
    }

    async fn get(&self, answer: &str, wait: Duration) -> Result<Response, HttpsError> {
        let shown = self.authority.issue(&good(&[HOST]));
        let host = host(&shown, answer.as_bytes(), wait).await;
        self.get_from(host.address, &[host.address]).await
    }

    async fn get_from(
        &self,
        port_of: SocketAddr,
        addresses: &[SocketAddr],
    ) -> Result<Response, HttpsError> {
        let sockets = egress(port_of.port());
        let https = Https { sockets: &sockets, egress: "wan", tls: &self.tls, now: Now(0) };
        https.get(HOST, addresses, "/.well-known/mta-sts.txt", LIMITS).await
    }
}

#[tokio::test]
async fn answers_are_read_and_nothing_else_is_taken_for_one() {
    let world = World::new();
    let now = Duration::ZERO;
    let good = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
    let read = world.get(good, now).await.unwrap();
    let expected = Response {
        status: 200,
        content_type: Some("text/plain".to_owned()),
        body: Bytes::from_static(b"hello"),
    };
    assert_eq!(read, expected);
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(world.get(chunked, now).await.unwrap().body, "hello");
    let until_close = "HTTP/1.1 200 OK\r\n\r\nhello";
    assert_eq!(world.get(until_close, now).await.unwrap().body, "hello");
    let moved =
        "HTTP/1.1 301 Moved\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(world.get(moved, now).await, Err(HttpsError::Status(301)));
    let absent = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(world.get(absent, now).await, Err(HttpsError::Status(404)));
    let long = "x".repeat(5000);
    for head in ["Content-Length: 5000\r\n", ""] {
        let large = format!("HTTP/1.1 200 OK\r\n{head}\r\n{long}");
        assert_eq!(world.get(&large, now).await, Err(HttpsError::TooLarge(4096)), "{head}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for broken in [
        "220 mx.example.net ESMTP\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "",
        &endless,
    ] {
        let outcome = world.get(broken, now).await;
        assert!(matches!(outcome, Err(HttpsError::Protocol(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_slow_host_costs_no_more_than_the_limit() {
    let world = World::new();
    let begun = Instant::now();
    let slow = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
    let outcome = world.get(slow, Duration::from_secs(60)).await;
    assert_eq!(outcome, Err(HttpsError::TimedOut));
    assert!((5..30).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_host_must_be_the_host() {
    let world = World::new();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let other =
        host(&world.authority.issue(&good(&["evil.example"])), answer, Duration::ZERO).await;
    let outcome = world.get_from(other.address, &[other.address]).await;
    assert!(matches!(outcome, Err(HttpsError::Tls(TlsFailure::HostMismatch(_)))), "{outcome:?}");
    assert_eq!(*other.heard.lock().unwrap(), [""; 0]);
    let stranger = host(&Shown::itself(&good(&[HOST])), answer, Duration::ZERO).await;
    let outcome = world.get_from(stranger.address, &[stranger.address]).await;
    assert!(matches!(outcome, Err(HttpsError::Tls(TlsFailure::NotTrusted(_)))), "{outcome:?}");
}

#[tokio::test]
async fn addresses_are_tried_in_turn_and_only_allowed_ones() {
    let world = World::new();
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    let shown = world.authority.issue(&good(&[HOST]));
    let there = host(&shown, answer, Duration::ZERO).await;
    let nobody = SocketAddr::from(([127, 0, 0, 9], there.address.port()));
    let read = world.get_from(there.address, &[nobody, there.address]).await.unwrap();
    assert_eq!((read.status, read.body.len(), read.content_type), (204, 0, None));
    assert_eq!(world.get_from(there.address, &[]).await, Err(HttpsError::NoAddress));
    let refused = world.get_from(there.address, &[nobody]).await;
    assert_eq!(refused, Err(HttpsError::Unreachable("connection refused".to_owned())));
    let private = SocketAddr::from(([10, 0, 0, 1], there.address.port()));
    let port = SocketAddr::from(([127, 0, 0, 1], 9));
    for address in [private, port] {
        let outcome = world.get_from(there.address, &[address]).await;
        assert!(matches!(outcome, Err(HttpsError::NotAllowed(_))), "{outcome:?}");
    }
    let nowhere = EgressClient::new();
    let https = Https { sockets: &nowhere, egress: "wan", tls: &world.tls, now: Now(0) };
    let outcome = https.get(HOST, &[there.address], "/", LIMITS).await;
    assert!(matches!(outcome, Err(HttpsError::Suspended(_))), "{outcome:?}");
}

#[tokio::test]
async fn what_is_posted_arrives() {
    let world = World::new();
    let shown = world.authority.issue(&good(&[HOST]));
    let there =
        host(&shown, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", Duration::ZERO).await;
    let sockets = egress(there.address.port());
    let https = Https { sockets: &sockets, egress: "wan", tls: &world.tls, now: Now(0) };
    let content = Content {
        kind: "application/tlsrpt+gzip",
        encoding: None,
        body: Bytes::from_static(b"a report"),
    };
    let path = "/v1/tlsrpt?x=1";
    let addresses = [there.address];
    let answer = https.post(HOST, &addresses, path, content.clone(), LIMITS).await.unwrap();
    assert_eq!(answer.status, 201);
    let heard = there.heard.lock().unwrap()[0].clone();
    assert!(heard.starts_with("POST /v1/tlsrpt?x=1 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains(&format!("host: {HOST}:{}\r\n", there.address.port())), "{heard}");
    assert!(heard.contains("content-type: application/tlsrpt+gzip\r\n"), "{heard}");
    assert!(heard.ends_with("\r\n\r\na report"), "{heard}");
    for path in ["no slash", "/a b", "/a\r\nX: y"] {
        let outcome = https.post(HOST, &addresses, path, content.clone(), LIMITS).await;
        assert!(matches!(outcome, Err(HttpsError::Protocol(_))), "{path} {outcome:?}");
    }
    assert_eq!(there.heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_host_that_cannot_bear_a_long_hello_is_asked_with_a_short_one() {
    let world = World::new();
    let shown = world.authority.issue(&good(&[HOST]));
    let acceptor = acceptor(&shown, rustls::ALL_VERSIONS);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut start = [0; 5];
            while stream.peek(&mut start).await.unwrap() < 5 {}
            if u16::from_be_bytes([start[3], start[4]]) > 1000 {
                continue;
            }
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    assert_eq!(world.tls.rung(HOST, Now(0)), Rung::PostQuantum);
    let read = world.get_from(address, &[address]).await.unwrap();
    assert_eq!(read.body, "ok");
    assert_eq!(world.tls.rung(HOST, Now(0)), Rung::Classical);
}

/// Python's server is nobody of ours: what it says of policies must be understood.
#[tokio::test]
async fn the_server_of_another_house_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let shown = world.authority.issue(&good(&[HOST]));
    shown.write(folder.path());
    std::fs::write(folder.path().join("policy.txt"), "version: STSv1\r\n").unwrap();
    let server = python(folder.path());
    let sockets = egress(server.1.port());
    let https = Https { sockets: &sockets, egress: "wan", tls: &world.tls, now: Now(0) };
    let read = https.get(HOST, &[server.1], "/policy.txt", LIMITS).await.unwrap();
    assert_eq!(read.body, "version: STSv1\r\n");
    assert_eq!(read.content_type.as_deref(), Some("text/plain"));
    let absent = https.get(HOST, &[server.1], "/nosuch.txt", LIMITS).await;
    assert_eq!(absent, Err(HttpsError::Status(404)));
    // A folder without its slash is a redirect.
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let moved = https.get(HOST, &[server.1], "/folder", LIMITS).await;
    assert_eq!(moved, Err(HttpsError::Status(301)));
}

struct Server(std::process::Child, SocketAddr);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn python(folder: &Path) -> Server {
    use std::io::BufRead as _;
    let program = "import http.server, ssl\n\
        s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
        c.load_cert_chain('chain.pem', 'key.pem')\n\
        s.socket = c.wrap_socket(s.socket, server_side=True)\n\
        print(s.server_port, flush=True)\n\
        s.serve_forever()\n";
    let mut child = std::process::Command::new("python3")
        .args(["-c", program])
        .current_dir(folder)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap();
    Server(child, SocketAddr::from(([127, 0, 0, 1], port)))
}
