//! What was, in bounded space.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use crate::{
    Metric, Reading,
    reading::{Values, as_seconds},
};

/// The least capacity: two buckets in each half, so that there are neighbours to merge.
pub(crate) const LEAST_CAPACITY: usize = 4;

/// Least, mean and greatest value of one metric over the samples of a [`Bucket`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stat {
    /// The least value.
    pub min_bytes: u64,
    /// The mean of the samples, in bytes.
    pub mean_bytes: f64,
    /// The greatest value.
    pub max_bytes: u64,
    /// How many samples knew the metric.
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

/// One or more neighbouring samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Time of the first sample, since the monitor was made.
    pub start: Duration,
    /// Time of the last sample; the same as `start` for a single one.
    pub end: Duration,
    /// How many samples are in it.
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

    /// What is known of a metric.
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
        struct Shown<'a> {
            #[serde(serialize_with = "as_seconds")]
            start_s: &'a Duration,
            #[serde(serialize_with = "as_seconds")]
            end_s: &'a Duration,
            samples: u64,
            stats: std::collections::BTreeMap<&'static str, Stat>,
        }
        Shown {
            start_s: &self.start,
            end_s: &self.end,
            samples: self.samples,
            stats: Metric::ALL
                .into_iter()
                .filter_map(|metric| Some((metric.name(), self.get(metric)?)))
                .collect(),
        }
        .serialize(serializer)
    }
}

/// A bounded record of all samples, however many there were.
///
/// The newer half of the capacity holds single samples. A sample that leaves it joins the newest of
/// the older buckets, until that holds as many samples as its neighbours; when the older half is
/// full, every two neighbours become one and from then on buckets are twice as wide. Every bucket
/// keeps least, mean and greatest value, so a peak is never lost, only its moment becomes less
/// exact: with the default capacity of 1,024, an hour at 10 ms ends in buckets of 11 s or less, a week
/// at 5 s in buckets of 22 min or less. Adding is O(1) amortised.
///
/// ```
/// use std::time::Duration;
/// use mem_monitor::{History, Metric, Reading};
///
/// let mut history = History::new(16);
/// for tick in 0..100_000u64 {
///     let mut reading = Reading::default();
///     reading.set_bytes(Metric::Rss, Some(if tick == 77 { 9_000 } else { 100 }));
///     history.push(Duration::from_millis(tick), &reading);
/// }
/// assert!(history.len() <= 16);
/// assert_eq!(history.max_bytes(Metric::Rss), Some(9_000));
/// ```
#[derive(Clone, Debug)]
pub struct History {
    capacity: usize,
    /// How many samples an older bucket holds when it is complete: a power of two.
    width: u64,
    older: VecDeque<Bucket>,
    /// Single samples.
    newer: VecDeque<(Duration, Values)>,
}

impl History {
    /// A history of at most `capacity` buckets, and no fewer than 4. An older bucket takes about 640
    /// bytes and a newer one 150; space is taken as it is needed.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(LEAST_CAPACITY),
            width: 1,
            older: VecDeque::new(),
            newer: VecDeque::new(),
        }
    }

    /// Adds a sample, taken at `at`, no earlier than the one before.
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

    /// Makes one bucket of every two neighbours.
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

    /// The buckets, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Bucket> {
        let older = self.older.iter().cloned();
        older.chain(self.newer.iter().map(Bucket::new))
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.older.len() + self.newer.len()
    }

    /// Whether there was no sample.
    pub fn is_empty(&self) -> bool {
        self.newer.is_empty()
    }

    /// How many samples there were.
    pub fn samples(&self) -> u64 {
        let older: u64 = self.older.iter().map(|bucket| bucket.samples).sum();
        older + self.newer.len() as u64
    }

    /// The greatest value of a metric in all samples.
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
        reading.set_bytes(Metric::Rss, Some(bytes));
        reading
    }

    proptest! {
        #[test]
        fn bounded_complete_ordered_and_true_to_the_samples(
            values in prop::collection::vec(prop::option::of(0u64..1 << 50), 1..2000),
            capacity in 0usize..40,
        ) {
            let mut history = History::new(capacity);
            for (i, value) in values.iter().enumerate() {
                let reading = value.map_or_else(Reading::default, rss);
                history.push(Duration::from_millis(i as u64), &reading);
            }
            prop_assert!(history.len() <= capacity.max(LEAST_CAPACITY));
            prop_assert_eq!(history.samples(), values.len() as u64);
            // Buckets lie side by side and each tells of exactly the samples between its ends.
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
    fn an_hour_at_10_ms_and_a_week_at_5_s_keep_their_peak_and_their_resolution() {
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
    fn the_newest_samples_stay_single() {
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
