//! What receivers say of our addresses: which (egress, provider) rests, and until when.
//!
//! A receiver that says "listed" gets nothing more from that address for an hour; if it says so
//! again after that, for two hours, then four, up to a day. When three providers of the table say
//! so within an hour, the address rests as a whole: the word of strangers is not counted, or three
//! domains of one attacker could take an address away.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::limits::{
    LISTED_LONGEST, LISTED_PAIRS_MAX, LISTED_REST, LISTED_TOGETHER, LISTED_WITNESSES,
};
use crate::base::time::{Instant, WallTime};

/// A rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// When it began.
    pub(super) since: WallTime,
    /// Its end.
    pub(super) until: Instant,
    /// What was said.
    pub(super) reply: String,
    /// How long it is.
    wait: Duration,
    /// When somebody whose word counts said so.
    heard: Option<Instant>,
}

impl Rest {
    /// What is left of it; none: it is over.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        Some(self.until.since(now)).filter(|left| !left.is_zero())
    }
}

/// Who rests.
#[derive(Debug, Default)]
pub(super) struct Listings {
    /// By egress and provider.
    pairs: BTreeMap<String, BTreeMap<String, Rest>>,
    whole: BTreeMap<String, Rest>,
}

impl Listings {
    /// `provider` says that the address of `egress` is listed. True if the egress rests as a whole
    /// from now on.
    pub(super) fn hear(
        &mut self,
        egress: &str,
        provider: &str,
        counts: bool,
        reply: &str,
        (now, wall): (Instant, WallTime),
    ) -> bool {
        let pairs = self.pairs.entry(egress.to_owned()).or_default();
        if pairs.len() >= LISTED_PAIRS_MAX && !pairs.contains_key(provider) {
            return false;
        }
        let rest = rest_again(pairs.get(provider), counts, reply, now, wall);
        pairs.insert(provider.to_owned(), rest);
        let lately =
            |rest: &&Rest| rest.heard.is_some_and(|heard| now.since(heard) < LISTED_TOGETHER);
        let witnesses = pairs.values().filter(lately).count();
        let rests = self.whole.get(egress).is_some_and(|rest| rest.left(now).is_some());
        if witnesses < LISTED_WITNESSES || rests {
            return false;
        }
        let words = format!("{witnesses} providers say that it is listed, the last one: {reply}");
        let rest = rest_again(self.whole.get(egress), counts, &words, now, wall);
        self.whole.insert(egress.to_owned(), rest);
        // Who has spoken has spoken: the next rest needs new witnesses.
        for rest in pairs.values_mut() {
            rest.heard = None;
        }
        true
    }

    /// The rest of an egress as a whole.
    pub(super) fn whole(&self, egress: &str, now: Instant) -> Option<&Rest> {
        self.whole.get(egress).filter(|rest| rest.left(now).is_some())
    }

    /// Its rest towards one provider.
    pub(super) fn pair(&self, egress: &str, provider: &str, now: Instant) -> Option<&Rest> {
        self.pairs.get(egress)?.get(provider).filter(|rest| rest.left(now).is_some())
    }

    /// Providers towards which an egress rests.
    pub(super) fn pairs(&self, egress: &str, now: Instant) -> Vec<(&str, &Rest)> {
        let pairs = self.pairs.get(egress).into_iter().flatten();
        let resting = pairs.filter(|(_, rest)| rest.left(now).is_some());
        resting.map(|(name, rest)| (name.as_str(), rest)).collect()
    }

    /// An operator knows better: everything about an egress is forgotten. True if it rested.
    pub(super) fn forgive(&mut self, egress: &str, now: Instant) -> bool {
        let rested = self.whole(egress, now).is_some() || !self.pairs(egress, now).is_empty();
        self.pairs.remove(egress);
        self.whole.remove(egress);
        rested
    }

    /// Forgets what is long over.
    pub(super) fn forget(&mut self, now: Instant) {
        let fresh = |rest: &Rest| now.since(rest.until) < LISTED_LONGEST;
        self.whole.retain(|_, rest| fresh(rest));
        for pairs in self.pairs.values_mut() {
            pairs.retain(|_, rest| fresh(rest));
        }
        self.pairs.retain(|_, pairs| !pairs.is_empty());
    }
}

/// The rest that follows: twice as long if there was one, the same if it is still going on.
fn rest_again(
    before: Option<&Rest>,
    counts: bool,
    reply: &str,
    now: Instant,
    wall: WallTime,
) -> Rest {
    let heard = counts.then_some(now);
    if let Some(rest) = before.filter(|rest| rest.left(now).is_some()) {
        return Rest { heard: rest.heard.or(heard), ..rest.clone() };
    }
    let wait = before.map_or(LISTED_REST, |rest| (rest.wait * 2).min(LISTED_LONGEST));
    Rest { since: wall, until: now.after(wait), reply: reply.to_owned(), wait, heard }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_pair_rests_an_hour_then_two_up_to_a_day() {
        let mut listings = Listings::default();
        let (mut now, wall) = (Instant(1), WallTime(1));
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert!(!listings.hear("a", "big.example", true, "550 listed", (now, wall)));
            // Carriers that come back together are one piece of news.
            let again = now.after(Duration::from_secs(5));
            assert!(!listings.hear("a", "big.example", true, "550 listed", (again, wall)));
            let left = listings.pair("a", "big.example", now).unwrap().left(now).unwrap();
            waits.push(left.as_secs() / 3600);
            now = now.after(left);
            assert!(listings.pair("a", "big.example", now).is_none());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 24, 24]);
        assert!(listings.pair("a", "other.example", now).is_none());
        assert!(listings.pair("b", "big.example", now).is_none());
        // A day without a word: as if nothing had been.
        now = now.after(HOUR * 25);
        listings.forget(now);
        listings.hear("a", "big.example", true, "550 listed", (now, wall));
        assert_eq!(listings.pairs("a", now)[0].1.left(now), Some(HOUR));
    }

    #[test]
    fn three_known_providers_within_an_hour_rest_the_whole_address() {
        let (now, wall) = (Instant(1), WallTime(1));
        let mut listings = Listings::default();
        for stranger in 0..9 {
            let name = format!("stranger-{stranger}.example");
            assert!(!listings.hear("a", &name, false, "550 listed", (now, wall)));
        }
        assert!(!listings.hear("a", "one.example", true, "550 listed", (now, wall)));
        assert!(!listings.hear("a", "two.example", true, "550 listed", (now, wall)));
        let later = now.after(HOUR);
        assert!(!listings.hear("a", "three.example", true, "550 listed", (later, wall)));
        assert!(!listings.hear("b", "three.example", true, "550 listed", (later, wall)));
        assert!(listings.whole("a", later).is_none(), "the first two were an hour ago");
        assert!(!listings.hear("a", "one.example", true, "550 listed", (later, wall)));
        assert!(listings.hear("a", "two.example", true, "550 listed", (later, wall)));
        let rest = listings.whole("a", later).unwrap();
        assert_eq!(rest.left(later), Some(HOUR));
        assert!(rest.reply.contains("3 providers"), "{}", rest.reply);
        assert!(!listings.hear("a", "four.example", true, "550 listed", (later, wall)));
        assert!(listings.whole("b", later).is_none());
        assert!(listings.forgive("a", later) && !listings.forgive("a", later));
        assert!(listings.whole("a", later).is_none() && listings.pairs("a", later).is_empty());
    }
}
