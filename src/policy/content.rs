//! Hygiene of the content that does not depend on the author (RFC 5322 2.1.1, 3.6; RFC 6409).
//!
//! Reception has refused most of this line by line; here it is asked again of the whole, because
//! content also enters by BDAT and will by other doors. Four passes at memory speed.

use memchr::{memchr, memchr_iter};

use crate::base::limits::{CONTENT_LINE_OCTETS_MAX, HOPS_MAX};
use crate::mail::envelope::Envelope;
use crate::mail::header::Header;
use crate::smtp::reply::Refusal;

use super::refusals;

/// Fields that may occur once: RFC 5322 3.6, 2045, 2183, 8058, 8689, and Return-Path. Two of one
/// of these are read differently by different programs.
const ONCE: [&str; 24] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-ID",
    "Content-Description",
    "Content-Language",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Id",
    "Auto-Submitted",
    "TLS-Required",
    "Return-Path",
];

/// Every line ends with CRLF, is at most 998 octets long and holds no NUL.
///
/// # Errors
/// `content-has-nul`, `line-ends-bare`, `line-too-long`.
pub fn check_lines(content: &[u8]) -> Result<(), Refusal> {
    if memchr(0, content).is_some() {
        return Err(refusals::CONTENT_HAS_NUL);
    }
    let (mut start, mut lines) = (0, 0_usize);
    for end in memchr_iter(b'\n', content) {
        if end == start || content[end - 1] != b'\r' {
            return Err(refusals::LINE_ENDS_BARE);
        }
        if end - 1 - start > CONTENT_LINE_OCTETS_MAX {
            return Err(refusals::LINE_TOO_LONG);
        }
        start = end + 1;
        lines += 1;
    }
    if content.len() - start > CONTENT_LINE_OCTETS_MAX {
        return Err(refusals::LINE_TOO_LONG);
    }
    // Each LF has its CR; a CR more than that stands alone.
    if memchr_iter(b'\r', content).count() != lines {
        return Err(refusals::LINE_ENDS_BARE);
    }
    Ok(())
}

/// The header as a whole: hops, repeated fields, character set.
///
/// # Errors
/// `too-many-hops`, `field-repeated`, `header-needs-smtputf8`.
pub fn check_header(header: &Header<'_>, envelope: &Envelope) -> Result<(), Refusal> {
    let mut seen = [false; ONCE.len()];
    let mut hops = 0;
    for field in header.fields() {
        if field.is("Received") {
            hops += 1;
        }
        let Some(index) = ONCE.iter().position(|name| field.is(name)) else { continue };
        if std::mem::replace(&mut seen[index], true) {
            return Err(refusals::field_repeated(ONCE[index]));
        }
    }
    if hops > HOPS_MAX {
        return Err(refusals::TOO_MANY_HOPS);
    }
    if !envelope.smtputf8 && !header.is_ascii() {
        return Err(refusals::HEADER_NEEDS_SMTPUTF8);
    }
    Ok(())
}
