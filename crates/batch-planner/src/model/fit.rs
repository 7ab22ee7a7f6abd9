use std::collections::BTreeSet;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::least_squares::{UNKNOWNS, non_negative};
use super::{MeasuredRange, MemoryModel, Term};
use crate::{Error, Result, Share};

/// One measurement of what a program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Items in the batch.
    pub batch_size: u64,
    /// Steps of each item.
    pub sequence_length: u64,
    /// What was measured at the peak, in bytes. Above 0.
    pub bytes: u64,
}

/// How a model is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitOptions {
    /// The greatest residual allowed, as a share of what was measured at that sample. The default
    /// is 5 %, a choice: half of the 10 % that is commonly kept free for what no one counted.
    pub max_residual: Share,
    /// Pages of steps in which the program allocates; 1 (the default) if it does not.
    pub page_steps: NonZeroU64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            max_residual: Share::FIVE_PERCENT,
            page_steps: NonZeroU64::MIN,
        }
    }
}

/// A model fitted to samples, and how well it fits them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The model: the terms `"fixed"`, `"per item"` and `"per step"`, and `"residual"`, which is
    /// [`Fit::residual_bytes`].
    pub model: MemoryModel,
    /// How far off the best line is at each sample, in the samples' order.
    pub residuals: Vec<Residual>,
    /// The greatest of them, as a share of what was measured there.
    pub worst_share: f64,
    /// How far the best line is below the samples at most, in bytes. The model has it as a term, so
    /// that it is not below any sample.
    pub residual_bytes: u64,
}

/// A sample, and what the best line says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residual {
    /// The sample.
    pub sample: Sample,
    /// What the best line (without the term for residuals) says, in bytes.
    pub fitted_bytes: u64,
}

impl Residual {
    /// The distance, as a share of what was measured. May be above 1.
    pub fn share(&self) -> f64 {
        self.fitted_bytes.abs_diff(self.sample.bytes) as f64 / self.sample.bytes as f64
    }
}

impl MemoryModel {
    /// Fits a model to measurements: the non-negative coefficients (what is fixed, what an item
    /// takes, what a step of an item takes) with the least sum of squared residuals, to the
    /// nearest byte.
    ///
    /// A best line is too low for about half of what it was fitted to, and would plan batches
    /// above the budget. So the fitted model is that line raised by the greatest residual
    /// above it ([`Fit::residual_bytes`]): at every sample it says at least what was measured. In
    /// between that holds as long as memory departs from the line by no more than at the
    /// samples, which is what to choose them for: both ends of the range, and some between.
    ///
    /// The model remembers the range of the samples and answers nothing outside of it.
    ///
    /// O(samples).
    ///
    /// ```
    /// use batch_planner::{Error, FitOptions, MemoryModel, Sample};
    ///
    /// let measure = |batch_size, sequence_length| Sample {
    ///     batch_size,
    ///     sequence_length,
    ///     bytes: 1_000_000 + batch_size * (5_000 + 70 * sequence_length),
    /// };
    /// let samples = [(1, 10), (1, 1000), (8, 10), (8, 1000)].map(|(b, l)| measure(b, l));
    /// let fit = MemoryModel::fit(&samples, &FitOptions::default())?;
    ///
    /// assert_eq!(fit.residual_bytes, 0);
    /// assert_eq!(fit.model.bytes(4, 500)?, 1_000_000 + 4 * (5_000 + 70 * 500));
    /// assert!(matches!(fit.model.bytes(9, 500), Err(Error::OutOfRange { .. })));
    /// # Ok::<(), batch_planner::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::TooFewSamples`]: fewer than four different ones;
    /// - [`Error::DegenerateSamples`]: they cannot tell the coefficients apart;
    /// - [`Error::EmptySample`]: one is of 0 bytes;
    /// - [`Error::NotLinear`]: a residual is above `options.max_residual`;
    /// - [`Error::Overflow`].
    pub fn fit(samples: &[Sample], options: &FitOptions) -> Result<Fit> {
        let range = check(samples)?;
        let rows = samples
            .iter()
            .map(|sample| row(sample, options.page_steps))
            .collect::<Result<Vec<_>>>()?;
        let targets: Vec<f64> = samples.iter().map(|sample| sample.bytes as f64).collect();
        let coefficients =
            non_negative(&rows, &targets).ok_or_else(|| Error::DegenerateSamples {
                batch_sizes: distinct(samples, |sample| sample.batch_size),
                sequence_lengths: distinct(samples, |sample| sample.sequence_length),
            })?;
        // The conversion saturates, and what saturated is far from its sample.
        let [fixed, per_item, per_step] = coefficients.map(|value| value.round() as u64);
        let line = Self {
            terms: vec![
                Term::new("fixed").fixed(fixed),
                Term::new("per item").per_item(per_item),
                Term::new("per step")
                    .per_item_step(per_step)
                    .paged(options.page_steps),
            ],
            range: Some(range),
        };

        let residuals = samples
            .iter()
            .map(|&sample| {
                Ok(Residual {
                    sample,
                    fitted_bytes: line.bytes(sample.batch_size, sample.sequence_length)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let worst = residuals
            .iter()
            .max_by(|a, b| a.share().total_cmp(&b.share()))
            .expect("there are samples, or the check would have failed");
        if worst.share() > options.max_residual.value() {
            return Err(Error::NotLinear {
                worst: worst.share(),
                allowed: options.max_residual,
                sample: worst.sample,
                fitted_bytes: worst.fitted_bytes,
            });
        }
        let residual_bytes = residuals
            .iter()
            .map(|residual| residual.sample.bytes.saturating_sub(residual.fitted_bytes))
            .max()
            .unwrap_or(0);
        Ok(Fit {
            model: line.with(Term::new("residual").fixed(residual_bytes)),
            worst_share: worst.share(),
            residuals,
            residual_bytes,
        })
    }
}

/// That the samples can be fitted, and their range.
fn check(samples: &[Sample]) -> Result<MeasuredRange> {
    let needed = UNKNOWNS + 1;
    let found = distinct(samples, |sample| {
        (sample.batch_size, sample.sequence_length)
    });
    if let Some(empty) = samples.iter().find(|sample| sample.bytes == 0) {
        return Err(Error::EmptySample {
            batch_size: empty.batch_size,
            sequence_length: empty.sequence_length,
        });
    }
    match MeasuredRange::of(samples) {
        Some(range) if found >= needed => Ok(range),
        _ => Err(Error::TooFewSamples { found, needed }),
    }
}

/// What a sample says: `row x coefficients = bytes`.
fn row(sample: &Sample, page_steps: NonZeroU64) -> Result<[f64; UNKNOWNS]> {
    let length = sample
        .sequence_length
        .checked_next_multiple_of(page_steps.get())
        .ok_or_else(|| Error::overflow("a sample's length in whole pages"))?;
    let batch_size = sample.batch_size as f64;
    Ok([1.0, batch_size, batch_size * length as f64])
}

fn distinct<K: Ord>(samples: &[Sample], key: impl Fn(&Sample) -> K) -> usize {
    samples.iter().map(key).collect::<BTreeSet<_>>().len()
}
