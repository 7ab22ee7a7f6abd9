//! The bytes of a process that memory limits apply to, and the reservations within the limits.

mod admission;
mod counted;
mod error;
mod reclaim;
mod system_limit;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use batch_planner::{Capacity, MemoryBudget, MemoryModel, Sequences};
use tensor_pool::{Budget, MemoryPool};

pub(crate) use admission::Admission;
pub(crate) use counted::{
    ATTENTION_WINDOW_TAG, CONVOLUTION_HISTORY_TAG, LedgerEntry, UPSAMPLING_TAG,
};
pub use counted::{Counted, KV_CACHE_TAG};
pub use error::{MemoryError, sufficient_limit_mb};
pub use reclaim::Reclaim;
use reclaim::Reclaimers;
use system_limit::SystemLimits;
pub use system_limit::{Limit, LimitOrigin, SystemLimit};

/// Returns the live bytes of the heap; `None` if they are not counted.
type HeapCounter = dyn Fn() -> Option<u64> + Send + Sync;

/// The memory of a process: what is in use, what running work has reserved, and the limit.
///
/// A process has one ledger, made by whatever sets the process up, and passes it to every
/// [`Model::load`](crate::Model::load). Clones share it. A model that is loaded without a ledger has one
/// of its own, which does not see the reservations of other models.
///
/// The limit applies to [counted](Counted) bytes. Work reserves the maximum that it can need before it
/// starts, and is refused if that may exceed the limit.
///
/// ```
/// use tensor_pool::MemoryPool;
/// use tts_core::memory::Ledger;
///
/// let ledger = Ledger::new(MemoryPool::default());
/// ledger.set_limit_bytes(Some(256 << 20));
/// assert_eq!(ledger.reserved_bytes(), 0);
/// assert!(ledger.present_bytes() >= ledger.counted().total());
/// ```
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    pool: MemoryPool,
    heap: Box<HeapCounter>,
    /// Bytes of memory-mapped weights.
    mapped: AtomicU64,
    /// Bytes of prepared weights.
    prepared: AtomicU64,
    /// The reservations of all running work. Requests are children. Before each reservation, the limits
    /// are set to what the memory limits leave for reservations.
    budget: Budget,
    limit_bytes: Mutex<Option<u64>>,
    system: SystemLimits,
    /// Held while limits are set and bytes are reserved, but not while memory is reclaimed.
    admission: Mutex<()>,
    reclaimers: Reclaimers,
}

impl Ledger {
    /// Creates a ledger that counts the heap of an [installed](tensor_pool::PoolAllocator::install)
    /// allocator. Streams lease their state from `pool`.
    #[must_use]
    pub fn new(pool: MemoryPool) -> Self {
        Self::with_heap(pool, || {
            tensor_pool::heap().map(|heap| heap.stats().live_bytes)
        })
    }

