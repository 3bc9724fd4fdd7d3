//! Power cuts after every write of every deed, on a model of disk, ESP and boot loader.

use std::collections::BTreeMap;

use super::super::entry::next;
use super::super::judge::{Machine, judge};
use super::super::keys::tests::{keys, roots};
use super::super::keys::verify;
use super::super::manifest::Sha256;
use super::super::manifest::tests::manifest;
use super::super::record::Record;
use super::super::state::Seen;
use super::super::time::Witness;
use super::*;
use crate::update::manifest::compatible;

/// Chunks of the model's root and of its hash tree.
const CHUNKS: [usize; 2] = [24, 6];

/// A partition: what its label says, whose it is, and what stands in each chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    label: Option<Version>,
    owner: Option<Version>,
    chunks: Vec<Option<Version>>,
}

impl Part {
    fn of(version: Option<&Version>, chunks: usize) -> Self {
        let version = version.cloned();
        Self { label: version.clone(), owner: version.clone(), chunks: vec![version; chunks] }
    }

    fn is(&self, version: &Version) -> bool {
        let all = self.chunks.iter().all(|chunk| chunk.as_ref() == Some(version));
        self.owner.as_ref() == Some(version) && all
    }
}

/// A deed of the ESP that has not reached the disk.
#[derive(Clone, Debug)]
enum Pending {
    Put(String, bool),
    Remove(String),
    Rename(String, String),
}

/// What a power cut does to deeds of the ESP that were not synced.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Loses,
    Keeps,
    KeepsHalf,
}

/// A machine that runs 1.0.0 and loses its power after some writes.
#[derive(Clone)]
struct Model {
    /// The other slot: root, hash tree.
    other: [Part; 2],
    /// The running slot.
    own: [Part; 2],
    /// Names in the ESP, and whether the image behind each is whole.
    esp: BTreeMap<String, bool>,
    pending: Vec<Pending>,
    record: Vec<u8>,
    /// Writes until the power is cut.
    power: usize,
    writes: usize,
    /// What the disk gives back is not what was written.
    rotten: bool,
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn kept(millis: u64) -> Time {
    Time { now: WallTime(millis), witness: Witness::KeptClock }
}

impl Model {
    fn new(other: Option<&str>, entries: &[&str]) -> Self {
        let (own, other) = (version("1.0.0"), other.map(version));
        let [root, tree] = CHUNKS;
        Self {
            own: [Part::of(Some(&own), root), Part::of(Some(&own), tree)],
            other: [Part::of(other.as_ref(), root), Part::of(other.as_ref(), tree)],
            esp: entries.iter().map(|name| ((*name).to_owned(), true)).collect(),
            pending: Vec::new(),
            record: Record::default().write(),
            power: usize::MAX,
            writes: 0,
            rotten: false,
        }
    }

    /// One write. With the power gone nothing is written any more.
    fn tick(&mut self) -> Result<(), Fault> {
        if self.power == 0 {
            return Err(Fault::new("writing", "anything", "no power"));
        }
        self.power -= 1;
        self.writes += 1;
        Ok(())
    }

    fn apply(&mut self, deed: Pending) {
        match deed {
            Pending::Put(name, whole) => {
                self.esp.insert(name, whole);
            }
            Pending::Remove(name) => {
                self.esp.remove(&name);
            }
            Pending::Rename(from, to) => {
                if let Some(whole) = self.esp.remove(&from) {
                    self.esp.insert(to, whole);
                }
            }
        }
    }

    fn sync(&mut self) -> Result<(), Fault> {
        self.tick()?;
        for deed in std::mem::take(&mut self.pending) {
            self.apply(deed);
        }
        Ok(())
    }

    /// The power is gone.
    fn cut(&mut self, cut: Cut) {
        let pending = std::mem::take(&mut self.pending);
        let kept = match cut {
            Cut::Loses => 0,
            Cut::Keeps => pending.len(),
            Cut::KeepsHalf => pending.len().div_ceil(2),
        };
        for deed in pending.into_iter().take(kept) {
            self.apply(deed);
        }
        self.power = usize::MAX;
    }

