//! Process-wide counts of the bytes that memory limits apply to, and the limits themselves.

mod error;
mod limit;

use std::sync::atomic::{AtomicU64, Ordering};

use tensor_pool::MemoryPool;

pub use error::MemoryError;
pub(crate) use limit::{BatchNeed, Reservation};
pub use limit::{MemoryLimit, present, reserved};

/// Bytes of memory-mapped weights in this process.
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// Bytes of prepared weights in this process.
static PREPARED: AtomicU64 = AtomicU64::new(0);

/// The bytes that memory limits and predictions apply to, for the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Live heap blocks; `None` if no counting allocator is
    /// [installed](tensor_pool::PoolAllocator::install).
    pub heap: Option<u64>,
    /// Weights prepared for a device.
    pub prepared: u64,
    /// Memory-mapped weights. A tensor is unmapped as soon as it has been prepared.
    pub mapped: u64,
    /// State leased by streams.
    pub state: u64,
    /// Idle state in the pool.
    pub idle: u64,
    /// Bytes in use in the memory pools of the devices that have one.
    pub device: u64,
}

impl Counted {
    /// The sum. Without a counting allocator, prepared weights and state replace the heap in the sum.
    #[must_use]
    pub fn total(&self) -> u64 {
        let heap = self.heap.unwrap_or(self.prepared + self.state + self.idle);
        heap + self.mapped + self.device
    }
}

/// Counts the bytes of this process; `pool` is the pool that streams lease their state from.
#[must_use]
pub fn counted(pool: &MemoryPool) -> Counted {
    let stats = pool.get_stats();
    let device = stats.devices.iter().map(|device| device.in_use_bytes);
    Counted {
        heap: tensor_pool::heap().map(|heap| heap.stats().live_bytes),
        prepared: PREPARED.load(Ordering::Relaxed),
        mapped: MAPPED.load(Ordering::Relaxed),
        state: stats.in_use_bytes,
        idle: stats.idle_bytes,
        device: device.sum(),
    }
}

/// Bytes counted as mapped or prepared until the entry is dropped.
#[derive(Debug)]
pub(crate) struct LedgerEntry {
    counter: &'static AtomicU64,
    bytes: u64,
}

impl LedgerEntry {
    /// Counts memory-mapped weights.
    pub(crate) fn mapped(bytes: usize) -> Self {
        Self::add(&MAPPED, bytes)
    }

    /// Counts prepared weights.
    pub(crate) fn prepared(bytes: usize) -> Self {
        Self::add(&PREPARED, bytes)
    }

    fn add(counter: &'static AtomicU64, bytes: usize) -> Self {
        let bytes = bytes as u64;
        counter.fetch_add(bytes, Ordering::Relaxed);
        Self { counter, bytes }
    }
}

impl Drop for LedgerEntry {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
