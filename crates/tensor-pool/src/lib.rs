//! Memory that is pooled, counted and budgeted.
//!
//! - [`PoolAllocator`] is a global allocator that counts every request and keeps large blocks for
//!   the next one: work that asks for the same sizes again and again stops asking the system.
//!   [`heap`] gives a library the counts of the program it runs in; [`Scope`] says what a stretch of
//!   code allocates, [`PeakWindow`] what was live at most, [`seal`] and [`seal_process`] which large
//!   requests the pool did not serve, [`pressure`] when to give something up.
//! - [`Budget`] is a number of bytes that may be held at once: who needs much memory reserves it
//!   first, along a tree of budgets, or is told who holds it.
//! - With the feature `burn`: `MemoryPool` leases [Burn](https://burn.dev) tensors and takes them back,
//!   and `PagedLease` is a sequence of such tensors that grows without moving. The features `flex`,
//!   `ndarray` and `wgpu` bring the backends whose tensors the pool knows.
//!
//! The allocator does not reserve memory from the system in advance, does not move or compact
//! blocks, keeps no record per block (so it cannot tell who leaked one), and does not pool requests
//! below 64 KiB: the allocator below, [`System`](std::alloc::System) or any other, serves those. A
//! budget counts what is reserved and sees no allocation.
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
//!     frame(); // the first one finds the shelves empty
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
    AllocatorStats, Heap, PeakWindow, PoolAllocator, Requests, Scope, ScopeUsage, Seal, SealReport,
    Unserved, heap, minor_faults, pressure, seal, seal_process,
};
pub use budget::{Budget, Holder, OverBudget, ReclaimerHandle, Reservation};
/// What a lease is asked for with, for callers that do not use Burn themselves.
#[cfg(feature = "burn")]
#[doc(no_inline)]
pub use burn::tensor::{DType, Device};
#[cfg(feature = "burn")]
pub use error::{Error, Result};
#[cfg(feature = "burn")]
pub use paged::{Landing, PagedLease};
#[cfg(feature = "burn")]
pub use pool::{
    DEFAULT_MAX_IDLE_BYTES, DEFAULT_MAX_POOL_SIZE, DeviceMemory, MemoryPool, OutstandingTensor,
    PoolOptions, PoolStats, PooledTensor, Reuse, TensorRequest,
};
