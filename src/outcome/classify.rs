//! What an answer means (RFC 5321 4.2.1, 4.5.4.1; RFC 3463; RFC 7504).
//!
//! The first digit of the code decides; the enhanced status only refines. Where field practice is
//! kinder than the letter, we are kind, because a retry costs nothing and a wrong bounce does:
//!
//! | answer | meaning |
//! |---|---|
//! | 5xx greeting | transient, as Postfix: a host refused *us*, nobody spoke of the recipient |
//! | 521, 556 anywhere | permanent (RFC 7504, RFC 7505) |
//! | 5xx EHLO, MAIL, RCPT, DATA, final dot | permanent |
//! | 552 at RCPT | transient (RFC 5321 4.5.3.1.10), unless the status speaks of mailbox or size |
//! | STARTTLS refused or broken | transient: the trouble is between two hosts |
//! | no reply (code 0) | the class of our own status |
//! | final dot sent, no reply | transient, and not before ten minutes (RFC 1047) |
//!
//! What the reply book ([`super::replies`]) knows about a reply goes before its code: who is told
//! to slow down, or that an address is on a blocklist, or that something of ours is wrong, keeps
//! the message although the code is 5xx. Such a refusal is about us and passes, or is mended; the
//! recipient did not refuse the mail.

use std::time::Duration;

use super::replies::Found;
use crate::base::limits::IN_DOUBT_WAIT;
use crate::mail::answer::{Answer, Phase};
use crate::mail::meaning::{Defect, Meaning};
use crate::mail::reply::PeerReply;
use crate::mail::status::EnhancedStatus;

/// What becomes of the recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next host took responsibility.
    Delivered,
    /// To be tried again, not before this wait.
    Deferred(Duration),
    /// Permanent refusal.
    Failed,
    /// Nothing was tried: our own way out is down. No attempt is counted.
    Untried,
}

/// Whom an answer concerns: how the lane must take it. The order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// The host works and took something.
    Good,
    /// The recipient or the message alone.
    Recipient,
    /// The provider asks for fewer connections.
    Throttled,
    /// The provider asks for less mail, or for a pause.
    Limited,
    /// Hosts were reached, and none is known as well as this one domain asks: its mail waits, and
    /// its neighbours at the same provider do not.
    Distrusted,
    /// No working host was reached.
    Unreachable,
}

/// An answer, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What becomes of the recipient.
    pub verdict: Verdict,
    /// How the lane must take it.
    pub concern: Concern,
    /// What the reply book says about it, for a recipient that was not taken.
    pub found: Option<Found>,
    /// The peer complained about our protocol or format: the fault may be ours.
    pub own_defect: bool,
}

impl Judgement {
    /// What of ours the receiver finds wrong, so that its mail is kept back.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        match self.found?.meaning {
            Meaning::OwnDefect(defect) => Some(defect),
            _ => None,
        }
    }

    /// Whether the receiver says that our address has a bad name.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.found.is_some_and(|found| found.meaning == Meaning::Listed)
    }

    /// How long the lane shall pause at least, if the rule says so.
    #[must_use]
    pub fn lane_pause(&self) -> Option<Duration> {
        self.found.filter(|_| self.concern == Concern::Limited)?.pause
    }
}

/// What `answer` means, of which the reply book says `found`.
#[must_use]
pub fn classify(answer: &Answer, found: Option<Found>) -> Judgement {
    let plain = verdict(answer);
    let refused = !matches!(plain, Verdict::Delivered | Verdict::Untried) && !answer.in_doubt;
    let found = found.filter(|_| refused);
    let verdict = found.map_or(plain, |found| refine(plain, found));
    Judgement {
        verdict,
        concern: concern(answer, verdict, found),
        found,
        own_defect: verdict == Verdict::Failed && blames_us(&answer.reply),
    }
}

/// The verdict of a reply that the book knows.
fn refine(plain: Verdict, found: Found) -> Verdict {
    match (found.meaning, plain) {
        (Meaning::Greylisted, _) => Verdict::Deferred(found.pause.unwrap_or_default()),
        (
            Meaning::TooManyConnections
            | Meaning::RateLimited
            | Meaning::Throttled
            | Meaning::Listed
            | Meaning::OwnDefect(_),
            _,
        ) => Verdict::Deferred(Duration::ZERO),
        (Meaning::MailboxFull, Verdict::Deferred(_)) => {
            Verdict::Deferred(found.pause.unwrap_or_default())
        }
        (_, plain) => plain,
    }
}