    fn listing(&self) -> Vec<Entry> {
        self.esp.keys().filter_map(|name| Entry::read_name(name)).collect()
    }

    /// Starts the machine until a slot comes up and says who runs; `None`: nothing ever does.
    /// `healthy`: whether a version passes its health check.
    fn boot(&mut self, healthy: impl Fn(&Version) -> bool) -> Option<Version> {
        for _ in 0..10 {
            let entries = self.listing();
            let entry = next(&entries)?.clone();
            let whole = self.esp.remove(&entry.to_string()).unwrap();
            let mut tried = entry.clone();
            if let Standing::Counted { left: left @ 1.., done } = entry.standing {
                tried.standing = Standing::Counted { left: left - 1, done: done + 1 };
            }
            self.esp.insert(tried.to_string(), whole);
            let slot = [&self.own, &self.other]
                .into_iter()
                .any(|slot| slot.iter().all(|part| part.is(&entry.version)));
            if whole && slot {
                if !entry.is_on_trial() {
                    return Some(entry.version);
                }
                if healthy(&entry.version) {
                    let good = Entry::new(&entry.version, Standing::Good);
                    let whole = self.esp.remove(&tried.to_string()).unwrap();
                    self.esp.insert(good.to_string(), whole);
                    return Some(entry.version);
                }
            }
            // Verity stops the kernel, or the health check restarts the machine.
            if !entry.is_on_trial() {
                return None;
            }
        }
        None
    }

    fn read(&self) -> Record {
        Record::read(&self.record).expect("a record is always whole")
    }

    fn settle(&mut self, running: &Version, boot: &str) -> (Record, Option<News>) {
        let seen = Seen {
            running: running.clone(),
            boot: boot.to_owned(),
            entries: self.listing(),
            failure: None,
            time: kept(1_795_000_000_001),
        };
        let mut record = self.read();
        let news = settled(&mut record, &seen, self).unwrap();
        assert_eq!(record, self.read(), "what was settled is on the disk");
        (record, news)
    }
}

impl Hands for Model {
    fn save(&mut self, record: &Record) -> Result<(), Fault> {
        // Another name, sync, rename, sync of the folder: one of the two records is there.
        self.tick()?;
        self.tick()?;
        self.record = record.write();
        self.tick()
    }

