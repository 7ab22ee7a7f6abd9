use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;

/// What samples cover: the smallest rectangle that holds all of them. Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRange {
    /// The smallest batch size measured.
    pub min_batch_size: u64,
    /// The largest batch size measured.
    pub max_batch_size: u64,
    /// The smallest length measured, in steps.
    pub min_sequence_length: u64,
    /// The largest length measured, in steps.
    pub max_sequence_length: u64,
}

impl MeasuredRange {
    /// Whether a batch lies inside.
    pub fn contains(&self, batch_size: u64, sequence_length: u64) -> bool {
        (self.min_batch_size..=self.max_batch_size).contains(&batch_size)
            && (self.min_sequence_length..=self.max_sequence_length).contains(&sequence_length)
    }

    /// The range of samples; `None` if there are none.
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
