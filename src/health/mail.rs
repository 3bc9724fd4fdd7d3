//! A synthetic message, from end to end through the real parts.
//!
//! ```text
//! listener ─► identify, permit ─► scan ─► DKIM ─► custody ─► queue ─► broker ─► lo ─► sink
//!    │                             │                                             │
//!    └ another recipient: refused  └ a twisted one: refused    550: a report comes back
//! ```
//!
//! Mail that an operator has stopped is a state and no failure: no other version would run it.
//! Engines against malware are not there yet; what can be shown of the scan are its rules of
//! structure.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::daemon::{ask, odd};
use super::sink::{Arrival, REFUSED, Sink};
use super::speak::{Heard, Letter, submit};
use crate::base::id::QueueId;
use crate::control::answer::{Answer, FactRow, SourceDetail, Status};
use crate::control::call::Line;
use crate::control::health::{Finding, GateRow};
use crate::control::request::{QueueFilter, Request};
use crate::host::clock;
use crate::mail::gate;
use crate::mail::source::{SourceName, SourceState};
use crate::sign::verify;

/// How long a message may take that crosses nothing but this machine.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(60);
/// How long facts about it may take after it has arrived.
const FACTS_PATIENCE: Duration = Duration::from_secs(10);
/// Even when all time is over: it is booked a moment after it has arrived.
const FACTS_PATIENCE_MIN: Duration = Duration::from_secs(2);
/// Between two looks.
const BEAT: Duration = Duration::from_millis(100);
/// After this the queue is told to try again: an earlier run may have left the lane shut.
const NUDGE: Duration = Duration::from_secs(3);

/// The gate's mailbox, to which reports come.
const OWN: &str = "gate@health.invalid";
/// Somebody else's.
const STRANGER: &str = "somebody@example.org";

/// Everything that one examination works with.
struct Stage<'a> {
    gate: &'a GateRow,
    listener: SocketAddr,
    hostname: &'a str,
    line: Line,
    sink: Sink,
    nonce: String,
    until: Instant,
}

/// Sends it and judges what becomes of it.
pub(super) fn examine(socket: &Path, status: &Status, boxed: bool, until: Instant) -> Vec<Finding> {
    let Some(gate) = &status.health else {
        let text = "no message was sent: [health] is not enabled";
        return vec![if boxed {
            Finding::state("mail", text)
        } else {
            Finding::skipped("mail", text)
        }];
    };
    let row = status.listeners.iter().find(|row| row.name == gate::NAME);
    let Some(listener) = row.and_then(|row| row.address.parse().ok()) else {
        return vec![Finding::fail("mail", "the daemon has no listener for the health gate")];
    };
    let mut line = match Line::open(socket) {
        Ok(line) => line,
        Err(error) => return vec![Finding::fail("mail", error.to_string())],
    };
    if let Some(stopped) = stopped(status, &mut line) {
        return vec![Finding::state("mail", format!("no message was sent: {stopped}"))];
    }
    if let Some(trouble) = &gate.trouble {
        return vec![Finding::fail("mail", format!("the gate's DKIM key: {trouble}"))];
    }
    let sink = match Sink::open(gate.sink) {
        Ok(sink) => sink,
        Err(cause) => {
            let text = format!("the sink cannot listen at {}: {cause}", gate.sink);
            return vec![Finding::fail("mail", text)];
        }
    };
    let hostname = &status.hostname;
    let mut stage = Stage { gate, listener, hostname, line, sink, nonce: nonce(), until };
    let mut findings = stage.delivery();
    findings.push(stage.scan());
    findings.push(stage.relay());
    findings
}

/// What an operator has stopped.
fn stopped(status: &Status, line: &mut Line) -> Option<String> {
    if status.state == "stopped" {
        return Some(
            status.reasons.first().cloned().unwrap_or_else(|| "all is stopped".to_owned()),
        );
    }
    let name = SourceName::new(gate::NAME)?;
    match ask(line, &Request::SourceShow { name }) {
        Ok(Answer::Source(detail)) if detail.row.state != SourceState::Active => {
            let SourceDetail { row, switched, .. } = *detail;
            Some(format!("the gate's source is {}", switched.unwrap_or(row.state.to_string())))
        }
        _ => None,
    }
}

/// A word that no other run has.
fn nonce() -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(clock::wall().0);
    format!("{:016x}{:08x}", hasher.finish(), std::process::id())
}