fn verdict(answer: &Answer) -> Verdict {
    let again = Verdict::Deferred(Duration::ZERO);
    let code = answer.reply.code;
    match (answer.phase, code) {
        (Phase::Egress, _) => Verdict::Untried,
        _ if answer.in_doubt => Verdict::Deferred(IN_DOUBT_WAIT),
        (Phase::Dot, 200..=299) => Verdict::Delivered,
        (_, 0) => match answer.reply.status {
            Some(EnhancedStatus { class: 5, .. }) => Verdict::Failed,
            _ => again,
        },
        (_, 521 | 556) => Verdict::Failed,
        (Phase::Routing | Phase::Connect | Phase::Greeting | Phase::StartTls, _) => again,
        (Phase::Rcpt, 552) if !about_size(answer.reply.status) => again,
        (_, 500..=599) => Verdict::Failed,
        // 4xx, and codes that no RFC knows at this place.
        _ => again,
    }
}

/// Mailbox full, message too large for the mailbox or the system: 552 means what it says.
fn about_size(status: Option<EnhancedStatus>) -> bool {
    status.is_some_and(|s| s.class == 5 && matches!((s.subject, s.detail), (2, 2 | 3) | (3, 4)))
}

fn concern(answer: &Answer, verdict: Verdict, found: Option<Found>) -> Concern {
    if let Some(found) = found {
        match found.meaning {
            Meaning::TooManyConnections => return Concern::Throttled,
            Meaning::RateLimited | Meaning::Throttled | Meaning::Listed => return Concern::Limited,
            Meaning::Greylisted
            | Meaning::MailboxFull
            | Meaning::OwnDefect(_)
            | Meaning::UnknownRecipient
            | Meaning::Spam => return Concern::Recipient,
            Meaning::Ordinary => {}
        }
    }
    match (verdict, answer.phase) {
        (Verdict::Delivered, _) => Concern::Good,
        (Verdict::Failed | Verdict::Untried, _) => Concern::Recipient,
        // Without a word that is known, 421 is about the connection.
        _ if answer.reply.code == 421 => Concern::Throttled,
        (_, Phase::StartTls) if is_distrust(&answer.reply) => Concern::Distrusted,
        (_, Phase::Routing | Phase::Connect | Phase::Greeting | Phase::Ehlo | Phase::StartTls) => {
            Concern::Unreachable
        }
        // The connection broke in the middle, or the last reply never came.
        _ if answer.reply.code == 0 || answer.in_doubt => Concern::Throttled,
        _ => Concern::Recipient,
    }
}

/// Our own word that a host may not be used (4.7.5): a policy, a certificate, a handshake.
fn is_distrust(reply: &PeerReply) -> bool {
    reply.code == 0 && reply.status == Some(EnhancedStatus::new(4, 7, 5))
}

/// Syntax, sequence and content complaints: the journal shows them to an administrator.
fn blames_us(reply: &PeerReply) -> bool {
    let syntax = matches!(reply.code, 500..=504 | 555);
    let status = reply.status.is_some_and(|s| {
        s.class == 5 && matches!((s.subject, s.detail), (5, 0..=2 | 4 | 5) | (6, _))
    });
    (syntax && reply.status.is_none()) || status
}

