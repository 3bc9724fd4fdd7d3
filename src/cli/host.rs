//! Verbs of the machine: a request over the host role's socket, an answer on the screen.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::args::host::{
    GenerationVerb, HostArguments, HostVerb, LogArguments, MachineVerb, ResetArguments,
    SetupArguments,
};
use super::ask::Place;
use super::{Ending, Role, complain, print};
use crate::base::limits::CREDENTIAL_OCTETS_MAX;
use crate::config::setup::weak;
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::check::Grade;
use crate::control::diagnose::Test;
use crate::control::host::answer::Delivered;
use crate::control::host::call::{HOST_SOCKET, HostCallError};
use crate::control::host::request::Destination;
use crate::control::host::{HostAnswer, HostLine, HostRequest, Passphrase};
use crate::event::harmless;
use crate::host::paths::Paths;
use crate::host::{clock, disk};
use crate::service::host::run::{Options, by_hand};
use crate::service::host::setup::prepare;
use crate::source::secret::passphrase_hash;

mod view;

/// Does a verb of the machine, or says which role it is.
///
/// # Errors
/// Not an error: the role that is to be run.
pub(super) fn machine(verb: MachineVerb, place: &Place) -> Result<Ending, Role> {
    Ok(match verb {
        MachineVerb::Host(arguments) => return host(arguments, place),
        MachineVerb::Setup(SetupArguments { file: None, root, .. }) => {
            return Err(Role::SetupAtBoot { root });
        }
        MachineVerb::Setup(arguments) => setup(&arguments, place),
        MachineVerb::Passphrase { hash: true } => print_hash(place.json),
        MachineVerb::Passphrase { hash: false } => {
            with_passphrase(place, true, |new| Ok(HostRequest::SetPassphrase { old: None, new }))
        }
        MachineVerb::Backup { file } => backup(&file, place),
        MachineVerb::Restore { file, stick: true, check, confirm } => {
            let name = file.map(|file| file.display().to_string());
            let confirm_secs = confirm.map(|wait| wait.as_secs());
            with_passphrase(place, false, |passphrase| {
                Ok(HostRequest::ImportStick { name, passphrase, check, confirm_secs })
            })
        }
        MachineVerb::Restore { file, check, confirm, .. } => {
            restore(&file.unwrap_or_default(), check, confirm, place)
        }
        MachineVerb::SupportBundle { file } => {
            deliver(&HostRequest::SupportBundle { to: Destination::Answer }, &file, place)
        }
        MachineVerb::FactoryReset(ResetArguments { keep_spool, word, .. }) => {
            ask(&HostRequest::FactoryReset { keep_spool, word }, place)
        }
        MachineVerb::Reboot => ask(&HostRequest::Reboot {}, place),
        MachineVerb::PowerOff => ask(&HostRequest::PowerOff {}, place),
    })
}

fn host(arguments: HostArguments, place: &Place) -> Result<Ending, Role> {
    let HostArguments { verb, console_user: guests, root } = arguments;
    Ok(match verb {
        None => {
            let socket = place.socket.clone();
            return Err(Role::Host(Options { root, socket, guests }));
        }
        Some(HostVerb::Status) => ask(&HostRequest::Status {}, place),
        Some(HostVerb::Dns) => ask(&HostRequest::DnsRecords {}, place),
        Some(HostVerb::RecoveryKey { renew: true, .. }) => {
            ask(&HostRequest::RecoveryKeyRenew {}, place)
        }
        Some(HostVerb::RecoveryKey { forget, .. }) => {
            ask(&HostRequest::RecoveryKey { forget }, place)
        }
        Some(HostVerb::Ports) => ask(&HostRequest::Ports {}, place),
        Some(HostVerb::Blink { port: name, time }) => {
            ask(&HostRequest::PortBlink { name, secs: time.as_secs() }, place)
        }
        Some(HostVerb::Certificates) => ask(&HostRequest::Certificates {}, place),
        Some(HostVerb::Clock) => ask(&HostRequest::Clock {}, place),
        Some(HostVerb::Log(LogArguments { unit, priority, words, since, lines })) => {
            let since_secs = since.map(|time| time.as_secs());
            ask(&HostRequest::LogShow { unit, priority, words, since_secs, lines }, place)
        }
        Some(HostVerb::Audit(paging)) => {
            ask(&HostRequest::AuditShow { page: paging.into() }, place)
        }
        Some(HostVerb::AuditVerify) => ask(&HostRequest::AuditVerify {}, place),
    })
}

