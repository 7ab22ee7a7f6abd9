use std::collections::BTreeSet;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::least_squares::{UNKNOWNS, non_negative};
use super::{MeasuredRange, MemoryModel, Term};
use bytesize::ByteSize;

use crate::{Error, Result, Share};

/// One measurement of a program's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The number of items in the batch.
    pub batch_size: u64,
    /// The length of each item, in positions.
    pub sequence_length: u64,
    /// The measured peak, in bytes. Above 0.
    pub bytes: u64,
}

/// Options of a fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitOptions {
    /// The greatest allowed residual, as a share of the sample's measured bytes. The default is
    /// 5 %: half of the 10 % that is commonly left free for unaccounted memory.
    pub max_residual: Share,
    /// The number of positions in a page of the program's memory; 1 (the default) without pages.
    pub page_positions: NonZeroU64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            max_residual: Share::percent::<5>(),
            page_positions: NonZeroU64::MIN,
        }
    }
}

/// A model fitted to samples, with its residuals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The model: the terms `"fixed"`, `"per item"` and `"per position"`, and `"residual"`, which is
    /// [`Fit::residual_bytes`].
    pub model: MemoryModel,
    /// The residual of the fitted line at each sample, in the samples' order.
    pub residuals: Vec<Residual>,
    /// The greatest residual, as a share of the sample's measured bytes.
    pub worst_share: f64,
    /// The greatest distance of the fitted line below a sample, in bytes. The model includes it as
    /// a term, so the model is not below any sample.
    pub residual_bytes: u64,
}

/// A sample and the fitted line's value there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residual {
    /// The sample.
    pub sample: Sample,
    /// The value of the fitted line, without the `"residual"` term, in bytes.
    pub fitted_bytes: u64,
}

impl Residual {
    /// Returns the absolute residual as a share of the measured bytes. May be above 1.
    pub fn share(&self) -> f64 {
        self.fitted_bytes.abs_diff(self.sample.bytes) as f64 / self.sample.bytes as f64
    }
}

/// Why samples cannot be fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// There are too few samples to check that memory is linear. The minimum is one more than the
    /// number of coefficients; with fewer samples every residual is 0.
    #[error(
        "a fit needs at least {needed} distinct samples, but there are {found}; measure more batch \
         sizes and lengths"
    )]
    TooFewSamples {
        /// The number of samples with distinct batch size or length.
        found: usize,
        /// The minimum number of such samples.
        needed: usize,
    },

    /// The samples do not determine the coefficients.
    #[error(
        "the samples do not determine the fixed, per-item and per-position memory: they have \
         {batch_sizes} batch sizes and {sequence_lengths} lengths; measure at least two batch \
         sizes at each of two lengths (in different pages if memory is paged)"
    )]
    DegenerateSamples {
        /// The number of distinct batch sizes.
        batch_sizes: usize,
        /// The number of distinct lengths.
        sequence_lengths: usize,
    },

    /// A sample has 0 bytes, so its residual cannot be stated as a share.
    #[error(
        "the sample with batch size {batch_size} and length {sequence_length} has 0 bytes; \
         a measurement must be above 0, so remove the sample"
    )]
    EmptySample {
        /// The sample's batch size.
        batch_size: u64,
        /// The sample's length, in positions.
        sequence_length: u64,
    },

    /// The residual of a sample is above the allowed share.
    #[error(
        "memory is not linear: the best fit is off by {:.1} % at batch size {}, length {} \
         (measured {}, fitted {}), but at most {allowed} is allowed; fit a smaller range, set the page \
         length, or raise `max_residual`",
        .worst * 100.0, .sample.batch_size, .sample.sequence_length, ByteSize::b(.sample.bytes),
        ByteSize::b(*.fitted_bytes)
    )]
    NotLinear {
        /// The greatest residual, as a share of the measured bytes. May be above 1.
        worst: f64,
        /// The greatest residual that is allowed.
        allowed: Share,
        /// The sample with that residual.
        sample: Sample,
        /// The fitted value of the sample, in bytes.
        fitted_bytes: u64,
    },
}

