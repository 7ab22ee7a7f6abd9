//! A pooling and counting global allocator, memory budgets and a pool of tensors.
//!
//! - [`PoolAllocator`] is a global allocator that counts every request and retains large blocks.
//!   Work that repeats the same block sizes makes no large system allocations after its first
//!   round.
//! - [`heap`] gives a library access to the counters of its program. [`Scope`] measures the
//!   allocations of a section of code on one thread, [`SharedScope`] on several, and [`PeakWindow`]
//!   measures the process-wide peak of live bytes.
//! - [`seal`] and [`seal_process`] report large requests that the pool did not serve. [`pressure`]
//!   reports whether memory should be released.
//! - [`Budget`] limits the bytes in use. Large amounts of memory are reserved before they are
//!   allocated, in a tree of budgets. The error of a refused reservation lists the largest
//!   reservations.
//! - With the feature `burn`, `MemoryPool` leases [Burn](https://burn.dev) tensors and reuses them,
//!   and `PagedLease` is a sequence that grows by leased pages without reallocation. The features
//!   `flex`, `ndarray` and `wgpu` enable the backends whose tensors can be reused.
//!
//! The allocator does not reserve memory from the system in advance and does not move or compact
//! blocks. It has no record per block, so it cannot identify the owner of a leak. Requests below 64
//! KiB are not pooled: the inner allocator, [`System`](std::alloc::System) or any other,
//! serves them. A budget counts reservations and does not observe allocations.
//!
//! ```standalone_crate
//! use tensor_pool::{PoolAllocator, Scope, seal};
//!
//! #[global_allocator]
//! static ALLOCATOR: PoolAllocator = PoolAllocator::with_capacity(128 << 20);
//!
//! fn frame() -> f32 {
//!     let activations = vec![0.5_f32; 300_000];
//!     activations.iter().sum()
//! }
//!
//! fn main() {
//!     assert!(ALLOCATOR.install());
//!     frame(); // warm-up: the pool is empty
//!
//!     let sealed = seal();
//!     let scope = Scope::new("steady state");
//!     for _ in 0..10 {
//!         std::hint::black_box(frame());
//!     }
//!     assert!(sealed.report().unwrap().is_empty());
//!     assert_eq!(scope.usage().unwrap().peak_bytes, 1_200_000);
//!     assert_eq!(ALLOCATOR.stats().from_pool.count, 10);
//! }
//! ```

mod allocator;
mod budget;
#[cfg(feature = "burn")]
mod error;
#[cfg(feature = "burn")]
mod paged;
#[cfg(feature = "burn")]
mod pool;

#[cfg(not(loom))]
pub use allocator::{
    AllocatorStats, EnteredScope, Heap, PeakWindow, PoolAllocator, Requests, Scope, ScopeUsage,
    Seal, SealReport, SharedScope, Unserved, UnservedScope, heap, minor_faults, pressure, seal,
    seal_process,
};
pub use budget::{Budget, Holder, OverBudget, ReclaimerHandle, Reservation};
/// The parameters of a lease, for callers that do not depend on Burn.
#[cfg(feature = "burn")]
#[doc(no_inline)]
pub use burn::tensor::{DType, Device};
#[cfg(feature = "burn")]
pub use error::{Error, Result};
#[cfg(feature = "burn")]
pub use paged::{PageRun, PagedLease};
#[cfg(feature = "burn")]
pub use pool::{
    DEFAULT_MAX_IDLE_BYTES, DEFAULT_MAX_POOL_SIZE, DeviceMemory, MemoryPool, OutstandingTensor,
    PoolOptions, PoolStats, PooledTensor, Reuse, TensorRequest,
};

/// Compiles and runs the README's examples. One of them uses a tensor on Flex.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../README.md")]
struct Readme;
