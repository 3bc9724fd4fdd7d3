//! What an update takes for the time, and which time is remembered.
//!
//! An expired release must not come to life because a clock was set back, so the machine remembers
//! a time that it knows to be over. A clock that nobody keeps may be years ahead as well (an empty
//! battery, a wrong hand): it is believed while it says so, and never remembered.

use std::fmt;

use crate::base::time::WallTime;

/// The clock of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What it says.
    pub wall: WallTime,
    /// A time server keeps it, and the kernel says so.
    pub kept: bool,
}

/// Whose word a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The clock, kept by a time server.
    KeptClock,
    /// The clock, kept by nobody as far as is known.
    LooseClock,
    /// The date of the image that runs.
    Image,
    /// The record: see [`super::record::Record::last_seen`].
    Record,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeptClock => "the clock, which a time server keeps,",
            Self::LooseClock => "the clock, which no time server is known to keep,",
            Self::Image => "the date of the running image",
            Self::Record => "the last time that a time server gave this machine",
        })
    }
}

/// The best guess at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// The time.
    pub now: WallTime,
    /// Whose word it is.
    pub witness: Witness,
}

impl Time {
    /// A kept clock is right. Of all others the latest is taken: what the clock says, when the
    /// image was made, and what was remembered. No server can say that it is earlier than
    /// `image_made`, which is signed.
    #[must_use]
    pub fn plausible(clock: Clock, image_made: WallTime, last_seen: WallTime) -> Self {
        if clock.kept && clock.wall >= image_made {
            return Self { now: clock.wall, witness: Witness::KeptClock };
        }
        let clock = Self { now: clock.wall, witness: Witness::LooseClock };
        let image = Self { now: image_made, witness: Witness::Image };
        let record = Self { now: last_seen, witness: Witness::Record };
        let later = |best: Self, other: Self| if other.now > best.now { other } else { best };
        [image, record].into_iter().fold(clock, later)
    }

    /// The time to remember in the place of `last_seen`. A kept clock may set it back: what is
    /// remembered may come from a clock that was wrong.
    #[must_use]
    pub fn remembered(self, last_seen: WallTime) -> WallTime {
        if self.witness == Witness::KeptClock { self.now } else { last_seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: WallTime = WallTime(1_700_000_000_000);
    const RIGHT: WallTime = WallTime(1_795_000_000_000);
    const AHEAD: WallTime = WallTime(1_900_000_000_000);

    #[test]
    fn a_clock_that_nobody_keeps_is_believed_and_never_remembered() {
        let loose = |wall| Clock { wall, kept: false };
        let ahead = Time::plausible(loose(AHEAD), EARLY, RIGHT);
        assert_eq!(ahead, Time { now: AHEAD, witness: Witness::LooseClock });
        assert_eq!(ahead.remembered(RIGHT), RIGHT);
        for (image, last_seen, witness) in
            [(RIGHT, EARLY, Witness::Image), (EARLY, RIGHT, Witness::Record)]
        {
            let back = Time::plausible(loose(WallTime(0)), image, last_seen);
            assert_eq!(back, Time { now: RIGHT, witness });
            assert_eq!(back.remembered(last_seen), last_seen);
        }
    }

    #[test]
    fn a_clock_that_is_kept_is_right_and_mends_the_record() {
        let kept = |wall| Clock { wall, kept: true };
        let right = Time::plausible(kept(RIGHT), EARLY, AHEAD);
        assert_eq!(right, Time { now: RIGHT, witness: Witness::KeptClock });
        assert_eq!(right.remembered(AHEAD), RIGHT);
        assert_eq!(right.remembered(EARLY), RIGHT);
        // Nobody is believed who says that the image was made tomorrow.
        let nonsense = Time::plausible(kept(EARLY), RIGHT, EARLY);
        assert_eq!(nonsense, Time { now: RIGHT, witness: Witness::Image });
        assert_eq!(nonsense.remembered(AHEAD), AHEAD);
    }
}
