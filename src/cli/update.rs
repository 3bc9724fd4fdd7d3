//! `postern update`: what the appliance runs, what it could run, and how it gets there.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::args::{RestartArguments, UpdateVerb};
use super::{Ending, complain, countersign, print, release};
use crate::base::fault::Fault;
use crate::event::harmless;
use crate::host::disk;
use crate::host::slots::machine::Places;
use crate::host::walls;
use crate::service::update::{
    self, Offer, Settings, Source, Status, Wishes, apply, check, loader, rollback, settle, stage,
    status,
};
use crate::update::version::Version;

/// Does what was asked for.
pub(super) fn update(verb: UpdateVerb, config: &Path, json: bool) -> Ending {
    match &verb {
        UpdateVerb::Keygen { dir } => return release::keygen(dir, json),
        UpdateVerb::Bundle(arguments) => return release::bundle(arguments, json),
        UpdateVerb::Sign(arguments) => return countersign::sign(arguments, json),
        _ => {}
    }
    if !walls::is_root() {
        complain("only root can look at the slots and change them");
        return Ending::Failed;
    }
    let places = Places::default();
    let settings = settings(config);
    let mut tell = |what: &str| complain(&harmless(what));
    let done = match verb {
        UpdateVerb::Check => {
            check(&places, &settings).map(|offer| shown(&offer, json, offered(&offer)))
        }
        UpdateVerb::Stage { from, downgrade, now } => {
            let wishes = Wishes { downgrade, now, ..Wishes::default() };
            Source::parse(from.as_deref())
                .and_then(|source| stage(&places, &settings, &source, &wishes, &mut tell))
                .map(|version| staged(&version, json))
        }
        UpdateVerb::Apply(restart) => apply(&places, &settings, &wishes(restart), &mut tell)
            .map(|version| tried(&version, json)),
        UpdateVerb::Rollback(restart) => rollback(&places, &settings, &wishes(restart), &mut tell)
            .map(|version| tried(&version, json)),
        UpdateVerb::Status => {
            status(&places, &settings).map(|status| shown(&status, json, standing(&status)))
        }
        UpdateVerb::Settle => {
            settle(&places).map(|(status, _)| shown(&status, json, standing(&status)))
        }
        UpdateVerb::Loader => {
            loader(&places, &mut tell).map(|brought| loaded(brought.as_deref(), json))
        }
        UpdateVerb::Run => {
            update::run(&places, &settings, &mut tell).map(|answer| print(&format!("{answer:#}\n")))
        }
        UpdateVerb::Keygen { .. } | UpdateVerb::Bundle(_) | UpdateVerb::Sign(_) => Ok(()),
    };
    match done {
        Ok(()) => Ending::Done,
        Err(fault) => refused(&fault, json),
    }
}

/// What the document says; a machine without one can still be updated from a file or a stick.
fn settings(config: &Path) -> Settings {
    match disk::load(config) {
        Ok(reading) => Settings::of(&reading.config),
        Err(error) => {
            if config.exists() {
                complain(&format!("[updates] of {} is not heeded: {error}", config.display()));
            }
            Settings::default()
        }
    }
}

fn wishes(restart: RestartArguments) -> Wishes {
    Wishes { downgrade: false, now: restart.now, no_reboot: restart.no_reboot }
}

fn refused(fault: &Fault, json: bool) -> Ending {
    if json {
        print(&format!("{:#}\n", json!({ "error": fault.to_string() })));
    }
    complain(&harmless(&fault.to_string()));
    Ending::Failed
}

fn shown(value: &impl Serialize, json: bool, text: String) {
    let text = if json { format!("{:#}\n", json!(value)) } else { text };
    print(&text);
}

fn staged(version: &Version, json: bool) {
    let text = format!("{version} is staged; `postern update apply` restarts into it\n");
    shown(&json!({ "staged": version }), json, text);
}

fn tried(version: &Version, json: bool) {
    let text = format!("the next boot tries {version}\n");
    shown(&json!({ "tries": version }), json, text);
}

fn loaded(brought: Option<&str>, json: bool) {
    let text = match brought {
        Some(version) => format!("the boot loader is systemd-boot {version} now\n"),
        None => "the boot loader stays as it is\n".to_owned(),
    };
    shown(&json!({ "loader": brought }), json, text);
}

fn offered(offer: &Offer) -> String {
    let mut text = format!("running  {}\noffered  {}", offer.running, offer.version);
    match &offer.why {
        None => {
            let _ = write!(text, ", {} MiB, made {}", offer.octets >> 20, offer.made);
        }
        Some(why) => {
            let _ = write!(text, ": not to be taken: {}", harmless(why));
        }
    }
    text + &format!("\nsigned   {}\nat       {}\n", offer.keys.join(", "), offer.url)
}

/// Slots, state and the last result, as lines.
fn standing(status: &Status) -> String {
    let mut text = String::new();
    for slot in &status.slots {
        let which = if slot.running { "running" } else { "other" };
        let version = slot.version.as_ref().map_or_else(|| "empty".to_owned(), ToString::to_string);
        let tries = slot.tries_left.map(|left| format!(", {left} tries left")).unwrap_or_default();
        let _ = writeln!(text, "{which:<8} {version}  {}{tries}", slot.standing);
    }
    let next = status.next_boot.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let _ = writeln!(text, "next     {next}");
    let about = status.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let why = status.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let _ = writeln!(text, "state    {}{about}{}", status.state, harmless(&why));
    if let Some(floor) = &status.floor {
        let _ = writeln!(text, "floor    {floor}");
    }
    if let Some(at) = status.last_seen {
        let _ = writeln!(text, "clock    last known to be right at {at}");
    }
    if let Some(window) = status.window {
        let _ = writeln!(text, "window   {window} UTC");
    }
    if let Some(last) = &status.last {
        let version = last.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "last     {}  {version} {}", last.at, harmless(&last.text));
    }
    if let Some(trouble) = &status.trouble {
        let _ = writeln!(text, "trouble  {}", harmless(trouble));
    }
    text
}
