//! What the host role does when the desk has let a request through.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::generations::{Author, Generations};
use super::super::trial::{Change, Phase};
use super::super::{backup, bundle, records, recovery, setup, stage, status, trial};
use super::{Done, HostDesk, Visitor, lock};
use crate::base::limits::HOST_ANSWER_OCTETS_MAX;
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::complaint::Complaint;
use crate::config::control_socket;
use crate::config::edit::{self, Address, Setting};
use crate::config::setup::{GivenFile, weak};
use crate::control::answer::{Checked, Trouble, TroubleKind};
use crate::control::call::Line;
use crate::control::host::HostAnswer;
use crate::control::host::answer::{Applied, Delivered, GenerationRow, Imported, SetUp};
use crate::control::host::request::{Destination, HostRequest, Passphrase};
use crate::control::request::Request;
use crate::host::clock;
use crate::host::durable::{Readers, remove, replace};
use crate::host::machine::UpdateDeed;

/// The longest place to update from.
const PLACE_OCTETS_MAX: usize = 1024;

fn invalid<T>(text: impl Into<String>) -> Done<T> {
    Err(Trouble::new(TroubleKind::Invalid, text))
}

fn conflict<T>(text: impl Into<String>) -> Done<T> {
    Err(Trouble::new(TroubleKind::Conflict, text))
}

fn refused(complaints: &[Complaint]) -> HostAnswer {
    let complaints = complaints.iter().map(ToString::to_string).collect();
    HostAnswer::Checked(Checked { good: false, complaints, warnings: Vec::new() })
}

impl HostDesk {
    pub(super) fn perform_deed(&self, visitor: &Visitor, request: HostRequest) -> Done<HostAnswer> {
        match request {
            HostRequest::DnsRecords {} => text(&self.paths.dns_records()),
            HostRequest::RecoveryKey { forget: false } => {
                recovery::shown(&self.paths).map(HostAnswer::Text)
            }
            HostRequest::RecoveryKey { forget: true } => {
                recovery::kept(&self.paths)?;
                Ok(HostAnswer::Done("the recovery key is forgotten here".to_owned()))
            }
            HostRequest::RecoveryKeyRenew {} => {
                recovery::renewed(&self.paths)?;
                let text = "the next start makes another recovery key and shows it";
                Ok(HostAnswer::Done(text.to_owned()))
            }
            HostRequest::ConfigShow { generation: None } => text(&self.paths.document()),
            HostRequest::ConfigShow { generation: Some(number) } => {
                self.generations().document(number).map(HostAnswer::Text).map_err(Into::into)
            }
            HostRequest::ConfigCheck { document } => Ok(self.check(&document)),
            HostRequest::ConfigDiff { document, generation } => self.diff(document, generation),
            HostRequest::ConfigApply { document, confirm_secs, comment } => {
                let comment = comment.unwrap_or_default();
                self.apply(visitor, &document, confirm_secs, &comment)
            }
            HostRequest::ConfigSet { .. } | HostRequest::ConfigAddress { .. } => {
                self.edit(visitor, request)
            }
            HostRequest::ConfigConfirm {} => {
                let generation = lock(&self.trials).confirm(&visitor.to_string())?;
                Ok(HostAnswer::Done(format!("generation {generation} stays in force")))
            }
            HostRequest::ConfigRollback { generation } => self.rollback(visitor, generation),
            HostRequest::ConfigHistory {} => Ok(HostAnswer::History(self.history())),
            HostRequest::UpdateStatus {} => self.update(&UpdateDeed::Status),
            HostRequest::UpdateCheck {} => self.update(&UpdateDeed::Check),
            HostRequest::UpdateStage { from, downgrade, now } => {
                let (from, now) = (place(from)?, why(now));
                self.update(&UpdateDeed::Stage { from, downgrade, now })
            }
            HostRequest::UpdateApply { now } => self.update(&UpdateDeed::Apply { now: why(now) }),
            HostRequest::UpdateRollback { now } => {
                self.update(&UpdateDeed::Rollback { now: why(now) })
            }
            HostRequest::Export { passphrase, to } => self.export(&passphrase, to),
            HostRequest::Import { data, passphrase, check, confirm_secs } => {
                let Ok(sealed) = STANDARD.decode(data.trim()) else {
                    return invalid("is no base64");
                };
                let done = self.import(visitor, &sealed, &passphrase, check, confirm_secs)?;
                Ok(HostAnswer::Imported(done))
            }
            HostRequest::ImportStick { name, passphrase, check, confirm_secs } => {
                let sealed = backup::from_stick(&self.paths, name.as_deref())?;
                let done = self.import(visitor, &sealed, &passphrase, check, confirm_secs)?;
                Ok(HostAnswer::Imported(done))
            }
            HostRequest::SupportBundle { to } => self.bundle(to),
            HostRequest::FactoryReset { keep_spool, word } => self.reset(keep_spool, &word),
            HostRequest::Reboot {} => {
                self.machine.reboot()?;
                Ok(HostAnswer::Done("the box restarts".to_owned()))
            }
            HostRequest::PowerOff {} => {
                self.machine.power_off()?;
                Ok(HostAnswer::Done("the box switches itself off".to_owned()))
            }
            HostRequest::Relay { request } => self.relay(request),
            other => self.look(other),
        }
    }

