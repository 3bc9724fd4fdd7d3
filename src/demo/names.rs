//! The name server of the demonstration: a few rules instead of zones, over UDP on loopback.
//!
//! Everything below `example` exists and has one MX, except `nowhere.example` (does not exist) and
//! `nomail.example` (null MX, RFC 7505). DKIM keys are published where receivers look for them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, MX, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// Seconds that answers may be kept.
const TTL_SECS: u32 = 60;
/// Before the socket is read again after an error.
const PAUSE: Duration = Duration::from_millis(50);
/// The one receiving host of the built-in Internet.
const MX_HOST: &str = "mx.internet.example.";

/// What the name server knows.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// TXT records by lower-case name with a trailing dot.
    pub txt: BTreeMap<String, String>,
}

impl Names {
    /// The answer to one query in wire format; nothing for octets that are no query.
    #[must_use]
    pub fn answer(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(octets).ok()?;
        if query.metadata.message_type != MessageType::Query {
            return None;
        }
        let question = query.queries.first()?.clone();
        let name = question.name().to_lowercase();
        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        response.metadata.recursion_desired = query.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.metadata.authoritative = true;
        response.metadata.response_code = code(&name.to_ascii());
        for data in self.records(&name.to_ascii(), question.query_type()) {
            response.add_answer(Record::from_rdata(question.name().clone(), TTL_SECS, data));
        }
        response.add_query(question);
        response.to_vec().ok()
    }

    fn records(&self, name: &str, kind: RecordType) -> Vec<RData> {
        if code(name) != ResponseCode::NoError {
            return Vec::new();
        }
        match kind {
            RecordType::MX if name == "nomail.example." => {
                vec![RData::MX(MX::new(0, Name::root()))]
            }
            RecordType::MX if name != MX_HOST => Name::from_ascii(MX_HOST)
                .map(|host| vec![RData::MX(MX::new(10, host))])
                .unwrap_or_default(),
            RecordType::A if name == MX_HOST => vec![RData::A(A(Ipv4Addr::LOCALHOST))],
            RecordType::TXT => self
                .txt
                .get(name)
                .map(|text| vec![RData::TXT(TXT::new(character_strings(text)))])
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// What exists here.
fn code(name: &str) -> ResponseCode {
    let missing = name.ends_with("nowhere.example.") || !name.ends_with(".example.");
    if missing { ResponseCode::NXDomain } else { ResponseCode::NoError }
}

/// A long text as character-strings of at most 255 octets (RFC 1035 3.3).
fn character_strings(text: &str) -> Vec<String> {
    text.as_bytes().chunks(255).map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect()
}

/// Starts the name server on a free port of loopback and answers until the runtime ends.
///
/// # Errors
/// If no UDP socket can be bound.
pub async fn serve(names: Names) -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    let names = Arc::new(names);
    tokio::spawn(async move {
        let mut buffer = [0_u8; 4096];
        loop {
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
                // A passing lack of memory; asking again at once would spin.
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if let Some(answer) = names.answer(&buffer[..length]) {
                // A lost answer is asked for again: that is what UDP promises.
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    });
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{OpCode, Query};

    fn ask(name: &str, kind: RecordType) -> Message {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let names = Names { txt: BTreeMap::from([("k._domainkey.a.example.".into(), "v".into())]) };
        Message::from_vec(&names.answer(&query.to_vec().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn the_demonstration_has_every_kind_of_domain() {
        assert_eq!(ask("inbox.example.", RecordType::MX).answers.len(), 1);
        assert_eq!(ask("INBOX.example.", RecordType::AAAA).answers.len(), 0);
        assert_eq!(ask(MX_HOST, RecordType::A).answers.len(), 1);
        let gone = ask("nowhere.example.", RecordType::MX);
        assert_eq!(gone.metadata.response_code, ResponseCode::NXDomain);
        let null = ask("nomail.example.", RecordType::MX);
        assert!(matches!(&null.answers[0].data, RData::MX(mx) if mx.exchange.is_root()));
        assert_eq!(ask("k._domainkey.a.example.", RecordType::TXT).answers.len(), 1);
        assert_eq!(Names::default().answer(b"junk"), None);
    }
}
