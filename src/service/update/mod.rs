//! Updates of the appliance: check, stage, apply, go back, and what came of it.
//!
//! Whoever may write the disk runs these: root at the command line, or `postern update run` for
//! the host role. Each deed takes the lock of the folder of updates, looks at the machine afresh,
//! and leaves a record that the next boot understands.

mod loader;
mod offer;
mod run;
mod told;
mod trial;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use loader::loader;
pub use offer::{Offer, check};
pub use run::run;
pub use trial::{Mark, mark, spool_format};

use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::config::VERSIONS;
use crate::config::checked::{Config, UpdateConfig, Window};
use crate::host::slots::machine::{Machine, Places};
use crate::host::slots::running::System;
use crate::host::slots::shelf::{Intake, Shelf, pour, roots};
use crate::host::slots::usb::Stick;
use crate::host::{clock, machine};
use crate::spool::past::{READS, WRITES};
use crate::store::segment;
use crate::update::entry::Entry;
use crate::update::judge::{self, Fit, judge};
use crate::update::keys::{Proven, Roots};
use crate::update::manifest::{Formats, SpoolFormats, compatible};
use crate::update::record::{Ending, Known, Record};
use crate::update::slots::{Slot, Slots};
use crate::update::state::{News, Seen, State};
use crate::update::steps::{self, Hands, Running};
use crate::update::time::{Clock, Time};
use crate::update::version::Version;

/// Nothing is put in force so soon after a boot: a machine that comes up again and again must not
/// work on itself each time.
const SETTLING: Duration = Duration::from_secs(5 * 60);

/// Where a release comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A bundle.
    File(PathBuf),
    /// The newest bundle of a stick.
    Usb,
    /// A bundle at a server.
    Url(crate::config::checked::UpdateUrl),
    /// What the server of the configuration offers.
    Offered,
}

/// How a deed is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// An older release is taken too.
    pub downgrade: bool,
    /// Soon after a boot and outside of the window, for this reason.
    pub now: Option<String>,
    /// Make it so, and leave the restart to somebody else.
    pub no_reboot: bool,
}

/// What the document says, as far as updates go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[updates]`.
    pub updates: UpdateConfig,
    /// The interface for administrators; nothing is asked of the network by another one.
    pub manage: Option<String>,
    /// A laboratory: the server may be on this machine.
    pub lab: bool,
    /// The spool; none: the box's own.
    pub spool: Option<PathBuf>,
}

impl Settings {
    /// The settings of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let manage = config.network.manage.first().cloned();
        let spool = Some(config.spool.path.clone());
        Self { updates: config.updates.clone(), manage, lab: config.lab, spool }
    }
}

/// The formats of this program.
#[must_use]
pub fn formats() -> Formats {
    Formats {
        spool: SpoolFormats { reads: READS.to_vec(), writes: WRITES.to_vec() },
        config: VERSIONS.to_vec(),
    }
}

/// A slot, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotRow {
    /// It runs.
    pub running: bool,
    /// Its version, by its labels; none: it is empty or half written.
    pub version: Option<Version>,
    /// The number of its root partition.
    pub partition: u32,
    /// Its boot entry.
    pub entry: Option<String>,
    /// `good`, `on trial`, `bad`, `staged` or `none`.
    pub standing: &'static str,
    /// Tries left, while they are counted.
    pub tries_left: Option<u32>,
}

/// How updates stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The running version.
    pub running: Version,
    /// Both slots.
    pub slots: Vec<SlotRow>,
    /// The version that the next boot takes.
    pub next_boot: Option<Version>,
    /// The state.
    pub state: &'static str,
    /// The release it is about.
    pub version: Option<Version>,
    /// Why the old version came back, if it did.
    pub reason: Option<String>,
    /// Nothing older is taken; none: no update has become healthy here yet.
    pub floor: Option<Version>,
    /// When a time server last kept the clock, as far as was asked: a release that expired before
    /// is not taken, whatever a clock says that nobody keeps. None: never.
    pub last_seen: Option<WallTime>,
    /// How the last attempt ended.
    pub last: Option<Ending>,
    /// When the machine may restart for one.
    pub window: Option<Window>,
    /// What is wrong with the record, if something is.
    pub trouble: Option<String>,
}

/// The folder of updates, the record in it, and what runs.
struct Desk<'t, T> {
    machine: Machine<'t, T>,
    record: Record,
    running: Running,
    places: &'t Places,
    trouble: Option<String>,
}

