//! Reading a segment from its beginning to its end, past whatever is damaged.
//!
//! Where a record should begin and none does, the next one is looked for by magic and salt; the
//! gap in the indices says how many are missing.

use super::record::{End, HEADER_OCTETS, Header, MAGIC};
use crate::base::id::QueueId;

/// Octets that are looked at in one piece.
const PIECE_OCTETS: usize = 256 * 1024;

/// A segment's octets. Unreadable blocks read as zeros; what comes then is seen as damage.
pub trait Octets {
    /// `len` octets from `offset`, fewer at the end.
    fn at(&mut self, offset: u64, len: usize) -> &[u8];
}

impl Octets for &[u8] {
    fn at(&mut self, offset: u64, len: usize) -> &[u8] {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        &self[start..start.saturating_add(len).min(self.len())]
    }
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole record.
    Record {
        /// Its offset.
        at: u32,
        /// Its header.
        header: Header,
        /// Its head.
        head: Vec<u8>,
        /// The body's checksum is right (or was not asked for).
        body_intact: bool,
    },
    /// A header whose head is damaged: the id is known, nothing else.
    HeadDamaged {
        /// Its offset.
        at: u32,
        /// Its header.
        header: Header,
    },
    /// Octets that are no record.
    Gap {
        /// From here.
        at: u32,
        /// To here.
        end: u32,
        /// Records that should be there.
        missing: u32,
    },
}

impl Found {
    /// The message it is about, if that is known.
    #[must_use]
    pub fn id(&self) -> Option<QueueId> {
        match self {
            Self::Record { header, .. } | Self::HeadDamaged { header, .. } => {
                (header.id.0 != 0).then_some(header.id)
            }
            Self::Gap { .. } => None,
        }
    }
}

/// How much of a record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Header, head and body.
    Whole,
    /// Header and head; bodies are skipped.
    Heads,
}

/// A walk over one segment.
#[derive(Debug)]
pub struct Scan<O> {
    octets: O,
    salt: u64,
    segment: u32,
    depth: Depth,
    /// The known end; nothing behind it counts.
    known: Option<End>,
    offset: u64,
    records: u32,
    covered: u32,
}

impl<O: Octets> Scan<O> {
    /// Begins at the beginning. `known` is the end as the next segment tells it.
    pub fn new(octets: O, segment: u32, salt: u64, depth: Depth, known: Option<End>) -> Self {
        Self { octets, salt, segment, depth, known, offset: 0, records: 0, covered: 0 }
    }

    /// Begins at a record that is known to be there.
    #[must_use]
    pub fn from(mut self, offset: u32, records: u32) -> Self {
        (self.offset, self.records) = (u64::from(offset), records);
        self
    }

    /// Where the last whole record ended and how many there were; complete after the last item.
    pub fn end(&self) -> End {
        let offset = u32::try_from(self.offset).unwrap_or(u32::MAX);
        End { segment: self.segment, records: self.records, offset }
    }

    /// Everything before this offset was acknowledged. Damage behind it is a torn group.
    pub fn covered(&self) -> u32 {
        self.known.map_or(self.covered, |end| end.offset)
    }

    fn header(&mut self, offset: u64) -> Option<Header> {
        if self.known.is_some_and(|end| offset >= u64::from(end.offset)) {
            return None;
        }
        Header::decode(self.octets.at(offset, HEADER_OCTETS), self.salt, self.segment)
    }

    /// The next place behind `from` at which a header of this segment stands.
    fn resume(&mut self, from: u64) -> Option<(u64, Header)> {
        let mut seal = [0; 12];
        seal[..4].copy_from_slice(&MAGIC);
        seal[4..].copy_from_slice(&self.salt.to_le_bytes());
        let finder = memchr::memmem::Finder::new(&seal);
        let mut from = from;
        loop {
            let piece = self.octets.at(from, PIECE_OCTETS);
            if piece.len() < HEADER_OCTETS {
                return None;
            }
            let step = piece.len() - (seal.len() - 1);
            let Some(hit) = finder.find(piece) else {
                from += step as u64;
                continue;
            };
            from += hit as u64;
            match self.header(from) {
                Some(header) if header.index >= self.records => return Some((from, header)),
                _ => from += 1,
            }
        }
    }

    fn record(&mut self, at: u64, header: Header) -> Found {
        let head_octets = usize::try_from(header.head_octets).unwrap_or(usize::MAX);
        let head = self.octets.at(at + HEADER_OCTETS as u64, head_octets).to_vec();
        let offset = u32::try_from(at).unwrap_or(u32::MAX);
        let head_intact =
            head.len() == head_octets && crc32fast::hash(&head) == header.head_checksum;
        if !head_intact {
            return Found::HeadDamaged { at: offset, header };
        }
        let body = at + HEADER_OCTETS as u64 + head_octets as u64;
        let body_intact = self.depth == Depth::Heads || self.body_intact(body, &header);
        Found::Record { at: offset, header, head, body_intact }
    }

    fn body_intact(&mut self, from: u64, header: &Header) -> bool {
        let mut hasher = crc32fast::Hasher::new();
        let mut left = usize::try_from(header.body_octets).unwrap_or(usize::MAX);
        let mut from = from;
        while left > 0 {
            let piece = self.octets.at(from, left.min(PIECE_OCTETS));
            if piece.is_empty() {
                return false;
            }
            hasher.update(piece);
            left -= piece.len();
            from += piece.len() as u64;
        }
        hasher.finalize() == header.body_checksum
    }

