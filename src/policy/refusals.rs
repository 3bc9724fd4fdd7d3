//! What a peer hears when the rules say no, each with what to do about it.

use std::borrow::Cow;

use crate::mail::header::HeaderError;
use crate::mail::status::EnhancedStatus;
use crate::smtp::reply::{Refusal, Reply};

/// A refusal whose text names its rule, so that a developer can look it up.
macro_rules! refusal {
    ($rule:literal, $code:literal, $status:tt, $text:literal) => {
        Refusal::new($rule, Reply::new($code, $status, concat!($text, " [", $rule, "]")))
    };
}

/// No pair of the source has this reverse-path.
pub const SENDER_NOT_ALLOWED: Refusal = refusal!(
    "sender-not-allowed",
    550,
    (5, 7, 1),
    "This source may not use this envelope sender: ask for the pair or use an allowed one"
);
/// No pair of the source has the null reverse-path.
pub const NULL_SENDER_NOT_ALLOWED: Refusal = refusal!(
    "null-sender-not-allowed",
    550,
    (5, 7, 1),
    "This source may not use the null envelope sender: give an address that takes bounces"
);
/// SIZE= or the content exceeds what the source may send.
pub const MESSAGE_TOO_LARGE: Refusal = refusal!(
    "message-too-large",
    552,
    (5, 3, 4),
    "The message is larger than this source may send: link to large files"
);
/// BY= (RFC 2852) from a source that may not set deadlines.
pub const DEADLINE_NOT_GRANTED: Refusal = refusal!(
    "deadline-not-granted",
    555,
    (5, 7, 1),
    "This source may not set deadlines with BY=: leave it out or ask the administrator"
);
/// The deadline of BY= passed while the message came in.
pub const DEADLINE_PASSED: Refusal = refusal!(
    "deadline-passed",
    550,
    (5, 4, 7),
    "The time of BY= was over before the message was complete"
);
/// More recipients than the source may have in one transaction.
pub const TOO_MANY_RECIPIENTS: Refusal = refusal!(
    "too-many-recipients",
    452,
    (4, 5, 3),
    "Too many recipients for one transaction: send the rest in another one"
);
/// `user@[192.0.2.1]`.
pub const RECIPIENT_IS_LITERAL: Refusal = refusal!(
    "recipient-is-literal",
    550,
    (5, 1, 3),
    "Address literals are not delivered to: give a domain name"
);
/// A recipient in which programs could see two addresses.
pub const RECIPIENT_IS_DISGUISED: Refusal = refusal!(
    "recipient-is-disguised",
    550,
    (5, 1, 3),
    "The address holds an encoded word or a hidden character: write it plainly"
);
/// The domain that the health gate has for itself, or any other one for the gate.
pub const RECIPIENT_IS_RESERVED: Refusal = refusal!(
    "recipient-is-reserved",
    550,
    (5, 1, 2),
    "This domain is reserved for the gateway's own check: give a real one"
);
/// NUL anywhere.
pub const CONTENT_HAS_NUL: Refusal = refusal!(
    "content-has-nul",
    550,
    (5, 6, 0),
    "The content holds a NUL octet: encode binary parts in base64"
);
/// A CR or LF on its own.
pub const LINE_ENDS_BARE: Refusal = refusal!(
    "line-ends-bare",
    550,
    (5, 6, 0),
    "A line does not end with CRLF: repair the line endings"
);
/// Longer than RFC 5322 2.1.1 allows.
pub const LINE_TOO_LONG: Refusal = refusal!(
    "line-too-long",
    550,
    (5, 6, 0),
    "A line is longer than 998 octets: encode the part in quoted-printable or base64"
);
/// A mail loop.
pub const TOO_MANY_HOPS: Refusal = refusal!(
    "too-many-hops",
    554,
    (5, 4, 6),
    "Too many Received fields: this message is going in circles"
);
/// Octets beyond ASCII in the header of a message without SMTPUTF8.
pub const HEADER_NEEDS_SMTPUTF8: Refusal = refusal!(
    "header-needs-smtputf8",
    550,
    (5, 6, 9),
    "The header holds characters beyond ASCII: encode them (RFC 2047) or ask for SMTPUTF8"
);
/// No From field.
pub const FROM_MISSING: Refusal =
    refusal!("from-missing", 550, (5, 7, 1), "The message has no From field: add exactly one");