impl Stage<'_> {
    fn content(&self, to: &str, about: &str) -> String {
        let Self { nonce, hostname, .. } = self;
        format!(
            "From: Postern <{OWN}>\r\nTo: <{to}>\r\nSubject: {about} {nonce}\r\n\
             Date: {}\r\nMessage-ID: <{nonce}.{about}@{}>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\r\n\
             {hostname} sends this to itself to see whether mail runs.\r\n\
             .a line that begins with a dot\r\n{nonce}\r\n",
            clock::wall().rfc5322(),
            gate::DOMAIN,
        )
    }

    fn send(&self, to: &str, content: &str) -> Heard {
        submit(self.listener, &Letter { reverse_path: OWN, forward_path: to, content })
    }

    /// One message that must arrive and one that must be refused, whose report must arrive.
    fn delivery(&mut self) -> Vec<Finding> {
        let to = format!("accept@{}", gate::DOMAIN);
        let content = self.content(&to, "accept");
        let id = match self.send(&to, &content) {
            Heard::Accepted(id) => id,
            other => return vec![Finding::fail("mail", unheard("a message", other))],
        };
        let mut findings = vec![Finding::pass(
            "mail",
            format!("accepted, signed and kept as {id} at {}", self.listener),
        )];
        let nonce = self.nonce.clone();
        let mine = move |arrival: &Arrival| {
            arrival.forward_paths == [to.as_str()] && holds(&arrival.content, &nonce)
        };
        match self.wait(mine, id) {
            Err(why) => findings.push(Finding::fail("delivery", why)),
            Ok(arrival) => {
                findings.push(self.path(&arrival, id));
                findings.push(self.signature(&arrival));
                findings.push(self.facts(id));
                findings.push(self.report());
            }
        }
        findings
    }

    /// Waits for an arrival; the queue is nudged, because an earlier run may have shut the lane.
    fn wait(&mut self, wanted: impl Fn(&Arrival) -> bool, id: QueueId) -> Result<Arrival, String> {
        let end = self.until.min(Instant::now() + DELIVERY_PATIENCE);
        while Instant::now() < end {
            let pause = end.min(Instant::now() + NUDGE);
            if let Some(arrival) = self.sink.wait(&wanted, pause) {
                return Ok(arrival);
            }
            let filter =
                QueueFilter { source: SourceName::new(gate::NAME), ..QueueFilter::default() };
            // Whoever may not nudge waits.
            let _ = ask(&mut self.line, &Request::QueueRetry { filter, dry_run: false });
        }
        Err(format!("{id} did not arrive at {}: {}", self.gate.sink, self.reason(id)))
    }

    /// Why a message has not arrived, as far as the daemon knows.
    fn reason(&mut self, id: QueueId) -> String {
        if let Ok(Answer::Egresses(rows)) = ask(&mut self.line, &Request::EgressList {}) {
            let gates = rows.into_iter().find(|row| row.name == gate::NAME);
            if let Some(reason) = gates.and_then(|row| row.reason) {
                return format!("egress {} is suspended: {reason}", gate::NAME);
            }
        }
        let facts = self.trace(id).unwrap_or_default();
        let attempt = facts.iter().rev().find(|fact| fact.event.starts_with("recipient_"));
        attempt.map_or_else(|| "nobody has tried".to_owned(), |fact| fact.text.clone())
    }

    fn trace(&mut self, id: QueueId) -> Result<Vec<FactRow>, String> {
        match ask(&mut self.line, &Request::MessageTrace { id, after: 0 })? {
            Answer::Facts(facts) => Ok(facts),
            _ => Err(odd()),
        }
    }

    /// It came by loopback, from the gateway by its name, and with its envelope.
    fn path(&self, arrival: &Arrival, id: QueueId) -> Finding {
        let Arrival { peer, helo, reverse_path, content, .. } = arrival;
        let wrong = if !peer.ip().is_loopback() {
            format!("it came from {peer}, not by loopback")
        } else if !helo.eq_ignore_ascii_case(self.hostname) {
            format!("it came from {helo:?}, and this is {}", self.hostname)
        } else if reverse_path != OWN {
            format!("its reverse-path is {reverse_path:?}")
        } else if !holds(content, &format!(" id {id}")) {
            "its Received field does not name it".to_owned()
        } else if !holds(content, "\r\n.a line that begins with a dot\r\n") {
            "its content was changed on the way".to_owned()
        } else {
            return Finding::pass("delivery", format!("arrived from {helo} ({peer})"));
        };
        Finding::fail("delivery", wrong)
    }

    fn signature(&self, arrival: &Arrival) -> Finding {
        let name = format!("{}._domainkey.{}", gate::NAME, gate::DOMAIN);
        let record = |asked: &str| self.gate.record.clone().filter(|_| asked == name);
        let verified = verify::verify(&arrival.content, clock::wall(), record);
        let signer = format!("{}/{}", gate::DOMAIN, gate::NAME);
        match verified.into_iter().find(|one| one.name == signer) {
            None => Finding::fail("signature", "the message arrived without its DKIM signature"),
            Some(one) => match one.result {
                Ok(()) => Finding::pass("signature", format!("DKIM of {signer} verifies")),
                Err(why) => Finding::fail("signature", format!("DKIM of {signer}: {why}")),
            },
        }
    }

    /// The daemon's own account: delivered, and by the gate's egress.
    fn facts(&mut self, id: QueueId) -> Finding {
        let now = Instant::now();
        let end = (now + FACTS_PATIENCE).min(self.until.max(now + FACTS_PATIENCE_MIN));
        loop {
            let facts = match self.trace(id) {
                Ok(facts) => facts,
                Err(why) => return Finding::fail("queue", why),
            };
            let sent = facts.iter().find(|fact| fact.event == "recipient_delivered");
            match sent {
                Some(fact) if fact.text.contains(", egress=health,") => {
                    return Finding::pass("queue", "delivered by the broker's egress health");
                }
                Some(fact) => {
                    return Finding::fail("queue", format!("another way: {}", fact.text));
                }
                None if Instant::now() >= end => {
                    return Finding::fail("queue", format!("{id} arrived, and is not booked"));
                }
                None => std::thread::sleep(BEAT),
            }
        }
    }

    /// A recipient is refused on purpose: its report must come back.
    fn report(&mut self) -> Finding {
        let to = format!("{REFUSED}@{}", gate::DOMAIN);
        let id = match self.send(&to, &self.content(&to, "refuse")) {
            Heard::Accepted(id) => id,
            other => return Finding::fail("report", unheard("a second message", other)),
        };
        let nonce = self.nonce.clone();
        let report = move |arrival: &Arrival| {
            arrival.reverse_path.is_empty()
                && arrival.forward_paths == [OWN]
                && holds(&arrival.content, &nonce)
        };
        match self.wait(report, id) {
            Err(why) => Finding::fail("report", format!("no report came back: {why}")),
            Ok(arrival) if !holds(&arrival.content, "Action: failed") => {
                Finding::fail("report", "what came back is no report of a failure (RFC 3464)")
            }
            Ok(_) => Finding::pass("report", "a refused recipient was reported to its sender"),
        }
    }

    /// A structure that two programs read in two ways must be refused by the scan.
    fn scan(&self) -> Finding {
        let part = "Content-Type: multipart/mixed; boundary=twice\r\n\r\n--twice\r\n";
        let to = format!("scan@{}", gate::DOMAIN);
        let content = self.content(&to, "scan").replacen(
            "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
            &format!("{part}{part}\r\n"),
            1,
        );
        match self.send(&to, &content) {
            Heard::Refused("the content", reply) if reply.contains("[mime-ambiguous]") => {
                Finding::pass("scan", "a twisted MIME structure was refused (no engine looks yet)")
            }
            Heard::Accepted(id) => {
                Finding::fail("scan", format!("a twisted MIME structure was taken as {id}"))
            }
            other => Finding::fail("scan", unheard("a twisted message", other)),
        }
    }

    /// The gate's listener serves the gate's domain and no other.
    fn relay(&self) -> Finding {
        match self.send(STRANGER, &self.content(STRANGER, "relay")) {
            Heard::Refused("RCPT", reply) if reply.starts_with("550") => {
                Finding::pass("relay", "another recipient was refused at the gate's listener")
            }
            Heard::Accepted(id) => {
                Finding::fail("relay", format!("mail for a stranger was taken as {id}"))
            }
            other => Finding::fail("relay", unheard("mail for a stranger", other)),
        }
    }
}

/// A submission that went otherwise, in words.
fn unheard(what: &str, heard: Heard) -> String {
    match heard {
        Heard::Accepted(id) => format!("{what} was accepted as {id}"),
        Heard::Refused(at, reply) => format!("{what} was refused at {at}: {reply}"),
        Heard::Broken(why) => format!("{what} could not be submitted: {why}"),
    }
}

fn holds(content: &[u8], text: &str) -> bool {
    memchr::memmem::find(content, text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests;
