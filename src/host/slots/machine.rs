//! The machine, as the steps of an update want it.

use std::path::{Path, PathBuf};

use super::esp::Esp;
use super::gpt;
use super::running::System;
use super::shelf::Shelf;
use super::surface;
use super::sysupdate::{self, Sysupdate};
use crate::base::fault::Fault;
use crate::update::entry::Entry;
use crate::update::manifest::{File, Manifest};
use crate::update::record::Record;
use crate::update::slots::Slots;
use crate::update::steps::Hands;

/// Octets between two words about progress.
const TELL_OCTETS: u64 = 64 * 1024 * 1024;

/// Where things are; on the box always [`Places::default`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The root of what is looked at: `/`.
    pub root: PathBuf,
    /// The whole disk; none: that of the running slot.
    pub disk: Option<PathBuf>,
    /// The ESP.
    pub esp: PathBuf,
    /// `EFI/Linux` of the ESP.
    pub entries: PathBuf,
    /// The boot loader that the image brings.
    pub loader: PathBuf,
    /// The folder of updates.
    pub folder: PathBuf,
    /// What lives until the next boot.
    pub run: PathBuf,
    /// Release keys.
    pub keys: PathBuf,
    /// systemd-sysupdate, with what stands before it.
    pub sysupdate: Vec<String>,
    /// This program, for its other verbs.
    pub program: PathBuf,
    /// What the health check of the last boot left.
    pub health: PathBuf,
    /// Segments of the spool.
    pub ledger: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            root: "/".into(),
            disk: None,
            esp: "/efi".into(),
            entries: "/efi/EFI/Linux".into(),
            loader: "/usr/lib/systemd/boot/efi".into(),
            folder: "/var/lib/postern-host/update".into(),
            run: "/run/postern-host".into(),
            keys: "/usr/lib/postern/release-keys".into(),
            sysupdate: vec![sysupdate::PROGRAM.to_owned()],
            program: "/usr/bin/postern".into(),
            health: "/var/lib/postern-host/health/last.json".into(),
            ledger: "/var/lib/postern/spool/ledger".into(),
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Machine<'t, T> {
    /// What runs.
    pub system: System,
    /// The folder of updates.
    pub shelf: Shelf,
    /// The ESP.
    pub esp: Esp,
    disk: PathBuf,
    sysupdate: Sysupdate,
    tell: &'t mut T,
}

impl<'t, T: FnMut(&str)> Machine<'t, T> {
    /// Looks at the machine.
    ///
    /// # Errors
    /// It has no slots.
    pub fn look(places: &Places, tell: &'t mut T) -> Result<Self, Fault> {
        let system = System::look(&places.root)?;
        let disk = match &places.disk {
            Some(disk) => disk.clone(),
            None => system.disk()?,
        };
        let shelf = Shelf::open(&places.folder)?;
        let sysupdate = Sysupdate {
            program: places.sysupdate.clone(),
            definitions: places.run.join("sysupdate"),
            disk: disk.clone(),
            staging: shelf.staging(),
        };
        Ok(Self { system, shelf, esp: Esp::new(&places.entries), disk, sysupdate, tell })
    }

    /// Both slots, as the partition table says.
    ///
    /// # Errors
    /// The disk cannot be read, or there are none.
    pub fn slots(&self) -> Result<Slots, Fault> {
        let partitions = gpt::partitions(&self.disk)?;
        Slots::find(&partitions, &self.system.root_hash)
            .map_err(|cause| Fault::new("finding slots on", self.disk.display(), cause))
    }

    fn compare(&mut self, disk: &Path, start: u64, file: &File) -> Result<(), Fault> {
        let (tell, whole) = (&mut *self.tell, file.unpacked_octets);
        surface::compare(disk, start, file, |at| {
            if at % TELL_OCTETS == 0 {
                tell(&format!("reading back {}: {} of {} MiB", file.name, at >> 20, whole >> 20));
            }
        })
    }
}

impl<T: FnMut(&str)> Hands for Machine<'_, T> {
    fn save(&mut self, record: &Record) -> Result<(), Fault> {
        self.shelf.save(record)
    }

    fn check_files(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        self.shelf.check(manifest)
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Fault> {
        self.esp.entries()
    }

    fn remove_entry(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.esp.remove(entry)
    }

    fn rename_entry(&mut self, from: &Entry, to: &Entry) -> Result<(), Fault> {
        self.esp.rename(from, to)
    }

    fn clear_other(&mut self) -> Result<(), Fault> {
        self.protected()?;
        self.sysupdate.clear(&self.system.version)
    }

    fn write_other(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        self.protected()?;
        self.sysupdate.write(&self.system.version, &manifest.version)?;
        self.protected()
    }

    fn read_back(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        let slots = self.slots()?;
        if !slots.other.holds(manifest) {
            let cause = format!("the slot is labelled {:?}", slots.other.root.label);
            return Err(Fault::new("reading back", &manifest.version, cause));
        }
        let disk = self.disk.clone();
        self.compare(&disk, slots.other.verity.start, &manifest.files.verity)?;
        self.compare(&disk, slots.other.root.start, &manifest.files.root)
    }

    fn place(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        let source = self.shelf.staging().join(&manifest.files.uki.name);
        self.esp.place(&source, &manifest.version, &manifest.files.uki, |_| {})
    }

    fn tell(&mut self, what: &str) {
        (self.tell)(what);
    }
}

impl<T: FnMut(&str)> Machine<'_, T> {
    /// systemd-sysupdate protects a version by its label: it is held against what really runs.
    fn protected(&self) -> Result<(), Fault> {
        let slots = self.slots()?;
        let labelled = slots.running.version();
        if labelled.as_ref() == Some(&self.system.version) && slots.other.version() != labelled {
            return Ok(());
        }
        let cause = format!(
            "the running slot is labelled {:?} and the other {:?}, but {} runs",
            slots.running.root.label, slots.other.root.label, self.system.version
        );
        Err(Fault::new("protecting", "the running slot", cause))
    }
}
