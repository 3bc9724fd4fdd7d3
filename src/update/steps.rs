//! The order of an update's steps, over whatever does them: the machine, or a model of one that
//! loses its power after any of them.
//!
//! The order is the whole safety: the entry of the old fallback goes first, so that no boot entry
//! ever points at a slot that is being written; the record follows each step; the kernel image is
//! last, and not a boot entry before `apply`.

use super::entry::{Entry, Standing, TRIES};
use super::judge::Fit;
use super::manifest::Manifest;
use super::record::{Ending, Known, Record};
use super::state::{News, Release, Seen, Staged, State, Trial, settle};
use super::time::Time;
use super::version::Version;
use crate::base::fault::Fault;
use crate::base::time::WallTime;

/// What does the steps. Every deed survives a power cut when it returns.
pub trait Hands {
    /// Writes the record.
    ///
    /// # Errors
    /// The disk failed.
    fn save(&mut self, record: &Record) -> Result<(), Fault>;

    /// Compares the staged files with the manifest.
    ///
    /// # Errors
    /// They are not as signed.
    fn check_files(&mut self, manifest: &Manifest) -> Result<(), Fault>;

    /// The entries in the ESP.
    ///
    /// # Errors
    /// It cannot be read.
    fn entries(&mut self) -> Result<Vec<Entry>, Fault>;

    /// Removes an entry.
    ///
    /// # Errors
    /// The disk failed.
    fn remove_entry(&mut self, entry: &Entry) -> Result<(), Fault>;

    /// Renames an entry.
    ///
    /// # Errors
    /// The disk failed.
    fn rename_entry(&mut self, from: &Entry, to: &Entry) -> Result<(), Fault>;

    /// Marks the slot that does not run as empty.
    ///
    /// # Errors
    /// The disk failed.
    fn clear_other(&mut self) -> Result<(), Fault>;

    /// Writes the staged files to the slot that does not run.
    ///
    /// # Errors
    /// The disk failed.
    fn write_other(&mut self, manifest: &Manifest) -> Result<(), Fault>;

    /// Reads that slot from the disk itself and compares it with the manifest.
    ///
    /// # Errors
    /// It is not what was signed.
    fn read_back(&mut self, manifest: &Manifest) -> Result<(), Fault>;

    /// Puts the kernel image into the ESP as [`Standing::Staged`], and reads it back.
    ///
    /// # Errors
    /// The disk failed, or it is not what was signed.
    fn place(&mut self, manifest: &Manifest) -> Result<(), Fault>;

    /// Says what is being done.
    fn tell(&mut self, what: &str);
}

/// Who runs, for the steps.
#[derive(Clone, Debug)]
pub struct Running {
    /// The running version.
    pub version: Version,
    /// What is remembered of it.
    pub known: Known,
    /// This boot.
    pub boot: String,
    /// The best guess at the time.
    pub time: Time,
}

/// Writes a release that was judged fit, up to `Staged`.
///
/// # Errors
/// What stopped it; the record says how far it came, and what runs is untouched.
pub fn stage(
    record: &mut Record,
    fit: &Fit,
    running: &Running,
    hands: &mut impl Hands,
) -> Result<(), Fault> {
    let begun = begin(record, fit, running, hands);
    let done = begun.and_then(|()| write(record, fit.manifest(), running.time.now, hands));
    let version = fit.manifest().version.clone();
    record.last = Some(match &done {
        Ok(()) => Ending {
            version: Some(version),
            good: true,
            text: "staged".to_owned(),
            at: running.time.now,
        },
        Err(fault) => Ending {
            version: Some(version),
            good: false,
            text: format!("not staged: {fault}"),
            at: running.time.now,
        },
    });
    if done.is_err() && !matches!(record.state, State::Trial(_)) {
        record.state = State::Idle;
    }
    let saved = hands.save(record);
    done.and(saved)
}

