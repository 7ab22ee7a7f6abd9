//! A bounded history of samples.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use crate::{Metric, Reading, reading::Values, serialize::as_seconds};

/// The smallest capacity: two buckets in each half, so that neighbours can be merged.
pub(crate) const MIN_CAPACITY: usize = 4;

/// Minimum, mean and maximum of one metric over the samples of a [`Bucket`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stat {
    /// The minimum.
    pub min_bytes: u64,
    /// The mean of the samples.
    pub mean_bytes: f64,
    /// The maximum.
    pub max_bytes: u64,
    /// The number of samples in which the metric is known.
    pub samples: u64,
}

impl Stat {
    fn new(value: u64) -> Self {
        Self {
            min_bytes: value,
            mean_bytes: value as f64,
            max_bytes: value,
            samples: 1,
        }
    }

    fn merge(self, other: Self) -> Self {
        let samples = self.samples + other.samples;
        let weight = other.samples as f64 / samples as f64;
        Self {
            min_bytes: self.min_bytes.min(other.min_bytes),
            mean_bytes: self.mean_bytes + (other.mean_bytes - self.mean_bytes) * weight,
            max_bytes: self.max_bytes.max(other.max_bytes),
            samples,
        }
    }
}

/// One or more consecutive samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Time of the first sample, since the monitor was created.
    pub start: Duration,
    /// Time of the last sample; equal to `start` for a single sample.
    pub end: Duration,
    /// The number of samples.
    pub samples: u64,
    stats: [Option<Stat>; Metric::ALL.len()],
}

impl Bucket {
    fn new((at, values): &(Duration, Values)) -> Self {
        Self {
            start: *at,
            end: *at,
            samples: 1,
            stats: Metric::ALL.map(|metric| values.get(metric).map(Stat::new)),
        }
    }

    /// Returns the statistics of a metric, or `None` if it is unknown.
    pub fn get(&self, metric: Metric) -> Option<Stat> {
        self.stats[metric.index()]
    }

    fn absorb(&mut self, later: &Self) {
        self.end = later.end;
        self.samples += later.samples;
        for (mine, theirs) in self.stats.iter_mut().zip(&later.stats) {
            *mine = match (*mine, *theirs) {
                (Some(a), Some(b)) => Some(a.merge(b)),
                (a, b) => a.or(b),
            };
        }
    }
}

impl Serialize for Bucket {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(serialize_with = "as_seconds")]
            start_seconds: &'a Duration,
            #[serde(serialize_with = "as_seconds")]
            end_seconds: &'a Duration,
            samples: u64,
            stats: std::collections::BTreeMap<&'static str, Stat>,
        }
        Fields {
            start_seconds: &self.start,
            end_seconds: &self.end,
            samples: self.samples,
            stats: Metric::ALL
                .into_iter()
                .filter_map(|metric| Some((metric.name(), self.get(metric)?)))
                .collect(),
        }
        .serialize(serializer)
    }
}

/// A bounded history of any number of samples.
///
/// The newer half of the capacity holds single samples. Older samples are merged into buckets of equal
/// width. When the older half is full, neighbouring buckets are merged in pairs and the bucket width
/// doubles. Every bucket keeps minimum, mean and maximum, so peaks are never lost; only their time
/// becomes less exact. With the default capacity of 1,024, an hour at 10 ms ends in buckets of at most
/// 11 s, a week at 5 s in buckets of at most 22 min. Adding a sample is amortised O(1).
///
/// ```
/// use std::time::Duration;
/// use mem_monitor::{History, Metric, Reading};
///
/// let mut history = History::new(16);
/// for tick in 0..100_000u64 {
///     let mut reading = Reading::default();
///     reading.set_bytes(Metric::Rss, if tick == 77 { 9_000 } else { 100 });
///     history.push(Duration::from_millis(tick), &reading);
/// }
/// assert!(history.len() <= 16);
/// assert_eq!(history.max_bytes(Metric::Rss), Some(9_000));
/// ```
#[derive(Clone, Debug)]
pub struct History {
    capacity: usize,
    /// Samples in a complete older bucket: a power of two.
    width: u64,
    older: VecDeque<Bucket>,
    /// Single samples.
    newer: VecDeque<(Duration, Values)>,
}

