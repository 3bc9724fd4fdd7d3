//! The tree itself, and what it says about mail.

use super::machine::{BACKUP, CONFIG, DIAGNOSE, NETWORK, SYSTEM, UPDATE};
use super::{Danger, Deed, Enter, Entry, Field, Filled, Kind, List, Section, Word};
use crate::console::words::Said;
use crate::control::host::HostRequest;
use crate::control::request::{PageAsk, QueueFilter, Request};
use crate::mail::source::SourceName;

/// Rows of a list that are asked for at once.
const ALL: PageAsk = PageAsk { offset: 0, limit: 200 };
/// How long the secret before a new one stays good: a day for the people behind the source.
const GRACE_SECS: u64 = 86_400;

/// An entry without questions and dangers; the others are made from it.
pub(super) const PLAIN: Entry = Entry {
    word: "",
    title: "",
    note: "",
    fields: &[],
    danger: Danger::None,
    deed: Deed::Language,
};

const YES: Word = Word::Is("yes");
pub(super) const SOURCE: Field =
    Field { prompt: "Which source", kind: Kind::Existing(List::Sources), enter: Enter::Back };
const ANY_SOURCE: Field =
    Field { prompt: "Of which source", kind: Kind::Existing(List::Sources), enter: Enter::All };
const ANY_LANE: Field =
    Field { prompt: "In which lane", kind: Kind::Existing(List::Lanes), enter: Enter::All };
const EGRESS: Field =
    Field { prompt: "Which egress", kind: Kind::Existing(List::Egresses), enter: Enter::Back };
const ANY_EGRESS: Field =
    Field { prompt: "Which egress", kind: Kind::Existing(List::Egresses), enter: Enter::All };
const MESSAGE: Field =
    Field { prompt: "Number of the message", kind: Kind::Words, enter: Enter::Back };

/// The menu.
pub const SECTIONS: &[Section] = &[
    Section { word: "mail", title: "Mail and queue", entries: MAIL },
    Section { word: "sources", title: "Sources", entries: SOURCES },
    Section { word: "egress", title: "Ways out", entries: EGRESSES },
    Section { word: "network", title: "Network and DNS", entries: NETWORK },
    Section { word: "config", title: "Configuration", entries: CONFIG },
    Section { word: "update", title: "Updates", entries: UPDATE },
    Section { word: "diagnose", title: "Diagnosis", entries: DIAGNOSE },
    Section { word: "support", title: "Backup and support", entries: BACKUP },
    Section { word: "system", title: "Machine and console", entries: SYSTEM },
];

const MAIL: &[Entry] = &[
    Entry {
        word: "status",
        title: "how it is",
        deed: Deed::Host(|_| HostRequest::Status {}),
        ..PLAIN
    },
    Entry {
        word: "stop-all",
        title: "stop all mail (! does it from everywhere)",
        deed: Deed::Serve(|_, _| Ok(Request::StopAll {})),
        ..PLAIN
    },
    Entry {
        word: "resume-all",
        title: "let mail run again",
        danger: Danger::Said("Mail in and out runs again, and everything that waits goes.", YES),
        deed: Deed::Serve(|_, _| Ok(Request::ResumeAll {})),
        ..PLAIN
    },
    Entry {
        word: "queue",
        title: "the queue, by lane",
        deed: Deed::Serve(|_, _| Ok(Request::QueueLanes { page: ALL })),
        ..PLAIN
    },
    Entry {
        word: "queue-list",
        title: "messages of a source or a lane",
        fields: &[ANY_SOURCE, ANY_LANE],
        deed: Deed::Serve(|filled, _| {
            Ok(Request::QueueList { filter: filter(filled)?, page: ALL })
        }),
        ..PLAIN
    },
    Entry {
        word: "queue-hold",
        title: "hold messages",
        fields: &[ANY_SOURCE, ANY_LANE],
        danger: Danger::Counted("{}: kept back until they are released.", YES),
        deed: Deed::Serve(|filled, dry_run| {
            Ok(Request::QueueHold { filter: filter(filled)?, dry_run })
        }),
        ..PLAIN
    },
    Entry {
        word: "queue-release",
        title: "release messages that are held",
        fields: &[ANY_SOURCE, ANY_LANE],
        danger: Danger::Counted("{}: released.", YES),
        deed: Deed::Serve(|filled, dry_run| {
            Ok(Request::QueueRelease { filter: filter(filled)?, dry_run })
        }),
        ..PLAIN
    },
    Entry {
        word: "queue-purge",
        title: "destroy messages",
        fields: &[ANY_SOURCE, ANY_LANE],
        danger: Danger::Counted("{}: destroyed for ever. Nobody is told.", Word::Is("purge")),
        deed: Deed::Serve(|filled, dry_run| {
            Ok(Request::QueuePurge { filter: filter(filled)?, dry_run })
        }),
        ..PLAIN
    },
    Entry {
        word: "message",
        title: "what became of a message, and why",
        fields: &[MESSAGE],
        deed: Deed::Serve(|filled, _| match filled.get(0).parse() {
            Ok(id) => Ok(Request::MessageExplain { id }),
            Err(_) => Err(Said::from("That is no number of a message; queue-list shows them.")),
        }),
        ..PLAIN
    },
];