    fn generations(&self) -> Generations {
        Generations::new(self.paths.clone())
    }

    fn check(&self, document: &str) -> HostAnswer {
        let checked = if self.paths.is_appliance() {
            stage::check_for_new(&self.paths, document, &[]).map(|(reading, _)| reading)
        } else {
            stage::check(&self.paths, document, &[])
        };
        match checked {
            Ok(reading) => HostAnswer::Checked(Checked {
                good: true,
                complaints: Vec::new(),
                warnings: reading.warnings.iter().map(ToString::to_string).collect(),
            }),
            Err(complaints) => refused(&complaints),
        }
    }

    fn diff(&self, document: Option<String>, generation: Option<u64>) -> Done<HostAnswer> {
        let now = std::fs::read_to_string(self.paths.document()).unwrap_or_default();
        let other = match (document, generation) {
            (Some(document), None) => document,
            (None, Some(number)) => self.generations().document(number)?,
            _ => return invalid("either a document or a generation is compared"),
        };
        if let Err(complaints) = stage::check(&self.paths, &other, &[])
            && generation.is_none()
        {
            return Ok(refused(&complaints));
        }
        Ok(HostAnswer::Differences(backup::differences(&now, &other)))
    }

    /// On the appliance, keys that a document names are made if they are not there: nobody could
    /// put them there by hand. Elsewhere a path that leads nowhere is a mistake.
    /// Applies the document in force with some values changed.
    fn edit(&self, visitor: &Visitor, request: HostRequest) -> Done<HostAnswer> {
        let path = self.paths.document();
        let Ok(document) = std::fs::read_to_string(&path) else {
            return conflict("there is no configuration yet: set this gateway up first");
        };
        let (settings, confirm_secs, comment) = match request {
            HostRequest::ConfigSet { key, value, confirm_secs, comment } => {
                let comment = comment.unwrap_or_else(|| format!("{key} was set"));
                (Ok(vec![Setting { key, value }]), confirm_secs, comment)
            }
            HostRequest::ConfigAddress {
                interface,
                ipv4,
                gateway4,
                ipv6,
                gateway6,
                confirm_secs,
            } => {
                let wanted = Address { ipv4, gateway4, ipv6, gateway6 };
                let comment = format!("another address of {interface}");
                (edit::address(&document, &interface, &wanted), confirm_secs, comment)
            }
            _ => return invalid("this changes no value"),
        };
        match settings.and_then(|settings| edit::with(&document, &settings)) {
            Ok(edited) if edited == document => conflict("that is how it is already"),
            Ok(edited) => self.apply(visitor, &edited, confirm_secs, &comment),
            Err(why) => invalid(why),
        }
    }

