//! The world around the console in a dialogue: a host role, a daemon and chance that always gives
//! the same.
//!
//! `@ unclaimed`, `@ configured`: what the machine is. `@ away`, `@ back`: the host role.
//! `@ silent`, `@ speaking`: the daemon. `@ cable NAME up|down`. `@ locked 8`: a login must wait.
//! `@ pending 83`: a configuration waits. `@ rolled-back`, `@ alarms`: things that are shown.

use postern::base::secret::Secret;
use postern::base::time::WallTime;
use postern::config::checked::DkimAlgorithm;
use postern::config::{Anywhere, read};
use postern::console::ask::{Ask, Draw, Drawn, DrawnKey, Told};
use postern::control::answer::{
    Acted, Answer, EgressRow, Page, QueueSums, Rotated, SourceRow, SpoolRow, Status, Trouble,
    TroubleKind,
};
use postern::control::check::{EgressCheck, Finding, Grade};
use postern::control::diagnose::{Diagnosis, TestStep};
use postern::control::dialogue::{Dialogue, DialogueRow, Speaker};
use postern::control::host::answer::{
    Applied, CertificateRow, CertificateSoonest, DkimRow, GenerationRow, LinkRow, Papers,
    PendingRow, SetUp, UnitRow, Welcome,
};
use postern::control::host::{HostAnswer, HostRequest, HostStatus};
use postern::control::lanes::{ByClass, LaneRow};
use postern::control::request::Request;
use postern::event::counters::Totals;
use postern::event::hour::LastHour;
use postern::mail::class::MessageClass;
use postern::mail::source::{SourceName, SourceState, Verifier};
use postern::sign::keys::DnsRecord;

/// The passphrase of a machine that has one.
pub(crate) const PASSPHRASE: &str = "correct horse battery";

/// 2026-11-28T23:00:00Z.
const NOW: WallTime = WallTime(1_795_906_800_000);

#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own in a dialogue")]
pub(crate) struct World {
    away: bool,
    silent: bool,
    stopped: bool,
    locked: u64,
    passphrase: Option<String>,
    host: HostStatus,
    alarms: bool,
    ticks: u64,
}

impl Default for World {
    fn default() -> Self {
        let port = |name: &str, last: u8, state: &str| LinkRow {
            name: name.to_owned(),
            mac: format!("52:54:00:12:00:{last:02x}"),
            state: state.to_owned(),
            addresses: Vec::new(),
            driver: Some("virtio_net".to_owned()),
            speed_mbit: (state == "up").then_some(1000),
            role: None,
            carrier: state == "up",
        };
        let host = HostStatus {
            version: "0.1.0".to_owned(),
            image_version: Some("1.0.0".to_owned()),
            hostname: "postern".to_owned(),
            links: vec![
                port("enp1s0", 1, "up"),
                port("enp2s0", 2, "up"),
                port("enp3s0", 3, "up"),
                port("enp4s0", 4, "down"),
            ],
            gateway: "no configuration".to_owned(),
            uptime_secs: 95,
            memory_available_octets: 600 << 20,
            memory_octets: 768 << 20,
            state_free_octets: 1900 << 20,
            state_octets: 2048 << 20,
            spool_free_octets: 3900 << 20,
            spool_octets: 4096 << 20,
            now: NOW,
            ..HostStatus::default()
        };
        Self {
            away: false,
            silent: false,
            stopped: false,
            locked: 0,
            passphrase: None,
            host,
            alarms: false,
            ticks: 0,
        }
    }
}

/// A question in a word or two.
#[allow(dead_code, reason = "only the dialogues write it down")]
pub(crate) fn verb(ask: &Ask) -> String {
    match ask {
        Ask::Host(HostRequest::Setup { check, confirm_secs, .. }) => {
            format!("setup check={check} confirm={}", confirm_secs.unwrap_or(0))
        }
        Ask::Host(HostRequest::FactoryReset { keep_spool, word }) => {
            format!("factory-reset keep-spool={keep_spool} word={word}")
        }
        Ask::Host(HostRequest::UpdateStage { from, downgrade, now }) => {
            let older = if *downgrade { " older" } else { "" };
            let from = from.as_deref().unwrap_or("-");
            format!("update stage from={from}{older} now={}", now.as_deref().unwrap_or("-"))
        }
        Ask::Host(
            request @ (HostRequest::UpdateApply { now } | HostRequest::UpdateRollback { now }),
        ) => format!("{} now={}", request.action(), now.as_deref().unwrap_or("-")),
        Ask::Host(request) => request.action().to_owned(),
        Ask::Serve(request) => {
            let dry = serde_json::to_value(request).unwrap()["dry_run"] == true;
            format!("serve: {}{}", request.action(), if dry { " (dry run)" } else { "" })
        }
        Ask::Draw(_) => "draw".to_owned(),
    }
}