impl MemoryModel {
    /// Fits a model to measurements by non-negative least squares. The coefficients (fixed, per
    /// item, per position of an item) are rounded to the nearest byte.
    ///
    /// A least-squares line is below about half of its samples, so it would plan batches above the
    /// budget. The fitted model is therefore the line plus the greatest residual above it
    /// ([`Fit::residual_bytes`]). The model is not below any sample. Between samples this holds if
    /// memory deviates from the line by no more than at the samples, so measure both ends of the
    /// range and some points between.
    ///
    /// The model stores the range of the samples and returns an error outside the range.
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
    /// - [`FitError::TooFewSamples`]: fewer than four distinct samples;
    /// - [`FitError::DegenerateSamples`]: the samples do not determine the coefficients;
    /// - [`FitError::EmptySample`]: a sample has 0 bytes;
    /// - [`FitError::NotLinear`]: a residual is above `options.max_residual`;
    /// - [`Error::Overflow`]: a length or the memory of a sample is above `u64::MAX`.
    pub fn fit(samples: &[Sample], options: &FitOptions) -> Result<Fit> {
        let range = check(samples)?;
        let rows = samples
            .iter()
            .map(|sample| row(sample, options.page_positions))
            .collect::<Result<Vec<_>>>()?;
        let targets: Vec<f64> = samples.iter().map(|sample| sample.bytes as f64).collect();
        let coefficients =
            non_negative(&rows, &targets).ok_or_else(|| FitError::DegenerateSamples {
                batch_sizes: distinct(samples, |sample| sample.batch_size),
                sequence_lengths: distinct(samples, |sample| sample.sequence_length),
            })?;
        // The conversion saturates. A saturated coefficient causes a residual that is rejected below.
        let [fixed, per_item, per_position] = coefficients.map(|value| value.round() as u64);
        let line = Self {
            terms: vec![
                Term::new("fixed").fixed(fixed),
                Term::new("per item").per_item(per_item),
                Term::new("per position")
                    .per_item_position(per_position)
                    .paged(options.page_positions),
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
            .expect("`check` rejects an empty list");
        if worst.share() > options.max_residual.value() {
            Err(FitError::NotLinear {
                worst: worst.share(),
                allowed: options.max_residual,
                sample: worst.sample,
                fitted_bytes: worst.fitted_bytes,
            })?;
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

/// Validates the samples and returns their range.
fn check(samples: &[Sample]) -> Result<MeasuredRange, FitError> {
    let needed = UNKNOWNS + 1;
    let found = distinct(samples, |sample| {
        (sample.batch_size, sample.sequence_length)
    });
    if let Some(empty) = samples.iter().find(|sample| sample.bytes == 0) {
        return Err(FitError::EmptySample {
            batch_size: empty.batch_size,
            sequence_length: empty.sequence_length,
        });
    }
    match MeasuredRange::of(samples) {
        Some(range) if found >= needed => Ok(range),
        _ => Err(FitError::TooFewSamples { found, needed }),
    }
}

/// Returns the sample's row of the system `row x coefficients = bytes`.
fn row(sample: &Sample, page_positions: NonZeroU64) -> Result<[f64; UNKNOWNS]> {
    let length = sample
        .sequence_length
        .checked_next_multiple_of(page_positions.get())
        .ok_or_else(|| Error::overflow("the length of a sample, rounded up to whole pages,"))?;
    let batch_size = sample.batch_size as f64;
    Ok([1.0, batch_size, batch_size * length as f64])
}

fn distinct<K: Ord>(samples: &[Sample], key: impl Fn(&Sample) -> K) -> usize {
    samples.iter().map(key).collect::<BTreeSet<_>>().len()
}
