//! A global allocator that counts per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use super::HeapSource;

/// The counters of one thread.
#[derive(Clone, Copy)]
struct Counters {
    /// Signed, since a thread may free memory allocated by another thread.
    live: i64,
    peak: i64,
    /// Number of allocations, wrapping; shows whether the allocator is in use.
    allocations: u64,
}

thread_local! {
    // Constant and without a destructor, so access never allocates and works until the thread ends.
    static COUNTERS: Cell<Counters> = const {
        Cell::new(Counters { live: 0, peak: 0, allocations: 0 })
    };
}

/// A global allocator that forwards to `A` and counts bytes per thread, for
/// [`assert_no_growth!`](crate::assert_no_growth), [`assert_peak!`](crate::assert_peak) and
/// [`heap_source`](crate::heap_source).
///
/// Install it in the test file:
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOCATOR: leak_detect::CountingAllocator = leak_detect::CountingAllocator::new();
///
/// leak_detect::assert_peak!(1 << 20, || vec![0u8; 1000].len());
/// ```
///
/// Counters are per thread, so tests may run in parallel, but allocations of worker threads are not
/// counted. For multi-threaded work, run the test in its own process and pass a process-wide counter to
/// [`set_heap_source`](crate::set_heap_source). The cost is a few instructions per call. `realloc`
/// counts the difference in size, so the peak does not include both blocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingAllocator<A = System> {
    inner: A,
}

impl CountingAllocator {
    /// Creates an allocator that forwards to the system allocator.
    pub const fn new() -> Self {
        Self::wrapping(System)
    }
}

impl<A> CountingAllocator<A> {
    /// Creates an allocator that forwards to `inner`.
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
    // Fails only while the thread is being destroyed.
    let _ = COUNTERS.try_with(update);
}

/// Converts a block's size, which is at most `isize::MAX`.
fn signed(size: usize) -> i64 {
    size as i64
}

// SAFETY: every call is forwarded unchanged to `A`, which upholds the contract. Counting neither
// allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `A`.
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

/// Returns `None` if no `CountingAllocator` is the global allocator.
pub(super) fn source() -> Option<HeapSource> {
    let before = counters().allocations;
    drop(black_box(Box::new(black_box(0u8))));
    (counters().allocations != before).then_some(HeapSource {
        live_bytes: || counters().live as u64,
        peak_of,
    })
}

fn peak_of(work: &mut dyn FnMut()) -> u64 {
    /// Restores the peak of an enclosing measurement, even if the work panics.
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
