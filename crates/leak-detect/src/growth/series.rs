//! Readings of one source in constant memory.

use super::theil_sen::{Interval, trend};

/// Maximum number of points. When it is reached, neighbours are averaged. The trend uses all pairs, at
/// most 32 thousand.
const CAPACITY: usize = 256;

/// Evenly spaced points, each the mean of the same number of readings, relative to the first
/// reading.
pub(super) struct Series {
    points: Vec<f64>,
    readings_per_point: u64,
    first: Option<u64>,
    sum: f64,
    in_sum: u64,
    readings: u64,
}

impl Series {
    pub(super) fn new() -> Self {
        Series {
            points: Vec::with_capacity(CAPACITY),
            readings_per_point: 1,
            first: None,
            sum: 0.0,
            in_sum: 0,
            readings: 0,
        }
    }

    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    pub(super) fn push(&mut self, reading: u64) {
        let first = *self.first.get_or_insert(reading);
        // The signed difference is exact even if the counter wraps around.
        self.sum += reading.wrapping_sub(first) as i64 as f64;
        self.in_sum += 1;
        self.readings += 1;
        if self.in_sum < self.readings_per_point {
            return;
        }
        self.points.push(self.sum / self.in_sum as f64);
        (self.sum, self.in_sum) = (0.0, 0);
        if self.points.len() == CAPACITY {
            for i in 0..CAPACITY / 2 {
                self.points[i] = (self.points[2 * i] + self.points[2 * i + 1]) / 2.0;
            }
            self.points.truncate(CAPACITY / 2);
            self.readings_per_point *= 2;
        }
    }

    /// Returns the trend per reading.
    pub(super) fn trend(&self) -> Option<Interval> {
        let per_point = trend(&self.points)?;
        let readings = self.readings_per_point as f64;
        Some(Interval {
            slope: per_point.slope / readings,
            low: per_point.low / readings,
            high: per_point.high / readings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_keeps_its_slope_in_constant_memory() {
        let mut series = Series::new();
        for i in 0..1_000_000 {
            series.push(i * 24);
        }
        assert_eq!(series.points.capacity(), CAPACITY);
        assert_eq!(series.readings(), 1_000_000);
        let trend = series.trend().unwrap();
        assert_eq!((trend.low, trend.slope, trend.high), (24.0, 24.0, 24.0));
    }

    #[test]
    fn counter_may_wrap_around() {
        let mut series = Series::new();
        for i in 0..20u64 {
            series.push(i.wrapping_mul(8).wrapping_sub(80));
        }
        assert_eq!(series.trend().unwrap().slope, 8.0);
    }
}
