//! Computes how much memory a batch needs before it is allocated, and how large a batch may be.
//!
//! The crate answers these questions from one description of a program's memory, the
//! [`MemoryModel`]:
//!
//! | question | function |
//! |---|---|
//! | How many bytes does each term of a batch of this size and length need? | [`MemoryModel::itemise`] |
//! | How many sequences of these lengths fit beside the memory in use, and which limit is sufficient? | [`MemoryBudget::capacity`] |
//! | How large may a batch of this length be? | [`BatchSizeOptimizer::get_optimal_batch_size`] |
//! | How long may the items of a batch of this size be? | [`MemoryBudget::longest_length`] |
//! | How are requests of many lengths best cut into batches? | [`plan()`] |
//! | May one more stream start now and finish inside the budget, and if not, when? | [`Schedule::ask`] |
//!
//! ```
//! use batch_planner::{BatchSizeOptimizer, MIB, MemoryModel, Term};
//!
//! // 500 MiB of weights, and 64 KiB of cache for each position of each item.
//! let model = MemoryModel::new()
//!     .with(Term::new("weights").fixed(500 * MIB))
//!     .with(Term::new("cache").per_item_position(64 << 10));
//! let optimizer = BatchSizeOptimizer::new(1024 * MIB, model);
//!
//! let answer = optimizer.get_optimal_batch_size(100)?;
//! assert_eq!(answer.batch_size, 83);
//! assert!(answer.estimate.total_bytes <= 1024 * MIB);
//! println!("{answer}"); // A table of the terms, the total and the free bytes.
//! # Ok::<(), batch_planner::Error>(())
//! ```
//!
//! # Limitations
//!
//! The crate measures nothing, does not allocate what it plans, and reads no device, clock or
//! environment. It never tries a batch to see whether it fits. The answers are as accurate as the
//! [`MemoryModel`], which is either built from a program's dimensions or fitted to measurements
//! ([`MemoryModel::fit`]). A fit reports its residuals.
//!
//! # Units
//!
//! Memory is in bytes. In names with `mb`, one MB is 1,048,576 bytes ([`MIB`]). A *length* is in
//! *positions*, the unit by which an item grows: tokens, frames or pixels. Costs are in a unit that the
//! caller chooses. The time of a [`Schedule`] is counted in positions too: in a unit of time, each
//! running stream advances by one position.
//!
//! Arithmetic is exact, on integers. A value above 64 bits is [`Error::Overflow`].

mod budget;
mod capacity;
mod error;
mod length;
mod model;
mod optimizer;
mod plan;
mod schedule;
mod share;

pub use budget::MemoryBudget;
pub use capacity::{Capacity, Sequences};
pub use error::Error;
pub use model::{
    Estimate, Fit, FitError, FitOptions, Item, MeasuredRange, MemoryModel, Residual, Sample,
    SlidingWindow, Term, TransformerDimensions,
};
pub use optimizer::{
    BatchSize, BatchSizeOptimizer, DEFAULT_MODEL_SIZE_MB, Infeasible, LimitedBy, WayOut,
};
pub use plan::{Batch, Cost, Plan, Request, plan};
pub use schedule::{Admission, Peak, Schedule, ScheduleError, Stream};
pub use share::Share;

/// One MB in names with `mb`: 1,048,576 bytes.
pub const MIB: u64 = 1 << 20;

/// The result type of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Runs the README's example as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