    fn apply(
        &self,
        visitor: &Visitor,
        document: &str,
        confirm_secs: Option<u64>,
        comment: &str,
    ) -> Done<HostAnswer> {
        let now = clock::wall();
        let mut notes = Vec::new();
        let (reading, files) = if self.paths.is_appliance() {
            match stage::check_for_new(&self.paths, document, &[]) {
                Ok((reading, missing)) => {
                    let files = setup::make(&reading.config, &missing, now)?;
                    (reading, files)
                }
                Err(complaints) => return Ok(refused(&complaints)),
            }
        } else {
            notes.push("the network of this machine was left as it is".to_owned());
            match stage::check(&self.paths, document, &[]) {
                Ok(reading) => (reading, Vec::new()),
                Err(complaints) => return Ok(refused(&complaints)),
            }
        };
        notes.extend(files.iter().map(|file| format!("made: {}", file.path.display())));
        notes.extend(reading.warnings.iter().map(|warning| format!("warning: {warning}")));
        let author = Author { by: visitor.to_string(), comment: short(comment), at: now };
        let mut applied =
            lock(&self.trials).apply(&Change { document, files: &files, author, confirm_secs })?;
        setup::publish(&self.paths, &records::of(&reading.config, &self.paths))?;
        applied.notes.extend(notes);
        Ok(HostAnswer::Applied(applied))
    }

    fn rollback(&self, visitor: &Visitor, generation: Option<u64>) -> Done<HostAnswer> {
        let mut trials = lock(&self.trials);
        match trials.pending() {
            Some(pending) if pending.phase == Phase::Trial && generation.is_none() => {
                return trials.give_up(&visitor.to_string()).map(HostAnswer::Applied);
            }
            Some(pending) if pending.phase == Phase::Trial => {
                return conflict(format!(
                    "generation {} is on trial: take that one back first",
                    pending.generation
                ));
            }
            Some(_) => {
                trials.recover()?;
                return Ok(HostAnswer::Done("the generation was taken back".to_owned()));
            }
            None => {}
        }
        trials.adopt(clock::wall())?;
        drop(trials);
        let generations = self.generations();
        let current = generations.current();
        let earlier = || {
            let all = generations.all().into_iter();
            let lasted = all.filter(|m| m.generation < current && m.taken_back.is_none());
            lasted.map(|meta| meta.generation).next_back()
        };
        let Some(number) = generation.or_else(earlier) else {
            return conflict("there is no generation before the one in force");
        };
        let document = generations.document(number)?;
        self.apply(visitor, &document, None, &format!("generation {number} again"))
    }

    fn history(&self) -> Vec<GenerationRow> {
        let generations = self.generations();
        let current = generations.current();
        let pending = trial::pending_row(&self.paths, &*self.machine);
        let on_trial = pending.map(|pending| pending.generation);
        let row = |meta: super::super::generations::Meta| {
            let state = if on_trial == Some(meta.generation) {
                "on trial".to_owned()
            } else if let Some(reason) = meta.taken_back {
                format!("taken back: {reason}")
            } else if meta.generation == current {
                "in force".to_owned()
            } else {
                String::new()
            };
            let (generation, at, by, comment) = (meta.generation, meta.at, meta.by, meta.comment);
            GenerationRow { generation, at, by, comment, state }
        };
        generations.all().into_iter().rev().map(row).collect()
    }