const SOURCES: &[Entry] = &[
    Entry {
        word: "source-list",
        title: "all sources",
        deed: Deed::Serve(|_, _| Ok(Request::SourceList { page: ALL })),
        ..PLAIN
    },
    Entry {
        word: "source-show",
        title: "one source, whole",
        fields: &[SOURCE],
        deed: Deed::Serve(|filled, _| Ok(Request::SourceShow { name: source(filled)? })),
        ..PLAIN
    },
    Entry {
        word: "source-hold",
        title: "hold: accept its mail and keep it",
        fields: &[SOURCE],
        danger: Danger::Counted("{}: held.", YES),
        deed: Deed::Serve(|filled, dry_run| {
            Ok(Request::SourceHold { name: source(filled)?, dry_run })
        }),
        ..PLAIN
    },
    Entry {
        word: "source-release",
        title: "release: end a hold",
        fields: &[SOURCE],
        danger: Danger::Counted("{}: released.", YES),
        deed: Deed::Serve(|filled, dry_run| {
            Ok(Request::SourceRelease { name: source(filled)?, dry_run })
        }),
        ..PLAIN
    },
    Entry {
        word: "source-disable",
        title: "disable: accept nothing more, hold what waits",
        fields: &[SOURCE],
        danger: Danger::Counted("{}: held, and nothing more is accepted.", YES),
        deed: Deed::Serve(|filled, dry_run| {
            Ok(Request::SourceDisable { name: source(filled)?, dry_run })
        }),
        ..PLAIN
    },
    Entry {
        word: "source-enable",
        title: "enable: undo disable",
        fields: &[SOURCE],
        danger: Danger::Counted("{}: released, and its mail is accepted again.", YES),
        deed: Deed::Serve(|filled, dry_run| {
            Ok(Request::SourceEnable { name: source(filled)?, dry_run })
        }),
        ..PLAIN
    },
    Entry {
        word: "source-secret",
        title: "new secret: shown once; the old one ends in 24 hours",
        fields: &[SOURCE],
        danger: Danger::Said("The new secret is shown on this screen, once.", YES),
        deed: Deed::Serve(|filled, _| {
            Ok(Request::SourceRotate { name: source(filled)?, grace_secs: GRACE_SECS })
        }),
        ..PLAIN
    },
];

const EGRESSES: &[Entry] = &[
    Entry {
        word: "egress-list",
        title: "all ways out",
        deed: Deed::Serve(|_, _| Ok(Request::EgressList {})),
        ..PLAIN
    },
    Entry {
        word: "egress-check",
        title: "check what receivers will think of it",
        note: "Asking through the egress; this takes up to a minute.",
        fields: &[ANY_EGRESS],
        deed: Deed::Serve(|filled, _| {
            Ok(Request::EgressCheck { egress: filled.some(0), to: None })
        }),
        ..PLAIN
    },
    Entry {
        word: "egress-suspend",
        title: "suspend: nothing leaves by it",
        fields: &[
            EGRESS,
            Field { prompt: "Why", kind: Kind::Words, enter: Enter::Takes("at the console") },
        ],
        danger: Danger::Said("Its mail goes another way, or waits.", YES),
        deed: Deed::Serve(|filled, _| {
            let (name, reason) = (filled.get(0).to_owned(), filled.some(1));
            Ok(Request::EgressSuspend { name, reason })
        }),
        ..PLAIN
    },
    Entry {
        word: "egress-resume",
        title: "resume: mail leaves by it again",
        fields: &[EGRESS],
        danger: Danger::Said("What waits for it goes.", YES),
        deed: Deed::Serve(|filled, _| Ok(Request::EgressResume { name: filled.get(0).to_owned() })),
        ..PLAIN
    },
    Entry {
        word: "egress-attest",
        title: "attest: a signed statement of how it is kept apart",
        note: "Asking through the egress; this takes up to a minute.",
        fields: &[ANY_EGRESS],
        deed: Deed::Serve(|filled, _| Ok(Request::EgressAttest { egress: filled.some(0) })),
        ..PLAIN
    },
];

/// A source that was named.
pub(super) fn source(filled: &Filled) -> Result<SourceName, Said> {
    SourceName::new(filled.get(0)).ok_or_else(|| Said::from("There is no such source."))
}

/// Messages of a source and of a lane, as the first two answers say.
fn filter(filled: &Filled) -> Result<QueueFilter, Said> {
    let source = match filled.some(0) {
        Some(_) => Some(source(filled)?),
        None => None,
    };
    Ok(QueueFilter { source, lane: filled.some(1), ..QueueFilter::default() })
}
