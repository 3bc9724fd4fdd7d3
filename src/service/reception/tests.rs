//! The driver over real sockets on loopback: doors, TLS, the bell, ceilings, hostile peers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::base::id::QueueId;
use crate::config::checked::TlsFiles;
use crate::mail::stage::{Custody, Submitted};
use crate::net::listen::{Unpassed, open_doors};

/// Lets everybody in; panics and refuses on demand.
#[derive(Default)]
struct TestGate {
    messages: Mutex<Vec<Submitted>>,
    keys: Mutex<Vec<Option<Box<str>>>>,
    endings: Mutex<Vec<Ending>>,
    turned_away: AtomicU32,
    disabled: AtomicBool,
}

impl Gate for TestGate {
    type Visitor = SocketAddr;

    fn open(&self, peer: SocketAddr, _: &Arc<Listener>) -> Result<SocketAddr, Reply> {
        Ok(peer)
    }

    fn tls(&self, _: &mut SocketAddr, facts: &TlsFacts) {
        self.keys.lock().unwrap().push(facts.client_spki_sha256.clone());
    }

    async fn decide(&self, _: &mut SocketAddr, question: Question) -> Verdict {
        match question {
            Question::Recipient { forward_path, .. } if forward_path.local_part() == "panic" => {
                panic!("a bug of the gate, for the test");
            }
            Question::Message(message) => {
                self.messages.lock().unwrap().push(*message);
                Verdict::Accepted(Custody::mint(QueueId(1)))
            }
            _ => Verdict::Yes,
        }
    }

    fn still_welcome(&self, _: &SocketAddr) -> Result<(), Reply> {
        let disabled = self.disabled.load(Ordering::SeqCst);
        if disabled { Err(Reply::new(421, (4, 3, 2), "disabled")) } else { Ok(()) }
    }

    fn close(&self, _: SocketAddr, _: Tally, ending: Ending) {
        self.endings.lock().unwrap().push(ending);
    }

    fn turned_away(&self, _: SocketAddr, _: &Arc<Listener>, _: Full) {
        self.turned_away.fetch_add(1, Ordering::SeqCst);
    }
}

struct Fixture {
    gate: Arc<TestGate>,
    reception: Arc<Reception<TestGate>>,
    addresses: Vec<SocketAddr>,
    bell: watch::Sender<Bell>,
    done: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn listener(kind: ListenerKind, clear_text: bool) -> Listener {
    Listener {
        name: format!("{kind:?}"),
        address: "127.0.0.1:0".parse().unwrap(),
        kind,
        device: None,
        network_sources: clear_text,
        clear_text,
    }
}

/// 587, 465 and a clear 25.
fn start(connections: ConnectionLimits) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["gw.example.org".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let tls = Arc::new(ServerTls::load(&files).unwrap());
    tls.reload(&files).unwrap();
    let listeners = [
        listener(ListenerKind::Submission, false),
        listener(ListenerKind::Submissions, false),
        listener(ListenerKind::Smtp, true),
    ];
    let doors = open_doors(&listeners, Vec::new(), Unpassed::Bind).unwrap();
    let addresses = doors.iter().map(|door| door.local_address().unwrap()).collect();
    let (bell, ears) = watch::channel(Bell::default());
    let gate = Arc::new(TestGate::default());
    let house = House {
        hostname: "gw.example.org".into(),
        message_octets_max: 1 << 20,
        recipients_max: 100,
        deadlines: false,
        connections,
    };
    let reception = Reception::new(house, gate.clone(), Some(tls), ears);
    let done = tokio::spawn(reception.clone().run(doors));
    Fixture { gate, reception, addresses, bell, done, _folder: folder }
}

fn many() -> ConnectionLimits {
    ConnectionLimits { total_max: 100, per_address_max: 100 }
}

#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

async fn handshake(stream: TcpStream, identity: Option<Identity>) -> TlsStream<TcpStream> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
    };
    let name = ServerName::try_from("gw.example.org").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Sends, and reads until a whole reply has come that starts with `code`.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, text: &str, code: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    hear(stream, code).await
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S, code: &str) -> String {
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    let wanted = format!("{code} ");
    let reading = async {
        while !heard.lines().any(|line| line.starts_with(&wanted)) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed after {heard:?}");
            heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    };
    timeout(Duration::from_secs(10), reading).await.expect(code);
    heard
}

