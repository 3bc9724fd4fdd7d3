//! The name servers of an egress: does each answer, and does it pass DNSSEC on?
//!
//! Each is asked one question by hand, because a resolver asks whichever it likes: the SOA of the
//! root with the DO bit (RFC 3225). A server that passes DNSSEC on sends the signature along.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Finding, Grade, Round, pass, unknown, wrong};
use crate::host::clock;

/// One question; a second one follows if nothing came.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
/// Answers of this size fit through every path (DNS flag day 2020).
const ANSWER_OCTETS: u16 = 1232;
/// A name server that takes longer than this slows every delivery.
const SLOW: Duration = Duration::from_secs(1);

const TYPE_SOA: u16 = 6;
const TYPE_OPT: u16 = 41;
const TYPE_RRSIG: u16 = 46;

pub(super) async fn check(round: &Round<'_>) -> Vec<Finding> {
    let asked = round.egress.resolvers.iter().map(|server| one(round, *server));
    let mut findings: Vec<Finding> = join_all(asked).await.into_iter().flatten().collect();
    // What the resolver that delivers mail has made of it: a signature that came need not be right.
    findings.extend(match round.names.dnssec(round.egress) {
        None => None,
        Some(Ok(())) => Some(pass("dnssec", "proofs", "names are proven: DANE protects mail")),
        Some(Err(why)) => Some(wrong(
            "dnssec",
            "proofs",
            Grade::Warn,
            format!("names cannot be proven, so DANE cannot protect any mail: {why}"),
            "name a resolver that passes DNSSEC on",
        )),
    });
    findings
}

async fn one(round: &Round<'_>, server: SocketAddr) -> Vec<Finding> {
    let begun = clock::now();
    let mut answer = ask(round, server).await;
    if answer.is_err() {
        answer = ask(round, server).await;
    }
    let took = clock::now().since(begun);
    let heard = match answer {
        Ok(heard) => heard,
        Err(why) => {
            let text = format!("{server} does not answer through this egress: {why}");
            let remedy = "see that it may be asked from this address, and UDP 53 on the way there; \
                          or name another one in resolvers";
            return vec![wrong("dns", server, Grade::Fail, text, remedy)];
        }
    };
    let dns = match heard.code {
        0 if took > SLOW => {
            let text = format!("{server} takes {} ms to answer", took.as_millis());
            wrong("dns", server, Grade::Warn, text, "name a nearer one in resolvers")
        }
        0 => pass("dns", server, format!("{server} answers in {} ms", took.as_millis())),
        5 => wrong(
            "dns",
            server,
            Grade::Fail,
            format!("{server} refuses questions from this address"),
            "name a resolver that serves this address",
        ),
        code => {
            let text = format!("{server} answers with the error code {code}");
            wrong("dns", server, Grade::Fail, text, "name another one in resolvers")
        }
    };
    let dnssec = if heard.code != 0 {
        unknown("dnssec", server, "it gave no answer that could be signed")
    } else if heard.signed {
        pass("dnssec", server, format!("{server} passes signatures on"))
    } else {
        wrong(
            "dnssec",
            server,
            Grade::Warn,
            format!("{server} strips DNSSEC signatures: DANE cannot protect any mail"),
            "name a resolver that passes DNSSEC on",
        )
    };
    vec![dns, dnssec]
}

/// What a name server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    /// The response code; 0 is good.
    code: u8,
    /// There is a signature among the answers.
    signed: bool,
}

async fn ask(round: &Round<'_>, server: SocketAddr) -> Result<Heard, String> {
    let socket = round.client.udp(&round.egress.name, server).await.map_err(|e| e.to_string())?;
    let number = crate::source::secret::seed().map_err(|fault| fault.to_string())?;
    let id = u16::try_from(number & 0xffff).unwrap_or_default();
    socket.send(&question(id)).await.map_err(|error| error.to_string())?;
    let mut octets = [0; ANSWER_OCTETS as usize];
    let deadline = tokio::time::Instant::now() + QUESTION_TIMEOUT;
    loop {
        let received = tokio::time::timeout_at(deadline, socket.recv(&mut octets)).await;
        let length = received.map_err(|_| "timeout".to_owned())?.map_err(|e| e.to_string())?;
        // Somebody who guesses answers guesses the number wrong; the right one still comes.
        if let Some(heard) = read(&octets[..length], id) {
            return Ok(heard);
        }
    }
}

/// `. IN SOA`, recursion desired, with EDNS and the DO bit.
fn question(id: u16) -> Vec<u8> {
    let mut octets = Vec::with_capacity(28);
    for word in [id, 0x0100, 1, 0, 0, 1] {
        octets.extend_from_slice(&word.to_be_bytes());
    }
    octets.push(0);
    for word in [TYPE_SOA, 1] {
        octets.extend_from_slice(&word.to_be_bytes());
    }
    octets.push(0);
    for word in [TYPE_OPT, ANSWER_OCTETS, 0, 0x8000, 0] {
        octets.extend_from_slice(&word.to_be_bytes());
    }
    octets
}

/// The answer to our question; `None` for anything else.
fn read(octets: &[u8], id: u16) -> Option<Heard> {
    let word = |at: usize| Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?));
    let flags = word(2)?;
    if word(0)? != id || flags & 0x8000 == 0 {
        return None;
    }
    let code = u8::try_from(flags & 0x0f).unwrap_or_default();
    let mut at = 12;
    for _ in 0..word(4)? {
        at = after_name(octets, at)? + 4;
    }
    let mut signed = false;
    for _ in 0..word(6)? {
        at = after_name(octets, at)?;
        signed |= word(at)? == TYPE_RRSIG;
        at += 10 + usize::from(word(at + 8)?);
    }
    Some(Heard { code, signed })
}

fn after_name(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u16) -> Vec<u8> {
        let mut octets = vec![0];
        octets.extend_from_slice(&kind.to_be_bytes());
        octets.extend_from_slice(&[0, 1, 0, 0, 0, 60, 0, 3, 1, 2, 3]);
        octets
    }

    #[test]
    fn a_signature_is_seen_and_strangers_are_not_heard() {
        let asked = question(0x1234);
        assert_eq!(read(&asked, 0x1234), None, "a question is no answer");
        let mut answer = asked[..12].to_vec();
        answer[2] = 0x81;
        answer[7] = 2;
        answer.extend_from_slice(&asked[12..17]);
        let unsigned = [&answer[..], &record(TYPE_SOA), &record(TYPE_SOA)].concat();
        assert_eq!(read(&unsigned, 0x1234), Some(Heard { code: 0, signed: false }));
        let signed = [&answer[..], &record(TYPE_SOA), &record(TYPE_RRSIG)].concat();
        assert_eq!(read(&signed, 0x1234), Some(Heard { code: 0, signed: true }));
        assert_eq!(read(&signed, 0x1235), None);
        for end in 0..signed.len() - 3 {
            assert_eq!(read(&signed[..end], 0x1234), None);
        }
        let mut refused = signed.clone();
        refused[3] = 5;
        assert_eq!(read(&refused, 0x1234).unwrap().code, 5);
    }
}
