//! The allocator and its settings.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::counts::Counts;
use super::seal::Seals;
use super::shelves::Shelves;
use super::stats::{AllocatorStats, Requests};
use super::system;

/// Default capacity: less than a hundredth of 8 GiB. Programs with a known working set should choose
/// their own.
const DEFAULT_CAPACITY_BYTES: u64 = 64 << 20;

/// A global allocator that counts all requests and recycles large blocks.
///
/// - Requests of **64 KiB and more** are rounded up to a size class, up to 1 TiB. There are eight
///   classes per doubling, so padding is at most an eighth. A freed block goes onto the *shelf* of its class
///   (16 to 128 fixed slots) up to the [capacity](PoolAllocator::set_capacity). The next request of
///   the class reuses it, without a call to the inner allocator and without page faults. A block
///   serves requests with the alignment that it was allocated with (at least 16). Requests with an
///   alignment above 512 KiB pass through.
/// - **Smaller** requests pass through to `A` and are counted.
/// - `alloc_zeroed` clears recycled blocks and uses `A::alloc_zeroed` for new ones.
/// - `realloc` stays in place within a class. To another class, it copies the contents to a block of
///   that class and retains the old block. Two cases are left to `A::realloc`: a block of 1 MiB or
///   more that grows by less than half, and a block above the capacity. (`System` moves the pages
///   of very large blocks with `mremap`, which copies no bytes.)
/// - Builds with `debug_assertions` fill recycled blocks with `0xA5`.
/// - Blocks of up to 4 KiB are always allocated with `A::alloc`; `alloc_zeroed` clears them and a
///   growing `realloc` copies them. glibc's `malloc` and `free` have a cache per thread, which its
///   `calloc` (before 2.41) and `realloc` do not use.
/// - If `A` fails to serve a request, all idle blocks are released and the request is repeated
///   once. If it fails again, a [hook](PoolAllocator::set_out_of_memory_hook) runs.
///
/// The allocator takes no lock, starts no thread, runs no user code and never panics, so neither
/// `fork` nor the end of a thread can block it. After a `fork`, the child process loses at most the
/// blocks that other threads were moving at that moment. An instance is a static of 91 KiB: 46 KiB
/// of slots, 12 KiB of shelf levels, and 32 KiB of counters for 256 concurrent threads. Further
/// threads share one set of counters, which is exact too, but slower.
///
/// ```standalone_crate
/// use tensor_pool::PoolAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::with_capacity(256 << 20);
///
/// assert!(ALLOCATOR.install());
/// drop(vec![0_f32; 1_000_000]);
/// assert_eq!(ALLOCATOR.stats().retained_bytes, 4 << 20); // the class of 4,000,000 bytes
/// let again = vec![0_f32; 1_000_000];
/// assert_eq!(ALLOCATOR.stats().from_pool.count, 1);
/// # drop(again);
/// ```
///
/// With another inner allocator:
///
/// ```
/// use std::alloc::System; // for example: mimalloc::MiMalloc
/// use tensor_pool::PoolAllocator;
///
/// static ALLOCATOR: PoolAllocator<System> = PoolAllocator::with(System, 64 << 20);
/// ```
pub struct PoolAllocator<A: GlobalAlloc + ?Sized = System> {
    pub(super) counts: Counts,
    pub(super) shelves: Shelves,
    pub(super) seals: Seals,
    soft_limit: AtomicU64,
    collect: Option<fn()>,
    pub(super) huge_pages: AtomicBool,
    pub(super) out_of_memory: OnceLock<fn(Layout)>,
    /// The last field, so that it may be unsized.
    pub(super) inner: A,
}

/// The documented size of the static.
const _: () = assert!(size_of::<PoolAllocator>() <= 92 << 10);

impl PoolAllocator {
    /// Creates an allocator on top of the system allocator that retains up to 64 MiB.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY_BYTES)
    }

    /// Creates an allocator on top of the system allocator that retains up to `capacity_bytes`; see
    /// [`set_capacity`](Self::set_capacity).
    #[must_use]
    pub const fn with_capacity(capacity_bytes: u64) -> Self {
        Self::with(System, capacity_bytes)
    }
}

