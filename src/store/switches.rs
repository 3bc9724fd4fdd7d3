//! Operators' switches: what was decided at the control socket and lies over the configuration.
//!
//! ```text
//! "PSW1" | length u32 | CRC-32 of length | CRC-32 of record | postcard(Record) | length | ...
//! ```
//!
//! An append-only file, synced before a switch counts; rewritten by atomic rename when it has
//! grown. What a crash leaves unfinished at the end was never acknowledged and is cut off.
//!
//! **Invariant (fail safe):** a record that is damaged *before* the end may have been a kill
//! switch, so the whole gateway counts as stopped until an operator says otherwise, and says why.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::mail::source::{Proof, Source, SourceName, SourceState, Verifier};
use crate::source::directory::{self, Rotation};

/// The first octets of the file: name and version of the format.
const MAGIC: &[u8; 4] = b"PSW1";
/// The file is rewritten when it is longer than this and mostly history.
const COMPACT_OCTETS: u64 = 256 * 1024;
/// A record holds the verifiers of one source at most (about 300 octets each).
const RECORD_OCTETS_MAX: usize = 64 * 1024;

/// One decision. Variants are only ever added at the end: their order is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Record {
    StopAll { stopped: bool, by: String, at: WallTime },
    SourceState { name: SourceName, state: Option<SourceState>, by: String, at: WallTime },
    Rotated { name: SourceName, rotation: Rotation, by: String, at: WallTime },
    RotationForgotten { name: SourceName },
    EgressHeld { name: String, reason: Option<String>, by: String, at: WallTime },
}

/// A state that an operator gave to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The state.
    pub state: SourceState,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallTime,
}

/// An egress that an operator suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressHeld {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallTime,
}

/// Everything that operators decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Nothing is accepted or delivered; who said so, and when.
    pub stopped: Option<(String, WallTime)>,
    /// States that lie over those of the configuration. The stricter of the two counts.
    pub sources: BTreeMap<SourceName, Switched>,
    /// Secrets that were rotated.
    pub rotations: BTreeMap<SourceName, Rotation>,
    /// Egresses by which nothing may leave.
    pub egresses: BTreeMap<String, EgressHeld>,
}

impl Positions {
    /// What lies over the sources of the configuration, for the directory.
    #[must_use]
    pub fn overlay(&self) -> directory::Switches {
        directory::Switches {
            states: self.sources.iter().map(|(name, s)| (name.clone(), s.state)).collect(),
            rotations: self.rotations.clone(),
        }
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::StopAll { stopped, by, at } => self.stopped = stopped.then_some((by, at)),
            Record::SourceState { name, state: Some(state), by, at } => {
                self.sources.insert(name, Switched { state, by, at });
            }
            Record::SourceState { name, state: None, .. } => {
                self.sources.remove(&name);
            }
            Record::Rotated { name, rotation, .. } => {
                self.rotations.insert(name, rotation);
            }
            Record::RotationForgotten { name } => {
                self.rotations.remove(&name);
            }
            Record::EgressHeld { name, reason: Some(reason), by, at } => {
                self.egresses.insert(name, EgressHeld { reason, by, at });
            }
            Record::EgressHeld { name, reason: None, .. } => {
                self.egresses.remove(&name);
            }
        }
    }

    /// The records that lead to these positions.
    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some((by, at)) = self.stopped.clone() {
            records.push(Record::StopAll { stopped: true, by, at });
        }
        for (name, Switched { state, by, at }) in self.sources.clone() {
            records.push(Record::SourceState { name, state: Some(state), by, at });
        }
        for (name, rotation) in self.rotations.clone() {
            let (by, at) = (String::new(), WallTime(0));
            records.push(Record::Rotated { name, rotation, by, at });
        }
        for (name, EgressHeld { reason, by, at }) in self.egresses.clone() {
            records.push(Record::EgressHeld { name, reason: Some(reason), by, at });
        }
        records
    }
}

/// The switches, open for change. One per daemon, behind a mutex.
#[derive(Debug)]
pub struct Switches {
    path: PathBuf,
    file: File,
    octets: u64,
    positions: Positions,
}

