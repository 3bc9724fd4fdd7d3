//! What the menu says about the machine.

use super::tree::{PLAIN, SOURCE, source};
use super::{Danger, Deed, Enter, Entry, Field, Filled, Kind, List, Word};
use crate::control::diagnose::Test;
use crate::control::host::request::Destination;
use crate::control::host::{HostRequest, Passphrase};
use crate::control::request::{PageAsk, Request};

/// Rows of a list that are asked for at once.
const ALL: PageAsk = PageAsk { offset: 0, limit: 200 };
/// Time to confirm what a backup brought back: longer than a first boot, its network is another.
const RESTORE_CONFIRM_SECS: u64 = 600;
/// Time to confirm another address or value: enough to see whether everything is reached.
const CHANGE_CONFIRM_SECS: u64 = 300;
/// What leaves a value as it is.
const SAME: &str = "same";
/// A lamp blinks as long as it takes to walk around a rack.
const BLINK_SECS: u64 = 20;
/// A live trace ends by itself.
const TRACE_SECS: u64 = 600;
/// Lines of the journal that are shown.
const LOG_LINES: u64 = 200;

const WAY: Field =
    Field { prompt: "From which interface", kind: Kind::Existing(List::Ways), enter: Enter::Back };
const NAME: Field = Field { prompt: "Which name", kind: Kind::Words, enter: Enter::Back };
const HOST: Field =
    Field { prompt: "To which name or address", kind: Kind::Words, enter: Enter::Back };

/// A field that may stay as it is.
const fn same(prompt: &'static str) -> Field {
    Field { prompt, kind: Kind::Words, enter: Enter::Takes(SAME) }
}

/// One test of the diagnosis.
const fn test(
    word: &'static str,
    title: &'static str,
    fields: &'static [Field],
    make: fn(&Filled) -> HostRequest,
) -> Entry {
    let note = "This takes up to half a minute.";
    Entry { word, title, note, fields, deed: Deed::Host(make), ..PLAIN }
}

fn diagnose(test: Test, filled: &Filled) -> HostRequest {
    let (role, target) = (filled.get(0).to_owned(), filled.get(1).to_owned());
    HostRequest::Diagnose { test, role, target }
}

pub(super) const DIAGNOSE: &[Entry] = &[
    test("ping", "is somebody there", &[WAY, HOST], |filled| diagnose(Test::Ping, filled)),
    test("trace", "which routers are on the way", &[WAY, HOST], |filled| {
        diagnose(Test::Trace, filled)
    }),
    test("dns", "which addresses a name has", &[WAY, NAME], |filled| diagnose(Test::Dns, filled)),
    test("mx", "where mail for a domain goes", &[WAY, NAME], |filled| diagnose(Test::Mx, filled)),
    test("tls", "a TLS connection and its certificate", &[WAY, HOST], |filled| {
        diagnose(Test::Tls, filled)
    }),
    test("smtp", "an SMTP greeting, without mail", &[WAY, HOST], |filled| {
        diagnose(Test::Smtp, filled)
    }),
    Entry {
        word: "log",
        title: "the journal, by unit, gravity, words and time",
        fields: &[
            Field {
                prompt: "Of which unit (a name such as postern.service)",
                kind: Kind::Words,
                enter: Enter::All,
            },
            Field {
                prompt: "How grave at least",
                kind: Kind::One(&[
                    ("err", "errors"),
                    ("warning", "warnings too"),
                    ("notice", "what is notable too"),
                    ("info", "everything but the finest"),
                ]),
                enter: Enter::Takes("info"),
            },
            Field { prompt: "With which words in it", kind: Kind::Words, enter: Enter::All },
            Field { prompt: "Of how many minutes", kind: Kind::Words, enter: Enter::Takes("60") },
        ],
        deed: Deed::Host(|filled| HostRequest::LogShow {
            unit: filled.some(0),
            priority: filled.some(1),
            words: filled.some(2),
            since_secs: filled.get(3).parse::<u64>().ok().map(|minutes| minutes * 60),
            lines: Some(LOG_LINES),
        }),
        ..PLAIN
    },
    Entry {
        word: "trace-source",
        title: "watch how a source submits, live",
        fields: &[SOURCE],
        deed: Deed::Watch(|filled| {
            let source = Some(source(filled)?);
            Ok(Request::TraceBegin { source, destination: None, secs: TRACE_SECS })
        }),
        ..PLAIN
    },
    Entry {
        word: "trace-domain",
        title: "watch how mail for a domain is delivered, live",
        fields: &[Field { prompt: "Which domain", kind: Kind::Words, enter: Enter::Back }],
        deed: Deed::Watch(|filled| {
            let destination = filled.some(0);
            Ok(Request::TraceBegin { source: None, destination, secs: TRACE_SECS })
        }),
        ..PLAIN
    },
];

