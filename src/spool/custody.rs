//! The seal of custody: it is made from the proof of a sync that returned, and from nothing else.

use std::io;

use super::record::Position;
use crate::base::id::QueueId;
use crate::mail::stage::Custody;

/// Proof that everything in a segment before a point survives a power cut.
#[derive(Debug)]
pub struct Synced {
    through: Position,
}

impl Synced {
    /// Runs `sync`; the proof exists only if it returned without an error. `through` is the end
    /// of what had been written when `sync` began.
    ///
    /// # Errors
    /// Whatever `sync` reports. It must never be tried again on the same file: after a failed
    /// sync the kernel may call lost pages clean.
    pub fn by(through: Position, sync: impl FnOnce() -> io::Result<()>) -> io::Result<Self> {
        sync().map(|()| Self { through })
    }

    /// The end of what is durable.
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }
}

/// Custody of the message whose record ends at `end`, if `synced` covers it.
#[must_use]
pub fn attest(id: QueueId, end: Position, synced: &Synced) -> Option<Custody> {
    let covered = end.segment == synced.through.segment && end.offset <= synced.through.offset;
    covered.then(|| Custody::mint(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Position = Position { segment: 3, offset: 100 };

    #[test]
    fn a_failed_sync_proves_nothing() {
        assert!(Synced::by(END, || Err(io::Error::other("EIO"))).is_err());
    }

    #[test]
    fn a_sync_covers_its_own_segment_up_to_its_point() {
        let synced = Synced::by(END, || Ok(())).unwrap();
        let at = |segment, offset| Position { segment, offset };
        assert!(attest(QueueId(1), at(3, 100), &synced).is_some());
        assert!(attest(QueueId(1), at(3, 101), &synced).is_none());
        assert!(attest(QueueId(1), at(2, 50), &synced).is_none());
    }
}
