//! Growth over a sliding window.

use std::{collections::VecDeque, time::Duration};

/// Points in a window. 24 points have 276 slopes, which take a few microseconds, at most 24 times per
/// window.
const POINTS: usize = 24;

/// The fewest points with a meaningful bound: with 6 it is the third smallest of 15 slopes.
const MIN_POINTS: usize = 6;

/// The 97.5 % quantile of the normal distribution, for a two-sided 95 % interval.
const NORMAL_975: f64 = 1.96;

/// Growth over a sliding window.
///
/// The slope is the lower end of Sen's 95 % confidence interval (P. K. Sen, "Estimates of the
/// regression coefficient based on Kendall's tau", 1968). Single spikes and one jump (a file that
/// is loaded) have no effect on it.
#[derive(Clone, Debug)]
pub(crate) struct Trend {
    spacing: Duration,
    points: VecDeque<(f64, f64)>,
    slope: Option<f64>,
}

impl Trend {
    /// Creates a trend over `window`, which widens if samples are too rare to fill it.
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            spacing: window / POINTS as u32,
            points: VecDeque::with_capacity(POINTS),
            slope: None,
        }
    }

    pub(crate) fn push(&mut self, at: Duration, bytes: u64) {
        let at = at.as_secs_f64();
        // 10 % tolerance, so that a sample that is slightly early is not skipped.
        if self
            .points
            .back()
            .is_some_and(|(last, _)| at - last < self.spacing.as_secs_f64() * 0.9 || at <= *last)
        {
            return;
        }
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back((at, bytes as f64));
        self.slope = self.lower_bound();
    }

    /// Returns the lower bound of the growth; negative if memory shrinks, `None` with too few
    /// points.
    pub(crate) fn bytes_per_second(&self) -> Option<f64> {
        self.slope
    }

    pub(crate) fn clear(&mut self) {
        self.points.clear();
        self.slope = None;
    }

    fn lower_bound(&self) -> Option<f64> {
        let n = self.points.len();
        if n < MIN_POINTS {
            return None;
        }
        let mut slopes: Vec<f64> = (0..n)
            .flat_map(|later| (0..later).map(move |earlier| (earlier, later)))
            .map(|(a, b)| {
                let ((t0, y0), (t1, y1)) = (self.points[a], self.points[b]);
                (y1 - y0) / (t1 - t0)
            })
            .collect();
        let count = n as f64;
        let deviation = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
        let rank = (slopes.len() as f64 - NORMAL_975 * deviation) / 2.0;
        let rank = rank.max(0.0) as usize;
        let (_, slope, _) = slopes.select_nth_unstable_by(rank, f64::total_cmp);
        Some(*slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trend(values: impl IntoIterator<Item = u64>) -> Trend {
        let mut trend = Trend::new(Duration::from_secs(24));
        for (i, value) in values.into_iter().enumerate() {
            trend.push(Duration::from_secs(i as u64), value);
        }
        trend
    }

    #[test]
    fn ramp_has_its_slope() {
        let slope = trend((0..60).map(|i| 1000 * i)).bytes_per_second().unwrap();
        assert!((slope - 1000.0).abs() < 1e-6, "{slope}");
    }

    #[test]
    fn too_few_points_have_no_slope() {
        assert_eq!(trend([1, 2, 3, 4, 5]).bytes_per_second(), None);
    }

    #[test]
    fn dense_samples_are_thinned_out() {
        let mut trend = Trend::new(Duration::from_secs(24));
        for i in 0..10_000u64 {
            trend.push(Duration::from_millis(i * 10), i * 10);
        }
        assert!(trend.points.len() <= POINTS);
        let slope = trend.bytes_per_second().unwrap();
        assert!((slope - 1000.0).abs() < 1.0, "{slope}");
    }

    proptest! {
        #[test]
        fn one_jump_is_no_growth(at in 0usize..100, height in 1u64..1 << 40) {
            let mut trend = Trend::new(Duration::from_secs(24));
            for i in 0..100 {
                trend.push(Duration::from_secs(i as u64), if i >= at { height } else { 0 });
                if let Some(slope) = trend.bytes_per_second() {
                    prop_assert!(slope <= 0.0, "{} at {}", slope, i);
                }
            }
        }

        #[test]
        fn noise_adds_at_most_its_own_slope(
            noise in prop::collection::vec(0u64..1000, 24),
            slope in 0u64..10_000,
        ) {
            let found = trend(noise.iter().enumerate().map(|(i, n)| slope * i as u64 + n))
                .bytes_per_second()
                .unwrap();
            // No pair of neighbours is steeper than slope + 1000 per second.
            prop_assert!(found <= slope as f64 + 1000.0);
        }
    }
}
