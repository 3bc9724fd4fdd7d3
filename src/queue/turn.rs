//! Whose turn it is: urgent classes first, nobody starves.

use crate::mail::class::MessageClass;

/// Turns of a round: of 21 messages 16 are one-time passwords, 4 transactional, 1 subscribed, as
/// long as all classes have mail. A class without mail gives its turns away.
const WEIGHTS: [u8; 3] = [16, 4, 1];

/// What is left of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn([u8; 3]);

impl Turn {
    pub(super) fn new() -> Self {
        Self(WEIGHTS)
    }

    /// The class whose turn it is among those that `has` mail, and counts the turn.
    pub(super) fn pick(&mut self, has: impl Fn(MessageClass) -> bool) -> Option<MessageClass> {
        let waiting: [bool; 3] = MessageClass::ALL.map(&has);
        if !waiting.contains(&true) {
            return None;
        }
        let left = |turn: &Self| (0..3).find(|i| waiting[*i] && turn.0[*i] > 0);
        let class = left(self).or_else(|| {
            self.0 = WEIGHTS;
            left(self)
        })?;
        self.0[class] -= 1;
        Some(MessageClass::ALL[class])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_sixteen_four_and_one() {
        let mut turn = Turn::new();
        let mut counts = [0; 3];
        for _ in 0..210 {
            counts[turn.pick(|_| true).unwrap() as usize] += 1;
        }
        assert_eq!(counts, [160, 40, 10]);
    }

    #[test]
    fn a_newcomer_of_an_urgent_class_goes_first() {
        let mut turn = Turn::new();
        for _ in 0..1000 {
            assert_ne!(turn.pick(|c| c != MessageClass::Otp), Some(MessageClass::Otp));
            let mut then = turn;
            assert_eq!(then.pick(|_| true), Some(MessageClass::Otp));
        }
        assert_eq!(turn.pick(|_| false), None);
    }
}
