mod dimensions;
mod estimate;
mod fit;
mod least_squares;
mod range;
mod term;

use serde::{Deserialize, Serialize};

pub use dimensions::TransformerDimensions;
pub use estimate::{Estimate, Item};
pub use fit::{Fit, FitOptions, Residual, Sample};
pub use range::MeasuredRange;
pub use term::Term;

use crate::{Error, Result};

/// What takes a program's memory: named terms, each a fixed part, a part for each item of a batch,
/// and a part for each step of each item.
///
/// ```text
/// bytes(batch, length) = sum over terms of
///     fixed + batch x (per item + per item and step x length rounded up to whole pages)
/// ```
///
/// So it never shrinks when a batch or a length grows. Write it down from a program's dimensions,
/// term by term or with [`TransformerDimensions`], or [fit](MemoryModel::fit) it to measurements;
/// terms may be added to either.
///
/// ```
/// use std::num::NonZeroU64;
/// use batch_planner::{MIB, MemoryModel, Term};
///
/// // An image server: weights, decoded pictures, and tiles that are allocated in rows of 16.
/// let model = MemoryModel::new()
///     .with(Term::new("weights").fixed(90 * MIB))
///     .with(Term::new("pictures").per_item(12 * MIB))
///     .with(Term::new("tiles").per_item_step(4096).paged(NonZeroU64::new(16).unwrap()));
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
    /// A model without terms: nothing takes memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more term.
    #[must_use]
    pub fn with(mut self, term: Term) -> Self {
        self.terms.push(term);
        self
    }

    /// The terms, in the order in which they were added.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Where the model holds, if it was fitted: outside of it every question is an error.
    pub fn range(&self) -> Option<&MeasuredRange> {
        self.range.as_ref()
    }

    /// What a batch takes, in bytes. O(terms).
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

    /// What a batch takes, term by term. O(terms).
    ///
    /// # Errors
    ///
    /// As [`MemoryModel::bytes`].
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

    /// That nothing is asked outside the range of a fitted model.
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

    /// The largest batch that the model answers for.
    pub(crate) fn most_items(&self) -> u64 {
        self.range.map_or(u64::MAX, |range| range.max_batch_size)
    }

    /// What is there without any item, in bytes.
    pub(crate) fn fixed_bytes(&self) -> u128 {
        self.terms
            .iter()
            .map(|term| u128::from(term.fixed_bytes))
            .sum()
    }

    /// What one item of this length adds to what is fixed, in bytes; `None` above `u64::MAX`.
    pub(crate) fn item_bytes(&self, sequence_length: u64) -> Option<u64> {
        self.terms.iter().try_fold(0_u64, |total, term| {
            total.checked_add(term.item_bytes(sequence_length)?)
        })
    }

    /// How many items of this length fit in `usable_bytes` (`u64::MAX` if items take nothing), or
    /// `None` if not even what is fixed does. Does not look at the range.
    pub(crate) fn items_in(&self, usable_bytes: u64, sequence_length: u64) -> Option<u64> {
        let left = u128::from(usable_bytes).checked_sub(self.fixed_bytes())?;
        Some(match self.item_bytes(sequence_length) {
            Some(0) => u64::MAX,
            // At most `usable_bytes`, which is a `u64`.
            Some(bytes) => (left / u128::from(bytes)) as u64,
            None => 0,
        })
    }
}

fn overflow(batch_size: u64, sequence_length: u64) -> Error {
    Error::overflow(format!(
        "the memory of batch size {batch_size} at length {sequence_length}, in bytes,"
    ))
}
