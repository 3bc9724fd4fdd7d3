//! Who the message says it is from: From, Sender, Reply-To, Resent-* (RFC 5322 3.6.2, 3.6.6).
//!
//! Every mailbox of From must form an allowed pair with the reverse-path; Sender and the Resent
//! fields too, because programs show them as the author. Several authors must share one domain,
//! so that there is one domain to sign and to align with. Reply-To may name anybody (contact
//! forms do), but must be readable.

use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::author::Authors;
use crate::mail::envelope::Envelope;
use crate::mail::header::Header;
use crate::mail::source::Source;
use crate::smtp::reply::Refusal;

use super::{covers, refusals, shown};

/// Checks all originator fields of `header`.
///
/// # Errors
/// The first rule that is broken.
pub fn check(source: &Source, header: &Header<'_>, envelope: &Envelope) -> Result<(), Refusal> {
    let utf8 = envelope.smtputf8;
    let may = |mailbox: &Mailbox| allowed(source, &envelope.reverse_path, mailbox);
    let field = header.first("From").ok_or(refusals::FROM_MISSING)?;
    let from = Authors::parse(field.value, utf8).map_err(|_| refusals::FROM_MALFORMED)?;
    if from.group {
        return Err(refusals::FROM_IS_GROUP);
    }
    if !from.mailboxes.iter().all(may) {
        return Err(refusals::FROM_NOT_ALLOWED);
    }
    if from.mailboxes.windows(2).any(|pair| pair[0].domain() != pair[1].domain()) {
        return Err(refusals::FROM_MANY_DOMAINS);
    }
    check_shown(&from, &may)?;
    match header.first("Sender") {
        Some(field) => check_sender(field.value, utf8, &may)?,
        None if from.mailboxes.len() > 1 => return Err(refusals::SENDER_FIELD_MISSING),
        None => {}
    }
    for field in header.fields() {
        if field.is("Reply-To") {
            Authors::parse(field.value, utf8).map_err(|_| refusals::REPLY_TO_MALFORMED)?;
        } else if field.is("Resent-From") || field.is("Resent-Sender") {
            let resent = Authors::parse(field.value, utf8);
            let resent = resent.map_err(|_| refusals::RESENT_NOT_ALLOWED)?;
            if resent.group || !resent.mailboxes.iter().all(may) {
                return Err(refusals::RESENT_NOT_ALLOWED);
            }
        }
    }
    Ok(())
}

fn check_sender(value: &str, utf8: bool, may: &impl Fn(&Mailbox) -> bool) -> Result<(), Refusal> {
    let sender = Authors::parse(value, utf8).map_err(|_| refusals::SENDER_FIELD_MALFORMED)?;
    let [mailbox] = sender.mailboxes.as_slice() else {
        return Err(refusals::SENDER_FIELD_MALFORMED);
    };
    if sender.group {
        return Err(refusals::SENDER_FIELD_MALFORMED);
    }
    if !may(mailbox) {
        return Err(refusals::SENDER_FIELD_NOT_ALLOWED);
    }
    check_shown(&sender, may)
}

/// What readers see beside the addresses must not be somebody else's address.
fn check_shown(authors: &Authors, may: &impl Fn(&Mailbox) -> bool) -> Result<(), Refusal> {
    for text in &authors.shown {
        let seen = shown::decoded(text).ok_or(refusals::FROM_HIDES)?;
        if shown::hides(&seen) {
            return Err(refusals::FROM_HIDES);
        }
        if !shown::addresses(&seen).all(|address| address.as_ref().is_ok_and(may)) {
            return Err(refusals::FROM_SHOWS_ADDRESS);
        }
    }
    Ok(())
}

/// Whether the source may use this reverse-path together with this author.
fn allowed(source: &Source, reverse_path: &ReversePath, author: &Mailbox) -> bool {
    source.pairs.iter().any(|pair| covers(pair, reverse_path) && pair.from.matches(author))
}
