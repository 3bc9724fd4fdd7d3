//! The message that carries a report (RFC 8460 5.3).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::fields::{field, wrapped};
use super::{Heading, begin_of};
use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::mail::address::{Domain, Mailbox};

/// Characters of a line of base64 (RFC 2045 6.8).
const BASE64_LINE: usize = 76;

/// Who sends a report to whom.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// The gateway.
    pub hostname: &'a Domain,
    /// From:.
    pub from: &'a Mailbox,
    /// To:.
    pub to: &'a Mailbox,
    /// The message's own id.
    pub id: QueueId,
    /// Date:.
    pub now: WallTime,
}

/// Header and body, not yet signed. It says `TLS-Required: No`: a report about TLS that fails must
/// not fail with it (RFC 8460 3, RFC 8689 4.2.2).
#[must_use]
pub fn message(notice: &Notice<'_>, heading: &Heading<'_>, compressed: &[u8]) -> Bytes {
    let Notice { hostname, from, to, id, now } = *notice;
    let submitter = from.domain();
    let domain = heading.domain;
    let boundary = format!("=_postern_{id}");
    let mut out = String::with_capacity(compressed.len() * 3 / 2 + 2048);
    field(&mut out, "From", &format!("<{from}>"));
    field(&mut out, "To", &format!("<{}>", to.ascii_form()));
    let subject =
        format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{}>", { heading.id() });
    field(&mut out, "Subject", &subject);
    field(&mut out, "Date", &now.rfc5322());
    field(&mut out, "Message-ID", &format!("<{id}@{hostname}>"));
    field(&mut out, "TLS-Report-Domain", domain);
    field(&mut out, "TLS-Report-Submitter", submitter.as_str());
    field(&mut out, "TLS-Required", "No");
    field(&mut out, "Auto-Submitted", "auto-generated");
    field(&mut out, "MIME-Version", "1.0");
    let kind = format!("multipart/report; report-type=\"tlsrpt\"; boundary=\"{boundary}\"");
    field(&mut out, "Content-Type", &kind);
    let _ = write!(
        out,
        "\r\nThis is a report about TLS, in the form of RFC 8460.\r\n\r\n--{boundary}\r\n\
         Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
    );
    let words = format!(
        "This is a report about connections from {submitter} to the mail hosts of {domain} on {}. \
         Your domain asks for it with the record _smtp._tls.{domain}. The attached file is for \
         machines.",
        &begin_of(heading.day).rfc3339()[..10]
    );
    wrapped(&mut out, "", &words);
    let _ = write!(
        out,
        "\r\n--{boundary}\r\nContent-Type: application/tlsrpt+gzip\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n \
         filename=\"{}\"\r\n\r\n",
        file_name(heading, submitter)
    );
    let encoded = STANDARD.encode(compressed);
    for line in encoded.as_bytes().chunks(BASE64_LINE) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push_str("\r\n");
    }
    let _ = write!(out, "\r\n--{boundary}--\r\n");
    out.into()
}

/// RFC 8460 5.1: submitter, domain, begin, end, and what makes it one of its kind.
fn file_name(heading: &Heading<'_>, submitter: &Domain) -> String {
    let (begin, end) = (begin_of(heading.day).unix_secs(), heading.end().unix_secs());
    format!("{submitter}!{}!{begin}!{end}!001.json.gz", heading.domain)
}
