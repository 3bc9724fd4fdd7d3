//! Whether a release that is believed may also be taken by this machine.

use super::keys::Proven;
use super::manifest::{Formats, Manifest, PRODUCT};
use super::promise;
use super::time::Time;
use super::version::Version;
use crate::base::time::WallTime;

/// What is known of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Machines that its release runs on.
    pub compatible: String,
    /// The running version.
    pub running: Version,
    /// Nothing older is taken.
    pub floor: Version,
    /// Formats of the running version.
    pub formats: Formats,
    /// Spool formats that are on the disk.
    pub present: Vec<u8>,
    /// Octets of the smaller slot's root partition, if they are known.
    pub root_octets: Option<u64>,
    /// Octets of its hash tree's partition.
    pub verity_octets: Option<u64>,
    /// The best guess at the time.
    pub time: Time,
}

/// Why a release is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Another product.
    #[error("it is for {0:?}, not for {PRODUCT:?}")]
    Product(String),
    /// Another kind of machine.
    #[error("it is for machines of the kind {0:?}; this is {1:?}")]
    Compatible(String, String),
    /// The running version itself.
    #[error("{0} is running already")]
    Same(Version),
    /// Older than what runs, and nobody asked for that.
    #[error("it is {0}, older than the running {1}: an older one must be asked for (--downgrade)")]
    Older(Version, Version),
    /// Older than the floor.
    #[error("it is {0}; nothing older than {1} is taken any more")]
    BelowFloor(Version, Version),
    /// A step that is too long.
    #[error("it can follow {0} and later; {1} is running: update to a version between them first")]
    TooFar(Version, Version),
    /// Too old to be offered.
    #[error("it expired on {on}: by {} it is {}", .time.witness, .time.now)]
    Expired {
        /// When.
        on: WallTime,
        /// What is taken for the time, and by whose word.
        time: Time,
    },
    /// The way back would be closed.
    #[error("{0}")]
    Formats(String),
    /// It does not fit into the slot.
    #[error("{what} has {octets} octets, its partition {room}")]
    TooLarge {
        /// Which file.
        what: &'static str,
        /// Its octets.
        octets: u64,
        /// Room.
        room: u64,
    },
}

/// A release that may be written. Only [`judge`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    manifest: Manifest,
    spool_format: u8,
}

impl Fit {
    /// What is written.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The spool format that it must write while it is on trial.
    #[must_use]
    pub fn spool_format(&self) -> u8 {
        self.spool_format
    }
}

