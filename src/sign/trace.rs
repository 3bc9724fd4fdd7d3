//! Trace fields and what is taken out of or added to a header (RFC 5321 4.4, RFC 6409 section 8).

use std::net::IpAddr;

use crate::base::id::QueueId;
use crate::base::time::WallTime;
use crate::mail::address::Domain;
use crate::mail::envelope::Envelope;
use crate::mail::header::{Field, Header};
use crate::mail::stage::SessionFacts;

/// Octets of an EHLO name that are kept.
const HELO_OCTETS_MAX: usize = 255;

/// Fields that never leave: Bcc (RFC 5322 3.6.3), what the final host writes (RFC 5321 4.4), and
/// a length that nobody can trust.
const REMOVED: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];

/// Whether `field` of a submission goes on to the recipients.
#[must_use]
pub fn is_kept(field: &Field<'_>, hostname: &Domain) -> bool {
    if field.is("Authentication-Results") {
        return !claims(field.value, hostname);
    }
    !REMOVED.iter().any(|name| field.is(name))
}

/// Whether an Authentication-Results field claims to come from `hostname` (RFC 8601 section 5).
/// Anything that could be read as our name counts.
fn claims(value: &str, hostname: &Domain) -> bool {
    let mut plain = String::with_capacity(value.len());
    let mut depth = 0_u32;
    for c in value.chars() {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            '"' | '\\' | '\r' | '\n' => {}
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let id = plain.split(';').next().unwrap_or_default().to_lowercase();
    let named = id.split_whitespace().any(|word| {
        Domain::parse(word.trim_end_matches('.')).is_ok_and(|domain| domain == *hostname)
    });
    named || id.contains(hostname.as_str())
}

/// Our Received field, CRLF included.
#[must_use]
pub fn received(
    session: &SessionFacts,
    envelope: &Envelope,
    hostname: &Domain,
    id: QueueId,
    now: WallTime,
) -> String {
    let helo = harmless(&session.helo);
    let address = match session.peer.to_canonical() {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    };
    let tls = session.tls.as_ref().map_or_else(String::new, |(version, suite)| {
        format!("\r\n\t(using {} with cipher {})", harmless(version), harmless(suite))
    });
    let with = protocol(session, envelope);
    let recipient = match envelope.recipients.as_slice() {
        // More than one would tell every recipient about the others (RFC 5321 7.6).
        [one] if !one.forward_path.needs_utf8() => {
            format!("\r\n\tfor <{}>", one.forward_path.ascii_form())
        }
        _ => String::new(),
    };
    // RFC 6710 4.1, item 2.
    let priority =
        envelope.priority.map_or_else(String::new, |number| format!("\r\n\tpriority {number}"));
    let date = now.rfc5322();
    format!(
        "Received: from {helo} ({address}){tls}\r\n\tby {hostname} with {with} id {id}\
         {recipient}{priority};\r\n\t{date}\r\n"
    )
}

/// The `with` keyword (RFC 3848, RFC 6531 4.3).
fn protocol(session: &SessionFacts, envelope: &Envelope) -> &'static str {
    if !session.esmtp {
        return "SMTP";
    }
    match (envelope.smtputf8, session.tls.is_some(), session.authenticated) {
        (false, false, false) => "ESMTP",
        (false, true, false) => "ESMTPS",
        (false, false, true) => "ESMTPA",
        (false, true, true) => "ESMTPSA",
        (true, false, false) => "UTF8SMTP",
        (true, true, false) => "UTF8SMTPS",
        (true, false, true) => "UTF8SMTPA",
        (true, true, true) => "UTF8SMTPSA",
    }
}

/// A word of the session that cannot break out of its place in a field: a host name or address
/// literal as it was said, of anything else its letters, digits, dots, hyphens and underscores.
fn harmless(word: &str) -> String {
    if word.is_ascii() && Domain::parse(word).is_ok() {
        return word.to_owned();
    }
    let legal = |c: &char| c.is_ascii_alphanumeric() || "-._".contains(*c);
    let kept: String = word.chars().filter(legal).take(HELO_OCTETS_MAX).collect();
    if kept.is_empty() { "unknown".to_owned() } else { kept }
}