impl<'t, T: FnMut(&str)> Desk<'t, T> {
    fn open(places: &'t Places, tell: &'t mut T) -> Result<Self, Fault> {
        let mut machine = Machine::look(places, tell)?;
        let (record, trouble) = machine.shelf.record()?;
        let System { version, root_hash, boot, made, .. } = machine.system.clone();
        let known =
            Known { version: version.clone(), root_hash: Some(root_hash), formats: formats() };
        let clock = Clock { wall: clock::wall(), kept: clock::is_kept() };
        let time = Time::plausible(clock, made, record.last_seen);
        let record = match &trouble {
            None => record,
            Some(why) => Record::anew(known.clone(), &machine.entries()?, why, time.now),
        };
        let running = Running { version, known, boot, time };
        Ok(Self { machine, record, running, places, trouble })
    }

    /// As [`Desk::open`], for whoever has the lock: a damaged record is kept aside, the one that
    /// takes its place is on the disk, and it is told.
    fn sit_down(places: &'t Places, tell: &'t mut T) -> Result<Self, Fault> {
        let desk = Self::open(places, tell)?;
        if let Some(trouble) = &desk.trouble {
            let aside = desk.machine.shelf.set_aside()?;
            desk.machine.shelf.save(&desk.record)?;
            let floor = desk.record.floor.clone().unwrap_or_else(oldest);
            let aside = aside.display();
            told::failed(&format!(
                "{trouble}; it lies in {aside}, and nothing older than {floor} is taken"
            ));
        }
        Ok(desk)
    }

    fn judge(&self, settings: &Settings) -> Result<judge::Machine, Fault> {
        let slots = self.machine.slots()?;
        Ok(judge::Machine {
            compatible: compatible(),
            running: self.running.version.clone(),
            floor: self.record.floor.clone().unwrap_or_else(oldest),
            formats: formats(),
            present: present(self.places, settings),
            root_octets: Some(slots.other.root.octets),
            verity_octets: Some(slots.other.verity.octets),
            time: self.running.time,
        })
    }

    /// Before a trial: what works now.
    fn remember_health(&mut self) -> Result<(), Fault> {
        self.machine.tell("writing down what works now");
        let machine = &mut self.machine;
        trial::remember_health(self.places, |what| machine.tell(what))
    }

    fn seen(&mut self) -> Result<Seen, Fault> {
        let version = self.record.state.release().map(|release| release.version.clone());
        Ok(Seen {
            failure: version.and_then(|version| trial::failure(&self.places.health, &version)),
            running: self.running.version.clone(),
            boot: self.running.boot.clone(),
            entries: self.machine.entries()?,
            time: self.running.time,
        })
    }
}

/// The floor of a machine that never had an update: any version.
fn oldest() -> Version {
    "0.0.0".parse().unwrap_or_else(|_| unreachable!("it is a version"))
}

/// Spool formats that are on the disk. Where that cannot be seen, all that this version reads may
/// be there.
fn present(places: &Places, settings: &Settings) -> Vec<u8> {
    let spool = settings.spool.as_ref().map(|spool| spool.join("ledger"));
    let listing = match segment::list(spool.as_deref().unwrap_or(&places.ledger)) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(_) => return READS.to_vec(),
    };
    let mut found: Vec<u8> = listing.segments.values().map(|segment| segment.version).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// How updates stand; changes nothing.
///
/// # Errors
/// This is no machine with slots, or a disk failed.
pub fn status(places: &Places, settings: &Settings) -> Result<Status, Fault> {
    let mut silent = |_: &str| {};
    let mut desk = Desk::open(places, &mut silent)?;
    let entries = desk.machine.entries()?;
    let Slots { running, other } = desk.machine.slots()?;
    let seen = desk.seen()?;
    let state = crate::update::state::settle(desk.record.state.clone(), &seen).state;
    // What is half done belongs to somebody who is at work, or to a power cut: `settle` decides.
    let state = if desk.machine.shelf.is_busy() { desk.record.state.clone() } else { state };
    Ok(Status {
        slots: vec![row(&running, true, &entries), row(&other, false, &entries)],
        next_boot: crate::update::entry::next(&entries).map(|entry| entry.version.clone()),
        state: state.name(),
        version: state.release().map(|release| release.version.clone()),
        reason: state.reason().map(str::to_owned),
        floor: desk.record.floor.clone(),
        last_seen: Some(desk.record.last_seen).filter(|at| *at != WallTime(0)),
        running: desk.running.version.clone(),
        last: desk.record.last.clone(),
        window: settings.updates.window,
        trouble: desk.trouble.clone(),
    })
}

