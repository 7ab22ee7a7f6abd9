mod infeasible;
mod rule_of_thumb;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use infeasible::{Infeasible, WayOut};
pub use rule_of_thumb::DEFAULT_MODEL_SIZE_MB;

use crate::{Error, Estimate, MemoryBudget, MemoryModel, Result, Share};

/// The largest batch that fits in memory.
///
/// Its answers only grow when the limit does, only shrink when the length grows, and never take
/// more than the limit less the margin.
///
/// ```
/// use batch_planner::{BatchSizeOptimizer, Error, LimitedBy, MIB, MemoryModel, Share, Term};
///
/// let model = MemoryModel::new()
///     .with(Term::new("weights").fixed(200 * MIB))
///     .with(Term::new("cache").per_item_step(1 << 14));
/// let optimizer = BatchSizeOptimizer::new(512 * MIB, model)
///     .with_margin(Share::percent(5)?)
///     .with_ceiling(64);
///
/// assert_eq!(optimizer.get_optimal_batch_size(1000)?.batch_size, 18);
/// assert_eq!(optimizer.get_optimal_batch_size(10)?.limited_by, LimitedBy::Ceiling);
///
/// // What cannot fit is an error, with what to do about it.
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

/// The largest batch that fits, and why. Displays as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSize {
    /// Items in the batch: at least the floor, so at least 1.
    pub batch_size: u64,
    /// What it takes, term by term.
    pub estimate: Estimate,
    /// What may be taken: the limit less the margin, in bytes.
    pub usable_bytes: u64,
    /// Why it is not larger.
    pub limited_by: LimitedBy,
}

/// Why a batch is not larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// One more item would not fit.
    Memory,
    /// The ceiling that was set.
    Ceiling,
    /// The memory model was not measured any further.
    MeasuredRange,
}

impl BatchSizeOptimizer {
    /// An optimizer that keeps nothing free, with 1 as the floor and no ceiling.
    ///
    /// The limit, in bytes, is for all that the model describes, also what is fixed. The caller
    /// states it: this crate does not look how much memory a machine has.
    pub fn new(memory_limit_bytes: u64, model: MemoryModel) -> Self {
        Self {
            budget: MemoryBudget::new(memory_limit_bytes, model),
            floor: 1,
            ceiling: None,
        }
    }

    /// An optimizer for a transformer of which only the size is known, by a rule of thumb.
    ///
    /// `model_size_mb` is what the weights take ([`DEFAULT_MODEL_SIZE_MB`] if even that is not
    /// known); one MB is 1,048,576 bytes. 10 % are kept free for what the rule leaves out (set
    /// another share with [`BatchSizeOptimizer::with_margin`]).
    ///
    /// The rule: weights of 2 bytes, hence `P = bytes / 2` parameters; `P = 12 x layers x width²`,
    /// which is what the matrices of a transformer's layers have (Kaplan et al., "Scaling Laws for
    /// Neural Language Models", 2020, section 2.1); a width of 32 times the layers, narrower than
    /// nearly all published models (GPT-2: 64 and less, GPT-3: 128), since a narrower model
    /// caches more for its size; and a cache of a key and a value of that width for each layer,
    /// also of 2 bytes. Then a step of one item takes `bytes / (6 x width)`: 97 KiB for a model of
    /// 500 MB.
    ///
    /// It is a guess: too high for models with shared key and value heads, too low for models
    /// with weights of less than 2 bytes, and it leaves out all scratch. Whoever knows the model
    /// should use [`BatchSizeOptimizer::new`] with
    /// [`TransformerDimensions`](crate::TransformerDimensions), and whoever can measure it
    /// [`MemoryModel::fit`].
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
        Ok(Self::new(limit, model).with_margin(Share::TEN_PERCENT))
    }

    /// The same, keeping this share of the limit free.
    #[must_use]
    pub fn with_margin(self, margin: Share) -> Self {
        Self {
            budget: self.budget.with_margin(margin),
            ..self
        }
    }

    /// The same with another smallest batch worth running: if it does not fit, the answer is
    /// [`Error::Infeasible`].
    #[must_use]
    pub fn with_floor(self, floor: u64) -> Self {
        Self { floor, ..self }
    }

    /// The same with a largest batch.
    #[must_use]
    pub fn with_ceiling(self, ceiling: u64) -> Self {
        Self {
            ceiling: Some(ceiling),
            ..self
        }
    }

    /// The limit, the margin and the model.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// The largest batch of items of `sequence_length` steps that fits. O(terms).
    ///
    /// # Errors
    ///
    /// - [`Error::Infeasible`] if not even the floor fits: by how much, and what would help;
    /// - [`Error::Unbounded`] if there is no ceiling and the model does not grow with the batch;
    /// - [`Error::InvalidBounds`] if the floor is 0 or above the ceiling;
    /// - [`Error::OutOfRange`] if the model was not measured at this length, or at the floor;
    /// - [`Error::Overflow`] if the floor takes more than `u64::MAX` bytes.
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

        let usable_bytes = self.budget.usable_bytes();
        let fits = model.items_in(usable_bytes, sequence_length).unwrap_or(0);
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
            .expect("there are three");
        if self.ceiling.is_none() && limited_by == LimitedBy::Memory && fits == u64::MAX {
            return Err(Error::Unbounded { sequence_length });
        }
        Ok(BatchSize {
            batch_size,
            estimate: model.itemise(batch_size, sequence_length)?,
            usable_bytes,
            limited_by,
        })
    }

    /// What a batch takes, term by term; whether it fits is not looked at. O(terms).
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
        self.estimate.write_table(
            formatter,
            &[("may be used", self.usable_bytes), ("left", free)],
        )?;
        match self.limited_by {
            LimitedBy::Memory => write!(formatter, "\none more item does not fit"),
            LimitedBy::Ceiling => write!(formatter, "\nit is as large as the ceiling allows"),
            LimitedBy::MeasuredRange => write!(formatter, "\nno larger batch was measured"),
        }
    }
}
