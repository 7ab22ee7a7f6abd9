//! Memory of speech: counting, pooling, planning, limits, monitoring and release.
//!
//! The guide, with one program for each task, is `docs/memory-guide.md` in the repository. The topics, in
//! the order in which a program uses them:
//!
//! - **Counting.** A program that declares a [`PoolAllocator`] as its global allocator and
//!   [installs](PoolAllocator::install) it counts its heap exactly. The allocator also reuses the large
//!   blocks of one frame for the next, so a stream makes no large system allocations after warm-up.
//! - **Settings.** [`init_from_env`] applies the settings of the environment, [`init`] those of the
//!   program ([`Settings`]): a default limit, the size of the pool, a recording. The returned
//!   [`Session`] restores the defaults when it ends and writes the recording ([`ProfileFiles`],
//!   [`ProfileReport`]).
//! - **Pool.** Streams lease their state from one pool, [`get_memory_pool`], and return it when they
//!   end. A program can lease tensors of its own from it ([`DType`],
//!   [`TtsModel::tensor_device`](crate::TtsModel::tensor_device)).
//! - **Plans.** [`TtsModel::plan_memory`](crate::TtsModel::plan_memory) and its variants predict the peak
//!   of a text before it is spoken ([`MemoryPlan`]). [`get_batch_optimizer`] chooses a batch size.
//! - **Limits.** [`memory_efficient_context`] and [`with_memory_limit`] limit the speech that starts
//!   within them; [`MemoryContext`] carries a limit to other threads. Speech that may exceed the limit is
//!   refused with a limit that is sufficient. If other code allocates the memory, a stream ends with
//!   the audio so far.
//! - **Monitoring.** [`get_memory_monitor`] measures current and peak memory, raises alerts and breaks
//!   the bytes down into categories. [`memory_summary`] and [`log_memory_summary`] combine all figures
//!   and add advice. [`profile`] measures one piece of code, [`span_layer`] records phases.
//! - **Release.** [`optimize_model_memory`] drops what a loaded model does not need for speech,
//!   [`release_idle_memory`] releases everything that is retained but unused ([`FreedMemory`]).
//! - **Leaks.** [`get_cycle_detector`] finds `Arc`s that leak in reference cycles: through models, voices,
//!   observers of downloads and [callbacks](TracedFn).
//!
//! *Counted bytes* are live heap allocations, memory-mapped weights and device memory in use. Limits and
//! plans apply to them; RSS is reported too, but not limited. Without an installed `PoolAllocator`, the
//! engine's own weights, state and idle tensors stand in for the heap.
//!
//! # Modules
//!
//! A module uses only the modules before it in this list, and none of them uses the crate's `model`:
//! `error`, `format`,
//! `settings`, `models`, `categories`, `runtime` (the only process-wide state), `context`, `phase`,
//! `profile`, `release`, `optimizer`, `plan`, `summary`, `report`, `session/files`,
//! `session/recording`, `session`.
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
//! println!("peak: {}", ALLOCATOR.stats().peak_bytes);
//! // All stream state was returned to the pool.
//! assert_eq!(model.memory_pool().get_stats().in_use_bytes, 0);
//! # }
//! # Ok::<(), pocket_tts::Error>(())
//! ```

mod categories;
mod context;
mod error;
mod format;
mod models;
mod optimizer;
mod phase;
mod plan;
mod profile;
mod release;
mod report;
mod runtime;
mod session;
mod settings;
mod summary;
mod system_limits;

pub use batch_planner::{
    BatchSize, BatchSizeOptimizer, DEFAULT_MODEL_SIZE_MB, Estimate, LimitedBy, MemoryModel, Term,
};
pub use context::{MemoryContext, MemoryContextGuard, memory_efficient_context, with_memory_limit};
pub use error::SessionError;
pub use leak_detect::{
    BrokenCycles, CycleReport, ReferenceCycleDetector, Trace, TracedFn, Tracer, Unlink,
};
pub use mem_monitor::{
    Alert, Backing, Breakdown, Limit, LimitOrigin, MemoryMonitor, Quantity, Row, RowKind, SpanLayer,
};
pub use optimizer::{BatchOptimizer, get_batch_optimizer};
pub use phase::Phase;
pub use plan::{MemoryPlan, PlannedBytes};
pub use profile::{Profile, profile};
pub use release::{FreedMemory, optimize_model_memory, release_idle_memory};
pub use report::{PeakFigures, ProfileReport};
pub use runtime::{
    get_cycle_detector, get_memory_ledger, get_memory_monitor, get_memory_pool, span_layer,
};
pub use session::{ProfileFiles, Session, init, init_from_env};
pub use settings::Settings;
pub use summary::{
    AllocatorSummary, CountedBytes, EffectiveLimit, MemorySummary, PoolSummary, log_memory_summary,
    memory_summary,
};
pub use tensor_pool::{
    AllocatorStats, DType, Device, DeviceMemory, Heap, MemoryPool, OutstandingTensor,
    PoolAllocator, PoolStats, PooledTensor, Scope, heap,
};
pub use tts_core::memory::{Ledger, Reclaim};

pub(crate) use context::context_limit_bytes;
pub(crate) use models::LoadedModel;
pub(crate) use optimizer::max_batch_size;
pub(crate) use runtime::{register_model, track};

/// Compiles and runs the programs of the guide.
#[cfg(all(doctest, feature = "flex", feature = "builtin-voice"))]
#[doc = include_str!("../../../docs/memory-guide.md")]
struct MemoryGuide;