impl World {
    pub(crate) fn change(&mut self, what: &str) {
        let words: Vec<&str> = what.split_whitespace().collect();
        match words.as_slice() {
            ["unclaimed"] => {}
            ["configured"] => self.configure(),
            ["away"] => self.away = true,
            ["back"] => self.away = false,
            ["silent"] => self.silent = true,
            ["speaking"] => self.silent = false,
            ["alarms"] => self.alarms = true,
            ["privacy"] => self.host.privacy = true,
            ["language", code] => (*code).clone_into(&mut self.host.language),
            ["locked", secs] => self.locked = secs.parse().unwrap(),
            ["pending", secs] => self.pend(secs.parse().unwrap()),
            ["notice", ..] => self.host.notices.push(words[1..].join(" ")),
            ["failed", unit] => self.host.units.push(UnitRow {
                name: (*unit).to_owned(),
                active: "failed".to_owned(),
                sub: "failed".to_owned(),
            }),
            ["rolled-back"] => {
                self.host.update = Some(serde_json::json!({
                    "format": 1, "record": { "state": {
                        "is": "rolled-back", "release": { "version": "1.1.0" },
                        "reason": "the synthetic message was not signed",
                    } },
                }));
            }
            ["cable", name, state] => {
                let link = self.host.links.iter_mut().find(|link| link.name == *name).unwrap();
                (*state).clone_into(&mut link.state);
                link.carrier = *state == "up";
            }
            ["only-port", name] => self.host.links.retain(|link| link.name == *name),
            _ => panic!("what is {what}"),
        }
    }

    fn configure(&mut self) {
        self.passphrase = Some(PASSPHRASE.to_owned());
        self.host.configured = true;
        self.host.passphrase_set = true;
        self.host.generation = 3;
        "relay.example.com".clone_into(&mut self.host.hostname);
        for (link, role) in self.host.links.iter_mut().zip(["egress", "intake", "manage"]) {
            link.role = Some(role.to_owned());
            link.name = format!("{role}0");
            link.addresses = vec!["192.0.2.25".to_owned()];
        }
    }

    fn pend(&mut self, secs: u64) {
        self.host.pending = Some(PendingRow {
            generation: self.host.generation,
            previous: self.host.generation.saturating_sub(1),
            left_secs: secs,
            by: "console ttyS0".to_owned(),
        });
    }

    /// How often all mail was stopped.
    #[allow(dead_code, reason = "only the screen's test counts them")]
    pub(crate) fn stopped(&self) -> usize {
        usize::from(self.stopped)
    }

    /// The machine's clock and its counters go on.
    #[allow(dead_code, reason = "only the screen's test lets them")]
    pub(crate) fn tick(&mut self) {
        self.host.now = WallTime(self.host.now.0 + 10_000);
        self.host.uptime_secs += 10;
        self.host.memory_available_octets -= 3 << 20;
        self.ticks += 7;
    }

    /// A second passes.
    pub(crate) fn pass(&mut self) {
        let Some(pending) = &mut self.host.pending else { return };
        pending.left_secs = pending.left_secs.saturating_sub(1);
        if pending.left_secs == 0 {
            let first = pending.previous == 0;
            self.host.pending = None;
            if first {
                self.host.configured = false;
                self.host.passphrase_set = false;
                self.passphrase = None;
            }
        }
    }

    pub(crate) fn answer(&mut self, ask: &Ask) -> Told {
        match ask {
            Ask::Draw(order) => Told::Drawn(Box::new(drawn(order.clone()))),
            _ if self.away => Told::Away(
                "the host role does not answer at /run/postern-host/host.sock: Connection refused"
                    .to_owned(),
            ),
            Ask::Host(request) => Told::Host(Box::new(self.host(request))),
            Ask::Serve(_) if self.silent => Told::Served(Box::new(Answer::Trouble(Trouble::new(
                TroubleKind::Fault,
                "no daemon answers at /run/postern/control.sock",
            )))),
            Ask::Serve(request) => Told::Served(Box::new(self.serve(request))),
        }
    }

