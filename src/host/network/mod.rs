//! The network of a machine that is ours alone, put in force from one document.
//!
//! ```text
//! guard ─► files ─► hostname ─► names of cards, settings ─► units, networkd, time ─► left-overs
//!   │ first, in one nft transaction: what fails after it leaves the machine shut, never open
//! ```
//!
//! The same document always leads to the same network, whatever was before: a document that nobody
//! confirms is taken back by putting the older one in force again.
//!
//! **Invariant:** nothing here opens the guard. What cannot be loaded leaves the one that stands.

mod cards;
mod interfaces;
mod leftovers;
mod names;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::base::fault::Fault;
use crate::config::checked::Config;
use crate::host::plan::{self, File, Form, GUARD, Plan, ROOTS, TIME, kernel, units_of};

pub use interfaces::{InterfaceFacts, interfaces};
pub use names::follow_lease;
pub use written::write_below;

/// When the network is put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The machine starts: nothing is up yet, and units are only told to start.
    Boot,
    /// The machine runs, and may carry mail.
    Running,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Files that were written, replaced or removed.
    pub files: Vec<PathBuf>,
    /// Commands that were run, and other steps, in their order.
    pub steps: Vec<String>,
    /// What the document leaves open.
    pub notes: Vec<String>,
}

/// Users that may ask for the time: Debian's name, and that of others.
const CHRONY: [&str; 2] = ["_chrony", "chrony"];

/// The plan of this machine: of the whole of it.
#[must_use]
pub fn plan_of(config: &Config) -> Plan {
    let uid = |name: &&str| nix::unistd::User::from_name(name).ok()?.map(|user| user.uid.as_raw());
    Plan::whole(config, CHRONY.iter().find_map(uid))
}

/// Whether this machine is the appliance, where nothing but the document decides about the
/// network.
#[must_use]
pub fn is_appliance() -> bool {
    let release = fs::read_to_string("/usr/lib/os-release")
        .or_else(|_| fs::read_to_string("/etc/os-release"))
        .unwrap_or_default();
    release.lines().any(|line| matches!(line, "ID=postern" | "ID=\"postern\""))
}

/// Puts the network of a document in force.
///
/// # Errors
/// A step failed. What was done before it stays; the guard is that of the document, or, if it was
/// the guard that failed, the one that stood before.
pub fn apply(config: &Config, at: Moment) -> Result<Applied, Fault> {
    let plan = plan_of(config);
    let files = plan.files(Form::Whole);
    let mut work = Work::begin(at, plan.notes.clone())?;
    work.guard(&files)?;
    let change = work.write(&files)?;
    let name = config.hostname.as_str();
    nix::unistd::sethostname(name)
        .map_err(|error| Fault::new("setting the name of the host", name, error))?;
    work.did(format!("host name {name}"));
    let renamed = cards::settle(&mut work, &plan, &change)?;
    work.settings(&plan);
    work.made_before(&change)?;
    work.units(&files, &change)?;
    work.networkd(&change, &renamed)?;
    work.time(&change)?;
    if at == Moment::Running {
        leftovers::remove(&mut work, &plan);
    }
    names::follow_lease()?;
    Ok(work.applied)
}

/// Shuts the network of a machine without a document: the guard is closed, no card is up.
///
/// # Errors
/// A step failed; the guard is the first one.
pub fn shut(at: Moment) -> Result<Applied, Fault> {
    let closed = File { path: GUARD.into(), text: plan::closed().text };
    let files: Vec<File> = plan::shut_files().into_iter().chain([closed]).collect();
    let mut work = Work::begin(at, Vec::new())?;
    work.guard(&files)?;
    let change = work.write(&files)?;
    work.made_before(&change)?;
    work.units(&files, &change)?;
    work.networkd(&change, &[])?;
    Ok(work.applied)
}

/// In what the running network differs from the plan.
#[must_use]
pub fn differences(plan: &Plan) -> Vec<kernel::Difference> {
    kernel::differences(plan)
}

