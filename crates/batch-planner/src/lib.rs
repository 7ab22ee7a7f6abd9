//! Arithmetic that says beforehand how much memory a batch will need, and so how large it may be.
//!
//! Numbers in, numbers out. Four questions are answered, all from one description of a program's
//! memory, the [`MemoryModel`]:
//!
//! | question | asked with |
//! |---|---|
//! | How many bytes does a batch of this size and length take, and what for? | [`MemoryModel::itemise`] |
//! | How large may a batch of this length be? | [`BatchSizeOptimizer::get_optimal_batch_size`] |
//! | How are requests of many lengths best cut into batches? | [`plan()`] |
//! | May one more stream start now and finish inside the budget, and if not, when? | [`Schedule::ask`] |
//!
//! ```
//! use batch_planner::{BatchSizeOptimizer, MIB, MemoryModel, Term};
//!
//! // 500 MiB of weights, and 64 KiB of cache for each step of each item.
//! let model = MemoryModel::new()
//!     .with(Term::new("weights").fixed(500 * MIB))
//!     .with(Term::new("cache").per_item_step(64 << 10));
//! let optimizer = BatchSizeOptimizer::new(1024 * MIB, model);
//!
//! let answer = optimizer.get_optimal_batch_size(100)?;
//! assert_eq!(answer.batch_size, 83);
//! assert!(answer.estimate.total_bytes <= 1024 * MIB);
//! println!("{answer}"); // A table: what takes how much, and what is left.
//! # Ok::<(), batch_planner::Error>(())
//! ```
//!
//! # What it does not do
//!
//! It measures nothing, allocates nothing of what it plans, knows no device, reads no clock and no
//! environment, and never tries a batch to see whether it fits. Its answers are as good as the
//! model it is given: a [`MemoryModel`] is either written down from a program's dimensions or
//! fitted to measurements ([`MemoryModel::fit`]), and a fit says how far off it was.
//!
//! # Units
//!
//! Memory is in bytes; where a name says `mb`, one is 1,048,576 bytes ([`MIB`]). A *length* is
//! counted in *steps*: whatever an item grows by, be it tokens, frames or pixels. Costs are in any
//! unit the caller likes, and so are times: a step of a [`Schedule`] is a step of its streams.
//!
//! Arithmetic is exact, in whole numbers: what does not fit 64 bits is [`Error::Overflow`].

mod budget;
mod error;
mod model;
mod optimizer;
mod plan;
mod schedule;
mod search;
mod share;

pub use budget::MemoryBudget;
pub use error::Error;
pub use model::{
    Estimate, Fit, FitOptions, Item, MeasuredRange, MemoryModel, Residual, Sample, Term,
    TransformerDimensions,
};
pub use optimizer::{
    BatchSize, BatchSizeOptimizer, DEFAULT_MODEL_SIZE_MB, Infeasible, LimitedBy, WayOut,
};
pub use plan::{Batch, Cost, Plan, Request, plan};
pub use schedule::{Admission, Peak, Schedule, Stream};
pub use share::Share;

/// What one "MB" is where a name says `mb`: 1,048,576 bytes.
pub const MIB: u64 = 1 << 20;

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The README's example, so that it stays true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