    fn host(&mut self, request: &HostRequest) -> HostAnswer {
        match request {
            HostRequest::Status {} => {
                let mut host = self.host.clone();
                if host.configured && !self.silent {
                    host.mail = Some(Box::new(self.mail()));
                    host.queued = Some(12);
                    host.oldest_secs = Some(245);
                    host.temperature_celsius = Some(41);
                    host.slot = Some("postern_1.0.0".to_owned());
                    host.certificate_soonest =
                        Some(CertificateSoonest { name: "submission".to_owned(), days_left: 83 });
                } else if host.configured {
                    "does not answer".clone_into(&mut host.gateway);
                }
                HostAnswer::Status(Box::new(host))
            }
            HostRequest::Login { passphrase, .. } => self.login(passphrase.secret().expose()),
            HostRequest::Setup { text, .. } => self.set_up(text.secret().expose()),
            HostRequest::ConfigConfirm {} if self.host.pending.take().is_some() => {
                HostAnswer::Done(format!("configuration {} is kept", self.host.generation))
            }
            HostRequest::ConfigConfirm {} => HostAnswer::Trouble(Trouble::new(
                TroubleKind::Conflict,
                "nothing waits for a confirmation",
            )),
            HostRequest::ConfigRollback { .. } => HostAnswer::Applied(Applied {
                generation: 4,
                previous: 3,
                confirm_secs: None,
                notes: Vec::new(),
            }),
            HostRequest::ConfigHistory {} => HostAnswer::History(vec![GenerationRow {
                generation: 3,
                at: NOW,
                by: "console ttyS0".to_owned(),
                comment: String::new(),
                state: "in force".to_owned(),
            }]),
            HostRequest::UpdateStatus {} => HostAnswer::Update(
                serde_json::json!({"state": "idle", "slot": {"version": "1.0.0", "good": true},
                    "last": {"at": NOW, "good": true, "text": "healthy"}}),
            ),
            HostRequest::UpdateCheck {} => {
                HostAnswer::Update(serde_json::json!({"state": "available", "version": "1.1.0"}))
            }
            HostRequest::UpdateStage { .. } => {
                HostAnswer::Update(serde_json::json!({"state": "staged", "version": "1.1.0"}))
            }
            HostRequest::Hello { .. } => HostAnswer::Welcome(Welcome {
                login_wait_secs: self.locked,
                passphrase_set: true,
                ..Welcome::default()
            }),
            HostRequest::DnsRecords {} => {
                HostAnswer::Text("relay.example.com. IN A 192.0.2.25\n".to_owned())
            }
            HostRequest::RecoveryKey { forget: false } => {
                HostAnswer::Text([["cbdefghi"; 8].join("-"), "\n".to_owned()].concat())
            }
            HostRequest::SetPassphrase { old, new } => {
                if old.as_ref().map(|old| old.secret().expose()) != self.passphrase.as_ref() {
                    let text = "that is not the passphrase";
                    return HostAnswer::Trouble(Trouble::new(TroubleKind::Forbidden, text));
                }
                self.passphrase = Some(new.secret().expose().clone());
                HostAnswer::Done("the passphrase is changed".to_owned())
            }
            other => self.looked_up(other),
        }
    }