/// What has changed between the files that stood and those that stand.
#[derive(Debug, Default)]
struct Change {
    /// Files that are new or different.
    written: Vec<PathBuf>,
    /// Files that are gone.
    removed: Vec<PathBuf>,
}

impl Change {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.written.iter().chain(&self.removed)
    }

    fn is_about(&self, extension: &str) -> bool {
        self.all().any(|path| path.extension().is_some_and(|found| found == extension))
    }
}

/// The steps, and what they have left behind.
struct Work {
    at: Moment,
    /// systemd runs here: units can be started.
    managed: bool,
    applied: Applied,
    /// One after the other.
    _turn: fs::File,
}

impl Work {
    fn begin(at: Moment, notes: Vec<String>) -> Result<Self, Fault> {
        let folder = Path::new("/run/postern-host");
        let fault = |error: &dyn std::fmt::Display| {
            Fault::new("taking turns", folder.join("network.lock").display(), error)
        };
        fs::create_dir_all(folder).map_err(|error| fault(&error))?;
        let turn = fs::File::create(folder.join("network.lock")).map_err(|error| fault(&error))?;
        rustix::fs::flock(&turn, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| fault(&error))?;
        // Asked before our own files make the folder.
        let managed = Path::new("/run/systemd/private").exists();
        Ok(Self { at, managed, applied: Applied { notes, ..Applied::default() }, _turn: turn })
    }

    fn did(&mut self, step: String) {
        self.applied.steps.push(step);
    }

    /// Runs a command, which must succeed.
    fn run(&mut self, words: &[&str]) -> Result<(), Fault> {
        self.did(words.join(" "));
        command(words)
    }

    /// Has the service manager do something when this step is over. What comes after the network
    /// step by its unit waits until the step has ended: who waits for it here, waits for ever. The
    /// host role looks at it afterwards.
    fn later(&mut self, verb: &str, unit: &str) -> Result<(), Fault> {
        self.run(&["systemctl", "--no-block", verb, unit])
    }

    /// Loads the guard, in one step; a file that cannot be loaded is not put in its place.
    fn guard(&mut self, files: &[File]) -> Result<(), Fault> {
        let Some(guard) = files.iter().find(|file| file.path == Path::new(GUARD)) else {
            return Err(Fault::new("loading the guard", GUARD, "the plan has none"));
        };
        let path = Path::new("/").join(GUARD);
        let new = path.with_extension("nft.new");
        let fault = |error| Fault::new("writing the guard", new.display(), error);
        fs::write(&new, &guard.text).map_err(fault)?;
        self.run(&["nft", "-f", &new.to_string_lossy()])?;
        fs::rename(&new, &path).map_err(fault)
    }

    /// Writes what is new or different, and removes what older documents have left.
    fn write(&mut self, files: &[File]) -> Result<Change, Fault> {
        let change = written::replace(Path::new("/"), files)?;
        self.applied.files = change.all().cloned().collect();
        Ok(change)
    }

    /// Settings of interfaces that exist; udev applies them to those that come.
    fn settings(&mut self, plan: &Plan) {
        let mut count = 0;
        for (key, value) in plan.settings() {
            // A kernel that lacks a setting, and an interface that is not there, are no reason to
            // stop.
            count += u32::from(fs::write(format!("/proc/sys/{key}"), value).is_ok());
        }
        self.did(format!("{count} settings of the kernel"));
    }

    /// Interfaces that were made by an older document (VLANs, bonds) and are not as this one says.
    fn made_before(&mut self, change: &Change) -> Result<(), Fault> {
        let made = change.all().filter(|path| path.extension().is_some_and(|e| e == "netdev"));
        let names: Vec<String> = made.filter_map(|path| written::subject(path)).collect();
        for name in names {
            if Path::new("/sys/class/net").join(&name).exists() {
                self.run(&["ip", "link", "delete", "dev", &name])?;
            }
        }
        Ok(())
    }

