//! The last room before the spool: the message becomes the octets that go on the wire.

use std::time::Duration;

use bytes::Bytes;

use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::base::limits::DKIM_LIFETIME_MIN;
use crate::base::time::WallTime;
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::mail::author::Authors;
use crate::mail::envelope::{BodyType, ByMode, DeliverBy, Envelope, Recipient};
use crate::mail::header::Header;
use crate::mail::source::Unsigned;
use crate::mail::stage::{Cleared, Label, Parcel, Signed};
use crate::smtp::reply::{Refusal, Reply};

use super::keyring::{Keyring, Signer};
use super::{dkim, trace};

/// What the seal needs to know beside the message.
#[derive(Clone, Copy, Debug)]
pub struct SealFacts<'a> {
    /// The gateway's name.
    pub hostname: &'a Domain,
    /// The id that the message gets.
    pub id: QueueId,
    /// The moment of acceptance.
    pub now: WallTime,
    /// How long delivery is tried.
    pub lifetime: Duration,
}

/// A sealed message, and what the journal says about it.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The message for the spool.
    pub signed: Signed,
    /// The address of From: (the first one).
    pub from: String,
    /// `Message-ID:` with its brackets.
    pub message_id: String,
    /// `domain/selector/algorithm` of each signature.
    pub signatures: Vec<String>,
}

/// Why a message was not sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The rules say no: the peer hears the reply.
    Refusal(Refusal),
    /// We could not: the peer hears 451 4.3.0.
    Fault(Fault),
}

impl From<Fault> for SealError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The domain of From: has no key, and its source does not allow unsigned mail.
const NO_DKIM_KEY: Refusal = Refusal::new(
    "no-dkim-key",
    Reply::new(
        550,
        (5, 7, 1),
        "No DKIM key for the domain of From: ask the administrator to add one [no-dkim-key]",
    ),
);

/// Seals a submission.
///
/// # Errors
/// `no-dkim-key`, or a fault of the signing library; never an unsigned message instead.
pub fn seal(
    cleared: &Cleared,
    keyring: &Keyring,
    facts: &SealFacts<'_>,
) -> Result<Sealed, SealError> {
    let (source, message) = (cleared.source(), cleared.message());
    let header = read(&message.content, facts.id)?;
    let from = author(&header, message.envelope.smtputf8, facts.id)?;
    let signers = keyring.of(from.domain());
    if signers.is_empty() && source.unsigned == Unsigned::Refuse {
        return Err(SealError::Refusal(NO_DKIM_KEY));
    }
    let (hostname, id, now) = (facts.hostname, facts.id, facts.now);
    let mut envelope = message.envelope.clone();
    let received = trace::received(&message.session, &envelope, hostname, id, now);
    let missing = trace::missing(&header, hostname, id, now);
    let body = &message.content[header.body_start()..];
    describe(&mut envelope, header.is_ascii(), body);
    // Whoever asks for REQUIRETLS is not asked what the header says (RFC 8689 4.1).
    envelope.tls_optional = !envelope.require_tls && header.says_tls_optional();
    let added =
        Header::read(missing.as_bytes()).map_err(|e| Fault::new("adding fields to", id, e))?;
    let author_fields = || header.fields().filter(|field| trace::is_kept(field, hostname));
    let fields = added.fields().chain(author_fields());
    let fields: Vec<(&str, &str)> =
        fields.map(|field| (field.name, &field.whole[field.name.len() + 1..])).collect();
    let valid = DKIM_LIFETIME_MIN.max(facts.lifetime + Duration::from_secs(24 * 3600));
    let domain = from.domain();
    let signatures = dkim::signatures(domain, signers, &fields, body, now, valid)?;
    let mut pieces = vec![&signatures[..], received.as_bytes(), missing.as_bytes()];
    pieces.extend(author_fields().map(|field| field.whole.as_bytes()));
    let content = assemble(&pieces, body);
    let label = Label {
        source: source.name.clone(),
        class: source.class,
        accepted: now,
        expires: expires(&envelope, now.after(facts.lifetime)),
        notification: false,
        priority: envelope.priority.unwrap_or_default(),
        notice: notice(&envelope, now),
    };
    Ok(Sealed {
        from: from.to_string(),
        message_id: message_id(&added, &header),
        signatures: signers.iter().map(|signer| dkim::name(domain, signer)).collect(),
        signed: Signed::mint(Parcel { id, label, envelope, content }),
    })
}

/// Seals a notification of ours: from the null reverse-path to one mailbox, signed with the key of
/// the domain of its From: or of the nearest domain above it. Without such a key it leaves
/// unsigned, and `signatures` is empty: a report that never arrives helps nobody.
///
/// `content` is complete: header with From, To, Subject, Date and Message-ID, and body. It may need
/// `smtputf8` for its parts although its header and its recipient do not (RFC 6533).
///
/// # Errors
/// `content` is no message, or the signing library failed.
pub fn seal_notification(
    content: &Bytes,
    to: Mailbox,
    label: Label,
    id: QueueId,
    smtputf8: bool,
    keyring: &Keyring,
) -> Result<Sealed, Fault> {
    let envelope = Envelope { smtputf8, ..Envelope::from(ReversePath::Null) };
    seal_report(content, envelope, to, label, id, keyring)
}

