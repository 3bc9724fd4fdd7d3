//! Start-up behind the banner: the state is compared with the ledger, and rebuilt from it where
//! the two disagree.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::replay::{Replay, Said};
use super::segment::{Segment, place};
use super::shared::{Shared, lock};
use super::state::{Changes, Sled, State, StateError};
use crate::base::id::QueueId;
use crate::mail::queued::Queued;
use crate::spool::index::{Dirty, Index};
use crate::spool::record::{End, Position};
use crate::spool::scan::Depth;
use crate::spool::state::{
    Live, Meta, PageKey, Touch, decode, encode, fingerprint, page_of, read_page, touch,
};

/// Key of the state's own record; the keys of pages have six octets.
pub(super) const META: &[u8] = b"meta";

/// Messages that are handed to the queue together.
const BATCH_MESSAGES: usize = 1000;

/// Pages that are written to the state together.
const BATCH_PAGES: usize = 256;

/// The queue takes a thousand messages in a few milliseconds.
const QUEUE_WAIT: Duration = Duration::from_millis(2);

/// Databases that were set aside and are kept.
const ASIDE_MAX: usize = 2;

/// Hands recovered messages to the queue in batches.
pub(super) struct Hand<'a> {
    shared: &'a Shared,
    sender: Option<&'a Sender<Vec<Queued>>>,
    batch: Vec<Queued>,
}

impl<'a> Hand<'a> {
    pub(super) fn new(shared: &'a Shared, sender: Option<&'a Sender<Vec<Queued>>>) -> Self {
        Self { shared, sender, batch: Vec::new() }
    }

    fn adopt(&mut self, live: Live, dirty: Option<Dirty>) {
        if self.sender.is_none() {
            return;
        }
        let adopted = lock(&self.shared.applied).index.adopt(live, dirty);
        self.batch.extend(adopted.map(|live| live.queued));
        if self.batch.len() >= BATCH_MESSAGES {
            self.flush();
        }
    }

    pub(super) fn flush(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let Some(sender) = self.sender.filter(|_| !batch.is_empty()) else { return };
        // If nobody listens any more, the messages stay stored, and come again.
        while let Err(TrySendError::Full(back)) = sender.try_send(batch) {
            if self.shared.bell.is_closing() {
                return;
            }
            batch = back;
            std::thread::sleep(QUEUE_WAIT);
        }
    }
}

/// The state as it is found: whole, or the reason why not.
pub(super) fn load(
    shared: &Shared,
    segments: &BTreeMap<u32, Segment>,
) -> Result<(Sled, Meta), StateError> {
    let path = shared.config.path.join("state");
    let existed = path.exists();
    let state = Sled::open(&path)?;
    let broken = |reason: &str| Err(StateError::Broken(reason.to_owned()));
    let Some(octets) = state.get(META)? else {
        return broken(if existed { "it has no record of itself" } else { "it is missing" });
    };
    let Some(meta) = decode::<Meta>(META, &octets) else {
        return broken("its record of itself is damaged");
    };
    let (mut count, mut digest, mut damaged) = (0, 0u64, false);
    state.each(&mut |key, value| {
        if key != META {
            let page = read_page(key, value);
            damaged |= page.is_none();
            count += page.map_or(0, |page| page.len() as u64);
            digest = digest.wrapping_add(fingerprint(key, value));
        }
        !damaged
    })?;
    if damaged {
        return broken("a record is damaged");
    }
    if (count, digest) != (meta.count, meta.digest) {
        return broken("records are missing, or some came back");
    }
    if meta.through.segment != 0 && !segments.contains_key(&meta.through.segment) {
        return broken("it does not belong to this ledger");
    }
    Ok((state, meta))
}

/// The ordinary start: what the ledger says after the state's last beat is applied on top of it.
/// Returns the floor and where old segments end.
pub(super) fn follow(
    shared: &Shared,
    segments: &BTreeMap<u32, Segment>,
    state: &dyn State,
    meta: Meta,
    hand: &mut Hand<'_>,
) -> Result<(u32, End), StateError> {
    let mut pending: HashMap<QueueId, Dirty> = HashMap::new();
    let mut replay = Replay::new(shared, Depth::Whole, true);
    replay.through = meta.through;
    replay.records = meta.records;
    replay.run(segments, Some((meta.through, meta.records)), None, &mut |said| match said {
        Said::Message { live, settles, copied } => {
            for change in &settles {
                replay_touch(&mut pending, change.id(), Touch::from(change));
            }
            replay_message(&mut pending, live, copied);
        }
        Said::Changes(changes) => {
            for change in &changes {
                replay_touch(&mut pending, change.id(), Touch::from(change));
            }
        }
    });
    let first = segments.get(&meta.through.segment);
    let opening = first.and_then(|first| first.opening(&shared.ledger()));
    let floor = opening.map_or(0, |opening| opening.floor).max(replay.floor);
    // What lies before the state's last beat is known from the state itself, message by message;
    // and that it was given back may be written before that beat, where nobody looks any more.
    report_missing(shared, segments, floor.max(meta.through.segment));
    state.each(&mut |key, value| {
        for live in read_page(key, value).unwrap_or_default() {
            let id = live.queued.id;
            let here = segments.contains_key(&live.at.segment);
            if !here && live.at.segment >= floor && !pending.contains_key(&id) {
                let place = place(live.at.segment, live.at.offset);
                replay.tell(Some(id), place, "its segment is missing".into());
            }
            follow_one(shared, live, floor, pending.remove(&id), hand);
        }
        true
    })?;
    for dirty in pending.into_values() {
        if let Dirty::Fresh(live) | Dirty::Moved(live, _) = dirty
            && live.at.segment >= floor
        {
            hand.adopt(live.clone(), Some(Dirty::Fresh(live)));
        }
    }
    let end = End {
        segment: replay.through.segment,
        records: replay.records,
        offset: replay.through.offset,
    };
    Ok((floor, end))
}

