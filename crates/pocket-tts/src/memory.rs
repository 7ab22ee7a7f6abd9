//! The memory that speech is made in: counted, pooled, planned, limited, watched and given back.
//!
//! The guide to all of this, with a program for each task, is `docs/memory-guide.md` in the repository.
//! In short, in the order in which a program meets it:
//!
//! - **Count.** A program that makes [`PoolAllocator`] its global allocator and
//!   [installs](PoolAllocator::install) it knows its heap to the byte, and keeps the large blocks of one
//!   frame for the next: after the first few, a frame asks the system for none.
//! - **Configure.** [`init_from_env`] puts in force what the environment says, [`init`] what the program
//!   says ([`Settings`]): a default limit, the size of the pool, a recording. The [`Session`] that they
//!   return takes it back when it ends, and writes the recording ([`ProfileFiles`], [`ProfileReport`]).
//! - **Pool.** What streams remember is leased from one pool, [`get_memory_pool`], and returned when they
//!   end. A program may lease tensors of its own from it ([`DType`],
//!   [`TtsModel::tensor_device`](crate::TtsModel::tensor_device)).
//! - **Plan.** [`TtsModel::plan_memory`](crate::TtsModel::plan_memory) and its like tell the most that a
//!   text will take before a word is spoken ([`MemoryPlan`]); [`get_batch_optimizer`] how many parts of it
//!   may be spoken at once.
//! - **Limit.** [`memory_efficient_context`] and [`with_memory_limit`] limit what starts within them;
//!   [`MemoryContext`] takes a limit to other threads. What cannot be sure to keep it is refused, with a
//!   limit that would do; what is overtaken by others ends with the audio so far.
//! - **Watch.** [`get_memory_monitor`] knows what is used, the peak, alerts, and the parts that the bytes
//!   are in; [`memory_summary`] and [`log_memory_summary`] put it on one page, with advice. [`profile`]
//!   tells what a piece of code takes, [`span_layer`] by which phases.
//! - **Give back.** [`optimize_model_memory`] drops what a loaded model's speech does not need,
//!   [`release_idle_memory`] whatever is kept for later and used by nobody now ([`FreedMemory`]).
//! - **Find leaks.** [`get_cycle_detector`] finds `Arc`s that only own each other.
//!
//! *Counted* bytes are heap blocks live in the allocator, weights mapped from files, and what is in use
//! of devices' own pools. Limits and plans are about these; the resident set is told beside them. Where
//! no `PoolAllocator` is installed, the engine's own weights, state and idle tensors stand for the heap.
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

pub use batch_planner::{
    BatchSize, BatchSizeOptimizer, DEFAULT_MODEL_SIZE_MB, Estimate, LimitedBy, MemoryModel, Term,
};
pub use context::{MemoryContext, MemoryContextGuard, memory_efficient_context, with_memory_limit};
pub use globals::{get_cycle_detector, get_memory_monitor, get_memory_pool};
pub use leak_detect::{BrokenCycles, CycleReport, ReferenceCycleDetector, Trace, Tracer, Unlink};
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
    AllocatorStats, Bytes, DType, Device, DeviceMemory, Heap, MemoryPool, OutstandingTensor,
    PoolAllocator, PoolStats, PooledTensor, Scope, heap,
};

pub(crate) use globals::track;
pub(crate) use limit::current_limit;
pub(crate) use parts::add_model;

/// Runs the programs of the guide.
#[cfg(all(doctest, feature = "flex", feature = "builtin-voice"))]
#[doc = include_str!("../../../docs/memory-guide.md")]
struct MemoryGuide;