impl Default for PoolAllocator {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: GlobalAlloc> PoolAllocator<A> {
    /// Creates an allocator on top of `inner` that retains up to `capacity_bytes`; see
    /// [`set_capacity`](Self::set_capacity).
    #[must_use]
    pub const fn with(inner: A, capacity_bytes: u64) -> Self {
        Self {
            counts: Counts::new(),
            shelves: Shelves::new(capacity_bytes),
            seals: Seals::new(),
            soft_limit: AtomicU64::new(u64::MAX),
            collect: None,
            huge_pages: AtomicBool::new(false),
            out_of_memory: OnceLock::new(),
            inner,
        }
    }

    /// Adds a function that makes `inner` return free memory to the system, such as `mi_collect` of
    /// mimalloc or a purge of jemalloc's arenas. [`trim`](Self::trim), and
    /// [`set_capacity`](Self::set_capacity) if it releases blocks, call it after they have released
    /// their blocks to `inner`.
    ///
    /// The function runs on the calling thread and may allocate. No allocation or deallocation
    /// calls it.
    ///
    /// ```
    /// use std::alloc::System; // for example: mimalloc::MiMalloc
    /// use tensor_pool::PoolAllocator;
    ///
    /// fn collect() {
    ///     // For example: unsafe { libmimalloc_sys::mi_collect(true) }
    ///     println!("trimmed");
    /// }
    ///
    /// static ALLOCATOR: PoolAllocator<System> =
    ///     PoolAllocator::with(System, 64 << 20).collect_with(collect);
    /// ALLOCATOR.trim(0);
    /// ```
    #[must_use]
    pub const fn collect_with(mut self, collect: fn()) -> Self {
        self.collect = Some(collect);
        self
    }
}

impl<A: GlobalAlloc + ?Sized> PoolAllocator<A> {
    /// Sets a function that runs when a request cannot be served, before the null pointer is returned,
    /// which ends most programs with an abort. It runs on the thread of the request and must not
    /// allocate. It can end the process in another way; if it returns, the request fails as usual.
    ///
    /// It also runs for requests whose failure is not fatal, such as
    /// [`Vec::try_reserve`]. Returns `false` if a function is set already; the first one stays.
    ///
    /// ```
    /// use tensor_pool::PoolAllocator;
    ///
    /// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
    ///
    /// assert!(ALLOCATOR.set_out_of_memory_hook(|_| std::process::exit(1)));
    /// assert!(!ALLOCATOR.set_out_of_memory_hook(|_| ()), "one is set already");
    /// ```
    #[must_use = "`false` means that another function is set already"]
    pub fn set_out_of_memory_hook(&self, hook: fn(Layout)) -> bool {
        self.out_of_memory.set(hook).is_ok()
    }

    /// Limits the retained bytes. If more are retained now, the excess is released immediately, as
    /// by [`trim`](Self::trim).
    ///
    /// With 0 the allocator only counts. Large requests are still rounded up to their class, so
    /// that the limit can be raised at any time; the pages beyond a request are not touched.
    pub fn set_capacity(&self, capacity_bytes: u64) {
        self.shelves.set_capacity(capacity_bytes);
        if self.discard_excess(|| self.shelves.capacity()) > 0 {
            self.collect();
        }
    }

    /// Releases idle blocks to `A`, largest first, until at most `keep_bytes` are retained. On
    /// Linux, their pages are returned to the kernel first. Then calls the function of
    /// [`collect_with`](Self::collect_with) and, on glibc, `malloc_trim`, which return other free
    /// memory. Returns the number of bytes released to `A`.
    ///
    /// O(blocks). `malloc_trim` walks all free memory of malloc and takes its locks, which can take
    /// milliseconds. Do not call this for every frame; see [`decay`](Self::decay).
    pub fn trim(&self, keep_bytes: u64) -> u64 {
        let released_bytes = self.discard_excess(|| keep_bytes);
        self.collect();
        released_bytes
    }

