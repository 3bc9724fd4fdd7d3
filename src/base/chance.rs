//! Chance as an argument: a small seeded generator for jitter, shuffles and simulations.
//!
//! Not for secrets: those come from the operating system through `source/`. The generator is
//! `SplitMix64` (Steele, Lea, Flood 2014), which passes `BigCrush` and needs eight octets.

use std::time::Duration;

/// A seeded stream of numbers; the same seed always gives the same history.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// A stream that starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The widening multiply of Lemire (2019); its bias is below 2^-32 for our small bounds.
        u64::try_from((u128::from(self.draw()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// `span`, lengthened or shortened by up to `percent` per cent.
    pub fn jitter(&mut self, span: Duration, percent: u32) -> Duration {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let width = micros / 100 * u64::from(percent.min(100));
        let low = micros - width;
        Duration::from_micros(low.saturating_add(self.below(width.saturating_mul(2) + 1)))
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let pick = usize::try_from(self.below(last as u64 + 1)).unwrap_or(0);
            items.swap(last, pick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_history() {
        let (mut a, mut b) = (Chance::new(7), Chance::new(7));
        assert!((0..100).all(|_| a.draw() == b.draw()));
    }

    #[test]
    fn jitter_stays_inside_its_bounds() {
        let mut chance = Chance::new(1);
        for _ in 0..1000 {
            let span = chance.jitter(Duration::from_secs(100), 20);
            assert!(span >= Duration::from_secs(80) && span <= Duration::from_secs(120));
        }
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let mut chance = Chance::new(3);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(chance.below(5)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(chance.below(0), 0);
    }
}