/// One message of the state, and what the ledger says of it since.
fn follow_one(
    shared: &Shared,
    mut live: Live,
    floor: u32,
    dirty: Option<Dirty>,
    hand: &mut Hand<'_>,
) {
    let (id, at) = (live.queued.id, live.at);
    match dirty {
        Some(Dirty::Fresh(moved) | Dirty::Moved(moved, _)) => {
            return hand.adopt(moved.clone(), Some(Dirty::Moved(moved, at)));
        }
        // Given back in an orderly way: complete, although its last change is gone with it.
        _ if at.segment < floor => {}
        None => return hand.adopt(live, None),
        Some(Dirty::Touched(_, touches)) => {
            for one in &touches {
                touch(&mut live.queued, *one);
            }
            if !live.queued.recipients.is_empty() {
                return hand.adopt(live, Some(Dirty::Touched(at, touches)));
            }
        }
        Some(Dirty::Gone(_)) => {}
    }
    lock(&shared.applied).index.forget(id, at);
}

/// While the ledger is read, the places that the state knows are not known yet.
const SOMEWHERE: Position = Position { segment: 0, offset: 0 };

fn replay_message(pending: &mut HashMap<QueueId, Dirty>, live: Live, copied: bool) {
    let id = live.queued.id;
    let fresh = matches!(pending.get(&id), Some(Dirty::Fresh(_)));
    let moved = copied && !fresh;
    let dirty = if moved { Dirty::Moved(live, SOMEWHERE) } else { Dirty::Fresh(live) };
    pending.insert(id, dirty);
}

fn replay_touch(pending: &mut HashMap<QueueId, Dirty>, id: QueueId, one: Touch) {
    match pending.get_mut(&id) {
        Some(Dirty::Fresh(live)) => {
            touch(&mut live.queued, one);
            if live.queued.recipients.is_empty() {
                pending.remove(&id);
            }
        }
        Some(Dirty::Moved(live, _)) => {
            touch(&mut live.queued, one);
            if live.queued.recipients.is_empty() {
                pending.insert(id, Dirty::Gone(SOMEWHERE));
            }
        }
        Some(Dirty::Touched(_, touches)) => touches.push(one),
        Some(Dirty::Gone(_)) => {}
        None => drop(pending.insert(id, Dirty::Touched(SOMEWHERE, vec![one]))),
    }
}

/// Numbers between the floor and the last segment that have no file.
fn report_missing(shared: &Shared, segments: &BTreeMap<u32, Segment>, floor: u32) {
    let (Some(first), Some(last)) = (segments.keys().next(), segments.keys().next_back()) else {
        return;
    };
    let replay = Replay::new(shared, Depth::Heads, true);
    let floor = if floor == 0 { *first } else { floor };
    for missing in (floor..=*last).filter(|number| !segments.contains_key(number)) {
        replay.tell(None, place(missing, 0), "the segment is missing".into());
    }
}

/// What a rebuild made.
pub(super) struct Rebuilt {
    pub(super) state: Option<Sled>,
    pub(super) meta: Meta,
    pub(super) floor: u32,
    pub(super) end: End,
}

/// What the ledger alone says.
pub(super) struct Read {
    /// Every live message.
    index: Index,
    /// What has happened to it since its record.
    pub(super) touches: HashMap<QueueId, Vec<Touch>>,
    floor: u32,
    end: End,
}

