//! The segment that is being written.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::disk::is_full;
use super::segment::Segment;
use super::shared::{Shared, lock};
use crate::base::id::QueueId;
use crate::base::limits::PREALLOCATE_OCTETS;
use crate::spool::custody::Synced;
use crate::spool::record::{Draft, End, HEADER_OCTETS, Kind, Opening, Place, Position};

/// Groups end on a whole block, so that the kernel never reads a block before it writes it.
const BLOCK_OCTETS: u64 = 4096;
static PADDING: [u8; 4096] = [0; 4096];

/// Room for the record that opens a segment.
const OPENING_OCTETS: u64 = 128;

/// Why a group was not made durable.
#[derive(Debug)]
pub(super) enum WriteError {
    /// No room. Nothing of the group counts. If it is `torn`, some of it has reached the file, so
    /// the segment must end where it ended before.
    Full {
        /// Octets of the group may stand in the file.
        torn: bool,
    },
    /// Anything else: the ledger must not be trusted with more.
    Broken(String),
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    file: File,
    segment: Segment,
    /// End of the last durable record.
    tail: u64,
    records: u32,
    allocated: u64,
    capacity: u64,
    previous: Option<End>,
}

impl Active {
    /// Creates the next segment, large enough for `octets`. Nothing of it is durable before the
    /// first group is.
    pub(super) fn create(
        shared: &Shared,
        number: u32,
        octets: u64,
        previous: Option<End>,
    ) -> Result<Self, WriteError> {
        let segment = Segment::new(number);
        let path = segment.path(&shared.ledger());
        let file = shared.disk.create(&path).map_err(|error| fault("creating", &error, false))?;
        lock(&shared.segments).insert(number, segment);
        let capacity = shared.disk.segment_octets().max(octets + OPENING_OCTETS + BLOCK_OCTETS);
        Ok(Self { file, segment, tail: 0, records: 0, allocated: 0, capacity, previous })
    }

    /// Whether a record of `octets` fits behind `planned` octets more.
    pub(super) fn fits(&self, planned: u64, octets: u64) -> bool {
        let opening = if self.records == 0 { OPENING_OCTETS } else { 0 };
        self.tail + opening + planned + octets <= self.capacity
    }

    pub(super) fn end(&self) -> End {
        End { segment: self.segment.number, records: self.records, offset: narrow(self.tail) }
    }

    /// Gives back what was reserved and not used. Not worth an error.
    pub(super) fn trim(&self, shared: &Shared) {
        let octets = self.tail.next_multiple_of(BLOCK_OCTETS);
        if octets < self.allocated && self.file.set_len(octets).is_ok() {
            self.note_octets(shared, octets);
        }
    }

    fn note_octets(&self, shared: &Shared, octets: u64) {
        let segment = Segment { octets, ..self.segment };
        lock(&shared.segments).insert(self.segment.number, segment);
    }

    /// Writes a group and syncs it, once. Returns the proof and where each record begins.
    pub(super) fn write(
        &mut self,
        shared: &Shared,
        drafts: &[&Draft],
    ) -> Result<(Synced, Vec<Position>), WriteError> {
        let opening = self.opening(shared)?;
        let group: Vec<&Draft> = opening.iter().chain(drafts.iter().copied()).collect();
        let covered = narrow(self.tail);
        let mut headers = Vec::with_capacity(group.len());
        let mut places = Vec::with_capacity(group.len());
        let (mut end, mut index) = (self.tail, self.records);
        for draft in &group {
            let place = Place { segment: self.segment.number, index, covered };
            headers.push(draft.header(self.segment.salt, place));
            places.push(Position { segment: self.segment.number, offset: narrow(end) });
            end += draft.octets();
            index += 1;
        }
        self.reserve(shared, end)?;
        let padding = usize::try_from(end.next_multiple_of(BLOCK_OCTETS) - end).unwrap_or(0);
        let mut slices = slices(&headers, &group);
        slices.push(IoSlice::new(&PADDING[..padding]));
        write_all(shared, &self.file, &mut slices, self.tail)?;
        let synced = self.sync(shared, end)?;
        (self.tail, self.records) = (end, index);
        let skip = usize::from(opening.is_some());
        Ok((synced, places.split_off(skip)))
    }

    fn opening(&self, shared: &Shared) -> Result<Option<Draft>, WriteError> {
        if self.records != 0 {
            return Ok(None);
        }
        let head = Opening { floor: shared.floor.load(Relaxed), previous: self.previous };
        let draft = Draft::new(Kind::Opening, QueueId(0), &head, bytes::Bytes::new());
        draft.map(Some).map_err(|error| WriteError::Broken(error.to_string()))
    }

    fn sync(&self, shared: &Shared, end: u64) -> Result<Synced, WriteError> {
        let through = Position { segment: self.segment.number, offset: narrow(end) };
        let start = Instant::now();
        let synced = Synced::by(through, || {
            shared.disk.sync(&self.file)?;
            if self.records == 0 {
                // The name of a new segment has to survive as well.
                shared.disk.sync_folder(&shared.ledger())?;
            }
            Ok(())
        });
        shared.gauge.synced(start.elapsed());
        synced.map_err(|error| WriteError::Broken(format!("syncing the ledger: {error}")))
    }

    /// Reserves room up to `end`: a generous step if there is room for it, else less of it.
    fn reserve(&mut self, shared: &Shared, end: u64) -> Result<(), WriteError> {
        let needed = end.next_multiple_of(BLOCK_OCTETS);
        if needed <= self.allocated {
            return Ok(());
        }
        let generous = (self.allocated + PREALLOCATE_OCTETS).min(self.capacity).max(needed);
        let mut spare = generous - needed;
        loop {
            let goal = (needed + spare).next_multiple_of(BLOCK_OCTETS);
            match shared.disk.allocate(&self.file, self.allocated, goal - self.allocated) {
                Ok(()) => {
                    self.allocated = goal;
                    self.note_octets(shared, goal);
                    return Ok(());
                }
                Err(error) if is_full(&error) && spare == 0 => break,
                // Half as much to spare, at last nothing.
                Err(error) if is_full(&error) => {
                    spare = if spare > BLOCK_OCTETS { spare / 2 } else { 0 };
                }
                Err(error) => return Err(fault("reserving room for", &error, false)),
            }
        }
        Err(WriteError::Full { torn: false })
    }
}

fn slices<'a>(headers: &'a [[u8; HEADER_OCTETS]], group: &[&'a Draft]) -> Vec<IoSlice<'a>> {
    let mut slices = Vec::with_capacity(group.len() * 3 + 1);
    for (header, draft) in headers.iter().zip(group) {
        slices.push(IoSlice::new(header));
        slices.push(IoSlice::new(&draft.head));
        if !draft.body.is_empty() {
            slices.push(IoSlice::new(&draft.body));
        }
    }
    slices
}

fn write_all(
    shared: &Shared,
    file: &File,
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
) -> Result<(), WriteError> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match shared.disk.write(file, slices, offset) {
            Ok(0) => return Err(WriteError::Broken("writing the ledger: nothing written".into())),
            Ok(written) => {
                IoSlice::advance_slices(&mut slices, written);
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault("writing", &error, true)),
        }
    }
    Ok(())
}

fn fault(doing: &str, error: &io::Error, torn: bool) -> WriteError {
    if is_full(error) {
        WriteError::Full { torn }
    } else {
        WriteError::Broken(format!("{doing} the ledger: {error}"))
    }
}

fn narrow(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
