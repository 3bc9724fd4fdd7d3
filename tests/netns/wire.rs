//! Questions in wire format: to a validator whose word is the measure of ours, and through a name
//! server that strips signatures.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
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
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    query.set_edns(edns);
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
    let asked = async {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let length = u16::try_from(query.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], query].concat()).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap()
}

/// A forwarder that does not know DNSSEC: it asks for no signatures, so none come.
pub(crate) async fn strip(listen: SocketAddr, server: SocketAddr) {
    let udp = UdpSocket::bind(listen).await.unwrap();
    let tcp = TcpListener::bind(listen).await.unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 4096];
        loop {
            let (length, peer) = udp.recv_from(&mut octets).await.unwrap();
            let answer = over_tcp(server, &without_dnssec(&octets[..length])).await;
            udp.send_to(&answer, peer).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; length.into()];
                    stream.read_exact(&mut query).await.unwrap();
                    let answer = over_tcp(server, &without_dnssec(&query)).await;
                    let length = u16::try_from(answer.len()).unwrap();
                    let answer = [&length.to_be_bytes()[..], &answer].concat();
                    stream.write_all(&answer).await.unwrap();
                }
            });
        }
    });
}

fn without_dnssec(query: &[u8]) -> Vec<u8> {
    let mut query = Message::from_vec(query).unwrap();
    query.edns = None;
    query.metadata.authentic_data = false;
    query.to_vec().unwrap()
}
