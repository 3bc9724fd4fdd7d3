//! The house of the transcripts behind real listeners: sockets, TLS and the driver as they are.

#![allow(dead_code, reason = "shared by several test programs, each of which needs a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use postern::config::checked::{ConnectionLimits, Listener, ListenerKind, TlsFiles};
use postern::mail::stage::Submitted;
use postern::net::listen::{Full, Unpassed, open_doors};
use postern::net::tls::ServerTls;
use postern::service::reception::{self, Bell, Gate};
use postern::smtp::reply::Reply;
use postern::smtp::server::ask::{Question, Verdict};
use postern::smtp::server::{Ending, Tally, TlsFacts};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::core::House;
use super::player::describe;
use super::wire::Wire;

type Admitted = Arc<Mutex<VecDeque<Submitted>>>;

/// One [`House`] for each connection, one basket for what was admitted.
#[derive(Default)]
pub(crate) struct Houses {
    admitted: Admitted,
}

impl Gate for Houses {
    type Visitor = House;

    fn open(&self, _: SocketAddr, listener: &Arc<Listener>) -> Result<House, Reply> {
        Ok(House::knowing(listener.clear_text))
    }

    fn tls(&self, _: &mut House, _: &TlsFacts) {}

    async fn decide(&self, house: &mut House, question: Question) -> Verdict {
        let verdict = house.answer(question);
        self.admitted.lock().unwrap().extend(house.admitted.drain(..));
        verdict
    }

    fn still_welcome(&self, _: &House) -> Result<(), Reply> {
        Ok(())
    }

    fn close(&self, _: House, _: Tally, _: Ending) {}

    fn turned_away(&self, _: SocketAddr, _: &Arc<Listener>, _: Full) {}
}

/// Listeners that are up.
pub(crate) struct Reception {
    admitted: Admitted,
    addresses: Vec<(&'static str, SocketAddr)>,
    _bell: watch::Sender<Bell>,
    _folder: tempfile::TempDir,
}

impl Reception {
    /// Listens on loopback: `tls`, `starttls` and `clear`.
    pub(crate) fn start(runtime: &Runtime) -> Self {
        let _inside = runtime.enter();
        let folder = tempfile::tempdir().unwrap();
        let listeners = [
            listener("tls", ListenerKind::Submissions, false),
            listener("starttls", ListenerKind::Submission, false),
            listener("clear", ListenerKind::Smtp, true),
        ];
        let doors = open_doors(&listeners, Vec::new(), Unpassed::Bind).unwrap();
        let names = ["tls", "starttls", "clear"];
        let addresses = doors.iter().map(|door| door.local_address().unwrap());
        let addresses = names.into_iter().zip(addresses).collect();
        let (bell, ears) = watch::channel(Bell::default());
        let house = reception::House {
            hostname: "gw.example.org".into(),
            message_octets_max: 26_214_400,
            recipients_max: 1000,
            deadlines: true,
            connections: ConnectionLimits { total_max: 5000, per_address_max: 5000 },
        };
        let gate = Arc::new(Houses::default());
        let admitted = gate.admitted.clone();
        let tls = Some(Arc::new(ServerTls::load(&certificate(&folder)).unwrap()));
        runtime.spawn(reception::Reception::new(house, gate, tls, ears).run(doors));
        Self { admitted, addresses, _bell: bell, _folder: folder }
    }

    /// Where one of the listeners is.
    pub(crate) fn address(&self, door: &str) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| *name == door).unwrap().1
    }

    /// A client's connection to one of the listeners.
    pub(crate) fn connect(&self, door: &str) -> Wire {
        let admitted = self.admitted.clone();
        let next = move || {
            let message = admitted.lock().unwrap().pop_front()?;
            Some((message.content.to_vec(), Some(describe(&message))))
        };
        Wire::connect(self.address(door), door == "tls", Box::new(next))
    }
}

fn listener(name: &str, kind: ListenerKind, clear_text: bool) -> Listener {
    Listener {
        name: name.to_owned(),
        address: "127.0.0.1:0".parse().unwrap(),
        kind,
        device: None,
        network_sources: clear_text,
        clear_text,
    }
}

fn certificate(folder: &tempfile::TempDir) -> TlsFiles {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["gw.example.org".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}