/// The status that a report gives: the peer's if it fits the verdict, else the nearest of RFC 3463.
#[must_use]
pub fn status_of(reply: &PeerReply, class: u8) -> EnhancedStatus {
    match reply.status {
        Some(status) if status.class == class => status,
        Some(status) => EnhancedStatus { class, ..status },
        None => EnhancedStatus::new(class, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::replies::Book;
    use super::*;
    use crate::base::limits::{GREYLIST_WAIT, MAILBOX_FULL_WAIT};

    fn answer(phase: Phase, code: u16, status: &str, text: &str) -> Answer {
        let reply = PeerReply::new(code, status.parse().ok(), text);
        Answer { recipient: 0, phase, reply, in_doubt: false }
    }

    fn judge(phase: Phase, code: u16, status: &str, text: &str) -> (Verdict, Concern) {
        let answer = answer(phase, code, status, text);
        let judgement = classify(&answer, Book::default().look_up(None, &answer.reply));
        (judgement.verdict, judgement.concern)
    }

    #[test]
    fn every_row_of_the_table() {
        use Concern::{Distrusted, Good, Limited, Recipient, Throttled, Unreachable};
        use Verdict::{Delivered, Failed, Untried};
        let full = Verdict::Deferred(MAILBOX_FULL_WAIT);
        let greylisted = Verdict::Deferred(GREYLIST_WAIT);
        let again = Verdict::Deferred(Duration::ZERO);
        let rows = [
            (Phase::Dot, 250, "2.0.0", "ok", Delivered, Good),
            (Phase::Data, 250, "2.0.0", "what", again, Recipient),
            (Phase::Egress, 0, "4.4.1", "link down", Untried, Recipient),
            (Phase::Routing, 0, "4.4.3", "no name server", again, Unreachable),
            (Phase::Routing, 0, "5.1.2", "no such domain", Failed, Recipient),
            (Phase::Routing, 0, "5.1.10", "null MX", Failed, Recipient),
            (Phase::Connect, 0, "4.4.1", "timed out", again, Unreachable),
            (Phase::Greeting, 554, "", "go away", again, Unreachable),
            (Phase::Greeting, 521, "", "no mail here", Failed, Recipient),
            (Phase::Greeting, 421, "", "busy", again, Throttled),
            (Phase::Greeting, 450, "", "busy", again, Unreachable),
            (Phase::Ehlo, 550, "5.7.1", "blocked", Failed, Recipient),
            (Phase::Ehlo, 451, "", "later", again, Unreachable),
            (Phase::StartTls, 502, "5.5.1", "no", again, Unreachable),
            (Phase::StartTls, 0, "4.7.5", "handshake", again, Distrusted),
            (Phase::Mail, 550, "5.7.1", "no", Failed, Recipient),
            (Phase::Mail, 452, "4.3.1", "full", again, Recipient),
            (Phase::Rcpt, 550, "5.1.1", "unknown", Failed, Recipient),
            (Phase::Rcpt, 450, "4.2.0", "greylisted", greylisted, Recipient),
            (Phase::Rcpt, 552, "", "too many recipients", again, Recipient),
            (Phase::Rcpt, 552, "5.2.2", "mailbox full", Failed, Recipient),
            (Phase::Rcpt, 421, "4.7.0", "closing", again, Throttled),
            (Phase::Mail, 451, "4.7.0", "Rate limited? rate limit hit", again, Limited),
            (Phase::Dot, 550, "5.6.0", "bad content", Failed, Recipient),
            (Phase::Dot, 451, "4.7.28", "unusual", again, Recipient),
            (Phase::Rcpt, 452, "4.2.2", "full", full, Recipient),
            (Phase::Greeting, 554, "", "client host [192.0.2.1] blocked", again, Limited),
            (Phase::Rcpt, 554, "5.7.1", "see spamhaus", again, Limited),
            (Phase::Dot, 550, "5.7.26", "unauthenticated", again, Recipient),
            (Phase::Rcpt, 421, "4.7.0", "too many connections", again, Throttled),
            (Phase::Rcpt, 554, "", "too many connections", again, Throttled),
            (Phase::Dot, 550, "", "spam message", Failed, Recipient),
            (Phase::Content, 0, "4.4.2", "lost", again, Throttled),
            (Phase::Mail, 354, "", "what", again, Recipient),
            (Phase::Mail, 0, "", "?", again, Throttled),
            (Phase::Rcpt, 450, "5.1.1", "class and code differ", again, Recipient),
        ];
        for (phase, code, status, text, verdict, concern) in rows {
            let row = format!("{phase:?} {code} {status} {text}");
            assert_eq!(judge(phase, code, status, text), (verdict, concern), "{row}");
        }
    }

    #[test]
    fn a_delivery_in_doubt_waits_ten_minutes() {
        let mut lost = answer(Phase::Dot, 0, "4.4.2", "lost");
        lost.in_doubt = true;
        assert_eq!(classify(&lost, None).verdict, Verdict::Deferred(IN_DOUBT_WAIT));
    }

    #[test]
    fn complaints_about_our_protocol_are_flagged() {
        let flagged =
            |code, status| classify(&answer(Phase::Mail, code, status, ""), None).own_defect;
        assert!(flagged(501, "") && flagged(503, "5.5.1") && flagged(554, "5.6.0"));
        assert!(!flagged(550, "5.1.1") && !flagged(451, "4.5.1") && !flagged(501, "5.1.3"));
    }

    #[test]
    fn a_status_fits_its_verdict() {
        let status = |code, status: &str, class| {
            status_of(&PeerReply::new(code, status.parse().ok(), ""), class).to_string()
        };
        assert_eq!(status(550, "5.1.1", 5), "5.1.1");
        assert_eq!(status(550, "4.1.1", 5), "5.1.1");
        assert_eq!(status(550, "", 5), "5.0.0");
    }
}
