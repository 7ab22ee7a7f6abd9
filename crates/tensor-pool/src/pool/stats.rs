//! Statistics of a pool.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use burn::tensor::Device;

/// The activity of a pool since its creation, and its current state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Leases served with an idle tensor.
    pub hits: u64,
    /// Leases that required a new tensor.
    pub misses: u64,
    /// Allocated tensors.
    pub allocations: u64,
    /// Idle tensors.
    pub pooled_tensors: usize,
    /// Combinations of shape, type and device that have idle tensors.
    pub keys: usize,
    /// Bytes of leased tensors.
    pub in_use_bytes: u64,
    /// Bytes of idle tensors.
    pub idle_bytes: u64,
    /// The peak of `in_use_bytes`.
    pub peak_bytes: u64,
    /// Returned tensors that were dropped because their shape, type, device or layout no longer
    /// matched the lease.
    pub dropped_changed: u64,
    /// Returned tensors that were dropped because their buffer had another owner.
    pub dropped_shared: u64,
    /// Returned tensors that were dropped because the pool or its budget was full.
    pub dropped_full: u64,
    /// The memory pools of the devices that report them.
    pub devices: Vec<DeviceMemory>,
}

impl PoolStats {
    /// Returns the share of leases served with an idle tensor, from 0 to 1. Returns `None` before
    /// the first lease.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let leases = self.hits + self.misses;
        (leases > 0).then(|| self.hits as f64 / leases as f64)
    }
}

/// The memory pool of a device, below this pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// The device.
    pub device: Device,
    /// Bytes of live tensors.
    pub in_use_bytes: u64,
    /// Bytes allocated from the driver.
    pub reserved_bytes: u64,
}

impl DeviceMemory {
    pub(super) fn of(device: Device) -> Option<Self> {
        let usage = device.memory_pool_usage()?;
        Some(Self {
            device,
            in_use_bytes: usage.bytes_in_use,
            reserved_bytes: usage.bytes_reserved,
        })
    }
}

/// A tensor that is currently leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutstandingTensor {
    /// The tag of the request; empty if none was set.
    pub tag: &'static str,
    /// The time of the lease.
    pub since: Instant,
    /// The size of the tensor.
    pub size_bytes: u64,
}

impl OutstandingTensor {
    /// Returns the time since the lease.
    #[must_use]
    pub fn age(&self) -> std::time::Duration {
        self.since.elapsed()
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    in_use: AtomicU64,
    peak: AtomicU64,
    changed: AtomicU64,
    shared: AtomicU64,
    full: AtomicU64,
}

impl Counters {
    pub(super) fn leased(&self, bytes: u64, hit: bool) {
        let leases = if hit { &self.hits } else { &self.misses };
        leases.fetch_add(1, Ordering::Relaxed);
        let before = self.in_use.fetch_add(bytes, Ordering::Relaxed);
        self.peak.fetch_max(before + bytes, Ordering::Relaxed);
    }

    pub(super) fn returned(&self, bytes: u64) {
        self.in_use.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn dropped_changed(&self) {
        self.changed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_shared(&self) {
        self.shared.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the counters of `stats` and leaves its other fields unchanged.
    pub(super) fn read(&self, stats: PoolStats) -> PoolStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            allocations: read(&self.misses),
            in_use_bytes: read(&self.in_use),
            peak_bytes: read(&self.peak),
            dropped_changed: read(&self.changed),
            dropped_shared: read(&self.shared),
            dropped_full: read(&self.full),
            ..stats
        }
    }
}