impl Switches {
    /// Opens or creates the file at `path`. The second value says what was found and done; empty
    /// if all is well.
    ///
    /// A file that is damaged stops the gateway (see the module) and is kept beside as `.damaged`.
    ///
    /// # Errors
    /// The folder or the file cannot be used.
    pub fn open(path: &Path, now: WallTime) -> Result<(Self, Vec<String>), Fault> {
        let fault = |cause| Fault::new("opening the switches", path.display(), cause);
        let octets = match fs::read(path) {
            Ok(octets) => octets,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(fault(cause)),
        };
        let mut findings = Vec::new();
        let (mut positions, damage) = replay(&octets);
        let good = match damage {
            Damage::None => octets.len(),
            Damage::Tail(from) => {
                let cut = octets.len() - from;
                findings.push(format!("{cut} octets of an unfinished switch cut off"));
                from
            }
            Damage::Inside(at) => {
                let copy = path.with_extension("damaged");
                fs::write(&copy, &octets).map_err(fault)?;
                let by = format!("the gateway itself: damaged switches, see {}", copy.display());
                positions.stopped = Some((by, now));
                findings.push(format!(
                    "{} is damaged at octet {at}: it may have said that something is stopped, so \
                     everything is stopped; check `postern source list`, then `postern resume-all`",
                    path.display()
                ));
                0
            }
        };
        // A good file is used as it is: a full disk must not keep the daemon from starting.
        let (file, octets) = if good >= MAGIC.len() {
            let file = OpenOptions::new().append(true).open(path).map_err(fault)?;
            file.set_len(good as u64).and_then(|()| file.sync_all()).map_err(fault)?;
            (file, good as u64)
        } else {
            rewrite(path, &positions)?
        };
        Ok((Self { path: path.to_owned(), file, octets, positions }, findings))
    }

    /// What is decided now.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Stops everything, or lets it run. Durable when it returns.
    ///
    /// # Errors
    /// It could not be made durable; the position is as before, except that a stop counts until
    /// the next restart all the same.
    pub fn stop_all(&mut self, stopped: bool, by: &str, at: WallTime) -> Result<(), Fault> {
        self.decide(Record::StopAll { stopped, by: by.to_owned(), at }, stopped)
    }

    /// Lays `state` over a source, or takes the switch away. Durable when it returns.
    ///
    /// # Errors
    /// As [`Self::stop_all`].
    pub fn set_source_state(
        &mut self,
        name: &SourceName,
        state: Option<SourceState>,
        by: &str,
        at: WallTime,
    ) -> Result<(), Fault> {
        let stops = state.is_some_and(|state| !state.delivers());
        let record = Record::SourceState { name: name.clone(), state, by: by.to_owned(), at };
        self.decide(record, stops)
    }

    /// Suspends an egress for a reason, or lets it go. Durable when it returns.
    ///
    /// # Errors
    /// As [`Self::stop_all`].
    pub fn hold_egress(
        &mut self,
        name: &str,
        reason: Option<&str>,
        by: &str,
        at: WallTime,
    ) -> Result<(), Fault> {
        let (name, stops) = (name.to_owned(), reason.is_some());
        let reason = reason.map(str::to_owned);
        self.decide(Record::EgressHeld { name, reason, by: by.to_owned(), at }, stops)
    }

    /// Gives a source a new secret; those before it, the configuration's included, end at
    /// `grace_until`. Durable when it returns.
    ///
    /// # Errors
    /// As [`Self::stop_all`]; the new secret does not count then.
    pub fn rotate(
        &mut self,
        source: &Source,
        verifier: Verifier,
        grace_until: WallTime,
        by: &str,
        at: WallTime,
    ) -> Result<(), Fault> {
        let mut overlay = self.positions.overlay();
        overlay.rotate(source, verifier, grace_until);
        let Some(mut rotation) = overlay.rotations.remove(&source.name) else { return Ok(()) };
        // The end of a secret that exists nowhere any more need not be remembered.
        let configured: &[Verifier] = match &source.proof {
            Proof::Password { verifiers, .. } => verifiers,
            _ => &[],
        };
        let alive: Vec<&str> =
            configured.iter().chain(&rotation.verifiers).map(|v| v.argon2id.as_str()).collect();
        let retired = rotation.retired.iter().filter(|(old, _)| alive.contains(&old.as_str()));
        rotation.retired = retired.map(|(old, end)| (old.clone(), *end)).collect();
        let (name, by) = (source.name.clone(), by.to_owned());
        self.decide(Record::Rotated { name, rotation, by, at }, false)
    }

    /// Forgets rotated secrets: those of the configuration count again. Durable when it returns.
    ///
    /// # Errors
    /// As [`Self::stop_all`].
    pub fn forget_rotation(&mut self, name: &SourceName) -> Result<(), Fault> {
        self.decide(Record::RotationForgotten { name: name.clone() }, false)
    }

