//! Walking over segments: what each record means, and what becomes of damage.

use std::collections::{BTreeMap, HashMap};

use super::segment::{Segment, place, read as read_octets};
use super::shared::Shared;
use crate::base::id::QueueId;
use crate::event::Event;
use crate::mail::queued::Change;
use crate::spool::record::{
    End, Freed, Header, Kind, NotAHead, Opening, Position, Stored, read_head,
};
use crate::spool::scan::{Depth, Found};
use crate::spool::state::Live;

/// Octets of one damaged place that are kept at most.
const DAMAGED_OCTETS_MAX: u32 = 64 * 1024 * 1024;

/// A record that was understood.
#[derive(Debug)]
pub(super) enum Said {
    /// A message, the changes that came with it, and whether it was copied from elsewhere.
    Message { live: Live, settles: Vec<Change>, copied: bool },
    /// Changes.
    Changes(Vec<Change>),
}

/// A walk over several segments in order.
pub(super) struct Replay<'a> {
    pub(super) shared: &'a Shared,
    pub(super) depth: Depth,
    /// Whether damage is told and kept (once in a start-up).
    pub(super) tell: bool,
    /// The oldest segment that was needed, as the ledger says.
    pub(super) floor: u32,
    /// Where a crash left segments, as a later start found.
    ended: HashMap<u32, End>,
    /// Records that this walk found.
    found: HashMap<u32, u32>,
    /// Where the walk ended.
    pub(super) through: Position,
    pub(super) records: u32,
    /// Damaged places.
    damaged: u64,
}

impl<'a> Replay<'a> {
    pub(super) fn new(shared: &'a Shared, depth: Depth, tell: bool) -> Self {
        Self {
            shared,
            depth,
            tell,
            floor: 0,
            ended: HashMap::new(),
            found: HashMap::new(),
            through: Position::default(),
            records: 0,
            damaged: 0,
        }
    }

    /// Walks over `segments`, from a point in the first one, to `until` if that is given.
    pub(super) fn run(
        &mut self,
        segments: &BTreeMap<u32, Segment>,
        from: Option<(Position, u32)>,
        until: Option<End>,
        say: &mut dyn FnMut(Said),
    ) {
        let first = from.map_or(0, |(position, _)| position.segment);
        let list: Vec<Segment> = segments.range(first..).map(|(_, s)| *s).collect();
        for (n, segment) in list.iter().enumerate() {
            if self.shared.bell.is_closing() {
                return;
            }
            let next = list.get(n + 1);
            let opening = next.and_then(|next| next.opening(&self.shared.ledger()));
            let known = opening.and_then(|opening| opening.previous);
            let known = known.filter(|end| end.segment == segment.number);
            let known = until.filter(|end| end.segment == segment.number).or(known);
            let start = from.filter(|(position, _)| position.segment == segment.number);
            self.segment(*segment, known, start, say);
        }
        self.check_ends();
    }

    /// A segment that a crash left open is shorter now than a later start found it.
    fn check_ends(&mut self) {
        for end in std::mem::take(&mut self.ended).into_values() {
            let short = self.found.get(&end.segment).is_some_and(|found| *found < end.records);
            if short {
                self.damaged += 1;
                let reason = "the end of the segment is damaged".to_owned();
                self.tell(None, place(end.segment, end.offset), reason);
            }
        }
    }

    fn segment(
        &mut self,
        segment: Segment,
        known: Option<End>,
        start: Option<(Position, u32)>,
        say: &mut dyn FnMut(Said),
    ) {
        let scan = segment.scan(&self.shared.ledger(), self.depth, known);
        let mut scan = match scan {
            Ok(scan) => scan,
            Err(error) => {
                self.damaged += 1;
                self.tell(None, place(segment.number, 0), format!("cannot be read: {error}"));
                return;
            }
        };
        if let Some((position, records)) = start {
            scan = scan.from(position.offset, records);
        }
        // What damage means is known only when the last group is: look first, then speak.
        let found: Vec<Found> = scan.by_ref().collect();
        let (covered, end) = (scan.covered(), scan.end());
        for found in found {
            self.found(segment, covered, found, say);
        }
        self.through = Position { segment: segment.number, offset: end.offset };
        self.records = end.records;
        self.found.insert(segment.number, end.records);
    }

    fn found(&mut self, segment: Segment, covered: u32, found: Found, say: &mut dyn FnMut(Said)) {
        let id = found.id();
        match found {
            Found::Record { at, header, head, body_intact } => {
                let torn = !body_intact && at >= covered;
                if !body_intact {
                    self.damage(segment, at, header.octets(), id, torn);
                }
                if torn {
                    return;
                }
                match self.understand(segment, at, &header, &head) {
                    Ok(said) => said.into_iter().for_each(say),
                    Err(NotAHead) => self.damage(segment, at, header.octets(), id, false),
                }
            }
            Found::HeadDamaged { at, header } => {
                self.damage(segment, at, header.octets(), id, at >= covered);
            }
            Found::Gap { at, end, .. } => {
                if at < covered {
                    self.damage(segment, at, u64::from(end.saturating_sub(at)), None, false);
                }
            }
        }
    }

    /// What a whole record says, if it is about messages.
    fn understand(
        &mut self,
        segment: Segment,
        at: u32,
        header: &Header,
        head: &[u8],
    ) -> Result<Option<Said>, NotAHead> {
        let at = Position { segment: segment.number, offset: at };
        Ok(match header.kind {
            Kind::Opening => {
                let opening: Opening = read_head(header, head)?;
                self.floor = self.floor.max(opening.floor);
                None
            }
            Kind::Freed => {
                let freed: Freed = read_head(header, head)?;
                self.floor = self.floor.max(freed.floor);
                None
            }
            Kind::Ended => {
                let ends: Vec<End> = read_head(header, head)?;
                self.ended.extend(ends.into_iter().map(|end| (end.segment, end)));
                None
            }
            Kind::Closed => None,
            Kind::Changes => Some(Said::Changes(read_head(header, head)?)),
            Kind::Message => {
                let stored: Stored = read_head(header, head)?;
                let queued = stored.queued(header.id, u64::from(header.body_octets));
                let octets = u32::try_from(header.octets()).unwrap_or(u32::MAX);
                let live = Live { at, octets, queued };
                let copied = stored.carried.is_some();
                Some(Said::Message { live, settles: stored.settles, copied })
            }
        })
    }

    fn damage(&mut self, segment: Segment, at: u32, octets: u64, id: Option<QueueId>, torn: bool) {
        self.damaged += 1;
        let reason = if torn {
            "the end of the ledger is torn: never acknowledged, or damaged since"
        } else {
            "the record is damaged; its octets are kept in the quarantine"
        };
        if self.tell && !torn {
            let octets = u32::try_from(octets).unwrap_or(u32::MAX).min(DAMAGED_OCTETS_MAX);
            if let Ok(kept) = read_octets(&segment.path(&self.shared.ledger()), at, octets) {
                self.shared.keep_damaged(segment.number, at, &kept);
            }
        }
        self.tell(id, place(segment.number, at), reason.to_owned());
    }

    pub(super) fn tell(&self, id: Option<QueueId>, place: String, reason: String) {
        if self.tell {
            (self.shared.tell)(Event::RecordQuarantined { id, place, reason });
        }
    }
}