    /// Units that are new are started, those that are gone are stopped. The gateway takes its
    /// listeners at its start, so it is started again when they change; who connects meanwhile
    /// waits in the sockets.
    fn units(&mut self, files: &[File], change: &Change) -> Result<(), Fault> {
        let is_unit = |path: &&PathBuf| path.starts_with("run/systemd/system");
        if !self.managed || !change.all().any(|path| is_unit(&path)) {
            return Ok(());
        }
        self.run(&["systemctl", "daemon-reload"])?;
        if change.all().filter(is_unit).all(|path| path == Path::new(ROOTS)) {
            return Ok(());
        }
        let wanted: Vec<&str> =
            units_of(files).into_iter().filter(|unit| !unit.ends_with(".service")).collect();
        if self.at == Moment::Boot {
            if !wanted.is_empty() {
                let words = [&["systemctl", "start", "--no-block"], wanted.as_slice()].concat();
                self.run(&words)?;
            }
            return Ok(());
        }
        let names = |paths: &[PathBuf]| -> Vec<String> {
            let unit = |path: &PathBuf| {
                let name = path.strip_prefix("run/systemd/system").ok()?.to_str()?;
                let kind = path.extension().is_some_and(|e| e == "socket" || e == "path");
                (kind && !name.contains('/')).then(|| name.to_owned())
            };
            paths.iter().filter_map(unit).collect()
        };
        let (gone, new) = (names(&change.removed), names(&change.written));
        let serving = command(&["systemctl", "is-active", "--quiet", "postern.service"]).is_ok();
        if serving {
            self.run(&["systemctl", "stop", "postern.service"])?;
        }
        for unit in gone.iter().chain(&new) {
            // One that never ran cannot be stopped, and need not be.
            let _not_loaded = self.run(&["systemctl", "stop", unit]);
        }
        for unit in &new {
            self.run(&["systemctl", "start", unit])?;
        }
        if serving {
            self.run(&["systemctl", "start", "--no-block", "postern.service"])?;
        }
        Ok(())
    }

    /// networkd reads its files again, and sets up what they are about.
    fn networkd(&mut self, change: &Change, renamed: &[String]) -> Result<(), Fault> {
        let networkd = |path: &&PathBuf| path.starts_with("run/systemd/network");
        let about = change.all().any(|path| networkd(&path)) || !renamed.is_empty();
        if !self.managed || self.at == Moment::Boot || !about {
            return Ok(());
        }
        let reloaded = self.run(&["networkctl", "reload"]).is_ok();
        let all = change.all().filter(|path| path.extension().is_some_and(|e| e == "network"));
        let mut names: Vec<String> = all.filter_map(|path| written::subject(path)).collect();
        names.extend(renamed.iter().cloned());
        // A card that has lost its part matches the file for all that have none.
        names.retain(|name| Path::new("/sys/class/net").join(name).exists() && name != "lo");
        names.sort();
        names.dedup();
        let configured = |name: &String| self.run(&["networkctl", "reconfigure", name]).is_ok();
        if !reloaded || !names.iter().all(configured) {
            // Without a message bus: networkd sets everything up anew when it starts, and lets
            // nothing down meanwhile.
            self.later("restart", "systemd-networkd.service")?;
        }
        Ok(())
    }

    /// chrony reads its files at its start only.
    fn time(&mut self, change: &Change) -> Result<(), Fault> {
        let about = |path: &PathBuf| [TIME, ROOTS].map(Path::new).contains(&path.as_path());
        if self.managed && self.at == Moment::Running && change.all().any(about) {
            self.later("try-restart", "chrony.service")?;
        }
        Ok(())
    }
}

/// Runs a command; what it said is the cause of a fault.
fn command(words: &[&str]) -> Result<(), Fault> {
    let fault = |cause: String| Fault::new("running", words.join(" "), cause);
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let out = run.map_err(|error| fault(error.to_string()))?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    Err(fault(if said.is_empty() { out.status.to_string() } else { said }))
}