impl History {
    /// Creates a history of at most `capacity` buckets (at least 4). An older bucket takes about 720
    /// bytes and a newer one 160; memory is allocated as needed.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(MIN_CAPACITY),
            width: 1,
            older: VecDeque::new(),
            newer: VecDeque::new(),
        }
    }

    /// Adds a sample taken at `at`, which must not be earlier than the previous one.
    pub fn push(&mut self, at: Duration, reading: &Reading) {
        self.newer.push_back((at, *reading.values()));
        if self.newer.len() > self.capacity - self.capacity / 2
            && let Some(leaving) = self.newer.pop_front()
        {
            self.retire(Bucket::new(&leaving));
        }
    }

    fn retire(&mut self, leaving: Bucket) {
        if let Some(last) = self.older.back_mut()
            && last.samples < self.width
        {
            last.absorb(&leaving);
            return;
        }
        if self.older.len() == self.capacity / 2 {
            self.halve();
            return self.retire(leaving);
        }
        self.older.push_back(leaving);
    }

    /// Merges neighbouring buckets in pairs.
    fn halve(&mut self) {
        self.width *= 2;
        let mut halved: VecDeque<Bucket> = VecDeque::with_capacity(self.capacity / 2);
        for bucket in self.older.drain(..) {
            match halved.back_mut() {
                Some(last) if last.samples < self.width => last.absorb(&bucket),
                _ => halved.push_back(bucket),
            }
        }
        self.older = halved;
    }

    /// Returns the buckets, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Bucket> {
        let older = self.older.iter().cloned();
        older.chain(self.newer.iter().map(Bucket::new))
    }

    /// Returns the number of buckets.
    pub fn len(&self) -> usize {
        self.older.len() + self.newer.len()
    }

    /// Whether the history has no samples.
    pub fn is_empty(&self) -> bool {
        self.newer.is_empty()
    }

    /// Returns the number of samples.
    pub fn samples(&self) -> u64 {
        let older: u64 = self.older.iter().map(|bucket| bucket.samples).sum();
        older + self.newer.len() as u64
    }

    /// Returns the maximum of a metric over all samples.
    pub fn max_bytes(&self, metric: Metric) -> Option<u64> {
        let older = self.older.iter();
        let older = older.filter_map(|bucket| Some(bucket.get(metric)?.max_bytes));
        let newer = self.newer.iter();
        older
            .chain(newer.filter_map(|(_, values)| values.get(metric)))
            .max()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rss(bytes: u64) -> Reading {
        let mut reading = Reading::default();
        reading.set_bytes(Metric::Rss, bytes);
        reading
    }

    proptest! {
        #[test]
        fn buckets_are_bounded_ordered_and_consistent_with_the_samples(
            values in prop::collection::vec(prop::option::of(0u64..1 << 50), 1..2000),
            capacity in 0usize..40,
        ) {
            let mut history = History::new(capacity);
            for (i, value) in values.iter().enumerate() {
                let reading = value.map_or_else(Reading::default, rss);
                history.push(Duration::from_millis(i as u64), &reading);
            }
            prop_assert!(history.len() <= capacity.max(MIN_CAPACITY));
            prop_assert_eq!(history.samples(), values.len() as u64);
            // Buckets are adjacent and each covers exactly the samples between its ends.
            let mut next = 0u64;
            for bucket in history.iter() {
                let (start, end) = (bucket.start.as_millis() as u64, bucket.end.as_millis() as u64);
                prop_assert_eq!(start, next);
                prop_assert_eq!(bucket.samples, end - start + 1);
                next = end + 1;
                let inside: Vec<u64> =
                    values[start as usize..=end as usize].iter().flatten().copied().collect();
                match bucket.get(Metric::Rss) {
                    None => prop_assert!(inside.is_empty()),
                    Some(stat) => {
                        prop_assert_eq!(Some(stat.min_bytes), inside.iter().min().copied());
                        prop_assert_eq!(Some(stat.max_bytes), inside.iter().max().copied());
                        prop_assert_eq!(stat.samples, inside.len() as u64);
                        let mean = inside.iter().map(|&b| b as f64).sum::<f64>() / inside.len() as f64;
                        prop_assert!((stat.mean_bytes - mean).abs() <= 1e-9 * mean.max(1.0));
                    }
                }
            }
            prop_assert_eq!(next, values.len() as u64);
        }
    }

    #[test]
    fn long_histories_keep_their_peak_and_resolution() {
        for (samples, interval_ms, widest_s) in
            [(360_000u64, 10u64, 11u64), (120_960, 5_000, 1_320)]
        {
            let mut history = History::new(1024);
            for i in 0..samples {
                let value = if i == samples / 3 { 5_000 } else { 1_000 };
                history.push(Duration::from_millis(i * interval_ms), &rss(value));
            }
            assert!(history.len() <= 1024);
            assert_eq!(history.max_bytes(Metric::Rss), Some(5_000));
            let widest = history.iter().map(|b| b.end - b.start).max().unwrap();
            assert!(widest <= Duration::from_secs(widest_s), "{widest:?}");
            let peak = history
                .iter()
                .find(|b| b.get(Metric::Rss).unwrap().max_bytes == 5_000)
                .unwrap();
            let at = Duration::from_millis(samples / 3 * interval_ms);
            assert!(peak.start <= at && at <= peak.end);
        }
    }

    #[test]
    fn newest_samples_are_not_merged() {
        let mut history = History::new(20);
        for i in 0..1000 {
            history.push(Duration::from_secs(i), &rss(i));
        }
        let singles = history.iter().filter(|bucket| bucket.samples == 1).count();
        assert_eq!(singles, 10);
        assert!(
            history
                .iter()
                .skip(history.len() - 10)
                .all(|bucket| bucket.samples == 1)
        );
    }
}