    fn decide(&mut self, record: Record, stops: bool) -> Result<(), Fault> {
        let wrote = self.append(&record);
        if wrote.is_ok() || stops {
            self.positions.apply(record);
        }
        wrote?;
        if self.octets > COMPACT_OCTETS {
            (self.file, self.octets) = rewrite(&self.path, &self.positions)?;
        }
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<(), Fault> {
        let octets = frame(record)?;
        let wrote = self.file.write_all(&octets).and_then(|()| self.file.sync_data());
        if let Err(cause) = wrote {
            let _ = self.file.set_len(self.octets);
            return Err(Fault::new("writing the switches", self.path.display(), cause));
        }
        self.octets += octets.len() as u64;
        Ok(())
    }
}

/// What is wrong with a file.
enum Damage {
    None,
    /// From this octet on a record is unfinished.
    Tail(usize),
    /// A record that was whole once is not any more.
    Inside(usize),
}

fn frame(record: &Record) -> Result<Vec<u8>, Fault> {
    let body = postcard::to_stdvec(record).map_err(|e| Fault::new("writing", "a switch", e))?;
    let length = u32::try_from(body.len()).map_err(|e| Fault::new("writing", "a switch", e))?;
    let mut octets = length.to_le_bytes().to_vec();
    octets.extend(crc(&[&octets]).to_le_bytes());
    octets.extend(crc(&[&octets, &body]).to_le_bytes());
    octets.extend(body);
    Ok(octets)
}

/// Begins with the name of the format, so that zeros are no record.
fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(MAGIC);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The positions that the octets of a file lead to, as far as they can be read.
fn replay(octets: &[u8]) -> (Positions, Damage) {
    let mut positions = Positions::default();
    if octets.is_empty() {
        return (positions, Damage::None);
    }
    if !octets.starts_with(MAGIC) {
        keep_the_rest(octets, &mut positions);
        return (positions, Damage::Inside(0));
    }
    let mut at = MAGIC.len();
    while at < octets.len() {
        match record_at(&octets[at..]) {
            Some((record, length)) => {
                positions.apply(record);
                at += length;
            }
            None if unfinished(&octets[at..]) => return (positions, Damage::Tail(at)),
            None => {
                let damage = Damage::Inside(at);
                keep_the_rest(&octets[at..], &mut positions);
                return (positions, damage);
            }
        }
    }
    (positions, Damage::None)
}

/// Octets before a record: length and two checksums.
const FRAME_HEAD: usize = 12;

/// The length of the record whose frame begins here, if its head is whole.
fn length_at(octets: &[u8]) -> Option<usize> {
    let (length, rest) = octets.split_first_chunk::<4>()?;
    let (sum, _) = rest.split_first_chunk::<4>()?;
    if crc(&[length]) != u32::from_le_bytes(*sum) {
        return None;
    }
    usize::try_from(u32::from_le_bytes(*length)).ok().filter(|size| *size <= RECORD_OCTETS_MAX)
}

/// The record whose frame begins here, and the octets of the frame.
fn record_at(octets: &[u8]) -> Option<(Record, usize)> {
    let end = FRAME_HEAD + length_at(octets)?;
    let sum: [u8; 4] = octets.get(8..FRAME_HEAD)?.try_into().ok()?;
    let body = octets.get(FRAME_HEAD..end)?;
    if crc(&[&octets[..8], body]) != u32::from_le_bytes(sum) {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, end))
}

/// Whether this is what a crash during an append leaves: the beginning of a frame, or zeros.
fn unfinished(octets: &[u8]) -> bool {
    let zeros = octets.iter().all(|octet| *octet == 0);
    let cut = length_at(octets).is_some_and(|length| octets.len() < FRAME_HEAD + length);
    zeros || cut || octets.len() < 8
}

/// Applies every whole record that can still be found behind a damaged one.
fn keep_the_rest(octets: &[u8], positions: &mut Positions) {
    let mut at = 0;
    while at < octets.len() {
        match record_at(&octets[at..]) {
            Some((record, length)) => {
                positions.apply(record);
                at += length;
            }
            None => at += 1,
        }
    }
}