    /// Whether a record that claims to end at `end` can be believed where `whole` is false: its
    /// length comes from a checksummed header, so yes, unless a later header stands inside it.
    fn step_over(&mut self, at: u64, header: &Header, whole: bool) {
        self.records = header.index.saturating_add(1);
        self.covered = self.covered.max(header.covered);
        let end = at.saturating_add(header.octets());
        self.offset = end;
        if !whole && let Some((next, _)) = self.resume(at + HEADER_OCTETS as u64) {
            self.offset = end.min(next);
        }
    }
}

impl<O: Octets> Iterator for Scan<O> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let at = self.offset;
        if let Some(header) = self.header(at).filter(|header| header.index == self.records) {
            let found = self.record(at, header);
            let whole = matches!(found, Found::Record { body_intact: true, .. });
            self.step_over(at, &header, whole);
            return Some(found);
        }
        if let Some((next, header)) = self.resume(at) {
            let missing = header.index - self.records;
            self.records = header.index;
            self.offset = next;
            let place = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
            return Some(Found::Gap { at: place(at), end: place(next), missing });
        }
        let end = self.known.filter(|end| end.records > self.records)?;
        let missing = end.records - self.records;
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.records = end.records;
        self.offset = u64::from(end.offset);
        Some(Found::Gap { at, end: end.offset.max(at), missing })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Draft, Kind, Place};
    use super::*;

    const SALT: u64 = 0x1234_5678_9abc_def0;

    fn segment(bodies: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let (mut octets, mut starts) = (Vec::new(), Vec::new());
        for (index, body) in (0..).zip(bodies) {
            let covered = u32::try_from(octets.len()).unwrap();
            let id = QueueId(u128::from(index) + 1);
            let body = bytes::Bytes::copy_from_slice(body);
            let draft = Draft::new(Kind::Message, id, &"head", body).unwrap();
            starts.push(octets.len());
            octets.extend(draft.header(SALT, Place { segment: 4, index, covered }));
            octets.extend(&draft.head);
            octets.extend(&draft.body);
        }
        (octets, starts)
    }

    fn walk(octets: &[u8], known: Option<End>) -> (Vec<Found>, End) {
        let mut scan = Scan::new(octets, 4, SALT, Depth::Whole, known);
        let found = scan.by_ref().collect();
        (found, scan.end())
    }

    fn whole(found: &Found) -> bool {
        matches!(found, Found::Record { body_intact: true, .. })
    }

    #[test]
    fn a_whole_segment_is_read_to_its_padding() {
        let (mut octets, _) = segment(&[b"one", b"", b"three"]);
        let end = octets.len();
        octets.resize(4096, 0);
        let (found, ended) = walk(&octets, None);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(whole));
        assert_eq!((ended.records, ended.offset as usize), (3, end));
    }

    #[test]
    fn a_torn_end_is_not_an_error() {
        let (octets, starts) = segment(&[b"one", b"two", b"three"]);
        let (found, ended) = walk(&octets[..starts[2] + 20], None);
        assert_eq!((found.len(), ended.records), (2, 2));
    }

    #[test]
    fn a_missing_end_is_noticed_if_the_next_segment_tells_it() {
        let (octets, starts) = segment(&[b"one", b"two", b"three"]);
        let known = End { segment: 4, records: 3, offset: u32::try_from(octets.len()).unwrap() };
        let (found, _) = walk(&octets[..starts[2] + 20], Some(known));
        assert!(matches!(found[2], Found::Gap { missing: 1, .. }), "{found:?}");
        let short = End { segment: 4, records: 2, offset: u32::try_from(starts[2]).unwrap() };
        assert_eq!(walk(&octets, Some(short)).0.len(), 2, "what was rolled back does not count");
    }

    #[test]
    fn every_flipped_bit_costs_at_most_the_record_that_it_hit() {
        let (octets, starts) = segment(&[b"one", b"two", b"three", b"four"]);
        for bit in 0..octets.len() * 8 {
            let mut damaged = octets.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let hit = starts.iter().rposition(|start| *start <= bit / 8).unwrap();
            let (found, _) = walk(&damaged, None);
            let intact: Vec<_> = found.iter().filter(|f| whole(f)).filter_map(Found::id).collect();
            let expected = (0..4).filter(|n| *n != hit).map(|n| QueueId(n as u128 + 1));
            assert_eq!(intact, expected.collect::<Vec<_>>(), "bit {bit}");
            if hit < 3 {
                assert!(found.iter().any(|f| !whole(f)), "bit {bit} went unnoticed");
            }
        }
    }

    #[test]
    fn a_record_inside_a_stranger_s_content_is_not_believed() {
        let (inner, _) = segment(&[b"forged"]);
        let salted: Vec<u8> = {
            let draft = Draft::new(Kind::Message, QueueId(66), &"head", bytes::Bytes::new());
            draft.unwrap().header(99, Place { segment: 4, index: 1, covered: 0 }).to_vec()
        };
        let mut body = inner;
        body.truncate(0);
        body.extend(salted);
        let (mut octets, _) = segment(&[&body, b"two"]);
        octets[20] ^= 1;
        let (found, _) = walk(&octets, None);
        assert!(found.iter().all(|f| f.id() != Some(QueueId(66))), "{found:?}");
    }
}
