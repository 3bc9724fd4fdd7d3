//! The audit log: one JSON line for every deed, each chained to the one before by SHA-256.
//!
//! ```text
//! audit.jsonl          records 1, 2, 3, ..
//! audit.jsonl.head     number and hash of the last one, so that a cut tail is seen
//! audit.jsonl.1, .2    older files, the chain goes on through them
//! ```
//!
//! The line is written and synced, then the head. A crash in between leaves a head that is one
//! record behind, which is repaired at the next start; a line without its end was never
//! acknowledged and is cut off. Everything else that does not fit is reported and never repaired.
//!
//! Who can write the folder can also forge a whole chain; forwarding the journal, where every deed
//! is told as a fact, to another machine is the defence against that.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::limits::AUDIT_FILE_OCTETS_MAX;
use crate::base::time::WallTime;
use crate::event::deed::{Deed, Recorded, Verification};

/// The hash before the first record.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Longest line; a deed is about 300 octets, a selection of a thousand ids 30 KB.
const LINE_OCTETS_MAX: u64 = 256 * 1024;

/// What the head file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seq: u64,
    hash: String,
}

/// What was found when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Records so far.
    pub records: u64,
    /// What was repaired, or does not fit; for the journal. Empty: all is well.
    pub findings: Vec<String>,
}

/// The log, open for appending. One per daemon, behind a mutex.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: File,
    octets: u64,
    head: Head,
}

impl Audit {
    /// Opens or creates the log at `path`. An unfinished last line is cut off and said.
    ///
    /// # Errors
    /// The folder or the file cannot be used.
    pub fn open(path: &Path) -> Result<(Self, Opening), Fault> {
        let fault =
            |cause: std::io::Error| Fault::new("opening the audit log", path.display(), cause);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(fault)?;
        let mut findings = Vec::new();
        let (last, good_octets, octets) = last_record(&mut file).map_err(fault)?;
        if good_octets < octets {
            file.set_len(good_octets).map_err(fault)?;
            file.sync_all().map_err(fault)?;
            findings
                .push(format!("{} octets of an unfinished record cut off", octets - good_octets));
        }
        let kept = read_head(path);
        // An empty file goes on where the file before it ended.
        let last = last.or_else(|| if good_octets == 0 { older_last(path) } else { None });
        let head = settle(last, kept.clone(), &mut findings);
        let audit = Self { path: path.to_owned(), file, octets: good_octets, head };
        if kept.as_ref() != Some(&audit.head)
            && let Err(fault) = audit.write_head()
        {
            // A full disk must not keep the daemon from starting.
            findings.push(fault.to_string());
        }
        let opening = Opening { records: audit.head.seq, findings };
        Ok((audit, opening))
    }

    /// Where the log is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a deed; durable when it returns.
    ///
    /// # Errors
    /// The disk fails or is full. The log is as it was before.
    pub fn record(&mut self, time: WallTime, deed: Deed) -> Result<u64, Fault> {
        if self.octets > AUDIT_FILE_OCTETS_MAX {
            self.rotate()?;
        }
        let mut recorded = Recorded {
            seq: self.head.seq + 1,
            time,
            deed,
            prev: self.head.hash.clone(),
            hash: String::new(),
        };
        recorded.hash = hash(&recorded);
        let mut line = serde_json::to_vec(&recorded)
            .map_err(|e| Fault::new("recording", self.path.display(), e))?;
        line.push(b'\n');
        let wrote = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(cause) = wrote {
            // Cut a half line off, so that the next record does not stand behind it.
            let _ = self.file.set_len(self.octets);
            return Err(Fault::new("recording", self.path.display(), cause));
        }
        self.octets += line.len() as u64;
        self.head = Head { seq: recorded.seq, hash: recorded.hash };
        self.write_head()?;
        Ok(self.head.seq)
    }