/// Writes a fresh file and renames it into place.
fn rewrite(path: &Path, positions: &Positions) -> Result<(File, u64), Fault> {
    let fault = |cause| Fault::new("writing the switches", path.display(), cause);
    let mut octets = MAGIC.to_vec();
    for record in positions.records() {
        octets.extend(frame(&record)?);
    }
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new).map_err(fault)?;
    file.write_all(&octets).and_then(|()| file.sync_all()).map_err(fault)?;
    fs::rename(&new, path).map_err(fault)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)?;
    let file = OpenOptions::new().append(true).open(path).map_err(fault)?;
    Ok((file, octets.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SourceName {
        SourceName::new(text).unwrap()
    }

    fn verifier(text: &str) -> Verifier {
        Verifier { argon2id: text.to_owned(), scram_sha256: None, not_after: None }
    }

    fn source() -> Source {
        let document = include_str!("../../systemd/postern.toml");
        let config = crate::config::read(document, &crate::config::Anywhere).unwrap().config;
        let mut source = (*config.sources[&name("billing")]).clone();
        source.proof =
            Proof::Password { user: "billing".to_owned(), verifiers: vec![verifier("configured")] };
        source
    }

    fn open(path: &Path) -> (Switches, Vec<String>) {
        Switches::open(path, WallTime(99)).unwrap()
    }

    fn filled(path: &Path) -> Positions {
        let (mut switches, findings) = open(path);
        assert_eq!(findings, Vec::<String>::new());
        let disabled = Some(SourceState::Disabled);
        switches.set_source_state(&name("billing"), disabled, "alice", WallTime(1)).unwrap();
        switches
            .set_source_state(&name("crm"), Some(SourceState::Hold), "bob", WallTime(2))
            .unwrap();
        switches.set_source_state(&name("crm"), None, "bob", WallTime(3)).unwrap();
        for (n, at) in [("a", 10), ("b", 20), ("c", 30)] {
            let (at, grace) = (WallTime(at), WallTime(at + 5));
            switches.rotate(&source(), verifier(n), grace, "alice", at).unwrap();
        }
        switches.stop_all(true, "alice", WallTime(4)).unwrap();
        switches.stop_all(false, "alice", WallTime(5)).unwrap();
        switches.hold_egress("main", Some("a new cable"), "alice", WallTime(6)).unwrap();
        switches.hold_egress("second", Some("listed"), "bob", WallTime(7)).unwrap();
        switches.hold_egress("second", None, "bob", WallTime(8)).unwrap();
        switches.positions().clone()
    }

    #[test]
    fn decisions_survive_a_restart_and_a_compaction() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switches");
        let before = filled(&path);
        let rotation = &before.rotations[&name("billing")];
        let verifiers: Vec<_> = rotation.verifiers.iter().map(|v| v.argon2id.as_str()).collect();
        assert_eq!(verifiers, ["c", "b"]);
        let retired: Vec<_> =
            rotation.retired.iter().map(|(old, end)| (old.as_str(), *end)).collect();
        assert_eq!(retired, [("b", WallTime(35)), ("configured", WallTime(15))]);
        assert_eq!(before.overlay().states[&name("billing")], SourceState::Disabled);
        for _ in 0..3 {
            let (switches, findings) = open(&path);
            assert_eq!(findings, Vec::<String>::new());
            assert_eq!(*switches.positions(), before);
        }
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switches");
        let (mut switches, _) = open(&path);
        switches.octets = COMPACT_OCTETS;
        switches.stop_all(true, "alice", WallTime(1)).unwrap();
        assert!(switches.octets < 100);
        switches.stop_all(true, "bob", WallTime(2)).unwrap();
        let (switches, _) = open(&path);
        assert_eq!(switches.positions().stopped, Some(("bob".to_owned(), WallTime(2))));
    }

    #[test]
    fn a_crash_at_any_octet_loses_only_the_unfinished_switch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switches");
        let (mut switches, _) = open(&path);
        switches.stop_all(true, "alice", WallTime(1)).unwrap();
        let before = fs::read(&path).unwrap().len();
        let held = Some(SourceState::Hold);
        switches.set_source_state(&name("crm"), held, "bob", WallTime(2)).unwrap();
        let whole = fs::read(&path).unwrap();
        for end in before..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let (switches, findings) = open(&path);
            assert_eq!(switches.positions().stopped, Some(("alice".to_owned(), WallTime(1))));
            assert!(switches.positions().sources.is_empty());
            assert_eq!(findings.is_empty(), end == before, "{findings:?}");
            // Zeros where the tail should be are no damage either.
            let mut zeros = whole[..before].to_vec();
            zeros.resize(end, 0);
            fs::write(&path, &zeros).unwrap();
            assert!(open(&path).0.positions().stopped.as_ref().unwrap().0 == "alice");
        }
    }

    #[test]
    fn any_flipped_bit_stops_the_gateway_or_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switches");
        let (mut switches, _) = open(&path);
        for n in ["one", "two", "three"] {
            let disabled = Some(SourceState::Disabled);
            switches.set_source_state(&name(n), disabled, "alice", WallTime(1)).unwrap();
        }
        let (whole, good) = (fs::read(&path).unwrap(), switches.positions().clone());
        for octet in 0..whole.len() {
            for bit in 0..8 {
                let mut bad = whole.clone();
                bad[octet] ^= 1 << bit;
                let (found, damage) = replay(&bad);
                let stops = matches!(damage, Damage::Inside(_));
                assert!(stops || found.sources == good.sources, "octet {octet} bit {bit}");
                let kept = found.sources.len();
                assert!(kept >= 2, "octet {octet} bit {bit}: only {kept} switches kept");
            }
        }
    }

    #[test]
    fn a_strange_file_stops_the_gateway_and_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switches");
        fs::write(&path, b"something else").unwrap();
        let (switches, findings) = open(&path);
        assert!(switches.positions().stopped.is_some());
        assert_eq!(findings.len(), 1);
        assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), b"something else");
    }
}
