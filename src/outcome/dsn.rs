//! Delivery status notifications (RFC 3461, 3462/6522, 3464, 6533): who is told, and the message.
//!
//! One report covers all recipients of a message whose fate became known together. It goes to the
//! reverse-path, or to the source's owner when that is null; never about a notification of ours,
//! and never against NOTIFY. It carries the header of the message; the whole message only if RET
//! asked for it, it is small, and it is 7-bit (a report must pass everywhere).
//!
//! The octets are written here and not by a library: every value that reaches a field was parsed
//! ([`Mailbox`], [`Domain`]) or made harmless ([`PeerReply`]) before: nothing can break a line.

use std::fmt::Write as _;

use bytes::Bytes;
use memchr::memmem;

use super::advice::{self, Advice};
use super::classify::status_of;
use super::fields::{field, plain, unxtext, wrapped};
use crate::base::id::QueueId;
use crate::base::limits::{REPORT_CONTENT_OCTETS_MAX, REPORT_HEADER_OCTETS_MAX};
use crate::base::time::WallTime;
use crate::mail::address::{Domain, Mailbox};
use crate::mail::envelope::{ByMode, Notify, Recipient, Ret};
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;
use crate::mail::status::EnhancedStatus;

/// What is reported of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A permanent refusal.
    Failed,
    /// Its time is over.
    Expired,
    /// It waits; tried until then.
    Delayed {
        /// When delivery is given up.
        until: WallTime,
    },
    /// The next host took it and does not speak DSN: no more will be heard of it.
    Relayed,
    /// The next host took it, and BY= asks to tell so (RFC 2852 4.1.4).
    Traced,
}

/// What the next host offered of what a sender asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// DSN: NOTIFY went on to it.
    pub dsn: bool,
    /// DELIVERBY: BY= went on to it.
    pub deadlines: bool,
}

/// What is told of a recipient that the next host took: nothing, as a rule.
///
/// With BY= every hop is told if the trace is asked for, and with mode N the hop at which the
/// deadline is lost (RFC 2852 4.1.4 and 4.1.4.2); else it is told where DSN ends, to those who want
/// to hear of success (RFC 3461 5.2.2).
#[must_use]
pub fn passed_on(parcel: &Parcel, recipient: u16, hop: Hop, now: WallTime) -> Option<Fate> {
    let recipient = parcel.envelope.recipients.get(usize::from(recipient))?;
    let traced = parcel.envelope.deliver_by.is_some_and(|by| {
        by.trace || (by.mode == ByMode::Notify && !hop.deadlines && now < by.deadline)
    });
    if traced {
        return Some(Fate::Traced);
    }
    let wanted = matches!(recipient.notify, Some(Notify::On { success: true, .. }));
    (wanted && !hop.dsn).then_some(Fate::Relayed)
}

/// The kind of a report: that of its gravest line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At least one recipient was given up.
    Failure,
    /// Delays only.
    Delay,
    /// Good news only.
    Success,
}

impl Kind {
    /// `failure`, `delay` or `success`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Delay => "delay",
            Self::Success => "success",
        }
    }
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Index in the envelope.
    pub recipient: u16,
    /// What became of it.
    pub fate: Fate,
    /// The last answer.
    pub reply: PeerReply,
    /// Host name of the peer that gave it, if one did.
    pub remote: Option<Domain>,
    /// When it was given.
    pub attempted: Option<WallTime>,
}

/// Who reports about what.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// Our own name.
    pub hostname: &'a Domain,
    /// The owner of the message's source.
    pub owner: Option<&'a Mailbox>,
    /// The name of the report itself: its Message-ID and its boundary.
    pub id: QueueId,
    /// Now.
    pub now: WallTime,
}

/// A report, not yet signed and not yet stored. Its reverse-path is null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its queue id.
    pub id: QueueId,
    /// To whom.
    pub to: Mailbox,
    /// Header and body.
    pub content: Bytes,
    /// The message that it is about.
    pub about: QueueId,
    /// Its kind.
    pub kind: Kind,
    /// It needs SMTPUTF8 (RFC 6533); so did the message that it is about.
    pub smtputf8: bool,
}

/// Why nobody is told although something is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// NOTIFY does not ask for it.
    NotWanted,
    /// Null reverse-path, and the source has no owner.
    NowhereToGo,
    /// The message is a notification of ours.
    AboutNotification,
}

