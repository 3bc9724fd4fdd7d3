//! What a host cannot take is answered here, before a command is sent: nothing is ever downgraded.
//!
//! The content carries our signature, so it is sent octet for octet or not at all (RFC 6152 3,
//! RFC 6531 3.2, RFC 1870 6.1, RFC 8689 4.2.1). A deadline with mode R goes to hosts alone that
//! promise it too (RFC 2852 4.1.4.1), unless the administrator lets its source hand over in time.

use bytes::{BufMut, BytesMut};

use super::content::line_endings_good;
use super::offer::Offer;
use crate::base::time::WallTime;
use crate::mail::address::Mailbox;
use crate::mail::envelope::{ByMode, DeliverBy, Envelope, Notify, Recipient, Ret};
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;
use crate::mail::status::EnhancedStatus;

/// A host at the moment at which a transaction shall begin.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// What it offers on the present channel.
    pub offer: &'a Offer,
    /// TLS proved that it is the host that the recipient's domain named (RFC 8689 section 2).
    pub authenticated: bool,
    /// Now, for deadlines.
    pub wall: WallTime,
}

/// What a message needs of a host, and how its commands are written for this host.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a parameter is written or it is not")]
pub struct Preflight {
    utf8: bool,
    eight_bit: bool,
    dsn: bool,
    size: bool,
    require_tls: bool,
    priority: Option<i8>,
    by: Option<(i64, DeliverBy)>,
    /// A deadline goes to a host that does not know it: it shall tell of delays (RFC 2852 4.1.4.2).
    delays: bool,
}

impl Preflight {
    /// Looks at `parcel` with the eyes of `peer`.
    ///
    /// # Errors
    /// The answer for every recipient, if the host cannot take the message for any of them.
    pub fn new(parcel: &Parcel, peer: &Peer<'_>) -> Result<Self, PeerReply> {
        let offer = peer.offer;
        let content = &parcel.content[..];
        if !line_endings_good(content) {
            return Err(ours((5, 6, 0), "the content holds a bare CR or LF and was not sent"));
        }
        let require_tls = require_tls(&parcel.envelope, peer)?;
        let by = by(&parcel.envelope, peer)?;
        if offer.size.is_some_and(|max| max > 0 && content.len() as u64 > max) {
            return Err(ours((5, 3, 4), "the message is larger than the host allows (SIZE)"));
        }
        let ascii = content.is_ascii();
        let sender_utf8 = parcel.envelope.reverse_path.mailbox().is_some_and(Mailbox::needs_utf8);
        let header_utf8 = !ascii && parcel.envelope.smtputf8 && !header(content).is_ascii();
        if (sender_utf8 || header_utf8) && !offer.smtputf8 {
            return Err(ours((5, 6, 7), "the host does not offer SMTPUTF8"));
        }
        if !ascii && !offer.eight_bit_mime {
            return Err(ours((5, 6, 3), "the host does not offer 8BITMIME"));
        }
        Ok(Self {
            utf8: offer.smtputf8 && parcel.envelope.smtputf8,
            eight_bit: !ascii,
            dsn: offer.dsn,
            size: offer.size.is_some(),
            require_tls,
            priority: offer.priority.then(|| parcel.envelope.priority.unwrap_or_default()),
            by,
            delays: wants_delays(&parcel.envelope, peer),
        })
    }

    /// The answer for one recipient that this host cannot take, if so.
    #[must_use]
    pub fn refuses(&self, recipient: &Recipient) -> Option<PeerReply> {
        (recipient.forward_path.needs_utf8() && !self.utf8)
            .then(|| ours((5, 6, 7), "the host does not offer SMTPUTF8"))
    }

    /// `MAIL FROM:<..>` with the parameters that the host understands.
    pub fn write_mail(&self, parcel: &Parcel, line: &mut BytesMut) {
        let envelope = &parcel.envelope;
        line.put_slice(b"MAIL FROM:<");
        if let Some(mailbox) = envelope.reverse_path.mailbox() {
            self.write_path(mailbox, line);
        }
        line.put_slice(b">");
        if self.size {
            line.put_slice(format!(" SIZE={}", parcel.content.len()).as_bytes());
        }
        if self.eight_bit {
            line.put_slice(b" BODY=8BITMIME");
        }
        if self.utf8 {
            line.put_slice(b" SMTPUTF8");
        }
        if self.dsn {
            write_dsn(envelope, line);
        }
        if self.require_tls {
            line.put_slice(b" REQUIRETLS");
        }
        if let Some(priority) = self.priority {
            line.put_slice(format!(" MT-PRIORITY={priority}").as_bytes());
        }
        if let Some((secs, by)) = self.by {
            let mode = if by.mode == ByMode::Return { "R" } else { "N" };
            let trace = if by.trace { "T" } else { "" };
            line.put_slice(format!(" BY={secs};{mode}{trace}").as_bytes());
        }
        line.put_slice(b"\r\n");
    }