fn begin(
    record: &mut Record,
    fit: &Fit,
    running: &Running,
    hands: &mut impl Hands,
) -> Result<(), Fault> {
    let no = |cause: &str| Err(Fault::new("staging", &fit.manifest().version, cause));
    let entries = hands.entries()?;
    let own = entries.iter().find(|entry| entry.version == running.version);
    match own.map(|entry| entry.standing) {
        Some(Standing::Good) => {}
        Some(_) => return no("the running version is on trial itself: wait until it is confirmed"),
        None => return no("the running version has no boot entry"),
    }
    let fetched = match std::mem::take(&mut record.state).fetched(Release::of(fit)) {
        Ok(fetched) => fetched,
        Err(state) => {
            record.state = *state;
            return no("an update is on trial: wait until it is confirmed or gone");
        }
    };
    record.state = State::Fetched(fetched);
    record.remember(running.known.clone());
    record.last_seen = running.time.remembered(record.last_seen);
    hands.save(record)?;
    for entry in entries.iter().filter(|entry| entry.version != running.version) {
        hands.tell(&format!("removing the boot entry {entry}"));
        hands.remove_entry(entry)?;
    }
    Ok(())
}

fn write(
    record: &mut Record,
    manifest: &Manifest,
    now: WallTime,
    hands: &mut impl Hands,
) -> Result<(), Fault> {
    let State::Fetched(fetched) = std::mem::take(&mut record.state) else {
        return Err(Fault::new("staging", &manifest.version, "the record says something else"));
    };
    hands.tell("comparing the files with the signed manifest");
    hands.check_files(manifest)?;
    let verified = fetched.verified();
    record.state = State::Verified(verified.clone());
    hands.save(record)?;
    hands.tell("emptying the slot that does not run");
    hands.clear_other()?;
    hands.tell("writing the slot");
    hands.write_other(manifest)?;
    let written = verified.written();
    record.state = State::Written(written.clone());
    hands.save(record)?;
    hands.tell("reading the slot back");
    if let Err(fault) = hands.read_back(manifest) {
        // What cannot be read is not left with a label that says it is a release.
        hands.clear_other()?;
        return Err(fault);
    }
    let read_back = written.read_back();
    record.state = State::ReadBack(read_back.clone());
    hands.save(record)?;
    hands.tell("placing the kernel image in the ESP");
    hands.place(manifest)?;
    record.state = State::Staged(read_back.staged(now));
    hands.save(record)
}

/// Makes the staged release the one that the next boot tries. The reboot is the caller's.
///
/// # Errors
/// Nothing is staged, or the disk failed.
pub fn apply(record: &mut Record, running: &Running, hands: &mut impl Hands) -> Result<(), Fault> {
    let state = std::mem::take(&mut record.state);
    let State::Staged(staged) = state else {
        let cause = format!("nothing is staged; the state is {}", state.name());
        record.state = state;
        return Err(Fault::new("applying", "an update", cause));
    };
    let version = staged.release().version.clone();
    let back = staged.clone();
    if let Err(fault) = begin_trial(record, staged, running, hands) {
        record.state = State::Staged(back);
        return Err(fault);
    }
    let from = Entry::new(&version, Standing::Staged);
    let to = Entry::new(&version, Standing::Counted { left: TRIES, done: 0 });
    hands.tell(&format!("the next boot tries {version}, {TRIES} times at most"));
    hands.rename_entry(&from, &to)
}

fn begin_trial(
    record: &mut Record,
    staged: Staged,
    running: &Running,
    hands: &mut impl Hands,
) -> Result<(), Fault> {
    let (version, boot) = (running.version.clone(), running.boot.clone());
    let release = staged.release();
    record.remember(Known {
        version: release.version.clone(),
        root_hash: Some(release.root_hash),
        formats: release.formats.clone(),
    });
    record.state = State::Trial(staged.trial(version, boot, running.time.now));
    record.last_seen = running.time.remembered(record.last_seen);
    hands.save(record)
}

