//! How long it took until the receiver took responsibility: a histogram for every class of every
//! provider that the table of providers knows, and one of each class for all others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::mail::class::MessageClass;

/// Upper bounds of the buckets in milliseconds; the last bucket is everything. Close together where
/// a one-time password is still worth something.
const BOUNDS_MILLIS: [u64; 16] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000,
    14_400_000, 86_400_000,
];

/// Providers that are counted one by one. Their names come from the configuration and the built-in
/// table, so nobody outside can make our memory grow; this is the bound all the same.
const PROVIDERS_MAX: usize = 1000;

/// The name that all other providers share.
const OTHER: &str = "other";

#[derive(Clone, Copy, Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS_MILLIS.len() + 1],
    sum_millis: u64,
}

impl Histogram {
    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The delay that `share` of 100 deliveries did not exceed, by its place in its bucket.
    fn quantile(&self, share: u64) -> u64 {
        let wanted = self.count().saturating_mul(share).div_ceil(100).max(1);
        let mut below = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            if below + bucket >= wanted {
                let low = index.checked_sub(1).map_or(0, |index| BOUNDS_MILLIS[index]);
                let high = BOUNDS_MILLIS.get(index).copied().unwrap_or(low);
                let part = u128::from(high - low) * u128::from(wanted - below);
                let part = part / u128::from((*bucket).max(1));
                return low + u64::try_from(part).unwrap_or(0);
            }
            below += bucket;
        }
        0
    }
}

/// The delays of one class at one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// The class.
    pub class: MessageClass,
    /// The provider, or `other`.
    pub provider: String,
    /// Recipients delivered.
    pub delivered: u64,
    /// Half of them took no longer, in milliseconds.
    pub p50_millis: u64,
    /// 99 of 100 took no longer, in milliseconds.
    pub p99_millis: u64,
}

/// All histograms.
#[derive(Debug, Default)]
pub(super) struct Delays(Mutex<BTreeMap<Box<str>, [Histogram; 3]>>);

impl Delays {
    pub(super) const NAME: &str = "delivery_delay_seconds";
    pub(super) const HELP: &str = "From acceptance to the receiver's 250";

    pub(super) fn add(&self, class: MessageClass, provider: Option<&str>, millis: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut provider = provider.unwrap_or(OTHER);
        if !all.contains_key(provider) {
            provider = if all.len() < PROVIDERS_MAX { provider } else { OTHER };
            all.entry(provider.into()).or_default();
        }
        let Some(classes) = all.get_mut(provider) else { return };
        let histogram = &mut classes[class as usize];
        histogram.buckets[BOUNDS_MILLIS.partition_point(|bound| *bound < millis)] += 1;
        histogram.sum_millis = histogram.sum_millis.saturating_add(millis);
    }

    /// Those with deliveries, by provider and class.
    fn all(&self) -> Vec<(MessageClass, Box<str>, Histogram)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::new();
        for (provider, classes) in all.iter() {
            for (class, histogram) in MessageClass::ALL.into_iter().zip(classes) {
                if histogram.count() > 0 {
                    rows.push((class, provider.clone(), *histogram));
                }
            }
        }
        rows
    }

    pub(super) fn rows(&self) -> Vec<Delay> {
        let row = |(class, provider, histogram): (MessageClass, Box<str>, Histogram)| Delay {
            class,
            provider: provider.into(),
            delivered: histogram.count(),
            p50_millis: histogram.quantile(50),
            p99_millis: histogram.quantile(99),
        };
        self.all().into_iter().map(row).collect()
    }

    /// In Prometheus' text format, without the head.
    pub(super) fn write(&self, page: &mut String) {
        let seconds = |millis: u64| format!("{}.{:03}", millis / 1000, millis % 1000);
        for (class, provider, histogram) in self.all() {
            let labels = format!("class=\"{class}\",provider=\"{provider}\"");
            let mut count = 0;
            for (index, bucket) in histogram.buckets.iter().enumerate() {
                count += bucket;
                let bound =
                    BOUNDS_MILLIS.get(index).map_or_else(|| "+Inf".to_owned(), |b| seconds(*b));
                let name = Self::NAME;
                let _ = writeln!(page, "postern_{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let sum = seconds(histogram.sum_millis);
            let _ = writeln!(page, "postern_{}_sum{{{labels}}} {sum}", Self::NAME);
            let _ = writeln!(page, "postern_{}_count{{{labels}}} {count}", Self::NAME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_their_bucket() {
        let delays = Delays::default();
        for millis in 1..=1000 {
            delays.add(MessageClass::Otp, Some("google"), millis);
        }
        delays.add(MessageClass::Subscribed, None, 99_000_000);
        let rows = delays.rows();
        assert_eq!((rows[0].provider.as_str(), rows[0].delivered), ("google", 1000));
        assert_eq!((rows[0].p50_millis, rows[0].p99_millis), (500, 990));
        assert_eq!((rows[1].provider.as_str(), rows[1].p99_millis), ("other", 86_400_000));
    }

    #[test]
    fn providers_without_end_share_a_name() {
        let delays = Delays::default();
        for number in 0..5000 {
            delays.add(MessageClass::Otp, Some(&number.to_string()), 1);
        }
        let rows = delays.rows();
        assert!(rows.len() <= PROVIDERS_MAX + 1);
        assert_eq!(rows.iter().map(|row| row.delivered).sum::<u64>(), 5000);
    }
}
