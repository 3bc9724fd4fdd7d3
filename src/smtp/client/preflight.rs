//! What a host cannot take is answered here, before a command is sent: nothing is ever downgraded.
//!
//! The content carries our signature, so it is sent octet for octet or not at all (RFC 6152 3,
//! RFC 6531 3.2, RFC 1870 6.1, RFC 8689 4.2.1).

use bytes::{BufMut, BytesMut};

use super::content::line_endings_good;
use super::offer::Offer;
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Notify, Recipient, Ret};
use crate::mail::reply::PeerReply;
use crate::mail::stage::Parcel;
use crate::mail::status::EnhancedStatus;

/// What a message needs of a host, and how its commands are written for this host.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a parameter is written or it is not")]
pub struct Preflight {
    utf8: bool,
    eight_bit: bool,
    dsn: bool,
    size: bool,
}

impl Preflight {
    /// Looks at `parcel` with the eyes of a host that offered `offer`.
    ///
    /// # Errors
    /// The answer for every recipient, if the host cannot take the message for any of them.
    pub fn new(parcel: &Parcel, offer: &Offer) -> Result<Self, PeerReply> {
        let content = &parcel.content[..];
        if !line_endings_good(content) {
            return Err(ours((5, 6, 0), "the content holds a bare CR or LF and was not sent"));
        }
        if parcel.envelope.require_tls {
            // RFC 8689 4.2.1 asks for an *authenticated* host. Opportunistic TLS is none.
            return Err(ours((5, 7, 30), "REQUIRETLS cannot be promised on the way to this host"));
        }
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
        line.put_slice(b"\r\n");
    }

    /// `RCPT TO:<..>`, with NOTIFY and ORCPT as they were given if the host understands them.
    pub fn write_recipient(&self, recipient: &Recipient, line: &mut BytesMut) {
        line.put_slice(b"RCPT TO:<");
        self.write_path(&recipient.forward_path, line);
        line.put_slice(b">");
        if self.dsn {
            if let Some(notify) = recipient.notify {
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
