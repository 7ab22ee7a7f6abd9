mod infeasible;
mod rule_of_thumb;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use infeasible::{Infeasible, WayOut};
pub use rule_of_thumb::DEFAULT_MODEL_SIZE_MB;

use crate::{Error, Estimate, MemoryBudget, MemoryModel, Result, Share};

/// Computes the largest batch that fits in memory.
///
/// The batch size never shrinks when the limit grows and never grows when the length grows. The
/// batch never needs more than the limit minus the margin.
///
/// ```
/// use batch_planner::{BatchSizeOptimizer, Error, LimitedBy, MIB, MemoryModel, Share, Term};
///
/// let model = MemoryModel::new()
///     .with(Term::new("weights").fixed(200 * MIB))
///     .with(Term::new("cache").per_item_position(1 << 14));
/// let optimizer = BatchSizeOptimizer::new(512 * MIB, model)
///     .with_margin(Share::percent::<5>())
///     .with_ceiling(64);
///
/// assert_eq!(optimizer.get_optimal_batch_size(1000)?.batch_size, 18);
/// assert_eq!(optimizer.get_optimal_batch_size(10)?.limited_by, LimitedBy::Ceiling);
///
/// // If the batch does not fit, the error lists the changes that would help.
/// let Err(Error::Infeasible(why)) = optimizer.get_optimal_batch_size(20_000) else { panic!() };
/// println!("{why}");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSizeOptimizer {
    budget: MemoryBudget,
    floor: u64,
    ceiling: Option<u64>,
}

/// The largest batch that fits, and what limits it. Displays as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSize {
    /// The number of items in the batch: at least the floor, so at least 1.
    pub batch_size: u64,
    /// The memory of the batch, term by term.
    pub estimate: Estimate,
    /// The limit minus the margin, in bytes.
    pub usable_bytes: u64,
    /// What prevents a larger batch.
    pub limited_by: LimitedBy,
}

/// What prevents a larger batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// One more item does not fit in memory.
    Memory,
    /// The ceiling that was set.
    Ceiling,
    /// Larger batches are outside the measured range of the model.
    MeasuredRange,
}

impl BatchSizeOptimizer {
    /// Returns an optimizer with no margin, a floor of 1 and no ceiling.
    ///
    /// The limit applies to the whole model, including fixed memory. This crate does not detect the
    /// memory of the machine.
    pub fn new(memory_limit_bytes: u64, model: MemoryModel) -> Self {
        Self::of(MemoryBudget::new(memory_limit_bytes, model))
    }

    /// Returns an optimizer for a budget, which may have a margin and memory in use, with a floor of 1 and
    /// no ceiling.
    pub fn of(budget: MemoryBudget) -> Self {
        Self {
            budget,
            floor: 1,
            ceiling: None,
        }
    }

    /// Returns an optimizer for a transformer of unknown dimensions, by a rule of thumb.
    ///
    /// `model_size_mb` is the size of the weights ([`DEFAULT_MODEL_SIZE_MB`] if it is unknown); one
    /// MB is 1,048,576 bytes. The margin is 10 %, for memory that the rule omits; set another with
    /// [`BatchSizeOptimizer::with_margin`].
    ///
    /// The rule has four assumptions:
    ///
    /// - A parameter has 2 bytes, so there are `P = bytes / 2` parameters.
    /// - `P = 12 x layers x width²`, the parameters of a transformer's layers (Kaplan et al.,
    ///   "Scaling Laws for Neural Language Models", 2020, section 2.1).
    /// - The width is 32 times the number of layers. Nearly all published models are wider (GPT-2: up
    ///   to 64, GPT-3: 128), and a narrower model caches more for its size.
    /// - Each layer caches a key and a value of that width, with 2 bytes per element.
    ///
    /// Each position of an item then needs `bytes / (6 x width)`: 97 KiB for a model of 500 MB.
    ///
    /// The estimate is too high for models with shared key and value heads, too low for models with
    /// parameters of less than 2 bytes, and omits scratch memory. If the dimensions are known, use
    /// [`BatchSizeOptimizer::new`] with [`TransformerDimensions`](crate::TransformerDimensions). If
    /// the program can be measured, use [`MemoryModel::fit`].
    ///
    /// ```
    /// use batch_planner::{BatchSizeOptimizer, DEFAULT_MODEL_SIZE_MB};
    ///
    /// let optimizer = BatchSizeOptimizer::for_model_size(2048, DEFAULT_MODEL_SIZE_MB)?;
    /// println!("{}", optimizer.get_optimal_batch_size(100)?);
    /// # Ok::<(), batch_planner::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] if either size is above `u64::MAX` bytes.
    pub fn for_model_size(memory_limit_mb: u64, model_size_mb: u64) -> Result<Self> {
        let limit = rule_of_thumb::bytes_of_mb(memory_limit_mb, "the memory limit")?;
        let model_size = rule_of_thumb::bytes_of_mb(model_size_mb, "the model's size")?;
        let model = rule_of_thumb::memory_model(model_size);
        Ok(Self::new(limit, model).with_margin(Share::percent::<10>()))
    }