    /// A box that is configured is set up anew by a signed file only, or changed by `config apply`.
    pub(super) fn setup(
        &self,
        visitor: &Visitor,
        text: &str,
        check: bool,
        confirm_secs: Option<u64>,
    ) -> Done<HostAnswer> {
        if !check && self.paths.document().exists() {
            return conflict(
                "this box is configured; change it with `postern config apply`, or reset it first",
            );
        }
        let now = clock::wall();
        let prepared = match setup::prepare(&self.paths, text, now) {
            Ok(prepared) => prepared,
            Err(complaints) => {
                return Ok(HostAnswer::SetUp(SetUp { complaints, ..SetUp::default() }));
            }
        };
        if check {
            return Ok(HostAnswer::SetUp(prepared.shown()));
        }
        let mut trials = lock(&self.trials);
        let by = visitor.to_string();
        let done = prepared.take(&self.paths, &mut trials, &by, now, confirm_secs)?;
        Ok(HostAnswer::SetUp(done))
    }

    fn update(&self, deed: &UpdateDeed) -> Done<HostAnswer> {
        Ok(HostAnswer::Update(self.machine.update(deed)?))
    }

    fn export(&self, passphrase: &Passphrase, to: Destination) -> Done<HostAnswer> {
        if let Some(problem) = weak(passphrase.secret().expose()) {
            return invalid(format!("the passphrase of the backup {problem}"));
        }
        let (now, hostname) = (clock::wall(), status::hostname(&self.paths));
        let octets = backup::export(&self.paths, passphrase.secret(), &hostname, now)?;
        self.deliver(&backup::file_name("backup", &hostname, now, "pbk"), &octets, to)
    }

    fn bundle(&self, to: Destination) -> Done<HostAnswer> {
        let (now, hostname) = (clock::wall(), status::hostname(&self.paths));
        let pending = trial::pending_row(&self.paths, &*self.machine);
        let status = status::of(&self.paths, &self.machine, pending, now);
        let gateway = match status::gateway(&self.paths) {
            Ok(status) => serde_json::to_value(status).unwrap_or_default(),
            Err(why) => Value::String(why),
        };
        let octets = bundle::make(&self.paths, &*self.machine, &status, &gateway, now)?;
        self.deliver(&backup::file_name("support", &hostname, now, "tar.gz"), &octets, to)
    }

    fn deliver(&self, name: &str, octets: &[u8], to: Destination) -> Done<HostAnswer> {
        let data = match to {
            Destination::Stick => {
                backup::to_stick(&self.paths, name, octets)?;
                None
            }
            Destination::Answer if octets.len() > HOST_ANSWER_OCTETS_MAX / 4 * 3 - 1024 => {
                return invalid("it is too large for an answer; have it written to a stick");
            }
            Destination::Answer => Some(STANDARD.encode(octets)),
        };
        let name = name.to_owned();
        Ok(HostAnswer::Delivered(Delivered { name, data, octets: octets.len() as u64 }))
    }

    fn import(
        &self,
        visitor: &Visitor,
        sealed: &[u8],
        passphrase: &Passphrase,
        check: bool,
        confirm_secs: Option<u64>,
    ) -> Done<Imported> {
        let contents = backup::open(sealed, passphrase.secret())?;
        contents.check(&self.paths)?;
        let mut imported = Imported {
            differences: contents.differences(&self.paths),
            files: contents.changed_files(&self.paths),
            applied: None,
        };
        if check {
            return Ok(imported);
        }
        let admin = contents.admin.as_ref().filter(|_| !self.paths.admin().exists());
        let mut applied = self.bring(visitor, &contents, admin, confirm_secs)?;
        applied.notes.push(if admin.is_some() {
            "the administrator's passphrase is that of the backup".to_owned()
        } else {
            "the administrator's passphrase stays as it is".to_owned()
        });
        imported.applied = Some(applied);
        Ok(imported)
    }