/// Does a verb of the generations.
pub(super) fn generation(verb: GenerationVerb, place: &Place) -> Ending {
    let request = match verb {
        GenerationVerb::Apply { file, confirm, comment } => match disk::text(&file) {
            Ok(document) => {
                let confirm_secs = confirm.map(|wait| wait.as_secs());
                HostRequest::ConfigApply { document, confirm_secs, comment }
            }
            Err(fault) => return wrong(&fault.to_string()),
        },
        GenerationVerb::Set { key, value, remove: _, confirm, comment } => {
            let confirm_secs = confirm.map(|wait| wait.as_secs());
            HostRequest::ConfigSet { key, value, confirm_secs, comment }
        }
        GenerationVerb::Confirm => HostRequest::ConfigConfirm {},
        GenerationVerb::Rollback { generation } => HostRequest::ConfigRollback { generation },
        GenerationVerb::History => HostRequest::ConfigHistory {},
    };
    ask(&request, place)
}

/// What the host role knows besides the gateway's own status; nothing where it does not run, or
/// does not know the caller.
pub(super) fn beside(place: &Place) -> String {
    if place.socket.is_some() {
        return String::new();
    }
    let asked = HostLine::open(HOST_SOCKET.as_ref());
    match asked.and_then(|mut line| line.ask(&HostRequest::Status {})) {
        Ok(HostAnswer::Status(status)) => view::machine(&status),
        _ => String::new(),
    }
}

/// Has the host role try something; none: it does not run here, or does not know the caller.
pub(super) fn diagnose(test: Test, role: &str, target: &str, place: &Place) -> Option<Ending> {
    if place.socket.is_some() {
        return None;
    }
    let (role, target) = (role.to_owned(), target.to_owned());
    let request = HostRequest::Diagnose { test, role, target };
    let answer = HostLine::open(HOST_SOCKET.as_ref()).ok()?.ask(&request).ok()?;
    let forbidden = |kind| kind == TroubleKind::Forbidden;
    match &answer {
        HostAnswer::Trouble(trouble) if forbidden(trouble.kind) => None,
        answer => Some(show(answer, place.json)),
    }
}

fn wrong(problem: &str) -> Ending {
    complain(&harmless(problem));
    Ending::Wrong
}

fn failed(problem: &str) -> Ending {
    complain(&harmless(problem));
    Ending::Failed
}

fn socket(place: &Place) -> PathBuf {
    place.socket.clone().unwrap_or_else(|| HOST_SOCKET.into())
}

fn call(request: &HostRequest, place: &Place) -> Result<HostAnswer, HostCallError> {
    HostLine::open(&socket(place))?.ask(request)
}

fn ask(request: &HostRequest, place: &Place) -> Ending {
    match call(request, place) {
        Ok(answer) => show(&answer, place.json),
        Err(error) => failed(&error.to_string()),
    }
}

/// Prints an answer: JSON or text to standard output, trouble to standard error.
fn show(answer: &HostAnswer, json: bool) -> Ending {
    if let HostAnswer::Trouble(trouble) = answer {
        if json {
            print(&(serde_json::to_string(trouble).unwrap_or_default() + "\n"));
        }
        for line in trouble.text.lines() {
            complain(&harmless(line));
        }
        return ending(trouble);
    }
    if json {
        let whole = serde_json::to_value(answer).unwrap_or_default();
        let data = whole.get("data").cloned().unwrap_or_default();
        print(&format!("{data:#}\n"));
    } else {
        print(&view::text(answer, clock::wall()));
    }
    match answer {
        HostAnswer::Checked(checked) if !checked.good => Ending::Wrong,
        HostAnswer::SetUp(setup) if !setup.good => Ending::Wrong,
        HostAnswer::Verified(found) if !found.good => Ending::Failed,
        HostAnswer::Diagnosed(found) if found.worst() == Grade::Fail => Ending::Failed,
        _ => Ending::Done,
    }
}

fn ending(trouble: &Trouble) -> Ending {
    match trouble.kind {
        TroubleKind::Invalid => Ending::Wrong,
        _ => Ending::Failed,
    }
}