/// Whether the connection ends within a few seconds.
async fn ends<S: AsyncRead + Unpin>(stream: &mut S) -> bool {
    let mut buffer = [0; 4096];
    let reading = async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} };
    timeout(Duration::from_secs(5), reading).await.is_ok()
}

const MESSAGE: &str = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n";

async fn send_one<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    say(stream, "EHLO x\r\n", "250").await;
    say(stream, MESSAGE, "354").await;
    say(stream, "hello\r\n.\r\n", "250").await;
}

#[tokio::test]
async fn a_message_comes_in_by_every_door() {
    let fixture = start(many());
    let mut stream = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut stream, "220").await;
    send_one(&mut stream).await;

    let mut stream = TcpStream::connect(fixture.addresses[0]).await.unwrap();
    hear(&mut stream, "220").await;
    say(&mut stream, "EHLO x\r\n", "250").await;
    say(&mut stream, "STARTTLS\r\n", "220").await;
    let mut stream = handshake(stream, None).await;
    send_one(&mut stream).await;

    let stream = TcpStream::connect(fixture.addresses[1]).await.unwrap();
    let mut stream = handshake(stream, None).await;
    hear(&mut stream, "220").await;
    send_one(&mut stream).await;
    say(&mut stream, "QUIT\r\n", "221").await;
    assert!(ends(&mut stream).await);

    let messages = fixture.gate.messages.lock().unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0].session.tls, None);
    let (version, suite) = messages[2].session.tls.clone().unwrap();
    assert_eq!(&*version, "TLSv1.3");
    assert!(suite.starts_with("TLS_AES_"), "{suite}");
    assert_eq!(&messages[1].content[..], b"hello\r\n");
}

#[tokio::test]
async fn any_client_certificate_is_taken_and_its_key_is_named() {
    let fixture = start(many());
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    let spki = tls_spki(certificate.der());
    let identity =
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap());
    let stream = TcpStream::connect(fixture.addresses[1]).await.unwrap();
    let mut stream = handshake(stream, Some(identity)).await;
    hear(&mut stream, "220").await;
    let keys = fixture.gate.keys.lock().unwrap();
    assert_eq!(keys.as_slice(), [Some(spki)]);
}

fn tls_spki(certificate: &CertificateDer<'_>) -> Box<str> {
    let spki = crate::net::tls::spki_sha256(certificate).unwrap();
    assert_eq!(spki.len(), 64);
    spki
}

#[tokio::test]
async fn octets_ahead_of_the_handshake_end_the_session() {
    let fixture = start(many());
    let mut stream = TcpStream::connect(fixture.addresses[0]).await.unwrap();
    hear(&mut stream, "220").await;
    say(&mut stream, "EHLO x\r\n", "250").await;
    say(&mut stream, "STARTTLS\r\nMAIL FROM:<a@example.org>\r\n", "554").await;
    assert!(ends(&mut stream).await);
    // Between 220 and the handshake a command is no TLS.
    let mut stream = TcpStream::connect(fixture.addresses[0]).await.unwrap();
    hear(&mut stream, "220").await;
    say(&mut stream, "EHLO x\r\n", "250").await;
    say(&mut stream, "STARTTLS\r\n", "220").await;
    stream.write_all(b"MAIL FROM:<a@example.org>\r\n").await.unwrap();
    assert!(ends(&mut stream).await);
}

#[tokio::test]
async fn the_kill_switch_reaches_a_transaction_in_flight() {
    let fixture = start(many());
    let mut idle = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut idle, "220").await;
    let mut busy = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut busy, "220").await;
    say(&mut busy, "EHLO x\r\n", "250").await;
    say(&mut busy, MESSAGE, "354").await;
    busy.write_all(b"half a mess").await.unwrap();
    // A switch that does not concern them changes nothing.
    fixture.bell.send_modify(|bell| bell.switches += 1);
    say(&mut idle, "NOOP\r\n", "250").await;
    fixture.gate.disabled.store(true, Ordering::SeqCst);
    fixture.bell.send_modify(|bell| bell.switches += 1);
    hear(&mut busy, "421").await;
    hear(&mut idle, "421").await;
    assert!(ends(&mut busy).await);
    assert!(fixture.gate.messages.lock().unwrap().is_empty());
}