impl Omitted {
    /// The reason in stable words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotWanted => "not-wanted",
            Self::NowhereToGo => "nowhere-to-go",
            Self::AboutNotification => "about-notification",
        }
    }
}

/// The report about what became of `lines` of `parcel`.
///
/// # Errors
/// Why nobody is told; a value, not a fault.
pub fn compose(parcel: &Parcel, desk: Desk<'_>, lines: &[Line]) -> Result<Report, Omitted> {
    if parcel.label.notification {
        return Err(Omitted::AboutNotification);
    }
    let wanted: Vec<(&Line, &Recipient)> = lines
        .iter()
        .filter_map(|line| {
            Some((line, parcel.envelope.recipients.get(usize::from(line.recipient))?))
        })
        .filter(|(line, recipient)| is_wanted(line.fate, recipient))
        .collect();
    if wanted.is_empty() {
        return Err(Omitted::NotWanted);
    }
    let to = parcel.envelope.reverse_path.mailbox().or(desk.owner).ok_or(Omitted::NowhereToGo)?;
    let kind = kind_of(&wanted);
    let returned = Returned::choose(parcel, kind);
    let utf8 = parcel.envelope.smtputf8
        && (to.needs_utf8()
            || !to.as_str().is_ascii()
            || wanted.iter().any(|(_, r)| !r.forward_path.as_str().is_ascii())
            || !returned.octets.is_ascii());
    let writer = Writer { parcel, desk, kind, utf8, wanted };
    let content = writer.write(to, &returned).into();
    Ok(Report { id: desk.id, to: to.clone(), content, about: parcel.id, kind, smtputf8: utf8 })
}

/// NOTIFY (RFC 3461 4.1). Without it failures and delays are told, success is not (5.2.1).
fn is_wanted(fate: Fate, recipient: &Recipient) -> bool {
    match recipient.notify.unwrap_or_default() {
        Notify::Never => false,
        Notify::On { success, failure, delay } => match fate {
            Fate::Failed | Fate::Expired => failure,
            Fate::Delayed { .. } => delay,
            Fate::Relayed => success,
            Fate::Traced => true,
        },
    }
}

fn kind_of(wanted: &[(&Line, &Recipient)]) -> Kind {
    let any = |f: fn(Fate) -> bool| wanted.iter().any(|(line, _)| f(line.fate));
    if any(|fate| matches!(fate, Fate::Failed | Fate::Expired)) {
        Kind::Failure
    } else if any(|fate| matches!(fate, Fate::Delayed { .. })) {
        Kind::Delay
    } else {
        Kind::Success
    }
}

/// The part of the message that is returned.
struct Returned {
    octets: Bytes,
    whole: bool,
}

impl Returned {
    fn choose(parcel: &Parcel, kind: Kind) -> Self {
        let content = &parcel.content;
        // RFC 3461 4.3: RET is for failures; other reports carry the header.
        // RFC 8689 section 5: what had to be protected on its way comes back as its header alone.
        let whole = parcel.envelope.ret == Some(Ret::Full)
            && !parcel.envelope.require_tls
            && kind == Kind::Failure
            && content.len() <= REPORT_CONTENT_OCTETS_MAX
            && content.is_ascii();
        if whole {
            return Self { octets: content.clone(), whole };
        }
        let end = memmem::find(content, b"\r\n\r\n").map_or(content.len(), |at| at + 2);
        let mut header = content.slice(..end);
        if header.len() > REPORT_HEADER_OCTETS_MAX {
            let cut = memmem::rfind(&header[..REPORT_HEADER_OCTETS_MAX], b"\r\n");
            header.truncate(cut.map_or(0, |at| at + 2));
        }
        Self { octets: header, whole }
    }

    /// RFC 6522 and, for international messages, RFC 6533.
    fn media_type(&self, utf8: bool) -> &'static str {
        match (self.whole, utf8 && !self.octets.is_ascii()) {
            (true, _) => "message/rfc822",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        }
    }
}

struct Writer<'a> {
    parcel: &'a Parcel,
    desk: Desk<'a>,
    kind: Kind,
    utf8: bool,
    wanted: Vec<(&'a Line, &'a Recipient)>,
}