/// A check needs nobody; a setup is the role's, or ours where no role runs yet.
fn setup(arguments: &SetupArguments, place: &Place) -> Ending {
    let Some(file) = &arguments.file else { return wrong("name a file") };
    let text = match disk::text(file) {
        Ok(text) => Passphrase::new(text),
        Err(fault) => return wrong(&fault.to_string()),
    };
    if arguments.check {
        let paths = Paths::below(&arguments.root);
        let found = match prepare(&paths, text.secret().expose(), clock::wall()) {
            Ok(prepared) => prepared.shown(),
            Err(complaints) => crate::control::host::answer::SetUp {
                complaints,
                ..crate::control::host::answer::SetUp::default()
            },
        };
        return show(&HostAnswer::SetUp(found), place.json);
    }
    let request = HostRequest::Setup { text, check: false, confirm_secs: None };
    let answer = match call(&request, place) {
        Err(HostCallError::Absent { .. }) if place.socket.is_none() => {
            by_hand(&arguments.root, request)
        }
        Ok(answer) => answer,
        Err(error) => return failed(&error.to_string()),
    };
    let done = matches!(&answer, HostAnswer::SetUp(setup) if setup.good);
    let ending = show(&answer, place.json);
    if done {
        complain(&format!("{} holds secrets: remove it", file.display()));
    }
    ending
}

fn print_hash(json: bool) -> Ending {
    let hash = typed("the new passphrase").and_then(|new| {
        let weakness = weak(new.secret().expose());
        weakness.map_or(Ok(()), |problem| Err(format!("the passphrase {problem}")))?;
        passphrase_hash(new.secret()).map_err(|fault| fault.to_string())
    });
    match hash {
        Ok(hash) if json => {
            print(&format!("{:#}\n", serde_json::json!({ "passphrase_argon2id": hash })));
            Ending::Done
        }
        Ok(hash) => {
            print(&format!("passphrase_argon2id = \"{hash}\"\n"));
            Ending::Done
        }
        Err(problem) => failed(&problem),
    }
}

fn with_passphrase(
    place: &Place,
    new: bool,
    request: impl FnOnce(Passphrase) -> Result<HostRequest, String>,
) -> Ending {
    let what = if new { "the new passphrase" } else { "the passphrase" };
    match typed(what).and_then(request) {
        Ok(request) => ask(&request, place),
        Err(problem) => wrong(&problem),
    }
}

/// A passphrase from the first line of standard input.
fn typed(what: &str) -> Result<Passphrase, String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        complain(&format!("type {what} and press Enter (it is shown; pipe it in to avoid that)"));
    }
    let mut line = Zeroizing::new(String::new());
    let read = stdin.lock().take(4096).read_line(&mut line);
    read.map_err(|cause| format!("{what} cannot be read: {cause}"))?;
    let text = line.trim_end_matches(['\r', '\n']);
    match text.len() {
        0 => Err(format!("{what} was not given on standard input")),
        length if length > CREDENTIAL_OCTETS_MAX => {
            Err(format!("a passphrase has at most {CREDENTIAL_OCTETS_MAX} octets"))
        }
        _ => Ok(Passphrase::new(text.to_owned())),
    }
}

fn backup(file: &Path, place: &Place) -> Ending {
    match typed("a passphrase for the backup") {
        Ok(passphrase) => {
            deliver(&HostRequest::Export { passphrase, to: Destination::Answer }, file, place)
        }
        Err(problem) => wrong(&problem),
    }
}

/// Writes what the role made to a file of the caller.
fn deliver(request: &HostRequest, file: &Path, place: &Place) -> Ending {
    if file.exists() {
        return wrong(&format!("{}: exists already", file.display()));
    }
    let answer = match call(request, place) {
        Ok(answer) => answer,
        Err(error) => return failed(&error.to_string()),
    };
    let HostAnswer::Delivered(Delivered { data: Some(data), octets, .. }) = &answer else {
        return show(&answer, place.json);
    };
    let written = STANDARD.decode(data).map_err(|cause| cause.to_string()).and_then(|octets| {
        let mut options = std::fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(file);
        let wrote = opened.and_then(|mut out| out.write_all(&octets).and_then(|()| out.sync_all()));
        wrote.map_err(|cause| cause.to_string())
    });
    if let Err(cause) = written {
        return failed(&format!("{}: {cause}", file.display()));
    }
    let shown = file.display().to_string();
    if place.json {
        print(&format!("{:#}\n", serde_json::json!({ "file": shown, "octets": octets })));
    } else {
        print(&format!("{shown}: {octets} octets\n"));
    }
    Ending::Done
}

fn restore(file: &Path, check: bool, confirm: Option<Duration>, place: &Place) -> Ending {
    let data = match std::fs::read(file) {
        Ok(octets) => STANDARD.encode(octets),
        Err(cause) => return wrong(&format!("{}: {cause}", file.display())),
    };
    let confirm_secs = confirm.map(|wait| wait.as_secs());
    with_passphrase(place, false, |passphrase| {
        Ok(HostRequest::Import { data, passphrase, check, confirm_secs })
    })
}