    /// The newest `limit` records after skipping `offset`, newest first, and how many there are.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn newest(&self, offset: usize, limit: usize) -> Result<(Vec<Recorded>, u64), Fault> {
        let end = self.head.seq.saturating_sub(offset as u64);
        let start = end.saturating_sub(limit as u64);
        let mut rows = Vec::new();
        walk(&self.path, |line| {
            if let Ok(recorded) = serde_json::from_slice::<Recorded>(line)
                && recorded.seq > start
                && recorded.seq <= end
            {
                rows.push(recorded);
            }
            true
        })?;
        rows.reverse();
        Ok((rows, self.head.seq))
    }

    /// Starts a new file; the full one becomes `.1`, `.2`, ... in the order of their age.
    fn rotate(&mut self) -> Result<(), Fault> {
        let fault = |cause| Fault::new("continuing the audit log", self.path.display(), cause);
        let number = older(&self.path).last().map_or(1, |(number, _)| number + 1);
        fs::rename(&self.path, numbered(&self.path, number)).map_err(fault)?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600);
        self.file = options.open(&self.path).map_err(fault)?;
        sync_folder(&self.path).map_err(fault)?;
        self.octets = 0;
        Ok(())
    }

    fn write_head(&self) -> Result<(), Fault> {
        let fault = |cause| Fault::new("writing the head of", self.path.display(), cause);
        let text = serde_json::to_vec(&self.head).map_err(std::io::Error::other).map_err(fault)?;
        let (head, new) = (suffixed(&self.path, "head"), suffixed(&self.path, "head.new"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(fault)?;
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(fault)?;
        fs::rename(&new, &head).map_err(fault)?;
        sync_folder(&self.path).map_err(fault)
    }
}

/// Checks the whole log at `path`: every hash, every number, and the head.
///
/// # Errors
/// A file cannot be read.
pub fn verify(path: &Path) -> Result<Verification, Fault> {
    let (mut seq, mut prev, mut bad) = (0_u64, GENESIS.to_owned(), None);
    walk(path, |line| match check_line(line, seq + 1, &prev) {
        Ok(recorded) => {
            (seq, prev) = (recorded.seq, recorded.hash);
            true
        }
        Err(finding) => {
            bad = Some(finding);
            false
        }
    })?;
    if bad.is_none() {
        bad = match read_head(path) {
            Some(head) if head.seq == seq && head.hash == prev => None,
            Some(head) if head.seq > seq => Some(format!(
                "the last {} records are missing (the head knows record {})",
                head.seq - seq,
                head.seq
            )),
            None if seq == 0 => None,
            Some(_) => Some("the head does not fit the last record".to_owned()),
            None => Some("the head file is missing or unreadable".to_owned()),
        };
    }
    Ok(Verification {
        records: seq,
        good: bad.is_none(),
        first_bad: bad.is_some().then_some(seq + 1),
        finding: bad.unwrap_or_else(|| format!("all {seq} records are as they were written")),
    })
}

fn check_line(line: &[u8], expected: u64, prev: &str) -> Result<Recorded, String> {
    let recorded: Recorded = serde_json::from_slice(line)
        .map_err(|e| format!("record {expected} cannot be read: {e}"))?;
    if recorded.seq != expected {
        return Err(format!("record {expected} is missing; {} stands there", recorded.seq));
    }
    if recorded.prev != prev {
        return Err(format!("record {expected} does not follow the one before it"));
    }
    if recorded.hash != hash(&recorded) {
        return Err(format!("record {expected} was altered"));
    }
    Ok(recorded)
}

/// SHA-256 over the parts of a record, each with its length before it, so that no two records
/// have the same octets.
fn hash(recorded: &Recorded) -> String {
    let Deed { actor, origin, action, subject, outcome } = &recorded.deed;
    let mut octets = b"postern-audit-1".to_vec();
    octets.extend(recorded.seq.to_be_bytes());
    octets.extend(recorded.time.0.to_be_bytes());
    for part in [actor, origin, action, subject, outcome, &recorded.prev] {
        octets.extend((part.len() as u64).to_be_bytes());
        octets.extend(part.as_bytes());
    }
    let digest = digest(&SHA256, &octets);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, octet| {
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

/// The head from the last record and the head file.
fn settle(last: Option<Recorded>, kept: Option<Head>, findings: &mut Vec<String>) -> Head {
    let last = last.map_or_else(
        || Head { seq: 0, hash: GENESIS.to_owned() },
        |recorded| Head { seq: recorded.seq, hash: recorded.hash },
    );
    match kept {
        Some(kept) if kept == last => last,
        // The crash came between line and head: the line is good, it is the next one.
        Some(kept) if kept.seq + 1 == last.seq => {
            findings.push(format!("the head was one record behind {}", last.seq));
            last
        }
        None if last.seq <= 1 => last,
        None => {
            findings.push("the head file was missing; run `postern audit verify`".to_owned());
            last
        }
        // The log is shorter than it was. Go on from the head, so that the gap stays to be seen.
        Some(kept) if kept.seq > last.seq => {
            findings.push(format!(
                "records {} to {} are missing; run `postern audit verify`",
                last.seq + 1,
                kept.seq
            ));
            kept
        }
        Some(_) => {
            findings.push("the head does not fit; run `postern audit verify`".to_owned());
            last
        }
    }
}

/// The last whole record of `file`, the octets up to its end, and the octets of the file.
fn last_record(file: &mut File) -> std::io::Result<(Option<Recorded>, u64, u64)> {
    let octets = file.seek(SeekFrom::End(0))?;
    let start = octets.saturating_sub(2 * LINE_OCTETS_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(2 * LINE_OCTETS_MAX).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|octet| *octet == b'\n') else {
        return Ok((None, start, octets));
    };
    let begin = tail[..end].iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
    let last = serde_json::from_slice(&tail[begin..end]).ok();
    Ok((last, start + end as u64 + 1, octets))
}

/// The last record of the newest older file.
fn older_last(path: &Path) -> Option<Recorded> {
    let (_, newest) = older(path).pop()?;
    last_record(&mut File::open(newest).ok()?).ok()?.0
}

fn read_head(path: &Path) -> Option<Head> {
    serde_json::from_slice(&fs::read(suffixed(path, "head")).ok()?).ok()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    suffixed(path, &number.to_string())
}

/// Older files, the oldest first.
fn older(path: &Path) -> Vec<(u64, PathBuf)> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let prefix = path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix(&prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    files.sort_unstable();
    files
}

/// Hands every line of all files to `each`, the oldest first, until it says `false`.
fn walk(path: &Path, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Fault> {
    let files = older(path).into_iter().map(|(_, path)| path).chain([path.to_owned()]);
    for file in files {
        let fault = |cause| Fault::new("reading the audit log", file.display(), cause);
        let mut reader = match File::open(&file) {
            Ok(open) => BufReader::new(open),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(fault(cause)),
        };
        loop {
            let mut line = Vec::new();
            let octets =
                (&mut reader).take(LINE_OCTETS_MAX).read_until(b'\n', &mut line).map_err(fault)?;
            if octets == 0 {
                break;
            }
            if !each(line.strip_suffix(b"\n").unwrap_or(&line)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(subject: &str) -> Deed {
        Deed {
            actor: "alice (uid 1001)".to_owned(),
            origin: "control socket, process 7".to_owned(),
            action: "source disable".to_owned(),
            subject: subject.to_owned(),
            outcome: "done: 17 messages".to_owned(),
        }
    }

    fn written(folder: &Path, records: u64) -> PathBuf {
        let path = folder.join("audit.jsonl");
        let (mut audit, _) = Audit::open(&path).unwrap();
        for n in 1..=records {
            assert_eq!(audit.record(WallTime(n), deed(&format!("source-{n}"))).unwrap(), n);
        }
        path
    }

    fn edit(path: &Path, change: impl Fn(Vec<String>) -> Vec<String>) -> Verification {
        let text = fs::read_to_string(path).unwrap();
        let lines = change(text.lines().map(str::to_owned).collect());
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        fs::write(path, text).unwrap();
        verify(path).unwrap()
    }

    #[test]
    fn an_honest_log_is_good_and_goes_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 5);
        let (mut audit, opening) = Audit::open(&path).unwrap();
        assert_eq!(opening, Opening { records: 5, findings: vec![] });
        audit.record(WallTime(9), deed("x")).unwrap();
        let found = verify(&path).unwrap();
        assert_eq!((found.records, found.good, found.first_bad), (6, true, None));
        let (rows, total) = audit.newest(1, 2).unwrap();
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [5, 4]);
        assert_eq!(total, 6);
    }

    #[test]
    fn every_edit_is_found_where_it_was_made() {
        type Edit = fn(Vec<String>) -> Vec<String>;
        let edits: [(&str, u64, Edit); 7] = [
            ("alter", 3, |mut l| {
                l[2] = l[2].replace("source-3", "source-4");
                l
            }),
            ("alter the time", 2, |mut l| {
                l[1] = l[1].replace("\"time\":2", "\"time\":3");
                l
            }),
            ("delete", 3, |mut l| {
                l.remove(2);
                l
            }),
            ("delete the first", 1, |mut l| {
                l.remove(0);
                l
            }),
            ("reorder", 2, |mut l| {
                l.swap(1, 2);
                l
            }),
            ("cut the tail", 4, |mut l| {
                l.truncate(3);
                l
            }),
            ("repeat", 3, |mut l| {
                l.insert(2, l[1].clone());
                l
            }),
        ];
        for (name, first_bad, change) in edits {
            let folder = tempfile::tempdir().unwrap();
            let path = written(folder.path(), 5);
            let found = edit(&path, change);
            assert_eq!((found.good, found.first_bad), (false, Some(first_bad)), "{name}");
        }
    }

    #[test]
    fn a_cut_tail_stays_visible_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 5);
        edit(&path, |mut lines| {
            lines.truncate(3);
            lines
        });
        let (mut audit, opening) = Audit::open(&path).unwrap();
        assert_eq!(opening.findings.len(), 1);
        assert_eq!(audit.record(WallTime(9), deed("x")).unwrap(), 6);
        assert_eq!(verify(&path).unwrap().first_bad, Some(4));
    }

    #[test]
    fn a_crash_at_any_octet_costs_only_the_unfinished_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 3);
        let whole = fs::read(&path).unwrap();
        let (first, head) = (written_octets(&whole, 2), read_head(&path).unwrap());
        for end in first..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            // The head of record 2: the line of record 3 was being written.
            let line = whole[..first].split(|b| *b == b'\n').rfind(|l| !l.is_empty()).unwrap();
            let two: Recorded = serde_json::from_slice(line).unwrap();
            let behind = Head { seq: two.seq, hash: two.hash };
            fs::write(suffixed(&path, "head"), serde_json::to_vec(&behind).unwrap()).unwrap();
            let (audit, opening) = Audit::open(&path).unwrap();
            assert_eq!(audit.head.seq, 2);
            assert_eq!(opening.findings.is_empty(), end == first, "{:?}", opening.findings);
            assert!(verify(&path).unwrap().good);
        }
        fs::write(&path, &whole).unwrap();
        let (audit, opening) = Audit::open(&path).unwrap();
        assert_eq!(audit.head, head);
        assert_eq!(opening.findings, ["the head was one record behind 3"]);
    }

    fn written_octets(whole: &[u8], lines: usize) -> usize {
        let ends = whole.iter().enumerate().filter(|(_, octet)| **octet == b'\n');
        ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap()
    }

    #[test]
    fn the_chain_goes_on_through_older_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 3);
        let (mut audit, _) = Audit::open(&path).unwrap();
        audit.rotate().unwrap();
        drop(audit);
        let (mut audit, opening) = Audit::open(&path).unwrap();
        assert_eq!(opening, Opening { records: 3, findings: vec![] });
        audit.record(WallTime(4), deed("x")).unwrap();
        audit.rotate().unwrap();
        audit.record(WallTime(5), deed("y")).unwrap();
        let found = verify(&path).unwrap();
        assert_eq!((found.records, found.good), (5, true));
        assert_eq!(audit.newest(0, 10).unwrap().0.len(), 5);
        fs::remove_file(numbered(&path, 1)).unwrap();
        assert_eq!(verify(&path).unwrap().first_bad, Some(1));
    }
}