/// Judges a release that is believed.
///
/// # Errors
/// The first reason against it.
pub fn judge(proven: &Proven, machine: &Machine, downgrade: bool) -> Result<Fit, Unfit> {
    let manifest = proven.manifest();
    let version = || manifest.version.clone();
    if manifest.product != PRODUCT {
        return Err(Unfit::Product(manifest.product.clone()));
    }
    if manifest.compatible != machine.compatible {
        let (theirs, ours) = (manifest.compatible.clone(), machine.compatible.clone());
        return Err(Unfit::Compatible(theirs, ours));
    }
    if manifest.version == machine.running {
        return Err(Unfit::Same(version()));
    }
    if manifest.version < machine.floor {
        return Err(Unfit::BelowFloor(version(), machine.floor.clone()));
    }
    if manifest.version < machine.running && !downgrade {
        return Err(Unfit::Older(version(), machine.running.clone()));
    }
    if machine.running < manifest.min_version {
        return Err(Unfit::TooFar(manifest.min_version.clone(), machine.running.clone()));
    }
    if machine.time.now >= manifest.expires {
        return Err(Unfit::Expired { on: manifest.expires, time: machine.time });
    }
    let room = [
        ("the root", &manifest.files.root, machine.root_octets),
        ("the hash tree", &manifest.files.verity, machine.verity_octets),
    ];
    for (what, file, room) in room {
        if let Some(room) = room.filter(|room| *room < file.unpacked_octets) {
            return Err(Unfit::TooLarge { what, octets: file.unpacked_octets, room });
        }
    }
    let spool_format = promise::on_trial(&machine.formats, &manifest.formats, &machine.present)
        .map_err(Unfit::Formats)?;
    Ok(Fit { manifest: manifest.clone(), spool_format })
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::{keys, roots};
    use super::super::keys::verify;
    use super::super::manifest::tests::manifest;
    use super::super::manifest::{compatible, hex};
    use super::super::time::{Clock, Witness};
    use super::*;

    fn proven(manifest: &Manifest) -> Proven {
        let keys = keys();
        let octets = manifest.write();
        verify(&octets, &[keys[0].sign(&octets), keys[2].sign(&octets)], &roots(&keys)).unwrap()
    }

    fn kept(now: WallTime) -> Time {
        Time { now, witness: Witness::KeptClock }
    }

    fn machine(running: &str) -> Machine {
        Machine {
            compatible: compatible(),
            running: running.parse().unwrap(),
            floor: "1.0.0".parse().unwrap(),
            formats: manifest("1.0.0").formats,
            present: vec![2],
            root_octets: Some(1 << 30),
            verity_octets: Some(1 << 24),
            time: kept(WallTime(1_795_000_000_000)),
        }
    }

    fn judged(change: impl FnOnce(&mut Manifest, &mut Machine)) -> Result<Fit, Unfit> {
        let (mut manifest, mut machine) = (manifest("1.2.0"), machine("1.1.0"));
        change(&mut manifest, &mut machine);
        judge(&proven(&manifest), &machine, false)
    }

    #[test]
    fn a_newer_release_is_taken() {
        let fit = judged(|_, _| {}).unwrap();
        assert_eq!(fit.spool_format(), 2);
        assert_eq!(hex(&[1, 171]), "01ab");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let product = judged(|m, _| m.product = "other".to_owned());
        assert!(matches!(product, Err(Unfit::Product(_))));
        let machine_kind = judged(|m, _| m.compatible = "aarch64-toaster".to_owned());
        assert!(matches!(machine_kind, Err(Unfit::Compatible(..))));
        let same = judged(|_, m| m.running = "1.2.0".parse().unwrap());
        assert!(matches!(same, Err(Unfit::Same(_))));
        let far = judged(|m, _| m.min_version = "1.1.1".parse().unwrap());
        assert!(matches!(far, Err(Unfit::TooFar(..))));
        let large = judged(|_, m| m.root_octets = Some(3));
        assert!(matches!(large, Err(Unfit::TooLarge { .. })));
        let formats = judged(|m, _| {
            m.formats.spool.reads = vec![2, 3];
            m.formats.spool.writes = vec![3];
        });
        assert!(matches!(formats, Err(Unfit::Formats(_))));
    }

    #[test]
    fn an_older_release_is_taken_only_when_asked_and_above_the_floor() {
        let old = proven(&manifest("1.0.5"));
        let ours = machine("1.1.0");
        assert!(matches!(judge(&old, &ours, false), Err(Unfit::Older(..))));
        judge(&old, &ours, true).unwrap();
        let floor = Machine { floor: "1.0.6".parse().unwrap(), ..ours };
        assert!(matches!(judge(&old, &floor, true), Err(Unfit::BelowFloor(..))));
    }

    #[test]
    fn a_clock_set_back_brings_no_expired_release_to_life() {
        let judged = |time| judged(|_, machine| machine.time = time);
        let (end, early) = (WallTime(1_800_000_000_000), WallTime(1_000_000_000_000));
        let by = |clock, kept, image_made, last_seen| {
            Time::plausible(Clock { wall: clock, kept }, image_made, last_seen)
        };
        assert!(judged(by(early, false, early, early)).is_ok());
        assert!(judged(by(early, false, early, end)).is_err());
        assert!(judged(by(early, false, end, early)).is_err());
        assert!(judged(by(end, true, early, early)).is_err());
        // What a wrong clock once left in a record binds nobody whose clock is kept.
        assert!(judged(by(early, true, early, end)).is_ok());
        let said = judged(by(end, false, early, early)).unwrap_err().to_string();
        assert!(said.starts_with("it expired on 20") && said.contains("no time server"), "{said}");
    }
}