    fn check_files(&mut self, _: &Manifest) -> Result<(), Fault> {
        Ok(())
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Fault> {
        Ok(self.listing())
    }

    fn remove_entry(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.tick()?;
        self.pending.push(Pending::Remove(entry.to_string()));
        self.sync()
    }

    fn rename_entry(&mut self, from: &Entry, to: &Entry) -> Result<(), Fault> {
        self.tick()?;
        self.pending.push(Pending::Rename(from.to_string(), to.to_string()));
        self.sync()
    }

    fn clear_other(&mut self) -> Result<(), Fault> {
        for part in [1, 0] {
            self.tick()?;
            self.other[part].label = None;
        }
        Ok(())
    }

    fn write_other(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        let running = version("1.0.0");
        for part in [1, 0] {
            assert_eq!(self.other[part].label, None, "only an empty slot is written");
            let seen = self.listing();
            let into = seen.iter().find(|entry| entry.is_seen() && entry.version != running);
            assert_eq!(into, None, "a boot entry points at a slot that is being written");
            for chunk in 0..self.other[part].chunks.len() {
                self.tick()?;
                let rotten = self.rotten && chunk == 3;
                self.other[part].chunks[chunk] = (!rotten).then(|| manifest.version.clone());
            }
        }
        for part in [1, 0] {
            self.tick()?;
            self.other[part].owner = Some(manifest.version.clone());
            self.other[part].label = Some(manifest.version.clone());
        }
        Ok(())
    }

    fn read_back(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        if self.other.iter().all(|part| part.is(&manifest.version)) {
            return Ok(());
        }
        Err(Fault::new("reading back", "the model", "another chunk"))
    }

    fn place(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        for whole in [false, false, true] {
            self.tick()?;
            self.pending.push(Pending::Put("postern.part".to_owned(), whole));
        }
        self.sync()?;
        let name = Entry::new(&manifest.version, Standing::Staged).to_string();
        self.tick()?;
        self.pending.push(Pending::Rename("postern.part".to_owned(), name));
        self.sync()
    }

    fn tell(&mut self, _: &str) {}
}

fn fit() -> Fit {
    let keys = keys();
    let octets = manifest("1.1.0").write();
    let signed = [keys[0].sign(&octets), keys[1].sign(&octets)];
    let proven = verify(&octets, &signed, &roots(&keys)).unwrap();
    let machine = Machine {
        compatible: compatible(),
        running: version("1.0.0"),
        floor: version("0.1.0"),
        formats: manifest("1.0.0").formats,
        present: vec![2],
        root_octets: None,
        verity_octets: None,
        time: kept(1_795_000_000_000),
    };
    judge(&proven, &machine, false).unwrap()
}

fn running(version_text: &str) -> Running {
    let manifest = manifest(version_text);
    let root_hash = Some(Sha256::of(version_text.as_bytes()));
    let known = Known { version: manifest.version.clone(), root_hash, formats: manifest.formats };
    let time = kept(1_795_000_000_000);
    Running { version: manifest.version, known, boot: "first".to_owned(), time }
}

/// Machines before an update.
fn situations() -> Vec<Model> {
    let good = "postern_1.0.0.efi";
    let mut torn = Model::new(None, &[good, "postern.part"]);
    torn.other[1].label = Some(version("1.1.0"));
    torn.other[0].chunks[7] = Some(version("1.1.0"));
    vec![
        Model::new(None, &[good]),
        Model::new(Some("0.9.0"), &[good, "postern_0.9.0.efi"]),
        Model::new(Some("1.2.0"), &[good, "postern_1.2.0+0-3.efi"]),
        Model::new(Some("1.1.0"), &[good, "postern_1.1.0.staged"]),
        Model::new(Some("1.1.0"), &[good, "postern_1.1.0+0-3.efi"]),
        torn,
    ]
}

const CUTS: [Cut; 3] = [Cut::Loses, Cut::Keeps, Cut::KeepsHalf];

fn staged(model: &mut Model, fit: &Fit) -> Result<(), Fault> {
    let mut record = model.read();
    stage(&mut record, fit, &running("1.0.0"), model)
}

fn applied(model: &mut Model) -> Result<(), Fault> {
    let mut record = model.read();
    apply(&mut record, &running("1.0.0"), model)
}

#[test]
fn a_power_cut_while_staging_boots_what_ran() {
    let (fit, mut points) = (fit(), 0);
    for situation in situations() {
        let writes = {
            let mut model = situation.clone();
            staged(&mut model, &fit).unwrap();
            model.writes
        };
        for (power, cut) in (0..writes).flat_map(|power| CUTS.map(|cut| (power, cut))) {
            let mut model = situation.clone();
            model.power = power;
            staged(&mut model, &fit).unwrap_err();
            model.cut(cut);
            let what = format!("cut after {power} of {writes} writes, {cut:?}");
            let ran = model.boot(|_| true);
            assert_eq!(ran, Some(version("1.0.0")), "{what}");
            let (record, _) = model.settle(&version("1.0.0"), "second");
            let state = record.state.name();
            assert!(matches!(state, "idle" | "staged"), "{what}: {state}");
            // And the next attempt goes through to the end.
            staged(&mut model, &fit).unwrap_or_else(|fault| panic!("{what}, again: {fault}"));
            applied(&mut model).unwrap();
            assert_eq!(model.boot(|_| true), Some(version("1.1.0")), "{what}, again");
            let (record, news) = model.settle(&version("1.1.0"), "third");
            assert!(matches!(record.state, State::Healthy(_)), "{what}, again");
            assert!(matches!(news, Some(News::Healthy { .. })));
            points += 1;
        }
    }
    println!("{points} points");
    assert!(points >= 600, "{points}");
}

#[test]
fn a_power_cut_while_applying_boots_one_of_the_two() {
    let (fit, mut points) = (fit(), 0);
    for healthy in [true, false] {
        let mut ready = Model::new(Some("0.9.0"), &["postern_1.0.0.efi", "postern_0.9.0.efi"]);
        staged(&mut ready, &fit).unwrap();
        ready.writes = 0;
        let writes = {
            let mut model = ready.clone();
            applied(&mut model).unwrap();
            model.writes
        };
        for (power, cut) in (0..=writes).flat_map(|power| CUTS.map(|cut| (power, cut))) {
            let mut model = ready.clone();
            model.power = power;
            let done = applied(&mut model);
            assert_eq!(done.is_ok(), power == writes);
            model.cut(cut);
            let what = format!("cut after {power} of {writes} writes, {cut:?}, {healthy}");
            let ran = model.boot(|v| healthy || *v == version("1.0.0")).expect(&what);
            let (record, _) = model.settle(&ran, "second");
            let state = (ran.to_string(), record.state.name());
            match (state.0.as_str(), state.1) {
                ("1.0.0", "staged") => {}
                ("1.0.0", "rolled-back") if !healthy => {
                    let reason = record.state.reason().unwrap_or_default();
                    assert!(reason.contains("3 boots"), "{reason}");
                    assert_eq!(model.boot(|_| true), Some(version("1.0.0")), "it stays there");
                }
                ("1.1.0", "healthy") if healthy => assert_eq!(record.floor, Some(version("0.1.0"))),
                other => panic!("{what}: {other:?}"),
            }
            points += 1;
        }
    }
    assert!(points >= 30, "{points}");
}

#[test]
fn a_power_cut_while_going_back_boots_one_of_the_two() {
    let fit = fit();
    let mut points = 0;
    let mut ready = Model::new(None, &["postern_1.0.0.efi"]);
    staged(&mut ready, &fit).unwrap();
    applied(&mut ready).unwrap();
    assert_eq!(ready.boot(|_| true), Some(version("1.1.0")));
    ready.settle(&version("1.1.0"), "second");
    ready.writes = 0;
    let going = |model: &mut Model| {
        let mut record = model.read();
        back(&mut record, &running("1.1.0"), &version("1.0.0"), &[2], model)
    };
    let writes = {
        let mut model = ready.clone();
        going(&mut model).unwrap();
        model.writes
    };
    for comes_up in [true, false] {
        for (power, cut) in (0..=writes).flat_map(|power| CUTS.map(|cut| (power, cut))) {
            let mut model = ready.clone();
            if !comes_up {
                model.own[0].chunks[0] = None;
            }
            model.power = power;
            let _cut_short = going(&mut model);
            model.cut(cut);
            let what = format!("cut after {power} of {writes} writes, {cut:?}, {comes_up}");
            let ran = model.boot(|_| true).unwrap_or_else(|| panic!("{what}: nothing boots"));
            let (record, _) = model.settle(&ran, "third");
            let state = record.state.name();
            let whole = power == writes;
            match (ran.to_string().as_str(), state) {
                ("1.0.0", "healthy") if comes_up => {}
                ("1.1.0", "rolled-back") if !comes_up || !whole => {}
                ("1.1.0", "healthy") if !whole => {}
                other => panic!("{what}: {other:?}"),
            }
            points += 1;
        }
    }
    assert!(points >= 40, "{points}");
}

#[test]
fn a_disk_that_gives_back_something_else_stages_nothing() {
    let mut model = Model::new(Some("0.9.0"), &["postern_1.0.0.efi", "postern_0.9.0.efi"]);
    model.rotten = true;
    let fault = staged(&mut model, &fit()).unwrap_err();
    assert!(fault.to_string().contains("another chunk"), "{fault}");
    let record = model.read();
    assert_eq!(record.state, State::Idle);
    assert!(record.last.unwrap().text.starts_with("not staged: reading back"));
    assert_eq!(model.other[0].label, None, "no label says that it is a release");
    assert!(applied(&mut model).is_err(), "nothing is staged");
    assert_eq!(model.boot(|_| true), Some(version("1.0.0")));
}

#[test]
fn nothing_is_staged_on_top_of_a_trial() {
    let fit = fit();
    let mut model = Model::new(None, &["postern_1.0.0.efi"]);
    staged(&mut model, &fit).unwrap();
    applied(&mut model).unwrap();
    let esp = model.esp.clone();
    let fault = staged(&mut model, &fit).unwrap_err();
    assert!(fault.to_string().contains("on trial"), "{fault}");
    assert!(matches!(model.read().state, State::Trial(_)));
    assert_eq!(model.esp, esp, "the entry on trial is still there");
    let mut itself = Model::new(None, &["postern_1.0.0+2-1.efi"]);
    assert!(staged(&mut itself, &fit).unwrap_err().to_string().contains("on trial itself"));
}

#[test]
fn one_boot_with_a_clock_ahead_ends_nothing() {
    let mut model = Model::new(None, &["postern_1.0.0.efi"]);
    let boot = |model: &mut Model, time| {
        let seen = Seen {
            running: version("1.0.0"),
            boot: "first".to_owned(),
            entries: model.listing(),
            failure: None,
            time,
        };
        let mut record = model.read();
        settled(&mut record, &seen, model).unwrap();
        model.read().last_seen
    };
    let ahead = Time { now: WallTime(1_900_000_000_000), witness: Witness::LooseClock };
    assert_eq!(boot(&mut model, ahead), WallTime(0));
    assert_eq!(boot(&mut model, kept(1_795_000_000_000)), WallTime(1_795_000_000_000));
    assert_eq!(boot(&mut model, ahead), WallTime(1_795_000_000_000));
    // And a clock that is kept mends what a wrong one has left.
    let mut record = Record { last_seen: ahead.now, ..model.read() };
    model.save(&record).unwrap();
    assert_eq!(boot(&mut model, kept(1_796_000_000_000)), WallTime(1_796_000_000_000));
    record.last_seen = ahead.now;
    model.save(&record).unwrap();
    staged(&mut model, &fit()).unwrap();
    assert_eq!(model.read().last_seen, WallTime(1_795_000_000_000));
}

#[test]
fn nobody_goes_back_below_the_floor() {
    let mut model = Model::new(None, &["postern_1.0.0.efi"]);
    staged(&mut model, &fit()).unwrap();
    applied(&mut model).unwrap();
    model.boot(|_| true).unwrap();
    model.settle(&version("1.1.0"), "second");
    let (mut record, writes) = (model.read(), model.writes);
    record.raise_floor(&version("1.0.1"));
    let fault = back(&mut record, &running("1.1.0"), &version("1.0.0"), &[2], &mut model);
    assert!(fault.unwrap_err().to_string().contains("nothing older than 1.0.1"));
    assert_eq!(model.writes, writes, "nothing was touched");
}

#[test]
fn nobody_goes_back_to_what_cannot_read_the_spool() {
    let fit = fit();
    let mut model = Model::new(None, &["postern_1.0.0.efi"]);
    staged(&mut model, &fit).unwrap();
    applied(&mut model).unwrap();
    model.boot(|_| true).unwrap();
    model.settle(&version("1.1.0"), "second");
    let mut record = model.read();
    let fault = back(&mut record, &running("1.1.0"), &version("1.0.0"), &[2, 3], &mut model);
    assert!(fault.unwrap_err().to_string().contains("cannot read spool format 3"));
    let stranger = back(&mut record, &running("1.1.0"), &version("0.5.0"), &[2], &mut model);
    assert!(stranger.unwrap_err().to_string().contains("no boot entry"));
}