fn row(slot: &Slot, running: bool, entries: &[Entry]) -> SlotRow {
    use crate::update::entry::Standing;
    let version = slot.version();
    let entry = entries.iter().find(|entry| Some(&entry.version) == version.as_ref());
    let (standing, tries_left) = match entry.map(|entry| entry.standing) {
        None => ("none", None),
        Some(Standing::Good) => ("good", None),
        Some(Standing::Staged) => ("staged", None),
        Some(Standing::Counted { left: 0, .. }) => ("bad", Some(0)),
        Some(Standing::Counted { left, .. }) => ("on trial", Some(left)),
    };
    let entry = entry.map(ToString::to_string);
    SlotRow { running, version, partition: slot.root.number, entry, standing, tries_left }
}

/// Fetches a release and writes it to the slot that does not run. Returns its version.
///
/// # Errors
/// It is not believed, not fit, or something failed; what runs is untouched.
pub fn stage(
    places: &Places,
    settings: &Settings,
    source: &Source,
    wishes: &Wishes,
    tell: &mut impl FnMut(&str),
) -> Result<Version, Fault> {
    let shelf = Shelf::open(&places.folder)?;
    let lock = shelf.lock()?;
    let staged = stage_locked(places, settings, source, wishes, tell);
    drop(lock);
    match &staged {
        Ok(version) => told::moved(version, "staged", "the next `postern update apply` tries it"),
        Err(fault) => told::failed(&fault.to_string()),
    }
    staged
}

fn stage_locked(
    places: &Places,
    settings: &Settings,
    source: &Source,
    wishes: &Wishes,
    tell: &mut impl FnMut(&str),
) -> Result<Version, Fault> {
    let roots = roots(&places.keys)?;
    let machine = {
        let mut silent = |_: &str| {};
        let desk = Desk::sit_down(places, &mut silent)?;
        if matches!(desk.record.state, State::Trial(_)) {
            let cause = "an update is on trial: wait until it is confirmed or gone";
            return Err(Fault::new("staging", "an update", cause));
        }
        calm(&desk.machine.system, wishes)?;
        desk.judge(settings)?
    };
    let fit = |proven: &Proven| {
        judge(proven, &machine, wishes.downgrade)
            .map_err(|unfit| Fault::new("taking", &proven.manifest().version, unfit))
    };
    let shelf = Shelf::open(&places.folder)?;
    let proven = fetch(places, settings, source, &shelf, &roots, &fit, tell)?;
    let fit = fit(&proven)?;
    let version = fit.manifest().version.clone();
    tell(&format!("{version} is signed by {}", joined(proven.keys())));
    write(places, &fit, tell)?;
    shelf.empty()?;
    Ok(version)
}

fn write(places: &Places, fit: &Fit, tell: &mut impl FnMut(&str)) -> Result<(), Fault> {
    let mut desk = Desk::open(places, tell)?;
    let (running, mut record) = (desk.running.clone(), desk.record.clone());
    steps::stage(&mut record, fit, &running, &mut desk.machine)
}

