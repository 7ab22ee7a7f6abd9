//! The most that was used since a moment.

use crate::{Bytes, Metric, Reading};

/// Peaks since the last baseline.
#[derive(Clone, Debug, Default)]
pub(super) struct Peaks {
    /// Of the resident set.
    pub(super) rss: Option<Bytes>,
    /// Of what the process used, heap peak included.
    pub(super) usage: Option<Bytes>,
    /// What the kernel's mark and the heap counter's peak were at the baseline: they are over the
    /// process's life, so only what rises above these belongs to the time since.
    high_water_before: Option<Bytes>,
    heap_peak_before: Option<Bytes>,
}

impl Peaks {
    pub(super) fn since(high_water: Option<Bytes>, heap_peak: Option<Bytes>) -> Self {
        Self {
            rss: None,
            usage: None,
            high_water_before: high_water,
            heap_peak_before: heap_peak,
        }
    }

    pub(super) fn observe(&mut self, reading: &Reading) {
        let risen = |now: Option<Bytes>, before: Option<Bytes>| now.filter(|_| now > before);
        let high_water = risen(reading.get(Metric::RssHighWater), self.high_water_before);
        let heap_peak = risen(reading.get(Metric::HeapPeak), self.heap_peak_before);
        // `None` is less than any value.
        self.rss = self.rss.max(reading.get(Metric::Rss)).max(high_water);
        self.usage = self
            .usage
            .max(reading.usage())
            .max(reading.get(Metric::Heap))
            .max(self.rss)
            .max(heap_peak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(values: &[(Metric, u64)]) -> Reading {
        let mut reading = Reading::default();
        for &(metric, bytes) in values {
            reading.set(metric, Some(Bytes(bytes)));
        }
        reading
    }

    #[test]
    fn a_mark_counts_only_above_its_baseline() {
        let mut peaks = Peaks::since(Some(Bytes(500)), Some(Bytes(300)));
        peaks.observe(&reading(&[
            (Metric::Rss, 100),
            (Metric::RssHighWater, 500),
            (Metric::Heap, 50),
            (Metric::HeapPeak, 300),
        ]));
        assert_eq!(
            (peaks.rss, peaks.usage),
            (Some(Bytes(100)), Some(Bytes(100)))
        );
        peaks.observe(&reading(&[(Metric::Rss, 90), (Metric::RssHighWater, 501)]));
        assert_eq!(
            (peaks.rss, peaks.usage),
            (Some(Bytes(501)), Some(Bytes(501)))
        );
        peaks.observe(&reading(&[(Metric::HeapPeak, 700)]));
        assert_eq!(
            (peaks.rss, peaks.usage),
            (Some(Bytes(501)), Some(Bytes(700)))
        );
    }

    #[test]
    fn nothing_known_is_no_peak() {
        let mut peaks = Peaks::default();
        peaks.observe(&Reading::default());
        assert_eq!((peaks.rss, peaks.usage), (None, None));
    }
}
