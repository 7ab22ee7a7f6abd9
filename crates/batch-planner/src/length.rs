use std::ops::RangeInclusive;

use crate::{BatchSizeOptimizer, Error, MemoryBudget, Result};

impl MemoryBudget {
    /// Returns the greatest length, in positions, at which a batch of `batch_size` items fits, or `None` if
    /// every length fits because no term grows without a window. With a fitted model, the length is at most
    /// the greatest measured length.
    ///
    /// O(terms).
    ///
    /// ```
    /// use std::num::NonZeroU64;
    /// use batch_planner::{MIB, MemoryBudget, MemoryModel, Term};
    ///
    /// let cache = Term::new("cache").per_item_position(MIB);
    /// let budget = MemoryBudget::new(1000 * MIB, MemoryModel::new().with(cache.clone()));
    /// assert_eq!(budget.longest_length(8)?, Some(125));
    ///
    /// // A cache of the last 100 positions: a stream of any length fits.
    /// let ring = cache.windowed(NonZeroU64::new(100).unwrap());
    /// let budget = MemoryBudget::new(1000 * MIB, MemoryModel::new().with(ring));
    /// assert_eq!(budget.longest_length(8)?, None);
    /// # Ok::<(), batch_planner::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::Infeasible`] if not even the shortest items fit (of one position, or of the smallest measured
    ///   length), with the shortfall and the changes that would help;
    /// - [`Error::InvalidBounds`] if `batch_size` is 0;
    /// - [`Error::OutOfRange`] if `batch_size` is outside the measured range of a fitted model;
    /// - [`Error::Overflow`] if the shortest items need more than `u64::MAX` bytes.
    pub fn longest_length(&self, batch_size: u64) -> Result<Option<u64>> {
        if batch_size == 0 {
            return Err(Error::InvalidBounds {
                floor: 0,
                ceiling: None,
            });
        }
        let range = self.model.range();
        let shortest = range.map_or(1, |range| range.min_sequence_length.max(1));
        let longest = range.map_or(u64::MAX, |range| range.max_sequence_length.max(shortest));
        self.model.check_range(batch_size, shortest)?;
        let fits = |length| self.items(length) >= batch_size;
        match greatest(shortest..=longest, fits) {
            Some(u64::MAX) => Ok(None),
            Some(length) => Ok(Some(length)),
            None => {
                let optimizer = BatchSizeOptimizer::of(self.clone()).with_floor(batch_size);
                Err(optimizer.infeasible(shortest)?)
            }
        }
    }
}

/// Returns the greatest number in `range` for which `holds` is true. `holds` must be monotonic: true
/// up to some number and false above it. O(log of the range's length).
pub(crate) fn greatest(range: RangeInclusive<u64>, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = range.into_inner();
    if low > high || !holds(low) {
        return None;
    }
    // Invariant: `holds(low)` is true, and `holds` is false above `high`.
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_greatest_number_at_every_position() {
        for last in 3..=9 {
            assert_eq!(greatest(3..=9, |number| number <= last), Some(last));
        }
        assert_eq!(greatest(3..=9, |_| false), None);
        assert_eq!(
            greatest(RangeInclusive::new(9, 3), |_| true),
            None,
            "an empty range"
        );
        assert_eq!(greatest(0..=u64::MAX, |_| true), Some(u64::MAX));
    }
}