/// Makes the version in the other slot the one that the next boot tries. The reboot is the
/// caller's.
///
/// First the other entry gets its tries, then the running one is marked as bad: a power cut
/// between the two boots one of them, and if the other slot should not come up any more, both are
/// bad and the newer is booted again.
///
/// # Errors
/// There is nothing to go back to, it is older than the floor, it cannot read what is in the spool,
/// or the disk failed.
pub fn back(
    record: &mut Record,
    running: &Running,
    other: &Version,
    present: &[u8],
    hands: &mut impl Hands,
) -> Result<(), Fault> {
    let no = |cause: String| Err(Fault::new("going back to", other, cause));
    if let Some(floor) = record.floor.as_ref().filter(|floor| other < *floor) {
        return no(format!("nothing older than {floor} is taken any more"));
    }
    let entries = hands.entries()?;
    let find = |version: &Version| {
        entries.iter().find(|entry| entry.version == *version && entry.is_seen()).cloned()
    };
    let Some(theirs) = find(other) else { return no("it has no boot entry".to_owned()) };
    let Some(ours) = find(&running.version) else {
        return no("the running version has no boot entry".to_owned());
    };
    let Some(known) = record.known(other).cloned() else {
        return no("its formats are not known: stage the release again".to_owned());
    };
    let reads = &known.formats.spool.reads;
    if let Some(format) = present.iter().find(|format| !reads.contains(format)) {
        return no(format!("it cannot read spool format {format}, which is on the disk"));
    }
    let Some(root_hash) = known.root_hash else {
        return no("its root hash is not known: stage the release again".to_owned());
    };
    let can_read = |format: &&u8| running.known.formats.spool.reads.contains(format);
    let spool_format = known.formats.spool.writes.iter().filter(can_read).max().copied();
    let Some(spool_format) = spool_format else {
        return no("it writes no spool format that this version reads".to_owned());
    };
    let release = Release {
        version: other.clone(),
        root_hash,
        floor: other.clone(),
        formats: known.formats,
        spool_format,
    };
    record.remember(running.known.clone());
    let trial =
        Trial::back(release, running.version.clone(), running.boot.clone(), running.time.now);
    record.state = State::Trial(trial);
    hands.save(record)?;
    let again = Entry::new(other, Standing::Counted { left: TRIES, done: 0 });
    if theirs != again {
        hands.rename_entry(&theirs, &again)?;
    }
    if *other < running.version {
        let bad = Entry::new(&running.version, Standing::Counted { left: 0, done: 1 });
        hands.rename_entry(&ours, &bad)?;
    }
    hands.tell(&format!("the next boot tries {other}"));
    Ok(())
}

/// Holds the record against the machine, saves what has changed, and says what is new.
///
/// # Errors
/// The disk failed.
pub fn settled(
    record: &mut Record,
    seen: &Seen,
    hands: &mut impl Hands,
) -> Result<Option<News>, Fault> {
    let before = record.clone();
    let found = settle(std::mem::take(&mut record.state), seen);
    record.state = found.state;
    record.last_seen = seen.time.remembered(record.last_seen);
    if let Some(entry) = found.condemn {
        let bad = Entry::new(&entry.version, Standing::Counted { left: 0, done: 1 });
        hands.rename_entry(&entry, &bad)?;
    }
    let ending = |version: &Version, good, text: String| {
        Some(Ending { version: Some(version.clone()), good, text, at: seen.time.now })
    };
    match &found.news {
        Some(News::Healthy { version, from }) => {
            if let State::Healthy(healthy) = &record.state {
                let floor = healthy.release().floor.clone();
                record.raise_floor(&floor);
            }
            // Going back by hand had marked what ran before as bad; it may be tried again by hand.
            record.last = ending(version, true, format!("healthy, after {from}"));
        }
        Some(News::RolledBack { version, reason, .. }) => {
            record.last = ending(version, false, format!("rolled back: {reason}"));
        }
        Some(News::Interrupted { version, at }) => {
            record.last = ending(version, false, format!("interrupted when it was {at}"));
        }
        Some(News::NotBegun { .. }) | None => {}
    }
    if *record != before {
        hands.save(record)?;
    }
    Ok(found.news)
}

#[cfg(test)]
mod tests;
