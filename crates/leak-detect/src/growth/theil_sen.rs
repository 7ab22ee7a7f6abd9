//! Theil–Sen slope with a confidence interval.
//!
//! The slope is the median of the slopes between all pairs of points (Theil 1950). The ends of the
//! interval are order statistics of these slopes (Sen 1968), at ranks given by the variance of
//! Kendall's S without a trend. That variance assumes independent residuals, but readings of memory
//! are autocorrelated: a buffer fills and empties. So the variance of S is multiplied by n/n* (Hamed &
//! Rao 1998), from the autocorrelation of the residuals' ranks.

/// A slope with its 99 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) slope: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The normal approximation of S requires at least this many points (Gilbert 1987, section 16.4.2).
pub(super) const MIN_POINTS: usize = 10;

/// The 99.5 % quantile of the normal distribution, for a two-sided 99 % interval.
const Z_99: f64 = 2.575_829;

/// Returns the trend of evenly spaced `values`; `None` below [`MIN_POINTS`]. O(n²).
pub(super) fn trend(values: &[f64]) -> Option<Interval> {
    let count = values.len();
    if count < MIN_POINTS {
        return None;
    }
    let mut slopes = Vec::with_capacity(count * (count - 1) / 2);
    for (i, first) in values.iter().enumerate() {
        for (distance, second) in values[i + 1..].iter().enumerate() {
            slopes.push((second - first) / (distance + 1) as f64);
        }
    }
    let pairs = slopes.len();
    let (_, &mut above, _) = slopes.select_nth_unstable_by(pairs / 2, f64::total_cmp);
    let (_, &mut below, _) = slopes.select_nth_unstable_by((pairs - 1) / 2, f64::total_cmp);
    let slope = (below + above) / 2.0;

    let residuals: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(i, value)| value - slope * i as f64)
        .collect();
    let variance = kendall_variance(values) * correlation_factor(&ranks(&residuals));
    let spread = Z_99 * variance.sqrt();
    let low = ((pairs as f64 - spread) / 2.0).floor() - 1.0;
    let high = ((pairs as f64 + spread) / 2.0).ceil();
    // With very strong autocorrelation the ranks are out of range and the interval is open.
    let mut at = |rank: f64, open: f64| match rank >= 0.0 && rank < pairs as f64 {
        true => {
            *slopes
                .select_nth_unstable_by(rank as usize, f64::total_cmp)
                .1
        }
        false => open,
    };
    Some(Interval {
        slope,
        low: at(low, f64::NEG_INFINITY),
        high: at(high, f64::INFINITY),
    })
}

/// Returns the variance of Kendall's S without a trend, corrected for ties (Kendall 1975).
fn kendall_variance(values: &[f64]) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|tied| term(tied.len() as f64))
        .sum();
    term(values.len() as f64) - ties
}

/// Returns the ranks from 0; ties share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|&i| ranks[i] = rank);
        start += tied.len();
    }
    ranks
}

/// Returns n/n* of Hamed & Rao, from the lags before the first without positive correlation. Later
/// estimates are mostly noise (Geyer 1992 truncates there too), and negative correlations would narrow
/// the interval.
fn correlation_factor(ranks: &[f64]) -> f64 {
    let n = ranks.len() as f64;
    let mean = (n - 1.0) / 2.0;
    let square_sum: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
    if square_sum == 0.0 {
        return 1.0;
    }
    let mut sum = 0.0;
    for lag in 1..ranks.len() - 2 {
        let products = ranks
            .iter()
            .zip(&ranks[lag..])
            .map(|(a, b)| (a - mean) * (b - mean));
        let correlation = products.sum::<f64>() / square_sum;
        if correlation <= 0.0 {
            break;
        }
        let left = n - lag as f64;
        sum += left * (left - 1.0) * (left - 2.0) * correlation;
    }
    1.0 + 2.0 * sum / (n * (n - 1.0) * (n - 2.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn straight_line_has_its_slope_and_no_width() {
        let values: Vec<f64> = (0..50).map(|i| 7.0 + 3.0 * f64::from(i)).collect();
        let expected = Interval {
            slope: 3.0,
            low: 3.0,
            high: 3.0,
        };
        assert_eq!(trend(&values), Some(expected));
    }

    #[test]
    fn single_jump_is_not_growth() {
        let values: Vec<f64> = (0..100).map(|i| if i < 20 { 0.0 } else { 1e6 }).collect();
        let trend = trend(&values).unwrap();
        assert_eq!((trend.slope, trend.low), (0.0, 0.0));
    }

    #[test]
    fn outliers_do_not_move_the_slope() {
        let mut values: Vec<f64> = (0..50).map(f64::from).collect();
        values[3] = 1e9;
        values[40] = -1e9;
        let trend = trend(&values).unwrap();
        assert!((trend.slope - 1.0).abs() < 1e-9, "{trend:?}");
    }

    /// 10 points have 45 pairs and Var S = 10 * 9 * 25 / 18 = 125; Z sqrt(125) = 28.8, so
    /// the interval is from rank (45 - 28.8) / 2 = 8.1 to (45 + 28.8) / 2 = 36.9, rounded
    /// outwards.
    #[test]
    fn interval_of_independent_points_has_sens_ranks() {
        // Alternating residuals have no positive lag, so the interval is not widened.
        let values = [0.0, 9.0, 2.0, 11.0, 4.0, 13.0, 6.0, 15.0, 8.0, 17.0];
        let mut slopes = Vec::new();
        for i in 0..10 {
            for j in i + 1..10 {
                slopes.push((values[j] - values[i]) / (j - i) as f64);
            }
        }
        slopes.sort_by(f64::total_cmp);
        let trend = trend(&values).unwrap();
        assert_eq!((trend.low, trend.high), (slopes[7], slopes[37]));
    }

    #[test]
    fn too_few_points_have_no_trend() {
        assert_eq!(trend(&[0.0; MIN_POINTS - 1]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(7),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn linear_trend_adds_to_the_slope(
            values in prop::collection::vec(-1000i32..1000, MIN_POINTS..60),
            added in -100i32..100,
        ) {
            // Integers, so that only the division rounds.
            let plain: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            let trended = plain.iter().zip(0..).map(|(value, i)| value + f64::from(added * i));
            let tilted: Vec<f64> = trended.collect();
            let (plain, tilted) = (trend(&plain).unwrap(), trend(&tilted).unwrap());
            let near = |a: f64, b: f64| a == b || (a - b).abs() < 1e-6;
            prop_assert!(plain.low <= plain.slope && plain.slope <= plain.high);
            prop_assert!(near(plain.slope + f64::from(added), tilted.slope));
        }

        #[test]
        fn reversed_values_have_the_opposite_slope(
            values in prop::collection::vec(-1000i32..1000, MIN_POINTS..60),
        ) {
            let forward: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            let backward: Vec<f64> = forward.iter().rev().copied().collect();
            let (forward, backward) = (trend(&forward).unwrap(), trend(&backward).unwrap());
            prop_assert_eq!(forward.slope, -backward.slope);
        }
    }
}
