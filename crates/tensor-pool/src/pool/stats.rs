//! What a pool did and has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use burn::tensor::Device;

/// What a pool did since it was made, and what it has now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Leases that an idle tensor served.
    pub hits: u64,
    /// Leases that it did not.
    pub misses: u64,
    /// Tensors made.
    pub allocations: u64,
    /// Idle tensors.
    pub pooled_tensors: usize,
    /// Shapes, types and devices with idle tensors.
    pub keys: usize,
    /// Bytes of leased tensors.
    pub in_use_bytes: u64,
    /// Bytes of idle tensors.
    pub idle_bytes: u64,
    /// Most bytes that were leased at once.
    pub peak_bytes: u64,
    /// Tensors that were not kept when they came back, because their shape, type, device or layout
    /// was no longer that of the lease.
    pub dropped_changed: u64,
    /// Tensors that were not kept because somebody else still held them.
    pub dropped_shared: u64,
    /// Tensors that were not kept because the pool or its budget was full.
    pub dropped_full: u64,
    /// What the devices themselves keep, of those that tell.
    pub devices: Vec<DeviceMemory>,
}

impl PoolStats {
    /// Share of the leases that an idle tensor served, from 0 to 1; `None` before the first.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let leases = self.hits + self.misses;
        (leases > 0).then(|| self.hits as f64 / leases as f64)
    }
}

/// The pools that a device keeps for itself, below this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// The device.
    pub device: Device,
    /// Bytes of live tensors.
    pub in_use_bytes: u64,
    /// Bytes taken from the driver.
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

/// A tensor that is leased now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutstandingTensor {
    /// What the lease was asked for; empty where nobody said.
    pub tag: &'static str,
    /// Since when.
    pub since: Instant,
    /// Its size.
    pub size_bytes: u64,
}

impl OutstandingTensor {
    /// How long it has been leased.
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

    /// Adds what is counted to what is there.
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