    /// Returns free memory of the inner allocator and of malloc to the kernel.
    fn collect(&self) {
        if let Some(collect) = self.collect {
            collect();
        }
        system::trim_heap();
    }

    /// Releases to `A` the idle blocks that were not needed since the last call, and on Linux their
    /// pages to the kernel. For each class,
    /// that is the minimum number of blocks on its shelf since then. Returns the number of bytes
    /// released.
    ///
    /// Call this periodically, for example every few seconds or every hundred frames. Blocks of a
    /// steady load stay; the leftovers of a burst are released after one or two calls. O(classes +
    /// released blocks).
    pub fn decay(&self) -> u64 {
        self.discard_unused()
    }

    /// Returns the current counts. Reads the counters of 256 threads, which takes about a
    /// microsecond.
    #[must_use]
    pub fn stats(&self) -> AllocatorStats {
        let totals = self.counts.totals();
        let requests = |count: u64, bytes: u64| Requests { count, bytes };
        // With concurrent updates a difference can be negative.
        let difference = |more: u64, less: u64| (more.wrapping_sub(less) as i64).max(0) as u64;
        AllocatorStats {
            live_bytes: difference(totals.allocated, totals.freed),
            live_blocks: difference(totals.allocations, totals.frees),
            total: requests(totals.allocations, totals.allocated),
            from_pool: requests(totals.pool_allocations, totals.pool_allocated),
            from_inner: requests(
                difference(totals.allocations, totals.pool_allocations),
                difference(totals.allocated, totals.pool_allocated),
            ),
            retained_bytes: self.shelves.retained(),
            padding_bytes: difference(totals.padding, 0),
            peak_bytes: self.counts.peak() + totals.slack,
            peak_slack_bytes: totals.slack,
            capacity_bytes: self.shelves.capacity(),
        }
    }

    /// Restarts the peak at the current live bytes. Does not affect any
    /// [`PeakWindow`](crate::PeakWindow).
    pub fn reset_peak(&self) {
        self.counts.reset_peak();
    }

    /// Requests huge pages for new blocks of at least 2 MiB, until
    /// [`disable_huge_pages`](Self::disable_huge_pages) is called. Disabled by default.
    ///
    /// One TLB entry covers a huge page of 2 MiB instead of 4 KiB. Large arrays that are read
    /// sequentially, such as the weights of a model, are read faster and filled with fewer page
    /// faults. The first access to any byte of a huge page makes all of it resident, so blocks that
    /// stay mostly empty use more memory.
    ///
    /// On Linux this is a hint (`madvise`) that has an effect if
    /// `/sys/kernel/mm/transparent_hugepage/enabled` is `madvise`, the setting of most systems. On
    /// other systems it has no effect.
    pub fn enable_huge_pages(&self) {
        self.huge_pages.store(true, Relaxed);
    }

    /// Requests no huge pages for new blocks. Existing blocks are unchanged.
    pub fn disable_huge_pages(&self) {
        self.huge_pages.store(false, Relaxed);
    }

    /// Sets the limit for [`pressure`](Self::pressure). The default, [`u64::MAX`], is never
    /// exceeded.
    pub fn set_soft_limit(&self, limit_bytes: u64) {
        self.soft_limit.store(limit_bytes, Relaxed);
    }

    /// Whether live and retained bytes together exceed the [soft limit](Self::set_soft_limit).
    ///
    /// Meant for polling, for example at frame boundaries: it costs three loads. The live bytes are
    /// exact to 32 KiB per thread, as for
    /// [`peak_slack_bytes`](crate::AllocatorStats::peak_slack_bytes).
    ///
    /// There is no callback. The program polls at a suitable place and reacts there: it
    /// [trims](Self::trim), drops caches or stops work.
    #[must_use]
    pub fn pressure(&self) -> bool {
        let total = self
            .counts
            .balance()
            .saturating_add(self.shelves.retained());
        total > self.soft_limit.load(Relaxed)
    }
}

impl<A: GlobalAlloc + ?Sized> fmt::Debug for PoolAllocator<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolAllocator")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