#[tokio::test]
async fn shutdown_lets_a_transaction_end() {
    let fixture = start(many());
    let mut idle = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut idle, "220").await;
    let mut busy = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut busy, "220").await;
    say(&mut busy, "EHLO x\r\n", "250").await;
    say(&mut busy, MESSAGE, "354").await;
    fixture.bell.send_modify(|bell| bell.shift = Shift::LastOrders);
    hear(&mut idle, "421").await;
    let heard = say(&mut busy, "x\r\n.\r\n", "421").await;
    assert!(heard.starts_with("250 "), "{heard}");
    timeout(Duration::from_secs(5), fixture.done).await.unwrap().unwrap();
    assert!(TcpStream::connect(fixture.addresses[2]).await.is_err());
    assert_eq!(fixture.reception.connections(), 0);
}

#[tokio::test]
async fn closing_time_ends_everybody_also_when_the_bell_is_gone() {
    let fixture = start(many());
    let mut busy = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut busy, "220").await;
    say(&mut busy, "EHLO x\r\n", "250").await;
    say(&mut busy, MESSAGE, "354").await;
    drop(fixture.bell);
    hear(&mut busy, "421").await;
    drop(busy);
    timeout(Duration::from_secs(5), fixture.done).await.unwrap().unwrap();
}

#[tokio::test]
async fn ceilings_are_told_in_one_packet_and_places_come_back() {
    let fixture = start(ConnectionLimits { total_max: 100, per_address_max: 2 });
    let address = fixture.addresses[2];
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    hear(&mut first, "220").await;
    hear(&mut second, "220").await;
    let mut third = TcpStream::connect(address).await.unwrap();
    let heard = hear(&mut third, "421").await;
    assert!(heard.starts_with("421 4.7.0 "), "{heard}");
    assert!(ends(&mut third).await);
    assert_eq!(fixture.gate.turned_away.load(Ordering::SeqCst), 1);
    say(&mut first, "QUIT\r\n", "221").await;
    drop(first);
    for _ in 0..100 {
        let mut again = TcpStream::connect(address).await.unwrap();
        let mut greeting = [0; 3];
        again.read_exact(&mut greeting).await.unwrap();
        if &greeting == b"220" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place did not come back");
}

#[tokio::test]
async fn a_panic_ends_one_session_and_no_other() {
    let fixture = start(many());
    let mut other = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut other, "220").await;
    let mut stream = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut stream, "220").await;
    say(&mut stream, "EHLO x\r\n", "250").await;
    stream.write_all(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<panic@b.example>\r\n").await.unwrap();
    assert!(ends(&mut stream).await);
    send_one(&mut other).await;
    assert_eq!(fixture.reception.connections(), 1);
    assert_eq!(fixture.reception.octets_held(), 0);
}

#[tokio::test]
async fn a_large_message_and_a_violation_come_through_whole() {
    let fixture = start(many());
    let mut stream = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    hear(&mut stream, "220").await;
    say(&mut stream, "EHLO x\r\n", "250").await;
    say(&mut stream, MESSAGE, "354").await;
    let content = "0123456789012345678901234567890123456789\r\n".repeat(20_000);
    say(&mut stream, &format!("{content}.\r\n"), "250").await;
    assert_eq!(fixture.gate.messages.lock().unwrap()[0].content, content.as_bytes());
    // The reply survives although the peer goes on sending.
    say(&mut stream, MESSAGE, "354").await;
    let heard = say(&mut stream, &format!("a\nb\r\n.\r\n{}", "x".repeat(10_000)), "550").await;
    assert!(heard.starts_with("550 5.6.11 "), "{heard}");
    assert!(ends(&mut stream).await);
    let endings = fixture.gate.endings.lock().unwrap();
    assert_eq!(endings.as_slice(), [Ending::Violation]);
    assert_eq!(fixture.reception.octets_held(), 0);
}

#[tokio::test(start_paused = true)]
async fn silent_peers_hear_a_timeout() {
    let fixture = start(many());
    let mut stream = TcpStream::connect(fixture.addresses[2]).await.unwrap();
    // Time jumps whenever everybody waits.
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.contains("421 4.4.2 "), "{heard}");
    // A handshake that never comes.
    let mut stream = TcpStream::connect(fixture.addresses[1]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}
