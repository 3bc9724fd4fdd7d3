//! A source and its submissions, for the tests that speak to the rooms without a daemon.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use postern::mail::address::{Domain, Mailbox, ReversePath};
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Envelope, Recipient};
use postern::mail::source::{
    Deadlines, MailboxPattern, Proof, SenderPair, Source, SourceLimits, SourceName, SourceState,
    Unsigned,
};
use postern::mail::stage::{Attributed, SessionFacts, Submitted};

/// `*@domain`, or one mailbox.
pub(crate) fn pattern(text: &str) -> MailboxPattern {
    let (local, domain) = text.rsplit_once('@').unwrap();
    let local_part = (local != "*").then(|| local.into());
    MailboxPattern { local_part, domain: Domain::parse(domain).unwrap() }
}

/// A source with these (reverse-path, From) pairs; `<>` stands for the null reverse-path.
pub(crate) fn source(name: &str, proof: Proof, pairs: &[(&str, &str)]) -> Source {
    let pair = |(reverse_path, from): &(&str, &str)| SenderPair {
        reverse_path: (*reverse_path != "<>").then(|| pattern(reverse_path)),
        from: pattern(from),
    };
    Source {
        name: SourceName::new(name).unwrap(),
        proof,
        networks: Vec::new(),
        pairs: pairs.iter().map(pair).collect(),
        state: SourceState::Active,
        expires: None,
        class: MessageClass::Transactional,
        message_octets_max: None,
        recipients_max: None,
        owner: None,
        unsigned: Unsigned::Refuse,
        limits: SourceLimits::default(),
        internal_only: false,
        rewrite: BTreeMap::new(),
        unsubscribe_list: None,
        tags: Vec::new(),
        contacts: Vec::new(),
        notes: String::new(),
        pool: None,
        priority_max: None,
        deliver_by: Deadlines::default(),
    }
}

/// The source as if it had been identified. Only tests may do so: `tests/tidy.rs` sees to it.
pub(crate) fn attributed(source: Source) -> Attributed {
    Attributed::mint(Arc::new(source))
}

/// A session over TLS.
pub(crate) fn session() -> SessionFacts {
    SessionFacts {
        peer: "192.0.2.7".parse().unwrap(),
        peer_port: 40_000,
        helo: "app.example".into(),
        esmtp: true,
        tls: Some(("TLSv1.3".into(), "TLS_AES_256_GCM_SHA384".into())),
        authenticated: true,
    }
}

/// A message of this content from `reverse_path` (empty: null) to one recipient.
pub(crate) fn submitted(reverse_path: &str, content: &[u8], utf8: bool) -> Submitted {
    let reverse_path = match reverse_path {
        "" => ReversePath::Null,
        text => ReversePath::Mailbox(Mailbox::parse(text, true).unwrap()),
    };
    let mut envelope = Envelope::from(reverse_path);
    envelope.smtputf8 = utf8;
    let recipient = Mailbox::parse("someone@receiver.example", false).unwrap();
    envelope.recipients.push(Recipient::plain(recipient));
    Submitted { session: session(), envelope, content: Bytes::copy_from_slice(content) }
}
