//! The bytes that limits apply to, by kind.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use tensor_pool::MemoryPool;

use super::{Inner, Ledger};

/// The tag of KV cache pages in the pool's list of [outstanding](tensor_pool::MemoryPool::outstanding)
/// tensors.
pub const KV_CACHE_TAG: &str = "KV cache";
/// The tag of the windows of Mimi's attention.
pub(crate) const ATTENTION_WINDOW_TAG: &str = "attention window";
/// The tag of the inputs that convolutions retain.
pub(crate) const CONVOLUTION_HISTORY_TAG: &str = "convolution history";
/// The tag of the inputs that upsampling retains.
pub(crate) const UPSAMPLING_TAG: &str = "upsampling";

/// The tags of all tensors that are part of a reservation.
const STATE_TAGS: [&str; 4] = [
    KV_CACHE_TAG,
    ATTENTION_WINDOW_TAG,
    CONVOLUTION_HISTORY_TAG,
    UPSAMPLING_TAG,
];

/// Returns the bytes of the pool's leased tensors that are part of a reservation. Other code may lease
/// tensors of the pool too.
pub(super) fn state_bytes(pool: &MemoryPool) -> u64 {
    let leases = pool.outstanding().into_iter();
    let state = leases.filter(|lease| STATE_TAGS.contains(&lease.tag));
    state.map(|lease| lease.size_bytes).sum()
}

/// The bytes that memory limits and predictions apply to, for the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// Live heap blocks; `None` if no counting allocator is
    /// [installed](tensor_pool::PoolAllocator::install).
    pub heap_bytes: Option<u64>,
    /// Weights prepared for a device.
    pub prepared_bytes: u64,
    /// Memory-mapped weights. A tensor is unmapped as soon as it has been prepared.
    pub mapped_bytes: u64,
    /// Leased tensors of the pool: the state of streams, and what other code leased.
    pub state_bytes: u64,
    /// Idle state in the pool.
    pub idle_bytes: u64,
    /// Bytes in use in the memory pools of the devices that have one.
    pub device_bytes: u64,
}

impl Counted {
    /// Returns the sum. Without a counting allocator, prepared weights and state replace the heap in the
    /// sum.
    #[must_use]
    pub fn total(&self) -> u64 {
        let heap = self
            .heap_bytes
            .unwrap_or(self.prepared_bytes + self.state_bytes + self.idle_bytes);
        heap + self.mapped_bytes + self.device_bytes
    }
}

/// Bytes counted as mapped or prepared until the entry is dropped.
pub(crate) struct LedgerEntry {
    ledger: Ledger,
    counter: fn(&Inner) -> &AtomicU64,
    bytes: u64,
}

impl LedgerEntry {
    /// Counts memory-mapped weights.
    pub(crate) fn mapped(ledger: &Ledger, bytes: usize) -> Self {
        Self::add(ledger, |inner| &inner.mapped, bytes)
    }

    /// Counts prepared weights.
    pub(crate) fn prepared(ledger: &Ledger, bytes: usize) -> Self {
        Self::add(ledger, |inner| &inner.prepared, bytes)
    }

    fn add(ledger: &Ledger, counter: fn(&Inner) -> &AtomicU64, bytes: usize) -> Self {
        let bytes = bytes as u64;
        counter(&ledger.0).fetch_add(bytes, Ordering::Relaxed);
        Self {
            ledger: ledger.clone(),
            counter,
            bytes,
        }
    }
}

impl Drop for LedgerEntry {
    fn drop(&mut self) {
        (self.counter)(&self.ledger.0).fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for LedgerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerEntry")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

crate::traced::trace_fields!(LedgerEntry: ledger);
