//! Questions in wire format: to a validator whose word is the measure of ours, and through
//! somebody who strips signatures or lies.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What a validator says of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// So many records, proved or not.
    Records(usize, bool),
    /// The name exists, only without such records; proved or not.
    None(bool),
    /// There is no such name.
    NoName,
    /// What came is forged, broken or missing.
    Refused,
}

/// Asks a validating server (over TCP, so that nothing is cut).
pub(crate) async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Word {
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(name, kind));
    query.metadata.recursion_desired = true;
    query.metadata.authentic_data = true;
    let answer = over_tcp(server, &query.to_vec().unwrap()).await;
    let answer = Message::from_vec(&answer).unwrap();
    let proved = answer.metadata.authentic_data;
    let count = answer.answers.iter().filter(|record| record.record_type() == kind).count();
    match answer.metadata.response_code {
        ResponseCode::NXDomain => Word::NoName,
        ResponseCode::NoError if count == 0 => Word::None(proved),
        ResponseCode::NoError => Word::Records(count, proved),
        _ => Word::Refused,
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let mut last = None;
    // unbound closes connections when it has many.
    for _ in 0..5 {
        match tokio::time::timeout(Duration::from_secs(30), once_over_tcp(server, query)).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => last = Some(error),
            Err(late) => panic!("{server}: {late}"),
        }
    }
    panic!("{server}: {last:?}");
}

async fn once_over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes()[..], query].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Somebody on the way, who changes questions and answers.
#[derive(Clone, Copy)]
pub(crate) struct Stranger {
    /// What becomes of a question.
    pub(crate) ask: fn(&mut Message),
    /// What becomes of an answer; the question as it was asked comes first.
    pub(crate) answer: fn(&Message, &mut Message),
}

impl Stranger {
    /// One who changes nothing.
    pub(crate) const HONEST: Self = Self { ask: |_| (), answer: |_, _| () };

    async fn answer(self, server: SocketAddr, octets: &[u8]) -> Vec<u8> {
        let question = Message::from_vec(octets).unwrap();
        let mut changed = question.clone();
        (self.ask)(&mut changed);
        let answer = over_tcp(server, &changed.to_vec().unwrap()).await;
        let mut answer = Message::from_vec(&answer).unwrap();
        answer.queries.clone_from(&question.queries);
        (self.answer)(&question, &mut answer);
        answer.to_vec().unwrap()
    }
}

/// Puts a stranger at `listen` in front of `server`.
pub(crate) async fn between(listen: SocketAddr, server: SocketAddr, stranger: Stranger) {
    let udp = UdpSocket::bind(listen).await.unwrap();
    let tcp = TcpListener::bind(listen).await.unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 4096];
        loop {
            let (length, peer) = udp.recv_from(&mut octets).await.unwrap();
            let mut answer = stranger.answer(server, &octets[..length]).await;
            if answer.len() > 1232 {
                let mut cut = Message::from_vec(&answer).unwrap();
                (cut.answers, cut.authorities) = (Vec::new(), Vec::new());
                cut.metadata.truncation = true;
                answer = cut.to_vec().unwrap();
            }
            udp.send_to(&answer, peer).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; length.into()];
                    stream.read_exact(&mut question).await.unwrap();
                    let answer = stranger.answer(server, &question).await;
                    let length = u16::try_from(answer.len()).unwrap();
                    let answer = [&length.to_be_bytes()[..], &answer].concat();
                    stream.write_all(&answer).await.unwrap();
                }
            });
        }
    });
}

/// Asks for no signatures, so none come.
pub(crate) fn without_dnssec(question: &mut Message) {
    question.edns = None;
    question.metadata.authentic_data = false;
}

/// Whether [`without_dnssec_at_times`] does it at this time.
pub(crate) static STRIPS: AtomicBool = AtomicBool::new(true);

/// As [`without_dnssec`], while it is switched on.
pub(crate) fn without_dnssec_at_times(question: &mut Message) {
    if STRIPS.load(Ordering::SeqCst) {
        without_dnssec(question);
    }
}

/// Keeps signatures of what there is, and drops proofs of what there is not.
pub(crate) fn without_denials(_question: &Message, answer: &mut Message) {
    answer.authorities.retain(|record| record.record_type() == RecordType::SOA);
}

/// Says that there are no TLSA records, in the name of a zone that nobody signs.
pub(crate) fn denied_by_a_stranger(question: &Message, answer: &mut Message) {
    if question.queries[0].query_type() == RecordType::TLSA {
        answer.answers.clear();
        answer.authorities = vec![unsigned_soa()];
    }
}

/// Asks for another name below the wildcard in place of `real`.
pub(crate) fn the_wildcard_instead(question: &mut Message) {
    let asked = question.queries[0].clone();
    if asked.name().to_ascii().to_lowercase().starts_with("real.wild.") {
        let other = Name::from_ascii("unreal.wild.sec.zone.").unwrap();
        question.queries = vec![Query::query(other, asked.query_type())];
    }
}

/// Gives what came back as if it had been asked for.
pub(crate) fn as_if_it_were(question: &Message, answer: &mut Message) {
    let asked = question.queries[0].name().clone();
    if asked.to_ascii().to_lowercase().starts_with("real.wild.") {
        for record in &mut answer.answers {
            record.name = asked.clone();
        }
        answer.authorities = vec![unsigned_soa()];
    }
}

fn unsigned_soa() -> Record {
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let soa = SOA::new(name("ns."), name("hostmaster.plain.zone."), 1, 3600, 600, 86400, 60);
    Record::from_rdata(name("plain.zone."), 300, RData::SOA(soa))
}
