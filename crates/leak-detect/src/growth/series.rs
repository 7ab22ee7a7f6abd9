//! Readings of one source in constant memory.

use super::theil_sen::{Interval, trend};

/// Maximum number of means. The trend uses all pairs, at most 32 thousand.
const MEANS: usize = 256;

/// Maximum number of minima: few, so that each is the lowest of many readings.
const MINIMA: usize = 32;

/// How the readings of a point are combined.
#[derive(Clone, Copy)]
enum Combine {
    /// The sum until the point is complete, then the mean.
    Mean,
    Minimum,
}

impl Combine {
    /// Maximum number of points; even.
    fn capacity(self) -> usize {
        match self {
            Self::Mean => MEANS,
            Self::Minimum => MINIMA,
        }
    }
}

/// Evenly spaced points, each from the same number of readings, relative to the first reading. When the
/// capacity is reached, neighbours are combined.
pub(super) struct Series {
    combine: Combine,
    points: Vec<f64>,
    readings_per_point: u64,
    first: Option<u64>,
    /// The readings of the next point, combined.
    partial: f64,
    in_partial: u64,
    readings: u64,
}

impl Series {
    /// Creates a series of means, which use all readings.
    pub(super) fn means() -> Self {
        Self::new(Combine::Mean)
    }

    /// Creates a series of minima, which ignore memory that is in use only at some readings.
    pub(super) fn minima() -> Self {
        Self::new(Combine::Minimum)
    }

    fn new(combine: Combine) -> Self {
        Series {
            combine,
            points: Vec::with_capacity(combine.capacity()),
            readings_per_point: 1,
            first: None,
            partial: 0.0,
            in_partial: 0,
            readings: 0,
        }
    }

    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    pub(super) fn push(&mut self, reading: u64) {
        let first = *self.first.get_or_insert(reading);
        // The signed difference is exact even if the counter wraps around.
        let value = reading.wrapping_sub(first) as i64 as f64;
        self.partial = match self.combine {
            _ if self.in_partial == 0 => value,
            Combine::Mean => self.partial + value,
            Combine::Minimum => self.partial.min(value),
        };
        self.in_partial += 1;
        self.readings += 1;
        if self.in_partial < self.readings_per_point {
            return;
        }
        self.points.push(match self.combine {
            Combine::Mean => self.partial / self.in_partial as f64,
            Combine::Minimum => self.partial,
        });
        self.in_partial = 0;
        if self.points.len() == self.combine.capacity() {
            self.halve();
        }
    }

    /// Combines neighbouring points.
    fn halve(&mut self) {
        let half = self.points.len() / 2;
        for i in 0..half {
            let (a, b) = (self.points[2 * i], self.points[2 * i + 1]);
            self.points[i] = match self.combine {
                Combine::Mean => (a + b) / 2.0,
                Combine::Minimum => a.min(b),
            };
        }
        self.points.truncate(half);
        self.readings_per_point *= 2;
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
        for (mut series, capacity) in [(Series::means(), MEANS), (Series::minima(), MINIMA)] {
            for i in 0..1_000_000 {
                series.push(i * 24);
            }
            assert_eq!(series.points.capacity(), capacity);
            assert_eq!(series.readings(), 1_000_000);
            let trend = series.trend().unwrap();
            assert_eq!((trend.low, trend.slope, trend.high), (24.0, 24.0, 24.0));
        }
    }

    #[test]
    fn minima_ignore_memory_that_is_in_use_at_most_readings() {
        let (mut means, mut minima) = (Series::means(), Series::minima());
        for i in 0..200u64 {
            let reading = 1000 + i * 24 + if i % 8 == 0 { 0 } else { i * 7919 % 100_003 };
            means.push(reading);
            minima.push(reading);
        }
        let trend = minima.trend().unwrap();
        assert_eq!((trend.low, trend.slope, trend.high), (24.0, 24.0, 24.0));
        let trend = means.trend().unwrap();
        assert!(trend.low < 0.0 && trend.high > 100.0, "{trend:?}");
    }

    #[test]
    fn counter_may_wrap_around() {
        let mut series = Series::means();
        for i in 0..20u64 {
            series.push(i.wrapping_mul(8).wrapping_sub(80));
        }
        assert_eq!(series.trend().unwrap().slope, 8.0);
    }
}