    /// Sets the share of the limit that stays free.
    #[must_use]
    pub fn with_margin(self, margin: Share) -> Self {
        Self {
            budget: self.budget.with_margin(margin),
            ..self
        }
    }

    /// Sets the smallest accepted batch. If it does not fit, the result is [`Error::Infeasible`].
    #[must_use]
    pub fn with_floor(self, floor: u64) -> Self {
        Self { floor, ..self }
    }

    /// Sets the largest accepted batch.
    #[must_use]
    pub fn with_ceiling(self, ceiling: u64) -> Self {
        Self {
            ceiling: Some(ceiling),
            ..self
        }
    }

    /// Returns the limit, the margin and the model.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns the largest batch of items of `sequence_length` positions that fits. O(terms).
    ///
    /// # Errors
    ///
    /// - [`Error::Infeasible`] if the floor does not fit, with the shortfall and the changes that would help;
    /// - [`Error::Unbounded`] if there is no ceiling and the model does not grow with the batch;
    /// - [`Error::InvalidBounds`] if the floor is 0 or above the ceiling;
    /// - [`Error::OutOfRange`] if the model was not measured at this length, or at the floor;
    /// - [`Error::Overflow`] if the floor needs more than `u64::MAX` bytes.
    pub fn get_optimal_batch_size(&self, sequence_length: u64) -> Result<BatchSize> {
        let model = &self.budget.model;
        let ceiling = self.ceiling.unwrap_or(u64::MAX);
        if self.floor == 0 || self.floor > ceiling {
            return Err(Error::InvalidBounds {
                floor: self.floor,
                ceiling: self.ceiling,
            });
        }
        model.check_range(self.floor, sequence_length)?;

        let fits = self.budget.items(sequence_length);
        if fits < self.floor {
            return Err(self.infeasible(sequence_length)?);
        }
        let limits = [
            (fits, LimitedBy::Memory),
            (ceiling, LimitedBy::Ceiling),
            (model.most_items(), LimitedBy::MeasuredRange),
        ];
        let (batch_size, limited_by) = limits
            .into_iter()
            .min_by_key(|(most, _)| *most)
            .expect("the array has three elements");
        if self.ceiling.is_none() && limited_by == LimitedBy::Memory && fits == u64::MAX {
            return Err(Error::Unbounded { sequence_length });
        }
        Ok(BatchSize {
            batch_size,
            estimate: model.itemise(batch_size, sequence_length)?,
            usable_bytes: self.budget.usable_bytes(),
            limited_by,
        })
    }

    /// Returns the memory of a batch, term by term. Does not check whether the batch fits. O(terms).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] outside the range of a fitted model, [`Error::Overflow`] above
    /// `u64::MAX` bytes.
    pub fn estimate_memory_usage(&self, batch_size: u64, sequence_length: u64) -> Result<Estimate> {
        self.budget.model.itemise(batch_size, sequence_length)
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.usable_bytes.saturating_sub(self.estimate.total_bytes);
        self.estimate
            .write_table(formatter, &[("usable", self.usable_bytes), ("free", free)])?;
        match self.limited_by {
            LimitedBy::Memory => {
                write!(formatter, "\nlimited by memory: one more item does not fit")
            }
            LimitedBy::Ceiling => write!(formatter, "\nlimited by the ceiling"),
            LimitedBy::MeasuredRange => write!(formatter, "\nlimited by the measured range"),
        }
    }
}
