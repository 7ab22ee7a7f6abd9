//! Pooled, counted and budgeted memory.

mod allocator;
mod budget;
mod bytes;
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
pub use bytes::Bytes;
#[cfg(feature = "burn")]
pub use error::{Error, Result};
#[cfg(feature = "burn")]
pub use paged::{Landing, PagedLease};
#[cfg(feature = "burn")]
pub use pool::{
    DEFAULT_MAX_IDLE, DEFAULT_MAX_POOL_SIZE, DeviceMemory, MemoryPool, OutstandingTensor,
    PoolOptions, PoolStats, PooledTensor, Reuse, TensorRequest,
};