impl Writer<'_> {
    fn write(&self, to: &Mailbox, returned: &Returned) -> Vec<u8> {
        let boundary = format!("=_postern_{}", self.desk.id);
        let mut head = self.header(to, &boundary);
        let text = self.text();
        Self::part(&mut head, &boundary, "text/plain; charset=utf-8", "Notification", &text);
        let status = self.status();
        let media =
            if self.utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
        Self::part(&mut head, &boundary, media, "Delivery report", &status);
        let what = if returned.whole { "Undelivered message" } else { "Header of the message" };
        let body = String::from_utf8_lossy(&returned.octets);
        let body = plain(&body, self.utf8);
        Self::part(&mut head, &boundary, returned.media_type(self.utf8), what, &body);
        let _ = write!(head, "--{boundary}--\r\n");
        head.into_bytes()
    }

    fn part(out: &mut String, boundary: &str, media: &str, what: &str, body: &str) {
        let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
        let _ = write!(
            out,
            "--{boundary}\r\nContent-Type: {media}\r\nContent-Description: {what}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
        );
    }

    fn header(&self, to: &Mailbox, boundary: &str) -> String {
        let Desk { hostname, id, now, .. } = self.desk;
        let subject = match self.kind {
            Kind::Failure => "Undelivered mail: your message could not be delivered",
            Kind::Delay => "Delayed mail: your message is still being tried",
            Kind::Success => "Mail passed on: your message was handed over",
        };
        let mut out = String::with_capacity(4096);
        field(&mut out, "From", &format!("Mail Delivery System <MAILER-DAEMON@{hostname}>"));
        field(
            &mut out,
            "To",
            &format!("<{}>", if self.utf8 { to.as_str().into() } else { to.ascii_form() }),
        );
        field(&mut out, "Subject", subject);
        field(&mut out, "Date", &now.rfc5322());
        field(&mut out, "Message-ID", &format!("<{id}@{hostname}>"));
        field(&mut out, "Auto-Submitted", "auto-replied");
        field(&mut out, "MIME-Version", "1.0");
        field(
            &mut out,
            "Content-Type",
            &format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\""),
        );
        out.push_str("\r\nThis is a report about a message, in the form of RFC 3464.\r\n\r\n");
        out
    }

    /// The part for people.
    fn text(&self) -> String {
        let mut out = String::with_capacity(2048);
        let hostname = self.desk.hostname;
        let opening = match self.kind {
            Kind::Failure => "could not be delivered to everyone",
            Kind::Delay => "has not reached everyone yet",
            Kind::Success => "was passed on",
        };
        let accepted = self.parcel.label.accepted.rfc5322();
        wrapped(
            &mut out,
            "",
            &format!(
                "This is the mail system at {hostname}. The message that you sent on {accepted} \
                 {opening}."
            ),
        );
        for (line, recipient) in &self.wanted {
            out.push_str("\r\n");
            self.paragraph(&mut out, line, recipient);
        }
        out.push_str("\r\n");
        wrapped(
            &mut out,
            "",
            &format!(
                "If you need help, give your administrator the number {} of this message. \
                 Nobody reads answers to this report.",
                self.parcel.id
            ),
        );
        out
    }

    fn paragraph(&self, out: &mut String, line: &Line, recipient: &Recipient) {
        let _ = write!(out, "<{}>\r\n", self.address(&recipient.forward_path));
        let advice = match line.fate {
            Fate::Relayed => Advice {
                happened: "The message was handed to the next mail system, which does not report \
                           what it does with it.",
                next: "You need not do anything.",
            },
            Fate::Traced => Advice {
                happened: "The message was handed to the next mail system.",
                next: "You need not do anything; more may be reported later.",
            },
            Fate::Delayed { .. } => advice::for_delay(),
            Fate::Expired => advice::for_failure(EnhancedStatus::new(5, 4, 7)),
            Fate::Failed => advice::for_failure(status_of(&line.reply, 5)),
        };
        wrapped(out, "    ", advice.happened);
        let said = plain(&line.reply.to_string(), self.utf8);
        match (&line.remote, line.reply.code) {
            (Some(host), 1..) => wrapped(out, "    ", &format!("{host} answered: {said}")),
            (None, 1..) => wrapped(out, "    ", &format!("It answered: {said}")),
            _ if !said.is_empty() => wrapped(out, "    ", &format!("Reason: {said}")),
            _ => {}
        }
        if let Fate::Delayed { until } = line.fate {
            wrapped(out, "    ", &format!("It is tried until {}.", until.rfc5322()));
        }
        wrapped(out, "    ", &format!("What to do: {}", advice.next));
    }

    /// The part for machines (RFC 3464 2.2 and 2.3).
    fn status(&self) -> String {
        let mut out = String::with_capacity(1024);
        let envelope = &self.parcel.envelope;
        if let Some(envid) = &envelope.envid {
            let decoded = unxtext(envid).unwrap_or_else(|| envid.to_string());
            field(&mut out, "Original-Envelope-Id", &plain(&decoded, self.utf8));
        }
        field(&mut out, "Reporting-MTA", &format!("dns; {}", self.desk.hostname));
        field(&mut out, "Arrival-Date", &self.parcel.label.accepted.rfc5322());
        if let Some(by) = envelope.deliver_by {
            field(&mut out, "Deliver-By-Date", &by.deadline.rfc5322());
        }
        field(&mut out, "X-Postern-Queue-ID", &self.parcel.id.to_string());
        for (line, recipient) in &self.wanted {
            out.push_str("\r\n");
            self.recipient_fields(&mut out, line, recipient);
        }
        out
    }

    fn recipient_fields(&self, out: &mut String, line: &Line, recipient: &Recipient) {
        if let Some(original) = recipient.orcpt.as_deref().and_then(|o| self.original(o)) {
            field(out, "Original-Recipient", &original);
        }
        let address = &recipient.forward_path;
        let kind = if self.utf8 && !address.as_str().is_ascii() { "utf-8" } else { "rfc822" };
        field(out, "Final-Recipient", &format!("{kind}; {}", self.address(address)));
        let (action, status) = match line.fate {
            Fate::Failed => ("failed", status_of(&line.reply, 5)),
            Fate::Expired => ("failed", self.expired()),
            Fate::Delayed { .. } if self.is_late() => ("delayed", EnhancedStatus::new(4, 4, 7)),
            Fate::Delayed { .. } => ("delayed", status_of(&line.reply, 4)),
            Fate::Relayed | Fate::Traced => ("relayed", status_of(&line.reply, 2)),
        };
        field(out, "Action", action);
        field(out, "Status", &status.to_string());
        if let Some(host) = &line.remote {
            field(out, "Remote-MTA", &format!("dns; {host}"));
        }
        let kind = if line.reply.code == 0 { "x-postern" } else { "smtp" };
        let said = plain(&line.reply.to_string(), self.utf8);
        if !said.is_empty() {
            field(out, "Diagnostic-Code", &format!("{kind}; {said}"));
        }
        if let Some(at) = line.attempted {
            field(out, "Last-Attempt-Date", &at.rfc5322());
        }
        if let Fate::Delayed { until } = line.fate {
            field(out, "Will-Retry-Until", &until.rfc5322());
        }
    }

    /// RFC 3463 3.5: delivery time expired. The class 4 tells that it was no refusal; where a
    /// deadline with mode R ended it, RFC 2852 4.1.3 wants a 5.
    fn expired(&self) -> EnhancedStatus {
        let deadline = self.parcel.envelope.deliver_by.filter(|by| by.mode == ByMode::Return);
        let ended = deadline.is_some_and(|by| by.deadline == self.parcel.label.expires);
        EnhancedStatus::new(if ended { 5 } else { 4 }, 4, 7)
    }

    /// A deadline with mode N has passed (RFC 2852 4.1.3).
    fn is_late(&self) -> bool {
        let by = self.parcel.envelope.deliver_by;
        by.is_some_and(|by| by.mode == ByMode::Notify && by.deadline <= self.desk.now)
    }

    /// ORCPT as RFC 3464 2.3.1 wants it: `rfc822; address`.
    fn original(&self, orcpt: &str) -> Option<String> {
        let (kind, address) = orcpt.split_once(';')?;
        let decoded = unxtext(address).filter(|decoded| self.utf8 || decoded.is_ascii());
        let address = decoded.unwrap_or_else(|| plain(address, self.utf8));
        Some(format!("{}; {address}", plain(kind, false)))
    }

    /// The address as it may be written here.
    fn address(&self, mailbox: &Mailbox) -> String {
        if self.utf8 { mailbox.as_str().to_owned() } else { plain(&mailbox.ascii_form(), false) }
    }
}

#[cfg(test)]
mod tests;
