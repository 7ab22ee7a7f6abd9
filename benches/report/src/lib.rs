//! The reports of the benchmark suites: what `benches` writes as JSON and `cargo xtask bench` prints.
//!
//! There is one module for each suite that writes a report. An unknown value is `None`.

pub mod allocation;
pub mod memory;
pub mod speed;

use serde::{Deserialize, Serialize};

/// Load averages of the system: processes that were running or waiting to run, over one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadAverage {
    /// When the suite started.
    pub before: Option<f64>,
    /// When the suite ended.
    pub after: Option<f64>,
}

/// The distribution of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median; the mean of the two middle values if their number is even.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The number of values.
    pub samples: usize,
}

impl Spread {
    /// Returns the distribution of `values`; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = values.first().zip(values.last())?;
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Some(Self {
            median,
            min,
            max,
            samples: values.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_value_or_the_mean_of_the_two_middle_values() {
        let of = |values: &[f64]| Spread::of(values.iter().copied()).unwrap();
        let odd = of(&[9.0, 1.0, 4.0]);
        assert_eq!(
            (odd.median, odd.min, odd.max, odd.samples),
            (4.0, 1.0, 9.0, 3)
        );
        assert_eq!(of(&[4.0, 1.0, 9.0, 2.0]).median, 3.0);
        assert_eq!(of(&[-2.0]).median, -2.0);
        assert_eq!(Spread::of([]), None);
    }
}