pub(super) const NETWORK: &[Entry] = &[
    Entry {
        word: "ports",
        title: "ports, their cables and speed",
        deed: Deed::Host(|_| HostRequest::Ports {}),
        ..PLAIN
    },
    Entry {
        word: "port-blink",
        title: "have the lamp of a port blink",
        fields: &[Field {
            prompt: "Which port",
            kind: Kind::Existing(List::Ports),
            enter: Enter::Back,
        }],
        deed: Deed::Host(|filled| HostRequest::PortBlink {
            name: filled.get(0).to_owned(),
            secs: BLINK_SECS,
        }),
        ..PLAIN
    },
    Entry {
        word: "dns-records",
        title: "DNS records to publish (SPF, DKIM, PTR, ..)",
        deed: Deed::Host(|_| HostRequest::DnsRecords {}),
        ..PLAIN
    },
    Entry {
        word: "certificates",
        title: "certificates and DKIM keys",
        deed: Deed::Host(|_| HostRequest::Certificates {}),
        ..PLAIN
    },
    Entry {
        word: "clock",
        title: "how the clock is kept",
        deed: Deed::Host(|_| HostRequest::Clock {}),
        ..PLAIN
    },
    Entry {
        word: "address",
        title: "another address or router of an interface",
        note: "Its role and its port stay. What is changed must be confirmed within 5 minutes, or \
               the state before comes back.",
        fields: &[
            Field {
                prompt: "Which interface",
                kind: Kind::Existing(List::Ways),
                enter: Enter::Back,
            },
            same("IPv4 address and prefix, dhcp or none"),
            same("IPv4 router, or none"),
            same("IPv6 address and prefix, slaac, dhcp or none"),
            same("IPv6 router, or none"),
        ],
        danger: Danger::Said(
            "Connections by this interface end; mail that is under way is tried again.",
            Word::Is("change"),
        ),
        deed: Deed::Host(|filled| {
            let given = |index| Some(filled.get(index).to_owned()).filter(|word| word != SAME);
            HostRequest::ConfigAddress {
                interface: filled.get(0).to_owned(),
                ipv4: given(1),
                gateway4: given(2),
                ipv6: given(3),
                gateway6: given(4),
                confirm_secs: Some(CHANGE_CONFIRM_SECS),
            }
        }),
    },
];

pub(super) const CONFIG: &[Entry] = &[
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
    Entry {
        word: "config-set",
        title: "change one value",
        note: "Everything else stays, comments too. It must be confirmed within 5 minutes, or the \
               state before comes back.",
        fields: &[
            Field {
                prompt: "Which key, for example interface.manage0.dns",
                kind: Kind::Words,
                enter: Enter::Back,
            },
            Field {
                prompt: "Its value as in the document, or none",
                kind: Kind::Words,
                enter: Enter::Back,
            },
        ],
        danger: Danger::Said(
            "It is checked first, and refused if it is wrong.",
            Word::Is("change"),
        ),
        deed: Deed::Host(|filled| HostRequest::ConfigSet {
            key: filled.get(0).to_owned(),
            value: Some(filled.get(1).to_owned()).filter(|value| value != "none"),
            confirm_secs: Some(CHANGE_CONFIRM_SECS),
            comment: None,
        }),
    },
];

/// A reason overrides the window of updates and the rest after a start.
const CANNOT_WAIT: Field =
    Field { prompt: "If it cannot wait: why", kind: Kind::Words, enter: Enter::Without };