/// From holds no plain list of addresses.
pub const FROM_MALFORMED: Refusal = refusal!(
    "from-malformed",
    550,
    (5, 7, 1),
    "The From field is no plain address list (RFC 5322 3.4 without obsolete forms): rewrite it"
);
/// A group in From (RFC 6854 says that it SHOULD NOT be used).
pub const FROM_IS_GROUP: Refusal = refusal!(
    "from-is-group",
    550,
    (5, 7, 1),
    "The From field uses group syntax: give the author's address"
);
/// From holds addresses of more than one domain: no receiver can align it (RFC 9989).
pub const FROM_MANY_DOMAINS: Refusal = refusal!(
    "from-many-domains",
    550,
    (5, 7, 1),
    "The From field holds addresses of several domains: keep one domain"
);
/// The pair of reverse-path and an author is not allowed.
pub const FROM_NOT_ALLOWED: Refusal = refusal!(
    "from-not-allowed",
    550,
    (5, 7, 1),
    "This source may not send as this author with this envelope sender: ask for the pair"
);
/// A display name or comment shows an address that the source may not use.
pub const FROM_SHOWS_ADDRESS: Refusal = refusal!(
    "from-shows-address",
    550,
    (5, 7, 1),
    "The display name shows an address that this source may not use: leave it out"
);
/// A display name holds characters that hide or turn what is written.
pub const FROM_HIDES: Refusal = refusal!(
    "from-hides",
    550,
    (5, 7, 1),
    "The display name holds control or direction characters or UTF-7: leave them out"
);
/// Several authors and no Sender (RFC 5322 3.6.2).
pub const SENDER_FIELD_MISSING: Refusal = refusal!(
    "sender-field-missing",
    550,
    (5, 7, 1),
    "Several authors need a Sender field (RFC 5322 3.6.2): add one"
);
/// Sender is not one mailbox.
pub const SENDER_FIELD_MALFORMED: Refusal = refusal!(
    "sender-field-malformed",
    550,
    (5, 7, 1),
    "The Sender field is not exactly one plain address: rewrite it"
);
/// Sender is not allowed.
pub const SENDER_FIELD_NOT_ALLOWED: Refusal = refusal!(
    "sender-field-not-allowed",
    550,
    (5, 7, 1),
    "This source may not use this Sender field: leave it out or ask for the pair"
);
/// Reply-To is no list of addresses.
pub const REPLY_TO_MALFORMED: Refusal = refusal!(
    "reply-to-malformed",
    550,
    (5, 6, 0),
    "The Reply-To field is no plain address list: rewrite it"
);
/// Resent-From or Resent-Sender is malformed or not allowed.
pub const RESENT_NOT_ALLOWED: Refusal = refusal!(
    "resent-not-allowed",
    550,
    (5, 7, 1),
    "This source may not use this Resent-From or Resent-Sender field: leave it out"
);

/// A field that RFC 5322 3.6 allows once occurs twice. `name` is one of our own constants.
#[must_use]
pub fn field_repeated(name: &'static str) -> Refusal {
    let text = format!("The field {name} occurs more than once: keep one [field-repeated]");
    let status = Some(EnhancedStatus::new(5, 6, 0));
    Refusal::new("field-repeated", Reply { code: 550, status, text: Cow::Owned(text) })
}

/// The header block could not be read.
#[must_use]
pub fn malformed(error: HeaderError) -> Refusal {
    match error {
        HeaderError::TooLarge => refusal!(
            "header-too-large",
            552,
            (5, 3, 4),
            "The header has more or longer fields than allowed: shorten it"
        ),
        HeaderError::NotUtf8 => refusal!(
            "header-not-utf8",
            550,
            (5, 6, 0),
            "The header holds octets that are not UTF-8: encode them (RFC 2047)"
        ),
        HeaderError::Control => refusal!(
            "header-has-control",
            550,
            (5, 6, 0),
            "The header holds a control character: encode it (RFC 2047) or leave it out"
        ),
        HeaderError::NotAField | HeaderError::EmptyFold => refusal!(
            "header-malformed",
            550,
            (5, 6, 0),
            "A header line is no field and no folded line (RFC 5322 2.2): repair the header"
        ),
    }
}
