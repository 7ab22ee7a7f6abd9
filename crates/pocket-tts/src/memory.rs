//! The memory that speech is made in.
//!
//! A program that installs [`PoolAllocator`] keeps the large blocks of one frame for the next: after
//! the first few, a frame asks the system for none.
//!
//! ```standalone_crate
//! # #[cfg(feature = "builtin-voice")] {
//! use pocket_tts::memory::PoolAllocator;
//! use pocket_tts::{GenerateOptions, TtsModel};
//!
//! #[global_allocator]
//! static ALLOCATOR: PoolAllocator = PoolAllocator::new();
//!
//! assert!(ALLOCATOR.install());
//! let model = TtsModel::builtin()?;
//! let voice = model.default_voice()?;
//! model.generate(&voice, "Hello world.", &GenerateOptions::default())?;
//! println!("at most {} at once", ALLOCATOR.stats().peak);
//! // What streams remember is leased from the model's own pool, and all of it is back.
//! assert_eq!(model.memory_pool().get_stats().bytes_in_use.get(), 0);
//! # }
//! # Ok::<(), pocket_tts::Error>(())
//! ```
//!
//! | for | there is |
//! |---|---|
//! | settings of the environment, recordings | [`init_from_env`], [`init`], [`Settings`], [`Session`] |
//! | limits | [`memory_efficient_context`], [`with_memory_limit`], [`MemoryContext`] |
//! | the pool that streams lease from | [`get_memory_pool`] |
//! | what is used, peaks, alerts, parts | [`get_memory_monitor`], [`memory_summary`], [`log_memory_summary`] |
//! | what a piece of code takes | [`profile`], [`span_layer`], [`ProfileReport`] |
//! | giving memory back | [`optimize_model_memory`], [`release_idle_memory`] |
//! | cycles of `Arc`s | [`get_cycle_detector`] |
//!
//! *Counted* bytes are heap blocks live in the allocator, weights mapped from files, and what is in use
//! of devices' own pools. Limits are about these; the resident set is told beside them.

mod bytes;
mod context;
mod globals;
mod limit;
mod optimizer;
mod parts;
mod phase;
mod plan;
mod profile;
mod release;
mod report;
mod session;
mod settings;
mod summary;
mod table;

pub use batch_planner::{BatchSize, BatchSizeOptimizer, Estimate};
pub use context::{MemoryContext, MemoryContextGuard, memory_efficient_context, with_memory_limit};
pub use globals::{get_cycle_detector, get_memory_monitor, get_memory_pool};
pub use leak_detect::{CycleReport, ReferenceCycleDetector, Trace, Tracer};
pub use mem_monitor::{
    Alert, Backing, Breakdown, Counted, Limit, LimitOrigin, MemoryMonitor, Row, RowKind, SpanLayer,
};
pub use optimizer::{BatchOptimizer, get_batch_optimizer};
pub use phase::Phase;
pub use plan::{MemoryPlan, PlannedBytes};
pub use profile::{Profile, profile};
pub use release::{FreedMemory, optimize_model_memory, release_idle_memory};
pub use report::{PeakFigures, ProfileReport};
pub use session::{ProfileFiles, Session, init, init_from_env, span_layer};
pub use settings::Settings;
pub use summary::{
    AllocatorSummary, CountedBytes, EffectiveLimit, MemorySummary, PoolSummary, log_memory_summary,
    memory_summary,
};
pub use tensor_pool::{
    AllocatorStats, Bytes, Heap, MemoryPool, OutstandingTensor, PoolAllocator, PoolStats, Scope,
    heap,
};

pub(crate) use globals::track;
pub(crate) use limit::current_limit;
pub(crate) use parts::add_model;
