//! The thread behind the ledger: it recovers at the start, lets the state follow on its beat, and
//! gives segments back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use super::committer::Request;
use super::read::parse;
use super::recover::{self, Hand, META};
use super::segment::Segment;
use super::shared::{Shared, lock};
use super::state::{Changes, State, StateError};
use crate::base::id::QueueId;
use crate::base::limits::{COPY_OCTETS_MAX, PREALLOCATE_OCTETS, STATE_BEAT, STATE_OCTETS_MIN};
use crate::event::Event;
use crate::mail::queued::{Change, Queued, Settlement};
use crate::spool::index::{Dirty, Slot};
use crate::spool::record::{Carried, Draft, End, Freed, Header, Kind, Stored};
use crate::spool::state::{
    Live, Meta, PageKey, Touch, encode, fingerprint, page_of, read_page, touch,
};

/// How long a state that could not be written waits for the next try.
const REBUILD_WAIT: Duration = Duration::from_secs(10);

/// Used octets of the active segment that are worth a new one when nothing lives any more.
const TRIM_OCTETS: u32 = 1024 * 1024;

/// The keeping thread's own.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    requests: Sender<Request>,
    old: BTreeMap<u32, Segment>,
    state: Option<Box<dyn State>>,
    meta: Meta,
    /// When the state failed last.
    failed: Option<Instant>,
    /// When the ledger was read for want of a state last.
    read: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(
        shared: Arc<Shared>,
        requests: Sender<Request>,
        old: BTreeMap<u32, Segment>,
    ) -> Self {
        Self { shared, requests, old, state: None, meta: Meta::default(), failed: None, read: None }
    }

    /// Recovers, then serves until the spool is closed.
    pub(super) fn run(mut self, batches: tokio::sync::mpsc::Sender<Vec<Queued>>) {
        self.recover(&batches);
        drop(batches);
        if self.shared.bell.is_closing() || self.shared.gauge.is_latched() {
            // What was not read to its end must not be written down as the truth.
            return;
        }
        let mut busy = true;
        loop {
            let patience = busy.then_some(STATE_BEAT);
            let rung = self.shared.bell.wait(patience, STATE_BEAT);
            if self.shared.gauge.is_latched() {
                return;
            }
            self.beat();
            if rung.close {
                return;
            }
            busy = self.maintain();
        }
    }

    fn recover(&mut self, batches: &tokio::sync::mpsc::Sender<Vec<Queued>>) {
        let start = Instant::now();
        let shared = Arc::clone(&self.shared);
        let segments = std::mem::take(&mut self.old);
        if let Err(error) = recover::sync_old(&shared, &segments) {
            shared.latch(&format!("syncing what an earlier run wrote: {error}"));
            return;
        }
        let state_folder = shared.config.path.join("state");
        let fresh = segments.is_empty() && !state_folder.exists();
        let mut hand = Hand::new(&shared, Some(batches));
        let loaded = recover::load(&shared, &segments);
        let followed = loaded.and_then(|(state, meta)| {
            let (floor, end) = recover::follow(&shared, &segments, &state, meta, &mut hand)?;
            Ok((state, meta, floor, end))
        });
        let (floor, end, words) = match followed {
            Ok((state, meta, floor, end)) => {
                self.state = Some(Box::new(state));
                self.meta = meta;
                (floor, end, "followed")
            }
            Err(error) => {
                if fresh {
                    // Nothing was there, so nothing is worth keeping.
                    recover::remove(&state_folder);
                }
                let (floor, end) = self.start_over(&segments, &error, &mut hand);
                (floor, end, if fresh { "new" } else { "rebuilt" })
            }
        };
        hand.flush();
        shared.floor.fetch_max(floor, Relaxed);
        lock(&shared.applied).index.recovered();
        self.trim_old(&segments, end);
        self.note_end(end);
        let live = lock(&shared.applied).index.len() as u64;
        (shared.tell)(Event::SpoolOpened {
            live,
            segments: segments.len() as u64,
            state: words.to_owned(),
            millis: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }

    fn start_over(
        &mut self,
        segments: &BTreeMap<u32, Segment>,
        error: &StateError,
        hand: &mut Hand<'_>,
    ) -> (u32, End) {
        if *error == StateError::Full {
            recover::remove(&self.shared.config.path.join("state"));
        } else {
            recover::set_state_aside(&self.shared.config.path);
        }
        let rebuilt = recover::rebuild(&self.shared, segments, None, hand);
        if !segments.is_empty() {
            (self.shared.tell)(Event::StateRebuilt {
                reason: error.to_string(),
                records: rebuilt.meta.count,
            });
        }
        self.meta = rebuilt.meta;
        match rebuilt.state {
            Some(state) => self.state = Some(Box::new(state)),
            None => self.lose_state(),
        }
        (rebuilt.floor, rebuilt.end)
    }

    /// On a full disk, what a crash left reserved and unused is given back.
    fn trim_old(&self, segments: &BTreeMap<u32, Segment>, end: End) {
        let Some(segment) = segments.get(&end.segment) else { return };
        let octets = u64::from(end.offset).next_multiple_of(4096);
        if self.shared.gauge.health() != super::Health::Full || segment.octets <= octets {
            return;
        }
        let file = std::fs::File::options().write(true).open(segment.path(&self.shared.ledger()));
        if file.and_then(|file| file.set_len(octets)).is_ok() {
            lock(&self.shared.segments).insert(end.segment, Segment { octets, ..*segment });
        }
    }

    /// Where a crash left the last segment is written down, so that a later loss of its end is
    /// noticed.
    fn note_end(&self, end: End) {
        if end.records > 0 {
            self.note(Kind::Ended, &vec![end]);
        }
    }

    /// A record about the ledger itself; returns whether it is durable.
    fn note(&self, kind: Kind, head: &impl serde::Serialize) -> bool {
        let Ok(draft) = Draft::new(kind, QueueId(0), head, bytes::Bytes::new()) else {
            return false;
        };
        let (answer, answered) = mpsc::channel();
        let sent = self.requests.send(Request::Note { draft, answer });
        sent.is_ok() && answered.recv().unwrap_or(false)
    }

    fn lose_state(&mut self) {
        self.state = None;
        self.failed = Some(Instant::now());
        lock(&self.shared.applied).index.track(false);
    }

    /// The state follows the ledger.
    fn beat(&mut self) {
        if self.state.is_none() {
            self.rebuild_if_due();
            return;
        }
        let (dirty, through, records) = {
            let mut applied = lock(&self.shared.applied);
            if !applied.index.has_dirty() && applied.through <= self.meta.through {
                return;
            }
            (applied.index.take_dirty(), applied.through, applied.records)
        };
        let mut meta = self.meta;
        if through.segment != 0 {
            (meta.through, meta.records) = (through, records);
        }
        if let Err(error) = self.write_state(dirty, meta) {
            (self.shared.tell)(Event::FaultSeen {
                room: "spool".into(),
                fault: format!("writing the state: {error}; it will be rebuilt"),
            });
            self.lose_state();
        }
    }

    fn write_state(
        &mut self,
        dirty: HashMap<QueueId, Dirty>,
        mut meta: Meta,
    ) -> Result<(), StateError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let mut pages: BTreeMap<PageKey, Vec<Edit>> = BTreeMap::new();
        let mut edit = |at, edit| pages.entry(page_of(at)).or_default().push(edit);
        for (id, dirty) in dirty {
            match dirty {
                Dirty::Fresh(live) => edit(live.at, Edit::Put(live)),
                Dirty::Moved(live, from) => {
                    edit(from, Edit::Remove(id));
                    edit(live.at, Edit::Put(live));
                }
                Dirty::Touched(at, touches) => edit(at, Edit::Touch(id, touches)),
                Dirty::Gone(at) => edit(at, Edit::Remove(id)),
            }
        }
        let mut changes: Changes = Vec::with_capacity(pages.len() + 1);
        for (key, edits) in pages {
            let old = state.get(&key)?;
            let mut page = match &old {
                Some(old) => read_page(&key, old).ok_or_else(|| broken("reading"))?,
                None => Vec::new(),
            };
            if let Some(old) = &old {
                meta.count = meta.count.saturating_sub(page.len() as u64);
                meta.digest = meta.digest.wrapping_sub(fingerprint(&key, old));
            }
            for edit in edits {
                edit.apply(&mut page).ok_or_else(|| broken("finding"))?;
            }
            let mut value = None;
            if !page.is_empty() {
                let octets = encode(&key, &page).ok_or_else(|| broken("encoding"))?;
                meta.count += page.len() as u64;
                meta.digest = meta.digest.wrapping_add(fingerprint(&key, &octets));
                value = Some(octets);
            }
            changes.push((key.to_vec(), value));
        }
        let own = encode(META, &meta).ok_or_else(|| broken("encoding"))?;
        changes.push((META.to_vec(), Some(own)));
        state.apply(changes)?;
        state.flush()?;
        self.meta = meta;
        Ok(())
    }

    fn rebuild_if_due(&mut self) {
        if self.failed.is_some_and(|failed| failed.elapsed() < REBUILD_WAIT) {
            return;
        }
        recover::set_state_aside(&self.shared.config.path);
        let (segments, until) = self.track_from_here();
        let mut hand = Hand::new(&self.shared, None);
        let rebuilt = recover::rebuild(&self.shared, &segments, until, &mut hand);
        let Some(state) = rebuilt.state else { return self.lose_state() };
        self.state = Some(Box::new(state));
        self.meta = rebuilt.meta;
        let reason = "it could not be written".to_owned();
        (self.shared.tell)(Event::StateRebuilt { reason, records: rebuilt.meta.count });
    }

    /// Gives back what is not needed. Returns whether there is more to do soon.
    fn maintain(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        shared.measure();
        let room = shared.config.free_octets_min.saturating_add(PREALLOCATE_OCTETS);
        let full = shared.gauge.health() == super::Health::Full;
        if shared.gauge.free_octets() >= room {
            shared.gauge.set_full(false);
            shared.tell_health();
        }
        shared.take_ballast();
        self.shrink_state();
        let freed = self.free_segments();
        let copied = self.copy_survivors();
        let trimmed = self.trim();
        full || freed || copied || trimmed || self.state.is_none()
    }

    /// sled never gives space back: when it has grown out of all proportion, it is written anew.
    fn shrink_state(&mut self) {
        let Some(state) = &self.state else { return };
        let due = STATE_OCTETS_MIN.saturating_add(self.meta.count.saturating_mul(2048));
        if state.octets() > due {
            self.lose_state();
            self.failed = None;
            self.beat();
        }
    }

    /// Oldest segments in which nothing lives: said in the ledger first, unlinked then.
    fn free_segments(&mut self) -> bool {
        let floor = {
            let applied = lock(&self.shared.applied);
            let here = applied.through.segment;
            applied.index.floor().map_or(here, |floor| floor.min(here))
        };
        let doomed: Vec<Segment> =
            lock(&self.shared.segments).range(..floor).map(|(_, segment)| *segment).collect();
        if doomed.is_empty() || !self.note(Kind::Freed, &Freed { floor }) {
            return false;
        }
        self.shared.floor.fetch_max(floor, Relaxed);
        let ledger = self.shared.ledger();
        for segment in doomed {
            if self.shared.disk.unlink(&segment.path(&ledger)).is_ok() {
                lock(&self.shared.segments).remove(&segment.number);
            }
        }
        true
    }

    /// The few survivors of the oldest segment are copied on, so that it can be given back.
    fn copy_survivors(&mut self) -> bool {
        let (oldest, total) = {
            let segments = lock(&self.shared.segments);
            let total: u64 = segments.values().map(|segment| segment.octets).sum();
            (segments.values().next().copied(), total)
        };
        let Some(oldest) = oldest else { return false };
        let segment_octets = self.shared.disk.segment_octets();
        let (tally, live, here, places) = {
            let applied = lock(&self.shared.applied);
            let tally = applied.index.tally(oldest.number);
            let here = applied.through.segment;
            let few = tally.octets <= oldest.octets / 4;
            let crowded = total > applied.index.octets() * 2 + 2 * segment_octets;
            if oldest.number >= here || tally.messages == 0 || !(few || crowded) {
                return false;
            }
            (tally, applied.index.octets(), here, applied.index.places(oldest.number))
        };
        debug_assert!(tally.octets <= live && oldest.number < here);
        let known = match &self.state {
            Some(state) => Known::State(state.as_ref()),
            // No room for a state is no reason to keep a segment for the sake of a few messages:
            // the ledger knows as well.
            None if self.read.is_some_and(|read| read.elapsed() < REBUILD_WAIT) => return false,
            None => {
                self.read = Some(Instant::now());
                let (segments, until) = self.track_from_here();
                Known::Ledger(recover::read(&self.shared, &segments, until, false).touches)
            }
        };
        let mut copied = false;
        let mut pending = Vec::new();
        let mut octets = 0;
        for (at, size) in places {
            octets += u64::from(size);
            pending.extend(self.copy(&known, Slot::bare(at, size)));
            if octets >= COPY_OCTETS_MAX {
                octets = 0;
                copied |= settle_copies(&mut pending);
            }
        }
        copied |= settle_copies(&mut pending);
        if self.state.is_none() {
            lock(&self.shared.applied).index.track(false);
        }
        copied
    }

    /// From here on the index remembers what changes; the segments up to here, and their end.
    fn track_from_here(&self) -> (BTreeMap<u32, Segment>, Option<End>) {
        let mut applied = lock(&self.shared.applied);
        applied.index.track(true);
        let (through, records) = (applied.through, applied.records);
        let mut segments = lock(&self.shared.segments).clone();
        if through.segment == 0 {
            return (segments, None);
        }
        segments.retain(|number, _| *number <= through.segment);
        let until = End { segment: through.segment, records, offset: through.offset };
        (segments, Some(until))
    }

    fn copy(&self, known: &Known<'_>, slot: Slot) -> Option<mpsc::Receiver<bool>> {
        let (octets, segment) = self.shared.octets(slot).ok()?;
        let Some(read) = parse(octets, segment) else {
            self.give_up(segment, slot);
            return None;
        };
        let id = read.header.id;
        let queued = known.queued(id, slot, &read.stored, read.content.len() as u64)?;
        let carried = Some(Carried::of(&queued));
        let stored = Stored { carried, settles: Vec::new(), ..read.stored };
        // A damaged content stays damaged: its old checksum goes with it.
        let draft = Draft::new(Kind::Message, id, &stored, read.content).ok()?;
        let draft = draft.with_body_checksum(read.header.body_checksum);
        let (answer, answered) = mpsc::channel();
        self.requests.send(Request::Copy { draft, queued, from: slot.at, answer }).ok()?;
        Some(answered)
    }

    /// A survivor whose envelope cannot be read any more: its octets are kept for a person, and
    /// its segment is not kept for its sake.
    fn give_up(&self, segment: Segment, slot: Slot) {
        if let Ok((octets, _)) = self.shared.octets(slot) {
            self.shared.keep_damaged(segment.number, slot.at.offset, &octets);
        }
        let Some(id) = self.name_of(segment, slot) else { return };
        let open = lock(&self.shared.applied).index.open(id);
        (self.shared.tell)(Event::RecordQuarantined {
            id: Some(id),
            place: super::segment::place(segment.number, slot.at.offset),
            reason: "its envelope is damaged; nobody can be told".into(),
        });
        let settlement = Settlement::Purged;
        let purge = |recipient| Change::Settled { id, recipient, settlement: settlement.clone() };
        let changes = open.into_iter().map(purge).collect();
        drop(self.requests.send(Request::Record { changes, answer: None }));
    }

    /// The message at a place: its header says so, or else the state.
    fn name_of(&self, segment: Segment, slot: Slot) -> Option<QueueId> {
        let (octets, _) = self.shared.octets(slot).ok()?;
        if let Some(header) = Header::decode(&octets, segment.salt, segment.number) {
            return Some(header.id);
        }
        let key = page_of(slot.at);
        let page = read_page(&key, &self.state.as_ref()?.get(&key).ok()??)?;
        page.into_iter().find(|live| live.at == slot.at).map(|live| live.queued.id)
    }

    /// Nothing lives: the active segment is left, so that it can be given back as well.
    fn trim(&self) -> bool {
        let worth = {
            let applied = lock(&self.shared.applied);
            applied.index.is_empty() && applied.through.offset > TRIM_OCTETS
        };
        let idle = self.shared.gauge.since_sync().is_some_and(|since| since > STATE_BEAT);
        if !worth || !idle {
            return worth;
        }
        let (answer, answered) = mpsc::channel();
        let sent = self.requests.send(Request::Rotate { answer });
        sent.is_ok()
            && answered.recv().unwrap_or(false)
            && self.note(Kind::Freed, &Freed { floor: self.shared.floor.load(Relaxed) })
    }
}

