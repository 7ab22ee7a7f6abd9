use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MemoryModel, Sequences, Share};
use bytesize::ByteSize;

/// A memory limit, a margin that stays free, the memory in use, and the model of further memory.
///
/// ```
/// use batch_planner::{MIB, MemoryBudget, MemoryModel, Share};
///
/// let budget = MemoryBudget::new(1000 * MIB, MemoryModel::new()).with_margin(Share::percent::<5>());
/// assert_eq!(budget.usable_bytes(), 950 * MIB);
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryBudget {
    /// The limit in bytes. It applies to the memory in use and the whole model, including the fixed
    /// terms.
    pub limit_bytes: u64,
    /// The bytes in use that the model does not include.
    #[serde(default)]
    pub used_bytes: u64,
    /// The share of the limit that stays free.
    pub margin: Share,
    /// The memory of the program.
    pub model: MemoryModel,
}

impl MemoryBudget {
    /// Returns a budget without a margin and without memory in use. Set them with
    /// [`MemoryBudget::with_margin`] and [`MemoryBudget::with_used`].
    pub fn new(limit_bytes: u64, model: MemoryModel) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            margin: Share::NONE,
            model,
        }
    }

    /// Sets the margin.
    #[must_use]
    pub fn with_margin(self, margin: Share) -> Self {
        Self { margin, ..self }
    }

    /// Sets the bytes in use that the model does not include, such as those of other work in the same
    /// process.
    #[must_use]
    pub fn with_used(self, used_bytes: u64) -> Self {
        Self { used_bytes, ..self }
    }

    /// Returns the limit minus the margin and the memory in use, in bytes; 0 if more is in use. The
    /// margin is rounded up.
    pub fn usable_bytes(&self) -> u64 {
        let limit_bytes = self.margin.rest_of(self.limit_bytes);
        limit_bytes.saturating_sub(self.used_bytes)
    }

    /// Returns the number of sequences that fit, taken in order until one does not fit. Does not check
    /// the range.
    pub(crate) fn sequences(&self, sequences: impl IntoIterator<Item = Sequences>) -> u64 {
        let limit_bytes = self.margin.rest_of(self.limit_bytes);
        limit_bytes
            .checked_sub(self.used_bytes)
            .and_then(|usable| self.model.sequences_in(usable, sequences))
            .unwrap_or(0)
    }

    /// Returns the number of items of this length that fit; `u64::MAX` if an item needs 0 bytes. Does
    /// not check the range.
    pub(crate) fn items(&self, sequence_length: u64) -> u64 {
        self.sequences([Sequences {
            count: u64::MAX,
            length: sequence_length,
        }])
    }

    /// Returns the bytes by which the memory in use and `needed_bytes` exceed the limit minus the margin.
    pub(crate) fn shortfall_bytes(&self, needed_bytes: u64) -> u64 {
        let total = u128::from(self.used_bytes) + u128::from(needed_bytes);
        let limit_bytes = u128::from(self.margin.rest_of(self.limit_bytes));
        u64::try_from(total.saturating_sub(limit_bytes)).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", ByteSize::b(self.limit_bytes))?;
        if self.margin > Share::NONE {
            write!(formatter, " minus {}", self.margin)?;
        }
        if self.used_bytes > 0 {
            write!(formatter, " minus {} in use", ByteSize::b(self.used_bytes))?;
        }
        if self.usable_bytes() < self.limit_bytes {
            write!(formatter, ": {}", ByteSize::b(self.usable_bytes()))?;
        }
        Ok(())
    }
}
