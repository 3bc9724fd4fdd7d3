//! The tree itself.

use super::{Danger, Deed, Enter, Entry, Field, Filled, Kind, List, Section, Word};
use crate::console::words::Said;
use crate::control::host::request::Destination;
use crate::control::host::{HostRequest, Passphrase};
use crate::control::request::{PageAsk, QueueFilter, Request};
use crate::mail::source::SourceName;

/// Rows of a list that are asked for at once.
const ALL: PageAsk = PageAsk { offset: 0, limit: 200 };
/// How long the secret before a new one stays good: a day for the people behind the source.
const GRACE_SECS: u64 = 86_400;

/// An entry without questions and dangers; the others are made from it.
const PLAIN: Entry = Entry {
    word: "",
    title: "",
    note: "",
    fields: &[],
    danger: Danger::None,
    deed: Deed::Language,
};

const YES: Word = Word::Is("yes");
const SOURCE: Field =
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
    Section { word: "backup", title: "Backup and support", entries: BACKUP },
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

const NETWORK: &[Entry] = &[Entry {
    word: "dns-records",
    title: "DNS records to publish (SPF, DKIM, PTR, ..)",
    deed: Deed::Host(|_| HostRequest::DnsRecords {}),
    ..PLAIN
}];

const CONFIG: &[Entry] = &[
    Entry {
        word: "config-history",
        title: "configurations that are kept",
        deed: Deed::Host(|_| HostRequest::ConfigHistory {}),
        ..PLAIN
    },
    Entry {
        word: "config-show",
        title: "show one of them",
        fields: &[Field {
            prompt: "Which configuration",
            kind: Kind::Existing(List::Generations),
            enter: Enter::All,
        }],
        deed: Deed::Host(|filled| HostRequest::ConfigShow {
            generation: filled.get(0).parse().ok(),
        }),
        ..PLAIN
    },
    Entry {
        word: "config-diff",
        title: "what another one would change",
        fields: &[Field {
            prompt: "Which configuration",
            kind: Kind::Existing(List::Generations),
            enter: Enter::Back,
        }],
        deed: Deed::Host(|filled| HostRequest::ConfigDiff {
            document: None,
            generation: filled.get(0).parse().ok(),
        }),
        ..PLAIN
    },
    Entry {
        word: "config-confirm",
        title: "confirm the one on trial",
        deed: Deed::Host(|_| HostRequest::ConfigConfirm {}),
        ..PLAIN
    },
    Entry {
        word: "config-rollback",
        title: "roll back to the one before",
        danger: Danger::Configuration(Word::Is("roll back")),
        deed: Deed::Host(|_| HostRequest::ConfigRollback { generation: None }),
        ..PLAIN
    },
];

const UPDATE: &[Entry] = &[
    Entry {
        word: "update-status",
        title: "slots and how the update stands",
        deed: Deed::Host(|_| HostRequest::UpdateStatus {}),
        ..PLAIN
    },
    Entry {
        word: "update-check",
        title: "is there a newer version",
        note: "Asking the update server; this takes some seconds.",
        deed: Deed::Host(|_| HostRequest::UpdateCheck {}),
        ..PLAIN
    },
    Entry {
        word: "update-stage",
        title: "fetch, verify and write it to the other slot",
        note: "It is written and read back; this takes some minutes. Mail goes on meanwhile.",
        fields: &[Field {
            prompt: "From where (usb, an https address)",
            kind: Kind::One(&[
                ("server", "where the configuration says"),
                ("usb", "the USB stick with the label POSTERNCFG"),
            ]),
            enter: Enter::Takes("server"),
        }],
        deed: Deed::Host(|filled| HostRequest::UpdateStage {
            from: filled.some(0).filter(|from| from != "server"),
        }),
        ..PLAIN
    },
    Entry {
        word: "update-apply",
        title: "restart into the staged update",
        danger: Danger::Weighed(
            "The machine restarts into the other slot and comes back by itself if it is not \
             healthy there. {} on disk stay; nothing is accepted for about two minutes.",
            Word::Is("update"),
        ),
        deed: Deed::Host(|_| HostRequest::UpdateApply {}),
        ..PLAIN
    },
    Entry {
        word: "update-rollback",
        title: "return to the other slot",
        danger: Danger::Weighed(
            "The machine restarts into the other slot. {} on disk stay.",
            Word::Is("roll back"),
        ),
        deed: Deed::Host(|_| HostRequest::UpdateRollback {}),
        ..PLAIN
    },
];

