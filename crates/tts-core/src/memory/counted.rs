//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use tensor_pool::{Bytes, MemoryPool};

/// Weights mapped from files, of the whole process.
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// Prepared weights, of the whole process.
static PREPARED: AtomicU64 = AtomicU64::new(0);

/// The bytes that limits and predictions are about, of the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Blocks live in the allocator; `None` where the program has not
    /// [installed](tensor_pool::PoolAllocator::install) one that counts.
    pub heap: Option<Bytes>,
    /// Weights that are prepared for a device.
    pub prepared: Bytes,
    /// Weights mapped from files. Those that were prepared are no longer mapped.
    pub mapped: Bytes,
    /// State leased by streams.
    pub state: Bytes,
    /// State that is kept for the next stream.
    pub idle: Bytes,
    /// What is in use of the pools of devices that have their own.
    pub device: Bytes,
}

impl Counted {
    /// All of it. Where the heap is not counted, what the engine itself holds stands for it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        let heap = self.heap.unwrap_or(self.prepared.saturating_add(self.state).saturating_add(self.idle));
        heap.saturating_add(self.mapped).saturating_add(self.device)
    }
}

/// Counts what the process holds, with the state of streams that lease from `pool`.
#[must_use]
pub fn counted(pool: &MemoryPool) -> Counted {
    let stats = pool.get_stats();
    let device = stats.devices.iter().map(|device| device.bytes_in_use);
    Counted {
        heap: tensor_pool::heap().map(|heap| heap.stats().live),
        prepared: Bytes(PREPARED.load(Ordering::Relaxed)),
        mapped: Bytes(MAPPED.load(Ordering::Relaxed)),
        state: stats.bytes_in_use,
        idle: stats.bytes_idle,
        device: device.fold(Bytes::ZERO, |sum, bytes| sum.saturating_add(bytes)),
    }
}

/// Bytes that are counted as long as it lives.
#[derive(Debug)]
pub(crate) struct Held {
    sum: &'static AtomicU64,
    bytes: u64,
}

impl Held {
    pub(crate) fn mapped(bytes: usize) -> Self {
        Self::count(&MAPPED, bytes)
    }

    pub(crate) fn prepared(bytes: usize) -> Self {
        Self::count(&PREPARED, bytes)
    }

    fn count(sum: &'static AtomicU64, bytes: usize) -> Self {
        sum.fetch_add(bytes as u64, Ordering::Relaxed);
        Self {
            sum,
            bytes: bytes as u64,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