/// `Date:` and `Message-ID:` if the author left them out.
#[must_use]
pub fn missing(header: &Header<'_>, hostname: &Domain, id: QueueId, now: WallTime) -> String {
    let mut fields = String::new();
    if header.count("Date") == 0 {
        fields = format!("Date: {}\r\n", now.rfc5322());
    }
    if header.count("Message-ID") == 0 {
        fields = format!("{fields}Message-ID: <{id}@{hostname}>\r\n");
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::{Mailbox, ReversePath};
    use crate::mail::envelope::Recipient;

    fn session(helo: &str, tls: bool) -> SessionFacts {
        let tls = tls.then(|| (Box::from("TLSv1.3"), Box::from("TLS_AES_256_GCM_SHA384")));
        let peer = "::ffff:192.0.2.7".parse().unwrap();
        SessionFacts {
            peer,
            peer_port: 4711,
            helo: helo.into(),
            esmtp: true,
            tls,
            authenticated: true,
        }
    }

    fn name(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn received_says_how_the_message_came() {
        let mut envelope = Envelope::from(ReversePath::Null);
        envelope.recipients.push(Recipient::plain(Mailbox::parse("a@b.example", false).unwrap()));
        let now = WallTime(1_790_000_000_000);
        let id = QueueId::new(now, 1);
        let field = received(&session("app", true), &envelope, &name("gw.example"), id, now);
        let expected = format!(
            "Received: from app ([192.0.2.7])\r\n\t(using TLSv1.3 with cipher \
             TLS_AES_256_GCM_SHA384)\r\n\tby gw.example with ESMTPSA id {id}\r\n\tfor \
             <a@b.example>;\r\n\tMon, 21 Sep 2026 14:13:20 +0000\r\n"
        );
        assert_eq!(field, expected);
        envelope.priority = Some(-3);
        let field = received(&session("app", true), &envelope, &name("gw.example"), id, now);
        assert!(field.contains("\tfor <a@b.example>\r\n\tpriority -3;\r\n\tMon,"), "{field}");
        envelope.recipients.push(envelope.recipients[0].clone());
        envelope.smtputf8 = true;
        let field = received(&session("app", false), &envelope, &name("gw.example"), id, now);
        assert!(!field.contains("for <") && field.contains("with UTF8SMTPA id"), "{field}");
    }

    #[test]
    fn an_ehlo_name_cannot_inject_a_field() {
        for helo in ["x\r\nBcc: evil@x.example", "x (y) ; z", "\u{1b}[2J", "", "ü"] {
            let envelope = Envelope::from(ReversePath::Null);
            let now = WallTime(0);
            let id = QueueId::new(now, 1);
            let field = received(&session(helo, false), &envelope, &name("gw.example"), id, now);
            let text = format!("{field}\r\n");
            let header = Header::read(text.as_bytes()).unwrap();
            assert_eq!(header.fields().count(), 1, "{helo:?}");
            assert!(field.is_ascii() && !field.contains("Bcc:"), "{field}");
        }
    }

    #[test]
    fn forged_results_in_our_name_are_removed_and_others_stay() {
        let host = name("gw.example");
        for (value, kept) in [
            (" gw.example; dkim=pass", false),
            (" GW.example 1; dkim=pass", false),
            (" \"gw.example\"; dkim=pass", false),
            (" (a;b) gw.example; dkim=pass", false),
            ("\r\n\tgw.example;\r\n\tdkim=pass", false),
            (" gw.example. ; none", false),
            (" other.example; dkim=pass header.d=gw.example", true),
        ] {
            let whole = format!("Authentication-Results:{value}\r\n\r\n");
            let header = Header::read(whole.as_bytes()).unwrap();
            assert_eq!(is_kept(&header.fields().next().unwrap(), &host), kept, "{value}");
        }
    }
}