    /// `RCPT TO:<..>`, with NOTIFY and ORCPT as they were given if the host understands them.
    /// Where a deadline with mode N does not go on, the host is asked to tell of delays.
    pub fn write_recipient(&self, recipient: &Recipient, line: &mut BytesMut) {
        line.put_slice(b"RCPT TO:<");
        self.write_path(&recipient.forward_path, line);
        line.put_slice(b">");
        if self.dsn {
            let notify =
                if self.delays { Some(with_delay(recipient.notify)) } else { recipient.notify };
            if let Some(notify) = notify {
                line.put_slice(b" NOTIFY=");
                line.put_slice(notify_value(notify).as_bytes());
            }
            if let Some(orcpt) = &recipient.orcpt {
                line.put_slice(b" ORCPT=");
                line.put_slice(orcpt.as_bytes());
            }
        }
        line.put_slice(b"\r\n");
    }

    /// As written for a host with SMTPUTF8, else with the domain as A-labels.
    fn write_path(&self, mailbox: &Mailbox, line: &mut BytesMut) {
        if self.utf8 || mailbox.as_str().is_ascii() {
            line.put_slice(mailbox.as_str().as_bytes());
        } else {
            line.put_slice(mailbox.ascii_form().as_bytes());
        }
    }
}

/// Whether REQUIRETLS is said. Mail that asks for it goes to a host alone that proved who it is and
/// offers it in turn (RFC 8689 4.2.1); only a report is never lost for its sake (section 5).
fn require_tls(envelope: &Envelope, peer: &Peer<'_>) -> Result<bool, PeerReply> {
    let promised = peer.authenticated && peer.offer.require_tls;
    if !envelope.require_tls || promised || envelope.reverse_path.mailbox().is_none() {
        return Ok(envelope.require_tls && promised);
    }
    Err(if peer.authenticated {
        ours((5, 7, 30), "REQUIRETLS support required: the host does not offer it")
    } else {
        ours((5, 7, 10), "encryption needed: REQUIRETLS asks for a host that TLS authenticates")
    })
}

/// BY= for a host that offers DELIVERBY, with the seconds that are left (RFC 2852 4.1.4).
fn by(envelope: &Envelope, peer: &Peer<'_>) -> Result<Option<(i64, DeliverBy)>, PeerReply> {
    let Some(by) = envelope.deliver_by else { return Ok(None) };
    let left = by.remaining_secs(peer.wall);
    if by.is_dead(peer.wall) {
        return Err(ours((5, 4, 7), "delivery time expired: BY= asked for the message by then"));
    }
    match (by.mode, peer.offer.deliver_by) {
        (ByMode::Notify, offer) => Ok(offer.map(|_| (left, by))),
        (ByMode::Return, Some(least)) if left >= i64::from(least).max(1) => Ok(Some((left, by))),
        (ByMode::Return, _) if by.handover => Ok(None),
        (ByMode::Return, Some(least)) => {
            let text = format!("the host promises {least} s at best, and BY= leaves {left} s");
            Err(ours((5, 4, 7), &text))
        }
        (ByMode::Return, None) => {
            Err(ours((5, 3, 3), "the host does not offer DELIVERBY, which BY= with R asks for"))
        }
    }
}

/// RFC 2852 4.1.4.2: before the deadline, to a host without DELIVERBY.
fn wants_delays(envelope: &Envelope, peer: &Peer<'_>) -> bool {
    envelope.deliver_by.is_some_and(|by| by.mode == ByMode::Notify && by.deadline > peer.wall)
        && peer.offer.deliver_by.is_none()
}

/// DELAY added; NEVER stays never.
fn with_delay(notify: Option<Notify>) -> Notify {
    match notify.unwrap_or_default() {
        Notify::Never => Notify::Never,
        Notify::On { success, failure, .. } => Notify::On { success, failure, delay: true },
    }
}

fn write_dsn(envelope: &Envelope, line: &mut BytesMut) {
    match envelope.ret {
        Some(Ret::Full) => line.put_slice(b" RET=FULL"),
        Some(Ret::Hdrs) => line.put_slice(b" RET=HDRS"),
        None => {}
    }
    if let Some(envid) = &envelope.envid {
        line.put_slice(b" ENVID=");
        line.put_slice(envid.as_bytes());
    }
}

/// `notify-esmtp-value` of RFC 3461 4.1.
fn notify_value(notify: Notify) -> String {
    let Notify::On { success, failure, delay } = notify else {
        return "NEVER".to_owned();
    };
    let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
    let chosen: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    if chosen.is_empty() { "NEVER".to_owned() } else { chosen.join(",") }
}

/// The header block of a message.
fn header(content: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(content, b"\r\n\r\n").unwrap_or(content.len());
    &content[..end]
}

/// An answer of our own.
pub(super) fn ours(status: (u8, u16, u16), text: &str) -> PeerReply {
    PeerReply::ours(EnhancedStatus::new(status.0, status.1, status.2), text)
}

#[cfg(test)]
mod tests;
