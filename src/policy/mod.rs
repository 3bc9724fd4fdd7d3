//! Permit: may this source send this message from this author to these recipients?
//!
//! | at | function | refuses |
//! |---|---|---|
//! | MAIL | [`wishes::grant`] | a deadline (555 5.7.1) |
//! | MAIL | [`permit_sender`] | a reverse-path of no pair (550 5.7.1), a size (552 5.3.4) |
//! | RCPT | [`permit_recipient`] | literals and disguised addresses (550 5.1.3), the health gate's domain (550 5.1.2), one too many (452 4.5.3) |
//! | end of content | [`permit_message`] | all of [`content`], [`author`] and [`refusals`] |
//!
//! Everything is denied that no pair of the source allows. The names of the rules are stable.

pub mod author;
pub mod content;
pub mod refusals;
pub mod shown;
pub mod wishes;

use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::author::looks_encoded;
use crate::mail::gate;
use crate::mail::header::Header;
use crate::mail::source::{Proof, SenderPair, Source};
use crate::mail::stage::{Attributed, Permitted, Submitted};
use crate::smtp::reply::Refusal;

/// At MAIL: may `source` use this reverse-path, and send `size` octets (SIZE=)?
///
/// # Errors
/// `sender-not-allowed`, `null-sender-not-allowed`, `message-too-large`.
pub fn permit_sender(
    source: &Source,
    reverse_path: &ReversePath,
    size: Option<u64>,
) -> Result<(), Refusal> {
    if size.is_some_and(|size| source.message_octets_max.is_some_and(|max| size > max)) {
        return Err(refusals::MESSAGE_TOO_LARGE);
    }
    let disguised = reverse_path.mailbox().is_some_and(is_disguised);
    let mut pairs = source.pairs.iter();
    if !disguised && pairs.any(|pair| covers(pair, reverse_path)) {
        return Ok(());
    }
    match reverse_path {
        ReversePath::Null => Err(refusals::NULL_SENDER_NOT_ALLOWED),
        ReversePath::Mailbox(_) => Err(refusals::SENDER_NOT_ALLOWED),
    }
}

/// At RCPT: may `source` write to `forward_path` after `accepted` recipients? `gateway_max` is
/// the gateway's own ceiling.
///
/// # Errors
/// `too-many-recipients`, `recipient-is-literal`, `recipient-is-disguised`,
/// `recipient-is-reserved`.
pub fn permit_recipient(
    source: &Source,
    forward_path: &Mailbox,
    accepted: usize,
    gateway_max: usize,
) -> Result<(), Refusal> {
    let most = source.recipients_max.unwrap_or(gateway_max).min(gateway_max);
    if accepted >= most {
        return Err(refusals::TOO_MANY_RECIPIENTS);
    }
    if forward_path.domain().literal().is_some() {
        return Err(refusals::RECIPIENT_IS_LITERAL);
    }
    if is_disguised(forward_path) {
        return Err(refusals::RECIPIENT_IS_DISGUISED);
    }
    // The health gate writes within its own domain and nowhere else, and nobody else writes there.
    let reserved = forward_path.domain().as_str() == gate::DOMAIN;
    if reserved != (source.proof == Proof::Health) {
        return Err(refusals::RECIPIENT_IS_RESERVED);
    }
    Ok(())
}

/// After the content: does everything in `message` belong to the source?
///
/// # Errors
/// The first rule that it breaks.
pub fn permit_message(attributed: &Attributed, message: Submitted) -> Result<Permitted, Refusal> {
    let source = attributed.source();
    let size = u64::try_from(message.content.len()).unwrap_or(u64::MAX);
    permit_sender(source, &message.envelope.reverse_path, Some(size))?;
    for (accepted, recipient) in message.envelope.recipients.iter().enumerate() {
        permit_recipient(source, &recipient.forward_path, accepted, usize::MAX)?;
    }
    content::check_lines(&message.content)?;
    let header = Header::read(&message.content).map_err(refusals::malformed)?;
    content::check_header(&header, &message.envelope)?;
    author::check(source, &header, &message.envelope)?;
    Ok(Permitted::mint(source.clone(), message))
}

/// Whether the reverse-path side of a pair covers `reverse_path`.
fn covers(pair: &SenderPair, reverse_path: &ReversePath) -> bool {
    match (&pair.reverse_path, reverse_path) {
        (None, ReversePath::Null) => true,
        (Some(pattern), ReversePath::Mailbox(mailbox)) => pattern.matches(mailbox),
        _ => false,
    }
}

/// Whether a program could see another address in this one: an encoded word that decodes to an
/// `@`, or characters that turn the direction of writing.
fn is_disguised(mailbox: &Mailbox) -> bool {
    looks_encoded(mailbox.local_part()) || shown::hides(mailbox.local_part())
}

#[cfg(test)]
mod tests;