pub(super) const UPDATE: &[Entry] = &[
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
        fields: &[
            Field {
                prompt: "From where (usb, an https address)",
                kind: Kind::One(&[
                    ("server", "where the configuration says"),
                    ("usb", "a USB stick with the label POSTERNUPD"),
                ]),
                enter: Enter::Takes("server"),
            },
            Field {
                prompt: "Is an older version meant",
                kind: Kind::One(&[
                    ("no", "only a newer one is taken"),
                    ("yes", "an older one is taken too, down to the floor"),
                ]),
                enter: Enter::Takes("no"),
            },
            CANNOT_WAIT,
        ],
        deed: Deed::Host(|filled| HostRequest::UpdateStage {
            from: filled.some(0).filter(|from| from != "server"),
            downgrade: filled.get(1) == "yes",
            now: filled.some(2),
        }),
        ..PLAIN
    },
    Entry {
        word: "update-apply",
        title: "restart into the staged update",
        note: "It keeps to the window and to five minutes after a start, unless you give a reason.",
        danger: Danger::Weighed(
            "The machine restarts into the other slot and comes back by itself if it is not \
             healthy there. {} on disk stay; nothing is accepted for about two minutes.",
            Word::Is("update"),
        ),
        fields: &[CANNOT_WAIT],
        deed: Deed::Host(|filled| HostRequest::UpdateApply { now: filled.some(0) }),
    },
    Entry {
        word: "update-rollback",
        title: "return to the other slot",
        note: "It keeps to the window and to five minutes after a start, unless you give a reason.",
        danger: Danger::Weighed(
            "The machine restarts into the other slot. {} on disk stay.",
            Word::Is("roll back"),
        ),
        fields: &[CANNOT_WAIT],
        deed: Deed::Host(|filled| HostRequest::UpdateRollback { now: filled.some(0) }),
    },
];

pub(super) const BACKUP: &[Entry] = &[
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
        word: "restore",
        title: "bring a backup back from the USB stick",
        note: "The stick has the label POSTERNCFG and one backup (*.pbk) on it. What is brought \
               back must be confirmed within 10 minutes, or the state before comes back.",
        fields: &[Field {
            prompt: "Passphrase of the backup",
            kind: Kind::Secret,
            enter: Enter::Back,
        }],
        danger: Danger::Said(
            "Configuration, keys and passphrase of the backup take the place of those here.",
            Word::Is("restore"),
        ),
        deed: Deed::Host(|filled| HostRequest::ImportStick {
            name: None,
            passphrase: Passphrase::new(filled.get(0).to_owned()),
            check: false,
            confirm_secs: Some(RESTORE_CONFIRM_SECS),
        }),
    },
    Entry {
        word: "restore-check",
        title: "what a backup on the USB stick would change",
        fields: &[Field {
            prompt: "Passphrase of the backup",
            kind: Kind::Secret,
            enter: Enter::Back,
        }],
        deed: Deed::Host(|filled| HostRequest::ImportStick {
            name: None,
            passphrase: Passphrase::new(filled.get(0).to_owned()),
            check: true,
            confirm_secs: None,
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

pub(super) const SYSTEM: &[Entry] = &[
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
    Entry {
        word: "recovery-key",
        title: "show the new recovery key of the disks",
        deed: Deed::Host(|_| HostRequest::RecoveryKey { forget: false }),
        ..PLAIN
    },
    Entry {
        word: "recovery-key-kept",
        title: "the recovery key is written down",
        danger: Danger::Said(
            "It is forgotten here, and the next start makes no other.",
            Word::Is("yes"),
        ),
        deed: Deed::Host(|_| HostRequest::RecoveryKey { forget: true }),
        ..PLAIN
    },
    Entry {
        word: "recovery-key-renew",
        title: "have the next start make another recovery key",
        danger: Danger::Said(
            "The next start shows a new one, and the one so far opens nothing then.",
            Word::Is("renew"),
        ),
        deed: Deed::Host(|_| HostRequest::RecoveryKeyRenew {}),
        ..PLAIN
    },
];
