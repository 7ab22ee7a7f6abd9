use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::{Error, MemoryBudget, Result};

/// Sequences of equal length that may run in one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sequences {
    /// The number of sequences; `u64::MAX` if it is unknown.
    pub count: u64,
    /// The length of each sequence, in positions.
    pub length: u64,
}

/// How many sequences fit within a budget, and the memory that they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Capacity {
    /// The largest batch size with which any selection of the sequences fits. 0 if the longest sequence
    /// does not fit alone, or if there are no sequences.
    pub batch_size: u64,
    /// The memory in use plus the memory of the longest `batch_size` sequences, in bytes. If no sequence
    /// fits, the batch is the longest sequence alone.
    pub peak_bytes: u64,
    /// The bytes by which the longest sequence alone exceeds the limit minus the margin; 0 if it fits.
    pub shortfall_bytes: u64,
    /// The lowest limit, before the margin, at which the longest sequence fits alone, in bytes.
    pub sufficient_limit_bytes: u64,
}

impl Capacity {
    /// Whether at least the longest sequence fits.
    pub fn fits(&self) -> bool {
        self.shortfall_bytes == 0
    }
}

impl MemoryBudget {
    /// Returns how many of `sequences` may run together in addition to the memory in use.
    ///
    /// Every selection of [`Capacity::batch_size`] sequences fits, because the longest ones do. The batch
    /// size is at most `max_batch_size` and the number of sequences. The question changes no state, so a
    /// plan and the admission that follows it get the same answer from the same numbers.
    ///
    /// O(n log n) for n elements of `sequences`, in any order.
    ///
    /// ```
    /// use batch_planner::{MIB, MemoryBudget, MemoryModel, Sequences, Term};
    ///
    /// // 10 MiB of scratch memory for a batch, and 1 MiB for each position of each sequence.
    /// let model = MemoryModel::new()
    ///     .with(Term::new("scratch").fixed(10 * MIB))
    ///     .with(Term::new("cache").per_item_position(MIB));
    /// let budget = MemoryBudget::new(100 * MIB, model).with_used(40 * MIB);
    ///
    /// // 50 MiB are left for caches: enough for the two longest sequences, but not for three.
    /// let sequences = [20, 10, 25, 15].map(|length| Sequences { count: 1, length });
    /// let capacity = budget.capacity(&sequences, 8)?;
    /// assert_eq!(capacity.batch_size, 2);
    /// assert_eq!(capacity.peak_bytes, (40 + 10 + 25 + 20) * MIB);
    ///
    /// // A sequence that does not fit: the answer has the shortfall and the limit that is sufficient.
    /// let capacity = budget.capacity(&[Sequences { count: 1, length: 60 }], 8)?;
    /// assert_eq!(capacity.batch_size, 0);
    /// assert_eq!(capacity.shortfall_bytes, 10 * MIB);
    /// assert_eq!(capacity.sufficient_limit_bytes, 110 * MIB);
    /// # Ok::<(), batch_planner::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::OutOfRange`] if a batch of the longest sequence alone is outside the measured range of a
    ///   fitted model;
    /// - [`Error::Overflow`] if the longest sequence, with the memory in use, needs more than `u64::MAX`
    ///   bytes or a limit above that.
    pub fn capacity(&self, sequences: &[Sequences], max_batch_size: u64) -> Result<Capacity> {
        let mut sorted = sequences.to_vec();
        sorted.retain(|group| group.count > 0);
        sorted.sort_unstable_by_key(|group| Reverse(group.length));

        let mut max_batch_size = max_batch_size;
        if let Some(longest) = sorted.first() {
            self.model.check_range(1, longest.length)?;
            max_batch_size = max_batch_size.min(self.model.most_items());
        }
        let smallest_batch = u64::from(!sorted.is_empty() && max_batch_size > 0);

        let batch_size = self.sequences(sorted.iter().copied()).min(max_batch_size);
        let needed_bytes = self.bytes_of_longest(&sorted, smallest_batch)?;
        let limit_bytes = self.margin.rest_of(self.limit_bytes);
        Ok(Capacity {
            batch_size,
            peak_bytes: self.bytes_of_longest(&sorted, batch_size.max(smallest_batch))?,
            shortfall_bytes: needed_bytes.saturating_sub(limit_bytes),
            sufficient_limit_bytes: self
                .margin
                .whole_leaving(needed_bytes)
                .ok_or_else(|| Error::overflow("the sufficient limit in bytes"))?,
        })
    }

    /// Returns the memory in use plus that of the first `batch_size` sequences, in bytes.
    fn bytes_of_longest(&self, sorted: &[Sequences], batch_size: u64) -> Result<u64> {
        let overflow = || Error::overflow(format!("the peak in bytes of batch size {batch_size}"));
        let mut total = u128::from(self.used_bytes) + self.model.fixed_bytes();
        let mut left = batch_size;
        for group in sorted {
            if left == 0 {
                break;
            }
            let count = group.count.min(left);
            left -= count;
            let bytes = self.model.item_bytes(group.length).ok_or_else(overflow)?;
            total = total.saturating_add(u128::from(bytes) * u128::from(count));
        }
        u64::try_from(total).map_err(|_| overflow())
    }
}