fn joined(keys: &[impl ToString]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Brings the files of a release to the staging folder; believed and fit before they are kept.
fn fetch(
    places: &Places,
    settings: &Settings,
    source: &Source,
    shelf: &Shelf,
    roots: &Roots,
    fit: &dyn Fn(&Proven) -> Result<Fit, Fault>,
    tell: &mut impl FnMut(&str),
) -> Result<Proven, Fault> {
    let wanted = |proven: &Proven| fit(proven).map(|_| ());
    let mut intake = Intake::new(shelf, roots, wanted);
    match source {
        Source::File(path) => {
            tell(&format!("reading {}", path.display()));
            pour(path, &mut intake, |_| {})?;
        }
        Source::Usb => {
            let stick = Stick::mount(&places.run)?;
            let path = stick.newest()?;
            tell(&format!("reading {}", path.display()));
            pour(&path, &mut intake, |_| {})?;
        }
        Source::Url(url) => {
            let octets = |octets: &[u8]| intake.push(octets);
            offer::download(settings, url, octets, tell)?;
        }
        Source::Offered => {
            let url = offer::bundle_url(settings, roots)?;
            let octets = |octets: &[u8]| intake.push(octets);
            offer::download(settings, &url, octets, tell)?;
        }
    }
    intake.finish()
}

/// Makes the next boot try what is staged, and restarts the machine.
///
/// # Errors
/// Nothing is staged, it is not the time for it, or something failed.
pub fn apply(
    places: &Places,
    settings: &Settings,
    wishes: &Wishes,
    tell: &mut impl FnMut(&str),
) -> Result<Version, Fault> {
    let shelf = Shelf::open(&places.folder)?;
    let lock = shelf.lock()?;
    let mut silent = |_: &str| {};
    allowed(&Desk::open(places, &mut silent)?.machine.system, settings, wishes, clock::wall())?;
    let mut desk = Desk::sit_down(places, tell)?;
    let Some(version) = desk.record.state.release().map(|release| release.version.clone()) else {
        return Err(Fault::new("applying", "an update", "nothing is staged"));
    };
    desk.remember_health()?;
    let (running, mut record) = (desk.running.clone(), desk.record.clone());
    steps::apply(&mut record, &running, &mut desk.machine)?;
    let why = wishes.now.clone().unwrap_or_else(|| format!("after {}", running.version));
    told::moved(&version, "trial", &why);
    drop(lock);
    restart(wishes, tell)?;
    Ok(version)
}

/// Makes the next boot try the version in the other slot, and restarts the machine.
///
/// # Errors
/// There is none, it is not the time for it, or something failed.
pub fn rollback(
    places: &Places,
    settings: &Settings,
    wishes: &Wishes,
    tell: &mut impl FnMut(&str),
) -> Result<Version, Fault> {
    let shelf = Shelf::open(&places.folder)?;
    let lock = shelf.lock()?;
    let mut silent = |_: &str| {};
    allowed(&Desk::open(places, &mut silent)?.machine.system, settings, wishes, clock::wall())?;
    let mut desk = Desk::sit_down(places, tell)?;
    let Some(other) = desk.machine.slots()?.other.version() else {
        return Err(Fault::new("going back", "to the other slot", "it is empty"));
    };
    desk.remember_health()?;
    let (running, mut record) = (desk.running.clone(), desk.record.clone());
    let present = present(places, settings);
    steps::back(&mut record, &running, &other, &present, &mut desk.machine)?;
    let why = wishes.now.clone().unwrap_or_else(|| format!("instead of {}", running.version));
    told::moved(&other, "trial", &why);
    drop(lock);
    restart(wishes, tell)?;
    Ok(other)
}

/// Whether the machine has been up long enough to be worked on.
fn calm(system: &System, wishes: &Wishes) -> Result<(), Fault> {
    if system.up >= SETTLING || insists(wishes) {
        return Ok(());
    }
    let left = SETTLING.saturating_sub(system.up).as_secs();
    let cause = format!(
        "it was started a moment ago: wait {left} s, or give a reason why it cannot wait (--now)"
    );
    Err(Fault::new("updating", "the machine", cause))
}

/// Somebody has said why it cannot wait.
fn insists(wishes: &Wishes) -> bool {
    wishes.now.as_ref().is_some_and(|why| !why.trim().is_empty())
}

/// Whether the machine may be restarted now.
fn allowed(
    system: &System,
    settings: &Settings,
    wishes: &Wishes,
    now: WallTime,
) -> Result<(), Fault> {
    calm(system, wishes)?;
    if insists(wishes) {
        return Ok(());
    }
    let no = |cause: String| Err(Fault::new("restarting", "the machine", cause));
    match settings.updates.window {
        Some(window) if !window.is_open(now.unix_secs()) => no(format!(
            "the window is {window} UTC: wait for it, or give a reason why it cannot wait \
                 (--now)"
        )),
        _ => Ok(()),
    }
}

/// The service manager stops the gateway first, in the order of its units: `postern.service` gets
/// its SIGTERM and drains while the broker still runs.
fn restart(wishes: &Wishes, tell: &mut impl FnMut(&str)) -> Result<(), Fault> {
    if wishes.no_reboot {
        tell("restart the machine to try it");
        return Ok(());
    }
    tell("restarting");
    trial::systemctl(&machine::end("reboot.target"))
}

/// Holds the record against the machine: at each boot before the gateway starts, and again when
/// the boot was found good. Says what is new.
///
/// # Errors
/// This is no machine with slots, or a disk failed.
pub fn settle(places: &Places) -> Result<(Status, Option<News>), Fault> {
    let shelf = Shelf::open(&places.folder)?;
    let mut silent = |_: &str| {};
    let news = {
        let lock = shelf.lock()?;
        let mut desk = Desk::sit_down(places, &mut silent)?;
        let (seen, mut record) = (desk.seen()?, desk.record.clone());
        let news = steps::settled(&mut record, &seen, &mut desk.machine)?;
        if matches!(news, Some(News::Interrupted { .. })) {
            desk.machine.shelf.empty()?;
        }
        trial::write_mark(places, &record.state, &seen)?;
        drop(lock);
        news
    };
    if let Some(news) = &news {
        told::news(news);
    }
    Ok((status(places, &Settings::default())?, news))
}