    /// Creates a ledger with another source of the heap's live bytes, for programs with an allocator of
    /// their own.
    ///
    /// The captures of `live_bytes` cannot be traced by `leak-detect`. A closure that owns a model leaks it,
    /// because the model owns the ledger.
    #[must_use]
    pub fn with_heap(
        pool: MemoryPool,
        live_bytes: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            pool,
            heap: Box::new(live_bytes),
            mapped: AtomicU64::new(0),
            prepared: AtomicU64::new(0),
            budget: Budget::new("process", None),
            limit_bytes: Mutex::new(None),
            system: SystemLimits::default(),
            admission: Mutex::new(()),
            reclaimers: Reclaimers::default(),
        }))
    }

    /// Returns the pool that streams lease their state from.
    #[must_use]
    pub fn pool(&self) -> &MemoryPool {
        &self.0.pool
    }

    /// Returns the limit of the process.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        *self
            .0
            .limit_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limit of the process. Running work keeps its reservations, but ends with
    /// [`MemoryError::LimitExceeded`] if the counted bytes exceed a lower limit.
    pub fn set_limit_bytes(&self, limit_bytes: Option<u64>) {
        *self
            .0
            .limit_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = limit_bytes;
    }

    /// Sets the source of the operating system's limits. It gets the number of threads that the work will
    /// start, and returns the limit with the least room for counted bytes beside these threads. It is called
    /// when work is admitted or planned, not per frame.
    ///
    /// ```
    /// use tts_core::memory::{Ledger, LimitOrigin, SystemLimit};
    ///
    /// let ledger = Ledger::default();
    /// ledger.set_system_limit(|threads| {
    ///     Some(SystemLimit {
    ///         origin: LimitOrigin::Data,
    ///         limit_bytes: 64 << 20,
    ///         used_bytes: 20 << 20,
    ///         reserve_bytes: (4 << 20) + threads as u64 * (2 << 20),
    ///     })
    /// });
    /// let limit = ledger.limit(None).expect("a limit");
    /// assert!(limit.limit_bytes >= 40 << 20);
    /// // The limit of the process wins if it is lower.
    /// ledger.set_limit_bytes(Some(1 << 20));
    /// assert_eq!(ledger.limit(None).map(|limit| limit.limit_bytes), Some(1 << 20));
    /// ```
    pub fn set_system_limit(
        &self,
        source: impl Fn(usize) -> Option<SystemLimit> + Send + Sync + 'static,
    ) {
        self.0.system.set(Arc::new(source));
    }

    /// Returns the limit that applies to work that starts now: the lowest of the process's limit, the
    /// work's own, and what the operating system leaves.
    #[must_use]
    pub fn limit(&self, own_limit_bytes: Option<u64>) -> Option<Limit> {
        let system = self.system_limit(0);
        self.lowest_limit(own_limit_bytes, system.as_ref())
    }

    /// Returns the lower of the process's limit and a request's own.
    #[must_use]
    pub fn effective_limit_bytes(&self, own_limit_bytes: Option<u64>) -> Option<u64> {
        let limits = [self.limit_bytes(), own_limit_bytes];
        limits.into_iter().flatten().min()
    }

    /// Counts the bytes in use.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let stats = self.0.pool.get_stats();
        let device = stats.devices.iter().map(|device| device.in_use_bytes);
        Counted {
            heap_bytes: (self.0.heap)(),
            prepared_bytes: self.0.prepared.load(Ordering::Relaxed),
            mapped_bytes: self.0.mapped.load(Ordering::Relaxed),
            state_bytes: stats.in_use_bytes,
            idle_bytes: stats.idle_bytes,
            device_bytes: device.sum(),
        }
    }

    /// Returns the bytes that running work has reserved.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        self.0.budget.used_bytes()
    }

    /// Returns the counted bytes once all running work uses what it reserved. Further work adds to this.
    #[must_use]
    pub fn present_bytes(&self) -> u64 {
        self.unreserved_bytes()
            .saturating_add(self.reserved_bytes())
    }

    /// Returns [`Self::present_bytes`] without the memory that an admission would free if it were short:
    /// idle tensors of the pool, and what the [reclaimers](Self::add_reclaimer) can free.
    #[must_use]
    pub fn needed_bytes(&self) -> u64 {
        let freeable = self.0.pool.get_stats().idle_bytes + self.0.reclaimers.bytes();
        self.present_bytes().saturating_sub(freeable)
    }

    /// Returns how many sequences fit beside the memory in use, with the limit that an admission would
    /// apply. Changes nothing: the following admission gives the same answer unless the memory in use
    /// changes.
    ///
    /// # Errors
    ///
    /// The sizes overflow.
    pub fn capacity(
        &self,
        own_limit_bytes: Option<u64>,
        model: &MemoryModel,
        sequences: Sequences,
        max_batch_size: u64,
    ) -> Result<Capacity, batch_planner::Error> {
        let limit_bytes = self.limit(own_limit_bytes).map(|limit| limit.limit_bytes);
        MemoryBudget::new(limit_bytes.unwrap_or(u64::MAX), model.clone())
            .with_used(self.needed_bytes())
            .capacity(&[sequences], max_batch_size)
    }

    /// Adds something that can free memory when it is short, until it is dropped. The ledger does not own
    /// it, so a reclaimer that owns a model is no cycle.
    pub fn add_reclaimer(&self, reclaimer: &Arc<impl Reclaim + 'static>) {
        let reclaimer: Arc<dyn Reclaim> = reclaimer.clone();
        self.0.reclaimers.add(Arc::downgrade(&reclaimer));
    }

    /// Returns the limit on counted bytes that the operating system's limits leave, beside so many further
    /// threads.
    fn system_limit(&self, threads: usize) -> Option<Limit> {
        self.0.system.limit(self.counted().total(), threads)
    }

    /// Returns the lowest of the process's limit, a request's own and the system's.
    fn lowest_limit(&self, own_limit_bytes: Option<u64>, system: Option<&Limit>) -> Option<Limit> {
        let set = self.effective_limit_bytes(own_limit_bytes);
        let set = set.map(Limit::set);
        let limits = [set, system.cloned()];
        limits
            .into_iter()
            .flatten()
            .min_by_key(|limit| limit.limit_bytes)
    }

    /// Bytes that are in use outside of reservations. The state of streams is part of their reservations.
    fn unreserved_bytes(&self) -> u64 {
        let state_bytes = counted::state_bytes(self.pool());
        self.counted().total().saturating_sub(state_bytes)
    }

    /// Frees memory until `is_enough`: first the idle tensors of the pool, then what the reclaimers can
    /// free. Holds no lock.
    fn free_until(&self, is_enough: impl Fn() -> bool) {
        self.0.pool.trim(0);
        if !is_enough() {
            self.0.reclaimers.run();
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(MemoryPool::default())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("limit_bytes", &self.limit_bytes())
            .field("reserved_bytes", &self.reserved_bytes())
            .finish_non_exhaustive()
    }
}

// The counter of the heap is a closure, and the pool belongs to another crate.
crate::traced::trace_fields!(Ledger: 0);
crate::traced::trace_fields!(Inner:);
