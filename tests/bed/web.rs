//! The policy host of MTA-STS: HTTPS on one address, for every domain that has a policy.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::space::Space;

/// A client that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(20);

/// The host.
pub(crate) struct Web {
    asked: Arc<Mutex<Vec<String>>>,
    posted: Arc<Mutex<Vec<Posted>>>,
}

/// What was posted to it.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    /// The path.
    pub(crate) path: String,
    /// `Content-Type`.
    pub(crate) content_type: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Web {
    /// Serves at `place`; `policies` are the texts by host name, `mta-sts.DOMAIN`.
    pub(crate) fn start(
        space: &Space,
        place: SocketAddr,
        tls: Arc<ServerConfig>,
        policies: BTreeMap<String, String>,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (policies, log, letters) = (Arc::new(policies), asked.clone(), posted.clone());
        let listener = space.within(|| TcpListener::bind(place)).unwrap();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (policies, log, tls) = (policies.clone(), log.clone(), tls.clone());
                let letters = letters.clone();
                // A client that breaks off is an ordinary event for a host of the Web.
                std::thread::spawn(move || answer(stream, tls, &policies, &log, &letters));
            }
        });
        Self { asked, posted }
    }

    /// What was posted so far.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// The hosts that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    policies: &BTreeMap<String, String>,
    log: &Mutex<Vec<String>>,
    letters: &Mutex<Vec<Posted>>,
) -> Option<()> {
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    let connection = ServerConnection::new(tls).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let (mut host, mut path) = (String::new(), String::new());
    let (mut verb, mut length, mut content_type) = (String::new(), 0, String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if path.is_empty() {
            let mut words = line.split(' ');
            words.next()?.clone_into(&mut verb);
            words.next()?.clone_into(&mut path);
        } else if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "host" => value.trim().clone_into(&mut host),
                "content-length" => length = value.trim().parse().ok()?,
                "content-type" => value.trim().clone_into(&mut content_type),
                _ => {}
            }
        }
    }
    if verb == "POST" {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        letters.lock().unwrap().push(Posted { path, content_type, body });
        let out = stream.get_mut();
        let ok = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        out.write_all(ok.as_bytes()).ok()?;
        out.conn.send_close_notify();
        return out.flush().ok();
    }
    log.lock().unwrap().push(host.clone());
    let policy = policies.get(&host).filter(|_| path == "/.well-known/mta-sts.txt");
    let (status, text) = policy.map_or(("404 Not Found", ""), |text| ("200 OK", text.as_str()));
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    let out = stream.get_mut();
    out.write_all((head + text).as_bytes()).ok()?;
    out.conn.send_close_notify();
    out.flush().ok()
}