/// Reads the whole ledger, up to `until` if it is being written.
pub(super) fn read(
    shared: &Shared,
    segments: &BTreeMap<u32, Segment>,
    until: Option<End>,
    starting: bool,
) -> Read {
    let mut index = Index::default();
    let mut touches: HashMap<QueueId, Vec<Touch>> = HashMap::new();
    let mut replay = Replay::new(shared, Depth::Whole, starting);
    replay.run(segments, None, until, &mut |said| {
        let (live, settles) = match said {
            Said::Message { live, settles, .. } => (Some(live), settles),
            Said::Changes(changes) => (None, changes),
        };
        for change in &settles {
            let id = change.id();
            if index.change(change).is_some() {
                touches.remove(&id);
            } else if index.slot(id).is_some() {
                touches.entry(id).or_default().push(Touch::from(change));
            }
        }
        if let Some(live) = live {
            touches.remove(&live.queued.id);
            index.insert(&live);
        }
    });
    let through = replay.through;
    let (floor, records) = (replay.floor, replay.records);
    let end = End { segment: through.segment, records, offset: through.offset };
    Read { index, touches, floor, end }
}

/// Reads the whole ledger (up to `until`, if it is being written) and writes a new state.
pub(super) fn rebuild(
    shared: &Shared,
    segments: &BTreeMap<u32, Segment>,
    until: Option<End>,
    hand: &mut Hand<'_>,
) -> Rebuilt {
    let starting = hand.sender.is_some();
    let Read { index, mut touches, floor, end } = read(shared, segments, until, starting);
    if starting {
        report_missing(shared, segments, floor);
    }
    let mut writer = Writer::create(shared);
    let mut replay = Replay::new(shared, Depth::Heads, false);
    replay.run(segments, None, until, &mut |said| {
        let Said::Message { mut live, .. } = said else { return };
        let id = live.queued.id;
        let here = index.slot(id).is_some_and(|slot| slot.at == live.at);
        if !here || live.at.segment < floor {
            return;
        }
        for one in touches.remove(&id).unwrap_or_default() {
            touch(&mut live.queued, one);
        }
        writer.put(live.clone());
        hand.adopt(live, None);
    });
    writer.end_page();
    if shared.bell.is_closing() {
        writer.state = None;
    }
    let through = Position { segment: end.segment, offset: end.offset };
    let (count, digest) = (writer.count, writer.digest);
    let meta = Meta { through, records: end.records, count, digest };
    Rebuilt { state: writer.finish(&meta), meta, floor, end }
}

/// Writes a new state; gives up quietly when there is no room, to be tried again later.
struct Writer {
    state: Option<Sled>,
    page: Vec<Live>,
    key: PageKey,
    changes: Changes,
    count: u64,
    digest: u64,
}

impl Writer {
    fn create(shared: &Shared) -> Self {
        let state = Sled::open(&shared.config.path.join("state")).ok();
        let (page, changes) = (Vec::new(), Vec::new());
        Self { state, page, key: PageKey::default(), changes, count: 0, digest: 0 }
    }

    /// Messages come in the order of their places.
    fn put(&mut self, live: Live) {
        let key = page_of(live.at);
        if key != self.key {
            self.end_page();
            self.key = key;
        }
        self.page.push(live);
    }

    fn end_page(&mut self) {
        let page = std::mem::take(&mut self.page);
        if page.is_empty() {
            return;
        }
        let Some(value) = encode(&self.key, &page) else {
            self.state = None;
            return;
        };
        self.count += page.len() as u64;
        self.digest = self.digest.wrapping_add(fingerprint(&self.key, &value));
        self.changes.push((self.key.to_vec(), Some(value)));
        if self.changes.len() >= BATCH_PAGES {
            self.write();
        }
    }

    fn write(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let written = self.state.as_mut().map(|state| state.apply(changes));
        if matches!(written, Some(Err(_))) {
            self.state = None;
        }
    }

    fn finish(mut self, meta: &Meta) -> Option<Sled> {
        self.changes.push((META.to_vec(), Some(encode(META, meta)?)));
        self.write();
        let mut state = self.state?;
        state.flush().is_ok().then_some(state)
    }
}

/// Moves a state that is not to be trusted aside; the oldest ones are removed.
pub(super) fn set_state_aside(folder: &Path) {
    let state = folder.join("state");
    if !state.exists() {
        return;
    }
    let mut old: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix("state.aside.")?.parse::<u32>().ok())
        .collect();
    old.sort_unstable();
    let next = old.last().map_or(1, |last| last.saturating_add(1));
    for number in old.iter().rev().skip(ASIDE_MAX - 1) {
        remove(&folder.join(format!("state.aside.{number}")));
    }
    if std::fs::rename(&state, folder.join(format!("state.aside.{next}"))).is_err() {
        remove(&state);
    }
}

/// Removes a folder or, if a stranger put one there, a file.
pub(super) fn remove(path: &Path) {
    if std::fs::remove_dir_all(path).is_err() {
        drop(std::fs::remove_file(path));
    }
}

/// What an earlier run wrote and did not sync may be in the kernel's memory alone: before it is
/// believed, it is made durable.
pub(super) fn sync_old(shared: &Shared, segments: &BTreeMap<u32, Segment>) -> std::io::Result<()> {
    let ledger = shared.ledger();
    for segment in segments.values().rev().take(4) {
        shared.disk.sync(&File::open(segment.path(&ledger))?)?;
    }
    shared.disk.sync_folder(&ledger)
}
