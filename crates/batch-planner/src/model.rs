mod dimensions;
mod estimate;
mod fit;
mod least_squares;
mod range;
mod term;

use serde::{Deserialize, Serialize};

pub use dimensions::{SlidingWindow, TransformerDimensions};
pub use estimate::{Estimate, Item};
pub use fit::{Fit, FitError, FitOptions, Residual, Sample};
pub use range::MeasuredRange;
pub use term::Term;

use crate::{Error, Result, Sequences};

/// A program's memory as a sum of named terms. Each term has fixed bytes, bytes per item of a
/// batch, and bytes per position of each item.
///
/// ```text
/// bytes(batch, length) = sum over terms of
///     fixed + batch x (per item + per position x length rounded up to whole pages)
/// ```
///
/// In a term with a [window](Term::windowed), a length above the window counts as the window.
///
/// The result never decreases when the batch size or the length grows. Build a model from a
/// program's dimensions, term by term or with [`TransformerDimensions`], or
/// [fit](MemoryModel::fit) it to measurements. Terms may be added to either kind.
///
/// ```
/// use std::num::NonZeroU64;
/// use batch_planner::{MIB, MemoryModel, Term};
///
/// // An image server: weights, decoded pictures, and tiles that are allocated in rows of 16.
/// let model = MemoryModel::new()
///     .with(Term::new("weights").fixed(90 * MIB))
///     .with(Term::new("pictures").per_item(12 * MIB))
///     .with(Term::new("tiles").per_item_position(4096).paged(NonZeroU64::new(16).unwrap()));
///
/// assert_eq!(model.bytes(2, 17)?, 90 * MIB + 2 * (12 * MIB + 32 * 4096));
/// println!("{}", model.itemise(2, 17)?);
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryModel {
    terms: Vec<Term>,
    range: Option<MeasuredRange>,
}

impl MemoryModel {
    /// Returns a model without terms, whose memory is 0 bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a term.
    #[must_use]
    pub fn with(mut self, term: Term) -> Self {
        self.terms.push(term);
        self
    }

    /// Returns the terms in the order in which they were added.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Returns the measured range of a fitted model. Every query outside the range is an error.
    pub fn range(&self) -> Option<&MeasuredRange> {
        self.range.as_ref()
    }

    /// Returns the memory of a batch, in bytes. O(terms).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] outside the range of a fitted model, [`Error::Overflow`] above
    /// `u64::MAX`.
    pub fn bytes(&self, batch_size: u64, sequence_length: u64) -> Result<u64> {
        self.check_range(batch_size, sequence_length)?;
        let mut total = 0_u64;
        for term in &self.terms {
            let bytes = term.bytes(batch_size, sequence_length)?;
            total = total
                .checked_add(bytes)
                .ok_or_else(|| overflow(batch_size, sequence_length))?;
        }
        Ok(total)
    }

    /// Returns the memory of a batch, term by term. O(terms).
    ///
    /// # Errors
    ///
    /// The same as [`MemoryModel::bytes`].
    pub fn itemise(&self, batch_size: u64, sequence_length: u64) -> Result<Estimate> {
        let total_bytes = self.bytes(batch_size, sequence_length)?;
        let items = self
            .terms
            .iter()
            .map(|term| {
                Ok(Item {
                    name: term.name.clone(),
                    bytes: term.bytes(batch_size, sequence_length)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Estimate {
            batch_size,
            sequence_length,
            items,
            total_bytes,
        })
    }

    /// Returns an error for a batch outside the range of a fitted model.
    pub(crate) fn check_range(&self, batch_size: u64, sequence_length: u64) -> Result<()> {
        match self.range {
            Some(range) if !range.contains(batch_size, sequence_length) => Err(Error::OutOfRange {
                batch_size,
                sequence_length,
                range,
            }),
            _ => Ok(()),
        }
    }

    /// Returns the largest batch size that the model accepts.
    pub(crate) fn most_items(&self) -> u64 {
        self.range.map_or(u64::MAX, |range| range.max_batch_size)
    }

    /// Returns the memory of an empty batch, in bytes.
    pub(crate) fn fixed_bytes(&self) -> u128 {
        self.terms
            .iter()
            .map(|term| u128::from(term.fixed_bytes))
            .sum()
    }

    /// Returns the memory of one item of this length without fixed memory, in bytes; `None` above
    /// `u64::MAX`.
    pub(crate) fn item_bytes(&self, sequence_length: u64) -> Option<u64> {
        self.terms.iter().try_fold(0_u64, |total, term| {
            total.checked_add(term.item_bytes(sequence_length)?)
        })
    }

    /// Returns the number of sequences that fit in `usable_bytes`, taken in order until one does not
    /// fit, or `None` if the fixed memory does not fit. Does not check the range.
    pub(crate) fn sequences_in(
        &self,
        usable_bytes: u64,
        sequences: impl IntoIterator<Item = Sequences>,
    ) -> Option<u64> {
        // At most `usable_bytes`, which is a `u64`.
        let mut left = u128::from(usable_bytes).checked_sub(self.fixed_bytes())? as u64;
        let mut total = 0_u64;
        for group in sequences {
            let fits = match self.item_bytes(group.length) {
                Some(0) => group.count,
                Some(bytes) => (left / bytes).min(group.count),
                None => 0,
            };
            total = total.saturating_add(fits);
            if fits < group.count {
                break;
            }
            // An item that needs 0 bytes or that fits does not overflow.
            left -= self.item_bytes(group.length)? * fits;
        }
        Some(total)
    }
}

fn overflow(batch_size: u64, sequence_length: u64) -> Error {
    Error::overflow(format!(
        "the memory in bytes of batch size {batch_size} at length {sequence_length}"
    ))
}