/// Who knows the present state of a message.
enum Known<'a> {
    State(&'a dyn State),
    Ledger(HashMap<QueueId, Vec<Touch>>),
}

impl Known<'_> {
    fn queued(&self, id: QueueId, slot: Slot, stored: &Stored, octets: u64) -> Option<Queued> {
        match self {
            Self::State(state) => {
                let key = page_of(slot.at);
                let page = read_page(&key, &state.get(&key).ok()??)?;
                let live = page.into_iter().find(|live| live.at == slot.at)?;
                (live.queued.id == id).then_some(live.queued)
            }
            Self::Ledger(touches) => {
                let mut queued = stored.queued(id, octets);
                for one in touches.get(&id).into_iter().flatten() {
                    touch(&mut queued, *one);
                }
                Some(queued)
            }
        }
    }
}

fn settle_copies(pending: &mut Vec<mpsc::Receiver<bool>>) -> bool {
    pending.drain(..).fold(false, |any, answer| answer.recv().unwrap_or(false) | any)
}

fn broken(doing: &str) -> StateError {
    StateError::Broken(format!("{doing} a record failed"))
}

/// What happens to a page of the state.
enum Edit {
    Put(Live),
    Touch(QueueId, Vec<Touch>),
    Remove(QueueId),
}

impl Edit {
    /// `None` if the message is not on the page.
    fn apply(self, page: &mut Vec<Live>) -> Option<()> {
        match self {
            Self::Put(live) => page.push(live),
            Self::Touch(id, touches) => {
                let live = page.iter_mut().find(|live| live.queued.id == id)?;
                for one in touches {
                    touch(&mut live.queued, one);
                }
            }
            Self::Remove(id) => page.retain(|live| live.queued.id != id),
        }
        Some(())
    }
}