    /// The passphrase comes first and goes again if the rest fails: at no moment is there a
    /// configuration that nobody can log in to.
    fn bring(
        &self,
        visitor: &Visitor,
        contents: &backup::Contents,
        admin: Option<&Secret<String>>,
        confirm_secs: Option<u64>,
    ) -> Done<Applied> {
        if let Some(hash) = admin {
            replace(&self.paths.admin(), hash.expose().trim().as_bytes(), Readers::Owner)?;
        }
        let now: WallTime = clock::wall();
        let files: &[GivenFile] = &contents.files;
        let author =
            Author { by: visitor.to_string(), comment: "from a backup".to_owned(), at: now };
        let change = Change { document: &contents.document, files, author, confirm_secs };
        let applied = lock(&self.trials).apply(&change);
        if applied.is_err() && admin.is_some() {
            remove(&self.paths.admin())?;
        }
        let applied = applied?;
        let given: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
        if let Ok(reading) = stage::check(&self.paths, &contents.document, &given) {
            setup::publish(&self.paths, &records::of(&reading.config, &self.paths))?;
        }
        Ok(applied)
    }

    fn reset(&self, keep_spool: bool, word: &str) -> Done<HostAnswer> {
        if !self.paths.is_appliance() {
            return conflict("only the appliance can be reset; this is another machine");
        }
        let hostname = status::hostname(&self.paths);
        if word != hostname {
            return invalid(format!("the word is the name of this box, {hostname}"));
        }
        let waiting = status::gateway(&self.paths).map(|status| status.queue.messages);
        let order = if keep_spool { "keep-spool" } else { "everything" };
        replace(&self.paths.factory_reset(), format!("{order}\n").as_bytes(), Readers::Owner)?;
        if let Err(fault) = self.machine.reboot() {
            // A reset that nobody expects any more must not happen at some later restart.
            remove(&self.paths.factory_reset())?;
            return Err(fault.into());
        }
        let mail = match (waiting, keep_spool) {
            (Ok(0), _) => "no message waits in the spool".to_owned(),
            (Ok(count), true) => format!("{count} messages wait in the spool and stay"),
            (Ok(count), false) => format!("{count} messages in the spool are destroyed"),
            (Err(_), true) => "the spool stays".to_owned(),
            (Err(_), false) => "whatever waits in the spool is destroyed".to_owned(),
        };
        Ok(HostAnswer::Done(format!("the box restarts and makes itself as new; {mail}")))
    }

    pub(super) fn relay(&self, request: Value) -> Done<HostAnswer> {
        let request: Request = match serde_json::from_value(request) {
            Ok(request) => request,
            Err(cause) => return invalid(format!("the gateway takes no such request: {cause}")),
        };
        let text = std::fs::read_to_string(self.paths.document()).unwrap_or_default();
        let socket = self.paths.at(control_socket(&text));
        let answer = Line::open(&socket).and_then(|mut line| line.ask(&request));
        let answer =
            answer.map_err(|error| Trouble::new(TroubleKind::NotFound, error.to_string()))?;
        let answer = serde_json::to_value(answer)
            .map_err(|cause| Trouble::new(TroubleKind::Fault, cause.to_string()))?;
        Ok(HostAnswer::Relayed(answer))
    }
}

fn text(path: &Path) -> Done<HostAnswer> {
    std::fs::read_to_string(path).map(HostAnswer::Text).map_err(|cause| {
        let text = format!("{}: {cause}", path.display());
        Trouble::new(TroubleKind::NotFound, text)
    })
}

/// A place to update from: a file, or an https address.
fn place(from: Option<String>) -> Done<Option<String>> {
    let Some(from) = from else { return Ok(None) };
    let printable = from.bytes().all(|octet| octet.is_ascii_graphic());
    let shape = from == "usb" || from.starts_with('/') || from.starts_with("https://");
    if printable && shape && from.len() <= PLACE_OCTETS_MAX {
        return Ok(Some(from));
    }
    invalid("an update comes from a file (/...), from usb or from an https address")
}

/// A reason on one line; an empty one is none.
fn why(now: Option<String>) -> Option<String> {
    now.map(|why| short(why.trim())).filter(|why| !why.is_empty())
}

/// A comment on one line, at most 200 characters of it.
fn short(comment: &str) -> String {
    crate::event::harmless(comment).chars().take(200).collect()
}