    /// What only looks.
    fn looked_up(&self, request: &HostRequest) -> HostAnswer {
        match request {
            HostRequest::Ports {} => HostAnswer::Ports(self.host.links.clone()),
            HostRequest::PortBlink { name, secs } => {
                HostAnswer::Done(format!("{name} blinks for {secs} s"))
            }
            HostRequest::Certificates {} => HostAnswer::Certificates(papers()),
            HostRequest::Clock {} => HostAnswer::Text(
                "The clock follows ntp.example.com; it is 0.2 ms off.\n".to_owned(),
            ),
            HostRequest::LogShow { .. } => HostAnswer::Text(
                (0..40)
                    .map(|at| format!("23:00:{at:02} postern.service: line {at}"))
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            HostRequest::Diagnose { test, role, target } => HostAnswer::Diagnosed(Diagnosis {
                test: *test,
                role: role.clone(),
                target: target.clone(),
                steps: vec![
                    TestStep::new("address", Grade::Pass, "198.51.100.7"),
                    TestStep::new("connect", Grade::Fail, "nobody answers at port 25"),
                ],
                next: Some("ask the provider whether port 25 is open".to_owned()),
            }),
            _ => HostAnswer::Done(String::new()),
        }
    }

    fn login(&self, said: &str) -> HostAnswer {
        if self.locked > 0 {
            let text = format!("too many tries; the next one is looked at in {} s", self.locked);
            return HostAnswer::Trouble(Trouble::new(TroubleKind::Conflict, text));
        }
        if self.passphrase.as_deref() != Some(said) {
            let text = "that is not the passphrase";
            return HostAnswer::Trouble(Trouble::new(TroubleKind::Forbidden, text));
        }
        HostAnswer::Welcome(Welcome {
            administrator: true,
            unclaimed: false,
            passphrase_set: true,
            login_wait_secs: 0,
            version: "0.1.0".to_owned(),
            hostname: self.host.hostname.clone(),
        })
    }

    /// The setup as the host role would take it: the document inside is read by the real check.
    fn set_up(&mut self, text: &str) -> HostAnswer {
        let document = text.split("'''").nth(1).unwrap();
        if let Err(complaints) = read(document, &Anywhere) {
            panic!("the wizard made a bad document:\n{complaints:#?}\n{document}");
        }
        assert!(text.contains("passphrase_argon2id = \"$argon2id$"), "no administrator");
        self.configure();
        // What the player typed at the wizard's first question; it cannot be read from a hash.
        self.passphrase = Some("tulip wagon orbit 7".to_owned());
        self.host.generation = 1;
        self.pend(300);
        HostAnswer::SetUp(SetUp {
            good: true,
            generation: 1,
            made: vec!["tls/chain.pem: a self-signed certificate".to_owned()],
            ..SetUp::default()
        })
    }

    fn mail(&self) -> Status {
        let egress = EgressRow {
            name: "main".to_owned(),
            device: Some("egress0".to_owned()),
            addresses: vec!["192.0.2.25".to_owned()],
            state: if self.alarms { "suspended" } else { "up" }.to_owned(),
            reason: self.alarms.then(|| "the router does not answer".to_owned()),
            by: None,
            since: None,
            pools: Vec::new(),
            families: Vec::new(),
            listed: Vec::new(),
            warm_up: None,
        };
        Status {
            health: None,
            last_hour: LastHour::default(),
            state: if self.stopped { "stopped" } else { "running" }.to_owned(),
            reasons: Vec::new(),
            version: "0.1.0".to_owned(),
            hostname: self.host.hostname.clone(),
            lab: false,
            started: NOW,
            now: NOW,
            config: "/etc/postern/postern.toml".to_owned(),
            listeners: Vec::new(),
            egresses: vec![egress],
            checks: Vec::new(),
            sources_active: 1,
            sources: 1,
            queue: QueueSums { messages: 12, recipients: 14, held: 3, in_flight: 2, lanes: 4 },
            spool: SpoolRow { state: SpoolRow::OPEN.to_owned(), ..SpoolRow::default() },
            totals: Totals {
                accepted: 120 + self.ticks,
                delivered: 104 + self.ticks,
                deferred: 4,
                ..Totals::default()
            },
            walls: Vec::new(),
            held: Vec::new(),
            delays: Vec::new(),
        }
    }

    fn serve(&mut self, request: &Request) -> Answer {
        match request {
            Request::StopAll {} | Request::ResumeAll {} => {
                self.stopped = matches!(request, Request::StopAll {});
                Answer::Acted(Acted { messages: 12, dry_run: false, note: String::new() })
            }
            Request::SourceList { .. } => Answer::Sources(Page {
                rows: vec![SourceRow {
                    name: SourceName::new("billing").unwrap(),
                    state: SourceState::Active,
                    configured: SourceState::Active,
                    proof: "password".to_owned(),
                    class: MessageClass::Transactional,
                    queued: 12,
                    held: 3,
                    accepted: 120,
                }],
                total: 1,
                offset: 0,
            }),
            Request::SourceRotate { name, .. } => Answer::Rotated(Rotated {
                name: name.clone(),
                user: "billing".to_owned(),
                password: "n3w5ecretn3w5ecretn3w5ecretn3w5e".to_owned(),
                grace_until: NOW,
            }),
            Request::EgressList {} => Answer::Egresses(self.mail().egresses),
            Request::EgressCheck { .. } => Answer::EgressChecks(vec![check()]),
            Request::QueueLanes { .. } => {
                Answer::Lanes(Page { rows: vec![lane()], total: 1, offset: 0 })
            }
            Request::TraceBegin { .. } => Answer::Dialogue(dialogue(1, 600)),
            Request::TracePoll { after: 1 } => Answer::Dialogue(dialogue(2, 599)),
            Request::TracePoll { .. } => Answer::Dialogue(Dialogue {
                left_secs: 598,
                about: "source billing".to_owned(),
                ..Dialogue::default()
            }),
            Request::QueueList { .. } => {
                Answer::Queue(Page { rows: Vec::new(), total: 0, offset: 0 })
            }
            _ => Answer::Acted(Acted { messages: 9, dry_run: true, note: String::new() }),
        }
    }
}

fn dialogue(number: u64, left_secs: u64) -> Dialogue {
    let row = DialogueRow {
        number,
        at: NOW,
        session: 1,
        speaker: Speaker::Client,
        text: "EHLO app.example.com".to_owned(),
    };
    Dialogue { about: "source billing".to_owned(), rows: vec![row], lost: 0, left_secs }
}

fn papers() -> Papers {
    Papers {
        certificates: vec![CertificateRow {
            purpose: "submission".to_owned(),
            path: "/etc/postern/tls/chain.pem".to_owned(),
            subject: "relay.example.com".to_owned(),
            names: vec!["relay.example.com".to_owned()],
            not_after: NOW,
            days_left: 83,
            key: "ECDSA P-256".to_owned(),
        }],
        dkim: vec![DkimRow {
            domain: "example.com".to_owned(),
            selector: "p2026r".to_owned(),
            algorithm: "rsa-sha256".to_owned(),
            age_days: Some(12),
        }],
        notes: Vec::new(),
    }
}

fn lane() -> LaneRow {
    LaneRow {
        lane: "example.net".to_owned(),
        egress: "main".to_owned(),
        state: "slowed".to_owned(),
        reason: Some("421 too many connections".to_owned()),
        until: None,
        connections: 1,
        allowed: 2,
        connections_max: 20,
        messages_per_connection: 100,
        messages_per_minute: None,
        classes: ByClass { transactional: 12, ..ByClass::default() },
        ready: 9,
        waiting: 3,
        in_flight: 2,
        held: 3,
        oldest: Some(NOW),
        next: None,
        reply: None,
        domains: 1,
        shut: 0,
        top: Vec::new(),
        delays: Vec::new(),
    }
}

fn check() -> EgressCheck {
    let finding = |item: &str, grade, text: &str, remedy: Option<&str>| Finding {
        item: item.to_owned(),
        subject: "192.0.2.25".to_owned(),
        grade,
        text: text.to_owned(),
        remedy: remedy.map(str::to_owned),
    };
    EgressCheck {
        egress: "main".to_owned(),
        device: Some("egress0".to_owned()),
        addresses: vec!["192.0.2.25".to_owned()],
        ehlo: "relay.example.com".to_owned(),
        at: NOW,
        findings: vec![
            finding("link", Grade::Pass, "the link is up", None),
            finding(
                "ptr",
                Grade::Fail,
                "no PTR record: most receivers refuse mail from such an address",
                Some("25.2.0.192.in-addr.arpa. IN PTR relay.example.com."),
            ),
        ],
    }
}

fn drawn(order: Draw) -> Drawn {
    let mut keys = Vec::new();
    for domain in &order.domains {
        let kinds = [
            (DkimAlgorithm::RsaSha256, "p2026r", "rsa", "A".repeat(392)),
            (DkimAlgorithm::Ed25519Sha256, "p2026e", "ed25519", "B".repeat(44)),
        ];
        for (algorithm, selector, kind, key) in kinds {
            keys.push(DrawnKey {
                domain: domain.clone(),
                selector: selector.to_owned(),
                algorithm,
                pem: Secret::new(
                    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
                ),
                record: DnsRecord {
                    name: format!("{selector}._domainkey.{domain}"),
                    value: format!("v=DKIM1; k={kind}; p={key}"),
                },
            });
        }
    }
    let argon2id = "$argon2id$v=19$m=19456,t=2,p=1$c2FtcGxlc2FtcGxlIQ$\
                    BVSSW5+mW8wJMTxbh4bLHwNxPNWZYLeqPqi4jqPf9yE";
    Drawn {
        order,
        administrator: Secret::new(argon2id.to_owned()),
        secret: Secret::new("abcdefghijkmnpqrstuvwxyz23456789".to_owned()),
        verifier: Verifier { argon2id: argon2id.to_owned(), scram_sha256: None, not_after: None },
        keys,
    }
}