const BACKUP: &[Entry] = &[
    Entry {
        word: "backup",
        title: "configuration and keys, encrypted, to the USB stick",
        note: "The stick has the label POSTERNCFG. The passphrase encrypts the backup.",
        fields: &[
            Field { prompt: "Passphrase of the backup", kind: Kind::NewSecret, enter: Enter::Back },
            Field { prompt: "The same again", kind: Kind::Again, enter: Enter::Back },
        ],
        deed: Deed::Host(|filled| HostRequest::Export {
            passphrase: Passphrase::new(filled.get(0).to_owned()),
            to: Destination::Stick,
        }),
        ..PLAIN
    },
    Entry {
        word: "support-bundle",
        title: "support bundle to the USB stick",
        note: "Writing to the stick with the label POSTERNCFG.",
        deed: Deed::Host(|_| HostRequest::SupportBundle { to: Destination::Stick }),
        ..PLAIN
    },
    Entry {
        word: "audit",
        title: "who did what on this machine",
        deed: Deed::Host(|_| HostRequest::AuditShow { page: ALL }),
        ..PLAIN
    },
    Entry {
        word: "audit-verify",
        title: "is that record whole",
        deed: Deed::Host(|_| HostRequest::AuditVerify {}),
        ..PLAIN
    },
];

const SYSTEM: &[Entry] = &[
    Entry {
        word: "language",
        title: "language of this console",
        fields: &[Field {
            prompt: "Which language",
            kind: Kind::One(&[
                ("en", "English"),
                ("de", "Deutsch"),
                ("es", "Español"),
                ("fr", "Français"),
            ]),
            enter: Enter::Back,
        }],
        deed: Deed::Language,
        ..PLAIN
    },
    Entry {
        word: "passphrase",
        title: "change the passphrase",
        fields: &[
            Field { prompt: "Passphrase so far", kind: Kind::Secret, enter: Enter::Back },
            Field { prompt: "New passphrase", kind: Kind::NewSecret, enter: Enter::Back },
            Field { prompt: "New passphrase again", kind: Kind::Again, enter: Enter::Back },
        ],
        deed: Deed::Host(|filled| HostRequest::SetPassphrase {
            old: Some(Passphrase::new(filled.get(0).to_owned())),
            new: Passphrase::new(filled.get(1).to_owned()),
        }),
        ..PLAIN
    },
    Entry {
        word: "reboot",
        title: "restart",
        danger: Danger::Weighed(
            "{} on disk stay; nothing is accepted for about a minute.",
            Word::Is("restart"),
        ),
        deed: Deed::Host(|_| HostRequest::Reboot {}),
        ..PLAIN
    },
    Entry {
        word: "power-off",
        title: "power off",
        danger: Danger::Weighed(
            "{} on disk stay; nothing is accepted until power-on.",
            Word::Is("power off"),
        ),
        deed: Deed::Host(|_| HostRequest::PowerOff {}),
        ..PLAIN
    },
    Entry {
        word: "reset-settings",
        title: "factory reset that keeps the mail that waits",
        danger: Danger::Weighed(
            "Configuration, keys and passphrase are destroyed. {} stay on disk.",
            Word::HostName,
        ),
        // The host role wants to hear the name too; it is what was typed.
        deed: Deed::Host(|filled| HostRequest::FactoryReset {
            keep_spool: true,
            word: filled.get(0).to_owned(),
        }),
        ..PLAIN
    },
    Entry {
        word: "factory-reset",
        title: "factory reset that destroys everything",
        danger: Danger::Weighed(
            "Everything is destroyed, and with it for ever: {}. Nobody is told.",
            Word::HostName,
        ),
        deed: Deed::Host(|filled| HostRequest::FactoryReset {
            keep_spool: false,
            word: filled.get(0).to_owned(),
        }),
        ..PLAIN
    },
];

/// A source that was named.
fn source(filled: &Filled) -> Result<SourceName, Said> {
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
