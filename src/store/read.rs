//! Reading stored messages back, and setting aside what cannot be read.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::segment::{self, Segment, place};
use super::shared::{Shared, lock};
use super::spool::{FetchError, Usage};
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::event::Event;
use crate::mail::stage::Parcel;
use crate::spool::index::Slot;
use crate::spool::record::{HEADER_OCTETS, Header, Kind, Stored, read_head};

/// A message may be copied on while it is read; twice in a row does not happen.
const READ_TRIES: usize = 3;

/// A message record as it was read.
pub(super) struct Read {
    pub(super) header: Header,
    pub(super) stored: Stored,
    pub(super) content: Bytes,
    pub(super) content_intact: bool,
}

/// Takes a record apart; `None` if its header or head is damaged.
pub(super) fn parse(octets: Vec<u8>, segment: Segment) -> Option<Read> {
    let header = Header::decode(&octets, segment.salt, segment.number)?;
    if header.kind != Kind::Message {
        return None;
    }
    let octets = Bytes::from(octets);
    let body = HEADER_OCTETS + usize::try_from(header.head_octets).ok()?;
    let head = octets.get(HEADER_OCTETS..body)?;
    if crc32fast::hash(head) != header.head_checksum {
        return None;
    }
    let stored = read_head(&header, head).ok()?;
    let end = body + usize::try_from(header.body_octets).ok()?;
    let content = octets.slice(body..end.min(octets.len()));
    let content_intact = octets.len() >= end && crc32fast::hash(&content) == header.body_checksum;
    Some(Read { header, stored, content, content_intact })
}

impl Shared {
    pub(super) fn slot(&self, id: QueueId) -> Option<Slot> {
        lock(&self.applied).index.slot(id)
    }

    /// Reads the octets of a record.
    pub(super) fn octets(&self, slot: Slot) -> std::io::Result<(Vec<u8>, Segment)> {
        let segment = lock(&self.segments).get(&slot.at.segment).copied();
        let segment = segment.ok_or(std::io::ErrorKind::NotFound)?;
        let path = segment.path(&self.ledger());
        Ok((segment::read(&path, slot.at.offset, slot.octets)?, segment))
    }

    /// Reads a message, wherever it has moved to.
    pub(super) fn read(&self, id: QueueId) -> Result<Parcel, FetchError> {
        let mut slot = self.slot(id).ok_or(FetchError::Unknown)?;
        for _ in 0..READ_TRIES {
            let read = self.octets(slot);
            let error = match read {
                Ok((octets, segment)) => match parse(octets, segment) {
                    Some(read) if read.header.id == id && read.content_intact => {
                        return Ok(read.stored.parcel(id, read.content));
                    }
                    _ => None,
                },
                Err(error) => Some(error),
            };
            let now = self.slot(id).ok_or(FetchError::Unknown)?;
            if now == slot {
                return Err(self.unreadable(id, slot, error));
            }
            slot = now;
        }
        let fault = Fault::new("reading the spool", id, "it moves faster than it can be read");
        Err(FetchError::Fault(fault))
    }

    fn unreadable(&self, id: QueueId, slot: Slot, error: Option<std::io::Error>) -> FetchError {
        let transient = error.filter(|error| {
            use std::io::ErrorKind::{NotFound, OutOfMemory, PermissionDenied};
            let descriptors = error.raw_os_error() == Some(24) || error.raw_os_error() == Some(23);
            let kind = error.kind();
            descriptors || matches!(kind, OutOfMemory | PermissionDenied) && kind != NotFound
        });
        if let Some(error) = transient {
            return FetchError::Fault(Fault::new("reading the spool", id, error));
        }
        let read = self.octets(slot).ok();
        let known = read.and_then(|(octets, segment)| {
            self.keep_damaged(slot.at.segment, slot.at.offset, &octets);
            let read = parse(octets, segment).filter(|read| read.header.id == id)?;
            Some(Box::new((read.stored.label, read.stored.envelope)))
        });
        (self.tell)(Event::RecordQuarantined {
            id: Some(id),
            place: place(slot.at.segment, slot.at.offset),
            reason: "the stored message is damaged".into(),
        });
        FetchError::Damaged(known)
    }

    /// Keeps damaged octets for a person to look at. Not worth an error.
    pub(super) fn keep_damaged(&self, segment: u32, offset: u32, octets: &[u8]) {
        let path = self.quarantine().join(format!("{segment:08x}-{offset:08x}.damaged"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        drop(file.and_then(|mut file| file.write_all(octets)));
    }

    /// Copies a message, damaged or not, to the quarantine folder; returns its open recipients.
    pub(super) fn set_aside(&self, id: QueueId) -> Result<Vec<u16>, FetchError> {
        let open = lock(&self.applied).index.open(id);
        let parcel = match self.read(id) {
            Ok(parcel) => parcel,
            // Its octets were put there when it was read.
            Err(FetchError::Damaged(_)) => return Ok(open),
            Err(error) => return Err(error),
        };
        let folder = self.quarantine();
        write_parcel(&folder, &parcel)
            .and_then(|()| self.disk.sync_folder(&folder))
            .map_err(|error| FetchError::Fault(Fault::new("setting aside", id, error)))?;
        Ok(open)
    }

    pub(super) fn usage(&self) -> Usage {
        let (segments, octets) = {
            let segments = lock(&self.segments);
            (segments.len() as u64, segments.values().map(|segment| segment.octets).sum())
        };
        let applied = lock(&self.applied);
        Usage {
            live: applied.index.len() as u64,
            live_octets: applied.index.octets(),
            segments,
            octets,
            free_octets: self.gauge.free_octets(),
            sync_micros: self.gauge.sync_micros(),
            since_sync: self.gauge.since_sync(),
            ballast: self.ballast.load(Relaxed),
        }
    }

    pub(super) fn adopt_segments(&self, old: &BTreeMap<u32, Segment>) {
        *lock(&self.segments) = old.clone();
        if let Some(first) = old.keys().next() {
            self.floor.store(*first, Relaxed);
        }
    }

    /// A reserve of an earlier run counts, unless a whole one can be had in its place.
    pub(super) fn adopt_ballast(&self) {
        let octets = std::fs::metadata(self.ballast_path()).map_or(0, |meta| meta.len());
        self.ballast.store(octets > 0 && octets >= self.config.ballast_octets, Relaxed);
        self.take_ballast();
        if octets > 0 && self.ballast_path().exists() {
            self.ballast.store(true, Relaxed);
        }
    }
}

/// Writes `ID.eml` and `ID.json` (label and envelope), synced.
pub(super) fn write_parcel(folder: &Path, parcel: &Parcel) -> std::io::Result<()> {
    let about = serde_json::json!({
        "id": parcel.id.to_string(),
        "label": parcel.label,
        "envelope": parcel.envelope,
    });
    let about = serde_json::to_vec_pretty(&about).map_err(std::io::Error::other)?;
    write_file(&folder.join(format!("{}.eml", parcel.id)), &parcel.content)?;
    write_file(&folder.join(format!("{}.json", parcel.id)), &about)
}

fn write_file(path: &Path, octets: &[u8]) -> std::io::Result<()> {
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open.open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}
