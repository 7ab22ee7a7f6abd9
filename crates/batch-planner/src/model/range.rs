use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;

/// The range of a fit's samples: the smallest rectangle that contains all of them. Bounds are
/// inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRange {
    /// The smallest measured batch size.
    pub min_batch_size: u64,
    /// The largest measured batch size.
    pub max_batch_size: u64,
    /// The smallest measured length, in positions.
    pub min_sequence_length: u64,
    /// The largest measured length, in positions.
    pub max_sequence_length: u64,
}

impl MeasuredRange {
    /// Whether the range contains a batch.
    pub fn contains(&self, batch_size: u64, sequence_length: u64) -> bool {
        (self.min_batch_size..=self.max_batch_size).contains(&batch_size)
            && (self.min_sequence_length..=self.max_sequence_length).contains(&sequence_length)
    }

    /// Returns the range of the samples; `None` without samples.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        let batch_sizes = samples.iter().map(|sample| sample.batch_size);
        let lengths = samples.iter().map(|sample| sample.sequence_length);
        Some(Self {
            min_batch_size: batch_sizes.clone().min()?,
            max_batch_size: batch_sizes.max()?,
            min_sequence_length: lengths.clone().min()?,
            max_sequence_length: lengths.max()?,
        })
    }
}

impl fmt::Display for MeasuredRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "batch sizes {} to {}, lengths {} to {}",
            self.min_batch_size,
            self.max_batch_size,
            self.min_sequence_length,
            self.max_sequence_length
        )
    }
}
