//! Peaks since a baseline.

use crate::{Metric, Reading};

/// Peaks since the last baseline.
#[derive(Clone, Debug, Default)]
pub(super) struct Peaks {
    /// Peak of the resident set.
    pub(super) rss: Option<u64>,
    /// Peak of the usage, including the heap counter's peak.
    pub(super) usage: Option<u64>,
    /// High-water mark and heap counter's peak at the baseline. Both cover the process's lifetime, so
    /// they count only above these values.
    high_water_before: Option<u64>,
    heap_peak_before: Option<u64>,
}

impl Peaks {
    pub(super) fn since(high_water: Option<u64>, heap_peak: Option<u64>) -> Self {
        Self {
            rss: None,
            usage: None,
            high_water_before: high_water,
            heap_peak_before: heap_peak,
        }
    }

    pub(super) fn observe(&mut self, reading: &Reading) {
        let risen = |now: Option<u64>, before: Option<u64>| now.filter(|_| now > before);
        let high_water = risen(reading.bytes(Metric::RssHighWater), self.high_water_before);
        let heap_peak = risen(reading.bytes(Metric::HeapPeak), self.heap_peak_before);
        // `None` is less than any value.
        self.rss = self.rss.max(reading.bytes(Metric::Rss)).max(high_water);
        self.usage = self
            .usage
            .max(reading.usage_bytes())
            .max(reading.bytes(Metric::Heap))
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
            reading.set_bytes(metric, bytes);
        }
        reading
    }

    #[test]
    fn high_water_mark_counts_only_above_its_baseline() {
        let mut peaks = Peaks::since(Some(500), Some(300));
        peaks.observe(&reading(&[
            (Metric::Rss, 100),
            (Metric::RssHighWater, 500),
            (Metric::Heap, 50),
            (Metric::HeapPeak, 300),
        ]));
        assert_eq!((peaks.rss, peaks.usage), (Some(100), Some(100)));
        peaks.observe(&reading(&[(Metric::Rss, 90), (Metric::RssHighWater, 501)]));
        assert_eq!((peaks.rss, peaks.usage), (Some(501), Some(501)));
        peaks.observe(&reading(&[(Metric::HeapPeak, 700)]));
        assert_eq!((peaks.rss, peaks.usage), (Some(501), Some(700)));
    }

    #[test]
    fn empty_reading_has_no_peak() {
        let mut peaks = Peaks::default();
        peaks.observe(&Reading::default());
        assert_eq!((peaks.rss, peaks.usage), (None, None));
    }
}
