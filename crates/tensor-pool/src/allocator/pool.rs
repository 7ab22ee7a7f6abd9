//! The allocator and what can be asked of it.

use std::alloc::{GlobalAlloc, System};
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::counts::Counts;
use super::seal::Seals;
use super::shelves::Shelves;
use super::stats::{AllocatorStats, Requests};
use super::system;

/// Default limit of what an allocator retains: two blocks of the largest class, and
/// less than a hundredth of a machine with 8 GiB. A program that knows its working set says so.
const DEFAULT_CAPACITY_BYTES: u64 = 64 << 20;

/// A global allocator that counts every request and keeps large blocks for the next one.
///
/// - Requests of **64 KiB to 32 MiB** are rounded up to a size class (eight per doubling, so at most
///   an eighth of padding). A freed block goes onto its class's *shelf* (16 to 128 fixed slots) up
///   to the [capacity](PoolAllocator::set_capacity), and the next request of that class takes it
///   from there: no call to the allocator below and no page faults. A block serves requests of the
///   alignment it was made with (16, or what was asked for if that is more). Requests with an
///   alignment above 512 KiB pass through.
/// - **Smaller and larger** requests pass through to `A` (`System` grows very large blocks with
///   `mremap`, moving no bytes), and are counted.
/// - `alloc_zeroed` clears a block from a shelf and leaves a fresh one to `A::alloc_zeroed`;
///   `realloc` stays in place within a class. Builds with `debug_assertions` fill recycled blocks
///   with `0xA5`.
/// - Blocks up to 4 KiB are asked of `A::alloc` also when they are to be zeros or to grow, and are
///   cleared or copied: glibc's `malloc` and `free` have a cache per thread, which its `calloc` (before
///   2.41) and `realloc` do not use.
/// - When `A` has nothing for a large request, all idle blocks go back to it and it is asked once
///   more.
///
/// It takes no lock, starts no thread, runs no user code and never panics, so `fork` and the end of a
/// thread cannot leave it stuck (a child process loses at most the blocks that other threads were
/// moving at the moment of the `fork`). An instance is a static of 68 KiB: 31 KiB of slots, 5 KiB
/// of shelf levels, and 32 KiB of counters for 256 threads at once (further threads share a set,
/// which is exact too, but slower).
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
/// On top of another allocator:
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
    pub(super) huge_pages: AtomicBool,
    /// Last, so that it may be of any type.
    pub(super) inner: A,
}

/// As stated above, so that the static stays small beside the program.
const _: () = assert!(size_of::<PoolAllocator>() <= 68 << 10);

impl PoolAllocator {
    /// On top of the system's allocator, retaining up to 64 MiB (two blocks of the largest class).
    #[must_use]
    pub const fn new() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY_BYTES)
    }

    /// On top of the system's allocator, retaining up to `capacity_bytes`; see
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
    /// On top of another allocator, retaining up to `capacity_bytes`; see
    /// [`set_capacity`](Self::set_capacity).
    #[must_use]
    pub const fn with(inner: A, capacity_bytes: u64) -> Self {
        Self {
            counts: Counts::new(),
            shelves: Shelves::new(capacity_bytes),
            seals: Seals::new(),
            soft_limit: AtomicU64::new(u64::MAX),
            huge_pages: AtomicBool::new(false),
            inner,
        }
    }
}

impl<A: GlobalAlloc + ?Sized> PoolAllocator<A> {
    /// Caps what is retained. Where more is, it goes back to `A` at once, the largest blocks first.
    ///
    /// With 0 the allocator only counts. Large requests are still rounded up to their
    /// class then, so that the cap may be raised at any time; the pages beyond a request are not
    /// touched.
    pub fn set_capacity(&self, capacity_bytes: u64) {
        self.shelves.set_capacity(capacity_bytes);
        self.give_back_excess(|| self.shelves.capacity());
    }

    /// Gives idle blocks back to `A` until at most `keep_bytes` are retained, the largest first, and on
    /// glibc calls `malloc_trim`, so that the kernel gets the memory. Returns what was given back.
    ///
    /// O(blocks). `malloc_trim` walks all of malloc's free memory and takes its locks: milliseconds
    /// where that is much. Not for every frame; see [`decay`](Self::decay).
    pub fn trim(&self, keep_bytes: u64) -> u64 {
        let given_back = self.give_back_excess(|| keep_bytes);
        system::give_back_free_pages();
        given_back
    }

    /// Gives back to `A`, per class, the idle blocks that no request needed since the last call: as
    /// many as were on the shelf even when it was at its lowest. Returns what was given back.
    ///
    /// Call it by a clock of yours, say every few seconds or hundred frames: what steady work needs
    /// stays, and what a burst left goes after one or two calls. O(classes + blocks given back).
    pub fn decay(&self) -> u64 {
        self.give_back_unused()
    }

    /// The counts. Reads the counters of 256 threads, in about a microsecond.
    #[must_use]
    pub fn stats(&self) -> AllocatorStats {
        let totals = self.counts.totals();
        let requests = |count: u64, bytes: u64| Requests { count, bytes };
        // Read while other threads count, a difference may come out below zero.
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

    /// Lets the peak start again from what is live now. Does not touch any
    /// [`PeakWindow`](crate::PeakWindow).
    pub fn reset_peak(&self) {
        self.counts.reset_peak();
    }

    /// Whether blocks of 2 MiB and more that come fresh from `A` are to lie in huge pages; they are
    /// not unless asked for.
    ///
    /// One entry of the processor's address cache covers a huge page of 2 MiB, else 4 KiB: large
    /// arrays that are read from their beginning to their end, such as a model's weights, are read
    /// faster, and filled with fewer page faults. A huge page is there as a whole as soon as one
    /// byte of it is touched, so blocks that stay mostly empty take more memory.
    ///
    /// On Linux this is a hint (`madvise`) that counts where
    /// `/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`, as most systems do; elsewhere it
    /// does nothing.
    pub fn set_huge_pages(&self, wanted: bool) {
        self.huge_pages.store(wanted, Relaxed);
    }

    /// Sets what [`pressure`](Self::pressure) compares with; [`u64::MAX`], the default, is never
    /// exceeded.
    pub fn set_soft_limit(&self, limit_bytes: u64) {
        self.soft_limit.store(limit_bytes, Relaxed);
    }

    /// Whether live and retained bytes together are above the [soft
    /// limit](Self::set_soft_limit). For polling, say at frame boundaries: three loads. `live_bytes` is
    /// taken to within the 32 KiB per thread of
    /// [`peak_slack_bytes`](crate::AllocatorStats::peak_slack_bytes).
    ///
    /// It is a question, not a callback: what to do about it ([`trim`](Self::trim), drop caches, end
    /// work) is for the program to choose, at a place where it can.
    #[must_use]
    pub fn pressure(&self) -> bool {
        let held = self
            .counts
            .balance()
            .saturating_add(self.shelves.retained());
        held > self.soft_limit.load(Relaxed)
    }
}

impl<A: GlobalAlloc + ?Sized> fmt::Debug for PoolAllocator<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolAllocator")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
