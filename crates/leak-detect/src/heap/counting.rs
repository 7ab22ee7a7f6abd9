//! A global allocator that counts the process and each thread.

mod counters;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;

use super::HeapSource;
use counters::{count, thread_allocations};

/// A global allocator that forwards to `A` and counts the bytes of the process and of each thread, for
/// [`assert_no_growth!`](crate::assert_no_growth), [`assert_peak!`](crate::assert_peak),
/// [`heap_source`](crate::heap_source) and their variants for one thread.
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
/// It counts the sizes that the program requests, on all threads. It does not count the allocator's own
/// overhead, thread stacks, memory-mapped files, or memory that C libraries allocate. `realloc` counts
/// the difference in size, so a peak does not include both blocks. The cost is one atomic addition per
/// call, and one more per open measurement of a peak.
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

/// Whether a `CountingAllocator` is the global allocator.
fn is_installed() -> bool {
    let before = thread_allocations();
    drop(black_box(Box::new(black_box(0u8))));
    thread_allocations() != before
}

/// Returns the counters of the process; `None` if no `CountingAllocator` is the global allocator.
pub(super) fn process() -> Option<HeapSource> {
    is_installed().then_some(HeapSource {
        live_bytes: counters::process_live_bytes,
        peak_of: counters::process_peak_of,
    })
}

/// Returns the counters of the calling thread; `None` as for [`process`].
pub(super) fn thread() -> Option<HeapSource> {
    is_installed().then_some(HeapSource {
        live_bytes: counters::thread_live_bytes,
        peak_of: counters::thread_peak_of,
    })
}
