//! A global allocator that counts per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use super::HeapSource;

/// What one thread allocated and freed.
#[derive(Clone, Copy)]
struct Counters {
    /// Signed: a thread may free what another allocated.
    live: i64,
    peak: i64,
    /// Ever allocated or grown, wrapping; tells whether the allocator is in use.
    allocations: u64,
}

thread_local! {
    // Constant and without a destructor: reading it never allocates, and it is there until the
    // thread's end.
    static COUNTERS: Cell<Counters> = const {
        Cell::new(Counters { live: 0, peak: 0, allocations: 0 })
    };
}

/// Passes everything on to `A` and counts bytes per thread, for
/// [`assert_no_growth!`](crate::assert_no_growth), [`assert_peak!`](crate::assert_peak) and
/// [`heap_source`](crate::heap_source).
///
/// For tests, one line in the test file:
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOCATOR: leak_detect::CountingAllocator = leak_detect::CountingAllocator::new();
///
/// leak_detect::assert_peak!(1 << 20, || vec![0u8; 1000].len());
/// ```
///
/// Since each thread counts for itself, tests that run in parallel do not disturb each other. In
/// turn, what worker threads allocate is not seen; for work that spreads over threads give the test
/// a process of its own and [`set_heap_source`](crate::set_heap_source) to a counter of the whole
/// process. Costs a few instructions per call; `realloc` counts as the difference, so a moment in
/// which both blocks exist is not in the peak.
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingAllocator<A = System> {
    inner: A,
}

impl CountingAllocator {
    /// Counts what goes to the system's allocator.
    pub const fn new() -> Self {
        Self::wrapping(System)
    }
}

impl<A> CountingAllocator<A> {
    /// Counts what goes to `inner`.
    pub const fn wrapping(inner: A) -> Self {
        CountingAllocator { inner }
    }
}

fn count(change: i64) {
    let update = |counters: &Cell<Counters>| {
        let mut now = counters.get();
        now.live = now.live.wrapping_add(change);
        now.peak = now.peak.max(now.live);
        now.allocations = now.allocations.wrapping_add(u64::from(change > 0));
        counters.set(now);
    };
    // There is nothing to do for a thread that is past its end.
    let _ = COUNTERS.try_with(update);
}

/// A block's size; no layout is larger than `isize::MAX`.
fn signed(size: usize) -> i64 {
    size as i64
}

// SAFETY: every call is passed on unchanged to `A`, which keeps the contract; counting neither
// allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `A` asks for.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            count(signed(layout.size()));
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        if !block.is_null() {
            count(signed(layout.size()));
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let block = unsafe { self.inner.realloc(block, layout, new_size) };
        if !block.is_null() {
            count(signed(new_size) - signed(layout.size()));
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { self.inner.dealloc(block, layout) };
        count(-signed(layout.size()));
    }
}

fn counters() -> Counters {
    COUNTERS.get()
}

/// `None` if no `CountingAllocator` is the global allocator.
pub(super) fn source() -> Option<HeapSource> {
    let before = counters().allocations;
    drop(black_box(Box::new(black_box(0u8))));
    (counters().allocations != before).then_some(HeapSource {
        live_bytes: || counters().live as u64,
        peak_of,
    })
}

fn peak_of(work: &mut dyn FnMut()) -> u64 {
    /// Gives an outer measurement its peak back, also if the work panics.
    struct Outer(i64);
    impl Drop for Outer {
        fn drop(&mut self) {
            let mut now = counters();
            now.peak = now.peak.max(self.0);
            COUNTERS.set(now);
        }
    }

    let start = counters();
    let _outer = Outer(start.peak);
    COUNTERS.set(Counters {
        peak: start.live,
        ..start
    });
    work();
    u64::try_from(counters().peak - start.live).unwrap_or(0)
}
