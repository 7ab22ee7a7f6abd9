//! A global allocator that counts all requests and pools large blocks.

// Loom's atomics have no `const` constructor. Under loom only the two modules with loom tests are
// compiled.
#[cfg(not(loom))]
mod class;
#[cfg(not(loom))]
mod counts;
#[cfg(not(loom))]
mod heap;
#[cfg_attr(loom, allow(dead_code, reason = "used by the tests under loom only"))]
mod numbers;
#[cfg(not(loom))]
mod peaks;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
mod raw;
#[cfg(not(loom))]
mod roster;
#[cfg(not(loom))]
mod scope;
#[cfg(not(loom))]
mod seal;
#[cfg(not(loom))]
mod shard;
#[cfg(not(loom))]
mod shared_scope;
#[cfg_attr(loom, allow(dead_code, reason = "used by the tests under loom only"))]
mod shelf;
#[cfg(not(loom))]
mod shelves;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod system;
#[cfg(not(loom))]
mod tally;
#[cfg(not(loom))]
mod thread;
#[cfg(not(loom))]
mod window;

#[cfg(not(loom))]
pub use self::{
    heap::{Heap, heap, pressure},
    pool::PoolAllocator,
    scope::{Scope, ScopeUsage},
    seal::{Seal, SealReport, Unserved, UnservedScope, seal, seal_process},
    shared_scope::{EnteredScope, SharedScope},
    stats::{AllocatorStats, Requests},
    system::minor_faults,
    window::PeakWindow,
};