/// As [`seal_notification`], with what `envelope` says: a report about a message that must be
/// protected on its way is protected in the same way (RFC 8689 section 5).
///
/// # Errors
/// As [`seal_notification`].
pub fn seal_report(
    content: &Bytes,
    mut envelope: Envelope,
    to: Mailbox,
    label: Label,
    id: QueueId,
    keyring: &Keyring,
) -> Result<Sealed, Fault> {
    let header = read(content, id)?;
    let from = author(&header, true, id)?;
    let (domain, signers): (Domain, &[Signer]) =
        keyring.nearest(from.domain()).unwrap_or_else(|| (from.domain().clone(), &[]));
    let smtputf8 = envelope.smtputf8;
    envelope.recipients.push(Recipient::plain(to));
    let body = &content[header.body_start()..];
    describe(&mut envelope, header.is_ascii(), body);
    envelope.smtputf8 |= smtputf8;
    let fields: Vec<(&str, &str)> =
        header.fields().map(|field| (field.name, &field.whole[field.name.len() + 1..])).collect();
    let valid = DKIM_LIFETIME_MIN.max(label.expires.since(label.accepted));
    let signatures = dkim::signatures(&domain, signers, &fields, body, label.accepted, valid)?;
    let content = assemble(&[&signatures, header.text().as_bytes()], body);
    Ok(Sealed {
        from: from.to_string(),
        message_id: message_id(&header, &header),
        signatures: signers.iter().map(|signer| dkim::name(&domain, signer)).collect(),
        signed: Signed::mint(Parcel { id, label, envelope, content }),
    })
}

/// When delivery is given up: a deadline with mode R shortens the patience of the class, and never
/// lengthens it (RFC 2852 4.1).
fn expires(envelope: &Envelope, patience: WallTime) -> WallTime {
    match envelope.deliver_by {
        Some(DeliverBy { deadline, mode: ByMode::Return, .. }) => patience.min(deadline),
        _ => patience,
    }
}

/// With mode N the sender has said when it wants to hear of a delay. A deadline that had passed
/// before the message came was told by whoever had it then (RFC 2852 section 4).
fn notice(envelope: &Envelope, now: WallTime) -> Option<WallTime> {
    match envelope.deliver_by {
        Some(DeliverBy { deadline, mode: ByMode::Notify, .. }) if deadline > now => Some(deadline),
        _ => None,
    }
}

/// The header, which an earlier room has read already: failing here is a fault of ours.
fn read(content: &Bytes, id: QueueId) -> Result<Header<'_>, Fault> {
    Header::read(content).map_err(|e| Fault::new("reading the header of", id, e))
}

/// The first mailbox of From:; policy has made sure that all share one domain.
fn author(header: &Header<'_>, utf8: bool, id: QueueId) -> Result<Mailbox, Fault> {
    let fault = |cause: &str| Fault::new("reading From of", id, cause);
    let field = header.first("From").ok_or_else(|| fault("there is none"))?;
    let authors = Authors::parse(field.value, utf8).map_err(|e| fault(&e.to_string()))?;
    authors.mailboxes.into_iter().next().ok_or_else(|| fault("it names nobody"))
}

/// Says in the envelope what the content needs, no more and no less: a receiver without 8BITMIME
/// or SMTPUTF8 gets what it can take, and nothing is said to be seven bits that is not.
fn describe(envelope: &mut Envelope, header_ascii: bool, body: &[u8]) {
    let recipients = envelope.recipients.iter().any(|r| r.forward_path.needs_utf8());
    let sender = envelope.reverse_path.mailbox().is_some_and(Mailbox::needs_utf8);
    envelope.smtputf8 = !header_ascii || recipients || sender;
    let eight = !header_ascii || !body.is_ascii();
    envelope.body = if eight { BodyType::EightBitMime } else { BodyType::SevenBit };
}

fn message_id(added: &Header<'_>, header: &Header<'_>) -> String {
    let field = added.first("Message-ID").or_else(|| header.first("Message-ID"));
    field.map_or_else(String::new, |field| field.unfolded())
}

/// Header pieces, the empty line, the body; one allocation. A body without a last CRLF gets one:
/// DATA could not carry it otherwise, and both canonicalizations agree with it.
fn assemble(pieces: &[&[u8]], body: &[u8]) -> Bytes {
    let size = pieces.iter().map(|piece| piece.len()).sum::<usize>() + body.len() + 4;
    let mut content = Vec::with_capacity(size);
    for piece in pieces {
        content.extend_from_slice(piece);
    }
    content.extend_from_slice(b"\r\n");
    content.extend_from_slice(body);
    if !body.is_empty() && !body.ends_with(b"\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    content.into()
}
